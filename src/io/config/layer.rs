//! A layer: the values that one source gives, each checked, each with its place.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Map, Source, Value as LayerValue, ValueKind};

use super::error::{ConfigError, Place};
use super::schema;
use super::value::{Rejected, Value, shorten};

/// Checked values by full key name.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: BTreeMap<String, (Value, Place)>,
}

/// A layer in the making: reading goes on after a fault, so that all are reported at once.
#[derive(Debug, Default)]
pub(super) struct LayerBuilder {
    pub(super) layer: Layer,
    pub(super) errors: Vec<ConfigError>,
}

impl LayerBuilder {
    /// Takes a value of a known key, or notes why not. A later value replaces an earlier one.
    pub(super) fn put(&mut self, place: Place, name: &str, read: Result<Value, Rejected>) {
        match read {
            Ok(value) => {
                self.layer.values.insert(name.to_owned(), (value, place));
            }
            Err(rejected) => self.errors.push(ConfigError::Value {
                place,
                key: name.to_owned(),
                shown: rejected.shown,
                expected: rejected.expected,
            }),
        }
    }

    /// Takes a value that was given as text, under a name that may be unknown.
    pub(super) fn put_text(&mut self, place: Place, name: &str, text: &str) {
        match schema::find(name) {
            Some(key) => self.put(place, name, key.kind.read_text(text)),
            None => self.refuse_name(place, name),
        }
    }

    /// Notes that no key has this name.
    pub(super) fn refuse_name(&mut self, place: Place, name: &str) {
        let error = if schema::is_section(name) {
            ConfigError::IsSection {
                place,
                section: name.to_owned(),
            }
        } else if name == "markets" {
            ConfigError::Markets { place }
        } else {
            let nearest = schema::nearest(name);
            let nearest = match place {
                Place::Variable(_) => schema::variable_of(&nearest),
                _ => nearest,
            };
            let key = shorten(name);
            ConfigError::UnknownKey {
                place,
                key,
                nearest,
            }
        };
        self.errors.push(error);
    }
}

impl Layer {
    /// The built-in defaults of a configuration with so many markets.
    ///
    /// Those of the pair count for the first market alone: that further ones name theirs is
    /// checked before the layers meet.
    pub(super) fn defaults(market_count: usize) -> Self {
        let mut builder = LayerBuilder::default();
        for name in schema::names(market_count) {
            let key = schema::find(&name).expect("a listed name is a key");
            builder.put(Place::Default, &name, key.kind.read_text(key.default));
        }
        assert!(builder.errors.is_empty(), "every default must be allowed");
        builder.layer
    }

    /// One more than the greatest position of a market.
    pub(super) fn market_count(&self) -> usize {
        let positions = self
            .values
            .keys()
            .filter_map(|name| schema::split_market(name));
        positions
            .map(|(position, _)| position + 1)
            .max()
            .unwrap_or(0)
    }

    /// Whether this layer gives a value to the key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, LayerValue>, config::ConfigError> {
        let values = self.values.iter().map(|(name, (value, place))| {
            let kind = match value {
                Value::Boolean(value) => ValueKind::from(*value),
                Value::Integer(value) => ValueKind::from(*value),
                Value::Text(text) => ValueKind::from(text.as_str()),
                Value::List(items) => ValueKind::from(items.clone()),
            };
            let origin = place.to_string();
            (path_of(name), LayerValue::new(Some(&origin), kind))
        });
        Ok(values.collect())
    }
}

/// The name in the path language of the `config` crate, in which positions stand in brackets.
fn path_of(name: &str) -> String {
    match schema::split_market(name) {
        Some((position, field)) => format!("markets[{position}].{field}"),
        None => name.to_owned(),
    }
}

/// A place in a file.
pub(super) fn place_in_file(path: &Path, text: &str, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    Place::File {
        path: path.to_path_buf(),
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
    }
}
