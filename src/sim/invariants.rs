//! What must hold in every run, one file each.
//!
//! The numbers are those of the list of properties in `docs/PROTOCOL.md`. Most are judged in the
//! end, when nothing changes any more, over the honest hosts; what looks into whole books does so
//! for a few of them, for the digests say whether the others have the same.

mod accounting;
mod after_end;
mod bounds;
mod causality;
mod confirming;
mod crossed;
mod equal_sets;
mod expelled;
mod final_trades;
mod folding;
mod forgery;
mod forks;
mod from_scratch;
mod limits;
mod reach;
mod restart;
mod restraint;
mod self_trade;
pub(crate) mod settled;

use std::collections::BTreeMap;

use bitfitech_core::types::OrderId;
use bitfitech_core::view::{Change, Digests, OrderRow, TradeRow};

use crate::event::HostIndex;
use crate::host::Host;
use crate::tally::Tally;
use crate::world::World;

/// Violations of one invariant that are reported; of more only the number is told.
const VIOLATIONS_MAX: usize = 4;

/// Hosts whose books are looked into.
const SAMPLE: usize = 3;

/// A run that is over.
pub struct Evidence<'a> {
    /// The plan.
    pub world: &'a World,
    /// The honest hosts that are up.
    pub hosts: Vec<&'a Host>,
    /// Their digests.
    pub digests: BTreeMap<HostIndex, Digests>,
    /// Counts of all shards.
    pub tally: &'a Tally,
}

/// The books of a host.
pub struct Books<'a> {
    /// Whose they are.
    pub host: &'a Host,
    /// All orders.
    pub orders: BTreeMap<OrderId, OrderRow>,
    /// All trades, in the order of the log.
    pub trades: Vec<TradeRow>,
}

/// What was found wrong.
#[derive(Debug, Default)]
pub struct Findings {
    violations: Vec<String>,
    more: u64,
}

impl Findings {
    /// Notes a violation.
    pub fn add(&mut self, invariant: &str, text: &str) {
        let name = format!("{invariant}: ");
        let of_it = self.violations.iter().filter(|it| it.starts_with(&name));
        if of_it.count() < VIOLATIONS_MAX {
            self.violations.push(name + text);
        } else {
            self.more += 1;
        }
    }

    /// All that were noted.
    pub fn into_list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.violations.push(format!("and {} more", self.more));
        }
        self.violations
    }
}

/// An invariant of whole runs.
type OfRuns = fn(&Evidence<'_>, &mut Findings);

/// An invariant of books.
type OfBooks = fn(&Books<'_>, &mut Findings);

const OF_RUNS: [OfRuns; 14] = [
    equal_sets::check,
    reach::check,
    from_scratch::check,
    restart::check,
    forgery::check,
    forks::check,
    causality::check,
    confirming::check,
    folding::check,
    bounds::check,
    settled::check,
    final_trades::check,
    after_end::check,
    restraint::check,
];

const OF_BOOKS: [OfBooks; 5] = [
    accounting::check,
    crossed::check,
    expelled::check,
    limits::check,
    self_trade::check,
];

/// Judges a run.
pub fn check_all(evidence: &Evidence<'_>) -> Vec<String> {
    let mut findings = Findings::default();
    for text in &evidence.tally.violations {
        findings.add("while it ran", text);
    }
    OF_RUNS
        .iter()
        .for_each(|check| check(evidence, &mut findings));
    for host in evidence.sample() {
        let books = Books::of(host);
        OF_BOOKS
            .iter()
            .for_each(|check| check(&books, &mut findings));
    }
    findings.into_list()
}

/// What two nodes see differently.
fn difference(one: &Digests, other: &Digests) -> String {
    let parts = [
        ("set", one.set == other.set),
        ("books", one.book == other.book),
        ("trades", one.trades == other.trades),
        ("final trades", one.final_trades == other.final_trades),
        ("orders", one.orders == other.orders),
    ];
    let different = parts.iter().filter(|(_, is_equal)| !is_equal);
    let names: Vec<&str> = different.map(|(name, _)| *name).collect();
    names.join(", ")
}

/// How many final trades that were shown are no longer there.
pub fn final_lost(evidence: &Evidence<'_>) -> u64 {
    final_trades::lost(evidence).len() as u64
}

impl<'a> Evidence<'a> {
    /// Hosts that stand for the others: the first, the last, and one between.
    pub fn sample(&self) -> impl Iterator<Item = &'a Host> {
        let count = self.hosts.len();
        let step = (count / SAMPLE).max(1);
        self.hosts.iter().copied().step_by(step).take(SAMPLE)
    }
}

impl<'a> Books<'a> {
    fn of(host: &'a Host) -> Self {
        let nodes = host.node().into_iter();
        let changes = nodes.flat_map(|node| node.exchange().replica().snapshot());
        let (mut orders, mut trades) = (BTreeMap::new(), Vec::new());
        for change in changes {
            match change {
                Change::Order { row, .. } => drop(orders.insert(row.order, row)),
                Change::Trade { trade, .. } => trades.push(trade.row()),
                Change::OrderGone(_) => {}
            }
        }
        Self {
            host,
            orders,
            trades,
        }
    }
}
