//! Reading one resource, its versions and histories (FHIR R4, http.html: read, vread, history).

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::response::{HistoryEntry, PageLinks, history};
use sealwort_fhir::{IssueCode, ResourceId, ResourceType};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_smart::Action;

use super::cursor::{Cursor, Resume};
use super::reply::{Reply, names_version};
use super::request::{Ask, bad_parameter, borrowed, with_query};
use crate::Gateway;
use crate::error::GatewayError;
use crate::seen::{Seen, check_scope};
use crate::user::Asking;
use crate::view::{Held, Version};

/// Entries on a page of a history where the client names no number.
const HISTORY_COUNT: usize = 100;
/// Most entries on a page.
const HISTORY_COUNT_MAX: usize = 1000;

/// `GET [type]/[id]`
pub(super) async fn read(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    let seen = gateway.see(&ask.asking, kind, id, Action::Read).await?;
    let held = seen.find(kind, id).ok_or_else(not_found)?;
    let newest = held.newest();
    if newest.content.is_none() {
        return Err(deleted());
    }
    let conditions = &ask.conditions;
    let same = match (&conditions.if_none_match, &conditions.if_modified_since) {
        (Some(tags), _) => names_version(tags, newest.number),
        (None, Some(since)) => not_modified_since(since, newest.changed),
        (None, None) => false,
    };
    if same {
        let mut reply = Reply::version(StatusCode::NOT_MODIFIED, newest);
        reply.content = bytes::Bytes::new();
        reply.kind = super::reply::Content::Nothing;
        return Ok(reply);
    }
    ask.asking.trail.shows(seen.view.patient, kind, id.as_str());
    Ok(Reply::version(StatusCode::OK, newest).of(&seen))
}

/// `GET [type]/[id]/_history/[version]`
pub(super) async fn vread(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    let seen = gateway.see(&ask.asking, kind, id, Action::Read).await?;
    let held = seen.view.get(kind, id.as_str()).ok_or_else(not_found)?;
    let version = ask.place.version.and_then(|number| held.version(number));
    let version = version.filter(|version| seen.shows_version(held, version)).ok_or_else(not_found)?;
    if version.content.is_none() {
        return Err(deleted());
    }
    ask.asking.trail.shows(seen.view.patient, kind, id.as_str());
    Ok(Reply::version(StatusCode::OK, version).of(&seen))
}

/// `GET [type]/[id]/_history`
pub(super) async fn history_of_one(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    let seen = gateway.see(&ask.asking, kind, id, Action::Read).await?;
    let held = seen.view.get(kind, id.as_str()).ok_or_else(not_found)?;
    let versions: Vec<_> =
        held.versions().filter(|version| seen.shows_version(held, version)).map(|version| (held, version)).collect();
    if versions.is_empty() {
        return Err(not_found());
    }
    page(gateway, ask, &seen, versions, &format!("{kind}/{}/_history", id.as_str()))
}

/// `GET [type]/_history?patient=…`
pub(super) async fn history_of_type(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let kind = ask.place.kind()?;
    check_scope(&ask.asking, Action::Search, kind)?;
    let patient = match (ask.parameter("patient")?, &ask.asking.patient) {
        (Some(named), _) => named.strip_prefix("Patient/").unwrap_or(named).to_owned(),
        (None, Some(context)) => context.as_str().to_owned(),
        (None, None) => {
            return Err(GatewayError::request(
                400,
                IssueCode::Required,
                "patient-needed",
                "a history is told within one patient's record",
                format!("ask for one patient: {kind}/_history?patient=id"),
            ));
        }
    };
    let patient = gateway.patient_named(&patient, &ask.asking.purpose).await?;
    let view = gateway.open(patient, &ask.asking).await?;
    let seen = Seen::new(view, &ask.asking, Action::Search)?;
    let mut versions: Vec<_> = seen
        .view
        .all()
        .filter(|(_, held)| held.kind == kind)
        .flat_map(|(_, held)| held.versions().map(move |version| (held, version)))
        .filter(|(held, version)| seen.shows_version(held, version))
        .collect();
    // The newest first; of one second, in the order of their names.
    versions.sort_by(|(a, x), (b, y)| {
        y.changed.cmp(&x.changed).then_with(|| a.id.cmp(&b.id)).then(y.number.cmp(&x.number))
    });
    page(gateway, ask, &seen, versions, &format!("{kind}/_history"))
}

/// One page of versions, which are in order: the newest first.
fn page(
    gateway: &Gateway,
    ask: &Ask,
    seen: &Seen,
    versions: Vec<(&Held, &Version)>,
    path: &str,
) -> Result<Reply, GatewayError> {
    ask.knows(&["_count", "_since", "patient", super::cursor::PARAMETER])?;
    let count = match ask.parameter("_count")? {
        Some(count) => count.parse::<usize>().map_err(|_| bad_parameter("_count", "it is a whole number"))?,
        None => HISTORY_COUNT,
    };
    let count = count.clamp(1, HISTORY_COUNT_MAX);
    let since = ask.parameter("_since")?.map(super::since).transpose()?;
    let kept: Vec<_> =
        versions.into_iter().filter(|(_, version)| since.is_none_or(|since| version.changed >= since)).collect();
    let skip = match ask.parameter(super::cursor::PARAMETER)? {
        Some(text) => match Cursor::open(gateway, text)?.resume {
            // What was written since then stands before what was shown.
            Resume::History { total, skip } => skip + (kept.len() as u64).saturating_sub(total),
            Resume::Search(_) | Resume::Row(_) => return Err(super::cursor::unusable()),
        },
        None => 0,
    };
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let entries: Vec<_> = kept
        .iter()
        .skip(skip)
        .take(count)
        .inspect(|(held, _)| ask.asking.trail.shows(seen.view.patient, held.kind, held.id.as_str()))
        .map(|(held, version)| HistoryEntry {
            full_url: format!("{}/{}/{}", gateway.base, held.kind, held.id),
            url: format!("{}/{}", held.kind, held.id),
            content: version.content.as_deref(),
            version: version.number,
            changed: super::reply::date(version.changed),
        })
        .collect();
    let shown = skip + entries.len();
    let url = |extra: Option<(&str, &str)>| {
        let kept = borrowed(&ask.parameters).filter(|(name, _)| *name != super::cursor::PARAMETER);
        with_query(&format!("{}/{path}", gateway.base), kept.chain(extra))
    };
    let next = (shown < kept.len()).then(|| {
        let resume = Resume::History { total: kept.len() as u64, skip: shown as u64 };
        let cursor = Cursor { parameters: Vec::new(), record: None, resume }.seal(gateway);
        url(Some((super::cursor::PARAMETER, &cursor)))
    });
    let links = PageLinks { this: url(None), next };
    Ok(Reply::resource(StatusCode::OK, history(&entries, &links, kept.len() as u64)).of(seen))
}

impl Gateway {
    /// The record that holds a resource, as the request may see it.
    pub(crate) async fn see(
        &self,
        asking: &Asking,
        kind: ResourceType,
        id: &ResourceId,
        action: Action,
    ) -> Result<Seen, GatewayError> {
        check_scope(asking, action, kind)?;
        let Some(patient) = self.patient_holding(kind, id.as_str(), &asking.purpose).await? else {
            // A token about one patient learns nothing of others, not even that they were erased.
            let erased = asking.context.is_none() && self.roster.was_erased(kind.as_str(), id.as_str()).await?;
            return Err(if erased { GatewayError::erased_patient() } else { not_found() });
        };
        let view = self.open(patient, asking).await?;
        Seen::new(view, asking, action)
    }
}

impl Gateway {
    /// The patient whose record holds a resource: by the roster, or, until it is noted there, by what is open. Whom an
    /// emergency access alone opened is in no roster, and is known all the same: what consent says to other purposes is
    /// told with its reason.
    pub(crate) async fn patient_holding(
        &self,
        kind: ResourceType,
        id: &str,
        purpose: &str,
    ) -> Result<Option<Pseudonym>, GatewayError> {
        let known = self.roster.by_resource(kind.as_str(), id).await?;
        if let Some(patient) = known.or_else(|| self.patients.holding(kind, id, purpose)) {
            return Ok(Some(patient));
        }
        let opened = if kind == ResourceType::PATIENT { self.emergencies.patient_opened(id) } else { None };
        Ok(opened.filter(|patient| !self.roster.is_erased(*patient)))
    }
}

fn not_modified_since(header: &str, changed: UnixTime) -> bool {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let parsed = time::PrimitiveDateTime::parse(header, &format);
    parsed.is_ok_and(|since| i64::try_from(changed.as_secs()).is_ok_and(|at| at <= since.assume_utc().unix_timestamp()))
}

pub(crate) fn not_found() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        "resource-unknown",
        "no such resource is known here",
        "open the patient first: GET Patient?identifier=system|value",
    )
}

pub(super) fn deleted() -> GatewayError {
    GatewayError::request(
        410,
        IssueCode::Deleted,
        "resource-deleted",
        "the resource was deleted",
        "GET [type]/[id]/_history lists its versions",
    )
}
