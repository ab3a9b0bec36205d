//! The file of known peers: what a node remembers of addresses from one run to the next.
//!
//! It is JSON, for an operator may want to look at it, and belongs to one network. It is written
//! beside its place and then renamed, so that it is always either the old one or the new one. A
//! file that cannot be used is no reason not to start: it is set aside under another name, which
//! is said, and the node finds its peers in other ways.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bitfitech_core::address::PeerAddress;
use bitfitech_core::address_book::{Known, Teller};
use bitfitech_core::types::{AuthorKey, Digest};
use serde::{Deserialize, Serialize};

use crate::data_dir::{private_file, sync_parent};

/// The form of the file; another one is not read.
const VERSION: u32 = 1;

/// Most bytes that are read: several times what a full book takes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Most addresses that are taken from a file, those with the best score: those of a full book.
pub const PEERS_MAX: usize = 1_024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// The digest of the genesis.
    network: String,
    peers: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    address: String,
    node: Option<String>,
    /// When somebody told of it last, Unix milliseconds.
    told_unix_ms: u64,
    /// When there last was a session, Unix milliseconds.
    worked_unix_ms: Option<u64>,
    failures: u32,
}

/// A peer as it stands in the file.
pub type KnownPeer = (PeerAddress, Known);

/// Reads the file; one that is not there has no peers.
///
/// # Errors
/// Why it cannot be used. Call [`set_aside`] then.
pub fn load(path: &Path, network: Digest, unix_ms: u64) -> Result<Vec<KnownPeer>, PeerFileError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(|error| PeerFileError::new(path, Reason::Read(error)))?,
    };
    let wrong = |reason| PeerFileError::new(path, reason);
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(Reason::Read(error)))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(Reason::TooLong));
    }
    let content: Content =
        serde_json::from_str(&text).map_err(|error| wrong(Reason::Json(error.to_string())))?;
    if content.version != VERSION {
        return Err(wrong(Reason::Version(content.version)));
    }
    if content.network != network.to_hex() {
        return Err(wrong(Reason::Network));
    }
    let rows = content.peers.iter().enumerate();
    let peers = rows.map(|(index, row)| row.read().ok_or_else(|| wrong(Reason::Row(index))));
    let mut peers = peers.collect::<Result<Vec<KnownPeer>, _>>()?;
    peers.sort_by_key(|(_, known)| std::cmp::Reverse(known.score(unix_ms)));
    peers.truncate(PEERS_MAX);
    Ok(peers)
}

/// Writes the file, so that it is complete on disk or the old one stays.
///
/// # Errors
/// Those of the operating system.
pub fn save<'a>(
    path: &Path,
    network: Digest,
    peers: impl Iterator<Item = (PeerAddress, &'a Known)>,
) -> Result<(), PeerFileError> {
    let content = Content {
        version: VERSION,
        network: network.to_hex(),
        peers: peers.map(|(at, known)| Row::new(at, known)).collect(),
    };
    let text = serde_json::to_vec_pretty(&content)
        .map_err(|error| PeerFileError::new(path, Reason::Json(error.to_string())))?;
    let beside = named(path, "new");
    let written = write(&beside, &text)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_parent(path));
    written.map_err(|error| PeerFileError::new(path, Reason::Write(error)))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file().create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file that cannot be used another name, in place of one that had it before.
///
/// # Errors
/// Those of the operating system.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = named(path, "damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// The file's name with something behind it.
fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

impl Row {
    fn new(address: PeerAddress, known: &Known) -> Self {
        Self {
            address: address.to_string(),
            node: known.node.map(|node| node.to_hex()),
            told_unix_ms: known.told_unix_ms,
            worked_unix_ms: known.worked_unix_ms,
            failures: known.failures,
        }
    }

    fn read(&self) -> Option<KnownPeer> {
        let node = match &self.node {
            Some(text) => Some(AuthorKey::from_hex(text)?),
            None => None,
        };
        let known = Known {
            node,
            teller: Teller::File,
            told_unix_ms: self.told_unix_ms,
            worked_unix_ms: self.worked_unix_ms,
            failures: self.failures,
        };
        Some((self.address.parse().ok()?, known))
    }
}

/// Why the file of known peers cannot be used or written.
#[derive(Debug)]
pub struct PeerFileError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Read(io::Error),
    Write(io::Error),
    TooLong,
    Json(String),
    Version(u32),
    Network,
    Row(usize),
}

impl PeerFileError {
    fn new(path: &Path, reason: Reason) -> Self {
        let path = path.to_path_buf();
        Self { path, reason }
    }
}

impl fmt::Display for PeerFileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Reason::Read(error) => write!(out, "{path} cannot be read: {error}"),
            Reason::Write(error) => write!(out, "{path} cannot be written: {error}"),
            Reason::TooLong => write!(
                out,
                "{path} has more than the {FILE_BYTES_MAX} bytes that known peers can take"
            ),
            Reason::Json(error) => write!(out, "{path} is damaged: {error}"),
            Reason::Version(version) => write!(
                out,
                "{path} has version {version}, this program reads {VERSION}"
            ),
            Reason::Network => write!(out, "{path} is of another network"),
            Reason::Row(index) => write!(
                out,
                "{path} is damaged: peer {} has no usable address or key",
                index + 1
            ),
        }
    }
}

impl std::error::Error for PeerFileError {}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NETWORK: Digest = Digest([7; 32]);

    fn known(node: Option<u8>, worked_unix_ms: Option<u64>, failures: u32) -> Known {
        Known {
            node: node.map(|byte| AuthorKey([byte; 32])),
            teller: Teller::File,
            told_unix_ms: 1_000,
            worked_unix_ms,
            failures,
        }
    }

    fn place(text: &str) -> PeerAddress {
        text.parse().expect("an address")
    }

    fn folder() -> (TempDir, PathBuf) {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("peers.json");
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read_again_the_best_first() {
        let (_folder, path) = folder();
        let peers = [
            (place("1.2.3.4:3000"), known(None, None, 2)),
            (place("[2a00::1]:7001"), known(Some(3), Some(900), 0)),
        ];
        let borrowed = peers.iter().map(|(at, known)| (*at, known));
        save(&path, NETWORK, borrowed).expect("written");
        let loaded = load(&path, NETWORK, 2_000).expect("read");
        assert_eq!(loaded, [peers[1], peers[0]]);
        save(&path, NETWORK, std::iter::empty()).expect("written over");
        assert_eq!(load(&path, NETWORK, 2_000).expect("read"), []);
    }

    #[test]
    fn a_file_that_is_not_there_has_no_peers() {
        let (_folder, path) = folder();
        assert_eq!(load(&path, NETWORK, 0).expect("nothing"), []);
    }

    #[test]
    fn of_too_many_the_best_are_taken() {
        let (_folder, path) = folder();
        let peers: Vec<KnownPeer> = (0..2_000_u64)
            .map(|number| {
                let text = format!("10.0.{}.{}:1", number / 250, number % 250);
                (place(&text), known(None, Some(number * 3_600_000), 0))
            })
            .collect();
        let borrowed = peers.iter().map(|(at, known)| (*at, known));
        save(&path, NETWORK, borrowed).expect("written");
        let loaded = load(&path, NETWORK, 2_000 * 3_600_000).expect("read");
        assert_eq!(loaded.len(), PEERS_MAX);
        assert_eq!(loaded[0], peers[1_999]);
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why_and_can_be_set_aside() {
        let head = format!(r#"{{"version":1,"network":"{NETWORK}","peers":["#);
        let row =
            r#"{"address":"A","node":null,"told_unix_ms":1,"worked_unix_ms":null,"failures":0}"#;
        let cases = [
            (String::new(), "is damaged"),
            ("{".to_owned(), "is damaged"),
            ("\u{0}\u{0}".to_owned(), "is damaged"),
            (format!("{head}{row}]}}"), "peer 1 has no usable address"),
            (
                format!("{head}]}}").replace(":1,", ":2,"),
                "has version 2, this program reads 1",
            ),
            (
                format!("{head}]}}").replace("07", "08"),
                "is of another network",
            ),
            (" ".repeat(5_000_000), "has more than"),
        ];
        for (text, expected) in cases {
            let (_folder, path) = folder();
            fs::write(&path, &text).expect("written");
            let error = load(&path, NETWORK, 0).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
            let aside = set_aside(&path).expect("renamed");
            assert_eq!(fs::read_to_string(aside).expect("kept"), text);
            assert_eq!(load(&path, NETWORK, 0).expect("nothing is left"), []);
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let (folder, path) = folder();
        let peer = (place("1.2.3.4:3000"), known(None, None, 0));
        save(&path, NETWORK, [(peer.0, &peer.1)].into_iter()).expect("written");
        // Where the new file should be made there is a folder.
        fs::create_dir(folder.path().join("peers.json.new")).expect("a folder");
        let refused = save(&path, NETWORK, std::iter::empty()).expect_err("cannot be written");
        assert!(refused.to_string().contains("cannot be written"));
        assert_eq!(load(&path, NETWORK, 0).expect("the old one"), [peer]);
    }
}
