//! Programs of others from PyPI, installed once into the folder of build output.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed, with its versions.
const PACKAGES: [&str; 2] = ["schemathesis==4.32.5", "prometheus-client==0.26.0"];

/// A program of the environment that has these packages; `None`, and why on the standard error
/// stream, when they cannot be had.
#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
pub fn program(name: &str) -> Option<PathBuf> {
    match environment() {
        Ok(folder) => Some(folder.join("bin").join(name)),
        Err(reason) => {
            eprintln!("skipped: {PACKAGES:?} cannot be installed: {reason}");
            None
        }
    }
}

fn environment() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // Tests are processes of their own: one installs, the others wait.
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let (note, environment) = (folder.join("installed"), folder.join("venv"));
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(environment);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "venv"])
        .current_dir(&folder))?;
    let pip = environment.join("bin/pip");
    run(Command::new(pip)
        .args(["install", "--quiet"])
        .args(PACKAGES))?;
    fs::write(&note, wanted).map_err(|error| error.to_string())?;
    Ok(environment)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {errors}")),
    }
}
