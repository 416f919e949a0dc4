//! Where spans go: into a file of the data folder, of bounded size, and to a collector. Whoever hands a span over never
//! waits; where more come than go out, some are lost, and that is counted.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

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

/// Spans that wait to be taken.
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

/// Takes spans; nothing where nobody wants them.
#[derive(Debug)]
pub(crate) struct Sink(Option<mpsc::Sender<Message>>);

#[derive(Debug)]
enum Message {
    Span(Box<Record>),
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
        let file = (config.keep.0 > 0).then(|| KeptFile::new(folder, config.keep.0));
        let collector = Collector::of(config)?;
        if file.is_none() && collector.is_none() {
            return Ok(Self(None));
        }
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Going { owner, file, collector, metrics }.run(messages));
        Ok(Self(Some(queue)))
    }

    /// Whether anybody wants spans.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span over; false where it is lost.
    pub(crate) fn take(&self, record: Record) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.try_send(Message::Span(Box::new(record))).is_ok())
    }

    /// Waits until what was handed over has gone out, for a while.
    pub(crate) async fn flush(&self) {
        let Some(queue) = &self.0 else { return };
        let (sender, done) = oneshot::channel();
        let flushed = async {
            if queue.send(Message::Flush(sender)).await.is_ok() {
                let _ = done.await;
            }
        };
        let _ = timeout(FAREWELL, flushed).await;
    }
}

/// The task behind a sink.
struct Going {
    owner: Owner,
    file: Option<KeptFile>,
    collector: Option<Collector>,
    metrics: Arc<Metrics>,
}

impl Going {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut received = Vec::with_capacity(BATCH_MAX);
        while messages.recv_many(&mut received, BATCH_MAX).await > 0 {
            let ends = Instant::now() + GATHER;
            let is_flush = |message: &Message| matches!(message, Message::Flush(_));
            while received.len() < BATCH_MAX && !received.iter().any(is_flush) {
                let room = BATCH_MAX - received.len();
                match tokio::time::timeout_at(ends, messages.recv_many(&mut received, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let (mut records, mut flushes) = (Vec::new(), Vec::new());
            for message in received.drain(..) {
                match message {
                    Message::Span(record) => records.push(*record),
                    Message::Flush(done) => flushes.push(done),
                }
            }
            self.keep(&records).await;
            if let Some(collector) = &mut self.collector {
                collector.send(records, &self.owner, &self.metrics, !flushes.is_empty()).await;
            }
            for done in flushes {
                let _ = done.send(());
            }
        }
    }

    async fn keep(&mut self, records: &[Record]) {
        let Some(mut file) = self.file.take() else { return };
        let mut lines = Vec::new();
        for record in records {
            // A span has texts and numbers alone, which JSON can hold.
            if serde_json::to_writer(&mut lines, &Kept::of(record, &self.owner.party)).is_ok() {
                lines.push(b'\n');
            }
        }
        let written = away(move || {
            let outcome = file.append(&lines);
            (file, outcome)
        });
        let Ok((file, outcome)) = written.await else { return };
        match outcome {
            Ok(()) => self.metrics.spans(Fate::Kept, records.len()),
            Err(error) => {
                self.metrics.spans(Fate::Lost, records.len());
                tracing::warn!(%error, file = %file.path.display(), "spans could not be kept");
            }
        }
        self.file = Some(file);
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

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(&self.path)?;
        if file.metadata()?.len() > 0 && file.metadata()?.len() + lines.len() as u64 > self.half {
            std::fs::rename(&self.path, &self.older)?;
            file = std::fs::OpenOptions::new().create(true).append(true).mode(OWNER_ALONE).open(&self.path)?;
        }
        file.write_all(lines)
    }
}

/// Where spans are sent.
struct Collector {
    client: WebClient,
    url: String,
    waiting: Vec<Record>,
    backoff: Backoff,
    /// When it is tried again, after it did not answer.
    not_before: Option<Instant>,
}

impl Collector {
    fn of(config: &TelemetryConfig) -> Result<Option<Self>, TelemetryError> {
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
        Ok(Some(Self { client, url, waiting: Vec::new(), backoff: Backoff::default(), not_before: None }))
    }

    /// Sends what waits. Whoever flushes does not wait for another try.
    async fn send(&mut self, records: Vec<Record>, owner: &Owner, metrics: &Metrics, is_flush: bool) {
        self.waiting.extend(records);
        let too_many = self.waiting.len().saturating_sub(WAITING_MAX);
        if too_many > 0 {
            self.waiting.drain(..too_many);
            metrics.spans(Fate::Lost, too_many);
        }
        if self.waiting.is_empty() || !is_flush && self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let message = otlp::message(&self.waiting, owner.role, &owner.party);
        match self.post(message).await {
            Ok(()) => {
                metrics.spans(Fate::Exported, self.waiting.len());
                self.waiting.clear();
                self.backoff.reset();
                self.not_before = None;
            }
            Err(error) => {
                if self.not_before.is_none() {
                    tracing::warn!(%error, url = self.url, "the collector of traces took none; they wait for it");
                }
                self.not_before = Some(Instant::now() + self.backoff.next_wait());
            }
        }
    }

    async fn post(&self, message: Vec<u8>) -> Result<(), String> {
        let request = Request::post(&self.url).header(header::CONTENT_TYPE, otlp::PROTOBUF).body(Bytes::from(message));
        let answer = self.client.send(request.map_err(|error| error.to_string())?).await;
        let status = answer.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

const OWNER_ALONE: u32 = 0o600;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_spans_does_not_outgrow_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = KeptFile::new(folder.path(), 100);
        for number in 0..20 {
            file.append(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let (newer, older) = (read(KEPT_FILE), read(OLDER_FILE));
        assert!(newer.len() + older.len() <= 100, "{newer}{older}");
        assert!(newer.ends_with("line 0019\n"), "{newer}");
        assert!(older.ends_with("line 0014\n"), "{older}");
    }
}
