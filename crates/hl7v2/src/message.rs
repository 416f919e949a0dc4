//! A message as segments, fields, repetitions and components, with a name for every place. Splitting a
//! segment is the parser's; finding segments, limits and escape sequences are ours, because the parser
//! stops silently at a line that it cannot read. What a field means is the mapping's.

use std::fmt;
use std::ops::Range;

use hl7_parser::message as parsed;
use thiserror::Error;

use crate::character_set::{self, CharacterSetError};
use crate::escape;

/// Most segments of a message.
pub const SEGMENTS_MAX: usize = 20_000;
/// Most delimiters in one segment: each costs memory when the segment is taken apart.
pub const SEGMENT_DELIMITERS_MAX: usize = 20_000;
/// Most repetitions of one field.
pub const REPETITIONS_MAX: usize = 200;
/// Largest field other than OBX-5, in bytes: FHIR takes no longer string (R4 datatypes, `string`).
pub const FIELD_BYTES_MAX: usize = 1024 * 1024;

/// Why bytes are not a message that can be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// It does not begin with MSH.
    #[error("a message must begin with the segment MSH")]
    NoHeader,
    /// MSH-1 and MSH-2 do not give delimiters.
    #[error("MSH-1 and MSH-2 must name five different delimiters, as in MSH|^~\\&")]
    Delimiters,
    /// See [`CharacterSetError`].
    #[error(transparent)]
    CharacterSet(#[from] CharacterSetError),
    /// A line does not begin with the name of a segment. What follows it would be lost.
    #[error("line {line} is not a segment; escape line ends inside a value as \\.br\\")]
    NotASegment {
        /// The line, counted from 1, empty lines included.
        line: usize,
    },
    /// Over [`SEGMENTS_MAX`].
    #[error("the message has more than {SEGMENTS_MAX} segments; split it")]
    TooManySegments,
    /// Over [`SEGMENT_DELIMITERS_MAX`].
    #[error("{0} has more than {SEGMENT_DELIMITERS_MAX} delimiters")]
    TooManyDelimiters(Place),
    /// Over [`REPETITIONS_MAX`].
    #[error("{0} is repeated more than {REPETITIONS_MAX} times")]
    TooManyRepetitions(Place),
    /// Over [`FIELD_BYTES_MAX`].
    #[error("{0} is longer than {FIELD_BYTES_MAX} bytes; only OBX-5 may be")]
    FieldTooLong(Place),
}

impl ReadError {
    /// Where in the message, if it is one place.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::NoHeader | Self::NotASegment { .. } | Self::TooManySegments => None,
            Self::Delimiters => Some(Place::field(SegmentName::MSH, 1, 2)),
            Self::CharacterSet(_) => Some(Place::field(SegmentName::MSH, 1, 18)),
            Self::TooManyDelimiters(place) | Self::TooManyRepetitions(place) | Self::FieldTooLong(place) => {
                Some(*place)
            }
        }
    }
}

/// The three letters or digits that name a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName([u8; 3]);

impl SegmentName {
    /// The message header.
    pub const MSH: Self = Self(*b"MSH");
    /// An identity that is given up.
    pub const MRG: Self = Self(*b"MRG");
    /// A result, or a line of a document.
    pub const OBX: Self = Self(*b"OBX");
    /// The patient.
    pub const PID: Self = Self(*b"PID");
    /// A document.
    pub const TXA: Self = Self(*b"TXA");

    /// The name at the beginning of a line.
    pub fn read(line: &str) -> Option<Self> {
        let letters = *line.as_bytes().first_chunk::<3>()?;
        let named = letters.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        named.then_some(Self(letters))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a message, as interface engineers write it: `PID-3[1].1`; the second OBX is `OBX[2]`. All
/// numbers count from 1; 0 stands for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The segment.
    pub segment: SegmentName,
    /// Which one of that name.
    pub occurrence: usize,
    /// The field.
    pub field: usize,
    /// The repetition of the field.
    pub repetition: usize,
    /// The component.
    pub component: usize,
}

impl Place {
    /// A whole segment.
    pub fn segment(segment: SegmentName, occurrence: usize) -> Self {
        Self::field(segment, occurrence, 0)
    }

    /// A whole field.
    pub fn field(segment: SegmentName, occurrence: usize, field: usize) -> Self {
        Self { segment, occurrence, field, repetition: 0, component: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.segment)?;
        if self.occurrence > 1 {
            write!(f, "[{}]", self.occurrence)?;
        }
        if self.field > 0 {
            write!(f, "-{}", self.field)?;
        }
        if self.repetition > 0 {
            write!(f, "[{}]", self.repetition)?;
        }
        if self.component > 0 {
            write!(f, ".{}", self.component)?;
        }
        Ok(())
    }
}

/// The characters that separate and escape, from MSH-1 and MSH-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiters {
    /// Between fields; MSH-1.
    pub field: char,
    /// Between components.
    pub component: char,
    /// Between repetitions.
    pub repetition: char,
    /// Around escape sequences.
    pub escape: char,
    /// Between subcomponents.
    pub subcomponent: char,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { field: '|', component: '^', repetition: '~', escape: '\\', subcomponent: '&' }
    }
}

impl Delimiters {
    /// Reads what follows `MSH`. MSH-2 may lack its last characters, which then are the usual ones, and may
    /// have the truncation character of v2.7.
    pub fn read(header: &str) -> Option<Self> {
        let mut letters = header.chars();
        let field = letters.next()?;
        let rest = letters.as_str();
        let encoding = rest.split([field, '\r', '\n']).next().unwrap_or_default();
        if encoding.is_empty() || encoding.len() > 5 {
            return None;
        }
        let mut given = encoding.chars();
        let usual = Self::default();
        let found = Self {
            field,
            component: given.next().unwrap_or(usual.component),
            repetition: given.next().unwrap_or(usual.repetition),
            escape: given.next().unwrap_or(usual.escape),
            subcomponent: given.next().unwrap_or(usual.subcomponent),
        };
        let all = found.all();
        let sound = all.iter().all(char::is_ascii_punctuation);
        let different = all.iter().enumerate().all(|(at, one)| !all.iter().skip(at + 1).any(|other| other == one));
        (sound && different).then_some(found)
    }

    fn all(&self) -> [char; 5] {
        [self.field, self.component, self.repetition, self.escape, self.subcomponent]
    }

    fn separators(&self) -> parsed::Separators {
        parsed::Separators {
            field: self.field,
            component: self.component,
            repetition: self.repetition,
            escape: self.escape,
            subcomponent: self.subcomponent,
            lenient_newlines: true,
        }
    }
}

/// A message whose segments have been found. Nothing of it shows in `Debug`.
pub struct Message {
    text: String,
    delimiters: Delimiters,
    segments: Vec<(SegmentName, usize, Range<usize>)>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} segments)", self.segments.len())
    }
}

impl Message {
    /// Reads one message: its text by MSH-18, its segments by CR, LF or CRLF.
    ///
    /// # Errors
    /// [`ReadError`], the sender's fault each time.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let trimmed = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
        if !trimmed.starts_with(b"MSH") {
            return Err(ReadError::NoHeader);
        }
        let text = character_set::text(trimmed)?.into_owned();
        let delimiters = text.get(3..).and_then(Delimiters::read).ok_or(ReadError::Delimiters)?;
        let mut segments: Vec<(SegmentName, usize, Range<usize>)> = Vec::new();
        let mut counts = std::collections::HashMap::new();
        let mut start = 0;
        for (at, line) in text.split(['\r', '\n']).enumerate() {
            let range = start..start + line.len();
            start = range.end + 1;
            if line.trim().is_empty() {
                continue;
            }
            let after = line.get(3..).unwrap_or_default();
            let name = SegmentName::read(line).filter(|_| after.is_empty() || after.starts_with(delimiters.field));
            let name = name.ok_or(ReadError::NotASegment { line: at + 1 })?;
            if segments.len() == SEGMENTS_MAX {
                return Err(ReadError::TooManySegments);
            }
            let occurrence = counts.entry(name).and_modify(|count| *count += 1).or_insert(1_usize);
            check_limits(Place::segment(name, *occurrence), line, &delimiters)?;
            segments.push((name, *occurrence, range));
        }
        Ok(Self { text, delimiters, segments })
    }

    /// The delimiters.
    pub fn delimiters(&self) -> &Delimiters {
        &self.delimiters
    }

    /// The segments in their order, each taken apart when it is reached.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.segments.iter().map(|(name, occurrence, range)| self.segment(*name, *occurrence, range))
    }

    /// The first segment of a name.
    pub fn first(&self, name: &str) -> Option<Segment<'_>> {
        let (name, occurrence, range) = self.segments.iter().find(|(found, ..)| found.as_str() == name)?;
        Some(self.segment(*name, *occurrence, range))
    }

    /// The MSH.
    pub fn header(&self) -> Segment<'_> {
        // Reading refuses a text that does not begin with one.
        self.first("MSH").unwrap_or_else(|| self.segment(SegmentName::MSH, 1, &(0..0)))
    }

    fn segment(&self, name: SegmentName, occurrence: usize, range: &Range<usize>) -> Segment<'_> {
        let line = self.text.get(range.clone()).unwrap_or_default();
        let parsed = hl7_parser::parser::parse_segment_with_separators(line, self.delimiters.separators()).ok();
        Segment { name, occurrence, parsed, delimiters: self.delimiters }
    }
}

fn check_limits(place: Place, line: &str, delimiters: &Delimiters) -> Result<(), ReadError> {
    let others = [delimiters.component, delimiters.repetition, delimiters.subcomponent];
    let mut count = 0;
    for (at, field) in line.split(delimiters.field).enumerate() {
        // The piece before the first delimiter is the name; MSH-1 is that delimiter itself.
        let place = Place { field: if place.segment == SegmentName::MSH { at + 1 } else { at }, ..place };
        count += 1 + field.matches(others).count();
        if count > SEGMENT_DELIMITERS_MAX {
            return Err(ReadError::TooManyDelimiters(Place { field: 0, ..place }));
        }
        if field.matches(delimiters.repetition).count() >= REPETITIONS_MAX {
            return Err(ReadError::TooManyRepetitions(place));
        }
        if field.len() > FIELD_BYTES_MAX && !(place.segment.as_str() == "OBX" && place.field == 5) {
            return Err(ReadError::FieldTooLong(place));
        }
    }
    Ok(())
}

/// A segment taken apart.
pub struct Segment<'m> {
    name: SegmentName,
    occurrence: usize,
    parsed: Option<parsed::Segment<'m>>,
    delimiters: Delimiters,
}

impl Segment<'_> {
    /// Its name.
    pub fn name(&self) -> SegmentName {
        self.name
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place::segment(self.name, self.occurrence)
    }

    /// Where a field of it is.
    pub fn place_of(&self, field: usize) -> Place {
        Place::field(self.name, self.occurrence, field)
    }

    /// The repetitions of a field that hold something.
    pub fn repeats(&self, field: usize) -> impl Iterator<Item = Repeat<'_>> {
        let repeats = self.field(field).map(|field| field.repeats.as_slice()).unwrap_or_default();
        let all = repeats.iter().enumerate().map(move |(at, parsed)| Repeat {
            parsed: Some(parsed),
            delimiters: self.delimiters,
            place: Place { repetition: at + 1, ..self.place_of(field) },
        });
        all.filter(|repeat| !repeat.is_empty())
    }

    /// The first repetition of a field that holds something, or an empty one.
    pub fn first(&self, field: usize) -> Repeat<'_> {
        let place = Place { repetition: 1, ..self.place_of(field) };
        self.repeats(field).next().unwrap_or(Repeat { parsed: None, delimiters: self.delimiters, place })
    }

    /// The first component of the first repetition of a field.
    pub fn text(&self, field: usize) -> Option<String> {
        self.first(field).text(1)
    }

    fn field(&self, field: usize) -> Option<&parsed::Field<'_>> {
        // To the parser MSH is a segment like others, whose first field is MSH-2.
        let offset = if self.name == SegmentName::MSH { 2 } else { 1 };
        self.parsed.as_ref()?.fields.get(field.checked_sub(offset)?)
    }
}

/// One repetition of a field.
#[derive(Clone, Copy)]
pub struct Repeat<'s> {
    parsed: Option<&'s parsed::Repeat<'s>>,
    delimiters: Delimiters,
    place: Place,
}

impl Repeat<'_> {
    /// Whether no component holds anything. `""`, with which a sender deletes a value, is nothing.
    pub fn is_empty(&self) -> bool {
        let subcomponents = self.parsed.iter().flat_map(|repeat| &repeat.components).flat_map(|one| &one.subcomponents);
        subcomponents.map(|one| one.value.trim()).all(|value| value.is_empty() || value == "\"\"")
    }

    /// Where a component is.
    pub fn place(&self, component: usize) -> Place {
        Place { component, ..self.place }
    }

    /// A component that has no parts of its own. A subcomponent delimiter in it was not escaped, and stays.
    pub fn text(&self, component: usize) -> Option<String> {
        self.decode(self.component(component)?.raw_value())
    }

    /// A part of a component.
    pub fn part(&self, component: usize, subcomponent: usize) -> Option<String> {
        self.decode(self.component(component)?.subcomponents.get(subcomponent.checked_sub(1)?)?.value)
    }

    /// The whole repetition as running text: component delimiters in it were not escaped, and stay.
    pub fn running_text(&self) -> Option<String> {
        let text = escape::decode(self.parsed?.raw_value(), &self.delimiters);
        (!text.trim().is_empty() && text.trim() != "\"\"").then_some(text)
    }

    fn component(&self, component: usize) -> Option<&parsed::Component<'_>> {
        self.parsed?.components.get(component.checked_sub(1)?)
    }

    fn decode(&self, raw: &str) -> Option<String> {
        let text = escape::decode(raw, &self.delimiters);
        let text = text.trim();
        (!text.is_empty() && text != "\"\"").then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "MSH|^~\\&|APP|FAC|||20240101||ADT^A01|1|P|2.5";

    fn read(rest: &str) -> Result<Message, ReadError> {
        Message::read(format!("{HEADER}\r{rest}").as_bytes())
    }

    #[test]
    fn values_are_found_at_their_places() {
        let message = read("PID|1||1^^^A&1.2&ISO~\"\"~2^^^B||O\\T\\P&van^J&K||\rPV2\rZZ1|x").unwrap();
        let names: Vec<String> = message.segments().map(|segment| segment.name().to_string()).collect();
        assert_eq!(names, ["MSH", "PID", "PV2", "ZZ1"]);
        let header = message.header();
        assert_eq!((header.text(3), header.text(10)), (Some("APP".to_owned()), Some("1".to_owned())));
        assert_eq!(header.first(9).text(2).as_deref(), Some("A01"));
        let patient = message.first("PID").unwrap();
        let found: Vec<String> = patient.repeats(3).map(|repeat| repeat.place(1).to_string()).collect();
        assert_eq!(found, ["PID-3[1].1", "PID-3[3].1"], "a deleted value is none");
        assert_eq!(patient.first(3).part(4, 2).as_deref(), Some("1.2"));
        assert_eq!(patient.first(5).part(1, 1).as_deref(), Some("O&P"));
        assert_eq!(patient.first(5).text(2).as_deref(), Some("J&K"));
        assert_eq!(patient.first(5).running_text().as_deref(), Some("O&P&van^J&K"));
        for absent in [0, 6, 7, 99] {
            assert_eq!(patient.text(absent), None, "PID-{absent}");
        }
        assert_eq!(message.first("PV2").unwrap().text(1), None);
        assert!(message.first("OBX").is_none());
    }

    #[test]
    fn any_line_end_and_own_delimiters_are_read() {
        for end in ["\r", "\n", "\r\n", "\r\n\r\n", "\r\r"] {
            let text = ["\u{FEFF}MSH#*+!%#APP#FAC", "PID###7*8+9", "OBX#1"].join(end);
            let message = Message::read(text.as_bytes()).unwrap();
            assert_eq!(message.segments().count(), 3, "{end:?}");
            assert_eq!(message.first("PID").unwrap().first(3).text(2).as_deref(), Some("8"), "{end:?}");
        }
        for (header, third) in
            [("MSH|^~\\&#|APP", "APP"), ("MSH|^~\\|APP", "APP"), ("MSH|^|A^B", "A"), ("MSH|^~\\&", "")]
        {
            let message = Message::read(header.as_bytes()).unwrap();
            assert_eq!(message.header().text(3).unwrap_or_default(), third, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let many = |count: usize, what: &str| what.repeat(count);
        let cases = [
            (String::new(), "a message must begin"),
            ("PID|1".to_owned(), "a message must begin"),
            ("MSH".to_owned(), "MSH-1 and MSH-2"),
            ("MSH|".to_owned(), "MSH-1 and MSH-2"),
            ("MSH|^^\\&|A".to_owned(), "MSH-1 and MSH-2"),
            ("MSHa^~\\&a".to_owned(), "MSH-1 and MSH-2"),
            ("MSH|^~\\&\u{e4}|A".to_owned(), "MSH-1 and MSH-2"),
            (format!("{HEADER}||||||UTF-7"), "the character set in MSH-18"),
            (format!("{HEADER}\rPID|1\rand so on\rOBX|1"), "line 3 is not a segment"),
            (format!("{HEADER}\rX"), "line 2 is not a segment"),
            (format!("{HEADER}\rPIDX|1"), "line 2 is not a segment"),
            (format!("{HEADER}\rpid|1"), "line 2 is not a segment"),
            (format!("{HEADER}\r{}", many(SEGMENTS_MAX, "OBX|\r")), "the message has more than"),
            (format!("{HEADER}\rPID|{}", many(SEGMENT_DELIMITERS_MAX, "|")), "PID has more than"),
            (format!("{HEADER}\rPID|\rPID||1{}", many(REPETITIONS_MAX, "~1")), "PID[2]-2 is repeated"),
            (format!("{HEADER}\rOBX|1|{}", many(FIELD_BYTES_MAX + 1, "x")), "OBX-2 is longer"),
        ];
        for (text, expected) in cases {
            let error = Message::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error} is not: {expected}");
        }
        assert!(read(&format!("OBX|1|ED|||{}", many(FIELD_BYTES_MAX + 1, "x"))).is_ok());
        assert!(read(&format!("PID||1{}", many(REPETITIONS_MAX - 1, "~1"))).is_ok());
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", read("PID|1||SECRET").unwrap()), "Message(2 segments)");
    }
}
