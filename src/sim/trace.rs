//! What happened to every operation: from these lines all figures of delivery can be recomputed.
//!
//! Lines are noted by the host that acts and handed out after each window of time, sorted by time
//! and host, so that they do not depend on the number of threads.

use bitfitech_core::types::OpId;
use serde_json::{Value, json};

use crate::event::{HostIndex, Micros};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An honest author wrote the operation then; it has come to the disk since.
    Written,
    /// A frame was sent, with so many bytes.
    Sent,
    /// A copy of the operation was received.
    Received,
    /// An honest author's operation was applied on a host that was up when it was written.
    Delivered,
    /// Any other operation of somebody else was applied.
    Applied,
}

impl Kind {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Applied => "applied",
        }
    }
}

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at_us: Micros,
    /// The host that sends; the acting host itself where nothing is sent.
    pub from: HostIndex,
    /// The host that receives; the acting host itself where nothing is received.
    pub to: HostIndex,
    /// The operation, where it is about one.
    pub operation: Option<OpId>,
    /// The size of what is sent or received.
    pub bytes: usize,
    /// What happened.
    pub kind: Kind,
}

impl Line {
    /// A line about what one host does by itself.
    pub fn of_host(at_us: Micros, host: HostIndex, operation: OpId, kind: Kind) -> Self {
        Self {
            at_us,
            from: host,
            to: host,
            operation: Some(operation),
            bytes: 0,
            kind,
        }
    }

    /// The host that acts.
    pub fn host(&self) -> HostIndex {
        match self.kind {
            Kind::Sent => self.from,
            _ => self.to,
        }
    }

    /// One JSON object.
    pub fn json(&self) -> Value {
        json!({
            "time_ms": self.at_us as f64 / 1_000.0,
            "from": self.from,
            "to": self.to,
            "operation": self.operation.map(|id| id.to_string()),
            "bytes": self.bytes,
            "kind": self.kind.name(),
        })
    }
}
