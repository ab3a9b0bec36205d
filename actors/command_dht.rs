//! The command `dht`: a service or a value of the DHT by hand.
//!
//! In mode `grenache` the embedded Grape does it; in mode `legacy` it is asked of another one.

use std::net::SocketAddr;

use bitfitech_core::bencode::{self, Value as Bencode};
use bitfitech_core::dht::{CacheUse, GetRequest, HASH_BYTES, PutRequest};
use bitfitech_core::hex;
use serde_json::{Value, json};

use crate::context::NodeContext;
use crate::dht::{DhtClient, DhtError};
use crate::messages::{Answer, ErrorCode, Reply, ReplyError};
use crate::rendezvous;

/// Most addresses that a reply of another Grape may have.
const PEERS_MAX: usize = 1_000;

/// What is wanted of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtCommand {
    /// `dht announce NAME PORT`.
    Announce {
        /// Name of the service.
        name: String,
        /// Its port on this host.
        port: u16,
    },
    /// `dht lookup NAME`.
    Lookup(String),
    /// `dht put VALUE`.
    Put(String),
    /// `dht get HASH`.
    Get([u8; HASH_BYTES]),
}

impl DhtCommand {
    /// The line that parses to this command.
    pub fn text(&self) -> String {
        match self {
            Self::Announce { name, port } => format!("dht announce {name} {port}"),
            Self::Lookup(name) => format!("dht lookup {name}"),
            Self::Put(value) => format!("dht put {value}"),
            Self::Get(hash) => format!("dht get {}", hex::text(hash)),
        }
    }
}

/// What the DHT answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtReply {
    /// How many nodes keep the announcement.
    Announced(u64),
    /// The addresses that offer the service.
    Found(Vec<SocketAddr>),
    /// The hash under which the value is kept.
    Kept(String),
    /// The value, if there is one.
    Value(Option<String>),
}

fn failed(error: impl ToString) -> ReplyError {
    ReplyError::new(ErrorCode::DhtFailed, error.to_string())
}

fn unavailable(error: DhtError) -> ReplyError {
    let code = match error {
        DhtError::Down | DhtError::Lost => ErrorCode::Unavailable,
        DhtError::Overloaded => ErrorCode::Overloaded,
    };
    ReplyError::new(code, error.to_string())
}

/// Does it.
pub async fn execute(node: &NodeContext, command: DhtCommand) -> Answer {
    let reply = match (&node.grenache.dht, node.grenache.rpc_address) {
        (Some(dht), _) => by_own(dht, command).await,
        (None, Some(_)) => by_others(node, command).await,
        (None, None) => Err(ReplyError::new(
            ErrorCode::DhtOff,
            "mode p2p has no DHT: start the node with -D mode=grenache",
        )),
    };
    reply.map(Reply::Dht)
}

/// By the embedded Grape.
async fn by_own(dht: &DhtClient, command: DhtCommand) -> Result<DhtReply, ReplyError> {
    match command {
        DhtCommand::Announce { name, port } => {
            let announced = dht.announce(name.into_bytes(), port).await;
            let nodes = announced.map_err(unavailable)?.map_err(failed)?;
            Ok(DhtReply::Announced(nodes as u64))
        }
        DhtCommand::Lookup(name) => {
            let found = dht.lookup(name.into_bytes()).await.map_err(unavailable)?;
            let peers = found.peers.into_iter().map(SocketAddr::from);
            Ok(DhtReply::Found(peers.collect()))
        }
        DhtCommand::Put(value) => {
            let request = PutRequest {
                value: Bencode::Bytes(value.as_bytes()).encode(),
                mutable: None,
            };
            let kept = dht.put(request).await.map_err(unavailable)?;
            Ok(DhtReply::Kept(hex::text(&kept.map_err(failed)?)))
        }
        DhtCommand::Get(hash) => {
            let request = GetRequest {
                target: hash.to_vec(),
                salt: Vec::new(),
                cache: CacheUse::Allowed,
            };
            let found = dht.get(request).await.map_err(unavailable)?;
            let text = found.map(|found| match bencode::decode(&found.value) {
                Ok(Bencode::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
                _ => String::from_utf8_lossy(&found.value).into_owned(),
            });
            Ok(DhtReply::Value(text))
        }
    }
}

/// By another Grape.
async fn by_others(node: &NodeContext, command: DhtCommand) -> Result<DhtReply, ReplyError> {
    let (route, data) = match &command {
        DhtCommand::Announce { name, port } => ("announce", json!([name, port])),
        DhtCommand::Lookup(name) => ("lookup", json!(name)),
        DhtCommand::Put(value) => ("put", json!({"v": value})),
        DhtCommand::Get(hash) => ("get", json!(hex::text(hash))),
    };
    let answer = rendezvous::ask_grapes(node, route, &data).await;
    let answer = answer.map_err(failed)?;
    let reply = match (command, &answer) {
        (DhtCommand::Announce { .. }, Value::Number(nodes)) => {
            nodes.as_u64().map(DhtReply::Announced)
        }
        (DhtCommand::Lookup(_), Value::Array(peers)) => {
            let texts = peers.iter().take(PEERS_MAX);
            let peers = texts.filter_map(|text| text.as_str()?.parse().ok());
            Some(DhtReply::Found(peers.collect()))
        }
        (DhtCommand::Put(_), Value::String(hash)) if hex::parse::<HASH_BYTES>(hash).is_some() => {
            Some(DhtReply::Kept(hash.clone()))
        }
        (DhtCommand::Get(_), Value::Null) => Some(DhtReply::Value(None)),
        (DhtCommand::Get(_), Value::Object(fields)) => {
            let value = fields.get("v").and_then(Value::as_str);
            value.map(|value| DhtReply::Value(Some(value.to_owned())))
        }
        _ => None,
    };
    reply.ok_or_else(|| failed(format!("the Grape answers {answer}")))
}
