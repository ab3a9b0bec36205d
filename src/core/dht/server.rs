//! What a node answers when it is asked, as Grenache's Grape does.

use alloc::vec::Vec;
use core::net::SocketAddrV4;

use super::Dht;
use super::routing::BUCKET_NODES_MAX;
use super::value_store::StoreError;
use super::vocabulary::{DhtEvent, Output};
use crate::bencode::Value;
use crate::krpc::{
    AnnouncedPort, Announcement, Contact, Item, MutableItem, OwnReply, Query, Request,
    encode_refusal,
};

/// Code of a question that lacks something, or a good token (BEP 5).
const PROTOCOL_ERROR: i64 = 203;

/// Bytes of one address in a list of them.
const PEER_BYTES: usize = 8;

/// Bytes of an answer with addresses, without the addresses and what it repeats; rounded up.
const FRAME_BYTES: usize = 100;

/// Most addresses in one answer: 8 kB, so that the datagram has a fair chance on real networks.
const PEERS_ANSWERED_MAX: usize = 1_000;

impl Dht {
    pub(super) fn on_query(&mut self, now_ms: u64, from: SocketAddrV4, query: &Query<'_>) {
        let transaction = query.transaction.as_ref();
        let answer = match &query.request {
            Request::Ping => Some(self.encode(transaction, &OwnReply::default())),
            Request::FindNode { target: None } => Some(encode_refusal(
                PROTOCOL_ERROR,
                "`find_node` missing required `a.target` field",
                transaction,
            )),
            Request::FindNode {
                target: Some(target),
            } => {
                let contacts = Some(self.nearest(target));
                let reply = OwnReply {
                    contacts,
                    ..OwnReply::default()
                };
                Some(self.encode(transaction, &reply))
            }
            Request::GetPeers { name: None } => Some(encode_refusal(
                PROTOCOL_ERROR,
                "`get_peers` missing required `a.info_hash` field",
                transaction,
            )),
            Request::GetPeers { name: Some(name) } => {
                Some(self.answer_get_peers(now_ms, from, name, transaction))
            }
            Request::Announce(announcement) => {
                Some(self.answer_announce(now_ms, from, *announcement, transaction))
            }
            Request::Get { target } => Some(self.answer_get(now_ms, from, target, transaction)),
            Request::Put(item) => self.answer_put(now_ms, from, item, transaction),
            Request::Nothing => None,
        };
        if let Some(datagram) = answer
            && self.allowance.take(now_ms, *from.ip(), datagram.len())
        {
            let to = from;
            self.outputs.push_back(Output::Send { to, datagram });
        }
    }

    fn encode(&self, transaction: Option<&Value<'_>>, reply: &OwnReply<'_>) -> Vec<u8> {
        reply.encode(transaction, &self.own)
    }

    fn nearest(&self, target: &[u8]) -> Vec<Contact> {
        self.routing.closest(target, BUCKET_NODES_MAX)
    }

    fn answer_get_peers(
        &mut self,
        now_ms: u64,
        from: SocketAddrV4,
        name: &[u8],
        transaction: Option<&Value<'_>>,
    ) -> Vec<u8> {
        let token = self.tokens.make(*from.ip());
        let mut peers = self.peers.of(now_ms, name);
        if !from.ip().is_loopback() {
            // What only this machine reaches would lead others to themselves.
            peers.retain(|peer| !peer.ip().is_loopback());
        }
        let mut reply = OwnReply {
            token: Some(&token),
            ..OwnReply::default()
        };
        if peers.is_empty() {
            reply.contacts = Some(self.nearest(name));
        } else {
            let bytes_max = self.allowance.bytes_max(now_ms, *from.ip());
            let room = bytes_max.saturating_sub(FRAME_BYTES) / PEER_BYTES;
            let peers_max = room.min(PEERS_ANSWERED_MAX);
            reply.peers = Some(self.random.sample(peers, peers_max));
        }
        self.encode(transaction, &reply)
    }

    fn answer_announce(
        &mut self,
        now_ms: u64,
        from: SocketAddrV4,
        announcement: Announcement<'_>,
        transaction: Option<&Value<'_>>,
    ) -> Vec<u8> {
        if !self.tokens.is_good(*from.ip(), announcement.token) {
            let text = "cannot `announce_peer` with bad token";
            return encode_refusal(PROTOCOL_ERROR, text, transaction);
        }
        self.allowance.prove(now_ms, *from.ip());
        let port = match announcement.port {
            AnnouncedPort::Given(port) => port,
            AnnouncedPort::Implied => from.port(),
        };
        let peer = SocketAddrV4::new(*from.ip(), port);
        self.store_peer(now_ms, announcement.name, peer);
        self.encode(transaction, &OwnReply::default())
    }

    /// Keeps an announcement and tells of it.
    pub(super) fn store_peer(&mut self, now_ms: u64, name: &[u8], peer: SocketAddrV4) {
        self.peers.add(now_ms, name, peer);
        let name = name.to_vec();
        let event = DhtEvent::Announced { name, peer };
        self.outputs.push_back(Output::Event(event));
    }

    fn answer_get(
        &mut self,
        now_ms: u64,
        from: SocketAddrV4,
        target: &[u8],
        transaction: Option<&Value<'_>>,
    ) -> Vec<u8> {
        let token = self.tokens.make(*from.ip());
        let bytes_max = self.allowance.bytes_max(now_ms, *from.ip());
        if let Some(kept) = self.values.get(now_ms, target) {
            let reply = OwnReply {
                token: Some(&token),
                value: Some(&kept.value),
                mutable: kept.mutable.as_ref().map(|signed| MutableItem {
                    key: &signed.key,
                    signature: &signed.signature,
                    sequence: signed.sequence,
                    salt: None,
                    compare: None,
                }),
                ..OwnReply::default()
            };
            let datagram = reply.encode(transaction, &self.own);
            if datagram.len() <= bytes_max {
                return datagram;
            }
            // Too long for a stranger: he is told where to ask others, and gets a token.
        }
        let reply = OwnReply {
            token: Some(&token),
            contacts: Some(self.nearest(target)),
            ..OwnReply::default()
        };
        self.encode(transaction, &reply)
    }

    fn answer_put(
        &mut self,
        now_ms: u64,
        from: SocketAddrV4,
        item: &Item<'_>,
        transaction: Option<&Value<'_>>,
    ) -> Option<Vec<u8>> {
        if !self.tokens.is_good(*from.ip(), item.token) {
            let text = "cannot `put` with bad token";
            return Some(encode_refusal(PROTOCOL_ERROR, text, transaction));
        }
        self.allowance.prove(now_ms, *from.ip());
        let (code, text) = match self.values.put(now_ms, &item.value, item.mutable.as_ref()) {
            Ok(()) => return Some(self.encode(transaction, &OwnReply::default())),
            Err(StoreError::Signature) => return None,
            Err(StoreError::TooLarge) => (205, "data payload too large"),
            Err(StoreError::Compare) => (301, "CAS mismatch, re-read and try again"),
            Err(StoreError::Sequence) => (302, "sequence number less than current"),
        };
        Some(encode_refusal(code, text, transaction))
    }
}
