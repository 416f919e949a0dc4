//! What can be wrong with a search. Every case is the asker's to mend; the text names the parameter and what
//! would work, and never repeats the value asked for, which may identify a person.

use crate::outcome::{Issue, IssueCode, Outcome, Severity};

/// Why a search was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The parameter is not one of the type (only under strict handling; otherwise it is left out).
    #[error("'{parameter}' is not a search parameter of {on}; see the CapabilityStatement for those it has")]
    UnknownParameter {
        /// The parameter, shortened.
        parameter: String,
        /// The type, or `all types`.
        on: String,
    },
    /// FHIR knows the parameter or the modifier, and this server does not offer it.
    #[error("'{parameter}' is not supported: {instead}")]
    NotSupported {
        /// The parameter with its modifier, shortened.
        parameter: String,
        /// What works in its place.
        instead: &'static str,
    },
    /// A value is not of the form that the parameter's type demands.
    #[error("a value of '{parameter}' cannot be read: {reason}")]
    BadValue {
        /// The parameter, shortened.
        parameter: String,
        /// What is expected.
        reason: &'static str,
    },
    /// The search is larger than what is accepted.
    #[error("'{parameter}' asks for too much: {reason}")]
    TooMuch {
        /// The parameter, shortened.
        parameter: String,
        /// The limit, and how to keep it.
        reason: &'static str,
    },
    /// A page's position is not one that this server gave out.
    #[error("the page link cannot be read; start the search anew")]
    BadPosition,
}

impl SearchError {
    /// A stable code of the case, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownParameter { .. } => "unknown-search-parameter",
            Self::NotSupported { .. } => "search-not-supported",
            Self::BadValue { .. } => "bad-search-value",
            Self::TooMuch { .. } => "search-too-large",
            Self::BadPosition => "bad-page",
        }
    }

    /// The FHIR issue type that fits (value set `issue-type`).
    pub fn issue_code(&self) -> IssueCode {
        match self {
            Self::UnknownParameter { .. } | Self::NotSupported { .. } => IssueCode::NotSupported,
            Self::BadValue { .. } | Self::BadPosition => IssueCode::Value,
            Self::TooMuch { .. } => IssueCode::TooLong,
        }
    }

    /// The HTTP status to answer with (R4 search, "handling errors": 400 for all of them).
    pub fn http_status(&self) -> u16 {
        400
    }

    /// The OperationOutcome to answer with; its expression is `http.` and the parameter, as R4 has it for
    /// faults outside a resource.
    pub fn outcome(&self) -> Outcome {
        let issue = Issue::new(Severity::Error, self.issue_code(), self.code(), self.to_string());
        Outcome::from(match self.parameter() {
            Some(parameter) => issue.at(format!("http.{parameter}")),
            None => issue,
        })
    }

    /// The parameter at fault.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::UnknownParameter { parameter, .. }
            | Self::NotSupported { parameter, .. }
            | Self::BadValue { parameter, .. }
            | Self::TooMuch { parameter, .. } => Some(parameter),
            Self::BadPosition => None,
        }
    }
}

/// A parameter's name as it may be repeated in a text: no control characters, 64 characters at most.
pub(super) fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
