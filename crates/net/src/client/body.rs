//! A response body as it arrives. It can be read piece by piece, read whole up to a limit, or
//! handed on as the body of another request or response without being gathered in memory.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::connection::Shared;
use super::{HopError, Phase};

/// The body of a response. It keeps its connection open.
pub struct ResponseBody {
    inner: Incoming,
    shared: Arc<Shared>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, shared: Arc<Shared>) -> Self {
        Self { inner, shared, wait: None }
    }

    /// The next piece; `None` at the end. Trailers are passed over.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, HopError>> {
        loop {
            match self.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(self.explain(error).await)),
            }
        }
    }

    /// The whole body, of at most `limit` bytes.
    pub async fn read_to_limit(mut self, limit: usize) -> Result<Bytes, HopError> {
        let too_large = |endpoint| HopError::BodyTooLarge { endpoint, limit };
        let announced = self.inner.size_hint().lower();
        if announced > limit as u64 {
            return Err(too_large(self.shared.endpoint().clone()));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            if chunk.len() > limit - whole.len() {
                return Err(too_large(self.shared.endpoint().clone()));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The body for a handler's response or another request. Pieces go through as they come.
    pub fn into_body(self) -> axum::body::Body {
        axum::body::Body::new(self)
    }

    async fn explain(&self, error: BodyError) -> HopError {
        match error {
            BodyError::Hyper(failure) => self.shared.explain(&failure).await,
            BodyError::Timeout(error) => error,
        }
    }
}

/// Why a response body broke off, before its cause is looked up.
#[derive(Debug, thiserror::Error)]
#[doc(hidden)]
pub enum BodyError {
    #[error(transparent)]
    Hyper(hyper::Error),
    #[error(transparent)]
    Timeout(HopError),
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.wait = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Hyper)));
        }
        let after = this.shared.body_timeout();
        let wait = this.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        match wait.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Timeout(HopError::Timeout {
                endpoint: this.shared.endpoint().clone(),
                phase: Phase::Body,
                after,
            })))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ResponseBody").field("endpoint", self.shared.endpoint()).finish_non_exhaustive()
    }
}
