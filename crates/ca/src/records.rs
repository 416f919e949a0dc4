//! What the authority remembers: invitations, certificates and the newest
//! revocation list, in the types of `pki`. How they are stored is
//! [`CaStore`]'s.

use std::fmt;
use std::sync::Arc;

use sealwort_pki::authority::{Revocation, RevocationReason};
use sealwort_pki::enrolment::SecretDigest;
use sealwort_pki::{Identity, KeyUse, SerialNumber, UnixTime};
use sealwort_store::{CaStore, CertificateRow, CrlRow, InvitationRow, RevocationRow, StoreError};
use thiserror::Error;

/// The authority's records. Each method is one transaction: on disk when it
/// returns, or not done at all.
#[derive(Clone)]
pub(crate) struct Records(Arc<dyn CaStore>);

/// An invitation, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvitationRecord {
    pub(crate) digest: SecretDigest,
    pub(crate) identity: Identity,
    pub(crate) created: UnixTime,
    pub(crate) expires: UnixTime,
    pub(crate) used: Option<UnixTime>,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateRecord {
    pub(crate) serial: SerialNumber,
    pub(crate) identity: Identity,
    pub(crate) key_use: KeyUse,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) revoked: Option<(UnixTime, RevocationReason)>,
}

/// A revocation list that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrlRecord {
    pub(crate) number: u64,
    pub(crate) der: Vec<u8>,
    pub(crate) this_update: UnixTime,
    pub(crate) next_update: UnixTime,
}

/// The store failed, and nothing was changed.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// The back end.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row that we did not write.
    #[error("the authority's store holds a damaged {0}: restore it from a backup")]
    Damaged(&'static str),
}

impl Records {
    pub(crate) fn new(store: Arc<dyn CaStore>) -> Self {
        Self(store)
    }

    pub(crate) async fn add_invitation(&self, invitation: &InvitationRecord) -> Result<(), RecordsError> {
        let row = InvitationRow {
            digest: *invitation.digest.as_bytes(),
            identity: invitation.identity.to_string(),
            created: invitation.created.as_secs(),
            expires: invitation.expires.as_secs(),
            used: invitation.used.map(UnixTime::as_secs),
        };
        Ok(self.0.add_invitation(row).await?)
    }

    pub(crate) async fn invitation(&self, digest: &SecretDigest) -> Result<Option<InvitationRecord>, RecordsError> {
        let row = self.0.invitation(*digest.as_bytes()).await?;
        row.map(|row| {
            Ok(InvitationRecord {
                digest: SecretDigest::from_bytes(row.digest),
                identity: identity(&row.identity)?,
                created: UnixTime::from_secs(row.created),
                expires: UnixTime::from_secs(row.expires),
                used: row.used.map(UnixTime::from_secs),
            })
        })
        .transpose()
    }

    /// `false`, and nothing done, if the invitation is unknown or was used before.
    pub(crate) async fn use_invitation(
        &self,
        digest: &SecretDigest,
        used: UnixTime,
        certificates: &[CertificateRecord],
    ) -> Result<bool, RecordsError> {
        let rows = certificates.iter().map(to_row).collect();
        let used = self.0.use_invitation(*digest.as_bytes(), used.as_secs(), rows);
        Ok(used.await?)
    }

    pub(crate) async fn add_certificates(&self, certificates: &[CertificateRecord]) -> Result<(), RecordsError> {
        let rows = certificates.iter().map(to_row).collect();
        Ok(self.0.add_certificates(rows).await?)
    }

    pub(crate) async fn certificate(&self, serial: SerialNumber) -> Result<Option<CertificateRecord>, RecordsError> {
        let row = self.0.certificate(*serial.as_bytes()).await?;
        row.as_ref().map(from_row).transpose()
    }

    pub(crate) async fn certificates_of(
        &self,
        identity: &Identity,
        ends_after: UnixTime,
    ) -> Result<Vec<CertificateRecord>, RecordsError> {
        let identity = identity.to_string();
        let rows = self.0.certificates_of(&identity, ends_after.as_secs()).await?;
        rows.iter().map(from_row).collect()
    }

    pub(crate) async fn certificates(
        &self,
        ends_after: UnixTime,
        after: Option<SerialNumber>,
        limit: usize,
    ) -> Result<Vec<CertificateRecord>, RecordsError> {
        let after = after.map(|after| *after.as_bytes());
        let rows = self.0.certificates(ends_after.as_secs(), after, limit).await?;
        rows.iter().map(from_row).collect()
    }

    pub(crate) async fn revoked(&self, ends_after: UnixTime) -> Result<Vec<Revocation>, RecordsError> {
        let rows = self.0.revoked(ends_after.as_secs()).await?;
        rows.into_iter()
            .map(|(bytes, row)| {
                let (revoked_at, reason) = revocation(row)?;
                Ok(Revocation { serial: serial(bytes)?, revoked_at, reason })
            })
            .collect()
    }

    pub(crate) async fn crl(&self) -> Result<Option<CrlRecord>, RecordsError> {
        let row = self.0.crl().await?;
        Ok(row.map(|row| CrlRecord {
            number: row.number,
            der: row.der,
            this_update: UnixTime::from_secs(row.this_update),
            next_update: UnixTime::from_secs(row.next_update),
        }))
    }

    /// `false`, and nothing done, unless the list's number follows the newest one's.
    pub(crate) async fn publish_crl(&self, crl: &CrlRecord, revoked: &[Revocation]) -> Result<bool, RecordsError> {
        let crl = CrlRow {
            number: crl.number,
            der: crl.der.clone(),
            this_update: crl.this_update.as_secs(),
            next_update: crl.next_update.as_secs(),
        };
        let row = |revoked: &Revocation| {
            let row = RevocationRow { at: revoked.revoked_at.as_secs(), reason: revoked.reason.number() };
            (*revoked.serial.as_bytes(), row)
        };
        let revoked = revoked.iter().map(row).collect();
        Ok(self.0.publish_crl(crl, revoked).await?)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

fn to_row(record: &CertificateRecord) -> CertificateRow {
    CertificateRow {
        serial: *record.serial.as_bytes(),
        identity: record.identity.to_string(),
        key_use: match record.key_use {
            KeyUse::Hop => HOP,
            KeyUse::Statement => STATEMENT,
        },
        not_before: record.not_before.as_secs(),
        not_after: record.not_after.as_secs(),
        revoked: record.revoked.map(|(at, reason)| RevocationRow { at: at.as_secs(), reason: reason.number() }),
    }
}

fn from_row(row: &CertificateRow) -> Result<CertificateRecord, RecordsError> {
    Ok(CertificateRecord {
        serial: serial(row.serial)?,
        identity: identity(&row.identity)?,
        key_use: match row.key_use {
            HOP => KeyUse::Hop,
            STATEMENT => KeyUse::Statement,
            _ => return Err(RecordsError::Damaged("key use")),
        },
        not_before: UnixTime::from_secs(row.not_before),
        not_after: UnixTime::from_secs(row.not_after),
        revoked: row.revoked.map(revocation).transpose()?,
    })
}

fn revocation(row: RevocationRow) -> Result<(UnixTime, RevocationReason), RecordsError> {
    let reason = RevocationReason::from_number(row.reason).ok_or(RecordsError::Damaged("revocation reason"))?;
    Ok((UnixTime::from_secs(row.at), reason))
}

fn serial(bytes: [u8; 16]) -> Result<SerialNumber, RecordsError> {
    SerialNumber::from_bytes(bytes).ok_or(RecordsError::Damaged("serial number"))
}

fn identity(text: &str) -> Result<Identity, RecordsError> {
    text.parse().map_err(|_| RecordsError::Damaged("identity"))
}

/// As stored; never reuse a number for something else.
const HOP: u8 = 1;
const STATEMENT: u8 = 2;
