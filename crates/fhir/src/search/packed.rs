//! How search values lie in memory: one run of bytes per document. A value is a few fields, each with its
//! length before it; the values read from one element are a block. Nothing here leaves the process, so the
//! layout has no version.

/// A block that is being written.
#[derive(Default)]
pub(super) struct Block {
    out: Vec<u8>,
}

impl Block {
    pub(super) fn clear(&mut self) {
        self.out.clear();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// A small number on its own, such as a tag.
    pub(super) fn tag(&mut self, tag: u8) {
        self.out.push(tag);
    }

    pub(super) fn time(&mut self, microseconds: i64) {
        self.out.extend_from_slice(&microseconds.to_le_bytes());
    }

    /// Bytes that may be absent; empty is not absent.
    pub(super) fn field(&mut self, bytes: Option<&[u8]>) {
        length(&mut self.out, bytes.map_or(0, |bytes| bytes.len() + 1));
        self.out.extend_from_slice(bytes.unwrap_or_default());
    }

    pub(super) fn text(&mut self, text: Option<&str>) {
        self.field(text.map(str::as_bytes));
    }

    /// A field in three parts.
    pub(super) fn joined(&mut self, first: u8, second: &[u8], rest: &[u8]) {
        length(&mut self.out, second.len() + rest.len() + 2);
        self.out.push(first);
        self.out.extend_from_slice(second);
        self.out.extend_from_slice(rest);
    }
}

/// Writes a length, seven bits a byte.
pub(super) fn length(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and a flag fit a byte")]
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the loop leaves less than 0x80")]
    out.push(number as u8);
}

/// What is left to read of a block. Reading past the end gives nothing; it does not happen with what
/// [`Block`] wrote.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields<'d> {
    rest: &'d [u8],
}

impl<'d> Fields<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn tag(&mut self) -> Option<u8> {
        let (tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*tag)
    }

    pub(super) fn time(&mut self) -> Option<i64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(i64::from_le_bytes(*bytes))
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let byte = self.tag()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
            if shift > 28 {
                return None;
            }
        }
    }

    /// The next bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'d [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A field; the outer nothing is the end of the block.
    #[expect(clippy::option_option, reason = "absent and at an end are two things, and `?` tells them apart")]
    pub(super) fn field(&mut self) -> Option<Option<&'d [u8]>> {
        match self.length()? {
            0 => Some(None),
            length => Some(Some(self.bytes(length - 1)?)),
        }
    }
}

/// A code, identifier, flag or contact.
#[derive(Clone, Copy)]
pub(super) struct TokenValue<'d> {
    pub(super) system: Option<&'d [u8]>,
    pub(super) code: Option<&'d [u8]>,
    /// Display, text of the concept, or text of the identifier's type.
    pub(super) text: Option<&'d [u8]>,
    /// Of an identifier: the codings of its type, as fields of system and code.
    pub(super) kinds: Option<&'d [u8]>,
}

/// A time with its precision: from `low` up to, not including, `high`, in microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateValue {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// A number or an amount: literals of both ends, which are the same for all but ranges.
#[derive(Clone, Copy)]
pub(super) struct QuantityValue<'d> {
    pub(super) low: Option<&'d [u8]>,
    pub(super) high: Option<&'d [u8]>,
    pub(super) system: Option<&'d [u8]>,
    pub(super) code: Option<&'d [u8]>,
    pub(super) unit: Option<&'d [u8]>,
}

/// What a reference points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'d> {
    /// `Type/id` here: the type's number, then the id.
    Local(&'d [u8]),
    /// A URL with a scheme, without version.
    Url(&'d [u8]),
    /// A canonical URL, with its version where it has one.
    Canonical(&'d [u8]),
    /// A resource inside this one, by its place there. One that stands in the place of the reference has a key
    /// too, as `Local` has; of a contained one it is empty.
    Inside { place: u16, key: &'d [u8] },
    /// Something that cannot be followed: a URN, by identifier alone.
    Nowhere,
}

/// A reference.
#[derive(Clone, Copy)]
pub(super) struct ReferenceValue<'d> {
    pub(super) target: Target<'d>,
    pub(super) identifier_system: Option<&'d [u8]>,
    pub(super) identifier: Option<&'d [u8]>,
}

const LOCAL: u8 = 0;
const URL: u8 = 1;
const CANONICAL: u8 = 2;
const NOWHERE: u8 = 3;
const INSIDE: u8 = 4;

impl Block {
    pub(super) fn token(&mut self, value: &TokenValue<'_>) {
        self.field(value.system);
        self.field(value.code);
        self.field(value.text);
        self.field(value.kinds);
    }

    pub(super) fn date(&mut self, value: DateValue) {
        self.time(value.low);
        self.time(value.high);
    }

    pub(super) fn quantity(&mut self, value: &QuantityValue<'_>) {
        self.field(value.low);
        // Most are points: the high end is then an empty field, which no literal is.
        self.field(if value.high == value.low { Some(b"") } else { value.high });
        self.field(value.system);
        self.field(value.code);
        self.field(value.unit);
    }

    pub(super) fn reference(&mut self, value: &ReferenceValue<'_>) {
        match value.target {
            Target::Local(key) => self.joined(LOCAL, &[], key),
            Target::Url(url) => self.joined(URL, &[], url),
            Target::Canonical(url) => self.joined(CANONICAL, &[], url),
            Target::Inside { place, key } => self.joined(INSIDE, &place.to_le_bytes(), key),
            Target::Nowhere => self.joined(NOWHERE, &[], &[]),
        }
        self.field(value.identifier_system);
        self.field(value.identifier);
    }
}

impl<'d> Fields<'d> {
    pub(super) fn token(&mut self) -> Option<TokenValue<'d>> {
        Some(TokenValue { system: self.field()?, code: self.field()?, text: self.field()?, kinds: self.field()? })
    }

    pub(super) fn date(&mut self) -> Option<DateValue> {
        Some(DateValue { low: self.time()?, high: self.time()? })
    }

    pub(super) fn quantity(&mut self) -> Option<QuantityValue<'d>> {
        let low = self.field()?;
        let high = self.field()?;
        let high = if high == Some(b"") { low } else { high };
        Some(QuantityValue { low, high, system: self.field()?, code: self.field()?, unit: self.field()? })
    }

    pub(super) fn reference(&mut self) -> Option<ReferenceValue<'d>> {
        let (tag, target) = self.field()??.split_first()?;
        let target = match *tag {
            LOCAL => Target::Local(target),
            URL => Target::Url(target),
            CANONICAL => Target::Canonical(target),
            INSIDE => {
                let (place, key) = target.split_first_chunk()?;
                Target::Inside { place: u16::from_le_bytes(*place), key }
            }
            _ => Target::Nowhere,
        };
        Some(ReferenceValue { target, identifier_system: self.field()?, identifier: self.field()? })
    }

    /// A plain text: a string or a URI.
    pub(super) fn plain(&mut self) -> Option<&'d [u8]> {
        self.field()?
    }
}
