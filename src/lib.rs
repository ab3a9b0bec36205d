//! The programs: composition root.
//!
//! Understands the command line, and starts what it asks for. There is no logic here. There are two
//! programs, `bitfitech` and a Grape alone, and each is a call of what is here.

mod cli;
mod cluster_command;
mod commands;
mod exit;
mod grape_command;
mod grenache;
mod huge_pages;
mod load_command;
mod replay_command;
mod run;
mod sim_command;
mod verify_command;
mod web_ports;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::Command;
use tikv_jemallocator::Jemalloc;

/// Nodes allocate in one thread what they free in another, for which the system's allocator takes
/// locks.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The program `bitfitech`.
pub fn run_bitfitech(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let invocation = match cli::parse(arguments) {
        Ok(invocation) => invocation,
        Err(stop) => return exit::finish_early(stop),
    };
    let options = &invocation.options;
    match invocation.command {
        Command::Run(at_end) => exit::finish(run::run(options, at_end)),
        Command::KeysShow => exit::finish(commands::keys_show(options)),
        Command::KeysNew => exit::finish(commands::keys_new(options)),
        Command::ConfigShow => exit::finish(commands::config_show(options)),
        Command::ConfigCheck => exit::finish(commands::config_check(options)),
        Command::Replay(command) => exit::finish(replay_command::run(options, command)),
        Command::Sim(command) => exit::finish(sim_command::run(options, command)),
        Command::Load(load) => exit::finish(load_command::run(options, load)),
        Command::Cluster(nodes) => exit::finish(cluster_command::run(options, nodes)),
        Command::Grape(command) => exit::finish(grape_command::hand_over(&command)),
        Command::Verify => exit::finish(verify_command::run(options)),
        Command::Completions(shell) => exit::write_out(&cli::completions(shell)),
    }
}

/// The program `bitfitech-grape`: a Grape, and nothing else.
pub fn run_grape(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match cli::parse_grape(arguments) {
        Ok(command) => exit::finish(grape_command::run(&command)),
        Err(stop) => exit::finish_early(stop),
    }
}
