//! Request and response bodies under watch: a request body may not stall or grow past its limit,
//! a response body tells whether it waits for the peer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::activity::InFlight;
use crate::observe::Counted;

/// Errors of any kind, as axum's bodies carry them.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a request body, seen by whoever serves the request.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyOutcome {
    state: Arc<AtomicU8>,
}

/// A fault of the peer in sending a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    TooLarge,
    TooSlow,
}

impl BodyOutcome {
    pub(super) fn fault(&self) -> Option<BodyFault> {
        match self.state.load(Ordering::Acquire) {
            TOO_LARGE => Some(BodyFault::TooLarge),
            TOO_SLOW => Some(BodyFault::TooSlow),
            _ => None,
        }
    }

    fn set(&self, fault: BodyFault) {
        let state = match fault {
            BodyFault::TooLarge => TOO_LARGE,
            BodyFault::TooSlow => TOO_SLOW,
        };
        self.state.store(state, Ordering::Release);
    }
}

/// Told to a handler whose request body exceeded the limit; the peer is answered with 413.
#[derive(Debug, thiserror::Error)]
#[error("the request body is larger than this server takes")]
struct TooLarge;

/// Told to a handler whose request body stalled; the peer is answered with 408.
#[derive(Debug, thiserror::Error)]
#[error("the request body came too slowly")]
struct TooSlow;

/// A request body with a limit on its bytes and on the wait for each piece.
pub(super) struct WatchedRequestBody<B> {
    inner: B,
    left: u64,
    patience: Duration,
    wait: Option<Pin<Box<Sleep>>>,
    outcome: BodyOutcome,
}

impl<B> WatchedRequestBody<B> {
    pub(super) fn new(inner: B, bytes_max: u64, patience: Duration, outcome: BodyOutcome) -> Self {
        Self { inner, left: bytes_max, patience, wait: None, outcome }
    }
}

impl<B> HttpBody for WatchedRequestBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else {
            // The clock runs only while the handler waits for us.
            let patience = this.patience;
            let wait = this.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            ready!(wait.as_mut().poll(context));
            this.outcome.set(BodyFault::TooSlow);
            return Poll::Ready(Some(Err(Box::new(TooSlow))));
        };
        this.wait = None;
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            let Some(left) = this.left.checked_sub(data.remaining() as u64) else {
                this.outcome.set(BodyFault::TooLarge);
                return Poll::Ready(Some(Err(Box::new(TooLarge))));
            };
            this.left = left;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A place among the requests that a server takes at once, and that it is counted as taken.
pub(super) struct Place {
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _counted: Option<Counted>,
}

/// A response body that holds its request's place until it is sent.
pub(super) struct WatchedResponseBody {
    inner: Body,
    watch: InFlight,
    _place: Option<Place>,
}

impl WatchedResponseBody {
    pub(super) fn new(inner: Body, watch: InFlight, place: Option<Place>) -> Self {
        Self { inner, watch, _place: place }
    }
}

impl HttpBody for WatchedResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            // hyper asks for the next piece once the peer has made room for it.
            Poll::Ready(Some(Ok(_))) => self.watch.waits_for_peer(),
            _ => self.watch.waits_for_handler(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;
