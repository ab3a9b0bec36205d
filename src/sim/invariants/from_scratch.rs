//! 2 and 11: incremental state equals a replay from scratch in another order, by the engine that
//! reads like the rulebook.

use bitfitech_core::exchange::Exchange;
use bitfitech_core::matching::Oracle;
use bitfitech_core::types::{LinkId, Now, Source};

use super::{Evidence, Findings, difference};
use crate::random::Random;

/// The rulebook engine takes time in proportion to the square of this.
const OPERATIONS_MAX: usize = 4_000;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for host in evidence.sample() {
        let mut operations = host.disk().records().to_vec();
        if operations.len() > OPERATIONS_MAX {
            continue;
        }
        let seed = evidence.world.config.seed;
        let number = u64::from(host.index());
        Random::derive(seed, "from scratch", number).shuffle(&mut operations);
        // A key of nobody: nothing is own, so everything comes in as from others.
        let key = evidence.world.key(u32::MAX);
        let make_engine = |_: &[u8; 32]| Oracle::new();
        let mut exchange = Exchange::new(evidence.world.genesis.clone(), key, make_engine);
        // No operation is of the future, and all that wait for others find room.
        let now = Now {
            monotonic_ms: 0,
            unix_ms: u64::MAX >> 16,
        };
        for (link, part) in operations.chunks(1_000).enumerate() {
            let source = Source::push(LinkId(link as u64));
            exchange.receive(now, source, part.to_vec());
            while exchange.poll_output().is_some() {}
        }
        let host = host.index();
        let replayed = exchange.digests();
        if let Some(digests) = evidence.digests.get(&host).filter(|it| **it != replayed) {
            let what = difference(digests, &replayed);
            findings.add(
                "from scratch",
                &format!("host {host} has other {what} than a replay"),
            );
        }
    }
}
