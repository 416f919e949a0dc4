//! The hospital's own routes for what comes in beside FHIR: devices, their measurements, and what was refused.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use sealwort_audit::{Detail, EventKind};
use sealwort_devices::DeviceEndpoints;
use serde_json::json;

use super::{LetIn, Shared, failed};
use crate::Gateway;
use crate::error::GatewayError;
use crate::feeds::devices::Described;

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/devices", get(devices).post(enrol))
        .route("/devices/{id}", delete(revoke))
        .route("/devices/{id}/measurements", post(measurements))
        .route("/feeds/refused", get(refused))
        .route("/feeds/refused/{id}", delete(discard))
        .route("/feeds/refused/{id}/replay", post(replay))
}

async fn devices(State(gateway): Shared, LetIn(asking): LetIn) -> Response {
    let listed = async {
        gateway.list_read("devices", &asking).await?;
        gateway.devices().await
    };
    answer(listed.await, |devices| Json(devices).into_response())
}

/// The secret is in this answer and nowhere else.
async fn enrol(State(gateway): Shared, LetIn(asking): LetIn, Json(described): Json<Described>) -> Response {
    let outcome = gateway.enrol_device(described).await;
    let mut entry = gateway.entry(EventKind::DeviceEnrolled, &asking);
    if let Ok((enrolled, _)) = &outcome {
        entry.note(Detail::Subject, enrolled.device());
    }
    answer(gateway.entered(entry, outcome).await, |(enrolled, secret)| {
        let endpoints = DeviceEndpoints {
            https: Some(gateway.root().to_owned()),
            mqtt: Some(gateway.mqtt_url.clone()).filter(|url| !url.is_empty()),
        };
        let device = enrolled.device();
        let credentials = sealwort_devices::credentials(device, &secret, &endpoints);
        let credentials: serde_json::Value = serde_json::from_str(&credentials).unwrap_or_default();
        let shown = json!({
            "device": enrolled,
            "credentials": credentials,
            "pairing_code": sealwort_devices::pairing_code(device, &secret, gateway.root()),
        });
        (StatusCode::CREATED, Json(shown)).into_response()
    })
}

async fn revoke(State(gateway): Shared, LetIn(asking): LetIn, Path(id): Path<String>) -> Response {
    let entry = gateway.entry(EventKind::DeviceRemoved, &asking).detail(Detail::Subject, &id);
    let outcome = gateway.revoke_device(&id).await;
    answer(gateway.entered(entry, outcome).await, |()| StatusCode::NO_CONTENT.into_response())
}

/// A device sends, by its own secret.
async fn measurements(State(gateway): Shared, Path(id): Path<String>, parts: Parts, body: Bytes) -> Response {
    let taken = async {
        gateway.check_device(&id, &parts).await?;
        gateway.take_or_keep(&id, &body).await
    };
    answer(taken.await, |()| StatusCode::NO_CONTENT.into_response())
}

async fn refused(State(gateway): Shared, LetIn(asking): LetIn) -> Response {
    let listed = async {
        gateway.list_read("refused", &asking).await?;
        gateway.list_refused().await
    };
    answer(listed.await, |list| Json(list).into_response())
}

async fn replay(State(gateway): Shared, LetIn(asking): LetIn, Path(id): Path<String>) -> Response {
    let entry = gateway.entry(EventKind::RefusedReplayed, &asking).detail(Detail::Subject, &id);
    let outcome = gateway.replay_refused(&id).await;
    answer(gateway.entered(entry, outcome).await, |()| StatusCode::NO_CONTENT.into_response())
}

async fn discard(State(gateway): Shared, LetIn(asking): LetIn, Path(id): Path<String>) -> Response {
    let entry = gateway.entry(EventKind::RefusedDiscarded, &asking).detail(Detail::Subject, &id);
    let outcome = gateway.discard_refused(&id).await;
    answer(gateway.entered(entry, outcome).await, |()| StatusCode::NO_CONTENT.into_response())
}

fn answer<T>(outcome: Result<T, GatewayError>, shown: impl FnOnce(T) -> Response) -> Response {
    match outcome {
        Ok(found) => shown(found),
        Err(error) => failed(&error),
    }
}
