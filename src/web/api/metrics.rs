//! `/metrics`: numbers about the node in the format of OpenMetrics.
//!
//! Nothing is counted here: at each scrape the actors are asked for what they know, and the result
//! is written. An actor that does not answer within [`QUERY_MS`] has no numbers this time.

use std::fmt;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use bitfitech_actors::command;
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::gossip::AskPeers;
use bitfitech_actors::histogram::Counted;
use bitfitech_actors::messages::{BreakerState, PeerRow, Reply};
use bitfitech_actors::status::TreeNode;
use bitfitech_io::data_dir::store_path;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::openapi::OPENMETRICS;
use super::problem::Problem;

/// How long an actor may take to answer.
const QUERY_MS: u64 = 1_000;

/// What all names begin with.
const PREFIX: &str = "bitfitech";

/// A number without labels: name, help, value.
type Plain = (&'static str, &'static str, u64);

/// All numbers of one scrape.
#[derive(Debug, Default)]
struct Numbers {
    tree: Vec<TreeNode>,
    /// In nanoseconds.
    turns: Vec<(String, Counted)>,
    peers: Vec<PeerRow>,
    /// Circuits that are closed, open and half open.
    circuits: [u64; 3],
    counters: Vec<Plain>,
    gauges: Vec<Plain>,
    /// How long operations took to come, and over how many links.
    delivery_ms: Counted,
    hops: Counted,
    /// By pair and side: open quantity of the best levels is not asked for, their number is.
    levels: Vec<(String, &'static str, u64)>,
}

/// The metrics.
///
/// # Errors
/// When they are switched off, or have a port of their own that this is not.
pub(super) async fn metrics(node: &Arc<NodeContext>) -> Result<HttpResponse, Problem> {
    if !node.settings.api.metrics {
        let detail = "metrics are switched off: set api.metrics = true";
        return Err(Problem::new(StatusCode::NOT_FOUND, "METRICS_OFF", detail));
    }
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(gather(node).await));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a text takes everything");
    Ok(HttpResponse::Ok().content_type(OPENMETRICS).body(text))
}

/// The metrics have a port of their own.
pub(super) fn elsewhere() -> Problem {
    let detail = "metrics have a port of their own: ask at api.metrics_port";
    Problem::new(StatusCode::NOT_FOUND, "METRICS_ELSEWHERE", detail)
}

async fn gather(node: &Arc<NodeContext>) -> Numbers {
    let tree = node.environment.board.tree(node.refs.root.name());
    let mut actors = Vec::new();
    if let Some(tree) = tree {
        flatten(tree, &mut actors);
    }
    let peers = node.refs.gossip.query(AskPeers, QUERY_MS).await;
    let mut numbers = Numbers {
        tree: actors,
        turns: node.environment.board.turns(),
        peers: peers.unwrap_or_default(),
        counters: counters(node),
        gauges: gauges(node).await,
        delivery_ms: node.traffic.delivery_ms.read(),
        hops: node.traffic.hops.read(),
        ..Numbers::default()
    };
    if let Ok(Reply::Breakers(rows)) = command::answer_to(node, "breakers").await {
        let count = |state| rows.iter().filter(|row| row.state == state).count() as u64;
        let states = [
            BreakerState::Closed,
            BreakerState::Open,
            BreakerState::HalfOpen,
        ];
        numbers.circuits = states.map(count);
    }
    for market in &node.genesis.markets {
        let line = format!("book {} 10000", market.pair());
        if let Ok(Reply::Book(book)) = command::answer_to(node, &line).await {
            for (side, levels) in [("bid", &book.bids), ("ask", &book.asks)] {
                let pair = market.pair().to_owned();
                numbers.levels.push((pair, side, levels.len() as u64));
            }
        }
    }
    numbers
}

/// The actors, each before those below it, connections left out: their names are addresses, and
/// there would be a series for every one that ever was.
fn flatten(mut tree: TreeNode, actors: &mut Vec<TreeNode>) {
    let children = std::mem::take(&mut tree.children);
    actors.push(tree);
    let children = children.into_iter();
    let children = children.filter(|child| !is_connection(&child.name));
    children.for_each(|child| flatten(child, actors));
}

fn is_connection(name: &str) -> bool {
    name.starts_with("peer:")
}

fn counters(node: &NodeContext) -> Vec<Plain> {
    let traffic = &node.traffic;
    let all = [
        (
            "gossip_frames_received",
            "Frames from peers",
            &traffic.frames_received,
        ),
        (
            "gossip_bytes_received",
            "Bytes of frames from peers",
            &traffic.bytes_received,
        ),
        (
            "gossip_frames_sent",
            "Frames to peers",
            &traffic.frames_sent,
        ),
        (
            "gossip_bytes_sent",
            "Bytes of frames to peers",
            &traffic.bytes_sent,
        ),
        (
            "gossip_operations_pushed",
            "Operations pushed by peers",
            &traffic.operations_pushed,
        ),
        (
            "gossip_operations_copied",
            "Operations pushed by peers that were here already",
            &traffic.operations_copied,
        ),
        (
            "sync_operations_pulled",
            "Operations gained by synchronisation",
            &traffic.operations_pulled,
        ),
        (
            "web_streams_dropped",
            "Followers that were dropped because they did not read or did not answer",
            &node.feed.dropped,
        ),
    ];
    all.map(|(name, help, counter)| (name, help, counter.get()))
        .into()
}

/// What the counters of `stats` are called here, and what they mean.
const STATS: [(&str, &str, &str); 10] = [
    ("operations", "operations", "Operations of the set"),
    (
        "operations_on_disk",
        "store_operations",
        "Operations on disk",
    ),
    (
        "operations_waiting",
        "operations_waiting",
        "Operations whose ancestors are missing",
    ),
    (
        "operations_parked",
        "operations_parked",
        "Operations dated ahead of the clock",
    ),
    ("orders", "orders", "Orders that are remembered"),
    (
        "forked_authors",
        "forked_authors",
        "Authors with two chains",
    ),
    (
        "trades_tentative",
        "trades_tentative",
        "Trades that are not final",
    ),
    ("trades_final", "trades_final", "Final trades"),
    ("peers", "sync_sessions", "Established sessions"),
    ("uptime_ms", "uptime_milliseconds", "Time since the start"),
];

async fn gauges(node: &Arc<NodeContext>) -> Vec<Plain> {
    let mut gauges = Vec::new();
    if let Ok(Reply::Stats(stats)) = command::answer_to(node, "stats").await {
        for (stat, name, help) in STATS {
            let found = stats.iter().find(|(known, _)| known == stat);
            gauges.extend(found.map(|(_, number)| (name, help, *number)));
        }
    }
    if let Some(dht) = &node.grenache.dht
        && let Some(count) = dht.nodes_count().await
    {
        gauges.push(("dht_nodes", "Nodes of the DHT that are known", count as u64));
    }
    let file = std::fs::metadata(store_path(&node.settings.data_dir));
    if let Ok(file) = file {
        gauges.push(("store_bytes", "Size of the store's file", file.len()));
    }
    let followers = node.feed.follower_count() as u64;
    gauges.push(("web_streams", "Clients that follow the node", followers));
    gauges
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_plain(&mut encoder)?;
        self.encode_actors(&mut encoder)?;
        self.encode_turns(&mut encoder)?;
        self.encode_arrivals(&mut encoder)?;
        self.encode_peers(&mut encoder)?;
        self.encode_books(&mut encoder)
    }
}

/// Begins a metric.
fn begin<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    kind: MetricType,
    unit: Option<&'a Unit>,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, unit, kind)
}

/// Writes a gauge with these labels.
fn gauge(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str)], value: u64) -> fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    metric.encode_family(&labels)?.encode_gauge(&value)
}

/// Writes what was counted, of which so many make one of the metric's unit.
fn histogram(mut metric: MetricEncoder<'_>, it: &Counted, in_unit: f64) -> fmt::Result {
    let unit = |number: u64| number as f64 / in_unit;
    let within: u64 = it.buckets.iter().map(|(_, count)| count).sum();
    let buckets = it.buckets.iter();
    let buckets = buckets.map(|(bound, count)| (unit(*bound), *count));
    // A count that was read after its bucket may be behind it by one.
    let above = (f64::INFINITY, it.count.saturating_sub(within));
    let buckets: Vec<(f64, u64)> = buckets.chain([above]).collect();
    metric.encode_histogram::<NoLabelSet>(unit(it.sum), it.count.max(within), &buckets, None)
}

impl Numbers {
    fn encode_plain(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in &self.counters {
            begin(encoder, name, help, MetricType::Counter, None)?
                .encode_counter::<NoLabelSet, u64, u64>(value, None)?;
        }
        for (name, help, value) in &self.gauges {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            begin(encoder, name, help, MetricType::Gauge, None)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn encode_actors(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Messages that wait for an actor or are being handled";
        let mut metric = begin(encoder, "actor_mailbox", help, MetricType::Gauge, None)?;
        for actor in &self.tree {
            gauge(&mut metric, &[("actor", &actor.name)], actor.mailbox as u64)?;
        }
        let help = "Whether an actor runs";
        let mut metric = begin(encoder, "actor_up", help, MetricType::Gauge, None)?;
        for actor in &self.tree {
            let up = u64::from(actor.state == "running");
            gauge(&mut metric, &[("actor", &actor.name)], up)?;
        }
        let help = "How often an actor was started again";
        let mut metric = begin(encoder, "actor_restarts", help, MetricType::Counter, None)?;
        for actor in &self.tree {
            let labels: &[(&str, &str)] = &[("actor", &actor.name)];
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, u64, u64>(&actor.restarts, None)?;
        }
        Ok(())
    }

    fn encode_turns(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long an actor handles messages before it waits again";
        let kind = MetricType::Histogram;
        let unit = Some(&Unit::Seconds);
        let mut metric = begin(encoder, "actor_turn", help, kind, unit)?;
        for (name, turns) in self.turns.iter().filter(|(name, _)| !is_connection(name)) {
            let labels: &[(&str, &str)] = &[("actor", name)];
            let metric = metric.encode_family(&labels)?;
            histogram(metric, turns, 1e9)?;
        }
        Ok(())
    }

    fn encode_arrivals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = MetricType::Histogram;
        let help = "Time from the signing of an operation, by the clock of its author, to its \
                    arrival by push, by the clock of this node: clocks that differ are part of it, \
                    and where the author's is ahead it counts as 0";
        let metric = begin(encoder, "gossip_delivery", help, kind, Some(&Unit::Seconds))?;
        histogram(metric, &self.delivery_ms, 1e3)?;
        let help = "Links over which a pushed operation came, as the last sender claims";
        let metric = begin(encoder, "gossip_hops", help, kind, None)?;
        histogram(metric, &self.hops, 1.0)
    }

    fn encode_peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Round trip to a peer";
        let mut metric = begin(
            encoder,
            "peer_rtt_milliseconds",
            help,
            MetricType::Gauge,
            None,
        )?;
        for peer in &self.peers {
            if let Some(rtt_ms) = peer.rtt_ms {
                gauge(&mut metric, &[("peer", &peer.node.to_hex())], rtt_ms)?;
            }
        }
        let help = "Operations that a peer or this node lacks from the other";
        let mut metric = begin(encoder, "sync_behind", help, MetricType::Gauge, None)?;
        for peer in &self.peers {
            gauge(&mut metric, &[("peer", &peer.node.to_hex())], peer.behind)?;
        }
        let help = "Circuits of peer addresses";
        let mut metric = begin(encoder, "breaker_circuits", help, MetricType::Gauge, None)?;
        for (state, count) in ["closed", "open", "half_open"].iter().zip(self.circuits) {
            gauge(&mut metric, &[("state", state)], count)?;
        }
        Ok(())
    }

    fn encode_books(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Price levels of a book";
        let mut metric = begin(encoder, "book_levels", help, MetricType::Gauge, None)?;
        for (pair, side, count) in &self.levels {
            gauge(&mut metric, &[("pair", pair), ("side", side)], *count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_connections_have_no_series() {
        let turns = Counted {
            count: 5,
            sum: 1_500_000_000,
            buckets: [4, 5, 6, 7, 8, 9]
                .map(|power| 10_u64.pow(power))
                .into_iter()
                .zip([2, 0, 1, 0, 0, 1])
                .collect(),
        };
        let numbers = Numbers {
            turns: vec![
                ("matcher".to_owned(), turns.clone()),
                ("peer:127.0.0.1:1".to_owned(), turns),
            ],
            ..Numbers::default()
        };
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(numbers));
        let mut written = String::new();
        text::encode(&mut written, &registry).expect("written");
        for line in [
            r#"bitfitech_actor_turn_seconds_bucket{le="0.001",actor="matcher"} 3"#,
            r#"bitfitech_actor_turn_seconds_bucket{le="+Inf",actor="matcher"} 5"#,
            r#"bitfitech_actor_turn_seconds_count{actor="matcher"} 5"#,
            r#"bitfitech_actor_turn_seconds_sum{actor="matcher"} 1.5"#,
        ] {
            assert!(written.contains(line), "{line} is not in\n{written}");
        }
        assert!(!written.contains("peer:"), "{written}");
        assert!(written.ends_with("# EOF\n"), "{written}");
    }
}
