//! Why a request of the hospital's failed, and how FHIR says it: status, code, what was wrong and where, what
//! to do next.

use sealwort_fhir::patch::PatchError;
use sealwort_fhir::search::SearchError;
use sealwort_fhir::{FhirError, Issue, IssueCode, Outcome, Severity};
use sealwort_net::client::HopError;
use sealwort_net::exchange::ExchangeError;
use sealwort_proto::message::Refusal;
use sealwort_proto::{ErrorKind, ProtocolError};
use sealwort_store::StoreError;

/// Code of the refusal of a device whose id and secret are not those of an enrolment.
pub(crate) const DEVICE_UNKNOWN: &str = "device-unknown";

/// A failure at the gateway.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// The request is not valid FHIR.
    #[error(transparent)]
    Fhir(#[from] FhirError),
    /// A search that cannot be understood or answered.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A patch that does not fit.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The request asks for something that cannot be done.
    #[error("{text}")]
    Request {
        /// HTTP status.
        status: u16,
        /// FHIR issue code.
        issue: IssueCode,
        /// Stable code.
        code: &'static str,
        /// What is wrong.
        text: String,
        /// Where.
        expression: Option<String>,
        /// What to do next.
        remedy: String,
    },
    /// A protocol step failed.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The exchange was not reached or refused.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// This gateway's own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A resource has faults.
    #[error("the resource has {} faults", outcome.issues().count())]
    Faults {
        /// HTTP status.
        status: u16,
        /// Each fault with its place.
        outcome: Box<Outcome>,
    },
    /// The same, with the place where it happened.
    #[error("{place}: {error}")]
    Within {
        /// What happened.
        error: Box<GatewayError>,
        /// A FHIRPath expression.
        place: String,
    },
    /// The same, with more to be known.
    #[error("{error}; {note}")]
    Noted {
        /// What happened.
        error: Box<GatewayError>,
        /// What else.
        note: String,
    },
    /// Too many failures: whoever asks has to wait.
    #[error("too many failures; the next try is looked at in {seconds} s")]
    Throttled {
        /// How long.
        seconds: u64,
    },
    /// What this gateway keeps does not open.
    #[error("{0}; restore the data folder from a backup")]
    Kept(&'static str),
}

impl From<HopError> for GatewayError {
    fn from(error: HopError) -> Self {
        Self::Exchange(error.into())
    }
}

impl GatewayError {
    /// A request that cannot be done.
    pub fn request(
        status: u16,
        issue: IssueCode,
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Request { status, issue, code, text: text.into(), expression: None, remedy: remedy.into() }
    }

    /// Too many failures.
    pub(crate) fn throttled(wait: std::time::Duration) -> Self {
        Self::Throttled { seconds: wait.as_secs().max(1) }
    }

    /// Names the element that is at fault.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        if let Self::Request { expression, .. } = &mut self {
            *expression = Some(place.into());
        }
        self
    }

    /// Puts its places within a larger one: `Patient.name` within `Bundle.entry[3].resource`.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        if place.is_empty() { self } else { Self::Within { error: Box::new(self), place: place.to_owned() } }
    }

    /// Adds to what is to be known about it.
    #[must_use]
    pub fn and_note(self, note: impl Into<String>) -> Self {
        Self::Noted { error: Box::new(self), note: note.into() }
    }

    /// Without what was said about it on its way.
    fn root(&self) -> &Self {
        match self {
            Self::Within { error, .. } | Self::Noted { error, .. } => error.root(),
            error => error,
        }
    }

    /// How to log in where it is not known who asks: the challenge of `WWW-Authenticate` (RFC 9110, section 11.6.1).
    pub(crate) fn challenge(&self) -> &'static str {
        match self.root() {
            Self::Request { code: DEVICE_UNKNOWN, .. } => "Basic realm=\"devices\", charset=\"UTF-8\"",
            _ => "Bearer",
        }
    }

    /// No such patient is known here.
    pub fn unknown_patient() -> Self {
        Self::request(
            404,
            IssueCode::NotFound,
            "patient-unknown",
            "no such patient is known at this hospital",
            "find the patient first: GET Patient?identifier=system|value",
        )
    }

    /// What a delegate could do has ended.
    pub fn delegation_ended() -> Self {
        Self::request(
            401,
            IssueCode::Login,
            "delegation-ended",
            "what this delegate could do for the patient has ended",
            "ask the patient, or the hospital, for a new one",
        )
    }

    /// What would be written over is not shown to who writes.
    pub fn withheld_resource() -> Self {
        Self::request(
            403,
            IssueCode::Forbidden,
            "consent-label-not-granted",
            "the patient's consent withholds this resource from this hospital",
            "ask the patient's consent authority to grant it",
        )
    }

    /// The record was erased.
    pub fn erased_patient() -> Self {
        Self::request(
            410,
            IssueCode::Deleted,
            "patient-erased",
            "the patient was erased",
            "nothing is left to be read; register the person again to begin a new record",
        )
    }

    /// The refusal of another party, where there is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self.root() {
            Self::Exchange(ExchangeError::Refused(refusal))
            | Self::Protocol(ProtocolError { kind: ErrorKind::Refused(refusal), .. }) => Some(refusal),
            _ => None,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        match self.root() {
            Self::Fhir(error) => error.code(),
            Self::Search(error) => error.code(),
            Self::Patch(error) => error.code(),
            Self::Faults { outcome, .. } => outcome.issues().next().map_or("invalid", |issue| issue.stable_code()),
            Self::Within { .. } | Self::Noted { .. } => "unknown",
            Self::Request { code, .. } => code,
            Self::Throttled { .. } => "throttled",
            Self::Protocol(error) => error.code(),
            Self::Exchange(error) => error.code(),
            Self::Store(_) => "storage-failed",
            Self::Kept(_) => "storage-inconsistent",
        }
    }

    /// Whether the exchange is away: a write may wait in the outbox.
    pub fn is_away(&self) -> bool {
        match self.root() {
            Self::Exchange(error) => error.is_transient(),
            Self::Protocol(_) => {
                self.refusal().is_some_and(|r| r.code == "peer-unreachable" || r.code == "unavailable")
            }
            _ => false,
        }
    }

    /// Whether the session is gone and the nine steps are to be run again.
    pub fn is_session_lost(&self) -> bool {
        match self.root() {
            Self::Exchange(ExchangeError::Hop(error)) => error.is_transient(),
            _ => matches!(self.code(), "session-unknown" | "session-exhausted" | "session-wrong"),
        }
    }

    /// Whether a new token would do: the authority ended, or a new epoch began.
    pub fn wants_new_token(&self) -> bool {
        matches!(self.code(), "authority-ended" | "epoch-changed")
    }

    /// Whether another party detected, or this one, that the log was tampered with.
    pub fn is_tampering(&self) -> bool {
        matches!(self.code(), "log-rolled-back" | "log-inconsistent")
    }

    /// HTTP status of the FHIR answer.
    pub fn status(&self) -> u16 {
        match self.root() {
            Self::Fhir(error) => error.http_status(),
            Self::Search(error) => error.http_status(),
            Self::Patch(error) => error.http_status(),
            Self::Request { status, .. } | Self::Faults { status, .. } => *status,
            Self::Throttled { .. } => 429,
            Self::Store(StoreError::Full) => 507,
            Self::Store(_) | Self::Kept(_) | Self::Within { .. } | Self::Noted { .. } => 500,
            Self::Protocol(_) | Self::Exchange(_) => match self.code() {
                code if code.starts_with("consent-") => 403,
                "emergency-over" | "emergency-other" => 403,
                "patient-unknown" => 404,
                "patient-erased" => 410,
                "conflict" => 409,
                "disk-full" => 507,
                "audit-unavailable" => 503,
                "storage-failed" => 500,
                _ if self.is_tampering() => 502,
                _ if self.is_away() => 503,
                _ => 502,
            },
        }
    }

    /// The answer as an OperationOutcome.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Fhir(error) => return error.outcome(),
            Self::Search(error) => return error.outcome(),
            Self::Patch(error) => return error.outcome(),
            Self::Faults { outcome, .. } => return outcome.as_ref().clone(),
            Self::Within { error, place } => return error.outcome().within(place),
            Self::Noted { error, note } => return error.outcome().note(note),
            _ => {}
        }
        let issue_code = match self {
            Self::Request { issue, .. } => *issue,
            _ => match self.status() {
                403 => IssueCode::Forbidden,
                404 => IssueCode::NotFound,
                409 => IssueCode::Conflict,
                429 => IssueCode::Throttled,
                410 => IssueCode::Deleted,
                502 if self.is_tampering() => IssueCode::Security,
                503 => IssueCode::Transient,
                507 => IssueCode::NoStore,
                _ => IssueCode::Exception,
            },
        };
        let (text, remedy) = match (self, self.refusal()) {
            (Self::Request { text, remedy, .. }, _) => (text.clone(), remedy.clone()),
            (_, Some(refusal)) => (format!("the {} refused: {}", refusal.by, refusal.reason), refusal.remedy.clone()),
            (error @ Self::Throttled { .. }, None) => (
                error.to_string(),
                "wait, then show what is right; an administrator can end the wait: sealwort session unlock".to_owned(),
            ),
            (error, None) if error.is_tampering() => (
                error.to_string(),
                "tell the exchange's operator and security officer at once; nothing of this reading was used"
                    .to_owned(),
            ),
            (error, None) if error.is_away() => {
                (error.to_string(), "the exchange is away; try again in a moment".to_owned())
            }
            (error, None) => (error.to_string(), "the gateway's log names the cause".to_owned()),
        };
        let mut issue = Issue::new(Severity::Error, issue_code, self.code(), text).diagnostics(remedy);
        if let Self::Request { expression: Some(place), .. } = self {
            issue = issue.at(place.clone());
        }
        Outcome::from(issue)
    }
}
