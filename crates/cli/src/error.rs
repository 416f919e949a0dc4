//! How a command fails. Each variant is one exit code, so that a script can tell a slip of its own from a
//! refusal, and a refusal from a record that was tampered with.

use sealwort_ca::{CaError, CreateError, TlsError};
use sealwort_net::client::HopError;
use sealwort_net::config::ConfigError;
use sealwort_net::member::MemberError;
use sealwort_net::secret_file::SecretFileError;
use sealwort_net::telemetry::TelemetryError;
use sealwort_net::tls::{CredentialsError, TlsConfigError};
use sealwort_pki::enrolment::{MembershipError, MessageError, Refusal};
use sealwort_store::StoreError;

/// Wrong use, or a fault of this computer's.
pub(crate) const EXIT_LOCAL: u8 = 1;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Wrong use, or a fault of this computer's.
    #[error("{0}")]
    Local(String),
    /// Another party was not reached, failed or refused.
    #[error("{0}")]
    Remote(Refused),
    /// Policy or consent forbids it.
    #[error("{0}")]
    Denied(Refused),
    /// `doctor` found something wrong.
    #[error("{wrong} of {checks} checks found something wrong")]
    Unhealthy {
        /// How many are wrong.
        wrong: usize,
        /// Of how many.
        checks: usize,
    },
    /// A record was tampered with.
    #[error("{0}")]
    Tampered(Refused),
    /// A record or a party can be neither believed nor called false.
    #[error("{0}")]
    Unverifiable(Refused),
}

/// A refusal in another party's words.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    /// Stable code.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do next, if the party said so.
    pub(crate) remedy: Option<String>,
}

impl CliError {
    /// A failure at another party, under the exit code that its stable code and HTTP status call for.
    pub(crate) fn refused(status: Option<u16>, refused: Refused) -> Self {
        match refused.code.as_str() {
            "log-rolled-back" | "log-inconsistent" => Self::Tampered(refused),
            "revocation-unknown" | "record-invalid" | "statement-invalid" | "signature-wrong" | "seal-broken" => {
                Self::Unverifiable(refused)
            }
            _ if status == Some(403) => Self::Denied(refused),
            _ => Self::Remote(refused),
        }
    }

    /// A failure at another party without its own words.
    pub(crate) fn remote(code: &str, message: impl Into<String>) -> Self {
        Self::refused(None, Refused { code: code.to_owned(), message: message.into(), remedy: None })
    }

    /// What the process ends with.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Local(_) => EXIT_LOCAL,
            Self::Remote(_) => 2,
            Self::Denied(_) => 3,
            Self::Unhealthy { .. } => 4,
            Self::Tampered(_) => 5,
            Self::Unverifiable(_) => 6,
        }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Local(_) => "local",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Remote(refused) | Self::Denied(refused) | Self::Tampered(refused) | Self::Unverifiable(refused) => {
                &refused.code
            }
        }
    }

    /// What to do next, where it is not in the message.
    pub(crate) fn remedy(&self) -> Option<&str> {
        match self {
            Self::Local(_) | Self::Unhealthy { .. } => None,
            Self::Remote(refused) | Self::Denied(refused) | Self::Tampered(refused) | Self::Unverifiable(refused) => {
                refused.remedy.as_deref()
            }
        }
    }

    /// The same failure, with what was being done in front.
    pub(crate) fn during(mut self, what: &str) -> Self {
        match &mut self {
            Self::Local(message) => *message = format!("{what}: {message}"),
            Self::Unhealthy { .. } => {}
            Self::Remote(refused) | Self::Denied(refused) | Self::Tampered(refused) | Self::Unverifiable(refused) => {
                refused.message = format!("{what}: {}", refused.message);
            }
        }
        self
    }
}

impl From<HopError> for CliError {
    fn from(error: HopError) -> Self {
        match error {
            HopError::Endpoint { .. } => Self::Local(error.to_string()),
            _ => Self::remote(error.code(), error.to_string()),
        }
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::refused(None, Refused { code: refusal.code, message: refusal.message, remedy: Some(refusal.remedy) })
    }
}

impl From<MemberError> for CliError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Hop(error) => error.into(),
            MemberError::Refused(refusal) => (*refusal).into(),
            MemberError::Message(error) => Self::remote("message-malformed", error.to_string()),
            error => Self::Local(error.to_string()),
        }
    }
}

impl From<CaError> for CliError {
    fn from(error: CaError) -> Self {
        match error {
            // Whoever is told is the operator.
            CaError::Log(error) => Self::Local(format!("{error}; without it only revoking and listing go on")),
            error => Self::Local(format!("{error}; {}", error.remedy())),
        }
    }
}

macro_rules! local {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::Local(error.to_string())
            }
        }
    )+};
}
local!(
    ConfigError,
    CreateError,
    CredentialsError,
    MembershipError,
    MessageError,
    SecretFileError,
    StoreError,
    TelemetryError,
    TlsConfigError,
    TlsError,
    sealwort_archive::StartError,
    sealwort_broker::StartError,
    sealwort_gateway::StartError,
    sealwort_journal::JournalError,
    sealwort_pki::TrustError,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_exit_code() {
        let refused = |status, code: &str| {
            let refused = Refused { code: code.to_owned(), message: String::new(), remedy: None };
            CliError::refused(status, refused).exit_code()
        };
        for (status, code, exit) in [
            (Some(404), "patient-unknown", 2),
            (None, "connect-failed", 2),
            (Some(403), "consent-missing", 3),
            (Some(502), "log-rolled-back", 5),
            (Some(502), "log-inconsistent", 5),
            (Some(502), "statement-invalid", 6),
            (None, "revocation-unknown", 6),
        ] {
            assert_eq!(refused(status, code), exit, "{code}");
        }
        assert_eq!(CliError::Local(String::new()).exit_code(), 1);
        assert_eq!(CliError::Unhealthy { wrong: 1, checks: 2 }.exit_code(), 4);
    }
}
