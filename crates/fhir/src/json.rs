//! One pass over JSON text: checks that it has exactly one reading and shows every value, with its
//! place, to a sink. It builds no tree and changes nothing.
//!
//! Why not `serde_json` alone: it keeps the last of two members with one name, where another reader
//! keeps the first, and with `arbitrary_precision` and `raw_value` it gives members of certain names
//! a meaning of their own. What passes here is read by `serde_json` as everybody else reads it
//! (RFC 8259), which a test below compares.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use crate::error::FhirError;

/// Deepest nesting of objects and arrays in one resource. `serde_json` stops at 128.
pub const JSON_DEPTH_MAX: usize = 64;

/// A step on the way from the root to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step<'t> {
    /// A member of an object, its name unescaped.
    Member(Cow<'t, str>),
    /// An element of an array, from 0.
    Index(usize),
}

impl Step<'_> {
    /// The member's name; nothing for an index.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Member(name) => Some(name),
            Self::Index(_) => None,
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name() == Some(name)
    }
}

/// What kind of value ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A value that was read and found well formed.
#[derive(Clone, Debug)]
pub(crate) struct Value<'t> {
    pub(crate) kind: Kind,
    /// Its place in the text, quotes and brackets included.
    pub(crate) span: Range<usize>,
    /// Its text, likewise.
    pub(crate) text: &'t str,
}

impl<'t> Value<'t> {
    /// The content of a string, unescaped; nothing for any other kind.
    pub(crate) fn string(&self) -> Option<Cow<'t, str>> {
        if self.kind != Kind::String {
            return None;
        }
        let inner = self.text.get(1..self.text.len().saturating_sub(1))?;
        Some(unescape(inner))
    }
}

/// Receives values in the order in which they end: members before their object.
pub(crate) trait Sink<'t> {
    /// Takes one value. `path` leads from the root to it; the root's own path is empty.
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError>;
}

/// The FHIRPath-like expression of a place: `Bundle.entry[3].resource`.
pub(crate) fn expression(root: &str, path: &[Step<'_>]) -> String {
    /// Longest expression we write, in bytes: names come from the peer.
    const EXPRESSION_BYTES_MAX: usize = 1024;
    let mut out = String::from(root);
    for step in path {
        match step {
            Step::Member(name) => {
                out.push('.');
                out.extend(name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }));
            }
            Step::Index(at) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "[{at}]");
            }
        }
        if out.len() > EXPRESSION_BYTES_MAX {
            out.push('…');
            break;
        }
    }
    out
}

/// Reads any JSON that has exactly one reading, with its numbers digit for digit: for formats other than FHIR that end
/// in a record as well. `root` names the whole in errors. The caller limits the size.
///
/// # Errors
/// [`FhirError::NotUtf8`], [`FhirError::Syntax`], [`FhirError::DuplicateMember`], [`FhirError::ReservedMember`],
/// [`FhirError::TooDeep`].
pub fn read_json(bytes: &[u8], root: &str) -> Result<serde_json::Value, FhirError> {
    struct Unseen;
    impl<'t> Sink<'t> for Unseen {
        fn value(&mut self, _: &[Step<'t>], _: &Value<'t>) -> Result<(), FhirError> {
            Ok(())
        }
    }
    let text = utf8(bytes)?;
    walk(text, root, JSON_DEPTH_MAX, &mut Unseen)?;
    serde_json::from_str(text).map_err(|error| FhirError::Syntax {
        line: error.line(),
        column: error.column(),
        expression: root.to_owned(),
        reason: "a number is beyond what can be read",
    })
}

/// Reads `bytes` as UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, FhirError> {
    std::str::from_utf8(bytes).map_err(|e| FhirError::NotUtf8 { at: e.valid_up_to() })
}

/// Walks `text`, which is one JSON value and nothing else. `root` names it in errors.
///
/// # Errors
/// [`FhirError::Syntax`], [`FhirError::DuplicateMember`], [`FhirError::ReservedMember`],
/// [`FhirError::TooDeep`], and whatever the sink refuses.
pub(crate) fn walk<'t, S: Sink<'t>>(
    text: &'t str,
    root: &str,
    depth_max: usize,
    sink: &mut S,
) -> Result<(), FhirError> {
    let mut walker = Walker { text, at: 0, root, depth: 0, depth_max, path: Vec::new(), names: Vec::new(), sink };
    if text.starts_with('\u{feff}') {
        return Err(walker.wrong("the text begins with a byte order mark; send it without"));
    }
    walker.value()?;
    walker.space();
    if walker.at < text.len() { Err(walker.wrong("text follows the end of the value")) } else { Ok(()) }
}

/// Names of one object up to which a look at each is quicker than a hash set.
const NAMES_COMPARED_MAX: usize = 24;

struct Walker<'t, 's, S> {
    text: &'t str,
    at: usize,
    root: &'s str,
    depth: usize,
    depth_max: usize,
    path: Vec<Step<'t>>,
    /// Names of the objects that are open, one after the other.
    names: Vec<Cow<'t, str>>,
    sink: &'s mut S,
}

impl<'t, S: Sink<'t>> Walker<'t, '_, S> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn wrong(&self, reason: &'static str) -> FhirError {
        let before = self.text.as_bytes().get(..self.at).unwrap_or(self.text.as_bytes());
        let line = before.split(|b| *b == b'\n').count();
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        FhirError::Syntax { line, column, expression: expression(self.root, &self.path), reason }
    }

    fn ended(&mut self, kind: Kind, start: usize) -> Result<(), FhirError> {
        let span = start..self.at;
        let text = self.text.get(span.clone()).unwrap_or_default();
        self.sink.value(&self.path, &Value { kind, span, text })
    }

    fn value(&mut self) -> Result<(), FhirError> {
        self.space();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Kind::Object)?,
            Some(b'[') => self.nested(Kind::Array)?,
            Some(b'"') => {
                self.string()?;
                Kind::String
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Kind::Number
            }
            Some(b't') => self.literal("true", Kind::Bool)?,
            Some(b'f') => self.literal("false", Kind::Bool)?,
            Some(b'n') => self.literal("null", Kind::Null)?,
            Some(_) => return Err(self.wrong("expected a value")),
            None => return Err(self.wrong("the text ends where a value is expected")),
        };
        self.ended(kind, start)
    }

    fn nested(&mut self, kind: Kind) -> Result<Kind, FhirError> {
        if self.depth >= self.depth_max {
            return Err(FhirError::TooDeep { expression: expression(self.root, &self.path), limit: self.depth_max });
        }
        self.depth += 1;
        self.at += 1;
        if kind == Kind::Object {
            self.members()?;
        } else {
            self.elements()?;
        }
        self.depth -= 1;
        Ok(kind)
    }

    fn members(&mut self) -> Result<(), FhirError> {
        let base = self.names.len();
        let mut many: Option<HashSet<Cow<'t, str>>> = None;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a member's name in double quotes"));
            }
            let name = self.string()?;
            self.path.push(Step::Member(name.clone()));
            self.check_name(name, base, &mut many)?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("expected ':' after a member's name"));
            }
            self.at += 1;
            self.value()?;
            self.path.pop();
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.wrong("expected ',' or '}' after a member")),
            }
        }
        self.at += 1;
        self.names.truncate(base);
        Ok(())
    }

    fn check_name(
        &mut self,
        name: Cow<'t, str>,
        base: usize,
        many: &mut Option<HashSet<Cow<'t, str>>>,
    ) -> Result<(), FhirError> {
        // `serde_json` takes objects with such members for a number or for JSON in a string.
        if name.starts_with("$serde_json::private::") {
            return Err(FhirError::ReservedMember { expression: expression(self.root, &self.path) });
        }
        let open = self.names.get(base..).unwrap_or_default();
        let new = match many {
            Some(set) => set.insert(name),
            None if open.contains(&name) => false,
            None => {
                if open.len() >= NAMES_COMPARED_MAX {
                    let mut set: HashSet<_> = open.iter().cloned().collect();
                    set.insert(name);
                    *many = Some(set);
                } else {
                    self.names.push(name);
                }
                true
            }
        };
        if new { Ok(()) } else { Err(FhirError::DuplicateMember { expression: expression(self.root, &self.path) }) }
    }

    fn elements(&mut self) -> Result<(), FhirError> {
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Step::Index(index));
            self.value()?;
            self.path.pop();
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.wrong("expected ',' or ']' after an element")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Cow<'t, str>, FhirError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(run) = rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20) else {
                self.at = self.text.len();
                return Err(self.wrong("a string has no closing quote"));
            };
            self.at += run;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => {
                    return Err(self.wrong("a string holds a control character that is not escaped"));
                }
            }
        }
        let inner = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(if escaped { unescape(inner) } else { Cow::Borrowed(inner) })
    }

    fn escape(&mut self) -> Result<(), FhirError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xDC00..=0xDFFF => Err(self.wrong("a string holds half a surrogate pair")),
                0xD800..=0xDBFF => {
                    let paired = self.peek() == Some(b'\\') && {
                        self.at += 1;
                        self.peek() == Some(b'u')
                    };
                    if paired && (0xDC00..=0xDFFF).contains(&self.code_unit()?) {
                        Ok(())
                    } else {
                        Err(self.wrong("a string holds half a surrogate pair"))
                    }
                }
                _ => Ok(()),
            },
            _ => Err(self.wrong("a string holds an unknown escape")),
        }
    }

    /// Reads `uXXXX`, standing at the `u`.
    fn code_unit(&mut self) -> Result<u16, FhirError> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.wrong("a string holds an unknown escape"));
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        // Four hexadecimal digits.
        Ok(u16::try_from(unit).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), FhirError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong("a number lacks a digit"));
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), FhirError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.wrong("a number begins with a needless zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Result<Kind, FhirError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(kind)
        } else {
            Err(self.wrong("expected true, false or null"))
        }
    }
}

/// The text of a string between its quotes, which were checked, without escapes.
pub(crate) fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    let unit = |rest: &mut std::str::Chars<'_>| {
        let digits = rest.as_str().get(..4).unwrap_or_default();
        let unit = u16::from_str_radix(digits, 16).unwrap_or(0xFFFD);
        rest.by_ref().take(4).for_each(drop);
        unit
    };
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let first = unit(&mut rest);
                let units = if (0xD800..0xDC00).contains(&first) {
                    rest.by_ref().take(2).for_each(drop);
                    vec![first, unit(&mut rest)]
                } else {
                    vec![first]
                };
                out.extend(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    /// Collects `expression kind text` of every value.
    #[derive(Default)]
    struct Trace(Vec<String>);

    impl<'t> Sink<'t> for Trace {
        fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
            self.0.push(format!("{} {:?} {}", expression("$", path), value.kind, value.text));
            Ok(())
        }
    }

    fn check(text: &str) -> Result<Vec<String>, FhirError> {
        let mut trace = Trace::default();
        walk(text, "$", JSON_DEPTH_MAX, &mut trace).map(|()| trace.0)
    }

    #[test]
    fn every_value_is_shown_with_its_place() {
        let seen = check(r#" {"a" : [1.10, {"b":"x\n"}] , "c":null}"#).unwrap();
        assert_eq!(
            seen,
            [
                "$.a[0] Number 1.10",
                "$.a[1].b String \"x\\n\"",
                "$.a[1] Object {\"b\":\"x\\n\"}",
                "$.a Array [1.10, {\"b\":\"x\\n\"}]",
                "$.c Null null",
                "$ Object {\"a\" : [1.10, {\"b\":\"x\\n\"}] , \"c\":null}",
            ]
        );
    }

    #[test]
    fn accepts_and_refuses_what_serde_json_does() {
        let good = [
            "0",
            "-0",
            "1.10",
            "1E-22",
            "1e+400",
            "-12.5e3",
            "123456789012345678901234567890.10",
            "\"\"",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[[],{}]",
            " [1 , 2 ] ",
            r#""\u00e9\ud83d\ude00\/\"""#,
            "\"é😀\"",
            r#"{"a":1,"b":{"a":1}}"#,
            "\"\u{7f}\u{2028}\"",
        ];
        for text in good {
            assert!(check(text).is_ok(), "{text}: {:?}", check(text));
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
        let bad = [
            "",
            " ",
            "01",
            "-",
            "-a",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "NaN",
            "Infinity",
            "tru",
            "nul",
            "True",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "{1:1}",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\ud800\\n\"",
            "\"\\ud800\\ud800\"",
            "\"\\udc00\"",
            "\"\u{1}\"",
            "\"\n\"",
            "1 2",
            "{} {}",
            "[1 2]",
            "// x\n1",
            "'a'",
            "\u{feff}1",
            "\u{a0}1",
            "]",
            "}",
            ",",
            "\"\\ud800\\\"",
            "\"\\ud83dx\"",
        ];
        for text in bad {
            assert!(check(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn unescapes_as_serde_json_does() {
        for text in [r#""a\nb\u0041\ud83d\ude00\\\"\/\b\f\r\t""#, r#""\u00e9é""#, "\"plain\"", "\"\""] {
            let value = Value { kind: Kind::String, span: 0..text.len(), text };
            assert_eq!(value.string().unwrap(), serde_json::from_str::<String>(text).unwrap());
        }
    }

    #[test]
    fn mutations_never_panic_and_agree_with_serde_json() {
        const ALPHABET: &[u8] = b"{}[]\",:\\0123456789eE+-. \ntrufalsn\x80";
        let seed = br#"{"resourceType":"Observation","a":[1.10,-2E-3,{"x":"\u00e9\ud83d\ude00"}],"t":true,"n":null}"#;
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap()
        };
        let mut agreed = 0;
        for _ in 0..40_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..=next() % 3 {
                let at = next() % bytes.len();
                match next() % 3 {
                    0 => bytes[at] = ALPHABET[next() % ALPHABET.len()],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, ALPHABET[next() % ALPHABET.len()]),
                }
            }
            let theirs = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            let ours = utf8(&bytes).and_then(check);
            match &ours {
                Err(FhirError::DuplicateMember { .. }) => continue,
                _ => assert_eq!(ours.is_ok(), theirs, "{:?} {ours:?}", String::from_utf8_lossy(&bytes)),
            }
            agreed += 1;
        }
        assert!(agreed > 39_000);
    }

    #[test]
    fn two_readings_are_refused_with_the_place() {
        let many = (0..100).map(|i| format!("\"m{i}\":{i}")).collect::<Vec<_>>().join(",");
        for (text, place) in [
            (r#"{"a":1,"a":2}"#.to_owned(), "$.a"),
            (r#"{"a":1,"\u0061":2}"#.to_owned(), "$.a"),
            (r#"{"x":[{"y":1},{"a":1,"b":2,"a":3}]}"#.to_owned(), "$.x[1].a"),
            (format!("{{{many},\"m3\":0}}"), "$.m3"),
            (format!("{{{many},\"m99\":0}}"), "$.m99"),
        ] {
            assert_eq!(check(&text), Err(FhirError::DuplicateMember { expression: place.to_owned() }), "{text}");
        }
        // The same name in other objects is no repetition.
        check(&format!("{{{many},\"n\":{{{many}}},\"o\":[{{\"a\":1}},{{\"a\":1}}]}}")).unwrap();
    }

    #[test]
    fn any_json_with_one_reading_is_read_digit_for_digit() {
        let value = read_json(br#"{"a":1.10,"b":[0.0]}"#, "$").unwrap();
        assert_eq!(value.to_string(), r#"{"a":1.10,"b":[0.0]}"#);
        assert_eq!(read_json(b"\"\xff\"", "$"), Err(FhirError::NotUtf8 { at: 1 }));
        let twice = FhirError::DuplicateMember { expression: "$.a[0].b".to_owned() };
        assert_eq!(read_json(br#"{"a":[{"b":1,"b":2}]}"#, "$"), Err(twice));
    }

    #[test]
    fn names_that_serde_json_keeps_for_itself_are_refused() {
        for name in ["$serde_json::private::Number", "$serde_json::private::RawValue", "\\u0024serde_json::private::X"]
        {
            let text = format!("{{\"a\":{{\"{name}\":\"1\"}}}}");
            assert!(matches!(check(&text), Err(FhirError::ReservedMember { .. })), "{name}");
        }
    }

    #[test]
    fn depth() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        check(&nested(JSON_DEPTH_MAX)).unwrap();
        let error = check(&nested(JSON_DEPTH_MAX + 1)).unwrap_err();
        assert!(matches!(error, FhirError::TooDeep { limit: JSON_DEPTH_MAX, .. }));
        // Far deeper than any stack: refused at the limit.
        assert!(matches!(check(&"{\"a\":".repeat(1_000_000)), Err(FhirError::TooDeep { .. })));
        // Siblings do not add up.
        check(&format!("[{}]", vec!["{}"; 1000].join(","))).unwrap();
    }

    #[test]
    fn the_place_of_a_slip_is_named() {
        let Err(FhirError::Syntax { line, column, expression, .. }) = check("{\"a\":\n [1,\n  x]}") else {
            panic!("accepted");
        };
        assert_eq!((line, column, expression.as_str()), (3, 3, "$.a[1]"));
    }
}
