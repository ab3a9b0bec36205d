//! What the Tab key offers at the terminal: commands, pairs, and ids that were shown lately.
//!
//! The first word is a command; what may follow depends on it and is a plain list of words, those
//! of the grammar and those that this node knows. Ids are taken from what was written to the
//! screen, for nobody completes what he has not seen. Completion only ever suggests: the grammar
//! alone decides what is understood.

use std::collections::VecDeque;

use bitfitech_io::config::LogLevel;

use crate::command_help::COMMANDS;
use crate::command_model::ID_DIGITS_MIN;

/// Ids that are remembered; older ones are forgotten. A guess: some screens full.
const IDS_MAX: usize = 200;

/// Most bytes of one text that are searched for ids, from its end: what is still on the screen.
const SEARCHED_BYTES_MAX: usize = 16_384;

/// The words that can be offered.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    pairs: Vec<String>,
    /// Oldest first, each once.
    ids: VecDeque<String>,
}

impl Vocabulary {
    /// With these pairs and no ids yet.
    pub(crate) fn new(pairs: Vec<String>) -> Self {
        let ids = VecDeque::new();
        Self { pairs, ids }
    }

    /// Remembers the ids in a text that is shown.
    pub(crate) fn learn(&mut self, text: &str) {
        let skipped = text.len().saturating_sub(SEARCHED_BYTES_MAX);
        let shown = text.get(text.ceil_char_boundary(skipped)..);
        let words = shown
            .unwrap_or_default()
            .split(|c: char| !c.is_alphanumeric());
        for id in words.filter(|word| is_id(word)) {
            self.ids.retain(|known| known != id);
            if self.ids.len() == IDS_MAX {
                self.ids.pop_front();
            }
            self.ids.push_back(id.to_owned());
        }
    }

    /// Where the word before the cursor begins, and what it may become, in order of the alphabet.
    pub(crate) fn complete(&self, before_cursor: &str) -> (usize, Vec<String>) {
        let blank = before_cursor.rfind(char::is_whitespace);
        let start = blank.map_or(0, |at| {
            let width = before_cursor[at..].chars().next().map_or(1, char::len_utf8);
            at + width
        });
        let (before, typed) = before_cursor.split_at(start);
        let mut words = before.split_whitespace();
        let offered = match words.next() {
            None => commands(),
            Some(command) => self.after(&command.to_ascii_lowercase(), words.count()),
        };
        let typed_lower = typed.to_ascii_lowercase();
        let mut fitting: Vec<String> = offered
            .into_iter()
            .filter(|word| word.to_ascii_lowercase().starts_with(&typed_lower))
            .collect();
        fitting.sort();
        fitting.dedup();
        (start, fitting)
    }

    /// What may follow a command and so many more words.
    fn after(&self, command: &str, count: usize) -> Vec<String> {
        let ids = || self.ids.iter().cloned().collect();
        match (command, count) {
            ("help", 0) => commands(),
            ("book" | "trades", 0) | ("buy" | "sell", 1) => self.pairs.clone(),
            ("cancel", 0) => [vec!["all".to_owned()], ids()].concat(),
            ("orders", 0) => vec!["all".to_owned()],
            ("order" | "replace" | "confirm" | "release" | "disconnect", 0) | ("clock", 0 | 1) => {
                ids()
            }
            ("log", 0) => LogLevel::ALL.map(|level| level.name().to_owned()).to_vec(),
            _ => Vec::new(),
        }
    }
}

fn commands() -> Vec<String> {
    let words = COMMANDS.iter().map(|command| command.word.to_owned());
    words.collect()
}

/// Whether a word looks like an id as the console shows them. A number of eight digits does too,
/// which costs nothing but an odd suggestion.
fn is_id(word: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (ID_DIGITS_MIN..=64).contains(&word.len()) && word.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let mut vocabulary = Vocabulary::new(vec!["BTC/USD".to_owned(), "ETH/EUR".to_owned()]);
        vocabulary.learn("order deadbeef open, see deadbe12; not an id: deadbeex or dead\n");
        vocabulary
    }

    fn offered(line: &str) -> (usize, Vec<String>) {
        vocabulary().complete(line)
    }

    #[test]
    fn words_are_completed_by_their_place() {
        for (line, start, expected) in [
            ("ca", 0, &["cancel"][..]),
            ("  orde", 2, &["order", "orders"]),
            ("BO", 0, &["book"]),
            ("book b", 5, &["BTC/USD"]),
            ("buy 1 e", 6, &["ETH/EUR"]),
            ("buy ", 4, &[]),
            ("cancel dead", 7, &["deadbe12", "deadbeef"]),
            ("cancel a", 7, &["all"]),
            ("help ca", 5, &["cancel"]),
            ("log de", 4, &["debug"]),
            ("clock deadbeef deadbe1", 15, &["deadbe12"]),
            ("nonsense d", 9, &[]),
            ("\u{3000}ca", 3, &["cancel"]),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(offered(line), (start, expected), "{line}");
        }
    }

    #[test]
    fn nothing_typed_offers_every_command_once() {
        let (start, words) = offered("");
        assert_eq!((start, words.len()), (0, COMMANDS.len()));
    }

    #[test]
    fn the_newest_ids_are_remembered() {
        let mut vocabulary = Vocabulary::default();
        for number in 0..2 * IDS_MAX {
            vocabulary.learn(&format!("{number:08x} {number:08x}"));
        }
        assert_eq!(vocabulary.ids.len(), IDS_MAX);
        assert_eq!(vocabulary.ids[0], format!("{IDS_MAX:08x}"));
        vocabulary.learn(&"\u{20ac}".repeat(SEARCHED_BYTES_MAX));
        assert_eq!(vocabulary.ids.len(), IDS_MAX);
    }
}
