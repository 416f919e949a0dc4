//! Deterministic CBOR (RFC 8949, section 4.2.1): arrays of definite length, shortest integers.
//! What is read must encode to the very bytes that were read, so every message has one form only.

use minicbor::{Decode, Encode};

/// Why bytes are not a message of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the message may be.
    #[error("{length} bytes where at most {limit} are allowed")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not CBOR of the expected shape.
    #[error("not the expected CBOR: {0}")]
    Malformed(String),
    /// Readable, but not in deterministic form, or followed by more bytes.
    #[error("not in deterministic CBOR form")]
    NotCanonical,
}

/// Encodes a message.
///
/// # Panics
/// Never: writing to memory cannot fail, and no message type here has a fallible encoder.
pub fn to_bytes<T: Encode<()>>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
    minicbor::to_vec(value).expect("encoding to memory")
}

/// Decodes a message of at most `limit` bytes and refuses every form but the deterministic one.
pub fn from_bytes<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { length: bytes.len(), limit });
    }
    let value: T = minicbor::decode(bytes).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if to_bytes(&value) == bytes { Ok(value) } else { Err(CodecError::NotCanonical) }
}

/// A byte string of any length, so that `Vec<u8>` is never mistaken for an array of numbers.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<C> Encode<C> for Blob {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Blob {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self(d.bytes()?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(array)]
    struct Sample {
        #[n(0)]
        number: u64,
        #[n(1)]
        bytes: Blob,
    }

    #[test]
    fn only_the_deterministic_form_is_read() {
        let sample = Sample { number: 7, bytes: Blob(vec![1, 2]) };
        let good = to_bytes(&sample);
        assert_eq!(good, [0x82, 0x07, 0x42, 1, 2]);
        assert_eq!(from_bytes::<Sample>(&good, 16).unwrap(), sample);
        let cases: [(&str, &[u8]); 6] = [
            ("long integer", &[0x82, 0x18, 0x07, 0x42, 1, 2]),
            ("indefinite array", &[0x9f, 0x07, 0x42, 1, 2, 0xff]),
            ("indefinite bytes", &[0x82, 0x07, 0x5f, 0x42, 1, 2, 0xff]),
            ("trailing byte", &[0x82, 0x07, 0x42, 1, 2, 0]),
            ("extra element", &[0x83, 0x07, 0x42, 1, 2, 0]),
            ("truncated", &[0x82, 0x07, 0x42, 1]),
        ];
        for (name, bytes) in cases {
            assert!(from_bytes::<Sample>(bytes, 16).is_err(), "{name} was read");
        }
        assert_eq!(from_bytes::<Sample>(&good, 4), Err(CodecError::TooLong { length: 5, limit: 4 }));
    }
}
