//! The sources of values beyond the defaults: file, environment, command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, FileError, Place};
use super::layer::{LayerBuilder, place_in_file};
use super::schema::{self, VARIABLE_PREFIX};
use super::value::{read_boolean, shorten};

/// Largest configuration file. Far more than 256 markets and 10,000 allowed keys need.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "config.toml";

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that `--config` names. Without one [`DEFAULT_FILE`] is read if it exists.
    pub file: Option<PathBuf>,
    /// The environment; variables that are not ours are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The arguments of `-D`, each `key=value`; of two for one key the later holds.
    pub assignments: Vec<String>,
    /// Dedicated options; they outrank `-D`.
    pub options: Vec<DedicatedOption>,
}

/// An option that has a name of its own and sets one key.
#[derive(Clone, Debug)]
pub struct DedicatedOption {
    /// For example `--log-level`.
    pub name: &'static str,
    /// For example `log.level`.
    pub key: &'static str,
    /// The value given.
    pub value: String,
}

/// Reads the file, if there is one to read.
pub(super) fn read_file(named: Option<&Path>, builder: &mut LayerBuilder) {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(FileError::Unreadable { source, .. })
            if named.is_none() && source.kind() == io::ErrorKind::NotFound =>
        {
            return;
        }
        Err(error) => return builder.errors.push(ConfigError::File(error)),
    };
    match DeTable::parse(&text) {
        Ok(table) => FileReader {
            path,
            text: &text,
            builder,
        }
        .read_table("", table.get_ref()),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let fault = FileError::Syntax {
                place: place_in_file(path, &text, offset),
                message: shorten(error.message()),
            };
            builder.errors.push(ConfigError::File(fault));
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let count = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    if count.map_err(unreadable)? as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge {
            path: path.to_path_buf(),
            bytes_max: FILE_BYTES_MAX,
        });
    }
    Ok(text)
}

/// Walks a parsed file. It recurses at most twice: keys stand two levels deep, those of markets
/// three.
struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
    builder: &'a mut LayerBuilder,
}

impl FileReader<'_> {
    fn read_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let value_place = place_in_file(self.path, self.text, value.span().start);
            let name_place = place_in_file(self.path, self.text, name.span().start);
            // A quoted name may hold a dot; no key has one.
            let known = schema::find(&full).filter(|_| !name.get_ref().contains('.'));
            match (known, value.get_ref()) {
                (Some(key), value) => {
                    self.builder
                        .put(value_place, &full, key.kind.read_toml(value));
                }
                (None, DeValue::Table(inner)) if schema::is_section(&full) => {
                    self.read_table(&format!("{full}."), inner);
                }
                (None, DeValue::Array(items)) if full == "markets" && !items.is_empty() => {
                    self.read_markets(name_place, items.iter().map(|item| item.get_ref()));
                }
                _ => self.builder.refuse_name(name_place, &full),
            }
        }
    }

    fn read_markets<'v>(&mut self, place: Place, items: impl Iterator<Item = &'v DeValue<'v>>) {
        for (position, item) in items.enumerate() {
            match item {
                DeValue::Table(table) => self.read_table(&format!("markets.{position}."), table),
                _ => self.builder.errors.push(ConfigError::Markets {
                    place: place.clone(),
                }),
            }
        }
    }
}

/// Reads the environment: first the well-known names, then the ones that every key has, which are
/// the more explicit and so win.
pub(super) fn read_environment(variables: &[(OsString, OsString)], builder: &mut LayerBuilder) {
    let variables: BTreeMap<&str, &OsString> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .collect();
    for name in schema::names(1) {
        let well_known = schema::find(&name).and_then(|key| key.variable);
        if let Some(variable) = well_known.filter(|variable| variables.contains_key(variable))
            && let Some((place, text)) = text_of(variable, &variables, builder)
        {
            builder.put_text(place, &name, text);
        }
    }
    read_embedded_grape(&variables, builder);
    let prefixed = variables
        .keys()
        .filter(|name| name.starts_with(VARIABLE_PREFIX));
    for variable in prefixed {
        let rest = &variable[VARIABLE_PREFIX.len()..];
        let name = rest.to_ascii_lowercase().replace("__", ".");
        if let Some((place, text)) = text_of(variable, &variables, builder) {
            // Otherwise a variable in lower case would be taken, which the documentation denies.
            if schema::variable_of(&name) == **variable {
                builder.put_text(place, &name, text);
            } else {
                builder.refuse_name(place, rest);
            }
        }
    }
}

/// The value of a variable that is there.
fn text_of<'v>(
    variable: &str,
    variables: &BTreeMap<&str, &'v OsString>,
    builder: &mut LayerBuilder,
) -> Option<(Place, &'v str)> {
    let place = Place::Variable(variable.to_owned());
    let value = variables.get(variable)?;
    match value.to_str() {
        Some(text) => Some((place, text)),
        None => {
            builder.errors.push(ConfigError::NotUnicode { place });
            None
        }
    }
}

/// `EMBEDDED_GRAPE` chooses the mode: true means grenache; false means p2p if
/// `DISCOVERY_GRENACHE` is false too, else legacy. (A wrong value of the latter has been reported
/// with its key.)
fn read_embedded_grape(variables: &BTreeMap<&str, &OsString>, builder: &mut LayerBuilder) {
    let Some((place, text)) = text_of("EMBEDDED_GRAPE", variables, builder) else {
        return;
    };
    let discovery = variables.get("DISCOVERY_GRENACHE");
    let discovery = discovery.and_then(|value| read_boolean(value.to_str()?));
    let mode = match read_boolean(text) {
        Some(true) => "grenache",
        Some(false) if discovery == Some(false) => "p2p",
        Some(false) => "legacy",
        None => {
            return builder.errors.push(ConfigError::Value {
                place,
                key: "EMBEDDED_GRAPE".to_owned(),
                shown: format!("`{}`", shorten(text)),
                expected: "true or false".to_owned(),
            });
        }
    };
    builder.put_text(place, "mode", mode);
}

/// Reads the command line.
pub(super) fn read_command_line(sources: &Sources, builder: &mut LayerBuilder) {
    for assignment in &sources.assignments {
        match assignment.split_once('=') {
            Some((name, text)) => {
                let place = Place::Option(format!("-D {}", shorten(name)));
                builder.put_text(place, name, text);
            }
            None => {
                let text = shorten(assignment);
                builder.errors.push(ConfigError::Assignment(text));
            }
        }
    }
    for option in &sources.options {
        let place = Place::Option(option.name.to_owned());
        builder.put_text(place, option.key, &option.value);
    }
}
