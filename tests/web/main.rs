//! The HTTP API, the stream and the page of real nodes.
//!
//! What a program sends goes over the wire as it stands here, so that wrong requests can be sent
//! too. Programs of others (schemathesis from PyPI, Chromium with playwright from npm) are
//! installed into the folder of build output; without them those tests say so and prove nothing.

#[allow(unused, reason = "the other tests of real processes use the rest")]
#[path = "../support/mod.rs"]
mod support;

#[path = "../support/workshop.rs"]
mod workshop;

mod access;
mod browser;
mod client;
mod contract;
mod follower;
mod operators;
mod page;
mod page_cost;
mod python;
mod schema;
mod speed;
mod stream;
