//! Rules on size: lines, functions and files that fit into a reader's head.
//!
//! Source of the numbers: TigerBeetle's style, seventy lines to a function (what fits on a screen)
//! and a hundred columns to a line (two files side by side).

use crate::source::{Finding, SourceFile, words};

/// Most columns of a line.
const COLUMNS_MAX: usize = 100;

/// Most lines of a file, tests included.
const FILE_LINES_MAX: usize = 700;

/// Most lines of the composition root, which has no logic.
const ROOT_LINES_MAX: usize = 100;

/// Most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// No line of Rust is wider than a hundred columns. A line that is one long address may be.
pub fn line_length(file: &SourceFile) -> Vec<Finding> {
    let lines = file.raw.iter().enumerate().filter(|_| file.is_rust());
    lines
        .filter(|(_, line)| line.chars().count() > COLUMNS_MAX && !line.contains("https://"))
        .map(|(index, line)| {
            let columns = line.chars().count();
            let what = format!("{columns} columns, {COLUMNS_MAX} are allowed");
            Finding::at(index, what, "break the line")
        })
        .collect()
}

/// No file of Rust is longer than seven hundred lines, and the composition root not than a hundred.
pub fn file_length(file: &SourceFile) -> Vec<Finding> {
    let most = match file.path.as_str() {
        "src/lib.rs" => ROOT_LINES_MAX,
        _ => FILE_LINES_MAX,
    };
    if !file.is_rust() || file.raw.len() <= most {
        return Vec::new();
    }
    let what = format!("{} lines, {most} are allowed", file.raw.len());
    let mend = "move a concept, or the tests, to a file of its own";
    vec![Finding::at(most, what, mend)]
}

/// No function is longer than seventy lines.
pub fn function_length(file: &SourceFile) -> Vec<Finding> {
    let starts = (0..file.code.len()).filter(|&index| starts_function(&file.code[index]));
    starts
        .filter_map(|start| {
            let lines = function_lines(&file.code[start..])?;
            let what = format!("a function of {lines} lines, {FUNCTION_LINES_MAX} are allowed");
            let mend = "give its parts names and make them functions";
            (lines > FUNCTION_LINES_MAX).then(|| Finding::at(start, what, mend))
        })
        .collect()
}

/// Whether a function with a name begins on this line; `fn(u8)` as a type is none.
fn starts_function(line: &str) -> bool {
    let mut rest = words(line).skip_while(|&word| word != "fn");
    rest.next().is_some() && line.contains("fn ") && rest.next().is_some()
}

/// How many lines the function takes that begins on the first; `None` if it has no body.
fn function_lines(code: &[String]) -> Option<usize> {
    let (mut braces, mut brackets, mut begun) = (0_i32, 0_i32, false);
    for (index, line) in code.iter().enumerate() {
        let from = if index == 0 { line.find("fn ")? } else { 0 };
        for character in line[from..].chars() {
            match character {
                '{' => (braces, begun) = (braces + 1, true),
                '}' => braces -= 1,
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if !begun && brackets == 0 => return None,
                _ => {}
            }
            if begun && braces == 0 {
                return Some(index + 1);
            }
        }
    }
    None
}
