//! How actors reach each other: a reference that outlives its actor, and three lanes into it.
//!
//! An actor that crashes is replaced by a fresh object with a fresh mailbox, so a bare actix
//! address goes stale and swallows what is sent to it. An [`ActorRef`] is made once, before its
//! actor, handed to everybody who needs it, and always leads to the present life. While there is
//! none it says so: [`Down`] is an answer the sender has to deal with, not a lost message.
//!
//! actix does not bound a mailbox (`do_send` ignores its capacity, and every clone of an address
//! adds a slot), so the bound is made here, by permits:
//!
//! - **control** ([`ActorRef::control`]) is for few and trusted senders, like a supervisor or an
//!   actor's own socket tasks that send a bounded number of messages. It never refuses, so that an
//!   order to stop gets through a flood of data. The handler receives the plain message.
//! - **data** ([`ActorRef::try_data`], [`ActorRef::data`]) is for everything whose rate somebody
//!   else decides. Each message carries a permit of the actor's semaphore in its envelope
//!   [`Data`]; the permit returns when the envelope is dropped, normally at the end of the
//!   handler. When all are out, `try_data` gives the message back as [`DataError::Full`] and
//!   `data` waits. The handler receives `Data<M>` and may keep the permit longer, for instance
//!   until a write has ended, to push back for as long.
//! - **query** ([`ActorRef::query`]) asks and waits for the answer, for a limited time, with at
//!   most [`QUERIES_MAX`] questions waiting. A question whose time is over is withdrawn unless the
//!   actor has begun with it; the empty envelope stays queued until the actor gets there, so a
//!   hung actor gathers some until the supervisor's probe ends it. The handler receives the plain
//!   message.
//!
//! Messages of one sender arrive in the order sent within all lanes: there is one queue.
//! This file is the only place that calls `do_send`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context, Handler, MailboxError, Message};
use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most questions that wait for one actor at a time; the next ones are told
/// [`QueryError::Busy`]. A guess: a thousand waiting callers mean that it has stalled.
pub const QUERIES_MAX: usize = 1024;

/// The capacity of an actix channel that never parks its senders: a parked sender's future is not
/// woken again in actix 0.13.5, and the bound is made by permits.
const UNBOUNDED: usize = 0;

/// A message of the data lane and the permit it occupies.
#[derive(Debug)]
pub struct Data<M> {
    /// The message.
    pub message: M,
    /// A place in the mailbox, free again when this is dropped.
    pub permit: Permit,
}

impl<M> Message for Data<M> {
    type Result = ();
}

/// A place in the data lane of an actor; dropping it lets the next message in.
#[derive(Debug)]
pub struct Permit {
    _place: OwnedSemaphorePermit,
}

/// The actor has no life at present; the message comes back.
pub struct Down<M> {
    /// The name of the actor.
    pub actor: Arc<str>,
    /// The message that was not delivered.
    pub message: M,
}

impl<M> fmt::Debug for Down<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Down")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Down<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "actor {} is down: try again when it has been restarted",
            self.actor
        )
    }
}

impl<M> std::error::Error for Down<M> {}

/// Why a message did not enter the data lane; it comes back.
pub enum DataError<M> {
    /// All permits are out: the actor is slower than its senders.
    Full {
        /// The name of the actor.
        actor: Arc<str>,
        /// The message that was not delivered.
        message: M,
    },
    /// The actor has no life at present.
    Down(Down<M>),
}

impl<M> DataError<M> {
    /// The message that was not delivered.
    pub fn into_message(self) -> M {
        match self {
            Self::Full { message, .. } | Self::Down(Down { message, .. }) => message,
        }
    }

    /// Whether the mailbox was full, as opposed to absent.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl<M> fmt::Debug for DataError<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { actor, .. } => out
                .debug_struct("Full")
                .field("actor", actor)
                .finish_non_exhaustive(),
            Self::Down(down) => down.fmt(out),
        }
    }
}

impl<M> fmt::Display for DataError<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { actor, .. } => {
                write!(
                    out,
                    "the mailbox of actor {actor} is full: send less or wait for room"
                )
            }
            Self::Down(down) => write!(out, "{down}"),
        }
    }
}

impl<M> std::error::Error for DataError<M> {}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// The actor has no life at present; the question was not put.
    Down {
        /// The name of the actor.
        actor: Arc<str>,
    },
    /// Too many questions wait for the actor already; the question was not put.
    Busy {
        /// The name of the actor.
        actor: Arc<str>,
    },
    /// No answer in time; the question is withdrawn unless the actor has begun with it.
    Timeout {
        /// The name of the actor.
        actor: Arc<str>,
        /// How long the caller waited, in milliseconds.
        timeout_ms: u64,
    },
    /// The actor ended before it answered; whether the question had an effect is unknown.
    Lost {
        /// The name of the actor.
        actor: Arc<str>,
    },
}

impl fmt::Display for QueryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { actor } => {
                write!(
                    out,
                    "actor {actor} is down: try again when it has been restarted"
                )
            }
            Self::Busy { actor } => {
                write!(
                    out,
                    "{QUERIES_MAX} questions wait for actor {actor}: try again later"
                )
            }
            Self::Timeout { actor, timeout_ms } => {
                write!(
                    out,
                    "actor {actor} did not answer within {timeout_ms} ms: try again later"
                )
            }
            Self::Lost { actor } => write!(
                out,
                "actor {actor} ended before it answered: check the effect, then try again"
            ),
        }
    }
}

impl std::error::Error for QueryError {}

/// The way into one life of an actor.
struct Lane<A: Actor> {
    generation: u64,
    address: Addr<A>,
    permits: Arc<Semaphore>,
    queries: Arc<Semaphore>,
}

struct Shared<A: Actor> {
    name: Arc<str>,
    data_capacity: usize,
    lane: ArcSwapOption<Lane<A>>,
}

/// A reference to an actor through all its lives; cheap to clone, usable from every thread.
///
/// Getters: [`name`](Self::name), [`is_up`](Self::is_up), [`depth`](Self::depth). Lanes:
/// [`control`](Self::control), [`try_data`](Self::try_data), [`data`](Self::data),
/// [`query`](Self::query). Its supervisor opens and closes it.
pub struct ActorRef<A: Actor> {
    shared: Arc<Shared<A>>,
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ActorRef")
            .field("name", &self.shared.name)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl<A: Actor<Context = Context<A>>> ActorRef<A> {
    /// A reference to an actor that does not live yet.
    ///
    /// At most `data_capacity` messages (at least 1) are in its data lane at a time.
    pub fn new(name: impl Into<Arc<str>>, data_capacity: usize) -> Self {
        let data_capacity = data_capacity.clamp(1, Semaphore::MAX_PERMITS);
        let lane = ArcSwapOption::empty();
        Self {
            shared: Arc::new(Shared {
                name: name.into(),
                data_capacity,
                lane,
            }),
        }
    }

    /// Sends on the control lane: unbounded, so only for few and trusted senders.
    pub fn control<M>(&self, message: M) -> Result<(), Down<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match self.lane() {
            Some(lane) => {
                post(&lane.address, message);
                Ok(())
            }
            None => Err(self.down(message)),
        }
    }

    /// Sends on the data lane if there is room; gives the message back otherwise.
    pub fn try_data<M>(&self, message: M) -> Result<(), DataError<M>>
    where
        A: Handler<Data<M>>,
        M: Send + 'static,
    {
        let Some(lane) = self.lane() else {
            return Err(DataError::Down(self.down(message)));
        };
        match Arc::clone(&lane.permits).try_acquire_owned() {
            Ok(place) => {
                post(
                    &lane.address,
                    Data {
                        message,
                        permit: Permit { _place: place },
                    },
                );
                Ok(())
            }
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(DataError::Full {
                actor: self.name_arc(),
                message,
            }),
            Err(tokio::sync::TryAcquireError::Closed) => Err(DataError::Down(self.down(message))),
        }
    }

    /// Sends on the data lane, waiting for room. Dropping the future drops the message.
    pub async fn data<M>(&self, message: M) -> Result<(), Down<M>>
    where
        A: Handler<Data<M>>,
        M: Send + 'static,
    {
        let Some(lane) = self.lane() else {
            return Err(self.down(message));
        };
        match Arc::clone(&lane.permits).acquire_owned().await {
            Ok(place) if lane.address.connected() => {
                post(
                    &lane.address,
                    Data {
                        message,
                        permit: Permit { _place: place },
                    },
                );
                Ok(())
            }
            _ => Err(self.down(message)),
        }
    }

    /// Asks and waits for the answer for at most `timeout_ms` milliseconds.
    pub async fn query<M>(&self, message: M, timeout_ms: u64) -> Result<M::Result, QueryError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let actor = self.name_arc();
        let Some(lane) = self.lane() else {
            return Err(QueryError::Down { actor });
        };
        let Ok(_place) = lane.queries.try_acquire() else {
            return Err(QueryError::Busy { actor });
        };
        let limit = Duration::from_millis(timeout_ms);
        match tokio::time::timeout(limit, lane.address.send(message)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(MailboxError::Closed)) => Err(QueryError::Lost { actor }),
            Ok(Err(MailboxError::Timeout)) | Err(_) => {
                Err(QueryError::Timeout { actor, timeout_ms })
            }
        }
    }

    /// Opens the mailbox of a new life; what the actor's context receives from.
    ///
    /// The former life, if any, is cut off: its messages are not carried over.
    pub(crate) fn open(&self, generation: u64) -> AddressReceiver<A> {
        let (sender, receiver) = channel(UNBOUNDED);
        let lane = Lane {
            generation,
            address: Addr::new(sender),
            permits: Arc::new(Semaphore::new(self.shared.data_capacity)),
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
        };
        if let Some(former) = self.shared.lane.swap(Some(Arc::new(lane))) {
            former.permits.close();
        }
        receiver
    }

    /// Closes the mailbox of that life; from now on senders are told [`Down`]. A no-op if a later
    /// life has been opened since.
    pub(crate) fn close(&self, generation: u64) {
        let present = self.shared.lane.load_full();
        let Some(lane) = present
            .as_ref()
            .filter(|lane| lane.generation == generation)
        else {
            return;
        };
        self.shared.lane.compare_and_swap(&present, None);
        lane.permits.close();
    }

    /// Runs `actor` behind this reference on the current arbiter without a supervisor: for tests
    /// and tools. It lives until it stops itself, panics, or the handle is aborted.
    pub fn run_unsupervised(&self, actor: A) -> actix_rt::task::JoinHandle<()> {
        let context = Context::with_receiver(self.open(0));
        actix_rt::spawn(context.into_future(actor))
    }
}

impl<A: Actor> ActorRef<A> {
    /// The name of the actor, as the tree prints it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the actor has a life at present (it may be starting).
    pub fn is_up(&self) -> bool {
        self.lane().is_some()
    }

    /// Messages of the data lane and questions that are queued or being handled.
    ///
    /// At most the data capacity plus [`QUERIES_MAX`]; 0 while the actor is down.
    pub fn depth(&self) -> usize {
        self.lane().map_or(0, |lane| {
            let data = self
                .shared
                .data_capacity
                .saturating_sub(lane.permits.available_permits());
            data + QUERIES_MAX.saturating_sub(lane.queries.available_permits())
        })
    }

    fn name_arc(&self) -> Arc<str> {
        Arc::clone(&self.shared.name)
    }

    fn lane(&self) -> Option<Arc<Lane<A>>> {
        self.shared
            .lane
            .load_full()
            .filter(|lane| lane.address.connected())
    }

    fn down<M>(&self, message: M) -> Down<M> {
        Down {
            actor: self.name_arc(),
            message,
        }
    }
}

/// Puts a message into a mailbox without a bound; lost if the actor is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place: the lanes above make the bound by permits"
)]
pub(crate) fn post<A, M>(address: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send,
    M::Result: Send,
{
    address.do_send(message);
}

#[cfg(test)]
mod tests;
