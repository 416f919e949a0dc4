//! What an answer rests on while it is on its way: the token of its request, with the session or approval behind it, and
//! the consent under which records were opened for it. Longer answers are handed to the connection piece by piece, and
//! once one of these has ended no further piece is: the connection, or over HTTP/2 the stream, is cut. What the network
//! has taken by then cannot be called back. A peer that takes no piece for `limits.body_timeout` is cut by the server, so
//! this looks at least that often.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use zeroize::Zeroizing;

use crate::Gateway;
use crate::authorization::Use;
use crate::open::Lease;
use crate::user::bearer;

/// Bytes that are handed over at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How often it is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What one answer rests on.
pub(crate) struct Standing {
    gateway: Weak<Gateway>,
    token: Zeroizing<String>,
    leases: Vec<Lease>,
}

/// Why an answer is cut.
#[derive(Debug, thiserror::Error)]
#[error("what the answer rested on has ended: the session, the token, or the patient's consent")]
struct Ended;

impl Standing {
    /// Of the answer to a request with these headers.
    pub(crate) fn of(gateway: &Arc<Gateway>, headers: &HeaderMap, leases: Vec<Lease>) -> Option<Self> {
        let token = Zeroizing::new(bearer(headers).ok()?.to_owned());
        Some(Self { gateway: Arc::downgrade(gateway), token, leases })
    }

    /// The content as a body that ends early once this has ended.
    pub(crate) fn body(self, content: Bytes) -> Body {
        if content.len() <= PIECE_BYTES {
            return Body::from(content);
        }
        Body::new(Guarded { rest: content, standing: self, looked: Instant::now() })
    }

    /// A body that is written while it is sent, which ends early in the same way.
    pub(crate) fn over(self, stream: Body) -> Body {
        Body::new(GuardedStream { stream, standing: self, looked: Instant::now() })
    }

    fn holds(&self) -> bool {
        let Some(gateway) = self.gateway.upgrade() else { return false };
        let now = gateway.sessions.now();
        self.leases.iter().all(|lease| lease.holds(now)) && gateway.check_token(&self.token, Use::GoesOn).is_ok()
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").field("leases", &self.leases.len()).finish_non_exhaustive()
    }
}

/// Whether it is time to look and it has ended.
fn has_ended(standing: &Standing, looked: &mut Instant) -> bool {
    if looked.elapsed() < LOOK_EVERY {
        return false;
    }
    *looked = Instant::now();
    let ended = !standing.holds();
    if ended {
        tracing::info!("an answer on its way was cut: what it rested on has ended");
    }
    ended
}

struct Guarded {
    rest: Bytes,
    standing: Standing,
    looked: Instant,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        if has_ended(&this.standing, &mut this.looked) {
            this.rest.clear();
            return Poll::Ready(Some(Err(Ended)));
        }
        let piece = this.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

struct GuardedStream {
    stream: Body,
    standing: Standing,
    looked: Instant,
}

impl http_body::Body for GuardedStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if has_ended(&this.standing, &mut this.looked) {
            this.stream = Body::empty();
            return Poll::Ready(Some(Err(axum::Error::new(Ended))));
        }
        Pin::new(&mut this.stream).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}
