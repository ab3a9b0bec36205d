//! One file per actor: thin drivers between the core's state machines and the outside.
//!
//! Everything that can go wrong in an actor ends in one way: it panics or stops, and its
//! supervisor builds a fresh one. Read [`mailbox`] (how actors reach each other) first.

pub mod child;
pub mod drill;
pub mod environment;
pub mod mailbox;
pub mod panics;
pub mod root;
pub mod status;
pub mod supervisor;
