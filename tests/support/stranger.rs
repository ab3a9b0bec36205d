//! A peer that does what it wants: it shakes hands like a node and then sends what a test says.

use std::time::Duration;

use bitfitech_core::genesis::Genesis;
use bitfitech_core::handshake::LocalNode;
use bitfitech_core::membership::Membership;
use bitfitech_core::types::{AuthorKey, Now};
use bitfitech_core::wire::Frame;
use bitfitech_io::identity::Identity;
use bitfitech_io::tls::Tls;
use bitfitech_io::transport::{ConnectionReader, ConnectionWriter, FrameLimits, RawFrame, connect};
use tokio::runtime::{Builder, Runtime};

/// How long the node may take to do what is expected.
const LIMIT: Duration = Duration::from_secs(30);

/// A session with a node.
pub struct Stranger {
    runtime: Runtime,
    reader: ConnectionReader,
    writer: ConnectionWriter,
    key: AuthorKey,
}

impl Stranger {
    /// Dials the node and says hello with the key of this secret.
    pub fn join(address: &str, secret: u8) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let identity = Identity::from_seed([secret; 32]);
        let tls = Tls::new(&identity).expect("TLS with that key");
        let address = address.parse().expect("an address");
        let connection = runtime.block_on(connect(&tls, address, None, 10_000));
        let connection = connection.expect("the node takes connections");
        let (reader, writer) = connection.split(FrameLimits::default());
        let key = identity.author();
        let mut stranger = Self {
            runtime,
            reader,
            writer,
            key,
        };
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let unix_ms = unix.expect("after 1970").as_millis();
        let now = Now {
            monotonic_ms: 0,
            unix_ms: u64::try_from(unix_ms).expect("a time"),
        };
        let local = LocalNode {
            key,
            genesis: Genesis::standard("e2e"),
            listen: None,
            instance: u64::from(secret),
            dht_port: None,
        };
        stranger.send(&[Frame::Hello(local.hello(now, 1, &Membership::default()))]);
        stranger
    }

    /// Its key.
    pub fn key(&self) -> String {
        self.key.to_hex()
    }

    /// Sends frames; whether the connection still stood.
    pub fn send(&mut self, frames: &[Frame]) -> bool {
        let raw = frames.iter().map(|frame| {
            let (kind, payload) = frame.encode();
            RawFrame { kind, payload }.encode()
        });
        self.send_bytes(&raw.collect::<Vec<_>>())
    }

    /// Sends bytes as they are; whether the connection still stood.
    pub fn send_bytes(&mut self, bytes: &[Vec<u8>]) -> bool {
        self.runtime.block_on(self.writer.write(bytes)).is_ok()
    }

    /// Reads frames until one fits; `None` if the connection ends before.
    ///
    /// # Panics
    /// When neither happens in time.
    pub fn read_until<T>(&mut self, fits: impl Fn(&Frame) -> Option<T>) -> Option<T> {
        let reader = &mut self.reader;
        let reading = async {
            loop {
                let raw = reader.read().await.ok()?;
                let frame = Frame::decode(raw.kind, &raw.payload).ok()??;
                if let Some(found) = fits(&frame) {
                    return Some(found);
                }
            }
        };
        let read = self
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, reading).await });
        read.expect("the node answers or hangs up")
    }
}
