//! Erasing a patient: the consent authority's signed order, and the certificate by which broker and archive each say
//! what they destroyed (`spec/protocol.md`, section 6.4). Either half is enough: without it no record key can be made.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, Role, SigningKey, UnixTime};

use crate::codec::{Blob, CodecError, from_bytes, to_bytes};
use crate::error::ErrorKind;
use crate::handshake::Party;
use crate::id::{Digest, Pseudonym};
use crate::operations::Operations;
use crate::peers::{Peers, chain_from_wire, chain_to_wire};
use crate::receipt::Witness;
use crate::statement::{self, Kind, STATEMENT_BYTES_MAX};

/// Longest reason for an erasure, in bytes.
pub const ERASURE_REASON_BYTES_MAX: usize = 64;

/// The order of a patient's consent authority to destroy the patient's record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Erasure {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// Version of the newest directive, which ends with the record.
    #[n(2)]
    pub version: u64,
    /// Why, as a code: `patient-request`, `unlawful`, ... Lower-case letters, digits and hyphens.
    #[n(3)]
    pub reason: String,
    /// Unix seconds.
    #[n(4)]
    pub issued_at: u64,
}

impl Erasure {
    /// Signs it with the consent authority's key.
    pub fn sign(&self, authority: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        statement::sign(Kind::Erasure, &to_bytes(self), authority, operations)
    }

    fn check(&self, exchange: &str) -> Result<(), ErrorKind> {
        if self.exchange != exchange {
            return Err(ErrorKind::WrongExchange);
        }
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=ERASURE_REASON_BYTES_MAX).contains(&self.reason.len());
        if !fits || !self.reason.bytes().all(letters) {
            return Err(ErrorKind::Statement("the reason of an erasure is a code of 1 to 64 bytes"));
        }
        Ok(())
    }
}

/// An erasure whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedErasure(Erasure);

impl VerifiedErasure {
    /// Its content.
    pub fn erasure(&self) -> &Erasure {
        &self.0
    }
}

/// The patient of an erasure that is not verified yet: it tells whose authority to verify with.
pub fn patient_of(bytes: &[u8]) -> Result<Pseudonym, ErrorKind> {
    let claimed: Erasure = from_bytes(statement::parse(Kind::Erasure, bytes)?.payload(), STATEMENT_BYTES_MAX)?;
    Ok(claimed.patient)
}

/// Verifies an erasure under the key of the patient's consent authority.
pub fn verify(
    bytes: &[u8],
    exchange: &str,
    authority: &PublicKey,
    operations: &Operations,
) -> Result<VerifiedErasure, ErrorKind> {
    let payload = statement::open(Kind::Erasure, bytes, authority, operations)?;
    let erasure: Erasure = from_bytes(&payload, STATEMENT_BYTES_MAX)?;
    erasure.check(exchange)?;
    Ok(VerifiedErasure(erasure))
}

/// What was destroyed at one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Destroyed {
    /// Wrapped halves, one for each epoch.
    #[n(0)]
    pub halves: u64,
    /// Sealed entries; none at the broker.
    #[n(1)]
    pub entries: u64,
    /// The last head of the log that the party knew: the archive's own, the broker's witness.
    #[n(2)]
    pub head: Witness,
    /// Unix seconds.
    #[n(3)]
    pub erased_at: u64,
}

/// A party's certificate of what it destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Certificate {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// The hash of the erasure statement that was carried out.
    #[n(2)]
    pub erasure: Digest,
    /// What was destroyed.
    #[n(3)]
    pub destroyed: Destroyed,
    /// Identity of the party.
    #[n(4)]
    pub party: String,
    /// Unix seconds; later than the erasure where the certificate is asked for again.
    #[n(5)]
    pub issued_at: u64,
    /// The party's statement certificate and its issuer.
    #[n(6)]
    pub certificate: Vec<Blob>,
}

impl Certificate {
    /// The certificate of this party, signed.
    pub fn issue(
        patient: Pseudonym,
        erasure: &[u8],
        destroyed: Destroyed,
        party: &Party,
        now: UnixTime,
    ) -> Result<Vec<u8>, ErrorKind> {
        let certificate = Self {
            exchange: party.exchange().to_owned(),
            patient,
            erasure: statement::digest(erasure),
            destroyed,
            party: party.identity.to_string(),
            issued_at: now.as_secs(),
            certificate: chain_to_wire(&party.chain),
        };
        statement::sign(Kind::ErasureCertificate, &to_bytes(&certificate), &party.key, &party.operations)
    }
}

/// A certificate of erasure whose signature and chain were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCertificate(Certificate);

impl VerifiedCertificate {
    /// Its content.
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }
}

/// Verifies a party's certificate of erasure, by the certificate that it had when it signed. `role` is the role that
/// the party must have: broker or archive.
pub fn verify_certificate(
    bytes: &[u8],
    exchange: &str,
    role: Role,
    peers: &Peers<'_>,
    operations: &Operations,
) -> Result<VerifiedCertificate, ErrorKind> {
    let unverified = statement::parse(Kind::ErasureCertificate, bytes)?;
    let claimed: Certificate = from_bytes(unverified.payload(), STATEMENT_BYTES_MAX)?;
    if claimed.exchange != exchange {
        return Err(ErrorKind::WrongExchange);
    }
    let chain = chain_from_wire(&claimed.certificate)?;
    let party = peers.verify_past(&chain, role, UnixTime::from_secs(claimed.issued_at))?;
    if party.identity().to_string() != claimed.party {
        return Err(ErrorKind::WrongParty { expected: claimed.party, found: party.identity().to_string() });
    }
    unverified.verify(party.public_key(), operations)?;
    if claimed.destroyed.erased_at > claimed.issued_at {
        return Err(CodecError::Malformed("a certificate from before its erasure".to_owned()).into());
    }
    Ok(VerifiedCertificate(claimed))
}
