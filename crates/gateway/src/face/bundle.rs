//! `POST [base]`: a transaction, whose entries are stored patient by patient, each patient's part all or none; a batch,
//! whose entries stand for themselves; a collection or document, whose resources are stored under their own ids.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use http::{HeaderMap, Method, StatusCode};
use sealwort_fhir::compartment::patient_elements;
use sealwort_fhir::response::{ResponseEntry, ResponseKind, transaction_response};
use sealwort_fhir::{
    Bundle, BundleEntry, BundleKind, BundleRequest, Issue, IssueCode, Method as Verb, Outcome, Resource, ResourceId,
    ResourceType, Severity, logical_id, parse_bundle, partition, patient_references,
};
use sealwort_smart::Action;

use super::reply::{Format, Reply, date, etag};
use super::request::{Ask, Conditions, Return, Strictness};
use super::table::{Interaction, Place};
use super::{validate, write};
use crate::Gateway;
use crate::change::{Does, Done, Group, NewId, Plan, Unresolved, Wanted, fresh_id};
use crate::error::GatewayError;
use crate::home::Home;
use crate::seen::check_scope;

/// Most requests that a Bundle carries out one by one: entries of a batch, readings of a transaction.
const REQUESTS_MAX: usize = 1000;
/// Most bytes that such requests answer with together.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is not done inside a Bundle, for its answer is no resource, or no answer at once.
const NOT_IN_BUNDLES: [Interaction; 9] = [
    Interaction::Bundle,
    Interaction::Export,
    Interaction::ExportStatus,
    Interaction::ExportCancel,
    Interaction::ExportFile,
    Interaction::PhrExport,
    Interaction::Merge,
    Interaction::Unmerge,
    Interaction::SmartConfiguration,
];

/// Stores a Bundle, or carries out its entries.
pub(super) async fn post(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    write::check_media(ask)?;
    let (body, strictness) = (ask.body.clone(), ask.prefer.strict);
    let bundle = write::apart(body.len(), move || {
        let bundle = parse_bundle(body)?;
        if bundle.kind() != BundleKind::Batch {
            for (at, resource) in bundle.resources() {
                let place = format!("Bundle.entry[{at}].resource");
                validate::check(resource, strictness).map_err(|error| error.within(&place))?;
            }
        }
        Ok(bundle)
    })
    .await?;
    match bundle.kind() {
        BundleKind::Batch => batch(gateway, ask, &bundle).await,
        _ => transaction(gateway, ask, &bundle).await,
    }
}

/// Entry by entry, each on its own.
async fn batch(gateway: &Arc<Gateway>, ask: &Ask, bundle: &Bundle) -> Result<Reply, GatewayError> {
    if bundle.entries().len() > REQUESTS_MAX {
        return Err(too_many());
    }
    let mut replies = Vec::with_capacity(bundle.entries().len());
    let mut bytes = 0;
    for (at, entry) in bundle.entries().iter().enumerate() {
        let place = format!("Bundle.entry[{at}]");
        let reply = match entry_ask(ask, entry) {
            Ok((one, format)) => answered(gateway, &one, &format, &mut bytes).await,
            Err(error) => Err(error),
        };
        replies.push(reply.map_err(|error| error.within(&place)));
    }
    let entries: Vec<_> = replies.iter().map(|reply| of_reply(reply, gateway)).collect();
    Ok(Reply::resource(StatusCode::OK, transaction_response(ResponseKind::Batch, &entries)))
}

/// Does what an entry asks, as long as the answers stay within their limit.
async fn answered(
    gateway: &Arc<Gateway>,
    one: &Ask,
    format: &Format,
    bytes: &mut usize,
) -> Result<Reply, GatewayError> {
    let mut reply = super::dispatch_entry(gateway, one).await?;
    format.apply(&mut reply);
    *bytes += reply.content.len();
    if *bytes > ANSWERS_BYTES_MAX {
        return Err(GatewayError::request(
            413,
            IssueCode::TooLong,
            "answers-too-large",
            format!("the answers to this Bundle's entries would be larger than {ANSWERS_BYTES_MAX} bytes"),
            "ask for this entry in a request of its own",
        ));
    }
    Ok(reply)
}

/// An entry as a request of its own, and the form of its answer.
fn entry_ask(ask: &Ask, entry: &BundleEntry) -> Result<(Ask, Format), GatewayError> {
    let request = entry.request.as_ref().ok_or(GatewayError::Kept("an entry without a request was let in"))?;
    let url = request.url.trim_start_matches('/');
    let mut one = Ask::new(ask.asking.clone(), &method(request), url)?;
    if NOT_IN_BUNDLES.contains(&one.place.does) {
        return Err(unsupported(request));
    }
    let mut format = Format::take(&HeaderMap::new(), &mut one.parameters)?;
    if super::shows_one(one.place.does) {
        format.take_subset(&mut one.parameters)?;
    }
    one.conditions = Conditions {
        if_match: request.if_match.clone(),
        if_none_match: request.if_none_match.clone(),
        if_modified_since: request.if_modified_since.clone(),
        if_none_exist: request.if_none_exist.clone(),
    };
    one.prefer = ask.prefer;
    if let Some(resource) = &entry.resource {
        one.body = match one.place.does {
            Interaction::Patch => {
                one.media = Some("application/json-patch+json".to_owned());
                patch_in(resource)?.into()
            }
            _ => resource.bytes().clone(),
        };
    }
    Ok((one, format))
}

/// Everything at once: judged, then stored, then read.
async fn transaction(gateway: &Arc<Gateway>, ask: &Ask, bundle: &Bundle) -> Result<Reply, GatewayError> {
    let entries = bundle.entries();
    let mut ids: Vec<Option<ResourceId>> = Vec::with_capacity(entries.len());
    // Which of those wanted an entry is; nothing for entries that only read.
    let mut members: Vec<Option<usize>> = Vec::with_capacity(entries.len());
    let mut wanted = Vec::new();
    let mut reads: Vec<Option<(Ask, Format)>> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let place = format!("Bundle.entry[{at}]");
        let read = read_of(ask, entry).map_err(|error| error.within(&place))?;
        let id = match read {
            Some(_) => None,
            None => assigned_id(gateway, bundle, entry).await?,
        };
        let one = match &read {
            Some(_) => None,
            None => wanted_of(ask, bundle, entry, id.as_ref(), &place).map_err(|error| error.within(&place))?,
        };
        members.push(one.as_ref().map(|_| wanted.len()));
        wanted.extend(one);
        ids.push(id);
        reads.push(read);
    }
    if reads.iter().flatten().count() > REQUESTS_MAX {
        return Err(too_many());
    }
    let groups = groups(gateway, bundle, &ids, &members, &wanted).await?;
    let unresolved = match (ask.prefer.strict, bundle.kind()) {
        (Strictness::Usual | Strictness::Strict, BundleKind::Transaction) => Unresolved::Refuse,
        _ => Unresolved::Keep,
    };
    let done = gateway.carry_out(&Plan { wanted, groups, unresolved }, &ask.asking).await?;
    let mut found = HashMap::new();
    let mut bytes = 0;
    for (at, read) in reads.iter().enumerate() {
        if let Some((read, format)) = read {
            let reply = answered(gateway, read, format, &mut bytes).await;
            found.insert(at, reply.map_err(|error| error.within(&format!("Bundle.entry[{at}]"))));
        }
    }
    let queued = done.iter().any(|one| one.queued);
    let answers: Vec<_> = (0..entries.len())
        .map(|at| match (members.get(at).copied().flatten(), found.get(&at)) {
            (Some(member), _) => done.get(member).map_or_else(nothing_to_do, |one| of_done(one, ask)),
            (None, Some(reply)) => of_reply(reply, gateway),
            (None, None) => nothing_to_do(),
        })
        .collect();
    let status = if queued { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Reply::resource(status, transaction_response(ResponseKind::Transaction, &answers)))
}

/// The reading that an entry asks for.
fn read_of(ask: &Ask, entry: &BundleEntry) -> Result<Option<(Ask, Format)>, GatewayError> {
    match &entry.request {
        Some(request) if matches!(request.method, Verb::Get | Verb::Head) => entry_ask(ask, entry).map(Some),
        _ => Ok(None),
    }
}

/// The id under which an entry's resource is stored. What is created gets the uuid of its `urn:uuid:` URL where that is
/// free, so that it keeps the name by which its Bundle knows it; else a fresh one.
async fn assigned_id(
    gateway: &Gateway,
    bundle: &Bundle,
    entry: &BundleEntry,
) -> Result<Option<ResourceId>, GatewayError> {
    let Some(resource) = &entry.resource else { return Ok(None) };
    match &entry.request {
        Some(request) if bundle.kind().has_requests() && request.method == Verb::Post => {
            let uuid =
                entry.full_url.as_deref().and_then(|url| url.strip_prefix("urn:uuid:")?.parse::<ResourceId>().ok());
            let Some(uuid) = uuid else { return fresh_id().map(Some) };
            let kind = resource.resource_type();
            // What many patients share is kept in the record of each, under one id.
            if is_shared(kind) || gateway.roster.by_resource(kind.as_str(), uuid.as_str()).await?.is_none() {
                return Ok(Some(uuid));
            }
            fresh_id().map(Some)
        }
        Some(request) if bundle.kind().has_requests() && request.method == Verb::Put && request.url.contains('?') => {
            match resource.id() {
                Some(id) => Ok(Some(id.clone())),
                None => fresh_id().map(Some),
            }
        }
        Some(_) if bundle.kind().has_requests() => Ok(resource.id().cloned()),
        _ => match logical_id(entry) {
            Some(id) => Ok(Some(id)),
            None => fresh_id().map(Some),
        },
    }
}

/// Whether resources of this type are in nobody's compartment.
fn is_shared(kind: ResourceType) -> bool {
    kind != ResourceType::PATIENT && patient_elements(kind).next().is_none()
}

/// The change that an entry asks for.
fn wanted_of(
    ask: &Ask,
    bundle: &Bundle,
    entry: &BundleEntry,
    id: Option<&ResourceId>,
    place: &str,
) -> Result<Option<Wanted>, GatewayError> {
    let request = entry.request.as_ref().filter(|_| bundle.kind().has_requests());
    let expression = if entry.resource.is_some() { format!("{place}.resource") } else { format!("{place}.request") };
    let label = entry.resource.is_some().then(|| bundle.label_of(entry));
    let wanted = |does, kind, id, resource| Wanted {
        does,
        kind,
        id,
        resource,
        label,
        if_match: request.and_then(|request| request.if_match.clone()),
        if_none_match: request.and_then(|request| request.if_none_match.clone()),
        expression: expression.clone(),
        full_url: entry.full_url.clone(),
    };
    let Some(request) = request else {
        let Some(resource) = &entry.resource else { return Ok(None) };
        let kind = resource.resource_type();
        check_scope(&ask.asking, Action::Update, kind)?;
        return Ok(Some(wanted(Does::Update { search: None }, kind, id.cloned(), Some(resource.clone()))));
    };
    let asked: Place = super::table::find(&method(request), request.url.split('?').next().unwrap_or_default())?;
    let kind = asked.kind()?;
    let (does, action, id) = match asked.does {
        Interaction::Create => {
            let brought = is_shared(kind) && entry.full_url.as_deref().is_some_and(|url| url.starts_with("urn:uuid:"));
            let new_id = if brought { NewId::Brought } else { NewId::Fresh };
            let if_none_exist = request.if_none_exist.clone();
            (Does::Create { if_none_exist, id: new_id }, Action::Create, id.cloned())
        }
        Interaction::Update => (Does::Update { search: None }, Action::Update, id.cloned()),
        Interaction::UpdateConditional => {
            let own = entry.resource.as_ref().and_then(Resource::id).cloned();
            (Does::Update { search: Some(write::search_of(&request.url)?.to_owned()) }, Action::Update, own)
        }
        Interaction::Patch => {
            let resource =
                entry.resource.as_ref().ok_or(GatewayError::Kept("a patch without a resource was let in"))?;
            (Does::Patch(patch_in(resource)?.into()), Action::Update, asked.id.clone())
        }
        Interaction::Delete => (Does::Delete, Action::Delete, asked.id.clone()),
        _ => return Err(unsupported(request)),
    };
    check_scope(&ask.asking, action, kind)?;
    let resource = entry.resource.clone().filter(|_| !matches!(does, Does::Patch(_)));
    Ok(Some(wanted(does, kind, id, resource)))
}

/// Which changes go into which record.
async fn groups(
    gateway: &Gateway,
    bundle: &Bundle,
    ids: &[Option<ResourceId>],
    members: &[Option<usize>],
    wanted: &[Wanted],
) -> Result<Vec<Group>, GatewayError> {
    let parts = partition(bundle)?;
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |home: Home, new: Vec<usize>| match groups.iter_mut().find(|group| group.home.is_same(&home)) {
        Some(group) => group.members.extend(new),
        None if new.is_empty() => {}
        None => groups.push(Group { home, members: new }),
    };
    let of_entries = |entries: &[usize]| -> Vec<usize> {
        let members = entries.iter().filter_map(|at| members.get(*at).copied().flatten());
        // A patch comes in a Binary, which says nothing about whose it is.
        members.filter(|member| wanted.get(*member).is_some_and(|one| one.resource.is_some())).collect()
    };
    for group in &parts.groups {
        let inside = of_entries(&group.entries);
        if !inside.is_empty() {
            let mut home = gateway.home_of_group(bundle, group, ids).await?;
            for one in inside.iter().filter_map(|member| wanted.get(*member)) {
                home = stays(gateway, home, one).await?;
            }
            add(home, inside);
        }
    }
    for at in &parts.unassigned {
        let inside = of_entries(&[*at]);
        let resource = bundle.entries().get(*at).and_then(|entry| entry.resource.as_ref());
        let (Some(resource), false) = (resource, inside.is_empty()) else { continue };
        // Who names a patient that nobody knows is not the hospital's own.
        if let Some(reference) = patient_references(resource).first() {
            let place = format!("Bundle.entry[{at}].resource.{}", reference.element);
            return Err(GatewayError::unknown_patient().at(place));
        }
        let id = ids.get(*at).and_then(Option::as_ref);
        add(gateway.home_of(resource, id).await?, inside);
    }
    for (member, one) in wanted.iter().enumerate().filter(|(_, one)| one.resource.is_none()) {
        let id = one.id.as_ref().ok_or(GatewayError::Kept("a change without a resource names nothing"))?;
        let home = match gateway.home_holding(one.kind, id).await? {
            Some(home) => home,
            None if matches!(one.does, Does::Delete) => gateway.own_home().await?,
            None => return Err(super::read::not_found().within(&one.expression)),
        };
        add(home, vec![member]);
    }
    Ok(groups)
}

/// What is updated stays with the patient with whom it began.
async fn stays(gateway: &Gateway, home: Home, one: &Wanted) -> Result<Home, GatewayError> {
    let (Does::Update { .. }, Some(id)) = (&one.does, &one.id) else { return Ok(home) };
    // What names no patient, as a Device, or names one among others, as a Group its members, may be with many.
    let of_one = |resource: &Resource| patient_references(resource).iter().any(|named| !named.element.contains('.'));
    if one.kind == ResourceType::PATIENT || !one.resource.as_ref().is_some_and(of_one) {
        return Ok(home);
    }
    let before = gateway.roster.by_resource(one.kind.as_str(), id.as_str()).await?;
    gateway.stays(home, before, one.kind).await.map_err(|error| error.within(&one.expression))
}

fn too_many() -> GatewayError {
    GatewayError::request(
        413,
        IssueCode::TooLong,
        "bundle-too-long",
        format!("a Bundle carries at most {REQUESTS_MAX} requests that are answered one by one"),
        "send it in parts",
    )
}

/// The JSON Patch in a Binary (FHIR R4, http.html#patch).
fn patch_in(binary: &Resource) -> Result<Vec<u8>, GatewayError> {
    let wrong = |text: &str| {
        GatewayError::request(
            422,
            IssueCode::Structure,
            "patch-unreadable",
            text,
            "send a Binary with contentType application/json-patch+json and the patch as base64 in data",
        )
        .at("resource")
    };
    let tree = binary.json()?;
    let text = |name: &str| tree.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    if binary.resource_type() != ResourceType::BINARY
        || text("contentType").as_deref() != Some("application/json-patch+json")
    {
        return Err(wrong("a patch inside a Bundle is a Binary that holds a JSON Patch"));
    }
    let data: String = text("data").unwrap_or_default().split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| wrong("the data are not base64"))
}

fn method(request: &BundleRequest) -> Method {
    match request.method {
        Verb::Get => Method::GET,
        Verb::Head => Method::HEAD,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Delete => Method::DELETE,
        Verb::Patch => Method::PATCH,
    }
}

fn unsupported(request: &BundleRequest) -> GatewayError {
    GatewayError::request(
        422,
        IssueCode::NotSupported,
        "method-unsupported",
        format!("a Bundle's entry cannot {} this", request.method.as_str()),
        "send it as a request of its own",
    )
    .at("request")
}

fn of_done<'a>(done: &'a Done, ask: &Ask) -> ResponseEntry<'a> {
    let version = done.version.map(|version| format!("/_history/{version}")).unwrap_or_default();
    ResponseEntry {
        status: done.status.as_u16(),
        location: (done.status != StatusCode::NO_CONTENT).then(|| format!("{}/{}{version}", done.kind, done.id)),
        etag: done.version.map(etag),
        last_modified: date(done.changed).filter(|_| !done.queued),
        outcome: None,
        content: done.content.as_deref().filter(|_| ask.prefer.returns == Some(Return::Representation)),
    }
}

fn of_reply<'a>(reply: &'a Result<Reply, GatewayError>, gateway: &Gateway) -> ResponseEntry<'a> {
    match reply {
        Ok(reply) => ResponseEntry {
            status: reply.status.as_u16(),
            location: reply.location.as_ref().map(|place| format!("{}/{place}", gateway.base)),
            etag: reply.version.map(etag),
            last_modified: reply.changed.and_then(date),
            outcome: None,
            content: Some(reply.content.as_ref()).filter(|content| !content.is_empty()),
        },
        Err(error) => {
            ResponseEntry { status: error.status(), outcome: Some(error.outcome()), ..ResponseEntry::default() }
        }
    }
}

fn nothing_to_do<'a>() -> ResponseEntry<'a> {
    let issue =
        Issue::new(Severity::Information, IssueCode::Informational, "nothing-to-store", "the entry holds no resource");
    ResponseEntry { status: 200, outcome: Some(Outcome::from(issue)), ..ResponseEntry::default() }
}
