//! PID, PD1 and NK1: the patient, the patient's own doctors, and next of kin (v2-to-FHIR segment maps
//! PID[Patient], PD1[Patient], NK1[RelatedPerson]). Next of kin are resources of their own, so that a
//! message without NK1 does not delete them.

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::{concept_of, identifier};
use super::element::Element;
use super::people::{address, human_name, telecom};
use super::transaction::Key;
use super::{Family, tables};
use crate::message::Segment;
use crate::refused::Refused;

/// PID-3, and the fields that held identifiers before version 2.3.1.
pub(super) const IDENTIFIER_FIELDS: [usize; 3] = [3, 2, 4];
/// Identifier types (table 0203) by which a patient is found, the best first.
const FINDING_TYPES: [&str; 4] = ["MR", "MRN", "PI", "PT"];

impl Context<'_> {
    /// Maps PID and PD1. Everything later refers to this patient.
    pub(super) fn map_patient(&mut self, pid: &Segment<'_>, pd1: Option<&Segment<'_>>) -> Result<(), Refused> {
        let key = self.patient_identity(pid).ok_or_else(|| {
            let place = pid.first(3).place(1);
            Refused::NoPatientIdentifier(place)
        })?;
        self.patient_key = key.joined();
        let mut patient = Element::resource("Patient");
        patient.set("identifier", self.patient_identifiers(pid));
        for (field, forced_use) in [(5, None), (9, Some("nickname"))] {
            for repeat in pid.repeats(field) {
                let mut name = human_name(&repeat);
                if let (Some(Value::Object(name)), Some(forced)) = (&mut name, forced_use) {
                    name.insert("use".to_owned(), forced.into());
                }
                patient.push("name", name);
            }
        }
        for (field, field_use) in [(13, Some("home")), (14, Some("work")), (40, None)] {
            for repeat in pid.repeats(field) {
                patient.push("telecom", telecom(&repeat, field_use));
            }
        }
        let sex = pid.text(8).map(|code| tables::lookup(tables::SEX, &code.to_uppercase()).unwrap_or("unknown"));
        patient.set("gender", sex);
        self.set_birth_and_death(&mut patient, pid)?;
        for repeat in pid.repeats(11) {
            patient.push("address", address(&repeat));
        }
        patient.set("maritalStatus", self.marital_status(pid));
        if let Some(language) = self.concept_at(pid, 15, Some("0296")) {
            patient.push("communication", json!({"language": language, "preferred": true}));
        }
        self.set_extensions(&mut patient, pid);
        if let Some(pd1) = pd1 {
            patient.set("generalPractitioner", self.general_practitioners(pd1)?);
        }
        let existing = self.existing(Family::Registration);
        self.patient = self.add(patient, key, existing)?;
        Ok(())
    }

    /// A second PID must be the same patient: what follows it would go into the wrong record otherwise.
    pub(super) fn check_same_patient(&self, pid: &Segment<'_>) -> Result<(), Refused> {
        let same = IDENTIFIER_FIELDS
            .into_iter()
            .flat_map(|field| pid.repeats(field).collect::<Vec<_>>())
            .any(|repeat| self.cx_key(&repeat).is_some_and(|key| key.joined() == self.patient_key));
        if same { Ok(()) } else { Err(Refused::AnotherPatient(pid.place())) }
    }

    /// The identifier that finds the patient: one of a medical record, or else the first.
    fn patient_identity(&self, pid: &Segment<'_>) -> Option<Key> {
        self.identity(pid, &IDENTIFIER_FIELDS)
    }

    /// The same in these fields, which hold identifiers.
    pub(super) fn identity(&self, segment: &Segment<'_>, fields: &[usize]) -> Option<Key> {
        let all = |field| segment.repeats(field).collect::<Vec<_>>();
        let mut first = None;
        for field in fields.iter().copied() {
            for kind in FINDING_TYPES {
                let found = all(field).into_iter().find(|repeat| repeat.text(5).as_deref() == Some(kind));
                if let Some(key) = found.and_then(|repeat| self.cx_key(&repeat)) {
                    return Some(key);
                }
            }
            first = first.or_else(|| all(field).into_iter().find_map(|repeat| self.cx_key(&repeat)));
            // The old fields repeat what PID-3 says; they count only where it is empty.
            if first.is_some() {
                break;
            }
        }
        first
    }

    fn patient_identifiers(&mut self, pid: &Segment<'_>) -> Vec<Value> {
        let mut found: Vec<Value> = Vec::new();
        for field in IDENTIFIER_FIELDS {
            for repeat in pid.repeats(field) {
                let Some(identifier) = self.identifier(&repeat) else { continue };
                let same =
                    |other: &Value| ["system", "value"].iter().all(|part| other.get(part) == identifier.get(part));
                if !found.iter().any(same) {
                    found.push(identifier);
                }
            }
        }
        let number = |field: usize, system: &str, kind: &str| {
            let value = pid.text(field)?;
            Some(identifier(&Key { system: system.to_owned(), value }, Some(kind.to_owned())).into())
        };
        found.extend(number(19, "http://hl7.org/fhir/sid/us-ssn", "SS"));
        // PID-20.2 is the state that gave the licence.
        let license = self.own_system(&format!("driver-license:{}", pid.first(20).text(2).unwrap_or_default()));
        found.extend(number(20, &license, "DL"));
        found
    }

    /// A birth date tells patients apart, so one that cannot be read is refused, where other dates are left out.
    fn set_birth_and_death(&mut self, patient: &mut Element, pid: &Segment<'_>) -> Result<(), Refused> {
        let local = self.settings.local_offset;
        let birth = self.timestamp(&pid.first(7), 1);
        if birth.is_none() && pid.text(7).is_some_and(|text| text != "\"\"") {
            return Err(Refused::BadValue { place: pid.place_of(7), expected: "a date" });
        }
        if let Some(birth) = birth {
            patient.set("birthDate", birth.date());
            if birth.has_time() {
                let url = "http://hl7.org/fhir/StructureDefinition/patient-birthTime";
                let extension = json!({"url": url, "valueDateTime": birth.date_time(local)});
                patient.set("_birthDate", json!({"extension": [extension]}));
            }
        }
        match (self.date_time(pid, 29), pid.text(30).as_deref()) {
            (Some(death), _) => patient.set("deceasedDateTime", death),
            (None, Some("Y")) => patient.set("deceasedBoolean", true),
            (None, Some("N")) => patient.set("deceasedBoolean", false),
            _ => {}
        }
        let order = pid.text(25).and_then(|order| order.parse::<u8>().ok()).filter(|order| *order > 0);
        match (pid.text(24).as_deref(), order) {
            (Some("Y") | None, Some(order)) => patient.set("multipleBirthInteger", order),
            (Some("Y"), None) => patient.set("multipleBirthBoolean", true),
            (Some("N"), _) => patient.set("multipleBirthBoolean", false),
            _ => {}
        }
        Ok(())
    }

    fn marital_status(&self, segment: &Segment<'_>) -> Option<Value> {
        let code = segment.text(16)?;
        match tables::lookup(tables::MARITAL_STATUS, &code.to_uppercase()) {
            Some(known) => {
                let mut status = concept_of("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", known, None);
                if let (Value::Object(status), Some(text)) = (&mut status, segment.first(16).text(2)) {
                    status.insert("text".to_owned(), text.into());
                }
                Some(status)
            }
            None => self.concept_at(segment, 16, Some("0002")),
        }
    }

    /// What R4 keeps in its own extensions of Patient.
    fn set_extensions(&self, patient: &mut Element, pid: &Segment<'_>) {
        let url = |name: &str| format!("http://hl7.org/fhir/StructureDefinition/patient-{name}");
        if let Some(mother) = pid.first(6).part(1, 1) {
            patient.push("extension", json!({"url": url("mothersMaidenName"), "valueString": mother}));
        }
        if let Some(religion) = self.concept_at(pid, 17, Some("0006")) {
            patient.push("extension", json!({"url": url("religion"), "valueCodeableConcept": religion}));
        }
        if let Some(place) = pid.text(23) {
            patient.push("extension", json!({"url": url("birthPlace"), "valueAddress": {"text": place}}));
        }
    }

    fn general_practitioners(&mut self, pd1: &Segment<'_>) -> Result<Vec<Value>, Refused> {
        let mut found = self.practitioners(pd1, 4)?;
        for repeat in pd1.repeats(3) {
            found.extend(self.organization(&repeat)?);
        }
        Ok(found)
    }

    /// NK1 as RelatedPerson.
    pub(super) fn map_next_of_kin(&mut self, nk1: &Segment<'_>) -> Result<(), Refused> {
        let mut person = Element::resource("RelatedPerson").with("patient", self.patient.clone());
        for repeat in nk1.repeats(33) {
            let identifier = self.identifier(&repeat);
            person.push("identifier", identifier);
        }
        for (field, table) in [(3, "0063"), (7, "0131")] {
            person.push("relationship", self.concept_at(nk1, field, Some(table)));
        }
        for repeat in nk1.repeats(2) {
            person.push("name", human_name(&repeat));
        }
        for (field, field_use) in [(5, Some("home")), (6, Some("work")), (40, None)] {
            for repeat in nk1.repeats(field) {
                person.push("telecom", telecom(&repeat, field_use));
            }
        }
        person.set("gender", nk1.text(15).and_then(|code| tables::lookup(tables::SEX, &code.to_uppercase())));
        if let Some(birth) = self.timestamp(&nk1.first(16), 1) {
            person.set("birthDate", birth.date());
        }
        for repeat in nk1.repeats(4) {
            person.push("address", address(&repeat));
        }
        let mut period = Element::new();
        for (name, field) in [("start", 8), ("end", 9)] {
            period.set(name, self.date_time(nk1, field));
        }
        person.set("period", period);
        // By who it is and not by NK1-1, which numbers the segments of one message.
        let name = nk1.first(2).running_text().or_else(|| nk1.first(13).running_text()).unwrap_or_default();
        let relationship = nk1.text(3).unwrap_or_default();
        let key = self.patient_record_key(&["related-person", &relationship, &name]);
        self.add_once(person, key)?;
        Ok(())
    }
}
