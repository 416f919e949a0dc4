//! Writing one resource: create, update, patch and delete, each with its conditional form (FHIR R4, http.html).

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType};
use sealwort_smart::Action;

use super::reply::{Reply, preferred};
use super::request::{Ask, Return, bad_parameter, borrowed, query};
use super::{queued, validate};
use crate::Gateway;
use crate::change::{Does, Done, NewId, Unresolved, Wanted, fresh_id, only, single};
use crate::error::GatewayError;
use crate::home::Home;
use crate::seen::check_scope;

/// Media types of a resource in JSON.
const JSON_MEDIA: [&str; 4] = ["application/fhir+json", "application/json", "application/json+fhir", "text/json"];
/// Bodies up to this are read where they arrive: it takes less time than handing them over.
const INLINE_BYTES_MAX: usize = 32 * 1024;
/// Media type of a JSON Patch (RFC 6902).
const PATCH_MEDIA: &str = "application/json-patch+json";

/// `POST [type]`
pub(super) async fn create(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let kind = ask.place.kind()?;
    check_scope(&ask.asking, Action::Create, kind)?;
    let resource = received(ask, kind).await?;
    // An id that the client brings is not looked at (FHIR R4, http.html#create).
    let id = fresh_id()?;
    let home = gateway.home_of(&resource, Some(&id)).await?;
    let does = Does::Create { if_none_exist: ask.conditions.if_none_exist.clone(), id: NewId::Fresh };
    let wanted = wanted(ask, does, kind, Some(id), Some(resource));
    let done = only(gateway.carry_out(&single(wanted, home, Unresolved::Refuse), &ask.asking).await?)?;
    Ok(answer(&done, ask))
}

/// `PUT [type]/[id]`
pub(super) async fn update(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    check_scope(&ask.asking, Action::Update, kind)?;
    let resource = received(ask, kind).await?;
    if resource.id() != Some(id) {
        return Err(id_differs(kind));
    }
    let home = gateway.home_of(&resource, Some(id)).await?;
    let wanted = wanted(ask, Does::Update { search: None }, kind, Some(id.clone()), Some(resource));
    let done = only(gateway.carry_out(&single(wanted, home, Unresolved::Refuse), &ask.asking).await?)?;
    Ok(answer(&done, ask))
}

/// `PUT [type]?search`
pub(super) async fn update_conditional(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let kind = ask.place.kind()?;
    check_scope(&ask.asking, Action::Update, kind)?;
    let resource = received(ask, kind).await?;
    let search = query(borrowed(&ask.parameters));
    let id = resource.id().cloned();
    let new = match &id {
        Some(id) => id.clone(),
        None => fresh_id()?,
    };
    let home = gateway.home_of(&resource, Some(&new)).await?;
    let wanted = wanted(ask, Does::Update { search: Some(search) }, kind, id, Some(resource));
    let done = only(gateway.carry_out(&single(wanted, home, Unresolved::Refuse), &ask.asking).await?)?;
    Ok(answer(&done, ask))
}

/// `PATCH [type]/[id]`
pub(super) async fn patch(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    check_scope(&ask.asking, Action::Update, kind)?;
    if !ask.media.as_deref().is_some_and(|media| media == PATCH_MEDIA || JSON_MEDIA.contains(&media)) {
        return Err(unsupported_media("a patch is a JSON Patch (RFC 6902)", PATCH_MEDIA));
    }
    let home = home_shown(gateway, ask).await?.ok_or_else(super::read::not_found)?;
    let wanted = wanted(ask, Does::Patch(ask.body.clone()), kind, Some(id.clone()), None);
    let done = only(gateway.carry_out(&single(wanted, home, Unresolved::Refuse), &ask.asking).await?)?;
    Ok(answer(&done, ask))
}

/// `DELETE [type]/[id]`. What is not there is gone already.
pub(super) async fn delete(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    check_scope(&ask.asking, Action::Delete, kind)?;
    let Some(home) = home_shown(gateway, ask).await? else {
        return Ok(Reply::status(StatusCode::NO_CONTENT));
    };
    let wanted = wanted(ask, Does::Delete, kind, Some(id.clone()), None);
    let done = only(gateway.carry_out(&single(wanted, home, Unresolved::Refuse), &ask.asking).await?)?;
    if done.queued {
        return Ok(queued());
    }
    let mut reply = Reply::status(StatusCode::NO_CONTENT);
    reply.version = done.version;
    Ok(reply)
}

/// The record that holds what is to be changed. What consent withholds is found out here, so that it takes no longer to
/// tell than what is not there.
async fn home_shown(gateway: &Gateway, ask: &Ask) -> Result<Option<Home>, GatewayError> {
    let (kind, id) = (ask.place.kind()?, ask.place.id()?);
    let Some(patient) = gateway.patient_holding(kind, id.as_str(), &ask.asking.purpose).await? else {
        return Ok(None);
    };
    match gateway.open(patient, &ask.asking).await {
        Ok(view) if view.get(kind, id.as_str()).is_none() => Ok(None),
        Err(error) if gateway.roster.is_registered(patient).await? => Err(error),
        // Nothing is at the archive yet: it waits here.
        Ok(_) | Err(_) => gateway.home_by_pseudonym(patient).await.map(Some),
    }
}

pub(super) fn id_differs(kind: ResourceType) -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::Invariant,
        "id-differs",
        "the id of the resource is not the id of the URL",
        "send the resource with the id of the URL",
    )
    .at(format!("{kind}.id"))
}

fn wanted(ask: &Ask, does: Does, kind: ResourceType, id: Option<ResourceId>, resource: Option<Resource>) -> Wanted {
    Wanted {
        does,
        kind,
        id,
        resource,
        label: None,
        if_match: ask.conditions.if_match.clone(),
        if_none_match: ask.conditions.if_none_match.clone(),
        expression: String::new(),
        full_url: None,
    }
}

/// The resource that was sent: read, of the type of the URL, and valid.
pub(super) async fn received(ask: &Ask, kind: ResourceType) -> Result<Resource, GatewayError> {
    check_media(ask)?;
    let (body, strictness) = (ask.body.clone(), ask.prefer.strict);
    apart(body.len(), move || {
        let resource = Resource::parse(body)?;
        if resource.resource_type() != kind {
            return Err(GatewayError::request(
                400,
                IssueCode::Invariant,
                "type-differs",
                format!("a {} was sent to {kind}", resource.resource_type()),
                "send the resource to its own type",
            )
            .at("resourceType"));
        }
        validate::check(&resource, strictness)?;
        Ok(resource)
    })
    .await
}

/// The resource that was sent, read and no more.
pub(super) async fn parsed(ask: &Ask) -> Result<Resource, GatewayError> {
    check_media(ask)?;
    let body = ask.body.clone();
    apart(body.len(), move || Ok(Resource::parse(body)?)).await
}

/// Does work on so many bytes: large work away from the threads that serve connections.
pub(crate) async fn apart<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, GatewayError> + Send + 'static,
) -> Result<T, GatewayError> {
    if bytes <= INLINE_BYTES_MAX {
        return work();
    }
    let done = sealwort_net::transport::away(work).await;
    done.map_err(|_| GatewayError::Kept("reading what was sent was interrupted"))?
}

/// Refuses what says that it is not JSON.
pub(super) fn check_media(ask: &Ask) -> Result<(), GatewayError> {
    match ask.media.as_deref() {
        Some(media) if !JSON_MEDIA.contains(&media) => Err(unsupported_media(
            "this server takes FHIR in JSON; it does not take XML or Turtle",
            "application/fhir+json",
        )),
        _ => Ok(()),
    }
}

fn unsupported_media(text: &str, right: &str) -> GatewayError {
    GatewayError::request(
        415,
        IssueCode::NotSupported,
        "media-type-unsupported",
        text,
        format!("send Content-Type: {right}"),
    )
}

fn answer(done: &Done, ask: &Ask) -> Reply {
    if done.queued {
        return queued();
    }
    let mut reply = match &done.content {
        Some(content) => Reply::resource(done.status, content.clone()),
        None => Reply::status(done.status),
    };
    reply.version = done.version;
    reply.changed = Some(done.changed);
    let version = done.version.map(|version| format!("/_history/{version}")).unwrap_or_default();
    reply.location = Some(format!("{}/{}{version}", done.kind, done.id));
    preferred(reply, ask.prefer.returns.unwrap_or(Return::Representation))
}

/// The search in a URL of a Bundle's entry, `Patient?identifier=…`, as a query without the type.
pub(super) fn search_of(url: &str) -> Result<&str, GatewayError> {
    url.split_once('?').map(|(_, query)| query).ok_or_else(|| bad_parameter("url", "it has no search"))
}
