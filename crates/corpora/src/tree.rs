//! A message as a tree of CBOR items, byte strings that hold a message opened too, so that a field deep inside can be
//! altered and the whole still has the one form that a receiver reads.

use minicbor::data::{Int, Type};
use minicbor::{Decoder, Encoder};

/// Deepest nesting that is taken apart.
const DEPTH_MAX: usize = 16;
/// Most items of one message.
const ITEMS_MAX: usize = 20_000;

/// A CBOR item of the kinds that our messages are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An integer.
    Integer(i128),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A byte string that holds an array, a map or a tagged item in deterministic form.
    Nested(Box<Item>),
    /// A text.
    Text(String),
    /// An array of definite length.
    Array(Vec<Item>),
    /// Keys and values in turn.
    Map(Vec<Item>),
    /// A tag and what it is put on.
    Tagged(u64, Box<Item>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

impl Item {
    /// Reads one item that takes up all bytes and encodes to the same again.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut left = ITEMS_MAX;
        let item = whole(bytes, DEPTH_MAX, &mut left)?;
        (item.to_bytes() == bytes).then_some(item)
    }

    /// The item's deterministic form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(self, &mut Encoder::new(&mut out));
        out
    }

    /// How many items there are, this one and all below.
    pub fn count(&self) -> usize {
        1 + match self {
            Self::Nested(inner) | Self::Tagged(_, inner) => inner.count(),
            Self::Array(items) | Self::Map(items) => items.iter().map(Self::count).sum(),
            _ => 0,
        }
    }

    /// The item with this number, counted from this one (0) on downwards.
    pub fn at(&mut self, number: usize) -> Option<&mut Self> {
        let Some(mut number) = number.checked_sub(1) else { return Some(self) };
        let below: &mut [Self] = match self {
            Self::Nested(inner) | Self::Tagged(_, inner) => std::slice::from_mut(inner),
            Self::Array(items) | Self::Map(items) => items,
            _ => return None,
        };
        for item in below {
            let count = item.count();
            if number < count {
                return item.at(number);
            }
            number -= count;
        }
        None
    }
}

fn whole(bytes: &[u8], depth: usize, left: &mut usize) -> Option<Item> {
    let mut decoder = Decoder::new(bytes);
    let item = read(&mut decoder, depth, left)?;
    (decoder.position() == bytes.len()).then_some(item)
}

fn read(decoder: &mut Decoder<'_>, depth: usize, left: &mut usize) -> Option<Item> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    Some(match decoder.datatype().ok()? {
        Type::Bytes => {
            let bytes = decoder.bytes().ok()?;
            let before = *left;
            let inner = whole(bytes, depth, left)
                .filter(|inner| matches!(inner, Item::Array(_) | Item::Map(_) | Item::Tagged(..)))
                .filter(|inner| inner.to_bytes() == bytes);
            if let Some(inner) = inner {
                Item::Nested(Box::new(inner))
            } else {
                *left = before;
                Item::Bytes(bytes.to_vec())
            }
        }
        Type::String => Item::Text(decoder.str().ok()?.to_owned()),
        Type::Array => Item::Array(several(decoder.array().ok()??, decoder, depth, left)?),
        Type::Map => Item::Map(several(decoder.map().ok()??.checked_mul(2)?, decoder, depth, left)?),
        Type::Tag => Item::Tagged(decoder.tag().ok()?.as_u64(), Box::new(read(decoder, depth, left)?)),
        Type::Bool => Item::Bool(decoder.bool().ok()?),
        Type::Null => {
            decoder.null().ok()?;
            Item::Null
        }
        _ => Item::Integer(decoder.int().ok()?.into()),
    })
}

fn several(count: u64, decoder: &mut Decoder<'_>, depth: usize, left: &mut usize) -> Option<Vec<Item>> {
    (0..count).map(|_| read(decoder, depth, left)).collect()
}

fn write(item: &Item, encoder: &mut Encoder<&mut Vec<u8>>) {
    // Writing to memory cannot fail.
    match item {
        Item::Integer(number) => drop(encoder.int(Int::try_from(*number).unwrap_or(Int::from(0u8)))),
        Item::Bytes(bytes) => drop(encoder.bytes(bytes)),
        Item::Nested(inner) => drop(encoder.bytes(&inner.to_bytes())),
        Item::Text(text) => drop(encoder.str(text)),
        Item::Array(items) => {
            drop(encoder.array(items.len() as u64));
            for item in items {
                write(item, encoder);
            }
        }
        Item::Map(items) => {
            drop(encoder.map(items.len() as u64 / 2));
            for item in items {
                write(item, encoder);
            }
        }
        Item::Tagged(tag, inner) => {
            drop(encoder.tag(minicbor::data::Tag::new(*tag)));
            write(inner, encoder);
        }
        Item::Bool(value) => drop(encoder.bool(*value)),
        Item::Null => drop(encoder.null()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::earlier_run;

    #[test]
    fn real_messages_come_apart_and_together_again() {
        for message in earlier_run() {
            let mut tree = Item::parse(message).expect("a message");
            assert_eq!(&tree.to_bytes(), message);
            let count = tree.count();
            assert!(count > 3 && tree.at(count - 1).is_some() && tree.at(count).is_none());
        }
    }
}
