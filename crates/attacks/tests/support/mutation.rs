//! Every way in which one message is altered: field by field, in its structure, and in its form.

use super::chance::Chance;
use super::tree::{Node, Path};

/// One altered message.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// The class under which it is counted.
    pub class: &'static str,
    /// Where, such as `0/3`.
    pub path: String,
    /// The altered message.
    pub bytes: Vec<u8>,
}

/// All alterations of a message. `other` is the same message of another run, for values that are valid elsewhere.
pub fn mutations(message: &[u8], other: &[u8], chance: &mut Chance) -> Vec<Mutation> {
    let tree = Node::read(message).expect("every message is CBOR");
    let other = Node::read(other);
    let mut made = Vec::new();
    fields(&tree, other.as_ref(), chance, &mut |class, path, altered| {
        made.push(Mutation { class, path: name(path), bytes: altered.bytes() });
    });
    made.extend(forms(message, chance));
    made.retain(|mutation| mutation.bytes != message);
    made
}

/// Every alteration of the fields and the structure of a tree, for `take`: also for an attacker who signs or seals
/// the altered part again.
pub fn fields(
    tree: &Node,
    other: Option<&Node>,
    chance: &mut Chance,
    take: &mut dyn FnMut(&'static str, &Path, &Node),
) {
    for (path, node) in tree.walk() {
        let mut put = |class, value: Node| {
            if value != *node {
                let mut altered = tree.clone();
                if let Some(place) = altered.at_mut(&path) {
                    *place = value;
                    take(class, &path, &altered);
                }
            }
        };
        if let Some(valid_elsewhere) = other.and_then(|other| other.at(&path)) {
            put("other value", valid_elsewhere.clone());
        }
        leaf(node, chance, &mut put);
        structure(node, &mut put);
    }
}

/// A path in words.
pub fn name(path: &[usize]) -> String {
    path.iter().map(usize::to_string).collect::<Vec<_>>().join("/")
}

fn leaf(node: &Node, chance: &mut Chance, put: &mut impl FnMut(&'static str, Node)) {
    match node {
        Node::Uint(n) => {
            put("bit flip", Node::Uint(n ^ (1 << chance.below(8))));
            for boundary in [0, n.wrapping_sub(1), n.wrapping_add(1), u64::from(u32::MAX), u64::MAX] {
                put("boundary", Node::Uint(boundary));
            }
            put("wrong type", Node::Text(n.to_string()));
            put("wrong type", Node::Negative(-1));
        }
        Node::Negative(n) => {
            put("bit flip", Node::Negative(n ^ 1));
            put("boundary", Node::Uint(0));
            put("wrong type", Node::Null);
        }
        Node::Bytes(bytes) => {
            if !bytes.is_empty() {
                let mut flipped = bytes.clone();
                let at = chance.below(bytes.len());
                flipped[at] ^= 1 << chance.below(8);
                put("bit flip", Node::Bytes(flipped));
            }
            put("boundary", Node::Bytes(vec![0; bytes.len()]));
            put("boundary", Node::Bytes(vec![0xff; bytes.len()]));
            put("truncated", Node::Bytes(Vec::new()));
            put("truncated", Node::Bytes(bytes[..bytes.len().saturating_sub(1)].to_vec()));
            put("truncated", Node::Bytes(bytes[..chance.below(bytes.len())].to_vec()));
            put("extended", Node::Bytes([bytes.as_slice(), &[0]].concat()));
            put("extended", Node::Bytes([bytes.as_slice(), bytes].concat()));
            put("wrong type", Node::Text("text".to_owned()));
            put("wrong type", Node::Null);
        }
        Node::Text(text) => {
            let mut flipped = text.clone().into_bytes();
            if !flipped.is_empty() {
                let at = chance.below(flipped.len());
                flipped[at] = (flipped[at] ^ 1) & 0x7f;
                put("bit flip", Node::Text(String::from_utf8_lossy(&flipped).into_owned()));
            }
            put("truncated", Node::Text(String::new()));
            put("truncated", Node::Text(text.chars().take(text.chars().count().saturating_sub(1)).collect()));
            put("extended", Node::Text(format!("{text}x")));
            put("boundary", Node::Text("\u{10ffff}".repeat(64)));
            put("wrong type", Node::Bytes(text.clone().into_bytes()));
        }
        Node::Null => {
            put("other value", Node::Uint(1));
            put("other value", Node::Text("x".to_owned()));
        }
        Node::Bool(value) => put("bit flip", Node::Bool(!value)),
        Node::Nested(_) | Node::Array(_) | Node::Map(_) | Node::Tag(..) => put("wrong type", Node::Null),
    }
}

/// Fields dropped, duplicated, put in another order, added.
fn structure(node: &Node, put: &mut impl FnMut(&'static str, Node)) {
    match node {
        Node::Array(items) => {
            for place in 0..items.len() {
                let mut dropped = items.clone();
                let item = dropped.remove(place);
                put("dropped", Node::Array(dropped));
                let mut doubled = items.clone();
                doubled.insert(place, item);
                put("duplicated", Node::Array(doubled));
                if place + 1 < items.len() {
                    let mut swapped = items.clone();
                    swapped.swap(place, place + 1);
                    put("reordered", Node::Array(swapped));
                }
            }
            for added in [Node::Null, Node::Uint(0), Node::Array(Vec::new())] {
                let mut longer = items.clone();
                longer.push(added);
                put("extended", Node::Array(longer));
            }
            put("truncated", Node::Array(Vec::new()));
        }
        Node::Map(items) => {
            for place in 0..items.len() {
                let mut dropped = items.clone();
                let item = dropped.remove(place);
                put("dropped", Node::Map(dropped));
                let mut doubled = items.clone();
                doubled.insert(place, item);
                put("duplicated", Node::Map(doubled));
                if place + 1 < items.len() {
                    let mut swapped = items.clone();
                    swapped.swap(place, place + 1);
                    put("reordered", Node::Map(swapped));
                }
            }
            let mut longer = items.clone();
            longer.push((Node::Uint(99), Node::Uint(0)));
            put("extended", Node::Map(longer));
        }
        Node::Tag(tag, inner) => {
            put("bit flip", Node::Tag(tag ^ 1, inner.clone()));
            put("dropped", (**inner).clone());
            put("duplicated", Node::Tag(*tag, Box::new(node.clone())));
        }
        _ => {}
    }
}

/// The same content in another form, and bytes that are cut or added.
fn forms(message: &[u8], chance: &mut Chance) -> Vec<Mutation> {
    let whole = |class, path: &str, bytes| Mutation { class, path: path.to_owned(), bytes };
    let mut made = vec![
        whole("truncated", "end", message[..message.len() - 1].to_vec()),
        whole("truncated", "end", message[..chance.below(message.len())].to_vec()),
        whole("truncated", "end", Vec::new()),
        whole("extended", "end", [message, &[0]].concat()),
        whole("extended", "end", [message, message].concat()),
        whole("extended", "front", [&[0xd9, 0xd9, 0xf7], message].concat()),
    ];
    // An array of up to 23 elements in its long form, and one of indefinite length.
    if let Some(length) = message.first().filter(|first| (0x80..0x98).contains(*first)).map(|first| first - 0x80) {
        made.push(whole("form", "long length", [&[0x98, length], &message[1..]].concat()));
        made.push(whole("form", "indefinite length", [&[0x9f], &message[1..], &[0xff]].concat()));
    }
    made
}
