//! Our Grape and real programs of Grenache, each other's neighbours, clients and servers.
//!
//! The real ones come from npm and run in Node. They are installed once, into the folder of build
//! output; without Node or without the packages the tests say so and prove nothing. Everything
//! runs on loopback and on free ports.

#[allow(unused, reason = "the other tests of real processes use the rest")]
#[path = "../support/mod.rs"]
mod support;

#[path = "../support/workshop.rs"]
mod workshop;

mod alone;
mod certificates;
mod clients;
mod grape;
mod hostile;
mod mixed;
mod nodes;
mod speed;
mod suite;
