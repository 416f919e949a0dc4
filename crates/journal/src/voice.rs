//! Who speaks in a log: a party's statement key and certificates as they are now, whom it believes, and the time.

use std::sync::Arc;

use sealwort_net::member::Member;
use sealwort_pki::{CertificateChain, Identity, SigningKey, Trust};

/// A party's name, key and certificates.
pub struct Speaker {
    /// Whose log it is.
    pub identity: Identity,
    /// Signs checkpoints, and cosigns others'.
    pub key: Arc<SigningKey>,
    /// The key's certificates.
    pub chain: CertificateChain,
}

/// What a log needs of its party. Certificates are renewed while it runs, so it asks anew each time.
pub trait Voice: Send + Sync {
    /// Who speaks now.
    fn speaker(&self) -> Speaker;
    /// Whom the party believes now.
    fn trust(&self) -> Arc<Trust>;
    /// Unix milliseconds.
    fn now_millis(&self) -> u64;
}

impl Voice for Member {
    fn speaker(&self) -> Speaker {
        let party = self.party();
        Speaker { identity: party.identity.clone(), key: Arc::clone(&party.key), chain: party.chain.clone() }
    }

    fn trust(&self) -> Arc<Trust> {
        self.trust().current()
    }

    fn now_millis(&self) -> u64 {
        self.trust().clock().now_millis()
    }
}
