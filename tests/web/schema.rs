//! The document and the node agree: schemathesis sends what the document allows, and more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::Client;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// The program that is installed, with its version.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Requests for each operation and kind of test.
const EXAMPLES: &str = "15";

/// What no schema can say, such as a price that is no multiple of its market's tick, is 422.
const SETTINGS: &str = "[checks.positive_data_acceptance]\n\
    expected-statuses = ['2xx', '401', '403', '404', '409', '422', '503', '504']\n";

/// The installed program, or why there is none.
fn schemathesis() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let (note, program) = (
        folder.join("installed"),
        folder.join("venv/bin/schemathesis"),
    );
    if fs::read_to_string(&note).is_ok_and(|installed| installed == SCHEMATHESIS) {
        return Ok(program);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "venv"])
        .current_dir(&folder))?;
    let pip = folder.join("venv/bin/pip");
    run(Command::new(pip).args(["install", "--quiet", SCHEMATHESIS]))?;
    fs::write(&note, SCHEMATHESIS).map_err(|error| error.to_string())?;
    Ok(program)
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

#[test]
fn the_api_answers_as_its_document_says_whatever_is_sent() {
    let program = match schemathesis() {
        Ok(program) => program,
        Err(reason) => {
            eprintln!("skipped: schemathesis cannot be installed: {reason}");
            return;
        }
    };
    let node = Node::start(Plan::named("node").set("limits.enabled", "false"));
    let client = Client::of(&node);
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("schemathesis.toml"), SETTINGS).expect("its settings");
    let output = Command::new(program)
        .arg("run")
        .arg(format!("http://{}/openapi.json", client.address()))
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES, "--seed", "1", "--no-color"])
        .args(["--suppress-health-check", "all"])
        // A WebSocket is no exchange of request and answer.
        .args(["--exclude-path", "/api/v1/stream"])
        .current_dir(folder.path())
        .output()
        .expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(client.json("/health")["restarts"] == 0, "no actor fell");
}
