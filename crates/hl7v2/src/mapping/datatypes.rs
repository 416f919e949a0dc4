//! Data types of HL7 v2 (version 2.9 chapter 2A) as FHIR datatypes: dates, codes, identifiers and
//! numbers. Names, addresses and who has them are in the file beside.

use serde_json::{Number, Value, json};

use super::context::Context;
use super::element::Element;
use super::tables;
use super::transaction::Key;
use crate::message::{Repeat, Segment, SegmentName};
use crate::timestamp::Timestamp;

/// Most digits of a number; a longer one is a text.
const DIGITS_MAX: usize = 40;

/// Identifier types (table 0203) that need no namespace beside the sender's.
const PLAIN_TYPES: [&str; 6] = ["MR", "MRN", "PI", "PT", "VN", "visitid"];
/// Fields of PID with numbers of other organizations.
const OTHER_NUMBERS: [usize; 2] = [2, 4];

impl Context<'_> {
    /// A DTM, if it can be read.
    pub(super) fn timestamp(&mut self, repeat: &Repeat<'_>, component: usize) -> Option<Timestamp> {
        let text = repeat.text(component)?;
        let read = Timestamp::read(&text);
        if read.is_none() {
            self.leave_out_value(repeat, component, "a date or time, as 20240131 or 202401311530+0100");
        }
        read
    }

    /// The first component of a field as `dateTime`.
    pub(super) fn date_time(&mut self, segment: &Segment<'_>, field: usize) -> Option<String> {
        self.date_time_of(&segment.first(field), 1)
    }

    pub(super) fn date_time_of(&mut self, repeat: &Repeat<'_>, component: usize) -> Option<String> {
        let local = self.settings.local_offset;
        Some(self.timestamp(repeat, component)?.date_time(local))
    }

    /// The first component of a field as `instant`.
    pub(super) fn instant(&mut self, segment: &Segment<'_>, field: usize) -> Option<String> {
        let local = self.settings.local_offset;
        self.timestamp(&segment.first(field), 1)?.instant(local)
    }

    /// A CWE, CE or CNE as CodeableConcept.
    pub(super) fn concept(&self, repeat: &Repeat<'_>) -> Option<Value> {
        self.concept_in(repeat, None)
    }

    /// As [`Self::concept`]; a code without a system belongs to a v2 table.
    pub(super) fn concept_in(&self, repeat: &Repeat<'_>, table: Option<&str>) -> Option<Value> {
        let mut concept = Element::new();
        for (at, system, oid) in [(1, 3, 14), (4, 6, 17), (10, 12, 20)] {
            let Some(code) = repeat.text(at) else { continue };
            let name = repeat.text(system);
            let system = match (table, &name) {
                (Some(table), None) => tables::v2(table),
                _ => self.code_system(name, repeat.text(oid)),
            };
            concept.push("coding", coding(&system, &code, repeat.text(at + 1)));
        }
        let text = [9, 2, 5].into_iter().find_map(|component| repeat.text(component));
        concept.set("text", text);
        concept.build()
    }

    /// The concept of a field's first repetition.
    pub(super) fn concept_at(&self, segment: &Segment<'_>, field: usize, table: Option<&str>) -> Option<Value> {
        self.concept_in(&segment.first(field), table)
    }

    /// A CX as system and value.
    pub(super) fn cx_key(&self, repeat: &Repeat<'_>) -> Option<Key> {
        let value = repeat.text(1)?;
        // Who assigned it; or the facility where it was assigned.
        let designator =
            [4, 6].into_iter().find(|component| (1..3).any(|part| repeat.part(*component, part).is_some()));
        let system = match (designator, repeat.text(5)) {
            (Some(at), _) => self.system(repeat.part(at, 1), repeat.part(at, 2), repeat.part(at, 3).as_deref()),
            // Nobody is named. The numbers of one sender are of different kinds and may be equal, so that
            // only what identifies a medical record or a visit stands in the sender's own namespace.
            (None, Some(kind)) if !PLAIN_TYPES.contains(&kind.as_str()) => self.own_system(&kind),
            (None, _)
                if OTHER_NUMBERS.contains(&repeat.place(0).field) && repeat.place(0).segment == SegmentName::PID =>
            {
                self.own_system(&format!("PID-{}", repeat.place(0).field))
            }
            (None, _) => self.system(None, None, None),
        };
        Some(Key { system, value })
    }

    /// A CX as Identifier.
    pub(super) fn identifier(&mut self, repeat: &Repeat<'_>) -> Option<Value> {
        let key = self.cx_key(repeat)?;
        let mut identifier = identifier(&key, repeat.text(5));
        let mut period = Element::new();
        for (name, component) in [("start", 7), ("end", 8)] {
            period.set(name, self.date_time_of(repeat, component));
        }
        identifier.set("period", period);
        Some(identifier.into())
    }

    /// An EI as system and value.
    pub(super) fn ei_key(&self, repeat: &Repeat<'_>) -> Option<Key> {
        let value = repeat.text(1)?;
        Some(Key { system: self.system(repeat.text(2), repeat.text(3), repeat.text(4).as_deref()), value })
    }
}

/// A Coding.
pub(super) fn coding(system: &str, code: &str, display: Option<String>) -> Value {
    // A FHIR `code` has no blanks but single ones between words.
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    Element::new().with("system", system).with("code", code).with("display", display).into()
}

/// A CodeableConcept of one coding.
pub(super) fn concept_of(system: &str, code: &str, display: Option<&str>) -> Value {
    json!({"coding": [coding(system, code, display.map(str::to_owned))]})
}

/// An Identifier with a type of table 0203.
pub(super) fn identifier(key: &Key, kind: Option<String>) -> Element {
    let kind = kind.map(|kind| concept_of(&tables::v2("0203"), &kind, None));
    Element::new().with("type", kind).with("system", key.system.as_str()).with("value", key.value.as_str())
}

/// An NM as a JSON number with the digits that the sender wrote: `1.10` stays `1.10`. What JSON forbids
/// (`+1`, `.5`, `5.`, `007`) is written as JSON writes it.
pub(super) fn decimal(text: &str) -> Option<Value> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() > DIGITS_MAX
        || (whole.is_empty() && fraction.is_empty())
        || !all_digits(whole)
        || !all_digits(fraction)
    {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}").parse::<Number>().ok().map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (text, expected) in [
            ("1.10", Some("1.10")),
            ("0.0", Some("0.0")),
            ("+5", Some("5")),
            ("-.5", Some("-0.5")),
            ("5.", Some("5")),
            ("007.00", Some("7.00")),
            ("12345678901234567890.12345678901", Some("12345678901234567890.12345678901")),
            ("1e5", None),
            ("1,5", None),
            ("", None),
            (".", None),
            ("-", None),
            ("--1", None),
            ("1.2.3", None),
            ("١", None),
            ("<15", None),
        ] {
            assert_eq!(decimal(text).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(decimal(&"1".repeat(DIGITS_MAX + 1)), None);
    }
}
