//! The bitfitech node: composition root.

fn main() {}
