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
use crate::delegates::{Delegation, DelegationRequest};
use crate::error::GatewayError;
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
async fn list(State(gateway): Shared, about: LetInAbout, Query(of): Query<OfPatient>) -> Response {
    let patient = about.patient_of_theirs(&gateway, &of.patient).await;
    let found = patient.map(|patient| gateway.delegations_for(patient));
    answer(gateway.listed("delegates", &about.0, found).await.map(|all| Json(all).into_response()))
}

/// `POST /delegates`
async fn add(State(gateway): Shared, about: LetInAbout, Json(request): Json<DelegationRequest>) -> Response {
    let outcome = added(&gateway, &about, &request).await;
    answer(outcome.map(|one| (StatusCode::CREATED, Json(gateway.delegation_shown(&one))).into_response()))
}

/// `DELETE /delegates/{id}`
async fn remove(State(gateway): Shared, about: LetInAbout, Path(id): Path<String>) -> Response {
    answer(removed(&gateway, &about, &id).await.map(|_| StatusCode::NO_CONTENT.into_response()))
}

/// Adds a delegate, for whom it is theirs to add.
pub(super) async fn added(
    gateway: &Gateway,
    about: &LetInAbout,
    request: &DelegationRequest,
) -> Result<Arc<Delegation>, GatewayError> {
    let adding = async {
        about.patient_of_theirs(gateway, &request.patient).await?;
        gateway.add_delegate(request, &about.0).await
    };
    keep(gateway, &about.0, "add", adding.await).await
}

/// Removes a delegate, likewise.
pub(super) async fn removed(gateway: &Gateway, about: &LetInAbout, id: &str) -> Result<Arc<Delegation>, GatewayError> {
    let removing = async {
        // Delegates make and remove no delegates.
        let one = gateway
            .any_delegation(id)
            .filter(|one| about.looks_after(gateway.roster.surviving(one.patient)))
            .ok_or_else(unknown)?;
        gateway.remove_delegate(&one, &about.0).await.map(|()| one)
    };
    keep(gateway, &about.0, "remove", removing.await).await
}

/// Keeps the entry about a change.
async fn keep(
    gateway: &Gateway,
    asking: &Asking,
    action: &str,
    outcome: Result<Arc<Delegation>, GatewayError>,
) -> Result<Arc<Delegation>, GatewayError> {
    let mut entry = gateway.entry(EventKind::DelegateChanged, asking).detail(Detail::Action, action);
    if let Ok(one) = &outcome {
        // The delegation stays with the identity for which it was made.
        asking.trail.touches(one.patient);
        entry.note(Detail::Delegate, &one.id);
        entry.note(Detail::Subject, &one.account);
        entry.note(Detail::Reason, &one.relationship);
        entry.note(Detail::Until, UnixTime::from_secs(one.until));
    }
    gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await?;
    outcome
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
