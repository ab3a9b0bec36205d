//! What stands between the node of a host and the network: a liar, or a planted bug.

use bitfitech_core::delivery::Delivery;
use bitfitech_core::types::{LinkId, Now, Source};
use bitfitech_core::wire::Frame;

use super::{Host, Step};
use crate::adversaries::{self, Adversary, Fate, Liar};
use crate::canaries::Canary;
use crate::event::{MS, Micros};
use crate::parcel::Parcel;
use crate::random::Random;
use crate::world::{Plan, WARM_UP_US};

/// Time between two lies that a liar tells by itself.
const LIE_US: Micros = 250 * MS;

/// One operation of so many is dropped, where dropping is planted.
const DROPPED_OF: u8 = 64;

/// A host's liar.
pub(super) struct Lies {
    adversary: Option<Box<dyn Adversary>>,
    next_us: Micros,
}

impl Lies {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        Self {
            adversary: plan.liar.map(|kind| kind.make(random)),
            next_us: WARM_UP_US + random.below(LIE_US),
        }
    }

    /// When it lies by itself the next time.
    pub(super) fn next_us(&self) -> Option<Micros> {
        self.adversary.as_ref().map(|_| self.next_us)
    }
}

impl Host {
    /// The liar's own moment, as long as users write.
    pub(super) fn tell_lies(&mut self, step: &mut Step<'_>) {
        if self.lies.next_us().is_none_or(|at_us| at_us > step.now_us) {
            return;
        }
        let liar = self.plan(step.world).liar;
        let longer_us = liar.map_or(0, adversaries::Kind::outlasts_users_us);
        if step.now_us >= step.world.end_us() + longer_us {
            self.lies.next_us = Micros::MAX;
            return;
        }
        self.lies.next_us = step.now_us + LIE_US;
        self.with_liar(step, |adversary, liar| {
            adversary.act(liar);
            Fate::Passes
        });
    }

    /// Sends a frame of the node, unless its liar thinks better of it.
    pub(super) fn send_or_lie(
        &mut self,
        step: &mut Step<'_>,
        link: LinkId,
        mut frame: Frame<Parcel>,
    ) {
        let fate = self.with_liar(step, |adversary, liar| {
            adversary.on_send(liar, link, &mut frame)
        });
        if fate == Fate::Passes {
            self.send_frame(step, link, frame);
        }
    }

    /// Lets the liar act, and sends what it wants sent.
    fn with_liar(
        &mut self,
        step: &mut Step<'_>,
        act: impl FnOnce(&mut dyn Adversary, &mut Liar<'_>) -> Fate,
    ) -> Fate {
        let now = self.now(step.world, step.now_us);
        let (Some(adversary), Some(node)) = (&mut self.lies.adversary, &self.node) else {
            return Fate::Passes;
        };
        let mut liar = Liar {
            world: step.world,
            node,
            applied: self.disk.records(),
            now,
            random: &mut self.random,
            sent: Vec::new(),
        };
        let fate = act(adversary.as_mut(), &mut liar);
        for (link, frame) in liar.sent {
            self.send_frame(step, link, frame);
        }
        fate
    }

    /// What a planted bug makes of a frame before the node gets it.
    pub(super) fn spoil(&mut self, step: &Step<'_>, link: LinkId, frame: &mut Frame<Parcel>) {
        let canary = self.plan(step.world).canary;
        let (Some(canary), Frame::Ops(_) | Frame::Page(_)) = (canary, &*frame) else {
            return;
        };
        let operations = match frame {
            Frame::Ops(pushed) => &mut pushed.operations,
            Frame::Page(page) => &mut page.operations,
            _ => return,
        };
        match canary {
            Canary::DroppedOperation => {
                operations.retain(|it| it.id().is_none_or(|id| id.0[0] % DROPPED_OF != 0));
            }
            Canary::ForgottenPark => {
                let now = self.now(step.world, step.now_us);
                let Some(node) = &mut self.node else {
                    return;
                };
                let early = operations.iter().filter_map(|parcel| match parcel {
                    Parcel::Good(it) if Delivery::is_ahead(it.body().time, now) => Some(it.clone()),
                    _ => None,
                });
                let unix_ms = u64::MAX >> 16;
                let later = Now { unix_ms, ..now };
                let early = early.collect();
                node.exchange_mut()
                    .receive(later, Source::push(link), early);
            }
            _ => {}
        }
    }
}
