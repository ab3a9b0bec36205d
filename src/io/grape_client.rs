//! A client of other Grapes: one request to their HTTP interface.
//!
//! It blocks its thread, for a limited time. `ureq` without its default features is the HTTP: it
//! is small, needs no runtime, and follows no redirects here, for a Grape sends none.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for an answer: a Grape that looks something up takes up to 2.5 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read: a hundred addresses have a tenth of it.
const ANSWER_BYTES_MAX: u64 = 64 * 1_024;

/// Why a Grape gave no answer.
#[derive(Debug)]
pub enum GrapeClientError {
    /// It cannot be reached, or does not speak HTTP.
    Http(Box<ureq::Error>),
    /// Its answer is no JSON.
    Malformed(serde_json::Error),
    /// The node is shutting down.
    Interrupted,
}

impl fmt::Display for GrapeClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => write!(out, "{error}"),
            Self::Malformed(error) => write!(out, "its answer is no JSON: {error}"),
            Self::Interrupted => out.write_str("interrupted"),
        }
    }
}

impl std::error::Error for GrapeClientError {}

/// Sends a request to the Grape at `url`; `route` is `announce`, `lookup`, `put` or `get`.
///
/// # Errors
/// See [`GrapeClientError`]. What a Grape answers with status 200 is an answer, also if it says
/// that something went wrong.
pub fn post(url: &str, route: &str, data: &Value) -> Result<Value, GrapeClientError> {
    let http = |error| GrapeClientError::Http(Box::new(error));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .build()
        .into();
    let body = json!({"rid": "bitfitech", "data": data}).to_string();
    let mut response = agent
        .post(format!("{}/{route}", url.trim_end_matches('/')))
        .content_type("application/json")
        .send(body)
        .map_err(http)?;
    let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = reader.read_to_string().map_err(http)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(GrapeClientError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    /// A server that gives this answer once; its address, and what it was sent.
    fn server(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            let mut chunk = [0; 1_024];
            while !request.ends_with(b"}") {
                let read = stream.read(&mut chunk).expect("a request");
                request.extend_from_slice(&chunk[..read]);
            }
            stream.write_all(answer.as_bytes()).expect("it is read");
            String::from_utf8(request).expect("text")
        });
        (url, served)
    }

    #[test]
    fn a_request_has_the_form_that_grapes_expect() {
        let (url, served) =
            server("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n[\"127.0.0.1:7\"]");
        let answer = post(&url, "lookup", &json!("name")).expect("an answer");
        assert_eq!(answer, json!(["127.0.0.1:7"]));
        let request = served.join().expect("it served");
        assert!(
            request.starts_with("POST /lookup HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with(r#"{"data":"name","rid":"bitfitech"}"#),
            "{request}"
        );
    }

    #[test]
    fn failures_are_errors_and_nothing_is_null() {
        let (url, _) = server("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
        assert!(matches!(
            post(&url, "get", &json!("a")),
            Err(GrapeClientError::Http(_))
        ));
        let (url, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
        let malformed = post(&url, "get", &json!("a"));
        assert!(matches!(malformed, Err(GrapeClientError::Malformed(_))));
        let (url, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            post(&url, "get", &json!("a")).expect("an answer"),
            Value::Null
        );
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", closed.local_addr().expect("bound"));
        drop(closed);
        assert!(matches!(
            post(&url, "get", &json!("a")),
            Err(GrapeClientError::Http(_))
        ));
    }
}
