//! The page in a real browser: what a trader and an operator see and do.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Client;
use crate::support::node::{Node, port_of, text};
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;
use crate::workshop::Workshop;

/// Most bytes that the page may have, all its parts together.
const PAGE_BYTES_MAX: u64 = 300_000;

/// Where the parts of the page are.
const PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/dashboard");

/// Free ports, as far as anybody can say.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let bind = |_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listeners: [_; COUNT] = std::array::from_fn(bind);
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

/// Three nodes in a row, each of which may be shown on the page of the first.
fn three_nodes() -> [Node; 3] {
    let ports: [u16; 3] = free_ports();
    let origins = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let plan = |at: usize| {
        let others = origins.iter().filter(|origin| **origin != origins[at]);
        let others: Vec<&str> = others.map(String::as_str).collect();
        Plan::named(["first", "second", "third"][at])
            .drills()
            .set("api.port", &ports[at].to_string())
            .set("api.allowed_origins", &origins.join(","))
            .set("api.page_nodes", &others.join(","))
            .set("exchange.settle_ms", "2500")
    };
    let third = Node::start(plan(2));
    let second = Node::start(plan(1).dials(&third.address()));
    let mut first = Node::start(plan(0).dials(&second.address()).dials(&third.address()));
    first.wait_for_peers(2);
    [first, second, third]
}

fn url(node: &Node) -> String {
    format!("http://{}/", Client::of(node).address())
}

/// Places an order by the form.
fn place(browser: &mut Browser, page: &str, side: &str, price: &str, quantity: &str) {
    browser.click(page, &format!(".side.{side} span"));
    browser.fill(page, "#entry [name=price]", price);
    browser.fill(page, "#entry [name=quantity]", quantity);
    browser.click(page, "#submit");
}

#[test]
fn orders_trade_and_are_cancelled_from_page_to_page() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [first, second, _third] = three_nodes();
    browser.open("seller", &url(&first));
    browser.open("buyer", &url(&second));
    browser.see("seller", "#link", "live");
    browser.see("buyer", "#link", "live");
    browser.see("buyer", "#mid", "the book is empty");
    place(&mut browser, "seller", "sell", "30000.5", "0.5");
    browser.see("seller", "#entry-status", "is open");
    browser.see("buyer", "#asks tr", "0.5");
    place(&mut browser, "buyer", "buy", "30000.5", "0.2");
    browser.see("buyer", "#entry-status", "is filled; filled 0.2");
    for page in ["seller", "buyer"] {
        browser.see(page, "#tape tbody tr", "tentative");
    }
    for page in ["seller", "buyer"] {
        browser.see(page, "#tape tbody tr", "final");
        browser.see(page, "#last", "000.50");
    }
    browser.see("seller", "#asks tr", "0.3");
    browser.see("seller", "#orders tbody tr", "open");
    browser.click("seller", "#orders .danger");
    browser.miss("seller", "#orders tbody tr", "open");
    browser.see("buyer", "#mid", "the book is empty");
    place(&mut browser, "seller", "sell", "1.001", "1");
    browser.see("seller", "#entry-status", "is not a multiple of 0.01");
    let complaints = browser.complaints();
    let refused = |text: &&String| text.contains("status of 422");
    assert_eq!(
        complaints.iter().filter(refused).count(),
        complaints.len(),
        "{complaints:?}"
    );
}

#[test]
fn the_network_shows_ways_agreement_crashes_and_lost_nodes() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [mut first, mut second, third] = three_nodes();
    browser.open("page", &url(&first));
    browser.see("page", "#nodes", "3 ·");
    let order = first.ok("sell 1 @ 5")["order"]
        .as_str()
        .expect("an id")
        .to_owned();
    let other = second.ok("buy 1 @ 4")["order"]
        .as_str()
        .expect("an id")
        .to_owned();
    browser.click("page", "#tab-network");
    browser.see("page", "#equal-verdict", "All 3 nodes of this page agree");
    browser.see(
        "page",
        "#map-note",
        "3 nodes, 3 links. All circuits are closed.",
    );
    browser.fill("page", "#path-form input", &order);
    browser.click("page", "#path-form button");
    browser.see("page", "#path-status", "3 of 3 nodes");
    browser.see("page", "#path tbody tr", "written here");
    let hops = "document.querySelectorAll('#map .hop-dot').length";
    assert_eq!(
        browser.evaluate("page", hops),
        json!(2),
        "it went to two nodes"
    );
    browser.fill("page", "#clocks-form [name=first]", &order);
    browser.fill("page", "#clocks-form [name=second]", &other);
    browser.click("page", "#clocks-form button");
    browser.see("page", "#clocks-status", "order");
    first.ok("crash breaker");
    browser.see("page", "#log tbody tr", "breaker crashed");
    browser.see("page", "#log tbody tr", "breaker restarted");
    browser.fill("page", "#log-filter [name=text]", "breaker restarted");
    browser.miss("page", "#log tbody tr", "breaker crashed");
    browser.see("page", "#log tbody tr", "breaker restarted");
    // Number of restarts, which only an actor that fell has in this class.
    browser.see("page", "#tree tbody td.warn", "1");
    let fallen = "document.querySelector('#tree td.warn').parentElement.cells[0].textContent";
    assert_eq!(browser.evaluate("page", fallen), json!("breaker"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let gone = format!("127.0.0.1:{}", port_of(&third.address()));
    drop(third);
    browser.see("page", "#peers tbody tr", &gone);
    browser.see("page", "#map-note", "open");
    browser.see("page", "#map .map-name", "(down)");
    browser.see("page", "#map .link-text", "circuit");
}

#[test]
fn the_map_shows_along_which_links_orders_are_pushed() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [mut first, second, _third] = three_nodes();
    browser.open("page", &url(&first));
    browser.see("page", "#nodes", "3 ·");
    browser.click("page", "#tab-network");
    browser.see("page", "#map-note", "This author has written nothing yet");
    browser.see("page", ".legend", "pushed the way of the arrow (eager)");
    let count = |browser: &mut Browser, kind: &str| {
        let script = format!("document.querySelectorAll('#map line.{kind}').length");
        browser.evaluate("page", &script)
    };
    assert_eq!(count(&mut browser, "eager"), json!(0));
    // What is written first is flooded; what comes twice turns a link lazy.
    wait_until("the tree has two branches, and one link is spared", || {
        first.ok("buy 1 @ 1");
        count(&mut browser, "eager") == json!(2) && count(&mut browser, "lazy") == json!(1)
    });
    let trees = Client::of(&second).json("/api/v1/gossip");
    let tree = trees["gossip"].as_array().expect("a list").iter();
    let mut tree = tree.filter(|tree| first.key().starts_with(&text(tree, "author")));
    let tree = tree.next().expect("the tree of the first");
    assert_eq!(tree["parent"], first.key());
    browser.see("page", "#peers tbody tr", "gets them");
    let own = first.key();
    browser.click("page", "#nodes button:nth-child(2)");
    browser.see("page", "#map-note", "This author has written nothing yet");
    let choice =
        json!({"action": "choose", "page": "page", "selector": "#tree-author", "value": own});
    browser.act(choice);
    browser.see("page", "#peers tbody tr", "brings them");
    browser.see("page", "#peers tbody tr", "is told of them");
    assert_eq!(count(&mut browser, "eager"), json!(2));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_that_was_away_has_every_event() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [mut first, _second, _third] = three_nodes();
    browser.open("page", &url(&first));
    browser.see("page", "#link", "live");
    first.ok("buy 1 @ 1");
    browser.see("page", "#orders tbody tr", "open");
    browser.evaluate("page", "bitfitech.breakConnections()");
    first.ok("buy 2 @ 1");
    first.ok("cancel all");
    browser.miss("page", "#orders tbody tr", "open");
    browser.see("page", "#link", "live");
    let gaps = browser.evaluate("page", "bitfitech.gaps()");
    assert_eq!(gaps, json!([0, 0, 0]));
    first.ok("buy 3 @ 1");
    browser.act(json!({"action": "reload", "page": "page"}));
    browser.see("page", "#orders tbody tr", "3");
    browser.see("page", "#bids tr", "3");
    browser.act(json!({"action": "press", "page": "page", "key": "s"}));
    browser.see("page", "#submit", "Sell BTC");
    let focused = browser.evaluate("page", "document.activeElement.name");
    assert_eq!(focused, json!("price"), "the keyboard leads into the form");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_whose_node_is_gone_says_so_until_it_is_back() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [port] = free_ports();
    let mut node = Node::start(Plan::named("node").set("api.port", &port.to_string()));
    browser.open("page", &url(&node));
    browser.see("page", "#link", "live");
    node.ok("buy 3 @ 1");
    browser.see("page", "#orders tbody tr", "open");
    node.kill();
    browser.see("page", "#link", "disconnected");
    browser.see(
        "page",
        "#banner:not([hidden])",
        "What is shown is what was known last",
    );
    browser.see("page", "#orders tbody tr", "open");
    assert_eq!(browser.broken_rules("page"), json!([]));
    place(&mut browser, "page", "buy", "5", "1");
    browser.see("page", "#entry-status", "The node does not answer.");
    let node = node.start_again();
    browser.see("page", "#link", "live");
    browser.see("page", "#banner[hidden]", "");
    place(&mut browser, "page", "buy", "5", "1");
    browser.see("page", "#entry-status", "is open");
    browser.see("page", "#bids tr", "3");
    let gaps = browser.evaluate("page", "bitfitech.gaps()");
    assert_eq!(gaps, json!([0]));
    drop(node);
}

#[test]
fn everybody_can_use_the_page_in_both_themes_and_on_a_phone() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let [mut first, mut second, _third] = three_nodes();
    first.ok("sell 2 @ 7");
    second.wait_for("book", "the offer has come", |book| {
        book["asks"][0][1] == "2"
    });
    second.ok("buy 1 @ 7");
    browser.open("page", &url(&first));
    for tab in ["#tab-trade", "#tab-network"] {
        browser.click("page", tab);
        browser.see("page", "#link", "live");
        for _theme in ["dark", "light"] {
            assert_eq!(browser.broken_rules("page"), json!([]), "{tab}");
            browser.click("page", "#theme");
        }
    }
    browser.click("page", "#tab-trade");
    browser.act(json!({
        "action": "open", "page": "page", "url": url(&first), "width": 390, "height": 844,
    }));
    browser.see("page", "#tape tbody tr", "7.00");
    let scrolls = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(
        browser.evaluate("page", scrolls),
        json!(true),
        "nothing is cut off"
    );
    assert_eq!(browser.broken_rules("page"), json!([]));
}

#[test]
fn a_node_with_a_token_asks_for_it() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let node = Node::start(Plan::named("node").set("api.token", "s3cret"));
    browser.open("page", &url(&node));
    browser.see("page", "#link", "token needed");
    browser.fill("page", "#token-form [name=token]", "s3cret");
    browser.click("page", "#token-form button");
    browser.see("page", "#link", "live");
    place(&mut browser, "page", "buy", "5", "1");
    browser.see("page", "#entry-status", "is open");
}

#[test]
fn the_parts_of_the_page_are_small_and_whole() {
    let mut bytes = 0;
    let node = Node::start(Plan::named("node"));
    let client = Client::of(&node);
    for entry in fs::read_dir(PARTS).expect("the parts").flatten() {
        let name = entry.file_name().into_string().expect("a plain name");
        let text = fs::read_to_string(entry.path()).expect("a text");
        let served = client.get(&format!("/page/{name}"));
        assert_eq!((served.status, served.body == text), (200, true), "{name}");
        let policy = served.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'; script-src 'self'; style-src 'self';"));
        bytes += text.len() as u64;
        let own = name.ends_with(".js") && name != "uplot.js";
        if own {
            assert!(text.starts_with("// "), "{name} begins with what it is");
            assert!(text.lines().count() < 600, "{name} is too long");
        }
        let outside = ["http://", "https://"].iter().any(|it| text.contains(it));
        let is_known =
            text.contains("http://www.w3.org/2000/svg") || text.contains("http://127.0.0.1");
        assert!(
            !outside || is_known || name.contains("uplot"),
            "{name} names an address"
        );
    }
    assert!(bytes < PAGE_BYTES_MAX, "{bytes}");
    assert_eq!(client.get("/").body, client.get("/page/index.html").body);
    assert_eq!(client.get("/page/none.js").problem(404), "UNKNOWN_PATH");
    assert_eq!(client.get("/page/..%2fapi.rs").problem(404), "UNKNOWN_PATH");
}

#[test]
fn the_scripts_of_the_page_can_be_read() {
    let Some(workshop) = Workshop::open("web") else {
        return;
    };
    for entry in fs::read_dir(PARTS).expect("the parts").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|kind| kind != "js") {
            continue;
        }
        // Node takes a file of this name as a module.
        let copy = workshop.file(&format!("{}.mjs", stem(&path)));
        fs::copy(&path, &copy).expect("a copy");
        let mut node = workshop.node("--check");
        let output = node.arg(&copy).output().expect("node runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
}

fn stem(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_default()
}

#[test]
fn the_policy_names_the_other_nodes_and_nobody_else() {
    let plan = Plan::named("node").set("api.page_nodes", "http://127.0.0.1:7");
    let node = Node::start(plan);
    let page = Client::of(&node).get("/");
    let policy = page.header("content-security-policy").expect("a policy");
    let connect = policy
        .split("; ")
        .find(|part| part.starts_with("connect-src"));
    assert_eq!(
        connect,
        Some("connect-src 'self' http://127.0.0.1:7 ws://127.0.0.1:7")
    );
    let nodes: Value = Client::of(&node).json("/api/v1/node");
    assert_eq!(nodes["nodes"], json!(["http://127.0.0.1:7"]));
}
