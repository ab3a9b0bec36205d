//! An alarm: wakes an actor when its state machine has something to do.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, SpawnHandle};
use bitfitech_core::types::Now;

/// When the actor is woken next, on the monotonic clock, and what will do it.
#[derive(Default)]
pub(crate) struct Alarm(Option<(u64, SpawnHandle)>);

/// An actor that has an alarm.
pub(crate) trait Alarmed: Actor<Context = Context<Self>> {
    /// Its alarm.
    fn alarm(&mut self) -> &mut Alarm;

    /// Does what is due, and sets the alarm again.
    fn on_alarm(&mut self, context: &mut Context<Self>);
}

/// Has the actor woken at `due_ms`, if there is such a time and it is not woken before that anyway.
pub(crate) fn set_alarm<A: Alarmed>(
    actor: &mut A,
    now: Now,
    due_ms: Option<u64>,
    context: &mut Context<A>,
) {
    let Some(due_ms) = due_ms else {
        return;
    };
    if let Some((set_ms, handle)) = actor.alarm().0 {
        if set_ms <= due_ms {
            return;
        }
        context.cancel_future(handle);
    }
    let wait_ms = due_ms.saturating_sub(now.monotonic_ms);
    let handle = context.run_later(Duration::from_millis(wait_ms), |actor, context| {
        actor.alarm().0 = None;
        actor.on_alarm(context);
    });
    actor.alarm().0 = Some((due_ms, handle));
}
