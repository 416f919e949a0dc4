//! Bundles that we answer with. Resources are copied into them byte for byte: what was received is
//! what is returned, white space and digits included.

use std::borrow::Cow;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::{BundleKind, Outcome, Resource};

/// The datatype `instant`, to the millisecond.
const INSTANT: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Why a resource is in a searchset (value set `search-entry-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMode {
    /// It matches the search.
    Match,
    /// It was asked for along with a match.
    Include,
    /// It says something about the search.
    Outcome,
}

impl SearchMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Include => "include",
            Self::Outcome => "outcome",
        }
    }
}

/// An entry of a searchset.
#[derive(Clone, Debug)]
pub struct SearchEntry<'a> {
    /// The resource's URL on this server; none for an OperationOutcome.
    pub full_url: Option<String>,
    /// The resource's bytes.
    pub content: Cow<'a, [u8]>,
    /// Why it is here.
    pub mode: SearchMode,
}

/// Links from one page of a searchset.
#[derive(Clone, Debug, Default)]
pub struct PageLinks {
    /// The search as the server understood it.
    pub this: String,
    /// The next page, where there is one.
    pub next: Option<String>,
}

/// A searchset. `total` counts all matches, on this page or not, and is left out where unknown.
pub fn searchset(entries: &[SearchEntry<'_>], links: &PageLinks, total: Option<u64>) -> Vec<u8> {
    let size: usize = entries.iter().map(|entry| entry.content.len() + 160).sum();
    let mut out = Writer::new(BundleKind::Searchset, size);
    out.head(links, total);
    for entry in entries {
        out.entry();
        out.raw(b"{");
        if let Some(full_url) = &entry.full_url {
            out.raw(b"\"fullUrl\":");
            out.text(full_url);
            out.raw(b",");
        }
        out.raw(b"\"resource\":");
        out.raw(&entry.content);
        out.raw(format!(",\"search\":{{\"mode\":\"{}\"}}}}", entry.mode.as_str()).as_bytes());
    }
    out.finish()
}

/// A version in a history (R4, http.html#history).
#[derive(Clone, Debug)]
pub struct HistoryEntry<'a> {
    /// The resource's URL on this server.
    pub full_url: String,
    /// The same, relative to the base.
    pub url: String,
    /// The resource's bytes; none for a deletion.
    pub content: Option<&'a [u8]>,
    /// The version's number, from 1.
    pub version: u64,
    /// When it was written.
    pub changed: Option<OffsetDateTime>,
}

/// A history, the newest version first. `total` counts all versions, on this page or not.
pub fn history(entries: &[HistoryEntry<'_>], links: &PageLinks, total: u64) -> Vec<u8> {
    let size: usize = entries.iter().map(|entry| entry.content.map_or(0, <[u8]>::len) + 256).sum();
    let mut out = Writer::new(BundleKind::History, size);
    out.head(links, Some(total));
    for entry in entries {
        out.entry();
        out.raw(b"{\"fullUrl\":");
        out.text(&entry.full_url);
        if let Some(content) = entry.content {
            out.raw(b",\"resource\":");
            out.raw(content);
        }
        let (method, status) = match (entry.content, entry.version) {
            (None, _) => ("DELETE", 204),
            (Some(_), 1) => ("PUT", 201),
            (Some(_), _) => ("PUT", 200),
        };
        out.raw(format!(",\"request\":{{\"method\":\"{method}\",\"url\":").as_bytes());
        out.text(&entry.url);
        out.raw(b"},\"response\":{\"status\":");
        out.text(&status_line(status));
        out.raw(b",\"etag\":");
        out.text(&format!("W/\"{}\"", entry.version));
        if let Some(changed) = entry.changed {
            out.raw(b",\"lastModified\":");
            out.text(&instant(changed));
        }
        out.raw(b"}}");
    }
    out.finish()
}

/// A collection of resources, for instance of those that came one in each line of bulk data.
pub fn collection<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Vec<u8> {
    let mut out = Writer::new(BundleKind::Collection, 0);
    for resource in resources {
        out.entry();
        out.raw(b"{\"resource\":");
        out.raw(resource.bytes());
        out.raw(b"}");
    }
    out.finish()
}

/// What became of one entry of a transaction or batch.
#[derive(Clone, Debug, Default)]
pub struct ResponseEntry<'a> {
    /// The HTTP status; the reason is added for statuses that FHIR servers use.
    pub status: u16,
    /// The resource's version-specific URL.
    pub location: Option<String>,
    /// The version, as `W/"3"`.
    pub etag: Option<String>,
    /// When the version came to be.
    pub last_modified: Option<OffsetDateTime>,
    /// What to know about it.
    pub outcome: Option<Outcome>,
    /// The resource, where the client asked for it back or read it.
    pub content: Option<&'a [u8]>,
}

/// The answer to a transaction or batch, one entry for each of the request, in order.
pub fn transaction_response(kind: ResponseKind, entries: &[ResponseEntry<'_>]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape<'a> {
        status: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        etag: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_modified: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<&'a Outcome>,
    }
    let mut out = Writer::new(kind.bundle_kind(), entries.len() * 192);
    for entry in entries {
        out.entry();
        out.raw(b"{");
        if let Some(content) = entry.content {
            out.raw(b"\"resource\":");
            out.raw(content);
            out.raw(b",");
        }
        out.raw(b"\"response\":");
        out.json(&Shape {
            status: status_line(entry.status),
            location: entry.location.as_deref(),
            etag: entry.etag.as_deref(),
            last_modified: entry.last_modified.map(instant),
            outcome: entry.outcome.as_ref(),
        });
        out.raw(b"}");
    }
    out.finish()
}

/// Which answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// To a transaction.
    Transaction,
    /// To a batch.
    Batch,
}

impl ResponseKind {
    fn bundle_kind(self) -> BundleKind {
        match self {
            Self::Transaction => BundleKind::TransactionResponse,
            Self::Batch => BundleKind::BatchResponse,
        }
    }
}

/// A time as the datatype `instant`, in UTC.
pub fn instant(time: OffsetDateTime) -> String {
    // The format has no part that could fail for a time in UTC with a year of four digits; FHIR
    // knows no others.
    time.to_offset(time::UtcOffset::UTC).format(INSTANT).unwrap_or_default()
}

fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => return status.to_string(),
    };
    format!("{status} {reason}")
}

/// Joins bytes to a Bundle.
pub(crate) struct Writer {
    out: Vec<u8>,
    entries: usize,
}

impl Writer {
    pub(crate) fn new(kind: BundleKind, size: usize) -> Self {
        let mut out = Vec::with_capacity(size + 256);
        out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"");
        out.extend_from_slice(kind.as_str().as_bytes());
        out.push(b'"');
        Self { out, entries: 0 }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn json(&mut self, value: &impl Serialize) {
        // Serializing strings to memory cannot fail.
        self.out.extend(serde_json::to_vec(value).unwrap_or_default());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.json(&text);
    }

    pub(crate) fn entry(&mut self) {
        self.raw(if self.entries == 0 { b",\"entry\":[" } else { b"," });
        self.entries += 1;
    }

    /// The total and the links of a page.
    fn head(&mut self, links: &PageLinks, total: Option<u64>) {
        if let Some(total) = total {
            self.raw(format!(",\"total\":{total}").as_bytes());
        }
        self.raw(b",\"link\":[{\"relation\":\"self\",\"url\":");
        self.text(&links.this);
        if let Some(next) = &links.next {
            self.raw(b"},{\"relation\":\"next\",\"url\":");
            self.text(next);
        }
        self.raw(b"}]");
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        // FHIR JSON has no empty arrays.
        if self.entries > 0 {
            self.raw(b"]");
        }
        self.raw(b"}");
        self.out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::{Issue, IssueCode, Severity, parse_any_bundle};

    #[test]
    fn searchsets_return_the_bytes_received() {
        let bytes = b" { \"resourceType\" : \"Observation\",\n\"valueQuantity\":{\"value\":1.10} }".as_slice();
        let resource = Resource::parse(bytes).unwrap();
        let entries = [
            SearchEntry {
                full_url: Some("https://h.example/fhir/Observation/\"1".to_owned()),
                content: Cow::Borrowed(resource.bytes()),
                mode: SearchMode::Match,
            },
            SearchEntry {
                full_url: Some("https://h.example/fhir/Observation/2".to_owned()),
                content: Cow::Borrowed(resource.bytes()),
                mode: SearchMode::Include,
            },
        ];
        let links =
            PageLinks { this: "https://h.example/fhir/Observation?x=\"".to_owned(), next: Some("n".to_owned()) };
        let out = searchset(&entries, &links, Some(7));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["total"].to_string(), "7");
        assert_eq!(value["link"][0]["url"], "https://h.example/fhir/Observation?x=\"");
        assert_eq!(value["link"][1]["relation"], "next");
        assert_eq!(value["entry"][1]["search"]["mode"], "include");
        let bundle = parse_any_bundle(out).unwrap();
        assert_eq!(bundle.kind(), BundleKind::Searchset);
        for (_, found) in bundle.resources() {
            assert_eq!(found.bytes(), bytes.trim_ascii());
        }
        assert_eq!(
            bundle.entries().first().unwrap().full_url.as_deref(),
            Some("https://h.example/fhir/Observation/\"1")
        );

        let empty = searchset(&[], &PageLinks::default(), Some(0));
        assert_eq!(
            String::from_utf8(empty).unwrap(),
            r#"{"resourceType":"Bundle","type":"searchset","total":0,"link":[{"relation":"self","url":""}]}"#
        );
    }

    #[test]
    fn collections() {
        let one = Resource::parse(b"{\"resourceType\":\"Basic\", \"x\":1.10}".as_slice()).unwrap();
        let bundle = crate::parse_bundle(collection([&one, &one])).unwrap();
        assert_eq!(bundle.kind(), BundleKind::Collection);
        assert!(bundle.resources().map(|(_, r)| r).eq([&one, &one]));
    }

    #[test]
    fn responses() {
        let resource = Resource::parse(b"{\"resourceType\":\"Basic\",\"x\":1.10}".as_slice()).unwrap();
        let issue = Issue::new(Severity::Error, IssueCode::Forbidden, "denied", "ask the patient");
        let out = transaction_response(
            ResponseKind::Batch,
            &[
                ResponseEntry {
                    status: 201,
                    location: Some("Patient/p/_history/1".to_owned()),
                    etag: Some("W/\"1\"".to_owned()),
                    last_modified: Some(time::macros::datetime!(2026-05-04 03:02:01.5 +2)),
                    ..ResponseEntry::default()
                },
                ResponseEntry { status: 403, outcome: Some(issue.into()), ..ResponseEntry::default() },
                ResponseEntry { status: 200, content: Some(resource.bytes()), ..ResponseEntry::default() },
                ResponseEntry { status: 299, ..ResponseEntry::default() },
            ],
        );
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let response = |at: usize| &value["entry"][at]["response"];
        assert_eq!(value["type"], "batch-response");
        assert_eq!(response(0)["status"], "201 Created");
        assert_eq!(response(0)["etag"], "W/\"1\"");
        assert_eq!(response(0)["location"], "Patient/p/_history/1");
        assert_eq!(response(0)["lastModified"], "2026-05-04T01:02:01.500Z");
        assert_eq!(response(1)["outcome"]["resourceType"], "OperationOutcome");
        assert_eq!(value["entry"][2]["resource"]["x"].to_string(), "1.10");
        assert_eq!(response(3)["status"], "299");
        assert_eq!(parse_any_bundle(out).unwrap().entries().len(), 4);

        let empty = transaction_response(ResponseKind::Transaction, &[]);
        assert_eq!(String::from_utf8(empty).unwrap(), r#"{"resourceType":"Bundle","type":"transaction-response"}"#);
    }
}
