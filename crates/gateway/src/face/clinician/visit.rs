//! One visit to a page: who it is, for which purpose, and what they ask the FHIR face for. All that a page asks is kept in
//! the audit log as one look, on disk before the page leaves.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequestParts, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_proto::crypto::sha256;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::authorize::{self, only, origin, page, pairs, see_other, sign_in_page};
use super::super::reply::Reply;
use super::super::request::Ask;
use super::super::{Shared, dispatch, let_in_noted, sign_in, whole_users};
use super::{PATH, PURPOSE, error, is_purpose};
use crate::Gateway;
use crate::authorization::{AUTH, source};
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::sign_in::Next;
use crate::sign_in::sessions::Who;
use crate::standing::Standing;
use crate::trail::{Trail, kind_of};
use crate::user::{Asking, PURPOSE_HEADER};

/// Code of the refusal of whoever is signed in and none of the staff.
pub(super) const STAFF_NEEDED: &str = "staff-needed";

/// How a visitor is signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a session of the hospital's provider.
    Session,
    /// By a token of this gateway, where there is no provider.
    Token,
}

/// A visit by staff.
pub(super) struct Visit {
    pub(super) gateway: Arc<Gateway>,
    pub(super) asking: Asking,
    /// Stands in every form, so that no other site can send one.
    pub(super) form: String,
    way: Way,
    /// The request's, with the token that stands for this visit.
    headers: HeaderMap,
    address: Option<std::net::IpAddr>,
    /// What was asked for, for the entry about who is turned away.
    action: String,
    entry: Option<Event>,
    /// Whether an entry about this visit is on disk.
    is_told: bool,
}

impl Visit {
    /// Gives the visit its purpose, treatment where none is said; or the page that says that there is no such purpose.
    pub(super) async fn for_purpose(&mut self, purpose: Option<&str>) -> Result<(), Response> {
        let purpose = purpose.unwrap_or(TREATMENT);
        if is_purpose(purpose) {
            purpose.clone_into(&mut self.asking.purpose);
            return Ok(());
        }
        let error = GatewayError::request(
            400,
            IssueCode::Value,
            "purpose-unknown",
            "the purpose of use is none that these pages offer",
            "choose a purpose on the page",
        );
        let error = self.turned_away(error).await;
        Err(error::failed(self, &error, None).await)
    }

    /// What was read of a patient, once that is kept; or the page that says why there is nothing to show.
    pub(super) async fn kept_or_told<T>(
        &mut self,
        outcome: Result<T, GatewayError>,
        patient: &str,
    ) -> Result<T, Response> {
        match self.kept(outcome).await {
            Ok(read) => Ok(read),
            Err(error) => Err(error::failed(self, &error, Some(patient)).await),
        }
    }

    /// Asks the FHIR face, as a request over HTTP would.
    pub(super) async fn ask(&mut self, method: &Method, url: &str) -> Result<Reply, GatewayError> {
        let ask = Ask::new(self.asking.clone(), method, url)?;
        self.send(ask, url).await
    }

    /// The same with a form in the body, so that nothing of it is in an address or in the log.
    pub(super) async fn search(&mut self, url: &str, form: String) -> Result<Reply, GatewayError> {
        let mut ask = Ask::new(self.asking.clone(), &Method::POST, url)?;
        ask.media = Some("application/x-www-form-urlencoded".to_owned());
        ask.body = form.into();
        self.send(ask, url).await
    }

    /// The same with a resource in the body.
    pub(super) async fn operate(&mut self, url: &str, resource: &Value) -> Result<Reply, GatewayError> {
        let mut ask = Ask::new(self.asking.clone(), &Method::POST, url)?;
        ask.media = Some("application/fhir+json".to_owned());
        ask.body = resource.to_string().into();
        self.send(ask, url).await
    }

    async fn send(&mut self, ask: Ask, url: &str) -> Result<Reply, GatewayError> {
        // The first thing that a page asks for is what it is about.
        if self.entry.is_none()
            && let Some(kind) = kind_of(ask.place.does, ask.place.kind)
        {
            let mut entry = self.gateway.entry(kind, &self.asking);
            if let Some(kind) = ask.place.kind {
                entry.note(Detail::ResourceType, kind);
            }
            if let Some(id) = &ask.place.id {
                entry.note(Detail::ResourceId, id.as_str());
            }
            entry.note(Detail::Query, url.split_once('?').map(|(_, query)| query).unwrap_or_default());
            entry.note(Detail::Address, self.address.map(|address| address.to_string()).unwrap_or_default());
            self.entry = Some(entry);
        }
        Box::pin(dispatch(&self.gateway, &ask)).await
    }

    /// Keeps what was asked and how it ended. Nothing is shown before.
    pub(super) async fn kept<T>(&mut self, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
        if let Some(entry) = self.entry.take() {
            self.gateway.keep_entry(entry, &self.asking.trail, outcome.as_ref().err()).await?;
            self.is_told = true;
        }
        outcome
    }

    /// Keeps that a list of the hospital's own was read, unless something was kept of this visit already.
    pub(super) async fn tells_of(&mut self, what: &str) -> Result<(), GatewayError> {
        if !self.is_told {
            self.gateway.list_read(what, &self.asking).await?;
            self.is_told = true;
        }
        Ok(())
    }

    /// Keeps that this visit is turned away. The refusal, once that is on disk.
    pub(super) async fn turned_away(&mut self, error: GatewayError) -> GatewayError {
        let mut entry = self.gateway.entry(EventKind::SignedIn, &self.asking).detail(Detail::Action, &self.action);
        entry.note(Detail::Address, self.address.map(|address| address.to_string()).unwrap_or_default());
        match self.gateway.keep_entry(entry, &Trail::default(), Some(&error)).await {
            Ok(()) => {
                self.is_told = true;
                error
            }
            Err(error) => error,
        }
    }

    /// A page's body, which ends where the session, the token or the consent does.
    pub(super) fn body(&self, content: Bytes) -> Body {
        match Standing::of(&self.gateway, &self.headers, self.asking.trail.take_leases()) {
            Some(standing) => standing.body(content),
            None => Body::from(content),
        }
    }

    /// A form of one of this visitor's own pages, or nothing.
    pub(super) fn own_form(&self, body: &[u8]) -> Option<Vec<(String, String)>> {
        let form = pairs(body);
        let shown = sha256(only(&form, "form").unwrap_or_default().as_bytes());
        sealwort_proto::crypto::mac_matches(&sha256(self.form.as_bytes()), &shown).then_some(form)
    }

    pub(super) fn sign_out_path(&self) -> String {
        match self.way {
            Way::Session => format!("{AUTH}/logout"),
            Way::Token => format!("{PATH}/sign-out"),
        }
    }

    /// Where signing out leads, if it leads out of the gateway.
    pub(super) async fn sign_out_origin(&self) -> Option<String> {
        match self.way {
            Way::Session => self.gateway.sign_out_endpoint().await.and_then(|url| origin(&url)),
            Way::Token => None,
        }
    }
}

/// The purpose in a page's address.
pub(super) fn purpose(query: Option<&str>) -> Option<String> {
    let pairs = pairs(query.unwrap_or_default().as_bytes());
    only(&pairs, PURPOSE).map(str::to_owned)
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let gateway = Arc::<Gateway>::from_ref(state);
        let found = credentials(&gateway, parts).await.map_err(|error| error::plain(&error))?;
        let Some((token, form, way)) = found else {
            return Err(to_sign_in(&gateway, parts).await);
        };
        let mut inner = parts.clone();
        inner.headers.remove(PURPOSE_HEADER);
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.as_str()))
            .map_err(|_| error::plain(&GatewayError::Kept("a token is no header's text")))?;
        bearer.set_sensitive(true);
        inner.headers.insert(header::AUTHORIZATION, bearer);
        match let_in_noted(&gateway, &inner, whole_users).await {
            Ok(asking) => {
                let (headers, address) = (inner.headers, source(parts));
                let action = format!("{} {}", parts.method, parts.uri.path());
                Ok(Self { gateway, asking, form, way, headers, address, action, entry: None, is_told: false })
            }
            Err(error) if error.status() == 401 => Err(to_sign_in(&gateway, parts).await),
            Err(error) => Err(error::plain(&error)),
        }
    }
}

/// The token that stands for a visit, and the secret of its forms.
async fn credentials(
    gateway: &Gateway,
    parts: &Parts,
) -> Result<Option<(Zeroizing<String>, String, Way)>, GatewayError> {
    if let Some(present) = sign_in::present(gateway, &parts.headers) {
        if present.who != Who::Staff {
            let error = GatewayError::request(
                403,
                IssueCode::Forbidden,
                STAFF_NEEDED,
                "these pages are for the hospital's staff, and you are signed in as a patient or a delegate",
                "open your own records at /portal, or sign in with your account at the hospital",
            );
            return Err(gateway.turned_away(parts, None, error).await);
        }
        let answer = sign_in::session_token(gateway, &present, None)?;
        let token = answer.get("access_token").and_then(Value::as_str).unwrap_or_default();
        return Ok(Some((Zeroizing::new(token.to_owned()), present.form, Way::Session)));
    }
    if gateway.sign_in.is_offered() {
        return Ok(None);
    }
    let name = authorize::token_cookie(gateway);
    let Some(token) = sealwort_sign_in::cookies::find(&parts.headers, &name) else { return Ok(None) };
    if authorize::user_of(gateway, token).is_none() {
        return Ok(None);
    }
    let form = authorize::token_form(token);
    Ok(Some((Zeroizing::new(token.to_owned()), form, Way::Token)))
}

/// To the provider, or to the page that takes a token; then back to the page that was asked for.
async fn to_sign_in(gateway: &Gateway, parts: &Parts) -> Response {
    let wanted = parts.uri.path_and_query().map_or(PATH, |path| path.as_str());
    let onward = if parts.method == Method::GET { wanted } else { PATH };
    if gateway.sign_in.is_offered() {
        return sign_in::depart(gateway, parts, Next::Page(onward.to_owned()), None).await;
    }
    page(StatusCode::UNAUTHORIZED, &sign_in_page("", Some(onward), None), None)
}

/// `POST /clinician/sign-out`, for who signed in with a token.
pub(super) async fn sign_out(State(gateway): Shared, visit: Visit, body: Bytes) -> Response {
    if visit.own_form(&body).is_none() {
        return error::not_own_form(visit).await;
    }
    let mut response = see_other(PATH);
    if let Some(gone) = authorize::token_cookie_set(&gateway, "") {
        response.headers_mut().insert(header::SET_COOKIE, gone);
    }
    response
}
