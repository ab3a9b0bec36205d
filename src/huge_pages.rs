//! Huge pages for a program that needs gigabytes.
//!
//! A large simulation waits for memory, and with pages of 4 KiB the processor waits for the
//! addresses of pages too: with pages of 2 MiB it is over in less time (`docs/PERFORMANCE.md`). A
//! node at rest would need nearly twice its memory, so this is not for all that the program does.
//! The allocator decides it once, before `main`, by a variable of the environment; so the program
//! sets that and starts itself anew.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What jemalloc reads.
const VARIABLE: &str = "_RJEM_MALLOC_CONF";

/// What it shall do (jemalloc(3), "TUNING"): ask for huge pages, also for what it notes itself, and
/// keep what is free, for to give a part of a huge page back is to break it up.
const HUGE_PAGES: &str = "thp:always,metadata_thp:always,dirty_decay_ms:-1";

/// Starts the program anew with huge pages, unless the user has told the allocator what to do, or
/// this was done before. If that cannot be, everything goes on as it is, and takes longer.
pub fn start_anew() {
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let mut again = Command::new(program);
    again.args(env::args_os().skip(1)).env(VARIABLE, HUGE_PAGES);
    // It returns only if it failed.
    drop(again.exec());
}
