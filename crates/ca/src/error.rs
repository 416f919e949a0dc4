//! Why the authority says no: one error for each reason, whose fault it is and
//! what to do. Peers see the code, the message and the remedy; the cause of a
//! failure of our own goes to the log alone.

use sealwort_journal::JournalError;
use sealwort_pki::authority::AuthorityError;
use sealwort_pki::enrolment::{MessageError, Refusal};
use sealwort_pki::{ExchangeName, Identity, PartyName, Role, SerialNumber, UnixTime};
use thiserror::Error;

use crate::records::RecordsError;

/// The authority refused or failed.
#[derive(Debug, Error)]
pub enum CaError {
    /// The body is not a message of ours.
    #[error("the request cannot be read: {0}")]
    Message(#[from] MessageError),
    /// No invitation has this secret.
    #[error("there is no such invitation")]
    InvitationUnknown,
    /// Its time has passed.
    #[error("the invitation expired at {0}")]
    InvitationExpired(UnixTime),
    /// It worked before.
    #[error("the invitation was used at {0}")]
    InvitationUsed(UnixTime),
    /// It is for another exchange.
    #[error("the request is for exchange {found}, this is the authority of {expected}")]
    WrongExchange {
        /// Ours.
        expected: ExchangeName,
        /// The request's.
        found: ExchangeName,
    },
    /// It is for another role.
    #[error("the invitation is for a {expected}, the request is for a {found}")]
    WrongRole {
        /// The invitation's.
        expected: Role,
        /// The request's.
        found: Role,
    },
    /// It is for another name.
    #[error("the invitation is for {expected}, the request is for {found}")]
    WrongName {
        /// The invitation's.
        expected: PartyName,
        /// The request's.
        found: PartyName,
    },
    /// The certificate requests, or the issuing itself.
    #[error(transparent)]
    Issuing(#[from] AuthorityError),
    /// Renewal without a certificate on the connection.
    #[error("this request needs a connection with the party's hop certificate")]
    NotAuthenticated,
    /// A certificate of this exchange that the authority did not record.
    #[error("certificate {0} is not in the authority's records")]
    CertificateUnknown(SerialNumber),
    /// A revoked party asks for renewal.
    #[error("the certificate of {identity} was revoked at {revoked_at}")]
    Revoked {
        /// Whose.
        identity: Identity,
        /// When.
        revoked_at: UnixTime,
    },
    /// One party holds too many certificates at the same time.
    #[error("{identity} has {limit} certificates in force already")]
    TooManyCertificates {
        /// Whose.
        identity: Identity,
        /// How many are allowed.
        limit: usize,
    },
    /// The time for an invitation is zero or too long.
    #[error("an invitation works for 1 second to {} hours", .0.as_secs() / 3600)]
    InvitationLifetime(std::time::Duration),
    /// The authority invites nobody to its own role.
    #[error("nobody is invited as ca: the authority issues its own certificate")]
    RoleNotInvited,
    /// Nothing matches what is to be revoked.
    #[error("no certificate in force matches {0}")]
    NothingToRevoke(String),
    /// Only the operator may do this.
    #[error("{0} is not the operator of this authority")]
    NotOperator(Identity),
    /// The store.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Two processes share one store, or a backup was put back under a running one.
    #[error("the revocation list in the store is not the one last written")]
    CrlMoved,
    /// The audit log: nothing is done without it.
    #[error(transparent)]
    Log(#[from] JournalError),
    /// The authority's own files.
    #[error("the authority's own certificate cannot be kept: {0}")]
    Own(String),
}

/// Whose fault an error is, which decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request is wrong as it stands.
    Request,
    /// Who asks is not known.
    Unauthenticated,
    /// Who asks is known and may not.
    Forbidden,
    /// What is asked about is not there.
    Absent,
    /// It is too late: done before, or expired.
    Gone,
    /// Too much is in force.
    Exhausted,
    /// The authority itself failed.
    Ours,
}

impl CaError {
    /// The stable code that peers and scripts see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Message(_) => "message-malformed",
            Self::InvitationUnknown => "invitation-unknown",
            Self::InvitationExpired(_) => "invitation-expired",
            Self::InvitationUsed(_) => "invitation-used",
            Self::WrongExchange { .. } => "invitation-wrong-exchange",
            Self::WrongRole { .. } => "invitation-wrong-role",
            Self::WrongName { .. } => "invitation-wrong-name",
            Self::Issuing(error) => error.code(),
            Self::NotAuthenticated => "not-authenticated",
            Self::CertificateUnknown(_) => "certificate-unknown",
            Self::Revoked { .. } => "certificate-revoked",
            Self::TooManyCertificates { .. } => "too-many-certificates",
            Self::InvitationLifetime(_) => "invitation-lifetime",
            Self::RoleNotInvited => "role-not-invited",
            Self::NothingToRevoke(_) => "nothing-to-revoke",
            Self::NotOperator(_) => "not-operator",
            Self::Log(error) => error.code(),
            Self::Records(_) | Self::CrlMoved | Self::Own(_) => "authority-failed",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Message(_) => "use a client of the same version as the authority, or read the API's description",
            Self::InvitationUnknown | Self::InvitationExpired(_) | Self::InvitationUsed(_) | Self::Revoked { .. } => {
                "ask the exchange's operator for a new invitation"
            }
            Self::WrongExchange { .. } | Self::WrongRole { .. } | Self::WrongName { .. } => {
                "join with the exchange, role and name that the invitation states"
            }
            Self::Issuing(error) if fault_of(error) == Fault::Ours => OURS,
            Self::Issuing(_) => "make two new keys and a certificate request for each, as `sealwort join` does",
            Self::NotAuthenticated => "connect with the hop certificate that is to be renewed",
            Self::CertificateUnknown(_) => {
                "tell the exchange's operator: the authority may have been restored from an old backup"
            }
            Self::TooManyCertificates { .. } => {
                "renew at two thirds of the lifetime; older certificates end by themselves"
            }
            Self::InvitationLifetime(_) => "choose a time within these bounds",
            Self::RoleNotInvited => "invite a broker, an archive or a gateway",
            Self::NothingToRevoke(_) => "list the certificates in force to see what there is",
            Self::NotOperator(_) => "run this command where the authority's folder is",
            Self::Log(error) => error.remedy(),
            Self::Records(_) | Self::CrlMoved | Self::Own(_) => OURS,
        }
    }

    /// What the peer is told. Causes of our own failures stay here.
    pub fn refusal(&self) -> Refusal {
        let message =
            if self.fault() == Fault::Ours { "the authority could not do this".to_owned() } else { self.to_string() };
        Refusal { code: self.code().to_owned(), message, remedy: self.remedy().to_owned() }
    }

    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Message(_)
            | Self::WrongExchange { .. }
            | Self::WrongRole { .. }
            | Self::WrongName { .. }
            | Self::InvitationLifetime(_)
            | Self::RoleNotInvited => Fault::Request,
            Self::Issuing(error) => fault_of(error),
            Self::NotAuthenticated => Fault::Unauthenticated,
            Self::InvitationUnknown | Self::CertificateUnknown(_) | Self::Revoked { .. } | Self::NotOperator(_) => {
                Fault::Forbidden
            }
            Self::NothingToRevoke(_) => Fault::Absent,
            Self::InvitationExpired(_) | Self::InvitationUsed(_) => Fault::Gone,
            Self::TooManyCertificates { .. } => Fault::Exhausted,
            Self::Records(_) | Self::CrlMoved | Self::Own(_) | Self::Log(_) => Fault::Ours,
        }
    }
}

fn fault_of(error: &AuthorityError) -> Fault {
    match error {
        AuthorityError::Request(_)
        | AuthorityError::WrongIdentity { .. }
        | AuthorityError::WrongUse { .. }
        | AuthorityError::SameKey
        | AuthorityError::WrongExchange { .. } => Fault::Request,
        AuthorityError::IssuingEnded { .. }
        | AuthorityError::Inconsistent(_)
        | AuthorityError::EmptyPeriod
        | AuthorityError::Key(_)
        | AuthorityError::Chain(_)
        | AuthorityError::Writer(_) => Fault::Ours,
    }
}

const OURS: &str = "tell the exchange's operator, whose log has the cause, and try again later";
