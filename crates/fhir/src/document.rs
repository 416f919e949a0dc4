//! JSON that is changed at a few places: a value is taken apart only on the way to such a place, and
//! everything else stays the text that it was. The text was accepted by
//! [`json::walk`](crate::json::walk) before. Nothing here knows of FHIR or of patches.

use std::borrow::Cow;

use crate::json;
use crate::splice::{self, quoted};

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Node<'t> {
    /// As it was written.
    Text(&'t str),
    /// An object that was taken apart, in the order of its members.
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
    /// An array that was taken apart.
    Array(Vec<Node<'t>>),
}

impl<'t> Node<'t> {
    /// A value from its text; white space around it is dropped.
    pub(crate) fn new(text: &'t str) -> Self {
        Self::Text(text.trim_matches([' ', '\n', '\r', '\t']))
    }

    /// Takes an object or array apart, one level deep. Other values stay text.
    pub(crate) fn open(&mut self) -> &mut Self {
        if let Self::Text(text) = *self {
            let part = |span| Self::Text(text.get(span).unwrap_or_default());
            if text.starts_with('{') {
                let members = splice::members(text.as_bytes(), 0);
                *self = Self::Object(members.map(|member| (member.name, part(member.value))).collect());
            } else if text.starts_with('[') {
                *self = Self::Array(splice::elements(text.as_bytes(), 0).map(part).collect());
            }
        }
        self
    }

    /// The content of a string; nothing for any other kind.
    pub(crate) fn string(&self) -> Option<Cow<'t, str>> {
        match self {
            Self::Text(text) => Some(json::unescape(text.strip_prefix('"')?.strip_suffix('"')?)),
            _ => None,
        }
    }

    /// Bytes that [`write`](Self::write) appends, or a few more.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| name.len() + 4 + value.size()).sum::<usize>() + 2
            }
            Self::Array(elements) => elements.iter().map(|value| value.size() + 1).sum::<usize>() + 2,
        }
    }

    /// Levels that were taken apart: what a walk over this value costs in stack.
    pub(crate) fn levels(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Object(members) => members.iter().map(|(_, value)| value.levels()).max().unwrap_or_default() + 1,
            Self::Array(elements) => elements.iter().map(Self::levels).max().unwrap_or_default() + 1,
        }
    }

    /// Appends the value as JSON text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            Self::Array(elements) => {
                out.push('[');
                for (at, value) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
        }
    }

    /// Whether both are the same JSON value: numbers by their value, strings unescaped, members in any
    /// order (RFC 6902 section 4.6).
    pub(crate) fn equals(mut self, mut other: Self) -> bool {
        self.open();
        other.open();
        match (self, other) {
            (Self::Object(mut a), Self::Object(mut b)) => {
                a.sort_by(|a, b| a.0.cmp(&b.0));
                b.sort_by(|a, b| a.0.cmp(&b.0));
                a.len() == b.len() && a.into_iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.equals(b.1))
            }
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.into_iter().zip(b).all(|(a, b)| a.equals(b)),
            (a @ Self::Text(text), b @ Self::Text(other)) => match (a.string(), b.string()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => text == other || Decimal::read(text).is_some_and(|a| Decimal::read(other) == Some(a)),
                _ => false,
            },
            _ => false,
        }
    }
}

/// The value of a number literal: its digits without zeros at the ends, and the power of ten of the
/// last one. Zero has neither sign nor digits.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Nothing for what is no number, or has an exponent out of all reason: it equals only itself.
    fn read(text: &str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse::<i32>().ok()?.into();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let exponent = exponent - i64::try_from(fraction.len()).ok()? + i64::try_from(all.len() - digits.len()).ok()?;
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), exponent: 0 });
        }
        Some(Self { is_negative, digits: digits.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn what_is_not_taken_apart_stays_text() {
        let mut node = Node::new(" {\"a\" : [1.10, {\"b\" : 1E-22}] , \"c\":\"\\u0041\"}\n");
        let Node::Object(members) = node.open() else { panic!() };
        members[0].1.open();
        let mut out = String::new();
        node.write(&mut out);
        assert_eq!(out, "{\"a\":[1.10,{\"b\" : 1E-22}],\"c\":\"\\u0041\"}");
        assert!(node.size() >= out.len());
        assert_eq!(node.levels(), 2);
    }

    #[test]
    fn equality_is_that_of_values() {
        for (a, b, equal) in [
            ("1.10", "1.1", true),
            ("1e2", "100", true),
            ("100", "1E+2", true),
            ("0.001", "1e-3", true),
            ("-0.0", "0", true),
            ("-1", "1", false),
            ("10", "1", false),
            ("0.1", "0.01", false),
            ("1e99999999999", "1e99999999999", true),
            ("1e99999999999", "10e99999999998", false),
            ("12345678901234567890.1", "12345678901234567890.2", false),
            ("1", "\"1\"", false),
            ("true", "true", true),
            ("true", "false", false),
            ("null", "0", false),
            ("\"\\u0061\"", "\"a\"", true),
            ("[1,2]", "[ 1.0 , 2 ]", true),
            ("[1,2]", "[2,1]", false),
            ("[1]", "[1,1]", false),
            ("[]", "{}", false),
            ("{\"a\":1,\"b\":[{}]}", "{\"b\":[{ }],\"\\u0061\":1}", true),
            ("{\"a\":1}", "{\"a\":1,\"b\":1}", false),
            ("{\"a\":1}", "{\"b\":1}", false),
        ] {
            assert_eq!(Node::new(a).equals(Node::new(b)), equal, "{a} {b}");
            assert_eq!(Node::new(b).equals(Node::new(a)), equal, "{b} {a}");
        }
    }
}
