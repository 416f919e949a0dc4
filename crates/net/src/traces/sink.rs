//! Where spans go: into a file of the data folder, of bounded size, and to a collector. Whoever hands a span over never
//! waits; where more come than go out, some are lost, and that is counted. Neither place waits for the other.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::otlp;
use super::record::{Kept, Record};
use crate::backoff::Backoff;
use crate::client::web::{Reach, WebClient};
use crate::config::TelemetryConfig;
use crate::metrics::Metrics;
use crate::metrics::labels::Fate;
use crate::telemetry::TelemetryError;
use crate::transport::away;

/// The file of spans in a data folder.
pub const KEPT_FILE: &str = "traces.jsonl";
/// The one before it.
pub const OLDER_FILE: &str = "traces.older.jsonl";

/// The least that can be kept: each half holds whole spans, of which none has so many bytes.
const KEEP_BYTES_MIN: u64 = 64 * 1024;
/// Spans that wait to be taken, at each place.
const QUEUE_MAX: usize = 8192;
/// Spans that go out together.
const BATCH_MAX: usize = 512;
/// Spans that wait for a collector that does not answer.
const WAITING_MAX: usize = 4096;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// How long a collector has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a service that stops waits for its last spans.
const FAREWELL: Duration = Duration::from_secs(3);

/// Takes spans, for each place where they go; nothing where nobody wants them.
#[derive(Debug)]
pub(crate) struct Sink(Vec<mpsc::Sender<Message>>);

#[derive(Debug)]
enum Message {
    Span(Arc<Record>),
    /// What came before goes out now.
    Flush(oneshot::Sender<()>),
}

/// Whose spans they are.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) role: &'static str,
    pub(crate) party: Arc<str>,
}

impl Sink {
    /// Opens it as configured. Needs a runtime where spans are wanted.
    pub(crate) fn open(
        owner: Owner,
        config: &TelemetryConfig,
        folder: &Path,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TelemetryError> {
        let mut queues = Vec::new();
        if (1..KEEP_BYTES_MIN).contains(&config.keep.0) {
            return Err(TelemetryError::Keep);
        }
        if config.keep.0 > 0 {
            let (queue, spans) = mpsc::channel(QUEUE_MAX);
            let file = KeptFile::new(folder, config.keep.0);
            tokio::spawn(keep(spans, file, owner.clone(), Arc::clone(&metrics)));
            queues.push(queue);
        }
        if let Some(collector) = Collector::of(config, owner, metrics)? {
            let (queue, spans) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(export(spans, collector));
            queues.push(queue);
        }
        Ok(Self(queues))
    }

    /// Whether anybody wants spans.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Hands a span over; false where it is lost to a place.
    pub(crate) fn take(&self, record: Record) -> bool {
        let record = Arc::new(record);
        let mut all_took = true;
        for queue in &self.0 {
            all_took &= queue.try_send(Message::Span(Arc::clone(&record))).is_ok();
        }
        all_took
    }

    /// Waits until what was handed over has gone out, for a while.
    pub(crate) async fn flush(&self) {
        let flushed = async {
            let mut waiting = Vec::new();
            for queue in &self.0 {
                let (sender, done) = oneshot::channel();
                if queue.send(Message::Flush(sender)).await.is_ok() {
                    waiting.push(done);
                }
            }
            for done in waiting {
                let _ = done.await;
            }
        };
        let _ = timeout(FAREWELL, flushed).await;
    }
}

/// Spans that go out together, and who waits for that.
struct Batch {
    records: Vec<Arc<Record>>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// What comes within a while; nothing once nobody hands over any more.
    async fn next(messages: &mut mpsc::Receiver<Message>) -> Option<Self> {
        let mut received = Vec::with_capacity(BATCH_MAX);
        if messages.recv_many(&mut received, BATCH_MAX).await == 0 {
            return None;
        }
        let ends = Instant::now() + GATHER;
        let is_flush = |message: &Message| matches!(message, Message::Flush(_));
        while received.len() < BATCH_MAX && !received.iter().any(is_flush) {
            let room = BATCH_MAX - received.len();
            match timeout_at(ends, messages.recv_many(&mut received, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let mut batch = Self { records: Vec::new(), flushes: Vec::new() };
        for message in received {
            match message {
                Message::Span(record) => batch.records.push(record),
                Message::Flush(done) => batch.flushes.push(done),
            }
        }
        Some(batch)
    }

    /// It has gone out, as far as it could.
    fn done(self) {
        for done in self.flushes {
            let _ = done.send(());
        }
    }
}

/// Keeps spans in the file.
async fn keep(mut spans: mpsc::Receiver<Message>, mut file: KeptFile, owner: Owner, metrics: Arc<Metrics>) {
    while let Some(batch) = Batch::next(&mut spans).await {
        let mut lines = Vec::new();
        for record in &batch.records {
            // A span has texts and numbers alone, which JSON can hold.
            if serde_json::to_writer(&mut lines, &Kept::of(record, &owner.party)).is_ok() {
                lines.push(b'\n');
            }
        }
        let written = away(move || {
            let outcome = file.append(&lines);
            (file, outcome)
        });
        let Ok((again, outcome)) = written.await else { return };
        file = again;
        match outcome {
            Ok(()) => metrics.spans(Fate::Kept, batch.records.len()),
            Err(error) => {
                metrics.spans(Fate::Lost, batch.records.len());
                tracing::warn!(%error, file = %file.path.display(), "spans could not be kept");
            }
        }
        batch.done();
    }
}

/// The file, and the one before it: each takes half of what may be kept.
struct KeptFile {
    path: PathBuf,
    older: PathBuf,
    half: u64,
}

impl KeptFile {
    fn new(folder: &Path, bytes: u64) -> Self {
        Self { path: folder.join(KEPT_FILE), older: folder.join(OLDER_FILE), half: bytes / 2 }
    }

    /// Appends whole lines, as many at once as a file may hold.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut begin, mut end) = (0, 0);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if (end - begin + line.len()) as u64 > self.half {
                self.append_piece(lines.get(begin..end).unwrap_or_default())?;
                begin = end;
            }
            end += line.len();
        }
        self.append_piece(lines.get(begin..).unwrap_or_default())
    }

    fn append_piece(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(&self.path)?;
        if file.metadata()?.len() > 0 && file.metadata()?.len() + lines.len() as u64 > self.half {
            std::fs::rename(&self.path, &self.older)?;
            file = std::fs::OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(&self.path)?;
        }
        file.write_all(lines)
    }
}

/// Sends spans to the collector.
async fn export(mut spans: mpsc::Receiver<Message>, mut collector: Collector) {
    while let Some(mut batch) = Batch::next(&mut spans).await {
        let records = std::mem::take(&mut batch.records);
        collector.send(records, !batch.flushes.is_empty()).await;
        batch.done();
    }
}

/// Where spans are sent.
struct Collector {
    client: WebClient,
    url: String,
    owner: Owner,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Arc<Record>>,
    /// So many go in one message.
    piece: usize,
    backoff: Backoff,
    /// When it is tried again, after it did not answer.
    not_before: Option<Instant>,
    /// Whether the log says that it takes none.
    is_told: bool,
}

/// Why a collector did not take a message.
enum Untaken {
    /// It may take it later.
    Away(String),
    /// It is too large.
    TooLarge(String),
    /// It never will.
    Refused(String),
}

impl Collector {
    fn of(config: &TelemetryConfig, owner: Owner, metrics: Arc<Metrics>) -> Result<Option<Self>, TelemetryError> {
        if config.endpoint.is_empty() {
            return if config.ca_file.as_os_str().is_empty() {
                Ok(None)
            } else {
                Err(TelemetryError::Collector("telemetry.ca_file is for an endpoint, and there is none".to_owned()))
            };
        }
        let authorities = (!config.ca_file.as_os_str().is_empty()).then_some(config.ca_file.as_path());
        let url = format!("{}{}", config.endpoint.trim_end_matches('/'), otlp::PATH);
        let client = WebClient::new(authorities, Reach::Inside).map_err(TelemetryError::Collector)?.patience(PATIENCE);
        client.check(&url).map_err(|error| TelemetryError::Collector(error.to_string()))?;
        Ok(Some(Self {
            client,
            url,
            owner,
            metrics,
            waiting: VecDeque::new(),
            piece: BATCH_MAX,
            backoff: Backoff::default(),
            not_before: None,
            is_told: false,
        }))
    }

    /// Sends what waits. Whoever flushes does not wait for another try.
    async fn send(&mut self, records: Vec<Arc<Record>>, is_flush: bool) {
        self.waiting.extend(records);
        self.lose(self.waiting.len().saturating_sub(WAITING_MAX));
        if !is_flush && self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        while !self.waiting.is_empty() {
            let count = self.piece.min(self.waiting.len());
            let piece = self.waiting.iter().take(count).map(Arc::as_ref);
            let message = otlp::message(piece, self.owner.role, &self.owner.party);
            match self.post(message).await {
                Ok(()) => {
                    self.metrics.spans(Fate::Exported, count);
                    self.waiting.drain(..count);
                    self.backoff.reset();
                    (self.not_before, self.is_told) = (None, false);
                }
                Err(Untaken::TooLarge(_)) if count > 1 => self.piece = count / 2,
                Err(Untaken::TooLarge(error) | Untaken::Refused(error)) => {
                    self.tell(&error, "the collector of traces refused some; they are lost");
                    self.lose(count);
                }
                Err(Untaken::Away(error)) => {
                    self.tell(&error, "the collector of traces took none; they wait for it");
                    self.not_before = Some(Instant::now() + self.backoff.next_wait());
                    return;
                }
            }
        }
    }

    /// Those that have waited longest are lost.
    fn lose(&mut self, count: usize) {
        if count > 0 {
            self.waiting.drain(..count);
            self.metrics.spans(Fate::Lost, count);
        }
    }

    /// Says it once, until it takes some again.
    fn tell(&mut self, error: &str, what: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(error, url = self.url, "{what}");
        }
    }

    /// Which answers mean that it may take the same later: OTLP 1.x, "OTLP/HTTP Response".
    async fn post(&self, message: Vec<u8>) -> Result<(), Untaken> {
        let request = Request::post(&self.url).header(header::CONTENT_TYPE, otlp::PROTOBUF).body(Bytes::from(message));
        let request = request.map_err(|error| Untaken::Refused(error.to_string()))?;
        let answer = self.client.send(request).await.map_err(|error| Untaken::Away(error.to_string()))?;
        let status = answer.status();
        let told = format!("it answered {status}");
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::PAYLOAD_TOO_LARGE => Err(Untaken::TooLarge(told)),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Untaken::Away(told)),
            _ => Err(Untaken::Refused(told)),
        }
    }
}

const OWNER_ALONE: u32 = 0o600;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sealwort_pki::Role;

    use super::*;
    use crate::config::ByteCount;
    use crate::metrics::labels::Work;
    use crate::traces::{Context, Name};

    #[test]
    fn a_file_of_spans_does_not_outgrow_its_bytes() {
        // One by one, and all at once.
        for together in [1, 20] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = KeptFile::new(folder.path(), 100);
            let lines: Vec<String> = (0..20).map(|number| format!("line {number:04}\n")).collect();
            for lines in lines.chunks(together) {
                file.append(lines.concat().as_bytes()).unwrap();
            }
            let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
            let (newer, older) = (read(KEPT_FILE), read(OLDER_FILE));
            assert!(newer.len() + older.len() <= 100, "{newer}{older}");
            assert!(newer.ends_with("line 0019\n"), "{newer}");
            assert!(older.ends_with("line 0014\n"), "{older}");
        }
    }

    #[test]
    fn too_little_to_keep_is_refused() {
        let config = TelemetryConfig { keep: ByteCount(KEEP_BYTES_MIN - 1), ..TelemetryConfig::default() };
        let folder = tempfile::tempdir().unwrap();
        let refused = Sink::open(owner(), &config, folder.path(), Arc::new(Metrics::new(Role::Broker)));
        assert!(matches!(refused, Err(TelemetryError::Keep)));
    }

    #[tokio::test]
    async fn what_a_collector_will_never_take_is_not_sent_again() {
        // It takes small messages, but not the second one of them.
        let (url, taken) = collector(|number, bytes| match number {
            _ if bytes > SMALL_BYTES => 413,
            4 => 400,
            5 => 503,
            _ => 200,
        });
        let metrics = Arc::new(Metrics::new(Role::Broker));
        let config = TelemetryConfig { endpoint: url, ..TelemetryConfig::default() };
        let mut collector = Collector::of(&config, owner(), Arc::clone(&metrics)).unwrap().unwrap();
        collector.send((0..300).map(|_| Arc::new(record())).collect(), false).await;
        let told = |fate: &str, count: usize| {
            let line = format!("sealwort_spans_total{{role=\"broker\",fate=\"{fate}\"}} {count}\n");
            let text = metrics.text([]);
            assert!(text.contains(&line), "{line} is not in\n{text}");
        };
        // 300 and 150 are too many; of 75 each the first go, the second are refused, and for the third it is busy.
        told("exported", 75);
        told("lost", 75);
        assert_eq!(collector.waiting.len(), 150);
        collector.send(Vec::new(), true).await;
        told("exported", 225);
        told("lost", 75);
        assert!(collector.waiting.is_empty());
        assert_eq!(taken.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn a_collector_that_is_silent_loses_nothing_that_is_kept() {
        // It takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let config = TelemetryConfig { endpoint, keep: ByteCount(64 << 20), ..TelemetryConfig::default() };
        let metrics = Arc::new(Metrics::new(Role::Broker));
        let sink = Sink::open(owner(), &config, folder.path(), Arc::clone(&metrics)).unwrap();
        let begun = Instant::now();
        for batch in 1..=2 * QUEUE_MAX / BATCH_MAX {
            for _ in 0..BATCH_MAX {
                sink.take(record());
            }
            let kept = || std::fs::read_to_string(folder.path().join(KEPT_FILE)).unwrap_or_default();
            while kept().lines().count() < batch * BATCH_MAX {
                assert!(begun.elapsed() < PATIENCE, "the file waits for the collector");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Of a message of about a hundred such spans.
    const SMALL_BYTES: usize = 5_000;

    fn owner() -> Owner {
        Owner { role: "broker", party: "test/broker/broker".into() }
    }

    fn record() -> Record {
        Record {
            context: Context::new_trace(),
            parent: None,
            name: Name::Store(Work::Append),
            start: std::time::SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            refused: None,
            attributes: Vec::new(),
            names: Vec::new(),
        }
    }

    /// A collector that answers by the number of a message, from one, and its bytes.
    fn collector(answer: impl Fn(usize, usize) -> u16 + Send + 'static) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut request, mut piece) = (Vec::new(), [0; 4096]);
                let length = loop {
                    let read = stream.read(&mut piece).unwrap();
                    assert!(read > 0, "a request that was cut off");
                    request.extend_from_slice(piece.get(..read).unwrap());
                    let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    let length: usize = length.parse().unwrap();
                    let body = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                    if request.len() >= body + length {
                        break length;
                    }
                };
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let status = answer(number, length);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (url, taken)
    }
}
