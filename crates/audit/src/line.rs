//! A short text on one line, as every field of an event that is text.

use std::fmt;

use minicbor::{Decode, Encode};

/// At most `BYTES` bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Line<const BYTES: usize>(String);

impl<const BYTES: usize> Line<BYTES> {
    /// Takes a text for the log. An entry must never fail for what somebody sent: control characters become spaces, and
    /// what is too long is cut.
    pub fn new(text: &str) -> Self {
        let mut line = String::new();
        for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if line.len() + character.len_utf8() > BYTES {
                break;
            }
            line.push(character);
        }
        Self(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const BYTES: usize> From<&str> for Line<BYTES> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<const BYTES: usize> fmt::Display for Line<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const BYTES: usize> fmt::Debug for Line<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<C, const BYTES: usize> Encode<C> for Line<BYTES> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const BYTES: usize> Decode<'b, C> for Line<BYTES> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let position = d.position();
        let text = d.str()?;
        let line = Self::new(text);
        if line.0 == text {
            Ok(line)
        } else {
            Err(minicbor::decode::Error::message("a text that is too long or holds control characters").at(position))
        }
    }
}
