//! The International Patient Summary as a page: its sections in order, each entry with what it says and who signed it.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_fhir::plain::Plain;
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::reading::{line_of, named, text};
use super::record::{Record, Row};
use super::visit::{Visit, purpose};
use super::{Page, href, launch, record, show};

/// Code of the section of medicines.
const MEDICINES: &str = "10160-0";
/// Medicines, also those of a code that the summary has already, and what they refer to.
const CURRENT_MEDICINES: &str = "$everything?_type=MedicationRequest,MedicationStatement,Medication";
/// Entries of a section that are seen at once; the others are folded away.
const SEEN_AT_ONCE: usize = 12;

/// `GET /clinician/patients/{id}`
pub(super) async fn page(
    State(gateway): Shared,
    mut visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    visit.for_purpose(purpose(query.as_deref()).as_deref()).await?;
    let outcome = Record::read(&mut visit, &id, &["$summary", CURRENT_MEDICINES]).await;
    let record = visit.kept_or_told(outcome, &id).await?;
    let composition = record.resources.iter().find(|one| text(one, "resourceType") == Some("Composition"));
    let sections = composition.and_then(|one| one.get("section")?.as_array()).map(Vec::as_slice).unwrap_or_default();
    let content = html! {
        p .quiet { (words::summary_of(record.read_to)) }
        nav .contents aria-label=(words::SECTIONS) {
            ul { @for section in sections {
                @let count = listed(&record, section).len();
                li { a href={"#section-" (code(section))} { (words::section(code(section))) " (" (count) ")" } }
            } }
        }
        @for section in sections { (shown(&visit, &record, section)) }
        (launch::offer(&gateway, &visit, &record.id))
    };
    let current = href(&visit, &id, "");
    let page =
        Page { status: StatusCode::OK, title: words::SUMMARY, record: Some(&record), current: &current, content };
    Ok(show(&mut visit, page).await)
}

/// The LOINC code of a section.
fn code(section: &Value) -> &str {
    section.pointer("/code/coding/0/code").and_then(Value::as_str).unwrap_or_default()
}

fn entries(section: &Value) -> impl Iterator<Item = &str> {
    let entries = section.get("entry").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| text(entry, "reference"))
}

/// The entries of a section; of medicines all that are current, since the summary has but the newest of each code.
fn listed<'r>(record: &'r Record, section: &Value) -> Vec<&'r Value> {
    let mut listed: Vec<&Value> = entries(section).filter_map(|reference| record.find(reference)).collect();
    if code(section) == MEDICINES {
        for one in record.resources.iter().filter(|one| is_current_medicine(one)) {
            if !listed.iter().any(|known| named(known) == named(one)) {
                listed.push(one);
            }
        }
    }
    listed
}

fn is_current_medicine(resource: &Value) -> bool {
    let Some((kind, _)) = named(resource) else { return false };
    matches!(kind.as_str(), "MedicationRequest" | "MedicationStatement") && Plain::of(kind, resource).standing.holds()
}

fn shown(visit: &Visit, record: &Record, section: &Value) -> Markup {
    let listed = listed(record, section);
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
    let row = |resource: &&Value| {
        let line = line_of(resource, &|reference| record.find(reference));
        let says = html! {
            (line.values)
            @for one in &line.more { " " span .quiet { (one) "." } }
            @if let Some(standing) = line.standing { " " span .chip.warning { (standing) } }
        };
        let when = line.when.unwrap_or_else(|| words::NO_DATE.to_owned());
        Row { what: line.what, says, when, source: record.source_link(visit, resource) }
    };
    record::table(name, words::SAYS, listed.iter().map(row))
}
