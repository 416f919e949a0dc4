//! The protocol's one error: which step failed, whose fault it was, and what was wrong.
//! The peer is told a stable code; the log gets the cause; the user gets what to do next.

use std::fmt;

use sealwort_pki::CertificateError;

use crate::codec::CodecError;

/// Where a run stood when it failed. The numbers are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Mutual authentication, 3.2.1, steps 1 to 9.
    Authentication(u8),
    /// Transmission, 3.2.2, steps 1 to 7.
    Transmission(u8),
    /// A message inside an established channel.
    Channel,
    /// Registering a patient or changing consent.
    Consent,
    /// Sealing, opening or verifying a record or a log.
    Record,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authentication(n) => write!(f, "authentication step {n}"),
            Self::Transmission(n) => write!(f, "transmission step {n}"),
            Self::Channel => f.write_str("channel"),
            Self::Consent => f.write_str("consent"),
            Self::Record => f.write_str("record"),
        }
    }
}

/// Who has to mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The gateway (LHC).
    Gateway,
    /// The broker (HTSC).
    Broker,
    /// The archive (HIMC).
    Archive,
    /// The hospital that wrote a record or registered a patient.
    Author,
    /// This party itself.
    Own,
}

impl Fault {
    /// The party's name in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::Archive => "archive",
            Self::Author => "author",
            Self::Own => "this party",
        }
    }
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// Not a message of the expected form.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another protocol version.
    #[error("protocol version {found} where {} is spoken", crate::VERSION)]
    Version {
        /// What the peer sent.
        found: u8,
    },
    /// Another suite.
    #[error("suite {found} where {} is the only one", crate::SUITE)]
    Suite {
        /// What the peer sent.
        found: u16,
    },
    /// A message of another exchange.
    #[error("the message belongs to another exchange")]
    WrongExchange,
    /// A message of another step than the one awaited.
    #[error("step {found} where step {expected} was awaited")]
    WrongStep {
        /// The step awaited.
        expected: u8,
        /// The step received.
        found: u8,
    },
    /// A message of another session.
    #[error("the message belongs to another session")]
    WrongSession,
    /// The session is not known here: it ended, or this party restarted.
    #[error("no such session; establish a new one")]
    UnknownSession,
    /// The certificate was refused.
    #[error("certificate refused: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate names another party than the one on the connection or the one asked for.
    #[error("the certificate names {found} where {expected} was expected")]
    WrongParty {
        /// Identity expected.
        expected: String,
        /// Identity found.
        found: String,
    },
    /// A signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A public key or encapsulation is not valid.
    #[error("the key encapsulation is not valid")]
    Encapsulation,
    /// The peer did not prove that it holds the key.
    #[error("the key confirmation does not verify")]
    Confirmation,
    /// The peer's policies cannot be met.
    #[error("policy mismatch on {field}: {reason}")]
    Policy {
        /// The field of the policies.
        field: &'static str,
        /// What was demanded and what is offered.
        reason: String,
    },
    /// The other side answered for policies that were never sent.
    #[error("the policies are not the ones that were sent")]
    PolicyChanged,
    /// Decryption failed: wrong key, or the bytes were altered.
    #[error("the message does not open: altered, or under another key")]
    Sealed,
    /// The message number was seen before or lies behind the window.
    #[error("message {number} was received before or is too old")]
    Replayed {
        /// The number.
        number: u64,
    },
    /// The channel's keys have reached their limit.
    #[error("the session has reached its limit; establish a new one")]
    Exhausted,
    /// The challenge, time stamp or hash does not answer what was asked.
    #[error("the answer does not match the challenge")]
    Challenge,
    /// The token does not fit this use.
    #[error("token refused: {0}")]
    Token(&'static str),
    /// Outside the accepted time.
    #[error("the time stamp is {seconds} seconds off; at most {limit} are allowed; check the clocks")]
    Clock {
        /// Distance in seconds.
        seconds: u64,
        /// Accepted distance in seconds.
        limit: u64,
    },
    /// The archive's log contradicts what was witnessed.
    #[error("the log was rolled back, forked or cut: {0}")]
    Rollback(&'static str),
    /// The log or an entry is inconsistent in itself.
    #[error("the log is not consistent: {0}")]
    Chain(&'static str),
    /// The record does not open or has a wrong shape.
    #[error("the record is not valid: {0}")]
    Record(&'static str),
    /// The registration or consent statement does not fit.
    #[error("the statement is not valid: {0}")]
    Statement(&'static str),
    /// The other side refused, with its own words.
    #[error("{0}")]
    Refused(Box<crate::message::Refusal>),
    /// The cryptographic library failed.
    #[error("the cryptographic library failed: {0}")]
    Crypto(&'static str),
    /// A cookie is demanded because the broker is under load.
    #[error("the cookie is missing or stale")]
    Cookie,
}

impl ErrorKind {
    /// A stable code for the peer, scripts and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Codec(_) => "message-malformed",
            Self::Version { .. } => "version-unknown",
            Self::Suite { .. } => "suite-unknown",
            Self::WrongExchange => "exchange-wrong",
            Self::WrongStep { .. } => "step-wrong",
            Self::WrongSession => "session-wrong",
            Self::UnknownSession => "session-unknown",
            Self::Certificate(_) => "certificate-refused",
            Self::WrongParty { .. } => "party-wrong",
            Self::Signature => "signature-wrong",
            Self::Encapsulation => "encapsulation-wrong",
            Self::Confirmation => "confirmation-wrong",
            Self::Policy { .. } => "policy-mismatch",
            Self::PolicyChanged => "policy-changed",
            Self::Sealed => "seal-broken",
            Self::Replayed { .. } => "message-replayed",
            Self::Exhausted => "session-exhausted",
            Self::Challenge => "challenge-wrong",
            Self::Token(_) => "token-refused",
            Self::Clock { .. } => "clock-skew",
            Self::Rollback(_) => "log-rolled-back",
            Self::Chain(_) => "log-inconsistent",
            Self::Record(_) => "record-invalid",
            Self::Statement(_) => "statement-invalid",
            Self::Refused(_) => "refused",
            Self::Crypto(_) => "crypto-failed",
            Self::Cookie => "cookie-needed",
        }
    }
}

/// A failed step. Nothing of the run is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError {
    /// The step that failed.
    pub step: Step,
    /// Whose fault it was.
    pub fault: Fault,
    /// What was wrong.
    pub kind: ErrorKind,
}

impl ProtocolError {
    /// An error of this step.
    pub fn new(step: Step, fault: Fault, kind: impl Into<ErrorKind>) -> Self {
        Self { step, fault, kind: kind.into() }
    }

    /// The stable code; that of the refusal where another party refused.
    pub fn code(&self) -> &str {
        match &self.kind {
            ErrorKind::Refused(refusal) => &refusal.code,
            kind => kind.code(),
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (fault: {})", self.step, self.kind, self.fault.as_str())
    }
}

impl std::error::Error for ProtocolError {}

/// Attaches step and fault to a cause: `.at(step, fault)`.
pub(crate) trait At<T> {
    fn at(self, step: Step, fault: Fault) -> Result<T, ProtocolError>;
}

impl<T, E: Into<ErrorKind>> At<T> for Result<T, E> {
    fn at(self, step: Step, fault: Fault) -> Result<T, ProtocolError> {
        self.map_err(|kind| ProtocolError::new(step, fault, kind))
    }
}
