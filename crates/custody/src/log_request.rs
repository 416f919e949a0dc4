//! Who may see what a party's audit log holds about a patient: whoever has the key of the patient's consent authority.

use sealwort_proto::{Pseudonym, SessionId, log_request};

use crate::{Custody, CustodyError};

impl Custody {
    /// The patient about whom a consent authority may be told what this party's log holds.
    pub async fn admit_log_request(&self, request: &[u8], session: SessionId) -> Result<Pseudonym, CustodyError> {
        let patient = log_request::patient_of(request)?;
        let ward = self.ward_of(patient).await?.ok_or(CustodyError::UnknownPatient)?;
        let party = self.member.party();
        let now = self.member.trust().now();
        let authority = ward.registration.authority();
        log_request::verify(request, party.exchange(), session, authority, now, &party.operations)?;
        Ok(patient)
    }
}
