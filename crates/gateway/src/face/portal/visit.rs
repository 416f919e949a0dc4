//! A visit: who is signed in, about which record, and what they may do there. It acts by a token of the session, as
//! anything else of that session does, so that nothing is let in here which the FHIR face would not let in.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequestParts, RawPathParams, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, header};
use maud::{Markup, html};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::plain::tidy;
use sealwort_fhir::{Branch, IssueCode, Resource, ResourceType};
use sealwort_pages::words::portal as words;
use sealwort_pages::{Frame, Link, Policy, date, respond};
use sealwort_smart::Action;
use serde_json::Value;

use super::super::authorize::{only, origin, pairs};
use super::super::reply::{Format, Reply, etag};
use super::super::sign_in::{is_own_form, present, record_token};
use super::super::{BASE, answer, let_in_noted, note_failure, serve};
use super::last::Last;
use super::{PORTAL, Page};
use crate::Gateway;
use crate::authorization::{AUTH, source};
use crate::delegates::Delegation;
use crate::error::GatewayError;
use crate::open::Lease;
use crate::persons::Theirs;
use crate::sign_in::sessions::{Present, Who};
use crate::standing::Standing;
use crate::trail::Trail;
use crate::user::Asking;

/// Handle of the visitor's own record; delegations have their ids.
pub(super) const OWN: &str = "own";

/// Somebody on the pages of one record.
pub(super) struct Visit {
    pub(super) gateway: Arc<Gateway>,
    present: Present,
    record: Theirs,
    /// How many records they could choose from.
    records: usize,
    handle: String,
    asking: Asking,
    /// The request, with the session's token.
    parts: Parts,
    parameters: Vec<(String, String)>,
    /// What was opened, and so what the answer rests on.
    leases: Mutex<Vec<Lease>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let gateway = Arc::<Gateway>::from_ref(state);
        let named = RawPathParams::from_request_parts(parts, state).await;
        let parameters: Vec<(String, String)> = named
            .map(|all| all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
            .unwrap_or_default();
        Self::enter(gateway, parts.clone(), parameters).await
    }
}

impl Visit {
    async fn enter(
        gateway: Arc<Gateway>,
        mut parts: Parts,
        parameters: Vec<(String, String)>,
    ) -> Result<Self, Response> {
        let start = || super::super::authorize::see_other(PORTAL);
        let Some(present) = present(&gateway, &parts.headers) else { return Err(start()) };
        let Who::Private(own) = &present.who else { return Err(start()) };
        let records = gateway.records_of(own.as_ref(), &present.account);
        let handle = parameters.iter().find(|(name, _)| name == "record").map(|(_, value)| value.clone());
        let handle = handle.unwrap_or_default();
        let found = records.iter().find(|one| handle_of(one) == handle).cloned();
        let lost = |error: GatewayError| failure_page(&error);
        let Some(record) = found else {
            let refusal = GatewayError::request(
                404,
                IssueCode::NotFound,
                "record-not-theirs",
                "no such record is theirs to open",
                "choose one that is listed",
            );
            return Err(lost(gateway.turned_away(&parts, None, refusal).await));
        };
        let token = record_token(&gateway, &present, &record).map_err(lost)?;
        let token = token.get("access_token").and_then(Value::as_str).unwrap_or_default();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| lost(GatewayError::Kept("a token is no header")))?;
        bearer.set_sensitive(true);
        parts.headers.insert(header::AUTHORIZATION, bearer);
        // The token's own purpose counts, and no other form than a page is asked for.
        for other in [crate::user::PURPOSE_HEADER, "accept", "prefer", "if-match", "if-none-match"] {
            parts.headers.remove(other);
        }
        let asking = let_in_noted(&gateway, &parts, |_| Ok(())).await.map_err(lost)?;
        Ok(Self {
            gateway,
            present,
            record,
            records: records.len(),
            handle,
            asking,
            parts,
            parameters,
            leases: Mutex::default(),
        })
    }

    // ---- who and what ----

    /// Who asks. Each look has a trail of its own, and so an entry of its own.
    pub(super) fn asking(&self) -> Asking {
        Asking { trail: Trail::default(), ..self.asking.clone() }
    }

    /// The Patient's id.
    pub(super) fn patient(&self) -> &str {
        self.record.patient_id()
    }

    /// What they may do for somebody else; none in their own record.
    pub(super) fn delegation(&self) -> Option<&Delegation> {
        self.asking.delegation.as_deref()
    }

    /// As which they stand in logs.
    pub(super) fn user(&self) -> &str {
        &self.asking.user
    }

    /// A part of the path.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// A parameter of the query that is given once.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let all = pairs(self.parts.uri.query().unwrap_or_default().as_bytes());
        only(&all, name).map(str::to_owned)
    }

    /// Who opened the record last, as this session was told it.
    pub(super) fn recall_last(&self, now: u64) -> Option<Last> {
        self.gateway.last_looks.recall(self.present.id.as_str(), self.patient(), now)
    }

    /// Remembers it for this session.
    pub(super) fn remember_last(&self, last: Last) {
        self.gateway.last_looks.keep(self.present.id.to_string(), self.patient().to_owned(), last);
    }

    /// A path below the record's.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{PORTAL}/{}{path}", self.handle)
    }

    /// A page's path.
    pub(super) fn path(&self, page: Page) -> String {
        self.at(page.path())
    }

    /// The field by which a form is known as this session's own.
    pub(super) fn secret(&self) -> Markup {
        html! { input type="hidden" name="form" value=(self.present.form); }
    }

    /// The fields of a form, which must be one of this session's own pages.
    pub(super) async fn form(&self, body: &Bytes) -> Result<Vec<(String, String)>, GatewayError> {
        let form = pairs(body);
        if is_own_form(&self.present, &form) {
            return Ok(form);
        }
        let (text, remedy) = ("the form is not of this session's pages", "load the page again");
        let refusal = GatewayError::request(403, IssueCode::Forbidden, "form-foreign", text, remedy);
        Err(self.gateway.turned_away(&self.parts, Some(&self.asking), refusal).await)
    }

    // ---- looks ----

    /// An entry about a look.
    pub(super) fn entry(&self, kind: EventKind, asking: &Asking) -> Event {
        let mut entry = self.gateway.entry(kind, asking);
        entry.note(Detail::Address, source(&self.parts).map(|address| address.to_string()).unwrap_or_default());
        entry
    }

    /// Passes on how a look ended, once the entry about it is on disk.
    pub(super) async fn kept<T>(
        &self,
        entry: Event,
        asking: &Asking,
        outcome: Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).extend(asking.trail.take_leases());
        self.gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await?;
        outcome
    }

    /// Does what the FHIR face would do at such a request of this visitor, with its entry.
    /// A change is made only to the version named.
    pub(super) async fn fhir(
        &self,
        method: Method,
        url: &str,
        body: Vec<u8>,
        version: Option<u64>,
    ) -> Result<Reply, GatewayError> {
        let mut parts = self.request(method, url)?;
        if let Some(version) = version.and_then(|version| etag(version).parse().ok()) {
            parts.headers.insert(header::IF_MATCH, version);
        }
        let (mut format, mut entry) = (Format::default(), None);
        let outcome = Box::pin(answer(&self.gateway, &parts, Body::from(body), &mut format, &mut entry)).await;
        if let Some((entry, trail)) = entry {
            self.gateway.keep_entry(entry, &trail, outcome.as_ref().err()).await?;
        }
        outcome
    }

    /// The same as the answer itself, which may be long.
    pub(super) async fn file(&self, url: &str) -> Result<Response, GatewayError> {
        let parts = self.request(Method::GET, url)?;
        Ok(serve(State(Arc::clone(&self.gateway)), Request::from_parts(parts, Body::empty())).await)
    }

    fn request(&self, method: Method, url: &str) -> Result<Parts, GatewayError> {
        let uri = format!("{BASE}{url}").parse().map_err(|_| GatewayError::Kept("a path cannot be asked for"))?;
        let mut parts = self.parts.clone();
        parts.method = method;
        parts.uri = uri;
        for length in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
            parts.headers.remove(length);
        }
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
        Ok(parts)
    }

    // ---- answers ----

    /// A page of the navigation, or why there is none.
    pub(super) async fn answer(&self, page: Page, content: Result<Markup, GatewayError>) -> Response {
        self.titled(page, page.title(), content).await
    }

    /// A page of the navigation again, with what is wrong in its form.
    pub(super) async fn answer_again(&self, page: Page, content: Result<Markup, GatewayError>) -> Response {
        let mut response = self.answer(page, content).await;
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        response
    }

    /// A page that stands behind one of the navigation.
    pub(super) async fn titled(&self, page: Page, title: &str, content: Result<Markup, GatewayError>) -> Response {
        let (status, title, content) = match &content {
            Ok(content) => (StatusCode::OK, title, content.clone()),
            Err(error) => (status_of(error), words::failure_title(error.status()), failure(error)),
        };
        let paths: Vec<String> = Page::ALL.iter().map(|one| self.path(*one)).collect();
        let links: Vec<Link<'_>> =
            Page::ALL.iter().zip(&paths).map(|(one, path)| Link { href: path, text: one.title() }).collect();
        let current = self.path(page);
        let frame = Frame {
            surface: words::SURFACE,
            home: PORTAL,
            navigation: &links,
            current: &current,
            account: sign_out(&self.present),
            banner: self.banner(),
            sheet: Some(SHEET),
        };
        // The form to sign out may lead on to the provider.
        let onward = self.gateway.sign_out_endpoint().await.and_then(|url| origin(&url));
        let page = Bytes::from(frame.page(title, &content).into_string());
        let mut response = respond(status, html! {}, Policy { onward: onward.as_deref() });
        *response.body_mut() = self.body(page);
        response
    }

    /// Content as a body that ends early once what it rests on has ended: the session, the delegation, the consent.
    fn body(&self, content: Bytes) -> Body {
        let leases = std::mem::take(&mut *self.leases.lock().unwrap_or_else(PoisonError::into_inner));
        match Standing::of(&self.gateway, &self.parts.headers, leases) {
            Some(standing) => standing.body(content),
            None => Body::from(content),
        }
    }

    /// A file that a browser stores and never shows: what it holds came from anybody.
    pub(super) fn download(&self, name: &str, content: Bytes) -> Response {
        self.file_of("attachment", name, "application/octet-stream", content)
    }

    /// A file that a browser shows, of a type that holds nothing to run. It stands alone, in a sandbox: nothing of it
    /// reaches a page, a session or another server.
    pub(super) fn shown(&self, name: &str, media: &str, content: Bytes) -> Response {
        self.file_of("inline", name, media, content)
    }

    /// A file, by what a browser does with it.
    pub(super) fn file_of(&self, disposition: &str, name: &str, media: &str, content: Bytes) -> Response {
        let named = HeaderValue::from_str(&format!("{disposition}; filename=\"{name}\""));
        // What is no header's text is stored, and is of no type.
        let plain = HeaderValue::from_static("application/octet-stream");
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_str(media).unwrap_or(plain)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FILE_POLICY)),
            (header::CONTENT_DISPOSITION, named.unwrap_or(HeaderValue::from_static("attachment"))),
        ];
        (headers, self.body(content)).into_response()
    }

    /// After a form: to a page, which tells what was done.
    pub(super) fn done(&self, page: Page, what: &str) -> Response {
        super::super::authorize::see_other(&format!("{}?done={what}", self.path(page)))
    }

    /// Whose record it is.
    fn banner(&self) -> Markup {
        let name = name_of(&self.gateway, &self.record);
        html! {
            section .banner .whose aria-label=(words::CHOOSE) {
                p {
                    @match &self.record {
                        Theirs::Own(_) => { (words::own_banner(&name)) },
                        Theirs::Delegated(one) => {
                            strong { (words::helper_banner(&name, words::relationship(&one.relationship), &date::day(one.until))) }
                        },
                    }
                    @if self.records > 1 { " " a href=(PORTAL) { (words::CHANGE_RECORD) } }
                }
            }
        }
    }
}

/// By what a record is known in addresses.
pub(super) fn handle_of(record: &Theirs) -> &str {
    match record {
        Theirs::Own(_) => OWN,
        Theirs::Delegated(one) => &one.id,
    }
}

/// A patient's name, as this hospital knows it.
pub(super) fn name_of(gateway: &Gateway, record: &Theirs) -> String {
    let patient = match record {
        Theirs::Own(own) => own.patient,
        Theirs::Delegated(one)
            if one.allows(Action::Read, ResourceType::PATIENT)
                && (one.labels.is_empty() || one.labels.contains(&Branch::Administrative)) =>
        {
            one.patient
        }
        Theirs::Delegated(_) => return words::NAME_HIDDEN.to_owned(),
    };
    let all = gateway.people.contents_of(gateway.roster.surviving(patient));
    let name = all.into_iter().find_map(|content| {
        let tree = Resource::parse(content).ok()?.json().ok()?;
        sealwort_fhir::plain::Plain::of(ResourceType::PATIENT, &tree).title
    });
    name.map_or_else(|| words::NAMELESS.to_owned(), |name| tidy(&name))
}

/// Who is signed in, and the form to sign out.
pub(super) fn sign_out(present: &Present) -> Markup {
    html! {
        form method="post" action={(AUTH) "/logout"} {
            input type="hidden" name="form" value=(present.form);
            button type="submit" { (words::SIGN_OUT) }
        }
    }
}

/// Why there is no page, for people: whose fault, what was wrong, what to do next.
pub(super) fn failure(error: &GatewayError) -> Markup {
    note_failure(error);
    let (status, code) = (error.status(), error.code().to_owned());
    let (what, next) = words::failure(&code, status);
    html! {
        div .note .error role="alert" {
            p { strong { (words::whose_fault(status)) } " " (what) }
            p { (next) }
            p .quiet { (words::REFERENCE) " " code { (code) } }
        }
        p { a href=(PORTAL) { (words::BACK) } }
    }
}

/// The same as a page, where it is not known about which record.
pub(super) fn failure_page(error: &GatewayError) -> Response {
    let frame = Frame {
        surface: words::SURFACE,
        home: PORTAL,
        navigation: &[],
        current: "",
        account: html! {},
        banner: html! {},
        sheet: Some(SHEET),
    };
    respond(status_of(error), frame.page(words::failure_title(error.status()), &failure(error)), Policy::default())
}

fn status_of(error: &GatewayError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The portal's own style sheet.
pub(super) const SHEET: &str = "portal.css";
const CROSS_ORIGIN_RESOURCE_POLICY: http::HeaderName = http::HeaderName::from_static("cross-origin-resource-policy");
/// Files run nothing, load nothing and stand in no page. Browsers style what they show of an image by themselves.
const FILE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'; sandbox";
