//! What other systems of the hospital bring: HL7 v2 messages over MLLP, and measurements of devices over MQTT and HTTP.
//! Each becomes a FHIR transaction. It is told as taken only once it is durable: stored at the archive, or in the
//! outbox here. What is refused is kept, sealed, until somebody replays or discards it.

pub(crate) mod devices;
pub(crate) mod mllp;
pub(crate) mod mqtt;
pub(crate) mod refused;

use std::sync::Arc;

use bytes::Bytes;
use sealwort_fhir::compartment::PatientTarget;
use sealwort_fhir::{Bundle, Identifier, Reference, ResourceId, parse_bundle, patient_references};
use sealwort_proto::DepositId;
use sealwort_proto::codec::Blob;

use crate::Gateway;
use crate::error::GatewayError;
use crate::home::identifier_in;
use crate::outbox::{Outgoing, WaitingTransaction};
use crate::user::Asking;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is at the archive.
    Stored,
    /// It waits in the outbox, on disk.
    Waiting,
}

impl Gateway {
    /// Carries out a transaction, or keeps it until the exchange is back. On return it is durable.
    pub(crate) async fn take_in(self: &Arc<Self>, bundle: Bytes, asking: &Asking) -> Result<Taken, GatewayError> {
        let line = self.line_of(&bundle).await?;
        if self.outbox.waiting_for(&line).await? == 0 {
            match crate::face::store_bundle(self, asking, bundle.clone()).await {
                Ok(()) => return Ok(Taken::Stored),
                Err(error) if error.is_away() || error.is_session_lost() || error.code() == "log-busy" => {
                    tracing::warn!(%error, "the exchange is away; what came in goes to the outbox");
                }
                Err(error) => return Err(error),
            }
        }
        let waiting = WaitingTransaction {
            bundle: Blob(bundle.to_vec()),
            user: asking.user.clone(),
            user_role: asking.role.clone(),
            purpose: asking.purpose.clone(),
        };
        self.outbox.put(DepositId::random(), &line, &Outgoing::Transaction(waiting)).await?;
        Ok(Taken::Waiting)
    }

    /// By what transactions of one patient are kept in order: as other writes of that patient are.
    async fn line_of(&self, bundle: &Bytes) -> Result<Vec<u8>, GatewayError> {
        let body = bundle.clone();
        let named = crate::face::apart(body.len(), move || Ok(patient_named(&parse_bundle(body)?))).await?;
        match named {
            Some(Named::Identifier(identifier)) => self.patient_key(&self.locators(&[identifier])).await,
            Some(Named::Id(id)) => match self.roster.by_resource("Patient", id.as_str()).await? {
                Some(patient) => Ok(patient.as_bytes().to_vec()),
                None => Err(GatewayError::unknown_patient()),
            },
            None => Ok(Vec::new()),
        }
    }
}

/// How a transaction names its patient.
enum Named {
    Identifier(Identifier),
    Id(ResourceId),
}

/// By the search of its Patient's condition, or by the first reference to a patient.
fn patient_named(bundle: &Bundle) -> Option<Named> {
    let searched = bundle.entries().iter().find_map(|entry| {
        let request = entry.request.as_ref()?;
        let query = match request.url.split_once('?') {
            Some(("Patient", query)) => query,
            None if request.url == "Patient" => request.if_none_exist.as_deref()?,
            _ => return None,
        };
        identifier_in(query)
    });
    let referred = || {
        let mut references = bundle.resources().flat_map(|(_, resource)| patient_references(resource));
        references.find_map(|reference| match reference.target {
            PatientTarget::Reference(Reference::Relative { id, .. }) => Some(Named::Id(id)),
            PatientTarget::Reference(Reference::Conditional { query, .. }) => {
                identifier_in(&query).map(Named::Identifier)
            }
            PatientTarget::Identifier(identifier) => Some(Named::Identifier(identifier)),
            PatientTarget::Reference(_) => None,
        })
    };
    searched.map(Named::Identifier).or_else(referred)
}
