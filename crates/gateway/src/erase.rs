//! Erasing a patient, at the gateway of the consent authority: the order is signed, kept, and sent to broker and archive
//! until both have certified what they destroyed; then this hospital forgets the patient as well. Other hospitals
//! forget when their next access is refused.

use sealwort_fhir::IssueCode;
use sealwort_pki::Role;
use sealwort_proto::codec::Blob;
use sealwort_proto::erasure::{self, Erasure};
use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker};
use sealwort_proto::{DepositId, ErrorKind, ProtocolError, Pseudonym, Step, statement};
use serde::{Deserialize, Serialize};

use crate::Gateway;
use crate::consent::{authority_elsewhere, consent_line};
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::outbox::Outgoing;
use crate::patients::own;
use crate::people::TREATMENT;
use crate::roster::Erased;

/// Why a record is erased where nothing else is said.
const PATIENT_REQUEST: &str = "patient-request";

/// An erasure as the hospital's people ask for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureRequest {
    /// `system|value`, or the id of a Patient that this hospital knows.
    pub patient: String,
    /// Why, as a code of lower-case letters, digits and hyphens; absent for `patient-request`.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the answer without it told to type; absent to be told what would go.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// An erasure in words.
#[derive(Debug, Clone, Serialize)]
pub struct ErasureShown {
    /// The pseudonym.
    pub patient: String,
    /// Whether it is ordered; otherwise nothing has happened yet.
    pub ordered: bool,
    /// Whether broker and archive have both certified it; otherwise the order waits in the outbox.
    pub certified: bool,
    /// What has to be typed so that it happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Patient resources of the record, as this hospital knows them, that would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
    /// The signed order, hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub erasure: String,
    /// The public key of the consent authority that signed it, hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// The archive's and the broker's certificates, hexadecimal.
    pub certificates: Vec<String>,
}

impl Gateway {
    /// Erases a patient, or tells what would go.
    pub(crate) async fn erase(&self, request: &ErasureRequest) -> Result<ErasureShown, GatewayError> {
        let patient = self.patient_named(&request.patient, TREATMENT).await?;
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(authority_elsewhere());
        }
        if !self.roster.merged_into(patient).is_empty() {
            return Err(GatewayError::request(
                409,
                IssueCode::BusinessRule,
                "patient-merged",
                "another identity is merged into this patient",
                "undo the merge, and erase each of the two",
            ));
        }
        let word = confirmation(patient);
        match &request.confirm {
            None => return Ok(self.would_go(patient, word)),
            Some(typed) if *typed != word => {
                return Err(GatewayError::request(
                    422,
                    IssueCode::Value,
                    "confirmation-wrong",
                    "the confirmation does not belong to this patient",
                    "ask without one to be told what to type",
                ));
            }
            Some(_) => {}
        }
        if !known.registered {
            self.register(known).await?;
        }
        let _one_at_a_time = self.consenting.lock().await;
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if self.roster.is_erased(patient) {
            return Err(GatewayError::erased_patient());
        }
        let version = self.newest_directive(&known).await?.version();
        let order = Erasure {
            exchange: self.member.identity().exchange.to_string(),
            patient,
            version,
            reason: request.reason.clone().unwrap_or_else(|| PATIENT_REQUEST.to_owned()),
            issued_at: self.sessions.now().as_secs(),
        };
        let (authority, operations) = (&self.keys.authority, &self.member.party().operations);
        let signed = order.sign(authority, operations).map_err(own)?;
        // What the others would refuse is not kept.
        erasure::verify(&signed, &order.exchange, authority.public_key(), operations)
            .map_err(|kind| crate::patients::wrong(&kind))?;
        let id = DepositId::random();
        self.outbox.keep(id, &erasure_line(patient), &Outgoing::Erasure(Blob(signed.clone()))).await?;
        tracing::info!(%patient, reason = order.reason, "erasure ordered");
        match self.send_erasure(&signed).await {
            Ok(()) => self.outbox.done(id).await?,
            Err(error) => {
                tracing::warn!(%error, "an erasure waits in the outbox");
                self.outbox.tell();
            }
        }
        let erased = self.roster.erased(patient).await?;
        erased.map(|erased| self.erasure_shown(&erased)).ok_or(GatewayError::Kept("an erasure left no trace"))
    }

    /// Everybody whom this hospital erased or knows as erased.
    pub(crate) async fn erasures(&self) -> Result<Vec<ErasureShown>, GatewayError> {
        Ok(self.roster.all_erased().await?.iter().map(|erased| self.erasure_shown(erased)).collect())
    }

    /// Sends an erasure from the outbox, and forgets the patient when both have certified it.
    pub(crate) async fn send_erasure(&self, signed: &[u8]) -> Result<(), GatewayError> {
        let patient = erasure::patient_of(signed).map_err(own)?;
        let mut erased = match self.roster.erased(patient).await? {
            Some(erased) => erased,
            None => Erased { patient, erasure: Blob(signed.to_vec()), certificates: Vec::new() },
        };
        erased.erasure = Blob(signed.to_vec());
        self.roster.put_erased(&erased).await?;
        self.patients.consent_changed(patient);
        erased.certificates = self.deliver_erasure(patient, signed).await?;
        self.roster.put_erased(&erased).await?;
        self.forget_erased(patient).await?;
        tracing::info!(%patient, "erasure certified by broker and archive");
        Ok(())
    }

    async fn deliver_erasure(&self, patient: Pseudonym, signed: &[u8]) -> Result<Vec<Blob>, GatewayError> {
        let session = self.session().await?;
        let to_archive = async {
            let question = ToArchive::Erase { erasure: Blob(signed.to_vec()) };
            match self.sessions.ask_archive(&session, &[question]).await?.next().await?.0 {
                FromArchive::Erased { certificate } => {
                    self.check_certificate(patient, signed, certificate, Role::Archive, Fault::Archive)
                }
                _ => Err(unexpected(Fault::Archive)),
            }
        };
        let to_broker = async {
            let question = ToBroker::Erase { erasure: Blob(signed.to_vec()) };
            match self.sessions.ask_broker(&session, &question).await? {
                FromBroker::Erased { certificate } => {
                    self.check_certificate(patient, signed, certificate, Role::Broker, Fault::Broker)
                }
                _ => Err(unexpected(Fault::Broker)),
            }
        };
        let (archive, broker) = tokio::join!(to_archive, to_broker);
        let outcome = archive.and_then(|archive| Ok(vec![archive, broker?]));
        if outcome.as_ref().is_err_and(GatewayError::is_session_lost) {
            self.sessions.drop_session(&session).await;
        }
        outcome
    }

    fn check_certificate(
        &self,
        patient: Pseudonym,
        signed: &[u8],
        certificate: Blob,
        role: Role,
        by: Fault,
    ) -> Result<Blob, GatewayError> {
        let party = self.member.party();
        let fault = |kind| GatewayError::from(ProtocolError::new(Step::Consent, by, kind));
        let verified = self
            .member
            .with_peers(|peers| {
                erasure::verify_certificate(certificate.as_ref(), party.exchange(), role, peers, &party.operations)
            })
            .map_err(fault)?;
        let content = verified.certificate();
        if content.patient != patient || content.erasure != statement::digest(signed) {
            return Err(fault(ErrorKind::Statement("the certificate is of another erasure")));
        }
        Ok(certificate)
    }

    /// Takes note that a patient was erased by another hospital, which an access has shown.
    pub(crate) async fn found_erased(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        if self.roster.erased(patient).await?.is_none() {
            // Of its own patients this hospital alone can have ordered it: another party's word for it is not believed.
            if self.roster.known(patient).await?.is_some_and(|known| !known.directive.0.is_empty()) {
                tracing::warn!(%patient, "a party says that a patient was erased whom only this hospital can erase");
                return Ok(());
            }
            let Some(certificate) = self.broker_certifies(patient).await? else { return Ok(()) };
            let erased = Erased { patient, erasure: Blob::default(), certificates: vec![certificate] };
            self.roster.put_erased(&erased).await?;
        }
        self.forget_erased(patient).await
    }

    /// The broker's certificate that a patient was erased. Nobody is forgotten upon a bare word.
    async fn broker_certifies(&self, patient: Pseudonym) -> Result<Option<Blob>, GatewayError> {
        let FromBroker::Erased { certificate } = self.ask_broker(&ToBroker::Consent(patient)).await? else {
            tracing::warn!(%patient, "a party says that a patient was erased, and the broker does not certify it");
            return Ok(None);
        };
        let party = self.member.party();
        let verified = self.member.with_peers(|peers| {
            erasure::verify_certificate(certificate.as_ref(), party.exchange(), Role::Broker, peers, &party.operations)
        });
        match verified {
            Ok(verified) if verified.certificate().patient == patient => Ok(Some(certificate)),
            Ok(_) => {
                tracing::warn!(%patient, "the broker certifies the erasure of another patient");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%patient, %error, "the broker's certificate of an erasure does not verify");
                Ok(None)
            }
        }
    }

    /// Forgets everything about an erased patient but that. Again does no harm; the roster's row goes last.
    async fn forget_erased(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        self.patients.consent_changed(patient);
        self.forget(patient).await?;
        self.end_delegations_of(patient).await?;
        self.end_passkeys_of(patient).await?;
        self.end_subscriptions_of(patient).await?;
        self.end_browsers_of(patient).await?;
        self.end_questions_of(patient).await?;
        let Some(known) = self.roster.known(patient).await? else { return Ok(()) };
        let registration = self.verify_registration(known.registration.as_ref())?;
        let locators = &registration.registration().locators;
        self.outbox.purge(&consent_line(patient), locators).await?;
        self.roster.remove(patient, locators).await
    }

    fn would_go(&self, patient: Pseudonym, word: String) -> ErasureShown {
        ErasureShown {
            patient: patient.to_string(),
            ordered: false,
            certified: false,
            confirm: Some(word),
            people: Some(self.people.contents_of(patient).len()),
            erasure: String::new(),
            authority: String::new(),
            certificates: Vec::new(),
        }
    }

    fn erasure_shown(&self, erased: &Erased) -> ErasureShown {
        let own = !erased.erasure.0.is_empty();
        ErasureShown {
            patient: erased.patient.to_string(),
            ordered: true,
            certified: !own || !erased.certificates.is_empty(),
            confirm: None,
            people: None,
            erasure: hex::encode(&erased.erasure.0),
            authority: if own { hex::encode(self.keys.authority.public_key().as_bytes()) } else { String::new() },
            certificates: erased.certificates.iter().map(|certificate| hex::encode(&certificate.0)).collect(),
        }
    }
}

/// What is typed to confirm: it shows that the answer without it was read.
fn confirmation(patient: Pseudonym) -> String {
    let name: String = patient.to_string().chars().take(8).collect();
    format!("erase {name}")
}

/// Erasures wait in a line of their own, so that no refused write or consent holds one back.
fn erasure_line(patient: Pseudonym) -> Vec<u8> {
    [b"erasure".as_slice(), patient.as_bytes()].concat()
}
