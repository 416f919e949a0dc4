//! The read leg at the gateway: steps 1 to 7 of the transmission with the action *read*, then every entry
//! verified, opened and laid into memory. What is held open is shown again without asking only to a user whom broker
//! and archive were told of, while the broker's notices are heard, that user's authority lasts and nothing has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use sealwort_fhir::{Branch, ResourceType};
use sealwort_net::Shutdown;
use sealwort_pki::UnixTime;
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::halves::KeyRing;
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker, WireEntry};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{Peers, chain_from_wire};
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{self, VerifiedEntry};
use sealwort_proto::statement::digest;
use sealwort_proto::transmission::gateway::{Authority, Sought, request};
use sealwort_proto::{ErrorKind, Pseudonym, receipt};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::Gateway;
use crate::config::OpenConfig;
use crate::emergency::{ACTION, Access};
use crate::error::GatewayError;
use crate::merge::note::MergeNote;
use crate::seen::concerns;
use crate::session::Session;
use crate::trail::{Granted, Trail};
use crate::user::Asking;
use crate::view::{Origin, PatientView, Taken};

/// Entries that one task verifies and opens.
const ENTRIES_PER_TASK: usize = 128;
/// How often those whom nobody uses are closed.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// Times that a lost session or an ended authority is replaced before giving up.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// What was read, over which session, at which count of changes its reading began, and for whom.
#[derive(Clone)]
struct HeldView {
    view: Arc<PatientView>,
    session: Arc<Session>,
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
struct Slot {
    opening: Mutex<()>,
    held: StdMutex<Option<HeldView>>,
    /// How far the log was once read, kept when what was read is let go: no later reading may contradict it.
    reached: StdMutex<Option<Witness>>,
    /// How often something changed. What was read at an earlier count is not shown again.
    changes: AtomicU64,
    /// How often consent changed. What was read at an earlier count is not held any longer.
    consents: AtomicU64,
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
    fn new(slot: &Arc<Slot>, consents: u64, session: Arc<Session>) -> Self {
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

    /// Closes who was not used for a while, and, above the limit of memory, who was used longest ago.
    fn tidy(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.used().elapsed() < self.idle);
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
            slots.remove(&key);
        }
    }

    fn slot(&self, patient: Pseudonym, asking: &Asking, emergency: Option<&Access>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let emergency = emergency.map(|access| access.id.clone());
        let labels = asking.delegation.as_ref().map(|one| one.labels.clone()).unwrap_or_default();
        let (purpose, role) = (asking.purpose.clone(), asking.role.clone());
        let key = Opened { patient, purpose, role, emergency, labels };
        if !slots.contains_key(&key) {
            slots.retain(|_, slot| slot.used().elapsed() < self.idle);
            while slots.len() >= self.patients_max {
                let oldest = slots.iter().min_by_key(|(_, slot)| slot.used()).map(|(key, _)| key.clone());
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

impl Slot {
    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn view(&self) -> Option<HeldView> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with_view<T>(&self, read: impl FnOnce(&PatientView) -> T) -> Option<T> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| read(&held.view))
    }

    /// Holds nothing more, but how far it had read.
    fn let_go(&self) {
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

    fn note_reached(&self, at: Witness) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.is_none_or(|before| before.sequence < at.sequence) {
            *reached = Some(at);
        }
    }

    fn reached(&self) -> Option<Witness> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be shown to this user again.
    fn fresh(self: &Arc<Self>, user: &str, now: UnixTime) -> Option<(Arc<PatientView>, Granted, Lease)> {
        // Counted first, for a change that comes while this looks.
        let consents = self.consents.load(Ordering::Acquire);
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        let unchanged = held.changes == self.changes.load(Ordering::Acquire);
        let admitted = held.users.get(user).filter(|admitted| now < admitted.until)?;
        let lease = || Lease::new(self, consents, Arc::clone(&held.session));
        (unchanged && held.session.vouches(now)).then(|| (Arc::clone(&held.view), admitted.granted, lease()))
    }

    /// Holds what was read for this user, beside those for whom the same was read before.
    fn hold(
        &self,
        view: &Arc<PatientView>,
        session: Arc<Session>,
        changes: u64,
        (user, granted): (&str, Granted),
        now: UnixTime,
    ) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let still = held.take().filter(|held| held.changes == changes && Arc::ptr_eq(&held.session, &session));
        let mut users = still.map(|held| held.users).unwrap_or_default();
        users.retain(|_, admitted| now < admitted.until);
        users.insert(user.to_owned(), Admitted { until: view.expires, granted });
        *held = Some(HeldView { view: Arc::clone(view), session, changes, users });
    }
}

/// Closes patients that nobody uses, until `shutdown`.
pub(crate) async fn close_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_EVERY) => {
                gateway.patients.tidy();
                gateway.tidy_sessions();
                gateway.tidy_passkeys();
                gateway.authorization.sweep(gateway.sessions.now());
            }
            () = shutdown.wait() => return,
        }
    }
}

impl Gateway {
    /// A patient as this user may see it now.
    pub(crate) async fn open(&self, patient: Pseudonym, asking: &Asking) -> Result<Arc<PatientView>, GatewayError> {
        // A token about one patient learns nothing of others, not even whether they are known.
        if !self.concerns(patient, asking) {
            return Err(crate::face::read::not_found());
        }
        asking.trail.touches(patient);
        let emergency =
            self.emergencies.admit(self.roster.surviving(patient), asking, self.sessions.now().as_secs())?;
        let view = Box::pin(self.open_under(patient, asking, emergency.as_ref())).await?;
        // Who was merged into another one is shown with that one, as long as it says so.
        if let Some(target) = self.led_on(&view).await? {
            return Box::pin(self.open(target, asking)).await;
        }
        let view = Box::pin(self.with_merged(view, asking, emergency.as_ref())).await?;
        if let Some(access) = emergency {
            self.note_opened(&access.id, &view).await?;
        }
        Ok(view)
    }

    /// Whether a token has any business with a record, or with one that was merged with it.
    pub(crate) fn concerns(&self, patient: Pseudonym, asking: &Asking) -> bool {
        let stands = |context: Pseudonym| self.roster.surviving(context) == self.roster.surviving(patient);
        concerns(patient, asking) || asking.context.is_some_and(stands)
    }

    /// The same by an emergency access, or by none.
    pub(crate) async fn open_under(
        &self,
        patient: Pseudonym,
        asking: &Asking,
        emergency: Option<&Access>,
    ) -> Result<Arc<PatientView>, GatewayError> {
        let slot = self.patients.slot(patient, asking, emergency);
        let fresh = || {
            let (view, granted, lease) = slot.fresh(&asking.user, self.sessions.now())?;
            asking.trail.is_granted(patient, granted);
            asking.trail.rests_on(lease);
            Some(view)
        };
        if let Some(fresh) = fresh() {
            return Ok(fresh);
        }
        let _one_at_a_time = slot.opening.lock().await;
        if let Some(fresh) = fresh() {
            return Ok(fresh);
        }
        // Counted first: a change that comes while reading is seen by the reading after it. Until this one ends, what was
        // held before stays outdated, for everybody.
        let changes = slot.changes.load(Ordering::Acquire);
        let before = slot.view().map(|held| held.view);
        let consents = slot.consents.load(Ordering::Acquire);
        let action = if emergency.is_some() { ACTION } else { "read" };
        let emergency = emergency.map(Access::stated).transpose()?;
        let sought = Sought { emergency, ..self.sought(patient, action, asking) };
        let outcome = self.read(sought, asking, before, slot.reached()).await;
        match outcome {
            Ok((view, session, granted)) => {
                asking.trail.rests_on(Lease::new(&slot, consents, Arc::clone(&session)));
                slot.note_reached(view.at);
                slot.hold(&view, session, changes, (&asking.user, granted), self.sessions.now());
                // Consent changed meanwhile: this is for who asked before that, and held for nobody.
                if slot.consents.load(Ordering::Acquire) != consents {
                    slot.let_go();
                } else if asking.purpose == crate::people::TREATMENT {
                    self.learn(&view);
                }
                Ok(view)
            }
            // Not shown again, and yet remembered: asking a second time does not make an older log true.
            Err(error) if error.is_tampering() => {
                slot.change();
                Err(error)
            }
            Err(error) => {
                // What may no longer be shown is no longer held.
                slot.let_go();
                // What one role may not read, another may.
                let hospital = error.code().starts_with("consent-") && error.code() != "consent-role-not-granted";
                if hospital && asking.purpose == crate::people::TREATMENT {
                    self.forget(patient).await?;
                }
                Err(error)
            }
        }
    }

    async fn read(
        &self,
        sought: Sought,
        asking: &Asking,
        before: Option<Arc<PatientView>>,
        reached: Option<Witness>,
    ) -> Result<(Arc<PatientView>, Arc<Session>, Granted), GatewayError> {
        let mut attempt = 1;
        loop {
            let session = self.session().await?;
            match self.read_once(&session, sought.clone(), asking, before.as_deref(), reached).await {
                Ok((view, granted)) => return Ok((Arc::new(view), session, granted)),
                Err(error) if attempt < ATTEMPTS_MAX && error.is_session_lost() => {
                    self.sessions.drop_session(&session).await;
                }
                Err(error) if attempt < ATTEMPTS_MAX && error.wants_new_token() => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn read_once(
        &self,
        session: &Arc<Session>,
        sought: Sought,
        asking: &Asking,
        before: Option<&PatientView>,
        reached: Option<Witness>,
    ) -> Result<(PatientView, Granted), GatewayError> {
        let patient = sought.patient;
        let authority = self.authorise(session, sought, &asking.trail).await?;
        let by = Granted { request: Some(authority.request), token: Some(authority.id) };
        let start = empty(patient);
        let mut view = match before.filter(|view| view.tags == authority.tags) {
            Some(view) => view.continued(),
            None => PatientView::new(patient, start, authority.tags.clone(), &self.base),
        };
        view.expires = authority.expires;
        let mut walk =
            ChainWalk::new(session.party.exchange(), patient, view.at, authority.witness).map_err(archive_fault)?;
        let granted = authority.tags;
        let fetch = ToArchive::Fetch { authority: authority.id, after: view.at.sequence };
        let mut answers = self.sessions.ask_archive(session, &[fetch]).await?;
        let opener = Opener { keys: Arc::new(authority.keys), operations: Arc::clone(&session.party.operations) };
        let reading = async {
            let mut authors = Arc::new(Authors::default());
            let mut tasks: Vec<JoinHandle<Result<Vec<OpenedEntry>, ErrorKind>>> = Vec::new();
            loop {
                match answers.next().await?.0 {
                    FromArchive::Entries { entries, authors: chains } => {
                        authors = self.learn_authors(authors, &entries, &chains)?;
                        let mut entries = entries;
                        while !entries.is_empty() {
                            let rest = entries.split_off(entries.len().min(ENTRIES_PER_TASK));
                            tasks.push(opener.spawn(Arc::clone(&authors), std::mem::replace(&mut entries, rest)));
                        }
                    }
                    FromArchive::End { receipt } => return Ok((tasks, receipt)),
                    _ => return Err(unexpected(Fault::Archive)),
                }
            }
        };
        // The broker answers while the archive sends.
        let heads = self.witnessed(session, patient, view.at.sequence);
        let ((tasks, receipt), heads) = futures::future::try_join(reading, heads).await?;
        walk.hold_against(&heads).map_err(archive_fault)?;
        walk.hold_against(reached.as_slice()).map_err(archive_fault)?;
        for opening in tasks {
            let entries = opening.await.map_err(|_| GatewayError::Kept("opening records was interrupted"))?;
            for entry in entries.map_err(archive_fault)? {
                walk.step(&entry.verified).map_err(archive_fault)?;
                match entry.content {
                    Some(Some(taken)) => {
                        let header = entry.verified.header();
                        let label = self.directory.label(patient, header.tag);
                        let unknown = || archive_fault(ErrorKind::Chain("an entry has a label of nobody's"));
                        let entry = Witness { sequence: header.sequence, head: entry.verified.hash() };
                        let origin = Origin { author: header.author.as_str().into(), entry };
                        view.take(taken, UnixTime::from_secs(header.authored_at), label.ok_or_else(unknown)?, origin);
                    }
                    Some(None) => tracing::warn!(
                        author = %entry.verified.header().author,
                        sequence = entry.verified.header().sequence,
                        "an entry holds no FHIR resource and is passed over"
                    ),
                    // Consent withholds by label; under a granted one it is the archive that does.
                    None if granted.binary_search(&entry.verified.header().tag).is_ok() => {
                        return Err(archive_fault(ErrorKind::Chain(
                            "an entry under a granted label came without its ciphertext",
                        )));
                    }
                    None => view.withheld += 1,
                }
            }
        }
        view.settle();
        let verified = verify_receipt(session, receipt.as_ref())?;
        view.at = walk.finish(&verified).map_err(archive_fault)?;
        if reached.is_some_and(|reached| view.at.sequence < reached.sequence) {
            return Err(archive_fault(ErrorKind::Rollback("the log ends before a head that was read here")));
        }
        if view.at.sequence > authority.witness.sequence {
            self.have_witnessed(session, receipt).await?;
        }
        Ok((view, by))
    }

    /// What a user wants, with every label: what may be seen is the directive's to say. A delegate with labels of their
    /// own asks for those alone, so that no key of another is given.
    pub(crate) fn sought(&self, patient: Pseudonym, action: &str, asking: &Asking) -> Sought {
        let mut tags = self.directory.tags(patient);
        if let Some(delegation) = asking.delegation.as_ref().filter(|one| !one.labels.is_empty()) {
            tags = delegation.labels.iter().map(|label| self.directory.tag(patient, *label)).collect();
        }
        Sought {
            patient,
            action: action.to_owned(),
            tags,
            purpose: asking.purpose.clone(),
            emergency: None,
            user: asking.user.clone(),
            user_role: asking.role.clone(),
        }
    }

    /// Steps 1 to 6 of the transmission. Whoever turns out to be erased is forgotten here as well.
    pub(crate) async fn authorise(
        &self,
        session: &Arc<Session>,
        sought: Sought,
        trail: &Trail,
    ) -> Result<Authority, GatewayError> {
        let patient = sought.patient;
        let outcome = self.six_steps(session, sought, trail).await;
        if outcome.as_ref().is_err_and(|error| error.code() == "patient-erased") {
            self.found_erased(patient).await?;
        }
        outcome
    }

    async fn six_steps(
        &self,
        session: &Arc<Session>,
        sought: Sought,
        trail: &Trail,
    ) -> Result<Authority, GatewayError> {
        let patient = sought.patient;
        let (party, established) = (&session.party, &session.established);
        let report = |step, route, what, bytes, begun: Instant| {
            let step = Step::Transmission(step);
            let session = established.with_broker.session();
            self.sessions.steps().report(sealwort_net::steps::StepReport {
                step,
                route,
                what,
                session,
                bytes,
                duration: begun.elapsed(),
            });
        };
        let size = |message: &ToBroker| sealwort_proto::codec::to_bytes(message).len();

        let begun = Instant::now();
        let (state, question) = request(established, party, sought)?;
        if let ToBroker::Request(signed) = &question {
            trail.is_granted(patient, Granted { request: Some(digest(signed.as_ref())), token: None });
        }
        report(1, "L → T", "signed request: patient, action, labels, purpose, user", size(&question), begun);
        let FromBroker::Challenge(challenge) = self.sessions.ask_broker(session, &question).await? else {
            return Err(unexpected(Fault::Broker));
        };
        let begun = Instant::now();
        let (state, question) = state.on_challenge(&challenge, established, party, self.sessions.now())?;
        report(3, "L → T", "time stamp + 1, challenge, policies accepted, h_LM", size(&question), begun);
        let FromBroker::Token(grant) = self.sessions.ask_broker(session, &question).await? else {
            return Err(unexpected(Fault::Broker));
        };
        let begun = Instant::now();
        let (state, question) = self.member.with_peers(|peers| state.on_token(*grant, established, party, peers))?;
        let bytes = sealwort_proto::codec::to_bytes(&question).len();
        report(5, "L → M", "token sealed under SK_TM, proof of possession", bytes, begun);
        let mut answers = self.sessions.ask_archive(session, &[question]).await?;
        let (FromArchive::Granted(grant), _) = answers.next().await? else {
            return Err(unexpected(Fault::Archive));
        };
        let authority = state.on_grant(*grant)?;
        trail.is_granted(patient, Granted { request: Some(authority.request), token: Some(authority.id) });
        Ok(authority)
    }

    /// Verifies the certificates of authors that a page is the first to need.
    pub(crate) fn learn_authors(
        &self,
        known: Arc<Authors>,
        entries: &[WireEntry],
        chains: &[Vec<sealwort_proto::codec::Blob>],
    ) -> Result<Arc<Authors>, GatewayError> {
        if chains.is_empty() {
            return Ok(known);
        }
        let mut authors = known.as_ref().clone();
        for entry in entries {
            let unverified = record::parse(entry.envelope.as_ref()).map_err(archive_fault)?;
            if unverified.key_id().is_some_and(|key| authors.knows(&key)) {
                continue;
            }
            let written = UnixTime::from_secs(unverified.header().authored_at);
            // One of the chains is this author's; the others are not valid then, or become known early.
            for chain in chains {
                let chain = chain_from_wire(chain).map_err(archive_fault)?;
                let _ = self.member.with_peers(|peers: &Peers<'_>| authors.add(&chain, written, peers));
            }
        }
        Ok(Arc::new(authors))
    }
}

/// Verifies and opens entries away from the threads that serve connections.
struct Opener {
    keys: Arc<KeyRing>,
    operations: Arc<Operations>,
}

struct OpenedEntry {
    verified: VerifiedEntry,
    /// `None` where it is withheld; within, `None` where it holds no resource.
    #[allow(clippy::option_option, reason = "both are told in the comment")]
    content: Option<Option<Taken>>,
}

impl Opener {
    fn spawn(&self, authors: Arc<Authors>, entries: Vec<WireEntry>) -> JoinHandle<Result<Vec<OpenedEntry>, ErrorKind>> {
        let (keys, operations) = (Arc::clone(&self.keys), Arc::clone(&self.operations));
        sealwort_net::transport::away(move || {
            let verified = authors.verify_run(entries.iter().map(|wire| wire.envelope.as_ref()), &operations)?;
            verified
                .into_iter()
                .zip(entries)
                .map(|(verified, wire)| {
                    let content = match wire.ciphertext {
                        Some(ciphertext) => {
                            let record = verified.open(ciphertext.0, &keys, &operations)?;
                            Some(Taken::read(record, UnixTime::from_secs(verified.header().authored_at)))
                        }
                        None => None,
                    };
                    Ok(OpenedEntry { verified, content })
                })
                .collect()
        })
    }
}

pub(crate) fn verify_receipt(session: &Session, bytes: &[u8]) -> Result<receipt::VerifiedReceipt, GatewayError> {
    let archive = &session.established.archive;
    receipt::verify(
        bytes,
        session.party.exchange(),
        &archive.identity().to_string(),
        archive.public_key(),
        &session.party.operations,
    )
    .map_err(archive_fault)
}

pub(crate) fn archive_fault(kind: ErrorKind) -> GatewayError {
    ProtocolError::new(Step::Transmission(7), Fault::Archive, kind).into()
}

pub(crate) fn unexpected(by: Fault) -> GatewayError {
    let kind =
        ErrorKind::Codec(sealwort_proto::codec::CodecError::Malformed("an answer to another question".to_owned()));
    ProtocolError::new(Step::Channel, by, kind).into()
}
