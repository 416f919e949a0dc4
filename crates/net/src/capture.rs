//! Everything that a service receives and sends, written to a file: for an auditor who wants to see with their
//! own eyes that a broker or an archive is handed nothing readable. Off unless a file is configured.
//!
//! Beside the capture lies its index, which says where in it one piece of a message is, a line each: when it came
//! (microseconds since 1970), the number of the request that it belongs to (0 for what was opened), its kind
//! (`path`, `request`, `reply`, `opened`), where it begins, how long it is, and the request's path or `-`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http_body_util::BodyExt as _;

/// A file that takes copies. Clones write to the same file.
#[derive(Debug, Clone, Default)]
pub struct Capture(Option<Arc<Taking>>);

#[derive(Debug)]
struct Taking {
    files: Mutex<Files>,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Files {
    content: File,
    index: File,
    /// Bytes of the content so far.
    length: u64,
}

/// What a piece of a capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The path of a request.
    Path,
    /// Of the body of a request.
    Request,
    /// Of the body of an answer.
    Reply,
    /// What the service opened.
    Opened,
}

impl Piece {
    /// Its name in the index.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Opened => "opened",
        }
    }
}

impl Capture {
    /// Appends to a file readable by its owner alone, and to its index; an empty path captures nothing.
    pub fn to(path: &Path) -> std::io::Result<Self> {
        if path.as_os_str().is_empty() {
            return Ok(Self(None));
        }
        let open = |path: &Path| OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let (content, index) = (open(path)?, open(&index(path))?);
        let length = content.metadata()?.len();
        tracing::warn!(path = %path.display(), "every message is copied to the capture file");
        let files = Mutex::new(Files { content, index, length });
        Ok(Self(Some(Arc::new(Taking { files, requests: AtomicU64::new(0) }))))
    }

    /// Copies bytes that were opened.
    pub fn take(&self, bytes: &[u8]) {
        if let Some(taking) = &self.0 {
            taking.take(Piece::Opened, 0, "-", bytes);
        }
    }

    /// Copies the bodies of all requests and responses of a router.
    pub fn around(self, router: Router) -> Router {
        let Some(taking) = self.0 else { return router };
        router.layer(from_fn(move |request: Request, next: Next| {
            let taking = Arc::clone(&taking);
            async move {
                let number = taking.requests.fetch_add(1, Ordering::Relaxed) + 1;
                let path: Arc<str> = request.uri().path().into();
                taking.take(Piece::Path, number, &path, path.as_bytes());
                let request =
                    request.map(|body| tee(Arc::clone(&taking), Piece::Request, number, Arc::clone(&path), body));
                let response: Response = next.run(request).await;
                response.map(|body| tee(taking, Piece::Reply, number, path, body))
            }
        }))
    }
}

/// Where the index of a capture lies.
pub fn index(capture: &Path) -> PathBuf {
    let mut path = capture.as_os_str().to_owned();
    path.push(".index");
    path.into()
}

impl Taking {
    fn take(&self, piece: Piece, number: u64, path: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let (begin, length) = (files.length, bytes.len());
        let line = format!("{at} {number} {} {begin} {length} {path}\n", piece.as_str());
        let written = files.content.write_all(bytes).and_then(|()| files.index.write_all(line.as_bytes()));
        files.length += length as u64;
        if let Err(error) = written {
            tracing::error!(%error, "the capture file cannot be written");
        }
    }
}

fn tee(taking: Arc<Taking>, piece: Piece, number: u64, path: Arc<str>, body: Body) -> Body {
    Body::new(body.map_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            taking.take(piece, number, &path, data);
        }
        frame
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_index_says_where_each_piece_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.capture");
        std::fs::write(&path, "before").unwrap();
        let capture = Capture::to(&path).unwrap();
        capture.take(b"opened");
        capture.0.as_ref().unwrap().take(Piece::Request, 7, "/v1/channel", b"sent");
        let content = std::fs::read(&path).unwrap();
        let index = std::fs::read_to_string(index(&path)).unwrap();
        let lines: Vec<Vec<&str>> = index.lines().map(|line| line.split(' ').skip(1).collect()).collect();
        assert_eq!(lines, [["0", "opened", "6", "6", "-"], ["7", "request", "12", "4", "/v1/channel"]]);
        assert_eq!(content, b"beforeopenedsent");
    }
}
