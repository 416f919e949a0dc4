//! The read leg at the gateway: steps 1 to 7 of the transmission with the action *read*, then every entry
//! verified, opened and laid into memory. What is held open is shown again without asking only while the
//! broker's notices are heard, the authority lasts and nothing has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use sealwort_fhir::Resource;
use sealwort_pki::UnixTime;
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::halves::KeyRing;
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{FromArchive, ToArchive, WireEntry};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{Peers, chain_from_wire};
use sealwort_proto::record::{self, Record, VerifiedEntry};
use sealwort_proto::transmission::gateway::{Authority, Sought, request};
use sealwort_proto::{ErrorKind, Pseudonym, receipt};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::Gateway;
use crate::error::GatewayError;
use crate::session::Session;
use crate::user::Asking;
use crate::view::{PatientView, parse};

/// Entries that one task verifies and opens.
const ENTRIES_PER_TASK: usize = 128;
/// Times that a lost session or an ended authority is replaced before giving up.
pub(crate) const ATTEMPTS_MAX: usize = 3;

/// What was read, over which session, and at which count of changes its reading began.
#[derive(Clone)]
struct HeldView {
    view: Arc<PatientView>,
    session: Arc<Session>,
    changes: u64,
}

/// A patient's place among those held open.
struct Slot {
    opening: Mutex<()>,
    held: StdMutex<Option<HeldView>>,
    /// How often something changed. What was read at an earlier count is not shown again.
    changes: AtomicU64,
    used: StdMutex<Instant>,
}

/// Patients held open, by patient and purpose of use.
pub(crate) struct OpenPatients {
    slots: StdMutex<HashMap<(Pseudonym, String), Arc<Slot>>>,
    patients_max: usize,
    idle: Duration,
}

impl OpenPatients {
    pub(crate) fn new(patients_max: usize, idle: Duration) -> Self {
        Self { slots: StdMutex::default(), patients_max: patients_max.max(1), idle }
    }

    fn slot(&self, patient: Pseudonym, purpose: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (patient, purpose.to_owned());
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
                changes: AtomicU64::new(0),
                used: StdMutex::new(Instant::now()),
            })
        }));
        *slot.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        slot
    }

    /// Something about this patient changed: the next reading asks again.
    pub(crate) fn changed(&self, patient: Pseudonym) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, slot) in slots.iter().filter(|((p, _), _)| *p == patient) {
            slot.change();
        }
    }

    /// Anything may have changed.
    pub(crate) fn all_changed(&self) {
        for slot in self.slots.lock().unwrap_or_else(PoisonError::into_inner).values() {
            slot.change();
        }
    }

    /// How many patients are held open under an authority that has not ended.
    pub(crate) fn authorities(&self, now: UnixTime) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(|slot| slot.view()).filter(|held| held.view.expires > now).count() as u64
    }

    /// How many patients are held open, and how many bytes of JSON.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let views: Vec<_> = slots.values().filter_map(|slot| slot.view()).collect();
        (views.len(), views.iter().map(|held| held.view.bytes()).sum())
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

    fn fresh(&self, now: UnixTime) -> Option<Arc<PatientView>> {
        let HeldView { view, session, changes } = self.view()?;
        let unchanged = changes == self.changes.load(Ordering::Acquire);
        (unchanged && now < view.expires && session.vouches(now)).then_some(view)
    }
}

impl Gateway {
    /// A patient as this user may see it now.
    pub(crate) async fn open(&self, patient: Pseudonym, asking: &Asking) -> Result<Arc<PatientView>, GatewayError> {
        let slot = self.patients.slot(patient, &asking.purpose);
        if let Some(view) = slot.fresh(self.sessions.now()) {
            return Ok(view);
        }
        let _one_at_a_time = slot.opening.lock().await;
        if let Some(view) = slot.fresh(self.sessions.now()) {
            return Ok(view);
        }
        // Counted first: a change that comes while reading is seen by the reading after it. Until this one ends, what was
        // held before stays outdated, for everybody.
        let changes = slot.changes.load(Ordering::Acquire);
        let before = slot.view().map(|held| held.view);
        let outcome = self.read(patient, asking, before).await;
        let mut held = slot.held.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok((view, session)) => {
                *held = Some(HeldView { view: Arc::clone(&view), session, changes });
                Ok(view)
            }
            // Not shown again, and yet remembered: asking a second time does not make an older log true.
            Err(error) if error.is_tampering() => {
                slot.change();
                Err(error)
            }
            Err(error) => {
                // What may no longer be shown is no longer held.
                *held = None;
                Err(error)
            }
        }
    }

    async fn read(
        &self,
        patient: Pseudonym,
        asking: &Asking,
        before: Option<Arc<PatientView>>,
    ) -> Result<(Arc<PatientView>, Arc<Session>), GatewayError> {
        let mut attempt = 1;
        loop {
            let session = self.session().await?;
            match self.read_once(&session, patient, asking, before.as_deref()).await {
                Ok(view) => return Ok((Arc::new(view), session)),
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
        patient: Pseudonym,
        asking: &Asking,
        before: Option<&PatientView>,
    ) -> Result<PatientView, GatewayError> {
        let authority = self.authorise(session, self.sought(patient, "read", asking)).await?;
        let start = empty(patient);
        let mut view = match before.filter(|view| view.tags == authority.tags) {
            Some(view) => view.continued(),
            None => PatientView::new(patient, start, authority.tags.clone()),
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
        for opening in tasks {
            let entries = opening.await.map_err(|_| GatewayError::Kept("opening records was interrupted"))?;
            for entry in entries.map_err(archive_fault)? {
                walk.step(&entry.verified).map_err(archive_fault)?;
                match entry.content {
                    Some((record, resource)) => {
                        let changed = UnixTime::from_secs(entry.verified.header().authored_at);
                        view.take(record, resource, changed);
                    }
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
        let verified = verify_receipt(session, receipt.as_ref())?;
        view.at = walk.finish(&verified).map_err(archive_fault)?;
        if view.at.sequence > authority.witness.sequence {
            self.have_witnessed(session, receipt).await?;
        }
        Ok(view)
    }

    /// What a user wants, with every label: what may be seen is the directive's to say.
    pub(crate) fn sought(&self, patient: Pseudonym, action: &str, asking: &Asking) -> Sought {
        Sought {
            patient,
            action: action.to_owned(),
            tags: self.directory.tags(patient),
            purpose: asking.purpose.clone(),
            user: asking.user.name.clone(),
            user_role: asking.user.role.clone(),
        }
    }

    /// Steps 1 to 6 of the transmission.
    pub(crate) async fn authorise(&self, session: &Arc<Session>, sought: Sought) -> Result<Authority, GatewayError> {
        use sealwort_proto::message::FromBroker;
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
        let size = |message: &sealwort_proto::message::ToBroker| sealwort_proto::codec::to_bytes(message).len();

        let begun = Instant::now();
        let (state, question) = request(established, party, sought)?;
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
        Ok(state.on_grant(*grant)?)
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
    content: Option<(Record, Option<Resource>)>,
}

impl Opener {
    fn spawn(&self, authors: Arc<Authors>, entries: Vec<WireEntry>) -> JoinHandle<Result<Vec<OpenedEntry>, ErrorKind>> {
        let (keys, operations) = (Arc::clone(&self.keys), Arc::clone(&self.operations));
        sealwort_net::transport::away(move || {
            entries
                .into_iter()
                .map(|wire| {
                    let verified = authors.verify(wire.envelope.as_ref(), &operations)?;
                    let content = match wire.ciphertext {
                        Some(ciphertext) => {
                            let mut record = verified.open(ciphertext.0, &keys, &operations)?;
                            let resource = parse(&mut record);
                            Some((record, resource))
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
