//! The identifiers that a directive is made of, each in a type of its own. They are checked when
//! made and never interpreted: a party is compared byte for byte, a pseudonym and a tag are
//! opaque.

use std::fmt;
use std::str::FromStr;

/// Longest identity URI of a party, in bytes.
pub const PARTY_BYTES_MAX: usize = 256;

/// Longest name of an exchange, in bytes.
pub const EXCHANGE_BYTES_MAX: usize = 63;

/// A hospital, by its identity URI `sealwort://<exchange>/gateway/<name>`.
///
/// Held as given: 1 to [`PARTY_BYTES_MAX`] visible ASCII characters. Who may call itself by that
/// name is the certificate's business, not this crate's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(String);

impl Party {
    /// Takes an identity URI.
    ///
    /// # Errors
    /// [`PartyError`] when it is empty, too long, or holds anything but visible ASCII.
    pub fn new(uri: impl Into<String>) -> Result<Self, PartyError> {
        let uri = uri.into();
        if uri.is_empty() {
            return Err(PartyError::Empty);
        }
        if uri.len() > PARTY_BYTES_MAX {
            return Err(PartyError::TooLong { bytes: uri.len() });
        }
        if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PartyError::NotVisibleAscii);
        }
        Ok(Self(uri))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Party {
    type Err = PartyError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        Self::new(uri)
    }
}

/// Why a text is no party. The fault is whoever wrote the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// No characters at all.
    #[error("the hospital's identity is empty: give its sealwort:// URI")]
    Empty,
    /// Longer than [`PARTY_BYTES_MAX`].
    #[error("the hospital's identity has {bytes} bytes, more than the {PARTY_BYTES_MAX} allowed")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// A space, a control character or anything outside ASCII.
    #[error("the hospital's identity holds a character that is not visible ASCII")]
    NotVisibleAscii,
}

/// Longest name of a role, in bytes.
pub const ROLE_BYTES_MAX: usize = 64;

/// What a user is at a hospital: `physician`, `nurse`, `clerk`. The hospital says so of its own users, and the exchange
/// takes its word; names are compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserRole(String);

impl UserRole {
    /// Takes the name of a role.
    ///
    /// # Errors
    /// [`UserRoleError`] unless it is 1 to [`ROLE_BYTES_MAX`] visible ASCII characters.
    pub fn new(name: impl Into<String>) -> Result<Self, UserRoleError> {
        let name = name.into();
        let fits = (1..=ROLE_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(name)) } else { Err(UserRoleError) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserRole {
    type Err = UserRoleError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// A text is no role. The fault is whoever wrote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is 1 to {ROLE_BYTES_MAX} visible ASCII characters without spaces")]
pub struct UserRoleError;

/// A patient, by pseudonym: 32 bytes under a broker key, without meaning elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Patient([u8; 32]);

impl Patient {
    /// Takes a pseudonym.
    pub const fn new(pseudonym: [u8; 32]) -> Self {
        Self(pseudonym)
    }

    /// The pseudonym's bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patient({self})")
    }
}

/// A confidentiality label of one patient, as an opaque tag of 16 bytes. Hospitals map tags to
/// labels; broker and archive cannot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelTag([u8; 16]);

impl LabelTag {
    /// Takes a tag.
    pub const fn new(tag: [u8; 16]) -> Self {
        Self(tag)
    }

    /// The tag's bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for LabelTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LabelTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelTag({self})")
    }
}

/// Names one wording of one provision of one patient, for ever: a provision that changes gets a
/// new id, and an id that is gone is never given again. Starts at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProvisionId(u32);

impl ProvisionId {
    /// Takes a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ProvisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether `name` is an exchange name: `[a-z0-9][a-z0-9-]{0,62}`.
pub(crate) fn is_exchange_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= EXCHANGE_BYTES_MAX
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
}
