//! `bitfitech run`: brings a node up, waits, and takes it down in order.
//!
//! The order is that of what depends on what: configuration, data directory and its lock, logs,
//! key, store, ports; then the tree of actors, the store first. It ends when the operator says so,
//! when the system asks it to, or when the tree gives up.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, System};
use bitfitech_actors::command::{AtEnd, Speech};
use bitfitech_actors::command_table::Style;
use bitfitech_actors::console::{Console, Streams, TerminalUse};
use bitfitech_actors::context::{NodeContext, NodeParts};
use bitfitech_actors::node::{self, ConsoleUse, GrenacheChildren};
use bitfitech_actors::root::RootFailure;
use bitfitech_core::exchange::OwnChain;
use bitfitech_io::certificates::{self, ServiceTls};
use bitfitech_io::config::{Configuration, Settings};
use bitfitech_io::data_dir::DataDir;
use bitfitech_io::identity::Identity;
use bitfitech_io::logging::Logging;
use bitfitech_io::store::Store;
use bitfitech_io::tls::Tls;
use bitfitech_io::transport::bind_tcp;
use bitfitech_web::placing::Placing;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{AtEndOfInput, Options, Output};
use crate::commands;
use crate::exit::Failure;
use crate::grenache::GrenachePorts;
use crate::web_ports::WebPorts;

/// How long an orderly shutdown may take before the process ends without it.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// Starts a node and returns when it has ended.
///
/// # Errors
/// Why it could not start, or why it ended by itself.
pub fn run(options: &Options, at_end: AtEndOfInput) -> Result<String, Failure> {
    let configuration = commands::load(options)?;
    let settings = configuration.settings();
    let rpc_tls = rpc_tls(settings)?;
    let data_dir = DataDir::open(&settings.data_dir).map_err(failed)?;
    let logging = Logging::start(settings).map_err(failed)?;
    let own_chain = if data_dir.key_path().exists() {
        OwnChain::MayBeLonger
    } else {
        OwnChain::Complete
    };
    let identity = Identity::load_or_create(&data_dir.key_path()).map_err(failed)?;
    let genesis = configuration.genesis();
    let store = Store::open(&data_dir.store_path(), &genesis.digest()).map_err(failed)?;
    let tls = Tls::new(&identity).map_err(failed)?;
    let bound = bind(settings)?;
    let address = bound.local_addr().map_err(failed)?;
    let grenache = GrenachePorts::bind(settings).map_err(failed)?;
    let web = WebPorts::bind(settings).map_err(failed)?;
    let console = Console::start(streams(options, &configuration, &data_dir)).map_err(failed)?;
    if let Some(show) = console.shower() {
        logging.show_on_terminal(show);
    }
    let parts = NodeParts {
        settings: settings.clone(),
        genesis: genesis.clone(),
        identity,
        tls,
        own_chain,
        listen: address.to_string(),
        instance: RandomState::new().build_hasher().finish(),
        log_control: logging.control(),
        console,
        grenache: grenache.parts(),
        store,
        api_address: web.api_address(),
    };
    let node = NodeContext::new(parts);
    let placing = Placing::new(Arc::clone(&node));
    let mut children = grenache.children(&node, &placing, rpc_tls);
    children.services.extend(web.children(&node, &placing));
    let console = console_use(options, at_end);
    let ended = System::new().block_on(live(&node, bound, console, children));
    node.console.close();
    ended.map(|()| String::new()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::RunTime(error.to_string())
}

/// The TLS of the RPC service. Its files are part of the configuration: a restart mends nothing.
fn rpc_tls(settings: &Settings) -> Result<Option<ServiceTls>, Failure> {
    let files = settings.grape.rpc_files();
    let tls = files.map(|files| certificates::service_tls(&files));
    tls.transpose()
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Binds the port on which peers are accepted.
fn bind(settings: &Settings) -> Result<TcpListener, Failure> {
    let wanted = SocketAddr::new(settings.p2p.host, settings.p2p.port);
    let listener = bind_tcp(wanted, settings.p2p.fallback()).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    if wanted.port() != 0 && port != wanted.port() {
        tracing::warn!(target: "root", "port {} is taken: port {port} is used", wanted.port());
    }
    Ok(listener)
}

/// How the standard streams are used: people get a prompt, programs plain lines.
fn streams(options: &Options, configuration: &Configuration, data_dir: &DataDir) -> Streams {
    if options.output() == Output::Json {
        return Streams::Plain;
    }
    let markets = configuration.genesis().markets.iter();
    Streams::Terminal(TerminalUse {
        history: data_dir.history_path(),
        pairs: markets.map(|market| market.pair().to_string()).collect(),
    })
}

/// How the console speaks, and what the end of its input means.
fn console_use(options: &Options, at_end: AtEndOfInput) -> ConsoleUse {
    let style = if std::io::stdout().is_terminal() {
        Style::Coloured
    } else {
        Style::Plain
    };
    ConsoleUse {
        speech: match options.output() {
            Output::Json => Speech::Json,
            Output::Text => Speech::Text(style),
        },
        at_end: if at_end == AtEndOfInput::Exit || std::io::stdin().is_terminal() {
            AtEnd::ShutDown
        } else {
            AtEnd::GoOn
        },
    }
}

/// The life of a node from its first actor to its last.
async fn live(
    node: &Arc<NodeContext>,
    bound: TcpListener,
    console: ConsoleUse,
    grenache: GrenacheChildren,
) -> Result<(), RootFailure> {
    let exchange_thread = Arbiter::new();
    let asked = asked_to_end(node);
    tokio::pin!(asked);
    let mut root = node::start(node, bound, console, grenache, &exchange_thread.handle());
    let started = tokio::select! {
        started = root.started() => started,
        () = &mut asked => false,
    };
    if started {
        tell_start(node);
        // Nobody else sets it.
        drop(node.up.set(()));
    } else {
        shut_down(node);
    }
    let ended = root.ended();
    tokio::pin!(ended);
    let outcome = tokio::select! {
        outcome = &mut ended => outcome,
        () = asked, if started => {
            shut_down(node);
            tokio::time::timeout(SHUTDOWN, &mut ended).await.unwrap_or_else(|_| {
                tracing::error!(target: "root", "some actor does not end: ending without it");
                Ok(())
            })
        }
    };
    exchange_thread.stop();
    outcome
}

/// Begins the orderly shutdown.
fn shut_down(node: &NodeContext) {
    tracing::info!(target: "root", "shutting down");
    node.refs.root.shutdown();
}

/// One line for the operator.
fn tell_start(node: &NodeContext) {
    tracing::info!(
        target: "root",
        "node {} of network {} is up and listens for peers at {}",
        node.identity.author().short(),
        node.genesis.network,
        node.local.listen.as_deref().unwrap_or("no address")
    );
    if let Some(address) = node.api_address {
        tracing::info!(target: "web", "page and API are at http://{address}/");
    }
}

/// Waits for `quit`, SIGINT or SIGTERM.
async fn asked_to_end(node: &NodeContext) {
    let signals = signal(SignalKind::interrupt()).and_then(|interrupt| {
        let terminate = signal(SignalKind::terminate())?;
        Ok((interrupt, terminate))
    });
    let Ok((mut interrupt, mut terminate)) = signals else {
        tracing::warn!(target: "root", "signals cannot be watched: end the node with `quit`");
        return node.quit.notified().await;
    };
    tokio::select! {
        () = node.quit.notified() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
