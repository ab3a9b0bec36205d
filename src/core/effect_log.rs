//! What the actions of a market have done to its orders, in few bytes.
//!
//! Engines speak of orders by their ids, 32 bytes each, and tell more than has to be kept. The log
//! keeps *traces*: what would be lost when the action is undone, and the trades. A trace names the
//! order by its seat; the incoming order is that of the action, and the price of a trade is that of
//! the maker, which never changes. Ids come back at the edge, where trades are shown.

use crate::history::Settling;
use crate::matching::{EndReason, Slot};
use crate::packed::Row;

/// What was done to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceKind {
    /// The incoming order took the value of the trace from it.
    Fill,
    /// Its total quantity went down by the value of the trace.
    Reduced,
    /// It is over.
    Ended(EndReason),
}

/// One thing that an action did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) order: Slot,
    /// Of a fill: how often these two orders met before.
    pub(crate) piece: u32,
    /// In halves, so that a trace is 20 bytes and not 24.
    value: [u32; 2],
    pub(crate) kind: TraceKind,
}

impl Trace {
    /// The first meeting of two orders, or what else is done to one.
    pub(crate) fn new(kind: TraceKind, order: Slot, value: u64) -> Self {
        Self {
            order,
            piece: 0,
            value: [value as u32, (value >> 32) as u32],
            kind,
        }
    }

    /// A meeting of two orders that met so often before.
    pub(crate) fn fill(maker: Slot, quantity: u64, piece: u32) -> Self {
        Self {
            piece,
            ..Self::new(TraceKind::Fill, maker, quantity)
        }
    }

    /// What [`TraceKind`] says.
    pub(crate) fn value(&self) -> u64 {
        u64::from(self.value[1]) << 32 | u64::from(self.value[0])
    }
}

impl Row for Trace {
    type Columns = [u64; 4];

    #[inline]
    fn columns(&self) -> Self::Columns {
        let kind = match self.kind {
            TraceKind::Fill => 0,
            TraceKind::Reduced => 1,
            TraceKind::Ended(reason) => 2 + reason as u64,
        };
        let Slot(order) = self.order;
        [u64::from(order), u64::from(self.piece), self.value(), kind]
    }

    fn of(columns: &Self::Columns) -> Self {
        let [order, piece, value, kind] = *columns;
        let kind = match kind {
            0 => TraceKind::Fill,
            1 => TraceKind::Reduced,
            reason => TraceKind::Ended(EndReason::ALL[reason as usize - 2]),
        };
        // Both were of this width.
        Self {
            piece: piece as u32,
            ..Self::new(kind, Slot(order as u32), value)
        }
    }
}

impl Settling for Trace {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_small_and_keeps_what_it_was_told() {
        assert_eq!(size_of::<Trace>(), 20);
        for value in [0, 1, u64::from(u32::MAX) + 1, u64::MAX] {
            assert_eq!(Trace::new(TraceKind::Fill, Slot(1), value).value(), value);
            let ended = EndReason::ALL.map(TraceKind::Ended);
            for kind in [TraceKind::Fill, TraceKind::Reduced]
                .into_iter()
                .chain(ended)
            {
                let trace = Trace::new(kind, Slot(u32::MAX), value);
                let trace = Trace { piece: 5, ..trace };
                assert_eq!(Trace::of(&trace.columns()), trace);
            }
        }
    }
}
