//! Where the next page begins: the sort keys and the ordinal of the last match of this page. A position holds
//! no list of results, so it survives a restart, and resources written in between neither shift nor repeat
//! what follows. It holds values of the record; whoever hands it out signs or seals it.

use std::fmt;

use super::packed::{Block, Fields};
use super::sort::{KEY_BYTES_MAX, Key, Place, SORT_KEYS_MAX};
use super::{Ordinal, SearchError};

/// Longest serialised position, in bytes.
pub const POSITION_BYTES_MAX: usize = 2048;

/// First byte of a serialised position; another layout gets another.
const LAYOUT: u8 = 1;
const TIME: u8 = 0;
const BYTES: u8 = 1;
const MISSING: u8 = 2;

/// Where a page ended. It fits the search that gave it out, and no other.
#[derive(Clone, PartialEq, Eq)]
pub struct Position {
    pub(super) keys: Vec<Key>,
    pub(super) ordinal: Ordinal,
}

impl Position {
    pub(super) fn place(&self) -> Place<'_> {
        Place { keys: &self.keys, ordinal: self.ordinal }
    }

    /// The position as bytes, [`POSITION_BYTES_MAX`] at most.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Block::default();
        out.tag(LAYOUT);
        out.time(i64::from(self.ordinal.number()));
        for key in &self.keys {
            match key {
                Key::Time(time) => {
                    out.tag(TIME);
                    out.time(*time);
                }
                Key::Bytes(bytes) => {
                    out.tag(BYTES);
                    out.field(Some(bytes));
                }
                Key::Missing => out.tag(MISSING),
            }
        }
        out.as_bytes().to_vec()
    }

    /// Reads a position.
    ///
    /// # Errors
    /// [`SearchError::BadPosition`] when the bytes are not what [`Position::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SearchError> {
        let position = Self::read(bytes).ok_or(SearchError::BadPosition)?;
        if position.to_bytes() == bytes { Ok(position) } else { Err(SearchError::BadPosition) }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > POSITION_BYTES_MAX {
            return None;
        }
        let mut fields = Fields::new(bytes);
        if fields.tag()? != LAYOUT {
            return None;
        }
        let ordinal = Ordinal::new(u32::try_from(fields.time()?).ok()?)?;
        let mut keys = Vec::new();
        while !fields.is_empty() {
            keys.push(match fields.tag()? {
                TIME => Key::Time(fields.time()?),
                BYTES => Key::Bytes(fields.field()?.filter(|bytes| bytes.len() <= KEY_BYTES_MAX)?.into()),
                MISSING => Key::Missing,
                _ => return None,
            });
        }
        (keys.len() <= SORT_KEYS_MAX).then_some(Self { keys, ordinal })
    }
}

/// Sort keys are the patient's data.
impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Position([redacted])")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn there_and_back() {
        let ordinal = Ordinal::new(70_000).unwrap();
        let longest = Key::Bytes(vec![7; KEY_BYTES_MAX].into());
        for keys in [
            vec![],
            vec![Key::Time(-5), Key::Missing, Key::Bytes(b"ab".as_slice().into()), Key::Bytes([].into())],
            vec![longest; SORT_KEYS_MAX],
        ] {
            let position = Position { keys, ordinal };
            let bytes = position.to_bytes();
            assert!(bytes.len() <= POSITION_BYTES_MAX);
            assert!(Position::from_bytes(&bytes) == Ok(position));
            for end in 1..bytes.len() {
                // What is cut off either fails or is the position of a shorter sort.
                if let Ok(shorter) = Position::from_bytes(&bytes[..end]) {
                    assert_eq!(shorter.to_bytes(), bytes[..end]);
                }
            }
        }
    }

    #[test]
    fn others_are_refused() {
        let good = Position { keys: vec![Key::Missing], ordinal: Ordinal::new(1).unwrap() }.to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        let many = [good.clone(), vec![MISSING; SORT_KEYS_MAX]].concat();
        let overlong_length = [&good[..9], &[BYTES, 0x81, 0x00]].concat();
        let ends = [&good[..9], &[BYTES, 9, 1]].concat();
        let long = vec![LAYOUT; POSITION_BYTES_MAX + 1];
        for bytes in [vec![], with(0, 2), with(8, 1), with(9, 3), many, overlong_length, ends, long] {
            assert_eq!(Position::from_bytes(&bytes), Err(SearchError::BadPosition), "{bytes:?}");
        }
    }
}
