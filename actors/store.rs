//! StoreActor: operations on disk.
//!
//! It runs on a thread of its own, for a write waits for the disk. Writes come in batches, one at a
//! time, from the matcher alone, in the order in which it applied the operations; so what is on
//! disk is always complete up to some point. A batch is durable when it is answered.
//!
//! A disk that fails cannot be mended by trying again with the same file handle: the actor fails,
//! its supervisor opens the store afresh, and when that does not help the node ends and says why.
//! The first life gets the store open: a file that cannot be opened ends the process before there
//! is a tree, at once and with one line.

use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message};
use bitfitech_io::data_dir::store_path;
use bitfitech_io::store::Store;

use crate::child::{Child, ChildContext, ExitNote};
use crate::context::NodeContext;
use crate::supervised;

/// Most operations that one answer to [`Load`] holds. A guess: some 2 MB.
pub const LOAD_PAGE_MAX: usize = 8_192;

/// A query: make these operations durable; they follow each other from this index on. Writing what
/// is there already is no error. The answer is how many operations are on disk.
#[derive(Message)]
#[rtype(result = "Result<u64, String>")]
pub struct Append {
    /// Place of the first.
    pub first_index: u64,
    /// Their bytes.
    pub operations: Vec<Arc<[u8]>>,
}

/// A query: up to [`LOAD_PAGE_MAX`] operations from this index on, in order; empty at the end.
#[derive(Message)]
#[rtype(result = "Result<Vec<(u64, Vec<u8>)>, String>")]
pub struct Load {
    /// The first index.
    pub from: u64,
}

/// A query: these operations in order, as many as fit into that many bytes but at least one. Those
/// that are not on disk yet end the answer.
#[derive(Message)]
#[rtype(result = "Result<Vec<(u64, Vec<u8>)>, String>")]
pub struct Read {
    /// Their indices.
    pub indices: Vec<u64>,
    /// Most bytes.
    pub bytes_max: usize,
}

/// The actor.
pub struct StoreActor {
    store: Store,
    exit: ExitNote,
}

impl StoreActor {
    /// Takes the store that the process opened at its start, and later opens it itself.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(context: &NodeContext, child: ChildContext) -> Result<Self, String> {
        let opened = context.opened_store.try_lock();
        let store = match opened.ok().and_then(|mut opened| opened.take()) {
            Some(store) => store,
            None => {
                let path = store_path(&context.settings.data_dir);
                let store = Store::open(&path, &context.genesis_digest);
                store.map_err(|error| error.to_string())?
            }
        };
        tracing::debug!(target: "store", operations = store.len(), "store is open");
        Ok(Self {
            store,
            exit: child.exit,
        })
    }

    /// Ends this life: the supervisor opens the store afresh.
    fn fail(&self, reason: &str, context: &mut Context<Self>) -> String {
        self.exit.fail(reason);
        context.stop();
        reason.to_string()
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;
}

impl Child for StoreActor {}
supervised!(StoreActor);

impl Handler<Append> for StoreActor {
    type Result = Result<u64, String>;

    fn handle(&mut self, append: Append, context: &mut Context<Self>) -> Self::Result {
        let written = self.store.append(append.first_index, &append.operations);
        written.map_err(|error| self.fail(&error.to_string(), context))?;
        tracing::trace!(
            target: "store",
            first = append.first_index,
            count = append.operations.len(),
            "operations are on disk"
        );
        Ok(self.store.len())
    }
}

impl Handler<Load> for StoreActor {
    type Result = Result<Vec<(u64, Vec<u8>)>, String>;

    fn handle(&mut self, load: Load, context: &mut Context<Self>) -> Self::Result {
        let page = self.store.scan(load.from, LOAD_PAGE_MAX);
        page.map_err(|error| self.fail(&error.to_string(), context))
    }
}

impl Handler<Read> for StoreActor {
    type Result = Result<Vec<(u64, Vec<u8>)>, String>;

    fn handle(&mut self, read: Read, context: &mut Context<Self>) -> Self::Result {
        let page = self.store.read(&read.indices, read.bytes_max);
        page.map_err(|error| self.fail(&error.to_string(), context))
    }
}
