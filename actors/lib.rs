//! actors

pub mod command_error;
#[cfg(test)]
mod command_fixtures;
pub mod command_grammar;
pub mod command_help;
pub mod command_json;
pub mod command_model;
pub mod command_render;
pub mod command_table;
pub mod messages;
