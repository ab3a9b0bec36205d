//! The program `bitfitech`: a node, and all else that the command line offers.
//!
//! What it does is in the library beside it, which the program of a Grape alone uses too.

use std::process::ExitCode;

fn main() -> ExitCode {
    bitfitech::run_bitfitech(std::env::args_os())
}
