//! Finding and registering patients: from identifiers to a pseudonym that broker and archive know, with this
//! hospital as consent authority for those whom it registers first.

use sealwort_consent::{Action, Directive, LabelTag as ConsentTag, Party, Patient, Period, Purpose, Terms};
use sealwort_fhir::{Identifier, IssueCode};
use sealwort_pki::UnixTime;
use sealwort_proto::codec::Blob;
use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker};
use sealwort_proto::registration::{self, Moment, Registration, VerifiedRegistration};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{ErrorKind, Locator, Pseudonym};

use crate::Gateway;
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::roster::Known;

impl Gateway {
    /// Identifiers as broker and archive see them. Sorted and unique.
    pub(crate) fn locators(&self, identifiers: &[Identifier]) -> Vec<Locator> {
        let mut locators: Vec<_> = identifiers.iter().map(|i| self.directory.locator(i)).collect();
        locators.sort_unstable();
        locators.dedup();
        locators.truncate(registration::LOCATORS_MAX);
        locators
    }

    /// The patient that one of these identifiers leads to, here or anywhere in the exchange.
    pub(crate) async fn find(&self, locators: &[Locator]) -> Result<Option<Known>, GatewayError> {
        if let Some(patient) = self.roster.by_locators(locators).await?
            && let Some(known) = self.roster.known(patient).await?
        {
            return Ok(Some(known));
        }
        match self.ask_broker(&ToBroker::Locate(locators.to_vec())).await? {
            FromBroker::Located(registration) => self.take_located(registration, locators).await.map(Some),
            FromBroker::NotLocated => Ok(None),
            _ => Err(unexpected(Fault::Broker)),
        }
    }

    /// The patient of these identifiers, registered now where the exchange does not know it.
    pub(crate) async fn find_or_register(&self, locators: &[Locator]) -> Result<Known, GatewayError> {
        if locators.is_empty() {
            return Err(no_identifier());
        }
        if let Some(known) = self.find(locators).await?
            && known.registered
        {
            return Ok(known);
        }
        // One new patient at a time, so that nobody signs two registrations of one patient.
        let _one_at_a_time = self.registering.lock().await;
        if let Some(known) = self.find(locators).await? {
            if known.registered {
                return Ok(known);
            }
            return self.register_or_take(known, locators).await;
        }
        let patient = match self.ask_broker(&ToBroker::Allot(locators.to_vec())).await? {
            FromBroker::Allotted(patient) => patient,
            FromBroker::Located(registration) => return self.take_located(registration, locators).await,
            _ => return Err(unexpected(Fault::Broker)),
        };
        let session = self.session().await?;
        let party = &session.party;
        let now = self.sessions.now();
        let authority = self.keys.authority.public_key();
        let registration =
            Registration::new(party.exchange(), patient, locators.iter().copied(), authority, party, now);
        let registration = registration.sign(&party.key, &party.operations).map_err(own)?;
        let directive = self.first_directive(patient, now)?;
        let known = Known { patient, registration: Blob(registration), directive: Blob(directive), registered: false };
        // Kept before it is sent: a retry after a crash sends the very same statements.
        self.roster.put(&known, locators).await?;
        self.register_or_take(known, locators).await
    }

    /// Registers a patient, or takes the registration of a hospital that was quicker.
    async fn register_or_take(&self, known: Known, locators: &[Locator]) -> Result<Known, GatewayError> {
        match self.register(known).await {
            Err(error) if error.code() == "conflict" => {
                match self.ask_broker(&ToBroker::Locate(locators.to_vec())).await? {
                    FromBroker::Located(registration) => self.take_located(registration, locators).await,
                    _ => Err(error),
                }
            }
            outcome => outcome,
        }
    }

    /// Sends registration and first directive to the archive and to the broker.
    pub(crate) async fn register(&self, known: Known) -> Result<Known, GatewayError> {
        let (registration, directive) = (known.registration.clone(), known.directive.clone());
        let question = ToArchive::Register { registration: registration.clone(), directive: directive.clone() };
        if self.ask_archive(question).await? != FromArchive::Kept {
            return Err(unexpected(Fault::Archive));
        }
        let question = ToBroker::Register { registration, directive };
        if self.ask_broker(&question).await? != FromBroker::Kept {
            return Err(unexpected(Fault::Broker));
        }
        // Consent may have changed since; only that the registration is confirmed is new.
        let _one_at_a_time = self.consenting.lock().await;
        let mut known = self.roster.known(known.patient).await?.unwrap_or(known);
        known.registered = true;
        self.roster.put(&known, &[]).await?;
        Ok(known)
    }

    /// Takes a registration that the broker found. It must tie one of the identifiers asked for to the patient;
    /// whether the archive pinned the same one shows at the first access.
    async fn take_located(&self, registration: Blob, asked: &[Locator]) -> Result<Known, GatewayError> {
        let verified = self.verify_registration(registration.as_ref())?;
        if !asked.iter().any(|locator| verified.registration().locators.contains(locator)) {
            let kind = ErrorKind::Statement("the broker handed out the registration of another patient");
            return Err(sealwort_proto::ProtocolError::new(sealwort_proto::Step::Consent, Fault::Broker, kind).into());
        }
        if self.roster.is_erased(verified.patient()) {
            return Err(GatewayError::erased_patient());
        }
        let known = Known { patient: verified.patient(), registration, directive: Blob::default(), registered: true };
        self.roster.put(&known, &verified.registration().locators).await?;
        Ok(known)
    }

    pub(crate) fn verify_registration(&self, bytes: &[u8]) -> Result<VerifiedRegistration, GatewayError> {
        let party = self.member.party();
        self.member
            .with_peers(|peers| {
                registration::verify(bytes, party.exchange(), Moment::Reading, peers, &party.operations)
            })
            .map_err(|kind| {
                sealwort_proto::ProtocolError::new(sealwort_proto::Step::Consent, Fault::Broker, kind).into()
            })
    }

    /// The first directive: the registering hospital itself may read and write, for every purpose and label.
    fn first_directive(&self, patient: Pseudonym, now: UnixTime) -> Result<Vec<u8>, GatewayError> {
        let own_identity = Party::new(self.member.identity().to_string()).map_err(|e| wrong(&e))?;
        let tags = self.directory.tags(patient).into_iter().map(|tag| ConsentTag::new(*tag.as_bytes()));
        let period = Period::new(crate::consent::begins(now.as_secs()), None).map_err(|e| wrong(&e))?;
        let terms = Terms::new(own_identity, [Action::Read, Action::Write], tags, Purpose::ALL, period)
            .map_err(|e| wrong(&e))?;
        let exchange = self.member.identity().exchange.as_str();
        let mut all = vec![terms];
        all.extend(self.emergency_terms(patient, period)?);
        let directive =
            Directive::first(exchange, Patient::new(*patient.as_bytes()), now.as_secs(), all).map_err(|e| wrong(&e))?;
        self.sign_directive(&directive)
    }

    pub(crate) fn sign_directive(&self, directive: &Directive) -> Result<Vec<u8>, GatewayError> {
        let operations = &self.member.party().operations;
        statement::sign(Kind::Directive, &directive.to_bytes(), &self.keys.authority, operations).map_err(own)
    }
}

/// A directive that cannot be made from what was asked for.
pub(crate) fn wrong(error: &dyn std::fmt::Display) -> GatewayError {
    GatewayError::request(422, IssueCode::BusinessRule, "consent-invalid", error.to_string(), "correct the request")
}

pub(crate) fn own(kind: ErrorKind) -> GatewayError {
    sealwort_proto::ProtocolError::new(sealwort_proto::Step::Consent, Fault::Own, kind).into()
}

fn no_identifier() -> GatewayError {
    GatewayError::request(
        422,
        IssueCode::Required,
        "identifier-needed",
        "the Patient has no identifier, so no other hospital could find it",
        "give the Patient an identifier with system and value",
    )
    .at("Patient.identifier")
}
