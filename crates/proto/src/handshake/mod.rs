//! Mutual authentication, the paper's 3.2.1, steps 1 to 9, as state machines without IO. Each step consumes
//! the state before it; a failed step leaves nothing behind and says which step failed and whose fault it was.
//!
//! [`gateway`], [`broker`] and [`archive`] hold the three sides; [`agreement`] the one pattern that all three
//! pairs run: a signed ephemeral key, answered by a signed encapsulation with key confirmation.

pub mod agreement;
pub mod archive;
pub mod broker;
pub mod cookie;
pub mod gateway;

use std::sync::Arc;

use sealwort_pki::{CertificateChain, Fingerprint, Identity, SigningKey, VerifiedParty};

use crate::crypto::Transcript;
use crate::id::{Nonce, SessionId};
use crate::operations::Operations;
use crate::policy::Policies;
use crate::{SUITE, VERSION};

/// What a party brings to every run.
pub struct Party {
    /// Its identity.
    pub identity: Identity,
    /// Its statement certificate and the issuer's.
    pub chain: CertificateChain,
    /// Its statement key.
    pub key: Arc<SigningKey>,
    /// What it demands and promises.
    pub policies: Policies,
    /// Its running totals.
    pub operations: Arc<Operations>,
}

impl Party {
    /// Name of the exchange.
    pub fn exchange(&self) -> &str {
        self.identity.exchange.as_str()
    }
}

/// The TLS exporter of the hop that a run goes over: 32 bytes that only its two ends share.
pub type HopExporter = [u8; 32];

/// A party of a run as the session id names it.
struct Named {
    identity: String,
    fingerprint: Fingerprint,
    nonce: Nonce,
}

impl Named {
    fn peer(party: &VerifiedParty, nonce: Nonce) -> Self {
        Self { identity: party.identity().to_string(), fingerprint: party.fingerprint(), nonce }
    }

    fn own(party: &Party, nonce: Nonce) -> Self {
        Self { identity: party.identity.to_string(), fingerprint: party.chain.fingerprint(), nonce }
    }
}

/// The session id: version, suite and, for gateway, broker and archive in this order, the identity (which
/// holds exchange and role), certificate and nonce.
fn session_id(parties: &[Named; 3], operations: &Operations) -> SessionId {
    let mut transcript = Transcript::new("sealwort session v1");
    transcript.add(&[VERSION]).add(&SUITE.to_be_bytes());
    for party in parties {
        transcript.add(party.identity.as_bytes()).add(party.fingerprint.as_bytes()).add(party.nonce.as_bytes());
    }
    SessionId::new(*transcript.digest(operations).as_bytes())
}
