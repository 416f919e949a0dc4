//! SMART on FHIR for people and apps: the page on which a user approves an app, and the endpoints where apps get, look
//! at and give back tokens (HL7 SMART App Launch 2.2). A user signs in at the hospital's provider (`sign_in`), or where
//! none is configured with a token of this gateway.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::ResourceType;
use sealwort_proto::crypto::random;
pub(super) use sealwort_sign_in::cookies::find as cookie;
use sealwort_smart::{
    Consent, ErrorCode, OAuthError, PatientChoice, PendingAuthorization, Reader, Refusal, ScopeRequest, ScopeSet, User,
    claimed_client, describe,
};

use super::{STYLESHEET, Shared, clinician, sign_in};
use crate::Gateway;
use crate::authorization::{AUTH, seconds, source};
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::persons::{Acting, Theirs};
use crate::sign_in::Next;
use crate::sign_in::sessions::{Present, Who};
use crate::user::Asking;

/// Cookie that keeps a user signed in on these pages. It holds the user's token.
const SESSION_COOKIE: &str = "sealwort_session";
/// How many patients are offered for choice.
const PATIENTS_OFFERED_MAX: usize = 50;

/// The routes below [`AUTH`].
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{AUTH}/{path}");
    Router::new()
        .route(&at("authorize"), get(authorize).post(authorize_posted))
        .route(&at("sign-in"), post(sign_in_with_token))
        .route(&at("decide"), post(decide))
        .route(&at("token"), post(token))
        .route(&at("introspect"), post(introspect))
        .route(&at("revoke"), post(revoke))
        .route(&at("jwks"), get(jwks))
        .route(&at(".well-known/openid-configuration"), get(openid))
}

/// `GET /auth/authorize?…`
async fn authorize(State(gateway): Shared, parts: Parts, RawQuery(query): RawQuery) -> Response {
    ask_user(&gateway, &parts, &query.unwrap_or_default()).await
}

/// `POST /auth/authorize`
async fn authorize_posted(State(gateway): Shared, parts: Parts, body: Bytes) -> Response {
    match String::from_utf8(body.to_vec()) {
        Ok(request) => ask_user(&gateway, &parts, &request).await,
        Err(_) => told(StatusCode::BAD_REQUEST, "the request is not text"),
    }
}

/// Shows what the app asks for, or has the user sign in first.
async fn ask_user(gateway: &Arc<Gateway>, parts: &Parts, request: &str) -> Response {
    let Some(Visitor { user, form, private }) = signed_in(gateway, &parts.headers) else {
        if gateway.sign_in.is_offered() {
            return sign_in::depart(gateway, parts, Next::App(request.to_owned()), None).await;
        }
        return page(StatusCode::OK, &sign_in_page(request, None, None), None);
    };
    let now = seconds(gateway.sessions.now());
    match gateway.authorization.ask(|server| server.authorize(request.as_bytes(), &user.name, now)) {
        Ok(pending) if private.is_none() && clinician::is_view(gateway, &pending, request) => {
            approve_context(gateway, &pending, user).await
        }
        Ok(pending) => {
            let redirect = redirect_origin(request);
            let patients = match (&pending.patient, &private) {
                (PatientChoice::ToChoose, Some(present)) => own_records(gateway, present),
                (PatientChoice::ToChoose, None) => {
                    let (name, role) = (user.name.to_string(), user.role.to_string());
                    let asking = Asking::itself(name, role, TREATMENT.to_owned());
                    gateway.people_offered(&asking, PATIENTS_OFFERED_MAX).await
                }
                _ => Vec::new(),
            };
            page(StatusCode::OK, &consent_page(&pending, &user, &form, &patients), redirect.as_deref())
        }
        Err(Refusal::ToApp { location, .. }) => see_other(&location),
        Err(Refusal::ToUser(error)) => told(StatusCode::BAD_REQUEST, error.description()),
    }
}

/// The gateway's own view of a record, opened from the record system: it asks for nothing but the context of the launch, so
/// there is nothing that its user could refuse.
async fn approve_context(gateway: &Gateway, pending: &PendingAuthorization, user: User) -> Response {
    let now = seconds(gateway.sessions.now());
    let consent = Consent { scopes: pending.scopes.clone(), patient: None, purpose: None };
    let ticket = pending.ticket.expose();
    let approved =
        gateway.authorization.change(|server| server.approve(ticket, &user, consent, &mut random, now)).await;
    match approved {
        Ok(location) => see_other(&location),
        Err(error) => told(StatusCode::BAD_REQUEST, error.description()),
    }
}

/// `POST /auth/sign-in`: a token of this gateway opens the page.
async fn sign_in_with_token(State(gateway): Shared, parts: Parts, body: Bytes) -> Response {
    let form = pairs(&body);
    if gateway.sign_in.is_offered() {
        return told(StatusCode::NOT_FOUND, "Sign in at the hospital's provider.");
    }
    let (Some(token), Some(request)) = (only(&form, "token"), only(&form, "request")) else {
        return told(StatusCode::BAD_REQUEST, "the form is not complete");
    };
    let onward = only(&form, "page").filter(|path| clinician::is_page(path));
    if user_of(&gateway, token.trim()).is_none() {
        let reason = "not a user's token of this gateway";
        if let Some(wait) = gateway.tried_badly("sign-in", None, source(&parts), reason).await {
            return oauth_wait(&wait);
        }
        let wrong = "This token is not one of this gateway's, or its time is over.";
        return page(StatusCode::UNAUTHORIZED, &sign_in_page(request, onward, Some(wrong)), None);
    }
    let mut response = onward.map_or_else(|| see_other(&format!("{AUTH}/authorize?{request}")), see_other);
    if let Some(cookie) = token_cookie_set(&gateway, token.trim()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// `POST /auth/decide`: the user's answer.
async fn decide(State(gateway): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(Visitor { user, form: own, private }) = signed_in(&gateway, &headers) else {
        return told(StatusCode::UNAUTHORIZED, "sign in again: the session is over");
    };
    let form = pairs(&body);
    if only(&form, "form").unwrap_or_default() != own {
        return told(StatusCode::FORBIDDEN, "the form is not one of this session's pages");
    }
    let Some(ticket) = only(&form, "ticket") else { return told(StatusCode::BAD_REQUEST, "the form is not complete") };
    let now = gateway.sessions.now();
    let outcome = if only(&form, "decision") == Some("approve") {
        let scopes: Vec<&str> =
            form.iter().filter(|(name, _)| name == "scope").map(|(_, value)| value.as_str()).collect();
        let scopes = ScopeRequest::parse(&scopes.join(" ")).scopes;
        let approved = match private {
            Some(present) => confined(&gateway, &present, &scopes, only(&form, "patient")),
            None => chosen_patient(&gateway, only(&form, "patient"))
                .await
                .map(|patient| (user.clone(), Consent { scopes, patient, purpose: None })),
        };
        let (user, consent) = match approved {
            Ok(approved) => approved,
            Err(error) => return told(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        gateway.authorization.change(|server| server.approve(ticket, &user, consent, &mut random, seconds(now))).await
    } else {
        gateway.authorization.change(|server| server.deny(ticket, &user.name, seconds(now))).await
    };
    match outcome {
        Ok(location) => see_other(&location),
        Err(error) => {
            told(StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST), error.description())
        }
    }
}

/// What a private person approves: never more than is theirs, in the one record that they chose.
fn confined(
    gateway: &Gateway,
    present: &Present,
    scopes: &ScopeSet,
    patient: Option<&str>,
) -> Result<(User, Consent), GatewayError> {
    let patient = patient.map(str::trim).map(|named| named.strip_prefix("Patient/").unwrap_or(named));
    let Acting { user, scopes: theirs, patient, purpose } = gateway.acting(present, patient)?;
    // Beside records: who they are, and for how long.
    let beside = "launch/patient openid fhirUser online_access offline_access";
    let theirs = ScopeRequest::parse(&format!("{theirs} {beside}")).scopes;
    Ok((user, Consent { scopes: scopes.intersect(&theirs), patient: Some(patient), purpose: Some(purpose) }))
}

/// The records that a private person may choose from, as a page offers them.
fn own_records(gateway: &Gateway, present: &Present) -> Vec<(String, String)> {
    let Who::Private(own) = &present.who else { return Vec::new() };
    let records = gateway.records_of(own.as_ref(), &present.account);
    let named = |record: &Theirs| match record {
        Theirs::Own(own) => (own.id.to_string(), "your own record".to_owned()),
        Theirs::Delegated(one) => (one.patient_id.clone(), format!("as {}", one.relationship)),
    };
    records.iter().map(named).collect()
}

/// The patient that the user chose, by id.
async fn chosen_patient(
    gateway: &Arc<Gateway>,
    named: Option<&str>,
) -> Result<Option<sealwort_smart::PatientId>, GatewayError> {
    let Some(named) = named.map(str::trim).filter(|named| !named.is_empty()) else { return Ok(None) };
    let id = named.strip_prefix("Patient/").unwrap_or(named);
    gateway.roster.by_resource(ResourceType::PATIENT.as_str(), id).await?.ok_or_else(GatewayError::unknown_patient)?;
    id.parse().map(Some).map_err(|_| GatewayError::unknown_patient())
}

/// `POST /auth/token`
pub(super) async fn token(State(gateway): Shared, parts: Parts, body: Bytes) -> Response {
    if let Err(error) = gateway.journal.check() {
        return super::failed(&error.into());
    }
    let (app, from) = (claimed_client(&body).map(|id| id.to_string()), source(&parts));
    if let Some(wait) = app.as_deref().and_then(|app| gateway.may_try(app, from).err()) {
        return oauth_wait(&wait);
    }
    let outcome = gateway.authorization.token(&body, gateway.sessions.now()).await;
    let mut entry = gateway.journal.event(EventKind::TokenIssued);
    entry.note(Detail::Application, app.as_deref().unwrap_or_default());
    entry.note(Detail::Method, only(&pairs(&body), "grant_type").unwrap_or_default());
    if let Err(error) = &outcome {
        entry = entry.refused("token-refused").detail(Detail::Reason, error.description());
    }
    if let Err(error) = gateway.journal.append(entry).await {
        return super::failed(&error.into());
    }
    match outcome {
        Ok(response) => {
            if let Some(app) = &app {
                gateway.tried_well(app, from);
            }
            json(StatusCode::OK, &response.to_json())
        }
        Err(error) if error.code() == ErrorCode::InvalidClient => {
            let wait = gateway.tried_badly("app", app.as_deref(), from, error.description()).await;
            wait.map_or_else(|| oauth_error(&error), |wait| oauth_wait(&wait))
        }
        Err(error) => oauth_error(&error),
    }
}

/// Too many failures (RFC 6585, section 4), or an audit log that cannot be written, in OAuth's words.
fn oauth_wait(wait: &GatewayError) -> Response {
    let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, wait);
    let mut response = json(super::status(wait.status()), &error.to_json());
    if let GatewayError::Throttled { seconds } = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}

/// `POST /auth/introspect`
async fn introspect(State(gateway): Shared, parts: Parts, body: Bytes) -> Response {
    let now = seconds(gateway.sessions.now());
    let shown = crate::user::bearer(&parts.headers).ok().map(str::to_owned);
    let answer = gateway.authorization.ask(|server| {
        let caller = match shown {
            Some(token) => Some(server.check_access_token(&token, now).map_err(|_| {
                OAuthError::new(ErrorCode::InvalidToken, "the access token of the caller does not count")
            })?),
            None => None,
        };
        server.introspect(&body, caller.as_ref(), now)
    });
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => oauth_error(&error),
    }
}

/// `POST /auth/revoke`
async fn revoke(State(gateway): Shared, body: Bytes) -> Response {
    let now = seconds(gateway.sessions.now());
    match gateway.authorization.change(|server| server.revoke(&body, now)).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => oauth_error(&error),
    }
}

async fn jwks(State(gateway): Shared) -> Response {
    Json(gateway.authorization.ask(|server| server.jwks())).into_response()
}

async fn openid(State(gateway): Shared) -> Response {
    match gateway.authorization.ask(|server| server.openid_configuration()) {
        Some(document) => Json(document).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Who looks at a page, and what stands in its forms so that no other site can send them.
struct Visitor {
    user: User,
    form: String,
    /// A private person's session, who approves nothing but about their own records.
    private: Option<Box<Present>>,
}

/// The user of the session's cookie.
fn signed_in(gateway: &Gateway, headers: &HeaderMap) -> Option<Visitor> {
    if let Some(present) = sign_in::present(gateway, headers) {
        let (user, form) = (present.user.clone(), present.form.clone());
        let private = (present.who != Who::Staff).then(|| Box::new(present));
        return Some(Visitor { user, form, private });
    }
    if gateway.sign_in.is_offered() {
        return None;
    }
    // The cookie with a token is `Strict`: no other site can send a form with it.
    let token = cookie(headers, &token_cookie(gateway))?;
    let user = user_of(gateway, token)?;
    Some(Visitor { user, form: token_form(token), private: None })
}

/// The name of the cookie with a token. With TLS the browser takes it from this very host alone.
pub(super) fn token_cookie(gateway: &Gateway) -> String {
    let prefix = if gateway.base.starts_with("https:") { "__Host-" } else { "" };
    format!("{prefix}{SESSION_COOKIE}")
}

/// Sets that cookie, or takes it away where there is no token.
pub(super) fn token_cookie_set(gateway: &Gateway, token: &str) -> Option<HeaderValue> {
    let secure = if gateway.base.starts_with("https:") { "; Secure" } else { "" };
    let gone = if token.is_empty() { "; Max-Age=0" } else { "" };
    let name = token_cookie(gateway);
    HeaderValue::from_str(&format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{gone}")).ok()
}

/// What stands in every form of who signed in with a token: another site cannot know it.
pub(super) fn token_form(token: &str) -> String {
    hex::encode(sealwort_proto::crypto::sha256(format!("sealwort form v1 {token}").as_bytes()))
}

/// The user of a token that stands for all of a user's rights; an app's token signs nobody in.
pub(super) fn user_of(gateway: &Gateway, token: &str) -> Option<User> {
    let now = seconds(gateway.sessions.now());
    let token = gateway.authorization.ask(|server| server.check_access_token(token, now)).ok()?;
    let whole: ScopeSet = crate::user::WHOLE_USER.parse().ok()?;
    token.access().user.clone().filter(|_| token.access().scopes == whole)
}

pub(super) fn pairs(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// A value that is given exactly once.
pub(super) fn only<'f>(form: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut values = form.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
    values.next().filter(|_| values.next().is_none())
}

pub(super) fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (
            StatusCode::SEE_OTHER,
            [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        )
            .into_response(),
        Err(_) => told(StatusCode::BAD_REQUEST, "the address to go back to cannot be used"),
    }
}

pub(super) fn json(status: StatusCode, content: &serde_json::Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(content)).into_response()
}

fn oauth_error(error: &OAuthError) -> Response {
    json(StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST), &error.to_json())
}

/// A page. Forms lead to this server; `redirect` is where its answer may send the browser on.
pub(super) fn page(status: StatusCode, content: &Markup, redirect: Option<&str>) -> Response {
    let onward = redirect.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'{onward}; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = (status, headers, content.clone().into_string()).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

pub(super) fn told(status: StatusCode, text: &str) -> Response {
    page(status, &frame("This cannot be done", &html! { p role="alert" { (text) } }), None)
}

pub(super) fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Sealwort" }
                link rel="stylesheet" href=(STYLESHEET);
            }
            body { main { h1 { (title) } (content) } }
        }
    }
}

/// `request` is the app's, `onward` a page of this gateway where the user was going.
pub(super) fn sign_in_page(request: &str, onward: Option<&str>, wrong: Option<&str>) -> Markup {
    frame(
        "Sign in",
        &html! {
            @if let Some(wrong) = wrong { p role="alert" { (wrong) } }
            form method="post" action={(AUTH) "/sign-in"} {
                input type="hidden" name="request" value=(request);
                @if let Some(onward) = onward { input type="hidden" name="page" value=(onward); }
                p {
                    label for="token" { "Your token of this gateway" }
                    input id="token" name="token" type="password" required autocomplete="current-password" aria-describedby="how";
                }
                p #how { "Your hospital's administrator makes it with: sealwort gateway token" }
                button type="submit" { "Sign in" }
            }
        },
    )
}

fn consent_page(pending: &PendingAuthorization, user: &User, form: &str, patients: &[(String, String)]) -> Markup {
    frame(
        &format!("Let {} in?", pending.app_name),
        &html! {
            p { "You are " (user.name.as_str()) ". The app " strong { (pending.app_name) } " asks that it may:" }
            form method="post" action={(AUTH) "/decide"} {
                input type="hidden" name="ticket" value=(pending.ticket.expose());
                input type="hidden" name="form" value=(form);
                fieldset {
                    legend { "What it may do" }
                    @for scope in pending.scopes.iter() {
                        p { label {
                            input type="checkbox" name="scope" value=(scope) checked;
                            " " (describe(scope, Reader::Staff)) " "
                            code { (scope) }
                        } }
                    }
                }
                @if !pending.dropped.is_empty() {
                    p { "It also asked for what this gateway does not grant: "
                        @for dropped in &pending.dropped { code { (dropped.text) } " " }
                    }
                }
                @match &pending.patient {
                    PatientChoice::NotNeeded => {}
                    PatientChoice::Fixed(id) => { p { "For the patient that is open: " code { "Patient/" (id.as_str()) } } }
                    PatientChoice::ToChoose => {
                        p {
                            label for="patient" { "For which patient (id, or choose)" }
                            input id="patient" name="patient" required list="patients" autocomplete="off";
                            datalist id="patients" {
                                @for (id, name) in patients { option value=(id) { (name) } }
                            }
                        }
                    }
                }
                button type="submit" name="decision" value="approve" { "Allow" }
                " "
                button type="submit" name="decision" value="deny" formnovalidate { "Refuse" }
            }
        },
    )
}

/// Scheme, host and port of the address that the browser goes back to.
fn redirect_origin(request: &str) -> Option<String> {
    let form = pairs(request.as_bytes());
    origin(only(&form, "redirect_uri")?)
}

/// Scheme, host and port of an address.
pub(super) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let sound = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.:[]".contains(&b));
    // Apps on a device have a scheme of their own and no host (RFC 8252, section 7.1).
    let origin = match rest.strip_prefix("//") {
        Some(rest) => format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default()),
        None => format!("{scheme}:"),
    };
    (sound(scheme) && sound(origin.trim_start_matches(scheme).trim_start_matches("://"))).then_some(origin)
}
