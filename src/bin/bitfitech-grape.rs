//! A Grape alone, in place of Grenache's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    bitfitech::run_grape(std::env::args_os())
}
