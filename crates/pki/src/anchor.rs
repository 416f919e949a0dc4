//! A certificate that signs others: the root, or an issuing one.

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::{CertificateError, Fingerprint, UnixTime, profile};

/// A certificate that signs others, parsed once. webpki does not look at an
/// anchor's validity, so it is kept and checked here.
#[derive(Clone)]
pub(crate) struct Anchor {
    pub(crate) der: Vec<u8>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) parsed: TrustAnchor<'static>,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Anchor {
    pub(crate) fn new(der: &[u8]) -> Result<Self, &'static str> {
        let (not_before, not_after) = profile::validity(&profile::certificate(der)?)?;
        let parsed =
            webpki::anchor_from_trusted_cert(&CertificateDer::from(der)).map_err(|_| "the encoding")?.to_owned();
        Ok(Self { der: der.to_vec(), fingerprint: Fingerprint::of(der), parsed, not_before, not_after })
    }

    pub(crate) fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(crate) fn check(&self, which: &'static str, now: UnixTime) -> Result<(), CertificateError> {
        if self.is_valid_at(now) {
            return Ok(());
        }
        Err(CertificateError::IssuerNotValid { which, not_before: self.not_before, not_after: self.not_after })
    }
}
