//! Tells a test which secrets come into being on this thread, so that it can look for copies of them that outlive
//! their use. The feature `testing` turns it on; what observes gets a reference and makes no copy here.

use std::cell::RefCell;

type Observer = Box<dyn FnMut(&str, &[u8])>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Calls `observer` with the name and the bytes of every secret made on this thread from now on: for derived ones the
/// label. Instead of what HKDF-Extract gives, its salt is told, as `extract with this salt`, after the secret that
/// goes in.
pub fn observe(observer: impl FnMut(&str, &[u8]) + 'static) {
    OBSERVER.set(Some(Box::new(observer)));
}

/// Nothing more is told.
pub fn stop() {
    OBSERVER.set(None);
}

pub(crate) fn note(name: &str, secret: &[u8]) {
    OBSERVER.with_borrow_mut(|observer| {
        if let Some(observer) = observer {
            observer(name, secret);
        }
    });
}
