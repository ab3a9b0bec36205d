//! What a busy market costs the page: scripts and layouts, by the browser's own account.
//!
//! The browser notes for each piece of work how much time of the processor its main thread had, so
//! programs beside it do not count. A *picture* is a frame that the page draws, together with all
//! messages that came in since the one before; so its scripts are those of at least one update.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Client;
use crate::support::node::Node;
use crate::support::plan::Plan;

/// Orders a second of both nodes together: each is told of at least once by the one on the page.
const ORDERS_PER_SECOND: u32 = 100;

/// How long orders come.
const DURATION: Duration = Duration::from_secs(6);

/// Orders before the measurement: the tables are full then, as they are on any day.
const EARLIER: u32 = 300;

/// Most processor time of scripts for an update, in milliseconds.
const SCRIPT_MAX_MS: f64 = 4.0;

/// Longest layout, in milliseconds.
const LAYOUT_MAX_MS: f64 = 50.0;

/// Two nodes that trade with each other; the first has the page.
struct Market {
    first: Node,
    second: Node,
}

impl Market {
    fn open() -> Self {
        let plan = |name| Plan::named(name).set("exchange.settle_ms", "1000");
        let first = Node::start(plan("first"));
        let mut second = Node::start(plan("second").dials(&first.address()));
        second.wait_for_peers(1);
        Self { first, second }
    }

    /// The order of this number; of three, two trade with each other.
    fn order(&mut self, number: u32) {
        let middle = 200 + number / 50 % 20;
        let away = 1 + number * 7 % 30;
        let (node, side, near, far) = match number % 2 {
            0 => (&mut self.first, "sell", middle - 2, middle + away),
            _ => (&mut self.second, "buy", middle + 2, middle - away),
        };
        let price = if number.is_multiple_of(3) { far } else { near };
        node.send(&format!("{side} {} @ {price}", 1 + number % 5));
    }

    /// Orders in an even flow, for as long as is measured.
    fn trade(&mut self) {
        let begun = Instant::now();
        for number in 0..ORDERS_PER_SECOND * DURATION.as_secs() as u32 {
            let due = begun + Duration::from_secs(1) / ORDERS_PER_SECOND * number;
            // A pace, not a wait for something: what is late is sent at once.
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            self.order(EARLIER + number);
        }
    }
}

/// Numbers, the smallest first.
fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The number below which so many percent of them are.
fn at(numbers: &[f64], percent: usize) -> f64 {
    numbers[(numbers.len() - 1) * percent / 100]
}

fn number_of_events(browser: &mut Browser) -> u64 {
    let numbers = browser.evaluate("page", "bitfitech.numbers()");
    numbers[0].as_u64().expect("the number of an event")
}

/// What each view costs while the market is busy.
#[expect(
    clippy::print_stdout,
    reason = "the figures are of interest beside the verdict"
)]
fn measure(browser: &mut Browser, market: &mut Market, view: &str) {
    browser.click("page", view);
    let before = number_of_events(browser);
    browser.act(json!({"action": "trace", "page": "page"}));
    market.trade();
    let updates = number_of_events(browser) - before;
    let costs = browser.act(json!({"action": "costs", "page": "page"}));
    let pictures = costs["pictures"].as_array().expect("a list");
    let script_ms = |picture: &Value| picture["script_ms"].as_f64().expect("a time");
    let messages = |picture: &Value| picture["messages"].as_f64().expect("a number").max(1.0);
    let of_picture = sorted(pictures.iter().map(script_ms));
    let of_update = sorted(pictures.iter().map(|it| script_ms(it) / messages(it)));
    let layouts = costs["layouts_ms"].as_array().expect("a list").iter();
    let layouts = sorted(layouts.filter_map(Value::as_f64));
    println!(
        "{view}: {updates} updates, {} pictures: scripts p50 and p95 of an update {:.2} and \
         {:.2} ms, of a picture {:.2} and {:.2} ms; layouts p50 {:.2} ms, longest {:.2} ms",
        pictures.len(),
        at(&of_update, 50),
        at(&of_update, 95),
        at(&of_picture, 50),
        at(&of_picture, 95),
        at(&layouts, 50),
        at(&layouts, 100)
    );
    let wanted = u64::from(ORDERS_PER_SECOND) * DURATION.as_secs();
    assert!(updates >= wanted, "only {updates} of {wanted} updates came");
    assert!(pictures.len() >= 20, "{costs}");
    assert!(at(&of_update, 95) <= SCRIPT_MAX_MS, "{of_update:?}");
    // A picture has several updates, but half of the pictures cost no more than one may.
    assert!(at(&of_picture, 50) <= SCRIPT_MAX_MS, "{of_picture:?}");
    assert!(at(&layouts, 100) < LAYOUT_MAX_MS, "{layouts:?}");
}

#[test]
fn an_update_of_a_busy_market_costs_the_page_little() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let mut market = Market::open();
    (0..EARLIER).for_each(|number| market.order(number));
    let address = Client::of(&market.first).address().to_owned();
    browser.open("page", &format!("http://{address}/"));
    browser.see("page", "#link", "live");
    browser.see("page", "#tape tbody tr", "final");
    for view in ["#tab-trade", "#tab-network"] {
        measure(&mut browser, &mut market, view);
    }
    let gaps = browser.evaluate("page", "bitfitech.gaps()");
    assert_eq!(gaps, json!([0]));
    browser.click("page", "#tab-trade");
    let rows = browser.evaluate(
        "page",
        "document.querySelectorAll('#orders tbody tr').length",
    );
    assert_eq!(
        rows,
        json!(100),
        "more rows than anybody reads are not drawn"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
