//! The options of `replay`: an order file to run, or one to make.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint, value_parser};

/// The options of `replay` alone. They are of two uses, which [`ReplayOptions::command`] tells
/// apart.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ReplayOptions {
    /// The order file to run: CSV with the header op,id,side,type,price,quantity
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// The configured market whose steps and limits hold, BASE/QUOTE [default: the first]
    #[arg(long, value_name = "PAIR")]
    pair: Option<String>,

    /// Make an order file with this mix of operations instead; needs --out
    #[arg(long, value_name = "MIX", value_enum, ignore_case = true)]
    generate: Option<Mix>,

    /// With --generate: how many operations are measured [default: 1000000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(..=OPS_MAX))]
    ops: Option<u64>,

    /// With --generate: equal seeds make equal files [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// With --generate: the file to write, replaced if it is there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// Most operations of a file that is made: some 4 GB of text, which still fits into memory when it
/// is run. A guess at what anybody wants.
const OPS_MAX: u64 = 100_000_000;

/// Operations of a file that is made when their number is not given: enough to measure, and done
/// in seconds.
const OPS_DEFAULT: u64 = 1_000_000;

/// Seed of a file that is made when none is given.
const SEED_DEFAULT: u64 = 1;

/// Which operations a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Mix {
    /// Add-heavy: 70 % passive orders, 25 % cancels, 5 % taking 1 to 5 orders
    A,
    /// Cross-heavy: 40 % taking, 40 % passive orders, 20 % cancels
    B,
    /// Deep: 1,000,000 orders on 100,000 levels first, then as A
    C,
}

/// What to do with an order file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayCommand {
    /// Run it.
    Run {
        /// The order file.
        file: PathBuf,
        /// The market that is named, or the first one.
        pair: Option<String>,
    },
    /// Make it.
    Generate {
        /// Of which operations.
        mix: Mix,
        /// How many of them.
        operations: u64,
        /// What decides every byte.
        seed: u64,
        /// Where it is written.
        file: PathBuf,
    },
}

impl ReplayOptions {
    /// What they ask for, or in one line what does not go together.
    pub(super) fn command(self) -> Result<ReplayCommand, String> {
        let (mix, file) = match (self.generate, self.file) {
            (Some(_), Some(_)) => {
                return Err(replay_usage("FILE and --generate exclude each other"));
            }
            (None, None) => return Err(replay_usage("an order file is missing")),
            (None, Some(file)) => {
                let strays = [
                    ("--ops", self.ops.is_some()),
                    ("--seed", self.seed.is_some()),
                    ("--out", self.out.is_some()),
                ];
                return match strays.iter().find(|(_, given)| *given) {
                    Some((stray, _)) => {
                        Err(format!("{stray} belongs to --generate: leave it out here"))
                    }
                    None => Ok(ReplayCommand::Run {
                        file,
                        pair: self.pair,
                    }),
                };
            }
            (Some(mix), None) => (mix, self.out),
        };
        if self.pair.is_some() {
            return Err("--pair belongs to running a file: leave it out here".to_owned());
        }
        Ok(ReplayCommand::Generate {
            mix,
            operations: self.ops.unwrap_or(OPS_DEFAULT),
            seed: self.seed.unwrap_or(SEED_DEFAULT),
            file: file.ok_or_else(|| replay_usage("--generate needs --out FILE"))?,
        })
    }
}

fn replay_usage(fault: &str) -> String {
    format!(
        "{fault}: give `replay FILE`, or `replay --generate A|B|C --out FILE`; \
         see bitfitech replay --help"
    )
}
