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

/// Fewer levels than this, and the orders at their backs, are near enough anyway: looking for them
/// was a quarter of the instructions of looking ahead (measured).
const LEVELS_MIN: usize = if cfg!(test) { 1 } else { 1 << 12 };

/// How many actions are looked at between two steps along the queues at the front. So these get
/// about as far as takers do in a batch of which a third takes (measured).
const ACTIONS_PER_STEP: usize = 16;

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

/// Asks memory for what the first [`BATCH_MAX`] actions will read.
pub(super) fn prefetch(book: &Book, upcoming: &[Action]) {
    if book.len() < ORDERS_MIN {
        return;
    }
    let upcoming = &upcoming[..upcoming.len().min(BATCH_MAX)];
    let mut tags = [Tag::default(); BATCH_MAX];
    let mut changes = Group::new();
    let mut fronts = [Side::Buy, Side::Sell].map(|side| Front::new(book, side));
    let mut step = || fronts.iter_mut().for_each(|front| front.step(book));
    for (number, action) in upcoming.iter().enumerate() {
        if number.is_multiple_of(ACTIONS_PER_STEP) {
            step();
        }
        // The actions themselves come from far away: so there is time for their tags.
        changes.add(number, !matches!(action, Action::Place(_)));
        tags[number] = book.key.tag(addressed(action));
        book.ids.prefetch(tags[number]);
    }
    find_changes(book, &tags, &mut changes);
    if book.levels.len() >= LEVELS_MIN {
        prefetch_levels(book, upcoming);
    }
    for &slot in changes.slots() {
        let order = &book.orders[slot];
        book.levels.prefetch(order.level());
        book.orders.prefetch(order.next);
        book.orders.prefetch(order.previous);
    }
}

/// Asks for the levels where new orders may come to rest, and for the orders at their backs.
fn prefetch_levels(book: &Book, upcoming: &[Action]) {
    let mut places = Group::new();
    for (number, action) in upcoming.iter().enumerate() {
        places.add(number, matches!(action, Action::Place(_)));
    }
    let outside = find_places(book, upcoming, &mut places);
    find_outside(book, upcoming, &outside, &mut places);
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
fn find_changes(book: &Book, tags: &[Tag; BATCH_MAX], changes: &mut Group) {
    for place in 0..changes.len {
        let tag = tags[usize::from(changes.members[place])];
        let slot = book.ids.find(tag, |_| true).unwrap_or_default();
        changes.slots[place] = slot;
        book.orders.prefetch(slot);
        book.prefetch_handle(slot);
    }
}

/// Where to look for levels that are not in the window of their side: the places in the group of
/// new orders, and the pages.
struct Outside<'book> {
    places: [u8; BATCH_MAX],
    pages: [&'book [Entry]; BATCH_MAX],
    len: usize,
}

/// For new orders: the level of their price, or where it has to be looked for.
fn find_places<'book>(
    book: &'book Book,
    upcoming: &[Action],
    places: &mut Group,
) -> Outside<'book> {
    let mut outside = Outside {
        places: [0; BATCH_MAX],
        pages: [&[]; BATCH_MAX],
        len: 0,
    };
    for place in 0..places.len {
        let Some((side, price)) = resting_limit(&upcoming[usize::from(places.members[place])])
        else {
            continue;
        };
        match book.ladder(side).look_up(price) {
            Ok(level) => {
                places.slots[place] = level;
                book.levels.prefetch(level);
            }
            Err(page) => {
                outside.places[outside.len % BATCH_MAX] = place as u8;
                outside.pages[outside.len % BATCH_MAX] = page;
                outside.len += 1;
            }
        }
    }
    outside
}

/// For new orders outside the window: the level of their price.
fn find_outside(book: &Book, upcoming: &[Action], outside: &Outside, places: &mut Group) {
    for (&place, page) in outside.places.iter().zip(outside.pages).take(outside.len) {
        let place = usize::from(place);
        let limit = resting_limit(&upcoming[usize::from(places.members[place])]);
        let level = limit.and_then(|(side, price)| book.ladder(side).get_in(page, price));
        places.slots[place] = level.unwrap_or_default();
        book.levels.prefetch(places.slots[place]);
    }
}

/// The order that an action places or addresses.
#[inline]
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
