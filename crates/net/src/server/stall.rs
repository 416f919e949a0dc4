//! Peers that do not read. A piece of a response that waits too long for its peer ends its
//! stream, and over HTTP/1 the connection. Over HTTP/2 the other streams must live on: a broker
//! carries many hospitals over one connection to the archive, and one of them that stops reading
//! may not stop the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Instant;

/// Since when a response waits for its peer to take the last piece.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Mutex<Option<Instant>>,
}

impl Stall {
    /// A piece was handed over.
    pub(super) fn begin(&self) {
        self.set(Some(Instant::now()));
    }

    /// The peer took it.
    pub(super) fn end(&self) {
        self.set(None);
    }

    /// Whether the peer lets us wait for longer than `patience`.
    pub(super) fn exceeds(&self, patience: Duration, now: Instant) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now >= since + patience)
    }

    /// How often to look: a wait may begin at any time, and tells nobody.
    pub(super) fn look_every(patience: Duration) -> Duration {
        (patience / LOOKS_PER_TIMEOUT).max(SHORTEST_LOOK)
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Runs the streams of an HTTP/2 connection, and drops one whose peer does not read, which resets
/// that stream alone.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor {
    patience: Duration,
}

impl StreamExecutor {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stall = Arc::new(Stall::default());
        let patience = self.patience;
        tokio::spawn(STREAM.scope(Arc::clone(&stall), async move {
            tokio::pin!(stream);
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stream => return,
                    () = tokio::time::sleep(Stall::look_every(patience)) => {}
                }
                if stall.exceeds(patience, Instant::now()) {
                    tracing::debug!("stream reset: the peer does not read its response");
                    return;
                }
            }
        }));
    }
}

/// The stall of the HTTP/2 stream that this task serves; none over HTTP/1.
pub(super) fn of_this_stream() -> Option<Arc<Stall>> {
    STREAM.try_with(Arc::clone).ok()
}

tokio::task_local! {
    static STREAM: Arc<Stall>;
}

const LOOKS_PER_TIMEOUT: u32 = 4;
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
