//! The International Patient Summary as a page: its sections in order, each entry with what it says and who signed it.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::reading::{line_of, text};
use super::record::Record;
use super::visit::{Visit, purpose};
use super::{Page, error, href, launch, show};
use crate::error::GatewayError;

/// Entries of a section that are seen at once; the others are folded away.
const SEEN_AT_ONCE: usize = 12;

/// `GET /clinician/patients/{id}`
pub(super) async fn page(
    State(gateway): Shared,
    mut visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    if let Err(error) = visit.set_purpose(purpose(query.as_deref()).as_deref()) {
        let error = visit.turned_away(error).await;
        return error::failed(&mut visit, &error, None).await;
    }
    let outcome = read(&mut visit, &id).await;
    let record = match visit.kept(outcome).await {
        Ok(record) => record,
        Err(error) => return error::failed(&mut visit, &error, Some(&id)).await,
    };
    let composition = record.resources.iter().find(|one| text(one, "resourceType") == Some("Composition"));
    let sections = composition.and_then(|one| one.get("section")?.as_array()).map(Vec::as_slice).unwrap_or_default();
    let content = html! {
        p .quiet { (words::summary_of(record.read_to)) }
        nav .contents aria-label=(words::SECTIONS) {
            ul { @for section in sections {
                @let count = entries(section).count();
                li { a href={"#section-" (code(section))} { (words::section(code(section))) " (" (count) ")" } }
            } }
        }
        @for section in sections { (shown(&visit, &record, section)) }
        (launch::offer(&gateway, &visit, &record.id))
    };
    let current = href(&visit, &id, "");
    show(
        &mut visit,
        Page { status: StatusCode::OK, title: words::SUMMARY, record: Some(&record), current: &current, content },
    )
    .await
}

async fn read(visit: &mut Visit, id: &str) -> Result<Record, GatewayError> {
    Record::read(visit, id, &["$summary"]).await
}

/// The LOINC code of a section.
fn code(section: &Value) -> &str {
    section.pointer("/code/coding/0/code").and_then(Value::as_str).unwrap_or_default()
}

fn entries(section: &Value) -> impl Iterator<Item = &str> {
    let entries = section.get("entry").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| text(entry, "reference"))
}

fn shown(visit: &Visit, record: &Record, section: &Value) -> Markup {
    let listed: Vec<&Value> = entries(section).filter_map(|reference| record.find(reference)).collect();
    let (first, rest) = listed.split_at(listed.len().min(SEEN_AT_ONCE));
    let name = words::section(code(section));
    html! {
        section #{"section-" (code(section))} aria-labelledby={"title-" (code(section))} {
            h2 #{"title-" (code(section))} { (name) }
            @if listed.is_empty() {
                p .quiet { (words::SECTION_EMPTY) @if record.withheld > 0 { " " (words::SECTION_MAYBE_WITHHELD) } }
            } @else {
                (table(visit, record, name, first))
                @if !rest.is_empty() {
                    details {
                        summary { (words::more_entries(rest.len())) }
                        (table(visit, record, name, rest))
                    }
                }
            }
        }
    }
}

fn table(visit: &Visit, record: &Record, name: &str, listed: &[&Value]) -> Markup {
    html! {
        table .stack.entries {
            caption .hidden { (name) }
            thead { tr {
                th scope="col" { (words::WHAT) }
                th scope="col" { (words::SAYS) }
                th scope="col" { (words::WHEN) }
                th scope="col" { (words::SOURCE_COLUMN) }
            } }
            tbody { @for resource in listed {
                @let line = line_of(resource, &|reference| record.find(reference));
                tr {
                    th scope="row" { (line.what) }
                    td data-column=(words::SAYS) {
                        (line.values)
                        @for one in &line.more { " " span .quiet { (one) "." } }
                        @if let Some(standing) = line.standing { " " span .chip.warning { (standing) } }
                    }
                    td data-column=(words::WHEN) { (line.when.as_deref().unwrap_or(words::NO_DATE)) }
                    td data-column=(words::SOURCE_COLUMN) { (record.source_link(visit, resource)) }
                }
            } }
        }
    }
}
