//! Identifiers of the protocol, each a type of its own so that none can stand for another.
//! On the wire each is a CBOR byte string of exactly its length.

use std::fmt;
use std::str::FromStr;

/// A hexadecimal identifier that has the wrong length or a character outside `0-9a-f`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {expected} hexadecimal digits")]
pub struct ParseIdError {
    /// Which identifier was being read.
    pub name: &'static str,
    /// How many hexadecimal digits it has.
    pub expected: usize,
}

macro_rules! byte_id {
    ($(#[$meta:meta])* $name:ident, $len:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps exactly this many bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Reads a slice; `None` when its length is not [`Self::LEN`].
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0u8; $len];
                let decoded = hex::decode_to_slice(text, &mut bytes);
                // One identifier, one spelling.
                if decoded.is_err() || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(ParseIdError { name: stringify!($name), expected: 2 * $len });
                }
                Ok(Self(bytes))
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let position = d.position();
                Self::from_slice(d.bytes()?).ok_or_else(|| {
                    minicbor::decode::Error::message(concat!("wrong length of ", stringify!($name)))
                        .at(position)
                })
            }
        }
    };
}

byte_id!(
    /// A patient as the broker and the archive know them: an HMAC of a [`Locator`] under a key of the broker's.
    Pseudonym, 32
);
byte_id!(
    /// A patient's identifier, blinded under the directory key that only gateways hold.
    Locator, 32
);
byte_id!(
    /// A confidentiality label, blinded per patient under the directory key that only gateways hold.
    LabelTag, 16
);
byte_id!(
    /// A SHA-256 hash.
    Digest, 32
);
byte_id!(
    /// One run of the nine steps: the hash of its parties, roles, certificates, nonces and version.
    SessionId, 32
);
byte_id!(
    /// A fresh random value that proves liveness.
    Nonce, 32
);
byte_id!(
    /// One sealing of one record version. Never reused, because the record's key hangs on it.
    EntryId, 16
);
byte_id!(
    /// One token (`jti`), and the authority that the archive granted for it.
    TokenId, 16
);
byte_id!(
    /// One deposit of one or more entries; a repeated deposit of the same id is answered, not stored twice.
    DepositId, 16
);
byte_id!(
    /// One emergency access (break-glass), as the hospital of the user names it.
    EmergencyId, 16
);

impl Digest {
    /// All zeros: the predecessor of nothing.
    pub const ZERO: Self = Self([0; 32]);
}

impl SessionId {
    /// Carried by messages that precede the session id.
    pub const NONE: Self = Self([0; 32]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hexadecimal_form_round_trips_and_refuses_the_rest() {
        let id = LabelTag::new([0xab; 16]);
        assert_eq!(id.to_string().parse::<LabelTag>().unwrap(), id);
        for bad in ["", "ab", &"zz".repeat(16), &"ab".repeat(17), &"AB".repeat(16)] {
            assert!(bad.parse::<LabelTag>().is_err(), "{bad}");
        }
    }
}
