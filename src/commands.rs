//! The commands that start no node: keys, configuration, completions.
//!
//! Each returns what belongs on the standard output; writing it, and the exit code, is
//! [`crate::exit`]'s matter.

use std::path::Path;

use bitfitech_io::config::{ConfigErrors, Configuration};
use bitfitech_io::data_dir::DataDir;
use bitfitech_io::identity::{Identity, IdentityError};
use serde_json::json;

use crate::cli::{Options, Output};
use crate::exit::Failure;

/// Name of the key file, as [`DataDir::key_path`] has it; that needs the lock of the directory,
/// which a running node holds.
const KEY_FILE: &str = "node.key";

/// Loads the configuration that the options and the environment make.
///
/// # Errors
/// Every fault of it, as wrong usage.
pub fn load(options: &Options) -> Result<Configuration, Failure> {
    Configuration::load(&options.sources()).map_err(|errors| Failure::Usage(errors.to_string()))
}

/// `config show`: every setting in force with its origin.
pub fn config_show(options: &Options) -> Result<String, Failure> {
    let configuration = load(options)?;
    Ok(match options.output() {
        Output::Text => configuration.to_toml(),
        Output::Json => format!("{}\n", configuration.to_json()),
    })
}

/// `config check`: `ok`, or every fault in one line.
pub fn config_check(options: &Options) -> Result<String, Failure> {
    let checked = Configuration::load(&options.sources());
    match (checked, options.output()) {
        (Ok(_), Output::Text) => Ok("ok\n".to_owned()),
        (Ok(_), Output::Json) => Ok(format!("{}\n", json!({"ok": true, "errors": []}))),
        (Err(errors), Output::Text) => Err(Failure::Usage(errors.to_string())),
        (Err(errors), Output::Json) => Err(Failure::Reported {
            report: format!("{}\n", json!({"ok": false, "errors": lines_of(&errors)})),
            lines: errors.to_string(),
        }),
    }
}

fn lines_of(errors: &ConfigErrors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}

/// `keys show`: the public key. It takes no lock, so it works while the node runs.
pub fn keys_show(options: &Options) -> Result<String, Failure> {
    let configuration = load(options)?;
    let directory = &configuration.settings().data_dir;
    let path = directory.join(KEY_FILE);
    let identity = Identity::load(&path).map_err(|error| match &error {
        IdentityError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::RunTime(format!(
                "{}: there is no key yet: run `bitfitech keys new`, or start the node once",
                path.display()
            ))
        }
        _ => Failure::RunTime(error.to_string()),
    })?;
    Ok(shown(&identity, &path, options.output()))
}

/// `keys new`: makes the key, and the data directory if it is missing.
pub fn keys_new(options: &Options) -> Result<String, Failure> {
    let configuration = load(options)?;
    let failed = |error: &dyn std::error::Error| Failure::RunTime(error.to_string());
    let directory = DataDir::open(&configuration.settings().data_dir).map_err(|e| failed(&e))?;
    let path = directory.key_path();
    let identity = Identity::create(&path).map_err(|e| failed(&e))?;
    Ok(shown(&identity, &path, options.output()))
}

fn shown(identity: &Identity, path: &Path, output: Output) -> String {
    let node = identity.author();
    match output {
        Output::Text => format!("{node}\n"),
        Output::Json => format!("{}\n", json!({"node": node.to_hex(), "path": path})),
    }
}
