//! Whole runs: files in, reports out.

use std::fs;

use bitfitech_core::matching::{Effect, Engine, Oracle};
use bitfitech_core::types::Side;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::order_file::HEADER;

fn file_with(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("orders.csv");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn replay_text(text: &str) -> Result<Report, ReplayError> {
    let (_directory, path) = file_with(text);
    replay(&path, &generator::market())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_small_file_gives_the_figures_one_can_work_out_by_hand() {
    let report = replay_text(&format!(
        "{HEADER}\n\
         L,a,buy,limit,30000.10,0.5\nL,b,buy,limit,30000.1,0.25\nL,c,buy,limit,29999,1\n\
         #measure\n\
         M,d,sell,market,,0.6\nL,e,sell,ioc,30000.1,1\nL,f,sell,limit,30001,2\nC,c,,,,\n\
         L,g,buy,limit,1,0.00000001\n"
    ))
    .unwrap();
    assert_eq!((report.orders, report.trades, report.resting), (7, 3, 2));
    assert_eq!(
        (report.volume.as_str(), report.notional.as_str()),
        ("0.75", "22500.075")
    );
    assert_eq!(report.best_bid.as_deref(), Some("1"));
    assert_eq!(report.best_ask.as_deref(), Some("30001"));
    let trades = "a,d,30000.1,0.5\nb,d,30000.1,0.1\nb,e,30000.1,0.15\n";
    assert_eq!(report.trades_sha256, sha256(trades));
    assert_eq!(
        report.book_sha256,
        sha256("buy,1,g,0.00000001\nsell,30001,f,2\n")
    );
}

#[test]
fn an_empty_file_reports_zeros() {
    let report = replay_text(HEADER).unwrap();
    assert_eq!(
        (report.orders, report.trades, report.best_bid),
        (0, 0, None)
    );
    assert_eq!((report.volume.as_str(), report.ops_per_s), ("0", 0.0));
    assert_eq!(report.book_sha256, sha256(""));
}

#[test]
fn a_bad_line_reports_nothing_but_itself() {
    let (_directory, path) = file_with(&format!("{HEADER}\nL,a,buy,limit,1,1\nL,b,buy\n"));
    let mut out = Vec::new();
    let command = Command::Run {
        file: path.clone(),
        market: generator::market(),
        output: Output::Json,
    };
    let error = run(&command, &mut out).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}: line 3: expected 6 fields, found 3", path.display())
    );
    assert!(out.is_empty());
}

#[test]
fn a_missing_file_is_named() {
    let error = replay(Path::new("/nowhere/orders.csv"), &generator::market()).unwrap_err();
    assert!(
        error.to_string().starts_with("/nowhere/orders.csv: "),
        "{error}"
    );
}

#[test]
fn the_report_is_one_json_object_with_all_names() {
    let (_directory, path) = file_with(HEADER);
    let mut out = Vec::new();
    let command = Command::Run {
        file: path,
        market: generator::market(),
        output: Output::Json,
    };
    run(&command, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report.as_object().unwrap().len(), 17);
    assert_eq!(
        (&report["trades"], &report["best_bid"]),
        (&Value::from(0), &Value::Null)
    );
}

/// The digests of a file, as the oracle sees it.
fn by_oracle(orders: &OrderFile, market: &Market) -> (String, String) {
    let mut oracle = Oracle::new();
    let (mut effects, mut trades, mut book) = (Vec::new(), String::new(), String::new());
    let names: std::collections::HashMap<_, _> = (0..orders.actions.len())
        .map(|index| (order_file::order_id(orders.name(index)), orders.name(index)))
        .collect();
    for action in &orders.actions {
        oracle.execute(action, &mut effects);
    }
    for effect in &effects {
        if let Effect::Fill {
            maker,
            taker,
            price,
            quantity,
            ..
        } = effect
        {
            let quantity = market.quantity_text(quantity.0.into());
            let (price, maker, taker) = (market.price_text(*price), names[maker], names[taker]);
            trades += &format!("{maker},{taker},{price},{quantity}\n");
        }
    }
    for side in [Side::Buy, Side::Sell] {
        for order in oracle.resting(side) {
            let quantity = market.quantity_text(order.remaining.0.into());
            let (side, price) = (side.name(), market.price_text(order.price));
            book += &format!("{side},{price},{},{quantity}\n", names[&order.id]);
        }
    }
    (sha256(&trades), sha256(&book))
}

#[test]
fn generated_files_give_the_digests_of_the_oracle() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("orders.csv");
    for (pattern, seed) in [(Pattern::A, 3), (Pattern::B, 4)] {
        let command = Command::Generate {
            pattern,
            operations: 1500,
            seed,
            file: file.clone(),
        };
        run(&command, &mut Vec::new()).unwrap();
        let market = generator::market();
        let report = replay(&file, &market).unwrap();
        let orders = OrderFile::read(&fs::read(&file).unwrap()[..], &market).unwrap();
        assert!(report.trades > 50, "the file trades");
        assert_eq!(
            (report.trades_sha256, report.book_sha256),
            by_oracle(&orders, &market)
        );
    }
}
