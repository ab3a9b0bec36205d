//! Property 19: nobody is favoured. Whoever is tied in time and in causality wins as often as
//! anyone else, whatever his key is.

use bitfitech_core::op::{Body, OPERATION_VERSION, Verified};
use bitfitech_core::types::{HybridTime, Side};
use ed25519_zebra::SigningKey;

use crate::facts::Facts;
use crate::network::{BEGIN_MS, author_of, genesis, limit};

/// How many rounds are played.
const ROUNDS: u64 = 600;

/// In each round every bidder bids the same in the same bucket and without having seen the others,
/// and one unit is sold. How often each bidder was filled.
fn fills_of(bidders: &[u8]) -> Vec<u64> {
    let genesis = genesis("fairness");
    let digest = genesis.digest();
    let mut operations: Vec<Verified> = Vec::new();
    let keys: Vec<SigningKey> = bidders
        .iter()
        .chain(&[200])
        .map(|seed| [*seed; 32].into())
        .collect();
    let mut prev = vec![None; keys.len()];
    for round in 0..ROUNDS {
        for (at, key) in keys.iter().enumerate() {
            let sells = at == bidders.len();
            let side = if sells { Side::Sell } else { Side::Buy };
            let refs = if sells {
                prev[..at].iter().take(4).flatten().copied().collect()
            } else {
                Vec::new()
            };
            let body = Body {
                version: OPERATION_VERSION,
                author: author_of(key),
                seq: round,
                prev: prev[at],
                time: HybridTime::from_unix_ms(BEGIN_MS + round * 50 + u64::from(sells)),
                refs,
                checkpoint: 0,
                actions: vec![limit(side, 1 + round, 1)],
            };
            let operation = Verified::sign(body, key, &genesis, &digest).expect("well-formed");
            prev[at] = Some(operation.id());
            operations.push(operation);
        }
    }
    let facts = Facts::from_scratch(&operations, &genesis);
    let author = |seed: &u8| author_of(&SigningKey::from([*seed; 32]));
    let filled = |seed: &u8| {
        let own = facts.orders.iter().filter(|row| row.author == author(seed));
        own.map(|row| row.filled.0).sum()
    };
    bidders.iter().map(filled).collect()
}

/// Five standard deviations around the fair share: a fair draw leaves them once in two million.
fn assert_fair(fills: &[u64]) {
    let bidders = fills.len() as f64;
    let share = ROUNDS as f64 / bidders;
    let deviation = (ROUNDS as f64 * (1.0 / bidders) * (1.0 - 1.0 / bidders)).sqrt();
    assert_eq!(fills.iter().sum::<u64>(), ROUNDS);
    for fill in fills {
        let off = (*fill as f64 - share).abs();
        assert!(off < 5.0 * deviation, "{fills:?} is far from {share} each");
    }
}

#[test]
fn bidders_who_are_tied_are_filled_equally_often() {
    assert_fair(&fills_of(&[1, 2]));
    assert_fair(&fills_of(&[1, 2, 3, 4]));
}

#[test]
fn swapping_the_keys_of_two_bidders_changes_nothing_on_average() {
    let (first, second) = (fills_of(&[5, 6]), fills_of(&[6, 5]));
    assert_fair(&[first[0], first[1]]);
    assert_fair(&[second[0], second[1]]);
    // What a bidder wins hangs on his key and the bucket only, never on who is asked first.
    assert_eq!((first[0], first[1]), (second[1], second[0]));
}
