//! `POST /auth/launch`: the record system has an app started for a patient who is open there (HL7 SMART App Launch 2.2,
//! "EHR launch"). What it gets is an opaque word that counts once, for one app, one user and one patient. It grants
//! nothing: the app asks for its rights at the authorization endpoint like any other, where that very user must be
//! signed in.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::request::Parts;
use http::{Method, StatusCode};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_proto::crypto::random;
use sealwort_smart::server::LAUNCH_SECONDS;
use sealwort_smart::{Banner, EncounterId, IssuedLaunch, Launch, PatientId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorize::json as answer_json;
use super::request::{Ask, query};
use super::{Shared, dispatch, failed, let_in_noted};
use crate::Gateway;
use crate::authorization::{AUTH, seconds};
use crate::error::GatewayError;
use crate::user::{Asking, By};

/// The route.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route(&format!("{AUTH}/launch"), post(begin))
}

/// What is to be started, by whom, and for whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The app's client id.
    app: String,
    /// `system|value`, or the id of a Patient known here.
    patient: String,
    /// The user who will be signed in; the asker where it is a user.
    #[serde(default)]
    user: Option<String>,
    /// The id of an Encounter of that patient.
    #[serde(default)]
    encounter: Option<String>,
    /// Whether the app is to show the patient's name, because the record system does not.
    #[serde(default)]
    need_patient_banner: bool,
}

async fn begin(State(gateway): Shared, parts: Parts, body: Bytes) -> Response {
    let asking = match let_in_noted(&gateway, &parts, |asking| may_begin(&gateway, asking)).await {
        Ok(asking) => asking,
        Err(error) => return failed(&error),
    };
    let (entry, outcome) = match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => {
            let outcome = launched(&gateway, &asking, &wanted).await;
            let for_whom = wanted.user.as_deref().unwrap_or(&asking.user);
            (entry_of(&gateway, &asking, &wanted.app, for_whom), outcome)
        }
        Err(error) => {
            let error = wrong("launch-invalid", format!("the body is not a launch in JSON: {error}"));
            (gateway.entry(EventKind::TokenIssued, &asking).detail(Detail::Method, "launch"), Err(error))
        }
    };
    if let Err(error) = gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await {
        return failed(&error);
    }
    match outcome {
        Ok(answer) => answer_json(StatusCode::CREATED, &answer),
        Err(error) => failed(&error),
    }
}

/// A user of the hospital, for themselves; or a record system with a token of its own, for any user.
fn may_begin(gateway: &Gateway, asking: &Asking) -> Result<(), GatewayError> {
    if asking.is_whole_user() || is_record_system(gateway, asking) {
        return Ok(());
    }
    Err(GatewayError::request(
        403,
        IssueCode::Forbidden,
        "launch-not-allowed",
        "launches are begun by users of the hospital, or by a record system that is registered for it",
        "register the record system as a confidential app with the scope launch: docs/smart.md",
    ))
}

fn is_record_system(gateway: &Gateway, asking: &Asking) -> bool {
    let app = asking.kept.as_ref().and_then(|kept| kept.of_app_itself()).filter(|_| asking.by == By::App);
    app.is_some_and(|app| gateway.authorization.ask(|server| server.begins_launches(app)))
}

/// The launch, for a patient whom the asker may see.
async fn launched(gateway: &Arc<Gateway>, asking: &Asking, wanted: &Wanted) -> Result<Value, GatewayError> {
    let user = match (&wanted.user, is_record_system(gateway, asking)) {
        (Some(user), true) => user.clone(),
        (None, true) => return Err(wrong("launch-invalid", "a record system says which user is to launch the app")),
        (Some(user), false) if *user != asking.user => {
            return Err(GatewayError::request(
                403,
                IssueCode::Forbidden,
                "launch-not-allowed",
                "a user begins launches for themselves alone",
                "leave user out, or let the record system begin the launch with a token of its own",
            ));
        }
        (_, false) => asking.user.clone(),
    };
    let patient = patient_of(gateway, asking, &wanted.patient).await?;
    let encounter = match &wanted.encounter {
        Some(named) => Some(encounter_of(gateway, asking, &patient, named).await?),
        None => None,
    };
    let launch = Launch {
        client_id: wanted.app.parse().map_err(|error| wrong("launch-invalid", format!("app: {error}")))?,
        user: user.parse().map_err(|error| wrong("launch-invalid", format!("user: {error}")))?,
        patient,
        encounter,
        banner: if wanted.need_patient_banner { Banner::App } else { Banner::Gateway },
    };
    let issued = issue(gateway, launch)?;
    Ok(json!({
        "iss": gateway.base, "launch": issued.launch.expose(), "url": issued.url, "expires_in": LAUNCH_SECONDS,
    }))
}

/// The launch itself, of this view or of a record system.
pub(super) fn issue(gateway: &Gateway, launch: Launch) -> Result<IssuedLaunch, GatewayError> {
    let now = seconds(gateway.sessions.now());
    let issued = gateway.authorization.ask(|server| server.issue_launch(launch, &mut random, now));
    issued.map_err(|error| wrong("launch-refused", error.description()))
}

/// What is told of a launch in the log: for which app, and for whom it is.
pub(super) fn entry_of(gateway: &Gateway, asking: &Asking, app: &str, user: &str) -> Event {
    let entry = gateway.entry(EventKind::TokenIssued, asking).detail(Detail::Method, "launch");
    entry.detail(Detail::Application, app).detail(Detail::Recipient, user)
}

/// The Patient whom a record system, or a user, names and may see.
async fn patient_of(gateway: &Arc<Gateway>, asking: &Asking, named: &str) -> Result<PatientId, GatewayError> {
    let named = named.strip_prefix("Patient/").unwrap_or(named);
    let id = if named.contains('|') {
        let found = bundle(gateway, asking, &format!("Patient?{}", query([("identifier", named)]))).await?;
        let mut ids = matches(&found);
        ids.next().filter(|_| ids.next().is_none()).ok_or_else(GatewayError::unknown_patient)?.to_owned()
    } else {
        let id: PatientId = named.parse().map_err(|error| wrong("launch-invalid", format!("patient: {error}")))?;
        dispatch(gateway, &Ask::new(asking.clone(), &Method::GET, &format!("Patient/{id}"))?).await?;
        id.to_string()
    };
    id.parse().map_err(|_| GatewayError::unknown_patient())
}

async fn encounter_of(
    gateway: &Arc<Gateway>,
    asking: &Asking,
    patient: &PatientId,
    named: &str,
) -> Result<EncounterId, GatewayError> {
    let named = named.strip_prefix("Encounter/").unwrap_or(named);
    let id: EncounterId = named.parse().map_err(|error| wrong("launch-invalid", format!("encounter: {error}")))?;
    let found = bundle(gateway, asking, &format!("Patient/{patient}/Encounter?_id={id}")).await?;
    if matches(&found).next().is_none() {
        return Err(wrong("launch-invalid", "the encounter is not one of this patient's that the asker may see"));
    }
    Ok(id)
}

async fn bundle(gateway: &Arc<Gateway>, asking: &Asking, url: &str) -> Result<Value, GatewayError> {
    let reply = dispatch(gateway, &Ask::new(asking.clone(), &Method::GET, url)?).await?;
    serde_json::from_slice(&reply.content).map_err(|_| GatewayError::Kept("an answer of this gateway cannot be read"))
}

fn matches(bundle: &Value) -> impl Iterator<Item = &str> {
    let entries = bundle.get("entry").and_then(Value::as_array).into_iter().flatten();
    let found = entries.filter(|entry| entry.pointer("/search/mode").is_some_and(|mode| mode == "match"));
    found.filter_map(|entry| entry.pointer("/resource/id")?.as_str())
}

fn wrong(code: &'static str, text: impl Into<String>) -> GatewayError {
    GatewayError::request(422, IssueCode::Value, code, text, "docs/smart.md says what a launch needs")
}
