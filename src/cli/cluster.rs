//! The options of `cluster`, and how those of every command reach the processes that it starts.
//!
//! Each node of a cluster is this same program once more. What the user says about configuration
//! and output is meant for all of them; where each keeps its data is not his to say.

use std::ffi::OsString;

use clap::{Args, value_parser};

use super::{Options, Output};

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

impl Options {
    /// The options as arguments for another process of this program, without the data directory.
    pub fn passed_on(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut pass = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        if let Some(config) = &self.config {
            pass("--config", config.into());
        }
        if self.output == Some(Output::Json) {
            pass("--output", "json".into());
        }
        if let Some(level) = &self.log_level {
            pass("--log-level", level.into());
        }
        for assignment in &self.assignments {
            pass("-D", assignment.into());
        }
        arguments
    }
}
