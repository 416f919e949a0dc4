//! The root and the revocation lists of this process, shared by every connection. A reader takes
//! a snapshot; a writer puts a new one in its place and tells everybody. It fetches nothing:
//! [`crate::crl`] does.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sealwort_pki::{
    CertificateChain, CertificateError, CrlSummary, Expected, Trust, TrustError, UnixTime, VerifiedParty,
};
use tokio::sync::watch;

use super::Expectation;
use crate::clock::Clock;

/// The trust of this process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct SharedTrust {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: RwLock<Arc<Trust>>,
    writer: Mutex<()>,
    generation: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

impl SharedTrust {
    /// Starts with `trust`, whose lists may be absent, and takes the time from `clock`.
    pub fn new(trust: Trust, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                current: RwLock::new(Arc::new(trust)),
                writer: Mutex::new(()),
                generation: watch::Sender::new(0),
                clock,
            }),
        }
    }

    /// The trust as it is now.
    pub fn current(&self) -> Arc<Trust> {
        let current = self.shared.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// The time by which certificates are judged.
    pub fn now(&self) -> UnixTime {
        self.shared.clock.now()
    }

    /// The clock behind [`SharedTrust::now`].
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Verifies a chain now; see [`Trust::verify`].
    pub fn verify(&self, chain: &CertificateChain, expected: &Expected<'_>) -> Result<VerifiedParty, CertificateError> {
        self.current().verify(chain, expected, self.now())
    }

    /// Checks a verified party again, without signature checks; see [`Trust::recheck`].
    pub fn recheck(&self, party: &VerifiedParty, expected: &Expected<'_>) -> Result<(), CertificateError> {
        self.current().recheck(party, expected, self.now())
    }

    /// Takes a revocation list and the certificate of its issuer (both DER); see
    /// [`Trust::set_crl`]. Every open connection is checked against it at once.
    pub fn set_crl(&self, crl: &[u8], issuing: &[u8]) -> Result<CrlSummary, TrustError> {
        let writer = self.shared.writer.lock();
        let _writer = writer.unwrap_or_else(PoisonError::into_inner);
        let before = self.current().newest();
        let mut next = Trust::clone(&self.current());
        let summary = next.set_crl(crl, issuing, self.now())?;
        let after = next.newest();
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        if before != after || Some(summary) != after {
            self.announce();
        }
        Ok(summary)
    }

    /// Makes every open connection check its peer again, as after a jump of the clock.
    pub fn announce(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Sees every change; the number only rises.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Resolves when `party` is no longer to be believed: revoked, expired, or no revocation
    /// list in force. Never resolves otherwise.
    pub(crate) async fn refusal(&self, party: &VerifiedParty, expected: &Expectation) -> CertificateError {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.recheck(party, &expected.borrowed()) {
                return error;
            }
            // The sender lives in `self`, so `changed` cannot fail.
            let _ = tokio::time::timeout(self.next_check(party), changes.changed()).await;
        }
    }

    /// How long `party` can be left alone unless a list changes.
    fn next_check(&self, party: &VerifiedParty) -> Duration {
        let now = self.now();
        let ends = match self.current().newest() {
            Some(list) => party.not_after().min(list.next_update),
            None => party.not_after(),
        };
        // Certificates end after their last second.
        let left = ends.since(now) + Duration::from_secs(1);
        left.min(RECHECK_EVERY)
    }
}

/// The longest time between two checks: the computer's clock may be set meanwhile, and an older
/// issuer's list may end before the newest one.
const RECHECK_EVERY: Duration = Duration::from_secs(30);
