//! The read leg at the gateway: steps 1 to 7 of the transmission with the action *read*, then every entry
//! verified, opened and laid into memory. What is held open is shown again without asking only to a user whom broker
//! and archive were told of, while the broker's notices are heard, that user's authority lasts and nothing has changed.
//! Who is held open is `held`'s.

mod held;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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
use tokio::task::JoinHandle;

use crate::Gateway;
use crate::emergency::{ACTION, Access};
use crate::error::GatewayError;
use crate::seen::concerns;
use crate::session::Session;
use crate::trail::{Granted, Trail};
use crate::user::Asking;
use crate::view::{Origin, PatientView, Taken};

pub(crate) use held::{Lease, OpenPatients};

/// Entries that one task verifies and opens.
const ENTRIES_PER_TASK: usize = 128;
/// How often those whom nobody uses are closed.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// Times that a lost session or an ended authority is replaced before giving up.
pub(crate) const ATTEMPTS_MAX: usize = 3;

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
        let emergency = self.admitted(patient, asking)?;
        let view = Box::pin(self.open_under(patient, asking, emergency.as_ref())).await?;
        // Who was merged into another one is shown with that one, as long as it says so.
        if let Some(target) = self.led_on(&view).await? {
            self.check_delegate(asking)?;
            return Box::pin(self.open(target, asking)).await;
        }
        let view = Box::pin(self.with_merged(view, asking, emergency.as_ref())).await?;
        self.check_delegate(asking)?;
        if let Some(access) = emergency {
            self.note_opened(&access.id, &view).await?;
        }
        Ok(view)
    }

    /// Refuses who was let in as a delegate for one identity, where this very request found that it is merged with another.
    fn check_delegate(&self, asking: &Asking) -> Result<(), GatewayError> {
        let rests = asking.delegation.as_ref().is_some_and(|delegation| self.rests(delegation));
        if rests { Err(GatewayError::delegation_ended()) } else { Ok(()) }
    }

    /// The emergency access by which a request goes, to whichever identity of the patient it was given.
    pub(crate) fn admitted(&self, patient: Pseudonym, asking: &Asking) -> Result<Option<Access>, GatewayError> {
        let is_to = |one| self.roster.are_one(one, patient);
        self.emergencies.admit(is_to, asking, self.sessions.now().as_secs())
    }

    /// The record that a token is about: after a merge, the one that stands for both.
    pub(crate) async fn context_of(&self, patient: &str) -> Result<Option<Pseudonym>, GatewayError> {
        let context = self.roster.by_resource("Patient", patient).await?;
        Ok(context.map(|context| self.roster.surviving(context)))
    }

    /// Whether a token has any business with a record, or with one that was merged with it.
    pub(crate) fn concerns(&self, patient: Pseudonym, asking: &Asking) -> bool {
        concerns(patient, asking) || asking.context.is_some_and(|context| self.roster.are_one(context, patient))
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
        let emergency = emergency.map(|access| access.stated(patient)).transpose()?;
        let sought = Sought { emergency, ..self.sought(patient, action, asking) };
        let outcome = self.read(sought, asking, before, slot.reached()).await;
        match outcome {
            Ok((view, session, heard_since, granted)) => {
                asking.trail.rests_on(Lease::new(&slot, consents, Arc::clone(&session)));
                slot.note_reached(view.at);
                slot.hold(&view, (session, heard_since), changes, (&asking.user, granted), self.sessions.now());
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
    ) -> Result<(Arc<PatientView>, Arc<Session>, Option<u64>, Granted), GatewayError> {
        let mut attempt = 1;
        loop {
            let session = self.session().await?;
            let heard_since = session.await_notices().await;
            match self.read_once(&session, sought.clone(), asking, before.as_deref(), reached).await {
                Ok((view, granted)) => return Ok((Arc::new(view), session, heard_since, granted)),
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
                        let origin = Origin { author: header.author.as_str().into(), log: patient, entry };
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
