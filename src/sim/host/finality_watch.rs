//! Property 5 as it happens: what a node has shown as final it never takes back or changes.
//!
//! A node's own half counts once it is on the disk: before that, nobody else has it, and a crash
//! may undo it. So what changes while an own operation is on its way to the disk is looked at when
//! it is there.

use bitfitech_core::dag::Dag;
use bitfitech_core::types::OrderId;
use bitfitech_core::view::{Change, TradeChange, TradeFacts, TradeStatus};

use super::{Host, Step};
use crate::finals::FinalTrade;

/// The final trades that a node has shown since its start, by their numbers.
#[derive(Debug, Default)]
pub(super) struct SeenFinals {
    seen: Vec<u64>,
    /// News of trades that wait for the disk.
    waiting: Vec<(TradeFacts, TradeChange)>,
}

impl SeenFinals {
    fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, 0);
        }
        self.seen[at] |= 1 << (number % 64);
    }

    fn contains(&self, number: u32) -> bool {
        let word = self.seen.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

impl Host {
    /// The books have changed, or something is on the disk.
    pub(super) fn watch_finals(&mut self, step: &mut Step<'_>, changes: Vec<Change>) {
        if self.plan(step.world).liar.is_some() {
            return;
        }
        let trades = changes.into_iter().filter_map(|change| match change {
            Change::Trade { trade, change, .. } => Some((trade, change)),
            Change::Order { .. } | Change::OrderGone(_) => None,
        });
        self.finals.waiting.extend(trades);
        if !self.unacknowledged.is_empty() {
            return;
        }
        for (trade, change) in std::mem::take(&mut self.finals.waiting) {
            self.watch_trade(step, &trade, change);
        }
    }

    fn watch_trade(&mut self, step: &mut Step<'_>, trade: &TradeFacts, change: TradeChange) {
        if trade.status == TradeStatus::Final {
            let number = step.tally.finals.note(FinalTrade::of(&trade.row()));
            self.finals.insert(number);
            return;
        }
        // A trade is told to have changed before it is told to be final again.
        if !matches!(change, TradeChange::Amended | TradeChange::Busted) {
            return;
        }
        let row = trade.row();
        let was_shown = {
            let mut numbers = step.tally.finals.numbers_of(&row.trade);
            numbers.any(|number| self.finals.contains(number))
        };
        if !was_shown {
            return;
        }
        if change == TradeChange::Busted || !self.is_of_forker(&FinalTrade::of(&row)) {
            let (host, id) = (self.index, row.trade.short());
            let text = format!("final trade {id} was {change:?} on host {host}");
            step.tally.note_violation(text);
        }
    }

    /// Whether an owner of a trade has forked his chain, as far as this node knows.
    pub(crate) fn is_of_forker(&self, trade: &FinalTrade) -> bool {
        let orders = [trade.buy, trade.sell];
        orders.iter().any(|order| self.is_forked(order))
    }

    /// Whether the owner of an order has forked his chain, as far as this node knows.
    pub(crate) fn is_forked(&self, order: &OrderId) -> bool {
        let dag: Option<&Dag> = self.node.as_ref().map(|node| node.exchange().dag());
        dag.is_some_and(|dag| {
            let owner = dag.author_of_order(order);
            owner.is_some_and(|owner| dag.fork_of(&owner).is_some())
        })
    }
}
