//! For every rule a text that it must catch and one that it must not.
//!
//! The examples are strings, which the rules do not look into, so this file can show what is
//! banned everywhere else. Machine paths are the exception (they are looked for in raw text), so
//! those are put together from parts.

/// A piece of a file, and the rule that it is for.
pub struct Example {
    /// The name of the rule.
    pub rule: &'static str,
    /// Where the file would stand.
    pub path: &'static str,
    /// What is in it.
    body: Body,
}

/// The text of an example.
enum Body {
    Text(&'static str),
    /// A first line, a line repeated so often, a last line.
    Repeated(&'static str, &'static str, usize, &'static str),
    /// Parts that make up a line.
    Parts(&'static [&'static str]),
}

impl Example {
    /// The text of the file.
    pub fn text(&self) -> String {
        match &self.body {
            Body::Text(text) => (*text).to_owned(),
            Body::Repeated(first, line, count, last) => {
                format!("{first}\n{}{last}\n", format!("{line}\n").repeat(*count))
            }
            Body::Parts(parts) => parts.concat(),
        }
    }
}

const fn text(rule: &'static str, path: &'static str, text: &'static str) -> Example {
    let body = Body::Text(text);
    Example { rule, path, body }
}

const fn example(rule: &'static str, body: Body) -> Example {
    let path = "src/core/book.rs";
    Example { rule, path, body }
}

const DOCS: &str = "//! The book of one market, best price first, oldest order first.";

const WIDE: &[&str] = &[
    "fn wide() { let text = 11111111111111111111111111111111111111111",
    "11111111111111111111111111111111111111111; }",
];

/// What must be caught.
pub const BAD: &[Example] = &[
    example("line-length", Body::Parts(WIDE)),
    example("file-length", Body::Repeated(DOCS, "", 700, "")),
    Example {
        rule: "file-length",
        path: "src/lib.rs",
        body: Body::Repeated(DOCS, "", 99, ""),
    },
    example(
        "function-length",
        Body::Repeated("fn long() {", "    step();", 69, "}"),
    ),
    example(
        "function-length",
        Body::Repeated(
            "pub(crate) async fn long(\n) -> [u8; 2] {",
            "    let brace = '{';",
            68,
            "}",
        ),
    ),
    text("module-docs", "src/io/keys.rs", "use std::fs;\n"),
    text("module-docs", "src/io/keys.rs", "//! keys\nuse std::fs;\n"),
    text("open-ends", "src/io/keys.rs", "// TODO check the mode\n"),
    text("open-ends", "src/io/keys.rs", "/* FIXME: later */\n"),
    text(
        "commented-out-code",
        "src/io/keys.rs",
        "// let key = read_key(path)?;\n",
    ),
    text("commented-out-code", "src/io/keys.rs", "    // }\n"),
    text(
        "commented-out-code",
        "src/io/keys.rs",
        "// self.book.remove(order);\n",
    ),
    text(
        "commented-out-code",
        "src/io/keys.rs",
        "#[allow(dead_code, reason = \"later\")]\n",
    ),
    text(
        "silenced-lints",
        "src/io/keys.rs",
        "#[allow(clippy::too_many_lines)]\nfn long() {}\n",
    ),
    text(
        "silenced-lints",
        "src/io/keys.rs",
        "#![expect(clippy::print_stderr)]\n",
    ),
    example(
        "machine-paths",
        Body::Parts(&["let path = \"/ho", "me/somebody/data\";\n"]),
    ),
    example("machine-paths", Body::Parts(&["# see /wo", "rk/notes\n"])),
    text("abbreviations", "src/io/keys.rs", "let order_qty = 1;\n"),
    text("abbreviations", "src/io/keys.rs", "struct MsgQueue;\n"),
    text("abbreviations", "src/io/keys.rs", "const IDX: u8 = 1;\n"),
    text("vague-file-names", "src/io/utils.rs", ""),
    text(
        "no-unwrap",
        "src/io/keys.rs",
        "fn read() { file().unwrap(); }\n",
    ),
    text(
        "crate-arrows",
        "src/core/book.rs",
        "use bitfitech_io::store::Store;\n",
    ),
    text(
        "crate-arrows",
        "src/io/keys.rs",
        "fn run() { bitfitech_actors::start(); }\n",
    ),
    text("crate-arrows", "src/io/keys.rs", "use actix::Actor;\n"),
    text(
        "core-arrows",
        "src/core/types.rs",
        "use crate::matching::Level;\n",
    ),
    text(
        "core-arrows",
        "src/core/matching/mod.rs",
        "use crate::{\n    replica::Replica,\n    types::Side,\n};\n",
    ),
    text(
        "core-arrows",
        "src/core/vector_clock.rs",
        "fn read() { crate::node::Node::new(); }\n",
    ),
    text("core-arrows", "src/core/whatever.rs", ""),
    text(
        "core-is-pure",
        "src/core/book.rs",
        "use std::collections::BTreeMap;\n",
    ),
    text(
        "core-is-pure",
        "src/core/book.rs",
        "use hashbrown::HashMap;\n",
    ),
    text("core-is-pure", "src/core/lib.rs", "pub mod types;\n"),
    text("document-links", "docs/X.md", "see [it](NOWHERE.md)\n"),
];

/// What must pass.
pub const GOOD: &[Example] = &[
    example(
        "line-length",
        Body::Repeated(DOCS, "// <https://doc.rust-lang.org/>", 3, ""),
    ),
    example("file-length", Body::Repeated(DOCS, "", 698, "")),
    example(
        "function-length",
        Body::Repeated("fn long() {", "    step();", 68, "}"),
    ),
    example(
        "function-length",
        Body::Repeated(
            "type Step = fn(u8);\nfn short() { let text = \"{\"; }",
            "const A: u8 = 1; // {",
            80,
            "fn last();",
        ),
    ),
    text("module-docs", "src/io/keys.rs", DOCS),
    text(
        "open-ends",
        "src/io/keys.rs",
        "// TODO(#12) check the mode\nlet text = \"TODO\";\n",
    ),
    text(
        "commented-out-code",
        "src/io/keys.rs",
        "// The key is read once (at start);\n// what follows keeps it.\n/// let x = 1;\n",
    ),
    text(
        "silenced-lints",
        "src/io/keys.rs",
        "#[expect(\n    clippy::print_stderr,\n    reason = \"the one place\"\n)]\n",
    ),
    text(
        "machine-paths",
        "src/io/keys.rs",
        "// The folder src/work/items, https://host/home/page, and the network is down.\n",
    ),
    text(
        "abbreviations",
        "src/io/keys.rs",
        "#[cfg(test)]\nfn message_count(address: SocketAddr) { let text = \"tmp\"; } // tmp\n",
    ),
    text("vague-file-names", "src/io/keys.rs", ""),
    text(
        "no-unwrap",
        "src/io/keys.rs",
        "fn read() {\n    \".unwrap()\";\n}\n#[cfg(test)]\nmod tests {\n    a().unwrap();\n}\n",
    ),
    text("no-unwrap", "tests/e2e/drills.rs", "a().unwrap();\n"),
    text(
        "crate-arrows",
        "actors/matcher.rs",
        "use actix::Actor;\nuse bitfitech_core::types::Side;\n",
    ),
    text(
        "crate-arrows",
        "src/io/benches/keys.rs",
        "// bitfitech_actors uses this.\nuse bitfitech_io::identity::Identity;\n",
    ),
    text(
        "core-arrows",
        "src/core/node.rs",
        "use crate::{gossip::{Gossip, sync}, types::Side};\n",
    ),
    text(
        "core-arrows",
        "src/core/types.rs",
        "use super::x;\n#[cfg(test)]\nmod tests {\n    use crate::node::Node;\n}\n",
    ),
    text(
        "core-is-pure",
        "src/core/lib.rs",
        "#![no_std]\n// std is for the edges.\n",
    ),
    text(
        "core-is-pure",
        "src/io/keys.rs",
        "use std::collections::HashMap;\n",
    ),
    text(
        "document-links",
        "docs/X.md",
        "[a](TESTING.md#kinds), [b](../README.md), [c](https://doc.rust-lang.org/x.md), [d](#e)\n",
    ),
];
