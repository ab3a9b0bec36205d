//! What can be wrong with a configuration, each in one line: where, what, how to mend.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::settings::SettingsError;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the built-in default.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// An option of the command line, for example `-D p2p.port` or `--log-level`.
    Option(String),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(out, "default"),
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Variable(name) => write!(out, "environment {name}"),
            Self::Option(name) => write!(out, "{name}"),
        }
    }
}

/// Why the configuration file cannot be taken in at all.
#[derive(Debug)]
pub enum FileError {
    /// The configuration file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The configuration file is larger than any configuration.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes allowed.
        bytes_max: u64,
    },
    /// The configuration file is no TOML.
    Syntax {
        /// Where reading failed.
        place: Place,
        /// What the parser says.
        message: String,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(
                out,
                "{}: the configuration file cannot be read ({source}): \
                 mend that, or name another with --config",
                path.display()
            ),
            Self::TooLarge { path, bytes_max } => write!(
                out,
                "{}: the configuration file is larger than {bytes_max} bytes: shorten it, \
                 or name another with --config",
                path.display()
            ),
            Self::Syntax { place, message } => write!(out, "{place}: no valid TOML: {message}"),
        }
    }
}

impl std::error::Error for FileError {}

/// One fault of a configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The configuration file cannot be taken in at all.
    File(FileError),
    /// An argument of `-D` is not `key=value`.
    Assignment(String),
    /// No key has this name.
    UnknownKey {
        /// Where it is given.
        place: Place,
        /// The name.
        key: String,
        /// The known name that is most like it, in the form that fits the place.
        nearest: String,
    },
    /// The name is that of a section, and a value was given.
    IsSection {
        /// Where it is given.
        place: Place,
        /// The section.
        section: String,
    },
    /// `markets` is not an array of tables.
    Markets {
        /// Where it is given.
        place: Place,
    },
    /// A variable is not Unicode.
    NotUnicode {
        /// The variable.
        place: Place,
    },
    /// The value is of the wrong kind or out of its range.
    Value {
        /// Where it is given.
        place: Place,
        /// The key.
        key: String,
        /// The value, shortened.
        shown: String,
        /// What it must be.
        expected: String,
    },
    /// The HTTP API is open to others and asks for no token.
    MissingToken {
        /// Where its address is given.
        place: String,
    },
    /// The RPC service lacks a file of its TLS.
    MissingRpcFile {
        /// Where the one to mend is given.
        place: String,
        /// The key of the file.
        key: &'static str,
    },
    /// A market has no pair.
    MissingPair {
        /// The key that is missing.
        key: String,
    },
    /// One value exceeds another that bounds it.
    Exceeds {
        /// Where the one to mend is given.
        place: String,
        /// The key that must not be greater.
        lesser: &'static str,
        /// Its value.
        lesser_value: i64,
        /// The key that must not be smaller.
        greater: &'static str,
        /// Its value.
        greater_value: i64,
    },
    /// The values make no genesis.
    Genesis {
        /// Where the value to mend is given.
        place: String,
        /// What is wrong.
        error: SettingsError,
    },
    /// The layers do not fit the types of the settings: a fault of the program.
    Inconsistent(config::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(out, "{error}"),
            Self::Assignment(text) => write!(
                out,
                "-D {text}: must be key=value, for example -D p2p.port=3001"
            ),
            Self::UnknownKey {
                place,
                key,
                nearest,
            } => write!(
                out,
                "{place}: unknown key `{key}`, did you mean `{nearest}`?"
            ),
            Self::IsSection { place, section } => write!(
                out,
                "{place}: `{section}` is a section, so its keys must be set one by one"
            ),
            Self::Markets { place } => write!(
                out,
                "{place}: `markets` must be an array of tables: write [[markets]] \
                 and below it pair = \"BTC/USD\""
            ),
            Self::NotUnicode { place } => {
                write!(out, "{place}: the value must be valid UTF-8: set it anew")
            }
            Self::Value {
                place,
                key,
                shown,
                expected,
            } => write!(out, "{place}: {key} is {shown}, must be {expected}"),
            Self::MissingToken { place } => write!(
                out,
                "{place}: others can reach api.host, so api.token must be set: set it, or make \
                 api.host 127.0.0.1"
            ),
            Self::MissingRpcFile { place, key } => write!(
                out,
                "{place}: {key} is missing: an RPC service that others reach, or that has TLS, \
                 needs grape.rpc_certificate_path, grape.rpc_key_path and grape.rpc_ca_path: set \
                 all three, or none of them and grape.rpc_host 127.0.0.1"
            ),
            Self::MissingPair { key } => write!(
                out,
                "{key} is missing: positions count from 0 without gaps, and each market needs \
                 a pair such as BTC/USD"
            ),
            Self::Exceeds {
                place,
                lesser,
                lesser_value,
                greater,
                greater_value,
            } => write!(
                out,
                "{place}: {lesser} is {lesser_value}, must not exceed {greater}, \
                 which is {greater_value}: lower the one or raise the other"
            ),
            Self::Genesis { place, error } => write!(out, "{place}: {error}"),
            Self::Inconsistent(error) => write!(
                out,
                "the settings do not fit the program, which is a fault of it: {error}"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// All faults that were found, at least one.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(out, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
