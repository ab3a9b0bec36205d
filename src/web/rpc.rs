//! The RPC service of Grenache over HTTP: trading by program, with any of its clients.
//!
//! A request is a POST to any path with `[rid, key, {"action": ACTION, "args": […]}]`; the answer
//! is `[rid, null, result]` or `[rid, "CODE: text", null]`. Actions are commands of the console
//! under other names (`rpc_actions.rs`), and results have the fields of its replies in JSON. What
//! cannot be understood gets an error with whatever `rid` it has, never silence.
//!
//! With the header `grc-compress: gzip` both bodies are compressed. A request that is a stream has
//! `rid` and key in the header `_gr`, and may name its action in `_a` and the arguments in `_ar`,
//! which count more than its body.
//!
//! The service trades in the node's name and asks for no token, so it listens on loopback only,
//! unless it asks clients for certificates ([`bitfitech_io::certificates`]). It refuses what a
//! browser sends: a page of any site could have it send orders. Browsers name the page's origin
//! with every POST; programs of Grenache do not.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bitfitech_actors::service::Serve;
use bitfitech_io::certificates::ServiceTls;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::http::{self, BodyError};
use crate::placing::Placing;
use crate::rpc_actions::action_of;

/// Longest body of a request, compressed or not: many times the longest order.
const BODY_BYTES_MAX: usize = 64 * 1_024;

/// What serves the RPC service of a node on a bound port, to clients of this TLS if there is one.
pub fn service(bound: TcpListener, tls: Option<ServiceTls>, placing: Placing) -> Serve {
    Arc::new(move || http::serve_by(&bound, tls.as_ref(), placing.clone(), handle))
}

/// Whether bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
}

async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    placing: web::Data<Placing>,
) -> HttpResponse {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let packing = match header("grc-compress") {
        Some(value) if value.contains("gzip") => Packing::Gzip,
        _ => Packing::Plain,
    };
    let envelope = header("_gr").map(serde_json::from_str::<Value>);
    if let Some(Err(_)) = envelope {
        let answer = json!([null, "ERR_HEADER_PARSE_GR", null]);
        return respond(StatusCode::INTERNAL_SERVER_ERROR, packing, &answer);
    }
    let refused = |status, text: &str| {
        let answer = json!([null, format!("BAD_REQUEST: {text}"), null]);
        respond(status, packing, &answer)
    };
    if header("origin").is_some() {
        let text = "this service is not for web pages";
        return refused(StatusCode::FORBIDDEN, text);
    }
    let body = match http::read_body(payload, BODY_BYTES_MAX).await {
        Ok(body) => unpack(body, packing),
        Err(BodyError::TooLong(_)) => {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long");
        }
        Err(BodyError::Broken) => {
            return refused(StatusCode::BAD_REQUEST, "the request is incomplete");
        }
    };
    let message = body
        .ok()
        .and_then(|body| serde_json::from_slice::<Vec<Value>>(&body).ok());
    let by_header = header("_a").map(|action| payload_of(action, header("_ar")));
    if message.is_none() && by_header.is_none() {
        let expected = "the request must be [rid, key, payload] in JSON";
        return refused(StatusCode::BAD_REQUEST, expected);
    }
    let message = message.unwrap_or_default();
    let rid = match &envelope {
        Some(Ok(envelope)) => envelope.get(0),
        _ => message.first(),
    };
    let rid = rid.unwrap_or(&Value::Null);
    let payload = by_header.as_ref().or(message.get(2));
    let answer = match action_of(payload.unwrap_or(&Value::Null)) {
        Ok(action) => placing.perform(action).await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(result) => json!([rid, null, result]),
        Err(error) => json!([rid, error, null]),
    };
    respond(StatusCode::OK, packing, &answer)
}

/// The payload that headers name. Arguments that are no JSON are none that any action takes.
fn payload_of(action: &str, arguments: Option<&str>) -> Value {
    let arguments = match arguments {
        None => json!([]),
        Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
    };
    json!({"action": action, "args": arguments})
}

fn respond(status: StatusCode, packing: Packing, answer: &Value) -> HttpResponse {
    let body = answer.to_string().into_bytes();
    let packed = match packing {
        Packing::Plain => Ok(body),
        Packing::Gzip => pack(&body),
    };
    match packed {
        Ok(body) => HttpResponse::build(status).body(body),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

fn pack(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// A body as it was before it was compressed; too long a one is none.
fn unpack(body: Vec<u8>, packing: Packing) -> io::Result<Vec<u8>> {
    if packing == Packing::Plain {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    let limit = BODY_BYTES_MAX as u64 + 1;
    GzDecoder::new(&body[..])
        .take(limit)
        .read_to_end(&mut unpacked)?;
    if unpacked.len() > BODY_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_compression_and_a_bomb_is_refused() {
        let packed = pack(b"[1,2,3]").expect("compressed");
        let unpacked = unpack(packed, Packing::Gzip).expect("uncompressed");
        assert_eq!(unpacked, b"[1,2,3]");
        let bomb = pack(&vec![b' '; 10 * BODY_BYTES_MAX]).expect("compressed");
        assert!(bomb.len() < BODY_BYTES_MAX);
        assert!(unpack(bomb, Packing::Gzip).is_err());
        assert!(unpack(b"no gzip".to_vec(), Packing::Gzip).is_err());
    }
}
