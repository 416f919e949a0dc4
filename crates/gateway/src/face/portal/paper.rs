//! The summary on paper: as a page to print, and as a PDF (`crates/papers`). Both say the same: who, what counts of each
//! kind, where each comes from, and when this was made.

use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::IssueCode;
use sealwort_fhir::plain::{Kind, Moment, Plain};
use sealwort_pages::date;
use sealwort_pages::words::{papers, portal as words, shared};
use sealwort_papers::{Paper, PaperError, Part, Text};
use serde_json::Value;
use time::OffsetDateTime;

use super::Page;
use super::record::{Opened, Piece, holding, hospital, mark, moment, said, standing, values};
use super::summary::series;
use super::visit::Visit;
use crate::error::GatewayError;

/// `GET /portal/[record]/print`
pub(super) async fn print(visit: Visit) -> Response {
    let content = async {
        let opened = visit.open().await?;
        Ok(page(&facts(&visit, &opened), &opened.pieces().await?, &limits(&opened)))
    };
    let content = content.await;
    visit.titled(Page::Export, words::PRINT_TITLE, content).await
}

/// `GET /portal/[record]/print/pdf`
pub(super) async fn pdf(visit: Visit) -> Response {
    let made = async {
        let opened = visit.opened(EventKind::Exported).await?;
        let seconds: i64 = visit.gateway.sessions.now().as_secs().try_into().unwrap_or_default();
        let paper = Paper {
            title: papers::TITLE,
            language: shared::LANGUAGE,
            producer: shared::PRODUCT,
            made: OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            foot: papers::foot,
            parts: parts(&facts(&visit, &opened), &opened.pieces().await?, &limits(&opened)),
        };
        // Setting text is work for a processor, and not for whoever waits on sockets.
        let written = tokio::task::spawn_blocking(move || paper.pdf()).await;
        written.map_err(|_| GatewayError::Kept("a paper was not finished"))?.map_err(|error| not_made(&error))
    };
    match made.await {
        Ok(file) => visit.file_of("attachment", FILE_NAME, "application/pdf", file.into()),
        Err(error) => visit.answer(Page::Export, Err(error)).await,
    }
}

/// For whom, born when, made when and where.
fn facts(visit: &Visit, opened: &Opened) -> [(&'static str, String); 3] {
    let patient = opened.patient().unwrap_or_default();
    let name = Plain::of(sealwort_fhir::ResourceType::PATIENT, &patient).title;
    let born = patient.get("birthDate").and_then(Value::as_str).and_then(Moment::parse);
    let made = date::moment(visit.gateway.sessions.now().as_secs());
    let keeper = visit.gateway.member.identity().to_string();
    [
        (words::PRINT_FOR, name.unwrap_or_else(|| words::NAMELESS.to_owned())),
        (words::PRINT_BORN, moment(born)),
        (words::PRINT_MADE, format!("{made}, {}", hospital(&keeper))),
    ]
}

/// What counts of one kind, the newest of each name; and how many more there are.
fn counting<'p, 's>(pieces: &'p [Piece<'s>], kind: Kind) -> (Vec<&'p Piece<'s>>, usize) {
    let measured = matches!(kind, Kind::Vital | Kind::Result);
    let mut shown = if measured { newest(pieces, kind) } else { holding(pieces, kind) };
    let rest = shown.len().saturating_sub(PRINTED_MAX);
    shown.truncate(PRINTED_MAX);
    (shown, rest)
}

/// Of each thing that was measured or found, all values of its newest time: one specimen may have several.
fn newest<'p, 's>(pieces: &'p [Piece<'s>], kind: Kind) -> Vec<&'p Piece<'s>> {
    let of_one = |mut of: Vec<&'p Piece<'s>>| {
        let last = of.first().map(|piece| piece.when());
        of.retain(|piece| Some(piece.when()) == last);
        of
    };
    series(pieces, kind).into_iter().flat_map(of_one).collect()
}

/// What stands beside its name: of an allergy every reaction, of everything else what comes first.
fn beside(plain: &Plain) -> Option<String> {
    let told = if plain.kind == Kind::Allergy { plain.more.as_slice() } else { plain.more.get(..1)? };
    (!told.is_empty()).then(|| told.join(", "))
}

/// When it was, who says so, and which hospital signed it.
fn origin(piece: &Piece<'_>) -> String {
    let author = hospital(&piece.held.newest().origin.author);
    papers::origin(&moment(piece.plain.at), piece.plain.source.as_deref(), author)
}

/// What may be missing.
fn limits(opened: &Opened) -> Vec<String> {
    let mut limits = vec![words::PRINT_LIMITS.to_owned()];
    limits.extend(opened.seen.asks_for_some().then(|| words::NOT_FOR_YOU.to_owned()));
    limits.extend((opened.seen.withheld() > 0).then(|| words::withheld(opened.seen.withheld())));
    limits
}

fn page(facts: &[(&'static str, String)], pieces: &[Piece<'_>], limits: &[String]) -> Markup {
    html! {
        p .note .screen { (words::PRINT_HINT) }
        div .paper {
            dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
            @for kind in PRINTED { (section(pieces, kind)) }
            @for limit in limits { p .quiet { (limit) } }
        }
    }
}

fn section(pieces: &[Piece<'_>], kind: Kind) -> Markup {
    let (shown, rest) = counting(pieces, kind);
    html! {
        section {
            h2 { (words::kinds(kind.as_str())) }
            @if shown.is_empty() { p { (words::NOTHING_KNOWN) } } @else {
                ul { @for piece in shown { li {
                    strong { (piece.title()) } (mark(piece.plain.standing))
                    @if !piece.plain.readings.is_empty() { ": " (values(&piece.plain)) }
                    @if let Some(beside) = beside(&piece.plain) { ", " (beside) }
                    " " span .quiet { "(" (origin(piece)) ")" }
                } } }
                @if rest > 0 { p { (words::more_of(rest)) } }
            }
        }
    }
}

fn parts(facts: &[(&'static str, String)], pieces: &[Piece<'_>], limits: &[String]) -> Vec<Part> {
    let mut parts: Vec<Part> =
        facts.iter().map(|(name, value)| Part::Text(Text::new(format!("{name}: "), value.as_str()))).collect();
    for kind in PRINTED {
        let (shown, rest) = counting(pieces, kind);
        parts.push(Part::Heading(words::kinds(kind.as_str()).to_owned()));
        if shown.is_empty() {
            parts.push(Part::Text(Text::new("", words::NOTHING_KNOWN)));
        } else {
            parts.push(Part::List(shown.into_iter().map(thing).collect()));
        }
        if rest > 0 {
            parts.push(Part::Text(Text::new("", words::more_of(rest))));
        }
    }
    parts.extend(limits.iter().map(|limit| Part::Text(Text::aside(limit.as_str()))));
    parts
}

/// One thing: its name and value, how to take it or what it caused, and where it comes from.
fn thing(piece: &Piece<'_>) -> Vec<Text> {
    let mark = standing(piece.plain.standing).map(|(word, _)| format!(" ({word})")).unwrap_or_default();
    let value = if piece.plain.readings.is_empty() { String::new() } else { format!(": {}", said(&piece.plain)) };
    let mut texts = vec![Text::new(piece.title(), format!("{mark}{value}"))];
    texts.extend(beside(&piece.plain).map(|beside| Text::new("", beside)));
    texts.push(Text::aside(origin(piece)));
    texts
}

fn not_made(error: &PaperError) -> GatewayError {
    tracing::error!(%error, "a summary could not be made into a PDF");
    let (text, remedy) = ("the file could not be made", "try again");
    GatewayError::request(500, IssueCode::Exception, "export-failed", text, remedy)
}

/// What goes on paper, in the order in which a doctor asks.
const PRINTED: [Kind; 7] =
    [Kind::Allergy, Kind::Medicine, Kind::Condition, Kind::Vaccine, Kind::Procedure, Kind::Vital, Kind::Result];
/// Most of one kind.
const PRINTED_MAX: usize = 40;
/// A name that tells nobody whose it is.
const FILE_NAME: &str = "health-summary.pdf";
