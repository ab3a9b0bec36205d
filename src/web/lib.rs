//! What the node serves over HTTP.
//!
//! Handlers translate: a request becomes a question to an actor, its answer a body. Nothing is
//! decided here. [`http`] is what all services have in common, [`grape_api`] the interface of
//! Grenache's Grape, [`rpc`] the service by which its programs trade, [`api`] the node's own
//! interface for programs and people.

pub mod api;
pub mod grape_api;
mod grape_values;
pub mod http;
mod http_here;
pub mod placing;
mod recent_announcements;
mod recent_answers;
pub mod rpc;
pub mod rpc_actions;
