//! `sealwort put`: writes FHIR files through a gateway, each with one request, and sums up what became of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::{Method, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::client::{ClientArgs, FHIR_JSON, GatewayClient, Question, encode, refusal};
use crate::error::{CliError, Refused};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// FHIR R4 files in JSON: Bundles, or single resources.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

/// What became of the files.
#[derive(Debug, Default, Serialize)]
struct Summary {
    files: usize,
    resources: usize,
    /// Of those, how many wait in the gateway's outbox because the exchange is away.
    queued: usize,
    bytes: usize,
    duration_ms: u128,
    results: Vec<Written>,
}

/// What became of one file.
#[derive(Debug, Serialize)]
struct Written {
    file: PathBuf,
    status: u16,
    resources: usize,
    queued: usize,
    /// Entries that were refused.
    refused: usize,
    bytes: usize,
    duration_ms: u128,
    /// Why the first of them was.
    #[serde(skip)]
    reason: Option<(u16, Refused)>,
}

pub(crate) async fn run(args: PutArgs, output: Output) -> Result<(), CliError> {
    let mut client = args.client.client()?;
    // A gateway that does not know us would close the connection in the middle of a file, before we can read why.
    client.ask(Question::get("/status")).await?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    let mut failure = None;
    for file in &args.files {
        match put(&mut client, file, output).await {
            Ok(written) => summary.add(written),
            Err(error) => {
                failure = Some(error.during(&file.display().to_string()));
                break;
            }
        }
    }
    summary.duration_ms = begun.elapsed().as_millis();
    output.data(&summary, || summary.to_string())?;
    failure.or_else(|| summary.refusal()).map_or(Ok(()), Err)
}

async fn put(client: &mut GatewayClient, file: &Path, output: Output) -> Result<Written, CliError> {
    let content = read(file)?;
    let resource: Outline = serde_json::from_slice(&content)
        .map_err(|error| CliError::Local(format!("it is not a FHIR resource in JSON: {error}")))?;
    let (method, path) = resource.request();
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let bytes = content.len();
    let progress = output.progress(name, Some(bytes as u64));
    let begun = Instant::now();
    let question = Question { method, progress, ..Question::post(&path, FHIR_JSON, content) };
    let answer = client.ask(question).await?;
    let mut written = Written {
        file: file.to_owned(),
        status: answer.status.as_u16(),
        resources: resource.resources(),
        queued: 0,
        refused: 0,
        bytes,
        duration_ms: begun.elapsed().as_millis(),
        reason: None,
    };
    if answer.status == StatusCode::ACCEPTED {
        written.queued = written.resources;
    } else if resource.is_bundle() {
        written.count(&answer.body);
    }
    Ok(written)
}

fn read(file: &Path) -> Result<Bytes, CliError> {
    let unreadable = |error: std::io::Error| CliError::Local(format!("it cannot be read: {error}"));
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        return Err(CliError::Local(format!("it has {length} bytes, more than {FILE_BYTES_MAX}; split it")));
    }
    std::fs::read(file).map(Bytes::from).map_err(unreadable)
}

/// As much of a file as decides where it goes.
#[derive(Deserialize)]
struct Outline {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: Option<String>,
    #[serde(default)]
    entry: Vec<OutlineEntry>,
}

#[derive(Deserialize)]
struct OutlineEntry {
    resource: Option<IgnoredAny>,
}

impl Outline {
    fn is_bundle(&self) -> bool {
        self.resource_type == "Bundle"
    }

    /// A Bundle goes to the base; a resource to its id, or to its type where it has none.
    fn request(&self) -> (Method, String) {
        match &self.id {
            _ if self.is_bundle() => (Method::POST, "/fhir".to_owned()),
            Some(id) => (Method::PUT, format!("/fhir/{}/{}", encode(&self.resource_type), encode(id))),
            None => (Method::POST, format!("/fhir/{}", encode(&self.resource_type))),
        }
    }

    fn resources(&self) -> usize {
        if self.is_bundle() { self.entry.iter().filter(|entry| entry.resource.is_some()).count() } else { 1 }
    }
}

/// As much of a Bundle's answer as tells what became of its entries.
#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    entry: Vec<AnsweredEntry>,
}

#[derive(Deserialize)]
struct AnsweredEntry {
    response: Option<EntryResponse>,
}

#[derive(Deserialize)]
struct EntryResponse {
    status: String,
    outcome: Option<serde_json::Value>,
}

impl Written {
    fn count(&mut self, body: &[u8]) {
        // An answer without entries tells of the Bundle as a whole, and its status said yes.
        let Ok(answered) = serde_json::from_slice::<Answered>(body) else { return };
        for response in answered.entry.into_iter().filter_map(|entry| entry.response) {
            let status = response.status.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            match status.and_then(|status| StatusCode::from_u16(status).ok()) {
                Some(StatusCode::ACCEPTED) => self.queued += 1,
                Some(status) if !status.is_success() => {
                    self.refused += 1;
                    let outcome = response.outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
                    self.reason.get_or_insert_with(|| (status.as_u16(), refusal(status, outcome.as_bytes())));
                }
                _ => {}
            }
        }
        self.resources = self.resources.saturating_sub(self.refused);
    }
}

impl Summary {
    fn add(&mut self, written: Written) {
        self.files += 1;
        self.resources += written.resources;
        self.queued += written.queued;
        self.bytes += written.bytes;
        self.results.push(written);
    }

    /// The failure that refused entries amount to.
    fn refusal(&self) -> Option<CliError> {
        let refused: usize = self.results.iter().map(|written| written.refused).sum();
        let first = self.results.iter().find_map(|written| written.reason.as_ref().map(|reason| (written, reason)));
        first.map(|(written, (status, reason))| {
            let what = format!("{refused} entries were refused, the first in {}", written.file.display());
            CliError::refused(Some(*status), reason.clone()).during(&what)
        })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let duration = Duration::from_millis(u64::try_from(self.duration_ms).unwrap_or(u64::MAX));
        write!(out, "{} files, {} resources, {} bytes in {duration:?}", self.files, self.resources, self.bytes)?;
        if self.queued > 0 {
            write!(out, "; {} wait in the outbox until the exchange is back", self.queued)?;
        }
        Ok(())
    }
}

const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_goes_where_its_kind_belongs() {
        for (json, method, path, resources) in [
            (
                r#"{"resourceType":"Bundle","id":"x","entry":[{"resource":{}},{"request":{}}]}"#,
                Method::POST,
                "/fhir",
                1,
            ),
            (r#"{"resourceType":"Patient","id":"p1"}"#, Method::PUT, "/fhir/Patient/p1", 1),
            (r#"{"resourceType":"Patient"}"#, Method::POST, "/fhir/Patient", 1),
            (r#"{"resourceType":"Patient","id":"../x"}"#, Method::PUT, "/fhir/Patient/..%2Fx", 1),
        ] {
            let outline: Outline = serde_json::from_str(json).unwrap();
            assert_eq!(outline.request(), (method, path.to_owned()), "{json}");
            assert_eq!(outline.resources(), resources, "{json}");
        }
    }

    #[test]
    fn refused_entries_decide_the_exit_code() {
        let mut written = Written {
            file: "b.json".into(),
            status: 200,
            resources: 3,
            queued: 0,
            refused: 0,
            bytes: 1,
            duration_ms: 1,
            reason: None,
        };
        written.count(
            br#"{"entry":[{"response":{"status":"201 Created"}},{"response":{"status":"202"}},
            {"response":{"status":"403 Forbidden","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":
            "error","code":"forbidden","details":{"coding":[{"code":"consent-missing"}],"text":"no"}}]}}}]}"#,
        );
        let mut summary = Summary::default();
        summary.add(written);
        assert_eq!((summary.resources, summary.queued), (2, 1));
        let error = summary.refusal().unwrap();
        assert_eq!((error.exit_code(), error.code()), (3, "consent-missing"));
    }
}
