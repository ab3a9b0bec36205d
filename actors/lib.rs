//! One file per actor: thin drivers between the core's state machines and the outside.
//!
//! Everything that can go wrong in an actor ends in one way: it panics or stops, and its
//! supervisor builds a fresh one. Read [`mailbox`] (how actors reach each other) first.

pub mod child;
pub mod command_error;
#[cfg(test)]
mod command_fixtures;
pub mod command_grammar;
pub mod command_help;
pub mod command_json;
pub mod command_model;
pub mod command_render;
pub mod command_table;
pub mod drill;
pub mod environment;
pub mod mailbox;
pub mod messages;
pub mod panics;
pub mod root;
pub mod status;
pub mod supervisor;
