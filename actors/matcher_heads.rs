//! What the matcher tells and learns of heads when two nodes compare what they have.

use actix::{Context, Handler, Message, MessageResult};
use bitfitech_core::sync::Comparison;
use bitfitech_core::wire::{Branch, BranchDigest};

use crate::matcher::MatcherActor;

/// A query: the digest of all heads.
#[derive(Message)]
#[rtype(result = "BranchDigest")]
pub struct ReadRoot;

/// A query: those of these branches of a peer that are different here, as they are here.
#[derive(Message)]
#[rtype(result = "Vec<Branch>")]
pub struct ReadBranches(pub Vec<BranchDigest>);

/// A query: what is different here in the branches that a peer has shown.
#[derive(Message)]
#[rtype(result = "Comparison")]
pub struct Compare {
    /// What the peer was asked about.
    pub asked: Vec<BranchDigest>,
    /// Those that are different there.
    pub shown: Vec<Branch>,
}

impl Handler<ReadRoot> for MatcherActor {
    type Result = MessageResult<ReadRoot>;

    fn handle(&mut self, _read: ReadRoot, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.exchange.heads_root())
    }
}

impl Handler<ReadBranches> for MatcherActor {
    type Result = MessageResult<ReadBranches>;

    fn handle(&mut self, read: ReadBranches, _context: &mut Context<Self>) -> Self::Result {
        MessageResult(self.exchange.differing_branches(&read.0))
    }
}

impl Handler<Compare> for MatcherActor {
    type Result = MessageResult<Compare>;

    fn handle(&mut self, compare: Compare, _context: &mut Context<Self>) -> Self::Result {
        let Compare { asked, shown } = compare;
        MessageResult(self.exchange.compare_branches(&asked, &shown))
    }
}
