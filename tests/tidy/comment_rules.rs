//! Rules on comments: they explain, they leave nothing open, and they are not code.

use crate::source::{Finding, SourceFile};

/// Fewest characters of module docs that can explain a concept.
const MODULE_DOCS_MIN: usize = 40;

/// Fewest characters of module docs where the code is tests: what they are tests of.
const TEST_DOCS_MIN: usize = 20;

/// Every file of Rust begins with what it is about.
pub fn module_docs(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut first = file.raw.iter().map(|line| line.trim());
    let begins = first
        .find(|line| !line.is_empty() && !line.starts_with("#!"))
        .is_some_and(|line| line.starts_with("//!"));
    let docs = file.raw.iter().filter_map(|line| line.strip_prefix("//!"));
    let length: usize = docs.map(|line| line.trim().chars().count()).sum();
    let least = match file.tests_from {
        0 => TEST_DOCS_MIN,
        _ => MODULE_DOCS_MIN,
    };
    if begins && length >= least {
        return Vec::new();
    }
    let mend = "begin with `//!` and a few sentences from which a newcomer learns the concept";
    vec![Finding::at(
        0,
        "the file does not say what it is about",
        mend,
    )]
}

/// A note about work to do names the issue where the work is planned.
pub fn open_ends(file: &SourceFile) -> Vec<Finding> {
    let marks = ["TO", "FIX", "XX", "HA"]
        .iter()
        .zip(["DO", "ME", "X", "CK"]);
    let marks: Vec<String> = marks
        .map(|(left, right)| format!("{left}{right}"))
        .collect();
    let comments = file.comments.iter().enumerate();
    comments
        .filter_map(|(index, comment)| {
            let mark = marks.iter().find(|mark| has_word(comment, mark))?;
            let what = format!("{mark} without an issue");
            let mend = "do it now, or write the number of its issue (#12) next to it";
            (!names_issue(comment)).then(|| Finding::at(index, what, mend))
        })
        .collect()
}

/// Whether `word` stands alone in the text.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .any(|part| part == word)
}

/// Whether the text has `#` and a number.
fn names_issue(text: &str) -> bool {
    let mut after_marks = text.split('#').skip(1);
    after_marks.any(|after| after.starts_with(|character: char| character.is_ascii_digit()))
}

/// A comment is not a piece of program that was switched off, nor is code switched off otherwise.
pub fn commented_out_code(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let comments = file.comments.iter().enumerate();
    let in_comments = comments.filter_map(|(index, comment)| {
        let text = comment.trim();
        let plain = text.strip_prefix("//")?;
        let documentation = plain.starts_with('/') || plain.starts_with('!');
        let mend = "delete it, the history keeps it; or say in a sentence why";
        (!documentation && looks_like_code(plain.trim()))
            .then(|| Finding::at(index, "a comment that is code", mend))
    });
    let code = file.code.iter().enumerate();
    let switched_off = code.filter_map(|(index, line)| {
        let dead = ["if false {", "cfg(any())", "dead_code", "unreachable_code"];
        let found = dead.iter().find(|mark| line.contains(*mark))?;
        let what = format!("code that never runs (`{found}`)");
        Some(Finding::at(index, what, "delete it, the history keeps it"))
    });
    in_comments.chain(switched_off).collect()
}

/// Whether the text of a comment reads like a line of Rust. Prose may end with a semicolon too, so
/// what counts is how the line begins.
fn looks_like_code(text: &str) -> bool {
    let keywords = ["let ", "use ", "pub ", "fn ", "impl ", "return ", "mod "];
    let mut parts = text.split_whitespace();
    let first = parts.next().unwrap_or_default();
    let assigns = matches!(parts.next(), Some("=" | "+=" | "-="));
    let statement = assigns
        || keywords.iter().any(|word| text.starts_with(word))
        || first.contains("::")
        || first.contains('(') && !first.starts_with('(');
    let closes = ["}", "})", "});", "},"].contains(&text);
    let opens = text.ends_with('{');
    let attribute = text.starts_with("#[") && text.ends_with(']');
    let ends = text.ends_with(';') || text.ends_with("),");
    closes || opens || attribute || ends && statement
}

/// A lint is silenced for a reason that is written down next to it.
pub fn silenced_lints(file: &SourceFile) -> Vec<Finding> {
    let code = file.code.iter().enumerate();
    code.filter_map(|(index, line)| {
        let attribute = ["[allow(", "[expect("]
            .iter()
            .find_map(|mark| line.find(mark).filter(|_| line.contains('#')))?;
        let rest = file.code[index..].iter().take(6);
        let text: String = rest.map(|part| format!("{part} ")).collect();
        let end = text[attribute..]
            .find(']')
            .map_or(text.len(), |at| attribute + at);
        let mend = "add `reason = \"…\"`, or mend what the lint says";
        (!text[attribute..end].contains("reason"))
            .then(|| Finding::at(index, "a lint is silenced without a reason", mend))
    })
    .collect()
}

/// Nothing names a place of somebody's machine.
pub fn machine_paths(file: &SourceFile) -> Vec<Finding> {
    let places = ["work", "home", "root", "Users"].map(|place| format!("/{place}/"));
    let raw = file.raw.iter().enumerate();
    raw.filter_map(|(index, line)| {
        let place = places.iter().find(|place| begins_path(line, place))?;
        let what = format!("a path of some machine (`{place}…`)");
        let mend = "use a path from the root of the repository, or a temporary folder";
        Some(Finding::at(index, what, mend))
    })
    .collect()
}

/// Whether an absolute path begins with `place`: what precedes it belongs to no path or address.
fn begins_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|character| character.is_alphanumeric() || "_-.~/}*".contains(character))
    })
}
