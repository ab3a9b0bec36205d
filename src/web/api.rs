//! The HTTP API: what programs and the page ask a node, and what it answers.
//!
//! A request passes, in this order: is it meant for this node and sent by whom it may be
//! (`access`), is it one of too many (`limits`), is there such a route (`routes`), are its
//! parameters what the route takes (`request`). Then it becomes a line for the console, whose reply
//! is the body. Errors are problem details (RFC 9457). The table of routes is also what
//! `/openapi.json` is made of (`openapi`), so the two cannot differ.
//!
//! `/api/v1/stream` is a WebSocket on which a client follows the node (`stream`).

mod access;
mod book_cache;
mod health;
mod limits;
mod metrics;
mod openapi;
mod page;
mod problem;
mod request;
mod routes;
mod schemas;
mod stream;

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bitfitech_actors::command;
use bitfitech_actors::command_json::reply_fields;
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::gossip_trees;
use bitfitech_actors::service::{Serve, Service};
use bitfitech_actors::web::fill;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::http::{self, BodyError, LastWords, Rest};
use crate::placing::Placing;
use access::Access;
use book_cache::BookCache;
use limits::{ClientLimits, Weight};
use problem::Problem;
use request::Arguments;
use routes::{Call, Found, Protection};

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    node: Arc<NodeContext>,
    placing: Placing,
    access: Arc<Access>,
    limits: Arc<ClientLimits>,
    books: Arc<BookCache>,
    /// True when streams are to end.
    ending: watch::Receiver<bool>,
    /// Whether only metrics are served here.
    scope: Scope,
}

/// What a port serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Everything,
    MetricsAlone,
}

/// What serves the API of a node on a bound port, and fills the feed of its followers.
pub fn service(bound: TcpListener, node: Arc<NodeContext>, placing: Placing) -> Serve {
    let port = bound.local_addr().map_or(0, |address| address.port());
    let access = Arc::new(Access::new(&node.settings.api, port));
    let limits = Arc::new(ClientLimits::new(&node.settings.limits));
    let books = Arc::new(BookCache::default());
    Arc::new(move || {
        let (end, ending) = watch::channel(false);
        let shared = Shared {
            node: Arc::clone(&node),
            placing: placing.clone(),
            access: Arc::clone(&access),
            limits: Arc::clone(&limits),
            books: Arc::clone(&books),
            ending,
            scope: Scope::Everything,
        };
        let Service { ended, stop } = http::serve(&bound, shared, handle)?;
        let node = Arc::clone(&node);
        Ok(Service {
            ended: Box::pin(async move {
                tokio::select! {
                    ended = ended => ended,
                    () = fill(&node) => Err("the feed ended".to_string()),
                }
            }),
            stop: Box::new(move |mode| {
                // Streams last as long as their clients want, so they are told.
                end.send_replace(true);
                stop(mode);
            }),
        })
    })
}

/// What serves the metrics of a node alone on a bound port.
pub fn metrics_service(bound: TcpListener, node: Arc<NodeContext>, placing: Placing) -> Serve {
    let port = bound.local_addr().map_or(0, |address| address.port());
    let access = Arc::new(Access::new(&node.settings.api, port));
    let limits = Arc::new(ClientLimits::new(&node.settings.limits));
    let (_, ending) = watch::channel(false);
    let shared = Shared {
        node,
        placing,
        access,
        limits,
        books: Arc::default(),
        ending,
        scope: Scope::MetricsAlone,
    };
    Arc::new(move || http::serve(&bound, shared.clone(), handle))
}

async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let allowed = shared.access.cors(&request);
    let answered = match preflight(&request, &shared) {
        Some(answer) => answer,
        None => respond(&request, payload, &shared).await,
    };
    let mut response = answered.unwrap_or_else(|problem| problem.response());
    let headers = response.headers_mut();
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, header::HeaderValue::from_static("Origin"));
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        header::HeaderValue::from_static("nosniff"),
    );
    response
}

/// The answer to a browser that asks whether a page of another node may ask.
fn preflight(request: &HttpRequest, shared: &Shared) -> Option<Result<HttpResponse, Problem>> {
    let asked = header::ACCESS_CONTROL_REQUEST_METHOD;
    if request.method() != Method::OPTIONS || !request.headers().contains_key(asked) {
        return None;
    }
    Some(shared.access.admit(request).map(|()| {
        HttpResponse::NoContent()
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_METHODS,
                "GET, POST, PUT, DELETE",
            ))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, idempotency-key",
            ))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
            .finish()
    }))
}

async fn respond(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
) -> Result<HttpResponse, Problem> {
    shared.access.admit(request)?;
    let Found { route, ids } = routes::find(request.method(), request.path())?;
    if shared.scope == Scope::MetricsAlone && route.call != Call::Metrics {
        return Err(Problem::no_route());
    }
    let now_ms = shared.node.clock.now().monotonic_ms;
    let client = request.peer_addr().map(|address| address.ip());
    if let Some(weight) = weight_of(route.call) {
        shared.limits.admit(client, weight, now_ms)?;
    }
    if route.protection == Protection::Token {
        shared.access.check_token(request)?;
    }
    let arguments = Arguments::read(route, &ids, request)?;
    if route.call == Call::Stream {
        return stream::open(request, payload, shared, &arguments);
    }
    let kb_max = shared.node.settings.limits.max_message_kb as usize;
    let body = http::read_body(payload, kb_max * 1_024).await;
    let body = match body {
        Ok(body) => body,
        Err(BodyError::TooLong(Rest::Unread)) => {
            return Ok(HttpResponse::PayloadTooLarge()
                .content_type(problem::CONTENT_TYPE)
                .force_close()
                .streaming(LastWords::new(problem::TOO_LONG)));
        }
        Err(BodyError::TooLong(Rest::Read)) => return Err(Problem::too_long()),
        Err(BodyError::Broken) => return Err(Problem::bad("the body does not come to its end")),
    };
    let body = request::body_of(route, request, &body)?;
    answer(shared, route, &arguments, body).await
}

/// What a call costs its client; nothing for what watches whether the node lives.
fn weight_of(call: Call) -> Option<Weight> {
    match call {
        Call::Health | Call::Ready => None,
        Call::Place | Call::Replace | Call::Cancel | Call::Confirm | Call::Release => {
            Some(Weight::Order)
        }
        _ => Some(Weight::Request),
    }
}

/// Does what a route does.
async fn answer(
    shared: &Shared,
    route: &routes::Route,
    arguments: &Arguments,
    body: Option<Value>,
) -> Result<HttpResponse, Problem> {
    let node = &shared.node;
    match route.call {
        Call::Place | Call::Replace => {
            let action = request::action_of(route.call, arguments, body)?;
            let fields = shared.placing.perform(action).await;
            let fields = fields.map_err(|line| Problem::of_line(&line).unprocessable())?;
            placed(&fields, route.call)
        }
        Call::Health => Ok(health::health(node)),
        Call::Ready => Ok(health::ready(node).await),
        Call::Metrics => {
            if shared.scope == Scope::Everything && node.settings.api.metrics_port != 0 {
                return Err(metrics::elsewhere());
            }
            metrics::metrics(node).await
        }
        Call::OpenApi => Ok(json(StatusCode::OK, openapi::document().to_string())),
        Call::Page => page::asset(node, arguments.get("file")),
        Call::Node => Ok(json(StatusCode::OK, page::node(node).to_string())),
        Call::Gossip => {
            let trees = gossip_trees::trees(node).await;
            let trees = trees.map_err(|error| request::unanswered(&error))?;
            Ok(json(StatusCode::OK, json!({"gossip": trees}).to_string()))
        }
        Call::Path => {
            let path = request::path_of(node, arguments).await?;
            Ok(json(StatusCode::OK, path.to_string()))
        }
        Call::Book => {
            let text = shared.books.book(node, &arguments.line(route.call)).await?;
            Ok(json(StatusCode::OK, text.to_string()))
        }
        _ => {
            let reply = command::answer_to(node, &arguments.line(route.call)).await?;
            let text = serde_json::to_string(&reply_fields(&reply, &node.genesis));
            Ok(json(StatusCode::OK, text.expect("names are keys")))
        }
    }
}

/// The answer to an order that was written.
fn placed(fields: &Value, call: Call) -> Result<HttpResponse, Problem> {
    let order = fields["order"].as_str().unwrap_or_default();
    let status = match call {
        Call::Place => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok(HttpResponse::build(status)
        .content_type("application/json")
        .insert_header((header::LOCATION, format!("/api/v1/orders/{order}")))
        .body(fields.to_string()))
}

fn json(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}
