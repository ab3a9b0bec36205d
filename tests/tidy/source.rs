//! Source text as the rules see it: the same lines three times.
//!
//! Rules that look for words must not trip over words in strings, and rules on comments must not
//! trip over `//` in an address. So a file is split once into its raw lines, its code with every
//! comment and literal blanked out, and its comments. Blanking keeps lines and columns, so a
//! finding in any of the views has the right place. This is a lexer for exactly that and no more:
//! it knows comments (nested ones too), strings, raw strings and character literals.

use std::path::PathBuf;

/// What a rule has to say about one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line number from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl Finding {
    /// A finding at a line counted from 0.
    pub fn at(line_index: usize, what: impl Into<String>, mend: &'static str) -> Self {
        Self {
            line: line_index + 1,
            what: what.into(),
            mend,
        }
    }
}

/// One file of the repository.
pub struct SourceFile {
    /// Path from the root of the repository, with `/` between the parts.
    pub path: String,
    /// The lines as they are.
    pub raw: Vec<String>,
    /// The lines with comments and literals blanked out. Empty lines for files that are not Rust.
    pub code: Vec<String>,
    /// The lines with everything but comments blanked out; the `//` stays.
    pub comments: Vec<String>,
    /// The first line, from 0, of the unit tests at the end of the file, if there are any.
    pub tests_from: usize,
}

impl SourceFile {
    /// Splits a text into its views.
    pub fn new(path: &str, text: &str) -> Self {
        let raw: Vec<String> = text.lines().map(str::to_owned).collect();
        let (code, comments) = if path.ends_with(".rs") {
            Lexer::split(text)
        } else {
            (vec![String::new(); raw.len()], raw.clone())
        };
        let tests_from = first_test_line(path, &code);
        Self {
            path: path.to_owned(),
            raw,
            code,
            comments,
            tests_from,
        }
    }

    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines of code that are not tests, with their numbers from 0.
    pub fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().enumerate().take(self.tests_from);
        lines.map(|(index, line)| (index, line.as_str()))
    }

    /// The file's name without folder and ending.
    pub fn stem(&self) -> String {
        let path = PathBuf::from(&self.path);
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Where the tests begin: at once in files of tests, else at `#[cfg(test)]` before a module body.
fn first_test_line(path: &str, code: &[String]) -> usize {
    let all_tests = ["tests/", "benches/"]
        .iter()
        .any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")));
    let of_tests = ["/tests.rs", "_tests.rs", "_fixtures.rs"];
    if all_tests || of_tests.iter().any(|ending| path.ends_with(ending)) {
        return 0;
    }
    let is_gate = |line: &str| line.trim() == "#[cfg(test)]";
    (0..code.len())
        .find(|&index| {
            let next = code.get(index + 1).map_or("", |line| line.trim());
            is_gate(&code[index]) && next.contains("mod ") && next.ends_with('{')
        })
        .unwrap_or(code.len())
}

/// What the lexer is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    /// How deep block comments are nested.
    BlockComment(usize),
    Text,
    /// How many `#` end the raw string.
    RawText(usize),
}

/// Splits text into code and comments, character by character.
struct Lexer {
    characters: Vec<char>,
    position: usize,
    inside: Inside,
    code: String,
    comments: String,
}

impl Lexer {
    fn split(text: &str) -> (Vec<String>, Vec<String>) {
        let mut lexer = Self {
            characters: text.chars().collect(),
            position: 0,
            inside: Inside::Code,
            code: String::new(),
            comments: String::new(),
        };
        while lexer.position < lexer.characters.len() {
            lexer.step();
        }
        let lines = |view: &str| view.lines().map(str::to_owned).collect();
        (lines(&lexer.code), lines(&lexer.comments))
    }

    fn step(&mut self) {
        match self.inside {
            Inside::Code => self.step_in_code(),
            Inside::LineComment => {
                if self.peek(0) == '\n' {
                    self.inside = Inside::Code;
                }
                self.take_comment(1);
            }
            Inside::BlockComment(depth) => self.step_in_block_comment(depth),
            Inside::Text => match self.peek(0) {
                '\\' => self.take_literal(2),
                '"' => self.leave_text(),
                _ => self.take_literal(1),
            },
            Inside::RawText(hashes) => {
                let ends = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
                if ends {
                    self.leave_text();
                } else {
                    self.take_literal(1);
                }
            }
        }
    }

    fn step_in_code(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                self.inside = Inside::LineComment;
                self.take_comment(2);
            }
            ('/', '*') => {
                self.inside = Inside::BlockComment(1);
                self.take_comment(2);
            }
            ('"', _) => {
                self.inside = Inside::Text;
                self.take_code(1);
            }
            ('r', '"' | '#') if !self.after_word() || self.after_byte_prefix() => {
                self.enter_raw_text();
            }
            ('\'', _) => self.step_over_character(),
            _ => self.take_code(1),
        }
    }

    fn step_in_block_comment(&mut self, depth: usize) {
        match (self.peek(0), self.peek(1)) {
            ('/', '*') => {
                self.inside = Inside::BlockComment(depth + 1);
                self.take_comment(2);
            }
            ('*', '/') => {
                self.take_comment(2);
                self.inside = match depth {
                    1 => Inside::Code,
                    _ => Inside::BlockComment(depth - 1),
                };
            }
            _ => self.take_comment(1),
        }
    }

    /// `r"`, `r#"`, …; a raw identifier like `r#type` is code.
    fn enter_raw_text(&mut self) {
        let hashes = (1..).take_while(|&ahead| self.peek(ahead) == '#').count();
        let is_text = self.peek(1 + hashes) == '"';
        if is_text {
            self.inside = Inside::RawText(hashes);
        }
        self.take_code(if is_text { 2 + hashes } else { 1 });
    }

    /// A character literal is blanked; a lifetime is code.
    fn step_over_character(&mut self) {
        let length = match (self.peek(1), self.peek(2)) {
            ('\\', _) => (3..12).find(|&ahead| self.peek(ahead) == '\''),
            (_, '\'') => Some(2),
            _ => None,
        };
        self.take_code(1);
        if let Some(length) = length {
            self.take_literal(length - 1);
            self.take_code(1);
        }
    }

    fn leave_text(&mut self) {
        self.inside = Inside::Code;
        self.take_code(1);
    }

    /// Whether the character before belongs to a word, so that this one does not begin it.
    fn after_word(&self) -> bool {
        let before = self.position.checked_sub(1).map(|at| self.characters[at]);
        before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    }

    /// Whether the character before is the `b` of `br"…"` or the `c` of `cr"…"`.
    fn after_byte_prefix(&self) -> bool {
        let at = |back: usize| {
            let index = self.position.checked_sub(back)?;
            self.characters.get(index).copied()
        };
        let word = |character: char| character.is_alphanumeric() || character == '_';
        matches!(at(1), Some('b' | 'c')) && !at(2).is_some_and(word)
    }

    fn peek(&self, ahead: usize) -> char {
        let character = self.characters.get(self.position + ahead);
        character.copied().unwrap_or('\0')
    }

    fn take_code(&mut self, count: usize) {
        self.take(count, |character| (character, ' '));
    }

    fn take_comment(&mut self, count: usize) {
        self.take(count, |character| (' ', character));
    }

    fn take_literal(&mut self, count: usize) {
        self.take(count, |_| (' ', ' '));
    }

    fn take(&mut self, count: usize, views: impl Fn(char) -> (char, char)) {
        for _ in 0..count {
            let Some(&character) = self.characters.get(self.position) else {
                return;
            };
            let (code, comment) = match character {
                '\n' => ('\n', '\n'),
                _ => views(character),
            };
            self.code.push(code);
            self.comments.push(comment);
            self.position += 1;
        }
    }
}

/// The words (identifiers and keywords) of a line of code, each with its column.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
}
