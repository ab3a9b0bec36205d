//! The properties of the replicated exchange, each tried on random networks.
//!
//! Every module states one property (or a group that is checked on the same facts) and tries to
//! refute it. [`scenario`] says what may happen, [`network`] makes it happen: honest nodes with
//! wrong clocks, lossy and disorderly delivery, liars that sign whatever serves them, crashes that
//! lose what was not yet on disk.
//!
//! Runs are reproducible: the seed is fixed unless `PROPTEST_RNG_SEED` names another, and
//! `PROPTEST_CASES` says how many scenarios each property gets. A failure is shrunk to the
//! smallest scenario and printed with both.

mod accounting;
mod board;
mod clocks;
mod confirmation;
mod convergence;
mod deals;
mod delivery;
mod digests;
mod facts;
mod fairness;
mod finality;
mod forgery;
mod incremental;
mod invalid_halves;
mod liar;
mod memory;
mod naive;
mod network;
mod order;
mod priority;
mod promises;
mod refusals;
mod refuted;
mod restart;
mod scenario;
mod slow_lane;
mod sync;
mod table;
mod terms;
