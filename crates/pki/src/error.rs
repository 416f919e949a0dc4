//! Why a certificate, a root or a revocation list is refused: one error for
//! each reason, with a stable code for peers and scripts.

use thiserror::Error;

use crate::{CrlError, ExchangeName, ISSUERS_MAX, Identity, KeyUse, PartyName, Role, SerialNumber, UnixTime};

/// A certificate is refused. Unless said otherwise, the peer is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// No path to the pinned root.
    #[error("the certificate was not issued under this exchange's root: the party must join this exchange")]
    UnknownIssuer,
    /// Its signature, or its issuing certificate's, does not verify.
    #[error("the certificate's signature does not verify: it was changed after it was issued")]
    BadSignature,
    /// Its time has passed.
    #[error("the certificate of {identity} expired at {not_after}: it must be renewed, or joined again")]
    Expired {
        /// Whose.
        identity: Identity,
        /// When.
        not_after: UnixTime,
    },
    /// Its time has not come.
    #[error("the certificate of {identity} is valid from {not_before} only: check both clocks")]
    NotYetValid {
        /// Whose.
        identity: Identity,
        /// From when.
        not_before: UnixTime,
    },
    /// The issuing or root certificate is outside its validity.
    #[error(
        "the {which} certificate is valid from {not_before} to {not_after} only: the authority's operator must renew it"
    )]
    IssuerNotValid {
        /// `issuing` or `root`.
        which: &'static str,
        /// From when.
        not_before: UnixTime,
        /// Until when.
        not_after: UnixTime,
    },
    /// On the revocation list.
    #[error(
        "the certificate of {identity}, serial {serial}, was revoked: ask the exchange's operator for a new invitation"
    )]
    Revoked {
        /// Whose.
        identity: Identity,
        /// Which.
        serial: SerialNumber,
    },
    /// We cannot tell whether it was revoked; the fault is ours or the authority's.
    #[error("{0}, so nobody is believed: fetch it from the authority")]
    RevocationUnknown(NoRevocationList),
    /// A party of another role.
    #[error("{found} has the wrong role, {} was expected: check which address belongs to which party", join(.expected))]
    WrongRole {
        /// The roles that would do.
        expected: Vec<Role>,
        /// Who came.
        found: Identity,
    },
    /// A party of another exchange.
    #[error("{found} belongs to another exchange, ours is {expected}")]
    WrongExchange {
        /// Ours.
        expected: ExchangeName,
        /// Who came, as claimed; the claim was not verified.
        found: Identity,
    },
    /// Another party of the right role.
    #[error("{found} is not the expected party {expected}: check which address belongs to which party")]
    WrongName {
        /// The name that would do.
        expected: PartyName,
        /// Who came.
        found: Identity,
    },
    /// The party's other key.
    #[error("{identity} showed its {found} certificate where the {expected} certificate is needed")]
    WrongUse {
        /// Whose.
        identity: Identity,
        /// The use that is needed.
        expected: KeyUse,
        /// The use it has.
        found: KeyUse,
    },
    /// The identity's role and the policy's role differ; the authority is at fault.
    #[error("the certificate of {identity} has the policy of a {policy}: the authority issued it wrongly")]
    RoleMismatch {
        /// What the identity says.
        identity: Identity,
        /// What the policy says.
        policy: Role,
    },
    /// Not a certificate of our profile.
    #[error("the certificate breaks the exchange's profile at {0}")]
    Malformed(&'static str),
}

/// Why revocation cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoRevocationList {
    /// None was ever set for this issuing certificate.
    #[error("there is no revocation list yet")]
    Absent,
    /// The newest one has ended.
    #[error("the revocation list ended at {next_update}")]
    Stale {
        /// Its nextUpdate.
        next_update: UnixTime,
    },
}

/// A root or a revocation list is refused, and the one before stays in force.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Not a self-signed authority certificate.
    #[error(
        "the root certificate is unusable at {0}: join again with the fingerprint that the exchange's operator gave you"
    )]
    BadRoot(&'static str),
    /// The issuing certificate beside the list is not the root's.
    #[error("the issuing certificate was not issued by this exchange's root, or is unusable, at {0}")]
    BadIssuing(&'static str),
    /// The issuing certificate beside the list is outside its validity.
    #[error("the issuing certificate is valid from {not_before} to {not_after} only")]
    IssuingNotValid {
        /// From when.
        not_before: UnixTime,
        /// Until when.
        not_after: UnixTime,
    },
    /// The list itself.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// An older list than the one in force.
    #[error(
        "the revocation list has number {offered}, but {held} is in force: an old one was replayed, or the authority was rolled back"
    )]
    Rollback {
        /// The number in force.
        held: u64,
        /// The number refused.
        offered: u64,
    },
    /// Two different lists with one number.
    #[error("two different revocation lists have number {0}: the authority was rolled back or copied")]
    Conflict(u64),
    /// More than [`ISSUERS_MAX`] issuing certificates are in force.
    #[error("more than {ISSUERS_MAX} issuing certificates are in force")]
    TooManyIssuers,
}

impl CertificateError {
    /// The stable code that peers and scripts see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown-issuer",
            Self::BadSignature => "bad-certificate-signature",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::IssuerNotValid { .. } => "issuer-not-valid",
            Self::Revoked { .. } => "certificate-revoked",
            Self::RevocationUnknown(_) => "revocation-unknown",
            Self::WrongRole { .. } => "wrong-role",
            Self::WrongExchange { .. } => "wrong-exchange",
            Self::WrongName { .. } => "wrong-name",
            Self::WrongUse { .. } => "wrong-key-use",
            Self::RoleMismatch { .. } => "role-mismatch",
            Self::Malformed(_) => "certificate-malformed",
        }
    }
}

impl TrustError {
    /// The stable code that peers and scripts see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadRoot(_) => "bad-root",
            Self::BadIssuing(_) => "bad-issuing-certificate",
            Self::IssuingNotValid { .. } => "issuing-certificate-not-valid",
            Self::Crl(error) => error.code(),
            Self::Rollback { .. } => "crl-rollback",
            Self::Conflict(_) => "crl-conflict",
            Self::TooManyIssuers => "too-many-issuers",
        }
    }
}

fn join(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    names.join(" or ")
}
