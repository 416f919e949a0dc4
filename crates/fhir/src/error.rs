//! What can be wrong with FHIR input. Every case is the sender's to mend: it names the place as a
//! FHIRPath-like expression, has a stable code, and turns into an OperationOutcome.

use crate::outcome::{Issue, IssueCode, Outcome, Severity};

/// Why FHIR input was refused. The message never quotes values of elements, so it may be logged;
/// names of members and resource types, shortened, may appear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FhirError {
    /// The input is larger than the limit of its kind.
    #[error("{what} has {bytes} bytes, more than the {limit} bytes accepted; send it in parts")]
    TooLarge {
        /// `resource` or `bundle`.
        what: &'static str,
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// The input is not UTF-8 (FHIR JSON is, R4 section 2.1.0.9).
    #[error("byte {at} is not UTF-8; FHIR JSON is always UTF-8")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// The input is not JSON.
    #[error("not JSON at line {line}, column {column} ({expression}): {reason}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// The element that was being read.
        expression: String,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A member occurs twice in one object: two readers could see two different records.
    #[error("{expression} occurs twice in its object; send it once")]
    DuplicateMember {
        /// The repeated member.
        expression: String,
    },
    /// A member has a name that our JSON reader keeps for itself.
    #[error("{expression} has a reserved name; it is no element of FHIR")]
    ReservedMember {
        /// The member.
        expression: String,
    },
    /// Objects and arrays are nested too deep.
    #[error("{expression} is nested deeper than {limit} levels")]
    TooDeep {
        /// The first element below the limit.
        expression: String,
        /// Levels accepted.
        limit: usize,
    },
    /// The input, or the `resource` of an entry, is not a JSON object.
    #[error("{expression} is not a JSON object")]
    NotAnObject {
        /// The place of the value.
        expression: String,
    },
    /// `resourceType` is absent.
    #[error("{expression} has no resourceType")]
    MissingResourceType {
        /// The resource.
        expression: String,
    },
    /// `resourceType` is not a type of R4.
    #[error("{expression} is '{found}', which is not a resource type of FHIR R4")]
    UnknownResourceType {
        /// The `resourceType` element.
        expression: String,
        /// What was sent, shortened.
        found: String,
    },
    /// `id` breaks the grammar of R4.
    #[error("{expression}: an id has 1 to 64 characters out of letters, digits, '-' and '.'")]
    BadId {
        /// The `id` element.
        expression: String,
    },
    /// An element has the wrong form.
    #[error("{expression}: {reason}")]
    BadElement {
        /// The element.
        expression: String,
        /// What is expected.
        reason: &'static str,
    },
    /// An element that this exchange needs is absent.
    #[error("{expression} is missing")]
    MissingElement {
        /// The element.
        expression: String,
    },
    /// A Bundle was expected.
    #[error("expected a Bundle, got {found}")]
    NotABundle {
        /// The type that was sent.
        found: crate::ResourceType,
    },
    /// A Bundle of this type is not taken in.
    #[error("a Bundle of type '{kind}' cannot be posted; send transaction, batch, collection or document")]
    KindNotAccepted {
        /// The value of `Bundle.type`.
        kind: &'static str,
    },
    /// More entries than a Bundle may have here.
    #[error("the Bundle has more than {limit} entries; send it in parts")]
    TooManyEntries {
        /// Entries accepted.
        limit: usize,
    },
    /// Two entries claim the same identity.
    #[error("{expression} repeats the identity of entry {first}; every entry needs its own")]
    DuplicateEntry {
        /// The second entry's element.
        expression: String,
        /// Index of the first entry.
        first: usize,
    },
    /// No resource in the Bundle is a Patient or refers to one.
    #[error("the Bundle names no patient; include the Patient or refer to one")]
    NoPatient,
    /// Some entries belong to no patient of a Bundle with several.
    #[error("{} of the Bundle's entries belong to none of its patients, the first is {}; refer to the patient, or send them with one patient", .entries.len(), .entries.first().map_or(String::new(), |i| format!("Bundle.entry[{i}].resource")))]
    Unassigned {
        /// Indices of the entries.
        entries: Vec<usize>,
    },
    /// Shared resources of a Bundle would be copied into too many records.
    #[error("the Bundle's shared resources would be stored more than {limit} times; send fewer patients at once")]
    TooManyAssignments {
        /// Pairs of entry and patient accepted.
        limit: usize,
    },
    /// A search token is not of the form `system|value`.
    #[error("the search value is not a token: {reason}")]
    BadToken {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl FhirError {
    /// A stable code of the case, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::NotUtf8 { .. } => "not-utf-8",
            Self::Syntax { .. } => "not-json",
            Self::DuplicateMember { .. } => "duplicate-member",
            Self::ReservedMember { .. } => "reserved-member",
            Self::TooDeep { .. } => "too-deep",
            Self::NotAnObject { .. } => "not-an-object",
            Self::MissingResourceType { .. } => "missing-resource-type",
            Self::UnknownResourceType { .. } => "unknown-resource-type",
            Self::BadId { .. } => "bad-id",
            Self::BadElement { .. } => "bad-element",
            Self::MissingElement { .. } => "missing-element",
            Self::NotABundle { .. } => "not-a-bundle",
            Self::KindNotAccepted { .. } => "bundle-type-not-accepted",
            Self::TooManyEntries { .. } => "too-many-entries",
            Self::DuplicateEntry { .. } => "duplicate-entry",
            Self::NoPatient => "no-patient",
            Self::Unassigned { .. } => "entry-without-patient",
            Self::TooManyAssignments { .. } => "too-many-assignments",
            Self::BadToken { .. } => "bad-token",
        }
    }

    /// The FHIR issue type that fits (value set `issue-type`).
    pub fn issue_code(&self) -> IssueCode {
        match self {
            Self::TooLarge { .. }
            | Self::TooDeep { .. }
            | Self::TooManyEntries { .. }
            | Self::TooManyAssignments { .. } => IssueCode::TooLong,
            Self::NotUtf8 { .. }
            | Self::Syntax { .. }
            | Self::DuplicateMember { .. }
            | Self::ReservedMember { .. }
            | Self::NotAnObject { .. }
            | Self::MissingResourceType { .. }
            | Self::NotABundle { .. } => IssueCode::Structure,
            Self::UnknownResourceType { .. } | Self::KindNotAccepted { .. } => IssueCode::NotSupported,
            Self::BadId { .. } | Self::BadElement { .. } | Self::BadToken { .. } => IssueCode::Value,
            Self::MissingElement { .. } | Self::NoPatient | Self::Unassigned { .. } => IssueCode::Required,
            Self::DuplicateEntry { .. } => IssueCode::Duplicate,
        }
    }

    /// The HTTP status to answer with: 400 for what cannot be read, 413 for what is too large, 422
    /// for what is readable and still cannot be stored (R4 HTTP, "create").
    pub fn http_status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooManyEntries { .. } | Self::TooManyAssignments { .. } => 413,
            Self::DuplicateEntry { .. } | Self::NoPatient | Self::Unassigned { .. } | Self::KindNotAccepted { .. } => {
                422
            }
            _ => 400,
        }
    }

    /// The places at fault, as FHIRPath-like expressions; empty when the whole input is.
    pub fn expressions(&self) -> Vec<String> {
        /// Places listed of many; the message says how many there are.
        const PLACES_MAX: usize = 20;
        match self {
            Self::Syntax { expression, .. }
            | Self::DuplicateMember { expression }
            | Self::ReservedMember { expression }
            | Self::TooDeep { expression, .. }
            | Self::NotAnObject { expression }
            | Self::MissingResourceType { expression }
            | Self::UnknownResourceType { expression, .. }
            | Self::BadId { expression }
            | Self::BadElement { expression, .. }
            | Self::MissingElement { expression }
            | Self::DuplicateEntry { expression, .. } => vec![expression.clone()],
            Self::KindNotAccepted { .. } => vec!["Bundle.type".to_owned()],
            Self::TooManyEntries { .. } => vec!["Bundle.entry".to_owned()],
            Self::Unassigned { entries } => {
                entries.iter().take(PLACES_MAX).map(|i| format!("Bundle.entry[{i}].resource")).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The OperationOutcome to answer with.
    pub fn outcome(&self) -> Outcome {
        Outcome::from(
            Issue::new(Severity::Error, self.issue_code(), self.code(), self.to_string()).at_all(self.expressions()),
        )
    }
}
