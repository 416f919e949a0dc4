//! An alteration that was found in a recorded message, made to the same message of the run at hand: every other field
//! stays that of this run, so that the altered one alone is wrong.

use super::support::tree::Node;

/// Puts what an attacker altered in a recorded message into the same message of this run.
pub(crate) fn graft(now: &[u8], recorded: &[u8], altered: &[u8]) -> Vec<u8> {
    let (now_tree, old) = (Node::read(now).unwrap(), Node::read(recorded).unwrap());
    match Node::read(altered).filter(|new| new.bytes() == altered) {
        Some(new) => merge(&now_tree, &old, &new).bytes(),
        None => altered_bytes(now, recorded, altered),
    }
}

/// Whole-message alterations: cut, lengthened, in another form.
fn altered_bytes(now: &[u8], recorded: &[u8], altered: &[u8]) -> Vec<u8> {
    if let Some(rest) = altered.strip_prefix(recorded) {
        return [now, if rest == recorded { now } else { rest }].concat();
    }
    if recorded.starts_with(altered) {
        return now[..altered.len().min(now.len() - 1)].to_vec();
    }
    match altered {
        [0x98, length, ..] => [&[0x98, *length], &now[1..]].concat(),
        [0x9f, ..] => [&[0x9f], &now[1..], &[0xff]].concat(),
        _ => altered.to_vec(),
    }
}

/// The tree of this run with the difference between two recorded trees.
fn merge(now: &Node, old: &Node, new: &Node) -> Node {
    if old == new {
        return now.clone();
    }
    match (now, old, new) {
        (Node::Array(n), Node::Array(o), Node::Array(w)) if n.len() == o.len() && o.len() == w.len() => {
            Node::Array(n.iter().zip(o).zip(w).map(|((n, o), w)| merge(n, o, w)).collect())
        }
        (Node::Array(n), Node::Array(o), Node::Array(w)) => {
            // A field dropped, doubled or added: each field of the new tree is found in the old one by its value.
            let field = |value: &Node| o.iter().position(|old| old == value).and_then(|place| n.get(place));
            Node::Array(w.iter().map(|value| field(value).unwrap_or(value).clone()).collect())
        }
        (Node::Nested(n), Node::Nested(o), Node::Nested(w)) => Node::Nested(Box::new(merge(n, o, w))),
        (Node::Tag(_, n), Node::Tag(_, o), Node::Tag(tag, w)) => Node::Tag(*tag, Box::new(merge(n, o, w))),
        _ => new.clone(),
    }
}
