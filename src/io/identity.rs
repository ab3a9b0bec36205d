//! The node's ed25519 key: who it is, to its peers and as the author of its operations.
//!
//! One key serves both, so that whoever completes a TLS session is the author whose operations it
//! brings. It is made from the operating system's randomness at the first start and kept in one
//! file of the data directory; whoever has that file *is* the node, and two nodes that use copies
//! of it are a proven forker. Hence:
//!
//! - The file has mode 0600 from its first byte on, and one that others may read is refused.
//! - It appears whole or not at all: written under another name, synced, renamed, and the
//!   directory synced. A crash leaves at most an unfinished `node.key.new`, which the next start
//!   replaces.
//! - It holds the public key beside the secret, so that a damaged file is noticed instead of
//!   silently giving the node another identity.
//!
//! The format is PKCS#8 version 2 (RFC 5958) with the algorithm identifier of RFC 8410, which the
//! TLS library takes as it is. For an ed25519 key with its public part that encoding has one
//! length and fixed bytes at fixed places, so a template replaces an ASN.1 parser. (OpenSSL 3.0
//! reads version 1 only.)
//!
//! No secret is ever shown by `Debug` or in an error.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bitfitech_core::types::AuthorKey;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};

use crate::data_dir::{private_file, sync_parent};

/// Bytes of an ed25519 key in PKCS#8 version 2.
pub const PKCS8_BYTES: usize = 83;

/// What stands before the 32 bytes of the secret: SEQUENCE, version 1 (that is v2), the object
/// identifier 1.3.101.112 (RFC 8410, section 3), OCTET STRING in OCTET STRING.
const BEFORE_SEED: [u8; 16] = [
    0x30, 0x51, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What stands between the secret and the public key: the tag `[1]`, implicitly a BIT STRING of
/// 33 bytes with no unused bits (RFC 5958, section 2).
const BEFORE_PUBLIC: [u8; 3] = [0x81, 0x21, 0x00];

/// The key of this node.
#[derive(Clone)]
pub struct Identity {
    signing: SigningKey,
    author: AuthorKey,
}

impl Identity {
    /// A new key from the operating system's randomness, kept nowhere.
    ///
    /// # Errors
    /// [`IdentityError::Random`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut seed = [0; 32];
        getrandom::getrandom(&mut seed).map_err(IdentityError::Random)?;
        Ok(Self::from_seed(seed))
    }

    /// The key whose secret is `seed` (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let signing = SigningKey::from(seed);
        let public = VerificationKeyBytes::from(&signing);
        Self {
            signing,
            author: AuthorKey(public.into()),
        }
    }

    /// Loads the key at `path`, or makes one there if there is none.
    ///
    /// The caller holds the lock of the data directory, else two processes could both make one.
    ///
    /// # Errors
    /// Those of [`Identity::load`] and [`Identity::create`].
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        match Self::load(path) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)
            }
            loaded => loaded,
        }
    }

    /// Loads the key at `path`.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] if others than the owner may access the file,
    /// [`IdentityError::Malformed`] if it is not a key, [`IdentityError::Io`] if it cannot be read.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let failed = |source| IdentityError::io("read", path, source);
        let file = File::open(path).map_err(failed)?;
        refuse_exposed(&file, path)?;
        let mut bytes = Vec::with_capacity(PKCS8_BYTES + 1);
        file.take(PKCS8_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Self::from_pkcs8(&bytes).map_err(|problem| IdentityError::Malformed {
            path: path.to_path_buf(),
            problem,
        })
    }

    /// Makes a new key and keeps it at `path`, durably before this returns.
    ///
    /// # Errors
    /// [`IdentityError::AlreadyExists`] rather than ever replacing a key.
    pub fn create(path: &Path) -> Result<Self, IdentityError> {
        let failed = |source| IdentityError::io("write", path, source);
        if path.try_exists().map_err(failed)? {
            return Err(IdentityError::AlreadyExists {
                path: path.to_path_buf(),
            });
        }
        let identity = Self::generate()?;
        write_whole(path, &identity.to_pkcs8()).map_err(failed)?;
        Ok(identity)
    }

    /// The public key: the node's name everywhere.
    pub fn author(&self) -> AuthorKey {
        self.author
    }

    /// The key that signs operations.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// The key in PKCS#8 version 2, for the TLS library and the key file. **Secret.**
    pub fn to_pkcs8(&self) -> [u8; PKCS8_BYTES] {
        let mut bytes = [0; PKCS8_BYTES];
        let parts: [&[u8]; 4] = [
            &BEFORE_SEED,
            self.signing.as_bytes(),
            &BEFORE_PUBLIC,
            &self.author.0,
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        assert_eq!(at, PKCS8_BYTES);
        bytes
    }

    fn from_pkcs8(bytes: &[u8]) -> Result<Self, MalformedKey> {
        let bytes: &[u8; PKCS8_BYTES] = bytes.try_into().map_err(|_| MalformedKey::Length)?;
        let (before_seed, rest) = bytes.split_at(BEFORE_SEED.len());
        let (seed, rest) = rest.split_at(32);
        let (before_public, public) = rest.split_at(BEFORE_PUBLIC.len());
        if before_seed != BEFORE_SEED || before_public != BEFORE_PUBLIC {
            return Err(MalformedKey::Format);
        }
        let seed = seed.try_into().map_err(|_| MalformedKey::Length)?;
        let identity = Self::from_seed(seed);
        if identity.author.0 != *public {
            return Err(MalformedKey::Mismatch);
        }
        Ok(identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.author)
    }
}

/// Writes a new file that is there whole, durably and for its owner alone, or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("key.new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file().create_new(true).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    sync_parent(path)
}

#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata();
    let metadata = metadata.map_err(|source| IdentityError::io("inspect", path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.to_path_buf(),
            mode,
        });
    }
    Ok(())
}

/// This system has no modes to look at.
#[cfg(not(unix))]
fn refuse_exposed(_file: &File, _path: &Path) -> Result<(), IdentityError> {
    Ok(())
}

/// What is wrong with the content of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedKey {
    /// It has not [`PKCS8_BYTES`] bytes.
    Length,
    /// It is not an ed25519 key with its public part in PKCS#8 version 2.
    Format,
    /// Its public key is not that of its secret: the file was damaged.
    Mismatch,
}

/// Why there is no identity.
#[derive(Debug)]
pub enum IdentityError {
    /// The operating system gave no randomness.
    Random(getrandom::Error),
    /// Others than the owner may access the key file.
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file is not a key.
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        problem: MalformedKey,
    },
    /// A key is there already, and keys are never replaced.
    AlreadyExists {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system refused.
    Io {
        /// What was attempted, as it stands in "cannot … the key file".
        action: &'static str,
        /// The key file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl IdentityError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

impl fmt::Display for MalformedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(out, "it must have {PKCS8_BYTES} bytes"),
            Self::Format => write!(out, "it is no ed25519 key in PKCS#8 version 2"),
            Self::Mismatch => write!(out, "its public key does not belong to its secret key"),
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(source) => write!(out, "the system gives no randomness: {source}"),
            Self::Exposed { path, mode } => write!(
                out,
                "key file {0} has mode {mode:03o}, so others may use it: run `chmod 600 {0}`; \
                 if others had access, move it away and start with a new key",
                path.display()
            ),
            Self::Malformed { path, problem } => write!(
                out,
                "key file {} is damaged ({problem}): restore it from a backup, or move it away \
                 to start with a new key",
                path.display()
            ),
            Self::AlreadyExists { path } => write!(
                out,
                "key file {} exists and is not replaced: move it away first, or choose another \
                 directory with --data-dir",
                path.display()
            ),
            Self::Io {
                action,
                path,
                source,
            } => write!(
                out,
                "cannot {action} the key file {}: {source}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Random(source) => Some(source),
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_path(root: &tempfile::TempDir) -> PathBuf {
        root.path().join("node.key")
    }

    fn write_private(path: &Path, bytes: &[u8]) {
        let mut file = private_file().create(true).truncate(true).open(path);
        let file = file.as_mut().expect("opens");
        file.write_all(bytes).expect("writes");
    }

    #[test]
    fn the_second_start_has_the_key_of_the_first() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let created = Identity::load_or_create(&key_path(&root)).expect("creates");
        let loaded = Identity::load_or_create(&key_path(&root)).expect("loads");
        assert_eq!(created.author(), loaded.author());
        assert!(created.signing_key() == loaded.signing_key());
        let other = Identity::generate().expect("generates");
        assert_ne!(created.author(), other.author());
    }

    /// The first test vector of RFC 8032, section 7.1.
    #[test]
    fn a_seed_gives_the_public_key_of_the_standard() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let seed = AuthorKey::from_hex(seed).expect("hexadecimal").0;
        assert_eq!(Identity::from_seed(seed).author().to_hex(), public);
    }

    #[test]
    fn a_pkcs8_key_comes_back_and_any_changed_byte_is_noticed() {
        let bytes = Identity::from_seed([7; 32]).to_pkcs8();
        let back = Identity::from_pkcs8(&bytes).expect("is a key");
        assert_eq!(back.author(), Identity::from_seed([7; 32]).author());
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            Identity::from_pkcs8(&damaged).expect_err("is damaged");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_its_owners_alone_and_refused_otherwise() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = key_path(&root);
        Identity::create(&path).expect("creates");
        let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        for exposed in [0o640, 0o604, 0o620, 0o601] {
            let permissions = std::fs::Permissions::from_mode(exposed);
            std::fs::set_permissions(&path, permissions).expect("changes the mode");
            let error = Identity::load_or_create(&path).expect_err("is exposed");
            let text = error.to_string();
            assert!(
                matches!(error, IdentityError::Exposed { mode, .. } if mode == exposed),
                "{text}"
            );
            assert!(text.contains("chmod 600"), "{text}");
        }
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_left_as_it_is() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = key_path(&root);
        let whole = Identity::from_seed([1; 32]).to_pkcs8();
        let long = [&whole[..], &[0]].concat();
        for damaged in [&whole[..82], &long[..], &[], &[0; PKCS8_BYTES]] {
            write_private(&path, damaged);
            let error = Identity::load_or_create(&path).expect_err("is damaged");
            assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
            assert_eq!(std::fs::read(&path).expect("reads"), damaged);
        }
    }

    #[test]
    fn an_unfinished_file_of_a_crash_is_replaced() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = key_path(&root);
        write_private(&path.with_extension("key.new"), b"half a k");
        let created = Identity::load_or_create(&path).expect("creates");
        assert_eq!(
            Identity::load(&path).expect("loads").author(),
            created.author()
        );
        assert!(!path.with_extension("key.new").exists());
    }

    #[test]
    fn a_key_is_never_replaced() {
        let root = tempfile::tempdir().expect("a temporary directory");
        Identity::create(&key_path(&root)).expect("creates");
        let error = Identity::create(&key_path(&root)).expect_err("is there");
        assert!(
            matches!(error, IdentityError::AlreadyExists { .. }),
            "{error}"
        );
    }

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let identity = Identity::from_seed([0xab; 32]);
        let shown = format!("{identity:?} {:?}", identity.signing_key());
        assert!(!shown.contains("abab"), "{shown}");
        assert!(!shown.contains("171, 171"), "{shown}");
    }
}
