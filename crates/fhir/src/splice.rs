//! Changes to JSON text by replacing spans of it, so that everything else stays byte for byte. The
//! text was accepted by [`json::walk`](crate::json::walk) before; nothing is checked again here.

use std::borrow::Cow;
use std::ops::Range;

use crate::json;

/// A member of an object: its name, unescaped, and the place of its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member<'t> {
    pub(crate) name: Cow<'t, str>,
    pub(crate) value: Range<usize>,
}

/// The members of one object, found without looking into their values: a byte is touched once.
pub(crate) struct Members<'t> {
    text: &'t [u8],
    at: usize,
}

/// The members of the first object at or after `at`.
pub(crate) fn members(text: &[u8], at: usize) -> Members<'_> {
    let opening = text.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'{'));
    Members { text, at: opening.map_or(text.len(), |found| at + found + 1) }
}

impl<'t> Iterator for Members<'t> {
    type Item = Member<'t>;

    fn next(&mut self) -> Option<Member<'t>> {
        // Between members stand white space and one comma; what ends the object ends the walk.
        while matches!(self.text.get(self.at)?, b' ' | b'\n' | b'\r' | b'\t' | b',') {
            self.at += 1;
        }
        if *self.text.get(self.at)? != b'"' {
            return None;
        }
        let end = after_string(self.text, self.at);
        let name = std::str::from_utf8(self.text.get(self.at + 1..end - 1)?).ok()?;
        self.at = end;
        while matches!(self.text.get(self.at)?, b' ' | b'\n' | b'\r' | b'\t' | b':') {
            self.at += 1;
        }
        let start = self.at;
        self.at = after_value(self.text, start);
        Some(Member { name: json::unescape(name), value: start..self.at })
    }
}

/// The elements of one array, likewise.
pub(crate) struct Elements<'t> {
    text: &'t [u8],
    at: usize,
}

/// The elements of the first array at or after `at`.
pub(crate) fn elements(text: &[u8], at: usize) -> Elements<'_> {
    let opening = text.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'['));
    Elements { text, at: opening.map_or(text.len(), |found| at + found + 1) }
}

impl Iterator for Elements<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        while matches!(self.text.get(self.at)?, b' ' | b'\n' | b'\r' | b'\t' | b',') {
            self.at += 1;
        }
        if *self.text.get(self.at)? == b']' {
            return None;
        }
        let start = self.at;
        // Broken text must not hold us at one place.
        self.at = after_value(self.text, start).max(start + 1);
        Some(start..self.at)
    }
}

/// The place behind the value that begins at `at`.
fn after_value(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => after_string(text, at),
        Some(b'{' | b'[') => after_nested(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            rest.iter().position(ends).map_or(text.len(), |found| at + found)
        }
    }
}

fn after_nested(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = after_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The place behind the closing quote of the string that begins at `at`.
fn after_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.iter().position(|b| *b == b'"' || *b == b'\\') {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            Some(found) => at += found + 2,
            None => return text.len(),
        }
    }
}

/// A string as JSON text, with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    // Writing a string to memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// Spans to replace. They do not overlap; an empty span inserts.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn replace(&mut self, span: Range<usize>, with: String) {
        self.0.push((span, with));
    }

    pub(crate) fn insert(&mut self, at: usize, what: String) {
        self.0.push((at..at, what));
    }

    /// The text with every span replaced. Insertions at one place keep the order in which they came.
    pub(crate) fn apply(mut self, text: &[u8]) -> Vec<u8> {
        self.0.sort_by_key(|(span, _)| span.start);
        let more: usize = self.0.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(text.len() + more);
        let mut at = 0;
        for (span, with) in &self.0 {
            out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
            out.extend_from_slice(with.as_bytes());
            at = span.end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn members_are_found_with_their_values() {
        let text =
            " {\"a\" : [1,{\"x\":\"]}\\\"\"}] ,\"\\u0062\":-1.0e5,\n\"c\":\"q\\\\\" , \"d\":null,\"e\":{\"id\":{}}}\n";
        let seen: Vec<_> = members(text.as_bytes(), 0).map(|m| (m.name.into_owned(), &text[m.value])).collect();
        let expected =
            [("a", "[1,{\"x\":\"]}\\\"\"}]"), ("b", "-1.0e5"), ("c", "\"q\\\\\""), ("d", "null"), ("e", "{\"id\":{}}")];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn what_is_no_object_has_no_members_and_broken_text_ends_the_walk() {
        for text in ["", " ", "[1]", "7", "{", "{}", "{ }", "{\"", "{\"a", "{\"a\"", "{\"a\\", "{1:2}"] {
            assert_eq!(members(text.as_bytes(), 0).count(), 0, "{text}");
        }
        for text in ["{\"a\":", "{\"a\":\"", "{\"a\":[[", "{\"a\":1"] {
            assert!(members(text.as_bytes(), 0).count() <= 1, "{text}");
        }
    }

    #[test]
    fn elements_are_found() {
        for (text, expected) in [
            ("[]", vec![]),
            (" [ ] ", vec![]),
            ("[1,\"]\" ,\n{\"a\":[2]},[3] ]", vec!["1", "\"]\"", "{\"a\":[2]}", "[3]"]),
            ("{\"a\":1}", vec![]),
            ("[}", vec!["}"]),
            ("[1", vec!["1"]),
        ] {
            let seen: Vec<_> = elements(text.as_bytes(), 0).map(|span| &text[span]).collect();
            assert_eq!(seen, expected, "{text}");
        }
    }

    #[test]
    fn edits_keep_the_rest() {
        let mut edits = Edits::default();
        edits.replace(4..6, "XY Z".to_owned());
        edits.insert(1, "one".to_owned());
        edits.insert(1, "two".to_owned());
        edits.replace(9..10, String::new());
        assert_eq!(edits.apply(b"0123456789"), b"0onetwo123XY Z678");
        assert_eq!(Edits::default().apply(b"abc"), b"abc");
    }
}
