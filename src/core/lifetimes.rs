//! When orders end by time: their own, or their author's lease.
//!
//! Time in the log is the *log clock*: the largest bucket of any applied operation, of all markets.
//! An order expires, and a silent author's orders lapse, at the end of a bucket, once the log
//! clock is beyond it. So both are entries of the market's log that stand behind all actions of
//! their bucket, and are staged like actions that came late. They are a function of the set like
//! everything else: when an operation comes that renews a lease after all, the lapse is withdrawn.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::chunks::Chunks;
use crate::dag::{Dag, OpIndex};
use crate::leases::{Gaps, Lease};
use crate::market_log::{Deed, LogEntry};
use crate::matching::{Owner, Slot};
use crate::types::MarketIndex;

/// What a market's log has to take in.
pub(crate) type Turn = (MarketIndex, LogEntry);

/// An author's lease and where it matters.
struct Tenant {
    lease: Lease,
    /// Where he has ever placed an order, sorted.
    markets: Vec<MarketIndex>,
    /// The ends of buckets at which his orders lapse, as far as the logs have been told; sorted.
    told: Vec<(u64, OpIndex)>,
}

impl Tenant {
    /// Whether the logs have been told of a lapse at the end of this bucket.
    fn is_told(&self, bucket: u64) -> bool {
        let found = self.told.binary_search_by_key(&bucket, |(at, _)| *at);
        found.is_ok()
    }
}

/// The lapses before a bucket, of two in one bucket the last, and the bucket of the next one.
fn due_and_coming(
    lapses: impl Iterator<Item = (u64, OpIndex)>,
    clock: u64,
) -> (Vec<(u64, OpIndex)>, Option<u64>) {
    let mut due: Vec<(u64, OpIndex)> = Vec::new();
    for lapse in lapses {
        if lapse.0 >= clock {
            return (due, Some(lapse.0));
        }
        due.pop_if(|last| last.0 == lapse.0);
        due.push(lapse);
    }
    (due, None)
}

/// All deadlines of orders.
pub(crate) struct Lifetimes {
    bucket_ms: u64,
    lease_ms: u64,
    /// The log clock.
    clock: u64,
    /// By the author's local number.
    tenants: Chunks<Tenant>,
    /// When to look at an author's lease again, by bucket: one entry for each who has orders.
    leases_due: BTreeSet<(u64, Owner)>,
    /// Orders that expire, by bucket.
    expiries: BTreeMap<u64, Vec<(MarketIndex, Mortal)>>,
    /// None of both is at an earlier bucket. Every operation asks, and the trees are seldom in the
    /// caches.
    earliest: u64,
}

/// An order that expires.
#[derive(Clone, Copy)]
pub(crate) struct Mortal {
    /// Its seat.
    pub(crate) seat: Slot,
    /// The action that makes it.
    pub(crate) made_by: (OpIndex, u8),
}

/// An operation as far as time is concerned.
pub(crate) struct Sign {
    /// Who wrote it.
    pub(crate) owner: Owner,
    /// Which it is.
    pub(crate) operation: OpIndex,
    /// Its time, in Unix milliseconds.
    pub(crate) time_ms: u64,
}

impl Lifetimes {
    /// No operation yet.
    pub(crate) fn new(bucket_ms: u32, lease_ms: u32) -> Self {
        Self {
            bucket_ms: u64::from(bucket_ms),
            lease_ms: u64::from(lease_ms),
            clock: 0,
            tenants: Chunks::new(),
            leases_due: BTreeSet::new(),
            expiries: BTreeMap::new(),
            earliest: u64::MAX,
        }
    }

    fn bucket_of(&self, time_ms: u64) -> u64 {
        time_ms / self.bucket_ms
    }

    /// Takes an operation in that places orders in these markets.
    pub(crate) fn insert(
        &mut self,
        sign: &Sign,
        markets: impl Iterator<Item = MarketIndex>,
        operations: &Dag,
        turns: &mut Vec<Turn>,
    ) {
        let at = sign.owner.0 as usize;
        let mut gaps = Gaps::Same;
        if at == self.tenants.len() {
            self.tenants.push(Tenant {
                lease: Lease::new(sign.time_ms, sign.operation),
                markets: Vec::new(),
                told: Vec::new(),
            });
        } else {
            let tenant = &mut self.tenants[at];
            let open_end = tenant.lease.next_lapse_ms(self.lease_ms) / self.bucket_ms;
            let lease = &mut tenant.lease;
            let rank = |at: OpIndex| (operations.seq(at), operations.id(at));
            let is_before = |first, second| rank(first) < rank(second);
            gaps = lease.insert((sign.time_ms, sign.operation), self.lease_ms, is_before);
            if tenant.is_told(open_end) {
                // The log clock has passed the open end, and this one may move or name it.
                gaps = Gaps::Changed;
            }
        }
        for market in markets {
            let tenant = &mut self.tenants[at];
            if tenant.markets.is_empty() {
                // So far it did not matter when his orders lapse, and nobody has looked.
                gaps = Gaps::Changed;
            }
            if let Err(place) = tenant.markets.binary_search(&market) {
                tenant.markets.insert(place, market);
                let told = tenant.told.iter();
                turns.extend(told.map(|(bucket, after)| {
                    let lapse = LogEntry::end(*bucket, (*after, 0), Deed::Lapse(sign.owner));
                    (market, lapse)
                }));
            }
        }
        if gaps == Gaps::Changed {
            self.tell(sign.owner, turns);
        }
        self.clock = self.clock.max(self.bucket_of(sign.time_ms));
        self.pass(turns);
    }

    /// An order expires at a time, in Unix milliseconds.
    pub(crate) fn expire(
        &mut self,
        market: MarketIndex,
        order: Mortal,
        at_ms: u64,
        turns: &mut Vec<Turn>,
    ) {
        let bucket = self.bucket_of(at_ms);
        let expiring = self.expiries.entry(bucket).or_default();
        expiring.push((market, order));
        self.earliest = self.earliest.min(bucket);
        self.pass(turns);
    }

    /// The first bucket at whose end an order ends that rests now.
    pub(crate) fn next_end(
        &self,
        has_open: impl Fn(Owner) -> bool,
        is_open: impl Fn(Slot) -> bool,
    ) -> Option<u64> {
        let mut leases = self.leases_due.iter();
        let lease = leases.find(|(_, owner)| has_open(*owner));
        let mut expiries = self.expiries.iter();
        let expiry = expiries.find(|(_, orders)| orders.iter().any(|it| is_open(it.1.seat)));
        let ends = [
            lease.map(|(bucket, _)| *bucket),
            expiry.map(|(bucket, _)| *bucket),
        ];
        ends.into_iter().flatten().min()
    }

    /// The log clock may have passed deadlines.
    fn pass(&mut self, turns: &mut Vec<Turn>) {
        if self.clock <= self.earliest {
            return;
        }
        while let Some(first) = self.expiries.first_entry()
            && *first.key() < self.clock
        {
            let (bucket, expiring) = first.remove_entry();
            turns.extend(expiring.into_iter().map(|(market, order)| {
                (
                    market,
                    LogEntry::end(bucket, order.made_by, Deed::Expire(order.seat)),
                )
            }));
        }
        while let Some((bucket, owner)) = self.leases_due.first().copied()
            && bucket < self.clock
        {
            self.leases_due.remove(&(bucket, owner));
            self.tell(owner, turns);
        }
        let lease = self.leases_due.first().map(|(bucket, _)| *bucket);
        let expiry = self.expiries.keys().next().copied();
        self.earliest = lease.into_iter().chain(expiry).min().unwrap_or(u64::MAX);
    }

    /// Tells the logs when an author's orders lapse, as far as that is new or no longer so.
    fn tell(&mut self, owner: Owner, turns: &mut Vec<Turn>) {
        let (bucket_ms, clock) = (self.bucket_ms, self.clock);
        let tenant = &mut self.tenants[owner.0 as usize];
        let lapses = tenant.lease.lapses(self.lease_ms);
        let (due, coming) = due_and_coming(lapses.map(|(at, it)| (at / bucket_ms, it)), clock);
        for (bucket, after) in &tenant.told {
            if due.binary_search(&(*bucket, *after)).is_err() {
                turns.extend(tenant.markets.iter().map(|market| {
                    (
                        *market,
                        LogEntry::end(*bucket, (*after, 0), Deed::Withdraw(owner)),
                    )
                }));
            }
        }
        for (bucket, after) in &due {
            if tenant.told.binary_search(&(*bucket, *after)).is_err() {
                turns.extend(tenant.markets.iter().map(|market| {
                    (
                        *market,
                        LogEntry::end(*bucket, (*after, 0), Deed::Lapse(owner)),
                    )
                }));
            }
        }
        tenant.told = due;
        if let Some(bucket) = coming.filter(|_| !tenant.markets.is_empty()) {
            self.leases_due.insert((bucket, owner));
            self.earliest = self.earliest.min(bucket);
        }
    }
}
