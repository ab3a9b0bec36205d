//! Commands with an empty environment: no setting of this machine or of the caller gets in.

use std::env;
use std::process::Command;

/// Where a build that counts its coverage writes the counts: else it writes into the working
/// folder, which tests want empty.
const COUNTS: &str = "LLVM_PROFILE_FILE";

/// Takes everything out of a command's environment.
pub fn bare(command: &mut Command) -> &mut Command {
    let counts = env::vars_os().filter(|(name, _)| name == COUNTS);
    command.env_clear().envs(counts)
}
