//! The configuration: from four layers of text to one typed [`Settings`].
//!
//! A value is looked for on the command line (`-D key=value` and the dedicated options), then in
//! the environment, then in the configuration file, and last among the built-in defaults. Each of
//! these is read into a `Layer`: a map from full key names to values, in which every value has
//! been checked against the table of keys (`schema`) and carries the place where it was given. The
//! layers are then laid over each other by the `config` crate, which also fills the typed
//! settings. What concerns several values at once (a wait that must not exceed another, a market's
//! limits) is checked last.
//!
//! Three things follow from checking in the layer, where the place is still known. An error names
//! the line, the variable or the option that has to be mended. All errors are found in one go. And
//! a wrong value is an error even if a higher layer hides it: it would surprise on the day on which
//! that layer goes away.
//!
//! Environment variables: every key `section.key` can be set by `BITFITECH__SECTION__KEY`, and some
//! have a well-known name besides, such as `P2P_PORT`; if both are there, the longer one wins.
//! Markets are numbered from 0: `markets.0.tick`, `BITFITECH__MARKETS__0__TICK`.

mod error;
mod host_port;
mod keys;
mod layer;
mod render;
mod schema;
mod settings;
mod sources;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bitfitech_core::genesis::{Genesis, GenesisError};
use bitfitech_core::market::MarketError;
use config::{Config, Source, Value as LayerValue, ValueKind};

pub use error::{ConfigError, ConfigErrors, FileError, Place};
pub use host_port::{HostPort, HostPortError};
pub use render::{default_file, variables_help};
use settings::RPC_FILE_KEYS;
pub(crate) use settings::is_target;
pub use settings::{
    ApiSettings, BreakerSettings, DebugSettings, DiscoverySettings, ExchangeSettings,
    GossipSettings, GrapeSettings, LatePolicy, LimitSettings, LogFormat, LogLevel, LogLevelError,
    LogSettings, MarketSettings, Mode, NetworkSettings, P2pSettings, Secret, Settings,
    SettingsError, StoreSettings, SupervisorSettings, SyncSettings, TargetLevel,
};
pub use sources::{DEFAULT_FILE, DedicatedOption, Sources};

use layer::{Layer, LayerBuilder};
use value::Value;

/// Pairs of keys of which the first must not exceed the second.
const ORDERED: &[(&str, &str)] = &[
    ("p2p.ping_interval_ms", "p2p.idle_timeout_ms"),
    ("limits.max_message_kb", "p2p.outbox_kb"),
    ("limits.orders_per_second", "limits.orders_per_minute"),
    ("breaker.reset_timeout_ms", "breaker.max_timeout_ms"),
    ("supervisor.backoff_min_ms", "supervisor.backoff_max_ms"),
];

/// A checked configuration that knows where each value came from.
#[derive(Clone, Debug)]
pub struct Configuration {
    settings: Settings,
    genesis: Genesis,
    effective: BTreeMap<String, Effective>,
}

/// A value in force.
#[derive(Clone, Debug)]
struct Effective {
    value: Value,
    origin: String,
}

impl Configuration {
    /// Reads and checks all layers. Reads at most one file and writes nothing.
    ///
    /// # Errors
    /// Every fault of every layer; or, when each value is right by itself, those of the whole.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut file = LayerBuilder::default();
        sources::read_file(sources.file.as_deref(), &mut file);
        let mut environment = LayerBuilder::default();
        sources::read_environment(&sources.environment, &mut environment);
        let mut command_line = LayerBuilder::default();
        sources::read_command_line(sources, &mut command_line);
        let mut layers = Vec::new();
        let mut errors = Vec::new();
        for builder in [file, environment, command_line] {
            layers.push(builder.layer);
            errors.extend(builder.errors);
        }
        if errors.is_empty() {
            Self::compose(layers).map_err(ConfigErrors)
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Lays the layers over the defaults, later ones over earlier ones.
    fn compose(layers: Vec<Layer>) -> Result<Self, Vec<ConfigError>> {
        let positions = layers.iter().map(Layer::market_count);
        let market_count = positions.max().unwrap_or(0).max(1);
        let missing = (1..market_count)
            .map(|position| format!("markets.{position}.pair"))
            .filter(|key| !layers.iter().any(|layer| layer.has(key)));
        let missing: Vec<_> = missing
            .map(|key| ConfigError::MissingPair { key })
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut builder = Config::builder().add_source(Layer::defaults(market_count));
        for layer in layers {
            builder = builder.add_source(layer);
        }
        let inconsistent = |error| vec![ConfigError::Inconsistent(error)];
        let config = builder.build().map_err(inconsistent)?;
        let mut effective = BTreeMap::new();
        for (name, value) in config.collect().map_err(inconsistent)? {
            flatten(name, value, &mut effective);
        }
        let settings: Settings = config.try_deserialize().map_err(inconsistent)?;
        let mut errors = find_exceeding(&effective);
        if !settings.api.host.is_loopback() && settings.api.token.reveal().is_empty() {
            let place = effective["api.host"].origin.clone();
            errors.push(ConfigError::MissingToken { place });
        }
        if let Some(key) = settings.grape.missing_rpc_file() {
            let place = origin_of_rpc(&settings, &effective);
            errors.push(ConfigError::MissingRpcFile { place, key });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let genesis = settings.genesis().map_err(|error| {
            let place = origin_of_error(&error, &effective);
            vec![ConfigError::Genesis { place, error }]
        })?;
        Ok(Self {
            settings,
            genesis,
            effective,
        })
    }

    /// The typed values.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What this node agrees on with every node of its network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }
}

/// Turns nested tables into full key names.
fn flatten(name: String, value: LayerValue, effective: &mut BTreeMap<String, Effective>) {
    let origin = value.origin().unwrap_or_default().to_owned();
    let leaf = match value.kind {
        ValueKind::Table(table) => {
            for (field, inner) in table {
                flatten(format!("{name}.{field}"), inner, effective);
            }
            return;
        }
        ValueKind::Array(items) if name == "markets" => {
            for (position, inner) in items.into_iter().enumerate() {
                flatten(format!("{name}.{position}"), inner, effective);
            }
            return;
        }
        ValueKind::Boolean(value) => Value::Boolean(value),
        ValueKind::I64(number) => Value::Integer(number),
        ValueKind::Array(items) => {
            Value::List(items.into_iter().map(|item| item.to_string()).collect())
        }
        other => Value::Text(other.to_string()),
    };
    let value = leaf;
    effective.insert(name, Effective { value, origin });
}

/// Every pair of [`ORDERED`] that is not.
fn find_exceeding(effective: &BTreeMap<String, Effective>) -> Vec<ConfigError> {
    let number = |key: &str| match effective.get(key) {
        Some(Effective {
            value: Value::Integer(number),
            origin,
        }) => Some((*number, origin.clone())),
        _ => None,
    };
    let default = Place::Default.to_string();
    let exceeding = ORDERED.iter().filter_map(|&(lesser, greater)| {
        let (lesser_value, lesser_origin) = number(lesser)?;
        let (greater_value, greater_origin) = number(greater)?;
        // The one that the user wrote is the one to mend.
        let place = if lesser_origin == default {
            greater_origin
        } else {
            lesser_origin
        };
        (lesser_value > greater_value).then_some(ConfigError::Exceeds {
            place,
            lesser,
            lesser_value,
            greater,
            greater_value,
        })
    });
    exceeding.collect()
}

/// Where the value stands that makes files of the RPC service necessary.
fn origin_of_rpc(settings: &Settings, effective: &BTreeMap<String, Effective>) -> String {
    let default = Place::Default.to_string();
    let mut given = RPC_FILE_KEYS.iter().map(|key| &effective[*key].origin);
    let given = given.find(|origin| **origin != default);
    match given {
        Some(origin) if settings.grape.rpc_host.is_loopback() => origin.clone(),
        _ => effective["grape.rpc_host"].origin.clone(),
    }
}

/// Where the value stands that spoils the genesis.
fn origin_of_error(error: &SettingsError, effective: &BTreeMap<String, Effective>) -> String {
    let market = |position: usize, field: &str| format!("markets.{position}.{field}");
    let key = match error {
        SettingsError::Market { position, error } => match error {
            MarketError::Pair(_) => market(*position, "pair"),
            MarketError::Amount { key, .. } => market(*position, key),
            MarketError::TooFine => market(*position, "max_quantity"),
        },
        SettingsError::Genesis(error) => match error {
            GenesisError::Network(_) => "network.name".to_owned(),
            GenesisError::Duration { key, .. } => (*key).to_owned(),
            GenesisError::AllowList(_) => "network.allow_list".to_owned(),
            GenesisError::Administrators(_) => "network.administrators".to_owned(),
            GenesisError::DuplicatePair(pair) => {
                let repeated = effective.iter().rev().find(|(name, entry)| {
                    name.ends_with(".pair") && entry.value == Value::Text(pair.clone())
                });
                repeated.map(|(name, _)| name.clone()).unwrap_or_default()
            }
            GenesisError::MarketCount(_) => market(0, "pair"),
        },
    };
    let entry = effective.get(&key);
    entry.map(|entry| entry.origin.clone()).unwrap_or_default()
}
