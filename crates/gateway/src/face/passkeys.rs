//! The page on which patients make and show passkeys, its script, and the routes with which staff invite, and owners and
//! staff list and remove. The script is a file of this server, and the page's policy lets nothing else run.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use serde::Deserialize;
use serde_json::json;

use super::authorize::{frame, only, page, pairs, see_other, told};
use super::sign_in::{SESSION, cookie, home, posted, present, shown, with_cookie};
use super::{LetIn, LetInAbout, Shared, failed};
use crate::Gateway;
use crate::authorization::{AUTH, source};
use crate::error::GatewayError;
use crate::passkeys::{Begun, MadeAnswer, ShownAnswer, unknown_passkey};
use crate::sign_in::Refusal;
use crate::sign_in::sessions::{Present, Who};
use crate::trail::Trail;

/// Cookie that a browser keeps during a ceremony.
const CEREMONY: &str = "passkey";
const SCRIPT: &str = include_str!("passkeys.js");
/// The page runs this server's script, which asks this server alone.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{AUTH}/passkey{path}");
    Router::new()
        .route(&at(""), get(show))
        .route(&at(".js"), get(script))
        .route(&at("/make"), post(make))
        .route(&at("/made"), post(made))
        .route(&at("/sign-in"), post(sign_in))
        .route(&at("/signed-in"), post(signed_in))
        .route(&at("/remove"), post(remove_own))
        .route("/passkeys", get(list))
        .route("/passkeys/invitations", post(invite))
        .route("/passkeys/{id}", delete(remove))
}

/// `GET /auth/passkey`
async fn show(State(gateway): Shared, headers: HeaderMap) -> Response {
    if let Err(error) = gateway.passkeys.site() {
        return told(StatusCode::NOT_FOUND, &error.to_string());
    }
    let here = present(&gateway, &headers);
    let own = here.as_ref().and_then(|here| match &here.who {
        Who::Private(Some(own)) => Some((own, here)),
        _ => None,
    });
    if let Some((own, here)) = own {
        let entry = entry_of(&gateway, EventKind::ListRead, here).detail(Detail::Subject, "passkeys");
        if let Err(error) = gateway.keep_entry(entry, &touching(own.patient), None).await {
            return shown(&error);
        }
    }
    let content = html! {
        p #told role="status" {}
        @if let Some((own, here)) = own {
            h2 { "Your passkeys" }
            ul { @for one in gateway.passkeys_of(own.patient) { li {
                "Made " (UnixTime::from_secs(one.added).to_string()) ", used " (UnixTime::from_secs(one.used).to_string())
                form method="post" action={(AUTH) "/passkey/remove"} {
                    input type="hidden" name="form" value=(here.form);
                    input type="hidden" name="id" value=(one.id);
                    button type="submit" { "Remove" }
                }
            } } }
            p { button #make type="button" { "Make another passkey on this device" } }
        } @else {
            h2 { "Sign in" }
            p { button #sign-in type="button" { "Sign in with a passkey" } }
            h2 { "First time here" }
            form #invitation {
                p {
                    label for="code" { "The code that the hospital gave you" }
                    input #code name="code" required autocomplete="off" spellcheck="false";
                }
                button type="submit" { "Make a passkey" }
            }
        }
        noscript { p { "Passkeys need JavaScript." } }
        script src={(AUTH) "/passkey.js"} defer {}
    };
    let mut response = page(StatusCode::OK, &frame("Your record", &content), None);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, SCRIPT).into_response()
}

/// What begins a registration: a code, unless somebody is signed in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    #[serde(default)]
    code: Option<String>,
}

async fn make(State(gateway): Shared, parts: Parts, Json(asked): Json<Make>) -> Response {
    let present = present(&gateway, &parts.headers);
    let begun = check_origin(&gateway, &parts.headers)
        .map_err(Refusal::from)
        .and_then(|()| gateway.begin_passkey(asked.code.as_deref(), present.as_ref()));
    match begun {
        Ok(begun) => begins(&gateway, begun),
        Err(refusal) => failed(&gateway.passkey_refused(refusal, source(&parts)).await),
    }
}

async fn made(State(gateway): Shared, parts: Parts, Json(answer): Json<MadeAnswer>) -> Response {
    if let Err(error) = ready(&gateway, &parts.headers) {
        return failed(&error);
    }
    let cookie = cookie(&gateway, &parts.headers, CEREMONY);
    ends(&gateway, &parts, gateway.finish_passkey(&answer, cookie.as_deref(), source(&parts)).await).await
}

async fn sign_in(State(gateway): Shared, headers: HeaderMap) -> Response {
    match check_origin(&gateway, &headers).and_then(|()| gateway.begin_passkey_sign_in()) {
        Ok(begun) => begins(&gateway, begun),
        Err(error) => failed(&error),
    }
}

async fn signed_in(State(gateway): Shared, parts: Parts, Json(answer): Json<ShownAnswer>) -> Response {
    if let Err(error) = ready(&gateway, &parts.headers) {
        return failed(&error);
    }
    let cookie = cookie(&gateway, &parts.headers, CEREMONY);
    ends(&gateway, &parts, gateway.finish_passkey_sign_in(&answer, cookie.as_deref(), source(&parts)).await).await
}

fn begins(gateway: &Gateway, Begun { cookie, options }: Begun) -> Response {
    let response = ([(header::CACHE_CONTROL, "no-store")], Json(options)).into_response();
    with_cookie(gateway, response, CEREMONY, &cookie)
}

async fn ends(gateway: &Gateway, parts: &Parts, done: Result<zeroize::Zeroizing<String>, Refusal>) -> Response {
    match done {
        Ok(session) => {
            if let Some(before) = present(gateway, &parts.headers) {
                gateway.replace_session(&before.id);
            }
            let response = Json(json!({"next": home(gateway, &session)})).into_response();
            let response = with_cookie(gateway, response, CEREMONY, "");
            with_cookie(gateway, response, SESSION, &session)
        }
        Err(refusal) => failed(&gateway.passkey_refused(refusal, source(parts)).await),
    }
}

/// Nobody signs in whom the audit log could not tell of.
fn ready(gateway: &Gateway, headers: &HeaderMap) -> Result<(), GatewayError> {
    gateway.journal.check()?;
    check_origin(gateway, headers)
}

/// Browsers say with every such request from which site it is sent.
fn check_origin(gateway: &Gateway, headers: &HeaderMap) -> Result<(), GatewayError> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin == Some(gateway.passkeys.site()?.origin.as_str()) {
        return Ok(());
    }
    Err(GatewayError::request(
        403,
        IssueCode::Forbidden,
        "origin-foreign",
        "the request does not come from a page of this gateway",
        "open /auth/passkey at the address of fhir.public_url",
    ))
}

/// `POST /auth/passkey/remove`: by a form of the owner's own page.
async fn remove_own(State(gateway): Shared, parts: Parts, body: axum::body::Bytes) -> Response {
    let Some(here) = posted(&gateway, &parts.headers, &body) else {
        let (text, remedy) = ("The session is over, or the form is not of its pages. Sign in again.", "sign in again");
        let refusal = GatewayError::request(403, IssueCode::Forbidden, "form-foreign", text, remedy);
        return shown(&gateway.turned_away(&parts, None, refusal).await);
    };
    let form = pairs(&body);
    let id = only(&form, "id").unwrap_or_default();
    let own = match &here.who {
        Who::Private(own) => own.as_ref().map(|own| own.patient),
        Who::Staff => None,
    };
    let trail = own.map(touching).unwrap_or_default();
    let is_theirs = |owner| own.is_some_and(|own| gateway.roster.are_one(owner, own));
    let entry = entry_of(&gateway, EventKind::PasskeyChanged, &here);
    match removed(&gateway, id, entry, &trail, is_theirs).await {
        Ok(()) => see_other(&format!("{AUTH}/passkey")),
        Err(error) if error.status() == 404 => told(StatusCode::NOT_FOUND, "You have no such passkey."),
        Err(error) => shown(&error),
    }
}

/// An entry about what somebody does on the pages of their own session.
fn entry_of(gateway: &Gateway, kind: EventKind, here: &Present) -> Event {
    gateway.journal.event(kind).user(here.user.name.as_str(), here.user.role.as_str())
}

fn touching(patient: Pseudonym) -> Trail {
    let trail = Trail::default();
    trail.touches(patient);
    trail
}

/// Removes a passkey for whom it is theirs to remove, as `entry` names them; a refusal has its entry as well.
async fn removed(
    gateway: &Gateway,
    id: &str,
    entry: Event,
    trail: &Trail,
    is_theirs: impl FnOnce(Pseudonym) -> bool,
) -> Result<(), GatewayError> {
    let outcome = match gateway.passkey_owner(id) {
        Some(owner) if is_theirs(owner) => gateway.remove_passkey(id, entry.clone()).await,
        _ => Err(unknown_passkey()),
    };
    if let Err(error) = &outcome {
        gateway.keep_entry(entry.detail(Detail::Action, "remove"), trail, Some(error)).await?;
    }
    outcome
}

/// Whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPatient {
    patient: String,
}

/// `POST /passkeys/invitations`
async fn invite(State(gateway): Shared, LetIn(asking): LetIn, Json(of): Json<OfPatient>) -> Response {
    let outcome = gateway.invite_to_passkey(&of.patient, &asking).await;
    let mut entry = gateway.entry(EventKind::PasskeyChanged, &asking).detail(Detail::Action, "invite");
    if let Ok(invited) = &outcome {
        entry.note(Detail::Until, invited.expires);
    }
    let kept = gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await;
    match kept.and(outcome) {
        Ok(invited) => (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(invited)).into_response(),
        Err(error) => failed(&error),
    }
}

/// `GET /passkeys?patient=…`
async fn list(State(gateway): Shared, about: LetInAbout, Query(of): Query<OfPatient>) -> Response {
    let patient = about.patient_of_theirs(&gateway, &of.patient).await;
    let found = patient.map(|patient| gateway.passkeys_of(patient));
    match gateway.listed("passkeys", &about.0, found).await {
        Ok(all) => Json(all).into_response(),
        Err(error) => failed(&error),
    }
}

/// `DELETE /passkeys/{id}`
async fn remove(State(gateway): Shared, about: LetInAbout, Path(id): Path<String>) -> Response {
    let asking = &about.0;
    let entry = gateway.entry(EventKind::PasskeyChanged, asking);
    match removed(&gateway, &id, entry, &asking.trail, |owner| about.looks_after(owner)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}
