//! The book to compare with: a tree of prices, a slab of orders, a hash map of ids.
//!
//! What one writes without thinking of cache lines, done well otherwise: queues are linked through
//! the slab, ids are 32 bytes. No undo. The hash of ids may be chosen: the standard one, which a
//! peer cannot attack, or their first bytes, which he can.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use bitfitech_core::matching::{Action, Effect, EndReason, Handle, NewOrder, Pricing, TimeInForce};
use bitfitech_core::types::{Lots, OrderId, Side, Ticks};

/// Hashes an id by taking its first eight bytes.
pub type ByFirstBytes = BuildHasherDefault<FirstBytes>;

/// See [`ByFirstBytes`].
#[derive(Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

const NONE: usize = usize::MAX;

struct Order {
    id: OrderId,
    side: Side,
    price: u64,
    remaining: u64,
    next: usize,
    previous: usize,
}

#[derive(Clone, Copy)]
struct Queue {
    front: usize,
    back: usize,
}

/// A plain book.
#[derive(Default)]
pub struct PlainBook<Hash> {
    orders: Vec<Order>,
    free: Vec<usize>,
    ids: HashMap<OrderId, usize, Hash>,
    bids: BTreeMap<u64, Queue>,
    asks: BTreeMap<u64, Queue>,
}

impl<Hash: BuildHasher> PlainBook<Hash> {
    /// Does what the action says.
    pub fn execute(&mut self, action: &Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Place(order) => self.place(order, effects),
            Action::Cancel { order, .. } => {
                if let Some(&slot) = self.ids.get(order) {
                    self.remove(slot);
                    effects.push(Effect::Ended {
                        order: *order,
                        handle: Handle::default(),
                        reason: EndReason::Cancelled,
                    });
                }
            }
            Action::Replace(_) | Action::End { .. } => {}
        }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<u64, Queue> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn best(&self, side: Side) -> Option<(u64, Queue)> {
        let best = match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        };
        best.map(|(price, queue)| (*price, *queue))
    }

    fn place(&mut self, order: &NewOrder, effects: &mut Vec<Effect>) {
        if self.ids.contains_key(&order.id) {
            return;
        }
        let mut open = order.quantity.0;
        while open > 0 {
            let Some((price, queue)) = self.best(order.side.opposite()) else {
                break;
            };
            let accepted = match order.pricing {
                Pricing::Limit(limit) => order.side.accepts(limit, Ticks(price)),
                Pricing::Market(_) => true,
            };
            if !accepted {
                break;
            }
            let maker = &mut self.orders[queue.front];
            let quantity = open.min(maker.remaining);
            open -= quantity;
            maker.remaining -= quantity;
            let (maker_id, left) = (maker.id, maker.remaining);
            effects.push(Effect::Fill {
                maker: maker_id,
                handle: Handle::default(),
                taker: order.id,
                price: Ticks(price),
                quantity: Lots(quantity),
                piece: 0,
            });
            if left == 0 {
                self.remove(queue.front);
                effects.push(Effect::Ended {
                    order: maker_id,
                    handle: Handle::default(),
                    reason: EndReason::Filled,
                });
            }
        }
        let rests = order.time_in_force == TimeInForce::GoodTillCancel;
        effects.push(match order.pricing {
            Pricing::Limit(price) if open > 0 && rests => {
                self.rest(order, price.0, open);
                Effect::Rested {
                    order: order.id,
                    quantity: Lots(open),
                }
            }
            _ if open > 0 => Effect::Ended {
                order: order.id,
                handle: Handle::default(),
                reason: EndReason::Unfilled,
            },
            _ => Effect::Ended {
                order: order.id,
                handle: Handle::default(),
                reason: EndReason::Filled,
            },
        });
    }

    fn rest(&mut self, order: &NewOrder, price: u64, remaining: u64) {
        let slot = self.free.pop().unwrap_or(self.orders.len());
        let queue = self.side(order.side).entry(price).or_insert(Queue {
            front: slot,
            back: NONE,
        });
        let previous = queue.back;
        queue.back = slot;
        let resting = Order {
            id: order.id,
            side: order.side,
            price,
            remaining,
            next: NONE,
            previous,
        };
        if slot == self.orders.len() {
            self.orders.push(resting);
        } else {
            self.orders[slot] = resting;
        }
        if previous != NONE {
            self.orders[previous].next = slot;
        }
        self.ids.insert(order.id, slot);
    }

    fn remove(&mut self, slot: usize) {
        let Order {
            id,
            side,
            price,
            next,
            previous,
            ..
        } = self.orders[slot];
        self.ids.remove(&id);
        self.free.push(slot);
        if next == NONE && previous == NONE {
            self.side(side).remove(&price);
            return;
        }
        if previous != NONE {
            self.orders[previous].next = next;
        }
        if next != NONE {
            self.orders[next].previous = previous;
        }
        if (next == NONE || previous == NONE)
            && let Some(queue) = self.side(side).get_mut(&price)
        {
            if previous == NONE {
                queue.front = next;
            } else {
                queue.back = previous;
            }
        }
    }
}
