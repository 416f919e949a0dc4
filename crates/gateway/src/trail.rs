//! What a request touched and showed, gathered while it is served, and the entries about it in the gateway's audit log:
//! one for each patient, on disk before the answer leaves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_journal::JournalError;
use sealwort_proto::Pseudonym;

use crate::Gateway;
use crate::error::GatewayError;
use crate::face::Interaction;
use crate::user::{Asking, By};

/// Resources that an entry names; how many there were is told in any case.
const NAMED_MAX: usize = 12;

/// What one request touched and showed. Clones share it, as the entries of a Bundle do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Touched>>);

#[derive(Debug, Default)]
struct Touched {
    patients: BTreeSet<Pseudonym>,
    named: Vec<String>,
    shown: u64,
}

impl Trail {
    /// The record of a patient was opened, or written into.
    pub(crate) fn touches(&self, patient: Pseudonym) {
        self.touched().patients.insert(patient);
    }

    /// A resource is shown.
    pub(crate) fn shows(&self, kind: ResourceType, id: &str) {
        let mut touched = self.touched();
        touched.shown += 1;
        if touched.named.len() < NAMED_MAX {
            touched.named.push(format!("{kind}/{id}"));
        }
    }

    /// Whose records were opened and something of them shown.
    fn opened(&self) -> BTreeSet<Pseudonym> {
        let touched = self.touched();
        if touched.shown > 0 { touched.patients.clone() } else { BTreeSet::new() }
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        Interaction::EmergencyAccess => EventKind::EmergencyBegun,
        Interaction::EmergencyApprove => EventKind::EmergencyApproved,
        Interaction::EmergencyEnd => EventKind::EmergencyEnded,
        Interaction::Export | Interaction::ExportStatus | Interaction::ExportCancel | Interaction::ExportFile => {
            EventKind::Exported
        }
    })
}

/// Whether an entry of this kind is about somebody who was shown what stands in a record.
fn shows_records(kind: EventKind) -> bool {
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
        let entry = self.journal.event(kind).user(&asking.user, &asking.role).purpose(&asking.purpose);
        match asking.by {
            By::User => entry,
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
        let tells = failed.is_none() && shows_records(entry.kind) && self.web_push.has_browsers();
        let opened = tells.then(|| (entry.clone(), trail.opened()));
        let entries = {
            let touched = trail.touched();
            if failed.is_none() && touched.shown > 0 {
                entry.note(Detail::Count, touched.shown);
                entry.note(Detail::Subject, touched.named.join(" "));
            }
            let of = |patient: &Pseudonym| entry.clone().patient(*patient);
            let entries: Vec<Event> = touched.patients.iter().map(of).collect();
            if entries.is_empty() { vec![entry] } else { entries }
        };
        self.journal.append_all(entries).await?;
        match opened {
            Some((about, patients)) => self.tell_opened(&about, &patients).await,
            None => Ok(()),
        }
    }

    /// Keeps that somebody could not be let in.
    pub(crate) async fn keep_turned_away(&self, error: &GatewayError) -> Result<(), GatewayError> {
        let entry = self.journal.event(EventKind::SignedIn).refused(error.code());
        Ok(self.journal.append(entry).await?)
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
