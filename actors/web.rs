//! What followers of the node are told: numbered events, and states that replace each other.
//!
//! The feed is filled by the child `web` of `edge`, whose HTTP server hands it to its clients. It
//! belongs to the process, as do the subscriptions that it lives on, so a crash of that actor
//! loses no event and no number.
//!
//! An *event* happened once: a trade, an own order, a session, an actor. It has a number, and the
//! last [`EVENTS_MAX`] or [`EVENTS_BYTES_MAX`] bytes of them are kept, so that who was away for a
//! moment gets what he missed. A *state* is what something is now: a book, the network around. It
//! has no number, for the next one replaces it, and it is made only while somebody follows. Who
//! reads slowly gets fewer states, not older ones.
//!
//! Numbers go on over restarts of the process: the first one is its time of start in microseconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitfitech_core::types::MarketIndex;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::command;
use crate::command_json::{event_line, reply_fields};
use crate::command_model::Command;
use crate::context::NodeContext;
use crate::gossip_trees::trees;
use crate::messages::Event;
use crate::traffic::Counter;

/// Most events kept; the oldest go first. A guess: minutes of a busy node.
pub const EVENTS_MAX: usize = 16_384;

/// Most bytes of events kept; the oldest go first.
pub const EVENTS_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// Levels of each side in the state of a book.
pub const BOOK_LEVELS: u32 = 50;

/// Time between two looks at what has changed: twenty pictures a second are as good as a film.
const LOOK: Duration = Duration::from_millis(50);

/// Looks between two pictures of the network: one a second.
const LOOKS_PER_PICTURE: u32 = 20;

/// Numbers that a process may use for each microsecond since the epoch.
const NUMBERS_PER_MS: u64 = 1_000;

/// Which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    /// The book of a market.
    Book(MarketIndex),
    /// Sessions, circuits, links between nodes, actors, digests, counters.
    Network,
}

/// A text as it goes to a follower.
pub type Line = Arc<str>;

#[derive(Debug)]
struct Log {
    /// Number of the first event that is kept, or of the next one if there is none.
    first: u64,
    events: VecDeque<Line>,
    bytes: usize,
    /// The present states, each with the version of the feed at which it came.
    states: BTreeMap<StateKind, (u64, Line)>,
    version: u64,
    /// How many follow which market.
    followers: BTreeMap<MarketIndex, usize>,
}

/// The feed.
#[derive(Debug)]
pub struct Feed {
    log: Mutex<Log>,
    changed: watch::Sender<u64>,
    /// Followers that were dropped because they did not read or did not answer.
    pub dropped: Counter,
}

/// What a follower has not had yet.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// Where the follower is then.
    pub place: Place,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the last event that he has.
    pub number: u64,
    /// Version of the feed at which he last looked.
    pub version: u64,
}

/// Events that a follower lacks are no longer kept, or were never there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

impl Feed {
    /// An empty feed of a process that starts now.
    pub fn new(unix_ms: u64) -> Self {
        let log = Log {
            first: unix_ms.saturating_mul(NUMBERS_PER_MS) + 1,
            events: VecDeque::new(),
            bytes: 0,
            states: BTreeMap::new(),
            version: 0,
            followers: BTreeMap::new(),
        };
        Self {
            log: Mutex::new(log),
            changed: watch::Sender::new(0),
            dropped: Counter::default(),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the last event.
    pub fn last(&self) -> u64 {
        self.log().last()
    }

    /// Tells when there is something new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Adds an event, a JSON object; its number becomes its first field.
    pub fn add_event(&self, object: &str) {
        let mut log = self.log();
        let number = log.last() + 1;
        let fields = object.strip_prefix('{').unwrap_or(object);
        let line: Line = format!("{{\"number\":{number},{fields}").into();
        log.bytes += line.len();
        log.events.push_back(line);
        while log.events.len() > EVENTS_MAX || log.bytes > EVENTS_BYTES_MAX {
            let Some(oldest) = log.events.pop_front() else {
                break;
            };
            log.bytes -= oldest.len();
            log.first += 1;
        }
        self.tell(log);
    }

    /// Replaces a state, unless it is as it was.
    pub fn set_state(&self, kind: StateKind, line: String) {
        let mut log = self.log();
        let is_same = |(_, former): &(u64, Line)| **former == *line;
        if log.states.get(&kind).is_some_and(is_same) {
            return;
        }
        let version = log.version + 1;
        log.states.insert(kind, (version, line.into()));
        self.tell(log);
    }

    fn tell(&self, mut log: MutexGuard<'_, Log>) {
        log.version += 1;
        let version = log.version;
        drop(log);
        self.changed.send_replace(version);
    }

    /// What a follower of that market has not had yet, at most `lines_max` events of it.
    ///
    /// # Errors
    /// When events that he lacks are gone: he needs a snapshot.
    pub fn news(
        &self,
        place: Place,
        market: MarketIndex,
        lines_max: usize,
    ) -> Result<News, Missed> {
        let log = self.log();
        let last = log.last();
        if place.number > last || place.number + 1 < log.first {
            return Err(Missed);
        }
        let skipped = usize::try_from(place.number + 1 - log.first).map_err(|_| Missed)?;
        let events = log.events.iter().skip(skipped).take(lines_max).cloned();
        let mut lines: Vec<Line> = events.collect();
        let number = place.number + lines.len() as u64;
        let wanted = [StateKind::Book(market), StateKind::Network];
        let states = wanted.iter().filter_map(|kind| log.states.get(kind));
        let newer = states.filter(|(version, _)| *version > place.version);
        lines.extend(newer.map(|(_, line)| Arc::clone(line)));
        let version = log.version;
        Ok(News {
            lines,
            place: Place { number, version },
        })
    }

    /// Somebody follows a market from now on, until the answer is dropped.
    pub fn follow(self: &Arc<Self>, market: MarketIndex) -> Following {
        *self.log().followers.entry(market).or_insert(0) += 1;
        Following {
            feed: Arc::clone(self),
            market,
        }
    }

    /// How many follow.
    pub fn follower_count(&self) -> usize {
        self.log().followers.values().sum()
    }

    fn followed(&self) -> Vec<MarketIndex> {
        self.log().followers.keys().copied().collect()
    }
}

impl Log {
    fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }
}

/// Somebody follows.
#[derive(Debug)]
pub struct Following {
    feed: Arc<Feed>,
    market: MarketIndex,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut log = self.feed.log();
        if let Some(count) = log.followers.get_mut(&self.market) {
            *count -= 1;
            if *count == 0 {
                log.followers.remove(&self.market);
                // Nobody keeps it fresh now, so nobody may get it.
                log.states.remove(&StateKind::Book(self.market));
            }
        }
        if log.followers.is_empty() {
            log.states.clear();
        }
    }
}

/// Fills the feed for as long as it is polled.
pub async fn fill(node: &Arc<NodeContext>) {
    tokio::join!(
        add_events(node, &node.web_events, |event| event),
        add_events(node, &node.web_actor_events, |event| Arc::new(
            Event::Actor(event)
        )),
        look(node),
    );
}

/// Adds what comes from one of the two sources of events.
async fn add_events<T: Clone>(
    node: &NodeContext,
    source: &tokio::sync::Mutex<Receiver<T>>,
    event_of: impl Fn(T) -> Arc<Event>,
) {
    let mut events = source.lock().await;
    loop {
        match events.recv().await {
            Ok(event) => node
                .feed
                .add_event(&event_line(&event_of(event), &node.genesis)),
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(target: "web", "{count} events were not told: too many");
                let lost = json!({"event": "lost", "count": count});
                node.feed.add_event(&lost.to_string());
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Makes the states that somebody follows.
async fn look(node: &Arc<NodeContext>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = BTreeMap::new();
    let mut until_picture = 0;
    loop {
        looks.tick().await;
        let followed = node.feed.followed();
        seen.retain(|market, _| followed.contains(market));
        if followed.is_empty() {
            until_picture = 0;
            continue;
        }
        for market in followed {
            let version = node.board_version.get();
            if seen.get(&market) == Some(&version) {
                continue;
            }
            if let Some(book) = book(node, market).await {
                node.feed.set_state(StateKind::Book(market), book);
                seen.insert(market, version);
            }
        }
        if until_picture == 0 {
            let picture = picture(node).await.to_string();
            node.feed.set_state(StateKind::Network, picture);
            until_picture = LOOKS_PER_PICTURE;
        }
        until_picture -= 1;
    }
}

async fn book(node: &Arc<NodeContext>, market: MarketIndex) -> Option<String> {
    let depth = BOOK_LEVELS;
    let mut fields = fields_of(node, Command::Book { market, depth }).await?;
    fields["state"] = json!("book");
    Some(fields.to_string())
}

/// The network as this node sees it; what does not answer is missing.
async fn picture(node: &Arc<NodeContext>) -> Value {
    let mut picture = json!({"state": "network"});
    for command in [Command::Peers, Command::Breakers, Command::Topology] {
        if let Some(Value::Object(fields)) = fields_of(node, command).await {
            let all = fields.into_iter();
            all.for_each(|(name, value)| picture[name] = value);
        }
    }
    for (name, command) in [("tree", Command::Tree), ("digest", Command::Digest)] {
        if let Some(fields) = fields_of(node, command).await {
            picture[name] = fields;
        }
    }
    if let Ok(trees) = trees(node).await {
        picture["gossip"] = trees;
    }
    if let Some(fields) = fields_of(node, Command::Stats).await {
        picture["stats"] = fields["stats"].clone();
    }
    picture
}

async fn fields_of(node: &Arc<NodeContext>, command: Command) -> Option<Value> {
    let reply = command::execute(node, command).await.ok()?;
    serde_json::to_value(reply_fields(&reply, &node.genesis)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKET: MarketIndex = MarketIndex(0);

    fn place(number: u64) -> Place {
        Place { number, version: 0 }
    }

    #[test]
    fn events_are_numbered_without_gap_and_resumed() {
        let feed = Feed::new(7);
        let begin = feed.last();
        assert_eq!(begin, 7_000);
        for _ in 0..3 {
            feed.add_event(r#"{"event":"x"}"#);
        }
        let news = feed.news(place(begin + 1), MARKET, 100).expect("kept");
        let lines: Vec<&str> = news.lines.iter().map(|line| &**line).collect();
        let expected = [
            r#"{"number":7002,"event":"x"}"#,
            r#"{"number":7003,"event":"x"}"#,
        ];
        assert_eq!(lines, expected);
        assert_eq!(news.place.number, begin + 3);
        let none = feed.news(news.place, MARKET, 100).expect("kept");
        assert_eq!(none.lines.len(), 0);
    }

    #[test]
    fn who_was_away_too_long_or_comes_from_elsewhere_is_told() {
        let feed = Feed::new(7);
        let begin = feed.last();
        for _ in 0..=EVENTS_MAX {
            feed.add_event("{}");
        }
        assert_eq!(feed.news(place(begin), MARKET, 1), Err(Missed));
        assert!(feed.news(place(begin + 1), MARKET, 1).is_ok());
        assert_eq!(feed.news(place(feed.last() + 1), MARKET, 1), Err(Missed));
        let long = format!("{{\"text\":\"{}\"}}", "x".repeat(EVENTS_BYTES_MAX / 2));
        (0..2).for_each(|_| feed.add_event(&long));
        assert_eq!(feed.news(place(feed.last() - 2), MARKET, 9), Err(Missed));
        assert!(feed.log().bytes <= EVENTS_BYTES_MAX);
    }

    #[test]
    fn a_state_is_told_once_and_forgotten_with_its_last_follower() {
        let feed = Arc::new(Feed::new(0));
        let following = feed.follow(MARKET);
        feed.set_state(StateKind::Book(MARKET), "one".to_string());
        feed.set_state(StateKind::Book(MARKET), "two".to_string());
        let news = feed.news(place(0), MARKET, 9).expect("kept");
        assert_eq!(news.lines.len(), 1, "the second replaced the first");
        feed.set_state(StateKind::Book(MARKET), "two".to_string());
        let none = feed.news(news.place, MARKET, 9).expect("kept");
        assert_eq!(none.lines.len(), 0, "it is as it was");
        drop(following);
        assert_eq!(feed.news(place(0), MARKET, 9).expect("kept").lines.len(), 0);
    }
}
