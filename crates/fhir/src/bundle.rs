//! Bundles taken apart: the entries' requests and their resources, each as the exact slice of the
//! document it came in. It decides whether a Bundle can be taken in, not what storing it means.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;

use crate::error::FhirError;
use crate::json::{self, JSON_DEPTH_MAX, Kind, Sink, Step, Value};
use crate::label::{self, Label, SecurityCoding};
use crate::resource::{self, Draft, Facts};
use crate::{Resource, ResourceId, ResourceType};

/// Largest Bundle taken in, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most entries of a Bundle.
pub const BUNDLE_ENTRIES_MAX: usize = 100_000;

/// Levels of a Bundle above a resource: the Bundle, `entry`, the entry.
const LEVELS_ABOVE_RESOURCE: usize = 3;

/// `Bundle.type` (value set `bundle-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleKind {
    /// A document: a Composition and what it refers to.
    Document,
    /// A message: a MessageHeader and what it refers to.
    Message,
    /// Changes that succeed or fail together.
    Transaction,
    /// The answer to a transaction.
    TransactionResponse,
    /// Changes that each succeed or fail alone.
    Batch,
    /// The answer to a batch.
    BatchResponse,
    /// Versions of resources.
    History,
    /// The answer to a search.
    Searchset,
    /// Resources and nothing more.
    Collection,
}

impl BundleKind {
    const ALL: [Self; 9] = [
        Self::Document,
        Self::Message,
        Self::Transaction,
        Self::TransactionResponse,
        Self::Batch,
        Self::BatchResponse,
        Self::History,
        Self::Searchset,
        Self::Collection,
    ];

    /// The code as FHIR spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Message => "message",
            Self::Transaction => "transaction",
            Self::TransactionResponse => "transaction-response",
            Self::Batch => "batch",
            Self::BatchResponse => "batch-response",
            Self::History => "history",
            Self::Searchset => "searchset",
            Self::Collection => "collection",
        }
    }

    /// Whether entries carry requests.
    pub fn has_requests(self) -> bool {
        matches!(self, Self::Transaction | Self::Batch)
    }

    /// Whether a client may post it.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Transaction | Self::Batch | Self::Collection | Self::Document)
    }
}

/// The verb of an entry's request (value set `http-verb`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read or search.
    Get,
    /// Read the headers.
    Head,
    /// Create.
    Post,
    /// Update or create under a known id.
    Put,
    /// Delete.
    Delete,
    /// Change parts.
    Patch,
}

impl Method {
    const ALL: [Self; 6] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Patch];

    /// The verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }
}

/// `Bundle.entry.request`.
#[derive(Clone, PartialEq, Eq)]
pub struct BundleRequest {
    /// The verb.
    pub method: Method,
    /// The URL, relative to the server's base.
    pub url: String,
    /// Create only if this search finds nothing.
    pub if_none_exist: Option<String>,
    /// Update only this version.
    pub if_match: Option<String>,
    /// Read only if the version differs.
    pub if_none_match: Option<String>,
    /// Read only if changed since.
    pub if_modified_since: Option<String>,
}

/// Shows the verb alone: URLs and searches identify people.
impl fmt::Debug for BundleRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [redacted]", self.method.as_str())
    }
}

/// `Bundle.entry`. Links, search and response parts are not kept.
#[derive(Clone, Debug, Default)]
pub struct BundleEntry {
    /// The identity by which other entries refer to the resource.
    pub full_url: Option<String>,
    /// What to do, in a transaction or batch.
    pub request: Option<BundleRequest>,
    /// The resource, its bytes a slice of the Bundle's.
    pub resource: Option<Resource>,
}

/// A Bundle whose JSON has one reading and whose resources have sound types and ids.
#[derive(Clone, Debug)]
pub struct Bundle {
    kind: BundleKind,
    id: Option<ResourceId>,
    security: Vec<SecurityCoding>,
    entries: Vec<BundleEntry>,
}

impl Bundle {
    /// The type.
    pub fn kind(&self) -> BundleKind {
        self.kind
    }

    /// The Bundle's own id.
    pub fn id(&self) -> Option<&ResourceId> {
        self.id.as_ref()
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[BundleEntry] {
        &self.entries
    }

    /// The entries, to keep.
    pub fn into_entries(self) -> Vec<BundleEntry> {
        self.entries
    }

    /// The resources with the index of their entry.
    pub fn resources(&self) -> impl Iterator<Item = (usize, &Resource)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| Some((at, entry.resource.as_ref()?)))
    }

    /// The label of an entry's resource: its own security codings and those of the Bundle together,
    /// since a label on a Bundle is meant for all that it holds.
    pub fn label_of(&self, entry: &BundleEntry) -> Label {
        let own = entry.resource.iter().flat_map(Resource::security);
        label::label_of_codings(own.chain(&self.security))
    }

    /// A collection of resources that came one by one.
    ///
    /// # Errors
    /// [`FhirError::TooManyEntries`].
    pub fn collection(resources: Vec<Resource>) -> Result<Self, FhirError> {
        if resources.len() > BUNDLE_ENTRIES_MAX {
            return Err(FhirError::TooManyEntries { limit: BUNDLE_ENTRIES_MAX });
        }
        let entries = resources
            .into_iter()
            .map(|resource| BundleEntry { resource: Some(resource), ..BundleEntry::default() })
            .collect();
        Ok(Self { kind: BundleKind::Collection, id: None, security: Vec::new(), entries })
    }
}

/// Reads a Bundle that a client posts: a transaction, batch, collection or document whose entries
/// are complete.
///
/// # Errors
/// Any case of [`FhirError`] about JSON, resources and Bundles; places are named from `Bundle` on.
pub fn parse_bundle(bytes: impl Into<Bytes>) -> Result<Bundle, FhirError> {
    let bundle = parse_any_bundle(bytes)?;
    check_postable(&bundle)?;
    Ok(bundle)
}

/// Reads a Bundle of any type, for instance a searchset that a server answered.
///
/// # Errors
/// As [`parse_bundle`], but neither the type nor the entries' requests are judged.
pub fn parse_any_bundle(bytes: impl Into<Bytes>) -> Result<Bundle, FhirError> {
    let bytes = bytes.into();
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(FhirError::TooLarge { what: "the Bundle", bytes: bytes.len(), limit: BUNDLE_BYTES_MAX });
    }
    let mut reader = Reader::new(bytes.clone());
    json::walk(json::utf8(&bytes)?, ROOT, JSON_DEPTH_MAX + LEVELS_ABOVE_RESOURCE, &mut reader)?;
    reader.finish()
}

/// Reads newline-delimited JSON, one resource in each line (bulk data); empty lines are passed over.
/// Each resource's bytes are its line without the line's end.
///
/// # Errors
/// As [`Resource::parse`]; places are named from `line[n]` on, counted from 1.
pub fn parse_ndjson(bytes: impl Into<Bytes>) -> Result<Vec<Resource>, FhirError> {
    let bytes = bytes.into();
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(FhirError::TooLarge { what: "the file", bytes: bytes.len(), limit: BUNDLE_BYTES_MAX });
    }
    let mut resources = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        if resources.len() == BUNDLE_ENTRIES_MAX {
            return Err(FhirError::TooManyEntries { limit: BUNDLE_ENTRIES_MAX });
        }
        resources.push(Resource::parse_at(bytes.slice_ref(line), &format!("line[{number}]"))?);
    }
    Ok(resources)
}

/// The logical id that an entry's resource brings along: its own, else the uuid of its
/// `urn:uuid:` `fullUrl`. Without either, the gateway assigns one.
pub fn logical_id(entry: &BundleEntry) -> Option<ResourceId> {
    let own = entry.resource.as_ref().and_then(Resource::id);
    own.cloned().or_else(|| entry.full_url.as_deref()?.strip_prefix("urn:uuid:")?.parse().ok())
}

const ROOT: &str = "Bundle";

fn check_postable(bundle: &Bundle) -> Result<(), FhirError> {
    if !bundle.kind.is_accepted() {
        return Err(FhirError::KindNotAccepted { kind: bundle.kind.as_str() });
    }
    let mut urls: HashMap<&str, usize> = HashMap::new();
    let mut identities: HashMap<(ResourceType, ResourceId), usize> = HashMap::new();
    for (at, entry) in bundle.entries.iter().enumerate() {
        let place = |element: &str| format!("{ROOT}.entry[{at}].{element}");
        // Invariant bdl-7: a fullUrl names one entry. Versions of one resource make a history.
        if let Some(url) = &entry.full_url
            && let Some(first) = urls.insert(url, at)
        {
            return Err(FhirError::DuplicateEntry { expression: place("fullUrl"), first });
        }
        if bundle.kind.has_requests() {
            check_request(entry, at)?;
        } else if entry.resource.is_none() {
            return Err(FhirError::MissingElement { expression: place("resource") });
        }
        // R4 HTTP, "transaction": no identity may occur twice.
        if bundle.kind == BundleKind::Transaction
            && let (Some(resource), Some(id)) = (&entry.resource, logical_id(entry))
            && let Some(first) = identities.insert((resource.resource_type(), id), at)
        {
            return Err(FhirError::DuplicateEntry { expression: place("resource.id"), first });
        }
    }
    let first = bundle.entries.first().and_then(|entry| entry.resource.as_ref());
    if bundle.kind == BundleKind::Document && first.is_none_or(|r| r.resource_type().as_str() != "Composition") {
        return Err(FhirError::BadElement {
            expression: format!("{ROOT}.entry[0].resource"),
            reason: "a document begins with its Composition",
        });
    }
    Ok(())
}

fn check_request(entry: &BundleEntry, at: usize) -> Result<(), FhirError> {
    let place = |element: &str| format!("{ROOT}.entry[{at}].{element}");
    let Some(request) = &entry.request else {
        return Err(FhirError::MissingElement { expression: place("request") });
    };
    let wrong = |element: &str, reason| Err(FhirError::BadElement { expression: place(element), reason });
    match (request.method, &entry.resource) {
        (Method::Post | Method::Put | Method::Patch, None) => {
            Err(FhirError::MissingElement { expression: place("resource") })
        }
        (Method::Get | Method::Head | Method::Delete, Some(_)) => {
            wrong("resource", "GET, HEAD and DELETE carry no resource")
        }
        (Method::Post, Some(resource)) if request.url != resource.resource_type().as_str() => {
            wrong("request.url", "the url of a POST is the type of its resource")
        }
        (Method::Put, Some(resource)) => {
            let name = resource.resource_type().as_str();
            let id = request.url.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
            let conditional = request.url.strip_prefix(name).is_some_and(|rest| rest.starts_with('?'));
            match (id, resource.id()) {
                (Some(named), Some(id)) if named == id.as_str() => Ok(()),
                _ if conditional => Ok(()),
                _ => wrong("request.url", "the url of a PUT is the type and id of its resource, or a search"),
            }
        }
        _ => Ok(()),
    }
}

/// Sink that takes a Bundle apart in one pass.
struct Reader {
    bytes: Bytes,
    /// Facts of the Bundle itself.
    own: Draft,
    /// `type`; what is wrong with it counts only once the resource is known to be a Bundle.
    kind: Result<BundleKind, FhirError>,
    entries: Vec<BundleEntry>,
    /// The entry that is open.
    entry: BundleEntry,
    resource: Draft,
    request: RequestDraft,
}

#[derive(Default)]
struct RequestDraft {
    method: Option<Method>,
    url: Option<String>,
    if_none_exist: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
}

impl Reader {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            own: Draft::default(),
            kind: Err(FhirError::MissingElement { expression: format!("{ROOT}.type") }),
            entries: Vec::new(),
            entry: BundleEntry::default(),
            resource: Draft::default(),
            request: RequestDraft::default(),
        }
    }

    fn finish(self) -> Result<Bundle, FhirError> {
        let facts: Facts = self.own.finish(ROOT)?;
        if facts.resource_type != ResourceType::BUNDLE {
            return Err(FhirError::NotABundle { found: facts.resource_type });
        }
        Ok(Bundle { kind: self.kind?, id: facts.id, security: facts.security, entries: self.entries })
    }

    fn entry_part(&mut self, at: usize, path: &[Step<'_>], value: &Value<'_>) -> Result<(), FhirError> {
        let place = |element: &str| format!("{ROOT}.entry[{at}].{element}");
        let Some((member, rest)) = path.split_first() else {
            if value.kind != Kind::Object {
                return Err(FhirError::NotAnObject { expression: format!("{ROOT}.entry[{at}]") });
            }
            if self.entries.len() >= BUNDLE_ENTRIES_MAX {
                return Err(FhirError::TooManyEntries { limit: BUNDLE_ENTRIES_MAX });
            }
            self.entries.push(std::mem::take(&mut self.entry));
            return Ok(());
        };
        match (member.name(), rest) {
            (Some("resource"), _) => {
                self.resource.take(|| place("resource"), rest, value)?;
                if rest.is_empty() {
                    resource::check_size(value.span.len())?;
                    let facts = std::mem::take(&mut self.resource).finish(&place("resource"))?;
                    self.entry.resource = Some(Resource::from_checked(self.bytes.slice(value.span.clone()), facts));
                }
            }
            (Some("fullUrl"), []) => self.entry.full_url = Some(text(value, || place("fullUrl"))?),
            (Some("request"), []) => {
                if value.kind != Kind::Object {
                    return Err(FhirError::NotAnObject { expression: place("request") });
                }
                self.entry.request = Some(std::mem::take(&mut self.request).finish(at)?);
            }
            (Some("request"), [part]) => {
                if let Some(name) = part.name() {
                    self.request.take(name, value, || place(&format!("request.{name}")))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl<'t> Sink<'t> for Reader {
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
        match path {
            [entry, Step::Index(at), rest @ ..] if entry.is("entry") => self.entry_part(*at, rest, value),
            // Entries that are no list would be passed over below, and lost.
            [entry, ..] if entry.is("entry") => {
                if path.len() == 1 && value.kind != Kind::Array {
                    let reason = "expected a list of entries";
                    return Err(FhirError::BadElement { expression: format!("{ROOT}.entry"), reason });
                }
                Ok(())
            }
            [only] if only.is("type") => {
                let code = value.string().unwrap_or_default();
                let known = BundleKind::ALL.into_iter().find(|kind| kind.as_str() == code);
                self.kind = known.ok_or_else(|| FhirError::BadElement {
                    expression: format!("{ROOT}.type"),
                    reason: "not a type of Bundle in FHIR R4",
                });
                Ok(())
            }
            _ => self.own.take(|| ROOT.to_owned(), path, value),
        }
    }
}

impl RequestDraft {
    fn take(&mut self, name: &str, value: &Value<'_>, place: impl Fn() -> String) -> Result<(), FhirError> {
        let slot = match name {
            "method" => {
                let verb = text(value, &place)?;
                let known = Method::ALL.into_iter().find(|method| method.as_str() == verb);
                self.method = Some(known.ok_or_else(|| FhirError::BadElement {
                    expression: place(),
                    reason: "expected GET, HEAD, POST, PUT, DELETE or PATCH",
                })?);
                return Ok(());
            }
            "url" => &mut self.url,
            "ifNoneExist" => &mut self.if_none_exist,
            "ifMatch" => &mut self.if_match,
            "ifNoneMatch" => &mut self.if_none_match,
            "ifModifiedSince" => &mut self.if_modified_since,
            _ => return Ok(()),
        };
        *slot = Some(text(value, place)?);
        Ok(())
    }

    fn finish(self, at: usize) -> Result<BundleRequest, FhirError> {
        let missing =
            |element: &str| FhirError::MissingElement { expression: format!("{ROOT}.entry[{at}].request.{element}") };
        Ok(BundleRequest {
            method: self.method.ok_or_else(|| missing("method"))?,
            url: self.url.ok_or_else(|| missing("url"))?,
            if_none_exist: self.if_none_exist,
            if_match: self.if_match,
            if_none_match: self.if_none_match,
            if_modified_since: self.if_modified_since,
        })
    }
}

fn text(value: &Value<'_>, place: impl Fn() -> String) -> Result<String, FhirError> {
    let text = value.string().filter(|text| !text.is_empty());
    let wrong = || FhirError::BadElement { expression: place(), reason: "expected a string that is not empty" };
    text.map(std::borrow::Cow::into_owned).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    const PATIENT: &str = r#"{ "resourceType":"Patient", "id":"p" }"#;

    fn check(body: &str) -> Result<Bundle, FhirError> {
        parse_bundle(format!("{{{body}}}").into_bytes())
    }

    #[test]
    fn resources_are_slices_of_the_document() {
        let text = format!(
            "{{\"entry\":[{{\"resource\":\n{PATIENT} ,\"fullUrl\":\"urn:uuid:1\",\"request\":{{\"method\":\"POST\",\"url\":\"Patient\",\"ifNoneExist\":\"identifier=7\"}}}},
            {{\"request\":{{\"method\":\"DELETE\",\"url\":\"Patient/q\",\"ifMatch\":\"W/\\\"1\\\"\"}}}}],\"type\":\"transaction\",\"id\":\"b\",\"resourceType\":\"Bundle\"}}"
        );
        let bytes = Bytes::from(text);
        let bundle = parse_bundle(bytes.clone()).unwrap();
        assert_eq!((bundle.kind(), bundle.id().unwrap().as_str()), (BundleKind::Transaction, "b"));
        let [first, second] = bundle.entries() else { panic!("two entries") };
        let resource = first.resource.as_ref().unwrap();
        assert_eq!(resource.bytes(), PATIENT.as_bytes());
        // The same memory, not a copy.
        assert_eq!(bytes.slice_ref(resource.bytes()).len(), PATIENT.len());
        assert_eq!(first.full_url.as_deref(), Some("urn:uuid:1"));
        assert_eq!(first.request.as_ref().unwrap().if_none_exist.as_deref(), Some("identifier=7"));
        assert_eq!(second.request.as_ref().unwrap().method, Method::Delete);
        assert_eq!(second.request.as_ref().unwrap().if_match.as_deref(), Some("W/\"1\""));
        assert!(second.resource.is_none() && second.full_url.is_none());
        assert_eq!(bundle.resources().count(), 1);
    }

    #[test]
    fn types_of_bundle() {
        for kind in BundleKind::ALL {
            let composition =
                r#"{"resource":{"resourceType":"Composition"},"request":{"method":"POST","url":"Composition"}}"#;
            let body = format!(r#""resourceType":"Bundle","type":"{}","entry":[{composition}]"#, kind.as_str());
            let found = check(&body);
            if kind.is_accepted() {
                assert_eq!(found.unwrap().kind(), kind);
            } else {
                let error = found.unwrap_err();
                assert_eq!(error, FhirError::KindNotAccepted { kind: kind.as_str() });
                assert_eq!((error.http_status(), error.expressions()), (422, vec!["Bundle.type".to_owned()]));
                assert_eq!(parse_any_bundle(format!("{{{body}}}").into_bytes()).unwrap().kind(), kind);
            }
        }
        assert!(check(r#""resourceType":"Bundle","type":"transaction""#).unwrap().entries().is_empty());
    }

    #[test]
    fn refusals_name_the_entry() {
        let transaction =
            |entries: &str| format!(r#""resourceType":"Bundle","type":"transaction","entry":[{entries}]"#);
        let post =
            |resource: &str| format!(r#"{{"resource":{resource},"request":{{"method":"POST","url":"Patient"}}}}"#);
        let with_request = |request: &str| transaction(&format!(r#"{{"resource":{PATIENT},"request":{request}}}"#));
        let good = post(r#"{"resourceType":"Patient"}"#);
        for (body, code, place) in [
            (r#""resourceType":"Group","type":"person""#.to_owned(), "not-a-bundle", ""),
            (r#""resourceType":"Bundle","type":"x""#.to_owned(), "bad-element", "Bundle.type"),
            (r#""resourceType":"Patient""#.to_owned(), "not-a-bundle", ""),
            (r#""resourceType":"Bundle""#.to_owned(), "missing-element", "Bundle.type"),
            (r#""type":"batch""#.to_owned(), "missing-resource-type", "Bundle"),
            (r#""resourceType":"Bundle","type":7"#.to_owned(), "bad-element", "Bundle.type"),
            (r#""resourceType":"Bundle","type":"batch","entry":{}"#.to_owned(), "bad-element", "Bundle.entry"),
            (transaction("7"), "not-an-object", "Bundle.entry[0]"),
            (transaction(&format!("{good},{{\"resource\":[]}}")), "not-an-object", "Bundle.entry[1].resource"),
            (transaction(&format!("{good},{}", post("{}"))), "missing-resource-type", "Bundle.entry[1].resource"),
            (
                transaction(&format!("{good},{}", post(r#"{"resourceType":"Zebra"}"#))),
                "unknown-resource-type",
                "Bundle.entry[1].resource.resourceType",
            ),
            (transaction(&post(r#"{"resourceType":"Patient","id":""}"#)), "bad-id", "Bundle.entry[0].resource.id"),
            (
                transaction(&post(r#"{"resourceType":"Patient","name":[{"x":1,"x":1}]}"#)),
                "duplicate-member",
                "Bundle.entry[0].resource.name[0].x",
            ),
            (transaction(&format!(r#"{{"resource":{PATIENT}}}"#)), "missing-element", "Bundle.entry[0].request"),
            (with_request("{}"), "missing-element", "Bundle.entry[0].request.method"),
            (with_request(r#"{"method":"POST"}"#), "missing-element", "Bundle.entry[0].request.url"),
            (with_request(r#"{"method":"post","url":"Patient"}"#), "bad-element", "Bundle.entry[0].request.method"),
            (with_request(r#"{"method":"POST","url":""}"#), "bad-element", "Bundle.entry[0].request.url"),
            (with_request(r#"{"method":"POST","url":"Observation"}"#), "bad-element", "Bundle.entry[0].request.url"),
            (with_request(r#"{"method":"PUT","url":"Patient/q"}"#), "bad-element", "Bundle.entry[0].request.url"),
            (with_request(r#"{"method":"DELETE","url":"Patient/p"}"#), "bad-element", "Bundle.entry[0].resource"),
            (
                transaction(r#"{"request":{"method":"POST","url":"Patient"}}"#),
                "missing-element",
                "Bundle.entry[0].resource",
            ),
            (
                transaction(&format!("{},{}", post(PATIENT), post(PATIENT))),
                "duplicate-entry",
                "Bundle.entry[1].resource.id",
            ),
            (
                format!(
                    r#""resourceType":"Bundle","type":"collection","entry":[{{"fullUrl":"u:1","resource":{PATIENT}}},{{"fullUrl":"u:1","resource":{PATIENT}}}]"#
                ),
                "duplicate-entry",
                "Bundle.entry[1].fullUrl",
            ),
            (
                r#""resourceType":"Bundle","type":"collection","entry":[{}]"#.to_owned(),
                "missing-element",
                "Bundle.entry[0].resource",
            ),
            (
                format!(r#""resourceType":"Bundle","type":"document","entry":[{{"resource":{PATIENT}}}]"#),
                "bad-element",
                "Bundle.entry[0].resource",
            ),
        ] {
            let error = check(&body).unwrap_err();
            assert_eq!(error.code(), code, "{body}: {error}");
            assert_eq!(error.expressions().first().map_or("", String::as_str), place, "{body}: {error}");
        }
    }

    #[test]
    fn updates() {
        for url in ["Patient/p", "Patient?identifier=7"] {
            let body = format!(
                r#""resourceType":"Bundle","type":"batch","entry":[{{"resource":{PATIENT},"request":{{"method":"PUT","url":"{url}"}}}}]"#
            );
            check(&body).unwrap();
        }
    }

    #[test]
    fn limits() {
        let entries = vec!["{}"; BUNDLE_ENTRIES_MAX + 1].join(",");
        let many = format!(r#""resourceType":"Bundle","type":"batch","entry":[{entries}]"#);
        assert_eq!(check(&many).unwrap_err(), FhirError::TooManyEntries { limit: BUNDLE_ENTRIES_MAX });
        let large = vec![b' '; BUNDLE_BYTES_MAX + 1];
        assert_eq!(parse_bundle(large).unwrap_err().http_status(), 413);
        // A resource may be as deep in a Bundle as alone.
        let deep = |levels: usize| {
            let nested = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            let resource = format!(r#"{{"resourceType":"Basic","x":{nested}}}"#);
            let alone = Resource::parse(resource.clone().into_bytes()).is_ok();
            let body = format!(r#""resourceType":"Bundle","type":"collection","entry":[{{"resource":{resource}}}]"#);
            (alone, check(&body).is_ok())
        };
        assert_eq!(deep(JSON_DEPTH_MAX), (true, true));
        assert_eq!(deep(JSON_DEPTH_MAX + 1), (false, false));
    }

    #[test]
    fn ids_and_labels_of_entries() {
        let body = r#""resourceType":"Bundle","type":"collection",
            "meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}]},"entry":[
            {"fullUrl":"urn:uuid:7515d14b-843b","resource":{"resourceType":"Basic"}},
            {"fullUrl":"urn:uuid:7","resource":{"resourceType":"Basic","id":"own"}},
            {"fullUrl":"https://h.example/Basic/8","resource":{"resourceType":"Basic",
                "meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}}]"#;
        let bundle = check(body).unwrap();
        let ids: Vec<_> = bundle.entries().iter().map(|e| logical_id(e).map(|id| id.to_string())).collect();
        assert_eq!(ids, [Some("7515d14b-843b".to_owned()), Some("own".to_owned()), None]);
        let labels: Vec<_> = bundle.entries().iter().map(|e| bundle.label_of(e)).collect();
        assert_eq!(labels, [Label::Hiv, Label::Hiv, Label::VeryRestricted]);
    }

    #[test]
    fn lines_of_resources() {
        let text = format!("{PATIENT}\r\n\n  {{\"resourceType\":\"Basic\"}}\n");
        let found = parse_ndjson(text.into_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].bytes(), PATIENT.as_bytes());
        assert_eq!(found[1].bytes().as_ref(), b"  {\"resourceType\":\"Basic\"}");
        let error = parse_ndjson(format!("{PATIENT}\n{{\"resourceType\":\"Zebra\"}}").into_bytes()).unwrap_err();
        assert_eq!(error.expressions(), ["line[2].resourceType"]);
        assert_eq!(Bundle::collection(found).unwrap().entries().len(), 2);
    }
}
