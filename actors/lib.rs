//! actors

pub mod messages;
