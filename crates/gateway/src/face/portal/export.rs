//! Taking the record along: on paper, as a summary for other hospitals, or all of it.

use axum::response::Response;
use http::{HeaderValue, header};
use maud::{Markup, html};
use sealwort_fhir::IssueCode;
use sealwort_fhir::plain::{Kind, Moment, Plain, Standing};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;
use serde_json::Value;

use super::Page;
use super::record::{Piece, hospital, mark, moment, values};
use super::visit::Visit;
use crate::error::GatewayError;

/// `GET /portal/[record]/export`
pub(super) async fn show(visit: Visit) -> Response {
    let card = |title: &str, text: &str, href: String, button: &str| {
        html! { li .card { h2 { (title) } p { (text) } p { a .button href=(href) { (button) } } } }
    };
    let content = html! {
        p { (words::EXPORT_TEXT) }
        ul .cards {
            (card(words::EXPORT_PRINT, words::EXPORT_PRINT_TEXT, visit.at("/print"), words::EXPORT_PRINT_BUTTON))
            (card(words::EXPORT_SUMMARY, words::EXPORT_SUMMARY_TEXT, visit.at("/export/summary"), words::EXPORT_SUMMARY_BUTTON))
            (card(words::EXPORT_ALL, words::EXPORT_ALL_TEXT, visit.at("/export/everything"), words::EXPORT_ALL_BUTTON))
        }
    };
    visit.answer(Page::Export, Ok(content)).await
}

/// `GET /portal/[record]/export/[form]`: what `$phr-export` gives to whoever asks with this visitor's token.
pub(super) async fn file(visit: Visit) -> Response {
    let (format, name) = match visit.parameter("form") {
        "summary" => ("ips", "patient-summary.json"),
        "everything" => ("sphr", "health-record.sphr"),
        _ => return visit.answer(Page::Export, Err(super::super::read::not_found())).await,
    };
    let url = format!("/Patient/{}/$phr-export?outputFormat={format}", visit.patient());
    match visit.file(&url).await {
        Ok(mut response) if response.status().is_success() => {
            let kept = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, kept.unwrap_or(HeaderValue::from_static("attachment")));
            response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Ok(response) => {
            let status = response.status().as_u16();
            let (text, remedy) = ("the file could not be made", "try again");
            let error = GatewayError::request(status, IssueCode::Exception, "export-failed", text, remedy);
            visit.answer(Page::Export, Err(error)).await
        }
        Err(error) => visit.answer(Page::Export, Err(error)).await,
    }
}

/// `GET /portal/[record]/print`
pub(super) async fn print(visit: Visit) -> Response {
    let content = paper(&visit).await;
    visit.titled(Page::Export, words::PRINT_TITLE, content).await
}

async fn paper(visit: &Visit) -> Result<Markup, GatewayError> {
    let opened = visit.open().await?;
    let pieces = opened.pieces();
    let patient = opened.patient().unwrap_or_default();
    let name = Plain::of(sealwort_fhir::ResourceType::PATIENT, &patient).title;
    let born = patient.get("birthDate").and_then(Value::as_str).and_then(Moment::parse);
    let keeper = visit.gateway.member.identity().to_string();
    Ok(html! {
        p .note .screen { (words::PRINT_HINT) }
        div .paper {
            dl {
                div { dt { (words::PRINT_FOR) } dd { strong { (name.unwrap_or_else(|| words::NAMELESS.to_owned())) } } }
                div { dt { (words::PRINT_BORN) } dd { (moment(born)) } }
                div { dt { (words::PRINT_MADE) } dd { (date::moment(visit.gateway.sessions.now().as_secs())) ", " (hospital(&keeper)) } }
            }
            @for kind in PRINTED { (section(&pieces, kind)) }
            p .quiet { (words::PRINT_LIMITS) }
        }
    })
}

/// What counts of one kind, the newest of each name.
fn section(pieces: &[Piece<'_>], kind: Kind) -> Markup {
    let mut shown: Vec<&Piece<'_>> = Vec::new();
    let counts = |piece: &&Piece<'_>| {
        piece.plain.kind == kind && matches!(piece.plain.standing, Standing::Current | Standing::Open)
    };
    for piece in pieces.iter().filter(counts) {
        if !shown.iter().any(|one| one.plain.says_the_same(&piece.plain)) {
            shown.push(piece);
        }
    }
    let rest = shown.len().saturating_sub(PRINTED_MAX);
    shown.truncate(PRINTED_MAX);
    html! {
        section {
            h2 { (words::kinds(kind.as_str())) }
            @if shown.is_empty() { p { (words::NOTHING_KNOWN) } } @else {
                ul { @for piece in shown { li {
                    strong { (piece.title()) } (mark(piece.plain.standing))
                    @if !piece.plain.readings.is_empty() { ": " (values(&piece.plain)) }
                    @if let Some(first) = piece.plain.more.first() { ", " (first) }
                    " " span .quiet { "(" (moment(piece.plain.at)) ")" }
                } } }
                @if rest > 0 { p { (words::more_of(rest)) } }
            }
        }
    }
}

/// What goes on paper, in the order in which a doctor asks.
const PRINTED: [Kind; 7] =
    [Kind::Allergy, Kind::Medicine, Kind::Condition, Kind::Vaccine, Kind::Procedure, Kind::Vital, Kind::Result];
/// Most of one kind.
const PRINTED_MAX: usize = 40;
