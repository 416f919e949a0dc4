//! What is bound to connections: sessions and runs, by their ids. On another connection they do not exist, and with theirs
//! they end, so that no key outlives the connection that it was agreed on (`spec/protocol.md`, sections 3.4 and 3.5). What
//! is made while its connection ends is not kept: whoever finishes later than the end finds no place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwort_proto::SessionId;
use sealwort_proto::error::ErrorKind;

use crate::tls::ConnectionId;

/// A table of what is bound to connections. Clones are the same one.
#[derive(Debug)]
pub struct Bound<T>(Arc<Mutex<Table<T>>>);

#[derive(Debug)]
struct Table<T> {
    /// Of each connection that is open.
    connections: HashMap<ConnectionId, HashMap<SessionId, T>>,
    count: usize,
}

/// An open connection; what is bound to it ends when this is dropped.
#[derive(Debug)]
pub struct Open<T> {
    table: Bound<T>,
    connection: ConnectionId,
}

impl<T> Bound<T> {
    /// A connection is open.
    pub fn open(&self, connection: ConnectionId) -> Open<T> {
        self.table().connections.insert(connection, HashMap::new());
        Open { table: self.clone(), connection }
    }

    /// Binds something to a connection that is open, among `most` in all. What has ended is not taken, and is taken out
    /// when the table is full or has doubled since, so that the cost is shared.
    pub fn add(
        &self,
        connection: ConnectionId,
        session: SessionId,
        value: T,
        most: usize,
        has_ended: impl Fn(&T) -> bool,
    ) -> Result<(), ErrorKind> {
        let mut table = self.table();
        if table.count.is_power_of_two() || table.count >= most {
            table.retain(|kept| !has_ended(kept));
        }
        let is_full = table.count >= most;
        // The table is locked, so that whatever ends from here on finds this in it.
        let place = table.connections.get_mut(&connection).filter(|_| !has_ended(&value));
        let place = place.ok_or(ErrorKind::UnknownSession)?;
        if is_full || place.contains_key(&session) {
            return Err(ErrorKind::Exhausted);
        }
        place.insert(session, value);
        table.count += 1;
        Ok(())
    }

    /// What this connection has under an id.
    pub fn get(&self, connection: ConnectionId, session: SessionId) -> Option<T>
    where
        T: Clone,
    {
        self.with(connection, session, |value| Some(value.clone()))
    }

    /// Whether this connection has something under an id.
    pub fn holds(&self, connection: ConnectionId, session: SessionId) -> bool {
        self.with(connection, session, |_| Some(())).is_some()
    }

    /// Works on what this connection has under an id.
    pub fn with<R>(
        &self,
        connection: ConnectionId,
        session: SessionId,
        work: impl FnOnce(&mut T) -> Option<R>,
    ) -> Option<R> {
        self.table().connections.get_mut(&connection)?.get_mut(&session).and_then(work)
    }

    /// Takes out what this connection has under an id.
    pub fn take(&self, connection: ConnectionId, session: SessionId) -> Option<T> {
        let mut table = self.table();
        let taken = table.connections.get_mut(&connection)?.remove(&session)?;
        table.count -= 1;
        Some(taken)
    }

    /// Takes out what any connection has under an id.
    pub fn take_of_any(&self, session: SessionId) -> Option<T> {
        let mut table = self.table();
        let taken = table.connections.values_mut().find_map(|of_one| of_one.remove(&session))?;
        table.count -= 1;
        Some(taken)
    }

    /// Takes out what is not to be kept.
    pub fn retain(&self, is_kept: impl Fn(&T) -> bool) {
        self.table().retain(is_kept);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table().count
    }

    /// All of them.
    pub fn all(&self) -> Vec<(SessionId, T)>
    where
        T: Clone,
    {
        let table = self.table();
        table.connections.values().flatten().map(|(session, value)| (*session, value.clone())).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Table<T> {
    fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        for of_one in self.connections.values_mut() {
            of_one.retain(|_, value| is_kept(value));
        }
        self.count = self.connections.values().map(HashMap::len).sum();
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        let mut table = self.table.table();
        let ended = table.connections.remove(&self.connection).unwrap_or_default();
        table.count -= ended.len();
        // What ends may have locks of its own.
        drop(table);
        drop(ended);
    }
}

impl<T> Clone for Bound<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Bound<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table { connections: HashMap::new(), count: 0 })))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MOST: usize = 8;

    fn id(number: u8) -> SessionId {
        SessionId::new([number; 32])
    }

    fn add(table: &Bound<u8>, connection: ConnectionId, number: u8) -> Result<(), &'static str> {
        table.add(connection, id(number), number, MOST, |_| false).map_err(|error| error.code())
    }

    #[test]
    fn what_is_bound_ends_with_its_connection_alone() {
        let table = Bound::default();
        let [first, second] = [ConnectionId::next(), ConnectionId::next()];
        let (open, other) = (table.open(first), table.open(second));
        for number in 0..3 {
            add(&table, first, number).unwrap();
        }
        add(&table, second, 7).unwrap();
        assert_eq!((table.get(first, id(1)), table.get(second, id(1))), (Some(1), None), "of one connection alone");
        assert_eq!(table.take(first, id(1)), Some(1));
        drop(open);
        assert_eq!((table.count(), table.all()), (1, vec![(id(7), 7)]));
        drop(other);
        assert_eq!(table.count(), 0);
        assert!(table.table().connections.is_empty(), "nothing is remembered of a connection");
    }

    #[test]
    fn what_is_made_while_its_connection_ends_is_not_kept() {
        let table = Bound::default();
        let connection = ConnectionId::next();
        drop(table.open(connection));
        assert_eq!(add(&table, connection, 1), Err("session-unknown"));
        let _open = table.open(ConnectionId::next());
        assert_eq!(add(&table, connection, 1), Err("session-unknown"));
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn nothing_is_left_where_connections_end_while_sessions_are_made() {
        let table = Bound::<u8>::default();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for number in 0..200 {
                        let connection = ConnectionId::next();
                        let open = table.open(connection);
                        std::thread::scope(|both| {
                            both.spawn(|| drop(open));
                            let _ = table.add(connection, id(number), number, usize::MAX, |_| false);
                        });
                    }
                });
            }
        });
        assert_eq!(table.count(), 0);
        assert!(table.table().connections.is_empty());
    }

    #[test]
    fn a_full_table_takes_out_what_has_ended() {
        let table = Bound::default();
        let connection = ConnectionId::next();
        let _open = table.open(connection);
        for number in 0..8 {
            add(&table, connection, number).unwrap();
        }
        assert_eq!(add(&table, connection, 8), Err("session-exhausted"));
        let odd = |number: &u8| number % 2 == 1;
        assert!(table.add(connection, id(9), 9, MOST, odd).is_err(), "what has ended is not taken");
        table.add(connection, id(8), 8, MOST, odd).unwrap();
        assert_eq!(table.count(), 5);
        assert_eq!(table.take_of_any(id(8)), Some(8));
        assert_eq!((table.take_of_any(id(8)), table.count()), (None, 4));
    }
}
