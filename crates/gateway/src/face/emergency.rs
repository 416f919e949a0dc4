//! Emergency access over HTTP: three FHIR operations for applications, and the hospital's own routes for lists, reports
//! and reviews.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::IssueCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{Reply, date};
use super::request::Ask;
use super::{LetIn, Shared, failed};
use crate::Gateway;
use crate::emergency::{Reason, Shown, Standing, Wanted};
use crate::error::GatewayError;

/// `POST $emergency-access`: `patient`, `reason`, `text`, `confirmation`.
pub(super) async fn open(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let parameters = Parameters::of(ask)?;
    let wanted = Wanted {
        patient: parameters.text("patient")?,
        reason: Reason { code: parameters.text("reason")?, text: parameters.text("text")? },
        confirmation: parameters.text("confirmation")?,
    };
    let shown = gateway.open_emergency(wanted, &ask.asking).await?;
    let status = if shown.standing == Standing::Awaited { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok(answer(status, &shown))
}

/// `POST $emergency-access-approve`: `id`.
pub(super) async fn approve(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let id = Parameters::of(ask)?.text("id")?;
    Ok(answer(StatusCode::OK, &gateway.approve_emergency(&id, &ask.asking).await?))
}

/// `POST $emergency-access-end`: `id`.
pub(super) async fn end(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let id = Parameters::of(ask)?.text("id")?;
    Ok(answer(StatusCode::OK, &gateway.end_emergency(&id, &ask.asking).await?))
}

/// The hospital's own routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/emergency", get(list))
        .route("/emergency/elsewhere", get(elsewhere))
        .route("/emergency/{id}/report", get(report))
        .route("/emergency/{id}/review", post(review))
}

async fn list(State(gateway): Shared, LetIn(asking): LetIn) -> Response {
    match gateway.list_read("emergency accesses", &asking).await {
        Ok(()) => Json(gateway.list_emergencies(&asking)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn elsewhere(State(gateway): Shared, LetIn(asking): LetIn) -> Response {
    let told = gateway.emergencies_elsewhere(&asking);
    match gateway.listed("emergency accesses elsewhere", &asking, told).await {
        Ok(told) => Json(told).into_response(),
        Err(error) => failed(&error),
    }
}

async fn report(State(gateway): Shared, LetIn(asking): LetIn, Path(id): Path<String>) -> Response {
    let entry = gateway.entry(EventKind::ListRead, &asking).detail(Detail::Subject, format!("emergency report {id}"));
    let outcome = gateway.emergency_report(&id, &asking).await;
    match gateway.entered(entry, outcome).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => failed(&error),
    }
}

/// What a security officer found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    finding: String,
}

async fn review(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path(id): Path<String>,
    Json(body): Json<Finding>,
) -> Response {
    let entry = gateway.entry(EventKind::EmergencyReviewed, &asking).detail(Detail::Subject, &id);
    let outcome = gateway.review_emergency(&id, &body.finding, &asking).await;
    match gateway.entered(entry.detail(Detail::Reason, &body.finding), outcome).await {
        Ok(shown) => Json(shown).into_response(),
        Err(error) => failed(&error),
    }
}

/// The input of an operation (FHIR R4, parameters.html): texts, codes and identifiers by name.
struct Parameters(Value);

impl Parameters {
    fn of(ask: &Ask) -> Result<Self, GatewayError> {
        ask.knows(&[])?;
        super::write::check_media(ask)?;
        let wrong = || {
            GatewayError::request(
                400,
                IssueCode::Structure,
                "parameters-needed",
                "the body is not a Parameters resource in JSON",
                "send Parameters with a part for each input: docs/emergency.md",
            )
        };
        let body: Value = serde_json::from_slice(&ask.body).map_err(|_| wrong())?;
        let is = body.get("resourceType").and_then(Value::as_str) == Some("Parameters");
        if is && body.get("parameter").is_some_and(Value::is_array) { Ok(Self(body)) } else { Err(wrong()) }
    }

    /// One of them, given once; an identifier as `system|value`.
    fn text(&self, name: &str) -> Result<String, GatewayError> {
        let all = self.0.get("parameter").and_then(Value::as_array);
        let mut found = all.into_iter().flatten().filter(|one| one.get("name").is_some_and(|n| n == name));
        let needed = || {
            GatewayError::request(
                422,
                IssueCode::Required,
                "parameter-needed",
                format!("the Parameters have no single part {name} with a value"),
                "send Parameters with a part for each input: docs/emergency.md",
            )
            .at(format!("Parameters.parameter.where(name = '{name}')"))
        };
        let (Some(one), None) = (found.next(), found.next()) else { return Err(needed()) };
        if let Some(identifier) = one.get("valueIdentifier") {
            let part = |key| identifier.get(key).and_then(Value::as_str).unwrap_or_default();
            return Ok(format!("{}|{}", part("system"), part("value")));
        }
        let texts = ["valueString", "valueCode", "valueId"];
        let text = texts.iter().find_map(|key| one.get(*key).and_then(Value::as_str)).ok_or_else(needed)?;
        Ok(text.strip_prefix("Patient/").unwrap_or(text).to_owned())
    }
}

/// The output of all three.
fn answer(status: StatusCode, shown: &Shown) -> Reply {
    let access = &shown.access;
    let standing = serde_json::to_value(shown.standing).unwrap_or_default();
    let mut parts = vec![
        json!({"name": "id", "valueId": access.id}),
        json!({"name": "status", "valueCode": standing}),
        json!({"name": "purpose", "valueCode": access.purpose}),
        json!({"name": "withheld", "valueUnsignedInt": access.opened.withheld}),
    ];
    let until = access.until.and_then(|until| date(sealwort_pki::UnixTime::from_secs(until)));
    if let Some(until) = until.and_then(|until| until.format(&time::format_description::well_known::Rfc3339).ok()) {
        parts.push(json!({"name": "until", "valueInstant": until}));
    }
    Reply::resource(status, json!({"resourceType": "Parameters", "parameter": parts}).to_string())
}
