//! The two secrets of joining: the invitation's, used once, and the directory
//! key that all gateways of an exchange share. Both are zeroized, print as
//! `[redacted]` and leave only through a method that says so.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::KeyError;
use crate::authority::random_bytes;

/// Proves an invitation: 32 random bytes, used once.
#[derive(Clone)]
pub struct InvitationSecret(Zeroizing<[u8; 32]>);

/// What the authority keeps of an [`InvitationSecret`]: its SHA-256 under a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretDigest([u8; 32]);

/// The exchange directory key: 32 random bytes that the authority gives to
/// gateways alone. Locators and label tags are derived from it.
#[derive(Clone)]
pub struct DirectoryKey(Zeroizing<[u8; 32]>);

impl InvitationSecret {
    /// What is stored instead of the secret. The secret is random, so a plain
    /// hash cannot be searched.
    pub fn digest(&self) -> SecretDigest {
        let mut context = Context::new(&SHA256);
        context.update(DIGEST_LABEL);
        context.update(self.0.as_slice());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        SecretDigest(bytes)
    }
}

impl SecretDigest {
    /// From the 32 stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes to store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What both secrets have in common.
macro_rules! secret {
    ($type:ident) => {
        impl $type {
            /// A fresh one from the system's random source.
            pub fn generate() -> Result<Self, KeyError> {
                random_bytes().map(|bytes| Self(Zeroizing::new(bytes)))
            }

            /// From its 32 bytes; the caller's copy is the caller's to wipe.
            pub fn from_bytes(bytes: &[u8; 32]) -> Self {
                Self(Zeroizing::new(*bytes))
            }

            /// The secret bytes.
            pub fn expose_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The secret as 64 lower-case hexadecimal digits.
            pub fn expose_hex(&self) -> Zeroizing<String> {
                Zeroizing::new(hex::encode(self.0.as_slice()))
            }

            /// From 64 hexadecimal digits.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = Zeroizing::new([0; 32]);
                hex::decode_to_slice(text, bytes.as_mut_slice()).ok()?;
                Some(Self(bytes))
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_slice().ct_eq(other.0.as_slice()).into()
            }
        }

        impl Eq for $type {}

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}([redacted])", stringify!($type))
            }
        }
    };
}
secret!(InvitationSecret);
secret!(DirectoryKey);

const DIGEST_LABEL: &[u8] = b"sealwort invitation secret v1\0";
