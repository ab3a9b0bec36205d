//! The options of `cluster`.

use clap::{Args, value_parser};

/// Most nodes of a cluster: as many as a page and a terminal can show. A guess.
const NODES_MAX: i64 = 16;

/// The options of `cluster` alone.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ClusterOptions {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = value_parser!(u8).range(1..=NODES_MAX))]
    nodes: u8,
}

impl ClusterOptions {
    /// How many nodes are wanted.
    pub(super) fn nodes(self) -> usize {
        usize::from(self.nodes)
    }
}
