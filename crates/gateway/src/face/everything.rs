//! `Patient/[id]/$everything` and `Patient/[id]/$summary`: a whole record, and the International Patient Summary of it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use sealwort_fhir::response::{PageLinks, SearchEntry, SearchMode, searchset};
use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType, SummaryAuthor, SummaryRequest, summary};
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::random;
use sealwort_smart::Action;

use super::cursor::{Cursor, PARAMETER, Resume};
use super::reply::{Reply, date};
use super::request::{Ask, bad_parameter, borrowed, with_query};
use crate::Gateway;
use crate::error::GatewayError;
use crate::seen::Seen;
use crate::trail::Trail;
use crate::view::Held;

/// Most resources on a page.
const COUNT_MAX: usize = 10_000;

/// `GET Patient/[id]/$everything` (FHIR R4, patient-operation-everything.html). Without `_count` all of it comes at once.
pub(super) async fn everything(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["_since", "_type", "_count", PARAMETER])?;
    let (seen, id) = whole(gateway, ask).await?;
    let chosen = Chosen::of(ask)?;
    let kept: Vec<_> = seen.places().filter(|(_, held)| chosen.takes(held)).collect();
    let count = match ask.parameter("_count")? {
        Some(count) => count.parse::<usize>().map_err(|_| bad_parameter("_count", "it is a whole number"))?,
        None => COUNT_MAX,
    };
    let count = count.clamp(1, COUNT_MAX);
    // Places do not change: what is written meanwhile comes after them.
    let from = match ask.parameter(PARAMETER)? {
        Some(text) => match Cursor::open(gateway, text)?.resume {
            Resume::History { skip, .. } => usize::try_from(skip).unwrap_or(usize::MAX),
            Resume::Search(_) | Resume::Row(_) => return Err(super::cursor::unusable()),
        },
        None => 0,
    };
    let mut rest = kept.iter().filter(|(place, _)| *place >= from);
    let page: Vec<_> = rest.by_ref().take(count).collect();
    let entries: Vec<_> = page
        .iter()
        .filter_map(|(_, held)| {
            ask.asking.trail.shows(seen.view.patient, held.kind, held.id.as_str());
            Some(SearchEntry {
                full_url: Some(format!("{}/{}/{}", gateway.base, held.kind, held.id)),
                content: Cow::Borrowed(held.newest().content.as_deref()?),
                mode: SearchMode::Match,
            })
        })
        .collect();
    let url = |extra: Option<(&str, &str)>| {
        let kept = borrowed(&ask.parameters).filter(|(name, _)| *name != PARAMETER);
        with_query(&format!("{}/Patient/{id}/$everything", gateway.base), kept.chain(extra))
    };
    let next = rest.next().map(|(place, _)| {
        let resume = Resume::History { total: kept.len() as u64, skip: *place as u64 };
        let cursor = Cursor { parameters: Vec::new(), record: None, resume }.seal(gateway);
        url(Some((PARAMETER, &cursor)))
    });
    let links = PageLinks { this: url(None), next };
    Ok(Reply::resource(StatusCode::OK, searchset(&entries, &links, Some(kept.len() as u64))).of(&seen))
}

/// `GET Patient/[id]/$summary`, `GET Patient/$summary?identifier=system|value` (HL7 IPS).
pub(super) async fn ips(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["identifier", "profile", "graph"])?;
    let (seen, id) = whole(gateway, ask).await?;
    let document = summarised(gateway, &seen, &id, &ask.asking.trail)?;
    Ok(Reply::resource(StatusCode::OK, document).of(&seen))
}

/// The summary of a record.
pub(super) fn summarised(
    gateway: &Gateway,
    seen: &Seen,
    id: &ResourceId,
    trail: &Trail,
) -> Result<Vec<u8>, GatewayError> {
    let read = |held: &Held| {
        trail.shows(seen.view.patient, held.kind, held.id.as_str());
        Resource::parse(held.newest().content.clone()?).ok()
    };
    let patient = seen.find(ResourceType::PATIENT, id).and_then(read).ok_or_else(super::read::not_found)?;
    let record: Vec<Resource> = seen.places().filter_map(|(_, held)| read(held)).collect();
    let record: Vec<&Resource> = record.iter().collect();
    let now = date(gateway.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let identity = gateway.member.identity();
    let organization: ResourceId = identity.name.to_string().parse().or_else(|_| crate::change::fresh_id())?;
    Ok(summary(&SummaryRequest {
        patient: &patient,
        record: &record,
        author: SummaryAuthor { id: &organization, name: &identity.name.to_string() },
        uuid: &fresh_uuid()?,
        base_url: &gateway.base,
        now,
    })?)
}

/// A random UUID (RFC 9562, version 4).
fn fresh_uuid() -> Result<ResourceId, GatewayError> {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let text = hex::encode(bytes);
    let parts =
        [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)].map(|(from, to)| text.get(from..to).unwrap_or_default());
    parts.join("-").parse().map_err(|_| GatewayError::Kept("a fresh UUID is not valid"))
}

/// The record of the patient in the path, or of the one that `identifier` names.
pub(super) async fn whole(gateway: &Arc<Gateway>, ask: &Ask) -> Result<(Seen, ResourceId), GatewayError> {
    let id = match (&ask.place.id, ask.parameter("identifier")?) {
        (Some(id), _) => id.clone(),
        (None, Some(token)) => {
            let reference = gateway.patient_reference(token, &ask.asking).await?;
            let id = reference.as_deref().and_then(|reference| reference.strip_prefix("Patient/")?.parse().ok());
            id.ok_or_else(GatewayError::unknown_patient)?
        }
        (None, None) => {
            return Err(GatewayError::request(
                400,
                IssueCode::Required,
                "patient-needed",
                "the request names no patient",
                "ask for Patient/[id]/$summary, or Patient/$summary?identifier=system|value",
            ));
        }
    };
    let seen = gateway.see(&ask.asking, ResourceType::PATIENT, &id, Action::Read).await?;
    if seen.find(ResourceType::PATIENT, &id).is_none_or(|held| held.newest().content.is_none()) {
        return Err(super::read::not_found());
    }
    Ok((seen, id))
}

/// Which resources are asked for.
pub(super) struct Chosen {
    types: Option<Vec<ResourceType>>,
    since: Option<UnixTime>,
}

impl Chosen {
    /// By `_type` and `_since`.
    pub(super) fn of(ask: &Ask) -> Result<Self, GatewayError> {
        let types = ask.parameter("_type")?;
        let types = types.map(|types| {
            let read = |name: &str| name.trim().parse().map_err(|_| super::table::unknown_type(name));
            types.split(',').map(read).collect::<Result<Vec<ResourceType>, GatewayError>>()
        });
        Ok(Self { types: types.transpose()?, since: ask.parameter("_since")?.map(super::since).transpose()? })
    }

    /// Whether this one is.
    pub(super) fn takes(&self, held: &Held) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&held.kind))
            && self.since.is_none_or(|since| held.newest().changed >= since)
    }
}

/// The lines of one type, for an export.
pub(super) fn lines<'a>(held: impl Iterator<Item = &'a Held>) -> Bytes {
    let mut out = Vec::new();
    for content in held.filter_map(|held| held.newest().content.as_ref()) {
        // A line's end inside JSON is only ever white space: within strings it is escaped.
        out.extend(content.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        out.push(b'\n');
    }
    out.into()
}
