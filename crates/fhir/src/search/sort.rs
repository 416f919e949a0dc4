//! The order of matches (R4 search, "_sort"). Resources without a value come last, whichever the direction;
//! the order of first writing decides between equals, so that the order is total and pages fit together.

use std::cmp::Ordering;

use super::date;
use super::decimal::Decimal;
use super::definition::Kind;
use super::form::PART;
use super::packed::Target;
use super::text::unaccented_bytes;
use super::{Document, Ordinal};

/// Most keys of one sort.
pub const SORT_KEYS_MAX: usize = 5;
/// How much of a text orders it, in bytes. A position holds the keys, and a position is part of a URL.
pub(super) const KEY_BYTES_MAX: usize = 400;

/// One key of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortBy {
    pub(super) kind: Kind,
    pub(super) direction: Direction,
}

/// Which way a key sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// The value by which a document is sorted.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    Time(i64),
    /// Bytes in the order of what they stand for.
    Bytes(Box<[u8]>),
    Missing,
}

impl Key {
    /// The key of a document: the least of its values when ascending, the greatest when descending.
    pub(super) fn of(document: &Document, parameter: u8, by: SortBy) -> Self {
        let mut best = Self::Missing;
        for mut block in document.blocks(parameter) {
            while !block.is_empty() {
                let key = match by.kind {
                    Kind::Date => block.date().map(|span| {
                        // An open beginning tells nothing of when; the end does.
                        Self::Time(if span.low == date::FIRST { span.high } else { span.low })
                    }),
                    Kind::Token => block.token().and_then(|value| Self::bytes(value.code.or(value.text)?)),
                    Kind::String => block
                        .plain()
                        .filter(|text| text.first() != Some(&PART))
                        .and_then(|text| Self::bytes(unaccented_bytes(text).as_bytes())),
                    Kind::Uri => block.plain().and_then(Self::bytes),
                    Kind::Number | Kind::Quantity => block
                        .quantity()
                        .and_then(|value| Self::bytes(&Decimal::parse(value.low.or(value.high)?)?.sort_key())),
                    Kind::Reference => block.reference().and_then(|value| match value.target {
                        Target::Local(bytes)
                        | Target::Url(bytes)
                        | Target::Canonical(bytes)
                        | Target::Inside { key: bytes @ [_, ..], .. } => Self::bytes(bytes),
                        Target::Inside { .. } | Target::Nowhere => None,
                    }),
                    Kind::Composite | Kind::Special => return Self::Missing,
                };
                if let Some(key) = key
                    && key.compare(&best, by.direction) == Ordering::Less
                {
                    best = key;
                }
            }
        }
        best
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends chains of what may be absent")]
    fn bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::Bytes(bytes.get(..KEY_BYTES_MAX).unwrap_or(bytes).into()))
    }

    fn compare(&self, other: &Self, direction: Direction) -> Ordering {
        let order = match (self, other) {
            (Self::Missing, Self::Missing) => return Ordering::Equal,
            (Self::Missing, _) => return Ordering::Greater,
            (_, Self::Missing) => return Ordering::Less,
            (Self::Time(one), Self::Time(other)) => one.cmp(other),
            (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            // Two keys of one sort are of one kind.
            (Self::Time(_), Self::Bytes(_)) => Ordering::Less,
            (Self::Bytes(_), Self::Time(_)) => Ordering::Greater,
        };
        match direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        }
    }
}

/// The place of a document in the order.
pub(super) struct Place<'k> {
    pub(super) keys: &'k [Key],
    pub(super) ordinal: Ordinal,
}

impl Place<'_> {
    pub(super) fn compare(&self, other: &Place<'_>, sort: &[SortBy]) -> Ordering {
        let mut keys = self.keys.iter().zip(other.keys).zip(sort);
        let unequal = keys.find_map(|((one, other), by)| match one.compare(other, by.direction) {
            Ordering::Equal => None,
            order => Some(order),
        });
        unequal.unwrap_or_else(|| self.ordinal.cmp(&other.ordinal))
    }
}
