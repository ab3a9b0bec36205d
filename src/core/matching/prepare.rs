//! Fetching the memory of coming operations before they run.
//!
//! An operation reads the id table, then an order, then its level and its neighbours, and each
//! step has to wait for the one before. Operations do not have to wait for each other: the
//! processor fetches many lines at the same time, as long as no branch depends on what it waits
//! for. So this walks over a whole batch step by step. Each step first reads one line for every
//! operation without looking at it, and then, with all lines at hand, finds out where the next step
//! has to read. It is a hint: nothing changes, and a wrong guess costs time only.

use core::hint::black_box;

use super::book::Book;
use super::id_table::Tag;
use super::pages::Entry;
use super::slab::Slot;
use super::{Action, Engine, NewOrder, Pricing};
use crate::types::{OrderId, Side, Ticks};

/// At most this many operations are looked at, so that what was fetched first is still there.
pub const BATCH_MAX: usize = 64;

/// A smaller book is near enough anyway: measured with 2 MiB of second-level cache, looking ahead
/// costs more than it saves below about this many orders.
/// Tests look ahead in any book.
const ORDERS_MIN: usize = if cfg!(test) { 1 } else { 1 << 12 };

/// Actions of one kind, so that steps over them need not ask for the kind each time.
struct Group {
    members: [u8; BATCH_MAX],
    /// The order that each addresses, or the level where it may come to rest; slot zero, which is
    /// nobody's, where that is not known.
    slots: [Slot; BATCH_MAX],
    len: usize,
}

impl Group {
    fn new() -> Self {
        Self {
            members: [0; BATCH_MAX],
            slots: [Slot::NONE; BATCH_MAX],
            len: 0,
        }
    }

    /// Adds a member if `belongs`, without a branch.
    fn add(&mut self, member: usize, belongs: bool) {
        self.members[self.len % BATCH_MAX] = member as u8;
        self.len += usize::from(belongs);
    }

    fn slots(&self) -> &[Slot] {
        &self.slots[..self.len]
    }
}

/// Reads what the first [`BATCH_MAX`] actions will read.
pub(super) fn touch(book: &Book, upcoming: &[Action]) {
    if book.len() < ORDERS_MIN {
        return;
    }
    let upcoming = &upcoming[..upcoming.len().min(BATCH_MAX)];
    let mut tags = [Tag::default(); BATCH_MAX];
    let (mut places, mut changes) = (Group::new(), Group::new());
    let mut fronts = [Side::Buy, Side::Sell].map(|side| Front::new(book, side));
    let mut seen = fronts[0].step(book) ^ fronts[1].step(book);
    for (number, action) in upcoming.iter().enumerate() {
        tags[number] = book.key.tag(addressed(action));
        let is_place = matches!(action, Action::Place(_));
        places.add(number, is_place);
        changes.add(number, !is_place);
    }
    // A loop of its own: the fewer instructions there are between two reads, the more of them the
    // processor has under way at a time.
    for tag in &tags[..upcoming.len()] {
        seen ^= book.ids.touch(*tag);
    }
    seen ^= fronts[0].step(book) ^ fronts[1].step(book);
    seen ^= find_changes(book, &tags, &mut changes);
    seen ^= fronts[0].step(book) ^ fronts[1].step(book);
    seen ^= touch_neighbours(book, &changes);
    seen ^= fronts[0].step(book) ^ fronts[1].step(book);
    seen ^= touch_places(book, upcoming, &mut places);
    black_box(seen);
}

/// The orders at the front of a side, which takers will meet. Each has to be read to find the next,
/// so there is one step between any two other tasks.
struct Front {
    order: Slot,
    back: Slot,
}

impl Front {
    fn new(book: &Book, side: Side) -> Self {
        let level = book
            .ladder(side)
            .best()
            .map_or(Slot::NONE, |(_, level)| level);
        Self {
            order: book.levels[level].front,
            back: book.levels[level].back,
        }
    }

    /// Reads an order and where the table has its id, and goes on to the next of the level.
    fn step(&mut self, book: &Book) -> u32 {
        let order = &book.orders[self.order];
        let seen = book.ids.touch(book.key.tag(&order.id));
        self.order = if self.order == self.back {
            Slot::NONE
        } else {
            order.next
        };
        seen ^ book.orders[self.order].next.0
    }
}

/// For actions on resting orders: the order.
fn find_changes(book: &Book, tags: &[Tag; BATCH_MAX], changes: &mut Group) -> u32 {
    let mut seen = 0;
    for place in 0..changes.len {
        let tag = tags[usize::from(changes.members[place])];
        changes.slots[place] = book.ids.find(tag, |_| true).unwrap_or_default();
    }
    for &slot in changes.slots() {
        seen ^= book.orders[slot].next.0;
    }
    seen
}

/// For actions on resting orders: the level and the neighbours.
fn touch_neighbours(book: &Book, changes: &Group) -> u32 {
    let mut seen = 0;
    for &slot in changes.slots() {
        let order = &book.orders[slot];
        seen ^= book.levels[order.level()].back.0;
        seen ^= book.orders[order.next].next.0 ^ book.orders[order.previous].next.0;
    }
    seen
}

/// For new orders: the level of their price, whom they would stand behind, and their own place.
fn touch_places(book: &Book, upcoming: &[Action], places: &mut Group) -> u32 {
    let (mut pages, mut seen): ([&[Entry]; BATCH_MAX], u32) = ([&[]; BATCH_MAX], 0);
    for (page, member) in pages.iter_mut().zip(&places.members[..places.len]) {
        if let Some((side, price)) = resting_limit(&upcoming[usize::from(*member)]) {
            *page = book.ladder(side).page(price);
        }
    }
    // Pages are for prices far from the market; a search in one starts at its middle.
    for page in &pages[..places.len] {
        seen ^= page.get(page.len() / 2).map_or(0, |entry| entry.0 as u32);
    }
    for (place, page) in (0..places.len).zip(pages) {
        let limit = resting_limit(&upcoming[usize::from(places.members[place])]);
        let level = limit.and_then(|(side, price)| book.ladder(side).get_in(page, price));
        places.slots[place] = level.unwrap_or_default();
        if let Some(slot) = book.orders.upcoming(place) {
            seen ^= book.orders[slot].next.0;
        }
    }
    for &level in places.slots() {
        seen ^= book.levels[level].back.0;
    }
    for &level in places.slots() {
        seen ^= book.orders[book.levels[level].back].next.0;
    }
    seen
}

fn addressed(action: &Action) -> &OrderId {
    match action {
        Action::Place(order) => &order.id,
        Action::Cancel { order, .. } | Action::End { order, .. } => order,
        Action::Replace(replacement) => &replacement.order,
    }
}

/// Where a placed order may come to rest.
fn resting_limit(action: &Action) -> Option<(Side, Ticks)> {
    match action {
        Action::Place(NewOrder {
            pricing: Pricing::Limit(price),
            side,
            ..
        }) => Some((*side, *price)),
        _ => None,
    }
}
