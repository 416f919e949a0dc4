//! One entry: all that it says, who signed it and when, that the signature was verified, and where it stands in the log.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{Method, StatusCode};
use maud::html;
use sealwort_fhir::{ResourceId, ResourceType};
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::reading::{self, line_of};
use super::record::{Record, signed_at};
use super::visit::{Visit, purpose};
use super::{Page, href, show};
use crate::error::GatewayError;

/// `GET /clinician/patients/{id}/{kind}/{item}`
pub(super) async fn page(
    State(gateway): Shared,
    mut visit: Visit,
    Path((id, kind, item)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    visit.for_purpose(purpose(query.as_deref()).as_deref()).await?;
    let outcome = read(&mut visit, &id, &kind, &item).await;
    let (record, resource) = visit.kept_or_told(outcome, &id).await?;
    let line = line_of(&resource, &|reference| record.find(reference));
    let written = serde_json::to_string_pretty(&resource).unwrap_or_default();
    let content = html! {
        section .card aria-labelledby="what" {
            h2 #what { (line.what) }
            dl {
                div { dt { (words::KIND) } dd { (words::kind(&kind)) } }
                @if !line.values.is_empty() { div { dt { (words::VALUE) } dd { strong { (line.values) } } } }
                @for one in &line.more { div { dt { (words::SAYS) } dd { (one) } } }
                @if let Some(when) = &line.when { div { dt { (words::WHEN) } dd { (when) } } }
                @if let Some(standing) = line.standing { div { dt { (words::STANDING) } dd { (standing) } } }
                @if let Some(by) = &line.by { div { dt { (words::BY) } dd { (by) } } }
            }
        }
        section .card aria-labelledby="signed" {
            h2 #signed { (words::SIGNATURE) }
            @if let Some(source) = record.source(&resource) {
                p { span .chip.good { "✓ " (words::VERIFIED) } " " (words::VERIFIED_HOW) }
                dl {
                    div { dt { (words::SIGNED_BY) } dd { strong { (source.hospital) } " " code { (source.identity) } } }
                    div { dt { (words::SIGNED_AT) } dd { (signed_at(&source)) } }
                    div { dt { (words::PLACE) } dd { (words::place(source.place, source.read_to)) } }
                    div { dt { (words::VERSION) } dd { (source.version) } }
                    div { dt { (words::HASH) } dd { code { (source.hash) } } }
                    div { dt { (words::READ_BY) } dd { (gateway.member.identity().to_string()) } }
                }
            } @else {
                p { (words::NO_SOURCE) }
            }
        }
        details {
            summary { (words::AS_STORED) }
            pre dir="ltr" tabindex="0" { (written) }
        }
        p { a href=(href(&visit, &record.id, "")) { (words::BACK_TO_SUMMARY) } }
    };
    let page = Page { status: StatusCode::OK, title: words::ENTRY, record: Some(&record), current: "", content };
    Ok(show(&mut visit, page).await)
}

/// The patient, and the one entry of this patient's record.
async fn read(visit: &mut Visit, id: &str, kind: &str, item: &str) -> Result<(Record, Value), GatewayError> {
    let unknown = || super::super::read::not_found();
    let id: ResourceId = id.parse().map_err(|_| unknown())?;
    let kind: ResourceType = kind.parse().map_err(|_| unknown())?;
    let item: ResourceId = item.parse().map_err(|_| unknown())?;
    let found = visit.ask(&Method::GET, &format!("Patient/{id}/{kind}?_id={item}")).await?;
    let is_it = |one: &Value| reading::named(one) == Some((kind, item.as_str()));
    let entries = reading::bundle(&found.content)?.entries.into_iter();
    let resource = entries.map(|entry| entry.resource).find(is_it);
    let resource = resource.ok_or_else(unknown)?;
    let record = Record::read(visit, id.as_str(), &["$everything?_type=Medication"]).await?;
    Ok((record, resource))
}
