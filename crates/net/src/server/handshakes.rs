//! Places for connections in the middle of their TLS handshake, before anybody is known. When all are taken, the
//! oldest gives way to the newest: a party's handshake takes milliseconds, so whoever holds many places without
//! saying anything takes them from itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places of one server.
#[derive(Debug)]
pub(super) struct Handshakes {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By age, the oldest first.
    places: BTreeMap<u64, Arc<Notify>>,
}

/// One handshake's place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    handshakes: &'a Handshakes,
    number: u64,
    given_away: Arc<Notify>,
}

impl Handshakes {
    /// `most` places, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Mutex::default() }
    }

    /// Takes a place, from the oldest where there is none.
    pub(super) fn enter(&self) -> Place<'_> {
        let given_away = Arc::new(Notify::new());
        let mut taken = self.taken();
        if taken.places.len() >= self.most
            && let Some((_, oldest)) = taken.places.pop_first()
        {
            oldest.notify_one();
        }
        let number = taken.next;
        taken.next += 1;
        taken.places.insert(number, Arc::clone(&given_away));
        Place { handshakes: self, number, given_away }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Resolves when the place was given to somebody else.
    pub(super) async fn given_away(&self) {
        self.given_away.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.handshakes.taken().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_and_places_come_back() {
        let handshakes = Handshakes::new(2);
        let (first, second) = (handshakes.enter(), handshakes.enter());
        assert!(timeout(SOON, first.given_away()).await.is_err(), "there was room");
        let third = handshakes.enter();
        assert!(timeout(SOON, first.given_away()).await.is_ok());
        assert!(timeout(SOON, second.given_away()).await.is_err());
        drop((first, third));
        let fourth = handshakes.enter();
        assert!(timeout(SOON, second.given_away()).await.is_err(), "the third's place came back");
        drop((second, fourth));
        assert!(handshakes.taken().places.is_empty());
    }
}
