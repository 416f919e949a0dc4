//! One request's way to the router and back, with every check in between.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use hyper::body::Incoming;
use hyper::service::Service;
use tower::ServiceExt;

use super::activity::Activity;
use super::body::{BodyFault, BodyOutcome, Place, WatchedRequestBody, WatchedResponseBody};
use super::refusal::Refusal;
use super::{Shared, stall};
use crate::health::{LIVE_PATH, READY_PATH};
use crate::observe::{self, Observation};
use crate::tls::HopPeer;

/// The address that a request came from, among its extensions: that of its connection, or what a proxy says that is
/// believed ([`Server::behind`](super::Server::behind)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// A request's deadline, among its extensions: a handler that streams lifts it.
#[derive(Debug, Clone, Default)]
pub struct RequestDeadline {
    lifted: Arc<AtomicBool>,
}

impl RequestDeadline {
    /// Exempts this request from the request timeout. The limits on silence stay.
    pub fn lift(&self) {
        self.lifted.store(true, Ordering::Release);
    }

    async fn passed(&self, after: Duration) {
        tokio::time::sleep(after).await;
        if self.lifted.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    }
}

/// A layer for routes that stream for as long as it takes:
/// `.route_layer(axum::middleware::from_fn(server::streams))`.
pub async fn streams(request: Request, next: Next) -> Response {
    if let Some(deadline) = request.extensions().get::<RequestDeadline>() {
        deadline.lift();
    }
    next.run(request).await
}

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct ConnectionService {
    pub(super) shared: Arc<Shared>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: Option<HopPeer>,
    pub(super) address: SocketAddr,
}

impl Service<http::Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let service = self.clone();
        // Counted from here and not from the first poll, so that the connection is never taken
        // for idle in between.
        let mut watch = self.activity.begin();
        Box::pin(async move {
            if let Some(stall) = stall::of_this_stream() {
                watch.on_stream(stall);
            }
            let begun = service
                .shared
                .observation
                .as_ref()
                .map(|observation| observation.begin(&request, service.peer.as_ref()));
            let answered = Box::pin(service.answered(request));
            let (mut response, place) = match &begun {
                Some(begun) => begun.run(answered).await,
                None => answered.await,
            };
            if let Some(begun) = begun {
                begun.answered(response.status(), response.headers_mut());
            }
            Ok(response.map(|body| Body::new(WatchedResponseBody::new(body, watch, place))))
        })
    }
}

type Served = (Response, Option<Place>);

impl ConnectionService {
    /// The answer, which may be a refusal of the server's own.
    async fn answered(&self, request: http::Request<Incoming>) -> Served {
        self.answer(request).await.unwrap_or_else(|refusal| {
            tracing::debug!(address = %self.address, code = refusal.code(), "request refused");
            observe::refused(refusal.code());
            (refusal.response(&self.shared.refusals), None)
        })
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<Served, Refusal> {
        self.check_peer()?;
        let limits = &self.shared.limits;
        let too_large = Refusal::BodyTooLarge { limit: limits.body_bytes_max };
        if announced_bytes(&request).is_some_and(|bytes| bytes > limits.body_bytes_max) {
            return Err(too_large);
        }
        let place = self.place(request.uri().path())?;

        let outcome = BodyOutcome::default();
        let deadline = RequestDeadline::default();
        let mut request = request.map(|body| {
            let (most, patience) = (limits.body_bytes_max, limits.body_timeout);
            Body::new(WatchedRequestBody::new(body, most, patience, outcome.clone()))
        });
        let behind = self.shared.proxies.as_ref().map(|proxies| proxies.look_behind(self.address, request.headers()));
        let extensions = request.extensions_mut();
        extensions.insert(PeerAddress(behind.unwrap_or(self.address)));
        extensions.insert(deadline.clone());
        if let Some(peer) = &self.peer {
            extensions.insert(peer.clone());
        }

        let response = tokio::select! {
            Ok(response) = self.shared.router.clone().oneshot(request) => response,
            () = deadline.passed(limits.request_timeout) => return Err(Refusal::RequestTimeout),
        };
        // Whatever the handler made of a body that broke off, the peer hears the real reason.
        match outcome.fault() {
            Some(BodyFault::TooLarge) => Err(too_large),
            Some(BodyFault::TooSlow) => Err(Refusal::BodyTimeout),
            None => Ok((response, place)),
        }
    }

    /// The connection is closed when its peer falls from trust; this catches the request that is
    /// faster.
    fn check_peer(&self) -> Result<(), Refusal> {
        let trust = self.shared.tls.as_ref().and_then(|tls| tls.trust());
        if let (Some(peer), Some((trust, expected))) = (&self.peer, trust) {
            trust
                .recheck(peer.party(), &expected.borrowed())
                .map_err(|error| Refusal::PeerRefused { code: error.code() })?;
        }
        Ok(())
    }

    /// A place among the requests in flight. Probes need none: a busy server is not a dead one.
    fn place(&self, path: &str) -> Result<Option<Place>, Refusal> {
        if path == LIVE_PATH || path == READY_PATH {
            return Ok(None);
        }
        let permit = Arc::clone(&self.shared.requests).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let counted = self.shared.observation.as_ref().map(Observation::counted);
        Ok(Some(Place { _permit: permit, _counted: counted }))
    }
}

impl fmt::Debug for ConnectionService {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ConnectionService")
            .field("peer", &self.peer)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn announced_bytes<B>(request: &http::Request<B>) -> Option<u64> {
    let value = request.headers().get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}
