//! What all HTTP services have in common: one server under a supervisor, and bodies with a bound.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::error::ErrorPayloadTooLarge;
#[cfg(target_os = "linux")]
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Sleep, sleep, timeout};
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{App, Error, FromRequest, Handler, HttpServer, Responder};
use bitfitech_actors::service::{Service, StopMode};
use bitfitech_io::certificates::ServiceTls;
use futures_core::Stream;
#[cfg(target_os = "linux")]
use socket2::SockRef;

/// Longest wait for the next request of a connection: the one that Node's HTTP server has.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Longest wait for the rest of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for answers under way when a service stops.
pub(crate) const STOP: Duration = Duration::from_secs(1);

/// Most connections of one service; others wait in the backlog of the system. A guess.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;

/// Bytes beyond the allowed ones that are read and thrown away, so that the answer that says so
/// gets through to ordinary clients; a connection that brings more is closed.
const EXCESS_BYTES_MAX: usize = 1_024 * 1_024;

/// Time for an answer to get through before its connection is cut. A guess.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Longest time in which a client takes nothing of what it was sent: longer than anything here
/// waits for one.
#[cfg(target_os = "linux")]
const STUCK: Duration = Duration::from_secs(30);

/// Most bytes that wait in the system for a client that does not read, besides those that its own
/// system has room for. A guess: a hundredth of a second of a fast network.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1_024;

/// Serves on a bound port, with one thread: every request goes to the handler, and so does a share
/// of what the handlers have in common.
///
/// # Errors
/// Those of the operating system.
pub fn serve<S, H, A>(bound: &TcpListener, shared: S, handle: H) -> Result<Service, String>
where
    S: Send + Sync + 'static,
    H: Handler<A> + Send,
    H::Output: Responder,
    A: FromRequest + 'static,
{
    serve_by(bound, None, shared, handle)
}

/// The same, to clients of this TLS alone if there is one.
///
/// # Errors
/// Those of the operating system.
pub fn serve_by<S, H, A>(
    bound: &TcpListener,
    tls: Option<&ServiceTls>,
    shared: S,
    handle: H,
) -> Result<Service, String>
where
    S: Send + Sync + 'static,
    H: Handler<A> + Send,
    H::Output: Responder,
    A: FromRequest + 'static,
{
    let shared = Data::new(shared);
    let configure = move |config: &mut ServiceConfig| {
        config
            .app_data(shared.clone())
            .default_service(web::to(handle.clone()));
    };
    let failed = |error: std::io::Error| format!("cannot serve HTTP: {error}");
    let listener = bound.try_clone().map_err(failed)?;
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(1)
        .keep_alive(KEEP_ALIVE)
        // Small answers to a client that sends several requests at once would wait for its
        // acknowledgement, which it delays by 40 ms.
        .tcp_nodelay(true)
        .on_connect(limit_unread)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_timeout(STOP.as_secs())
        .disable_signals();
    let server = match tls {
        None => server.listen(listener),
        Some(tls) => server.listen_rustls_0_23(listener, tls.clone()),
    };
    let server = server.map_err(failed)?.run();
    let handle = server.handle();
    // A task of its own, which outlives whoever waits for it: so a server can still be told to
    // end when its actor is gone.
    let task = actix_web::rt::spawn(server);
    Ok(Service {
        ended: Box::pin(async move {
            match task.await {
                Ok(ended) => ended.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        }),
        // The order is given at once; its future would only wait for the end.
        stop: Box::new(move |mode| drop(handle.stop(mode == StopMode::InOrder))),
    })
}

/// Bounds what a client costs that does not read: what waits for it in the system, and for how
/// long. The server alone cannot, for while nothing can be written it looks at nothing else.
#[cfg(target_os = "linux")]
fn limit_unread(connection: &dyn Any, _extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    let socket = SockRef::from(stream);
    let set = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let set = set.and_then(|()| socket.set_tcp_user_timeout(Some(STUCK)));
    if let Err(error) = set {
        tracing::debug!(target: "web", "a connection has no bound for what is not read: {error}");
    }
}

/// Other systems keep such a connection until the client ends it.
#[cfg(not(target_os = "linux"))]
fn limit_unread(_connection: &dyn Any, _extensions: &mut Extensions) {}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than allowed. Whether the rest of it has been read.
    TooLong(Rest),
    /// It did not come to its end.
    Broken,
}

/// What became of the rest of a body that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It was read: the connection can go on.
    Read,
    /// There may be more of it: the connection has to be closed.
    Unread,
}

/// A body after which the connection is cut: for clients that go on sending what nobody reads.
pub struct LastWords {
    text: Option<&'static str>,
    cut: Pin<Box<Sleep>>,
}

impl LastWords {
    /// A body of this text.
    pub fn new(text: &'static str) -> Self {
        Self {
            text: Some(text),
            cut: Box::pin(sleep(LAST_WORDS)),
        }
    }
}

impl Stream for LastWords {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(text) = self.text.take() {
            return Poll::Ready(Some(Ok(Bytes::from_static(text.as_bytes()))));
        }
        // A body that breaks off is what makes the server drop the connection.
        let cut = self.cut.as_mut().poll(task);
        cut.map(|()| Some(Err(ErrorPayloadTooLarge("more than allowed is sent"))))
    }
}

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// When it is longer, or does not come to its end in time.
pub async fn read_body(mut payload: Payload, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let reading = async {
        let (mut body, mut length) = (Vec::new(), 0_usize);
        while let Some(chunk) = poll_fn(|task| Pin::new(&mut payload).poll_next(task)).await {
            let chunk = chunk.map_err(|_| BodyError::Broken)?;
            length += chunk.len();
            if length <= bytes_max {
                body.extend_from_slice(&chunk);
            } else if length - bytes_max > EXCESS_BYTES_MAX {
                return Err(BodyError::TooLong(Rest::Unread));
            }
        }
        if length > bytes_max {
            return Err(BodyError::TooLong(Rest::Read));
        }
        Ok(body)
    };
    timeout(BODY_TIMEOUT, reading)
        .await
        .unwrap_or(Err(BodyError::Broken))
}
