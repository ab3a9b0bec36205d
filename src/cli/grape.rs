//! The options of `grape`: those of the program of the same name in Grenache, and some more.

use std::net::IpAddr;

use bitfitech_io::config::HostPort;
use clap::{Args, Parser, ValueEnum, value_parser};

/// Longest body of a request to the HTTP interface when no other is given (Grenache).
const PAYLOAD_BYTES_MAX: u32 = 8_192;

/// Age of announcements when no other is given, in milliseconds (Grenache).
const PEER_AGE_MS_MAX: u64 = 120_000;

/// Names and values remembered when no other number is given (Grenache).
const KEPT_MAX: u32 = 5_000;

/// Silence after which a node is asked for a sign of life, in milliseconds (Grenache).
const LIVENESS_MS: u64 = 300_000;

/// The name of the program of a Grape alone.
pub const PROGRAM: &str = "bitfitech-grape";

/// A Grape alone: DHT and HTTP interface, in place of Grenache's grape.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
pub(super) struct GrapeProgram {
    #[command(flatten)]
    options: GrapeOptions,
}

impl GrapeProgram {
    /// What it is to do.
    pub(super) fn command(self) -> GrapeCommand {
        self.options.command()
    }
}

/// The options of `grape` alone. Names and aliases are Grenache's,
/// whose program takes two dashes before a single letter too.
#[derive(Clone, Debug, Args)]
pub(super) struct GrapeOptions {
    /// UDP port of the DHT; 0: any free one
    #[arg(long, visible_alias = "dht_port", value_name = "PORT")]
    dp: u16,

    /// TCP port of the HTTP interface; 0: any free one [default: there is none]
    #[arg(long, visible_alias = "api_port", value_name = "PORT")]
    aph: Option<u16>,

    /// Grapes through which the DHT is entered, host:port separated by commas; may be empty
    #[arg(long, visible_alias = "bootstrap", value_name = "HOSTS", value_parser = parse_entrances)]
    bn: Entrances,

    /// Address of the HTTP interface, under which own announcements are kept too [default: all]
    #[arg(short = 'b', long, alias = "b", value_name = "HOST")]
    bind: Option<IpAddr>,

    /// Age of announcements, in milliseconds
    #[arg(long, visible_alias = "dht_peer_maxAge", value_name = "MS")]
    #[arg(default_value_t = PEER_AGE_MS_MAX)]
    #[arg(value_parser = value_parser!(u64).range(1..=AGE_MS_END))]
    dpa: u64,

    /// Longest body of a request, in bytes
    #[arg(long = "check_maxPayloadSize", value_name = "BYTES")]
    #[arg(default_value_t = PAYLOAD_BYTES_MAX)]
    check_max_payload_size: u32,

    /// Most names for which it is remembered who takes announcements
    #[arg(long = "dht_maxTables", value_name = "N")]
    #[arg(default_value_t = KEPT_MAX)]
    dht_max_tables: u32,

    /// Most values kept
    #[arg(long = "dht_maxValues", value_name = "N")]
    #[arg(default_value_t = KEPT_MAX)]
    dht_max_values: u32,

    /// Silence after which a node is asked for a sign of life, in milliseconds
    #[arg(long, visible_alias = "dht_nodeLiveness", value_name = "MS")]
    #[arg(default_value_t = LIVENESS_MS, value_parser = value_parser!(u64).range(1..=AGE_MS_END))]
    dnl: u64,

    /// Print events, one JSON object a line
    #[arg(long, value_name = "FORM", value_enum)]
    events: Option<Events>,

    /// Accepted and without effect, as in Grenache
    #[arg(long, visible_alias = "dht_concurrency", value_name = "N", hide = true)]
    dc: Option<u32>,

    /// Accepted and without effect, as in Grenache
    #[arg(long = "cache_maxAge", value_name = "MS", hide = true)]
    cache_max_age: Option<u64>,
}

/// Longest age or silence, in milliseconds: a year.
const AGE_MS_END: u64 = 366 * 24 * 3_600_000;

/// A list of entrances, as one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entrances(Vec<HostPort>);

fn parse_entrances(text: &str) -> Result<Entrances, String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    let parse = |part: &str| part.parse().map_err(|error| format!("`{part}` {error}"));
    parts.map(parse).collect::<Result<_, _>>().map(Entrances)
}

/// In which form events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Events {
    /// One JSON object a line
    Json,
}

/// What `grape` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrapeCommand {
    /// UDP port of the DHT.
    pub dht_port: u16,
    /// TCP port of the HTTP interface, if there is to be one.
    pub api_port: Option<u16>,
    /// Through whom the DHT is entered.
    pub bootstrap: Vec<HostPort>,
    /// Address of the HTTP interface, if not all.
    pub bind: Option<IpAddr>,
    /// Age of announcements, in milliseconds.
    pub peer_age_ms_max: u64,
    /// Longest body of a request.
    pub payload_bytes_max: usize,
    /// Most names for which it is remembered who takes announcements.
    pub tables_max: usize,
    /// Most values kept.
    pub values_max: usize,
    /// Silence after which a node is asked for a sign of life, in milliseconds.
    pub liveness_ms: u64,
    /// In which form events are printed, if at all.
    pub events: Option<Events>,
}

impl GrapeOptions {
    /// What they ask for.
    pub(super) fn command(self) -> GrapeCommand {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        GrapeCommand {
            dht_port: self.dp,
            api_port: self.aph,
            bootstrap: self.bn.0,
            bind: self.bind,
            peer_age_ms_max: self.dpa,
            payload_bytes_max: count(self.check_max_payload_size),
            tables_max: count(self.dht_max_tables),
            values_max: count(self.dht_max_values),
            liveness_ms: self.dnl,
            events: self.events,
        }
    }
}

impl GrapeCommand {
    /// The arguments with which the program of a Grape alone does the same.
    pub fn arguments(&self) -> Vec<String> {
        let entrances: Vec<String> = self.bootstrap.iter().map(HostPort::to_string).collect();
        let mut arguments = vec![
            format!("--dp={}", self.dht_port),
            format!("--bn={}", entrances.join(",")),
            format!("--dpa={}", self.peer_age_ms_max),
            format!("--check_maxPayloadSize={}", self.payload_bytes_max),
            format!("--dht_maxTables={}", self.tables_max),
            format!("--dht_maxValues={}", self.values_max),
            format!("--dnl={}", self.liveness_ms),
        ];
        arguments.extend(self.api_port.map(|port| format!("--aph={port}")));
        arguments.extend(self.bind.map(|host| format!("--bind={host}")));
        arguments.extend(self.events.map(|Events::Json| "--events=json".to_owned()));
        arguments
    }
}
