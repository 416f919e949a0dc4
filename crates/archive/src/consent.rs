//! Registrations and directives, straight from the gateway over the end-to-end channel: what the archive pins
//! here, no broker can change.

use std::sync::Arc;

use sealwort_audit::{Detail, Event, EventKind};
use sealwort_consent::Change;
use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromArchive, Refusal};
use sealwort_proto::{Pseudonym, log_request, statement};
use sealwort_store::Registered;

use crate::Archive;
use crate::relay::Reply;
use crate::sessions::GatewaySession;

impl Archive {
    /// Pins a patient's registration and first directive.
    pub(crate) async fn register(
        &self,
        session: &Arc<GatewaySession>,
        registration: &[u8],
        directive: &[u8],
        entry: &mut Event,
    ) -> Result<Reply, Refusal> {
        let (ward, registered) = self
            .custody
            // Which pseudonym belongs to which identifiers is the broker's to say; the archive keeps each to one patient.
            .register(registration, directive, &session.established.gateway, |_| true)
            .await
            .map_err(|e| e.refusal(Fault::Archive))?;
        let patient = ward.registration.patient();
        tracing::info!(?registered, "patient registered");
        entry.patient = Some(patient);
        if registered == Registered::New {
            self.half_made(session, patient, ward.epoch()).await?;
        }
        Ok(Reply::One(FromArchive::Kept))
    }

    /// Erases a patient.
    pub(crate) async fn erase(&self, erasure: &[u8], entry: &mut Event) -> Result<Reply, Refusal> {
        let (patient, certificate) = self.custody.erase(erasure).await.map_err(|e| e.refusal(Fault::Archive))?;
        tracing::info!("patient erased: half and log destroyed");
        entry.patient = Some(patient);
        Ok(Reply::One(FromArchive::Erased { certificate: certificate.into() }))
    }

    /// What the archive's log holds about a patient, for the patient's consent authority.
    pub(crate) async fn log(
        &self,
        session: &GatewaySession,
        request: &[u8],
        (from, size): (u64, u64),
        entry: &mut Event,
    ) -> Result<Reply, Refusal> {
        // Whose log somebody asked for in vain, the patient wants to know, too.
        entry.patient = log_request::patient_of(request).ok();
        entry.request = Some(statement::digest(request));
        let session = session.established.channel.session();
        let patient = self.custody.admit_log_request(request, session).await.map_err(|e| e.refusal(Fault::Archive))?;
        let page = self.journal.about(patient, from, size).await.map_err(|error| error.refusal(Fault::Archive))?;
        entry.note(Detail::Count, page.entries.len());
        Ok(Reply::One(FromArchive::Log(Box::new(page))))
    }

    /// Takes a new directive.
    pub(crate) async fn direct(
        &self,
        session: &Arc<GatewaySession>,
        directive: &[u8],
        entry: &mut Event,
    ) -> Result<Reply, Refusal> {
        let (ward, change) = self.custody.direct(directive).await.map_err(|e| e.refusal(Fault::Archive))?;
        let patient = ward.registration.patient();
        tracing::info!(version = ward.version(), epoch = ward.epoch(), ?change, "directive taken");
        entry.patient = Some(patient);
        entry.note(Detail::Version, ward.version());
        entry.note(Detail::Epoch, ward.epoch());
        if change == Change::Narrowed {
            self.half_made(session, patient, ward.epoch()).await?;
        }
        Ok(Reply::One(FromArchive::Kept))
    }

    async fn half_made(&self, session: &GatewaySession, patient: Pseudonym, epoch: u64) -> Result<(), Refusal> {
        let made = self.entry(EventKind::HalfMade, session).patient(patient).detail(Detail::Epoch, epoch);
        self.journal.append(made).await.map_err(|error| error.refusal(Fault::Archive))
    }
}
