//! The page: a trading screen and a view of the network, served from the binary.
//!
//! Nothing of it comes from another address, and its policy says so to the browser: scripts and
//! styles from this node alone, connections to this node and to those of `api.page_nodes`.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header;
use bitfitech_actors::context::NodeContext;
use serde_json::{Value, json};

use super::problem::Problem;

/// A part of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! asset {
    ($name:literal, $kind:ident) => {
        Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("../dashboard/", $name)),
        }
    };
}

/// All parts. The first is what `/` is.
const ASSETS: &[Asset] = &[
    asset!("index.html", HTML),
    asset!("style.css", CSS),
    asset!("uplot.css", CSS),
    asset!("uplot.js", SCRIPT),
    asset!("agreement.js", SCRIPT),
    asset!("book.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("connection.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("map.js", SCRIPT),
    asset!("orders.js", SCRIPT),
    asset!("rows.js", SCRIPT),
    asset!("sizes.js", SCRIPT),
    asset!("store.js", SCRIPT),
    asset!("tape.js", SCRIPT),
    asset!("watch.js", SCRIPT),
    asset!("LICENSE-uplot.txt", TEXT),
];

/// A part of the page; the page itself without a name.
///
/// # Errors
/// When there is no such part.
pub(super) fn asset(node: &NodeContext, name: Option<&str>) -> Result<HttpResponse, Problem> {
    let wanted = name.unwrap_or(ASSETS[0].name);
    let asset = ASSETS.iter().find(|asset| asset.name == wanted);
    let asset = asset.ok_or_else(Problem::no_route)?;
    Ok(HttpResponse::Ok()
        .content_type(asset.kind)
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy(node)))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .body(asset.bytes))
}

/// What the page may load, and from where.
fn policy(node: &NodeContext) -> String {
    let mut connect = String::from("'self'");
    for origin in &node.settings.api.page_nodes {
        // A WebSocket is another scheme, and so another source.
        let stream = origin.replacen("http", "ws", 1);
        connect += &format!(" {origin} {stream}");
    }
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Who the node is: what programs and the page have to know first.
pub(super) fn node(node: &Arc<NodeContext>) -> Value {
    let markets = node.genesis.markets.iter().map(|market| {
        json!({
            "pair": market.pair(),
            "tick": market.tick().normalize().to_string(),
            "lot": market.lot().normalize().to_string(),
        })
    });
    json!({
        "node": node.identity.author().to_hex(),
        "network": node.genesis.network,
        "mode": node.settings.mode.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "p2p": node.listen_address().map(|address| address.to_string()),
        "token": !node.settings.api.token.reveal().is_empty(),
        "nodes": node.settings.api.page_nodes,
        "markets": markets.collect::<Vec<Value>>(),
    })
}
