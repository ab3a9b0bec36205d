//! The adapters to the outside: disk and network, without actors.
//!
//! Nothing here decides anything about the exchange: bytes come in and go out, and every failure
//! has a type. The actors drive these parts; [`bitfitech_core`] gives the bytes their meaning.
//!
//! Read in this order: [`config`] and [`logging`], then [`data_dir`] and [`identity`], then [`tls`]
//! and [`transport`], then [`store`]; [`peer_file`] and [`mdns`] find peers, [`udp`] and
//! [`grape_client`] talk to Grapes, [`certificates`] let Grenache programs trade from elsewhere,
//! [`command_history`] stands by itself.

pub mod certificates;
pub mod command_history;
pub mod config;
pub mod data_dir;
pub mod entropy;
pub mod grape_client;
pub mod identity;
pub mod logging;
pub mod mdns;
pub mod peer_file;
pub mod store;
pub mod tls;
pub mod transport;
pub mod udp;
