//! An answer in FHIR's terms, and its way into HTTP: content negotiation, version headers, `Prefer: return=`.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sealwort_fhir::IssueCode;
use sealwort_fhir::html::{Page, page};
use sealwort_fhir::pretty::pretty;
use sealwort_fhir::subset::{Subset, Summary};
use sealwort_pki::UnixTime;

use super::request::{Return, bad_parameter};
use crate::error::GatewayError;
use crate::seen::Seen;
use crate::standing::Standing;
use crate::view::Version;

const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";
const NDJSON: &str = "application/fhir+ndjson";
const HTML: &str = "text/html; charset=utf-8";
/// Says how many entries consent withholds.
const WITHHELD: HeaderName = HeaderName::from_static("x-sealwort-withheld");
/// Pages load nothing but the stylesheet of this server (CSP Level 3).
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is answered, before it is known in which form.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content: Bytes,
    pub(crate) kind: Content,
    /// Version of the resource.
    pub(crate) version: Option<u64>,
    pub(crate) changed: Option<UnixTime>,
    /// Relative to the base: `Patient/1/_history/2`.
    pub(crate) location: Option<String>,
    /// Entries that consent withholds from this hospital.
    pub(crate) withheld: u64,
    /// What it rests on while it is on its way.
    pub(crate) standing: Option<Standing>,
    /// Content that is written while it is sent.
    pub(crate) stream: Option<Body>,
    /// Headers that one interaction needs.
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// What the content is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Content {
    #[default]
    Nothing,
    /// A resource, in any form that the client likes.
    Resource,
    /// One resource in each line.
    Lines,
    /// JSON that is no FHIR.
    Json,
    /// What [`Reply::stream`] brings, of this media type.
    Stream(&'static str),
}

impl Reply {
    /// Content that is a resource.
    pub(crate) fn resource(status: StatusCode, content: impl Into<Bytes>) -> Self {
        Self { status, content: content.into(), kind: Content::Resource, ..Self::default() }
    }

    /// Nothing but a status.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// A version of a resource.
    pub(crate) fn version(status: StatusCode, version: &Version) -> Self {
        let mut reply = match &version.content {
            Some(content) => Self::resource(status, content.clone()),
            None => Self::status(status),
        };
        reply.version = Some(version.number);
        reply.changed = Some(version.changed);
        reply
    }

    /// Says what consent withholds of this record.
    pub(crate) fn of(mut self, seen: &Seen) -> Self {
        self.withheld = seen.withheld();
        self
    }
}

/// The form in which a client wants its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Format {
    form: Form,
    layout: Layout,
    /// `_summary` and `_elements`.
    subset: Option<Subset>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Json,
    Html,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Layout {
    #[default]
    Compact,
    Pretty,
}

impl Format {
    /// What headers and parameters ask for. The parameters are taken out of the list, so that nobody takes them for a
    /// search.
    pub(super) fn take(headers: &HeaderMap, parameters: &mut Vec<(String, String)>) -> Result<Self, GatewayError> {
        let mut format = Self::default();
        let mut wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).map(str::to_owned);
        for (name, value) in parameters.extract_if(.., |(name, _)| name == "_format" || name == "_pretty") {
            match (name.as_str(), value.as_str()) {
                ("_format", _) => wanted = Some(value),
                (_, "true") => format.layout = Layout::Pretty,
                (_, "false") => format.layout = Layout::Compact,
                _ => return Err(bad_parameter("_pretty", "it is true or false")),
            }
        }
        if let Some(wanted) = wanted {
            format.form = negotiate(&wanted)?;
        }
        Ok(format)
    }

    /// Cuts a reply to the part that was asked for.
    pub(super) fn apply(&self, reply: &mut Reply) {
        if let (Some(subset), Content::Resource) = (&self.subset, reply.kind) {
            reply.content = cut(&reply.content, subset);
        }
    }

    /// The same without subsetting, for OperationOutcomes.
    pub(super) fn whole(&self) -> Self {
        Self { subset: None, ..self.clone() }
    }

    /// Takes `_summary` and `_elements` out, for interactions that are no search.
    pub(super) fn take_subset(&mut self, parameters: &mut Vec<(String, String)>) -> Result<(), GatewayError> {
        self.subset = subset(parameters)?;
        parameters.retain(|(name, _)| name != "_summary" && name != "_elements");
        Ok(())
    }
}

/// What `_summary` and `_elements` ask for.
pub(crate) fn subset(parameters: &[(String, String)]) -> Result<Option<Subset>, GatewayError> {
    let named = |wanted: &str| {
        let mut values = parameters.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            Some(_) => Err(bad_parameter(wanted, "it is given more than once")),
            None => Ok(first),
        }
    };
    let wrong = |error: sealwort_fhir::subset::SubsetError| bad_parameter("_summary or _elements", &error.to_string());
    match (named("_summary")?, named("_elements")?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(bad_parameter("_summary", "it is not given together with _elements")),
        (Some(summary), None) => match Summary::parse(summary).map_err(wrong)? {
            Summary::Of(part) => Ok(Some(part)),
            // Counting shows no resource.
            Summary::Count => Ok(None),
        },
        (None, Some(elements)) => Subset::parse_elements(elements).map(Some).map_err(wrong),
    }
}

/// The best form out of a list as in `Accept` (RFC 9110, section 12.5.1).
fn negotiate(accept: &str) -> Result<Form, GatewayError> {
    let mut best: Option<(Form, f32)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let form = match media.as_str() {
            // In a query a plus that was not encoded arrives as a space.
            "json"
            | "application/json"
            | "application/fhir+json"
            | "application/fhir json"
            | "application/json+fhir"
            | "text/json"
            | "application/*"
            | "*/*"
            | "application/fhir+ndjson"
            | "application/ndjson"
            | "ndjson"
            | "" => Form::Json,
            "html" | "text/html" => Form::Html,
            _ => continue,
        };
        if weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((form, weight));
        }
    }
    best.map(|(form, _)| form).ok_or_else(|| {
        GatewayError::request(
            406,
            IssueCode::NotSupported,
            "format-unsupported",
            "this server speaks FHIR in JSON, and HTML to browsers; it does not speak XML or Turtle",
            "send Accept: application/fhir+json",
        )
    })
}

/// Puts a reply into HTTP.
pub(super) fn respond(reply: Reply, format: &Format, base: &str) -> Response {
    let (content, media) = match reply.kind {
        Content::Nothing => (Bytes::new(), None),
        Content::Lines => (reply.content, Some(NDJSON)),
        Content::Json => (reply.content, Some("application/json")),
        Content::Stream(media) => (reply.content, Some(media)),
        Content::Resource => {
            let content = match &format.subset {
                Some(subset) => cut(&reply.content, subset),
                None => reply.content,
            };
            match format.form {
                Form::Html => match page(&content, &Page { stylesheet: super::STYLESHEET, base_url: base }) {
                    Ok(page) => (page.into(), Some(HTML)),
                    Err(_) => (content, Some(FHIR_JSON)),
                },
                Form::Json if format.layout == Layout::Pretty => (pretty(&content).into(), Some(FHIR_JSON)),
                Form::Json => (content, Some(FHIR_JSON)),
            }
        }
    };
    let body = match (reply.standing, reply.stream) {
        (Some(standing), None) => standing.body(content),
        (Some(standing), Some(stream)) => standing.over(stream),
        (None, Some(stream)) => stream,
        (None, None) => Body::from(content),
    };
    let mut response = (reply.status, body).into_response();
    let headers = response.headers_mut();
    if let Some(media) = media {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    if media == Some(HTML) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    // A record belongs in no cache but the client's own (FHIR R4, security.html).
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if let Some(version) = reply.version {
        put(header::ETAG, &etag(version));
    }
    if let Some(date) = reply.changed.and_then(http_date) {
        put(header::LAST_MODIFIED, &date);
    }
    if let Some(location) = &reply.location {
        put(header::LOCATION, &format!("{base}/{location}"));
    }
    if reply.withheld > 0 {
        put(WITHHELD, &reply.withheld.to_string());
    }
    for (name, value) in &reply.headers {
        put(name.clone(), value);
    }
    response
}

/// What a writer gets back, by its preference.
pub(super) fn preferred(mut reply: Reply, returns: Return) -> Reply {
    match returns {
        Return::Representation => {}
        Return::Minimal => {
            reply.content = Bytes::new();
            reply.kind = Content::Nothing;
        }
        Return::OperationOutcome => {
            let issue = sealwort_fhir::Issue::new(
                sealwort_fhir::Severity::Information,
                IssueCode::Informational,
                "stored",
                "the resource is stored",
            );
            reply.content = sealwort_fhir::Outcome::from(issue).to_bytes().into();
        }
    }
    reply
}

fn cut(content: &Bytes, subset: &Subset) -> Bytes {
    match sealwort_fhir::Resource::parse(content.clone()) {
        Ok(resource) => sealwort_fhir::subset::subset(&resource, subset),
        Err(_) => content.clone(),
    }
}

/// A version as a weak entity tag (FHIR R4, http.html#versioning).
pub(crate) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

fn http_date(at: UnixTime) -> Option<String> {
    http_date_of(date(at)?)
}

/// RFC 9110, section 5.6.7.
pub(crate) fn http_date_of(at: time::OffsetDateTime) -> Option<String> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at.format(&format).ok()
}

pub(crate) fn date(at: UnixTime) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).ok()?).ok()
}

/// The versions that a header such as `If-Match` names; `*` is any.
pub(crate) fn names_version(header: &str, version: u64) -> bool {
    let number = version.to_string();
    header.split(',').map(str::trim).any(|tag| {
        let bare = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || bare.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(bare) == number
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_are_negotiated() {
        let cases = [
            ("application/fhir+json", Ok(Form::Json)),
            ("*/*", Ok(Form::Json)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Ok(Form::Html)),
            ("application/fhir+xml;q=1, application/fhir+json;q=0.5", Ok(Form::Json)),
            ("text/html;q=0.3, application/json", Ok(Form::Json)),
            ("application/fhir+xml", Err(406)),
            ("xml", Err(406)),
            ("application/json;q=0", Err(406)),
        ];
        for (accept, wanted) in cases {
            assert_eq!(negotiate(accept).map_err(|e| e.status()), wanted, "{accept}");
        }
    }

    #[test]
    fn versions_are_named_by_weak_tags() {
        for (header, named) in [
            ("W/\"3\"", true),
            ("\"3\"", true),
            ("3", true),
            ("*", true),
            ("W/\"1\", W/\"3\"", true),
            ("W/\"33\"", false),
            ("", false),
        ] {
            assert_eq!(names_version(header, 3), named, "{header}");
        }
        assert_eq!(http_date(UnixTime::from_secs(784_111_777)).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
