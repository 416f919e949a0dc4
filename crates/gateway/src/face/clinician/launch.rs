//! The view as a SMART app that the record system opens (HL7 SMART App Launch 2.2, "EHR launch"). It walks the way of every
//! app: to the authorization endpoint with the launch, back with a code, and to the token endpoint. What it asks for is the
//! context of the launch and no right: what is read is read under the session of the user who is signed in.
//!
//! And the other way about: from a patient's page an app is opened that the hospital registered with a launch URL.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::request::Parts;
use maud::{Markup, html};
use sealwort_fhir::IssueCode;
use sealwort_pages::words::clinician as words;
use sealwort_proto::crypto::{mac_matches, random, sha256};
use sealwort_smart::{Banner, IssuedLaunch, Launch, PatientChoice, PendingAuthorization, Scope, ScopeSet};
use serde_json::Value;

use super::super::Shared;
use super::super::authorize::{only, pairs, see_other, token};
use super::super::launch::{entry_of, issue};
use super::super::request::query;
use super::super::sign_in::{cookie, with_cookie};
use super::record::Record;
use super::visit::Visit;
use super::{PATH, PURPOSE, Page, error, show};
use crate::Gateway;
use crate::authorization::{AUTH, seconds};
use crate::error::GatewayError;
use crate::people::TREATMENT;

/// The client id under which the hospital registers this view.
const CLIENT: &str = "clinician";
/// What it asks for: who the user is and what the launch is about.
const SCOPE: &str = "launch openid";
/// Cookie that a browser keeps from the launch until it is back: the state and the verifier.
const COOKIE: &str = "launch";
/// Largest answer of the token endpoint, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Whether a request of an app is this view's own, and asks for the context of a launch alone.
pub(in super::super) fn is_view(gateway: &Gateway, pending: &PendingAuthorization, request: &str) -> bool {
    let form = pairs(request.as_bytes());
    let context_alone = |scopes: &ScopeSet| scopes.iter().all(|scope| matches!(scope, Scope::Launch | Scope::OpenId));
    pending.client_id.as_str() == CLIENT
        && only(&form, "redirect_uri") == Some(&redirect(gateway))
        && matches!(pending.patient, PatientChoice::Fixed(_))
        && context_alone(&pending.scopes)
}

fn redirect(gateway: &Gateway) -> String {
    format!("{}{PATH}/launched", gateway.root())
}

/// `GET /clinician/launch?iss=…&launch=…`: from the record system.
pub(super) async fn begin(State(gateway): Shared, RawQuery(given): RawQuery) -> Response {
    let form = pairs(given.unwrap_or_default().as_bytes());
    let (Some(iss), Some(launch)) = (only(&form, "iss"), only(&form, "launch")) else {
        return error::plain(&wrong("launch-incomplete"));
    };
    // Nobody sends a user of this hospital to another server.
    if iss.strip_suffix('/').unwrap_or(iss) != gateway.base {
        return error::plain(&wrong("launch-foreign"));
    }
    let (state, verifier) = (URL_SAFE_NO_PAD.encode(random::<32>()), URL_SAFE_NO_PAD.encode(random::<32>()));
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let request = query([
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", &redirect(&gateway)),
        ("launch", launch),
        ("scope", SCOPE),
        ("state", &state),
        ("aud", &gateway.base),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let onward = see_other(&format!("{AUTH}/authorize?{request}"));
    with_cookie(&gateway, onward, COOKIE, &format!("{state}.{verifier}"))
}

/// `GET /clinician/launched?code=…&state=…`: back from the authorization endpoint.
pub(super) async fn back(State(gateway): Shared, parts: Parts, RawQuery(given): RawQuery) -> Response {
    let form = pairs(given.unwrap_or_default().as_bytes());
    let kept = cookie(&gateway, &parts.headers, COOKIE).unwrap_or_default();
    let gone = |response| with_cookie(&gateway, response, COOKIE, "");
    let (state, verifier) = kept.split_once('.').unwrap_or_default();
    let given = only(&form, "state").unwrap_or_default();
    if state.is_empty() || !mac_matches(&sha256(state.as_bytes()), &sha256(given.as_bytes())) {
        return gone(error::plain(&wrong("launch-state")));
    }
    let Some(code) = only(&form, "code") else { return gone(error::plain(&wrong("launch-refused"))) };
    let body = query([
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code),
        ("redirect_uri", &redirect(&gateway)),
        ("code_verifier", verifier),
    ]);
    let answer = token(State(Arc::clone(&gateway)), parts, Bytes::from(body)).await;
    let answer = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    // The view needs no token of its own: what is read is read under the user's session.
    if let Some(token) = answer.get("access_token").and_then(Value::as_str) {
        let body = query([("client_id", CLIENT), ("token", token)]);
        let now = seconds(gateway.sessions.now());
        if gateway.authorization.change(|server| server.revoke(body.as_bytes(), now)).await.is_err() {
            return gone(error::plain(&wrong("launch-refused")));
        }
    }
    gone(match answer.get("patient").and_then(Value::as_str) {
        Some(patient) => see_other(&format!("{PATH}/patients/{patient}?{PURPOSE}={TREATMENT}")),
        None => error::plain(&wrong("launch-refused")),
    })
}

fn wrong(code: &'static str) -> GatewayError {
    let (_, what, next) = words::failure(code).unwrap_or_default();
    GatewayError::request(400, IssueCode::Value, code, what, next)
}

/// Other apps that may be opened with a launch: their ids and names.
fn others(gateway: &Gateway) -> Vec<(String, String)> {
    gateway.authorization.ask(|server| {
        let others =
            server.apps().iter().filter(|app| app.launch_url().is_some() && app.client_id().as_str() != CLIENT);
        others.map(|app| (app.client_id().to_string(), app.name().to_owned())).collect()
    })
}

/// The apps that may be opened for a patient.
pub(super) fn offer(gateway: &Gateway, visit: &Visit, patient: &str) -> Markup {
    let apps = others(gateway);
    html! {
        @if !apps.is_empty() {
            section aria-labelledby="apps" {
                h2 #apps { (words::APPS) }
                p { (words::APPS_HOW) }
                form .row method="post" action={(PATH) "/patients/" (patient) "/apps"} {
                    input type="hidden" name="form" value=(visit.form);
                    input type="hidden" name=(PURPOSE) value=(visit.asking.purpose);
                    @for (id, name) in &apps { button .quiet type="submit" name="app" value=(id) { (name) } }
                }
            }
        }
    }
}

/// `POST /clinician/patients/{id}/apps`: a launch, and the link that opens the app with it. A form may not lead to another
/// origin, so the user follows the link.
pub(super) async fn start(
    State(gateway): Shared,
    mut visit: Visit,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Response> {
    let Some(form) = visit.own_form(&body) else { return Err(error::not_own_form(visit).await) };
    visit.for_purpose(only(&form, PURPOSE)).await?;
    let app = only(&form, "app").unwrap_or_default();
    let seen = Record::read(&mut visit, &id, &[]).await;
    let record = visit.kept_or_told(seen, &id).await?;
    let issued = issued(&visit, &record.id, app);
    let entry = entry_of(&gateway, &visit.asking, app, &visit.asking.user);
    let kept = gateway.keep_entry(entry, &visit.asking.trail, issued.as_ref().err()).await;
    let url = match kept.and(issued) {
        Ok(issued) => issued.url,
        Err(error) => return Err(error::failed(&mut visit, &error, None).await),
    };
    let Some(url) = url.filter(|url| url.starts_with("https://") || url.starts_with("http://")) else {
        return Err(error::failed(&mut visit, &wrong("launch-refused"), None).await);
    };
    let name =
        others(&gateway).into_iter().find(|(known, _)| known == app).map_or_else(|| app.to_owned(), |(_, name)| name);
    let content = html! {
        p { (words::APP_READY) }
        p { a .button href=(url) rel="noreferrer" { (words::app_open(&name)) } }
        p .quiet { (words::APP_SOON) }
    };
    let page = Page { status: StatusCode::OK, title: words::APPS, record: Some(&record), current: "", content };
    Ok(show(&mut visit, page).await)
}

fn issued(visit: &Visit, patient: &str, app: &str) -> Result<IssuedLaunch, GatewayError> {
    let refused = || wrong("launch-refused");
    let launch = Launch {
        client_id: app.parse().map_err(|_| refused())?,
        user: visit.asking.user.parse().map_err(|_| refused())?,
        patient: patient.parse().map_err(|_| refused())?,
        encounter: None,
        banner: Banner::App,
    };
    issue(&visit.gateway, launch)
}
