//! The program `bitfitech-grape`: a Grape alone, in place of Grenache's program. The system keeps
//! less of it in memory than of the program that can do everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    bitfitech::run_grape(std::env::args_os())
}
