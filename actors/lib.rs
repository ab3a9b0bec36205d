//! One file per actor: thin drivers between the core's state machines and the outside.
//!
//! Everything that can go wrong in an actor ends in one way: it panics or stops, and its
//! supervisor builds a fresh one. Read [`node`] (the tree) and [`mailbox`] (how actors reach each
//! other) first, then the actors: [`store`], [`matcher`], [`orderbook`], [`breaker`], [`gossip`],
//! [`dht`], [`peer`], [`listener`], [`rendezvous`], [`service`], [`web`], [`command`]. How
//! supervision works stands in [`child`], [`supervisor`] and [`root`].

mod admission;
mod alarm;
pub mod breaker;
pub mod child;
pub mod command;
pub mod command_dht;
mod command_duration;
pub mod command_error;
#[cfg(test)]
mod command_fixtures;
pub mod command_grammar;
pub mod command_help;
pub mod command_json;
pub mod command_model;
mod command_pipeline;
pub mod command_render;
pub mod command_table;
pub mod console;
mod console_completion;
mod console_terminal;
pub mod context;
pub mod dht;
pub mod discovery;
pub mod drill;
pub mod environment;
pub mod gossip;
mod gossip_clock;
mod gossip_intake;
mod gossip_messages;
pub mod gossip_trees;
pub mod histogram;
pub mod listener;
pub mod mailbox;
pub mod matcher;
mod matcher_confirmation;
mod matcher_history;
mod matcher_journal;
mod matcher_pace;
mod matcher_sightings;
pub mod matcher_submission;
mod matcher_sync;
mod membership;
pub mod messages;
pub mod meter;
pub mod node;
pub mod orderbook;
pub mod panics;
pub mod peer;
mod peer_dial;
mod peer_reader;
pub mod rendezvous;
pub mod root;
pub mod service;
pub mod status;
pub mod store;
pub mod supervisor;
mod trade_news;
pub mod traffic;
pub mod web;
