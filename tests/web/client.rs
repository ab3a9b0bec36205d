//! A client that sends exactly what a test wants, one request a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::node::{Node, text};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The code of a problem with this status, which must say in words how to mend it.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(text(&problem, "detail").len() > 10, "{problem}");
        text(&problem, "code")
    }
}

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// A client of that node's API.
    pub fn of(node: &Node) -> Self {
        Self::at(&text(node.ready(), "api"))
    }

    /// A client of that address.
    pub fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Where it asks.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// It sends this header with every request; `host` replaces the right one.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, "")
    }

    /// Asks for a path that must be there.
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    /// Sends a body of JSON.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        let client = self.with("content-type", "application/json");
        client.request(method, path, &body.to_string())
    }

    /// Places an order that must be accepted, and returns the answer.
    pub fn place(&self, order: &Value) -> Value {
        let response = self.send("POST", "/api/v1/orders", order);
        assert_eq!(response.status, 201, "{order}: {response:?}");
        response.json()
    }

    /// Sends a request and reads the answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        self.exchange(&[head.as_bytes(), body.as_bytes()].concat())
    }

    /// Sends bytes as they are and reads the answer.
    pub fn exchange(&self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect(&self.address).expect("the API listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        // A server that has heard enough may close before everything is sent.
        let sent = stream.write_all(bytes);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let parts = answer.split_once("\r\n\r\n");
        let (head, body) = parts.unwrap_or_else(|| panic!("no answer: {sent:?}, {read:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Response {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}
