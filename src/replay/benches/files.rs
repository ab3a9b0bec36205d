//! What all benchmarks run: the order files of the patterns A, B and C, with the allocator that the
//! program has.

use std::fs;
use std::io::BufReader;

use bitfitech_replay::generator::{self, Pattern};
use bitfitech_replay::order_file::OrderFile;
use bitfitech_replay::{Command, run};
use tempfile::TempDir;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Makes and reads a file.
pub fn generated(pattern: Pattern, operations: u64) -> OrderFile {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("orders.csv");
    let command = Command::Generate {
        pattern,
        operations,
        seed: 1,
        file: file.clone(),
    };
    run(&command, &mut Vec::new()).expect("the file can be written");
    let input = BufReader::new(fs::File::open(&file).expect("the file is there"));
    OrderFile::read(input, &generator::market()).expect("a generated file is right")
}
