//! Which log lines are wanted: a level for all targets, and levels for single ones.
//!
//! Every actor logs under a target of its own (`matcher`, `peer`, `gossip`, …), so an operator can
//! follow one of them closely while the others stay quiet.

use std::collections::BTreeMap;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::config::{LogLevel, TargetLevel};

/// The wanted levels. As a layer it keeps every unwanted line from all other layers.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    general: LevelFilter,
    targets: BTreeMap<String, LevelFilter>,
}

impl Levels {
    pub(super) fn new(general: LogLevel, targets: &[TargetLevel]) -> Self {
        let pairs = targets.iter();
        Self {
            general: filter_of(general),
            targets: pairs
                .map(|pair| (pair.target.clone(), filter_of(pair.level)))
                .collect(),
        }
    }

    pub(super) fn set_general(&mut self, level: LogLevel) {
        self.general = filter_of(level);
    }

    pub(super) fn set_target(&mut self, target: &str, level: LogLevel) {
        self.targets.insert(target.to_owned(), filter_of(level));
    }

    /// Whether a target has a level of its own.
    pub(super) fn has_target(&self, target: &str) -> bool {
        self.targets.contains_key(target)
    }

    /// How many targets have a level of their own.
    pub(super) fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// The level of a target: its own, else that of its first path segment, else the general one.
    /// A library logs under paths, and what it tells at info is not for operators.
    fn level_of(&self, target: &str) -> LevelFilter {
        let own = || self.targets.get(target);
        let segment = || self.targets.get(target.split("::").next()?);
        match own().or_else(segment) {
            Some(level) => *level,
            // The HTTP server calls what a client sends wrong an error of its own.
            None if target.starts_with("actix_http") && self.general <= LevelFilter::INFO => {
                LevelFilter::OFF
            }
            None if target.contains("::") && self.general == LevelFilter::INFO => LevelFilter::WARN,
            None => self.general,
        }
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level_of(metadata.target())
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    /// The answer for a line of code holds until the levels change; then all are asked again.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.targets.values().copied().chain([self.general]).max()
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
