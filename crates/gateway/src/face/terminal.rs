//! Signing in from a terminal (`sealwort login`): the authorization code flow with PKCE (RFC 7636) and a redirect to the
//! program on the user's own computer (RFC 8252, section 7.3). The program is no app and is registered nowhere: what it
//! gets is a token of the user's own session, which the user allows on a page, and which ends with the session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use maud::html;
use sealwort_fhir::IssueCode;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{random, sha256};
use sealwort_smart::SessionId;
use serde::Deserialize;

use super::authorize::{frame, json as answer_json, only, page, pairs, see_other, told};
use super::sign_in::{depart, posted, present, session_token};
use super::{Shared, failed};
use crate::Gateway;
use crate::authorization::{AUTH, Use, source};
use crate::error::GatewayError;
use crate::sign_in::Next;

/// How long a code counts.
const CODE: Duration = Duration::from_mins(1);
/// Most codes that wait.
const CODES_MAX: usize = 1000;
/// Characters of a challenge: 32 bytes in base64url.
const CHALLENGE_CHARACTERS: usize = 43;
/// Longest state, and longest id of a patient.
const WORD_CHARACTERS_MAX: usize = 128;

/// Codes that wait for their programs.
#[derive(Debug, Default)]
pub(crate) struct Terminals(Mutex<HashMap<[u8; 32], Waiting>>);

#[derive(Debug)]
struct Waiting {
    challenge: String,
    session: SessionId,
    patient: Option<String>,
    expires: UnixTime,
}

/// What a program asks for, in the query of the page and in its form.
struct Request {
    port: u16,
    state: String,
    challenge: String,
    patient: Option<String>,
}

impl Request {
    fn read(form: &[(String, String)]) -> Option<Self> {
        let is_word = |text: &&str| {
            text.len() <= WORD_CHARACTERS_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        let word = |name: &str| only(form, name).filter(is_word).map(str::to_owned);
        let challenge = word("code_challenge").filter(|text| text.len() == CHALLENGE_CHARACTERS)?;
        let port = only(form, "port")?.parse().ok().filter(|port| *port >= 1024)?;
        Some(Self { port, state: word("state")?, challenge, patient: word("patient").filter(|id| !id.is_empty()) })
    }

    fn program(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{AUTH}/terminal{path}");
    Router::new()
        .route(&at(""), get(ask).post(allow))
        .route(&at("/token"), post(token))
        .route(&at("/logout"), post(logout))
}

/// `GET /auth/terminal?port=…&state=…&code_challenge=…`
async fn ask(State(gateway): Shared, RawQuery(query): RawQuery, parts: Parts) -> Response {
    let query = query.unwrap_or_default();
    let Some(request) = Request::read(&pairs(query.as_bytes())) else { return not_of_login() };
    let Some(present) = present(&gateway, &parts.headers) else {
        return depart(&gateway, &parts, Next::Terminal(query), None).await;
    };
    let content = html! {
        p { "The command " code { "sealwort login" } " on this computer asks to act as " strong { (present.account) } ", "
            (present.user.role.as_str()) ", until you sign out. Allow it only if you have just started it." }
        form method="post" action={(AUTH) "/terminal"} {
            input type="hidden" name="form" value=(present.form);
            input type="hidden" name="port" value=(request.port);
            input type="hidden" name="state" value=(request.state);
            input type="hidden" name="code_challenge" value=(request.challenge);
            input type="hidden" name="patient" value=(request.patient.as_deref().unwrap_or_default());
            button type="submit" { "Allow" }
        }
    };
    page(StatusCode::OK, &frame("Sign in from a terminal", &content), Some(&request.program()))
}

/// `POST /auth/terminal`: the user allows it.
async fn allow(State(gateway): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(present) = posted(&gateway, &headers, &body) else {
        return told(StatusCode::FORBIDDEN, "The session is over, or the form is not of its pages. Sign in again.");
    };
    let Some(request) = Request::read(&pairs(&body)) else { return not_of_login() };
    let (code, now) = (hex::encode(random::<32>()), gateway.sessions.now());
    let back = format!("{}/?code={code}&state={}", request.program(), request.state);
    let waiting = Waiting {
        challenge: request.challenge,
        session: present.id,
        patient: request.patient,
        expires: now.plus(CODE),
    };
    {
        let mut codes = gateway.terminals.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, one| now < one.expires);
        if codes.len() >= CODES_MAX {
            return told(StatusCode::SERVICE_UNAVAILABLE, "Too many people are signing in at this moment. Try again.");
        }
        codes.insert(sha256(code.as_bytes()), waiting);
    }
    see_other(&back)
}

/// What a program brings back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Brought {
    code: String,
    code_verifier: String,
}

/// `POST /auth/terminal/token`
async fn token(State(gateway): Shared, parts: Parts, Json(brought): Json<Brought>) -> Response {
    let now = gateway.sessions.now();
    // Used up by this, whatever follows.
    let waiting = {
        let mut codes = gateway.terminals.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.remove(&sha256(brought.code.as_bytes()))
    };
    let challenge = URL_SAFE_NO_PAD.encode(sha256(brought.code_verifier.as_bytes()));
    let waiting = waiting.filter(|one| now < one.expires && one.challenge == challenge);
    let present = waiting.as_ref().and_then(|one| gateway.sign_in.sessions.present(&one.session, now));
    let (Some(waiting), Some(present)) = (waiting, present) else {
        let (text, remedy) = ("the code was used, is over, or is another program's", "run sealwort login again");
        let refusal = GatewayError::request(401, IssueCode::Login, "login-refused", text, remedy);
        return failed(&gateway.tried_badly("terminal", None, source(&parts), text).await.unwrap_or(refusal));
    };
    match session_token(&gateway, &present, waiting.patient.as_deref()) {
        Ok(answer) => answer_json(StatusCode::OK, &answer),
        Err(error) => failed(&error),
    }
}

/// `POST /auth/terminal/logout`: ends the session of the token that is shown.
async fn logout(State(gateway): Shared, headers: HeaderMap) -> Response {
    let token = crate::user::bearer(&headers).ok().and_then(|token| gateway.check_token(token, Use::GoesOn).ok());
    if let Some(session) = token.and_then(|token| token.access().user.as_ref()?.session.clone()) {
        gateway.sign_out(&session).await;
    }
    StatusCode::NO_CONTENT.into_response()
}

fn not_of_login() -> Response {
    told(StatusCode::BAD_REQUEST, "The address is not one that sealwort login gave. Run it again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_login_asks_for_is_read() {
        let challenge = "a".repeat(CHALLENGE_CHARACTERS);
        let read = |query: &str| Request::read(&pairs(query.as_bytes())).is_some();
        assert!(read(&format!("port=4711&state=s&code_challenge={challenge}&patient=")));
        for wrong in [
            format!("port=80&state=s&code_challenge={challenge}"),
            format!("port=4711@x.example&state=s&code_challenge={challenge}"),
            format!("port=4711&state=a%0Ab&code_challenge={challenge}"),
            format!("port=4711&port=4712&state=s&code_challenge={challenge}"),
            "port=4711&state=s&code_challenge=short".to_owned(),
            format!("port=4711&code_challenge={challenge}"),
        ] {
            assert!(!read(&wrong), "{wrong}");
        }
    }
}
