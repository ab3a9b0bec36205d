//! Executable style: what `docs/STYLE.md` asks for and a machine can check, checked.
//!
//! Every rule looks at one file (or at the whole list of files), and says the place, what is wrong
//! and how to mend it. Every rule has at least one bad and one good example in
//! `tests/tidy/examples.rs`, so that a rule which no longer catches anything fails here.

#[path = "tidy/comment_rules.rs"]
mod comment_rules;
#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/house_rules.rs"]
mod house_rules;
#[path = "tidy/naming_rules.rs"]
mod naming_rules;
#[path = "tidy/size_rules.rs"]
mod size_rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::{Finding, SourceFile};

/// A rule for one file at a time.
struct Rule {
    name: &'static str,
    check: fn(&SourceFile) -> Vec<Finding>,
}

/// Every rule for single files, in the order of `docs/STYLE.md`.
const RULES: [Rule; 15] = [
    rule("line-length", size_rules::line_length),
    rule("file-length", size_rules::file_length),
    rule("function-length", size_rules::function_length),
    rule("module-docs", comment_rules::module_docs),
    rule("open-ends", comment_rules::open_ends),
    rule("commented-out-code", comment_rules::commented_out_code),
    rule("silenced-lints", comment_rules::silenced_lints),
    rule("machine-paths", comment_rules::machine_paths),
    rule("abbreviations", naming_rules::abbreviations),
    rule("vague-file-names", naming_rules::vague_file_names),
    rule("no-unwrap", naming_rules::no_unwrap),
    rule("crate-arrows", house_rules::crate_arrows),
    rule("core-arrows", house_rules::core_arrows),
    rule("core-is-pure", house_rules::core_is_pure),
    rule("document-links", document_links),
];

const fn rule(name: &'static str, check: fn(&SourceFile) -> Vec<Finding>) -> Rule {
    Rule { name, check }
}

/// Links of a document to files of the repository lead to files.
fn document_links(file: &SourceFile) -> Vec<Finding> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (index, line) in file.raw.iter().enumerate() {
        let ends = line.split("](").skip(1);
        let targets = ends.filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|_| file.path.ends_with(".md")) {
            let elsewhere = target.is_empty() || target.contains("://");
            if !elsewhere && !root.join(folder).join(target).exists() {
                let what = format!("the link to `{target}` leads nowhere");
                findings.push(Finding::at(index, what, "name a file that is there"));
            }
        }
    }
    findings
}

/// Endings of the files that are read.
const ENDINGS: [&str; 6] = ["rs", "toml", "md", "sh", "html", "js"];

/// Folders that hold no source: build output and the data of nodes that were tried out here.
const NOT_SOURCE: [&str; 3] = ["target", "data", ".git"];

/// Deepest folder looked into; the house is four deep, so more means a link that leads in a circle.
const DEPTH_MAX: usize = 12;

/// Every file of the repository that the rules read.
fn repository() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        "",
        DEPTH_MAX,
        &mut files,
    );
    files.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(files.len() > 10, "the files of the repository must be here");
    files
}

fn collect(root: &Path, folder: &str, depth: usize, files: &mut Vec<SourceFile>) {
    assert!(depth > 0, "{folder} is deeper than {DEPTH_MAX} folders");
    for entry in fs::read_dir(root.join(folder)).expect("a folder of the repository") {
        let entry = entry.expect("an entry of the folder");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = match folder {
            "" => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        let kind = entry.file_type().expect("the type of the entry");
        if kind.is_dir() && !(folder.is_empty() && NOT_SOURCE.contains(&name.as_str())) {
            collect(root, &path, depth - 1, files);
        }
        let script = path == "tests/run" || path == ".ci/run";
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if kind.is_file() && (script || ENDINGS.contains(&ending)) {
            let text = fs::read_to_string(root.join(&path)).expect("text in UTF-8");
            files.push(SourceFile::new(&path, &text));
        }
    }
}

/// One line for the reader of the failure.
fn report(rule: &str, path: &str, finding: &Finding) -> String {
    let Finding { line, what, mend } = finding;
    format!("{path}:{line}: [{rule}] {what}; {mend}")
}

fn assert_tidy(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} findings\n{}\n",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn every_file_follows_the_rules() {
    let mut findings = Vec::new();
    for file in repository() {
        for rule in &RULES {
            let found = (rule.check)(&file);
            findings.extend(found.iter().map(|one| report(rule.name, &file.path, one)));
        }
    }
    assert_tidy(&findings);
}

#[test]
fn the_top_level_is_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names: Vec<String> = fs::read_dir(root)
        .expect("the root of the repository")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !NOT_SOURCE.contains(&name.as_str()))
        .collect();
    assert_tidy(&house_rules::top_level(&names));
}

#[test]
fn manifests_point_the_same_way_as_the_house() {
    let manifests = repository();
    let findings: Vec<String> = manifests
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
        .flat_map(|file| {
            let found = house_rules::manifest_arrows(file);
            let lines = found
                .iter()
                .map(|one| report("manifest-arrows", &file.path, one));
            lines.collect::<Vec<_>>()
        })
        .collect();
    assert_tidy(&findings);
}

#[test]
fn modules_of_the_core_form_no_circle() {
    let files = repository();
    assert_tidy(&house_rules::circles(&house_rules::core_graph(&files)));
}

#[test]
fn every_file_name_stands_for_one_concept() {
    let paths: Vec<String> = repository()
        .into_iter()
        .filter(SourceFile::is_rust)
        .map(|file| file.path)
        .collect();
    assert_tidy(&naming_rules::repeated_file_names(&paths));
}

#[test]
fn every_rule_catches_its_bad_examples_and_passes_its_good_ones() {
    for rule in &RULES {
        let of_rule = |kind: &[examples::Example]| {
            let matching = kind.iter().filter(|example| example.rule == rule.name);
            matching
                .map(|example| SourceFile::new(example.path, &example.text()))
                .collect::<Vec<_>>()
        };
        let (bad, good) = (of_rule(examples::BAD), of_rule(examples::GOOD));
        assert!(!bad.is_empty(), "rule {} has no bad example", rule.name);
        assert!(!good.is_empty(), "rule {} has no good example", rule.name);
        for file in bad {
            let caught = !(rule.check)(&file).is_empty();
            assert!(caught, "{} must catch:\n{}", rule.name, file.raw.join("\n"));
        }
        for file in good {
            let found = (rule.check)(&file);
            let text = file.raw.join("\n");
            assert!(
                found.is_empty(),
                "{} must pass: {found:?}\n{text}",
                rule.name
            );
        }
    }
}

#[test]
fn every_example_belongs_to_a_rule() {
    for example in examples::BAD.iter().chain(examples::GOOD) {
        let known = RULES.iter().any(|rule| rule.name == example.rule);
        assert!(known, "no rule is called {}", example.rule);
    }
}

#[test]
fn a_misplaced_entry_of_the_top_level_is_caught() {
    let house: Vec<String> = house_rules::TOP_LEVEL.map(str::to_owned).to_vec();
    assert_eq!(house_rules::top_level(&house), Vec::<String>::new());
    let more: Vec<String> = [house.clone(), vec!["scripts".to_owned()]].concat();
    assert_eq!(house_rules::top_level(&more).len(), 1);
    assert_eq!(house_rules::top_level(&house[1..]).len(), 1);
    let hidden: Vec<String> = [house, vec![".clippy.toml".to_owned()]].concat();
    assert_eq!(house_rules::top_level(&hidden), Vec::<String>::new());
}

#[test]
fn a_manifest_against_the_arrows_is_caught() {
    let manifest = |path: &str, line: &str| {
        let text = format!("[dependencies]\n{line}\n");
        house_rules::manifest_arrows(&SourceFile::new(path, &text)).len()
    };
    assert_eq!(
        manifest("src/core/Cargo.toml", "bitfitech-io.workspace = true"),
        1
    );
    assert_eq!(
        manifest("src/io/Cargo.toml", "bitfitech-actors = \"0.1\""),
        1
    );
    assert_eq!(manifest("src/core/Cargo.toml", "tokio = \"1\""), 1);
    assert_eq!(manifest("src/io/Cargo.toml", "actix.workspace = true"), 1);
    assert_eq!(
        manifest("src/io/Cargo.toml", "bitfitech-core.workspace = true"),
        0
    );
    assert_eq!(manifest("actors/Cargo.toml", "actix.workspace = true"), 0);
}

#[test]
fn a_circle_of_modules_is_caught() {
    let circles_of = |edges: &[(&str, &str)]| {
        let mut graph = std::collections::BTreeMap::new();
        for (from, to) in edges {
            let others: &mut std::collections::BTreeSet<String> =
                graph.entry((*from).to_owned()).or_default();
            others.insert((*to).to_owned());
        }
        house_rules::circles(&graph).len()
    };
    assert_eq!(circles_of(&[("node", "gossip"), ("gossip", "types")]), 0);
    assert_eq!(circles_of(&[("gossip", "sync"), ("sync", "gossip")]), 1);
}

#[test]
fn a_repeated_file_name_is_caught() {
    let paths = |list: &[&str]| {
        list.iter()
            .map(|path| (*path).to_owned())
            .collect::<Vec<_>>()
    };
    let twice = paths(&["src/core/book.rs", "src/core/matching/book.rs"]);
    assert_eq!(naming_rules::repeated_file_names(&twice).len(), 1);
    let apart = paths(&[
        "src/core/breaker.rs",
        "actors/breaker.rs",
        "src/core/lib.rs",
        "src/core/sync/vocabulary.rs",
        "src/core/gossip/vocabulary.rs",
        "src/core/a/mod.rs",
        "src/core/b/mod.rs",
    ]);
    assert_eq!(
        naming_rules::repeated_file_names(&apart),
        Vec::<String>::new()
    );
}
