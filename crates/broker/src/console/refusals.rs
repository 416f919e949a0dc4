//! Refusals: what this broker refused, by the stable code that the other side was given, with what each means and how many
//! there were when. Counted from the audit log, so that a restart forgets none.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{AtRest, Detail, Event, EventKind, Outcome};
use sealwort_pages::chart::{Chart, Point, Series, Size};
use sealwort_pages::words::console as words;
use sealwort_pki::UnixTime;
use sealwort_store::{AuditQuery, AuditStore, StoreError};

use super::Console;
use super::form::Form;
use super::frame::{self, REFUSALS, ago, cell, choice, head};
use super::sign_in::{Visitor, log_away};

/// Most entries that are counted at once.
const COUNTED_MAX: usize = 20_000;
/// How far the log is looked at.
const REACH: Reach = Reach { window: 5000, windows: 200 };
/// Into how many pieces the time is cut.
const PIECES: u64 = 24;

/// How far a log is looked at: so many entries together, and so many times.
#[derive(Clone, Copy)]
struct Reach {
    window: u64,
    windows: u64,
}

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
    /// How many cannot be read.
    unreadable: usize,
    /// Whether there may be more than are counted.
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
    let journal = &console.broker.journal;
    let content = match Counted::of(journal.store(), journal.at_rest(), (hours, now), REACH).await {
        Ok(counted) => html! {
            p { (words::REFUSALS_INTRODUCTION) }
            (choice("hours", words::OVER, &words::HOURS_CHOICES, &hours))
            @if counted.unreadable > 0 {
                div .note.error { p { (words::unreadable(counted.unreadable)) } p { (words::TAMPERED_NEXT) } }
            }
            @if counted.cut { div .note.warning { p { (words::counted_at_most(COUNTED_MAX, REACH.window * REACH.windows)) } } }
            @if counted.codes.is_empty() { div .note.good { p { (words::NO_REFUSALS) } } }
            @else { (table(&counted, hours, now)) }
        },
        Err(error) => html! { div .note.error { p { (words::store_away(&error.to_string())) } } },
    };
    frame::page(&console, &visitor, (REFUSALS, words::REFUSALS), &content).await
}

impl Counted {
    /// Those of so many hours up to now.
    async fn of(
        store: &dyn AuditStore,
        at_rest: &AtRest,
        (hours, now): (u64, UnixTime),
        reach: Reach,
    ) -> Result<Self, StoreError> {
        let since = now.as_secs().saturating_sub(hours * 3600);
        let (mut below, piece) = (store.audit_size().await?, hours * 3600 / PIECES);
        let mut codes = BTreeMap::<String, Refused>::new();
        let (mut count, mut unreadable, mut windows, mut cut) = (0, 0, 0, false);
        // The newest first: in a flood it is those that matter.
        while below > 0 {
            windows += 1;
            let from = below.saturating_sub(reach.window);
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
                let Some(code) = event.as_ref().and_then(|event| event.outcome.code()) else {
                    unreadable += 1;
                    continue;
                };
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
            cut = (count >= COUNTED_MAX || windows >= reach.windows) && from > 0;
            if cut {
                break;
            }
            below = from;
        }
        Ok(Self { codes, unreadable, cut })
    }
}

fn table(counted: &Counted, hours: u64, now: UnixTime) -> Markup {
    let mut all: Vec<(&String, &Refused)> = counted.codes.iter().collect();
    all.sort_by_key(|(code, refused)| (std::cmp::Reverse(refused.count), *code));
    html! {
        table .stack {
            caption { (words::refusals(all.iter().map(|(_, refused)| refused.count).sum())) }
            (head(&words::REFUSAL_COLUMNS))
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
    let point = |piece: u64| {
        let count = refused.pieces.get(&piece).copied().unwrap_or_default();
        Point::new(since + piece * span / PIECES, f64::from(count))
    };
    Chart {
        label: words::refusals_over_time(code, refused.count),
        unit: String::new(),
        series: vec![Series { name: code.to_owned(), points: (0..=PIECES).map(point).collect(), reference: None }],
        span: Some((since, now.as_secs())),
        size: Size::Spark,
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::tests::log;
    use super::*;

    #[tokio::test]
    async fn refusals_are_counted_as_far_as_that_goes() {
        let now = UnixTime::from_secs(10_000);
        let at = |second: u64, code: &str| Event::new(EventKind::SessionRefused, second * 1000).refused(code);
        let long_ago = at(10, "party-wrong");
        let events = [long_ago, at(9000, "step-wrong"), at(9001, "step-wrong"), at(9002, "x"), at(9003, "party-wrong")];
        let store = log(&events, 3).await;
        let counted = async |reach| {
            let counted = Counted::of(&store, &AtRest::Clear, (1, now), reach).await.unwrap();
            let codes: Vec<_> = counted.codes.iter().map(|(code, one)| (code.clone(), one.count, one.last)).collect();
            (codes, counted.unreadable, counted.cut)
        };
        let (party, step) = (("party-wrong".to_owned(), 1, 9003), ("step-wrong".to_owned(), 2, 9001));
        assert_eq!(counted(Reach { window: 2, windows: 9 }).await, (vec![party.clone(), step], 1, false));
        assert_eq!(counted(Reach { window: 2, windows: 1 }).await, (vec![party], 1, true));
    }
}
