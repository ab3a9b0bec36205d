//! A link between two nodes that the test can cut and heal.
//!
//! One node dials the proxy instead of the other node. While the link is cut, what was connected
//! is closed and who dials is turned away, which is how a broken route with resets looks.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A forwarding listener on loopback.
pub struct Proxy {
    address: String,
    state: Arc<State>,
}

struct State {
    target: String,
    is_open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Forwards to this address, open at first.
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::new(State {
            target: target.to_owned(),
            is_open: AtomicBool::new(true),
            streams: Mutex::new(Vec::new()),
        });
        let acceptor = Arc::clone(&state);
        // The thread lives as long as the test's process: it holds nothing but its port.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                acceptor.forward(stream);
            }
        });
        Self { address, state }
    }

    /// Where to dial.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends all connections and turns new ones away.
    pub fn cut(&self) {
        self.state.is_open.store(false, Ordering::SeqCst);
        self.state.close_all();
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl State {
    fn forward(&self, near: TcpStream) {
        let far = TcpStream::connect(&self.target);
        let Some(far) = far.ok().filter(|_| self.is_open.load(Ordering::SeqCst)) else {
            return;
        };
        let both = [near.try_clone(), far.try_clone()];
        let mut streams = self.streams.lock().expect("no holder panicked");
        streams.extend(both.into_iter().flatten());
        drop(streams);
        // Cut between the look above and here: the new streams are in the list by now.
        if !self.is_open.load(Ordering::SeqCst) {
            self.close_all();
        }
        let back = (far.try_clone(), near.try_clone());
        thread::spawn(move || copy(near, far));
        if let (Ok(far), Ok(near)) = back {
            thread::spawn(move || copy(far, near));
        }
    }

    fn close_all(&self) {
        let mut streams = self.streams.lock().expect("no holder panicked");
        for stream in streams.drain(..) {
            // A stream that is closed already is what is wanted.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Copies one direction until it ends, and ends the other side too.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    // How a direction ended does not matter: it ended.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
