//! Bodies of requests to the Grape: announcements and values of any form.
#![no_main]

use bitfitech_web::grape_api::{announced_name, put_request};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let field = value.get("data").unwrap_or(&value);
        // An error is an answer; whoever asked gets its text.
        let _ = announced_name(Some(field));
        if let Ok(request) = put_request(field) {
            assert!(!request.value.is_empty(), "a value has an encoding");
        }
    }
});
