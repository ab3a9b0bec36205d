//! A Grape alone: a program of its own where that stands beside `bitfitech`, and the same without.

use std::path::{Path, PathBuf};

use crate::grape::{AGE_MS, Grape};
use crate::support::plan::PROGRAM;

/// Has `program` start a Grape; which program that is when it listens.
fn started(program: &Path) -> PathBuf {
    let grape = Grape::of_program(program, &[], AGE_MS);
    std::fs::read_link(format!("/proc/{}/exe", grape.id())).expect("it runs")
}

#[test]
fn a_grape_is_a_program_of_its_own_where_that_stands_beside() {
    let whole = Path::new(PROGRAM);
    assert_eq!(started(whole), whole.with_file_name("bitfitech-grape"));
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path().canonicalize().expect("it is there");
    let copy = folder.join("bitfitech");
    std::fs::copy(whole, &copy).expect("a copy");
    assert_eq!(started(&copy), copy);
}
