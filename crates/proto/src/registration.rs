//! The registration of a patient: a hospital's signed tie between blinded identifiers, the pseudonym and the
//! key of the patient's consent authority. The archive pins it, so that a lying broker can neither swap the
//! authority nor hand out another patient.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, SigningKey, UnixTime};

use crate::codec::{Blob, from_bytes, to_bytes};
use crate::error::ErrorKind;
use crate::id::{Digest, Locator, Pseudonym};
use crate::operations::Operations;
use crate::peers::{Peers, chain_from_wire, chain_to_wire};
use crate::statement::{self, Kind, STATEMENT_BYTES_MAX};

/// Most blinded identifiers of one patient.
pub const LOCATORS_MAX: usize = 32;
/// Seconds that a registration may be dated ahead of the clock of the party that accepts it.
pub const REGISTERED_AHEAD_SECONDS_MAX: u64 = 300;

/// The content of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Registration {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// The patient's blinded identifiers. Sorted, unique; the pseudonym is derived from one of them.
    #[n(2)]
    pub locators: Vec<Locator>,
    /// The consent authority's public key, SubjectPublicKeyInfo DER.
    #[n(3)]
    pub authority: Blob,
    /// Identity of the hospital that registered the patient.
    #[n(4)]
    pub registered_by: String,
    /// Unix seconds.
    #[n(5)]
    pub registered_at: u64,
    /// The hospital's statement certificate and its issuer.
    #[n(6)]
    pub certificate: Vec<Blob>,
}

/// When the certificate must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Now: a registration that is being accepted.
    Acceptance,
    /// When it was made: a registration that was accepted before.
    Reading,
}

/// A registration whose signature, certificate and form were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRegistration {
    registration: Registration,
    authority: PublicKey,
    digest: Digest,
}

impl VerifiedRegistration {
    /// Its content.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// The consent authority's key.
    pub fn authority(&self) -> &PublicKey {
        &self.authority
    }

    /// The hash of the whole statement, by which two parties compare.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The patient.
    pub fn patient(&self) -> Pseudonym {
        self.registration.patient
    }

    /// Verifies a directive's signature by this patient's authority; gives the directive's bytes.
    pub fn open_directive(&self, bytes: &[u8], operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        statement::open(Kind::Directive, bytes, &self.authority, operations)
    }
}

impl Registration {
    /// A registration by this hospital, ready to sign.
    pub fn new(
        exchange: &str,
        patient: Pseudonym,
        locators: impl IntoIterator<Item = Locator>,
        authority: &PublicKey,
        party: &crate::handshake::Party,
        now: UnixTime,
    ) -> Self {
        let mut locators: Vec<_> = locators.into_iter().collect();
        locators.sort_unstable();
        locators.dedup();
        Self {
            exchange: exchange.to_owned(),
            patient,
            locators,
            authority: Blob(authority.as_bytes().to_vec()),
            registered_by: party.identity.to_string(),
            registered_at: now.as_secs(),
            certificate: chain_to_wire(&party.chain),
        }
    }

    /// Signs it with the hospital's statement key.
    pub fn sign(&self, key: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        statement::sign(Kind::Registration, &to_bytes(self), key, operations)
    }
}

/// Verifies a registration statement.
pub fn verify(
    bytes: &[u8],
    exchange: &str,
    moment: Moment,
    peers: &Peers<'_>,
    operations: &Operations,
) -> Result<VerifiedRegistration, ErrorKind> {
    let unverified = statement::parse(Kind::Registration, bytes)?;
    let claimed: Registration = from_bytes(unverified.payload(), STATEMENT_BYTES_MAX)?;
    if claimed.exchange != exchange {
        return Err(ErrorKind::WrongExchange);
    }
    let chain = chain_from_wire(&claimed.certificate)?;
    let hospital = match moment {
        Moment::Acceptance => {
            // What is accepted now must still verify at the time that it names, whenever it is read back.
            let party = peers.verify(&chain, sealwort_pki::Role::Gateway)?;
            peers.verify_author(&chain, UnixTime::from_secs(claimed.registered_at))?;
            let seconds = claimed.registered_at.saturating_sub(peers.now.as_secs());
            if seconds > REGISTERED_AHEAD_SECONDS_MAX {
                return Err(ErrorKind::Clock { seconds, limit: REGISTERED_AHEAD_SECONDS_MAX });
            }
            party
        }
        Moment::Reading => peers.verify_author(&chain, UnixTime::from_secs(claimed.registered_at))?,
    };
    if hospital.identity().to_string() != claimed.registered_by {
        return Err(ErrorKind::WrongParty { expected: claimed.registered_by, found: hospital.identity().to_string() });
    }
    unverified.verify(hospital.public_key(), operations)?;
    if claimed.locators.is_empty()
        || claimed.locators.len() > LOCATORS_MAX
        || !claimed.locators.is_sorted_by(|a, b| a < b)
    {
        return Err(ErrorKind::Statement("locators must be 1 to 32, sorted and unique"));
    }
    let authority = PublicKey::from_bytes(claimed.authority.as_ref())
        .map_err(|_| ErrorKind::Statement("the consent authority's key is not valid"))?;
    Ok(VerifiedRegistration { authority, digest: statement::digest(bytes), registration: claimed })
}
