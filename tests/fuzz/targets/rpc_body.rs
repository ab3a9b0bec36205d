//! Bodies of requests by Grenache's RPC: a request becomes one command of its kind, or an error.
#![no_main]

use bitfitech_actors::command_grammar::parse;
use bitfitech_core::genesis::Genesis;
use bitfitech_web::rpc_actions::action_of;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The commands that requests may become: none of them ends the node or changes its settings.
const COMMANDS: [&str; 10] = [
    "buy", "sell", "replace", "cancel", "order", "orders", "book", "trades", "digest", "peers",
];

fuzz_target!(|body: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    if let Ok(action) = action_of(&payload) {
        let word = action.line.split_whitespace().next().unwrap_or_default();
        assert!(COMMANDS.contains(&word), "{}", action.line);
        assert!(!action.line.contains(['\n', '\r', '#']), "{}", action.line);
        // The console refuses what makes no sense.
        let _ = parse(&action.line, &Genesis::standard("test"));
    }
});
