//! Alterations of a message as a script asks for them: of its bytes, of one field deep inside, or by what another
//! message holds. What an attacker on the wire or a lying peer can do to one message.

use crate::input::Input;
use crate::tree::Item;

/// Longest message that an alteration makes, in bytes.
const ALTERED_BYTES_MAX: usize = 256 * 1024;

/// How often a script may alter the messages of one run.
const ALTERATIONS_MAX: usize = 4;

/// One alteration as read from a script.
#[derive(Debug, Clone, Copy)]
pub struct Alteration<'a> {
    /// Which message of the run, counted from 0.
    pub message: usize,
    script: Input<'a>,
}

/// Reads the alterations that an input asks for, of `messages` messages in a run. Each is a block: the message, the
/// block's length, and what to do.
pub fn read_all<'a>(input: &mut Input<'a>, messages: usize) -> Vec<Alteration<'a>> {
    let mut all = Vec::new();
    while !input.is_empty() && all.len() < ALTERATIONS_MAX {
        let message = usize::from(input.byte()) % messages;
        all.push(Alteration { message, script: Input::new(input.bytes()) });
    }
    all
}

impl Alteration<'_> {
    /// Alters a message. `others` are messages that the attacker has seen.
    pub fn apply(&self, mut bytes: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
        let mut script = self.script;
        let kind = script.byte() % 16;
        if kind < 8 {
            alter_bytes(kind, &mut bytes, &mut script, others);
        } else if let Some(mut tree) = Item::parse(&bytes) {
            alter_field(kind - 8, &mut tree, &mut script, others);
            bytes = tree.to_bytes();
        }
        bytes.truncate(ALTERED_BYTES_MAX);
        bytes
    }
}

/// Alters a single message as the rest of an input asks for.
pub fn alter(bytes: Vec<u8>, script: Input<'_>, others: &[Vec<u8>]) -> Vec<u8> {
    Alteration { message: 0, script }.apply(bytes, others)
}

fn alter_bytes(kind: u8, bytes: &mut Vec<u8>, script: &mut Input<'_>, others: &[Vec<u8>]) {
    let at = script.below(bytes.len().max(1));
    match kind {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= script.byte().max(1);
            }
        }
        1 => bytes.truncate(at),
        2 => bytes.extend_from_slice(script.bytes()),
        3 => {
            let end = (at + usize::from(script.byte()) + 1).min(bytes.len());
            drop(bytes.drain(at.min(end)..end));
        }
        4 => drop(bytes.splice(at..at, script.bytes().iter().copied())),
        5 => {
            let from = script.bytes();
            for (to, from) in bytes.iter_mut().skip(at).zip(from) {
                *to = *from;
            }
        }
        6 => *bytes = script.bytes().to_vec(),
        _ => {
            if !others.is_empty() {
                bytes.clone_from(&others[at % others.len()]);
            }
        }
    }
}

fn alter_field(kind: u8, tree: &mut Item, script: &mut Input<'_>, others: &[Vec<u8>]) {
    let number = script.below(tree.count());
    let Some(item) = tree.at(number) else { return };
    match kind {
        0 => *item = Item::Integer(script.number().into()),
        1 => *item = Item::Bytes(script.bytes().to_vec()),
        2 => *item = Item::Text(String::from_utf8_lossy(script.bytes()).into_owned()),
        3 => {
            *item = script
                .one_of(&[Item::Null, Item::Bool(true), Item::Bool(false), Item::Array(vec![])].each_ref())
                .clone();
        }
        4 => alter_inside(item, script),
        // The same place of another message, or any place of it.
        5 => {
            if others.is_empty() {
                return;
            }
            let Some(mut other) = Item::parse(&others[script.below(others.len())]) else { return };
            let place = if script.byte().is_multiple_of(2) { number } else { script.below(other.count()) };
            if let Some(other) = other.at(place) {
                *item = other.clone();
            }
        }
        6 => {
            if let Item::Array(items) | Item::Map(items) = item {
                let at = script.below(items.len().max(1));
                match script.byte() % 4 {
                    0 if at < items.len() => drop(items.remove(at)),
                    1 if at < items.len() => items.insert(at, items[at].clone()),
                    2 => items.reverse(),
                    _ => items.push(Item::Null),
                }
            }
        }
        _ => {
            let repeated = item.clone();
            let times = usize::from(script.byte());
            if repeated.count() * times < 4096 {
                *item = Item::Array(vec![repeated; times]);
            }
        }
    }
}

fn alter_inside(item: &mut Item, script: &mut Input<'_>) {
    match item {
        Item::Integer(number) => *number ^= 1 << (script.byte() % 63),
        Item::Bytes(bytes) => {
            let kind = script.byte() % 6;
            alter_bytes(kind, bytes, script, &[]);
        }
        Item::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            let kind = script.byte() % 6;
            alter_bytes(kind, &mut bytes, script, &[]);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Item::Bool(value) => *value = !*value,
        Item::Tagged(tag, _) => *tag ^= u64::from(script.byte()),
        Item::Nested(inner) => {
            let mut bytes = inner.to_bytes();
            let kind = script.byte() % 6;
            alter_bytes(kind, &mut bytes, script, &[]);
            *item = Item::Bytes(bytes);
        }
        Item::Array(items) | Item::Map(items) => {
            let to = script.below(items.len().max(1));
            if !items.is_empty() {
                items.rotate_left(to);
            }
        }
        Item::Null => *item = Item::Integer(0),
    }
}
