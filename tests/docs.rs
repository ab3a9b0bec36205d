//! The documents say what the code does: vectors, constants, names and links, held together.
//!
//! Prose cannot be tested, but what it quotes can. Everything here reads the documents as text and
//! compares them with the code; each failure says which document, what it says, and what is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bitfitech_actors::command_help::COMMANDS;
use bitfitech_actors::messages::ErrorCode;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::op::Operation;
use bitfitech_core::signature;
use bitfitech_core::types::OrderId;
use bitfitech_core::wire::Frame;

/// The documents with tables of constants.
const WITH_CONSTANTS: [&str; 2] = ["docs/PROTOCOL.md", "docs/ARCHITECTURE.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document below `docs`, and the README.
fn documents() -> Vec<(String, String)> {
    let mut folders = vec![PathBuf::from("docs")];
    let mut found = vec![("README.md".to_string(), read("README.md"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of documents") {
            let name = entry.expect("an entry").file_name();
            let path = folder.join(name);
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let path = path.to_string_lossy().into_owned();
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    found
}

/// The cells of every row of every table, without the bars.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The content of a cell that is one piece of code.
fn code(cell: &str) -> Option<&str> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains('`')).then_some(inner)
}

/// Every piece of code in running text.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The bytes of a fenced block marked as the vector of this name.
fn vector(text: &str, name: &str) -> Vec<u8> {
    let fence = format!("```vector {name}\n");
    let (_, rest) = text
        .split_once(&fence)
        .unwrap_or_else(|| panic!("no vector {name}"));
    let (block, _) = rest.split_once("```").expect("a fence ends");
    bytes(block).unwrap_or_else(|| panic!("the vector {name} is hexadecimal: {block}"))
}

/// Hexadecimal digits with white space between them.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2);
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    pairs.map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_operation_vectors_of_the_protocol_are_valid() {
    let text = read("docs/PROTOCOL.md");
    let genesis = Genesis::standard("test");
    let digest = genesis.digest();
    assert_eq!(hex(&vector(&text, "genesis")), digest.to_hex());
    let wire = vector(&text, "operation");
    let operation = Operation::decode(&wire, &genesis, &digest).expect("a valid operation");
    let order = OrderId::new(&operation.id(), 0);
    assert_eq!(hex(&vector(&text, "operation-id")), operation.id().to_hex());
    assert_eq!(hex(&vector(&text, "order-id")), order.to_hex());
    assert!(signature::verify(vec![operation])[0].is_ok());
}

#[test]
fn the_frame_vectors_of_the_protocol_are_what_this_code_writes() {
    let text = read("docs/PROTOCOL.md");
    let mut kinds = BTreeSet::new();
    for row in rows(&text).filter(|row| row.len() == 2) {
        let (Some((kind, payload)), false) = (
            code(row[1]).and_then(|vector| vector.split_once(' ')),
            row[0].starts_with('`'),
        ) else {
            continue;
        };
        let (Some(kind), Some(payload)) = (bytes(kind), bytes(payload)) else {
            continue;
        };
        let frame = Frame::decode(kind[0], &payload);
        let frame = frame.unwrap_or_else(|error| panic!("{}: {error}", row[0]));
        let frame = frame.unwrap_or_else(|| panic!("{}: an unknown kind", row[0]));
        assert_eq!(frame.encode(), (kind[0], payload), "{}", row[0]);
        kinds.insert(kind[0]);
    }
    let known = (0..=u8::MAX).filter(|kind| Frame::decode(*kind, &[]) != Ok(None));
    assert!(kinds.into_iter().eq(known), "each kind has a vector");
}

/// The value of a product, sum, quotient or shift of numbers and other constants of the file.
fn evaluate(expression: &str, source: &str) -> Option<u64> {
    type Operator = (&'static str, fn(u64, u64) -> u64);
    const OPERATORS: [Operator; 4] = [
        (" << ", |left, right| left << right),
        (" + ", |left, right| left + right),
        (" * ", |left, right| left * right),
        (" / ", |left, right| left / right),
    ];
    for (sign, apply) in OPERATORS {
        if let Some((left, right)) = expression.rsplit_once(sign) {
            return Some(apply(evaluate(left, source)?, evaluate(right, source)?));
        }
    }
    let plain = expression.trim().replace('_', "");
    plain.parse().ok().or_else(|| {
        let name = expression.trim();
        let is_name = name
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_');
        values(name, source).into_iter().next().filter(|_| is_name)
    })
}

/// What a file gives the constant, or the field in a literal, of this name.
fn values(name: &str, source: &str) -> Vec<u64> {
    let constant = format!("const {name}: ");
    let field = format!("{name}: ");
    let given = source.lines().filter_map(|line| {
        let line = line
            .trim()
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        match line.strip_prefix(&constant) {
            Some(typed) => typed.split_once(" = ")?.1.strip_suffix(';'),
            None => line.strip_prefix(&field)?.strip_suffix(','),
        }
    });
    given
        .filter_map(|expression| evaluate(expression, source))
        .collect()
}

#[test]
fn constants_in_the_documents_are_those_of_the_code() {
    let mut checked = 0;
    for document in WITH_CONSTANTS {
        for row in rows(&read(document)).filter(|row| row.len() == 4) {
            let number = row[1].replace(',', "").parse::<u64>();
            let (Some(name), Ok(number), Some(file)) = (code(row[0]), number, code(row[2])) else {
                continue;
            };
            let found = values(name, &read(file));
            let says = format!("{document} says that {name} in {file} is {number}");
            assert!(found.contains(&number), "{says}; the code says {found:?}");
            checked += 1;
        }
    }
    assert!(
        checked > 60,
        "only {checked} constants were found in the tables"
    );
}

#[test]
fn files_that_documents_name_are_there() {
    const BEGINNINGS: [&str; 4] = ["src/", "actors/", "tests/", "docs/"];
    for (path, text) in documents() {
        for name in codes(&text).filter(|code| BEGINNINGS.iter().any(|it| code.starts_with(it))) {
            let plain = name
                .chars()
                .all(|letter| letter.is_alphanumeric() || "/._-".contains(letter));
            let there = root().join(name).exists();
            assert!(!plain || there, "{path} names `{name}`, which is not there");
        }
    }
}

/// The anchors of a document, as they are made of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_to_sections_lead_to_a_heading() {
    for (path, text) in documents() {
        let folder = Path::new(&path)
            .parent()
            .expect("a document is in a folder");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let Some((file, anchor)) = link.split_once('#').filter(|_| !link.contains("://"))
            else {
                continue;
            };
            let target = match file {
                "" => text.clone(),
                file => fs::read_to_string(root().join(folder).join(file)).unwrap_or_default(),
            };
            assert!(
                anchors(&target).contains(anchor),
                "{path}: `{link}` leads to no heading"
            );
        }
    }
}

#[test]
fn every_actor_has_its_place_in_the_architecture() {
    let text = read("docs/ARCHITECTURE.md");
    let table = rows(&text).filter(|row| row.len() == 6);
    let listed: BTreeSet<&str> = table
        .flat_map(|row| codes(row[0]).collect::<Vec<_>>())
        .collect();
    let code = [
        "actors/context.rs",
        "actors/node.rs",
        "actors/dht.rs",
        "src/grenache.rs",
        "src/web_ports.rs",
    ]
    .map(read);
    let made = code.iter().flat_map(|code| {
        let references = code.split("ActorRef::new(\"").skip(1);
        references.chain(code.split("service::child(\"").skip(1))
    });
    let mut names: BTreeSet<&str> = made.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.contains("matcher"), "{names:?}");
    names.insert("peer:<address>");
    assert_eq!(listed, names);
}

#[test]
fn operators_find_every_command_and_every_error() {
    let text = read("docs/OPERATIONS.md");
    let first: BTreeSet<&str> = rows(&text)
        .filter_map(|row| code(row[0]))
        .filter_map(|cell| cell.split(' ').next())
        .collect();
    for command in COMMANDS {
        assert!(
            first.contains(command.word),
            "`{}` has no row",
            command.word
        );
    }
    for error in ErrorCode::ALL {
        assert!(first.contains(error.name()), "{} has no row", error.name());
    }
}

#[test]
fn settings_that_documents_name_are_in_the_configuration() {
    let configuration = read("config.toml");
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in configuration.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_string();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    let sections: BTreeSet<String> = keys
        .iter()
        .filter_map(|key| key.split_once('.'))
        .map(|(section, _)| section.to_string())
        .collect();
    assert!(keys.contains("p2p.port") && sections.len() > 10, "{keys:?}");
    for (path, text) in documents()
        .into_iter()
        .filter(|(path, _)| path.starts_with("docs/"))
    {
        for name in codes(&text).filter(|code| is_setting(code, &sections)) {
            assert!(
                keys.contains(name),
                "{path} names the setting `{name}`, which is not there"
            );
        }
    }
}

/// Whether a piece of code has the form `section.key`, with one of these sections.
fn is_setting(code: &str, sections: &BTreeSet<String>) -> bool {
    let is_key = |key: &str| key.chars().all(|it| it.is_ascii_lowercase() || it == '_');
    code.split_once('.')
        .is_some_and(|(section, key)| sections.contains(section) && is_key(key) && key != "rs")
}
