//! What tests of real processes share: nodes, links that can be cut, and patience with a deadline.
//!
//! A test never sleeps for a guessed time. It states a condition, looks at it until it holds, and
//! fails after a deadline with the logs of every node, so a slow machine makes a test slow and
//! nothing else.

pub mod agreement;
pub mod bare;
pub mod connection;
pub mod generator;
pub mod node;
pub mod plan;
pub mod program;
pub mod proxy;
pub mod stranger;
pub mod terminal;
pub mod waiting;
