//! One open connection: requests, and what ends it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::client::conn::http2::{Connection as Driver, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealwort_pki::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::body::ResponseBody;
use super::error::causes;
use super::stream::AlertSlot;
use super::{Endpoint, HopError, Phase, http_error};
use crate::tls::{Expectation, HopPeer, PinnedAuthority, SharedTrust};
use crate::traces::TRACEPARENT;

/// An open connection. Clones share it; it closes when the last clone and the last response body
/// are dropped.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    sender: SendRequest<Body>,
}

/// A response whose body has not been read yet.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ResponseBody,
}

/// Why a connection is closed.
#[derive(Debug, Clone)]
pub enum CloseReason {
    /// This process closed it.
    ByUs,
    /// The peer closed it, or the network broke.
    ByPeer {
        /// What was seen.
        reason: String,
    },
    /// The peer's certificate is no longer believed.
    PeerRefused(CertificateError),
    /// The peer no longer believes our certificate, and said so.
    RefusedByPeer(HopError),
}

/// What belongs to a connection from its start.
pub(super) struct Parts {
    pub(super) endpoint: Endpoint,
    pub(super) peer: Option<HopPeer>,
    pub(super) authority: Option<PinnedAuthority>,
    pub(super) key_exchange: &'static str,
    pub(super) body_timeout: Duration,
}

pub(super) struct Shared {
    parts: Parts,
    closed: watch::Receiver<Option<CloseReason>>,
    close: watch::Sender<Option<CloseReason>>,
    driver: AbortHandle,
}

impl Connection {
    /// Starts the task that drives the connection and watches its peer.
    pub(super) fn start<S>(
        parts: Parts,
        sender: SendRequest<Body>,
        driver: Driver<TokioIo<S>, Body, TokioExecutor>,
        alert: AlertSlot,
        trusted: Option<(SharedTrust, HopPeer, Expectation)>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (close, closed) = watch::channel(None);
        let ended = close.clone();
        let endpoint = parts.endpoint.clone();
        let task = tokio::spawn(async move {
            let reason = tokio::select! {
                biased;
                error = refusal(trusted.as_ref()) => {
                    tracing::warn!(%endpoint, code = error.code(), %error, "connection closed: its peer is no longer believed");
                    CloseReason::PeerRefused(error)
                }
                result = driver => match result {
                    Ok(()) => CloseReason::ByPeer { reason: "the peer ended it".to_owned() },
                    Err(failure) => match alert.get() {
                        Some(alert) => CloseReason::RefusedByPeer(HopError::RefusedByPeer {
                            endpoint,
                            alert: *alert,
                        }),
                        None => CloseReason::ByPeer { reason: causes(&failure) },
                    },
                },
            };
            note(&ended, reason);
        });
        Self { shared: Arc::new(Shared { parts, closed, close, driver: task.abort_handle() }), sender }
    }

    /// The party at the other end. There is none where a CA was reached through
    /// [`authority_client_config`](crate::tls::authority_client_config) without a revocation list
    /// in force, or through a pinned root.
    pub fn peer(&self) -> Option<&HopPeer> {
        self.shared.parts.peer.as_ref()
    }

    /// The party at the other end, or an error where [`Connection::peer`] has none.
    pub fn require_peer(&self) -> Result<&HopPeer, HopError> {
        self.peer().ok_or_else(|| HopError::Tls {
            endpoint: self.endpoint().clone(),
            reason: "its certificate was not fully verified".to_owned(),
        })
    }

    /// What was found behind a pinned root.
    pub fn pinned_authority(&self) -> Option<&PinnedAuthority> {
        self.shared.parts.authority.as_ref()
    }

    /// The key exchange that TLS negotiated: `X25519MLKEM768` between two parties of this version.
    pub fn key_exchange(&self) -> &'static str {
        self.shared.parts.key_exchange
    }

    /// Where the connection leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.parts.endpoint
    }

    /// Whether the connection is closed. An open one may be found closed by the next request.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.shared.closed.borrow().is_some()
    }

    /// Waits until the connection is closed, and says why.
    pub async fn closed(&self) -> CloseReason {
        self.shared.reason().await
    }

    /// The end of the connection, for whoever does not keep it open by waiting.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.shared.closed.clone();
        async move {
            let _ = closed.wait_for(Option::is_some).await;
        }
    }

    /// Closes the connection at once, for all its clones.
    pub fn close(&self) {
        note(&self.shared.close, CloseReason::ByUs);
        self.shared.driver.abort();
    }

    /// Sends a request to `path` (which may have a query) and waits at most `patience` for the
    /// head of its response.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Body>,
        patience: Duration,
    ) -> Result<Response, HopError> {
        let path: PathAndQuery = path.parse().map_err(|_| HopError::Http {
            endpoint: self.endpoint().clone(),
            reason: format!("`{path}` is not a path"),
        })?;
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path.into();
        self.send(request, patience).await
    }

    /// Sends a request that may have headers of its own. Scheme and authority are filled in.
    pub async fn send(&self, mut request: Request<Body>, patience: Duration) -> Result<Response, HopError> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.endpoint().authority().clone());
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts)
            .map_err(|failure| HopError::Http { endpoint: self.endpoint().clone(), reason: failure.to_string() })?;

        if let Some(trace) = crate::observe::traceparent() {
            request.headers_mut().insert(TRACEPARENT, trace);
        }

        let mut sender = self.sender.clone();
        match timeout(patience, sender.send_request(request)).await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                let shared = Arc::clone(&self.shared);
                Ok(Response { status: head.status, headers: head.headers, body: ResponseBody::new(body, shared) })
            }
            Ok(Err(failure)) => Err(self.shared.explain(&failure).await),
            Err(_) => Err(HopError::Timeout { endpoint: self.endpoint().clone(), phase: Phase::Http, after: patience }),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection")
            .field("endpoint", self.endpoint())
            .field("peer", &self.peer())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Response {
    /// Reads the whole body, of at most `limit` bytes.
    pub async fn read(self, limit: usize) -> Result<bytes::Bytes, HopError> {
        self.body.read_to_limit(limit).await
    }
}

impl Shared {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.parts.endpoint
    }

    pub(super) fn body_timeout(&self) -> Duration {
        self.parts.body_timeout
    }

    /// A failure of hyper in our own words: the connection's end explains it, if it has ended.
    pub(super) async fn explain(&self, failure: &hyper::Error) -> HopError {
        let endpoint = self.endpoint().clone();
        // The driver's task may learn of the end a moment after the request does.
        match timeout(REASON_PATIENCE, self.reason()).await {
            Ok(CloseReason::PeerRefused(error)) => HopError::PeerRefused { endpoint, error },
            Ok(CloseReason::RefusedByPeer(error)) => error,
            Ok(CloseReason::ByPeer { reason }) => HopError::Closed { endpoint, reason },
            Ok(CloseReason::ByUs) => HopError::Closed { endpoint, reason: "this process closed it".to_owned() },
            Err(_) => http_error(&endpoint, failure),
        }
    }

    async fn reason(&self) -> CloseReason {
        let mut closed = self.closed.clone();
        let reason = closed.wait_for(Option::is_some).await;
        match reason.as_deref() {
            Ok(Some(reason)) => reason.clone(),
            // The sender lives in `self`, so it is never gone.
            _ => CloseReason::ByUs,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The first reason stays.
fn note(close: &watch::Sender<Option<CloseReason>>, reason: CloseReason) {
    close.send_if_modified(|held| {
        let first = held.is_none();
        if first {
            *held = Some(reason);
        }
        first
    });
}

/// Resolves when the peer falls from trust; never where it is not watched.
async fn refusal(trusted: Option<&(SharedTrust, HopPeer, Expectation)>) -> CertificateError {
    match trusted {
        Some((trust, peer, expected)) => trust.refusal(peer.party(), expected).await,
        None => std::future::pending().await,
    }
}

const REASON_PATIENCE: Duration = Duration::from_millis(50);
