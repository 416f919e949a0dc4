//! What a revocation list says of one certificate: since when and why.

use rcgen::RevokedCertParams;
use thiserror::Error;

use crate::{SerialNumber, UnixTime};

/// One entry of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The certificate.
    pub serial: SerialNumber,
    /// Since when.
    pub revoked_at: UnixTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a certificate was revoked (RFC 5280, 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationReason {
    /// No reason given.
    #[default]
    Unspecified,
    /// Somebody else may hold the key.
    KeyCompromise,
    /// The party belongs to another organisation now.
    AffiliationChanged,
    /// A newer certificate takes its place.
    Superseded,
    /// The party ended its service.
    CessationOfOperation,
    /// The operator withdrew its right to take part.
    PrivilegeWithdrawn,
}

impl Revocation {
    pub(crate) fn entry(&self) -> RevokedCertParams {
        RevokedCertParams {
            serial_number: self.serial.as_bytes().to_vec().into(),
            revocation_time: self.revoked_at.to_date(),
            reason_code: Some(match self.reason {
                RevocationReason::Unspecified => rcgen::RevocationReason::Unspecified,
                RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
                RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
                RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
                RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
                RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
            }),
            invalidity_date: None,
        }
    }
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The number in RFC 5280, 5.3.1.
    pub const fn number(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }

    /// The name in RFC 5280, with hyphens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

impl std::str::FromStr for RevocationReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No such reason for a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a reason is unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn"
)]
pub struct UnknownReason;
