//! `/api/v1/stream`: a WebSocket on which a client follows the node.
//!
//! The first message is a snapshot, or, when the client says with `from` which event it had last
//! and all later ones are still kept, `{"resumed": from}`. Then come numbered events without a gap,
//! and states without number. An event may tell what the snapshot has already, for the snapshot is
//! taken after its number was.
//!
//! A client that does not read is dropped: when a message is not taken within [`SEND_TIMEOUT`], or
//! when events that it lacks are no longer kept. The reason is in the close frame, if that gets
//! through. One that is silent is pinged, and dropped when it does not answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::rt::time::{interval, timeout};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse, rt, web};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use bitfitech_actors::command;
use bitfitech_actors::command_json::reply_fields;
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::web::{BOOK_LEVELS, Following, Place};
use bitfitech_core::types::MarketIndex;
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Shared;
use super::page;
use super::problem::Problem;
use super::request::Arguments;
use super::routes::ORDERS_DEFAULT;

/// The protocol that the server chooses if a browser offers it, besides its token.
const PROTOCOL: &str = "bitfitech";

/// Most clients at a time; the next ones are told to try later. A guess.
const STREAMS_MAX: usize = 256;

/// Events that are given to a connection at once.
const BATCH_MAX: usize = 256;

/// Longest wait for a client to take a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two pings.
const PING: Duration = Duration::from_secs(10);

/// Pings without any sign of life after which the client is gone.
const PINGS_UNANSWERED_MAX: u32 = 3;

/// Longest message of a client; none is expected to say anything.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Trades in a snapshot.
const TRADES: u32 = 200;

/// Most bytes that a client may send between two pings: pongs and pings of its own. A guess.
const HEARD_BYTES_MAX: usize = 16 * 1_024;

/// What a client sends, with a bound: a frame is kept until it is whole, however long its header
/// says that it is.
struct Heard {
    payload: web::Payload,
    begun: Instant,
    bytes: usize,
}

impl Stream for Heard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let heard = ready!(Pin::new(&mut self.payload).poll_next(task));
        if let Some(Ok(bytes)) = &heard {
            if self.begun.elapsed() > PING {
                self.begun = Instant::now();
                self.bytes = 0;
            }
            self.bytes += bytes.len();
            if self.bytes > HEARD_BYTES_MAX {
                return Poll::Ready(Some(Err(PayloadError::Overflow)));
            }
        }
        Poll::Ready(heard)
    }
}

/// What a client sends, as far as it is read.
fn bounded(request: &HttpRequest, payload: web::Payload) -> web::Payload {
    let heard = Heard {
        payload,
        begun: Instant::now(),
        bytes: 0,
    };
    let stream: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(heard);
    let taken = web::Payload::from_request(request, &mut Payload::from(stream));
    taken.into_inner().expect("a body is always taken")
}

/// Begins a stream.
///
/// # Errors
/// When the request is no WebSocket handshake, the market is unknown, or there are too many.
pub(super) fn open(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    arguments: &Arguments,
) -> Result<HttpResponse, Problem> {
    let node = &shared.node;
    let pair = arguments
        .get("pair")
        .unwrap_or(node.genesis.markets[0].pair());
    let Some((market, _)) = node.genesis.find_market(pair) else {
        let detail = format!("{pair} is no market of this network: /api/v1/node lists them");
        return Err(Problem::new(StatusCode::NOT_FOUND, "UNKNOWN_PAIR", detail));
    };
    if node.feed.follower_count() >= STREAMS_MAX {
        let detail = format!("{STREAMS_MAX} streams are open: close one, or try later");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Problem::new(status, "OVERLOADED", detail));
    }
    let payload = bounded(request, payload);
    let opened = actix_ws::handle_with_protocols(request, payload, &[PROTOCOL]);
    let (response, session, messages) = opened.map_err(|_| {
        let detail = "this path is a WebSocket: ask with its handshake (RFC 6455)";
        Problem::new(StatusCode::UPGRADE_REQUIRED, "NOT_A_WEBSOCKET", detail)
    })?;
    let client = Client {
        node: Arc::clone(node),
        market,
        _following: node.feed.follow(market),
        session,
        ending: shared.ending.clone(),
    };
    let from = arguments.number("from");
    rt::spawn(client.run(messages.max_frame_size(MESSAGE_BYTES_MAX), from));
    Ok(response)
}

/// One client.
struct Client {
    node: Arc<NodeContext>,
    market: MarketIndex,
    _following: Following,
    session: Session,
    ending: watch::Receiver<bool>,
}

/// Why a stream ends.
enum End {
    /// The client is gone.
    Gone,
    /// It is told why.
    Told(CloseCode, &'static str),
}

impl Client {
    async fn run(mut self, messages: MessageStream, from: Option<u64>) {
        let end = self.follow(messages, from).await;
        if let End::Told(code, reason) = end {
            if code == CloseCode::Policy {
                self.node.feed.dropped.add(1);
                tracing::info!(target: "web", "a follower was dropped: {reason}");
            }
            let description = Some(reason.to_owned());
            let closing = self.session.close(Some(CloseReason { code, description }));
            // Who does not read does not hear it either.
            drop(timeout(SEND_TIMEOUT, closing).await);
        }
    }

    async fn follow(&mut self, mut messages: MessageStream, from: Option<u64>) -> End {
        let mut changes = self.node.feed.changes();
        let mut place = match self.begin(from).await {
            Ok(place) => place,
            Err(end) => return end,
        };
        let mut ending = self.ending.clone();
        let mut pings = interval(PING);
        let mut unanswered = 0;
        loop {
            // Two select branches may be ready at once; each leaves the others as they are.
            place = match self.tell_news(place).await {
                Ok(place) => place,
                Err(end) => return end,
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return End::Gone;
                },
                message = messages.recv() => match message {
                    Some(Ok(message)) => {
                        unanswered = 0;
                        if let Err(end) = self.hear(message).await {
                            return end;
                        }
                    }
                    Some(Err(_)) => {
                        return End::Told(CloseCode::Protocol, "what it sends cannot be read");
                    }
                    None => return End::Gone,
                },
                _ = pings.tick() => {
                    if unanswered >= PINGS_UNANSWERED_MAX {
                        return End::Told(CloseCode::Policy, "no answer to pings");
                    }
                    unanswered += 1;
                    if timeout(SEND_TIMEOUT, self.session.ping(b"")).await.is_err() {
                        return End::Told(CloseCode::Policy, "too slow");
                    }
                },
                _ = ending.wait_for(|ends| *ends) => {
                    return End::Told(CloseCode::Away, "the node stops");
                },
            }
        }
    }

    /// Sends the first message, and tells where the client is then.
    async fn begin(&mut self, from: Option<u64>) -> Result<Place, End> {
        if let Some(number) = from {
            let place = Place { number, version: 0 };
            if self.node.feed.news(place, self.market, 0).is_ok() {
                self.send(json!({"resumed": number}).to_string()).await?;
                return Ok(place);
            }
        }
        // The number first: what happens while the snapshot is taken is told again as events.
        let number = self.node.feed.last();
        let snapshot = snapshot(&self.node, self.market, number).await;
        self.send(snapshot.to_string()).await?;
        Ok(Place { number, version: 0 })
    }

    /// Sends what there is, until the client has everything.
    async fn tell_news(&mut self, mut place: Place) -> Result<Place, End> {
        loop {
            let news = self.node.feed.news(place, self.market, BATCH_MAX);
            let Ok(news) = news else {
                let reason = "too slow: events that were not sent yet are no longer kept";
                return Err(End::Told(CloseCode::Policy, reason));
            };
            place = news.place;
            if news.lines.is_empty() {
                return Ok(place);
            }
            for line in news.lines {
                self.send(line.to_string()).await?;
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        match timeout(SEND_TIMEOUT, self.session.text(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Told(CloseCode::Policy, "too slow")),
        }
    }

    /// What a client says means nothing but that it lives.
    async fn hear(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Ping(bytes) => {
                let pong = timeout(SEND_TIMEOUT, self.session.pong(&bytes)).await;
                pong.map_err(|_| End::Told(CloseCode::Policy, "too slow"))?
                    .map_err(|_| End::Gone)
            }
            Message::Close(_) => Err(End::Told(CloseCode::Normal, "")),
            _ => Ok(()),
        }
    }
}

/// All that a client needs to begin with; what does not answer is null.
async fn snapshot(node: &Arc<NodeContext>, market: MarketIndex, number: u64) -> Value {
    let pair = node
        .genesis
        .market(market)
        .map_or("", |market| market.pair());
    let mut snapshot = json!({"number": number, "pair": pair, "node": page::node(node)});
    let book = format!("book {pair} {BOOK_LEVELS}");
    let trades = format!("trades {pair} {TRADES}");
    let orders = format!("orders {ORDERS_DEFAULT}");
    for (name, line, field) in [
        ("book", &*book, None),
        ("trades", &*trades, Some("trades")),
        ("orders", &*orders, Some("orders")),
    ] {
        let answer = command::answer_to(node, line).await;
        let fields = answer.ok().map(|reply| {
            let fields = serde_json::to_value(reply_fields(&reply, &node.genesis));
            fields.expect("names are keys")
        });
        snapshot[name] = match (fields, field) {
            (Some(fields), Some(field)) => fields[field].clone(),
            (fields, _) => json!(fields),
        };
    }
    json!({"snapshot": snapshot})
}
