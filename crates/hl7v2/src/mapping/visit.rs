//! PV1 and PV2: the visit as Encounter (v2-to-FHIR segment maps PV1[Encounter], PV2[Encounter]).

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::{coding, concept_of, identifier};
use super::element::Element;
use super::transaction::Key;
use super::{Family, Visit, tables};
use crate::message::Segment;
use crate::refused::Refused;

/// Fields with people, and what they do in the visit (v3-ParticipationType).
const PARTICIPANTS: [(usize, &str, &str); 4] =
    [(7, "ATND", "attender"), (8, "REF", "referrer"), (9, "CON", "consultant"), (17, "ADM", "admitter")];

impl Context<'_> {
    /// Maps the visit, if it can be told from others: by its number, or else by the time it began. What
    /// follows belongs to it, or to no visit.
    pub(super) fn map_visit(&mut self, pv1: Option<&Segment<'_>>, pv2: Option<&Segment<'_>>) -> Result<(), Refused> {
        self.encounter = None;
        self.visit_key.clear();
        let Some(pv1) = pv1 else { return Ok(()) };
        let begun = self.date_time(pv1, 44);
        let ended = self.date_time(pv1, 45);
        let number = [19, 50].into_iter().find_map(|field| self.cx_key(&pv1.first(field)));
        let class = pv1.text(2).map(|class| class.to_uppercase());
        let key = match (number.clone(), &begun) {
            (Some(key), _) => key,
            (None, Some(begun)) => self.patient_record_key(&["visit", begun]),
            (None, None) => return Ok(()),
        };
        let status = self.visit_status(class.as_deref(), ended.is_some());
        let mut visit = Element::resource("Encounter");
        if let Some(number) = &number {
            visit.push("identifier", identifier(number, Some("VN".to_owned())));
        }
        visit.set("status", status);
        visit.set("class", class_of(class.as_deref()));
        visit.push("type", self.concept_at(pv1, 4, Some("0007")));
        visit.set("serviceType", self.concept_at(pv1, 10, Some("0069")));
        visit.set("subject", self.patient.clone());
        for (field, code, display) in PARTICIPANTS {
            let system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
            for person in self.practitioners(pv1, field)? {
                let role = concept_of(system, code, Some(display));
                visit.push("participant", json!({"type": [role], "individual": person}));
            }
        }
        visit.set("period", Element::new().with("start", begun).with("end", ended));
        if let Some(pv2) = pv2 {
            visit.push("reasonCode", self.concept_at(pv2, 3, None));
        }
        visit.set("hospitalization", self.hospitalization(pv1));
        if let Some(location) = self.location(&pv1.first(3))? {
            let place = Element::new().with("location", location).with("status", location_status(status));
            visit.push("location", place);
        }
        let existing = self.existing(Family::Registration);
        self.visit_key = key.joined();
        self.encounter = Some(self.add_once_as(visit, key, existing)?);
        Ok(())
    }

    fn visit_status(&self, class: Option<&str>, ended: bool) -> &'static str {
        match self.visit {
            Visit::Cancelled => "cancelled",
            Visit::Ended => "finished",
            Visit::Planned => "planned",
            Visit::Open | Visit::Unsaid if ended => "finished",
            Visit::Open if class == Some("P") => "planned",
            Visit::Open => "in-progress",
            Visit::Unsaid => "unknown",
        }
    }

    fn hospitalization(&self, pv1: &Segment<'_>) -> Element {
        let mut stay = Element::new();
        if let Some(Key { system, value }) = self.cx_key(&pv1.first(5)) {
            stay.set("preAdmissionIdentifier", json!({"system": system, "value": value}));
        }
        stay.set("admitSource", self.concept_at(pv1, 14, Some("0023")));
        stay.set("reAdmission", self.concept_at(pv1, 13, Some("0092")));
        // PV1-37 is a DLD: its first component is a code or the name of a place.
        let destination = pv1.text(37).map(|name| json!({"display": name}));
        stay.set("destination", destination);
        stay.set("dischargeDisposition", self.concept_at(pv1, 36, Some("0112")));
        stay
    }
}

/// Table 0004 as Encounter.class, which R4 requires.
fn class_of(class: Option<&str>) -> Value {
    let Some(class) = class else {
        return coding("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK", None);
    };
    match tables::PATIENT_CLASS.iter().find(|(code, _)| *code == class) {
        Some((_, (code, display))) => {
            coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", code, Some((*display).to_owned()))
        }
        None => coding(&tables::v2("0004"), class, None),
    }
}

fn location_status(status: &str) -> Option<&'static str> {
    match status {
        "in-progress" => Some("active"),
        "finished" => Some("completed"),
        "planned" => Some("planned"),
        _ => None,
    }
}
