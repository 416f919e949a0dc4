//! Messages of the L–T channel: opened, given to the function that they ask for, answered inside the channel.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_custody::CustodyError;
use sealwort_journal::JournalError;
use sealwort_net::exchange::{answer, refuse};
use sealwort_net::observe;
use sealwort_net::tls::HopPeer;
use sealwort_proto::channel::session_of;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::pseudonym_after;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::message::{FromBroker, HANDSHAKE_BYTES_MAX, HEADS_PER_MESSAGE_MAX, Refusal, ToBroker};
use sealwort_proto::registration::LOCATORS_MAX;
use sealwort_proto::statement::{self, STATEMENT_BYTES_MAX};
use sealwort_proto::{Locator, Pseudonym, log_request};

use sealwort_consent::Change;
use sealwort_store::Registered;

use crate::sessions::GatewaySession;
use crate::{Broker, refusal};

/// Largest message to the broker, in bytes.
const TO_BROKER_BYTES_MAX: usize = 2 * STATEMENT_BYTES_MAX + HANDSHAKE_BYTES_MAX;

/// Most erasures after which a person is registered again.
const ERASURES_MAX: u64 = 64;

/// One message in, one out.
pub(crate) async fn message(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    body: Bytes,
) -> Response {
    let found = session_of(&body).and_then(|id| broker.session(id, peer.connection()));
    let Some(session) = found else {
        let error = ProtocolError::new(Step::Channel, Fault::Gateway, ErrorKind::UnknownSession);
        return refuse(&Refusal::of(Fault::Broker, &error));
    };
    let now = broker.member.trust().now();
    let channel = &session.established.channel;
    let opened = match channel.open_request(&body, now) {
        Ok(opened) => opened,
        Err(error) => return refuse(&refusal(&error)),
    };
    // What the broker can open is what it can know.
    broker.capture.take(&opened.content);
    let reply = match from_bytes(&opened.content, TO_BROKER_BYTES_MAX) {
        Ok(request) => finished(&broker, &session, request).await,
        Err(error) => Err(refusal(&ProtocolError::new(Step::Channel, Fault::Gateway, error))),
    };
    let reply = reply.unwrap_or_else(|refusal| {
        observe::refused(&refusal.code);
        tracing::warn!(code = refusal.code, gateway = %session.established.gateway.identity(), "refused: {}", refusal.reason);
        FromBroker::Refused(refusal)
    });
    match channel.reply(opened.number, &to_bytes(&reply), now) {
        Ok(message) => answer(message),
        Err(error) => refuse(&refusal(&error)),
    }
}

/// What was begun is finished, told and logged, also for who goes away in the middle.
async fn finished(
    broker: &Arc<Broker>,
    session: &Arc<GatewaySession>,
    request: ToBroker,
) -> Result<FromBroker, Refusal> {
    let (broker, session) = (Arc::clone(broker), Arc::clone(session));
    match tokio::spawn(observe::follow(async move { broker.answer(&session, request).await })).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(JournalError::Closed.refusal(Fault::Broker)),
        },
    }
}

impl Broker {
    /// Does what is asked, and answers when the entry about it is on disk.
    async fn answer(&self, session: &Arc<GatewaySession>, request: ToBroker) -> Result<FromBroker, Refusal> {
        self.journal.check().map_err(|error| error.refusal(Fault::Broker))?;
        let mut entry = self.entry(kind_of(&request), session);
        let outcome = self.dispatch(session, request, &mut entry).await;
        match &outcome {
            // Steps 1 and 2 decide nothing: the entry comes with step 3. A receipt has its own, however it came.
            Ok(FromBroker::Challenge(_)) => return outcome,
            // Nothing happened, and it is asked all the time.
            Ok(FromBroker::Emergencies(_)) if entry.get(Detail::Count) == Some("0") => return outcome,
            _ if entry.kind == EventKind::ReceiptWitnessed => return outcome,
            Ok(_) => {}
            Err(refusal) => entry.outcome = Outcome::Refused(refusal.code.as_str().into()),
        }
        self.journal.append(entry).await.map_err(|error| error.refusal(Fault::Broker))?;
        outcome
    }

    /// An entry about something of this session's.
    pub(crate) fn entry(&self, kind: EventKind, session: &GatewaySession) -> Event {
        let gateway = session.established.gateway.identity().to_string();
        self.journal.event(kind).peer(&gateway).detail(Detail::Session, session.established.channel.session())
    }

    async fn dispatch(
        &self,
        session: &Arc<GatewaySession>,
        request: ToBroker,
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        match request {
            ToBroker::Locate(locators) => self.locate(&locators, entry).await,
            ToBroker::Allot(locators) => self.allot(&locators, entry).await,
            ToBroker::Register { registration, directive } => {
                self.register(session, registration.as_ref(), directive.as_ref(), entry).await
            }
            ToBroker::Direct { directive } => self.direct(session, directive.as_ref(), entry).await,
            ToBroker::Erase { erasure } => self.erase(erasure.as_ref(), entry).await,
            ToBroker::Log { request, from, size } => self.log(session, request.as_ref(), (from, size), entry).await,
            ToBroker::Consent(patient) => {
                entry.patient = Some(patient);
                self.consent(session, patient).await
            }
            ToBroker::Request(request) => {
                entry.request = Some(statement::digest(request.as_ref()));
                self.on_request(session, request.as_ref())
            }
            ToBroker::Accept(acceptance) => self.on_acceptance(session, &acceptance, entry).await,
            ToBroker::Witness(receipt) => {
                self.witness(session, receipt.as_ref()).await?;
                Ok(FromBroker::Kept)
            }
            ToBroker::Emergencies(done) => self.tell_emergencies(session, &done, entry).await,
            ToBroker::Witnessed { patient, after } => {
                entry.patient = Some(patient);
                entry.note(Detail::Method, "witnessed heads");
                self.witnessed(session, patient, after).await
            }
        }
    }

    async fn locate(&self, locators: &[Locator], entry: &mut Event) -> Result<FromBroker, Refusal> {
        check_count(locators)?;
        entry.note(Detail::Count, locators.len());
        let Some(patient) = self.custody.locate(locators).await.map_err(told)? else {
            return Ok(FromBroker::NotLocated);
        };
        entry.patient = Some(patient);
        let ward = self.ward(patient).await?;
        Ok(FromBroker::Located(ward.registration_bytes.clone().into()))
    }

    /// The pseudonym of a patient who may be new: an HMAC, so that asking again gives the same.
    async fn allot(&self, locators: &[Locator], entry: &mut Event) -> Result<FromBroker, Refusal> {
        if let FromBroker::Located(registration) = self.locate(locators, entry).await? {
            return Ok(FromBroker::Located(registration));
        }
        let first = locators.iter().min().ok_or_else(no_locators)?;
        // Who was erased comes back under another pseudonym.
        for erasures in 0..=ERASURES_MAX {
            let patient = pseudonym_after(&self.pseudonym_key, first, erasures);
            if !self.custody.is_erased(patient).await.map_err(told)? {
                entry.patient = Some(patient);
                return Ok(FromBroker::Allotted(patient));
            }
        }
        Err(told(CustodyError::Erased))
    }

    async fn register(
        &self,
        session: &GatewaySession,
        registration: &[u8],
        directive: &[u8],
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        let (ward, registered) = self
            .custody
            .register(registration, directive, &session.established.gateway, |verified| {
                let first = verified.registration().locators.first();
                // Only this broker can have made any of them, and the store takes none that was erased.
                let made = |first, n| pseudonym_after(&self.pseudonym_key, first, n) == verified.patient();
                first.is_some_and(|first| (0..=ERASURES_MAX).any(|erasures| made(first, erasures)))
            })
            .await
            .map_err(told)?;
        let patient = ward.registration.patient();
        tracing::info!(?registered, "patient registered");
        entry.patient = Some(patient);
        if registered == Registered::New {
            self.half_made(session, patient, ward.epoch()).await?;
        }
        Ok(FromBroker::Kept)
    }

    async fn direct(
        &self,
        session: &GatewaySession,
        directive: &[u8],
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        let (ward, change) = self.custody.direct(directive).await.map_err(told)?;
        let patient = ward.registration.patient();
        entry.patient = Some(patient);
        entry.note(Detail::Version, ward.version());
        entry.note(Detail::Epoch, ward.epoch());
        tracing::info!(version = ward.version(), epoch = ward.epoch(), ?change, "directive taken");
        self.notices.consent_changed(patient);
        if change == Change::Narrowed {
            self.half_made(session, patient, ward.epoch()).await?;
        }
        Ok(FromBroker::Kept)
    }

    async fn half_made(&self, session: &GatewaySession, patient: Pseudonym, epoch: u64) -> Result<(), Refusal> {
        let made = self.entry(EventKind::HalfMade, session).patient(patient).detail(Detail::Epoch, epoch);
        self.journal.append(made).await.map_err(|error| error.refusal(Fault::Broker))
    }

    async fn erase(&self, erasure: &[u8], entry: &mut Event) -> Result<FromBroker, Refusal> {
        let (patient, certificate) = self.custody.erase(erasure).await.map_err(told)?;
        tracing::info!("patient erased: half and locators destroyed");
        entry.patient = Some(patient);
        // Who holds the record open asks again, and is told.
        self.notices.consent_changed(patient);
        Ok(FromBroker::Erased { certificate: certificate.into() })
    }

    /// What the broker's log holds about a patient, for the patient's consent authority.
    async fn log(
        &self,
        session: &GatewaySession,
        request: &[u8],
        (from, size): (u64, u64),
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        // Whose log somebody asked for in vain, the patient wants to know, too.
        entry.patient = log_request::patient_of(request).ok();
        entry.request = Some(statement::digest(request));
        let session = session.established.channel.session();
        let patient = self.custody.admit_log_request(request, session).await.map_err(told)?;
        let page = self.journal.about(patient, from, size).await.map_err(|error| error.refusal(Fault::Broker))?;
        entry.note(Detail::Count, page.entries.len());
        Ok(FromBroker::Log(Box::new(page)))
    }

    /// A patient's consent, for the hospital that registered the patient and for those whom it names. Of who was erased the
    /// certificate, for everybody: nobody has to take this party's bare word for it.
    async fn consent(&self, session: &GatewaySession, patient: Pseudonym) -> Result<FromBroker, Refusal> {
        if let Some(certificate) = self.custody.certificate(patient).await.map_err(told)? {
            return Ok(FromBroker::Erased { certificate: certificate.into() });
        }
        let ward = self.ward_named(session, patient).await?;
        Ok(FromBroker::Consent {
            registration: ward.registration_bytes.clone().into(),
            directive: ward.directive_bytes.clone().into(),
        })
    }

    /// Witnessed heads, for the same hospitals.
    async fn witnessed(&self, session: &GatewaySession, patient: Pseudonym, after: u64) -> Result<FromBroker, Refusal> {
        self.ward_named(session, patient).await?;
        let heads = self.witnesses.heads(patient, after, HEADS_PER_MESSAGE_MAX).await;
        Ok(FromBroker::Heads(heads.map_err(|e| told(e.into()))?))
    }

    /// A registered patient, for the hospital that registered the patient and for those whom consent names.
    async fn ward_named(
        &self,
        session: &GatewaySession,
        patient: Pseudonym,
    ) -> Result<Arc<sealwort_custody::Ward>, Refusal> {
        let ward = self.ward(patient).await?;
        let identity = session.established.gateway.identity().to_string();
        let named = ward.names(&identity);
        if ward.registration.registration().registered_by != identity && !named {
            return Err(Refusal::new(
                Fault::Broker,
                "consent-no-provision",
                "this patient's consent does not name this hospital",
                "ask the patient's consent authority to grant it",
            ));
        }
        Ok(ward)
    }

    /// A registered patient.
    pub(crate) async fn ward(&self, patient: Pseudonym) -> Result<Arc<sealwort_custody::Ward>, Refusal> {
        self.custody.ward_of(patient).await.map_err(told)?.ok_or_else(|| told(CustodyError::UnknownPatient))
    }
}

/// What an entry about this message is about.
fn kind_of(request: &ToBroker) -> EventKind {
    match request {
        ToBroker::Locate(_) | ToBroker::Allot(_) => EventKind::PatientLocated,
        ToBroker::Register { .. } => EventKind::PatientRegistered,
        ToBroker::Direct { .. } => EventKind::ConsentChanged,
        ToBroker::Erase { .. } => EventKind::PatientErased,
        ToBroker::Log { .. } => EventKind::LogShown,
        ToBroker::Consent(_) | ToBroker::Witnessed { .. } => EventKind::ConsentRead,
        ToBroker::Request(_) | ToBroker::Accept(_) => EventKind::RequestDecided,
        ToBroker::Witness(_) => EventKind::ReceiptWitnessed,
        ToBroker::Emergencies(_) => EventKind::EmergencyNotified,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err(told)")]
pub(crate) fn told(error: CustodyError) -> Refusal {
    error.refusal(Fault::Broker)
}

fn check_count(locators: &[Locator]) -> Result<(), Refusal> {
    if locators.is_empty() || locators.len() > LOCATORS_MAX { Err(no_locators()) } else { Ok(()) }
}

fn no_locators() -> Refusal {
    Refusal::new(
        Fault::Broker,
        "identifiers-count",
        format!("1 to {LOCATORS_MAX} identifiers are looked up at once"),
        "name at least one identifier of the patient",
    )
}
