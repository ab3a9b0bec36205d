//! Fault drills: what supervision is worth shows when something fails, so let it fail on request.
//!
//! `crash NAME` makes an actor panic inside its own handler, between two messages, as a defect
//! would. Any actor of the tree can be named, supervisors and connections included.

use std::fmt;

use crate::child::Lifecycle;
use crate::status::StatusBoard;

/// Why no actor was crashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillError {
    /// No actor has this name.
    Unknown {
        /// The name.
        name: String,
    },
    /// The actor has no life at present.
    Down {
        /// The name.
        name: String,
    },
}

impl fmt::Display for DrillError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(
                    out,
                    "there is no actor named {name}: `tree` lists all names"
                )
            }
            Self::Down { name } => {
                write!(
                    out,
                    "actor {name} is down already: try again when it has been restarted"
                )
            }
        }
    }
}

impl std::error::Error for DrillError {}

/// Makes the actor of this name panic at its next message ("drill: crash requested").
pub fn crash(board: &StatusBoard, name: &str) -> Result<(), DrillError> {
    match board.command(name, Lifecycle::crash()) {
        Some(true) => Ok(()),
        Some(false) => Err(DrillError::Down {
            name: name.to_string(),
        }),
        None => Err(DrillError::Unknown {
            name: name.to_string(),
        }),
    }
}
