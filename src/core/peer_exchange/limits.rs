//! How many sessions a node has, and whom it admits.

use core::net::IpAddr;

use crate::handshake::Dialler;
use crate::wire::{Goodbye, GoodbyeCode};
use alloc::string::ToString;

/// How many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A node with fewer dials; 0 for one that dials none but those that the operator named.
    pub links_target: usize,
    /// A node with so many admits nobody.
    pub links_max: usize,
    /// Of the target, how many percent a node dials itself; places for so many are kept free.
    pub own_percent: usize,
    /// Most sessions that came in from one IP address. Several nodes may share one.
    pub inbound_per_address_max: usize,
}

impl Default for Limits {
    /// Ten links, of which half are one's own choice, keep a random graph of thousands connected;
    /// the others are guesses.
    fn default() -> Self {
        Self {
            links_target: 10,
            links_max: 50,
            own_percent: 50,
            inbound_per_address_max: 16,
        }
    }
}

/// A session, or one that wants to become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who dialled.
    pub dialler: Dialler,
    /// The IP address of the other end.
    pub remote: IpAddr,
}

impl Limits {
    /// How many sessions a node wants to have dialled itself.
    pub fn own_min(&self) -> usize {
        let target = self.links_target.min(self.links_max);
        (target * self.own_percent.min(100)).div_ceil(100)
    }

    /// Whether a session may be added to those present.
    ///
    /// # Errors
    /// What to say to the other end.
    pub fn admit(
        &self,
        present: impl Iterator<Item = Present> + Clone,
        newcomer: Present,
    ) -> Result<(), Goodbye> {
        let full = |reason: &str| Goodbye {
            code: GoodbyeCode::Full,
            reason: reason.to_string(),
        };
        if present.clone().count() >= self.links_max {
            return Err(full("this node has as many peers as it wants"));
        }
        if newcomer.dialler == Dialler::Local {
            return Ok(());
        }
        let inbound = present.filter(|it| it.dialler == Dialler::Peer);
        // One place remains for those who come in, however few there are.
        let inbound_max = self.links_max.saturating_sub(self.own_min()).max(1);
        if inbound.clone().count() >= inbound_max {
            return Err(full("this node keeps its last places for peers it dials"));
        }
        let remote = newcomer.remote.to_canonical();
        let neighbours = inbound.filter(|it| it.remote.to_canonical() == remote);
        if neighbours.count() >= self.inbound_per_address_max {
            return Err(full("there are many sessions with your IP address already"));
        }
        Ok(())
    }
}
