//! A connection to an HTTP service that stays open, for many requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// An open connection.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// One to a service that listens there.
    pub fn to(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("a TCP stream");
        Self(BufReader::new(stream))
    }

    /// Sends requests as they are.
    pub fn send(&mut self, requests: &str) {
        let stream = self.0.get_mut();
        stream.write_all(requests.as_bytes()).expect("it reads");
    }

    /// Status and body of the next answer.
    pub fn answer(&mut self) -> (u16, Vec<u8>) {
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("it answers");
            line.make_ascii_lowercase();
            let words = line.trim_end();
            if words.is_empty() {
                break;
            }
            if let Some(rest) = words.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|it| it.parse().ok());
            }
            if let Some(value) = words.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("it answers");
        (status.expect("a status"), body)
    }
}
