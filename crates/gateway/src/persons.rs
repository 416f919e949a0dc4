//! Patients and their delegates who sign in for themselves: whose records are theirs to open, and the tokens for it. In
//! signed requests and in all logs they stand under a name that tells nothing to whoever does not know it: broker and
//! archive learn no account of a private person.

use std::sync::Arc;

use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::mac;
use sealwort_smart::oidc::PATIENT_ROLE;
use sealwort_smart::{Context, PatientId, Purpose, Scope, ScopeRequest, ScopeSet, User, UserName};

use crate::Gateway;
use crate::delegates::Delegation;
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::sign_in::sessions::{Present, Who};

/// At the patient's own request (v3-PurposeOfUse).
const PATIENT_REQUEST: &str = "PATRQT";
/// Bytes of the name under which somebody stands in logs.
const NAME_BYTES: usize = 12;

/// A patient's own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) patient: Pseudonym,
    pub(crate) id: PatientId,
}

/// A record that somebody may open.
#[derive(Debug, Clone)]
pub(crate) enum Theirs {
    /// Their own.
    Own(Own),
    /// Somebody's for whom they act.
    Delegated(Arc<Delegation>),
}

/// What they act with in one record.
pub(crate) struct Acting {
    pub(crate) user: User,
    pub(crate) scopes: ScopeSet,
    pub(crate) patient: PatientId,
    pub(crate) purpose: Purpose,
}

/// Reads the scopes of patients. All of them are about the patient alone.
pub(crate) fn scopes(text: &str) -> Result<ScopeSet, String> {
    let ScopeRequest { scopes, dropped } = ScopeRequest::parse(text);
    if let Some(dropped) = dropped.first() {
        return Err(format!("scopes: {dropped}"));
    }
    let about_one = |scope: &Scope| matches!(scope, Scope::Resource(one) if one.context() == Context::Patient);
    if scopes.is_empty() || !scopes.iter().all(about_one) {
        return Err("scopes: all of them begin with patient/, as patient/*.rs".to_owned());
    }
    Ok(scopes)
}

impl Theirs {
    /// The Patient's id.
    pub(crate) fn patient_id(&self) -> &str {
        match self {
            Self::Own(own) => own.id.as_str(),
            Self::Delegated(delegation) => &delegation.patient_id,
        }
    }
}

impl Gateway {
    /// Under which name a private person stands in requests and logs.
    pub(crate) fn person_name(&self, account: &str) -> Option<UserName> {
        let name = mac(&self.keys.roster, "sealwort person v1", &[account.as_bytes()]);
        format!("person-{}", hex::encode(name.get(..NAME_BYTES)?)).parse().ok()
    }

    /// The record of the patient whom the provider says that somebody is.
    pub(crate) async fn own_record(&self, said: &str) -> Result<Own, GatewayError> {
        let named = match self.sign_in.patient_system() {
            "" => said.to_owned(),
            system => format!("{system}|{said}"),
        };
        let patient = self.identity_named(&named, TREATMENT).await?;
        Ok(Own { patient, id: self.patient_id_of(patient).await? })
    }

    /// The id under which this hospital shows a patient.
    pub(crate) async fn patient_id_of(&self, patient: Pseudonym) -> Result<PatientId, GatewayError> {
        // Who was given up is not among the people.
        if self.roster.surviving(patient) != patient
            && let Some(merge) = self.roster.merge(patient).await?
        {
            return merge.source_id.parse().map_err(|_| GatewayError::unknown_patient());
        }
        for id in self.people.of(patient) {
            if self.roster.by_resource(ResourceType::PATIENT.as_str(), id.as_str()).await? == Some(patient) {
                return id.as_str().parse().map_err(|_| GatewayError::unknown_patient());
            }
        }
        Err(GatewayError::request(
            409,
            IssueCode::NotFound,
            "patient-not-here",
            "this hospital has not read or written the patient's Patient resource yet",
            "read the record here once, then try again",
        ))
    }

    /// The records that somebody may open now, their own first.
    pub(crate) fn records_of(&self, own: Option<&Own>, account: &str) -> Vec<Theirs> {
        let now = self.sessions.now();
        let own = own.filter(|own| !self.roster.is_erased(own.patient)).cloned().map(Theirs::Own);
        own.into_iter().chain(self.delegations_of(account, now).into_iter().map(Theirs::Delegated)).collect()
    }

    /// What somebody who is signed in acts with in one of their records: the one named by the Patient's id, or else the
    /// only one.
    pub(crate) fn acting(&self, present: &Present, named: Option<&str>) -> Result<Acting, GatewayError> {
        let Who::Private(own) = &present.who else {
            return Err(GatewayError::Kept("users of the hospital act otherwise"));
        };
        let records = self.records_of(own.as_ref(), &present.account);
        let found = match named.filter(|named| !named.is_empty()) {
            Some(named) => records.iter().find(|one| one.patient_id() == named),
            None => records.first().filter(|first| records.len() == 1 || matches!(first, Theirs::Own(_))),
        };
        let found = found.ok_or_else(|| {
            GatewayError::request(
                403,
                IssueCode::Forbidden,
                "record-not-theirs",
                "no such record is theirs to open",
                "name one that GET /auth/session lists",
            )
        })?;
        self.acting_in(present, found)
    }

    /// What they act with in just this record: one account may have several delegations for one patient.
    pub(crate) fn acting_in(&self, present: &Present, record: &Theirs) -> Result<Acting, GatewayError> {
        self.acts(&present.user, record).ok_or(GatewayError::Kept("what a person acts with could not be made"))
    }

    fn acts(&self, person: &User, record: &Theirs) -> Option<Acting> {
        let (role, fhir_user, delegation) = match record {
            Theirs::Own(own) => (PATIENT_ROLE, format!("Patient/{}", own.id), None),
            Theirs::Delegated(one) => (
                one.relationship.as_str(),
                format!("RelatedPerson/{}", one.related_person_id()),
                Some(one.id.parse().ok()?),
            ),
        };
        let user = User {
            name: person.name.clone(),
            role: role.parse().ok()?,
            fhir_user: Some(fhir_user.parse().ok()?),
            session: person.session.clone(),
            delegation,
        };
        let (patient, purpose) = (record.patient_id().parse().ok()?, PATIENT_REQUEST.parse().ok()?);
        Some(Acting { user, scopes: self.patient_scopes.clone(), patient, purpose })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scopes_of_patients_are_about_one_patient() {
        assert!(scopes(&crate::config::PatientsConfig::default().scopes).is_ok());
        for wrong in ["", "user/*.rs", "patient/*.rs user/Observation.rs", "patient/*.rs openid", "patient/Nothing.rs"]
        {
            assert!(scopes(wrong).is_err(), "{wrong}");
        }
    }
}
