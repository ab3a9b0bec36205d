//! Administrators expel members and admit them again; in the end all have everything.

use bitfitech_sim::config::Config;
use bitfitech_sim::event::MS;

use crate::{run_well, small};

/// A host that has heard of the expulsion of all its neighbours and is cut off when they are
/// admitted again must not refuse them for ever.
#[test]
fn whoever_was_away_while_his_peers_were_expelled_and_admitted_again_finds_back() {
    run_well(Config {
        nodes: 20,
        duration_us: 4_000 * MS,
        rate: 5.0,
        loss: 0.03,
        expulsions: 40,
        ..small("eclipse", 33)
    });
}

#[test]
fn expulsions_keep_orders_out_of_the_book() {
    let with = |expulsions| {
        let config = small("expulsions", 1);
        run_well(Config {
            expulsions,
            ..config
        })
    };
    let (none, many) = (with(0), with(40));
    assert!(many.tally.sessions_ended > none.tally.sessions_ended);
    assert!(
        many.trades < none.trades,
        "{}\n{}",
        none.text(),
        many.text()
    );
}
