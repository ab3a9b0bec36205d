//! Administrators: who expels members and admits them again.

use bitfitech_core::exchange::SubmitError;
use bitfitech_core::membership::Standing;
use bitfitech_core::op::{ACTIONS_MAX, Action, MemberChange};
use bitfitech_core::types::AuthorKey;

use super::{Host, Step};
use crate::event::{Decision, Event, HostIndex, MS, Message, Micros, USER};
use crate::random::Random;
use crate::world::World;

/// Most members of whom one decision is.
const CHANGED_MAX: u64 = 3;

/// How often, once everything is healed, administrators see to it that nobody is left expelled: one
/// who has just started may not write yet.
const LOOKS: u64 = 15;

/// Time between two of these looks.
const LOOK_US: Micros = 1_000 * MS;

/// What administrators decide in a run, numbered from here on.
pub fn decisions(world: &World, first_number: u32) -> Vec<Event> {
    let administrators = &world.administrators;
    let mut random = Random::derive(world.config.seed, "decisions", 0);
    let mut events = Vec::new();
    let mut decide = |at_us, to: HostIndex, decision| {
        events.push(Event {
            at_us,
            to,
            from: USER,
            number: first_number + events.len() as u32,
            message: Message::Administer(decision),
        });
    };
    if administrators.is_empty() {
        return events;
    }
    for _ in 0..world.config.expulsions {
        let at_us = world.counted_us() + random.below(world.config.duration_us);
        let to = administrators[random.index(administrators.len())];
        decide(at_us, to, Decision::Change(random.any()));
    }
    for look in 0..LOOKS {
        let at_us = world.healed_us + look * LOOK_US;
        let all = administrators.iter();
        all.for_each(|to| decide(at_us, *to, Decision::AdmitAll));
    }
    events
}

impl Host {
    /// The administrator decides. One who is down or may not write yet decides nothing.
    pub(super) fn administer(&mut self, step: &mut Step<'_>, decision: Decision) {
        let Some(node) = &self.node else {
            return;
        };
        let genesis = &step.world.genesis;
        let members = &genesis.allow_list;
        let change = |author: &AuthorKey| Action::Member {
            author: *author,
            change: match node.exchange().standing(author) {
                Standing::Member => MemberChange::Expel,
                Standing::Expelled | Standing::Stranger => MemberChange::Admit,
            },
        };
        let mut chosen: Vec<&AuthorKey> = match decision {
            Decision::Change(seed) => {
                let mut random = Random::new(seed);
                let count = 1 + random.below(CHANGED_MAX);
                let drawn = (0..count).map(|_| &members[random.index(members.len())]);
                drawn.collect()
            }
            Decision::AdmitAll => {
                let is_out =
                    |author: &&AuthorKey| node.exchange().standing(author) == Standing::Expelled;
                members.iter().filter(is_out).collect()
            }
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen.retain(|author| !genesis.is_administrator(author));
        let actions: Vec<Action> = chosen.into_iter().map(change).collect();
        for actions in actions.chunks(ACTIONS_MAX) {
            let mut written = None;
            self.with_node(step, |node, now| {
                written = Some(node.submit(now, actions.to_vec()))
            });
            if let Some(Err(SubmitError::Operation(error))) = written {
                panic!("an administrator may decide this: {error}");
            }
        }
    }
}
