//! Everything that a service receives and sends, written to a file: for an auditor who wants to see with their
//! own eyes that a broker or an archive is handed nothing readable. Off unless a file is configured.
//!
//! Beside the capture lies its index, which says where in it one piece of a message is, a line each: when it came
//! (microseconds since 1970), the number of the request that it belongs to (0 for what was opened), its kind
//! (`path`, `request`, `reply`, `opened`), where it begins, how long it is, and the request's path or `-`. A service that
//! was started again goes on with the numbers. What could not be written whole is in no line of the index.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
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
    /// Whether the index may end within a line.
    is_torn: bool,
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
        let open = |path: &Path| OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path);
        let (content, index) = (open(path)?, open(&index(path))?);
        let length = content.metadata()?.len();
        let (last, is_torn) = read_to_end(&index)?;
        tracing::warn!(path = %path.display(), "every message is copied to the capture file");
        let files = Mutex::new(Files { content, index, length, is_torn });
        Ok(Self(Some(Arc::new(Taking { files, requests: AtomicU64::new(last) }))))
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

/// The highest number of a request in an index, and whether its last line is not whole.
fn read_to_end(index: impl Read) -> std::io::Result<(u64, bool)> {
    let (mut lines, mut line) = (BufReader::new(index), Vec::new());
    let (mut last, mut is_torn) = (0, false);
    while lines.read_until(b'\n', &mut line)? > 0 {
        is_torn = !line.ends_with(b"\n");
        let number = line.split(|byte| *byte == b' ').nth(1).and_then(|field| std::str::from_utf8(field).ok());
        last = number.and_then(|field| field.parse().ok()).map_or(last, |number: u64| number.max(last));
        line.clear();
    }
    Ok((last, is_torn))
}

impl Taking {
    fn take(&self, piece: Piece, number: u64, path: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let (begin, length) = (files.length, bytes.len());
        let end = if files.is_torn { "\n" } else { "" };
        let line = format!("{end}{at} {number} {} {begin} {length} {path}\n", piece.as_str());
        if let Err(error) = files.write(bytes, &line) {
            tracing::error!(%error, "the capture file cannot be written");
        }
    }
}

impl Files {
    fn write(&mut self, bytes: &[u8], line: &str) -> std::io::Result<()> {
        let written = self.content.write_all(bytes);
        // Where not all was written, the file says how much was.
        self.length = match &written {
            Ok(()) => self.length + bytes.len() as u64,
            Err(_) => self.content.metadata().map_or(self.length, |now| now.len()),
        };
        written?;
        let noted = self.index.write_all(line.as_bytes());
        self.is_torn = noted.is_err();
        noted
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

    /// The kinds, numbers and bytes of all pieces, by the index.
    fn pieces(path: &Path) -> Vec<(String, u64, String)> {
        let content = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        let index = std::fs::read_to_string(index(path)).unwrap();
        let piece = |line: &str| {
            let fields: Vec<_> = line.split(' ').collect();
            let [_, number, kind, begin, length, _] = fields.as_slice() else { return None };
            let (begin, length): (usize, usize) = (begin.parse().unwrap(), length.parse().unwrap());
            Some(((*kind).to_owned(), number.parse().unwrap(), content.get(begin..begin + length)?.to_owned()))
        };
        index.lines().filter_map(piece).collect()
    }

    #[test]
    fn a_service_that_was_started_again_goes_on_with_the_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.capture");
        let first = Capture::to(&path).unwrap().0.unwrap();
        for (number, sent) in [(1, "one"), (12, "twelve"), (2, "two")] {
            first.take(Piece::Request, number, "/", sent.as_bytes());
        }
        first.take(Piece::Opened, 0, "-", b"opened");
        // It was killed while it wrote a line.
        std::fs::OpenOptions::new().append(true).open(index(&path)).unwrap().write_all(b"17 11 req").unwrap();
        let second = Capture::to(&path).unwrap().0.unwrap();
        assert_eq!(second.requests.load(Ordering::Relaxed), 12);
        second.take(Piece::Reply, 13, "/", b"thirteen");
        let last = pieces(&path).pop().unwrap();
        assert_eq!(last, ("reply".to_owned(), 13, "thirteen".to_owned()));
    }

    #[test]
    fn what_could_not_be_written_moves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.capture");
        let taking = Capture::to(&path).unwrap().0.unwrap();
        taking.take(Piece::Request, 1, "/", b"before");
        let swap = |of: fn(&mut Files) -> &mut File, with: File| {
            std::mem::replace(of(&mut taking.files.lock().unwrap()), with)
        };
        // Files that can only be read stand for a disk that is full.
        let content = swap(|files| &mut files.content, File::open(&path).unwrap());
        taking.take(Piece::Request, 2, "/", b"lost");
        swap(|files| &mut files.content, content);
        let kept = swap(|files| &mut files.index, File::open(index(&path)).unwrap());
        taking.take(Piece::Request, 3, "/", b"not in the index");
        swap(|files| &mut files.index, kept);
        taking.take(Piece::Request, 4, "/", b"after");
        let wanted = [("request".to_owned(), 1, "before".to_owned()), ("request".to_owned(), 4, "after".to_owned())];
        assert_eq!(pieces(&path), wanted);
    }
}
