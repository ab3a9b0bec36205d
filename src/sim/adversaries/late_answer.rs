//! Answers the halves of others when it is too late, or dates the answer back and shows it late.

use bitfitech_core::op::{Action, Half};

use super::{Adversary, Liar, trader::Trader};
use crate::random::Random;

/// How much later than the end of the time for an answer.
const BEHIND_MS: u64 = 500;

pub(super) struct LateAnswer {
    trader: Trader,
}

impl LateAnswer {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            trader: Trader::new(random),
        }
    }

    /// The own half that answers another's, and until when that can be answered, if it is time.
    fn due(&self, liar: &Liar<'_>) -> Option<(Half, u64)> {
        let exchange = liar.node.exchange();
        let confirmations = exchange.confirmations();
        let halves = self.trader.halves(liar).into_iter();
        let mut answers = halves.filter_map(|half| {
            let theirs = confirmations.halves(&half.other, &half.own, exchange.dag());
            Some((half, confirmations.answer_until_ms(theirs.first()?)))
        });
        answers.find(|(_, until_ms)| liar.now.unix_ms >= until_ms + BEHIND_MS)
    }
}

impl Adversary for LateAnswer {
    fn act(&mut self, liar: &mut Liar<'_>) {
        let Some((half, until_ms)) = self.due(liar) else {
            // What it writes in between would give the half back.
            if self.trader.halves(liar).is_empty() {
                self.trader.place(liar);
            }
            return;
        };
        let dated_ms = match liar.random.below(2) {
            0 => until_ms,
            _ => liar.now.unix_ms,
        };
        let actions = vec![Action::Confirm(half)];
        let body = self.trader.chain.next(dated_ms, Vec::new(), actions);
        let operation = self.trader.chain.append(liar.world, body);
        liar.push_to_all(&operation);
        self.trader = Trader::new(liar.random);
    }
}
