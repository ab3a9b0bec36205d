//! Shows keys: the configuration in force, the file with the defaults, the list of variables.

use std::fmt::Write as _;

use super::keys::{KEYS, MARKET_KEYS};
use super::schema::{self, Key, Scope};
use super::value::{Kind, Value};
use super::{Configuration, Effective};

/// What stands at the head of the file with the defaults.
const FILE_HEAD: &str = "\
# The configuration of a BitfiTech node. Every key is here with its default.
#
# A key can be set, in order of precedence, by `-D section.key=value` on the command line, by the
# environment variable BITFITECH__SECTION__KEY (or the well-known one named in brackets), or here.
# Keys marked GENESIS must be the same on all nodes of a network: nodes that differ in one refuse
# each other. `bitfitech config show` prints the values in force and where each comes from.
";

impl Configuration {
    /// The values in force as TOML, each with its origin as a comment; of a secret only the
    /// origin.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = Section::default();
        for name in schema::names(self.settings.markets.len()) {
            if let Some(effective) = self.effective.get(&name) {
                let field = section.enter(&name, &mut out);
                push_line(&mut out, &shown_line(&name, field, effective));
            }
        }
        out
    }

    /// The values in force as one JSON object from key names to values and origins; a secret is
    /// null.
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |name: &str, effective: &Effective| {
            let value = match &effective.value {
                _ if is_hidden(name, &effective.value) => serde_json::Value::Null,
                Value::Boolean(value) => serde_json::json!(value),
                Value::Integer(value) => serde_json::json!(value),
                Value::Text(text) => serde_json::json!(text),
                Value::List(items) => serde_json::json!(items),
            };
            serde_json::json!({"value": value, "origin": effective.origin})
        };
        let entries = self.effective.iter();
        serde_json::Value::Object(
            entries
                .map(|(name, effective)| (name.clone(), entry(name, effective)))
                .collect(),
        )
    }
}

/// A value in force as a line of TOML.
fn shown_line(name: &str, field: &str, effective: &Effective) -> String {
    let Effective { value, origin } = effective;
    if is_hidden(name, value) {
        format!("# {field} is set and not shown # {origin}")
    } else {
        format!("{field} = {} # {origin}", value.to_toml())
    }
}

/// Whether this is a secret, and there is one.
fn is_hidden(name: &str, value: &Value) -> bool {
    let is_secret = schema::find(name).is_some_and(|key| key.kind == Kind::Secret);
    is_secret && *value != Value::Text(String::new())
}

/// The text of `config.toml` as it stands in the repository.
pub fn default_file() -> String {
    let mut out = FILE_HEAD.to_owned();
    let mut section = Section::default();
    out.push('\n');
    for name in schema::names(1) {
        let Some(key) = schema::find(&name) else {
            continue;
        };
        let field = section.enter(&name, &mut out);
        let value = key.kind.read_text(key.default);
        let value = value.map(|value| value.to_toml()).unwrap_or_default();
        push_line(&mut out, &comment(key));
        push_line(&mut out, &format!("{field} = {value}"));
    }
    out
}

/// The well-known environment variables with their keys, one a line, for the help.
pub fn variables_help() -> String {
    let first_market = MARKET_KEYS.iter().map(|key| (key, "markets.0."));
    let keys = KEYS.iter().map(|key| (key, "")).chain(first_market);
    let mut out = String::new();
    for (key, prefix) in keys {
        if let Some(variable) = key.variable {
            let (name, default) = (key.name, key.default);
            let line = format!("  {variable:<34} {prefix}{name} [{default}]");
            push_line(&mut out, &line);
        }
    }
    push_line(
        &mut out,
        "  EMBEDDED_GRAPE                     mode (with DISCOVERY_GRENACHE; both false: p2p)",
    );
    out
}

/// The headings of tables, written when the section changes.
#[derive(Default)]
struct Section(Option<String>);

impl Section {
    /// Writes the heading if this key is the first of its section. Returns the key's last part.
    fn enter<'n>(&mut self, name: &'n str, out: &mut String) -> &'n str {
        let section = schema::section_of(name);
        if self.0.as_deref() != section {
            let heading = match section {
                Some(section) if section.starts_with("markets.") => "[[markets]]".to_owned(),
                Some(section) => format!("[{section}]"),
                None => String::new(),
            };
            push_line(out, &format!("\n{heading}"));
            self.0 = section.map(str::to_owned);
        }
        name.rsplit('.').next().unwrap_or(name)
    }
}

/// The comment of a key in the file: what it does, its range, its variable, whether all nodes must
/// agree on it.
fn comment(key: &Key) -> String {
    let mut text = format!("# {}", key.about);
    match key.kind {
        Kind::Integer { min, max, unit } => {
            let space = if unit.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, " ({min} to {max}{space}{unit})");
        }
        Kind::Choice(words) => text.extend([" (", &words.join(", "), ")"]),
        _ => {}
    }
    if let Some(variable) = key.variable {
        text.extend([" [", variable, "]"]);
    }
    if key.scope == Scope::Genesis {
        text.push_str(" GENESIS");
    }
    text
}

fn push_line(out: &mut String, line: &str) {
    out.extend([line, "\n"]);
}
