//! Unmodified clients of Grenache, which know nothing of us.

use serde_json::{Value, json};

use crate::grape::{Grape, address};
use crate::workshop::Workshop;

#[test]
fn link_and_rpc_clients_use_our_grape() {
    let Some(workshop) = Workshop::open("grenache") else {
        return;
    };
    let mut first = Grape::ours(&[]);
    let mut second = Grape::ours(&[first.dht_port]);
    first.wait_for("node");
    second.wait_for("ready");
    let output = workshop
        .node("clients.js")
        .arg(second.url())
        .output()
        .expect("node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let results: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    assert_eq!(results["found"], json!([address(1_337)]));
    assert_eq!(results["hash"], "6d33adc2b6b2c14c3036feefb7fedbca1a880527");
    assert_eq!(results["value"], "hello world");
    assert_eq!(results["missing"], "ERR_GRAPE_LOOKUP_EMPTY");
    assert_eq!(results["reply"], json!(["service", {"greeting": "hello"}]));
    assert_eq!(first.lookup("interoperation"), json!([address(1_337)]));
}
