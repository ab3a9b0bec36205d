//! Rules on names: whole words, and one file for one concept.

use std::collections::BTreeMap;

use crate::source::{Finding, SourceFile, words};

/// Shortened words and what they stand for. Names of the standard library and of the field
/// (`addr`, `len`, `recv`, `ctx`) are not in the list: their short forms are their names.
const SHORT_FORMS: [(&str, &str); 25] = [
    ("amt", "amount"),
    ("btn", "button"),
    ("calc", "compute"),
    ("cnt", "count"),
    ("cmd", "command"),
    ("conn", "connection"),
    ("desc", "description"),
    ("evt", "event"),
    ("fname", "file_name"),
    ("hdr", "header"),
    ("idx", "index"),
    ("lst", "list"),
    ("mgr", "the name of what it manages"),
    ("msg", "message"),
    ("pkt", "packet"),
    ("prm", "parameter"),
    ("qty", "quantity"),
    ("req", "request"),
    ("resp", "response"),
    ("sess", "session"),
    ("srv", "server"),
    ("svc", "service"),
    ("tmp", "what it is until then"),
    ("usr", "user"),
    ("val", "value"),
];

/// Names of other people's types, which we cannot write out: `rustyline` has `Cmd`.
const FOREIGN_NAMES: [&str; 1] = ["Cmd"];

/// File names that say nothing about what is inside.
const VAGUE_NAMES: [&str; 8] = [
    "common",
    "helper",
    "helpers",
    "misc",
    "stuff",
    "util",
    "utilities",
    "utils",
];

/// File names that every folder may have.
const STRUCTURE_NAMES: [&str; 5] = ["lib", "main", "mod", "tests", "build"];

/// Names are whole words.
pub fn abbreviations(file: &SourceFile) -> Vec<Finding> {
    let code = file.code.iter().enumerate();
    let lines = code.filter(|(_, line)| !line.trim_start().starts_with("#["));
    lines
        .flat_map(|(index, line)| words(line).map(move |word| (index, word)))
        .filter(|(_, word)| !FOREIGN_NAMES.contains(word))
        .filter_map(|(index, word)| {
            let parts = parts_of(word);
            let (short, long) = SHORT_FORMS
                .iter()
                .find(|(short, _)| parts.iter().any(|part| part == short))?;
            let what = format!("`{word}` shortens a word (`{short}`): {long}");
            Some(Finding::at(index, what, "write the word out"))
        })
        .collect()
}

/// The lower-case parts of `snake_case`, `CamelCase` and `SHOUTING_CASE` names.
fn parts_of(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before_lower = false;
    for character in word.chars() {
        let begins = character == '_' || character.is_uppercase() && before_lower;
        if begins {
            parts.push(String::new());
        }
        before_lower = character.is_lowercase() || character.is_ascii_digit();
        if character != '_' {
            let last = parts.last_mut().expect("there is always a last part");
            last.extend(character.to_lowercase());
        }
    }
    parts
}

/// A file's name is its concept.
pub fn vague_file_names(file: &SourceFile) -> Vec<Finding> {
    let stem = file.stem();
    if !file.is_rust() || !VAGUE_NAMES.contains(&stem.as_str()) {
        return Vec::new();
    }
    let what = format!("`{stem}` says nothing about what is inside");
    vec![Finding::at(0, what, "name the file after its concept")]
}

/// Outside tests a failure is an error with a text, or an `expect` that says why it cannot be.
pub fn no_unwrap(file: &SourceFile) -> Vec<Finding> {
    let code = file.product_code().filter(|_| file.is_rust());
    code.filter(|(_, line)| line.contains(".unwrap()"))
        .map(|(index, _)| {
            let mend = "return an error, or `expect` with the reason why it cannot happen";
            Finding::at(index, "`unwrap()` outside tests", mend)
        })
        .collect()
}

/// No file of a crate has the name of one of the crate's own modules. Parts of different modules
/// may share a name that says their role, as `sync/vocabulary.rs` and `gossip/vocabulary.rs` do.
pub fn repeated_file_names(paths: &[String]) -> Vec<String> {
    let mut modules: BTreeMap<(String, String), &String> = BTreeMap::new();
    let named = |path: &String| (crate_folder(path), SourceFile::new(path, "").stem());
    let structure = |stem: &str| STRUCTURE_NAMES.contains(&stem);
    for path in paths.iter().filter(|path| is_module(path)) {
        modules.insert(named(path), path);
    }
    let others = paths.iter().filter(|path| !structure(&named(path).1));
    others
        .filter_map(|path| {
            let first = modules.get(&named(path)).filter(|first| **first != path)?;
            Some(format!(
                "{path}:1: [file-names] {first} has the same name; name each after its concept"
            ))
        })
        .collect()
}

/// Whether a file lies directly in the folder of its crate.
fn is_module(path: &str) -> bool {
    let rest = path.strip_prefix(&crate_folder(path));
    rest.is_some_and(|rest| rest.matches('/').count() == 1)
}

/// The folder of the crate that a file belongs to.
fn crate_folder(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let depth = match parts.as_slice() {
        ["src" | "tests", folder, _, ..] if !folder.is_empty() => 2,
        _ => 1,
    };
    parts[..depth.min(parts.len())].join("/")
}
