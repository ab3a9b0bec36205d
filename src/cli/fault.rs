//! What is wrong with a command line, in one line.
//!
//! The errors of `clap` are paragraphs with the usage below. Every other fault of this program is
//! one line that says what, where and how to mend it, so these are too.

/// The error of `clap` without the usage it repeats, as one line that says where help is.
pub(super) fn one_line(error: &clap::Error, program: &str) -> String {
    let text = error.render().to_string();
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    let text = &text[..end.unwrap_or(text.len())];
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    format!("{line}; see {program} --help")
}
