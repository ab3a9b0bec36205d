//! The command line: what `bitfitech` understands, and how it teaches that.
//!
//! The common options may stand before or after the subcommand, so that `bitfitech --data-dir a
//! run` and `bitfitech run --data-dir a` are the same. Values given twice are merged: the one
//! behind the subcommand wins, and all `-D` count. (The global arguments of `clap` would lose the
//! `-D` that stand before the subcommand, so both places have arguments of their own.)

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use bitfitech_io::config::{DedicatedOption, Sources, variables_help};

mod cluster;
mod fault;
mod grape;
mod load;
mod replay;
mod sim;

use cluster::ClusterOptions;
use fault::one_line;
pub use grape::{GrapeCommand, PROGRAM as GRAPE_PROGRAM};
use grape::{GrapeOptions, GrapeProgram};
pub use load::LoadOptions;
use replay::ReplayOptions;
pub use replay::{Mix, ReplayCommand};
use sim::SimOptions;
pub use sim::{SimCommand, SimSettings};

/// What stands below the options in `bitfitech --help`, before the environment variables.
const EXAMPLES: &str = "\
Examples:
  bitfitech                                    start a node with ./config.toml, or the defaults
  bitfitech --data-dir a -D p2p.port=3001      a first node on port 3001
  bitfitech --data-dir b -D p2p.port=3002 -D discovery.bootstrap_peers=127.0.0.1:3001
                                               a second one that dials the first
  echo 'buy 0.5 @ 30000' | bitfitech --output json --exit-on-eof
                                               drive a node from a script
  bitfitech cluster                            three nodes, one terminal, one page
  bitfitech config show                        every setting and where it comes from
  bitfitech config check --config other.toml   check a file without starting anything
  bitfitech keys show                          the public key by which others know this node
  bitfitech verify --data-dir a                check all signatures and chains of a stopped node
  bitfitech replay --generate A --out orders.csv
  bitfitech replay orders.csv                  run an order file through the matching engine
  bitfitech grape --dp 20001 --aph 30001 --bn 127.0.0.1:20002
                                               a Grape of its own for Grenache programs
  bitfitech sim --scenario partition --nodes 200
                                               a whole network in this process, with faults
  bitfitech load --nodes 10 --rate 1000        real nodes on this machine under load

Exit codes:
  0  fine
  1  failure at run time
  2  wrong usage or configuration (each fault in one line: where, what, how to mend)

Inside a node `help` explains every command. At a terminal Tab completes, the arrow keys bring
earlier commands back, and Ctrl-D or Ctrl-C on an empty line ends the node.

Precedence of settings: command line, environment, configuration file, built-in default.
Lists given by -D or the environment are comma-separated; empty text is the empty list.
";

/// What stands above the list of well-known variables.
const VARIABLES_HEAD: &str = "
Environment: every key SECTION.KEY is also BITFITECH__SECTION__KEY, for example
BITFITECH__P2P__PORT. Well-known names, their keys and defaults:
";

/// A peer-to-peer exchange without a centre: every node keeps the same book.
#[derive(Debug, Parser)]
#[command(name = "bitfitech", version, after_long_help = epilogue())]
#[command(arg_required_else_help = false, infer_subcommands = false)]
struct CommandLine {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    run: RunOptions,

    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// The options that every subcommand takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// Configuration file [default: ./config.toml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// Directory of key, store, logs and history, the same as -D data_dir=DIR [default: data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,

    /// Form of everything on the standard output [default: text]
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<Output>,

    /// What is logged, the same as -D log.level=LEVEL [default: info]
    #[arg(long, value_name = "LEVEL")]
    #[arg(value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,

    /// Set a configuration key, for example -D p2p.port=3001; may be repeated
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    assignments: Vec<String>,
}

/// The options of `run` alone.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RunOptions {
    /// End the node at the end of its input, also when that is a pipe or /dev/null
    #[arg(long)]
    exit_on_eof: bool,
}

/// Form of what is written to the standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Start a node; this is the default
    Run {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        run: RunOptions,
    },
    /// Show or make the key that is this node's identity
    #[command(arg_required_else_help = false)]
    Keys {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        action: KeysSubcommands,
    },
    /// Show or check the configuration
    #[command(arg_required_else_help = false)]
    Config {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        action: ConfigSubcommands,
    },
    /// Run an order file through the matching engine, or make one
    #[command(arg_required_else_help = false)]
    Replay {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        replay: ReplayOptions,
    },
    /// Run a whole network in this process, in virtual time and with faults
    Sim {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        sim: SimOptions,
    },
    /// Start real nodes on this machine, drive them, and report latency, throughput and cost
    Load {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        load: LoadOptions,
    },
    /// Start a small network on this machine, with one terminal and one page
    Cluster {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        cluster: ClusterOptions,
    },
    /// Start a Grape of its own: DHT and HTTP interface, in place of Grenache's grape
    Grape {
        #[command(flatten)]
        grape: GrapeOptions,
    },
    /// Check every signature and chain of a store, replay it and print the digests
    Verify {
        #[command(flatten)]
        options: Options,
    },
    /// Print the completions for a shell, for example: source <(bitfitech completions bash)
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum KeysSubcommands {
    /// Print the public key of this node
    Show(Options),
    /// Make the key in the data directory; one that is there is never replaced
    New(Options),
}

#[derive(Debug, Subcommand)]
enum ConfigSubcommands {
    /// Print every setting in force, each with its origin
    Show(Options),
    /// Print `ok`, or every fault in one line
    Check(Options),
}

/// What the user asks for.
#[derive(Debug)]
pub struct Invocation {
    /// The options that every command takes.
    pub options: Options,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start a node.
    Run(AtEndOfInput),
    /// Print the public key.
    KeysShow,
    /// Make the key.
    KeysNew,
    /// Print the configuration in force.
    ConfigShow,
    /// Check the configuration.
    ConfigCheck,
    /// Run an order file, or make one.
    Replay(ReplayCommand),
    /// Run the simulator.
    Sim(SimCommand),
    /// Start nodes and drive them.
    Load(LoadOptions),
    /// Start so many nodes.
    Cluster(usize),
    /// Run a Grape.
    Grape(Box<GrapeCommand>),
    /// Audit a store.
    Verify,
    /// Print the completions for a shell.
    Completions(clap_complete::Shell),
}

/// What a node does when its input, not being a terminal, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEndOfInput {
    /// It goes on without commands, as a service.
    GoOn,
    /// It shuts down in order.
    Exit,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Stop {
    /// The user asked for help or the version: this is it.
    Answer(clap::Error),
    /// The usage is wrong: what, and how to mend it, in one line.
    Usage(String),
}

impl Options {
    /// Form of what is written to the standard output.
    pub fn output(&self) -> Output {
        self.output.unwrap_or_default()
    }

    /// Where the configuration comes from, the environment of this process included.
    pub fn sources(&self) -> Sources {
        let option = |name, key, value: &Option<String>| {
            let value = value.clone()?;
            Some(DedicatedOption { name, key, value })
        };
        let dedicated = [
            option("--data-dir", "data_dir", &self.data_dir),
            option("--log-level", "log.level", &self.log_level),
        ];
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            assignments: self.assignments.clone(),
            options: dedicated.into_iter().flatten().collect(),
        }
    }

    /// Both, where `inner` stands behind the subcommand.
    fn merge(mut self, inner: Self) -> Self {
        self.assignments.extend(inner.assignments);
        Self {
            config: inner.config.or(self.config),
            data_dir: inner.data_dir.or(self.data_dir),
            output: inner.output.or(self.output),
            log_level: inner.log_level.or(self.log_level),
            assignments: self.assignments,
        }
    }
}

/// Understands the arguments of the process, the first of which is its name.
///
/// # Errors
/// When there is nothing to do: help or version were asked for, or the usage is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Stop> {
    let line = CommandLine::try_parse_from(arguments).map_err(|error| stop(error, "bitfitech"))?;
    let outer = line.options;
    let exit_on_eof = line.run.exit_on_eof;
    let (options, command) = match line.command {
        None => (outer, run_command(exit_on_eof)),
        Some(Subcommands::Run { options, run }) => {
            let command = run_command(exit_on_eof || run.exit_on_eof);
            (outer.merge(options), command)
        }
        Some(_) if exit_on_eof => return Err(Stop::Usage(misplaced_exit_on_eof())),
        Some(Subcommands::Keys { options, action }) => {
            let (inner, command) = match action {
                KeysSubcommands::Show(inner) => (inner, Command::KeysShow),
                KeysSubcommands::New(inner) => (inner, Command::KeysNew),
            };
            (outer.merge(options).merge(inner), command)
        }
        Some(Subcommands::Config { options, action }) => {
            let (inner, command) = match action {
                ConfigSubcommands::Show(inner) => (inner, Command::ConfigShow),
                ConfigSubcommands::Check(inner) => (inner, Command::ConfigCheck),
            };
            (outer.merge(options).merge(inner), command)
        }
        Some(Subcommands::Replay { options, replay }) => {
            let command = replay.command().map_err(Stop::Usage)?;
            (outer.merge(options), Command::Replay(command))
        }
        Some(Subcommands::Sim { options, sim }) => {
            (outer.merge(options), Command::Sim(sim.command()))
        }
        Some(Subcommands::Load { options, load }) => (outer.merge(options), Command::Load(load)),
        Some(Subcommands::Cluster { options, cluster }) => {
            (outer.merge(options), Command::Cluster(cluster.nodes()))
        }
        Some(Subcommands::Grape { grape }) => (outer, Command::Grape(Box::new(grape.command()))),
        Some(Subcommands::Verify { options }) => (outer.merge(options), Command::Verify),
        Some(Subcommands::Completions { shell }) => (outer, Command::Completions(shell)),
    };
    Ok(Invocation { options, command })
}

/// Understands the arguments of the program of a Grape alone.
///
/// # Errors
/// As for [`parse`].
pub fn parse_grape(arguments: impl IntoIterator<Item = OsString>) -> Result<GrapeCommand, Stop> {
    let program = GrapeProgram::try_parse_from(arguments);
    let program = program.map_err(|error| stop(error, GRAPE_PROGRAM))?;
    Ok(program.command())
}

/// Why the parser found nothing to do.
fn stop(error: clap::Error, program: &str) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Answer(error),
        _ => Stop::Usage(one_line(&error, program)),
    }
}

/// The completions of all of this for a shell.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "bitfitech", &mut script);
    script
}

fn run_command(exit_on_eof: bool) -> Command {
    Command::Run(if exit_on_eof {
        AtEndOfInput::Exit
    } else {
        AtEndOfInput::GoOn
    })
}

fn misplaced_exit_on_eof() -> String {
    "--exit-on-eof belongs to run alone: leave it out here".to_owned()
}

fn epilogue() -> String {
    format!("{EXAMPLES}{VARIABLES_HEAD}{}", variables_help())
}

#[cfg(test)]
mod tests;
