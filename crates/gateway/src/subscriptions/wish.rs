//! What a Subscription asks for (FHIR R4, subscription.html), read from the resource: which changes, and how to tell of
//! them. Only what this server does is taken; everything else is refused with its place.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use sealwort_fhir::search::{Handling, Query};
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_net::client::web::WebClient;
use sealwort_smart::Action;
use serde_json::Value;

use crate::error::GatewayError;
use crate::face::check_links;
use crate::face::request::form;
use crate::seen::check_scope;
use crate::user::Asking;

/// Says what a notice holds (HL7 Subscriptions R5 Backport).
const PAYLOAD_CONTENT: &str =
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content";
/// Most header fields of a Subscription, and the most bytes of one.
const HEADERS_MAX: usize = 8;
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Longest criteria, in bytes.
const CRITERIA_BYTES_MAX: usize = 2 * 1024;
/// Header fields that this server sets itself, or that say how a connection is used.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Parameters that say how an answer looks, which a notice has none of.
const ANSWER_PARAMETERS: [&str; 8] =
    ["_sort", "_count", "_include", "_revinclude", "_summary", "_elements", "_total", "_format"];

/// What is wanted of a Subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// That it tells.
    On,
    /// That it does not.
    Off,
}

/// What a notice holds. It never holds a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// Nothing.
    Empty,
    /// Ids of what changed.
    Ids,
}

/// A Subscription, read.
pub(super) struct Wish {
    pub(super) wanted: Wanted,
    /// When it ends, Unix time.
    pub(super) end: Option<u64>,
    pub(super) kind: ResourceType,
    /// The parameters of its criteria, and the search that they are.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) endpoint: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
}

impl Wish {
    /// Reads it; what cannot be done is refused.
    pub(super) fn read(resource: &Value) -> Result<Self, GatewayError> {
        let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str);
        let wanted = match text("/status") {
            Some("requested" | "active") => Wanted::On,
            Some("off") => Wanted::Off,
            _ => {
                return Err(wrong("status", "a client sets it to requested or off", "send the status requested"));
            }
        };
        let end = match text("/end") {
            None => None,
            Some(end) => {
                let end = time::OffsetDateTime::parse(end, &time::format_description::well_known::Rfc3339).ok();
                let end = end.and_then(|end| u64::try_from(end.unix_timestamp()).ok());
                Some(end.ok_or_else(|| wrong("end", "it is no instant", "send it as 2026-01-31T12:00:00Z"))?)
            }
        };
        if text("/channel/type") != Some("rest-hook") {
            let what = "this server tells by rest-hook alone";
            return Err(wrong("channel.type", what, "send the type rest-hook"));
        }
        let endpoint = text("/channel/endpoint").unwrap_or_default().to_owned();
        let (kind, parameters, query) = criteria(text("/criteria").unwrap_or_default())?;
        let headers = resource.pointer("/channel/header").and_then(Value::as_array);
        let headers: Vec<_> = headers
            .into_iter()
            .flatten()
            .map(|one| header(one.as_str().unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        if headers.len() > HEADERS_MAX {
            return Err(wrong("channel.header", "there are more than 8", "send 8 at most"));
        }
        Ok(Self { wanted, end, kind, parameters, query, endpoint, headers, payload: payload(resource)? })
    }

    /// Refuses what this client may not search for, and an endpoint that may not be asked.
    pub(super) fn check(&self, asking: &Asking, web: &WebClient) -> Result<(), GatewayError> {
        check_scope(asking, Action::Search, self.kind)?;
        check_links(&self.query, asking)?;
        web.check(&self.endpoint).map_err(|error| {
            wrong("channel.endpoint", &error.to_string(), "send an https URL that everybody can reach")
        })
    }

    /// The host of the endpoint: paths and queries may be secrets.
    pub(super) fn host(&self) -> String {
        let uri: Option<http::Uri> = self.endpoint.parse().ok();
        uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
    }
}

fn criteria(text: &str) -> Result<(ResourceType, Vec<(String, String)>, Query), GatewayError> {
    let bad = |what: &str| wrong("criteria", what, "send a search such as Observation?patient=id&code=system|code");
    if text.len() > CRITERIA_BYTES_MAX {
        return Err(bad("they are longer than 2 KiB"));
    }
    let (kind, search) = text.split_once('?').ok_or_else(|| bad("they are no search: a type, ? and parameters"))?;
    let kind: ResourceType = kind.parse().map_err(|_| bad("they begin with no resource type of R4"))?;
    let parameters = form(search)?;
    let of_answer =
        |(name, _): &&(String, String)| ANSWER_PARAMETERS.contains(&name.split(':').next().unwrap_or_default());
    if let Some((name, _)) = parameters.iter().find(of_answer) {
        return Err(bad(&format!("{name} says how an answer looks, and a notice has none")));
    }
    if kind == ResourceType::SUBSCRIPTION {
        return Err(bad("Subscriptions are not subscribed to"));
    }
    let query = Query::parse(Some(kind), &parameters, Handling::Strict);
    let query = query.map_err(|error| GatewayError::from(error).within("Subscription.criteria"))?;
    Ok((kind, parameters, query))
}

fn payload(resource: &Value) -> Result<Payload, GatewayError> {
    let place = "channel.payload";
    let content = resource.pointer("/channel/_payload/extension").and_then(Value::as_array);
    let content = content.into_iter().flatten().find(|one| one.get("url").is_some_and(|url| url == PAYLOAD_CONTENT));
    let content = content.and_then(|one| one.get("valueCode")).and_then(Value::as_str);
    match (resource.pointer("/channel/payload").and_then(Value::as_str), content) {
        (None, None | Some("empty")) => Ok(Payload::Empty),
        (Some("application/fhir+json" | "application/json"), Some("id-only")) => Ok(Payload::Ids),
        (Some("application/fhir+json" | "application/json"), _) => Err(wrong(
            place,
            "a notice never holds a record",
            "leave the payload out, or add the extension backport-payload-content with the code id-only",
        )),
        _ => Err(wrong(place, "this server writes JSON", "send application/fhir+json, or leave the payload out")),
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), GatewayError> {
    let bad = |what: &str| wrong("channel.header", what, "send it as Name: value");
    if line.len() > HEADER_BYTES_MAX {
        return Err(bad("it is longer than 4 KiB"));
    }
    let (name, value) = line.split_once(':').ok_or_else(|| bad("it has no colon"))?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad("its name is none of HTTP"))?;
    if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(bad("this field is set by the server itself"));
    }
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| bad("its value has letters that HTTP does not"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The id-only notice of the Subscriptions R5 Backport for R4: a Bundle with the status and, for each change, its URL.
pub(super) fn ids_only(base: &str, subscription: &str, event: u64, at: &str, changed: &[String]) -> Bytes {
    use serde_json::json;
    let url = format!("{base}/Subscription/{subscription}");
    let focus = |name: &String| json!({"name": "focus", "valueReference": {"reference": format!("{base}/{name}")}});
    let mut parts = vec![
        json!({"name": "event-number", "valueString": event.to_string()}),
        json!({"name": "timestamp", "valueInstant": at}),
    ];
    parts.extend(changed.first().map(focus));
    parts.extend(
        changed.iter().skip(1).map(
            |name| json!({"name": "additional-context", "valueReference": {"reference": format!("{base}/{name}")}}),
        ),
    );
    let status = json!({
        "resourceType": "Parameters",
        "meta": {"profile": [
            "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"
        ]},
        "parameter": [
            {"name": "subscription", "valueReference": {"reference": url}},
            {"name": "status", "valueCode": "active"},
            {"name": "type", "valueCode": "event-notification"},
            {"name": "events-since-subscription-start", "valueString": event.to_string()},
            {"name": "notification-event", "part": parts},
        ],
    });
    let mut entries = vec![json!({
        "fullUrl": format!("urn:uuid:{}", uuid()),
        "resource": status,
        "request": {"method": "GET", "url": format!("Subscription/{subscription}")},
        "response": {"status": "200"},
    })];
    entries.extend(changed.iter().map(|name| {
        json!({
            "fullUrl": format!("{base}/{name}"),
            "request": {"method": "PUT", "url": name},
            "response": {"status": "200"},
        })
    }));
    json!({"resourceType": "Bundle", "type": "history", "timestamp": at, "entry": entries}).to_string().into()
}

fn uuid() -> String {
    let bytes: [u8; 16] = sealwort_proto::crypto::random();
    let hex = hex::encode(bytes);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    // Version 4 and its variant (RFC 9562, section 5.4).
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

pub(super) fn wrong(place: &str, what: &str, remedy: &str) -> GatewayError {
    GatewayError::request(422, IssueCode::NotSupported, "subscription-unsupported", what, remedy)
        .at(format!("Subscription.{place}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn subscription() -> Value {
        json!({
            "resourceType": "Subscription", "status": "requested", "reason": "x",
            "criteria": "Observation?patient=p1&code=http://loinc.org|8867-4",
            "channel": {"type": "rest-hook", "endpoint": "https://app.example/hook", "header": ["X-Key: a b"]},
        })
    }

    #[test]
    fn only_what_this_server_does_is_taken() {
        let read = Wish::read(&subscription()).unwrap();
        assert_eq!((read.wanted, read.payload, read.host().as_str()), (Wanted::On, Payload::Empty, "app.example"));
        assert_eq!(
            read.headers.first().map(|(name, value)| (name.as_str(), value.as_bytes())),
            Some(("x-key", &b"a b"[..]))
        );
        let ids = json!({"extension": [{"url": PAYLOAD_CONTENT, "valueCode": "id-only"}]});
        let full = json!({"extension": [{"url": PAYLOAD_CONTENT, "valueCode": "full-resource"}]});
        let cases = [
            ("/status", json!("error"), "status"),
            ("/end", json!("soon"), "end"),
            ("/criteria", json!("Observation"), "criteria"),
            ("/criteria", json!("Zebra?x=y"), "criteria"),
            ("/criteria", json!("Subscription?status=active"), "criteria"),
            ("/criteria", json!("Observation?patient=p1&_include=Observation:subject"), "criteria"),
            ("/criteria", json!("Observation?patient=p1&_count=1"), "criteria"),
            ("/channel/type", json!("websocket"), "channel.type"),
            ("/channel/payload", json!("application/fhir+json"), "channel.payload"),
            ("/channel/payload", json!("application/fhir+xml"), "channel.payload"),
            ("/channel/_payload", full, "channel.payload"),
            ("/channel/header", json!(["no colon"]), "channel.header"),
            ("/channel/header", json!(["Host: other"]), "channel.header"),
            ("/channel/header", json!(["X-Key: a\r\nHost: other"]), "channel.header"),
            ("/channel/header", json!(vec!["X-Key: a"; 9]), "channel.header"),
        ];
        for (pointer, value, place) in cases {
            let mut changed = subscription();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value.clone());
            let error = Wish::read(&changed).err().unwrap();
            let outcome = String::from_utf8(error.outcome().to_bytes()).unwrap();
            assert!(outcome.contains(&format!("\"Subscription.{place}\"")), "{pointer} {value}: {outcome}");
        }
        let mut with_ids = subscription();
        let channel = with_ids.pointer_mut("/channel").unwrap().as_object_mut().unwrap();
        channel.insert("payload".to_owned(), json!("application/fhir+json"));
        channel.insert("_payload".to_owned(), ids);
        assert_eq!(Wish::read(&with_ids).unwrap().payload, Payload::Ids);
    }

    #[test]
    fn a_notice_is_valid_and_names_ids_alone() {
        let changed = ["Observation/a".to_owned(), "Observation/b".to_owned()];
        let notice = ids_only("https://h.example/fhir", "s1", 3, "2026-01-02T03:04:05Z", &changed);
        let tree: Value = serde_json::from_slice(&notice).unwrap();
        let issues = sealwort_fhir::validate(&tree, sealwort_fhir::Handling::Strict);
        assert!(sealwort_fhir::validation::is_acceptable(&issues), "{issues:?}");
        assert_eq!(tree["entry"].as_array().unwrap().len(), 3);
        assert!(tree["entry"].as_array().unwrap().iter().skip(1).all(|entry| entry.get("resource").is_none()));
    }
}
