//! Files of known peers: read or refused.
#![no_main]

use bitfitech_core::types::Digest;
use bitfitech_io::peer_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-{}.json", std::process::id()));
    std::fs::write(&path, input).expect("the file of the input is written");
    if let Ok(peers) = peer_file::load(&path, Digest([7; 32]), 1_700_000_000_000) {
        assert!(peers.len() <= peer_file::PEERS_MAX);
    }
    // It is written anew for the next input.
    let _ = std::fs::remove_file(path);
});
