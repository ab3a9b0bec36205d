//! A real Chromium without a screen, driven line by line through `programs/browser.js`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::workshop::Workshop;

/// Names under which Chromium is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A running browser.
pub struct Browser {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts a browser, or says why there is none.
    pub fn start() -> Option<Self> {
        let Some(program) = chromium() else {
            eprintln!("skipped: there is no Chromium (apt-get install chromium)");
            return None;
        };
        let workshop = Workshop::open("web")?;
        let mut child = workshop
            .node("browser.js")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Some(Self {
            child,
            stdin,
            stdout,
        })
    }

    /// Does something in the browser and returns what it says.
    pub fn act(&mut self, action: Value) -> Value {
        let stdin = self.stdin.as_mut().expect("it is open");
        writeln!(stdin, "{action}").expect("the browser's program reads");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(answer["ok"], true, "{action}: {answer}");
        answer["value"].clone()
    }

    /// Opens an address in a tab of this name.
    pub fn open(&mut self, page: &str, url: &str) {
        self.act(json!({"action": "open", "page": page, "url": url}));
    }

    /// Clicks on the first element that the selector finds.
    pub fn click(&mut self, page: &str, selector: &str) {
        self.act(json!({"action": "click", "page": page, "selector": selector}));
    }

    /// Types into a field.
    pub fn fill(&mut self, page: &str, selector: &str, text: &str) {
        self.act(json!({"action": "fill", "page": page, "selector": selector, "text": text}));
    }

    /// Waits until an element that the selector finds has this text.
    pub fn see(&mut self, page: &str, selector: &str, text: &str) {
        self.act(json!({"action": "see", "page": page, "selector": selector, "text": text}));
    }

    /// Waits until no element that the selector finds has this text.
    pub fn miss(&mut self, page: &str, selector: &str, text: &str) {
        self.act(json!({"action": "miss", "page": page, "selector": selector, "text": text}));
    }

    /// What an expression is in the page.
    pub fn evaluate(&mut self, page: &str, script: &str) -> Value {
        self.act(json!({"action": "evaluate", "page": page, "script": script}))
    }

    /// The accessibility rules that a page breaks.
    pub fn broken_rules(&mut self, page: &str) -> Value {
        self.act(json!({"action": "axe", "page": page}))
    }

    /// What the console has complained of since it was last asked.
    pub fn complaints(&mut self) -> Vec<String> {
        let complaints = self.act(json!({"action": "errors"}));
        let complaints = complaints.as_array().cloned().unwrap_or_default();
        let texts = complaints.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The program ends with its input, and closes the browser.
        self.stdin = None;
        self.child.wait().expect("a child of ours");
    }
}

/// Where Chromium is.
fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    let programs = folders
        .iter()
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)));
    programs.into_iter().find(|path| Path::is_file(path))
}
