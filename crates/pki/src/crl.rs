//! Revocation lists: read one, check that its issuing certificate signed it,
//! and keep the serial numbers. Which list to believe is [`crate::Trust`]'s.

use std::collections::HashSet;
use std::time::Duration;

use thiserror::Error;
use webpki::OwnedCertRevocationList;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::{SerialNumber, UnixTime, profile};

/// The longest revocation list accepted, in bytes of DER: about 100,000 entries.
pub const CRL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a verified list says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlSummary {
    /// CRL number (RFC 5280, 5.2.3); it only rises.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// From then on it counts as absent.
    pub next_update: UnixTime,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// A revocation list is refused. The authority, or whoever relays it, is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrlError {
    /// Longer than [`CRL_BYTES_MAX`].
    #[error(
        "the revocation list has {0} bytes, more than {CRL_BYTES_MAX}: ask the authority's operator to renew the issuing certificate, which starts an empty list"
    )]
    TooLong(usize),
    /// Not a list of our profile.
    #[error("the revocation list is malformed at {0}: fetch it again from the authority")]
    Malformed(&'static str),
    /// Another issuer's name, or a signature that is not the issuing certificate's.
    #[error(
        "the revocation list is not signed by this issuing certificate: somebody changed it on the way, or it is another authority's"
    )]
    BadSignature,
    /// Its time has passed.
    #[error("the revocation list ended at {next_update}: the authority did not renew it, or an old one was replayed")]
    Stale {
        /// Its nextUpdate.
        next_update: UnixTime,
    },
    /// Made in the future.
    #[error("the revocation list begins at {this_update}, which is later than our clock: check both clocks")]
    NotYetValid {
        /// Its thisUpdate.
        this_update: UnixTime,
    },
}

impl CrlError {
    /// The stable code that peers and scripts see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "crl-too-long",
            Self::Malformed(_) => "crl-malformed",
            Self::BadSignature => "crl-bad-signature",
            Self::Stale { .. } => "crl-stale",
            Self::NotYetValid { .. } => "crl-not-yet-valid",
        }
    }
}

/// A list whose signature was checked.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedCrl {
    pub(crate) summary: CrlSummary,
    revoked: HashSet<SerialNumber>,
}

impl VerifiedCrl {
    /// Reads `crl` and checks that the key of the certificate `issuing` (both
    /// DER) signed it and that it is in force.
    pub(crate) fn new(crl: &[u8], issuing: &[u8], now: UnixTime) -> Result<Self, CrlError> {
        if crl.len() > CRL_BYTES_MAX {
            return Err(CrlError::TooLong(crl.len()));
        }
        // webpki refuses what the other reader lets pass: delta and indirect
        // lists, unknown critical extensions, a missing nextUpdate, two
        // signature algorithms.
        OwnedCertRevocationList::from_der(crl).map_err(|_| CrlError::Malformed("the encoding"))?;
        let Ok(([], list)) = CertificateRevocationList::from_der(crl) else {
            return Err(CrlError::Malformed("the encoding"));
        };
        let issuing = profile::certificate(issuing).map_err(CrlError::Malformed)?;
        if list.issuer().as_raw() != issuing.subject().as_raw() {
            return Err(CrlError::BadSignature);
        }
        list.verify_signature(issuing.public_key()).map_err(|_| CrlError::BadSignature)?;

        let summary = summary(&list)?;
        let revoked = list
            .iter_revoked_certificates()
            .map(|entry| SerialNumber::from_der_integer(entry.raw_serial()))
            .collect::<Option<HashSet<_>>>()
            .ok_or(CrlError::Malformed("a serial number"))?;
        if now >= summary.next_update {
            return Err(CrlError::Stale { next_update: summary.next_update });
        }
        if summary.this_update > now.plus(CLOCK_SKEW_MAX) {
            return Err(CrlError::NotYetValid { this_update: summary.this_update });
        }
        Ok(Self { summary, revoked })
    }

    pub(crate) fn revokes(&self, serial: SerialNumber) -> bool {
        self.revoked.contains(&serial)
    }
}

fn summary(list: &CertificateRevocationList<'_>) -> Result<CrlSummary, CrlError> {
    let number = list.crl_number().and_then(|number| number.try_into().ok());
    let next_update = list.next_update().map(|time| time.timestamp());
    Ok(CrlSummary {
        number: number.ok_or(CrlError::Malformed("the number"))?,
        this_update: UnixTime::from_timestamp(list.last_update().timestamp())
            .ok_or(CrlError::Malformed("thisUpdate"))?,
        next_update: next_update.and_then(UnixTime::from_timestamp).ok_or(CrlError::Malformed("nextUpdate"))?,
        revoked: list.iter_revoked_certificates().count(),
    })
}

/// How far ahead of ours the authority's clock may run.
const CLOCK_SKEW_MAX: Duration = Duration::from_mins(1);
