//! BreakerActor: the circuits of all peer addresses (see [`bitfitech_core::breaker`]).
//!
//! Whoever dials asks first and reports afterwards. A crash of this actor forgets all circuits,
//! which costs some attempts too early and nothing else.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message};
use bitfitech_core::breaker::{
    Attempt, AttemptResult, BreakerConfig, BreakerRow, Breakers, Permit,
};

use crate::child::Child;
use crate::context::NodeContext;
use crate::supervised;

/// A query: may this address be dialled now?
#[derive(Message)]
#[rtype(result = "Dial")]
pub struct MayDial {
    /// HOST:PORT.
    pub address: String,
}

/// The answer to [`MayDial`].
#[derive(Clone, Copy, Debug, actix::MessageResponse)]
pub struct Dial(pub Permit);

/// How a permitted attempt ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dialled {
    /// HOST:PORT.
    pub address: String,
    /// The number of the attempt.
    pub attempt: Attempt,
    /// How it ended.
    pub result: AttemptResult,
}

/// A query: all circuits.
#[derive(Message)]
#[rtype(result = "Vec<BreakerRow>")]
pub struct Circuits;

/// The actor.
pub struct BreakerActor {
    node: Arc<NodeContext>,
    breakers: Breakers,
}

impl BreakerActor {
    /// No circuit yet.
    pub fn new(node: Arc<NodeContext>) -> Self {
        let settings = &node.settings.breaker;
        let defaults = BreakerConfig::default();
        let breakers = Breakers::new(BreakerConfig {
            failure_threshold: settings.failure_threshold,
            reset_timeout_ms: settings.reset_timeout_ms,
            half_open_probes: settings.half_open_probes,
            max_timeout_ms: settings.max_timeout_ms,
            ..defaults
        });
        Self { node, breakers }
    }
}

impl Actor for BreakerActor {
    type Context = Context<Self>;
}

impl Child for BreakerActor {}
supervised!(BreakerActor);

impl Handler<MayDial> for BreakerActor {
    type Result = Dial;

    fn handle(&mut self, ask: MayDial, _context: &mut Context<Self>) -> Dial {
        Dial(self.breakers.permit(self.node.clock.now(), &ask.address))
    }
}

impl Handler<Dialled> for BreakerActor {
    type Result = ();

    fn handle(&mut self, dialled: Dialled, _context: &mut Context<Self>) {
        let Dialled {
            address,
            attempt,
            result,
        } = dialled;
        let now = self.node.clock.now();
        if let Some(state) = self.breakers.report(now, &address, attempt, result) {
            let state = state.name();
            tracing::info!(target: "breaker", "circuit of {address} is {state}");
        }
    }
}

impl Handler<Circuits> for BreakerActor {
    type Result = Vec<BreakerRow>;

    fn handle(&mut self, _ask: Circuits, _context: &mut Context<Self>) -> Vec<BreakerRow> {
        self.breakers.rows(self.node.clock.now())
    }
}
