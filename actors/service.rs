//! ServiceActor: a server that is a future, such as an HTTP server, as a child of a supervisor.
//!
//! The server is made by a function that is called for each life. When it ends by itself that is a
//! failure, and it is made anew; when the actor has to stop, it finishes what it is answering; and
//! when the actor ends in any other way, the server ends at once, so that none is left over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix::fut::WrapFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context};

use crate::child::{Child, ChildSpec, ExitNote, Started};
use crate::mailbox::ActorRef;
use crate::supervised;

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// What is being answered is finished.
    InOrder,
    /// At once.
    AtOnce,
}

/// Ends when a server has ended, with the reason if there is one.
pub type Ended = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// A running server.
pub struct Service {
    /// Waits for its end.
    pub ended: Ended,
    /// Has it end.
    pub stop: Box<dyn Fn(StopMode)>,
}

/// Starts a server; called once for each life.
pub type Serve = Arc<dyn Fn() -> Result<Service, String> + Send + Sync>;

/// The actor.
pub struct ServiceActor {
    ended: Option<Ended>,
    stop: Box<dyn Fn(StopMode)>,
    stopping: bool,
    exit: ExitNote,
}

/// The child that runs a server under this name. Nobody sends it anything but its supervisor.
pub fn child(name: &'static str, serve: Serve) -> ChildSpec {
    let reference: ActorRef<ServiceActor> = ActorRef::new(name, 1);
    ChildSpec::fallible(&reference, move |child| {
        let Service { ended, stop } = serve()?;
        Ok(ServiceActor {
            ended: Some(ended),
            stop,
            stopping: false,
            exit: child.exit,
        })
    })
}

impl Actor for ServiceActor {
    type Context = Context<Self>;
}

impl Child for ServiceActor {
    fn on_begin(&mut self, started: Started, context: &mut Context<Self>) {
        let ended = self.ended.take().expect("a life begins once");
        let watch = ended.into_actor(self).map(|ended, actor, context| {
            if !actor.stopping {
                let reason = ended.err().unwrap_or_else(|| "it ended".to_string());
                actor.exit.fail(reason);
            }
            context.stop();
        });
        context.spawn(watch);
        started.report();
    }

    fn on_stop(&mut self, _context: &mut Context<Self>) {
        self.stopping = true;
        (self.stop)(StopMode::InOrder);
    }
}
supervised!(ServiceActor);

impl Drop for ServiceActor {
    fn drop(&mut self) {
        // Of no effect on a server that has ended.
        (self.stop)(StopMode::AtOnce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::root::Root;
    use crate::supervisor::{Supervisor, SupervisorSpec};
    use bitfitech_core::supervision::Config;
    use std::sync::Mutex;
    use tokio::sync::{mpsc, watch};

    /// A server that ends when it is told to, and tells of its beginning and its stops.
    fn server(told: mpsc::Sender<&'static str>, ends: watch::Receiver<bool>) -> Serve {
        let told = Mutex::new(told);
        Arc::new(move || {
            let told = told.lock().expect("not poisoned").clone();
            told.try_send("begins").expect("room");
            let (stop, mut stopped) = watch::channel(false);
            let mut ends = ends.clone();
            ends.mark_unchanged();
            Ok(Service {
                ended: Box::pin(async move {
                    tokio::select! {
                        _ = ends.changed() => Err("broken".to_string()),
                        _ = stopped.changed() => Ok(()),
                    }
                }),
                stop: Box::new(move |mode| {
                    let word = match mode {
                        StopMode::InOrder => "in order",
                        StopMode::AtOnce => "at once",
                    };
                    told.try_send(word).expect("room");
                    stop.send_replace(true);
                }),
            })
        })
    }

    #[actix_rt::test]
    async fn a_server_that_breaks_is_made_anew_and_one_that_is_stopped_is_not() {
        let (told, mut hears) = mpsc::channel(16);
        let (breaks, ends) = watch::channel(false);
        let root: ActorRef<Supervisor> = ActorRef::new("root", 1);
        let spec = SupervisorSpec::new(Config::default()).child(child("it", server(told, ends)));
        let root = Root::start(&root, spec, &Environment::new(1));
        assert_eq!(hears.recv().await, Some("begins"));
        breaks.send_replace(true);
        assert_eq!(hears.recv().await, Some("at once"), "nothing is left over");
        assert_eq!(hears.recv().await, Some("begins"));
        root.shutdown();
        assert_eq!(hears.recv().await, Some("in order"));
        assert_eq!(root.ended().await, Ok(()));
    }
}
