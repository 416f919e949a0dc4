//! A write from the hospital, whole: the patient is found or registered, the records are deposited, and which
//! resource is whose is noted. When the exchange is away, the write goes to the outbox and the hospital is told so.

use std::sync::Arc;

use sealwort_fhir::IssueCode;
use sealwort_proto::{DepositId, Locator, Pseudonym};

use crate::Gateway;
use crate::deposit::Labelled;
use crate::error::GatewayError;
use crate::outbox::{Outgoing, WaitingDeposit};
use crate::user::Asking;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Stored at the archive, witnessed by the broker.
    Stored(Pseudonym),
    /// In the outbox, on disk here.
    Queued,
}

impl Gateway {
    /// Stores records of the patient of these identifiers, or keeps them until the exchange is back.
    pub(crate) async fn write(
        &self,
        locators: &[Locator],
        records: Vec<Labelled>,
        asking: &Asking,
    ) -> Result<Written, GatewayError> {
        let id = DepositId::random();
        let records = Arc::new(records);
        // What waits already goes first.
        let key = self.patient_key(locators).await?;
        if !self.waits(&key, locators).await? {
            match self.store_records(locators, id, Arc::clone(&records), asking).await {
                Ok(patient) => return Ok(Written::Stored(patient)),
                Err(error) if error.is_away() || error.is_session_lost() => {
                    tracing::warn!(%error, "the exchange is away; the write goes to the outbox");
                }
                Err(error) => return Err(error),
            }
        }
        let waiting = WaitingDeposit {
            locators: locators.to_vec(),
            records: records.iter().map(Into::into).collect(),
            user: asking.user.name.clone(),
            user_role: asking.user.role.clone(),
            purpose: asking.purpose.clone(),
        };
        self.outbox.put(id, &key, &Outgoing::Deposit(waiting)).await?;
        Ok(Written::Queued)
    }

    /// Finds or registers the patient, deposits, and notes which resource is whose.
    pub(crate) async fn store_records(
        &self,
        locators: &[Locator],
        id: DepositId,
        records: Arc<Vec<Labelled>>,
        asking: &Asking,
    ) -> Result<Pseudonym, GatewayError> {
        let patient = self.find_or_register(locators).await?.patient;
        for record in records.iter().filter(|r| r.record.resource_type == "Patient") {
            let taken = self.roster.by_resource("Patient", &record.record.id).await?;
            if taken.is_some_and(|other| other != patient) {
                return Err(GatewayError::request(
                    409,
                    IssueCode::Duplicate,
                    "patient-id-taken",
                    format!("Patient/{} is another person at this hospital", record.record.id),
                    "give the Patient another id",
                ));
            }
        }
        let names = records.iter().map(|r| (r.record.resource_type.as_str(), r.record.id.as_str()));
        self.roster.put_resources(patient, names).await?;
        self.deposit(patient, id, Arc::clone(&records), asking).await?;
        Ok(patient)
    }

    /// Whether writes of this patient wait: under the pseudonym, or under an identifier from before it was known.
    async fn waits(&self, key: &[u8], locators: &[Locator]) -> Result<bool, GatewayError> {
        for name in std::iter::once(key).chain(locators.iter().map(|l| l.as_bytes().as_slice())) {
            if self.outbox.waiting_for(name).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// By what a patient's writes are kept in order: the pseudonym where it is known, else the first identifier.
    async fn patient_key(&self, locators: &[Locator]) -> Result<Vec<u8>, GatewayError> {
        if let Some(patient) = self.roster.by_locators(locators).await? {
            return Ok(patient.as_bytes().to_vec());
        }
        Ok(locators.first().map(|locator| locator.as_bytes().to_vec()).unwrap_or_default())
    }
}
