//! Devices: those that measure for the patient, those in the record, and those that the patient signs in with.

use std::collections::HashSet;

use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_devices::Enrolled;
use sealwort_fhir::plain::{Kind, tidy};
use sealwort_fhir::{Branch, ResourceType};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;
use sealwort_smart::Action;
use serde_json::Value;

use super::Page;
use super::record::{Opened, Piece, mark, moment};
use super::visit::Visit;
use crate::authorization::AUTH;
use crate::error::GatewayError;
use crate::passkeys::PasskeyShown;
use crate::seen::scope_lacks;
use crate::user::Asking;

/// `GET /portal/[record]/devices`
pub(super) async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Page::Devices, content).await
}

async fn content(visit: &Visit) -> Result<Markup, GatewayError> {
    let opened = visit.open().await?;
    let asking = visit.asking();
    let listing = async {
        let patient = asking.context.ok_or_else(GatewayError::unknown_patient)?;
        asking.trail.touches(patient);
        may_see(&asking)?;
        theirs(visit, &asking, &opened).await
    };
    let outcome = listing.await;
    let entry = visit.entry(EventKind::ListRead, &asking).detail(Detail::Subject, "devices");
    let devices = visit.kept(entry, &asking, outcome).await?;
    let passkeys = passkeys(visit).await?;
    let pieces = opened.pieces().await?;
    Ok(html! {
        section {
            h2 { (words::DEVICES_MEASURE) }
            p { (words::DEVICES_MEASURE_TEXT) }
            @if devices.is_empty() { p .note { (words::NO_DEVICES) } }
            ul .cards { @for one in &devices { (device(one)) } }
        }
        (recorded(visit, &pieces))
        section {
            h2 { (words::PASSKEYS) }
            @match &passkeys {
                None => { p { (words::NOT_FOR_HELPERS) } },
                Some(all) => {
                    @if all.is_empty() { p { (words::NO_PASSKEYS) } }
                    ul { @for one in all { li { (words::PASSKEY_MADE) " " (date::moment(one.added)) ", " (words::PASSKEY_USED) " " (date::moment(one.used)) } } }
                    @if visit.gateway.passkeys.site().is_ok() { p { a .button .quiet href={(AUTH) "/passkey"} { (words::PASSKEYS_MANAGE) } } }
                },
            }
        }
    })
}

/// A delegate sees them who may see what they measure.
fn may_see(asking: &Asking) -> Result<(), GatewayError> {
    let kind: ResourceType = "Device".parse().map_err(|_| GatewayError::Kept("Device is no type"))?;
    let allowed = asking.delegation.as_ref().is_none_or(|one| {
        one.allows(Action::Read, kind) && (one.labels.is_empty() || one.labels.contains(&Branch::Measurements))
    });
    if allowed { Ok(()) } else { Err(scope_lacks(kind, Action::Read)) }
}

/// Enrolled for this patient, by the Patient's id or by an identifier that the record has. Nobody else is asked.
async fn theirs(visit: &Visit, asking: &Asking, opened: &Opened) -> Result<Vec<Enrolled>, GatewayError> {
    let patient = opened.patient().unwrap_or_default();
    let identifiers = patient.get("identifier").and_then(Value::as_array);
    let has = |system: &str, value: &str| {
        let is_it = |one: &Value| {
            let text = |name: &str| one.get(name).and_then(Value::as_str);
            text("system") == Some(system) && text("value") == Some(value)
        };
        identifiers.is_some_and(|all| all.iter().any(is_it))
    };
    let ids = ids(visit, asking).await?;
    let is_theirs = |one: &Enrolled| match (&one.patient().id, &one.patient().identifier) {
        (Some(id), _) => ids.contains(id.as_str()),
        (None, Some(identifier)) => has(&identifier.system, &identifier.value),
        (None, None) => false,
    };
    Ok(visit.gateway.devices().await?.into_iter().filter(is_theirs).collect())
}

/// Ids of Patients that stand for this patient here, whichever identity they were made for.
async fn ids(visit: &Visit, asking: &Asking) -> Result<HashSet<String>, GatewayError> {
    let (gateway, mut ids) = (&visit.gateway, HashSet::new());
    let Some(context) = asking.context else { return Ok(ids) };
    for identity in gateway.roster.identities(context) {
        let known = gateway.people.of(identity).into_iter().map(|id| id.as_str().to_owned());
        let given_up = gateway.patient_id_of(identity).await.ok().map(|id| id.to_string());
        for id in known.chain(given_up) {
            let holding = gateway.patient_holding(ResourceType::PATIENT, &id, &asking.purpose).await?;
            if holding.is_some_and(|one| gateway.roster.are_one(one, context)) {
                ids.insert(id);
            }
        }
    }
    Ok(ids)
}

/// The patient's own; none for others.
async fn passkeys(visit: &Visit) -> Result<Option<Vec<PasskeyShown>>, GatewayError> {
    let asking = visit.asking();
    let Some(patient) = asking.context.filter(|patient| asking.is_patient(*patient)) else { return Ok(None) };
    asking.trail.touches(patient);
    let entry = visit.entry(EventKind::ListRead, &asking).detail(Detail::Subject, "passkeys");
    visit.kept(entry, &asking, Ok(Some(visit.gateway.passkeys_of(patient)))).await
}

fn device(one: &Enrolled) -> Markup {
    let it = one.enrolment();
    let maker: Vec<String> = [&it.manufacturer, &it.model].into_iter().flatten().map(|text| tidy(text)).collect();
    let measures: Vec<String> = it.measures.iter().map(|measure| words::measure(measure.as_str())).collect();
    let seconds = |at: time::OffsetDateTime| u64::try_from(at.unix_timestamp()).unwrap_or_default();
    html! {
        li .card {
            h3 { (tidy(&it.kind)) @if one.is_revoked() { " " span .chip { (words::DEVICE_ENDED) } } }
            dl {
                @if !maker.is_empty() { div { dt { (words::DEVICE_MAKER) } dd { (maker.join(" ")) } } }
                @if let Some(serial) = &it.serial { div { dt { (words::DEVICE_SERIAL) } dd { (tidy(serial)) } } }
                div { dt { (words::DEVICE_SENDS) } dd { (measures.join(", ")) } }
                div { dt { (words::DEVICE_SINCE) } dd { (date::day(seconds(it.enrolled_at))) } }
            }
        }
    }
}

fn recorded(visit: &Visit, pieces: &[Piece<'_>]) -> Markup {
    let devices: Vec<_> = pieces.iter().filter(|piece| piece.plain.kind == Kind::Device).take(RECORDED_MAX).collect();
    html! {
        @if !devices.is_empty() {
            section {
                h2 { (words::DEVICES_RECORDED) }
                p { (words::DEVICES_RECORDED_TEXT) }
                ul { @for piece in devices { li {
                    a href=(visit.at(&format!("/item/{}", piece.handle()))) { (piece.title()) }
                    (mark(piece.plain.standing)) ", " (moment(piece.plain.at))
                } } }
            }
        }
    }
}

/// Devices of the record that are listed.
const RECORDED_MAX: usize = 50;
