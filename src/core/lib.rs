//! The whole exchange as values in, values out.
//!
//! Nothing here opens a socket, reads a clock, spawns a thread or draws a random number: what
//! depends on those is passed in. The crate is `no_std`, so the compiler itself keeps them out.
//! The same state machines run under the actors, in the simulator and in the fuzzers.
//!
//! Read in this order: [`types`], [`op`], [`vector_clock`], [`order_log`], [`matching`],
//! [`membership`], [`confirmation`], [`replica`], [`settlement`], [`exchange`], then the network
//! side: [`wire`], [`handshake`], [`gossip`], [`sync`], [`peer_exchange`], all of these composed:
//! [`node`], what keeps a node up: [`breaker`], [`rate_limit`], [`standing`], [`supervision`], and
//! what finds others by Grenache: [`bencode`], [`krpc`], [`dht`].
#![no_std]

extern crate alloc;

pub mod address;
pub mod address_book;
pub mod bencode;
pub mod board;
pub mod breaker;
mod chunks;
pub mod confirmation;
pub mod dag;
pub mod delivery;
pub mod dht;
mod effect_log;
pub mod exchange;
pub mod few;
pub mod genesis;
pub mod gossip;
pub mod handshake;
pub mod head_trie;
pub mod hex;
mod history;
pub mod krpc;
mod leases;
mod lifetimes;
pub mod market;
pub mod market_log;
mod market_terms;
pub mod matching;
pub mod median_clock;
pub mod membership;
pub mod node;
pub mod op;
pub mod order_log;
mod order_number;
mod order_table;
mod outputs;
mod packed;
mod packed_map;
pub mod peer_exchange;
mod prefetch;
pub mod random;
pub mod rate_limit;
pub mod replica;
pub mod seen;
mod set_hash;
pub mod settlement;
pub mod signature;
pub mod standing;
pub mod supervision;
pub mod sync;
pub mod tight;
pub mod types;
pub mod vector_clock;
pub mod view;
pub mod wire;
mod word_table;
