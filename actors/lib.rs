//! One file per actor: thin drivers between the core's state machines and the outside.
//!
//! Everything that can go wrong in an actor ends in one way: it panics or stops, and its
//! supervisor builds a fresh one. Read in this order: [`mailbox`] (how actors reach each other),
//! [`child`] (what an actor needs to be supervised), [`supervisor`] (who restarts whom), [`root`]
//! (what the process starts and waits for). [`status`] shows the tree, [`drill`] breaks it on
//! purpose, [`panics`] keeps what was said when it broke.

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
