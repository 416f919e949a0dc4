//! Everything that a service receives and sends, written to a file: for an auditor who wants to see with their
//! own eyes that a broker or an archive is handed nothing readable. Off unless a file is configured.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http_body_util::BodyExt as _;

/// A file that takes copies. Clones write to the same file.
#[derive(Debug, Clone, Default)]
pub struct Capture(Option<Arc<Mutex<File>>>);

impl Capture {
    /// Appends to a file readable by its owner alone; an empty path captures nothing.
    pub fn to(path: &Path) -> std::io::Result<Self> {
        if path.as_os_str().is_empty() {
            return Ok(Self(None));
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        tracing::warn!(path = %path.display(), "every message is copied to the capture file");
        Ok(Self(Some(Arc::new(Mutex::new(file)))))
    }

    /// Copies bytes that were received, opened or sent.
    pub fn take(&self, bytes: &[u8]) {
        let Some(file) = &self.0 else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(bytes) {
            tracing::error!(%error, "the capture file cannot be written");
        }
    }

    /// Copies the bodies of all requests and responses of a router.
    pub fn around(self, router: Router) -> Router {
        if self.0.is_none() {
            return router;
        }
        router.layer(from_fn(move |request: Request, next: Next| {
            let capture = self.clone();
            async move {
                capture.take(request.uri().path().as_bytes());
                let request = request.map(|body| capture.clone().tee(body));
                let response: Response = next.run(request).await;
                response.map(|body| capture.tee(body))
            }
        }))
    }

    fn tee(self, body: Body) -> Body {
        Body::new(body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                self.take(data);
            }
            frame
        }))
    }
}
