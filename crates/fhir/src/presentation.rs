//! A stored resource as this server shows it. FHIR has a server set `id`, `meta.versionId` and
//! `meta.lastUpdated` (R4 resource.html, "Resource Metadata"); those three are spliced in, and every
//! other byte stays as it was received. Also: whether what came back is what was written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::error::FhirError;
use crate::json::{self, JSON_DEPTH_MAX, Kind, Sink, Step, Value};
use crate::response::instant;
use crate::splice::{self, Edits};
use crate::{Resource, ResourceId};

/// Most bytes by which [`present`] makes a resource longer. A resource that is to be read again
/// after it was presented may have at most
/// [`RESOURCE_BYTES_MAX`](crate::RESOURCE_BYTES_MAX) less this many.
pub const PRESENTATION_BYTES_MAX: usize = 192;

/// The version of a resource: 1 when it is created, one more for each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(u64);

impl VersionId {
    /// The version a resource is created with.
    pub const FIRST: Self = Self(1);

    /// A version by its number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The weak entity tag, `W/"3"` (R4 http.html, "Managing Resource Contention").
    pub fn etag(self) -> String {
        format!("W/\"{}\"", self.0)
    }

    /// Reads an entity tag, weak or strong: `W/"3"`, `"3"`. Nothing for any other text.
    pub fn from_etag(text: &str) -> Option<Self> {
        let text = text.trim();
        text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not a version of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is a whole number without sign and leading zeros")]
pub struct BadVersion;

impl FromStr for VersionId {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let number: u64 = text.parse().map_err(|_| BadVersion)?;
        // One spelling each: neither `+3` nor `03`.
        if number.to_string() == text { Ok(Self(number)) } else { Err(BadVersion) }
    }
}

/// The resource as this server shows it: bytes as received, with `id`, `meta.versionId` and
/// `meta.lastUpdated` set. Members that are there are replaced at their value's place; missing ones
/// are inserted, `meta` right behind `id`, `id` right behind `resourceType`. The bytes are wiped once nobody
/// holds them.
pub fn present(resource: &Resource, id: &ResourceId, version: VersionId, last_updated: OffsetDateTime) -> Resource {
    let text = resource.bytes();
    let found = find(resource);
    let version = format!("\"{version}\"");
    let updated = format!("\"{}\"", instant(last_updated));
    let mut edits = Edits::default();
    match &found.id {
        Some(span) => edits.replace(span.clone(), format!("\"{id}\"")),
        None => edits.insert(found.resource_type, format!(",\"id\":\"{id}\"")),
    }
    match found.meta {
        Some(span) if text.get(span.start) == Some(&b'{') => {
            edit_meta(text, &span, version, updated, &mut edits);
        }
        Some(span) => edits.replace(span, format!("{{\"versionId\":{version},\"lastUpdated\":{updated}}}")),
        None => {
            let at = found.id.map_or(found.resource_type, |span| span.end);
            edits.insert(at, format!(",\"meta\":{{\"versionId\":{version},\"lastUpdated\":{updated}}}"));
        }
    }
    resource.presented(Bytes::from_owner(Zeroizing::new(edits.apply(text))), id)
}

/// Whether two resources say the same: equal JSON, the order of members aside, number literals
/// compared as text (`1.10` is not `1.1`), and `meta.versionId` and `meta.lastUpdated` left out. What
/// has no single reading as JSON is the same as nothing.
pub fn same_content(a: &[u8], b: &[u8]) -> bool {
    compare(a, b, is_set_by_server)
}

/// As [`same_content`], with the resource's `id` left out as well: what a server that assigns ids
/// made of a resource that was created.
pub fn same_content_but_id(a: &[u8], b: &[u8]) -> bool {
    compare(a, b, |path, kind| is_set_by_server(path, kind) || matches!(path, [only] if only.is("id")))
}

/// Where the members are that a server sets.
struct Found {
    /// Behind the value of `resourceType`.
    resource_type: usize,
    id: Option<Range<usize>>,
    meta: Option<Range<usize>>,
}

fn find(resource: &Resource) -> Found {
    let mut found = Found { resource_type: 0, id: None, meta: None };
    let mut wanted = 1 + usize::from(resource.id().is_some()) + usize::from(resource.has_meta());
    for member in splice::members(resource.bytes(), 0) {
        match &*member.name {
            "resourceType" => found.resource_type = member.value.end,
            "id" => found.id = Some(member.value),
            "meta" => found.meta = Some(member.value),
            _ => continue,
        }
        // They stand at the beginning of most resources, and none occurs twice: the rest is not looked at.
        wanted -= 1;
        if wanted == 0 {
            break;
        }
    }
    found
}

/// Sets both members of the `meta` object at `span`. Siblings such as `_versionId` keep their place:
/// they extend the value that stands there, whichever it is.
fn edit_meta(text: &[u8], span: &Range<usize>, version: String, updated: String, edits: &mut Edits) {
    let (mut version_at, mut updated_at, mut is_empty) = (None, None, true);
    for member in splice::members(text, span.start) {
        is_empty = false;
        match &*member.name {
            "versionId" => version_at = Some(member.value),
            "lastUpdated" => updated_at = Some(member.value),
            _ => {}
        }
    }
    let opened = span.start + 1;
    let comma = if is_empty { "" } else { "," };
    match (version_at, updated_at) {
        (Some(version_at), Some(updated_at)) => {
            edits.replace(version_at, version);
            edits.replace(updated_at, updated);
        }
        (Some(version_at), None) => {
            edits.insert(version_at.end, format!(",\"lastUpdated\":{updated}"));
            edits.replace(version_at, version);
        }
        (None, Some(updated_at)) => {
            edits.insert(opened, format!("\"versionId\":{version},"));
            edits.replace(updated_at, updated);
        }
        (None, None) => edits.insert(opened, format!("\"versionId\":{version},\"lastUpdated\":{updated}{comma}")),
    }
}

fn is_set_by_server(path: &[Step<'_>], kind: Kind) -> bool {
    match path {
        // The object itself says nothing beyond its members: an emptied one is as good as none.
        [meta] => meta.is("meta") && kind == Kind::Object,
        [meta, member] => meta.is("meta") && (member.is("versionId") || member.is("lastUpdated")),
        _ => false,
    }
}

fn compare(a: &[u8], b: &[u8], is_ignored: fn(&[Step<'_>], Kind) -> bool) -> bool {
    match (flat(a, is_ignored), flat(b, is_ignored)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Every value with its path, sorted by path; objects and arrays without their text.
type Flat<'t> = Vec<(Vec<Step<'t>>, Kind, Cow<'t, str>)>;

fn flat(bytes: &[u8], is_ignored: fn(&[Step<'_>], Kind) -> bool) -> Result<Flat<'_>, FhirError> {
    let mut flattener = Flattener { is_ignored, values: Vec::new() };
    json::walk(json::utf8(bytes)?, "Resource", JSON_DEPTH_MAX, &mut flattener)?;
    let mut values = flattener.values;
    values.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(values)
}

struct Flattener<'t> {
    is_ignored: fn(&[Step<'_>], Kind) -> bool,
    values: Flat<'t>,
}

impl<'t> Sink<'t> for Flattener<'t> {
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
        if !(self.is_ignored)(path, value.kind) {
            let text = match value.kind {
                Kind::Object | Kind::Array => Cow::Borrowed(""),
                Kind::String => value.string().unwrap_or_default(),
                Kind::Number | Kind::Bool | Kind::Null => Cow::Borrowed(value.text),
            };
            self.values.push((path.to_vec(), value.kind, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use time::macros::datetime;

    use super::*;
    use crate::RESOURCE_BYTES_MAX;

    const NOW: OffsetDateTime = datetime!(2026-05-04 03:02:01.5 UTC);
    const META: &str = r#""versionId":"7","lastUpdated":"2026-05-04T03:02:01.500Z""#;

    fn check(text: &str) -> Resource {
        let resource = Resource::parse(text.to_owned()).unwrap();
        let shown = present(&resource, &"new".parse().unwrap(), VersionId::new(7), NOW);
        let read = Resource::parse(shown.bytes().clone()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((read.id(), read.resource_type()), (shown.id(), shown.resource_type()), "{text}");
        assert_eq!(read.security(), shown.security(), "{text}");
        let json = read.json().unwrap();
        assert_eq!(json["id"], "new", "{text}");
        assert_eq!(json["meta"]["versionId"], "7", "{text}");
        assert_eq!(json["meta"]["lastUpdated"], "2026-05-04T03:02:01.500Z", "{text}");
        let again = present(&shown, &"new".parse().unwrap(), VersionId::new(7), NOW);
        assert_eq!(again, shown, "{text}");
        shown
    }

    #[test]
    fn three_members_are_set_and_nothing_else_changes() {
        for (text, expected) in [
            (r#"{"resourceType":"Basic"}"#, r#"{"resourceType":"Basic","id":"new","meta":{META}}"#),
            (
                " {\n  \"resourceType\" : \"Basic\",\n  \"id\" : \"old\" ,\n  \"x\":1.10\n}\n",
                " {\n  \"resourceType\" : \"Basic\",\n  \"id\" : \"new\",\"meta\":{META} ,\n  \"x\":1.10\n}\n",
            ),
            (
                r#"{"id":"old","x":{"id":"in","meta":{}},"resourceType":"Basic"}"#,
                r#"{"id":"new","meta":{META},"x":{"id":"in","meta":{}},"resourceType":"Basic"}"#,
            ),
            (
                r#"{"x":[1E-22],"resourceType":"Basic","meta":{ }}"#,
                r#"{"x":[1E-22],"resourceType":"Basic","id":"new","meta":{META }}"#,
            ),
            (
                r#"{"resourceType":"Basic","meta":{"profile":["a}"]},"id":"old"}"#,
                r#"{"resourceType":"Basic","meta":{META,"profile":["a}"]},"id":"new"}"#,
            ),
            (
                r#"{"resourceType":"Basic","id":"old","meta":{"_versionId":{"id":"v"},"source":"s"}}"#,
                r#"{"resourceType":"Basic","id":"new","meta":{META,"_versionId":{"id":"v"},"source":"s"}}"#,
            ),
            (
                r#"{"resourceType":"Basic","id":"old","meta":{"lastUpdated":"1999","x":0.0,"versionId":"1"}}"#,
                r#"{"resourceType":"Basic","id":"new","meta":{"lastUpdated":"2026-05-04T03:02:01.500Z","x":0.0,"versionId":"7"}}"#,
            ),
            (
                r#"{"resourceType":"Basic","id":"old","meta":{"versionId" : null , "_versionId":{}}}"#,
                r#"{"resourceType":"Basic","id":"new","meta":{"versionId" : "7","lastUpdated":"2026-05-04T03:02:01.500Z" , "_versionId":{}}}"#,
            ),
            (
                r#"{"resourceType":"Basic","id":"old","meta":{ "lastUpdated":"]}"}}"#,
                r#"{"resourceType":"Basic","id":"new","meta":{"versionId":"7", "lastUpdated":"2026-05-04T03:02:01.500Z"}}"#,
            ),
            // Names may be written with escapes.
            (
                r#"{"\u0069d":"old","resourceTyp\u0065":"Basic","m\u0065ta":{"version\u0049d":""}}"#,
                r#"{"\u0069d":"new","resourceTyp\u0065":"Basic","m\u0065ta":{"version\u0049d":"7","lastUpdated":"2026-05-04T03:02:01.500Z"}}"#,
            ),
            (
                r#"{"resourceType":"Basic","id":"old","contained":[{"resourceType":"Basic","id":"c","meta":{"versionId":"1"}}]}"#,
                r#"{"resourceType":"Basic","id":"new","meta":{META},"contained":[{"resourceType":"Basic","id":"c","meta":{"versionId":"1"}}]}"#,
            ),
        ] {
            let expected = expected.replace("META", META);
            assert_eq!(check(text).bytes(), expected.as_bytes(), "{text}");
            assert!(same_content_but_id(text.as_bytes(), expected.as_bytes()), "{text}");
        }
        for meta in ["7", "null", "\"{\"", "[{}]", "true"] {
            let text = format!(r#"{{"meta":{meta} ,"resourceType":"Basic"}}"#);
            let expected = format!(r#"{{"meta":{{{META}}} ,"resourceType":"Basic","id":"new"}}"#);
            assert_eq!(check(&text).bytes(), expected.as_bytes());
            assert!(!same_content_but_id(text.as_bytes(), expected.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_added_is_bounded() {
        let resource = Resource::parse(r#"{"resourceType":"Basic"}"#.to_owned()).unwrap();
        let id: ResourceId = "a".repeat(64).parse().unwrap();
        let shown = present(&resource, &id, VersionId::new(u64::MAX), datetime!(9999-12-31 23:59:59 UTC));
        assert!(shown.bytes().len() - resource.bytes().len() <= PRESENTATION_BYTES_MAX);
        const { assert!(PRESENTATION_BYTES_MAX < RESOURCE_BYTES_MAX) };
    }

    #[test]
    fn content_is_compared_as_text_of_numbers_and_meaning_of_strings() {
        for (a, b, same, same_but_id) in [
            (r#"{"a":1.10,"b":"\u0078"}"#, r#" {"b" : "x", "a":1.10}"#, true, true),
            (r#"{"a":1.10}"#, r#"{"a":1.1}"#, false, false),
            (r#"{"a":1E-22}"#, r#"{"a":1e-22}"#, false, false),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, false, false),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, false, false),
            (r#"{"a":[]}"#, r#"{"a":{}}"#, false, false),
            (r#"{"a":[]}"#, "{}", false, false),
            (r#"{"a":null}"#, "{}", false, false),
            (r#"{"a.b":1}"#, r#"{"a":{"b":1}}"#, false, false),
            (r#"{"a":[1]}"#, r#"{"a":{"0":1}}"#, false, false),
            (r#"{"id":"1"}"#, r#"{"id":"2"}"#, false, true),
            (r#"{"id":"1"}"#, "{}", false, true),
            (r#"{"x":{"id":"1"}}"#, r#"{"x":{"id":"2"}}"#, false, false),
            (r#"{"meta":{"versionId":"1","lastUpdated":"x"}}"#, "{}", true, true),
            (r#"{"meta":{"versionId":"1","tag":[]}}"#, r#"{"meta":{"tag":[]}}"#, true, true),
            (r#"{"meta":{"versionId":"1","tag":[]}}"#, "{}", false, false),
            (r#"{"meta":{"_versionId":{}}}"#, "{}", false, false),
            (r#"{"x":{"meta":{"versionId":"1"}}}"#, r#"{"x":{"meta":{}}}"#, false, false),
            (r#"{"meta":[]}"#, "{}", false, false),
            (r#"{"a":1,"a":1}"#, r#"{"a":1,"a":1}"#, false, false),
            ("{", "{", false, false),
        ] {
            assert_eq!(same_content(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
            assert_eq!(same_content(b.as_bytes(), a.as_bytes()), same, "{b} {a}");
            assert_eq!(same_content_but_id(a.as_bytes(), b.as_bytes()), same_but_id, "{a} {b}");
        }
    }

    #[test]
    fn versions_and_entity_tags() {
        for (text, version) in [
            ("W/\"3\"", Some(3)),
            (" \"3\" ", Some(3)),
            ("W/3", None),
            ("3", None),
            ("W/\"03\"", None),
            ("W/\"+3\"", None),
            ("W/\"\"", None),
            ("w/\"3\"", None),
            ("*", None),
            ("W/\"18446744073709551616\"", None),
        ] {
            assert_eq!(VersionId::from_etag(text).map(VersionId::number), version, "{text}");
        }
        assert_eq!(VersionId::FIRST.etag(), "W/\"1\"");
        assert_eq!("x".parse::<VersionId>(), Err(BadVersion));
    }
}
