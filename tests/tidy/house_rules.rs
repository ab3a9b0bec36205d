//! Rules on the house: what may know what.
//!
//! The arrows are those of `docs/ARCHITECTURE.md`: `core ← sim`, `core ← io ← actors ← web ← main`,
//! and inside the core from the plain types up to the node that composes everything. They are
//! checked on the names that a file mentions, not only on its `use` lines, so that a full path in
//! the middle of a function counts as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Finding, SourceFile, words};

/// What the visible top level of the repository consists of, and nothing else.
pub const TOP_LEVEL: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE",
    "config.toml",
    "src",
    "actors",
    "tests",
    "docs",
];

/// The crates: folder, the own crates it may name, and whether actix may be named in it.
const CRATES: [(&str, &[&str], Actix); 8] = [
    ("src/core/", &[], Actix::Banned),
    ("src/replay/", &["core"], Actix::Banned),
    ("src/sim/", &["core"], Actix::Banned),
    ("src/io/", &["core"], Actix::Banned),
    ("actors/", &["core", "io"], Actix::Allowed),
    ("src/web/", &["core", "io", "actors"], Actix::WebOnly),
    ("src/", ALL_CRATES, Actix::Allowed),
    ("tests/", ALL_CRATES, Actix::Allowed),
];

const ALL_CRATES: &[&str] = &["core", "replay", "sim", "io", "actors", "web"];

/// How much of actix a crate may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Actix {
    Allowed,
    /// The HTTP server, but no actors of one's own.
    WebOnly,
    Banned,
}

/// The layers of the core, lowest first. A module may name its own layer and those before it;
/// that there is no circle within a layer is checked apart.
const CORE_LAYERS: [&[&str]; 5] = [
    &["address", "hex", "random", "types"],
    &[
        "backoff",
        "bencode",
        "book",
        "breaker",
        "chunks",
        "few",
        "genesis",
        "history",
        "krpc",
        "market",
        "median_clock",
        "outputs",
        "packed",
        "packed_map",
        "prefetch",
        "rate_limit",
        "seen",
        "set_hash",
        "standing",
        "supervision",
        "tight",
        "vector_clock",
        "wire",
        "word_table",
    ],
    &[
        "dag",
        "head_trie",
        "matching",
        "op",
        "order_log",
        "signature",
        "view",
    ],
    &[
        "address_book",
        "board",
        "confirmation",
        "delivery",
        "dht",
        "effect_log",
        "exchange",
        "gossip",
        "handshake",
        "leases",
        "lifetimes",
        "membership",
        "market_log",
        "market_terms",
        "order_number",
        "order_table",
        "peer_exchange",
        "replica",
        "settlement",
        "sync",
    ],
    &["node"],
];

/// Crates that would bring I/O, clocks or threads into the core.
const IMPURE_CRATES: [&str; 8] = [
    "actix", "actix-rt", "tokio", "redb", "rustls", "tracing", "config", "rand",
];

/// The row of [`CRATES`] that a file belongs to.
fn crate_of(path: &str) -> Option<&'static (&'static str, &'static [&'static str], Actix)> {
    CRATES
        .iter()
        .find(|(folder, _, _)| path.starts_with(folder))
}

/// A crate names only those below it, and actix stays with the actors.
pub fn crate_arrows(file: &SourceFile) -> Vec<Finding> {
    let Some((folder, allowed, actix)) = crate_of(&file.path).filter(|_| file.is_rust()) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, line) in file.code.iter().enumerate() {
        for word in words(line) {
            if word
                .strip_prefix("bitfitech_")
                .is_some_and(|name| forbids(folder, allowed, name))
            {
                let what = format!("`{folder}` must not know `{word}`");
                let mend = "pass what it needs as a value, or move the code up the arrow";
                findings.push(Finding::at(index, what, mend));
            }
            if names_actix(word, *actix) {
                let what = format!("`{word}` outside the actors");
                let mend = "keep the logic free of actors and drive it from `actors/`";
                findings.push(Finding::at(index, what, mend));
            }
        }
    }
    findings
}

/// Whether the crate in this folder may not name that one. Benches and tests name their own.
fn forbids(folder: &str, allowed: &[&str], name: &str) -> bool {
    let itself = folder.trim_end_matches('/').rsplit('/').next() == Some(name);
    ALL_CRATES.contains(&name) && !allowed.contains(&name) && !itself
}

/// Whether the word is a crate of actix that the place may not name.
fn names_actix(word: &str, actix: Actix) -> bool {
    let actors = word == "actix" || word == "actix_rt";
    let web = word == "actix_web" || word == "actix_ws";
    match actix {
        Actix::Allowed => false,
        Actix::WebOnly => actors,
        Actix::Banned => actors || web,
    }
}

/// The same arrows in the manifests, where they are made.
pub fn manifest_arrows(file: &SourceFile) -> Vec<Finding> {
    let Some((folder, allowed, actix)) = crate_of(&file.path) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut section = "";
    for (index, line) in file.raw.iter().enumerate() {
        if line.starts_with('[') {
            section = line.trim();
        }
        let end = line.find(['.', '=', ' ']).unwrap_or(line.len());
        let name = &line[..end];
        let own = name.strip_prefix("bitfitech-");
        let upward = own.is_some_and(|name| !allowed.contains(&name));
        let impure = *folder == "src/core/" && IMPURE_CRATES.contains(&name);
        let actors = names_actix(&name.replace('-', "_"), *actix);
        if section == "[dependencies]" && (upward || impure || actors) {
            let what = format!("`{folder}` must not depend on `{name}`");
            let mend = "keep to the arrows of docs/ARCHITECTURE.md";
            findings.push(Finding::at(index, what, mend));
        }
    }
    findings
}

/// The top module of the core that a file belongs to (`op_tests.rs` to `op`); the crate's root
/// belongs to none.
fn core_module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/core/")?;
    let name = rest.split('/').next()?.trim_end_matches(".rs");
    let name = name.trim_end_matches("_tests");
    let inside = rest.ends_with(".rs") && !["lib", "tests", "benches"].contains(&name);
    inside.then_some(name)
}

/// The position of a module's layer.
fn layer_of(module: &str) -> Option<usize> {
    CORE_LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Inside the core a module names only its own layer and those below.
pub fn core_arrows(file: &SourceFile) -> Vec<Finding> {
    let Some(module) = core_module(&file.path) else {
        return Vec::new();
    };
    let table = "CORE_LAYERS in tests/tidy/house_rules.rs and the arrows of docs/ARCHITECTURE.md";
    let Some(layer) = layer_of(module) else {
        let what = format!("the module `{module}` has no layer; {table} list all");
        return vec![Finding::at(
            0,
            what,
            "give it the lowest layer that it can have",
        )];
    };
    let named = modules_named(file).into_iter();
    named
        .filter(|(_, other)| layer_of(other).is_some_and(|other_layer| other_layer > layer))
        .map(|(index, other)| {
            let what = format!("`{module}` must not know `{other}`, which is above it");
            let mend = "turn the dependency round: pass a value, or move the type down";
            Finding::at(index, what, mend)
        })
        .collect()
}

/// The modules of the same crate that the code of a file (tests apart) names by `crate::`.
fn modules_named(file: &SourceFile) -> Vec<(usize, String)> {
    let mut text = String::new();
    let mut line_starts = Vec::new();
    for (_, line) in file.product_code() {
        line_starts.push(text.len());
        text.push_str(line);
        text.push(' ');
    }
    let mut named = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        let index = line_starts.partition_point(|&start| start <= at) - 1;
        let names = first_names(text[at + prefix.len()..].trim_start());
        named.extend(names.into_iter().map(|name| (index, name)));
    }
    named
}

/// The first name of each path in what follows `crate::`, a name or a group in braces.
fn first_names(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else {
        return words(text).take(1).map(str::to_owned).collect();
    };
    let mut names = Vec::new();
    let (mut depth, mut expects_name) = (1_usize, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_name = true,
            _ if expects_name && character.is_alphanumeric() => {
                names.extend(words(&group[at..]).take(1).map(str::to_owned));
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

/// Which module of the core names which other.
pub fn core_graph(files: &[SourceFile]) -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let Some(module) = core_module(&file.path) else {
            continue;
        };
        let others = modules_named(file).into_iter().map(|(_, other)| other);
        let known = others.filter(|other| layer_of(other).is_some() && other != module);
        graph.entry(module.to_owned()).or_default().extend(known);
    }
    graph
}

/// Modules that know each other round a circle: what is left when all others are taken away.
pub fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut left = graph.clone();
    loop {
        let free: Vec<String> = left
            .iter()
            .filter(|(_, others)| others.iter().all(|other| !left.contains_key(other)))
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        left.retain(|module, _| !free.contains(module));
    }
    if left.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = left.keys().map(String::as_str).collect();
    vec![format!(
        "src/core: [core-circles] {} know each other round a circle; move what they share down",
        names.join(", ")
    )]
}

/// Words that would bring clocks, randomness or an unstable order into the core.
const IMPURE_WORDS: [&str; 8] = [
    "std",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "RandomState",
    "thread_rng",
    "println",
];

/// The core stays values in, values out.
pub fn core_is_pure(file: &SourceFile) -> Vec<Finding> {
    if !file.path.starts_with("src/core/") || !file.is_rust() {
        return Vec::new();
    }
    let mend = "use `core` and `alloc`, ordered maps, and time or randomness passed in";
    let code = file.product_code();
    let named = code.filter_map(|(index, line)| {
        let word = words(line).find(|word| IMPURE_WORDS.contains(word))?;
        Some(Finding::at(index, format!("`{word}` in the core"), mend))
    });
    let root = file.path == "src/core/lib.rs";
    let gated = file.code.iter().any(|line| line.trim() == "#![no_std]");
    let missing = (root && !gated).then(|| Finding::at(0, "`#![no_std]` is missing", mend));
    named.chain(missing).collect()
}

/// The visible top level is the fixed one.
pub fn top_level(names: &[String]) -> Vec<String> {
    let stranger = names
        .iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .map(|name| format!("{name}: [top-level] does not belong here; the house has its rooms"));
    let missing = TOP_LEVEL
        .iter()
        .filter(|expected| !names.iter().any(|name| name == *expected))
        .map(|expected| format!("{expected}: [top-level] is missing"));
    stranger.chain(missing).collect()
}
