//! What a key is, and how keys are found: by name, by section, by likeness.
//!
//! The keys themselves stand in the table in `keys`. Everything that speaks of keys is made from
//! it: reading and checking, the nearest known key in errors, `config show`, the `config.toml` in
//! the repository and the list of variables in the help. To add a key, add a row there and a field
//! in `settings`; tests hold the two together.

use super::keys::{KEYS, MARKET_KEYS};
use super::value::Kind;

/// Prefix of the variables that every key has besides its well-known one.
pub(super) const VARIABLE_PREFIX: &str = "BITFITECH__";

/// Who must agree on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A matter of this node alone.
    Node,
    /// Part of the genesis: nodes that differ in it refuse each other.
    Genesis,
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// `section.key`; for a key of a market only the part after `markets.N.`.
    pub(super) name: &'static str,
    /// What values it takes.
    pub(super) kind: Kind,
    /// The built-in default, written as on the command line.
    pub(super) default: &'static str,
    /// Its well-known environment variable.
    pub(super) variable: Option<&'static str>,
    /// Who must agree on it.
    pub(super) scope: Scope,
    /// What it does, in one line.
    pub(super) about: &'static str,
}

impl Key {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            variable: None,
            scope: Scope::Node,
            about,
        }
    }

    pub(super) const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    pub(super) const fn genesis(mut self) -> Self {
        self.scope = Scope::Genesis;
        self
    }
}

/// Where the tables of the markets stand among the keys: after this section.
pub(super) const MARKETS_AFTER: &str = "network";

/// The key of this full name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    match split_market(name) {
        Some((_, field)) => MARKET_KEYS.iter().find(|key| key.name == field),
        None => KEYS.iter().find(|key| key.name == name),
    }
}

/// Splits `markets.N.field`.
pub(super) fn split_market(name: &str) -> Option<(usize, &str)> {
    let (position, field) = name.strip_prefix("markets.")?.split_once('.')?;
    let number: usize = position.parse().ok()?;
    let canonical = number < bitfitech_core::genesis::MARKETS_MAX && number.to_string() == position;
    canonical.then_some((number, field))
}

/// Whether keys of this section exist.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| section_of(key.name) == Some(name))
}

/// `section` of `section.key`.
pub(super) fn section_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(section, _)| section)
}

/// The full names of all keys of a configuration with so many markets, in the order of showing.
pub(super) fn names(market_count: usize) -> Vec<String> {
    let network = |key: &&Key| matches!(section_of(key.name), None | Some(MARKETS_AFTER));
    let before = KEYS.iter().filter(network).map(|key| key.name.to_owned());
    let after = KEYS.iter().filter(|key| !network(key));
    let markets = (0..market_count).flat_map(|position| {
        MARKET_KEYS
            .iter()
            .map(move |key| format!("markets.{position}.{}", key.name))
    });
    before
        .chain(markets)
        .chain(after.map(|key| key.name.to_owned()))
        .collect()
}

/// The variable that every key has: `BITFITECH__SECTION__KEY`.
pub(super) fn variable_of(name: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        name.replace('.', "__").to_ascii_uppercase()
    )
}

/// The known name nearest to an unknown one.
///
/// Compared are whole names, and, a little less, the last parts alone: a key that only stands in
/// the wrong section is found too.
pub(super) fn nearest(unknown: &str) -> String {
    let last_part = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let unknown = unknown.to_ascii_lowercase();
    let likeness = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&unknown, known);
        let part = strsim::normalized_damerau_levenshtein(&last_part(&unknown), &last_part(known));
        whole.max(0.9 * part)
    };
    let mut known = names(1);
    known.extend(
        KEYS.iter()
            .filter_map(|key| section_of(key.name))
            .map(str::to_owned),
    );
    // Of equals the first in the table: `max_by` takes the last.
    known
        .into_iter()
        .rev()
        .max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
        .expect("the table is not empty")
}
