//! ListenerActor: takes connections in and has a PeerActor started for each.
//!
//! The port is bound once for the whole process, so a restart of this actor loses no more than the
//! handshakes that were under way.

use std::sync::{Arc, Mutex, PoisonError};

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Context};
use bitfitech_core::supervision::Restart;
use bitfitech_io::transport::{AcceptLimits, Acceptor, Connection};
use tokio::net::TcpListener;

use crate::child::{Child, ChildSpec, Started};
use crate::context::NodeContext;
use crate::discovery::ListenerUp;
use crate::mailbox::ActorRef;
use crate::peer::{Origin, PeerActor};
use crate::supervised;
use crate::supervisor::StartChild;

/// Messages of others that may wait for a PeerActor.
pub const PEER_CAPACITY: usize = 64;

/// How long the supervisor of the connections may take to answer.
const QUERY_MS: u64 = 5_000;

/// The actor.
pub struct ListenerActor {
    node: Arc<NodeContext>,
    listener: Option<TcpListener>,
}

impl ListenerActor {
    /// Listens on the port that the node has bound.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(node: Arc<NodeContext>, bound: &std::net::TcpListener) -> Result<Self, String> {
        let listener = bound.try_clone().and_then(TcpListener::from_std);
        let listener = listener.map_err(|error| format!("cannot listen: {error}"))?;
        Ok(Self {
            node,
            listener: Some(listener),
        })
    }
}

/// The child that runs a connection which came in.
fn inbound(node: &Arc<NodeContext>, connection: Connection) -> ChildSpec {
    let me = ActorRef::new(format!("peer:{}", connection.address), PEER_CAPACITY);
    let node = Arc::clone(node);
    let connection = Mutex::new(Some(Box::new(connection)));
    let reference = me.clone();
    ChildSpec::fallible(&me, move |child| {
        let taken = connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let connection = taken.ok_or("a connection that came in is run once")?;
        let (node, me) = (Arc::clone(&node), reference.clone());
        Ok(PeerActor::new(
            node,
            me,
            child,
            Origin::Accepted(connection),
        ))
    })
    .restart(Restart::Temporary)
    .quiet()
}

impl Actor for ListenerActor {
    type Context = Context<Self>;
}

impl Child for ListenerActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        started.report();
        let listener = self.listener.take().expect("a life begins once");
        let node = Arc::clone(&self.node);
        let settings = &node.settings.p2p;
        let limits = AcceptLimits {
            pending_max: settings.max_handshakes,
            handshake_ms_max: settings.handshake_timeout_ms,
            ..AcceptLimits::default()
        };
        let mut acceptor = Acceptor::new(listener, node.tls.clone(), limits);
        let accepting = async move {
            tracing::info!(target: "listener", "taking connections");
            // One that is down looks for peers as soon as it is up again.
            drop(node.refs.discovery.control(ListenerUp));
            loop {
                let connection = acceptor.accept().await;
                let address = connection.address;
                let start = StartChild(inbound(&node, connection));
                let refused = match node.refs.peers.query(start, QUERY_MS).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.to_string(),
                };
                tracing::debug!(target: "listener", "dropped a connection of {address}: {refused}");
            }
        };
        context.spawn(accepting.into_actor(self));
    }
}
supervised!(ListenerActor);
