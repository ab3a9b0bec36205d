//! `replay`: an order file through the matching engine, or a new order file.
//!
//! The work is done by [`bitfitech_replay`]. Here it gets the market whose steps and limits its
//! prices and quantities have, which is one of those that are configured; and its report is kept
//! until it is whole, so that nothing is written for a file that is wrong.

use bitfitech_core::market::Market;
use bitfitech_replay::generator::Pattern;
use bitfitech_replay::report;

use crate::cli::{Mix, Options, Output, ReplayCommand};
use crate::commands::load;
use crate::exit::Failure;

/// Runs or makes an order file, and returns the report of a run. A file that is made is not talked
/// about.
///
/// # Errors
/// A pair that is not configured is wrong usage; a file that cannot be read or written, or has a
/// wrong line, is a failure at run time.
pub fn run(options: &Options, command: ReplayCommand) -> Result<String, Failure> {
    let configuration = load(options)?;
    let markets = &configuration.genesis().markets;
    let command = match command {
        ReplayCommand::Run { file, pair } => bitfitech_replay::Command::Run {
            file,
            market: find_market(markets, pair.as_deref())?.clone(),
            output: match options.output() {
                Output::Text => report::Output::Text,
                Output::Json => report::Output::Json,
            },
        },
        ReplayCommand::Generate {
            mix,
            operations,
            seed,
            file,
        } => bitfitech_replay::Command::Generate {
            pattern: pattern(mix),
            operations,
            seed,
            file,
        },
    };
    let mut out = Vec::new();
    bitfitech_replay::run(&command, &mut out)
        .map_err(|error| Failure::RunTime(printable(&error.to_string())))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn pattern(mix: Mix) -> Pattern {
    match mix {
        Mix::A => Pattern::A,
        Mix::B => Pattern::B,
        Mix::C => Pattern::C,
    }
}

/// The market that is named, in any case of letters unless two differ in nothing else; without a
/// name the first one.
fn find_market<'m>(markets: &'m [Market], pair: Option<&str>) -> Result<&'m Market, Failure> {
    let found = match pair {
        None => markets.first(),
        Some(pair) => {
            let mut alike = markets
                .iter()
                .filter(|market| market.pair().eq_ignore_ascii_case(pair));
            match (alike.next(), alike.next()) {
                (Some(only), None) => Some(only),
                _ => markets.iter().find(|market| market.pair() == pair),
            }
        }
    };
    found.ok_or_else(|| unknown_pair(markets, pair.unwrap_or_default()))
}

fn unknown_pair(markets: &[Market], pair: &str) -> Failure {
    let known: Vec<&str> = markets.iter().map(Market::pair).collect();
    let pair = printable(pair);
    Failure::Usage(format!(
        "--pair: `{pair}` is not configured: take one of {}",
        known.join(", ")
    ))
}

/// Without what a terminal would obey: errors quote files and arguments.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
