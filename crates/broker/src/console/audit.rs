//! Audit: a search in the broker's own log, without anything about patients or the people of hospitals, and what vouches for
//! the log. Whoever searches is entered first.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{AtRest, Detail, Event, EventKind};
use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::{Identity, UnixTime};
use sealwort_store::{AuditQuery, AuditStore, StoreError};
use time::format_description::FormatItem;
use time::macros::format_description;

use super::form::Form;
use super::frame::{self, AUDIT, cell, head, moment, options};
use super::sign_in::{Visitor, log_away};
use super::{Console, METHOD};

/// Entries of one page of results, and how many of the log are looked at for them at once.
const PAGE: usize = 50;
const WINDOW: u64 = 1000;
/// Windows that one page looks at.
const WINDOWS_MAX: u64 = 50;
const DAY: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]");
const DAY_MILLIS: u64 = 24 * 3600 * 1000;
/// Kinds whose user is one of the operator's own.
const OWN_PEOPLE: [EventKind; 6] = [
    EventKind::SignedIn,
    EventKind::SignedOut,
    EventKind::SignInEnded,
    EventKind::LockedOut,
    EventKind::LogSearched,
    EventKind::LogExported,
];
/// Details that say nothing about a patient or a hospital's user, whatever the kind.
const SHOWN: [Detail; 7] =
    [Detail::Count, Detail::Session, Detail::Origin, Detail::Address, Detail::Method, Detail::Until, Detail::Expires];
/// Kinds whose reason is this program's own words.
const OWN_REASONS: [EventKind; 9] = [
    EventKind::SessionEnded,
    EventKind::SessionRefused,
    EventKind::SignedIn,
    EventKind::SignedOut,
    EventKind::SignInEnded,
    EventKind::LockedOut,
    EventKind::CheckpointCosigned,
    EventKind::LogResumed,
    EventKind::KeysRewrapped,
];

/// What is searched for.
#[derive(Debug, Default)]
struct Terms {
    kind: Option<EventKind>,
    outcome: Option<(u8, &'static str)>,
    since: Option<(u64, String)>,
    until: Option<(u64, String)>,
    party: Option<Identity>,
    below: Option<u64>,
}

/// An entry that was found.
struct Found {
    number: u64,
    /// Unix milliseconds.
    time: u64,
    /// None where it cannot be read: it was altered, or the index beside it.
    event: Option<Event>,
}

/// What was found.
struct Results {
    entries: Vec<Found>,
    /// Where older entries go on, if there are any.
    next: Option<u64>,
}

/// `GET /audit?find=1&…`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let form = Form::of(query.as_bytes());
    let terms = Terms::of(&form);
    let results = if form.value("find").is_some() {
        let entry = console.entry(EventKind::LogSearched, &visitor.name, visitor.may.role());
        if console.broker.journal.append(entry.detail(Detail::Query, terms.in_words())).await.is_err() {
            return log_away();
        }
        let journal = &console.broker.journal;
        match terms.search(journal.store(), journal.at_rest()).await {
            Ok(results) => found(&results, &form),
            Err(error) => html! { div .note.error { p { (words::store_away(&error.to_string())) } } },
        }
    } else {
        html! {}
    };
    let content = html! {
        p { (words::AUDIT_INTRODUCTION) }
        section aria-labelledby="search" {
            h2 #search { (words::SEARCH) }
            (fields(&terms, &console.party_names().await))
            (results)
        }
        section aria-labelledby="verify" {
            h2 #verify { (words::VERIFY) }
            (console.vouching(&visitor).await)
        }
    };
    frame::page(&console, &visitor, (AUDIT, words::AUDIT), &content).await
}

impl Terms {
    /// What cannot be read is not asked for: the form shows what was.
    fn of(form: &Form) -> Self {
        let day = |name: &str| {
            let text = form.value(name)?;
            let day = time::Date::parse(text, DAY).ok()?.midnight().assume_utc().unix_timestamp();
            Some((u64::try_from(day).ok()? * 1000, text.to_owned()))
        };
        let outcome = form.value("outcome");
        Self {
            kind: form.value("kind").and_then(|kind| kind.parse().ok()),
            outcome: words::OUTCOMES
                .iter()
                .zip(0..)
                .find(|((name, _), _)| outcome == Some(name))
                .map(|((name, _), number)| (number, *name)),
            since: day("since"),
            until: day("until"),
            party: form.value("party").and_then(|party| party.parse().ok()),
            below: form.value("below").and_then(|below| below.parse().ok()),
        }
    }

    /// For the log, in which it is entered.
    fn in_words(&self) -> String {
        let terms = [
            self.kind.map(|kind| format!("kind {kind}")),
            self.outcome.map(|(_, outcome)| format!("outcome {outcome}")),
            self.since.as_ref().map(|(_, day)| format!("since {day}")),
            self.until.as_ref().map(|(_, day)| format!("until {day}")),
            self.party.as_ref().map(|party| format!("party {party}")),
            self.below.map(|below| format!("before entry {below}")),
        ];
        let terms: Vec<_> = terms.into_iter().flatten().collect();
        if terms.is_empty() { "everything".to_owned() } else { terms.join(", ") }
    }
}

impl Terms {
    /// The newest entries first. Patients stay out of what is shown, not out of what is found.
    async fn search(&self, store: &dyn AuditStore, at_rest: &AtRest) -> Result<Results, StoreError> {
        let mut below = self.below.unwrap_or(u64::MAX).min(store.audit_size().await?);
        let mut entries = Vec::new();
        for _ in 0..WINDOWS_MAX {
            let from = below.saturating_sub(WINDOW);
            let query = AuditQuery {
                from,
                below: Some(below),
                since: self.since.as_ref().map(|(millis, _)| *millis),
                before: self.until.as_ref().map(|(millis, _)| millis + DAY_MILLIS),
                kind: self.kind.map(EventKind::number),
                outcome: self.outcome.map(|(number, _)| number),
                ..AuditQuery::default()
            };
            let rows = store.audit_rows(query, usize::try_from(WINDOW).unwrap_or(usize::MAX)).await?;
            for row in rows.iter().rev() {
                let event = at_rest.open(&row.stored).ok().and_then(|leaf| Event::from_bytes(&leaf).ok());
                // One that cannot be read is shown to whoever searches: it may be just the one that is looked for.
                if event.as_ref().is_some_and(|event| !self.fits(event)) {
                    continue;
                }
                entries.push(Found { number: row.number, time: row.index.time, event });
                if entries.len() == PAGE {
                    return Ok(Results { entries, next: Some(row.number).filter(|number| *number > 0) });
                }
            }
            below = from;
            if from == 0 {
                return Ok(Results { entries, next: None });
            }
        }
        Ok(Results { entries, next: Some(below) })
    }

    fn fits(&self, event: &Event) -> bool {
        let Some(party) = self.party.as_ref().map(Identity::to_string) else { return true };
        event.peer.as_ref().is_some_and(|peer| peer.as_str() == party)
    }
}

impl Console {
    /// Parties that can be searched for.
    async fn party_names(&self) -> Vec<String> {
        let all = self.participants().await.unwrap_or_default();
        all.iter().map(|one| one.identity.to_string()).collect()
    }
}

fn fields(terms: &Terms, parties: &[String]) -> Markup {
    let kind = terms.kind.map(EventKind::as_str).unwrap_or_default();
    let outcome = terms.outcome.map(|(_, outcome)| outcome).unwrap_or_default();
    let party = terms.party.as_ref().map(Identity::to_string).unwrap_or_default();
    let day = |at: &Option<(u64, String)>| at.as_ref().map(|(_, text)| text.clone()).unwrap_or_default();
    html! {
        form method="get" action=(AUDIT) .search {
            input type="hidden" name="find" value="1";
            div .row {
                div .field { label for="kind" { (words::KIND) } select id="kind" name="kind" {
                    option value="" { (words::ANY) }
                    @for known in EventKind::ALL { option value=(known) selected[known.as_str() == kind] { (known) } }
                } }
                div .field { label for="outcome" { (words::OUTCOME) } select id="outcome" name="outcome" {
                    option value="" { (words::ANY) }
                    (options(&words::OUTCOMES, &outcome))
                } }
                div .field { label for="party" { (words::PARTY) } select id="party" name="party" {
                    option value="" { (words::ANY) }
                    @for one in parties { option value=(one) selected[*one == party] { (one) } }
                } }
            }
            div .row {
                div .field { label for="since" { (words::SINCE) } input id="since" name="since" type="date" value=(day(&terms.since)); }
                div .field { label for="until" { (words::UNTIL) } input id="until" name="until" type="date" value=(day(&terms.until)); }
                button type="submit" { (words::FIND) }
            }
        }
    }
}

fn found(results: &Results, form: &Form) -> Markup {
    html! {
        table .stack #results {
            caption { (words::entries(results.entries.len())) }
            (head(&words::ENTRY_COLUMNS))
            tbody { @for found in &results.entries { tr {
                th scope="row" { (found.number) }
                (cell(words::ENTRY_COLUMNS[1], &at(found.time)))
                @if let Some(event) = &found.event {
                    (cell(words::ENTRY_COLUMNS[2], &html! { (event.kind) }))
                    (cell(words::ENTRY_COLUMNS[3], &html! { (event.outcome.as_str()) @if let Some(code) = event.outcome.code() { ": " code { (code) } } }))
                    (cell(words::ENTRY_COLUMNS[4], &html! { @if let Some(peer) = &event.peer { (peer.as_str()) } }))
                    (cell(words::ENTRY_COLUMNS[5], &html! { (who(event).unwrap_or_default()) }))
                    (cell(words::ENTRY_COLUMNS[6], &more(event)))
                } @else {
                    td colspan="5" { span .chip.error { (words::TAMPERED) } " " (words::TAMPERED_NEXT) }
                }
            } } }
        }
        @if let Some(next) = results.next {
            p { a .button.quiet href=(older(form, next)) { (words::OLDER) } }
        }
        p .quiet { (words::LEFT_OUT) }
    }
}

/// The same search, where it goes on.
fn older(form: &Form, below: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("find", "1");
    for name in ["kind", "outcome", "party", "since", "until"] {
        if let Some(value) = form.value(name) {
            query.append_pair(name, value);
        }
    }
    query.append_pair("below", &below.to_string());
    format!("{AUDIT}?{}#results", query.finish())
}

fn at(millis: u64) -> Markup {
    let seconds = millis / 1000;
    html! { (moment(UnixTime::from_secs(seconds))) span .quiet title=(date::machine(seconds)) { " " (words::seconds_of(seconds % 60)) } }
}

/// Who did it, where that is somebody of the operator.
fn who(event: &Event) -> Option<&str> {
    let user = event.user.as_ref()?.as_str();
    (OWN_PEOPLE.contains(&event.kind) || is_ours(event)).then_some(user)
}

/// Whether it was done at the console.
fn is_ours(event: &Event) -> bool {
    event.get(Detail::Method) == Some(METHOD)
}

fn more(event: &Event) -> Markup {
    let shown = |name: &Detail| {
        SHOWN.contains(name)
            || (*name == Detail::Reason && OWN_REASONS.contains(&event.kind))
            || (*name == Detail::Query && is_ours(event))
    };
    html! {
        @for (name, value) in event.details().filter(|(name, _)| shown(name)) {
            span .detail { span .quiet { (name) } " " (value) } " "
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use sealwort_audit::{Row, Tree};
    use sealwort_proto::Pseudonym;
    use sealwort_store::memory::MemoryStore;
    use sealwort_store::{AuditBatch, KeptCheckpoint};

    use super::*;

    /// A log of these, of which that of this number was altered.
    pub(in crate::console) async fn log(events: &[Event], altered: usize) -> MemoryStore {
        let (store, mut tree) = (MemoryStore::default(), Tree::empty());
        let mut rows: Vec<Row> =
            events.iter().map(|event| Row::append(&mut tree, event, &AtRest::Clear).unwrap()).collect();
        if let Some(row) = rows.get_mut(altered) {
            row.stored = b"something else".to_vec();
        }
        let checkpoint = KeptCheckpoint { size: tree.size(), note: String::new() };
        store.append_audit(AuditBatch { rows, checkpoint }).await.unwrap();
        store
    }

    #[tokio::test]
    async fn an_entry_that_was_altered_is_found() {
        let event =
            |number: u64| Event::new(EventKind::SessionBegun, number).peer("sealwort://test/gateway/hospital-a");
        let store = log(&[event(0), event(1), event(2)], 1).await;
        let terms = Terms { party: "sealwort://test/gateway/hospital-b".parse().ok(), ..Terms::default() };
        let found = terms.search(&store, &AtRest::Clear).await.unwrap().entries;
        assert_eq!(found.iter().map(|one| (one.number, one.event.is_some())).collect::<Vec<_>>(), [(1, false)]);
        let found = Terms::default().search(&store, &AtRest::Clear).await.unwrap().entries;
        assert_eq!(found.iter().map(|one| one.number).collect::<Vec<_>>(), [2, 1, 0]);
    }

    fn page_of(event: Option<Event>) -> String {
        let entries = vec![Found { number: 17, time: 0, event }];
        found(&Results { entries, next: None }, &Form::default()).into_string()
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_no_secret() {
        let page = page_of(None);
        assert!(page.contains(">17<") && page.contains(words::TAMPERED), "{page}");
        assert!(!page_of(Some(Event::new(EventKind::LogSearched, 0))).contains(words::TAMPERED));
    }

    #[test]
    fn a_party_that_is_none_is_not_asked_for() {
        let party = |query: &str| Terms::of(&Form::of(query.as_bytes())).in_words();
        assert_eq!(party("party=sealwort://test/gateway/hospital-a"), "party sealwort://test/gateway/hospital-a");
        assert_eq!(party("party=<script>"), "everything");
    }

    /// Whatever an entry holds of a patient and of a hospital's people, none of it is on the page.
    #[test]
    fn nothing_of_patients_and_hospitals_people_is_shown() {
        for kind in EventKind::ALL {
            let mut event = Event::new(*kind, 0).patient(Pseudonym::new([0xab; 32])).purpose("SECRET");
            for detail in Detail::ALL {
                let ours = [Detail::Session, Detail::Method];
                event.note(*detail, if ours.contains(detail) { "fine" } else { "SECRET" });
            }
            event.user = Some("SECRET".into());
            let allowed = SHOWN.len() + usize::from(OWN_REASONS.contains(kind));
            let page = page_of(Some(event));
            let secrets = page.matches("SECRET").count();
            let user = usize::from(OWN_PEOPLE.contains(kind));
            assert!(secrets <= allowed - 2 + user, "{kind}: {page}");
            assert!(!page.contains("abab"), "{kind}");
            for name in [
                Detail::Subject,
                Detail::Query,
                Detail::Labels,
                Detail::ResourceId,
                Detail::Recipient,
                Detail::Delegate,
            ] {
                assert!(!page.contains(&format!(">{name}</span>")), "{kind}: {name}");
            }
        }
        let ours = Event::new(EventKind::LogSearched, 0).user("ada", "operator").detail(Detail::Method, METHOD);
        let page = page_of(Some(ours));
        assert!(page.contains("ada"), "{page}");
    }
}
