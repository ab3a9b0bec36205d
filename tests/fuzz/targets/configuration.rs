//! Configurations: a file of any content and assignments of any form, a line each behind a NUL.
#![no_main]

use std::ffi::OsString;
use std::path::PathBuf;

use bitfitech_io::config::{Configuration, Sources};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0);
    let path = file(parts.next().unwrap_or_default());
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    let assignments = text(parts.next());
    let environment = text(parts.next());
    let environment = environment.lines().filter_map(|line| line.split_once('='));
    let environment = environment.map(|(name, value)| (OsString::from(name), value.into()));
    let sources = Sources {
        file: Some(path.clone()),
        environment: environment.collect(),
        assignments: assignments.lines().map(str::to_owned).collect(),
        ..Sources::default()
    };
    match Configuration::load(&sources) {
        Ok(configuration) => {
            let shown = configuration.to_toml();
            assert!(!shown.is_empty());
        }
        Err(errors) => assert!(!errors.to_string().is_empty(), "a fault has a text"),
    }
    // It is written anew for the next input.
    let _ = std::fs::remove_file(path);
});

/// The input as a file.
fn file(bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, bytes).expect("the file of the input is written");
    path
}
