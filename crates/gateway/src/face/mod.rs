//! The FHIR R4 face towards the hospital: a request is read, looked up in the table, handed to one function, and
//! answered. Every failure is an OperationOutcome with a stable code, the place and the remedy.

mod access_log;
mod authorize;
mod body;
mod bundle;
mod capability;
mod clinician;
mod consent;
pub(crate) mod cursor;
mod delegates;
mod emergency;
mod everything;
mod export;
mod feeds;
mod labels;
mod launch;
mod local;
mod merge;
mod pace;
mod passkeys;
mod phr;
pub(crate) mod portal;
mod push;
mod questions;
pub(crate) mod read;
pub(crate) mod reply;
pub(crate) mod request;
mod search;
mod sign_in;
mod subscription;
mod table;
pub(crate) mod terminal;
pub(crate) mod validate;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderName, Method, StatusCode, header};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::{Issue, IssueCode, Outcome, ResourceType, Severity};
use sealwort_net::observe;
use sealwort_net::server::{PeerAddress, Refusal};
use sealwort_net::traces::{TRACE_ID, TRACEPARENT};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};

use crate::Gateway;
use crate::error::GatewayError;
use crate::standing::Standing;
use crate::trail::Trail;
use crate::user::{Asking, By};
use pace::Pace;
use reply::{Format, Reply};
use request::{Ask, Conditions, Prefer};
pub(crate) use search::{check_links, surviving};
pub(crate) use table::Interaction;
pub(crate) use write::apart;

/// Path of every FHIR URL.
pub(crate) const BASE: &str = "/fhir";
/// Path of the stylesheet of pages.
pub(crate) const STYLESHEET: &str = "/fhir.css";

/// All routes.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route(BASE, any(serve))
        .route(&format!("{BASE}/"), any(serve))
        .route(&format!("{BASE}/{{*rest}}"), any(serve))
        .route(STYLESHEET, get(stylesheet))
        .route("/status", get(local::status))
        .route("/consent", get(local::consent))
        .route("/consent/grant", post(local::grant))
        .route("/consent/withdraw", post(local::withdraw))
        .route("/consent/explain", post(local::explain))
        .route("/erasure", get(local::erasures).post(local::erase))
        .merge(authorize::routes())
        .merge(sign_in::routes())
        .merge(feeds::routes())
        .merge(emergency::routes())
        .merge(labels::routes())
        .merge(delegates::routes())
        .merge(passkeys::routes())
        .merge(terminal::routes())
        .merge(push::routes())
        .merge(questions::routes())
        .merge(portal::routes())
        .merge(launch::routes())
        .merge(clinician::routes())
        .merge(sealwort_pages::assets::routes())
        .fallback(unknown_route)
        .layer(CompressionLayer::new().gzip(true))
        .layer(cross_origin())
        .with_state(gateway)
}

/// Apps in browsers come from origins of their own (HL7 SMART App Launch, "Cross-Origin Resource Sharing"). What lets
/// them in is a token that they send themselves, never a cookie, so any origin may ask.
fn cross_origin() -> CorsLayer {
    let exposed = [
        header::ETAG,
        header::LOCATION,
        header::LAST_MODIFIED,
        header::CONTENT_LOCATION,
        HeaderName::from_static("x-sealwort-withheld"),
        HeaderName::from_static(TRACE_ID),
    ];
    CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(ALLOWED_HEADERS).expose_headers(exposed)
}

/// Headers that apps in browsers may send.
const ALLOWED_HEADERS: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    HeaderName::from_static("if-none-exist"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("purpose-of-use"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static(TRACEPARENT),
];

/// Every request below the base.
async fn serve(State(gateway): Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut format = Format::default();
    let mut entry = None;
    let outcome = Box::pin(answer(&gateway, &parts, body, &mut format, &mut entry)).await;
    let trail = entry.as_ref().map(|(_, trail)| trail.clone());
    let outcome = match entry {
        Some((entry, trail)) => match gateway.keep_entry(entry, &trail, outcome.as_ref().err()).await {
            Ok(()) => outcome,
            Err(error) => Err(error),
        },
        None => outcome,
    };
    match outcome {
        Ok(mut reply) => {
            reply.standing = trail.and_then(|trail| Standing::of(&gateway, &parts.headers, trail.take_leases()));
            if parts.method == Method::HEAD {
                reply.content = bytes::Bytes::new();
                reply.stream = None;
            }
            reply::respond(reply, &format, &gateway.base)
        }
        Err(error) => {
            let mut response = failed_as(&error, &format, &gateway.base);
            if error.status() == 405 {
                let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
                if let Ok(allowed) = table::allowed(path).parse() {
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
            }
            response
        }
    }
}

async fn answer(
    gateway: &Arc<Gateway>,
    parts: &Parts,
    body: Body,
    format: &mut Format,
    entry: &mut Option<(Event, Trail)>,
) -> Result<Reply, GatewayError> {
    let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
    let place = table::find(&parts.method, path)?;
    let mut parameters = request::form(parts.uri.query().unwrap_or_default())?;
    *format = Format::take(&parts.headers, &mut parameters)?;
    // Open to everybody, as FHIR and SMART want it: an application reads them before it logs in.
    match place.does {
        Interaction::Capabilities => return Ok(capability::metadata(gateway)),
        Interaction::SmartConfiguration => return Ok(capability::smart(gateway)),
        _ => {}
    }
    let asking = let_in_noted(gateway, parts, |_| Ok(())).await?;
    if let Some(kind) = crate::trail::kind_of(place.does, place.kind) {
        let mut about = gateway.entry(kind, &asking);
        if let Some(kind) = place.kind {
            about.note(Detail::ResourceType, kind);
        }
        if let Some(id) = &place.id {
            about.note(Detail::ResourceId, id.as_str());
        }
        if let Some(version) = place.version {
            about.note(Detail::ResourceVersion, version);
        }
        about.note(Detail::Query, parts.uri.query().unwrap_or_default());
        if let Some(PeerAddress(address)) = parts.extensions.get() {
            about.note(Detail::Address, address.ip());
        }
        let named = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        about.note(Detail::RequestId, named.unwrap_or_default());
        *entry = Some((about, asking.trail.clone()));
    }
    if shows_one(place.does) {
        format.take_subset(&mut parameters)?;
    }
    let ask = Ask {
        asking,
        place,
        parameters,
        conditions: Conditions::of(&parts.headers)?,
        prefer: Prefer::of(&parts.headers),
        media: request::media(&parts.headers)?,
        body: body::received(&parts.headers, body).await?,
    };
    dispatch(gateway, &ask).await
}

/// Does what an entry of a Bundle asks: a request within a request.
fn dispatch_entry<'a>(gateway: &'a Arc<Gateway>, ask: &'a Ask) -> BoxFuture<'a, Result<Reply, GatewayError>> {
    Box::pin(dispatch(gateway, ask))
}

/// Does what is asked, in step.
async fn dispatch(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let pace = Pace::begin(&ask.asking.trail);
    let outcome = Box::pin(done(gateway, ask)).await;
    if pace::may_hide(ask, &outcome) {
        pace.keep(&ask.asking.trail).await;
    }
    outcome
}

async fn done(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    match ask.place.does {
        Interaction::Capabilities => Ok(capability::metadata(gateway)),
        Interaction::SmartConfiguration => Ok(capability::smart(gateway)),
        Interaction::Bundle => bundle::post(gateway, ask).await,
        Interaction::SearchSystem | Interaction::SearchType | Interaction::SearchCompartment => {
            search::search(gateway, ask).await
        }
        Interaction::HistoryType => read::history_of_type(gateway, ask).await,
        Interaction::HistoryInstance => read::history_of_one(gateway, ask).await,
        does if of_subscriptions(does, ask) => subscription::serve(gateway, ask).await,
        Interaction::Create => write::create(gateway, ask).await,
        Interaction::Read => read::read(gateway, ask).await,
        Interaction::Vread => read::vread(gateway, ask).await,
        Interaction::Update => write::update(gateway, ask).await,
        Interaction::UpdateConditional => write::update_conditional(gateway, ask).await,
        Interaction::Patch => write::patch(gateway, ask).await,
        Interaction::Delete => write::delete(gateway, ask).await,
        Interaction::Validate => validate::operation(gateway, ask).await,
        Interaction::Everything => everything::everything(gateway, ask).await,
        Interaction::Summary => everything::ips(gateway, ask).await,
        Interaction::Export => export::begin(gateway, ask).await,
        Interaction::ExportStatus => export::status(gateway, ask).await,
        Interaction::ExportCancel => export::cancel(gateway, ask),
        Interaction::ExportFile => export::file(gateway, ask).await,
        Interaction::ConsentExplain => consent::explain(gateway, ask).await,
        Interaction::Merge => merge::merge(gateway, ask).await,
        Interaction::Unmerge => merge::unmerge(gateway, ask).await,
        Interaction::PhrExport => phr::export(gateway, ask).await,
        Interaction::EmergencyAccess => emergency::open(gateway, ask).await,
        Interaction::EmergencyApprove => emergency::approve(gateway, ask).await,
        Interaction::EmergencyEnd => emergency::end(gateway, ask).await,
        Interaction::AccessLog => access_log::access_log(gateway, ask).await,
        Interaction::AccessLogProof => access_log::proof(gateway, ask).await,
        Interaction::SearchEvents => access_log::search(gateway, ask).await,
        Interaction::ReadEvent => access_log::read(gateway, ask).await,
    }
}

/// What is done with one Subscription; searches for them are searches.
fn of_subscriptions(does: Interaction, ask: &Ask) -> bool {
    ask.place.kind == Some(ResourceType::SUBSCRIPTION)
        && matches!(does, Interaction::Create | Interaction::Read | Interaction::Update | Interaction::Delete)
}

/// Stores a Bundle that did not come over HTTP.
pub(crate) async fn store_bundle(
    gateway: &Arc<Gateway>,
    asking: &Asking,
    bundle: bytes::Bytes,
) -> Result<(), GatewayError> {
    gateway.journal.check()?;
    let mut ask = Ask::new(asking.clone(), &Method::POST, "")?;
    ask.asking.trail = Trail::default();
    ask.body = bundle;
    let outcome = bundle::post(gateway, &ask).await;
    let entry = gateway.entry(EventKind::BundleProcessed, asking).detail(Detail::Method, "feed");
    gateway.keep_entry(entry, &ask.asking.trail, outcome.as_ref().err()).await?;
    outcome.map(|_| ())
}

/// Whether the answer is one resource, of which `_summary` and `_elements` may ask for a part. Searches take their
/// parts from each match.
fn shows_one(does: Interaction) -> bool {
    matches!(does, Interaction::Read | Interaction::Vread | Interaction::Capabilities)
}

async fn stylesheet() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], sealwort_fhir::html::STYLESHEET).into_response()
}

async fn unknown_route() -> Response {
    failed(&table::unknown_route())
}

/// Lets a request in, where it comes from somebody whom the route is for, and keeps that somebody was turned away. Nothing
/// is begun that could not be told of.
async fn let_in_noted(
    gateway: &Gateway,
    parts: &Parts,
    is_for: impl FnOnce(&Asking) -> Result<(), GatewayError>,
) -> Result<Asking, GatewayError> {
    gateway.journal.check()?;
    let mut asking = match gateway.let_in(parts) {
        Ok(asking) => asking,
        Err(error) => return Err(gateway.turned_away(parts, None, error).await),
    };
    let context = match &asking.patient {
        Some(patient) => gateway.context_of(patient.as_str()).await,
        None => Ok(None),
    };
    match is_for(&asking).and(context) {
        Ok(context) => asking.context = context,
        Err(error) => return Err(gateway.turned_away(parts, Some(&asking), error).await),
    }
    Ok(asking)
}

fn whole_users(asking: &Asking) -> Result<(), GatewayError> {
    if asking.is_whole_user() { Ok(()) } else { Err(for_users()) }
}

fn for_users() -> GatewayError {
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "scope-insufficient",
        "this is for users of the hospital, not for apps",
        "use a token of sealwort gateway token",
    )
}

/// A user of the hospital itself, for what is not FHIR: a token with every right of a user, and no app's.
pub(crate) struct LetIn(pub(crate) Asking);

impl<S: Send + Sync> FromRequestParts<S> for LetIn
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let asking = let_in_noted(&Arc::<Gateway>::from_ref(state), parts, whole_users).await;
        asking.map(Self).map_err(|error| failed(&error))
    }
}

/// The same, or a patient or delegate, who are heard about their own record alone.
pub(crate) struct LetInAbout(Asking);

impl<S: Send + Sync> FromRequestParts<S> for LetInAbout
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let is_for = |asking: &Asking| match (asking.by, &asking.patient) {
            (By::Person, Some(_)) => Ok(()),
            _ => whole_users(asking),
        };
        let asking = let_in_noted(&Arc::<Gateway>::from_ref(state), parts, is_for).await;
        asking.map(Self).map_err(|error| failed(&error))
    }
}

impl LetInAbout {
    /// Refuses who may not decide about this patient. To others than the patient's delegates the patient is unknown.
    pub(crate) async fn check_decides_for(&self, gateway: &Gateway, patient: &str) -> Result<(), GatewayError> {
        let asking = &self.0;
        let named = gateway.patient_named(patient, crate::people::TREATMENT).await;
        // Whom it was about stands in the log however it ends.
        if let Ok(named) = &named {
            asking.trail.touches(*named);
        }
        if asking.is_whole_user() {
            return Ok(());
        }
        let named = named?;
        if asking.may_decide_for(named) {
            return Ok(());
        }
        Err(if asking.context == Some(named) { right_lacks() } else { GatewayError::unknown_patient() })
    }

    /// The patient of this name, for users of the hospital and for the patient. To others the patient is unknown.
    pub(crate) async fn patient_of_theirs(&self, gateway: &Gateway, named: &str) -> Result<Pseudonym, GatewayError> {
        let patient = gateway.patient_named(named, crate::people::TREATMENT).await?;
        if self.looks_after(patient) { Ok(patient) } else { Err(GatewayError::unknown_patient()) }
    }

    /// Whether it is a user of the hospital, or this patient. Whom somebody asked about stands in the log in any case.
    pub(crate) fn looks_after(&self, patient: Pseudonym) -> bool {
        self.0.trail.touches(patient);
        self.0.is_whole_user() || self.0.is_patient(patient)
    }
}

fn right_lacks() -> GatewayError {
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "delegation-insufficient",
        "this delegate may not decide for the patient",
        "the patient, or the hospital, can add the right: consent",
    )
}

/// A user of the hospital in a role that looks after the gateway: `sign_in.administrators`.
pub(crate) struct Administrator(Asking);

impl<S: Send + Sync> FromRequestParts<S> for Administrator
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let gateway = Arc::<Gateway>::from_ref(state);
        let is_for = |asking: &Asking| gateway.check_administrator(asking);
        let asking = let_in_noted(&gateway, parts, is_for).await;
        asking.map(Self).map_err(|error| failed(&error))
    }
}

impl Gateway {
    /// Refuses who is no user of the hospital in a role of `sign_in.administrators`.
    fn check_administrator(&self, asking: &Asking) -> Result<(), GatewayError> {
        if asking.is_whole_user() && self.sign_in.is_administrator(&asking.role) {
            return Ok(());
        }
        Err(for_administrators())
    }
}

fn for_administrators() -> GatewayError {
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "administrator-needed",
        "this is for users in a role of sign_in.administrators, as administrator",
        "use a token of sealwort gateway token --role administrator",
    )
}

/// A failure in FHIR's words.
pub(crate) fn failed(error: &GatewayError) -> Response {
    failed_as(error, &Format::default(), BASE)
}

/// Counts a failure that is answered, and says why where it is no refusal.
pub(crate) fn note_failure(error: &GatewayError) {
    observe::refused(error.code());
    if error.status() >= 500 {
        tracing::warn!(code = error.code(), "{error}");
    }
}

fn failed_as(error: &GatewayError, format: &Format, base: &str) -> Response {
    note_failure(error);
    let outcome = error.outcome();
    let mut reply = Reply::resource(status(error.status()), outcome.to_bytes());
    match error.status() {
        401 => reply.headers.push((header::WWW_AUTHENTICATE, error.challenge().to_owned())),
        429 => {
            if let GatewayError::Throttled { seconds } = error {
                reply.headers.push((header::RETRY_AFTER, seconds.to_string()));
            }
        }
        503 => reply.headers.push((header::RETRY_AFTER, "2".to_owned())),
        _ => {}
    }
    reply::respond(reply, &format.whole(), base)
}

/// What the server itself refuses, in FHIR's words.
pub(crate) fn server_refusal(refusal: &Refusal) -> Response {
    let issue = Issue::new(
        Severity::Error,
        IssueCode::Throttled,
        refusal.code(),
        "the server's limits do not allow this request",
    )
    .diagnostics("send less at once, or try again later");
    let reply = Reply::resource(refusal.status(), Outcome::from(issue).to_bytes());
    reply::respond(reply, &Format::default(), BASE)
}

/// A write that waits for the exchange.
fn queued() -> Reply {
    let issue = Issue::new(
        Severity::Information,
        IssueCode::Informational,
        "queued",
        "the exchange is away; the write is kept here on disk and will be sent by itself",
    );
    Reply::resource(StatusCode::ACCEPTED, Outcome::from(issue).to_bytes())
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The time of a parameter such as `_since`: an instant, or a date whose first second counts.
fn since(text: &str) -> Result<UnixTime, GatewayError> {
    let instant = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok();
    let day = || {
        let date = time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).ok()?;
        Some(date.midnight().assume_utc())
    };
    let at = instant.or_else(day).and_then(|at| u64::try_from(at.unix_timestamp()).ok());
    at.map(UnixTime::from_secs)
        .ok_or_else(|| request::bad_parameter("_since", "it is an instant, such as 2026-01-31T12:00:00Z"))
}

type Shared = State<Arc<Gateway>>;
