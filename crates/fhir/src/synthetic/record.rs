//! One invented patient's record, written visit by visit until it has the size asked for.

use serde_json::{Number, Value, json};
use time::{Date, Duration, OffsetDateTime, macros::date};

use super::chance::Chance;
use super::vocabulary::{
    ALLERGIES, ATC, CVX, Code, DIASTOLIC, FAMILIES, HOSPITALS, LOINC, MEN, Measure, PANELS, PROBLEMS, PROCEDURES,
    Problem, SENSITIVE, SNOMED, SYSTOLIC, TOWNS, UCUM, VACCINES, VISITS, VITALS, WOMEN,
};
use super::{IDENTIFIER_SYSTEM, record_number};
use crate::label::{CONFIDENTIALITY_SYSTEM, SENSITIVITY_SYSTEM};
use crate::response::instant;

/// Records end here, so that they do not depend on a clock.
const TODAY: Date = date!(2026 - 01 - 01);
/// Resources that a visit makes on average; fixes how visits spread over the years.
const RESOURCES_PER_VISIT: usize = 9;

/// A resource and where it goes.
pub(super) struct Made {
    pub(super) name: &'static str,
    pub(super) id: String,
    pub(super) body: Value,
}

/// A record in the making.
pub(super) struct Record {
    chance: Chance,
    number: String,
    patient: String,
    practitioner: String,
    organization: String,
    /// How the patient is called in narratives.
    called: String,
    sensitive: &'static Problem,
    made: Vec<Made>,
}

/// The visit that resources belong to.
struct Visit {
    encounter: String,
    at: OffsetDateTime,
}

impl Record {
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut chance = Chance::new(seed, index);
        let patient = chance.uuid();
        let turn = usize::try_from(index % 3).unwrap_or_default();
        let [first, second, third] = &SENSITIVE;
        let sensitive = match turn {
            0 => first,
            1 => second,
            _ => third,
        };
        Self {
            patient,
            practitioner: chance.uuid(),
            organization: chance.uuid(),
            chance,
            number: record_number(seed, index),
            called: String::new(),
            sensitive,
            made: Vec::new(),
        }
    }

    /// Makes exactly `resources` resources.
    pub(super) fn make(mut self, resources: usize) -> Vec<Made> {
        let birth = TODAY - Duration::days(self.chance.between(19 * 365, 92 * 365));
        self.patient(birth, resources);
        if resources >= 2 {
            self.organization();
        }
        if resources >= 3 {
            self.practitioner();
        }
        for allergy in ALLERGIES.iter().take(usize::try_from(self.chance.between(0, 2)).unwrap_or_default()) {
            self.allergy(allergy, birth);
        }
        let visits = resources / RESOURCES_PER_VISIT + 1;
        let years = self.chance.between(6, 16).min((TODAY - birth).whole_days() / 365);
        let step = Duration::days(years * 365) / i32::try_from(visits).unwrap_or(i32::MAX);
        let mut at = (TODAY - Duration::days(years * 365)).midnight().assume_utc() + Duration::hours(8);
        for visit in 0.. {
            if self.made.len() >= resources {
                break;
            }
            self.visit(visit, at);
            // The last visits of a long record may run past today; they stay on the last day.
            let latest = TODAY.midnight().assume_utc() - Duration::hours(4);
            at = (at + step + Duration::minutes(self.chance.between(0, 90))).min(latest);
        }
        self.made.truncate(resources);
        self.made
    }

    fn visit(&mut self, number: usize, at: OffsetDateTime) {
        let visit = Visit { encounter: self.chance.uuid(), at };
        self.encounter(&visit);
        self.blood_pressure(&visit);
        for vital in &VITALS {
            if self.chance.one_in(2) {
                self.observation(&visit, vital, "vital-signs", None);
            }
        }
        // The sensitive history opens at the second visit and comes up now and then.
        if number == 1 || (number > 1 && self.chance.one_in(12)) {
            let sensitive = self.sensitive;
            self.problem(&visit, sensitive);
        }
        if number.is_multiple_of(4) {
            let problem = self.chance.pick(&PROBLEMS);
            self.problem(&visit, problem);
        }
        if self.chance.one_in(3) {
            self.panel(&visit);
        }
        if self.chance.one_in(4) {
            self.procedure(&visit);
        }
        if self.chance.one_in(4) {
            self.immunization(&visit);
        }
    }

    fn add(&mut self, name: &'static str, id: String, body: Value) {
        self.made.push(Made { name, id, body });
    }

    /// `resourceType`, `id`, `meta` and the narrative; the rest of the elements follow.
    fn resource(&mut self, name: &'static str, id: String, sensitivity: Option<&str>, told: &str, rest: Value) {
        let told = told.replace('&', "&amp;").replace('<', "&lt;");
        let mut body = json!({ "resourceType": name, "id": id });
        if let Some(code) = sensitivity {
            set(
                &mut body,
                "meta",
                json!({ "security": [
                    { "system": CONFIDENTIALITY_SYSTEM, "code": "R", "display": "restricted" },
                    { "system": SENSITIVITY_SYSTEM, "code": code },
                ]}),
            );
        }
        set(
            &mut body,
            "text",
            json!({
                "status": "generated",
                "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>{told}</p></div>"),
            }),
        );
        if let (Value::Object(into), Value::Object(from)) = (&mut body, rest) {
            into.extend(from);
        }
        self.add(name, id, body);
    }

    fn subject(&self) -> Value {
        json!({ "reference": urn(&self.patient), "display": self.called })
    }

    fn patient(&mut self, birth: Date, resources: usize) {
        let female = self.chance.one_in(2);
        let given = *self.chance.pick(if female { &WOMEN } else { &MEN });
        let family = *self.chance.pick(&FAMILIES);
        let (town, postal_code, street) = *self.chance.pick(&TOWNS);
        let house = self.chance.between(1, 180);
        self.called = format!("{given} {family}");
        let phone = format!("+99 {} {}", self.chance.between(20, 79), self.chance.between(1_000_000, 9_999_999));
        let mut body = json!({
            "identifier": [{
                "use": "usual",
                "type": { "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                    "code": "MR",
                    "display": "Medical record number",
                }]},
                "system": IDENTIFIER_SYSTEM,
                "value": self.number,
            }],
            "active": true,
            "name": [{ "use": "official", "family": family, "given": [given] }],
            "telecom": [{ "system": "phone", "value": phone, "use": "home" }],
            "gender": if female { "female" } else { "male" },
            "birthDate": birth.to_string(),
            "address": [{
                "use": "home",
                "line": [format!("{street} {house}")],
                "city": town,
                "postalCode": postal_code,
            }],
        });
        if resources >= 3 {
            set(&mut body, "generalPractitioner", json!([{ "reference": urn(&self.practitioner) }]));
        }
        if resources >= 2 {
            set(&mut body, "managingOrganization", json!({ "reference": urn(&self.organization) }));
        }
        let told = format!("{given} {family}, born {birth}, of {town}");
        self.resource("Patient", self.patient.clone(), None, &told, body);
    }

    fn organization(&mut self) {
        let name = *self.chance.pick(&HOSPITALS);
        let body = json!({ "active": true, "name": name });
        self.resource("Organization", self.organization.clone(), None, name, body);
    }

    fn practitioner(&mut self) {
        let given = *self.chance.pick(&WOMEN);
        let family = *self.chance.pick(&FAMILIES);
        let body = json!({
            "active": true,
            "name": [{ "family": family, "given": [given], "prefix": ["Dr."] }],
        });
        self.resource("Practitioner", self.practitioner.clone(), None, &format!("Dr. {given} {family}"), body);
    }

    fn allergy(&mut self, code: &Code, birth: Date) {
        let id = self.chance.uuid();
        let onset = birth + Duration::days(self.chance.between(700, 6000));
        let body = json!({
            "clinicalStatus": status("allergyintolerance-clinical", "active"),
            "verificationStatus": status("allergyintolerance-verification", "confirmed"),
            "type": "allergy",
            "criticality": *self.chance.pick(&["low", "high"]),
            "code": concept(SNOMED, code),
            "patient": self.subject(),
            "recordedDate": onset.to_string(),
        });
        self.resource("AllergyIntolerance", id, None, code.1, body);
    }

    fn encounter(&mut self, visit: &Visit) {
        let code = self.chance.pick(&VISITS);
        let end = visit.at + Duration::minutes(self.chance.between(15, 120));
        let body = json!({
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
                "display": "ambulatory",
            },
            "type": [concept(SNOMED, code)],
            "subject": self.subject(),
            "participant": [{ "individual": { "reference": urn(&self.practitioner) } }],
            "period": { "start": instant(visit.at), "end": instant(end) },
            "serviceProvider": { "reference": urn(&self.organization) },
        });
        let told = format!("{} on {}", code.1, visit.at.date());
        self.resource("Encounter", visit.encounter.clone(), None, &told, body);
    }

    fn blood_pressure(&mut self, visit: &Visit) {
        let id = self.chance.uuid();
        let components: Vec<Value> = [&SYSTOLIC, &DIASTOLIC]
            .into_iter()
            .map(|part| {
                let value = self.chance.between(part.low, part.high);
                json!({ "code": concept(LOINC, &part.code), "valueQuantity": quantity(part, value) })
            })
            .collect();
        let mut body =
            self.observed(visit, "vital-signs", &Code("85354-9", "Blood pressure panel with all children optional"));
        set(&mut body, "component", Value::Array(components));
        let told = format!("Blood pressure of {} on {}", self.called, visit.at.date());
        self.resource("Observation", id, None, &told, body);
    }

    /// One measurement; its id.
    fn observation(&mut self, visit: &Visit, of: &Measure, category: &str, sensitivity: Option<&str>) -> String {
        let id = self.chance.uuid();
        let value = self.chance.between(of.low, of.high);
        let mut body = self.observed(visit, category, &of.code);
        set(&mut body, "valueQuantity", quantity(of, value));
        let told = format!("{}: {} {}", of.code.1, decimal(value, of.digits), of.unit);
        self.resource("Observation", id.clone(), sensitivity, &told, body);
        id
    }

    fn observed(&self, visit: &Visit, category: &str, code: &Code) -> Value {
        json!({
            "status": "final",
            "category": [status("observation-category", category)],
            "code": concept(LOINC, code),
            "subject": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "effectiveDateTime": instant(visit.at),
            "performer": [{ "reference": urn(&self.practitioner) }],
        })
    }

    fn problem(&mut self, visit: &Visit, problem: &Problem) {
        let (condition, request) = (self.chance.uuid(), self.chance.uuid());
        let clinical = *self.chance.pick(&["active", "active", "resolved"]);
        let body = json!({
            "clinicalStatus": status("condition-clinical", clinical),
            "verificationStatus": status("condition-ver-status", "confirmed"),
            "category": [status("condition-category", "encounter-diagnosis")],
            "code": concept(SNOMED, &problem.code),
            "subject": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "onsetDateTime": visit.at.date().to_string(),
            "recordedDate": instant(visit.at),
        });
        self.resource("Condition", condition.clone(), problem.sensitivity, problem.code.1, body);
        let body = json!({
            "status": *self.chance.pick(&["active", "completed"]),
            "intent": "order",
            "medicationCodeableConcept": concept(ATC, &problem.drug),
            "subject": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "authoredOn": instant(visit.at),
            "requester": { "reference": urn(&self.practitioner) },
            "reasonReference": [{ "reference": urn(&condition) }],
            "dosageInstruction": [{ "sequence": 1, "text": problem.dose }],
        });
        let told = format!("{}, {}, for {}", problem.drug.1, problem.dose, problem.code.1);
        self.resource("MedicationRequest", request, problem.sensitivity, &told, body);
        if problem.sensitivity == Some("HIV") {
            let load = Measure {
                code: Code(
                    "20447-9",
                    "HIV 1 RNA [#/volume] (viral load) in Serum or Plasma by NAA with probe detection",
                ),
                unit: "{copies}/mL",
                low: 20,
                high: 900,
                digits: 0,
            };
            self.observation(visit, &load, "laboratory", problem.sensitivity);
        }
    }

    fn panel(&mut self, visit: &Visit) {
        let panel = self.chance.pick(&PANELS);
        let id = self.chance.uuid();
        let results: Vec<Value> = panel
            .parts
            .iter()
            .map(|part| {
                let observation = self.observation(visit, part, "laboratory", None);
                json!({ "reference": urn(&observation), "display": part.code.1 })
            })
            .collect();
        let body = json!({
            "status": "final",
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v2-0074",
                "code": "LAB",
                "display": "Laboratory",
            }]}],
            "code": concept(LOINC, &panel.code),
            "subject": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "effectiveDateTime": instant(visit.at),
            "issued": instant(visit.at + Duration::hours(3)),
            "performer": [{ "reference": urn(&self.organization) }],
            "result": results,
        });
        self.resource("DiagnosticReport", id, None, panel.code.1, body);
    }

    fn procedure(&mut self, visit: &Visit) {
        let code = self.chance.pick(&PROCEDURES);
        let id = self.chance.uuid();
        let end = visit.at + Duration::minutes(self.chance.between(10, 60));
        let body = json!({
            "status": "completed",
            "code": concept(SNOMED, code),
            "subject": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "performedPeriod": { "start": instant(visit.at), "end": instant(end) },
            "performer": [{ "actor": { "reference": urn(&self.practitioner) } }],
        });
        self.resource("Procedure", id, None, code.1, body);
    }

    fn immunization(&mut self, visit: &Visit) {
        let code = self.chance.pick(&VACCINES);
        let id = self.chance.uuid();
        let body = json!({
            "status": "completed",
            "vaccineCode": concept(CVX, code),
            "patient": self.subject(),
            "encounter": { "reference": urn(&visit.encounter) },
            "occurrenceDateTime": instant(visit.at),
            "primarySource": true,
            "lotNumber": format!("L{:06}", self.chance.between(0, 999_999)),
            "doseQuantity": { "value": decimal(50, 2), "unit": "mL", "system": UCUM, "code": "mL" },
        });
        self.resource("Immunization", id, None, code.1, body);
    }
}

/// Sets an element of an object.
fn set(body: &mut Value, name: &str, value: Value) {
    if let Value::Object(elements) = body {
        elements.insert(name.to_owned(), value);
    }
}

fn urn(id: &str) -> String {
    format!("urn:uuid:{id}")
}

fn concept(system: &str, Code(code, display): &Code) -> Value {
    json!({ "coding": [{ "system": system, "code": code, "display": display }], "text": display })
}

/// A code of one of HL7's own small code systems.
fn status(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code }] })
}

fn quantity(of: &Measure, value: i64) -> Value {
    json!({ "value": decimal(value, of.digits), "unit": of.unit, "system": UCUM, "code": of.unit })
}

/// `value` with its last `digits` digits behind the point, zeros kept: 110 and 2 give 1.10.
fn decimal(value: i64, digits: u32) -> Number {
    let scale = 10_i64.pow(digits);
    let text = if digits == 0 {
        value.to_string()
    } else {
        format!("{}.{:0width$}", value / scale, value % scale, width = usize::try_from(digits).unwrap_or_default())
    };
    // With `arbitrary_precision` a number is the text it was read from.
    text.parse().unwrap_or_else(|_| Number::from(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn decimals() {
        for (value, digits, expected) in [(110, 2, "1.10"), (5, 2, "0.05"), (98, 0, "98"), (370, 1, "37.0")] {
            assert_eq!(decimal(value, digits).to_string(), expected);
        }
    }
}
