//! Erasing a patient at one party: the order is verified by the pinned authority, the half and all rows are destroyed,
//! and this party certifies it. The same order again is answered the same.

use sealwort_proto::Pseudonym;
use sealwort_proto::erasure::{self, Certificate};
use sealwort_proto::error::ErrorKind;
use sealwort_store::{NewErasure, Tombstone};

use crate::{Custody, CustodyError};

impl Custody {
    /// Carries out an erasure. The patient, and this party's signed certificate.
    pub async fn erase(&self, erasure: &[u8]) -> Result<(Pseudonym, Vec<u8>), CustodyError> {
        let patient = erasure::patient_of(erasure)?;
        let kept = self.store.tombstone(patient).await?;
        match &kept {
            // Who signed went with the registration; only the order that was carried out is known again.
            Some(tombstone) if tombstone.erasure != erasure => return Err(CustodyError::Erased),
            Some(_) => {}
            None => self.verify_erasure(patient, erasure).await?,
        }
        let now = self.member.trust().now();
        let order = NewErasure { patient, erasure: erasure.to_vec(), erased_at: now.as_secs() };
        let Tombstone { erasure, destroyed } = self.store.erase(order).await?;
        self.wards.forget(patient);
        let certificate = Certificate::issue(patient, &erasure, destroyed, &self.member.party(), now)?;
        Ok((patient, certificate))
    }

    /// This party's certificate of an erasure that it carried out; `None` for who was not erased.
    pub async fn certificate(&self, patient: Pseudonym) -> Result<Option<Vec<u8>>, CustodyError> {
        let Some(Tombstone { erasure, destroyed }) = self.store.tombstone(patient).await? else { return Ok(None) };
        let now = self.member.trust().now();
        Ok(Some(Certificate::issue(patient, &erasure, destroyed, &self.member.party(), now)?))
    }

    /// Whether a patient was erased.
    pub async fn is_erased(&self, patient: Pseudonym) -> Result<bool, CustodyError> {
        Ok(self.store.tombstone(patient).await?.is_some())
    }

    async fn verify_erasure(&self, patient: Pseudonym, bytes: &[u8]) -> Result<(), CustodyError> {
        let ward = self.ward_of(patient).await?.ok_or(CustodyError::UnknownPatient)?;
        let party = self.member.party();
        let verified = erasure::verify(bytes, party.exchange(), ward.registration.authority(), &party.operations)?;
        if verified.erasure().version < ward.version() {
            return Err(ErrorKind::Statement("the erasure ends an older directive than the newest one").into());
        }
        self.check_date(verified.erasure().issued_at)
    }
}
