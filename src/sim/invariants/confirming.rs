//! 7: confirming a trade that is shown, with its quantity, changes no other trade.
//!
//! In the end all trades are settled, so this looks into the past: what a host had applied at some
//! moment is replayed twice. In one replay the owners of a tentative trade confirm it, in the other
//! they write heartbeats instead, for any operation may end leases and give halves back. Books,
//! trades and orders must be the same. What they wrote is part of the replay from its beginning:
//! added behind, a confirmation of what is shown would have nothing done again.

use bitfitech_core::exchange::{Exchange, Output, OwnChain};
use bitfitech_core::op::{Action, Half, Verified};
use bitfitech_core::types::{LinkId, Now, OrderId, Source};
use bitfitech_core::view::{Change, Digests, TradeFacts, TradeStatus};
use ed25519_zebra::SigningKey;

use super::{Evidence, Findings};
use crate::engine::{CountedBook, Executions};
use crate::host::Host;
use crate::random::Random;

/// The moment lies within this many operations from the beginning: they are replayed several times.
const OPERATIONS_MAX: usize = 300;

/// Tentative trades that are confirmed, each by itself.
const TRADES_MAX: usize = 4;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in evidence.sample() {
        let seed = evidence.world.config.seed;
        let mut random = Random::derive(seed, "confirming", u64::from(host.index()));
        let records = host.disk().records();
        let most = records.len().min(OPERATIONS_MAX);
        let applied = &records[..most - random.index(most / 2 + 1)];
        let past = Past {
            evidence,
            host,
            applied,
        };
        if let Some(text) = past.find_fault() {
            let text = format!("{text}, after {} operations", applied.len());
            findings.add("confirming", &text);
        }
    }
}

/// What a host had applied at some moment.
struct Past<'a> {
    evidence: &'a Evidence<'a>,
    host: &'a Host,
    applied: &'a [Verified],
}

/// What the owner of an order writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// He confirms.
    Confirms,
    /// He shows that he is alive.
    IsAlive,
}

/// What is known after words of owners.
struct Outcome {
    digests: Digests,
    /// Whether the trade is shown.
    stands: bool,
    /// What they wrote.
    written: Vec<Verified>,
}

impl Past<'_> {
    /// What confirming one of the newest tentative trades changes beside it.
    fn find_fault(&self) -> Option<String> {
        let exchange = self.exchange(&self.evidence.world.key(u32::MAX), &[]);
        let changes = exchange.replica().snapshot();
        let tentative = changes.filter_map(|change| match change {
            Change::Trade { trade, .. } => (trade.status != TradeStatus::Final).then_some(trade),
            Change::Order { .. } | Change::OrderGone(_) => None,
        });
        let tentative: Vec<TradeFacts> = tentative.collect();
        let mut newest = tentative.iter().rev().take(TRADES_MAX);
        newest.find_map(|trade| self.fault(trade))
    }

    /// What is different when first the buyer and then the seller too confirm a trade.
    fn fault(&self, trade: &TradeFacts) -> Option<String> {
        let (mut confirmations, mut heartbeats) = (Vec::new(), Vec::new());
        for own in [trade.buy, trade.sell] {
            let confirmed = self.after(trade, &own, (confirmations, Word::Confirms))?;
            let alive = self.after(trade, &own, (heartbeats, Word::IsAlive))?;
            let parts = |it: &Digests| (it.book, it.trades, it.orders);
            if alive.stands && parts(&confirmed.digests) != parts(&alive.digests) {
                let (id, host) = (trade.row().trade.short(), self.host.index());
                return Some(format!(
                    "confirming trade {id} of host {host} changes others"
                ));
            }
            (confirmations, heartbeats) = (confirmed.written, alive.written);
        }
        None
    }

    /// What follows when the owner of this order of a trade says something, after what was written
    /// before. `None` if he does not lie within the plan, lies, or may not say that.
    fn after(
        &self,
        trade: &TradeFacts,
        own: &OrderId,
        (mut written, word): (Vec<Verified>, Word),
    ) -> Option<Outcome> {
        let key = self.key_of(own)?;
        let mut exchange = self.exchange(&key, &[]);
        let now = self.now(written.len() as u64);
        let link = Source::push(LinkId(0));
        exchange.receive(now, link, written.clone());
        exchange.handle_tick(now);
        let actions = match word {
            Word::Confirms => vec![Action::Confirm(half(trade, own, &exchange)?)],
            Word::IsAlive => Vec::new(),
        };
        exchange.submit(now, actions).ok()?;
        while let Some(output) = exchange.poll_output() {
            if let Output::Persist { operation, .. } = output
                && !written.contains(&operation)
            {
                written.push(operation);
            }
        }
        let is_it = |change: &Change| {
            matches!(change, Change::Trade { trade: other, .. }
                if (other.buy, other.sell, other.piece, other.quantity)
                    == (trade.buy, trade.sell, trade.piece, trade.quantity))
        };
        let mut exchange = self.exchange(&key, &written);
        Some(Outcome {
            digests: exchange.digests(),
            stands: exchange.replica().snapshot().any(|change| is_it(&change)),
            written,
        })
    }

    /// The key of the owner of an order, if he is an honest host that is up.
    fn key_of(&self, order: &OrderId) -> Option<SigningKey> {
        let dag = self.host.node()?.exchange().dag();
        let owner = dag.author_of_order(order)?;
        let mut hosts = self.evidence.hosts.iter();
        let owner = hosts.find(|host| host.author() == owner)?;
        Some(self.evidence.world.key(owner.index()))
    }

    /// A node with this key that has applied what the host had, and more, with the engine that the
    /// host has.
    fn exchange(&self, key: &SigningKey, more: &[Verified]) -> Exchange<CountedBook> {
        let world = self.evidence.world;
        let canary = self.host.plan(world).canary;
        let make_engine =
            |secret: &[u8; 32]| CountedBook::new(secret, Executions::default(), canary);
        let mut exchange = Exchange::new(world.genesis.clone(), *key, make_engine);
        for operation in self.applied.iter().chain(more) {
            let restored = exchange.restore_verified(operation);
            restored.expect("the host has applied it in this order");
        }
        exchange.handle_restored(self.now(0), OwnChain::Complete);
        exchange
    }

    /// A moment right after the last of the operations.
    fn now(&self, after_ms: u64) -> Now {
        let times = self.applied.iter().map(|it| it.body().time.unix_ms());
        Now {
            monotonic_ms: 0,
            unix_ms: times.max().unwrap_or(0) + 1 + after_ms,
        }
    }
}

/// The half that confirms a trade with its quantity, if the other owner has named no other one.
fn half(trade: &TradeFacts, own: &OrderId, exchange: &Exchange<CountedBook>) -> Option<Half> {
    let other = if *own == trade.buy {
        trade.sell
    } else {
        trade.buy
    };
    let theirs = exchange.confirmations().halves(&other, own, exchange.dag());
    let differs = theirs
        .iter()
        .any(|it| it.piece == trade.piece && it.quantity != trade.quantity);
    (!differs).then_some(Half {
        market: trade.market,
        own: *own,
        other,
        piece: trade.piece,
        quantity: trade.quantity,
        price: trade.price,
    })
}
