//! CommandActor: the console.
//!
//! It takes lines from the standard input one after the other, asks the actor that knows the
//! answer, and writes one reply per command, in the order of the input; between them it writes
//! what happens by itself. Orders that follow each other are on their way together (see
//! `command_pipeline`). The streams belong to the process (see [`crate::console`]), so a
//! crash of this actor costs at most the replies to the commands that were under way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use bitfitech_core::peer_exchange::DialResult;
use bitfitech_core::supervision::{AddError, Status};
use bitfitech_core::wire::{Goodbye, GoodbyeCode};
use bitfitech_io::config::{HostPort, LogLevel};
use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Sender;

use crate::breaker::Circuits;
use crate::child::{Child, ChildContext, Started};
use crate::command_dht;
use crate::command_error::CommandError;
use crate::command_grammar::{parse, reply_word};
use crate::command_help::help_text;
use crate::command_json::{answer_line, event_line};
use crate::command_model::{Command, IdPrefix};
use crate::command_pipeline::Pipeline;
use crate::command_render::{answer_text, event_text};
use crate::command_table::Style;
use crate::console::{Input, Output, Turn};
use crate::context::{NodeContext, SessionEntry};
use crate::discovery::{AskTopology, DialEnded};
use crate::drill;
use crate::gossip::AskPeers;
use crate::mailbox::QueryError;
use crate::matcher::{AskClock, AskDigests, AskHistory, AskStats};
use crate::matcher_submission::Submit;
use crate::membership::members;
use crate::messages::{Answer, ErrorCode, Event, Reply, ReplyError};
use crate::node;
use crate::orderbook::{Ask, AskBook, CountTrades, ExplainTrade};
use crate::peer::Close;
use crate::supervised;
use crate::supervisor::{StartChild, StopChild};

/// How long an actor may take to answer a question.
const ASK_MS: u64 = 10_000;

/// How long an order may take to be on disk.
const SUBMIT_MS: u64 = 30_000;

/// How long a command waits for an actor that is restarting.
const RESTART_WAIT: Duration = Duration::from_millis(100);

/// How often it looks whether that actor is back: together 5 s.
const RESTART_TRIES: usize = 50;

/// How the console speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// To people.
    Text(Style),
    /// To programs.
    Json,
}

/// What happens when the input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// The node goes on without commands.
    GoOn,
    /// The node shuts down.
    ShutDown,
}

/// The actor.
pub struct CommandActor {
    node: Arc<NodeContext>,
    speech: Speech,
    at_end: AtEnd,
    generation: u64,
}

impl CommandActor {
    /// A console that has not begun.
    pub fn new(
        node: Arc<NodeContext>,
        speech: Speech,
        at_end: AtEnd,
        child: &ChildContext,
    ) -> Self {
        Self {
            node,
            speech,
            at_end,
            generation: child.generation,
        }
    }
}

impl Actor for CommandActor {
    type Context = Context<Self>;
}

impl Child for CommandActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        let Some(output) = self.node.console.output() else {
            started.report();
            return;
        };
        let teller = Teller {
            node: Arc::clone(&self.node),
            speech: self.speech,
            output,
        };
        let (generation, at_end) = (self.generation, self.at_end);
        let speaking = async move {
            teller.node.up.wait().await;
            teller.tell_begin(generation);
            let node = &teller.node;
            tokio::join!(
                tell_events(&teller, &node.console_events, |event| event),
                tell_events(&teller, &node.console_actor_events, |event| {
                    Arc::new(Event::Actor(event))
                }),
                answer_commands(teller.clone(), at_end),
            );
        };
        context.spawn(speaking.into_actor(self));
        started.report();
    }
}
supervised!(CommandActor);

/// Writes to the standard output.
#[derive(Clone)]
struct Teller {
    node: Arc<NodeContext>,
    speech: Speech,
    output: Sender<Output>,
}

impl Teller {
    /// Says that the node is up, in the first life of the console, and lets a terminal prompt.
    fn tell_begin(&self, generation: u64) {
        if generation == 1 {
            self.tell_event(&Event::Ready(Box::new(node::ready(&self.node))));
        }
        if let Some(turn) = self.node.console.first_turn() {
            // If the output is full, the prompt comes before what waits in it.
            drop(self.output.try_send(Output::EndOfTurn(turn)));
        }
    }

    /// Writes an event, unless too much is waiting to be written already.
    fn tell_event(&self, event: &Event) {
        let genesis = &self.node.genesis;
        let text = match self.speech {
            Speech::Json => event_line(event, genesis) + "\n",
            Speech::Text(style) => event_text(event, genesis, style),
        };
        if self.output.try_send(Output::Text(text)).is_err() {
            tracing::debug!(target: "command", "an event was not written: the output is full");
        }
    }

    /// Writes a reply, waiting for room.
    async fn tell_answer(&self, line: &str, answer: &Answer) {
        let genesis = &self.node.genesis;
        let text = match self.speech {
            Speech::Json => answer_line(reply_word(line), answer, genesis) + "\n",
            Speech::Text(style) => answer_text(answer, genesis, style),
        };
        // A reader that is gone wants no answer.
        drop(self.output.send(Output::Text(text)).await);
    }

    /// Writes the reply to an order, and lets a terminal prompt again.
    async fn tell_order(&self, (line, turn, answer): (String, Turn, Answer)) {
        self.tell_answer(&line, &answer).await;
        self.end_turn(turn).await;
    }

    /// Writes the replies to all orders that are on their way.
    async fn tell_orders(&self, orders: &mut Pipeline) {
        while let Some(answered) = orders.next().await {
            self.tell_order(answered).await;
        }
    }

    /// Lets a terminal prompt again once the answer is written.
    async fn end_turn(&self, turn: Turn) {
        if turn.is_awaited() {
            // A reader that is gone wants no prompt.
            drop(self.output.send(Output::EndOfTurn(turn)).await);
        }
    }
}

/// Writes what comes from one of the two sources of events.
async fn tell_events<T: Clone>(
    teller: &Teller,
    source: &Mutex<Receiver<T>>,
    event_of: impl Fn(T) -> Arc<Event>,
) {
    let mut events = source.lock().await;
    loop {
        match events.recv().await {
            Ok(event) => teller.tell_event(&event_of(event)),
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(target: "command", "{count} events were not written: too many");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Answers commands until the input ends.
async fn answer_commands(teller: Teller, at_end: AtEnd) {
    let node = Arc::clone(&teller.node);
    let mut lines = node.console.input.lock().await;
    let mut orders = Pipeline::default();
    loop {
        let next = tokio::select! {
            // What is answered is told before more is read.
            biased;
            Some(answered) = orders.next(), if !orders.is_empty() => {
                teller.tell_order(answered).await;
                continue;
            }
            next = lines.recv(), if orders.has_room() => next,
        };
        let (input, turn) = next.unwrap_or((Input::End, Turn::default()));
        let (line, parsed) = match input {
            Input::Line(line) => {
                let parsed = parse(&line, &node.genesis);
                (line, parsed)
            }
            Input::TooLong(line) => {
                let bytes = line.len();
                (line, Err(CommandError::TooLong { bytes }))
            }
            Input::End => {
                teller.tell_orders(&mut orders).await;
                if at_end == AtEnd::ShutDown {
                    node.quit.notify_one();
                }
                return;
            }
        };
        if let Ok(Some(command)) = &parsed
            && Pipeline::takes(command)
        {
            orders.begin(&node, line, turn, command.clone());
            continue;
        }
        teller.tell_orders(&mut orders).await;
        match parsed {
            Ok(None) => {}
            Ok(Some(Command::Quit)) => {
                teller.tell_answer(&line, &Ok(Reply::Quit)).await;
                node.console.keep_turn(turn);
                node.quit.notify_one();
                continue;
            }
            Ok(Some(command)) => answer(&teller, &line, command).await,
            Err(error) => teller.tell_answer(&line, &Err(error.into())).await,
        }
        teller.end_turn(turn).await;
    }
}

/// Executes a command and writes the reply.
async fn answer(teller: &Teller, line: &str, command: Command) {
    let node = &teller.node;
    match command {
        // Answered first: the crash may be that of this very actor, or of one that it needs.
        Command::Crash(actor) => {
            let checked = check_drill(node, &actor);
            teller.tell_answer(line, &checked).await;
            if checked.is_ok() {
                // An actor that went down by itself meanwhile needs no drill.
                drop(drill::crash(&node.environment.board, &actor));
                // The console waits until the crash has happened, so that what is typed next
                // meets the node behind it.
                actix_rt::time::sleep(RESTART_WAIT).await;
            }
        }
        command => {
            let answer = execute(node, command).await;
            teller.tell_answer(line, &answer).await;
        }
    }
}

/// Whether a fault drill may be done.
fn check_drill(node: &NodeContext, actor: &str) -> Answer {
    if !node.settings.debug.drills {
        let text = "fault drills are off: start the node with -D debug.drills=true";
        return Err(ReplyError::new(ErrorCode::DrillsOff, text));
    }
    let status = node.environment.board.status(actor);
    let Some(status) = status else {
        let text = format!("there is no actor named {actor}: `tree` lists all names");
        return Err(ReplyError::new(ErrorCode::UnknownActor, text));
    };
    if status != Status::Running {
        let text = format!("{actor} is {} now: try again later", status.name());
        return Err(ReplyError::new(ErrorCode::Unavailable, text));
    }
    let actor = actor.to_string();
    Ok(Reply::Crash { actor })
}

/// Answers one line as the console would in JSON: for services that speak for their callers. The
/// line must be one whose command is theirs to give.
pub async fn answer_once(node: &Arc<NodeContext>, line: &str) -> String {
    let answer = answer_to(node, line).await;
    answer_line(reply_word(line), &answer, &node.genesis)
}

/// Answers one line as the console would. As with [`answer_once`], its command must be one that is
/// the caller's to give.
pub async fn answer_to(node: &Arc<NodeContext>, line: &str) -> Answer {
    match parse(line, &node.genesis) {
        Ok(Some(command)) => execute(node, command).await,
        Ok(None) => Err(ReplyError::new(
            ErrorCode::BadCommand,
            "there is no command",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Executes a command.
pub(crate) async fn execute(node: &Arc<NodeContext>, command: Command) -> Answer {
    let refs = &node.refs;
    match command {
        Command::Place(order) => submit(node, Submit::Place(order)).await,
        Command::Confirm(trade) => about_trade(node, trade, Submit::Confirm(trade)).await,
        Command::Release(trade) => about_trade(node, trade, Submit::Release(trade)).await,
        Command::Cancel(order) => submit(node, Submit::Cancel(order)).await,
        Command::CancelAll => cancel_all(node).await,
        Command::Replace(replace) => submit(node, Submit::Replace(replace)).await,
        Command::Order(prefix) => ask(node, Ask::Order(prefix)).await,
        Command::Orders { scope, limit } => {
            let limit = limit.map_or(usize::MAX, |limit| limit as usize);
            ask(node, Ask::Orders { scope, limit }).await
        }
        Command::Book { market, depth } => {
            let depth = depth as usize;
            insist(|| refs.orderbook.query(AskBook { market, depth }, ASK_MS)).await?
        }
        Command::Trades { market, limit } => {
            let limit = limit as usize;
            ask(node, Ask::Trades { market, limit }).await
        }
        Command::Peers => {
            let peers = insist(|| refs.gossip.query(AskPeers, ASK_MS)).await?;
            Ok(Reply::Peers(peers))
        }
        Command::Connect(address) => connect(node, &address).await,
        Command::Disconnect(prefix) => disconnect(node, prefix).await,
        Command::Dht(command) => command_dht::execute(node, command).await,
        Command::Breakers => {
            let circuits = insist(|| refs.breaker.query(Circuits, ASK_MS)).await?;
            Ok(Reply::Breakers(circuits))
        }
        Command::Topology => {
            let links = insist(|| refs.discovery.query(AskTopology, ASK_MS)).await?;
            Ok(Reply::Topology(links))
        }
        Command::Members => Ok(Reply::Members(members(node))),
        Command::Member(sentence) => submit(node, Submit::Member(sentence)).await,
        Command::Clock(query) => insist(|| refs.matcher.query(AskClock(query), ASK_MS)).await?,
        Command::Digest => {
            let digests = insist(|| refs.matcher.query(AskDigests, ASK_MS)).await?;
            Ok(Reply::Digest(digests))
        }
        Command::Stats => stats(node).await,
        Command::Tree => tree(node),
        Command::Log { level, target } => set_log_level(node, level, target),
        Command::Help(topic) => Ok(Reply::Help(help_text(topic))),
        // Answered by the caller.
        Command::Crash(actor) => check_drill(node, &actor),
        Command::Quit => Ok(Reply::Quit),
    }
}

/// Asks again while the actor is restarting: a question has no effect, so it may be repeated.
async fn insist<R, F>(mut question: impl FnMut() -> F) -> Result<R, ReplyError>
where
    F: Future<Output = Result<R, QueryError>>,
{
    let mut tries = 0;
    loop {
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(QueryError::Down { .. } | QueryError::Lost { .. }) if tries < RESTART_TRIES => {
                tries += 1;
                actix_rt::time::sleep(RESTART_WAIT).await;
            }
            Err(error) => return Err(query_error(&error)),
        }
    }
}

/// Why an actor gave no answer, for users.
fn query_error(error: &QueryError) -> ReplyError {
    let code = match error {
        QueryError::Down { .. } | QueryError::Lost { .. } => ErrorCode::Unavailable,
        QueryError::Busy { .. } => ErrorCode::Overloaded,
        QueryError::Timeout { .. } => ErrorCode::Timeout,
    };
    ReplyError::new(code, error.to_string())
}

/// Asks the orderbook.
async fn ask(node: &NodeContext, question: Ask) -> Answer {
    match insist(|| node.refs.orderbook.query(question, ASK_MS)).await? {
        Some(answer) => answer,
        None => insist(|| node.refs.matcher.query(AskHistory(question), ASK_MS)).await?,
    }
}

/// Has the matcher write something. Never repeated once it was heard: it may have been written.
async fn submit(node: &NodeContext, submit: Submit) -> Answer {
    let mut tries = 0;
    while !node.refs.matcher.is_up() && tries < RESTART_TRIES {
        tries += 1;
        actix_rt::time::sleep(RESTART_WAIT).await;
    }
    let answer = node.refs.matcher.query(submit, SUBMIT_MS).await;
    answer.map_err(|error| query_error(&error))?
}

/// Confirms or releases a trade. The matcher knows what can be signed; if it finds nothing, the
/// orderbook knows why.
async fn about_trade(node: &NodeContext, trade: IdPrefix, wanted: Submit) -> Answer {
    let answer = submit(node, wanted).await;
    match answer {
        Err(error) if error.code == ErrorCode::UnknownTrade => {
            let explained = || node.refs.orderbook.query(ExplainTrade(trade), ASK_MS);
            Err(insist(explained).await.unwrap_or(error))
        }
        answer => answer,
    }
}

/// Cancels own open orders until none is left: one operation ends as many as it can hold.
async fn cancel_all(node: &NodeContext) -> Answer {
    let mut ended = Vec::new();
    loop {
        match submit(node, Submit::CancelAll).await? {
            Reply::CancelAll(rows) if !rows.is_empty() => ended.extend(rows),
            _ => return Ok(Reply::CancelAll(ended)),
        }
    }
}

/// Dials an address from now on.
async fn connect(node: &Arc<NodeContext>, address: &HostPort) -> Answer {
    let child = node::wanted_peer(node, address);
    let name = child.name().to_string();
    // One that was told to end, by either side, is there no more but in name.
    if node.environment.board.status(&name) == Some(Status::Stopped) {
        let stop = || StopChild { name: name.clone() };
        insist(|| node.refs.peers.query(stop(), ASK_MS)).await?;
    }
    let started = insist(|| node.refs.peers.query(StartChild(child.clone()), ASK_MS)).await?;
    match started {
        // A child of this name dials it already.
        Ok(()) | Err(AddError::Duplicate { .. }) => {
            let address = address.to_string();
            Ok(Reply::Connect { address })
        }
        Err(error) => Err(ReplyError::new(ErrorCode::Overloaded, error.to_string())),
    }
}

/// Ends the session with a node and dials it no more.
async fn disconnect(node: &NodeContext, prefix: IdPrefix) -> Answer {
    let sessions = node.directory.iter().map(|entry| entry.value().clone());
    let mut found: Vec<SessionEntry> = sessions
        .filter(|entry| prefix.matches(&entry.node.0))
        .collect();
    found.dedup_by_key(|entry| entry.node);
    match &found[..] {
        [] => Err(ReplyError::new(
            ErrorCode::UnknownPeer,
            format!("no session with a node {prefix}: `peers` lists the sessions"),
        )),
        [session] => {
            let name = session.peer.name().to_string();
            // Said first, so that the other side does not dial again by itself.
            drop(session.peer.control(Close(Goodbye {
                code: GoodbyeCode::Requested,
                reason: "a user ended the session".to_string(),
            })));
            let stop = || StopChild { name: name.clone() };
            insist(|| node.refs.peers.query(stop(), ASK_MS)).await?;
            if let Some(address) = session.facts.place {
                let result = DialResult::Unwanted;
                // A fresh actor that finds peers may dial it again, as after a restart.
                drop(
                    node.refs
                        .discovery
                        .query(DialEnded { address, result }, ASK_MS)
                        .await,
                );
            }
            Ok(Reply::Disconnect { node: session.node })
        }
        [first, second, ..] => Err(ReplyError::new(
            ErrorCode::AmbiguousPeer,
            format!(
                "{prefix} begins {} and {}: type more of it",
                first.node, second.node
            ),
        )),
    }
}

/// Numbers about the node.
async fn stats(node: &NodeContext) -> Answer {
    let mut numbers = insist(|| node.refs.matcher.query(AskStats, ASK_MS)).await?;
    let (tentative, finals) = insist(|| node.refs.orderbook.query(CountTrades, ASK_MS)).await?;
    numbers.push(("trades_tentative".to_string(), tentative));
    numbers.push(("trades_final".to_string(), finals));
    numbers.push(("peers".to_string(), node.directory.len() as u64));
    numbers.push(("actors".to_string(), node.environment.board.count() as u64));
    let uptime_ms = node.clock.now().monotonic_ms;
    numbers.push(("uptime_ms".to_string(), uptime_ms));
    Ok(Reply::Stats(numbers))
}

/// The supervision tree.
fn tree(node: &NodeContext) -> Answer {
    let root = node.environment.board.tree(node.refs.root.name());
    root.map(Reply::Tree).ok_or_else(|| {
        ReplyError::new(
            ErrorCode::Unavailable,
            "the tree is not known yet: try again",
        )
    })
}

/// Changes what is logged.
fn set_log_level(node: &NodeContext, level: LogLevel, target: Option<String>) -> Answer {
    let set = node.log_control.set(level, target.as_deref());
    set.map_err(|error| ReplyError::new(ErrorCode::BadCommand, error.to_string()))?;
    let level = level.name().to_string();
    Ok(Reply::Log { level, target })
}
