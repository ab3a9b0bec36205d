//! The bitfitech node.

use std::process::ExitCode;

fn main() -> ExitCode {
    bitfitech::run_bitfitech(std::env::args_os())
}
