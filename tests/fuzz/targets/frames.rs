//! Frames: the stream is cut, every frame decoded, and what is understood encodes to itself.
#![no_main]

use bitfitech_core::wire::Frame;
use bitfitech_io::transport::{FrameLimits, FrameReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut reader = FrameReader::new(stream, FrameLimits::default());
        while let Ok(raw) = reader.read().await {
            let Ok(Some(frame)) = Frame::<Vec<u8>>::decode(raw.kind, &raw.payload) else {
                continue;
            };
            let (kind, payload) = frame.encode();
            let again = Frame::<Vec<u8>>::decode(kind, &payload);
            assert_eq!(again, Ok(Some(frame)), "a frame comes back");
        }
    });
});
