//! The root of the supervision tree: what the process starts, waits for, and ends with.

use std::convert::Infallible;
use std::fmt;

use bitfitech_core::supervision::{Exit, Status};
use tokio::sync::{mpsc, oneshot};

use crate::child::{Launch, Leash, Lifecycle};
use crate::environment::{ActorChange, Environment};
use crate::mailbox::ActorRef;
use crate::panics;
use crate::supervisor::{Supervisor, SupervisorSpec, nested};

/// Why the root ended although nobody had asked it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFailure {
    /// The name of the root.
    pub name: String,
    /// The full reason, down to the last failure.
    pub reason: String,
}

impl fmt::Display for RootFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the supervision tree ended: {}: {}",
            self.name, self.reason
        )
    }
}

impl std::error::Error for RootFailure {}

/// The running tree. Dropping it kills every actor at once.
pub struct Root {
    reference: ActorRef<Supervisor>,
    started: Option<oneshot::Receiver<()>>,
    ended: oneshot::Receiver<Exit>,
    below: mpsc::Receiver<Infallible>,
    _leash: Leash,
}

impl Root {
    /// Starts the tree on the current thread and installs the panic hook for its actors.
    ///
    /// # Panics
    /// Outside of an actix system.
    pub fn start(
        reference: &ActorRef<Supervisor>,
        spec: SupervisorSpec,
        environment: &Environment,
    ) -> Self {
        panics::install_hook();
        let child = nested(reference, spec, environment);
        let board = environment.board.clone();
        board.enter("", child.name(), &child.child);
        let (report, ended) = oneshot::channel();
        let (up, started) = oneshot::channel();
        let (subtree, below) = mpsc::channel(1);
        let teller = environment.clone();
        let name = child.name().to_string();
        let launch = Launch {
            generation: 1,
            subtree: Some(subtree),
            report: Box::new(move |exit| {
                teller.on_root_exit(&name, &exit);
                drop(report.send(exit));
            }),
        };
        board.set(child.name(), Status::Starting, 1);
        let name = child.name().to_string();
        let leash = child.launch(launch, move || {
            board.set(&name, Status::Running, 1);
            // Nobody may be waiting for it.
            let _ = up.send(());
        });
        let reference = reference.clone();
        Self {
            reference,
            started: Some(started),
            ended,
            below,
            _leash: leash,
        }
    }

    /// Waits until every actor of the first specification has been up once; `false` if the tree
    /// ended before.
    pub async fn started(&mut self) -> bool {
        match self.started.take() {
            Some(started) => started.await.is_ok(),
            None => self.reference.is_up(),
        }
    }

    /// Asks the tree to stop in order; [`Root::ended`] tells when it has.
    pub fn shutdown(&self) {
        self.reference.shutdown();
    }

    /// Waits for the end of the tree: `Ok` after a shutdown, else the reason to end the process
    /// with.
    pub async fn ended(mut self) -> Result<(), RootFailure> {
        let exit = (&mut self.ended).await;
        // Every watcher has let go of its token: no task of the tree is left.
        let _ = self.below.recv().await;
        let name = self.reference.name().to_string();
        match exit {
            Ok(Exit::Normal) => Ok(()),
            Ok(exit) => Err(RootFailure {
                name,
                reason: exit.to_string(),
            }),
            Err(_) => Err(RootFailure {
                name,
                reason: "its thread is gone".to_string(),
            }),
        }
    }
}

impl Environment {
    fn on_root_exit(&self, name: &str, exit: &Exit) {
        self.board.set(name, Status::Stopped, 1);
        if matches!(exit, Exit::Crashed(_) | Exit::Failed(_)) {
            tracing::error!(target: "supervisor", "{name} failed ({exit}): not restarted");
            self.tell(name, ActorChange::Crashed, &exit.to_string(), 1);
        }
    }
}

impl ActorRef<Supervisor> {
    /// Asks a supervisor to stop its children in reverse order and then itself. Meant for the
    /// root: any other supervisor is restarted by its own one.
    pub fn shutdown(&self) {
        // A supervisor that is down has nothing to stop.
        drop(self.control(Lifecycle::stop()));
    }
}
