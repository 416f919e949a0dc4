//! Signed statements that outlive a session: COSE_Sign1 (RFC 9052) with the algorithm, the content type and
//! the key's fingerprint in the protected header. The kind of statement is part of what is signed, so that
//! one kind can never stand for another.

use coset::{
    ContentType, CoseSign1, CoseSign1Builder, HeaderBuilder, RegisteredLabelWithPrivate, TaggedCborSerializable, iana,
};
use sealwort_pki::{KeyAlgorithm, PublicKey, SigningKey};

use crate::codec::CodecError;
use crate::crypto::hash;
use crate::error::ErrorKind;
use crate::id::Digest;
use crate::operations::{Operations, count};

/// Largest statement, in bytes: a directive with all its provisions.
pub const STATEMENT_BYTES_MAX: usize = 96 * 1024;

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A gateway's request for access (transmission step 1).
    Request,
    /// A broker's token (transmission step 4).
    Token,
    /// A gateway's proof that it holds the token's key (transmission step 5).
    Possession,
    /// A hospital's tie between identifiers, pseudonym and consent authority.
    Registration,
    /// A consent authority's directive.
    Directive,
    /// An author's entry in a log.
    Entry,
    /// An archive's receipt.
    Receipt,
    /// A consent authority's order to erase its patient.
    Erasure,
    /// A party's certificate of what it destroyed.
    ErasureCertificate,
    /// A consent authority's request for what a party's audit log holds about its patient.
    LogRequest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Request,
        Self::Token,
        Self::Possession,
        Self::Registration,
        Self::Directive,
        Self::Entry,
        Self::Receipt,
        Self::Erasure,
        Self::ErasureCertificate,
        Self::LogRequest,
    ];

    /// The COSE content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Request => "application/sealwort-request+cbor",
            Self::Token => "application/sealwort-token+cbor",
            Self::Possession => "application/sealwort-possession+cbor",
            Self::Registration => "application/sealwort-registration+cbor",
            Self::Directive => "application/sealwort-directive+cbor",
            Self::Entry => "application/sealwort-entry+cbor",
            Self::Receipt => "application/sealwort-receipt+cbor",
            Self::Erasure => "application/sealwort-erasure+cbor",
            Self::ErasureCertificate => "application/sealwort-erasure-certificate+cbor",
            Self::LogRequest => "application/sealwort-log-request+cbor",
        }
    }
}

/// The name of a public key in statements: the hash of its SubjectPublicKeyInfo.
pub fn key_id(key: &PublicKey) -> Digest {
    hash("sealwort key id v1", key.to_bytes().as_ref())
}

/// Signs a payload.
pub fn sign(kind: Kind, payload: &[u8], key: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
    count(&operations.sign);
    let protected = HeaderBuilder::new()
        .algorithm(algorithm(key.public_key().algorithm()))
        .content_type(kind.content_type().to_owned())
        .key_id(key_id(key.public_key()).as_bytes().to_vec())
        .build();
    let mut failed = false;
    let sign1 = CoseSign1Builder::new()
        .protected(protected)
        .payload(payload.to_vec())
        .create_signature(kind.content_type().as_bytes(), |message| {
            key.sign(message).unwrap_or_else(|_| {
                failed = true;
                Vec::new()
            })
        })
        .build();
    if failed {
        return Err(ErrorKind::Crypto("signing"));
    }
    sign1.to_tagged_vec().map_err(|_| ErrorKind::Crypto("encoding a statement"))
}

/// A statement that was read, and not yet verified.
pub struct Unverified {
    kind: Kind,
    sign1: CoseSign1,
}

/// Reads a statement of this kind in its one form.
pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Unverified, ErrorKind> {
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(CodecError::TooLong { length: bytes.len(), limit: STATEMENT_BYTES_MAX }.into());
    }
    let sign1 =
        CoseSign1::from_tagged_slice(bytes).map_err(|e| ErrorKind::Codec(CodecError::Malformed(e.to_string())))?;
    if sign1.payload.is_none() {
        return Err(CodecError::Malformed("a statement without its payload".into()).into());
    }
    let header = &sign1.protected.header;
    let expected = ContentType::Text(kind.content_type().to_owned());
    if header.content_type.as_ref() != Some(&expected) {
        return Err(ErrorKind::Statement("it is a statement of another kind"));
    }
    let more = !header.crit.is_empty()
        || !header.rest.is_empty()
        || !header.iv.is_empty()
        || !header.partial_iv.is_empty()
        || !header.counter_signatures.is_empty();
    if more || !sign1.unprotected.is_empty() {
        return Err(ErrorKind::Statement("it has header fields that no statement has"));
    }
    // The protected header is compared as it would be written, so that there is one form only.
    let mut rewritten = sign1.clone();
    rewritten.protected.original_data = None;
    if rewritten.to_tagged_vec().ok().as_deref() != Some(bytes) {
        return Err(CodecError::NotCanonical.into());
    }
    Ok(Unverified { kind, sign1 })
}

impl Unverified {
    /// The payload, not yet to be believed: it tells which key to verify with.
    pub fn payload(&self) -> &[u8] {
        self.sign1.payload.as_deref().unwrap_or_default()
    }

    /// The name of the key that is said to have signed, see [`key_id`].
    pub fn key_id(&self) -> Option<Digest> {
        Digest::from_slice(&self.sign1.protected.header.key_id)
    }

    /// Verifies the signature and gives the payload.
    pub fn verify(self, key: &PublicKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        count(&operations.verify);
        let expected = RegisteredLabelWithPrivate::Assigned(algorithm(key.algorithm()));
        if self.sign1.protected.header.alg.as_ref() != Some(&expected) || self.key_id() != Some(key_id(key)) {
            return Err(ErrorKind::Signature);
        }
        self.sign1
            .verify_signature(self.kind.content_type().as_bytes(), |signature, message| key.verify(message, signature))
            .map_err(|_| ErrorKind::Signature)?;
        Ok(self.sign1.payload.unwrap_or_default())
    }
}

/// Reads and verifies a statement in one go.
pub fn open(kind: Kind, bytes: &[u8], key: &PublicKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
    parse(kind, bytes)?.verify(key, operations)
}

const fn algorithm(algorithm: KeyAlgorithm) -> iana::Algorithm {
    match algorithm {
        KeyAlgorithm::Ed25519 => iana::Algorithm::EdDSA,
        KeyAlgorithm::EcdsaP256 => iana::Algorithm::ES256,
    }
}

/// The hash by which a statement is named.
pub fn digest(bytes: &[u8]) -> Digest {
    hash("sealwort statement v1", bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// An initialisation vector in the protected header, signed and all: nothing but the three fields stands there.
    #[test]
    fn a_fourth_header_field_is_refused() {
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let header = HeaderBuilder::new()
            .algorithm(iana::Algorithm::EdDSA)
            .content_type(Kind::Token.content_type().to_owned())
            .key_id(key_id(key.public_key()).as_bytes().to_vec())
            .build();
        let (mut full, mut partial) = (header.clone(), header);
        (full.iv, partial.partial_iv) = (vec![0], vec![0]);
        for protected in [full, partial] {
            let sign1 = CoseSign1Builder::new()
                .protected(protected)
                .payload(b"payload".to_vec())
                .create_signature(Kind::Token.content_type().as_bytes(), |message| key.sign(message).unwrap())
                .build();
            let found = open(Kind::Token, &sign1.to_tagged_vec().unwrap(), key.public_key(), &Operations::default());
            assert!(matches!(found, Err(ErrorKind::Statement(_))), "{found:?}");
        }
    }

    #[test]
    fn a_statement_opens_as_its_own_kind_under_its_own_key_only() {
        let operations = Operations::default();
        for algorithm in KeyAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let other = SigningKey::generate(algorithm).unwrap();
            let bytes = sign(Kind::Token, b"payload", &key, &operations).unwrap();
            assert_eq!(open(Kind::Token, &bytes, key.public_key(), &operations).unwrap(), b"payload");
            assert!(open(Kind::Token, &bytes, other.public_key(), &operations).is_err());
            for kind in Kind::ALL {
                let opened = open(kind, &bytes, key.public_key(), &operations);
                assert_eq!(opened.is_ok(), kind == Kind::Token, "{kind:?}");
            }
            for position in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[position] ^= 1;
                assert!(open(Kind::Token, &altered, key.public_key(), &operations).is_err(), "byte {position}");
            }
            assert!(open(Kind::Token, &bytes[..bytes.len() - 1], key.public_key(), &operations).is_err());
        }
    }
}
