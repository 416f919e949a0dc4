//! Reading why a gateway said no: the first error of an OperationOutcome.

use http::StatusCode;
use serde::Deserialize;

use crate::error::Refused;

/// The reason in an answer that says no. An answer that is not an OperationOutcome is told by its status.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Refused {
    let outcome: OperationOutcome = serde_json::from_slice(body).unwrap_or_default();
    let first = outcome.issue.into_iter().find(|issue| issue.severity != "information");
    let Some(issue) = first else {
        return Refused {
            code: format!("http-{}", status.as_u16()),
            message: format!("the gateway answered {status}"),
            remedy: None,
        };
    };
    let code = issue.details.coding.into_iter().next().map_or(issue.code, |coding| coding.code);
    let mut message =
        if issue.details.text.is_empty() { format!("the gateway answered {status}") } else { issue.details.text };
    if let Some(place) = issue.expression.first() {
        message = format!("{message} (at {place})");
    }
    Refused { code, message, remedy: issue.diagnostics }
}

/// The parts that are read of a FHIR R4 OperationOutcome.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OperationOutcome {
    issue: Vec<Issue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Issue {
    severity: String,
    code: String,
    details: Details,
    diagnostics: Option<String>,
    expression: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    coding: Vec<Coding>,
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coding {
    code: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_error_is_told_with_its_place_and_remedy() {
        let body = br#"{"resourceType":"OperationOutcome","issue":[
            {"severity":"information","code":"informational"},
            {"severity":"error","code":"forbidden","details":{"coding":[{"system":"s","code":"consent-missing"}],
             "text":"no consent for reading"},"diagnostics":"ask the patient","expression":["Patient"]}]}"#;
        let refused = refusal(StatusCode::FORBIDDEN, body);
        assert_eq!(refused.code, "consent-missing");
        assert_eq!(refused.message, "no consent for reading (at Patient)");
        assert_eq!(refused.remedy.unwrap(), "ask the patient");
        let plain = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(plain.code, "http-502");
    }
}
