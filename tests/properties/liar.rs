//! A liar: signs what an honest node never would.

use bitfitech_core::genesis::Genesis;
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, REFS_MAX, Verified};
use bitfitech_core::types::{AuthorKey, Digest, HybridTime, OpId};
use ed25519_zebra::SigningKey;

use crate::network::author_of;
use crate::scenario::{Dated, Defect, Lie};

/// A liar and all that he has signed.
pub struct Liar {
    key: SigningKey,
    pub author: AuthorKey,
    own: Vec<Verified>,
}

impl Liar {
    pub fn new(key: SigningKey) -> Self {
        let author = author_of(&key);
        Self {
            key,
            author,
            own: Vec::new(),
        }
    }

    /// The operation that a lie describes; `None` where there is nothing to lie about yet.
    pub fn craft(
        &self,
        lie: &Lie,
        actions: Vec<Action>,
        published: &[Verified],
        (true_ms, genesis): (u64, &Genesis),
    ) -> Option<Verified> {
        let others: Vec<&Verified> = published
            .iter()
            .filter(|operation| operation.body().author != self.author)
            .collect();
        let back = usize::from(lie.prev) % (self.own.len() + 1);
        let prev = self.own.len().checked_sub(back + 1).map(|at| &self.own[at]);
        let mut ancestors: Vec<&Verified> = prev.into_iter().collect();
        for pick in &lie.refs {
            let newest_first = others.iter().rev();
            let chosen = newest_first.cycle().nth(usize::from(*pick));
            ancestors.extend(chosen.filter(|_| ancestors.len() <= REFS_MAX));
        }
        let latest = ancestors.iter().map(|ancestor| ancestor.body().time).max();
        let mut body = Body {
            version: OPERATION_VERSION,
            author: self.author,
            seq: prev.map_or(0, |prev| prev.body().seq + 1),
            prev: prev.map(|prev| prev.id()),
            time: date(&lie.dated, latest, true_ms),
            refs: distinct_refs(&ancestors[usize::from(prev.is_some())..]),
            checkpoint: 0,
            actions,
        };
        self.spoil(&mut body, lie.defect, latest, &others)?;
        let digest = genesis.digest();
        Verified::sign(body, &self.key, genesis, &digest).ok()
    }

    /// Remembers an operation that others accept, to follow it with more.
    pub fn keep(&mut self, operation: Verified) {
        self.own.push(operation);
    }

    /// Breaks a rule; `None` where it cannot be broken.
    fn spoil(
        &self,
        body: &mut Body,
        defect: Option<Defect>,
        latest: Option<HybridTime>,
        others: &[&Verified],
    ) -> Option<()> {
        match defect {
            None => {}
            Some(Defect::Time) => body.time = latest?,
            Some(Defect::ForeignPrev) => {
                let foreign = others.last()?;
                body.seq = foreign.body().seq + 1;
                body.prev = Some(foreign.id());
                body.time = body.time.max(foreign.body().time.next()?);
                body.refs.clear();
            }
            Some(Defect::OwnRef) => {
                let own = self.own.first()?;
                body.refs = vec![own.id()];
                body.time = body.time.max(own.body().time.next()?);
            }
            Some(Defect::UnknownRef) => {
                body.refs.truncate(REFS_MAX - 1);
                body.refs.push(OpId([0xdd; 32]));
            }
        }
        Some(())
    }
}

/// The ids of refs, each once.
fn distinct_refs(ancestors: &[&Verified]) -> Vec<OpId> {
    let mut refs: Vec<OpId> = Vec::new();
    for ancestor in ancestors {
        if !refs.contains(&ancestor.id()) {
            refs.push(ancestor.id());
        }
    }
    refs
}

/// A time that the ancestors allow.
fn date(dated: &Dated, latest: Option<HybridTime>, true_ms: u64) -> HybridTime {
    let earliest = latest.and_then(HybridTime::next);
    let wanted_ms = match dated {
        Dated::Back(ms) => true_ms - u64::from(*ms),
        Dated::Now => true_ms,
        Dated::Ahead(ms) => true_ms + u64::from(*ms),
    };
    match (dated, earliest) {
        (Dated::Back(_), Some(earliest)) => earliest,
        (_, earliest) => HybridTime::from_unix_ms(wanted_ms).max(earliest.unwrap_or_default()),
    }
}

/// An operation of a fresh author that names an ancestor which nobody has.
pub fn dangling(number: u64, time_ms: u64, genesis: &Genesis, digest: &Digest) -> Verified {
    let key = SigningKey::from([0x77; 32]);
    let mut missing = [0xee; 32];
    missing[..8].copy_from_slice(&number.to_be_bytes());
    let body = Body {
        version: OPERATION_VERSION,
        author: author_of(&key),
        seq: 1 + number,
        prev: Some(OpId(missing)),
        time: HybridTime::from_unix_ms(time_ms),
        refs: Vec::new(),
        checkpoint: 0,
        actions: Vec::new(),
    };
    Verified::sign(body, &key, genesis, digest).expect("well-formed")
}
