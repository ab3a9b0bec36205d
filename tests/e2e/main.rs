//! The program end to end: real processes on loopback, driven through their standard input.
//!
//! Each file is one promise to users. The nodes run with everything of the product; what a test
//! replaces is only the person at the keyboard and the network between (see `tests/support`).
//! One binary for all of them, because linking is what makes integration tests slow to build.

#[path = "../support/mod.rs"]
mod support;

#[path = "../netns/mod.rs"]
mod netns;

mod bad_commands;
mod bad_configuration;
mod chaos;
mod clock_jumps;
mod cluster;
mod concurrency;
mod contract;
mod discovery;
mod drills;
mod faults;
mod finality;
mod forger;
mod harness;
mod hostile;
mod hostile_peers;
mod kills;
mod late_joiner;
mod lifecycle;
mod lifetimes;
mod links;
mod load;
mod logs;
mod long_history;
mod markets;
mod membership;
mod readme;
mod recovery;
mod soak;
mod terminal;
mod trading;
mod verify;
