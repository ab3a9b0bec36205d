//! Stores made by hand, with operations that no node would write, or not now.

use std::path::Path;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::op::{Action, Body, OPERATION_VERSION, Verified};
use bitfitech_core::types::{AuthorKey, HybridTime, OpId};
use bitfitech_io::data_dir::store_path;
use bitfitech_io::store::Store;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

/// An author on the network of the test nodes.
pub struct Forger {
    genesis: Genesis,
    key: SigningKey,
}

/// Where an operation is in its author's chain.
pub struct Place {
    /// From 0.
    pub seq: u64,
    /// The one before.
    pub prev: Option<OpId>,
    /// When it was signed.
    pub unix_ms: u64,
}

impl Forger {
    /// An author with this key.
    pub fn with(key: SigningKey) -> Self {
        let genesis = Genesis::standard("e2e");
        Self { genesis, key }
    }

    /// An operation without actions at this place of his chain.
    pub fn heartbeat(&self, seq: u64, prev: Option<OpId>, unix_ms: u64) -> Verified {
        let place = Place { seq, prev, unix_ms };
        self.operation(place, Vec::new(), Vec::new())
    }

    /// An operation at this place of his chain that names others and acts.
    pub fn operation(&self, place: Place, refs: Vec<OpId>, actions: Vec<Action>) -> Verified {
        let body = Body {
            version: OPERATION_VERSION,
            author: AuthorKey(VerificationKeyBytes::from(&self.key).into()),
            seq: place.seq,
            prev: place.prev,
            time: HybridTime::from_unix_ms(place.unix_ms),
            refs,
            checkpoint: 0,
            actions,
        };
        let digest = self.genesis.digest();
        Verified::sign(body, &self.key, &self.genesis, &digest).expect("well-formed")
    }

    /// Makes a store in this data directory that holds these bytes as operations.
    pub fn make_store(&self, data_dir: &Path, operations: &[Vec<u8>]) {
        let store = Store::open(&store_path(data_dir), &self.genesis.digest());
        let mut store = store.expect("opens");
        store.append(0, operations).expect("appends");
    }
}
