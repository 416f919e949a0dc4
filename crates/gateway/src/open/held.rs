//! Patients held open: what was read for whom, until when it may be shown again, and when it is let go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use sealwort_fhir::{Branch, ResourceType};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;
use tokio::sync::Mutex;

use crate::config::OpenConfig;
use crate::emergency::Access;
use crate::merge::note::MergeNote;
use crate::session::Session;
use crate::trail::Granted;
use crate::user::Asking;
use crate::view::PatientView;
/// What was read, over which session, since when notices were heard when its reading began, at which count of changes
/// that was, and for whom.
#[derive(Clone)]
pub(super) struct HeldView {
    pub(super) view: Arc<PatientView>,
    session: Arc<Session>,
    heard_since: Option<u64>,
    changes: u64,
    /// Users for whom broker and archive gave an authority: all logs name everybody who looks.
    users: HashMap<String, Admitted>,
}

/// A user whom broker and archive were told of.
#[derive(Clone, Copy)]
struct Admitted {
    until: UnixTime,
    granted: Granted,
}

/// A patient's place among those held open.
pub(super) struct Slot {
    pub(super) opening: Mutex<()>,
    held: StdMutex<Option<HeldView>>,
    /// How far the log was once read, kept when what was read is let go: no later reading may contradict it.
    reached: StdMutex<Option<Witness>>,
    /// How often something changed. What was read at an earlier count is not shown again.
    pub(super) changes: AtomicU64,
    /// How often consent changed. What was read at an earlier count is not held any longer.
    pub(super) consents: AtomicU64,
    used: StdMutex<Instant>,
    /// What is held together with what was merged into it.
    combined: StdMutex<Option<Combined>>,
}

/// A view together with those merged into it.
struct Combined {
    of: Vec<Arc<PatientView>>,
    view: Arc<PatientView>,
}

/// What a reading rests on as long as its answer is on its way: the patient's consent as it was, and a session over which
/// the broker would have told of a change.
pub(crate) struct Lease {
    slot: Arc<Slot>,
    consents: u64,
    session: Arc<Session>,
    notices_lost: u64,
}

impl Lease {
    pub(super) fn new(slot: &Arc<Slot>, consents: u64, session: Arc<Session>) -> Self {
        let notices_lost = session.notices_lost.load(Ordering::Acquire);
        Self { slot: Arc::clone(slot), consents, session, notices_lost }
    }

    /// Whether nothing was told, and everything would have been.
    pub(crate) fn holds(&self, now: UnixTime) -> bool {
        self.slot.consents.load(Ordering::Acquire) == self.consents
            && self.session.notices_lost.load(Ordering::Acquire) == self.notices_lost
            && self.session.is_live(now)
    }
}

/// What one reading may be shown again for: who decides does so by these.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Opened {
    patient: Pseudonym,
    purpose: String,
    role: String,
    /// The emergency access that it was opened by.
    emergency: Option<String>,
    /// The labels to which the rights of a delegate are confined; none for no such bound.
    labels: Vec<Branch>,
}

/// Patients held open, by patient, purpose of use and role.
pub(crate) struct OpenPatients {
    slots: StdMutex<HashMap<Opened, Arc<Slot>>>,
    patients_max: usize,
    bytes_max: usize,
    idle: Duration,
}

impl OpenPatients {
    pub(crate) fn new(config: &OpenConfig) -> Self {
        Self {
            slots: StdMutex::default(),
            patients_max: config.patients_max.max(1),
            bytes_max: usize::try_from(config.bytes_max.0).unwrap_or(usize::MAX),
            idle: config.idle.0,
        }
    }

    /// The open patient whose record holds a resource: finding it here costs no look-up on disk.
    pub(crate) fn holding(&self, kind: ResourceType, id: &str, purpose: &str) -> Option<Pseudonym> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .filter(|(opened, _)| opened.purpose == purpose)
            .find(|(_, slot)| slot.with_view(|view| view.place(kind, id).is_some()).unwrap_or_default())
            .map(|(opened, _)| opened.patient)
    }

    /// Closes whom nobody used for a while, and, above the limit of memory, who was used longest ago.
    pub(super) fn tidy(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.used().elapsed() < self.idle || is_leased(slot));
        let mut by_use: Vec<_> = slots
            .iter()
            .map(|(key, slot)| (slot.used(), key.clone(), slot.with_view(PatientView::bytes).unwrap_or_default()))
            .collect();
        let mut bytes: usize = by_use.iter().map(|(_, _, bytes)| bytes).sum();
        by_use.sort_unstable_by_key(|(used, _, _)| *used);
        // The one used last stays, however large it is.
        by_use.pop();
        for (_, key, held) in by_use {
            if bytes <= self.bytes_max {
                return;
            }
            bytes -= held;
            match slots.get(&key) {
                Some(slot) if is_leased(slot) => slot.let_go(),
                _ => drop(slots.remove(&key)),
            }
        }
    }

    pub(super) fn slot(&self, patient: Pseudonym, asking: &Asking, emergency: Option<&Access>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let emergency = emergency.map(|access| access.id.clone());
        let labels = asking.delegation.as_ref().map(|one| one.labels.clone()).unwrap_or_default();
        let (purpose, role) = (asking.purpose.clone(), asking.role.clone());
        let key = Opened { patient, purpose, role, emergency, labels };
        if !slots.contains_key(&key) {
            slots.retain(|_, slot| slot.used().elapsed() < self.idle || is_leased(slot));
            while slots.len() >= self.patients_max {
                let closable = slots.iter().filter(|(_, slot)| !is_leased(slot));
                let oldest = closable.min_by_key(|(_, slot)| slot.used()).map(|(key, _)| key.clone());
                let Some(oldest) = oldest else { break };
                slots.remove(&oldest);
            }
        }
        let slot = Arc::clone(slots.entry(key).or_insert_with(|| {
            Arc::new(Slot {
                opening: Mutex::new(()),
                held: StdMutex::new(None),
                reached: StdMutex::new(None),
                changes: AtomicU64::new(0),
                consents: AtomicU64::new(0),
                used: StdMutex::new(Instant::now()),
                combined: StdMutex::new(None),
            })
        }));
        *slot.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        slot
    }

    /// A view together with those merged into it, put together anew where one of them is another than before.
    pub(crate) fn combined(
        &self,
        view: &Arc<PatientView>,
        asking: &Asking,
        emergency: Option<&Access>,
        sources: &[(MergeNote, Arc<PatientView>)],
        base: &str,
    ) -> Arc<PatientView> {
        let slot = self.slot(view.patient, asking, emergency);
        let mut held = slot.combined.lock().unwrap_or_else(PoisonError::into_inner);
        let of: Vec<_> = std::iter::once(view).chain(sources.iter().map(|(_, source)| source)).cloned().collect();
        let is_same = |held: &&Combined| {
            held.of.len() == of.len() && held.of.iter().zip(&of).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if let Some(held) = held.as_ref().filter(is_same) {
            return Arc::clone(&held.view);
        }
        let together = Arc::new(view.combined(base, sources));
        *held = Some(Combined { of, view: Arc::clone(&together) });
        together
    }

    /// Something about this patient changed: the next reading asks again.
    pub(crate) fn changed(&self, patient: Pseudonym) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, slot) in slots.iter().filter(|(opened, _)| opened.patient == patient) {
            slot.change();
        }
    }

    /// Consent changed: what was read under the consent before is let go at once.
    pub(crate) fn consent_changed(&self, patient: Pseudonym) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // What was put together with it is let go, whoever stands for it.
        slots.values().for_each(|slot| slot.part(patient));
        for (_, slot) in slots.iter().filter(|(opened, _)| opened.patient == patient) {
            slot.consents.fetch_add(1, Ordering::AcqRel);
            slot.change();
            slot.let_go();
        }
    }

    /// An emergency access ended: what was read by it is let go at once.
    pub(crate) fn close_emergency(&self, id: &str) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|opened, slot| {
            let stays = opened.emergency.as_deref() != Some(id);
            if !stays {
                slot.consents.fetch_add(1, Ordering::AcqRel);
            }
            stays
        });
    }

    /// Anything may have changed.
    pub(crate) fn all_changed(&self) {
        for slot in self.slots.lock().unwrap_or_else(PoisonError::into_inner).values() {
            slot.consents.fetch_add(1, Ordering::AcqRel);
            slot.change();
        }
    }

    /// How many patients are held open under an authority that has not ended.
    pub(crate) fn authorities(&self, now: UnixTime) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter(|slot| slot.with_view(|view| view.expires > now).unwrap_or_default()).count() as u64
    }

    /// How many patients are held open, and how many bytes of JSON and search values.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let views: Vec<_> = slots.values().filter_map(|slot| slot.with_view(PatientView::bytes)).collect();
        (views.len(), views.iter().sum())
    }
}

/// Whether an answer on its way, or a reading, rests on it: it has to hear of changes.
fn is_leased(slot: &Arc<Slot>) -> bool {
    Arc::strong_count(slot) > 1
}

impl Slot {
    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn view(&self) -> Option<HeldView> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with_view<T>(&self, read: impl FnOnce(&PatientView) -> T) -> Option<T> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| read(&held.view))
    }

    /// Holds nothing more, but how far it had read.
    pub(super) fn let_go(&self) {
        self.combined.lock().unwrap_or_else(PoisonError::into_inner).take();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            self.note_reached(held.view.at);
        }
    }

    fn part(&self, patient: Pseudonym) {
        let mut combined = self.combined.lock().unwrap_or_else(PoisonError::into_inner);
        combined.take_if(|combined| combined.of.iter().any(|view| view.patient == patient));
    }

    pub(super) fn note_reached(&self, at: Witness) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.is_none_or(|before| before.sequence < at.sequence) {
            *reached = Some(at);
        }
    }

    pub(super) fn reached(&self) -> Option<Witness> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be shown to this user again.
    pub(super) fn fresh(self: &Arc<Self>, user: &str, now: UnixTime) -> Option<(Arc<PatientView>, Granted, Lease)> {
        // Counted first, for a change that comes while this looks.
        let consents = self.consents.load(Ordering::Acquire);
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        let unchanged = held.changes == self.changes.load(Ordering::Acquire);
        let admitted = held.users.get(user).filter(|admitted| now < admitted.until)?;
        let lease = || Lease::new(self, consents, Arc::clone(&held.session));
        let heard = held.heard_since.is_some() && held.session.heard_since() == held.heard_since;
        (unchanged && heard && held.session.is_live(now)).then(|| (Arc::clone(&held.view), admitted.granted, lease()))
    }

    /// Holds what was read for this user, beside those for whom the same was read before.
    pub(super) fn hold(
        &self,
        view: &Arc<PatientView>,
        (session, heard_since): (Arc<Session>, Option<u64>),
        changes: u64,
        (user, granted): (&str, Granted),
        now: UnixTime,
    ) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let still = held.take().filter(|held| {
            held.changes == changes && held.heard_since == heard_since && Arc::ptr_eq(&held.session, &session)
        });
        let mut users = still.map(|held| held.users).unwrap_or_default();
        users.retain(|_, admitted| now < admitted.until);
        users.insert(user.to_owned(), Admitted { until: view.expires, granted });
        *held = Some(HeldView { view: Arc::clone(view), session, heard_since, changes, users });
    }
}
