//! A request in FHIR's terms, whether it came over HTTP or as an entry of a Bundle: its place in the table, its
//! parameters, conditions and preferences.

use axum::body::Bytes;
use http::{HeaderMap, Method, header};
use sealwort_fhir::IssueCode;

use super::table::{self, Place};
use crate::error::GatewayError;
use crate::user::Asking;

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 256;

/// What somebody asks.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) asking: Asking,
    pub(crate) place: Place,
    /// The query's parameters, decoded, in order, without those of the format.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) conditions: Conditions,
    pub(crate) prefer: Prefer,
    pub(crate) body: Bytes,
    /// Media type of the body, in lower case and without parameters.
    pub(crate) media: Option<String>,
}

/// Conditions of a request (FHIR R4, http.html: concurrency, conditional create, conditional read).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the names of the header fields")]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_none_exist: Option<String>,
}

/// What to answer a write with (FHIR R4, http.html#ops).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    Representation,
    Minimal,
    OperationOutcome,
}

/// The header `Prefer` (RFC 7240).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    pub(crate) returns: Option<Return>,
    pub(crate) strict: Strictness,
    pub(crate) respond_async: Waiting,
}

/// `handling=` of `Prefer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Nothing was said. What is unknown is kept.
    #[default]
    Usual,
    /// What is unknown is kept, and what leads nowhere too.
    Lenient,
    /// What is unknown is refused.
    Strict,
}

/// Whether the client would rather ask again than wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Waiting {
    #[default]
    Here,
    Elsewhere,
}

impl Ask {
    /// A request by its method and its URL, relative to the base.
    pub(crate) fn new(asking: Asking, method: &Method, url: &str) -> Result<Self, GatewayError> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Ok(Self {
            asking,
            place: table::find(method, path)?,
            parameters: form(query)?,
            conditions: Conditions::default(),
            prefer: Prefer::default(),
            body: Bytes::new(),
            media: None,
        })
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn parameter(&self, name: &str) -> Result<Option<&str>, GatewayError> {
        let mut values = self.parameters.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(bad_parameter(name, "it is given more than once"));
        }
        Ok(first)
    }

    /// Refuses parameters that the interaction does not know.
    pub(crate) fn knows(&self, names: &[&str]) -> Result<(), GatewayError> {
        match self.parameters.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(bad_parameter(name, "it is not known here")),
            None => Ok(()),
        }
    }
}

impl Conditions {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, GatewayError> {
        let text = |name: &str| match headers.get(name).map(|value| value.to_str()) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.to_owned())),
            Some(Err(_)) => Err(GatewayError::request(
                400,
                IssueCode::Value,
                "header-invalid",
                format!("the header {name} is not text"),
                "send it as printable ASCII",
            )),
        };
        Ok(Self {
            if_match: text("if-match")?,
            if_none_match: text("if-none-match")?,
            if_modified_since: text("if-modified-since")?,
            if_none_exist: text("if-none-exist")?,
        })
    }
}

impl Prefer {
    /// Unknown preferences are passed over, as RFC 7240 wants it; of one given twice the first counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let preferences: Vec<&str> = values.flat_map(|value| value.split([',', ';'])).map(str::trim).collect();
        for preference in preferences.iter().rev() {
            match preference.to_ascii_lowercase().as_str() {
                "return=minimal" => prefer.returns = Some(Return::Minimal),
                "return=representation" => prefer.returns = Some(Return::Representation),
                "return=operationoutcome" => prefer.returns = Some(Return::OperationOutcome),
                "handling=strict" => prefer.strict = Strictness::Strict,
                "handling=lenient" => prefer.strict = Strictness::Lenient,
                "respond-async" => prefer.respond_async = Waiting::Elsewhere,
                _ => {}
            }
        }
        prefer
    }
}

/// Reads `application/x-www-form-urlencoded`: a query, or the body of `_search`.
pub(crate) fn form(text: &str) -> Result<Vec<(String, String)>, GatewayError> {
    let wrong = |what: &str| {
        GatewayError::request(400, IssueCode::Value, "query-invalid", what, "encode the query as a form, in UTF-8")
    };
    let pairs = form_urlencoded::parse(text.as_bytes()).take(PARAMETERS_MAX + 1);
    let parameters: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    // What is not UTF-8 was replaced by the reader; nobody means that character.
    if parameters.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
        return Err(wrong("the query is not UTF-8"));
    }
    if parameters.len() > PARAMETERS_MAX {
        return Err(wrong("the query has too many parameters"));
    }
    Ok(parameters)
}

/// Writes parameters as a query.
pub(crate) fn query<'p>(parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    query.finish()
}

/// A URL with parameters.
pub(crate) fn with_query<'p>(url: &str, parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let query = query(parameters);
    if query.is_empty() { url.to_owned() } else { format!("{url}?{query}") }
}

/// Names and values of parameters, as [`query`] takes them.
pub(crate) fn borrowed(parameters: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// The media type of a body. JSON is UTF-8 (RFC 8259, section 8.1), and so is everything else that is taken here.
pub(super) fn media(headers: &HeaderMap) -> Result<Option<String>, GatewayError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let value = value.to_str().unwrap_or("?").to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_owned();
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).map(|charset| charset.trim_matches('"'));
    match charset {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(Some(media)),
        Some(_) => Err(GatewayError::request(
            415,
            IssueCode::NotSupported,
            "charset-unsupported",
            "bodies are in UTF-8",
            "send the body in UTF-8, with charset=utf-8 or without charset",
        )),
    }
}

pub(crate) fn bad_parameter(name: &str, why: &str) -> GatewayError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    GatewayError::request(
        400,
        IssueCode::NotSupported,
        "parameter-unsupported",
        format!("the parameter {name}: {why}"),
        "GET /fhir/metadata tells what this server offers",
    )
}
