//! The logical id of a resource: the R4 datatype `id`. It is a name within one type on one server,
//! never an identifier of a person.

use std::fmt;
use std::str::FromStr;

/// Longest id, in bytes (R4 datatypes, `id`).
pub const ID_BYTES_MAX: usize = 64;

/// A logical id: 1 to 64 characters of `A-Z a-z 0-9 - .`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not an id of R4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to 64 characters out of letters, digits, '-' and '.'")]
pub struct BadId;

impl FromStr for ResourceId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let sound = (1..=ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if sound { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// So that a map by ids is asked with a text.
impl std::borrow::Borrow<str> for ResourceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ResourceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn id_grammar() {
        let longest = "a".repeat(ID_BYTES_MAX);
        let too_long = "a".repeat(ID_BYTES_MAX + 1);
        for (text, sound) in [
            ("1", true),
            ("A-b.9", true),
            (longest.as_str(), true),
            ("", false),
            (too_long.as_str(), false),
            ("a_b", false),
            ("a/b", false),
            ("é", false),
            (" a", false),
        ] {
            assert_eq!(text.parse::<ResourceId>().is_ok(), sound, "{text:?}");
        }
    }
}
