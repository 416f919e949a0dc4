//! The hospital's own rule of emergency access: whether its configuration can be kept, who may ask and how, and what a
//! patient's first directive allows.

use sealwort_consent::{Action, Among, LabelTag as ConsentTag, Period, Purpose, Terms};
use sealwort_fhir::Branch;
use sealwort_pki::PartyName;
use sealwort_proto::Pseudonym;
use sealwort_proto::transmission::REASON_BYTES_MAX;

use super::{Access, Emergencies, Standing, TEXT_CHARACTERS_MAX, Wanted, lock, refused};
use crate::Gateway;
use crate::config::EmergencyConfig;
use crate::error::GatewayError;
use crate::patients::wrong;
use crate::user::{Asking, By};

/// Most minutes that an emergency access lasts anywhere in an exchange.
const MINUTES_MAX: u64 = 60;
/// The name that stands for every hospital of the exchange.
const ANY_HOSPITAL: &str = "*";
/// Where the sentence to type has the patient.
const PATIENT_IN_SENTENCE: &str = "{patient}";

/// Whether the hospital's rule can be kept, or which option is wrong.
pub(crate) fn check(config: &EmergencyConfig) -> Result<(), &'static str> {
    if !(1..=MINUTES_MAX).contains(&config.minutes) {
        return Err("minutes is 1 to 60");
    }
    if config.reasons.is_empty() || config.reasons.iter().any(String::is_empty) {
        return Err("reasons needs at least one code, and none is empty");
    }
    if !config.sentence.contains(PATIENT_IN_SENTENCE) {
        return Err("sentence needs {patient}, so that nobody types it without thinking of whom");
    }
    if config.reasons.iter().any(|code| code.len() > REASON_BYTES_MAX) {
        return Err("reasons has a code of more than 64 bytes");
    }
    let at_registration = &config.at_registration;
    let is_hospital = |name: &String| name == ANY_HOSPITAL || name.parse::<PartyName>().is_ok();
    if !at_registration.hospitals.iter().all(is_hospital) {
        return Err("at_registration.hospitals has names of hospitals, or \"*\" for every one");
    }
    if !at_registration.hospitals.is_empty() && at_registration.labels.is_empty() {
        return Err("at_registration.labels is empty, so that its hospitals could open nothing");
    }
    if at_registration.labels.iter().any(|label| Branch::named(label).is_err()) {
        return Err("at_registration.labels has a word that is no label");
    }
    Ok(())
}

impl Emergencies {
    /// What the user types, for this patient.
    pub(crate) fn sentence(&self, patient: &str) -> String {
        let value = patient.rsplit_once('|').map_or(patient, |(_, value)| value);
        self.config.sentence.replace(PATIENT_IN_SENTENCE, value)
    }
}

impl Gateway {
    pub(super) async fn check_wanted(&self, wanted: &Wanted, asking: &Asking) -> Result<Pseudonym, GatewayError> {
        let config = &self.emergencies.config;
        self.check_person(asking)?;
        let reason = &wanted.reason;
        if !config.reasons.contains(&reason.code) {
            return Err(refused(
                422,
                "emergency-reason-needed",
                "an emergency access needs a reason out of this hospital's list",
                format!("give one of: {}", config.reasons.join(", ")),
            )
            .at("Parameters.parameter.where(name = 'reason')"));
        }
        let characters = reason.text.trim().chars().count();
        if characters < config.text_characters_min || characters > TEXT_CHARACTERS_MAX {
            let least = config.text_characters_min;
            return Err(refused(
                422,
                "emergency-reason-needed",
                format!("the reason in words has {least} to {TEXT_CHARACTERS_MAX} characters"),
                "say in your own words why the record is needed now",
            )
            .at("Parameters.parameter.where(name = 'text')"));
        }
        let sentence = self.emergencies.sentence(&wanted.patient);
        if wanted.confirmation.trim() != sentence {
            return Err(refused(
                422,
                "emergency-confirmation-wrong",
                "the typed confirmation is not the sentence that this hospital asks for",
                format!("type: {sentence}"),
            )
            .at("Parameters.parameter.where(name = 'confirmation')"));
        }
        let patient = self.identity_named(&wanted.patient, &asking.purpose).await?;
        let now = self.sessions.now().as_secs();
        let is_to = |access: &Access| access.patient.parse().is_ok_and(|one| self.roster.are_one(one, patient));
        let same = |a: &&Access| is_to(a) && a.user == asking.user && a.standing(now) != Standing::Ended;
        if let Some(access) = lock(&self.emergencies.accesses).values().find(same) {
            return Err(refused(
                409,
                "emergency-exists",
                format!("this user has an emergency access to this patient already: {}", access.id),
                "use it, or end it first: sealwort emergency end",
            ));
        }
        Ok(patient)
    }

    /// Whether somebody may open or approve emergency accesses at all.
    pub(super) fn check_person(&self, asking: &Asking) -> Result<(), GatewayError> {
        let config = &self.emergencies.config;
        if !config.enabled {
            return Err(refused(
                403,
                "emergency-disabled",
                "this hospital has no emergency access",
                "its administrator can allow it: emergency.enabled",
            ));
        }
        if asking.by != By::User || !config.roles.contains(&asking.role) {
            return Err(refused(
                403,
                "emergency-role",
                format!("emergency access is for users with one of these roles: {}", config.roles.join(", ")),
                "ask a colleague who has one",
            ));
        }
        Ok(())
    }

    /// What a first directive allows in an emergency: the hospitals and labels of the configuration.
    pub(crate) fn emergency_terms(&self, patient: Pseudonym, period: Period) -> Result<Vec<Terms>, GatewayError> {
        let config = &self.emergencies.config.at_registration;
        let labels = config.labels.iter().filter_map(|word| Branch::named(word).ok()).flatten();
        let tags: Vec<_> =
            labels.map(|label| ConsentTag::new(*self.directory.tag(patient, label).as_bytes())).collect();
        let purposes = [Purpose::BreakTheGlass, Purpose::EmergencyTreatment];
        let terms = |hospital: &String| {
            let grantees = if hospital == ANY_HOSPITAL { Among::all() } else { self.hospital(hospital)?.into() };
            Terms::new(grantees, [Action::Emergency], tags.clone(), purposes, period).map_err(|e| wrong(&e))
        };
        config.hospitals.iter().map(terms).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rule_that_cannot_be_kept_is_refused() {
        let usual = EmergencyConfig::default();
        assert_eq!(check(&usual), Ok(()));
        let changes: [(&str, fn(&mut EmergencyConfig)); 8] = [
            ("minutes", |rule| rule.minutes = 61),
            ("minutes", |rule| rule.minutes = 0),
            ("reasons", |rule| rule.reasons.clear()),
            ("sentence", |rule| rule.sentence = "yes".to_owned()),
            ("reasons", |rule| rule.reasons = vec!["x".repeat(65)]),
            ("at_registration.hospitals", |rule| rule.at_registration.hospitals = vec!["Hospital A".to_owned()]),
            ("at_registration.labels", |rule| rule.at_registration.labels = vec!["secret".to_owned()]),
            ("at_registration.labels", |rule| {
                rule.at_registration =
                    crate::config::AtRegistrationConfig { hospitals: vec![ANY_HOSPITAL.to_owned()], labels: Vec::new() }
            }),
        ];
        for (option, change) in changes {
            let mut rule = usual.clone();
            change(&mut rule);
            assert!(check(&rule).unwrap_err().starts_with(option), "{option}");
        }
    }
}
