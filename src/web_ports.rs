//! The ports of the HTTP API and of its metrics, and what runs on them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use bitfitech_actors::child::ChildSpec;
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::service;
use bitfitech_io::config::Settings;
use bitfitech_io::transport::{BindError, bind_tcp};
use bitfitech_web::api;
use bitfitech_web::placing::Placing;

/// The bound ports.
pub struct WebPorts {
    api: TcpListener,
    metrics: Option<TcpListener>,
}

impl WebPorts {
    /// Binds them.
    ///
    /// # Errors
    /// A port is taken and may not be replaced, or the system refuses.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let fallback = settings.p2p.fallback();
        let api = &settings.api;
        let bind = |port| bind_tcp(SocketAddr::new(api.host, port), fallback);
        let has_own_port = api.metrics && api.metrics_port != 0;
        Ok(Self {
            api: bind(api.port)?,
            metrics: has_own_port.then(|| bind(api.metrics_port)).transpose()?,
        })
    }

    /// Where the API is.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api.local_addr().ok()
    }

    /// What runs in the tree of a node.
    pub fn children(self, node: &Arc<NodeContext>, placing: &Placing) -> Vec<ChildSpec> {
        let serve = api::service(self.api, Arc::clone(node), placing.clone());
        let mut children = vec![service::child("web", serve)];
        if let Some(bound) = self.metrics {
            let serve = api::metrics_service(bound, Arc::clone(node), placing.clone());
            children.push(service::child("metrics", serve));
        }
        children
    }
}
