//! DG1, AL1 and IN1: diagnoses, allergies and insurance (v2-to-FHIR segment maps DG1[Condition],
//! AL1[AllergyIntolerance], IN1[Coverage]).

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::{concept_of, identifier};
use super::element::Element;
use super::tables;
use crate::message::Segment;
use crate::refused::Refused;

const CONDITION_CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";

impl Context<'_> {
    /// DG1 as Condition.
    pub(super) fn map_diagnosis(&mut self, dg1: &Segment<'_>) -> Result<(), Refused> {
        let described = || dg1.text(4).map(|text| json!({"text": text}));
        let code = self.concept_at(dg1, 3, None).or_else(described);
        let code = code.ok_or(Refused::MissingField(dg1.place_of(3)))?;
        let kind = dg1.text(6).unwrap_or_default().to_uppercase();
        let mut condition = Element::resource("Condition");
        let own = self.ei_key(&dg1.first(20));
        if let Some(own) = &own {
            condition.push("identifier", identifier(own, None));
        }
        // DG1-21: a deleted diagnosis.
        let deleted = dg1.text(21).as_deref() == Some("D");
        let verification = match kind.as_str() {
            _ if deleted => Some("entered-in-error"),
            "A" | "W" => Some("provisional"),
            "F" => Some("confirmed"),
            _ => None,
        };
        let system = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
        // v2 says no clinical status, and R4 demands one of problem list items only (con-3).
        condition.set("verificationStatus", verification.map(|code| concept_of(system, code, None)));
        condition.push("category", concept_of(CONDITION_CATEGORY, "encounter-diagnosis", Some("Encounter Diagnosis")));
        condition.set("code", code.clone());
        condition.set("subject", self.patient.clone());
        condition.set("encounter", self.encounter.clone());
        condition.set("onsetDateTime", self.date_time_of(&dg1.first(17), 1));
        condition.set("recordedDate", self.date_time(dg1, 19).or_else(|| self.date_time(dg1, 5)));
        condition.set("asserter", self.practitioner(&dg1.first(16))?);
        let name = dg1.text(3).or_else(|| dg1.text(4)).unwrap_or_default();
        let visit = self.visit_key.clone();
        let key = own.unwrap_or_else(|| self.patient_record_key(&["condition", &visit, &name, &kind]));
        self.add_once(condition, key)?;
        Ok(())
    }

    /// AL1 as AllergyIntolerance.
    pub(super) fn map_allergy(&mut self, al1: &Segment<'_>) -> Result<(), Refused> {
        let code = self.concept_at(al1, 3, None).ok_or(Refused::MissingField(al1.place_of(3)))?;
        let mut allergy = Element::resource("AllergyIntolerance");
        let clinical = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
        allergy.set("clinicalStatus", concept_of(clinical, "active", None));
        let kind = al1.text(2).map(|code| code.to_uppercase());
        // DA, FA, EA and so on are allergies; MA and MC are contraindications and no category of R4.
        if let Some(category) = kind.and_then(|code| tables::lookup(tables::ALLERGY_CATEGORY, &code)) {
            allergy.set("type", "allergy");
            allergy.push("category", category);
        }
        allergy.set("code", code);
        allergy.set("patient", self.patient.clone());
        allergy.set("encounter", self.encounter.clone());
        allergy.set("onsetDateTime", self.date_time(al1, 6));
        let mut reaction = Element::new();
        for repeat in al1.repeats(5) {
            reaction.push("manifestation", self.free_concept(&repeat));
        }
        // Severity belongs to a reaction, and a reaction needs a manifestation.
        if reaction.member("manifestation").is_some() {
            let severity = al1.text(4).map(|code| code.to_uppercase());
            reaction.set("severity", severity.and_then(|code| tables::lookup(tables::ALLERGY_SEVERITY, &code)));
            allergy.push("reaction", reaction);
        } else if al1.text(4).is_some_and(|code| code.to_uppercase() == "SV") {
            allergy.set("criticality", "high");
        }
        let name = al1.text(3).or_else(|| al1.first(3).text(2)).unwrap_or_default();
        let key = self.patient_record_key(&["allergy", &name]);
        self.add_once(allergy, key)?;
        Ok(())
    }

    /// A field of words (ST) in which some senders put a coded element.
    fn free_concept(&self, repeat: &crate::message::Repeat<'_>) -> Option<Value> {
        match (repeat.text(1), repeat.text(2), repeat.text(3)) {
            (Some(text), None, None) => Some(json!({"text": text})),
            _ => self.concept(repeat),
        }
    }

    /// IN1 as Coverage.
    pub(super) fn map_insurance(&mut self, in1: &Segment<'_>) -> Result<(), Refused> {
        let mut coverage = Element::resource("Coverage").with("status", "active");
        coverage.set("type", self.concept_at(in1, 15, Some("0086")));
        coverage.set("subscriberId", in1.text(49).or_else(|| in1.text(36)));
        coverage.set("beneficiary", self.patient.clone());
        coverage.set("relationship", self.concept_at(in1, 17, Some("0063")));
        let mut period = Element::new();
        for (name, field) in [("start", 12), ("end", 13)] {
            let timestamp = self.timestamp(&in1.first(field), 1);
            period.set(name, timestamp.map(|timestamp| timestamp.date().to_owned()));
        }
        coverage.set("period", period);
        let company = self.cx_key(&in1.first(3));
        // R4 requires a payor: without a company's id its name, and without that the plan's.
        let name = in1.text(4).or_else(|| in1.first(2).text(2)).or_else(|| in1.text(2));
        if name.is_none() && company.is_none() {
            return Err(Refused::MissingField(in1.place_of(3)));
        }
        let payor = self.organization_named(name.clone(), company.clone(), None)?;
        coverage.set("payor", payor.into_iter().collect::<Vec<_>>());
        let class = |code: &str, value: Option<String>, name: Option<String>| {
            let system = "http://terminology.hl7.org/CodeSystem/coverage-class";
            value.map(|value| {
                let kind = concept_of(system, code, None);
                Element::new().with("type", kind).with("value", value).with("name", name)
            })
        };
        coverage.push("class", class("group", in1.text(8), in1.text(9)).and_then(Element::build));
        coverage.push("class", class("plan", in1.text(2), in1.first(2).text(2)).and_then(Element::build));
        coverage.set("order", in1.text(22).and_then(|order| order.parse::<u16>().ok()).filter(|order| *order > 0));
        let company = company.map_or_else(|| name.unwrap_or_default(), |key| key.joined());
        let plan = in1.text(2).unwrap_or_default();
        let policy = in1.text(36).or_else(|| in1.text(49)).unwrap_or_default();
        let key = self.patient_record_key(&["coverage", &company, &plan, &policy]);
        self.add_once(coverage, key)?;
        Ok(())
    }
}
