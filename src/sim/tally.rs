//! What is counted while a simulation runs, for the hosts of one shard.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use bitfitech_core::types::OpId;

use crate::event::{HostIndex, Micros};
use crate::finals::Finals;
use crate::histogram::Histogram;
use crate::trace::{Kind, Line};

/// Takes the first bytes of an id, which are random already.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A table by operation.
pub type ByOperation<V> = HashMap<OpId, V, BuildHasherDefault<IdHasher>>;

/// When an operation was written, and when it reached the last host so far.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// When its author wrote it.
    pub written_us: Micros,
    /// When the last host of this shard applied it.
    pub last_us: Micros,
}

/// Counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// What was written before does not count.
    pub counted_us: Micros,
    /// From writing to applying, in microseconds, for each host and operation.
    pub delivery_us: Histogram,
    /// Actions taken back and done again, for each merge.
    pub undo_depth: Histogram,
    /// What honest authors wrote.
    pub spread: ByOperation<Spread>,
    /// What the hosts of this shard wrote since others were told.
    pub written: Vec<(OpId, Micros)>,
    /// Frames sent.
    pub frames: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Copies of operations received, the first ones included.
    pub copies: u64,
    /// Operations applied that others wrote.
    pub applied: u64,
    /// Operations that hosts wrote themselves.
    pub own: u64,
    /// Actions that engines executed, those that were done again included.
    pub executions: u64,
    /// Orders of users that were not written.
    pub unwritten: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// What happened since the window before, where that is asked for.
    pub trace: Option<Vec<Line>>,
    /// Final trades that honest nodes have shown.
    pub finals: Finals,
    /// What was seen to be wrong while it happened, at most `VIOLATIONS_MAX`.
    pub violations: Vec<String>,
}

/// Violations of one shard that are kept.
const VIOLATIONS_MAX: usize = 10;

impl Tally {
    /// From now on everything counts: what came before was to warm up.
    pub fn begin(&mut self, counted_us: Micros) {
        *self = Self {
            counted_us,
            spread: std::mem::take(&mut self.spread),
            written: std::mem::take(&mut self.written),
            finals: std::mem::take(&mut self.finals),
            trace: self.trace.take(),
            violations: std::mem::take(&mut self.violations),
            ..Self::default()
        };
    }

    /// An honest author has written an operation.
    pub fn note_written(&mut self, id: OpId, written_us: Micros) {
        let last_us = written_us;
        self.spread.insert(
            id,
            Spread {
                written_us,
                last_us,
            },
        );
    }

    /// A host that has been up since `up_us` has applied an operation of another.
    pub fn note_applied(&mut self, id: &OpId, (host, up_us): (HostIndex, Micros), now_us: Micros) {
        self.applied += 1;
        let mut kind = Kind::Applied;
        if let Some(spread) = self.spread.get_mut(id)
            && up_us <= spread.written_us
        {
            spread.last_us = spread.last_us.max(now_us);
            if spread.written_us >= self.counted_us {
                self.delivery_us.add(now_us - spread.written_us);
            }
            kind = Kind::Delivered;
        }
        self.note_line(|| Line::of_host(now_us, host, *id, kind));
    }

    /// Adds a line to the trace, if there is one.
    pub fn note_line(&mut self, line: impl FnOnce() -> Line) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// Something is wrong.
    pub fn note_violation(&mut self, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(text);
        }
    }

    /// Adds what another shard has counted.
    pub fn merge(&mut self, other: &Self) {
        self.delivery_us.merge(&other.delivery_us);
        self.undo_depth.merge(&other.undo_depth);
        for (id, spread) in &other.spread {
            let mine = self.spread.entry(*id).or_insert(*spread);
            mine.last_us = mine.last_us.max(spread.last_us);
        }
        self.counted_us = self.counted_us.max(other.counted_us);
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.copies += other.copies;
        self.applied += other.applied;
        self.own += other.own;
        self.executions += other.executions;
        self.unwritten += other.unwritten;
        self.sessions_ended += other.sessions_ended;
        self.finals.merge(&other.finals);
        self.violations.extend(other.violations.iter().cloned());
    }

    /// The mean time until an operation has reached its last host, in microseconds.
    pub fn last_delivery_us(&self) -> u64 {
        let spreads = self.spread.values();
        let counted = spreads.filter(|it| it.written_us >= self.counted_us);
        let (sum, count) = counted.fold((0_u64, 0_u64), |(sum, count), it| {
            (sum + (it.last_us - it.written_us), count + 1)
        });
        sum.checked_div(count).unwrap_or(0)
    }
}
