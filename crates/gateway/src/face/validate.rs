//! Whether resources are valid: at the door, and as the operation `$validate`.

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::validation::{Handling, validate as faults};
use sealwort_fhir::{Issue, IssueCode, Outcome, Resource, ResourceType, Severity};

use super::reply::Reply;
use super::request::{Ask, Strictness};
use super::write::parsed;
use crate::Gateway;
use crate::error::GatewayError;

/// `POST [type]/$validate`. Whatever is found, the answer is 200: the question was understood. The resource is the
/// body, or the part `resource` of a Parameters (FHIR R4, resource-operation-validate.html).
pub(super) async fn operation(_: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["mode", "profile"])?;
    super::write::check_media(ask)?;
    let sent = match parsed(ask).await {
        Ok(sent) => sent,
        Err(error) => return Ok(Reply::resource(StatusCode::OK, error.outcome().to_bytes())),
    };
    let mut tree = sent.json()?;
    if sent.resource_type().as_str() == "Parameters" {
        let parameters = tree.get_mut("parameter").and_then(|list| list.as_array_mut());
        let part = parameters.and_then(|list| {
            list.iter_mut().find(|one| one.get("name").is_some_and(|name| name == "resource"))?.get_mut("resource")
        });
        tree = part.map(serde_json::Value::take).ok_or_else(|| {
            GatewayError::request(
                400,
                IssueCode::Required,
                "resource-needed",
                "the Parameters have no part named resource",
                "send the resource itself, or Parameters with a part named resource",
            )
            .at("Parameters.parameter")
        })?;
    }
    let kind = ask.place.kind()?;
    let mut issues = faults(&tree, handling(ask.prefer.strict));
    if tree.get("resourceType").and_then(|name| name.as_str()) != Some(kind.as_str()) {
        let text = format!("the resource is not a {kind}");
        issues.insert(0, Issue::new(Severity::Error, IssueCode::Invariant, "type-differs", text).at("resourceType"));
    }
    let outcome = Outcome::of(issues).unwrap_or_else(|| {
        Issue::new(Severity::Information, IssueCode::Informational, "valid", "the resource is valid FHIR R4").into()
    });
    Ok(Reply::resource(StatusCode::OK, outcome.to_bytes()))
}

/// Refuses a resource that is not valid, with every fault and its place.
pub(crate) fn check(resource: &Resource, strictness: Strictness) -> Result<(), GatewayError> {
    if resource.resource_type() == ResourceType::AUDIT_EVENT {
        return Err(GatewayError::request(
            405,
            IssueCode::NotSupported,
            "audit-events-are-the-servers",
            "AuditEvents are entries of the gateway's audit log, and nobody writes them",
            "leave the AuditEvent out",
        ));
    }
    let found = faults(&resource.json()?, handling(strictness));
    let wrong = found.into_iter().filter(|issue| matches!(issue.severity(), Severity::Error | Severity::Fatal));
    match Outcome::of(wrong) {
        Some(outcome) => Err(GatewayError::Faults { status: 422, outcome: Box::new(outcome) }),
        None => Ok(()),
    }
}

fn handling(strictness: Strictness) -> Handling {
    match strictness {
        Strictness::Usual | Strictness::Lenient => Handling::Lenient,
        Strictness::Strict => Handling::Strict,
    }
}
