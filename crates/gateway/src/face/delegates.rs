//! Delegates over HTTP: for users of the hospital, and for the patient, about the patient's own.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_pki::UnixTime;
use serde::Deserialize;

use super::{LetInAbout, Shared, failed};
use crate::Gateway;
use crate::delegates::{Delegation, DelegationRequest, DelegationShown};
use crate::error::GatewayError;
use crate::trail::Trail;
use crate::user::Asking;

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/delegates", get(list).post(add)).route("/delegates/{id}", delete(remove))
}

/// Whose.
#[derive(Debug, Deserialize)]
struct OfPatient {
    patient: String,
}

/// `GET /delegates?patient=…`
async fn list(State(gateway): Shared, LetInAbout(asking): LetInAbout, Query(of): Query<OfPatient>) -> Response {
    let found = async {
        let patient = gateway.patient_named(&of.patient, crate::people::TREATMENT).await?;
        check(&asking, patient)?;
        Ok(gateway.delegations_for(patient))
    };
    answer(found.await.map(|all: Vec<DelegationShown>| Json(all).into_response()))
}

/// `POST /delegates`
async fn add(
    State(gateway): Shared,
    LetInAbout(asking): LetInAbout,
    Json(request): Json<DelegationRequest>,
) -> Response {
    let added = async {
        let patient = gateway.patient_named(&request.patient, crate::people::TREATMENT).await?;
        check(&asking, patient)?;
        gateway.add_delegate(&request, &asking).await
    };
    let outcome = added.await;
    let outcome = keep(&gateway, &asking, "add", outcome.as_deref().map_err(Clone::clone)).await.and(outcome);
    answer(outcome.map(|one| (StatusCode::CREATED, Json(gateway.delegation_shown(&one))).into_response()))
}

/// `DELETE /delegates/{id}`
async fn remove(State(gateway): Shared, LetInAbout(asking): LetInAbout, Path(id): Path<String>) -> Response {
    let removed = async {
        let one = gateway.any_delegation(&id).ok_or_else(unknown)?;
        check(&asking, gateway.roster.surviving(one.patient)).map_err(|_| unknown())?;
        gateway.remove_delegate(&one, &asking).await.map(|()| one)
    };
    let outcome = removed.await;
    let kept = keep(&gateway, &asking, "remove", outcome.as_deref().map_err(Clone::clone)).await;
    answer(kept.and(outcome).map(|_| StatusCode::NO_CONTENT.into_response()))
}

/// Users of the hospital, and the patient; delegates make no delegates.
fn check(asking: &Asking, patient: sealwort_proto::Pseudonym) -> Result<(), GatewayError> {
    if asking.is_whole_user() || asking.is_patient(patient) { Ok(()) } else { Err(GatewayError::unknown_patient()) }
}

/// Keeps the entry about a change.
async fn keep(
    gateway: &Gateway,
    asking: &Asking,
    action: &str,
    outcome: Result<&Delegation, GatewayError>,
) -> Result<(), GatewayError> {
    let (mut entry, trail) = (gateway.entry(EventKind::DelegateChanged, asking), Trail::default());
    entry.note(Detail::Action, action);
    if let Ok(one) = &outcome {
        trail.touches(one.patient);
        entry.note(Detail::Delegate, &one.id);
        entry.note(Detail::Subject, &one.account);
        entry.note(Detail::Reason, &one.relationship);
        entry.note(Detail::Until, UnixTime::from_secs(one.until));
    }
    gateway.keep_entry(entry, &trail, outcome.err().as_ref()).await
}

fn unknown() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        "delegation-unknown",
        "there is no such delegation",
        "look at: sealwort delegate list PATIENT",
    )
}

fn answer(outcome: Result<Response, GatewayError>) -> Response {
    outcome.unwrap_or_else(|error| failed(&error))
}
