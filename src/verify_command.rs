//! `verify`: whether a store holds what the network agreed on, without trusting who wrote it.
//!
//! A node trusts its own store: signatures were checked before they were written. An auditor does
//! not. So every operation is decoded, which checks its canonical form and its limits, its
//! signature is checked, and it is applied to an empty exchange in the order of the file, which
//! checks chain, ancestry, times and confirmations. What follows is printed as a node prints it
//! for `digest`: equal sets have equal digests, so two stores can be compared by hand.
//!
//! The file is never changed. It is read page by page; memory is what a node with the same history
//! needs.

use std::path::Path;

use bitfitech_core::exchange::Exchange;
use bitfitech_core::genesis::Genesis;
use bitfitech_core::matching::Book;
use bitfitech_core::op::{Operation, Verified};
use bitfitech_core::signature;
use bitfitech_core::view::Digests;
use bitfitech_io::data_dir::store_path;
use bitfitech_io::identity::Identity;
use bitfitech_io::store::{OpenError, ReadOnlyStore};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::{Options, Output};
use crate::commands::load;
use crate::exit::Failure;

/// Operations that are read and checked at a time: some 2 MB.
const PAGE_MAX: usize = 8_192;

/// What an audit found to be in order.
struct Audited {
    digests: Digests,
    orders: usize,
    authors: usize,
    forked_authors: usize,
}

/// What an audit found to be wrong.
struct Damage {
    /// Which operation; `None` when the file as a whole is damaged.
    index: Option<u64>,
    /// What is wrong.
    error: String,
}

/// Audits the store of the data directory.
///
/// # Errors
/// A directory without a store is wrong usage. A store that cannot be read, or is in use, is a
/// failure at run time; a damaged one is too, and its report is printed all the same.
pub fn run(options: &Options) -> Result<String, Failure> {
    let configuration = load(options)?;
    let path = store_path(&configuration.settings().data_dir);
    if !path.try_exists().unwrap_or(true) {
        return Err(Failure::Usage(format!(
            "{}: there is no store: name the directory of a node with --data-dir",
            path.display()
        )));
    }
    let genesis = configuration.genesis();
    let audited = match ReadOnlyStore::open(&path, &genesis.digest()) {
        Ok(store) => audit(&store, genesis)?,
        Err(error @ (OpenError::Corrupted { .. } | OpenError::Lost { .. })) => Err(Damage {
            index: None,
            error: error.to_string(),
        }),
        Err(error) => return Err(Failure::RunTime(error.to_string())),
    };
    match audited {
        Ok(audited) => Ok(good(&audited, &path, options.output())),
        Err(damage) => Err(bad(&damage, &path, options.output())),
    }
}

/// Checks all operations of a store.
fn audit(store: &ReadOnlyStore, genesis: &Genesis) -> Result<Result<Audited, Damage>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::RunTime(error.to_string());
    // The key only keeps the tables from being filled with ids that collide on purpose.
    let key = *Identity::generate().map_err(|e| failed(&e))?.signing_key();
    let mut exchange = Exchange::new(genesis.clone(), key, Book::new);
    let bar = bar(store.len());
    let mut next = 0;
    loop {
        let page = store.scan(next, PAGE_MAX).map_err(|e| failed(&e))?;
        if page.is_empty() {
            break;
        }
        let read = page.len() as u64;
        if let Err(damage) = apply(&mut exchange, genesis, &page) {
            bar.finish_and_clear();
            return Ok(Err(damage));
        }
        next += read;
        bar.set_position(next);
    }
    bar.set_message("replaying");
    let digests = exchange.digests();
    bar.finish_and_clear();
    Ok(Ok(Audited {
        digests,
        orders: exchange.replica().order_count(),
        authors: exchange.dag().author_count(),
        forked_authors: exchange.dag().forkers().count(),
    }))
}

/// Decodes a page, checks its signatures in batches, and applies it. The first operation that is
/// wrong in any way is named.
fn apply(
    exchange: &mut Exchange<Book>,
    genesis: &Genesis,
    page: &[(u64, Vec<u8>)],
) -> Result<(), Damage> {
    let digest = genesis.digest();
    let damage = |index: u64, error: String| Damage {
        index: Some(index),
        error,
    };
    let mut decoded = Vec::with_capacity(page.len());
    let mut malformed = None;
    for (index, wire) in page {
        match Operation::decode(wire, genesis, &digest) {
            Ok(operation) => decoded.push(operation),
            Err(error) => {
                malformed = Some(damage(*index, error.to_string()));
                break;
            }
        }
    }
    let verdicts = signature::verify(decoded);
    for ((index, _), verdict) in page.iter().zip(verdicts) {
        let operation: Verified = verdict.map_err(|error| damage(*index, error.to_string()))?;
        let restored = exchange.restore_verified(&operation);
        restored.map_err(|error| damage(*index, error.to_string()))?;
    }
    malformed.map_or(Ok(()), Err)
}

/// The fields of the reply to `digest`, and what was counted.
fn good(audited: &Audited, path: &Path, output: Output) -> String {
    let digests = &audited.digests;
    let hex = [
        ("set", digests.set),
        ("book", digests.book),
        ("trades", digests.trades),
        ("final_trades", digests.final_trades),
        ("orders", digests.orders),
    ];
    let counts = [
        ("operations", digests.operations),
        ("orders_placed", audited.orders as u64),
        ("authors", audited.authors as u64),
        ("forked_authors", audited.forked_authors as u64),
    ];
    match output {
        Output::Text => {
            let counts = counts.map(|(name, count)| (name, count.to_string()));
            let hex = hex.map(|(name, digest)| (name, digest.to_hex()));
            let rows = counts.into_iter().chain(hex);
            let head = format!("{}: all operations are in order\n", path.display());
            rows.fold(head, |text, (name, value)| {
                format!("{text}{:<15} {value}\n", name.replace('_', " "))
            })
        }
        Output::Json => {
            let mut report = json!({"ok": true, "store": path});
            for (name, count) in counts {
                report[name] = json!(count);
            }
            for (name, digest) in hex {
                report[name] = json!(digest.to_hex());
            }
            format!("{report}\n")
        }
    }
}

/// The report of a damaged store. For people, the line on the error stream says it all.
fn bad(damage: &Damage, path: &Path, output: Output) -> Failure {
    let lines = match damage.index {
        None => damage.error.clone(),
        Some(index) => format!(
            "{}: operation {index}: {}: move the store away and start again, the peers have the \
             operations",
            path.display(),
            damage.error
        ),
    };
    let report: Value = json!({
        "ok": false,
        "store": path,
        "index": damage.index,
        "error": damage.error,
    });
    Failure::Found {
        report: match output {
            Output::Text => String::new(),
            Output::Json => format!("{report}\n"),
        },
        lines,
    }
}

/// Progress on the terminal; nothing elsewhere.
fn bar(operations: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
        .expect("the template is right");
    ProgressBar::new(operations)
        .with_style(style)
        .with_message("checking")
}
