//! Refusals: what this broker refused, by the stable code that the other side was given, with what each means and how many
//! there were when. Counted from the audit log, so that a restart forgets none.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_pages::chart::{Chart, Point, Series, Size};
use sealwort_pages::words::console as words;
use sealwort_pki::UnixTime;
use sealwort_store::{AuditQuery, StoreError};

use super::Console;
use super::form::Form;
use super::frame::{self, REFUSALS, ago, cell};
use super::sign_in::{Visitor, log_away};

/// Most entries that are counted at once.
const COUNTED_MAX: usize = 20_000;
/// Entries of the log that are looked at together.
const WINDOW: u64 = 5000;
/// Into how many pieces the time is cut.
const PIECES: u64 = 24;

/// What there was of one code.
#[derive(Default)]
struct Refused {
    count: usize,
    last: u64,
    pieces: BTreeMap<u64, u32>,
}

/// What was counted.
struct Counted {
    codes: BTreeMap<String, Refused>,
    /// Whether there were more than are counted.
    cut: bool,
}

/// `GET /refusals?hours=…`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let asked = query.value("hours").and_then(|hours| hours.parse::<u64>().ok());
    let hours = asked.filter(|hours| words::HOURS_CHOICES.iter().any(|(known, _)| known == hours)).unwrap_or(24);
    // Entries are read for somebody, and that is entered first, as the commands do.
    let entry = console.entry(EventKind::LogSearched, &visitor.name, visitor.may.role());
    let entry = entry.detail(Detail::Query, format!("refusals of the last {hours} hours, counted"));
    if console.broker.journal.append(entry).await.is_err() {
        return log_away();
    }
    let now = console.now();
    let content = match console.count_refusals(hours, now).await {
        Ok(counted) => html! {
            p { (words::REFUSALS_INTRODUCTION) }
            (filter(hours))
            @if counted.cut { div .note.warning { p { (words::counted_at_most(COUNTED_MAX)) } } }
            @if counted.codes.is_empty() { div .note.good { p { (words::NO_REFUSALS) } } }
            @else { (table(&counted, hours, now)) }
        },
        Err(error) => html! { div .note.error { p { (words::store_away(&error.to_string())) } } },
    };
    frame::page(&console, &visitor, (REFUSALS, words::REFUSALS), &content).await
}

impl Console {
    async fn count_refusals(&self, hours: u64, now: UnixTime) -> Result<Counted, StoreError> {
        let since = now.as_secs().saturating_sub(hours * 3600);
        let (store, at_rest) = (self.broker.journal.store(), self.broker.journal.at_rest());
        let (mut below, piece) = (store.audit_size().await?, hours * 3600 / PIECES);
        let mut codes = BTreeMap::<String, Refused>::new();
        let (mut count, mut cut) = (0, false);
        // The newest first: in a flood it is those that matter.
        while below > 0 {
            let from = below.saturating_sub(WINDOW);
            let query = AuditQuery {
                from,
                below: Some(below),
                since: Some(since * 1000),
                outcome: Some(Outcome::Refused("".into()).number()),
                ..AuditQuery::default()
            };
            let rows = store.audit_rows(query, COUNTED_MAX).await?;
            for row in &rows {
                let event = at_rest.open(&row.stored).ok().and_then(|leaf| Event::from_bytes(&leaf).ok());
                let Some(code) = event.as_ref().and_then(|event| event.outcome.code()) else { continue };
                let at = row.index.time / 1000;
                let refused = codes.entry(code.to_owned()).or_default();
                refused.count += 1;
                refused.last = refused.last.max(at);
                *refused.pieces.entry(at.saturating_sub(since) / piece.max(1)).or_default() += 1;
            }
            count += rows.len();
            let oldest = AuditQuery { from, below: Some(from + 1), ..AuditQuery::default() };
            let oldest = store.audit_rows(oldest, 1).await?;
            if oldest.iter().any(|row| row.index.time < since * 1000) {
                break;
            }
            cut = count >= COUNTED_MAX && from > 0;
            if cut {
                break;
            }
            below = from;
        }
        Ok(Counted { codes, cut })
    }
}

fn filter(hours: u64) -> Markup {
    html! {
        form method="get" .row {
            div .field {
                label for="hours" { (words::OVER) }
                select id="hours" name="hours" {
                    @for (value, text) in words::HOURS_CHOICES {
                        option value=(value) selected[value == hours] { (text) }
                    }
                }
            }
            button type="submit" { (words::APPLY) }
        }
    }
}

fn table(counted: &Counted, hours: u64, now: UnixTime) -> Markup {
    let mut all: Vec<(&String, &Refused)> = counted.codes.iter().collect();
    all.sort_by_key(|(code, refused)| (std::cmp::Reverse(refused.count), *code));
    html! {
        table .stack {
            caption { (words::refusals(all.iter().map(|(_, refused)| refused.count).sum())) }
            thead { tr { @for column in words::REFUSAL_COLUMNS { th scope="col" { (column) } } } }
            tbody { @for (code, refused) in all { tr {
                th scope="row" { code { (code) } }
                (cell(words::REFUSAL_COLUMNS[1], &html! { (words::meaning(code).unwrap_or(words::MEANING_UNKNOWN)) }))
                (cell(words::REFUSAL_COLUMNS[2], &html! { (refused.count) }))
                (cell(words::REFUSAL_COLUMNS[3], &ago(UnixTime::from_secs(refused.last), now)))
                (cell(words::REFUSAL_COLUMNS[4], &chart(code, refused, hours, now).svg()))
            } } }
        }
    }
}

fn chart(code: &str, refused: &Refused, hours: u64, now: UnixTime) -> Chart {
    let (span, since) = (hours * 3600, now.as_secs().saturating_sub(hours * 3600));
    let point = |piece: u64| Point {
        at: since + piece * span / PIECES,
        value: f64::from(refused.pieces.get(&piece).copied().unwrap_or_default()),
    };
    Chart {
        label: words::refusals_over_time(code, refused.count),
        unit: String::new(),
        series: vec![Series { name: code.to_owned(), points: (0..=PIECES).map(point).collect(), reference: None }],
        span: Some((since, now.as_secs())),
        size: Size::Spark,
    }
}
