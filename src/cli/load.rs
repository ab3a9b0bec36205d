//! The options of `load`: how many real nodes, how many orders a second, for how long, and how the
//! report is written.

use clap::{Args, value_parser};

use super::sim::{parse_duration_ms, parse_within};

/// Most nodes on one machine. A guess: each is a process with some 15 MiB.
const NODES_MAX: i64 = 64;

/// Most orders a second. Beyond it the driver itself is what is measured.
const RATE_MAX: f64 = 20_000.0;

/// How many real nodes are driven, how hard, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct LoadOptions {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = value_parser!(u32).range(2..=NODES_MAX))]
    pub nodes: u32,

    /// Orders a second, of all nodes together
    #[arg(long, value_name = "OPS", default_value_t = 1_000.0, value_parser = parse_rate)]
    pub rate: f64,

    /// How long orders are placed: 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration_ms)]
    pub duration: u64,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    parse_within(text, 1.0, RATE_MAX)
}
