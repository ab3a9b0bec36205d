//! Property 21 as it happens: an order is bound by another one that nobody confirms for no longer
//! than `release_ms`.
//!
//! A tentative trade binds both orders: what they have for each other nobody else gets. So an
//! honest node refuses the pair when its time is over.

use std::collections::BTreeMap;

use bitfitech_core::exchange::OWN_CHAIN_PULL_MS;
use bitfitech_core::market_log::SLOW_LANE_MS;
use bitfitech_core::settlement::SettlementConfig;
use bitfitech_core::types::TradeId;
use bitfitech_core::view::{Change, TradeChange, TradeStatus};

use super::{Host, Step};
use crate::event::{MS, Micros};
use crate::world::Comeback;

/// What a refusal takes beyond `release_ms`: the slow lane of a merge, and a tick or what could not
/// be written at first.
const REFUSAL_US: Micros = (SLOW_LANE_MS + 3_000) * MS;

/// The tentative trades of own orders, by the time until which they may be shown.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    until_us: BTreeMap<TradeId, Micros>,
    /// The least of these times, or an earlier one.
    next_us: Option<Micros>,
}

impl Host {
    /// The books have changed.
    pub(super) fn note_bindings(&mut self, step: &Step<'_>, changes: &[Change]) {
        if self.plan(step.world).liar.is_some() {
            return;
        }
        for change in changes {
            let Change::Trade { trade, change, .. } = change else {
                continue;
            };
            if ![trade.buyer, trade.seller].contains(&self.local.key) {
                continue;
            }
            let row = trade.row();
            let is_over = trade.status == TradeStatus::Final || *change == TradeChange::Busted;
            if is_over {
                self.bindings.until_us.remove(&row.trade);
            } else {
                let release_ms = SettlementConfig::default().release_ms;
                let asks_ms = match self.plan(step.world).comeback {
                    Comeback::Disk => 0,
                    // It may write nothing for so long.
                    Comeback::OldCopy => OWN_CHAIN_PULL_MS,
                };
                let until_us = step.now_us + (release_ms + asks_ms) * MS + REFUSAL_US;
                self.bindings.until_us.entry(row.trade).or_insert(until_us);
                self.bindings.next_us.get_or_insert(until_us);
            }
        }
    }

    /// Reports what is bound for too long. The end of a run, in which nobody refuses anything any
    /// more, does not count.
    pub(super) fn watch_bindings(&mut self, step: &mut Step<'_>) {
        if self
            .bindings
            .next_us
            .is_none_or(|at_us| at_us > step.now_us)
        {
            return;
        }
        let is_late = |until_us: &Micros| *until_us <= step.now_us;
        let late = self.bindings.until_us.iter().filter(|it| is_late(it.1));
        let late: Vec<TradeId> = late.map(|(trade, _)| *trade).collect();
        for trade in late {
            // Once is enough.
            self.bindings.until_us.insert(trade, Micros::MAX);
            let (host, trade) = (self.index, trade.short());
            let text = format!("bound: trade {trade} is still tentative on host {host}");
            step.tally.note_violation(text);
        }
        self.bindings.next_us = self.bindings.until_us.values().min().copied();
    }
}
