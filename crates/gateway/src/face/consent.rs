//! `Patient/[id]/$consent-explain`: who may see what of a patient, by which sentence, and what would change if. Asked by
//! parameters of the URL, or by a Parameters resource, which can hold proposed Consents.

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_pki::UnixTime;
use sealwort_smart::Action;
use serde_json::{Value, json};

use super::reply::{Reply, date};
use super::request::{Ask, bad_parameter};
use crate::Gateway;
use crate::consent::explain::{ExplainRequest, Explained, ExplainedAnswer, Proposal};
use crate::error::GatewayError;
use crate::seen::{check_scope, concerns};

/// `GET` or `POST Patient/[id]/$consent-explain`
pub(super) async fn explain(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let consent: ResourceType = "Consent".parse().map_err(|_| GatewayError::Kept("Consent is no type"))?;
    check_scope(&ask.asking, Action::Read, consent)?;
    let id = ask.place.id()?;
    let patient = gateway.patient_holding(ResourceType::PATIENT, id.as_str(), &ask.asking.purpose).await?;
    // A token about one patient learns nothing of others.
    if !patient.is_some_and(|patient| concerns(patient, &ask.asking)) {
        return Err(super::read::not_found());
    }
    let mut asked = ExplainRequest { patient: id.as_str().to_owned(), ..ExplainRequest::default() };
    for (name, value) in &ask.parameters {
        take(&mut asked, name, value)?;
    }
    if !ask.body.is_empty() {
        take_body(&mut asked, ask)?;
    }
    Ok(Reply::resource(StatusCode::OK, parameters(&gateway.explain(asked, &ask.asking).await?).to_string()))
}

/// One parameter of the URL, or one part of the body.
fn take(asked: &mut ExplainRequest, name: &str, value: &str) -> Result<(), GatewayError> {
    let value = value.to_owned();
    match name {
        "resource" => asked.resource = Some(value),
        "label" => asked.labels.push(value),
        "hospital" => asked.hospitals.push(value),
        "role" => asked.roles.push(value),
        "purpose" => asked.purposes.push(value),
        "action" => asked.actions.push(value),
        "at" => asked.at = Some(super::since(&value)?.as_secs()),
        _ => return Err(bad_parameter(name, "it is not known here")),
    }
    Ok(())
}

fn take_body(asked: &mut ExplainRequest, ask: &Ask) -> Result<(), GatewayError> {
    super::write::check_media(ask)?;
    let wrong = |place: usize| {
        GatewayError::request(
            400,
            IssueCode::Structure,
            "parameters-needed",
            "the body is not Parameters with a value or a proposed resource in each part",
            "send Parameters as docs/consent.md tells",
        )
        .at(format!("Parameters.parameter[{place}]"))
    };
    let body: Value = serde_json::from_slice(&ask.body).map_err(|_| wrong(0))?;
    if body.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(wrong(0));
    }
    for (place, part) in body.get("parameter").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let name = part.get("name").and_then(Value::as_str).ok_or_else(|| wrong(place))?;
        match part.get("resource") {
            Some(consent) if name == "proposed" => asked.proposed.push(Proposal::Consent(consent.clone())),
            Some(_) => return Err(wrong(place)),
            None => {
                let values = ["valueString", "valueCode", "valueUri", "valueInstant", "valueDateTime"];
                let value = values.iter().find_map(|key| part.get(*key).and_then(Value::as_str));
                take(asked, name, value.ok_or_else(|| wrong(place))?)?;
            }
        }
    }
    Ok(())
}

/// The answer: one part for each row.
fn parameters(explained: &Explained) -> Value {
    let mut parts = vec![
        json!({"name": "version", "valueUnsignedInt": explained.version}),
        json!({"name": "epoch", "valueUnsignedInt": explained.epoch}),
        json!({"name": "authority", "valueBoolean": explained.authority}),
    ];
    parts.extend(instant("at", Some(explained.at)));
    if let Some(new_epoch) = explained.new_epoch {
        parts.push(json!({"name": "new-epoch", "valueBoolean": new_epoch}));
    }
    for row in &explained.rows {
        let mut inside = vec![json!({"name": "hospital", "valueString": row.hospital})];
        inside.extend(row.role.iter().map(|role| json!({"name": "role", "valueString": role})));
        inside.push(json!({"name": "action", "valueCode": row.action}));
        inside.extend(row.purposes.iter().map(|purpose| json!({"name": "purpose", "valueCode": purpose})));
        inside.extend(row.labels.iter().map(|label| json!({"name": "label", "valueCode": label})));
        inside.push(json!({"name": "answer", "part": answer(&row.answer)}));
        inside.extend(row.proposed.iter().map(|then| json!({"name": "proposed", "part": answer(then)})));
        parts.push(json!({"name": "row", "part": inside}));
    }
    json!({"resourceType": "Parameters", "parameter": parts})
}

fn answer(answer: &ExplainedAnswer) -> Vec<Value> {
    let mut parts = vec![json!({"name": "permitted", "valueBoolean": answer.permitted})];
    parts.extend(instant("until", answer.until));
    parts.extend(answer.missing.iter().map(|code| json!({"name": "missing", "valueCode": code})));
    parts.extend(answer.when.iter().map(|text| json!({"name": "when", "valueString": text})));
    for sentence in &answer.because {
        let mut inside = vec![json!({"name": "text", "valueString": sentence.text})];
        inside
            .extend(sentence.consent.iter().map(|it| json!({"name": "consent", "valueReference": {"reference": it}})));
        inside.extend(sentence.element.iter().map(|it| json!({"name": "element", "valueString": it})));
        inside.extend(sentence.provision.iter().map(|it| json!({"name": "provision", "valuePositiveInt": it})));
        parts.push(json!({"name": "because", "part": inside}));
    }
    parts
}

fn instant(name: &str, at: Option<u64>) -> Option<Value> {
    let text = date(UnixTime::from_secs(at?))?.format(&time::format_description::well_known::Rfc3339).ok()?;
    Some(json!({"name": name, "valueInstant": text}))
}
