//! Fetching the memory of coming operations before they run.
//!
//! An operation reads the id table, then an order, then its level and its neighbours, and each
//! step has to wait for the one before. Operations do not have to wait for each other: the
//! processor fetches many lines at the same time, as long as no branch depends on what it waits
//! for. So this walks over a whole batch step by step. Each step first reads one line for every
//! operation without looking at it, and then, with all lines at hand, finds out where the next step
//! has to read. It is a hint: nothing changes, and a wrong guess costs time only.

use super::book::Book;
use super::id_table::Tag;
use super::pages::Entry;
use super::slab::Slot;
use super::{Action, Engine, NewOrder, Pricing};
use crate::types::{OrderId, Side, Ticks};

/// At most this many operations are looked at, so that what was fetched first is still there.
pub const BATCH_MAX: usize = 64;

/// A smaller book is near enough anyway: with 1 MiB of second-level cache a core, looking ahead
/// costs as much as it saves at some ten thousand orders (measured), and less in a replica, where
/// orders and log compete for that cache. Tests look ahead in any book.
const ORDERS_MIN: usize = if cfg!(test) { 1 } else { 1 << 14 };

/// How many ids are looked at between two steps along the queues at the front. So these get about
/// as far as takers do in a batch of which a third takes (measured).
const ACTIONS_PER_STEP: usize = 8;

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

    fn members(&self) -> impl Iterator<Item = usize> {
        self.members[..self.len]
            .iter()
            .map(|member| usize::from(*member))
    }

    fn slots(&self) -> &[Slot] {
        &self.slots[..self.len]
    }
}

/// Asks memory for what the first [`BATCH_MAX`] actions will read.
pub(super) fn prefetch(book: &Book, upcoming: &[Action]) {
    if book.len() < ORDERS_MIN {
        return;
    }
    let upcoming = &upcoming[..upcoming.len().min(BATCH_MAX)];
    let mut tags = [Tag::default(); BATCH_MAX];
    let (mut places, mut changes) = (Group::new(), Group::new());
    let mut fronts = [Side::Buy, Side::Sell].map(|side| Front::new(book, side));
    for (number, action) in upcoming.iter().enumerate() {
        // Asked only once, for no processor can guess the answer.
        let is_place = matches!(action, Action::Place(_));
        places.add(number, is_place);
        changes.add(number, !is_place);
    }
    for member in places.members() {
        if let Action::Place(order) = &upcoming[member] {
            book.ids.prefetch(book.key.tag(&order.id));
        }
    }
    for member in changes.members() {
        tags[member] = book.key.tag(changed(&upcoming[member]));
        book.ids.prefetch(tags[member]);
    }
    let mut step = || fronts.iter_mut().for_each(|front| front.step(book));
    step();
    let pages = ask_for_levels(book, upcoming, &places);
    step();
    find_changes(book, &tags, &mut changes, &mut step);
    find_places(book, (upcoming, &pages), &mut places, &mut step);
    for &slot in changes.slots() {
        let order = &book.orders[slot];
        book.levels.prefetch(order.level());
        book.orders.prefetch(order.next);
        book.orders.prefetch(order.previous);
    }
    for &level in places.slots() {
        book.orders.prefetch(book.levels[level].back);
    }
}

/// The orders at the front of a side, which takers will meet. Each has to be read to find the next,
/// so the steps come between other tasks.
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

    /// Asks for the place of an order's id in the table and for the next order of the level.
    #[inline]
    fn step(&mut self, book: &Book) {
        let order = &book.orders[self.order];
        book.ids.prefetch(book.key.tag(&order.id));
        self.order = if self.order == self.back {
            Slot::NONE
        } else {
            order.next
        };
        book.orders.prefetch(self.order);
    }
}

/// For actions on resting orders: the order.
fn find_changes(
    book: &Book,
    tags: &[Tag; BATCH_MAX],
    changes: &mut Group,
    mut meanwhile: impl FnMut(),
) {
    for place in 0..changes.len {
        let tag = tags[usize::from(changes.members[place])];
        let slot = book.ids.find(tag, |_| true).unwrap_or_default();
        changes.slots[place] = slot;
        book.orders.prefetch(slot);
        book.prefetch_handle(slot);
        if place.is_multiple_of(ACTIONS_PER_STEP) {
            meanwhile();
        }
    }
}

/// For new orders: where the level of their price has to be looked for.
fn ask_for_levels<'book>(
    book: &'book Book,
    upcoming: &[Action],
    places: &Group,
) -> [&'book [Entry]; BATCH_MAX] {
    let mut pages: [&[Entry]; BATCH_MAX] = [&[]; BATCH_MAX];
    for (page, member) in pages.iter_mut().zip(places.members()) {
        if let Some((side, price)) = resting_limit(&upcoming[member]) {
            *page = book.ladder(side).prefetch(price);
        }
    }
    pages
}

/// For new orders: the level of their price, and their own place.
fn find_places(
    book: &Book,
    (upcoming, pages): (&[Action], &[&[Entry]; BATCH_MAX]),
    places: &mut Group,
    mut meanwhile: impl FnMut(),
) {
    for place in 0..places.len {
        let limit = resting_limit(&upcoming[usize::from(places.members[place])]);
        let level = limit.and_then(|(side, price)| book.ladder(side).get_in(pages[place], price));
        places.slots[place] = level.unwrap_or_default();
        book.levels.prefetch(places.slots[place]);
        if let Some(slot) = book.orders.upcoming(place) {
            book.orders.prefetch(slot);
            book.prefetch_handle(slot);
        }
        if place.is_multiple_of(ACTIONS_PER_STEP) {
            meanwhile();
        }
    }
}

/// The order that an action other than a new order addresses.
fn changed(action: &Action) -> &OrderId {
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
