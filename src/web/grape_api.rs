//! The HTTP interface of a Grape: `/lookup`, `/announce`, `/put` and `/get`, byte for byte as
//! Grenache's own answers.
//!
//! A request is a POST with `{"rid": …, "data": …}`; method, headers and `rid` are not looked at.
//! First the size counts, then whether it is JSON, then the route, then the arguments. Refusals of
//! what was asked are texts in JSON with status 200, as clients expect; only refusals of a value
//! that have a number in the DHT have that number as status. Where the original program fails with
//! an exception of JavaScript, its text is part of the interface.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bitfitech_actors::dht::{DhtClient, DhtError};
use bitfitech_actors::service::Serve;
use bitfitech_core::bencode;
use bitfitech_core::dht::{
    CacheUse, FoundValue, GetRequest, MutablePut, PutRequest, SendError, Signed,
};
use bitfitech_core::hex;
use serde_json::{Value, json};

use crate::grape_values::{TextForm, byte_string, encode, length, text, whole};
use crate::http::{self, BodyError, LastWords, Rest};
use crate::http_here;
use crate::recent_announcements::{Memory, RecentAnnouncements, Service};
use crate::recent_answers::RecentAnswers;

/// Values of this length or longer are refused.
const VALUE_LENGTH_END: u64 = 1_000;

/// Longest body of a request when no other limit is given (Grenache).
const BODY_BYTES_MAX: usize = 8_192;

/// Longest salt (BEP 44).
const SALT_BYTES_MAX: usize = 64;

/// What the interface needs.
#[derive(Clone, Debug)]
pub struct GrapeApi {
    /// The DHT that it is the interface of.
    dht: DhtClient,
    /// The port of the DHT, announced for a service that names port 0.
    dht_port: u16,
    /// Longest body of a request.
    body_bytes_max: usize,
    recent: Arc<RecentAnswers>,
    announced: Arc<RecentAnnouncements>,
}

impl GrapeApi {
    /// The interface of a DHT with this port and this age of announcements.
    pub fn new(dht: DhtClient, dht_port: u16, peer_age_ms_max: u64) -> Self {
        Self {
            dht,
            dht_port,
            body_bytes_max: BODY_BYTES_MAX,
            recent: Arc::new(RecentAnswers::new(peer_age_ms_max)),
            announced: Arc::new(RecentAnnouncements::new(peer_age_ms_max)),
        }
    }

    /// With another limit for the bodies of requests.
    pub fn body_bytes_max(mut self, body_bytes_max: usize) -> Self {
        self.body_bytes_max = body_bytes_max;
        self
    }
}

/// A status and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    /// A result, or the text of a refusal, in JSON.
    fn json(value: &Value) -> Self {
        Self {
            status: 200,
            body: value.to_string(),
        }
    }

    /// A text as it is, for what is not even understood.
    fn plain(text: &str) -> Self {
        Self {
            status: 500,
            body: text.to_owned(),
        }
    }
}

/// What serves the interface on a bound port, on threads of its own.
pub fn service(bound: TcpListener, api: GrapeApi) -> Serve {
    Arc::new(move || http::serve(&bound, api.clone(), handle))
}

/// What serves it on the thread of its supervisor.
pub fn service_here(bound: TcpListener, api: GrapeApi) -> Serve {
    Arc::new(move || http_here::serve(&bound, api.clone(), handle))
}

async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<GrapeApi>,
) -> HttpResponse {
    let path = request.uri().path_and_query();
    let route = path.map_or("", |path| path.as_str()).get(1..).unwrap_or("");
    let answer = match http::read_body(payload, api.body_bytes_max).await {
        Ok(body) => answer(&api, route, &body).await,
        Err(BodyError::TooLong(rest)) => return too_long(rest),
        Err(BodyError::Broken) => Answer::plain("request aborted"),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    kept_alive(status).body(answer.body)
}

/// An answer after which the connection goes on, said as Node's HTTP server says it.
fn kept_alive(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONNECTION, "keep-alive"))
        .insert_header((HeaderName::from_static("keep-alive"), "timeout=5"));
    response
}

fn too_long(rest: Rest) -> HttpResponse {
    let text = "ERR_GRAPE_PAYLOAD_SIZE";
    match rest {
        Rest::Read => kept_alive(StatusCode::PAYLOAD_TOO_LARGE).body(text),
        Rest::Unread => HttpResponse::PayloadTooLarge()
            .force_close()
            .streaming(LastWords::new(text)),
    }
}

/// The answer to a request.
async fn answer(api: &GrapeApi, route: &str, body: &[u8]) -> Answer {
    let Ok(message) = serde_json::from_str::<Value>(&String::from_utf8_lossy(body)) else {
        return Answer::plain("ERR_GRAPE_PAYLOAD_INVALID");
    };
    if message.is_null() {
        return Answer::plain("Cannot read properties of null (reading 'data')");
    }
    let data = message.get("data");
    // Grenache makes the name of a method of the route, so these forms have always worked.
    let bare = route.strip_prefix(['-', '_']).unwrap_or(route);
    match bare {
        "lookup" | "Lookup" => lookup(api, data).await,
        "announce" | "Announce" => announce(api, data).await,
        "put" | "Put" => put(api, data).await,
        "get" | "Get" => get(api, data).await,
        _ => Answer::json(&json!("ERR_REQ_NOTFOUND")),
    }
}

/// The DHT itself could not answer, which the original does not know.
fn unavailable(error: DhtError) -> Answer {
    tracing::debug!(target: "dht", "a request is refused: {error}");
    Answer {
        status: 503,
        body: json!("ERR_GRAPE_UNAVAILABLE").to_string(),
    }
}

fn refused(error: &SendError) -> Answer {
    let status = match error {
        SendError::Refused(refusal) => u16::try_from(refusal.code).unwrap_or(200),
        SendError::NoNodes | SendError::AllFailed => 200,
    };
    Answer {
        status,
        body: json!(error.to_string()).to_string(),
    }
}

async fn lookup(api: &GrapeApi, data: Option<&Value>) -> Answer {
    let name = data.and_then(Value::as_str).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Answer::json(&json!("ERR_GRAPE_LOOKUP"));
    };
    if let Some(body) = api.recent.get(Instant::now(), name) {
        return Answer { status: 200, body };
    }
    match api.dht.lookup(name.as_bytes().to_vec()).await {
        Ok(found) => {
            let peers = found.peers.iter().map(ToString::to_string);
            let answer = Answer::json(&peers.collect());
            if !found.peers.is_empty() {
                api.recent.put(Instant::now(), name, &answer.body);
            }
            answer
        }
        Err(error) => unavailable(error),
    }
}

async fn announce(api: &GrapeApi, data: Option<&Value>) -> Answer {
    let Some(arguments) = data.and_then(Value::as_array) else {
        return Answer::json(&json!("ERR_GRAPE_ANNOUNCE"));
    };
    let Some(port) = arguments.get(1).and_then(integer) else {
        return Answer::json(&json!("ERR_GRAPE_SERVICE_PORT"));
    };
    let name = match announced_name(arguments.first()) {
        Ok(name) => name,
        Err(text) => return Answer::plain(&text),
    };
    let port = match u16::try_from(port) {
        Ok(0) => api.dht_port,
        Ok(port) => port,
        Err(_) => return announce_impossible(api, name).await,
    };
    let service = Service { port, name };
    match api.announced.repeat(Instant::now(), &service) {
        Memory::Accepted(nodes) => Answer::json(&json!(nodes)),
        Memory::Repeated(nodes, time) => {
            actix_web::rt::spawn(send_again(api.clone(), service, time));
            Answer::json(&json!(nodes))
        }
        Memory::None => send_announcement(api, service).await,
    }
}

/// Sends an announcement that was repeated, at the end of the time for which it is remembered.
async fn send_again(api: GrapeApi, service: Service, time: Duration) {
    api.announced.wait(time).await;
    let answer = send_announcement(&api, service).await;
    tracing::trace!(target: "dht", "sent again: {}", answer.body);
}

async fn send_announcement(api: &GrapeApi, service: Service) -> Answer {
    if let Ok(name) = std::str::from_utf8(&service.name) {
        api.recent.forget(name);
    }
    let sent = Instant::now();
    match api.dht.announce(service.name.clone(), service.port).await {
        Ok(Ok(accepted)) => {
            api.announced.accepted(sent, service, accepted);
            Answer::json(&json!(accepted))
        }
        Ok(Err(error)) => refused(&error),
        Err(error) => unavailable(error),
    }
}

/// A whole number, as JavaScript sees it: 1.0 is one.
fn integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    let is_whole = number.as_f64().is_some_and(|float| float.fract() == 0.0);
    is_whole.then(|| whole(number))
}

/// Nobody takes a port that does not exist; whether there is anybody is found out all the same.
async fn announce_impossible(api: &GrapeApi, name: Vec<u8>) -> Answer {
    match api.dht.lookup(name).await {
        Ok(found) if found.nodes == 0 => refused(&SendError::NoNodes),
        Ok(_) => refused(&SendError::AllFailed),
        Err(error) => unavailable(error),
    }
}

/// The name that an announcement asks for.
///
/// # Errors
/// What JavaScript says of something that is no name.
pub fn announced_name(name: Option<&Value>) -> Result<Vec<u8>, String> {
    let received = match name {
        Some(Value::String(name)) => return Ok(name.as_bytes().to_vec()),
        Some(Value::Null) => "null".to_owned(),
        None => "undefined".to_owned(),
        Some(Value::Bool(truth)) => format!("type boolean ({truth})"),
        Some(Value::Number(number)) => format!("type number ({number})"),
        Some(list) => match byte_string(list, TextForm::Plain) {
            Some(bytes) => return Ok(bytes),
            None => "an instance of Object".to_owned(),
        },
    };
    Err(format!(
        "The first argument must be of type string or an instance of Buffer, ArrayBuffer, or \
         Array or an Array-like Object. Received {received}"
    ))
}

/// The exception of JavaScript for a field of something that is not there.
fn no_field(data: Option<&Value>, field: &str) -> Answer {
    let what = data.map_or("undefined", |_| "null");
    Answer::plain(&format!(
        "Cannot read properties of {what} (reading '{field}')"
    ))
}

async fn put(api: &GrapeApi, data: Option<&Value>) -> Answer {
    let Some(options) = data.filter(|data| !data.is_null()) else {
        return no_field(data, "k");
    };
    let request = match put_request(options) {
        Ok(request) => request,
        Err(text) => return Answer::json(&json!(text)),
    };
    match api.dht.put(request).await {
        Ok(Ok(hash)) => Answer::json(&json!(hex::text(&hash))),
        Ok(Err(error)) => refused(&error),
        Err(error) => unavailable(error),
    }
}

/// What a request to keep a value asks for.
///
/// # Errors
/// What Grenache's Grape says of a value that cannot be kept.
pub fn put_request(options: &Value) -> Result<PutRequest, String> {
    let value = match options {
        Value::String(_) => options,
        _ => options.get("v").ok_or("opts.v not given")?,
    };
    if value.is_null() {
        return Err("Cannot read properties of null (reading 'length')".to_owned());
    }
    if length(value).is_some_and(|length| length >= VALUE_LENGTH_END) {
        return Err("v must be less than 1000 bytes in put()".to_owned());
    }
    Ok(PutRequest {
        value: encode(value),
        mutable: mutable_put(options)?,
    })
}

/// A field that is there and that JavaScript takes for true.
fn truthy<'a>(options: &'a Value, field: &str) -> Option<&'a Value> {
    options.get(field).filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        _ => true,
    })
}

fn mutable_put(options: &Value) -> Result<Option<MutablePut>, String> {
    let Some(key) = truthy(options, "k") else {
        return Ok(None);
    };
    let number = |field: &str, error: &str| match options.get(field) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(Some(whole(number))),
        Some(_) => Err(error.to_owned()),
    };
    let compare = number("cas", "opts.cas must be an integer if provided")?;
    let key: Option<[u8; 32]> =
        byte_string(key, TextForm::Hex).and_then(|bytes| bytes.try_into().ok());
    let key = key.ok_or("opts.k ed25519 public key must be 32 bytes")?;
    let signature = truthy(options, "sig").and_then(|sig| byte_string(sig, TextForm::Hex));
    let mut signature = signature
        .ok_or("opts.sign function or options.sig signature is required for mutable put")?;
    let salt = truthy(options, "salt").and_then(|salt| byte_string(salt, TextForm::Plain));
    let salt = salt.unwrap_or_default();
    if salt.len() > SALT_BYTES_MAX {
        return Err("opts.salt is > 64 bytes long".to_owned());
    }
    let sequence = number("seq", "opts.seq not an integer")?;
    let sequence = sequence.ok_or("opts.seq not provided for a mutable update")?;
    // One of another length is wrong in any case, which is for other nodes to say.
    signature.resize(64, 0);
    let signature = signature.try_into().map_err(|_| "opts.sig is broken")?;
    Ok(Some(MutablePut {
        signed: Signed {
            key,
            signature,
            sequence,
        },
        salt,
        compare,
    }))
}

async fn get(api: &GrapeApi, data: Option<&Value>) -> Answer {
    let Some(options) = data.filter(|data| !data.is_null()) else {
        return no_field(data, "salt");
    };
    let salt = truthy(options, "salt").and_then(|salt| byte_string(salt, TextForm::Plain));
    let target = match options {
        Value::String(_) => byte_string(options, TextForm::Hex),
        _ => options
            .get("hash")
            .filter(|hash| hash.is_string())
            .and_then(|hash| byte_string(hash, TextForm::Hex)),
    };
    let Some(target) = target else {
        return Answer::json(&json!("ERR_GRAPE_GENERIC"));
    };
    let cache = match options.get("cache") {
        Some(Value::Bool(false)) => CacheUse::Bypassed,
        _ => CacheUse::Allowed,
    };
    let request = GetRequest {
        target,
        salt: salt.clone().unwrap_or_default(),
        cache,
    };
    match api.dht.get(request).await {
        Ok(Some(found)) => Answer {
            status: 200,
            body: found_body(&found, salt.as_deref()),
        },
        Ok(None) => Answer {
            status: 200,
            body: String::new(),
        },
        Err(error) => unavailable(error),
    }
}

/// A found value: the fields have the order in which the original has them.
fn found_body(found: &FoundValue, salt: Option<&[u8]>) -> String {
    let value = bencode::decode(&found.value).map_or_else(|_| String::new(), |value| text(&value));
    let field = |name: &str, value: Value| format!(",\"{name}\":{value}");
    let mut body = format!("{{\"id\":\"{}\"", found.node);
    let signed = found.mutable.as_ref();
    let sequence = signed.map(|signed| field("seq", json!(signed.sequence)));
    let key = signed.map(|signed| field("k", json!(hex::text(&signed.key))));
    let signature = signed.map(|signed| field("sig", json!(hex::text(&signed.signature))));
    let value = field("v", json!(value));
    let parts = match &found.token {
        None => [
            Some(field("token", Value::Null)),
            Some(value),
            signature,
            key,
            sequence,
        ],
        Some(token) => {
            let token = field("token", json!(hex::text(token)));
            [key, sequence, signature, Some(token), Some(value)]
        }
    };
    body.extend(parts.into_iter().flatten());
    if let Some(salt) = salt.filter(|_| found.token.is_some()) {
        body += &field("salt", json!(String::from_utf8_lossy(salt)));
    }
    body.push('}');
    body
}

#[cfg(test)]
#[path = "grape_api/tests.rs"]
mod tests;
