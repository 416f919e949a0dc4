//! Who the peer is: certificates verified once and remembered, re-checked for time and revocation at each use.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sealwort_pki::{CertificateChain, CertificateError, Expected, KeyUse, Role, Trust, UnixTime, VerifiedParty};

use crate::codec::Blob;
use crate::crypto::hash;
use crate::error::ErrorKind;
use crate::id::Digest;

/// Most certificates remembered; beyond it the cache starts anew.
const CACHE_ENTRIES_MAX: usize = 4096;

/// Verified certificate chains, by the hash of the whole chain.
#[derive(Default)]
pub struct PeerCache(Mutex<HashMap<Digest, VerifiedParty>>);

/// Verifies peers at one moment.
#[derive(Clone, Copy)]
pub struct Peers<'a> {
    /// The exchange's root and the current revocation list.
    pub trust: &'a Trust,
    /// What was verified before.
    pub cache: &'a PeerCache,
    /// Now.
    pub now: UnixTime,
}

impl Peers<'_> {
    /// Verifies a statement certificate of this role: path, name form, role, validity, revocation.
    pub fn verify(&self, chain: &CertificateChain, role: Role) -> Result<VerifiedParty, CertificateError> {
        let key = chain_digest(chain);
        let known = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let expected = Expected { roles: &[role], name: None, key_use: KeyUse::Statement };
        if let Some(party) = known {
            self.trust.recheck(&party, &expected, self.now)?;
            return Ok(party);
        }
        let party = self.trust.verify(chain, &expected, self.now)?;
        let mut cache = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_ENTRIES_MAX {
            cache.clear();
        }
        cache.insert(key, party.clone());
        Ok(party)
    }

    /// Looks again at somebody who was verified when a session began: validity and revocation now.
    pub fn recheck(&self, party: &VerifiedParty, role: Role) -> Result<(), CertificateError> {
        self.trust.recheck(party, &Expected { roles: &[role], name: None, key_use: KeyUse::Statement }, self.now)
    }

    /// Verifies the author of something signed in the past, at the time of signing: path, role and validity
    /// then. Revocation is judged when a statement is accepted, not when it is read years later.
    pub fn verify_author(&self, chain: &CertificateChain, at: UnixTime) -> Result<VerifiedParty, CertificateError> {
        self.verify_past(chain, Role::Gateway, at)
    }

    /// The same for a signer of another role.
    pub fn verify_past(
        &self,
        chain: &CertificateChain,
        role: Role,
        at: UnixTime,
    ) -> Result<VerifiedParty, CertificateError> {
        let expected = Expected { roles: &[role], name: None, key_use: KeyUse::Statement };
        self.trust.verify_past(chain, &expected, at)
    }
}

fn chain_digest(chain: &CertificateChain) -> Digest {
    let mut all = Vec::new();
    for certificate in chain.certificates() {
        all.extend_from_slice(&(certificate.len() as u64).to_be_bytes());
        all.extend_from_slice(certificate);
    }
    hash("sealwort chain v1", &all)
}

/// A chain as it travels: DER certificates, leaf first.
pub fn chain_to_wire(chain: &CertificateChain) -> Vec<Blob> {
    chain.certificates().iter().map(|c| Blob(c.clone())).collect()
}

/// Reads a chain from the wire within the limits of `sealwort_pki`.
pub fn chain_from_wire(chain: &[Blob]) -> Result<CertificateChain, ErrorKind> {
    CertificateChain::new(chain.iter().map(|c| c.0.clone()).collect())
        .map_err(|_| ErrorKind::Statement("the certificate chain is empty or too long"))
}
