//! `bitfitech replay` through the real program: the files that it makes, the exact figures that it
//! reports, and the files that it refuses.

#[path = "support/bare.rs"]
mod bare;
#[path = "replay/naive_book.rs"]
mod naive_book;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use bare::bare;
use naive_book::NaiveBook;

/// The first line of an order file.
const HEADER: &str = "op,id,side,type,price,quantity";

/// Every kind of operation, and every way in which an order can end.
const BY_HAND: &str = "\
# made by hand
op,id,side,type,price,quantity
L,a1,sell,limit,100.50,2
L,a2,sell,limit,100.5,1.00000001
# a comment between the operations
L,a3,sell,post,101,3
L,b1,buy,post,99.99,4
L,b2,buy,limit,99,5
L,b3,buy,limit,99.99,0.5
L,p1,buy,post,100.5,1
#measure

L,i1,buy,ioc,100.5,2.5
L,f1,buy,fok,101,10
L,f2,buy,fok,101,1
M,m1,sell,market,,4.25
M,m2,sell,market,99.5,1
L,i2,sell,ioc,99.98,1
C,b2,,,,
C,b2,,,,
C,nobody,,,,
L,l1,buy,limit,101.00,3
L,l2,buy,limit,100,7
L,l3,buy,limit,101,0.1
L,s1,sell,limit,102,1
M,m3,buy,market,101.5,1
L,s2,sell,limit,102,0.00000001
L,s0,sell,limit,101.01,1000000
";

/// What [`BY_HAND`] trades, worked out on paper: p1 would take, f1 finds too little, m2 stops at
/// its protection price, i2 and m3 find nothing.
const BY_HAND_TRADES: &str = "\
a1,i1,100.5,2
a2,i1,100.5,0.5
a2,f2,100.5,0.50000001
a3,f2,101,0.49999999
b1,m1,99.99,4
b3,m1,99.99,0.25
b3,m2,99.99,0.25
a3,l1,101,2.50000001
";

/// What rests after [`BY_HAND`], worked out on paper.
const BY_HAND_BOOK: &str = "\
buy,101,l1,0.49999999
buy,101,l3,0.1
buy,100,l2,7
sell,101.01,s0,1000000
sell,102,s1,1
sell,102,s2,0.00000001
";

/// The figures that a clock or the system decides; the others are the same in every run.
const MEASURED: [&str; 8] = [
    "engine_ns_per_op",
    "measured_s",
    "ops_per_s",
    "p50_ns",
    "p99_ns",
    "p999_ns",
    "peak_rss_mb",
    "input_rss_mb",
];

/// Two markets, of which the second is so coarse that few amounts fit it.
const TWO_MARKETS: &str = "\
[[markets]]
pair = \"BTC/USD\"

[[markets]]
pair = \"OIL/EUR\"
tick = \"0.25\"
lot = \"5\"
max_price = \"200\"
max_quantity = \"1000\"
";

/// A working directory of its own.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self { directory }
    }

    /// With this order file as `orders.csv`.
    fn with_orders(text: &str) -> Self {
        let place = Self::new();
        place.write("orders.csv", text);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("writes a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("reads a file")
    }

    /// Runs the program with these words behind `replay`.
    fn replay(&self, words: &str) -> Output {
        bare(&mut Command::new(env!("CARGO_BIN_EXE_bitfitech")))
            .arg("replay")
            .args(words.split_whitespace())
            .current_dir(self.directory.path())
            .output()
            .expect("the program runs")
    }

    /// The standard output of a run that must succeed, and show no progress off a terminal.
    fn succeeds(&self, words: &str) -> String {
        let output = self.replay(words);
        assert_eq!(text(&output.stderr), "", "{words}");
        assert_eq!(output.status.code(), Some(0), "{words}");
        text(&output.stdout)
    }

    /// The report of a run as JSON.
    fn report(&self, words: &str) -> Value {
        let line = self.succeeds(&format!("{words} --output json"));
        assert_eq!(line.lines().count(), 1, "one object in one line: {line}");
        serde_json::from_str(&line).expect("is JSON")
    }

    /// The one line that says why a run fails; it must report nothing.
    fn fails(&self, words: &str, code: i32) -> String {
        let output = self.replay(words);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {error}");
        assert_eq!(text(&output.stdout), "", "{words}");
        assert_eq!(error.lines().count(), 1, "{words}: {error}");
        error.trim_end().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The figures that no clock decides, in the words of the text form.
fn exact_figures(report: &Value) -> Vec<(String, String)> {
    let figures = report.as_object().expect("an object").iter();
    figures
        .filter(|(name, _)| !MEASURED.contains(&name.as_str()))
        .map(|(name, value)| {
            let shown = value.as_str().map_or(value.to_string(), str::to_owned);
            (name.clone(), shown)
        })
        .collect()
}

#[test]
fn a_file_by_hand_gives_the_figures_worked_out_on_paper() {
    let report = Place::with_orders(BY_HAND).report("orders.csv");
    assert_eq!(report["trades_sha256"], sha256(BY_HAND_TRADES));
    assert_eq!(report["book_sha256"], sha256(BY_HAND_BOOK));
    assert_eq!(
        (&report["orders"], &report["trades"]),
        (&20.into(), &8.into())
    );
    assert_eq!(report["volume"], "10.50000001");
    assert_eq!(report["notional"], "1054.455001005");
    assert_eq!(report["best_bid"], "101");
    assert_eq!(report["best_ask"], "101.01");
    assert_eq!(report["resting"], 6);
}

#[test]
fn the_naive_book_of_these_tests_agrees_with_the_paper() {
    let book = NaiveBook::run(BY_HAND);
    assert_eq!(book.trades, BY_HAND_TRADES);
    assert_eq!(book.lines(), BY_HAND_BOOK);
}

#[test]
fn where_the_clock_starts_changes_nothing_but_the_clock() {
    let report = Place::with_orders(BY_HAND).report("orders.csv");
    let unmarked = BY_HAND.replace("#measure\n", "");
    let late = format!("{unmarked}#measure\n");
    for (name, orders) in [("unmarked", unmarked), ("late", late)] {
        let other = Place::with_orders(&orders).report("orders.csv");
        assert_eq!(exact_figures(&other), exact_figures(&report), "{name}");
        let measured = other["engine_ns_per_op"].as_f64() > Some(0.0);
        assert_eq!(measured, name == "unmarked", "{name}: {other}");
    }
}

#[test]
fn the_largest_amounts_are_summed_to_the_last_digit() {
    let pair = |number: u32| {
        format!(
            "L,s{number},sell,limit,999999.99,999999.99999999\n\
             M,b{number},buy,market,,999999.99999999\n"
        )
    };
    let pairs: String = (0..1000).map(pair).collect();
    let report = Place::with_orders(&format!("{HEADER}\n{pairs}")).report("orders.csv");
    assert_eq!(report["volume"], "999999999.99999");
    assert_eq!(report["notional"], "999999989999990.0000001");
    assert_eq!(report["trades"], 1000);
    assert_eq!(report["best_ask"], Value::Null);
}

#[test]
fn generated_files_give_what_a_naive_book_gives() {
    let place = Place::new();
    for (mix, seed) in [("A", 11), ("B", 12)] {
        let words = format!("--generate {mix} --ops 4000 --seed {seed} --out orders.csv");
        assert_eq!(place.succeeds(&words), "");
        let book = NaiveBook::run(&place.read("orders.csv"));
        let report = place.report("orders.csv");
        let trades = book.trades.lines().count();
        assert!(trades > 300, "{mix} trades: {trades}");
        assert_eq!(report["trades"], trades, "{mix}");
        assert_eq!(report["trades_sha256"], sha256(&book.trades), "{mix}");
        assert_eq!(report["book_sha256"], sha256(&book.lines()), "{mix}");
        assert_eq!(report["resting"], book.resting(), "{mix}");
        let (volume, notional) = (book.volume.normalize(), book.notional.normalize());
        assert_eq!(report["volume"], volume.to_string(), "{mix}");
        assert_eq!(report["notional"], notional.to_string(), "{mix}");
    }
}

#[test]
fn equal_seeds_make_equal_files_and_others_do_not() {
    let place = Place::new();
    for mix in ["A", "B"] {
        for (file, rest) in [
            ("one", "--seed 7"),
            ("two", "--seed 7"),
            ("other", "--seed 8"),
            ("first", "--seed 1"),
            ("unsaid", ""),
        ] {
            place.succeeds(&format!("--generate {mix} --ops 2000 --out {file} {rest}"));
        }
        assert_eq!(place.read("one"), place.read("two"), "{mix}");
        assert_ne!(place.read("one"), place.read("other"), "{mix}");
        assert_eq!(place.read("first"), place.read("unsaid"), "{mix}");
        let made = place.read("one");
        let lines: Vec<&str> = made.lines().collect();
        assert_eq!((lines[0], lines[1]), (HEADER, "#measure"), "{mix}");
        assert_eq!(lines.len(), 2002, "{mix}");
    }
}

#[test]
fn a_deep_file_stands_before_the_clock() {
    let place = Place::new();
    place.succeeds("--generate C --ops 10 --seed 3 --out deep.csv");
    let made = place.read("deep.csv");
    let loaded = made.lines().position(|line| line == "#measure");
    assert_eq!(loaded, Some(1_000_001), "a header and a million orders");
    assert_eq!(made.lines().count(), 1_000_012);
    let prices: BTreeSet<&str> = made
        .lines()
        .skip(1)
        .take(1_000_000)
        .filter_map(|line| line.split(',').nth(4))
        .collect();
    assert_eq!(prices.len(), 100_000, "levels");
}

#[test]
fn the_json_report_has_every_field_with_its_type() {
    let report = Place::with_orders(BY_HAND).report("orders.csv");
    let fields = report.as_object().expect("an object");
    assert_eq!(fields.len(), 17, "{report}");
    for name in ["orders", "trades", "resting", "p50_ns", "p99_ns", "p999_ns"] {
        assert!(report[name].is_u64(), "{name}: {report}");
    }
    for name in ["volume", "notional", "best_bid", "best_ask"] {
        assert!(report[name].is_string(), "{name}: {report}");
    }
    for name in ["trades_sha256", "book_sha256"] {
        let digest = report[name].as_str().expect("a string");
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(
            digest.len() == 64 && digest.bytes().all(lower),
            "{name}: {report}"
        );
    }
    for name in ["engine_ns_per_op", "measured_s", "ops_per_s"] {
        assert!(report[name].as_f64() > Some(0.0), "{name}: {report}");
    }
    for name in ["peak_rss_mb", "input_rss_mb"] {
        let known = report[name].as_f64() > Some(0.0);
        assert!(known || report[name].is_null(), "{name}: {report}");
    }
    let latency = |name: &str| report[name].as_u64();
    assert!(latency("p50_ns") <= latency("p99_ns"), "{report}");
    assert!(latency("p99_ns") <= latency("p999_ns"), "{report}");
}

#[test]
fn an_empty_side_has_no_best_price() {
    let place = Place::with_orders(&format!("{HEADER}\n"));
    let report = place.report("orders.csv");
    assert_eq!(
        (&report["best_bid"], &report["best_ask"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&report["volume"], &report["notional"]),
        (&"0".into(), &"0".into())
    );
    assert_eq!(report["trades_sha256"], sha256(""));
    assert!(
        place
            .succeeds("orders.csv")
            .contains("best_bid          -\n")
    );
}

#[test]
fn the_text_report_has_the_same_figures() {
    let place = Place::with_orders(BY_HAND);
    let report = place.report("orders.csv");
    let shown = place.succeeds("orders.csv");
    let shown: Vec<(&str, &str)> = shown
        .lines()
        .map(|line| line.split_once(' ').expect("a name and a figure"))
        .map(|(name, figure)| (name, figure.trim()))
        .collect();
    assert_eq!(shown.len(), report.as_object().expect("an object").len());
    for (name, figure) in &shown {
        let known = report.get(name).is_some();
        assert!(known, "{name} is in the JSON report too");
        let number = figure.parse::<f64>().is_ok() || *figure == "-";
        assert!(number || !MEASURED.contains(name), "{name}: {figure}");
    }
    for (name, figure) in exact_figures(&report) {
        assert!(shown.contains(&(name.as_str(), figure.as_str())), "{name}");
    }
}

#[test]
fn a_bad_line_is_named_and_nothing_is_reported() {
    let long = format!("#{}", "x".repeat(2000));
    let bad_lines = [
        ("L,9,buy,limit,1", "6 fields"),
        ("L,9,buy,limit,1,1,", "6 fields"),
        ("X,9,buy,limit,1,1", "op must be"),
        ("l,9,buy,limit,1,1", "op must be"),
        ("L,,buy,limit,1,1", "id must"),
        ("L,9,BUY,limit,1,1", "side must be"),
        ("L,9,buy,market,1,1", "type must be"),
        ("L,9,buy,gtc,1,1", "type must be"),
        ("M,9,buy,limit,1,1", "type must be"),
        ("L,9,buy,limit,,1", "price"),
        ("L,9,buy,limit,1e3,1", "price"),
        ("L,9,buy,limit,-1,1", "price"),
        ("L,9,buy,limit,0,1", "price"),
        ("L,9,buy,limit,\u{1b}[31m1,1", "price `\u{fffd}[31m1`"),
        ("L,9,buy,limit,0.001,1", "price"),
        ("M,9,buy,market,1000000.01,1", "price"),
        ("L,9,buy,limit,1,", "quantity"),
        ("L,9,buy,limit,1,0.000000001", "quantity"),
        ("M,9,buy,market,,1000000.1", "quantity"),
        ("C,9,buy,limit,1,1", "cancel"),
        ("#measure", "#measure"),
        (long.as_str(), "1024 bytes"),
    ];
    let place = Place::new();
    for (line, expected) in bad_lines {
        place.write(
            "orders.csv",
            format!(
                "# ours\n{HEADER}\n#measure\nL,1,buy,limit,1,1\n\n{line}\nL,2,sell,limit,1,1\n"
            ),
        );
        for form in ["text", "json"] {
            let error = place.fails(&format!("orders.csv --output {form}"), 1);
            assert!(
                error.starts_with("error: orders.csv: line 6: "),
                "{line}: {error}"
            );
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}

#[test]
fn a_file_that_is_none_is_named() {
    let place = Place::new();
    place.write("empty.csv", "");
    place.write("headless.csv", "L,1,buy,limit,1,1\n");
    place.write("binary.csv", b"op,id\xff\n");
    for (file, expected) in [
        ("empty.csv", "line 1: expected the header"),
        ("headless.csv", "line 1: expected the header"),
        ("binary.csv", "line 1: expected text"),
        ("missing.csv", "No such file"),
    ] {
        let error = place.fails(file, 1);
        assert!(error.starts_with(&format!("error: {file}: ")), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let error = place.fails("--generate A --ops 1 --out missing/orders.csv", 1);
    assert!(error.contains("missing/orders.csv"), "{error}");
}

#[test]
fn the_pair_decides_which_amounts_there_are() {
    let place = Place::with_orders(&format!(
        "{HEADER}\nL,1,sell,limit,80.25,15\nL,2,buy,limit,80.5,10\n"
    ));
    place.write("config.toml", TWO_MARKETS);
    for words in ["", "--pair BTC/USD", "--pair OIL/EUR", "--pair oil/eur"] {
        let report = place.report(&format!("orders.csv {words}"));
        assert_eq!(report["notional"], "802.5", "{words}");
        assert_eq!(report["book_sha256"], sha256("sell,80.25,1,5\n"), "{words}");
    }
    for (line, expected) in [
        ("L,1,sell,limit,80.1,5", "price"),
        ("L,1,sell,limit,80,1", "quantity"),
        ("L,1,sell,limit,200.25,5", "200"),
        ("L,1,sell,limit,200,1005", "1000"),
    ] {
        place.write("orders.csv", format!("{HEADER}\n{line}\n"));
        let error = place.fails("orders.csv --pair OIL/EUR", 1);
        assert!(error.contains("line 2: "), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
        place.succeeds("orders.csv --pair BTC/USD");
    }
    let error = place.fails("orders.csv --pair ETH/USD", 2);
    for word in ["`ETH/USD`", "BTC/USD", "OIL/EUR"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn wrong_usage_and_configuration_are_refused_in_one_line() {
    let place = Place::with_orders(BY_HAND);
    for (words, expected) in [
        ("", "replay FILE"),
        ("orders.csv more.csv", "more.csv"),
        ("orders.csv --generate A --out made.csv", "exclude"),
        ("orders.csv --ops 5", "--ops"),
        ("orders.csv --seed 5", "--seed"),
        ("orders.csv --out made.csv", "--out"),
        ("--generate A", "--out"),
        ("--generate D --out made.csv", "'D'"),
        ("--generate A --out made.csv --pair BTC/USD", "--pair"),
        ("--generate A --out made.csv --ops many", "many"),
        ("--generate A --out made.csv --seed -1", "-1"),
        ("--ops 5 --out made.csv", "--generate"),
        ("orders.csv --output xml", "xml"),
        ("orders.csv -D markets.0.tick=0", "tick"),
        ("--generate A --out made.csv -D nonsense=1", "nonsense"),
    ] {
        let error = place.fails(words, 2);
        assert!(error.contains(expected), "{words}: {error}");
    }
    assert!(!place.path("made.csv").exists(), "nothing is made");
}

#[test]
fn help_explains_both_uses() {
    let help = Place::new().succeeds("--help");
    for word in [
        "--pair",
        "--generate",
        "--ops",
        "--seed",
        "--out",
        "Add-heavy",
    ] {
        assert!(help.contains(word), "`{word}` is not in the help");
    }
}

#[test]
fn nothing_but_the_order_file_is_written() {
    let place = Place::new();
    place.succeeds("--generate B --ops 50 --out orders.csv");
    place.succeeds("orders.csv");
    let entries = fs::read_dir(place.directory.path()).expect("the directory");
    assert_eq!(entries.count(), 1);
}
