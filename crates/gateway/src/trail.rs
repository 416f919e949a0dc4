//! What a request touched and showed, gathered while it is served, and the entries about it in the gateway's audit log:
//! one for each patient, on disk before the answer leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_journal::JournalError;
use sealwort_proto::{Digest, Pseudonym, TokenId};

use crate::Gateway;
use crate::authorization::source;
use crate::error::GatewayError;
use crate::face::Interaction;
use crate::open::Lease;
use crate::user::{Asking, By};

/// Resources that an entry names; how many there were is told in any case.
const NAMED_MAX: usize = 12;

/// What one request touched and showed. Clones share it, as the entries of a Bundle do.
#[derive(Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Touched>>);

#[derive(Default)]
struct Touched {
    patients: BTreeMap<Pseudonym, Access>,
    leases: Vec<Lease>,
}

/// What it had to do with one patient.
#[derive(Default)]
struct Access {
    named: Vec<String>,
    types: Vec<(ResourceType, u64)>,
    /// In order; a write often reads first.
    granted: Vec<Granted>,
}

/// By what broker and archive name an access: the signed request, and the token that followed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Granted {
    pub(crate) request: Option<Digest>,
    pub(crate) token: Option<TokenId>,
}

impl Granted {
    /// The token, or the request that led to none.
    fn name(&self) -> Option<String> {
        self.token.map(|token| token.to_string()).or_else(|| self.request.map(|request| request.to_string()))
    }
}

impl Trail {
    /// The record of a patient was opened, or written into.
    pub(crate) fn touches(&self, patient: Pseudonym) {
        self.touched().patients.entry(patient).or_default();
    }

    /// Broker and archive were asked for this, now or by an earlier request of the same user.
    pub(crate) fn is_granted(&self, patient: Pseudonym, granted: Granted) {
        let mut touched = self.touched();
        let all = &mut touched.patients.entry(patient).or_default().granted;
        all.retain(|known| known.request != granted.request);
        all.push(granted);
    }

    /// Whether broker and archive were asked for anything: their logs tell of it.
    pub(crate) fn has_grants(&self) -> bool {
        self.touched().patients.values().any(|access| !access.granted.is_empty())
    }

    /// A resource of a patient is shown.
    pub(crate) fn shows(&self, patient: Pseudonym, kind: ResourceType, id: &str) {
        let mut touched = self.touched();
        let access = touched.patients.entry(patient).or_default();
        match access.types.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => access.types.push((kind, 1)),
        }
        if access.named.len() < NAMED_MAX {
            access.named.push(format!("{kind}/{id}"));
        }
    }

    /// What the answer rests on while it is on its way.
    pub(crate) fn rests_on(&self, lease: Lease) {
        self.touched().leases.push(lease);
    }

    /// All of that, once.
    pub(crate) fn take_leases(&self) -> Vec<Lease> {
        std::mem::take(&mut self.touched().leases)
    }

    /// How many resources were shown, or stored, so far.
    pub(crate) fn shown(&self) -> u64 {
        self.touched().patients.values().flat_map(|access| &access.types).map(|(_, count)| count).sum()
    }

    /// Of whose records something was shown, or stored in them.
    fn opened(&self) -> BTreeSet<Pseudonym> {
        let touched = self.touched();
        let shown = touched.patients.iter().filter(|(_, access)| !access.types.is_empty());
        shown.map(|(patient, _)| *patient).collect()
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    /// Says in an entry what was shown of whom, and by which request and token.
    fn tell(&self, mut entry: Event, patient: Pseudonym, failed: Option<&GatewayError>) -> Event {
        entry.patient = Some(patient);
        if let Some((last, before)) = self.granted.split_last() {
            entry.request = last.request;
            entry.token = last.token;
            let before: Vec<_> = before.iter().filter_map(Granted::name).collect();
            entry.note(Detail::Digest, before.join(" "));
        }
        let shown: u64 = self.types.iter().map(|(_, count)| count).sum();
        if failed.is_none() && shown > 0 {
            entry.note(Detail::Count, shown);
            entry.note(Detail::Subject, self.named.join(" "));
            if shown > self.named.len() as u64 {
                let types: Vec<_> = self.types.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
                entry.note(Detail::Types, types.join(" "));
            }
        }
        entry
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("patients", &self.touched().patients.keys()).finish_non_exhaustive()
    }
}

/// What an entry about an interaction is called; none where nothing of anybody's can be told.
pub(crate) fn kind_of(does: Interaction, of: Option<ResourceType>) -> Option<EventKind> {
    Some(match does {
        Interaction::Create | Interaction::Update | Interaction::Delete if of == Some(ResourceType::SUBSCRIPTION) => {
            EventKind::SubscriptionChanged
        }
        Interaction::Capabilities | Interaction::SmartConfiguration => return None,
        Interaction::Bundle => EventKind::BundleProcessed,
        Interaction::SearchSystem | Interaction::SearchType | Interaction::SearchCompartment => EventKind::Searched,
        Interaction::HistoryType | Interaction::HistoryInstance => EventKind::HistoryRead,
        Interaction::Create => EventKind::Created,
        Interaction::Read => EventKind::Read,
        Interaction::Vread => EventKind::VersionRead,
        Interaction::Update | Interaction::UpdateConditional => EventKind::Updated,
        Interaction::Patch => EventKind::Patched,
        Interaction::Delete => EventKind::Deleted,
        Interaction::Validate => EventKind::Validated,
        Interaction::Everything | Interaction::Summary => EventKind::RecordRead,
        Interaction::AccessLog | Interaction::AccessLogProof => EventKind::LogShown,
        Interaction::SearchEvents | Interaction::ReadEvent => EventKind::LogSearched,
        Interaction::ConsentExplain => EventKind::ConsentRead,
        Interaction::Merge => EventKind::PatientMerged,
        Interaction::Unmerge => EventKind::PatientUnmerged,
        Interaction::EmergencyAccess => EventKind::EmergencyBegun,
        Interaction::EmergencyApprove => EventKind::EmergencyApproved,
        Interaction::EmergencyEnd => EventKind::EmergencyEnded,
        Interaction::Export
        | Interaction::ExportStatus
        | Interaction::ExportCancel
        | Interaction::ExportFile
        | Interaction::PhrExport => EventKind::Exported,
    })
}

/// Whether an entry of this kind is about somebody who was shown what stands in a record.
pub(crate) fn shows_records(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Read
            | EventKind::VersionRead
            | EventKind::Searched
            | EventKind::HistoryRead
            | EventKind::RecordRead
            | EventKind::Exported
            | EventKind::BundleProcessed
    )
}

impl Gateway {
    /// An entry about what a user asked for.
    pub(crate) fn entry(&self, kind: EventKind, asking: &Asking) -> Event {
        let mut entry = self.journal.event(kind).user(&asking.user, &asking.role).purpose(&asking.purpose);
        if let Some(delegation) = &asking.delegation {
            entry.note(Detail::Delegate, &delegation.id);
        }
        match asking.by {
            By::User => entry,
            By::Person => entry.detail(Detail::Method, "person"),
            By::App => entry.detail(Detail::Method, "app"),
        }
    }

    /// Keeps the entry about a request, one for each patient that it touched, and returns when they are on disk.
    pub(crate) async fn keep_entry(
        &self,
        mut entry: Event,
        trail: &Trail,
        failed: Option<&GatewayError>,
    ) -> Result<(), GatewayError> {
        if let Some(error) = failed {
            entry.outcome = outcome_of(error);
            entry.note(Detail::Status, error.status());
        }
        let entries: Vec<_> = {
            let touched = trail.touched();
            touched.patients.iter().map(|(patient, access)| access.tell(entry.clone(), *patient, failed)).collect()
        };
        let tells = failed.is_none() && shows_records(entry.kind) && self.web_push.has_browsers();
        self.journal.append_all(if entries.is_empty() { vec![entry.clone()] } else { entries }).await?;
        if tells { self.tell_opened(&entry, &trail.opened()).await } else { Ok(()) }
    }

    /// Keeps how something ended that touches no record, and passes that on when it is on disk.
    pub(crate) async fn entered<T>(&self, entry: Event, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
        self.keep_entry(entry, &Trail::default(), outcome.as_ref().err()).await?;
        outcome
    }

    /// Keeps that a list of the hospital's own is read.
    pub(crate) async fn list_read(&self, what: &str, asking: &Asking) -> Result<(), GatewayError> {
        self.listed(what, asking, Ok(())).await
    }

    /// Keeps how the reading of such a list ended, and about whom it was, and passes the list on when that is on disk.
    pub(crate) async fn listed<T>(
        &self,
        what: &str,
        asking: &Asking,
        outcome: Result<T, GatewayError>,
    ) -> Result<T, GatewayError> {
        let entry = self.entry(EventKind::ListRead, asking).detail(Detail::Subject, what);
        self.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await?;
        outcome
    }

    /// Keeps that somebody is not let in: what they tried, and who it was, where a token told that. The refusal, once that
    /// is on disk.
    pub(crate) async fn turned_away(
        &self,
        parts: &Parts,
        asking: Option<&Asking>,
        error: GatewayError,
    ) -> GatewayError {
        let kind = EventKind::SignedIn;
        let mut entry = asking.map_or_else(|| self.journal.event(kind), |asking| self.entry(kind, asking));
        entry.note(Detail::Action, format!("{} {}", parts.method, parts.uri.path()));
        entry.note(Detail::Address, source(parts).map(|address| address.to_string()).unwrap_or_default());
        self.keep_entry(entry, &Trail::default(), Some(&error)).await.err().unwrap_or(error)
    }
}

fn outcome_of(error: &GatewayError) -> Outcome {
    let code = error.code().into();
    if error.status() < 500 { Outcome::Refused(code) } else { Outcome::Failed(code) }
}

impl From<JournalError> for GatewayError {
    fn from(error: JournalError) -> Self {
        let (status, issue) = if error.is_full() { (507, IssueCode::NoStore) } else { (503, IssueCode::Transient) };
        Self::request(status, issue, error.code(), error.text(), error.remedy())
    }
}
