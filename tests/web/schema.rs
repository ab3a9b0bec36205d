//! The document and the node agree: schemathesis sends what the document allows, and more.

use std::fs;
use std::process::Command;

use crate::client::Client;
use crate::python::program;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// Requests for each operation and kind of test.
const EXAMPLES: &str = "15";

/// What no schema can say, such as a price that is no multiple of its market's tick, is 422.
const SETTINGS: &str = "[checks.positive_data_acceptance]\n\
    expected-statuses = ['2xx', '401', '403', '404', '409', '422', '503', '504']\n";

#[test]
fn the_api_answers_as_its_document_says_whatever_is_sent() {
    let Some(program) = program("schemathesis") else {
        return;
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
