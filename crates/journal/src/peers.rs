//! The caller's side of cosigning: it has its own checkpoint cosigned by whom it calls, and in return fetches that party's,
//! judges it, cosigns it and brings the cosignature back. So each pair of neighbours witnesses each other over the
//! caller's connection, and nobody has to be reached who could not be reached before.

use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use sealwort_audit::{AddCheckpoint, NoteError, Refused};
use sealwort_net::Shutdown;
use sealwort_net::client::{Body, Connection, Endpoints, HopClient, HopError, Response};
use sealwort_net::observe::{self, Observation};
use sealwort_pki::{CertificateChain, Role};
use tokio::task::JoinHandle;

use crate::Journal;
use crate::doubts::Reach;
use crate::error::JournalError;
use crate::routes::{ADD_CHECKPOINT_PATH, BODY_BYTES_MAX, CERTIFICATES, CHECKPOINT_PATH, COSIGNATURE_PATH};
use crate::witness::{CosignError, certificates_of};

/// Longest time between two rounds, though nothing was appended here.
const IDLE_EVERY: Duration = Duration::from_mins(1);
/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Times that the other side may name another size.
const ATTEMPTS_MAX: usize = 3;

/// A party that is called.
pub struct Peer {
    /// Its role.
    pub role: Role,
    /// Makes connections to it.
    pub client: HopClient,
    /// Where it is.
    pub endpoints: Endpoints,
}

/// Why a round with a peer failed. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Hop(#[from] HopError),
    #[error("it answered {status} to {path}: {text}")]
    Answer { path: &'static str, status: StatusCode, text: String },
    #[error("it holds that this party's own log was rewritten: {0}")]
    Accused(String),
    #[error("its answer carries no certificates of a {0}")]
    Certificates(Role),
    #[error(transparent)]
    Cosign(#[from] CosignError),
    #[error("its cosignature cannot be read: {0}")]
    Note(#[from] NoteError),
    #[error(transparent)]
    Request(#[from] http::Error),
}

impl From<JournalError> for RoundError {
    fn from(error: JournalError) -> Self {
        Self::Cosign(error.into())
    }
}

/// Cosigns with a peer until `shutdown`: every `every` where something was appended here, and once a minute.
pub fn spawn_cosigning(
    journal: Journal,
    peer: Peer,
    every: Duration,
    observation: &Observation,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    let observation = observation.clone();
    tokio::spawn(async move { Box::pin(observation.scope(cosign(journal, peer, every, shutdown))).await })
}

async fn cosign(journal: Journal, peer: Peer, every: Duration, shutdown: Shutdown) {
    let mut dialogue = Dialogue { journal, peer, connection: None, pushed: 0, witnessed: 0 };
    let mut last = None::<Instant>;
    let mut failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shutdown.wait() => return,
        }
        if !dialogue.has_news().await && last.is_some_and(|last| last.elapsed() < IDLE_EVERY) {
            continue;
        }
        let endpoints = dialogue.peer.endpoints.clone();
        match dialogue.round().await {
            Ok(()) => {
                last = Some(Instant::now());
                failing = false;
            }
            Err(error) => {
                dialogue.connection = None;
                if let RoundError::Cosign(error) = &error {
                    observe::refused(error.code());
                }
                match &error {
                    RoundError::Accused(_) => tracing::error!(%endpoints, %error, "the audit log was not cosigned"),
                    // Told once; it may last for as long as the other side is away.
                    error if !failing => tracing::warn!(%endpoints, %error, "audit logs were not cosigned"),
                    error => tracing::debug!(%endpoints, %error, "audit logs were not cosigned"),
                }
                failing = true;
            }
        }
    }
}

struct Dialogue {
    journal: Journal,
    peer: Peer,
    connection: Option<Connection>,
    /// Size of the own checkpoint that the peer cosigned last.
    pushed: u64,
    /// Size of the peer's that was cosigned last.
    witnessed: u64,
}

impl Dialogue {
    async fn has_news(&self) -> bool {
        let newest = self.journal.newest_checkpoint().await;
        newest.is_ok_and(|newest| newest.is_some_and(|newest| newest.size != self.pushed))
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let connection = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.peer.client.connect_any(&self.peer.endpoints).await?,
        };
        self.push(&connection).await?;
        self.pull(&connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Has the own newest checkpoint cosigned.
    async fn push(&mut self, connection: &Connection) -> Result<(), RoundError> {
        let mut old = self.pushed;
        for _ in 0..ATTEMPTS_MAX {
            let request = self.journal.shown(old).await?;
            let response = self.post(connection, ADD_CHECKPOINT_PATH, request.to_string()).await?;
            let (status, headers) = (response.status, response.headers.clone());
            let text = text_of(response).await?;
            match status {
                StatusCode::OK => {
                    let chain = self.chain(connection, &headers)?;
                    let mut note = request.note;
                    note.add(&text)?;
                    self.journal.take_cosignature(&note, &chain).await?;
                    let checkpoint = crate::writer::checkpoint_of(&note.to_string());
                    self.pushed = checkpoint.map_or(self.pushed, |checkpoint| checkpoint.size);
                    return Ok(());
                }
                StatusCode::CONFLICT => old = text.trim().parse().unwrap_or_default(),
                StatusCode::UNPROCESSABLE_ENTITY => return Err(RoundError::Accused(text)),
                status => return Err(RoundError::Answer { path: ADD_CHECKPOINT_PATH, status, text }),
            }
        }
        Err(CosignError::Refused(Refused::Size(old)).into())
    }

    /// Judges the peer's newest checkpoint, and brings it the cosignature.
    async fn pull(&mut self, connection: &Connection) -> Result<(), RoundError> {
        for _ in 0..ATTEMPTS_MAX {
            let path = format!("{CHECKPOINT_PATH}?old={}", self.witnessed);
            let response = connection.request(Method::GET, &path, Body::empty(), PATIENCE).await?;
            let (status, headers) = (response.status, response.headers.clone());
            let text = text_of(response).await?;
            if status != StatusCode::OK {
                return Err(RoundError::Answer { path: CHECKPOINT_PATH, status, text });
            }
            let chain = self.chain(connection, &headers)?;
            let mut request: AddCheckpoint = text.parse().map_err(CosignError::from)?;
            let size = crate::writer::checkpoint_of(&request.note.to_string()).map_or(0, |checkpoint| checkpoint.size);
            // Whatever it says that it was asked for.
            request.old = self.witnessed;
            let line = match self.journal.cosign_as(&request, &chain, Reach::Behind).await {
                // What this process does not remember, its store does.
                Err(CosignError::Refused(Refused::Size(size))) if size != self.witnessed => {
                    self.witnessed = size;
                    continue;
                }
                line => line?,
            };
            if size != self.witnessed {
                let mut note = request.note;
                note.add(&line)?;
                let response = self.post(connection, COSIGNATURE_PATH, note.to_string()).await?;
                let status = response.status;
                if !status.is_success() {
                    let text = text_of(response).await?;
                    return Err(RoundError::Answer { path: COSIGNATURE_PATH, status, text });
                }
                self.witnessed = size;
            }
            return Ok(());
        }
        Err(CosignError::Refused(Refused::Size(self.witnessed)).into())
    }

    async fn post(&self, connection: &Connection, path: &str, body: String) -> Result<Response, RoundError> {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header(CERTIFICATES, self.journal.certificates()).body(Body::from(body.into_bytes()))?;
        Ok(connection.send(request, PATIENCE).await?)
    }

    /// The certificates of an answer, which must be those of whom the connection leads to.
    fn chain(&self, connection: &Connection, headers: &http::HeaderMap) -> Result<CertificateChain, RoundError> {
        let missing = || RoundError::Certificates(self.peer.role);
        let chain = certificates_of(headers).ok_or_else(missing)?;
        let party = self.journal.believed(&chain)?;
        let same = connection.peer().is_none_or(|peer| peer.identity() == party.identity());
        if same && party.identity().role == self.peer.role { Ok(chain) } else { Err(missing()) }
    }
}

async fn text_of(response: Response) -> Result<String, RoundError> {
    let body = response.read(BODY_BYTES_MAX).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
