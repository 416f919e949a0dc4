//! Who had to do with the record, each look in plain words.

use std::collections::BTreeMap;

use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_fhir::plain::{Kind, tidy};
use sealwort_fhir::{ResourceId, ResourceType};
use sealwort_pages::words::portal as words;

use super::super::access_log::{check_may_see, known_of, rows_of};
use super::super::questions::ANSWER;
use super::last::Last;
use super::record::hospital;
use super::visit::Visit;
use crate::access_log::balp::id;
use crate::access_log::join::Row;
use crate::access_log::{AccessLog, Party};
use crate::error::GatewayError;
use crate::trail::shows_records;

/// Says in the entry of a look at the list that it is a question about another entry.
pub(super) const QUESTION: &str = "question";

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Refused,
    Failed,
}

/// One look, or something else that happened.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "facts that hold or not, each of the others")]
pub(super) struct Look {
    /// Unix time.
    pub(super) seconds: u64,
    pub(super) who: String,
    /// As what they work, or what they are to the patient.
    pub(super) role: String,
    pub(super) place: String,
    pub(super) why: &'static str,
    pub(super) what: String,
    pub(super) ended: Ended,
    /// Why it was refused.
    pub(super) reason: Option<&'static str>,
    pub(super) is_emergency: bool,
    /// By whoever looks at the list now.
    pub(super) is_own: bool,
    /// Whether something of the record was seen, or could have been.
    pub(super) opened: bool,
    /// Whether a log that should know of it does not.
    pub(super) is_missing: bool,
    /// Names the entry.
    pub(super) entry: String,
}

/// All looks, the newest first.
pub(super) struct Looks {
    pub(super) all: Vec<Look>,
    /// How each log stands: a word for it, and whether it holds.
    pub(super) logs: Vec<(&'static str, Result<(), ()>)>,
    /// How many identities they are about; each has a file of proofs.
    pub(super) identities: usize,
}

impl Looks {
    /// Whether all logs were asked and hold; else somebody may have looked who is not listed.
    pub(super) fn are_complete(&self) -> bool {
        self.logs.iter().all(|(_, holds)| holds.is_ok())
    }

    /// The newest by which somebody else saw something.
    fn last(&self, now: u64) -> Last {
        let look = self.all.iter().find(|look| !look.is_own && look.opened).cloned();
        Last { look, is_complete: self.are_complete(), found: now }
    }
}

/// Asks all three logs. It is a look at them itself, and entered.
pub(super) async fn looks(visit: &Visit) -> Result<Looks, GatewayError> {
    let asking = visit.asking();
    let reading = async {
        let id: ResourceId = visit.patient().parse().map_err(|_| GatewayError::unknown_patient())?;
        let all = known_of(&visit.gateway, &asking, &id).await?;
        told(visit, &all)
    };
    let outcome = reading.await;
    let looks = visit.kept(visit.entry(EventKind::LogShown, &asking), &asking, outcome).await?;
    visit.remember_last(looks.last(visit.gateway.sessions.now().as_secs()));
    Ok(looks)
}

/// Who opened it last. What this session was told a moment ago counts again, for who may still see it: then no log is
/// asked.
pub(super) async fn last_look(visit: &Visit) -> Result<Last, GatewayError> {
    let now = visit.gateway.sessions.now().as_secs();
    // Who may not see the list did not ask for it by opening the first page: no entry says so.
    let id: ResourceId = visit.patient().parse().map_err(|_| GatewayError::unknown_patient())?;
    check_may_see(&visit.gateway, &visit.asking(), &id).await?;
    if let Some(last) = visit.recall_last(now) {
        return Ok(last);
    }
    looks(visit).await.map(|looks| looks.last(now))
}

fn told(visit: &Visit, all: &[AccessLog]) -> Result<Looks, GatewayError> {
    let rows = rows_of(&visit.gateway, all)?;
    let name = |party: Party| match party {
        Party::Gateway => words::LOG_OF_HOSPITAL,
        Party::Broker => words::LOG_OF_EXCHANGE,
        Party::Archive => words::LOG_OF_ARCHIVE,
    };
    let logs = all.iter().flat_map(|log| &log.logs);
    Ok(Looks {
        all: rows.iter().map(|row| look(visit, row)).collect(),
        logs: logs.map(|log| (name(log.party), log.standing.as_ref().map(drop).map_err(drop))).collect(),
        identities: all.len(),
    })
}

fn look(visit: &Visit, row: &Row<'_>) -> Look {
    let event = &row.lead.event;
    let purpose = event.purpose.as_ref().map(sealwort_audit::Line::as_str).unwrap_or_default();
    let (who, is_own) = who(visit, row);
    let role = event.role.as_ref().map(|role| words::role(role.as_str())).unwrap_or_default();
    let own = visit.gateway.member.identity().to_string();
    let place = match (row.lead.party, &event.peer) {
        (Party::Gateway, _) => hospital(&own).to_owned(),
        (_, Some(peer)) => hospital(peer.as_str()).to_owned(),
        (Party::Broker, None) => words::THE_EXCHANGE.to_owned(),
        (Party::Archive, None) => words::THE_ARCHIVE.to_owned(),
    };
    let (ended, reason) = match &event.outcome {
        Outcome::Done => (Ended::Done, None),
        Outcome::Refused(code) => (Ended::Refused, Some(words::refused(code.as_str()))),
        Outcome::Failed(_) => (Ended::Failed, None),
    };
    Look {
        seconds: event.time / 1000,
        who,
        role: if is_own { String::new() } else { role },
        place,
        why: if purpose.is_empty() { words::NO_REASON } else { words::purpose(purpose) },
        what: what(row),
        ended,
        reason,
        is_emergency: is_emergency(event, purpose),
        is_own,
        opened: ended == Ended::Done && opens(row),
        is_missing: !row.missing.is_empty(),
        entry: id(row.lead),
    }
}

fn who(visit: &Visit, row: &Row<'_>) -> (String, bool) {
    let event = &row.lead.event;
    let Some(user) = event.user.as_ref().map(sealwort_audit::Line::as_str) else {
        let party = match (row.lead.party, &event.peer) {
            (_, Some(_)) | (Party::Gateway, _) => words::A_SYSTEM,
            (Party::Broker, None) => words::THE_EXCHANGE,
            (Party::Archive, None) => words::THE_ARCHIVE,
        };
        return (party.to_owned(), false);
    };
    if user == visit.user() {
        // What an app does in somebody's name is not what they do.
        let is_app = event.get(Detail::Method) == Some("app");
        let name = if is_app { words::OWN_APP } else { words::YOU };
        return (name.to_owned(), !is_app && row.lead.party == Party::Gateway);
    }
    let helper = event.get(Detail::Delegate).and_then(|id| visit.gateway.any_delegation(id));
    (helper.map_or_else(|| tidy(user), |one| words::helper(&tidy(&one.name))), false)
}

fn is_emergency(event: &Event, purpose: &str) -> bool {
    matches!(purpose, "ETREAT" | "BTG")
        || event.get(Detail::Action) == Some("emergency")
        || matches!(
            event.kind,
            EventKind::EmergencyBegun
                | EventKind::EmergencyApproved
                | EventKind::EmergencyEnded
                | EventKind::EmergencyNotified
                | EventKind::EmergencyReported
                | EventKind::EmergencyReviewed
        )
}

fn opens(row: &Row<'_>) -> bool {
    let seen = |event: &Event| {
        event.outcome == Outcome::Done
            && event.patient.is_some()
            && (shows_records(event.kind) || event.kind == EventKind::EntriesFetched)
    };
    seen(&row.lead.event) || row.lead.party != Party::Gateway && row.others.iter().any(|entry| seen(&entry.event))
}

/// What was done, with how many of what.
fn what(row: &Row<'_>) -> String {
    let event = &row.lead.event;
    match event.get(Detail::Action).filter(|_| event.kind == EventKind::LogShown) {
        Some(QUESTION) => return words::QUESTIONED.to_owned(),
        Some(ANSWER) => return words::ANSWERED.to_owned(),
        _ => {}
    }
    // Of another hospital's look its own log knows more; what it was given says as much as can be said here.
    let others = if row.lead.party == Party::Gateway { &[][..] } else { &row.others };
    let fetched = others
        .iter()
        .find(|entry| entry.event.kind == EventKind::EntriesFetched && entry.event.outcome == Outcome::Done);
    let event = fetched.map_or(event, |entry| &entry.event);
    let verb = words::happened(event.kind.as_str());
    let counts = counts(event);
    if counts.is_empty() { verb.to_owned() } else { format!("{verb}: {}", counts.join(", ")) }
}

fn counts(event: &Event) -> Vec<String> {
    let mut all: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut add = |kind: &str, count: u64| {
        if let Ok(kind) = kind.parse::<ResourceType>() {
            *all.entry(Kind::of_type(kind)).or_default() += count;
        }
    };
    if let Some(types) = event.get(Detail::Types) {
        for (kind, count) in types.split(' ').filter_map(|one| one.split_once(':')) {
            add(kind, count.parse().unwrap_or_default());
        }
    } else if event.get(Detail::Count).is_some() {
        let named = event.get(Detail::Subject).unwrap_or_default();
        named.split(' ').filter_map(|one| one.split_once('/')).for_each(|(kind, _)| add(kind, 1));
    }
    all.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| words::counted(count, kind.as_str())).collect()
}
