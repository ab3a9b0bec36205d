//! What a panic was and where, kept for the one log line that the supervisor writes.
//!
//! A supervised actor is polled inside a guarded future. A panic in a handler is caught there,
//! with its text and its place, and the actor is dropped at once: its state is not trusted any
//! more. Dropping runs the actor's `stopping` and `stopped`; were they to panic while the first
//! panic still unwinds, the process would abort, so the first one is caught before and the second
//! one separately.
//!
//! The default panic hook prints every panic with a backtrace hint. [`install_hook`] puts one in
//! front of it that only takes notes for supervised actors, and passes all other panics on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::meter::Meter;

thread_local! {
    /// Whether this thread is running a supervised actor right now.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The place of the last panic of a supervised actor on this thread.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the panic hook for supervised actors, in front of the present one; once a process.
pub fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if GUARDED.get() {
                note_place(panic);
            } else {
                others(panic);
            }
        }));
    });
}

fn note_place(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(|at| format!("{}:{}", at.file(), at.line()));
    PLACE.with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = place;
        }
    });
}

/// The text of a panic and, if the hook is installed, its place.
pub(crate) fn describe(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a panic without a text)");
    match PLACE.with(RefCell::take) {
        Some(place) => format!("{text} (at {place})"),
        None => text.to_string(),
    }
}

/// Marks the thread as running a supervised actor while it lives.
struct Mark {
    before: bool,
}

impl Mark {
    fn set() -> Self {
        Self {
            before: GUARDED.replace(true),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        GUARDED.set(self.before);
    }
}

/// Runs a part of a supervised actor; `Err` with the text of its panic.
pub(crate) fn guard<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let _mark = Mark::set();
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| describe(payload.as_ref()))
}

/// A future whose panic is its output: `Err` with the text of the panic.
///
/// It has to hold the actor's own future and not an `async` block around it: a block that panics
/// drops what it awaits while it unwinds.
pub(crate) struct Guarded<F> {
    /// `None` once it is done.
    future: Option<Pin<Box<F>>>,
    meter: Arc<Meter>,
}

impl<F: Future<Output = ()>> Guarded<F> {
    /// Its turns are counted there.
    pub(crate) fn new(future: F, meter: Arc<Meter>) -> Self {
        Self {
            future: Some(Box::pin(future)),
            meter,
        }
    }
}

impl<F> Guarded<F> {
    /// Drops the future; a panic of its destructors ends here, there is nobody left to tell.
    fn discard(&mut self) {
        let future = self.future.take();
        drop(guard(|| drop(future)));
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        self.discard();
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.future.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let begun = Instant::now();
        let polled = guard(|| future.as_mut().poll(task));
        self.meter.count(begun);
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => Ok(()),
            Err(panic) => Err(panic),
        };
        self.discard();
        Poll::Ready(output)
    }
}
