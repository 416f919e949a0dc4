//! The page that explains: what happens between the five parties of the demo, drawn step by step, with the bytes that
//! broker and archive had of each message, buttons that let it happen again, and a search for words of the record.
//! It listens on loopback alone, and does nothing that the gateways' users could not do.

mod actions;
mod captured;
mod diagnostic;
mod page;
mod recorder;
mod search;
mod specification;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::{StatusCode, header, uri::Authority};
use sealwort_net::server::{Limits, Server};
use sealwort_net::{Shutdown, ShutdownTrigger};
use sealwort_pages::words::explain as words;
use sealwort_pages::{Policy, assets, respond};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::http::Client;
use super::relay::Relay;
use super::world::World;
use crate::error::CliError;

use actions::Action;
use captured::Captures;
pub(crate) use recorder::{Hospital, Outcome, Recorder};
use search::{Searched, Word};

/// What the page shows and does.
struct Explain {
    recorder: Arc<Recorder>,
    hospital_a: Client,
    hospital_b: Client,
    relays: Vec<Relay>,
    folder: PathBuf,
    address: SocketAddr,
    /// Goes with each form, so that no other site's page can send one.
    form: String,
    captures: Mutex<Captures>,
    searched: Mutex<Option<Searched>>,
    acting: tokio::sync::Mutex<()>,
    notes: AtomicUsize,
    withdrawn: AtomicBool,
    ready: Arc<AtomicBool>,
}

/// The page as it is served.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    ready: Arc<AtomicBool>,
    trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
}

impl Served {
    /// From now on the buttons work: the story is over.
    pub(super) fn ready(&self) {
        self.ready.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.trigger.fire();
        let _ = self.serving.await;
    }
}

/// Serves the page at an address of this computer.
pub(super) async fn serve(
    world: &World,
    recorder: Arc<Recorder>,
    relays: Vec<Relay>,
    address: SocketAddr,
) -> Result<Served, CliError> {
    if !address.ip().is_loopback() {
        return Err(CliError::Local(format!("{address}: the page that explains listens on loopback alone")));
    }
    let failed = |e: std::io::Error| CliError::Local(format!("cannot listen on {address}: {e}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let ready = Arc::<AtomicBool>::default();
    let explain = Arc::new(Explain {
        recorder,
        hospital_a: Client::new(world.gateway_a.address, world.hospital_a.token().to_owned()),
        hospital_b: Client::new(world.gateway_b.address, world.hospital_b.token().to_owned()),
        relays,
        folder: world.folder.clone(),
        address,
        form: hex::encode(sealwort_proto::crypto::random::<16>()),
        captures: Mutex::new(Captures::of(&world.folder)),
        searched: Mutex::default(),
        acting: tokio::sync::Mutex::default(),
        notes: AtomicUsize::new(0),
        withdrawn: AtomicBool::new(false),
        ready: Arc::clone(&ready),
    });
    let router = Router::new()
        .route("/", get(shown))
        .route("/live", get(live))
        .route("/do/{action}", post(done))
        .route("/search", post(sought))
        .route("/spec/{section}", get(specified))
        .merge(assets::routes())
        .fallback(async || page::wrong(StatusCode::NOT_FOUND, words::NOT_THERE))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&explain), only_here))
        .with_state(explain);
    let (trigger, shutdown): (ShutdownTrigger, Shutdown) = Shutdown::channel();
    let limits = Limits { body_bytes_max: FORM_BYTES_MAX as u64, ..Limits::default() };
    let serving = tokio::spawn(async move {
        let _ = Server::new(router).limits(limits).serve(listener, shutdown).await;
    });
    Ok(Served { address, ready, trigger, serving })
}

/// What of the page is looked at. Numbers alone: nothing of a patient stands in an address.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Asked {
    chapter: Option<usize>,
    step: Option<usize>,
    /// Place of a message beside the steps in its party's capture.
    broker: Option<u64>,
    archive: Option<u64>,
    seen: Option<u64>,
}

async fn shown(State(explain): State<Arc<Explain>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = asked.map(|asked| asked.0).unwrap_or_default();
    away(move || respond(StatusCode::OK, page::whole(&explain, asked), Policy::default())).await
}

/// The part of the page that changes by itself, or nothing where nothing changed.
async fn live(State(explain): State<Arc<Explain>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = asked.map(|asked| asked.0).unwrap_or_default();
    if asked.seen == Some(explain.recorder.revision()) {
        return [("hx-reswap", "none")].into_response();
    }
    away(move || respond(StatusCode::OK, page::live(&explain, asked), Policy::default())).await
}

async fn done(State(explain): State<Arc<Explain>>, Path(action): Path<String>, body: Bytes) -> Response {
    let fields = fields(&body);
    if !explain.is_own(&fields) {
        return page::wrong(StatusCode::FORBIDDEN, words::NOT_OURS);
    }
    let Ok(action) = action.parse::<Action>() else {
        return page::wrong(StatusCode::NOT_FOUND, words::NOT_THERE);
    };
    if !explain.ready.load(std::sync::atomic::Ordering::Relaxed) {
        return page::wrong(StatusCode::SERVICE_UNAVAILABLE, words::NOT_YET);
    }
    let note = field(&fields, "note").map(str::trim).filter(|note| !note.is_empty()).unwrap_or(words::NOTE_PROPOSED);
    let chapter = explain.act(action, note).await;
    Redirect::to(&format!("/?chapter={chapter}#happened")).into_response()
}

async fn sought(State(explain): State<Arc<Explain>>, body: Bytes) -> Response {
    let fields = fields(&body);
    if !explain.is_own(&fields) {
        return page::wrong(StatusCode::FORBIDDEN, words::NOT_OURS);
    }
    let word = field(&fields, "word").unwrap_or_default().trim().to_owned();
    let chapter = field(&fields, "chapter").and_then(|chapter| chapter.parse::<usize>().ok());
    away(move || {
        let said = [Hospital::A, Hospital::B].map(|hospital| explain.recorder.messages(hospital));
        let parties = match Word::new(&word) {
            Ok(known) => {
                known.everywhere(&explain.folder, &said).map_err(|error| format!("{} {error}", words::SEARCH_FAILED))
            }
            Err(_) => Err(words::SEARCH_SHORT.to_owned()),
        };
        *locked(&explain.searched) = Some(Searched { word, parties });
        let chapter = chapter.map(|chapter| format!("?chapter={chapter}")).unwrap_or_default();
        Redirect::to(&format!("/{chapter}#search")).into_response()
    })
    .await
}

async fn specified(Path(section): Path<String>) -> Response {
    match specification::section(&section) {
        Some(text) => respond(StatusCode::OK, page::specified(text), Policy::default()),
        None => page::wrong(StatusCode::NOT_FOUND, words::NOT_THERE),
    }
}

impl Explain {
    /// Whether a form is one of this page's.
    fn is_own(&self, fields: &[(String, String)]) -> bool {
        let shown = sealwort_proto::crypto::sha256(field(fields, "form").unwrap_or_default().as_bytes());
        sealwort_proto::crypto::mac_matches(&sealwort_proto::crypto::sha256(self.form.as_bytes()), &shown)
    }

    fn searched(&self) -> Option<Searched> {
        locked(&self.searched).clone()
    }
}

/// Lets nobody in who comes by another name, as pages elsewhere could make a browser do.
async fn only_here(State(explain): State<Arc<Explain>>, request: Request<Body>, next: Next) -> Response {
    let named = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .and_then(|host| host.parse::<Authority>().ok());
    let here = named.is_some_and(|named| {
        let host = named.host().trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        loopback && named.port_u16().unwrap_or(80) == explain.address.port()
    });
    if here { next.run(request).await } else { page::wrong(StatusCode::MISDIRECTED_REQUEST, words::NOT_LOOPBACK) }
}

/// Reads files and draws away from the threads that serve connections.
async fn away(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    sealwort_net::transport::away(work)
        .await
        .unwrap_or_else(|_| page::wrong(StatusCode::INTERNAL_SERVER_ERROR, words::NOT_THERE))
}

fn fields(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a form.
const FORM_BYTES_MAX: usize = 16 << 10;
