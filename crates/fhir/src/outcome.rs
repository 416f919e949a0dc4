//! OperationOutcome (R4): how a FHIR server says what went wrong, or right, and where.

use serde::Serialize;

/// Code system of the stable codes in `issue.details.coding`.
pub const OUTCOME_SYSTEM: &str = "https://sealwort.example/fhir/CodeSystem/outcome";

/// How bad an issue is (value set `issue-severity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing could be done.
    Fatal,
    /// The request failed.
    Error,
    /// It succeeded, and something deserves a look.
    Warning,
    /// For information.
    Information,
}

/// What kind of issue it is (value set `issue-type`; the codes a gateway needs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssueCode {
    /// Content is invalid.
    Invalid,
    /// JSON or resource structure is broken.
    Structure,
    /// An element is missing.
    Required,
    /// An element has a value it may not have.
    Value,
    /// A rule of consistency is broken.
    Invariant,
    /// Something about the sender's rights.
    Security,
    /// Log in first.
    Login,
    /// The sender is not known.
    Unknown,
    /// The session or token is over.
    Expired,
    /// Access is denied, by consent or policy.
    Forbidden,
    /// Information was left out.
    Suppressed,
    /// It cannot be processed.
    Processing,
    /// The server lacks this feature.
    NotSupported,
    /// The record is there already.
    Duplicate,
    /// Several records match.
    MultipleMatches,
    /// Nothing has that name.
    NotFound,
    /// It was deleted.
    Deleted,
    /// It is too long or too large.
    TooLong,
    /// It would take too much work.
    TooCostly,
    /// A code is not valid.
    CodeInvalid,
    /// A rule of business is broken.
    BusinessRule,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// It may work later.
    Transient,
    /// A lock could not be had.
    LockError,
    /// A store or a party is not there.
    NoStore,
    /// Our own fault.
    Exception,
    /// It took too long.
    Timeout,
    /// A part is missing from the answer.
    Incomplete,
    /// Too many requests.
    Throttled,
    /// For information.
    Informational,
}

/// One issue of an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    severity: Severity,
    code: IssueCode,
    details: Details,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expression: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Details {
    coding: [Coding; 1],
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Coding {
    system: &'static str,
    code: String,
}

/// The text with its places: `a Patient has one birthDate (Patient.birthDate)`.
impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.details.text)?;
        if self.expression.is_empty() { Ok(()) } else { write!(f, " ({})", self.expression.join(", ")) }
    }
}

impl Issue {
    /// An issue with our stable code of the case and a text for people.
    pub fn new(severity: Severity, code: IssueCode, stable: &str, text: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            details: Details {
                coding: [Coding { system: OUTCOME_SYSTEM, code: stable.to_owned() }],
                text: text.into(),
            },
            diagnostics: None,
            expression: Vec::new(),
        }
    }

    /// Adds the place at fault, a FHIRPath expression such as `Bundle.entry[3].resource`.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression.push(expression.into());
        self
    }

    /// Adds several places.
    #[must_use]
    pub fn at_all(mut self, expressions: impl IntoIterator<Item = String>) -> Self {
        self.expression.extend(expressions);
        self
    }

    /// Sets technical detail: what an administrator needs, or how to mend it. No patient data.
    #[must_use]
    pub fn diagnostics(mut self, text: impl Into<String>) -> Self {
        self.diagnostics = Some(text.into());
        self
    }

    /// The text for people.
    pub fn text(&self) -> &str {
        &self.details.text
    }

    /// Technical detail, or how to mend it.
    pub fn remedy(&self) -> Option<&str> {
        self.diagnostics.as_deref()
    }

    /// The places at fault.
    pub fn expressions(&self) -> &[String] {
        &self.expression
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Our stable code.
    pub fn stable_code(&self) -> &str {
        let [coding] = &self.details.coding;
        &coding.code
    }
}

/// An OperationOutcome: one issue or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    first: Issue,
    more: Vec<Issue>,
}

impl Outcome {
    /// Adds another issue.
    #[must_use]
    pub fn and(mut self, issue: Issue) -> Self {
        self.more.push(issue);
        self
    }

    /// Puts every place within a larger one: `Patient.name` within `Bundle.entry[3].resource` is
    /// `Bundle.entry[3].resource.name`. An issue without a place gets the larger one.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        for issue in std::iter::once(&mut self.first).chain(&mut self.more) {
            if issue.expression.is_empty() {
                issue.expression.push(outer.to_owned());
            }
            for place in &mut issue.expression {
                // The first word is the type of the inner resource.
                match place.split_once('.') {
                    _ if place.starts_with(outer) => {}
                    Some((_, inner)) => *place = format!("{outer}.{inner}"),
                    None => outer.clone_into(place),
                }
            }
        }
        self
    }

    /// Adds to what the first issue says is to be done.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        let diagnostics = self.first.diagnostics.get_or_insert_default();
        if !diagnostics.is_empty() {
            diagnostics.push_str("; ");
        }
        diagnostics.push_str(note);
        self
    }

    /// Of several issues; nothing where there are none.
    pub fn of(issues: impl IntoIterator<Item = Issue>) -> Option<Self> {
        let mut issues = issues.into_iter();
        Some(Self { first: issues.next()?, more: issues.collect() })
    }

    /// The issues.
    pub fn issues(&self) -> impl Iterator<Item = &Issue> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The resource as JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serializing strings and units to memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<Issue> for Outcome {
    fn from(first: Issue) -> Self {
        Self { first, more: Vec::new() }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            #[serde(rename = "resourceType")]
            resource_type: &'static str,
            issue: Vec<&'a Issue>,
        }
        Shape { resource_type: "OperationOutcome", issue: self.issues().collect() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::{FhirError, Resource};

    #[test]
    fn writes_the_resource() {
        let outcome = Outcome::from(
            Issue::new(Severity::Error, IssueCode::NotFound, "no-such-patient", "no patient has this \"id\"")
                .at("Patient.id")
                .diagnostics("asked the roster"),
        )
        .and(Issue::new(Severity::Information, IssueCode::Informational, "hint", "register it first"));
        let bytes = outcome.to_bytes();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            concat!(
                r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","#,
                r#""details":{"coding":[{"system":"https://sealwort.example/fhir/CodeSystem/outcome","code":"no-such-patient"}],"#,
                r#""text":"no patient has this \"id\""},"diagnostics":"asked the roster","expression":["Patient.id"]},"#,
                r#"{"severity":"information","code":"informational","#,
                r#""details":{"coding":[{"system":"https://sealwort.example/fhir/CodeSystem/outcome","code":"hint"}],"#,
                r#""text":"register it first"}}]}"#
            )
        );
        assert_eq!(Resource::parse(bytes).unwrap().resource_type().as_str(), "OperationOutcome");
        assert_eq!(outcome.issues().next().unwrap().stable_code(), "no-such-patient");
    }

    #[test]
    fn errors_become_outcomes() {
        for (text, status, code) in [
            ("{", 400, "structure"),
            ("{\"resourceType\":\"Zebra\"}", 400, "not-supported"),
            ("{\"resourceType\":\"Patient\",\"id\":\"\"}", 400, "value"),
        ] {
            let error = Resource::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.http_status(), status);
            let value: serde_json::Value = serde_json::from_slice(&error.outcome().to_bytes()).unwrap();
            assert_eq!(value["issue"][0]["code"], code);
            assert_eq!(value["issue"][0]["details"]["coding"][0]["code"], error.code());
        }
        assert_eq!(FhirError::NoPatient.http_status(), 422);
    }
}
