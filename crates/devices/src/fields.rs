//! The members of a JSON object, taken one by one, so that what nobody took is refused and nothing is lost in silence.
//! Places are chains on the stack; they become text only in an error.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::error::DeviceError;

/// Longest number literal, in bytes. FHIR asks for 18 significant digits (R4 datatypes.html, decimal).
const NUMBER_BYTES_MAX: usize = 24;

/// Where a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'p> {
    /// The whole payload.
    Root,
    /// A member of an object.
    Member(&'p Place<'p>, &'p str),
    /// An element of an array, from 0.
    Element(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(crate) fn member<'p>(&'p self, name: &'p str) -> Place<'p> {
        Place::Member(self, name)
    }

    pub(crate) fn element(&self, at: usize) -> Place<'_> {
        Place::Element(self, at)
    }

    pub(crate) fn bad(&self, reason: &'static str) -> DeviceError {
        DeviceError::BadValue { place: self.to_string(), reason }
    }

    pub(crate) fn missing(&self) -> DeviceError {
        DeviceError::Missing { place: self.to_string() }
    }

    pub(crate) fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, DeviceError> {
        value.as_object().ok_or_else(|| self.bad("expected an object"))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("$"),
            Self::Member(above, name) => {
                write!(f, "{above}.")?;
                // Names come from the sender.
                name.chars().take(64).try_for_each(|c| write!(f, "{}", if c.is_control() { '\u{fffd}' } else { c }))
            }
            Self::Element(above, at) => write!(f, "{above}[{at}]"),
        }
    }
}

/// A number as its digits were sent: no exponent, at most 24 characters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decimal(Number);

impl Decimal {
    pub(crate) fn read(value: &Value, place: &Place<'_>) -> Result<Self, DeviceError> {
        let Value::Number(number) = value else {
            return Err(place.bad("expected a number, without quotes"));
        };
        let literal = number.as_str();
        if literal.len() > NUMBER_BYTES_MAX {
            return Err(place.bad("expected a number of at most 24 characters"));
        }
        if literal.contains(['e', 'E']) {
            return Err(place.bad("expected a number without an exponent"));
        }
        Ok(Self(number.clone()))
    }

    /// The digits as they were sent.
    pub(crate) fn literal(&self) -> &str {
        self.0.as_str()
    }

    /// Near enough to compare with a limit.
    pub(crate) fn approximate(&self) -> f64 {
        self.literal().parse().unwrap_or(f64::NAN)
    }

    /// Whether it is written without a decimal point.
    pub(crate) fn is_integer(&self) -> bool {
        !self.literal().contains('.')
    }

    pub(crate) fn json(&self) -> Value {
        Value::Number(self.0.clone())
    }
}

/// An object whose members are taken.
pub(crate) struct Fields<'v> {
    pub(crate) place: &'v Place<'v>,
    members: &'v Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    pub(crate) fn open(value: &'v Value, place: &'v Place<'v>) -> Result<Self, DeviceError> {
        Ok(Self { place, members: place.object(value)?, taken: Vec::new() })
    }

    /// Takes a member that may be absent. `null` is refused where it is read.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<&'v Value> {
        self.taken.push(name);
        self.members.get(name)
    }

    pub(crate) fn required(&mut self, name: &'static str) -> Result<&'v Value, DeviceError> {
        self.optional(name).ok_or_else(|| self.place.member(name).missing())
    }

    pub(crate) fn optional_text(
        &mut self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Option<&'v str>, DeviceError> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        text(value, &self.place.member(name), bytes_max).map(Some)
    }

    pub(crate) fn text(&mut self, name: &'static str, bytes_max: usize) -> Result<&'v str, DeviceError> {
        let value = self.required(name)?;
        text(value, &self.place.member(name), bytes_max)
    }

    pub(crate) fn optional_number(&mut self, name: &'static str) -> Result<Option<Decimal>, DeviceError> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        Decimal::read(value, &self.place.member(name)).map(Some)
    }

    pub(crate) fn number(&mut self, name: &'static str) -> Result<Decimal, DeviceError> {
        let value = self.required(name)?;
        Decimal::read(value, &self.place.member(name))
    }

    /// Takes a text that is one of `words`.
    pub(crate) fn optional_word(
        &mut self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, DeviceError> {
        const WORD_BYTES_MAX: usize = 64;
        let Some(found) = self.optional_text(name, WORD_BYTES_MAX)? else { return Ok(None) };
        let word = words.iter().find(|word| **word == found).copied();
        word.map(Some).ok_or_else(|| self.place.member(name).bad("expected one of the words of the format"))
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), DeviceError> {
        match self.members.keys().find(|name| !self.taken.contains(&name.as_str())) {
            Some(name) => Err(DeviceError::UnknownMember { place: self.place.member(name).to_string() }),
            None => Ok(()),
        }
    }
}

/// A text that is not empty, has no control characters but line breaks, and is not too long.
pub(crate) fn text<'v>(value: &'v Value, place: &Place<'_>, bytes_max: usize) -> Result<&'v str, DeviceError> {
    let text = value.as_str().ok_or_else(|| place.bad("expected a text"))?;
    if text.trim().is_empty() || text.len() > bytes_max {
        return Err(place.bad("the text is empty or too long"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(place.bad("the text has control characters"));
    }
    Ok(text)
}
