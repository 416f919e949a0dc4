//! Certificates as received: bounded bytes, their fingerprint and their serial
//! number. Nothing here is verified; see [`crate::Trust`].

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

/// How many certificates a chain has at most: the party's own and the issuing one.
pub const CHAIN_CERTIFICATES_MAX: usize = 2;

/// The longest certificate accepted, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 4 * 1024;

/// The longest chain accepted, in bytes of DER over all its certificates.
pub const CHAIN_BYTES_MAX: usize = CHAIN_CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX;

/// One or two certificates in DER: the party's own, then the issuing one. The
/// root is never sent; everyone has it already.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateChain(Vec<Vec<u8>>);

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Serial number of a certificate: 16 random bytes, the first of them 1 to 127,
/// so that the number is positive and has one encoding (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber([u8; 16]);

/// Bytes are not a chain, a fingerprint or a serial number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// No certificate, or too many.
    #[error(
        "a chain has 1 to {CHAIN_CERTIFICATES_MAX} certificates, this one has {0}: send the party's own and the issuing certificate"
    )]
    Count(usize),
    /// A certificate is too long or empty.
    #[error("a certificate has 1 to {CERTIFICATE_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// Not 64 lower-case hexadecimal digits.
    #[error("a fingerprint is 64 lower-case hexadecimal digits")]
    Fingerprint,
    /// Not 32 lower-case hexadecimal digits, or outside the range.
    #[error("a serial number is 32 lower-case hexadecimal digits, the first byte 01 to 7f")]
    Serial,
}

impl CertificateChain {
    /// Takes certificates in DER, the party's own first.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, ChainError> {
        let count = certificates.len();
        if count == 0 || count > CHAIN_CERTIFICATES_MAX {
            return Err(ChainError::Count(count));
        }
        let wrong = certificates.iter().map(Vec::len).find(|length| *length == 0 || *length > CERTIFICATE_BYTES_MAX);
        match wrong {
            Some(length) => Err(ChainError::Length(length)),
            None => Ok(Self(certificates)),
        }
    }

    /// The party's own certificate, DER.
    pub fn leaf(&self) -> &[u8] {
        // `new` refuses an empty chain, so the default is never taken.
        self.0.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The issuing certificate, DER, when it was sent.
    pub fn issuing(&self) -> Option<&[u8]> {
        self.0.get(1).map(Vec::as_slice)
    }

    /// All certificates in DER, the party's own first.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The same, by value.
    pub fn into_certificates(self) -> Vec<Vec<u8>> {
        self.0
    }

    /// SHA-256 of the party's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.leaf())
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({})", self.fingerprint())
    }
}

impl Fingerprint {
    /// SHA-256 of a certificate's DER.
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, certificate_der).as_ref());
        Self(bytes)
    }

    /// From the 32 bytes of the hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SerialNumber {
    /// From 16 bytes, big-endian; `None` outside the range.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        bytes.first().is_some_and(|first| (1..=0x7f).contains(first)).then_some(Self(bytes))
    }

    /// 16 bytes, big-endian; also the content of its DER integer.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the content of a DER integer; only our own form is accepted.
    pub(crate) fn from_der_integer(content: &[u8]) -> Option<Self> {
        <[u8; 16]>::try_from(content).ok().and_then(Self::from_bytes)
    }

    /// From 16 random bytes: one bit is set and one cleared.
    pub(crate) fn from_random(mut bytes: [u8; 16]) -> Self {
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        Self(bytes)
    }
}

/// Both are lower-case hexadecimal wherever text is wanted.
macro_rules! hexadecimal {
    ($type:ident, $wrong:expr, $check:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }

        impl FromStr for $type {
            type Err = ChainError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = <[u8; _]>::default();
                hex::decode_to_slice(text, &mut bytes).map_err(|_| $wrong)?;
                let value = $check(bytes).ok_or($wrong)?;
                // The decoder takes capitals too; one value, one spelling.
                if value.to_string() == text { Ok(value) } else { Err($wrong) }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
hexadecimal!(Fingerprint, ChainError::Fingerprint, |bytes| Some(Fingerprint(bytes)));
hexadecimal!(SerialNumber, ChainError::Serial, SerialNumber::from_bytes);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn chains_are_bounded() {
        let one = vec![1_u8; 10];
        let too_long = vec![1_u8; CERTIFICATE_BYTES_MAX + 1];
        for (certificates, expected) in [
            (vec![], Err(ChainError::Count(0))),
            (vec![one.clone()], Ok(())),
            (vec![one.clone(), one.clone()], Ok(())),
            (vec![one.clone(); 3], Err(ChainError::Count(3))),
            (vec![one.clone(), vec![]], Err(ChainError::Length(0))),
            (vec![too_long], Err(ChainError::Length(CERTIFICATE_BYTES_MAX + 1))),
        ] {
            assert_eq!(CertificateChain::new(certificates).map(|_| ()), expected);
        }
    }

    #[test]
    fn fingerprints_and_serials_have_one_spelling() {
        let fingerprint = Fingerprint::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse::<Fingerprint>(), Err(ChainError::Fingerprint));

        for (text, good) in [
            ("01000000000000000000000000000000", true),
            ("7fffffffffffffffffffffffffffffff", true),
            ("00ffffffffffffffffffffffffffffff", false),
            ("80000000000000000000000000000000", false),
            ("7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", false),
            ("01", false),
        ] {
            assert_eq!(text.parse::<SerialNumber>().is_ok(), good, "{text}");
        }
        for byte in [0, 0x7f, 0x80, 0xff] {
            let serial = SerialNumber::from_random([byte; 16]);
            assert_eq!(SerialNumber::from_bytes(*serial.as_bytes()).unwrap(), serial);
        }
    }
}
