//! Listing: every certificate that has not ended, and how it stands.

use sealwort_pki::authority::RevocationReason;
use sealwort_pki::{Identity, KeyUse, SerialNumber, UnixTime};

use crate::authority::Authority;
use crate::error::CaError;
use crate::records::CertificateRecord;

/// A certificate and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub serial: SerialNumber,
    /// Whose.
    pub identity: Identity,
    /// For which of its keys.
    pub key_use: KeyUse,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// How it stands.
    pub status: CertificateStatus,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// Believed.
    InForce,
    /// Its time has passed.
    Ended,
    /// On the revocation list.
    Revoked {
        /// Since when.
        at: UnixTime,
        /// Why.
        reason: RevocationReason,
    },
}

impl CertificateStatus {
    /// `in-force`, `ended` or `revoked`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Ended => "ended",
            Self::Revoked { .. } => "revoked",
        }
    }
}

impl Authority {
    /// The certificates that have not ended, by serial number: those after
    /// `after`, at most `limit` (and [`PAGE_CERTIFICATES_MAX`]).
    pub async fn list(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Listed>, CaError> {
        let now = self.now();
        let limit = limit.min(PAGE_CERTIFICATES_MAX);
        let found = self.records.certificates(now, after, limit).await?;
        Ok(found.into_iter().map(|found| listed(found, now)).collect())
    }
}

fn listed(found: CertificateRecord, now: UnixTime) -> Listed {
    let status = match found.revoked {
        Some((at, reason)) => CertificateStatus::Revoked { at, reason },
        None if now > found.not_after => CertificateStatus::Ended,
        None => CertificateStatus::InForce,
    };
    Listed {
        serial: found.serial,
        identity: found.identity,
        key_use: found.key_use,
        not_before: found.not_before,
        not_after: found.not_after,
        status,
    }
}

/// How many certificates one page of the list has at most.
pub const PAGE_CERTIFICATES_MAX: usize = 1000;
