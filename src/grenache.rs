//! What a node has of Grenache, by its mode: ports, the embedded Grape, services over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use bitfitech_actors::context::{GrenacheParts, NodeContext};
use bitfitech_actors::dht::{DhtClient, DhtParts};
use bitfitech_actors::node::GrenacheChildren;
use bitfitech_actors::service;
use bitfitech_core::dht::DhtConfig;
use bitfitech_io::certificates::ServiceTls;
use bitfitech_io::config::{Mode, Settings};
use bitfitech_io::transport::{BindError, bind_tcp};
use bitfitech_io::udp::bind_udp;
use bitfitech_web::grape_api::{self, GrapeApi};
use bitfitech_web::placing::Placing;
use bitfitech_web::rpc;

/// The bound ports; none in mode `p2p`.
#[derive(Default)]
pub struct GrenachePorts {
    dht: Option<UdpSocket>,
    api: Option<TcpListener>,
    rpc: Option<TcpListener>,
}

impl GrenachePorts {
    /// Binds what the mode needs.
    ///
    /// # Errors
    /// A port is taken and may not be replaced, or the system refuses.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let fallback = settings.p2p.fallback();
        let grape = &settings.grape;
        let rpc_address = SocketAddr::new(grape.rpc_host, grape.rpc_port);
        let rpc = || bind_tcp(rpc_address, fallback).map(Some);
        match settings.mode {
            Mode::P2p => Ok(Self::default()),
            Mode::Legacy => Ok(Self {
                rpc: rpc()?,
                ..Self::default()
            }),
            Mode::Grenache => {
                let dht_host = match settings.p2p.host {
                    IpAddr::V4(host) => host,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                Ok(Self {
                    dht: Some(bind_udp(dht_host, grape.dht_port, fallback)?),
                    api: Some(bind_tcp(
                        SocketAddr::new(grape.host, grape.api_port),
                        fallback,
                    )?),
                    rpc: rpc()?,
                })
            }
        }
    }

    /// What the actors have to know.
    pub fn parts(&self) -> GrenacheParts {
        let tcp = |listener: &TcpListener| listener.local_addr().ok();
        GrenacheParts {
            dht: self.dht.as_ref().map(|_| DhtClient::default()),
            dht_address: self.dht.as_ref().and_then(|dht| dht.local_addr().ok()),
            api_address: self.api.as_ref().and_then(tcp),
            rpc_address: self.rpc.as_ref().and_then(tcp),
        }
    }

    /// What runs in the tree of a node; the RPC service with this TLS.
    pub fn children(
        self,
        node: &Arc<NodeContext>,
        placing: &Placing,
        tls: Option<ServiceTls>,
    ) -> GrenacheChildren {
        let mut services = Vec::new();
        if let (Some(bound), Some(dht)) = (self.api, &node.grenache.dht) {
            let age_ms = DhtConfig::default().peer_age_ms_max;
            let api = GrapeApi::new(dht.clone(), node.local.dht_port.unwrap_or(0), age_ms);
            services.push(service::child("grape_api", grape_api::service(bound, api)));
        }
        if let Some(bound) = self.rpc {
            let serve = rpc::service(bound, tls, placing.clone());
            services.push(service::child("grape_rpc", serve));
        }
        let dht = self.dht.map(|socket| DhtParts {
            config: DhtConfig::default(),
            bootstrap: node.settings.grape.bootstrap_nodes.clone(),
            socket,
        });
        GrenacheChildren { dht, services }
    }
}
