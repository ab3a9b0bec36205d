//! A whole network in one process: virtual time, seeded faults, liars, and invariants.
//!
//! The nodes are those of [`bitfitech_core::node`], the machines that the actors drive too. Around
//! them everything is simulated: time, network, disks, clocks and users. A run has a phase in which
//! things go wrong; then the network heals, and everyone must agree.
//!
//! Read in this order: [`config`] and [`scenario`], [`world`], [`network`], [`host`], then how it
//! is run: [`queue`], [`shard`], `pool`, [`runner`]; who lies and what is wrong: [`adversaries`],
//! [`canaries`], [`invariants`]; and what comes out: [`tally`], [`report`], [`trace`], [`shrink`].

pub mod adversaries;
pub mod canaries;
pub mod clock;
pub mod config;
mod course;
pub mod disk;
pub mod engine;
pub mod event;
pub mod finals;
mod frame_size;
pub mod histogram;
pub mod host;
pub mod invariants;
mod memory;
pub mod network;
pub mod parcel;
mod pool;
pub mod queue;
pub mod random;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod shard;
pub mod shrink;
pub mod tally;
pub mod topology;
pub mod trace;
pub mod world;

pub use runner::{Progress, run, run_traced};
