//! KRPC: the questions and answers of the DHT, one datagram each (BEP 5, BEP 44).
//!
//! A query has a method `q` and arguments `a`, a reply results `r`, a refusal a code and a text
//! `e`; `t` ties an answer to its query and is echoed as it came. What Grenache's Grape does beyond
//! the specifications, and what other programs rely on, is done here as well: the key of a service
//! is its plain name, of any length; only answers with exactly `r` or `e`, `t` and `y` are written;
//! unknown keys are ignored. A field of the wrong kind counts as absent, or makes the query one
//! that gets no answer, so that nothing that crashes another program is ever sent on.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::bencode::{BencodeError, Dictionary, Value, Writer, decode};
use crate::hex;

/// Bytes of a node id.
pub const ID_BYTES: usize = 20;

/// Bytes of an IPv4 address and a port.
const ADDRESS_BYTES: usize = 6;

/// Bytes of a contact on the wire.
const CONTACT_BYTES: usize = ID_BYTES + ADDRESS_BYTES;

/// The number of a node in the DHT, drawn by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; ID_BYTES]);

impl NodeId {
    /// The id in these bytes, if they are as many as an id has.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, out)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NodeId({self})")
    }
}

/// A node of the DHT and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub address: SocketAddrV4,
}

/// A datagram, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// Somebody asks.
    Query(Query<'a>),
    /// Somebody answers.
    Answer(Answer<'a>),
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Query<'a> {
    /// What the answer has to repeat, if anything.
    pub transaction: Option<Value<'a>>,
    /// Who asks, if he says so.
    pub sender: Option<NodeId>,
    /// What is asked.
    pub request: Request<'a>,
}

/// What is asked. `None` is an argument that is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// Are you there?
    Ping,
    /// Which nodes are near?
    FindNode {
        /// Near to this.
        target: Option<&'a [u8]>,
    },
    /// Who offers a service?
    GetPeers {
        /// Its name.
        name: Option<&'a [u8]>,
    },
    /// I offer a service.
    Announce(Announcement<'a>),
    /// What is the value?
    Get {
        /// Its hash.
        target: &'a [u8],
    },
    /// Keep a value.
    Put(Item<'a>),
    /// Something that gets no answer, though who asks is there.
    Nothing,
}

/// The arguments of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The name of the service.
    pub name: &'a [u8],
    /// Its port, or that of the datagram.
    pub port: AnnouncedPort,
    /// The permission that the answer to a `get_peers` gave.
    pub token: &'a [u8],
}

/// The port of an announced service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncedPort {
    /// This one.
    Given(u16),
    /// The one that the announcement came from.
    Implied,
}

/// A value to keep, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    /// The permission that the answer to a `get` gave.
    pub token: &'a [u8],
    /// Who sends it; the bytes are returned to those who get the value.
    pub sender: &'a [u8],
    /// The value.
    pub value: Value<'a>,
    /// The key that may change it; a signature without a key is never valid.
    pub mutable: Option<MutableItem<'a>>,
}

/// What makes a value changeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutableItem<'a> {
    /// The public key.
    pub key: &'a [u8],
    /// The signature over value, sequence number and salt.
    pub signature: &'a [u8],
    /// The number of the change.
    pub sequence: i64,
    /// What tells several values of one key apart.
    pub salt: Option<&'a [u8]>,
    /// Only if the kept value has this number.
    pub compare: Option<i64>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// The number that our query had.
    pub transaction: u16,
    /// What it says.
    pub body: AnswerBody<'a>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerBody<'a> {
    /// Results.
    Reply(Reply<'a>),
    /// A refusal.
    Refusal(Refusal),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its code; 0 if it has none.
    pub code: i64,
    /// Its text.
    pub text: Vec<u8>,
}

/// Results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply<'a> {
    /// Who answers.
    pub sender: Option<NodeId>,
    /// The permission to announce or to put.
    pub token: Option<&'a [u8]>,
    /// Nodes that are nearer.
    pub contacts: Vec<Contact>,
    /// Addresses that offer the service.
    pub peers: Vec<SocketAddrV4>,
    /// The value.
    pub value: Option<Value<'a>>,
    /// What makes it changeable.
    pub mutable: Option<MutableItem<'a>>,
}

/// Why a datagram is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KrpcError {
    /// It is not bencode.
    Bencode(BencodeError),
    /// It is neither a query nor an answer.
    Kind,
    /// It is a query without arguments, or of a method that nobody knows.
    Method,
    /// It is an answer to a query that we cannot have sent.
    Transaction,
}

impl fmt::Display for KrpcError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bencode(error) => write!(out, "not bencode: {error}"),
            Self::Kind => write!(out, "neither a query nor an answer"),
            Self::Method => write!(out, "a query without arguments or of an unknown method"),
            Self::Transaction => write!(out, "an answer to no query of ours"),
        }
    }
}

impl core::error::Error for KrpcError {}

impl<'a> Message<'a> {
    /// Understands a datagram.
    ///
    /// # Errors
    /// When it is none, or one that gets no answer and says nothing about its sender.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, KrpcError> {
        let value = decode(datagram).map_err(KrpcError::Bencode)?;
        let fields = value.as_dictionary().ok_or(KrpcError::Kind)?;
        match bytes(fields, "y") {
            Some(b"q") => query(fields).map(Self::Query),
            Some(b"r") => Ok(Self::Answer(Answer {
                transaction: transaction(fields)?,
                body: AnswerBody::Reply(reply(fields)),
            })),
            Some(b"e") => Ok(Self::Answer(Answer {
                transaction: transaction(fields)?,
                body: AnswerBody::Refusal(refusal(fields)),
            })),
            _ => Err(KrpcError::Kind),
        }
    }
}

fn field<'v, 'a>(fields: &'v Dictionary<'a>, key: &str) -> Option<&'v Value<'a>> {
    fields.get(key.as_bytes())
}

fn bytes<'a>(fields: &Dictionary<'a>, key: &str) -> Option<&'a [u8]> {
    field(fields, key).and_then(Value::as_bytes)
}

fn integer(fields: &Dictionary<'_>, key: &str) -> Option<i64> {
    field(fields, key).and_then(Value::as_integer)
}

/// The number of our query: the first two bytes, as Grenache reads them.
fn transaction(fields: &Dictionary<'_>) -> Result<u16, KrpcError> {
    let first = bytes(fields, "t").and_then(|text| text.first_chunk::<2>());
    first
        .map(|first| u16::from_be_bytes(*first))
        .ok_or(KrpcError::Transaction)
}

fn query<'a>(fields: &Dictionary<'a>) -> Result<Query<'a>, KrpcError> {
    let arguments = field(fields, "a").and_then(Value::as_dictionary);
    let arguments = arguments.ok_or(KrpcError::Method)?;
    let method = bytes(fields, "q").ok_or(KrpcError::Method)?;
    let request = match method {
        b"ping" => Request::Ping,
        b"find_node" => match field(arguments, "target") {
            None => Request::FindNode { target: None },
            Some(target) => {
                target
                    .as_bytes()
                    .map_or(Request::Nothing, |target| Request::FindNode {
                        target: Some(target),
                    })
            }
        },
        b"get_peers" => match field(arguments, "info_hash") {
            None => Request::GetPeers { name: None },
            Some(name) => name
                .as_bytes()
                .map_or(Request::Nothing, |name| Request::GetPeers {
                    name: Some(name),
                }),
        },
        b"announce_peer" => announcement(arguments).map_or(Request::Nothing, Request::Announce),
        b"get" => {
            bytes(arguments, "target").map_or(Request::Nothing, |target| Request::Get { target })
        }
        b"put" => item(arguments).map_or(Request::Nothing, Request::Put),
        _ => return Err(KrpcError::Method),
    };
    Ok(Query {
        transaction: field(fields, "t").cloned(),
        sender: bytes(arguments, "id").and_then(NodeId::from_slice),
        request,
    })
}

fn announcement<'a>(arguments: &Dictionary<'a>) -> Option<Announcement<'a>> {
    let implied = match field(arguments, "implied_port") {
        None | Some(Value::Integer(0)) => false,
        Some(_) => true,
    };
    let port = if implied {
        AnnouncedPort::Implied
    } else {
        let port = u16::try_from(integer(arguments, "port")?).ok();
        AnnouncedPort::Given(port.filter(|&port| port > 0)?)
    };
    Some(Announcement {
        name: bytes(arguments, "info_hash")?,
        port,
        token: bytes(arguments, "token")?,
    })
}

fn item<'a>(arguments: &Dictionary<'a>) -> Option<Item<'a>> {
    let value = field(arguments, "v")?;
    // Grenache takes zero for no value at all.
    if *value == Value::Integer(0) {
        return None;
    }
    Some(Item {
        token: bytes(arguments, "token")?,
        sender: bytes(arguments, "id")?,
        value: value.clone(),
        mutable: mutable(arguments)?,
    })
}

/// `Some(None)` is a value that never changes; `None` one that nobody can check.
fn mutable<'a>(fields: &Dictionary<'a>) -> Option<Option<MutableItem<'a>>> {
    if field(fields, "k").is_none() && field(fields, "sig").is_none() {
        return Some(None);
    }
    let salt = match field(fields, "salt") {
        None => None,
        Some(salt) => Some(salt.as_bytes()?),
    };
    Some(Some(MutableItem {
        key: bytes(fields, "k")?,
        signature: bytes(fields, "sig")?,
        sequence: integer(fields, "seq").unwrap_or(0),
        salt: salt.filter(|salt| !salt.is_empty()),
        compare: integer(fields, "cas"),
    }))
}

fn reply<'a>(fields: &Dictionary<'a>) -> Reply<'a> {
    let Some(results) = field(fields, "r").and_then(Value::as_dictionary) else {
        return Reply::default();
    };
    let mutable = mutable(results);
    Reply {
        sender: bytes(results, "id").and_then(NodeId::from_slice),
        token: bytes(results, "token"),
        contacts: bytes(results, "nodes").map_or_else(Vec::new, contacts),
        peers: field(results, "values")
            .and_then(Value::as_list)
            .map_or_else(Vec::new, peers),
        // A value whose signature cannot even be read is none.
        value: field(results, "v").filter(|_| mutable.is_some()).cloned(),
        mutable: mutable.flatten(),
    }
}

fn refusal(fields: &Dictionary<'_>) -> Refusal {
    let parts = field(fields, "e").and_then(Value::as_list).unwrap_or(&[]);
    Refusal {
        code: parts.first().and_then(Value::as_integer).unwrap_or(0),
        text: parts
            .get(1)
            .and_then(Value::as_bytes)
            .unwrap_or(b"Unknown error")
            .to_vec(),
    }
}

/// An address in its six bytes; `None` also for port 0, which nobody listens on.
fn address(bytes: &[u8]) -> Option<SocketAddrV4> {
    let (host, port) = bytes.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes(*port.first_chunk::<2>()?);
    (port != 0).then(|| SocketAddrV4::new(Ipv4Addr::from(*host), port))
}

/// The nodes of a compact list. What is left over behind the last whole one is ignored.
fn contacts(compact: &[u8]) -> Vec<Contact> {
    let entries = compact.chunks_exact(CONTACT_BYTES);
    entries
        .filter_map(|entry| {
            let (id, rest) = entry.split_at(ID_BYTES);
            Some(Contact {
                id: NodeId::from_slice(id)?,
                address: address(rest)?,
            })
        })
        .collect()
}

/// The addresses of a list, up to the first that is none.
fn peers(values: &[Value<'_>]) -> Vec<SocketAddrV4> {
    let well_formed = values.iter().map_while(|value| {
        let bytes = value.as_bytes()?;
        (bytes.len() >= ADDRESS_BYTES).then_some(bytes)
    });
    well_formed.filter_map(address).collect()
}

fn write_address(compact: &mut Vec<u8>, address: SocketAddrV4) {
    compact.extend_from_slice(&address.ip().octets());
    compact.extend_from_slice(&address.port().to_be_bytes());
}

/// A query of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnQuery<'a> {
    /// Are you there?
    Ping,
    /// Which nodes are near to this id?
    FindNode(NodeId),
    /// Who offers the service of this name?
    GetPeers(&'a [u8]),
    /// The service of this name is at this port.
    Announce {
        /// The name.
        name: &'a [u8],
        /// The port.
        port: u16,
        /// The permission.
        token: &'a [u8],
    },
    /// What is the value with this hash?
    Get(&'a [u8]),
    /// Keep a value.
    Put {
        /// The permission.
        token: &'a [u8],
        /// The value in bencode.
        value: &'a [u8],
        /// What makes it changeable.
        mutable: Option<MutableItem<'a>>,
    },
}

impl OwnQuery<'_> {
    /// The datagram.
    pub fn encode(&self, transaction: u16, own: &NodeId) -> Vec<u8> {
        let mut out = Writer::default();
        out.begin_dictionary();
        out.key("a");
        out.begin_dictionary();
        let method = self.arguments(&mut out, own);
        out.end();
        out.entry("q", method.as_bytes());
        out.entry("t", &transaction.to_be_bytes());
        out.entry("y", b"q");
        out.end();
        out.into_bytes()
    }

    /// Writes the arguments, keys ascending, and gives the name of the method.
    fn arguments(&self, out: &mut Writer, own: &NodeId) -> &'static str {
        if let Self::Put { mutable, .. } = self
            && let Some(compare) = mutable.and_then(|mutable| mutable.compare)
        {
            out.key("cas");
            out.integer(compare);
        }
        out.entry("id", &own.0);
        match self {
            Self::Ping => "ping",
            Self::FindNode(target) => {
                out.entry("target", &target.0);
                "find_node"
            }
            Self::GetPeers(name) => {
                out.entry("info_hash", name);
                "get_peers"
            }
            Self::Announce { name, port, token } => {
                out.key("implied_port");
                out.integer(0);
                out.entry("info_hash", name);
                out.key("port");
                out.integer(i64::from(*port));
                out.entry("token", token);
                "announce_peer"
            }
            Self::Get(target) => {
                out.entry("target", target);
                "get"
            }
            Self::Put {
                token,
                value,
                mutable,
            } => {
                if let Some(mutable) = mutable {
                    out.entry("k", mutable.key);
                    if let Some(salt) = mutable.salt {
                        out.entry("salt", salt);
                    }
                    out.key("seq");
                    out.integer(mutable.sequence);
                    out.entry("sig", mutable.signature);
                }
                out.entry("token", token);
                out.key("v");
                out.encoded(value);
                "put"
            }
        }
    }
}

/// Results of ours; the id is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnReply<'a> {
    /// The permission to announce or to put.
    pub token: Option<&'a [u8]>,
    /// Nodes that are nearer.
    pub contacts: Option<Vec<Contact>>,
    /// Addresses that offer the service.
    pub peers: Option<Vec<SocketAddrV4>>,
    /// The value in bencode.
    pub value: Option<&'a [u8]>,
    /// What makes it changeable.
    pub mutable: Option<MutableItem<'a>>,
}

impl OwnReply<'_> {
    /// The datagram.
    pub fn encode(&self, transaction: Option<&Value<'_>>, own: &NodeId) -> Vec<u8> {
        let mut out = Writer::default();
        out.begin_dictionary();
        out.key("r");
        out.begin_dictionary();
        out.entry("id", &own.0);
        if let Some(mutable) = &self.mutable {
            out.entry("k", mutable.key);
        }
        if let Some(contacts) = &self.contacts {
            let mut compact = Vec::with_capacity(contacts.len() * CONTACT_BYTES);
            for contact in contacts {
                compact.extend_from_slice(&contact.id.0);
                write_address(&mut compact, contact.address);
            }
            out.entry("nodes", &compact);
        }
        if let Some(mutable) = &self.mutable {
            out.key("seq");
            out.integer(mutable.sequence);
            out.entry("sig", mutable.signature);
        }
        if let Some(token) = self.token {
            out.entry("token", token);
        }
        if let Some(value) = self.value {
            out.key("v");
            out.encoded(value);
        }
        if let Some(peers) = &self.peers {
            out.key("values");
            out.begin_list();
            for peer in peers {
                let mut compact = Vec::with_capacity(ADDRESS_BYTES);
                write_address(&mut compact, *peer);
                out.bytes(&compact);
            }
            out.end();
        }
        out.end();
        finish(out, transaction, "r")
    }
}

/// A refusal of ours as a datagram.
pub fn encode_refusal(code: i64, text: &str, transaction: Option<&Value<'_>>) -> Vec<u8> {
    let mut out = Writer::default();
    out.begin_dictionary();
    out.key("e");
    out.begin_list();
    out.integer(code);
    out.bytes(text.as_bytes());
    out.end();
    finish(out, transaction, "e")
}

fn finish(mut out: Writer, transaction: Option<&Value<'_>>, kind: &str) -> Vec<u8> {
    if let Some(transaction) = transaction {
        out.key("t");
        out.value(transaction);
    }
    out.entry("y", kind.as_bytes());
    out.end();
    out.into_bytes()
}

/// The bytes that the owner of a changeable value signs (BEP 44).
pub fn signed_bytes(salt: Option<&[u8]>, sequence: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    if let Some(salt) = salt {
        out.entry("salt", salt);
    }
    out.key("seq");
    out.integer(sequence);
    out.key("v");
    out.encoded(value);
    out.into_bytes()
}

#[cfg(test)]
#[path = "krpc/tests.rs"]
mod tests;
