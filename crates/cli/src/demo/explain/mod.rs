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

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::StatusCode;
use sealwort_pages::words::explain as words;
use sealwort_pages::{Policy, assets, respond};
use sealwort_proto::SessionId;
use serde::Deserialize;

use super::http::Client;
use super::local::{self, Listening, field, fields};
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
    /// Of which sessions broker and archive hold keys.
    sessions: Box<dyn Fn() -> HashSet<SessionId> + Send + Sync>,
    folder: PathBuf,
    /// Goes with each form, so that no other site's page can send one.
    form: String,
    captures: Mutex<Captures>,
    searched: Mutex<Option<Searched>>,
    acting: tokio::sync::Mutex<()>,
    searching: Arc<tokio::sync::Mutex<()>>,
    notes: AtomicUsize,
    withdrawn: AtomicBool,
    ready: Arc<AtomicBool>,
}

/// The page as it is served.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    ready: Arc<AtomicBool>,
    listener: local::Served,
}

impl Served {
    /// From now on the buttons work: the story is over.
    pub(super) fn ready(&self) {
        self.ready.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.listener.stop().await;
    }
}

/// Serves the page at an address of this computer.
pub(super) async fn serve(
    world: &World,
    recorder: Arc<Recorder>,
    relays: Vec<Relay>,
    address: SocketAddr,
) -> Result<Served, CliError> {
    let listening = Listening::at(address, "the page that explains").await?;
    let address = listening.address;
    let ready = Arc::<AtomicBool>::default();
    let (at_broker, at_archive) = (world.broker.sessions(), world.archive.sessions());
    let explain = Arc::new(Explain {
        recorder,
        hospital_a: Client::new(world.gateway_a.address, world.hospital_a.token().to_owned()),
        hospital_b: Client::new(world.gateway_b.address, world.hospital_b.token().to_owned()),
        relays,
        sessions: Box::new(move || at_broker().into_iter().chain(at_archive()).collect()),
        folder: world.folder.clone(),
        form: hex::encode(sealwort_proto::crypto::random::<16>()),
        captures: Mutex::new(Captures::of(&world.folder)),
        searched: Mutex::default(),
        acting: tokio::sync::Mutex::default(),
        searching: Arc::default(),
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
        .with_state(explain);
    let elsewhere = || page::wrong(StatusCode::MISDIRECTED_REQUEST, words::NOT_LOOPBACK);
    Ok(Served { address, ready, listener: listening.serve(router, elsewhere) })
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
    away(move || match page::live(&explain, asked) {
        Some(part) => respond(StatusCode::OK, part, Policy::default()),
        None => StatusCode::NO_CONTENT.into_response(),
    })
    .await
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
    let note = note.to_owned();
    // It goes on for who goes away in the middle: a chapter that was begun ends.
    match tokio::spawn(async move { explain.act(action, &note).await }).await {
        Ok(chapter) => Redirect::to(&format!("/?chapter={chapter}#happened")).into_response(),
        Err(_) => page::wrong(StatusCode::INTERNAL_SERVER_ERROR, words::STOPPED),
    }
}

async fn sought(State(explain): State<Arc<Explain>>, body: Bytes) -> Response {
    let fields = fields(&body);
    if !explain.is_own(&fields) {
        return page::wrong(StatusCode::FORBIDDEN, words::NOT_OURS);
    }
    let word = field(&fields, "word").unwrap_or_default().trim().to_owned();
    let chapter = field(&fields, "chapter").and_then(|chapter| chapter.parse::<usize>().ok());
    // One at a time: each reads every file of every party.
    let searching = Arc::clone(&explain.searching).lock_owned().await;
    away(move || {
        let _alone = searching;
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
        sealwort_sign_in::is_same(&self.form, field(fields, "form").unwrap_or_default())
    }

    fn searched(&self) -> Option<Searched> {
        locked(&self.searched).clone()
    }
}

/// Reads files and draws away from the threads that serve connections.
async fn away(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    sealwort_net::transport::away(work)
        .await
        .unwrap_or_else(|_| page::wrong(StatusCode::INTERNAL_SERVER_ERROR, words::NOT_THERE))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
