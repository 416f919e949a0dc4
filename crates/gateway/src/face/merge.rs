//! `POST Patient/$merge` (the operation of FHIR R6, patient-operation-merge.html) and `POST Patient/$unmerge`: for users of
//! the hospital that is the consent authority of both, in a role of `sign_in.administrators`.

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::{Identifier, IssueCode, Resource};
use serde_json::{Value, json};

use super::reply::Reply;
use super::request::Ask;
use crate::Gateway;
use crate::error::GatewayError;
use crate::merge::{Doing, Identities, Merged};

/// `POST Patient/$merge`: `source-patient`, `target-patient` (or `source-patient-identifier`, `target-patient-identifier`),
/// `result-patient`, `preview`.
pub(super) async fn merge(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let input = Input::of(gateway, ask)?;
    let result = match input.named("result-patient").find_map(|one| one.get("resource")) {
        Some(result) => {
            let result = Resource::parse(result.to_string())?;
            let place = "Parameters.parameter.where(name = 'result-patient').resource";
            super::validate::check(&result, ask.prefer.strict).map_err(|error| error.within(place))?;
            Some(result)
        }
        None => None,
    };
    let (source, target) = (input.patient("source-patient")?, input.patient("target-patient")?);
    let identities = Identities { source, target, result };
    let merged = gateway.merge(&identities, input.doing(), &ask.asking).await?;
    Ok(input.answer(&merged, "merged into"))
}

/// `POST Patient/$unmerge`: `source-patient` or `source-patient-identifier`, the identity that was given up; `preview`.
pub(super) async fn unmerge(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let input = Input::of(gateway, ask)?;
    let merged = gateway.unmerge(&input.patient("source-patient")?, None, input.doing(), &ask.asking).await?;
    Ok(input.answer(&merged, "parted from"))
}

/// The Parameters of both.
struct Input(Value);

impl Input {
    fn of(gateway: &Gateway, ask: &Ask) -> Result<Self, GatewayError> {
        ask.knows(&[])?;
        super::write::check_media(ask)?;
        gateway.check_administrator(&ask.asking)?;
        let body: Option<Value> = serde_json::from_slice(&ask.body).ok();
        let body = body.filter(|body| body.get("resourceType").is_some_and(|kind| kind == "Parameters"));
        body.map(Self).ok_or_else(|| {
            GatewayError::request(
                400,
                IssueCode::Structure,
                "parameters-needed",
                "the body is not a Parameters resource in JSON",
                "send Parameters with source-patient and target-patient: docs/rights.md",
            )
        })
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Value> {
        let all = self.0.get("parameter").and_then(Value::as_array);
        all.into_iter().flatten().filter(move |one| one.get("name").and_then(Value::as_str) == Some(name))
    }

    /// A Patient by reference or by identifier, given once.
    fn patient(&self, name: &str) -> Result<String, GatewayError> {
        let by_identifier = format!("{name}-identifier");
        let mut given = self.named(name).chain(self.named(&by_identifier));
        let needed = || {
            GatewayError::request(
                422,
                IssueCode::Required,
                "parameter-needed",
                format!("the Parameters name no single {name}"),
                format!("send {name} (a valueReference) or {by_identifier} (a valueIdentifier)"),
            )
            .at(format!("Parameters.parameter.where(name = '{name}')"))
        };
        let (Some(one), None) = (given.next(), given.next()) else { return Err(needed()) };
        let reference = one.pointer("/valueReference/reference").and_then(Value::as_str);
        let identifier = one.get("valueIdentifier").or_else(|| one.pointer("/valueReference/identifier"));
        match (reference, identifier) {
            (Some(reference), _) => Ok(reference.strip_prefix("Patient/").unwrap_or(reference).to_owned()),
            (None, Some(identifier)) => {
                let part = |key| identifier.get(key).and_then(Value::as_str).map(str::to_owned);
                let value = part("value").filter(|value| !value.is_empty()).ok_or_else(needed)?;
                Ok(Identifier { system: part("system"), value }.token())
            }
            (None, None) => Err(needed()),
        }
    }

    fn doing(&self) -> Doing {
        let preview = self.named("preview").any(|one| one.get("valueBoolean") == Some(&Value::Bool(true)));
        if preview { Doing::Preview } else { Doing::Really }
    }

    fn answer(&self, merged: &Merged, how: &str) -> Reply {
        let (source, target) = (format!("Patient/{}", merged.source.id), format!("Patient/{}", merged.target.id));
        let would = if merged.done { "is" } else { "would be" };
        let outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{
                "severity": "information",
                "code": "informational",
                "details": { "text": format!("{source} {would} {how} {target}") },
            }],
        });
        let input: Vec<&Value> = self.0.get("parameter").and_then(Value::as_array).into_iter().flatten().collect();
        let body = json!({
            "resourceType": "Parameters",
            "parameter": [
                { "name": "input", "resource": { "resourceType": "Parameters", "parameter": input } },
                { "name": "outcome", "resource": outcome },
                { "name": "source", "valueReference": { "reference": source } },
                { "name": "target", "valueReference": { "reference": target } },
            ],
        });
        Reply::resource(StatusCode::OK, body.to_string())
    }
}
