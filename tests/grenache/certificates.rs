//! The RPC service over TLS with certificates of clients, as Grenache's own services have it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::grape::{Grape, address, eventually};
use crate::nodes::{SERVICE, order, plan, trade};
use crate::support::node::{Node, port_of, text};
use crate::support::plan::Plan;
use crate::support::program::{Input, run_to_end};
use crate::support::waiting::PATIENCE;
use crate::workshop::Workshop;

/// A folder of certificates, made by `openssl`.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Two authorities that know nothing of each other, and what they certify. `None` without
    /// `openssl`; that is printed.
    #[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
    fn make() -> Option<Self> {
        if let Err(error) = Command::new("openssl").arg("version").output() {
            eprintln!("skipped: openssl cannot be run ({error}), so there are no certificates");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Self { folder };
        made.authority("ours");
        made.authority("foreign");
        made.certify("ours", "service");
        made.certify("ours", "client");
        made.certify("foreign", "stranger");
        Some(made)
    }

    /// A file of the folder.
    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path());
        let output = command.args(line.split(' ')).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {errors}");
    }

    fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    fn certify(&self, authority: &str, name: &str) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.request"
        ));
        let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
        fs::write(self.path("extensions"), extensions).expect("a file of extensions");
        self.openssl(&format!(
            "x509 -req -in {name}.request -CA {authority}.pem -CAkey {authority}.key \
             -CAcreateserial -days 2 -extfile extensions -out {name}.pem"
        ));
    }

    /// What a client of this name is given, in JSON.
    fn of_client(&self, name: &str) -> String {
        json!({
            "key": self.path(&format!("{name}.key")),
            "cert": self.path(&format!("{name}.pem")),
            "ca": self.path("ours.pem"),
        })
        .to_string()
    }

    /// A node whose service shows its certificate.
    fn secures(&self, plan: Plan) -> Plan {
        let file = |name: &str| self.path(name).display().to_string();
        plan.set("grape.rpc_certificate_path", &file("service.pem"))
            .set("grape.rpc_key_path", &file("service.key"))
            .set("grape.rpc_ca_path", &file("ours.pem"))
    }
}

/// All that a service says to whoever speaks HTTP without TLS.
fn answer_in_the_clear(service: &str) -> String {
    let mut stream = TcpStream::connect(service).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = "POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 2\r\n\r\n[]";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // A connection that is cut says nothing more.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_client_with_a_certificate_trades_and_no_other_one() {
    let (Some(workshop), Some(certificates)) = (Workshop::open("grenache"), Certificates::make())
    else {
        return;
    };
    let node = certificates.secures(plan("secured").set("grape.rpc_host", "0.0.0.0"));
    let mut node = Node::start(node);
    let entrance = port_of(&text(node.ready(), "grape_dht"));
    let service = address(port_of(&text(node.ready(), "grape_rpc")));
    // Others find it: it is not on loopback alone.
    let elsewhere = Grape::ours_aged(&[entrance], 60_000);
    eventually("the service is announced", || {
        elsewhere.lookup(SERVICE) == json!([service])
    });
    let payloads = json!([order("buy", "100.5", "2"), {"action": "digest"}]).to_string();
    let ask = |client: &str, packing: &str| {
        let files = certificates.of_client(client);
        let url = elsewhere.url();
        trade(&workshop, &[&url, SERVICE, &payloads, packing, &files])
    };
    let refused = ask("stranger", "none");
    for answer in &refused {
        let error = text(answer, "error");
        assert!(error.starts_with("ERR_REQUEST_GENERIC"), "{error}");
    }
    let output = workshop.node("uncertified.js").arg(&service).output();
    let output = output.expect("node runs");
    assert_eq!(output.stdout, b"refused\n");
    assert!(!answer_in_the_clear(&service).contains("HTTP/1.1 2"));
    let orders = node.ok("orders");
    assert_eq!(orders["orders"], json!([]), "nobody has traded yet");
    let placed = ask("client", "gzip");
    assert_eq!(placed[0]["status"], "open", "{placed:?}");
    assert_eq!(placed[1]["set"], node.ok("digest")["set"]);
}

/// What the program says of this plan, which must be wrong.
fn refusal(plan: &Plan) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run_to_end(plan.command(folder.path()), "", Input::StaysOpen);
    let errors = finished.stderr;
    assert_eq!(finished.code, Some(2), "{errors}");
    assert_eq!(errors.trim().lines().count(), 1, "{errors}");
    errors
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let file = |name: &str| certificates.path(name).display().to_string();
    fs::write(certificates.path("empty"), "").expect("a file");
    for (setting, name, words) in [
        ("grape.rpc_certificate_path", "nowhere", "No such file"),
        ("grape.rpc_certificate_path", "empty", "nothing of the kind"),
        ("grape.rpc_certificate_path", "client.pem", "cannot be used"),
        ("grape.rpc_key_path", "service.pem", "nothing of the kind"),
        ("grape.rpc_ca_path", "empty", "nothing of the kind"),
        ("grape.rpc_ca_path", "ours.key", "nothing of the kind"),
    ] {
        let plan = certificates
            .secures(plan("wrong"))
            .set(setting, &file(name));
        let error = refusal(&plan);
        let named = error.starts_with(&format!("error: {setting}: {}", file(name)));
        assert!(named && error.contains(words), "{name}: {error}");
    }
}

#[test]
fn a_service_that_others_reach_is_not_started_without_certificates() {
    let open = plan("open").set("grape.rpc_host", "0.0.0.0");
    let error = refusal(&open);
    assert!(error.contains("set all three"), "{error}");
    let loopback = Node::start(plan("alone").set("grape.rpc_host", "127.0.0.2"));
    let service = text(loopback.ready(), "grape_rpc");
    assert!(service.starts_with("127.0.0.2:"), "{service}");
    let answer = answer_in_the_clear(&service);
    assert!(answer.contains("BAD_REQUEST"), "{answer}");
}
