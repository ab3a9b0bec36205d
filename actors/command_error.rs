//! Why a line is no command, said so that its writer can mend it.
//!
//! Every error says what was expected. What the writer typed is quoted shortened and with control
//! characters escaped, so that no line can play tricks with a terminal.

use std::fmt;

use bitfitech_core::market::AmountError;

use crate::command_grammar::LINE_BYTES_MAX;
use crate::command_help::find_command;
use crate::messages::{ErrorCode, ReplyError};

/// Characters of a user's word that an error quotes.
const QUOTED_CHARS_MAX: usize = 40;

/// Pairs that an error lists; a network may have hundreds.
const PAIRS_LISTED_MAX: usize = 8;

/// Which amount of a command is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// How much.
    Quantity,
    /// The limit of a limit order.
    Price,
    /// The protection price of a market order.
    Protection,
}

impl Amount {
    /// As it stands in the syntax.
    fn name(self) -> &'static str {
        match self {
            Self::Quantity => "QTY",
            Self::Price => "PRICE",
            Self::Protection => "limit=PRICE",
        }
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The line is longer than [`LINE_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The first word, or the topic of `help`, is no command.
    UnknownCommand {
        /// The word.
        word: String,
        /// The command that is spelt nearly so.
        nearest: Option<&'static str>,
    },
    /// The line ends where something is needed.
    Missing {
        /// The command.
        command: &'static str,
        /// What is needed.
        expected: &'static str,
    },
    /// A word that does not belong where it stands.
    Unexpected {
        /// The command.
        command: &'static str,
        /// The word.
        word: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// An option is given twice.
    Repeated {
        /// The command.
        command: &'static str,
        /// The option.
        option: &'static str,
    },
    /// A number outside its range.
    Count {
        /// The command.
        command: &'static str,
        /// As it stands in the syntax.
        name: &'static str,
        /// What was written.
        word: String,
        /// Most allowed; the least is 1.
        max: u32,
    },
    /// An amount that its market does not allow.
    Amount {
        /// The command.
        command: &'static str,
        /// Which amount.
        amount: Amount,
        /// The market.
        pair: String,
        /// Why not.
        error: AmountError,
    },
    /// No such market.
    UnknownPair {
        /// What was written.
        word: String,
        /// The markets of this network.
        known: Vec<String>,
    },
    /// Not the name of an order.
    OrderId {
        /// What was written.
        word: String,
    },
    /// Not the beginning of a trade's id.
    TradeId {
        /// What was written.
        word: String,
    },
    /// Not a time for which an order may rest.
    Ttl {
        /// The command.
        command: &'static str,
        /// What was written.
        word: String,
    },
    /// Not the beginning of a node's key.
    PeerId {
        /// What was written.
        word: String,
    },
    /// Not HOST:PORT.
    Address {
        /// What was written.
        word: String,
    },
}

impl CommandError {
    /// The stable code for programs.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLong { .. } => ErrorCode::TooLong,
            Self::UnknownCommand { .. } => ErrorCode::UnknownCommand,
            Self::Missing { .. }
            | Self::Unexpected { .. }
            | Self::Repeated { .. }
            | Self::Ttl { .. }
            | Self::Count { .. } => ErrorCode::BadCommand,
            Self::Amount { .. } => ErrorCode::BadAmount,
            Self::UnknownPair { .. } => ErrorCode::UnknownPair,
            Self::OrderId { .. } => ErrorCode::BadOrderId,
            Self::TradeId { .. } => ErrorCode::BadTradeId,
            Self::PeerId { .. } => ErrorCode::BadPeerId,
            Self::Address { .. } => ErrorCode::BadAddress,
        }
    }

    /// The command whose syntax helps to mend the line.
    fn command(&self) -> Option<&'static str> {
        match self {
            Self::Missing { command, .. }
            | Self::Unexpected { command, .. }
            | Self::Repeated { command, .. }
            | Self::Ttl { command, .. }
            | Self::Count { command, .. } => Some(command),
            _ => None,
        }
    }
}

/// A user's word, short and harmless.
pub(crate) fn quoted(word: &str) -> String {
    let shown: String = word.chars().take(QUOTED_CHARS_MAX).collect();
    let more = if shown.len() < word.len() { "…" } else { "" };
    format!("`{}{more}`", harmless(&shown))
}

/// A text of foreign origin with control characters, and what reorders text, escaped.
pub(crate) fn harmless(text: &str) -> String {
    let escaped = |symbol: char| {
        let plain = !symbol.is_control() && !is_invisible(symbol);
        let escape = (!plain).then(|| symbol.escape_unicode());
        plain
            .then_some(symbol)
            .into_iter()
            .chain(escape.into_iter().flatten())
    };
    text.chars().flat_map(escaped).collect()
}

/// Line separators, marks that change the direction of text, and other characters without a
/// shape (Unicode, "General Punctuation" and the byte order mark).
fn is_invisible(symbol: char) -> bool {
    matches!(symbol, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || symbol == '\u{feff}'
}

/// The pairs of a network, as many as an error shows.
fn listed(pairs: &[String]) -> String {
    let shown = pairs.iter().take(PAIRS_LISTED_MAX).cloned();
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if pairs.len() > PAIRS_LISTED_MAX {
        text += &format!(" and {} more", pairs.len() - PAIRS_LISTED_MAX);
    }
    text
}

/// Writes what is wrong with an amount. The core quotes a wrong number raw; here it is quoted
/// like every other word.
fn write_amount(
    out: &mut fmt::Formatter<'_>,
    amount: Amount,
    pair: &str,
    error: &AmountError,
) -> fmt::Result {
    let name = amount.name();
    match error {
        AmountError::NotANumber(word) => write!(
            out,
            "{name}: {} is not a plain decimal number such as 0.5 or 30000.01",
            quoted(word)
        ),
        AmountError::Zero => write!(out, "{name} must be more than 0"),
        AmountError::NotAMultiple { .. } | AmountError::AboveLimit { .. } => {
            write!(out, "{name} in {pair}: {error}")
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_problem(out)?;
        match self.command().and_then(find_command) {
            Some(command) => write!(out, "; usage: {}", command.syntax.join(" or ")),
            None => Ok(()),
        }
    }
}

impl CommandError {
    /// Writes what is wrong, and what was expected.
    fn write_problem(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(
                out,
                "the line has {bytes} bytes, at most {LINE_BYTES_MAX} are read: \
                 write one command a line"
            ),
            Self::UnknownCommand {
                word,
                nearest: Some(nearest),
            } => {
                write!(
                    out,
                    "{} is no command: did you mean `{nearest}`?",
                    quoted(word)
                )
            }
            Self::UnknownCommand {
                word,
                nearest: None,
            } => {
                write!(out, "{} is no command: `help` lists all", quoted(word))
            }
            Self::Missing { expected, .. } => write!(out, "expected {expected} at the end"),
            Self::Unexpected { word, expected, .. } => {
                write!(out, "expected {expected} instead of {}", quoted(word))
            }
            Self::Repeated { option, .. } => write!(out, "{option} is given twice: keep one"),
            Self::Count {
                name, word, max, ..
            } => {
                let word = quoted(word);
                write!(out, "{name}: {word} is not a whole number from 1 to {max}")
            }
            Self::Amount {
                amount,
                pair,
                error,
                ..
            } => write_amount(out, *amount, pair, error),
            Self::UnknownPair { word, known } => {
                let (word, known) = (quoted(word), listed(known));
                write!(
                    out,
                    "{word} is no market of this network, which has {known}"
                )
            }
            Self::OrderId { word } => {
                write_id(out, word, "order", "its id")?;
                out.write_str(", with .N behind them if it has one")
            }
            Self::TradeId { word } => write_id(out, word, "trade", "its id"),
            Self::Ttl { word, .. } => write!(
                out,
                "ttl={}: expected a whole number with ms, s, m, h or d, from 1ms to 365d, such as \
                 ttl=30s",
                quoted(word)
            ),
            Self::PeerId { word } => write_id(out, word, "peer", "its key"),
            Self::Address { word } => write!(
                out,
                "{} is no address: expected HOST:PORT, such as 192.0.2.7:3000 or [::1]:3000",
                quoted(word)
            ),
        }
    }
}

/// Writes what an id should have looked like, and which command shows it.
fn write_id(out: &mut fmt::Formatter<'_>, word: &str, kind: &str, id: &str) -> fmt::Result {
    write!(
        out,
        "{} is no {kind}: expected the first 8 to 64 hexadecimal digits of {id}, as `{kind}s` \
         shows them",
        quoted(word)
    )
}

impl std::error::Error for CommandError {}

impl From<CommandError> for ReplyError {
    fn from(error: CommandError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_write_to_the_terminal() {
        for (text, shown) in [
            ("plain é 日本", "plain é 日本"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\nb\u{7f}", "a\\u{a}b\\u{7f}"),
            ("\u{202e}dlrow\u{2028}", "\\u{202e}dlrow\\u{2028}"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn quoted_words_are_short() {
        assert_eq!(quoted("book"), "`book`");
        assert_eq!(quoted(&"é".repeat(40)), format!("`{}`", "é".repeat(40)));
        assert_eq!(quoted(&"é".repeat(41)), format!("`{}…`", "é".repeat(40)));
    }

    #[test]
    fn long_lists_of_pairs_are_cut() {
        let known: Vec<_> = (0..10).map(|number| format!("A{number}/B")).collect();
        let error = CommandError::UnknownPair {
            word: "X/Y".to_string(),
            known,
        };
        let expected = "`X/Y` is no market of this network, which has A0/B, A1/B, A2/B, A3/B, \
                        A4/B, A5/B, A6/B, A7/B and 2 more";
        assert_eq!(error.to_string(), expected);
    }
}
