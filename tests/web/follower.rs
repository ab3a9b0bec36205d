//! A client of the stream: a WebSocket as RFC 6455 has it, with the little that a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::support::waiting::PATIENCE;

/// What came over the stream.
#[derive(Debug)]
pub enum Frame {
    /// A message.
    Message(Value),
    /// The end, with a reason.
    Closed(String),
}

/// A client that follows a node.
pub struct Follower {
    reader: BufReader<TcpStream>,
}

impl Follower {
    /// Follows a node; `query` stands behind the path.
    pub fn of(client: &Client, query: &str) -> Self {
        let stream = TcpStream::connect(client.address()).expect("the API listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "GET /api/v1/stream{query} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\n\
             connection: Upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            client.address()
        );
        (&stream).write_all(head.as_bytes()).expect("it is sent");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        assert!(line.starts_with("HTTP/1.1 101"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("headers");
        }
        Self { reader }
    }

    /// Sends bytes as they are, as far as the node takes them.
    pub fn send(&mut self, bytes: &[u8]) {
        // A node that has heard enough may have closed.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    /// The next message or the end; pings are answered.
    pub fn next(&mut self) -> Frame {
        loop {
            let [first, second] = self.bytes();
            assert_eq!(first & 0x80, 0x80, "messages come whole");
            let length = match second {
                126 => u64::from(u16::from_be_bytes(self.bytes())),
                127 => u64::from_be_bytes(self.bytes()),
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).expect("a short message")];
            self.reader.read_exact(&mut payload).expect("a message");
            match first & 0x0f {
                1 => {
                    let value = serde_json::from_slice(&payload);
                    return Frame::Message(value.expect("messages are JSON"));
                }
                8 => {
                    let reason = payload.get(2..).unwrap_or_default();
                    return Frame::Closed(String::from_utf8_lossy(reason).into_owned());
                }
                9 => {
                    let stream = self.reader.get_mut();
                    // A pong without content, masked with zeros.
                    let sent = stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]);
                    sent.expect("a pong is sent");
                }
                other => panic!("a frame of kind {other}"),
            }
        }
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.reader
            .read_exact(&mut bytes)
            .expect("the stream goes on");
        bytes
    }

    /// The next message.
    pub fn message(&mut self) -> Value {
        match self.next() {
            Frame::Message(value) => value,
            Frame::Closed(reason) => panic!("the stream ended: {reason}"),
        }
    }

    /// Reads until a message fits, and returns all up to it.
    pub fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(1);
        let mut seen = Vec::new();
        loop {
            let message = self.message();
            let found = fits(&message);
            seen.push(message);
            if found {
                return seen;
            }
            assert!(Instant::now() < deadline, "waited until {what}: {seen:?}");
        }
    }
}

/// The numbers of those messages that are events.
pub fn numbers(messages: &[Value]) -> Vec<u64> {
    let numbers = messages.iter().map(|message| message["number"].as_u64());
    numbers.flatten().collect()
}
