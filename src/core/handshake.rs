//! The handshake: do these two nodes belong together, and by how much do their clocks differ?
//!
//! When the encrypted session stands, both sides know the other's key, because TLS proved it. Each
//! sends a [`Hello`] as its first frame and judges the other's. Both judge by the same rules, so a
//! session that one side accepts is refused by the other only for reasons of its own (it is full,
//! it has an allow-list). Who refuses sends a Refuse with a reason that a person understands, and
//! closes; a Hello of another network is refused with the *name of the field* in which the two
//! geneses differ and both values, since "wrong network" is the commonest mistake of an operator.
//!
//! # Two sessions between the same two nodes
//!
//! Both may dial each other at the same moment, or one may dial two addresses of the other. One
//! session is enough, and both sides must keep the *same* one, or each closes what the other keeps.
//! So the choice uses only what both sides know, which is the two Hellos of each session:
//!
//! 1. If the peer's `instance` differs between the two sessions, the peer's process was restarted
//!    in
//!    between: its old session is dead, whatever the socket still says, and **the session that came
//!    later stays**. Only this side has two sessions then, so there is nothing to agree on.
//! 2. Otherwise both processes live, and of sessions dialled by different sides **the one dialled
//!    by the smaller key stays**.
//! 3. Of two sessions dialled by the same side **the one with the greater `session` number in the
//!    dialler's Hello stays**. A node dials a peer again only when it gave up the earlier session,
//!    so the later one is the one that it believes in; and a number, unlike a time of arrival, is
//!    the same on both sides when two dials race.
//!
//! What is left: the session dialled by the smaller key is broken, only the other side has noticed,
//! and dials. Rule 2 then refuses the new session until the first side notices too, which the
//! transport's limit on silence bounds. An order by random numbers alone would be as deterministic
//! but would keep the dead session of a restarted node half of the time.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::genesis::{Genesis, RULES_VERSION};
use crate::median_clock::PeerClock;
use crate::membership::{ChangeKey, Membership, Standing, shown_admission};
use crate::types::{AuthorKey, Now};
use crate::wire::{
    FIELD_VALUE_MAX_BYTES, Frame, GenesisField, Goodbye, Hello, PROTOCOL_VERSION_MAX,
    PROTOCOL_VERSION_MIN, REASON_MAX_BYTES, Refuse, RefuseCode,
};

/// How long a peer may take to its first frame, in milliseconds. A guess: ten round trips of a bad
/// mobile link; strangers who connect and say nothing hold a socket no longer than this.
pub const HELLO_TIMEOUT_MS: u64 = 5_000;

/// Bytes of a genesis field that a reason quotes.
const QUOTE_MAX_BYTES: usize = 200;

/// Bytes of equal text that a quote shows before the first difference.
const QUOTE_CONTEXT_BYTES: usize = 40;

/// What a node says of itself in every Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its key.
    pub key: AuthorKey,
    /// Its network.
    pub genesis: Genesis,
    /// Where it takes connections, if it does.
    pub listen: Option<String>,
    /// Random number of this process.
    pub instance: u64,
    /// Its UDP port in the DHT, if it is in one.
    pub dht_port: Option<u16>,
}

impl LocalNode {
    /// The Hello of session number `session`, which must be greater than those of all before.
    pub fn hello(&self, now: Now, session: u64, members: &Membership) -> Hello {
        let admission = members.admission(&self.key);
        Hello {
            version_min: PROTOCOL_VERSION_MIN,
            version_max: PROTOCOL_VERSION_MAX,
            genesis: self.genesis.digest(),
            genesis_fields: genesis_fields(&self.genesis),
            listen: self.listen.clone(),
            capabilities: 0,
            unix_ms: now.unix_ms,
            instance: self.instance,
            session,
            dht_port: self.dht_port,
            admission: admission.map(|event| event.wire.to_vec()),
        }
    }
}

/// A session that both Hellos allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The protocol version that is spoken: the greatest that both know.
    pub version: u16,
    /// The peer's clock.
    pub clock: PeerClock,
    /// The admission that the peer has shown, if it has.
    pub admission: Option<ChangeKey>,
    /// What the peer said.
    pub hello: Hello,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// This side refuses: send this, then close.
    Refused(Refuse),
    /// The peer refused; its text is safe to print.
    RefusedByPeer(Refuse),
    /// The peer said goodbye; its text is safe to print.
    Ended(Goodbye),
}

/// One side of a handshake that waits for the other's Hello.
#[derive(Clone, Debug)]
pub struct Handshake {
    peer: AuthorKey,
    deadline_ms: u64,
}

impl Handshake {
    /// Begins when the encrypted session stands. `peer` is the key that the peer proved.
    pub fn new(now: Now, peer: AuthorKey) -> Self {
        Self {
            peer,
            deadline_ms: now.monotonic_ms.saturating_add(HELLO_TIMEOUT_MS),
        }
    }

    /// The monotonic time at which [`Handshake::handle_timeout`] is due.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Judges the peer's first frame; `None` stands for a frame of unknown kind.
    ///
    /// # Errors
    /// There is no session, and why.
    pub fn handle_frame(
        &self,
        now: Now,
        local: &LocalNode,
        members: &Membership,
        frame: Option<Frame>,
    ) -> Result<Accepted, HandshakeError> {
        self.handle_timeout(now)?;
        match frame {
            Some(Frame::Hello(hello)) => {
                compare(now, local, members, (self.peer, hello)).map_err(HandshakeError::Refused)
            }
            Some(Frame::Refuse(refuse)) => Err(HandshakeError::RefusedByPeer(Refuse {
                code: refuse.code,
                reason: printable(&refuse.reason, REASON_MAX_BYTES),
            })),
            Some(Frame::Goodbye(goodbye)) => Err(HandshakeError::Ended(Goodbye {
                code: goodbye.code,
                reason: printable(&goodbye.reason, REASON_MAX_BYTES),
            })),
            Some(other) => Err(protocol_error(&alloc::format!(
                "the first frame must be hello, not {}",
                other.name()
            ))),
            None => Err(protocol_error(
                "the first frame must be hello, not one of unknown kind",
            )),
        }
    }

    /// Judges that nothing has come.
    ///
    /// # Errors
    /// The deadline has passed.
    pub fn handle_timeout(&self, now: Now) -> Result<(), HandshakeError> {
        if now.monotonic_ms < self.deadline_ms {
            return Ok(());
        }
        Err(protocol_error(&alloc::format!(
            "no hello came within {HELLO_TIMEOUT_MS} ms"
        )))
    }
}

fn protocol_error(reason: &str) -> HandshakeError {
    HandshakeError::Refused(refuse(RefuseCode::Protocol, reason.to_string()))
}

fn refuse(code: RefuseCode, reason: String) -> Refuse {
    Refuse { code, reason }
}

/// Judges a peer by its key and its Hello.
///
/// # Errors
/// What to tell the peer.
pub fn compare(
    now: Now,
    local: &LocalNode,
    members: &Membership,
    (peer, hello): (AuthorKey, Hello),
) -> Result<Accepted, Refuse> {
    if peer == local.key {
        return Err(refuse(
            RefuseCode::SelfConnection,
            "this is the node itself, or another with a copy of its key".to_string(),
        ));
    }
    let version = common_version(&hello)?;
    check_genesis(&local.genesis, &hello)?;
    let admission = check_member(&local.genesis, members, &peer, &hello)?;
    Ok(Accepted {
        version,
        clock: PeerClock::new(now, hello.unix_ms),
        admission,
        hello,
    })
}

/// A closed network is for its members: those who are known here, and those who show what admitted
/// them, for this node may not have heard of it. What was shown is returned. The Hello is one of
/// this network.
fn check_member(
    genesis: &Genesis,
    members: &Membership,
    peer: &AuthorKey,
    hello: &Hello,
) -> Result<Option<ChangeKey>, Refuse> {
    let bytes = hello.admission.as_deref();
    let shown = bytes.and_then(|bytes| shown_admission(bytes, peer, genesis, &hello.genesis));
    if members.may_connect(genesis, peer, shown) {
        return Ok(shown);
    }
    let reason = if members.standing(genesis, peer) == Standing::Expelled {
        alloc::format!("key {peer} was expelled from this network")
    } else if genesis.administrators.is_empty() {
        alloc::format!("key {peer} is not on network.allow_list")
    } else {
        alloc::format!(
            "key {peer} is no member of this closed network: an administrator has to admit it"
        )
    };
    Err(refuse(RefuseCode::NotAllowed, reason))
}

/// The greatest version that both sides speak.
fn common_version(hello: &Hello) -> Result<u16, Refuse> {
    let version = hello.version_max.min(PROTOCOL_VERSION_MAX);
    if version >= hello.version_min.max(PROTOCOL_VERSION_MIN) {
        return Ok(version);
    }
    Err(refuse(
        RefuseCode::Version,
        alloc::format!(
            "protocol versions {} to {} are spoken there, {PROTOCOL_VERSION_MIN} to \
             {PROTOCOL_VERSION_MAX} here: update the older program",
            hello.version_min,
            hello.version_max
        ),
    ))
}

/// Compares the networks by digest; the fields only explain.
fn check_genesis(local: &Genesis, hello: &Hello) -> Result<(), Refuse> {
    if hello.genesis == local.digest() {
        return Ok(());
    }
    let ours = genesis_fields(local);
    let difference = ours.iter().find_map(|our| {
        let their = hello
            .genesis_fields
            .iter()
            .find(|field| field.name == our.name);
        match their {
            Some(their) if their.value == our.value => None,
            Some(their) => Some((our, Some(their.value.as_str()))),
            None => Some((our, None)),
        }
    });
    let reason = match difference {
        Some((our, Some(their))) => {
            let (here, there) = quote_difference(&our.value, their);
            alloc::format!("{} differs: `{here}` here, `{there}` there", our.name)
        }
        Some((our, None)) => {
            let here = printable(&our.value, QUOTE_MAX_BYTES);
            alloc::format!("{} differs: `{here}` here, absent there", our.name)
        }
        None => alloc::format!(
            "the network differs: genesis {} here, {} there, though all known fields are equal",
            local.digest().short(),
            hello.genesis.short()
        ),
    };
    Err(refuse(RefuseCode::Genesis, reason))
}

/// The fields of a genesis as a Hello carries them, the version of the rules first. A value beyond
/// the limit of the frame is shortened and ends with its digest, so that it still differs from
/// every other.
fn genesis_fields(genesis: &Genesis) -> Vec<GenesisField> {
    let rules = ("rules", RULES_VERSION.to_string());
    let fields = core::iter::once(rules).chain(genesis.fields());
    fields
        .map(|(name, value)| GenesisField {
            name: name.to_string(),
            value: shortened(value),
        })
        .collect()
}

fn shortened(mut value: String) -> String {
    if value.len() <= FIELD_VALUE_MAX_BYTES {
        return value;
    }
    let digest = blake3::hash(value.as_bytes()).to_hex();
    let tail = alloc::format!("… ({} bytes, blake3 {digest})", value.len());
    let end = value.floor_char_boundary(FIELD_VALUE_MAX_BYTES - tail.len());
    value.truncate(end);
    value + &tail
}

/// Both texts from a little before where they begin to differ.
fn quote_difference(here: &str, there: &str) -> (String, String) {
    let equal = here
        .bytes()
        .zip(there.bytes())
        .take_while(|(left, right)| left == right)
        .count();
    let start = if here.len().max(there.len()) <= QUOTE_MAX_BYTES {
        0
    } else {
        equal.saturating_sub(QUOTE_CONTEXT_BYTES)
    };
    let quote = |text: &str| {
        let start = text.floor_char_boundary(start);
        let dots = if start > 0 { "…" } else { "" };
        dots.to_string() + &printable(&text[start..], QUOTE_MAX_BYTES)
    };
    (quote(here), quote(there))
}

/// A peer's text, fit for a terminal and a log: control characters become spaces, and what is
/// longer than `max_bytes` is cut and ends with an ellipsis.
pub fn printable(text: &str, max_bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    if text.len() <= max_bytes {
        return text.chars().map(clean).collect();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len_utf8()));
    let cut = text[..end].chars().map(clean);
    cut.chain(core::iter::once(ELLIPSIS)).collect()
}

/// Which side dialled a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialler {
    /// This node.
    Local,
    /// The peer.
    Peer,
}

/// What decides between two sessions with the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Who dialled.
    pub dialler: Dialler,
    /// `instance` in the peer's Hello.
    pub peer_instance: u64,
    /// `session` in the dialler's Hello.
    pub dialler_session: u64,
}

/// Which of two sessions stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The one that stands.
    Earlier,
    /// The one that has just come.
    Later,
}

/// Decides between two sessions with the same peer; the module's text explains the rule.
pub fn keep_session(
    local: AuthorKey,
    peer: AuthorKey,
    earlier: SessionFacts,
    later: SessionFacts,
) -> Keep {
    if earlier.peer_instance != later.peer_instance {
        return Keep::Later;
    }
    let smaller = if local < peer {
        Dialler::Local
    } else {
        Dialler::Peer
    };
    let keeps_later = if earlier.dialler == later.dialler {
        later.dialler_session > earlier.dialler_session
    } else {
        later.dialler == smaller
    };
    if keeps_later {
        Keep::Later
    } else {
        Keep::Earlier
    }
}

#[cfg(test)]
mod tests;
