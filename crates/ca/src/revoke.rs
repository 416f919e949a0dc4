//! Revoking: the certificates of a party, or one certificate, are put on a new
//! revocation list at once.

use std::fmt;

use sealwort_audit::{Detail, EventKind};
use sealwort_pki::authority::{Revocation, RevocationReason};
use sealwort_pki::{Identity, SerialNumber, UnixTime};

use crate::authority::Authority;
use crate::error::CaError;
use crate::records::CertificateRecord;
use crate::trail::ended;

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every certificate in force of one party, and its open invitations stay:
    /// it may join again with one.
    Party(Identity),
    /// One certificate.
    Certificate(SerialNumber),
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The certificates.
    pub serials: Vec<SerialNumber>,
    /// The number of the list that says so.
    pub crl_number: u64,
    /// Whether the entry about it is in the audit log.
    pub entered: bool,
}

impl Authority {
    /// Revokes what `target` names and publishes the list that says so. Whoever may go away in between lets a task do it.
    pub async fn revoke(&self, target: &Target, reason: RevocationReason) -> Result<Revoked, CaError> {
        // Revoking is done even where it cannot be entered: what is lost waits for nothing.
        let party = match target {
            Target::Party(identity) => Some(identity),
            Target::Certificate(_) => None,
        };
        let entry = self.entry(EventKind::CertificateRevoked, party).detail(Detail::Subject, target);
        let mut entry = entry.detail(Detail::Reason, reason);
        let mut outcome = self.revoke_now(target, reason).await;
        if let Ok(revoked) = &outcome {
            entry.note(Detail::Count, revoked.serials.len());
            entry.note(Detail::Version, revoked.crl_number);
        }
        let entered = self.enter_if_possible(ended(entry, &outcome)).await;
        if let Ok(revoked) = &mut outcome {
            revoked.entered = entered;
        }
        outcome
    }

    async fn revoke_now(&self, target: &Target, reason: RevocationReason) -> Result<Revoked, CaError> {
        let now = self.now();
        let turn = self.turn.lock().await;
        let found = self.found(target, now).await?;
        if found.is_empty() {
            return Err(CaError::NothingToRevoke(target.to_string()));
        }
        let revocation = |found: &CertificateRecord| Revocation { serial: found.serial, revoked_at: now, reason };
        let revocations: Vec<_> = found.iter().map(revocation).collect();
        let crl_number = self.publish(&revocations, now).await?;
        drop(turn);
        tracing::warn!(%target, %reason, certificates = found.len(), crl_number, "revoked");
        // The authority's own certificate may have been among them. The revocation is in force however that ends.
        if let Err(error) = self.keep().await {
            tracing::error!(%error, "could not renew what a revocation made due; it is tried again");
        }
        Ok(Revoked { serials: found.iter().map(|found| found.serial).collect(), crl_number, entered: false })
    }

    /// The certificates in force that `target` names.
    async fn found(&self, target: &Target, now: UnixTime) -> Result<Vec<CertificateRecord>, CaError> {
        let mut found = match target {
            Target::Party(identity) => self.records.certificates_of(identity, now).await?,
            Target::Certificate(serial) => {
                let found = self.records.certificate(*serial).await?;
                found.into_iter().collect()
            }
        };
        found.retain(|found| found.revoked.is_none() && found.not_after >= now);
        Ok(found)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(identity) => identity.fmt(f),
            Self::Certificate(serial) => serial.fmt(f),
        }
    }
}
