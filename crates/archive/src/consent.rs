//! Registrations and directives, straight from the gateway over the end-to-end channel: what the archive pins
//! here, no broker can change.

use std::sync::Arc;

use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromArchive, Refusal};

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
    ) -> Result<Reply, Refusal> {
        let (ward, registered) = self
            .custody
            // Which pseudonym belongs to which identifiers is the broker's to say; the archive keeps each to one patient.
            .register(registration, directive, &session.established.gateway, |_| true)
            .await
            .map_err(|e| e.refusal(Fault::Archive))?;
        tracing::info!(patient = %ward.registration.patient(), ?registered, "patient registered");
        Ok(Reply::One(FromArchive::Kept))
    }

    /// Erases a patient.
    pub(crate) async fn erase(&self, erasure: &[u8]) -> Result<Reply, Refusal> {
        let (patient, certificate) = self.custody.erase(erasure).await.map_err(|e| e.refusal(Fault::Archive))?;
        tracing::info!(%patient, "patient erased: half and log destroyed");
        Ok(Reply::One(FromArchive::Erased { certificate: certificate.into() }))
    }

    /// Takes a new directive.
    pub(crate) async fn direct(&self, directive: &[u8]) -> Result<Reply, Refusal> {
        let (ward, change) = self.custody.direct(directive).await.map_err(|e| e.refusal(Fault::Archive))?;
        tracing::info!(patient = %ward.registration.patient(), version = ward.version(), epoch = ward.epoch(), ?change, "directive taken");
        Ok(Reply::One(FromArchive::Kept))
    }
}
