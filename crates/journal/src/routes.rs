//! What a party answers to those who witness its log, and to those who want theirs witnessed. Checkpoints hold a size
//! and a hash alone, and signatures speak for themselves. But a proof that does not fit accuses whose log it is about, so
//! the party of a log shows it itself.

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use sealwort_audit::{AddCheckpoint, Note, Question, Refused};
use sealwort_net::observe;
use sealwort_net::tls::HopPeer;
use serde::Deserialize;

use crate::witness::{CosignError, certificates_of};
use crate::{Journal, JournalError};

/// `POST`: a caller's checkpoint (C2SP tlog-witness, *add-checkpoint*), answered by a cosignature.
pub const ADD_CHECKPOINT_PATH: &str = "/v1/log/add-checkpoint";
/// `GET`, with `old`: the own newest checkpoint, in the same form.
pub const CHECKPOINT_PATH: &str = "/v1/log/checkpoint";
/// `POST`: the own checkpoint with the caller's cosignature.
pub const COSIGNATURE_PATH: &str = "/v1/log/cosignature";
/// The sender's statement certificates: base64 of their CBOR.
pub(crate) const CERTIFICATES: HeaderName = HeaderName::from_static("sealwort-certificates");
/// Largest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024;
/// Media type of the size in a conflict (C2SP tlog-witness).
const SIZE_TYPE: &str = "text/x.tlog.size";

/// The routes, to be merged into a service's own.
pub fn routes(journal: Journal) -> Router {
    Router::new()
        .route(ADD_CHECKPOINT_PATH, post(add_checkpoint))
        .route(CHECKPOINT_PATH, get(checkpoint))
        .route(COSIGNATURE_PATH, post(cosignature))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(journal)
}

async fn add_checkpoint(
    State(journal): State<Journal>,
    peer: Option<Extension<HopPeer>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let answer = async {
        let chain = certificates_of(&headers).ok_or_else(no_certificate)?;
        let shown_by = peer.map(|Extension(peer)| peer.identity().to_string());
        if shown_by != Some(journal.believed(&chain)?.identity().to_string()) {
            return Err(CosignError::Certificate("the log is not that of the party that shows it".to_owned()));
        }
        let request: AddCheckpoint = body.parse()?;
        journal.cosign(&request, &chain).await
    };
    match answer.await {
        Ok(line) => ([(CERTIFICATES, journal.certificates())], line).into_response(),
        Err(error) => refused(&error),
    }
}

/// From which size on the caller wants it proved.
#[derive(Debug, Default, Deserialize)]
struct From {
    #[serde(default)]
    old: u64,
}

async fn checkpoint(State(journal): State<Journal>, Query(from): Query<From>) -> Response {
    match journal.shown(from.old).await {
        Ok(request) => ([(CERTIFICATES, journal.certificates())], request.to_string()).into_response(),
        Err(error) => refused(&error),
    }
}

async fn cosignature(State(journal): State<Journal>, headers: HeaderMap, body: String) -> Response {
    let answer = async {
        let chain = certificates_of(&headers).ok_or_else(no_certificate)?;
        let note: Note = body.parse().map_err(Refused::from)?;
        journal.take_cosignature(&note, &chain).await
    };
    match answer.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refused(&error),
    }
}

impl Journal {
    /// The newest checkpoint, with the proof that it continues the one of size `old`. A log that is shorter has no such
    /// proof: it shows its checkpoint without one, for the other side to judge.
    pub(crate) async fn shown(&self, old: u64) -> Result<AddCheckpoint, CosignError> {
        let newest = self.newest_checkpoint().await?.ok_or(Refused::Size(0))?;
        let note: Note = newest.note.parse().map_err(Refused::from)?;
        let proof = if old > newest.size {
            Vec::new()
        } else {
            self.answer(Question::Consistency { size: newest.size, old }).await?
        };
        Ok(AddCheckpoint { old, proof, note })
    }
}

fn no_certificate() -> CosignError {
    CosignError::Certificate("the message carries none".to_owned())
}

fn refused(error: &CosignError) -> Response {
    observe::refused(error.code());
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match error {
        CosignError::Refused(Refused::Size(size)) => {
            (status, [(header::CONTENT_TYPE, SIZE_TYPE)], format!("{size}\n")).into_response()
        }
        // What our own log's trouble is, the log says.
        CosignError::Journal(error) => (status, JournalError::text(error).to_owned()).into_response(),
        error => (status, error.to_string()).into_response(),
    }
}
