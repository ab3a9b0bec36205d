//! Property 6: folding the changes that a replica reports gives its tape, its book and its orders;
//! and every single change is true news.

use std::collections::BTreeMap;

use bitfitech_core::board::Board;
use bitfitech_core::types::{OrderId, TradeId};
use bitfitech_core::view::{Change, OrderRow, TradeChange, TradePosition, TradeRow, TradeStatus};

use crate::facts::{Facts, markets};
use crate::network::{Books, MARKETS, Network, Peer};
use crate::scenario::for_all_scenarios;

/// The board that a node would show if it began with what its replica holds now.
fn fresh_board(peer: &Peer) -> Board {
    let mut board = Board::new(peer.author, usize::from(MARKETS), usize::MAX);
    let snapshot = peer.exchange.replica().snapshot();
    snapshot.for_each(|change| board.apply(&change));
    board
}

#[test]
fn folded_changes_equal_a_fold_of_the_whole_state() {
    for_all_scenarios(64, |scenario| {
        let check = |network: &Network, node: usize, books: Books| {
            let peer = &network.peers[node];
            if books == Books::Merged && peer.exchange.held_changes() == 0 {
                check_board(peer);
            }
        };
        let mut network = Network::run_with(&scenario, check);
        network.settle(scenario.shuffle);
        network.publish_all();
        network.peers.iter().for_each(check_board);
    });
}

/// Compares the board of a node with a fresh one, and with the engine's own levels.
fn check_board(peer: &Peer) {
    let (folded, fresh) = (&peer.board, fresh_board(peer));
    let facts = Facts::of(peer.exchange.replica());
    for market in markets() {
        let book = folded.book(market, usize::MAX);
        assert_eq!(book, fresh.book(market, usize::MAX));
        let [bids, asks] = &facts.levels[usize::from(market.0)];
        assert_eq!((&book.bids, &book.asks), (bids, asks));
        let tape = folded.trades(market, usize::MAX).expect("it keeps all");
        assert_eq!(Some(&tape), fresh.trades(market, usize::MAX).as_ref());
        let in_log_order = facts.trades.iter().filter(|row| row.market == market);
        assert!(
            tape.iter()
                .map(|row| row.trade)
                .eq(in_log_order.map(|row| row.trade)),
            "the tape is not in log order"
        );
    }
    assert_eq!(folded.trade_count(), fresh.trade_count());
    assert_eq!(folded.order_count(), fresh.order_count());
    assert_eq!(folded.order_count(), facts.orders.len());
    assert_eq!(folded.own_orders(usize::MAX), fresh.own_orders(usize::MAX));
    for row in &facts.orders {
        assert_eq!(folded.order(&row.order), fresh.order(&row.order));
        assert_eq!(
            folded.find_order((row.order, row.order), |_| true),
            Some(Ok(folded.order(&row.order).expect("it was found just now")))
        );
    }
}

/// So much is kept by a board that forgets.
const FEW: usize = 3;

#[test]
fn a_board_that_forgets_says_so_and_is_right_where_it_answers() {
    for_all_scenarios(64, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        network.publish_all();
        for peer in &network.peers {
            let mut small = Board::new(peer.author, usize::from(MARKETS), FEW);
            let changes = peer.baseline.iter().chain(&peer.history);
            changes.for_each(|change| small.apply(change));
            check_forgetful(peer, &small);
            let mut loaded = Board::new(peer.author, usize::from(MARKETS), FEW);
            loaded.load(peer.exchange.replica().snapshot_newest_first());
            check_forgetful(peer, &loaded);
        }
    });
}

/// Compares a board that forgets with one that does not, and with what the replica keeps.
fn check_forgetful(peer: &Peer, small: &Board) {
    let (all, replica) = (&peer.board, peer.exchange.replica());
    let counts = |board: &Board| (board.trade_count(), board.final_count());
    assert_eq!(counts(small), counts(all));
    for market in markets() {
        assert_eq!(small.book(market, usize::MAX), all.book(market, usize::MAX));
        for limit in [1, 2, 5, usize::MAX] {
            let tape = all.trades(market, limit).expect("it keeps all");
            assert_eq!(replica.trades(market, limit), tape);
            if let Some(trades) = small.trades(market, limit) {
                assert_eq!(trades, tape);
            }
        }
    }
    for limit in [1, 2, 5, usize::MAX] {
        let own = all.own_orders(limit).expect("it keeps all");
        if let Some(orders) = small.own_orders(limit) {
            assert_eq!(orders, own);
        }
        assert_eq!(small.own_open_orders(limit), all.own_open_orders(limit));
    }
    for limit in [1, 2, 5, usize::MAX] {
        let mut own: Vec<OrderRow> = replica.last_orders_of(peer.author, limit).collect();
        own.sort_by_key(|row| (row.time, row.order));
        own.drain(..own.len().saturating_sub(limit));
        assert_eq!(Some(own), all.own_orders(limit));
    }
    let mut open: Vec<OrderRow> = replica.open_orders_of(peer.author).collect();
    open.sort_by_key(|row| (row.time, row.order));
    assert_eq!(open, all.own_open_orders(usize::MAX));
    let (mut others, mut final_trades) = (0, 0);
    for row in replica.orders_between(OrderId([0; 32]), OrderId([0xff; 32])) {
        let known = small.order(&row.order);
        let is_own_open = row.author == peer.author && row.ended.is_none();
        assert!(
            known.is_some() || !is_own_open,
            "an own open order is forgotten"
        );
        assert!(known.is_none_or(|known| *known == row));
        others += usize::from(known.is_some() && !is_own_open);
        if let Some(found) = small.find_order((row.order, row.order), |_| true) {
            assert_eq!(found, Ok(&row));
        }
    }
    for row in small.trades_between(TradeId([0; 32]), TradeId([0xff; 32])) {
        final_trades += usize::from(row.status == TradeStatus::Final);
    }
    assert!(
        others <= FEW && final_trades <= FEW,
        "{others} {final_trades}"
    );
    let tentative = all.trade_count() - all.final_count();
    let known = small.trades_between(TradeId([0; 32]), TradeId([0xff; 32]));
    assert_eq!(known.count() - final_trades, tentative);
}

/// What a reader of the changes knows.
#[derive(Default)]
struct Reader {
    trades: BTreeMap<TradeId, (TradePosition, TradeRow)>,
    revisions: BTreeMap<TradeId, u32>,
    orders: BTreeMap<OrderId, OrderRow>,
}

impl Reader {
    /// Takes a change in and objects if it is none.
    fn read(&mut self, change: &Change) {
        match change {
            Change::Order { row, open_before } => {
                let before = self.orders.insert(row.order, row.clone());
                assert_ne!(before.as_ref(), Some(row), "no news about an order");
                let was_open = before.and_then(|row| row.open_quantity());
                assert_eq!(*open_before, was_open, "it was not so before");
            }
            Change::OrderGone(row) => {
                let before = self.orders.remove(&row.order);
                assert_eq!(before.as_ref(), Some(row), "an unknown order is gone");
            }
            Change::Trade {
                position,
                trade,
                change,
                ..
            } => self.read_trade(*position, &trade.row(), *change),
        }
    }

    fn read_trade(&mut self, position: TradePosition, row: &TradeRow, change: TradeChange) {
        let before = match change {
            TradeChange::Busted => self.trades.remove(&row.trade),
            _ => self.trades.insert(row.trade, (position, row.clone())),
        };
        let amounts = before.as_ref().map(|(_, old)| (old.price, old.quantity));
        let was_final = before
            .as_ref()
            .is_some_and(|(_, old)| old.status == TradeStatus::Final);
        let same_amounts = amounts == Some((row.price, row.quantity));
        match change {
            TradeChange::New => assert!(before.is_none(), "a known trade is new"),
            TradeChange::Amended => assert!(before.is_some() && !same_amounts),
            TradeChange::Moved => {
                assert!(same_amounts, "a trade moved that was another before");
                assert_ne!(
                    before.map(|(old, _)| old),
                    Some(position),
                    "it did not move"
                );
            }
            TradeChange::Busted => assert!(same_amounts, "a trade is busted that was not there"),
            TradeChange::Confirmed => assert!(same_amounts, "a trade is final unseen"),
        }
        let status = match change {
            TradeChange::New => TradeStatus::Tentative,
            // As sure as it was, or it is said right behind that it is final now.
            TradeChange::Moved if was_final => TradeStatus::Final,
            TradeChange::Moved => row.status,
            TradeChange::Amended => TradeStatus::Amended,
            TradeChange::Busted => TradeStatus::Busted,
            TradeChange::Confirmed => TradeStatus::Final,
        };
        assert_eq!(row.status, status);
        let revision = self.revisions.entry(row.trade).or_insert(0);
        if change != TradeChange::Moved {
            *revision += 1;
        }
        assert_eq!(
            row.revision, *revision,
            "a revision is left out or given twice"
        );
    }

    /// Takes in what is news to nobody.
    fn begin_with(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Order { row, .. } => {
                    self.orders.insert(row.order, row.clone());
                }
                Change::Trade {
                    position, trade, ..
                } => {
                    let row = trade.row();
                    self.revisions.insert(row.trade, row.revision);
                    self.trades.insert(row.trade, (*position, row));
                }
                Change::OrderGone(_) => panic!("a beginning takes nothing away"),
            }
        }
    }
}

#[test]
fn every_change_is_news_and_every_revision_is_told_once() {
    for_all_scenarios(64, |scenario| {
        let mut network = Network::run(&scenario);
        network.settle(scenario.shuffle);
        for peer in &network.peers {
            let mut reader = Reader::default();
            reader.begin_with(&peer.baseline);
            peer.history.iter().for_each(|change| reader.read(change));
        }
    });
}
