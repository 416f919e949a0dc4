//! Pages and routes of signing in: to the hospital's provider and back, the user's own page, signing out, a token for the
//! session, and what administrators see and end of the sessions and lockouts of others.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;
use sealwort_fhir::IssueCode;
use sealwort_pages::words::shared as words;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::random;
use sealwort_sign_in::cookies;
use sealwort_smart::{AuthorizationServer, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorize::{frame, json as answer_json, only, origin, page, pairs, see_other, told};
use super::portal::PORTAL;
use super::{Administrator, Shared, failed};
use crate::Gateway;
use crate::authorization::{AUTH, seconds, source};
use crate::error::GatewayError;
use crate::persons::{Acting, Theirs};
use crate::sign_in::events::PersonEvent;
use crate::sign_in::sessions::{Present, Who};
use crate::sign_in::{Next, Returned};

/// Cookie of a session, and the one that a browser keeps while its user is at the provider.
pub(super) const SESSION: &str = "session";
const DEPARTURE: &str = "sign-in";

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{AUTH}/{path}");
    Router::new()
        .route(&at("login"), get(login))
        .route(&at("login/callback"), get(callback))
        .route(&at("session"), get(session))
        .route(&at("session/token"), post(token))
        .route(&at("logout"), post(logout))
        .route(&at("signed-out"), get(signed_out))
        .route("/sessions", get(list).delete(end_of_user))
        .route("/sessions/{id}", delete(end))
        .route("/lockouts", get(lockouts))
        .route("/lockouts/{name}", delete(unlock))
}

/// `GET /auth/login?role=…`: the role is for users who have several.
async fn login(State(gateway): Shared, RawQuery(query): RawQuery, parts: Parts) -> Response {
    let form = pairs(query.unwrap_or_default().as_bytes());
    let Ok(role) = only(&form, "role").map(str::parse).transpose() else {
        return told(StatusCode::BAD_REQUEST, "role is not the name of a role");
    };
    depart(&gateway, &parts, Next::Session, role).await
}

/// Sends the browser to the provider.
pub(super) async fn depart(gateway: &Gateway, parts: &Parts, next: Next, role: Option<Role>) -> Response {
    match gateway.depart(next, role, source(parts)).await {
        Ok(departure) => with_cookie(gateway, see_other(&departure.url), DEPARTURE, &departure.cookie),
        Err(error) => shown(&error),
    }
}

/// `GET /auth/login/callback?code=…&state=…`
async fn callback(State(gateway): Shared, RawQuery(query): RawQuery, parts: Parts) -> Response {
    let form = pairs(query.unwrap_or_default().as_bytes());
    let cookie = cookie(&gateway, &parts.headers, DEPARTURE);
    let returned = Returned {
        state: only(&form, "state").unwrap_or_default(),
        code: only(&form, "code"),
        error: only(&form, "error"),
        iss: only(&form, "iss"),
        cookie: cookie.as_deref(),
    };
    match gateway.arrive(returned, source(&parts)).await {
        Ok(arrival) => {
            if let Some(before) = present(&gateway, &parts.headers) {
                gateway.replace_session(&before.id);
            }
            let response = match &arrival.next {
                Next::Session => see_other(&home(&gateway, &arrival.cookie)),
                Next::Terminal(request) => see_other(&format!("{AUTH}/terminal?{request}")),
                Next::App(request) => see_other(&format!("{AUTH}/authorize?{request}")),
                Next::Page(path) => see_other(path),
            };
            let response = with_cookie(&gateway, response, DEPARTURE, "");
            with_cookie(&gateway, response, SESSION, &arrival.cookie)
        }
        Err(refusal) => shown(&gateway.sign_in_refused(refusal, source(&parts)).await),
    }
}

/// The first page of whom this cookie signs in: patients and delegates have the portal.
pub(super) fn home(gateway: &Gateway, cookie: &str) -> String {
    let present = gateway.sign_in.sessions.of_cookie(cookie, gateway.sessions.now());
    match present.map(|present| present.who) {
        Some(Who::Private(_)) => super::portal::PORTAL.to_owned(),
        _ => format!("{AUTH}/session"),
    }
}

/// `GET /auth/session`: who is signed in.
async fn session(State(gateway): Shared, headers: HeaderMap) -> Response {
    let Some(present) = present(&gateway, &headers) else { return see_other(&format!("{AUTH}/login")) };
    let records = match &present.who {
        Who::Staff => Vec::new(),
        Who::Private(own) => gateway.records_of(own.as_ref(), &present.account),
    };
    let content = html! {
        p { "You are " strong { (present.account) } ", " (present.user.role.as_str())
            @if !present.organisation.is_empty() { ", " (present.organisation) } "." }
        @if present.who != Who::Staff {
            h2 { "Records that are yours to open" }
            ul { @for record in &records { li {
                @match record {
                    Theirs::Own(own) => { "Your own: Patient/" (own.id) },
                    Theirs::Delegated(one) => {
                        "As " (one.relationship) ": Patient/" (one.patient_id) ", until "
                        (UnixTime::from_secs(one.until).to_string())
                    },
                }
            } } }
            p { a href={(AUTH) "/passkey"} { "Your passkeys" } }
        }
        form method="post" action={(AUTH) "/logout"} {
            input type="hidden" name="form" value=(present.form);
            button type="submit" { "Sign out" }
        }
    };
    // The form leads on to the provider.
    let onward = gateway.sign_out_endpoint().await.and_then(|url| origin(&url));
    page(StatusCode::OK, &frame("Signed in", &content), onward.as_deref())
}

/// `POST /auth/session/token`: an access token of this gateway, which ends with the session.
async fn token(State(gateway): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(present) = posted(&gateway, &headers, &body) else { return not_from_here() };
    match session_token(&gateway, &present, only(&pairs(&body), "patient")) {
        Ok(answer) => answer_json(StatusCode::OK, &answer),
        Err(error) => shown(&error),
    }
}

/// A token that ends with a session: a user's of the hospital, or a private person's for one of their records.
pub(super) fn session_token(
    gateway: &Gateway,
    present: &Present,
    patient: Option<&str>,
) -> Result<Value, GatewayError> {
    let acting = if present.who == Who::Staff { None } else { Some(gateway.acting(present, patient)?) };
    token_for(gateway, present, acting)
}

/// A token for one of a private person's records.
pub(super) fn record_token(gateway: &Gateway, present: &Present, record: &Theirs) -> Result<Value, GatewayError> {
    token_for(gateway, present, Some(gateway.acting_in(present, record)?))
}

/// Without `acting`, a token of a user of the hospital.
fn token_for(gateway: &Gateway, present: &Present, acting: Option<Acting>) -> Result<Value, GatewayError> {
    let now = gateway.sessions.now();
    let lifetime = present.ends.as_secs().saturating_sub(now.as_secs());
    let lifetime = lifetime.min(sealwort_smart::token::USER_TOKEN_SECONDS_MAX);
    let (issued, scope, patient) = if let Some(Acting { user, scopes, patient, purpose }) = acting {
        let rights = (&scopes, patient.clone(), purpose);
        let issue = |server: &mut AuthorizationServer| {
            server.tokens().issue_person(&user, rights, lifetime, random(), seconds(now))
        };
        (gateway.authorization.ask(issue), scopes.to_string(), Some(patient))
    } else {
        let issue = |server: &mut AuthorizationServer| {
            server.tokens().issue_user(&present.user, lifetime, random(), seconds(now))
        };
        (gateway.authorization.ask(issue), crate::user::WHOLE_USER.to_owned(), None)
    };
    let token = issued.map_err(|_| GatewayError::Kept("a token could not be made"))?;
    let mut answer = json!({
        "access_token": token.text.expose(), "token_type": "Bearer", "expires_in": lifetime, "scope": scope,
    });
    if let (Some(patient), Some(members)) = (patient, answer.as_object_mut()) {
        members.insert("patient".to_owned(), patient.as_str().into());
    }
    Ok(answer)
}

/// `POST /auth/logout`
async fn logout(State(gateway): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(present) = posted(&gateway, &headers, &body) else { return not_from_here() };
    let elsewhere = gateway.sign_out(&present.id).await;
    let response = see_other(&elsewhere.unwrap_or_else(|| format!("{AUTH}/signed-out")));
    with_cookie(&gateway, response, SESSION, "")
}

async fn signed_out(State(gateway): Shared) -> Response {
    let content = html! {
        p { (words::SIGNED_OUT) }
        ul {
            li { a href=(PORTAL) { (words::TO_PORTAL) } }
            @if gateway.sign_in.is_offered() { li { a href={(AUTH) "/login"} { (words::TO_WORK) } } }
        }
    };
    page(StatusCode::OK, &frame(words::SIGNED_OUT_TITLE, &content), None)
}

async fn list(State(gateway): Shared, Administrator(by): Administrator) -> Response {
    if let Err(error) = gateway.list_read("sessions", &by).await {
        return failed(&error);
    }
    Json(gateway.sign_in.sessions.list(gateway.sessions.now())).into_response()
}

async fn end(State(gateway): Shared, Administrator(by): Administrator, Path(id): Path<String>) -> Response {
    ended(gateway.end_sessions(Some(&id), None, &by.user).await)
}

/// Whose sessions are ended.
#[derive(Deserialize)]
struct OfUser {
    user: String,
}

async fn end_of_user(State(gateway): Shared, Administrator(by): Administrator, Query(of): Query<OfUser>) -> Response {
    ended(gateway.end_sessions(None, Some(&of.user), &by.user).await)
}

fn ended(outcome: Result<usize, GatewayError>) -> Response {
    match outcome {
        Ok(0) => failed(&nothing("no such session goes on")),
        Ok(count) => Json(json!({"ended": count})).into_response(),
        Err(error) => failed(&error),
    }
}

async fn lockouts(State(gateway): Shared, Administrator(by): Administrator) -> Response {
    if let Err(error) = gateway.list_read("lockouts", &by).await {
        return failed(&error);
    }
    Json(gateway.sign_in.attempts().lockouts(gateway.sessions.now())).into_response()
}

async fn unlock(State(gateway): Shared, Administrator(by): Administrator, Path(name): Path<String>) -> Response {
    if !gateway.sign_in.attempts().unlock(&name) {
        return failed(&nothing("nobody of this name waits"));
    }
    gateway.note_access(&PersonEvent::Unlocked { account: &name, by: &by.user });
    StatusCode::NO_CONTENT.into_response()
}

fn nothing(text: &str) -> GatewayError {
    GatewayError::request(404, IssueCode::NotFound, "not-there", text, "look at: sealwort session list")
}

/// The session of a request's cookie.
pub(super) fn present(gateway: &Gateway, headers: &HeaderMap) -> Option<Present> {
    let cookie = cookie(gateway, headers, SESSION)?;
    gateway.sign_in.sessions.of_cookie(&cookie, gateway.sessions.now())
}

/// The same for a form, which must come from one of the session's own pages.
pub(super) fn posted(gateway: &Gateway, headers: &HeaderMap, body: &[u8]) -> Option<Present> {
    let present = present(gateway, headers)?;
    let form = pairs(body);
    is_own_form(&present, &form).then_some(present)
}

/// Whether a form is one of this session's pages.
pub(super) fn is_own_form(present: &Present, form: &[(String, String)]) -> bool {
    sealwort_sign_in::is_same(&present.form, only(form, "form").unwrap_or_default())
}

fn not_from_here() -> Response {
    told(StatusCode::FORBIDDEN, "The session is over, or the form is not of its pages. Sign in again.")
}

fn is_secure(gateway: &Gateway) -> bool {
    gateway.base.starts_with("https:")
}

pub(super) fn cookie(gateway: &Gateway, headers: &HeaderMap, name: &str) -> Option<String> {
    cookies::value(headers, name, is_secure(gateway)).map(str::to_owned)
}

/// Sets a cookie, or takes it away where its value is empty.
pub(super) fn with_cookie(gateway: &Gateway, mut response: Response, name: &str, value: &str) -> Response {
    cookies::set(response.headers_mut(), name, value, is_secure(gateway));
    response
}

/// A failure as a page.
pub(super) fn shown(error: &GatewayError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = told(status, &error.to_string());
    if let GatewayError::Throttled { seconds } = error {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}
