//! Stores made by hand, with operations that no node would write, or not now.

use std::path::Path;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::op::{Body, OPERATION_VERSION, Verified};
use bitfitech_core::types::{AuthorKey, HybridTime, OpId};
use bitfitech_io::data_dir::store_path;
use bitfitech_io::store::Store;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

/// An author on the network of the test nodes.
pub struct Forger {
    genesis: Genesis,
    key: SigningKey,
}

impl Forger {
    /// An author with this key.
    pub fn with(key: SigningKey) -> Self {
        let genesis = Genesis::standard("e2e");
        Self { genesis, key }
    }

    /// An operation without actions at this place of his chain.
    pub fn heartbeat(&self, seq: u64, prev: Option<OpId>, unix_ms: u64) -> Verified {
        let body = Body {
            version: OPERATION_VERSION,
            author: AuthorKey(VerificationKeyBytes::from(&self.key).into()),
            seq,
            prev,
            time: HybridTime::from_unix_ms(unix_ms),
            refs: Vec::new(),
            checkpoint: 0,
            actions: Vec::new(),
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
