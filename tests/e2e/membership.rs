//! Closed networks: strangers stay out, members come and go while it runs.

use crate::support::agreement::wait_for_agreement;
use crate::support::node::{Home, Node, list};
use crate::support::plan::Plan;
use crate::support::waiting::wait_until;

/// A node of the network that this administrator runs.
fn plan(name: &str, administrator: &str) -> Plan {
    Plan::named(name).set("network.administrators", administrator)
}

/// Waits until an order is over at a node, and why.
fn wait_until_expelled(node: &mut Node, order: &str) {
    let line = format!("order {order}");
    node.wait_for(&line, "the order has ended", |row| {
        row["status"] == "lapsed" && row["reason"] == "expelled"
    });
}

#[test]
fn a_stranger_is_refused_with_a_reason_and_comes_in_when_admitted() {
    let (home, newcomer) = (Home::new(), Home::new());
    let administrator = home.key.clone();
    let mut first = Node::start_with(home, plan("administrator", &administrator));
    let key = newcomer.key.clone();
    let plan = plan("newcomer", &administrator).dials(&first.address());
    let mut second = Node::start_with(newcomer, plan);
    wait_until("both logs name the reason", || {
        let reason = format!("key {key} is no member of this closed network");
        first.log().contains(&reason) && second.log().contains(&reason)
    });
    let refused = second.command("buy 1 @ 10");
    assert_eq!(refused["code"], "NOT_MEMBER", "{refused}");
    let forbidden = second.command(&format!("admit {key}"));
    assert_eq!(forbidden["code"], "NOT_ADMINISTRATOR", "{forbidden}");
    assert_eq!(first.ok("digest")["operations"], 0, "nothing was written");

    let admitted = first.ok(&format!("admit {key}"));
    assert_eq!(admitted["standing"], "member", "{admitted}");
    assert_eq!(admitted["by"], administrator.as_str(), "{admitted}");
    second.wait_for_peers(1);
    first.ok("sell 2 @ 10");
    wait_for_agreement(&mut [&mut first, &mut second]);
    let bought = second.ok("buy 1 @ 10");
    assert_eq!(bought["status"], "filled", "{bought}");
    wait_for_agreement(&mut [&mut first, &mut second]);
    let members = second.ok("members");
    assert_eq!(list(&members, "members").len(), 2, "{members}");
    let again = first.command(&format!("admit {key}"));
    assert_eq!(again["code"], "BAD_COMMAND", "{again}");
}

#[test]
fn members_that_the_genesis_does_not_name_recognise_each_other_and_can_be_expelled() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let keys = homes.each_ref().map(|home| home.key.clone());
    let [home, second, third] = homes;
    let start = |name: &str, home: Home, address: Option<String>| {
        let plan = plan(name, &keys[0]);
        let plan = match address {
            Some(address) => plan.dials(&address),
            None => plan,
        };
        Node::start_with(home, plan)
    };
    let mut first = start("administrator", home, None);
    first.ok(&format!("admit {}", keys[1]));
    first.ok(&format!("admit {}", keys[2]));
    let mut second = start("second", second, Some(first.address()));
    second.wait_for_peers(1);
    wait_for_agreement(&mut [&mut first, &mut second]);
    first.kill();
    // It has never heard of the second but for what that shows it.
    let mut third = start("third", third, Some(second.address()));
    third.wait_for_peers(1);
    wait_for_agreement(&mut [&mut second, &mut third]);
    let placed = third.ok("buy 1 @ 10");
    let order = placed["order"].as_str().expect("an order").to_owned();
    wait_for_agreement(&mut [&mut second, &mut third]);

    let mut first = first.start_again();
    second.wait_for_peers(2);
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);
    first.ok(&format!("expel {}", keys[2]));
    wait_until_expelled(&mut first, &order);
    wait_until_expelled(&mut second, &order);
    third.wait_for_peers(0);
    wait_until("the expelled node is told", || {
        third.log().contains("was expelled from this network")
    });
    second.ok("sell 1 @ 10");
    wait_for_agreement(&mut [&mut first, &mut second]);
    let book = first.ok("book");
    assert_eq!(list(&book, "bids").len(), 0, "{book}");
}

#[test]
fn who_was_admitted_again_while_a_peer_was_away_finds_back_to_it() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let keys = homes.each_ref().map(|home| home.key.clone());
    let [home, second, third] = homes;
    let administrator = &keys[0];
    let mut first = Node::start_with(home, plan("administrator", administrator));
    first.ok(&format!("admit {}", keys[1]));
    first.ok(&format!("admit {}", keys[2]));
    let dials_first = |name: &str| plan(name, administrator).dials(&first.address());
    let mut second = Node::start_with(second, dials_first("second"));
    let dials_both = dials_first("third").dials(&second.address());
    let mut third = Node::start_with(third, dials_both);
    third.wait_for_peers(2);
    wait_for_agreement(&mut [&mut first, &mut second, &mut third]);

    first.ok(&format!("expel {}", keys[2]));
    third.wait_for_peers(0);
    wait_for_agreement(&mut [&mut first, &mut second]);
    // What is acknowledged is on the disk, and so is all that came before.
    second.ok("buy 1 @ 9");
    wait_for_agreement(&mut [&mut first, &mut second]);
    second.kill();
    first.ok(&format!("admit {}", keys[2]));
    third.wait_for_peers(1);
    wait_for_agreement(&mut [&mut first, &mut third]);
    first.kill();

    // It knows of the expulsion alone, and there is nobody to tell it more but the third itself.
    let mut second = second.start_again();
    second.wait_for_peers(1);
    third.ok("sell 1 @ 10");
    wait_for_agreement(&mut [&mut second, &mut third]);
    let book = second.ok("book");
    assert_eq!(list(&book, "asks").len(), 1, "{book}");
}
