//! Waiting for what must come, as long as a slow machine may take.

use std::time::{Duration, Instant};

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until something is found.
pub(crate) fn until<T>(look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, look)
}

/// The same, for so long.
pub(crate) fn until_within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "it did not come within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
