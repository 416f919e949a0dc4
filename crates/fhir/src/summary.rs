//! The International Patient Summary of one patient, as a document Bundle (`Patient/[id]/$summary`; HL7
//! IPS 2.0.0): a Composition, the patient, who made it, what the sections list and what that refers to.
//! Resources go in byte for byte. It chooses by status, category and code and judges nothing else;
//! which resources the reader may see was decided before.
//!
//! Long histories are cut: each section says how many of the newest entries it takes of one code
//! ([`section::Section::newest_per_code`]), none has more than [`SECTION_ENTRIES_MAX`].

mod narrative;
mod section;

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::error::FhirError;
use crate::response::{Writer, instant};
use crate::{BundleKind, Reference, Resource, ResourceId, ResourceType, display, references};
use section::Section;

/// Most entries of one section.
pub const SECTION_ENTRIES_MAX: usize = 100;
/// Most resources of a summary that no section lists and that others refer to.
const SUPPORTING_MAX: usize = 2000;

/// What a summary is made from.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRequest<'a> {
    /// The patient.
    pub patient: &'a Resource,
    /// What the reader may see of the record, each resource in its newest version, with its id.
    pub record: &'a [&'a Resource],
    /// Who answers for the summary.
    pub author: SummaryAuthor<'a>,
    /// A fresh UUID that names this document and its Composition.
    pub uuid: &'a ResourceId,
    /// The server's base, under which `[base]/Patient/[id]` is the patient.
    pub base_url: &'a str,
    /// The time of the summary.
    pub now: OffsetDateTime,
}

/// The organization in whose name a summary is made.
#[derive(Clone, Copy, Debug)]
pub struct SummaryAuthor<'a> {
    /// Its logical id on this server. Where the record holds this Organization, that one is taken.
    pub id: &'a ResourceId,
    /// Its name.
    pub name: &'a str,
}

/// The summary as the bytes of a document Bundle. Resources of the record without an id are left out:
/// nothing could refer to them.
///
/// # Errors
/// [`FhirError::BadElement`] and [`FhirError::MissingElement`] where the patient is none or has no id.
pub fn summary(request: &SummaryRequest<'_>) -> Result<Vec<u8>, FhirError> {
    let patient = request.patient;
    if patient.resource_type() != ResourceType::PATIENT {
        return Err(FhirError::BadElement {
            expression: patient.resource_type().to_string(),
            reason: "a summary is made of a Patient",
        });
    }
    let Some(patient_id) = patient.id() else {
        return Err(FhirError::MissingElement { expression: "Patient.id".to_owned() });
    };
    let record = Record::new(request, patient_id);
    let mut chosen = record.choose()?;
    let listed: Vec<_> = Section::ALL
        .into_iter()
        .filter_map(|section| {
            let items = chosen.remove(&section).unwrap_or_default();
            (section.is_required() || !items.is_empty()).then_some((section, items))
        })
        .collect();
    let composition = composition(request, patient_id, &listed, &record);
    let places: Vec<_> = listed.iter().flat_map(|(_, items)| items.iter().map(|item| item.resource)).collect();
    let resources = record.with_supporting(patient, &places);

    let size: usize = resources.iter().map(|resource| resource.bytes().len() + 128).sum();
    let mut out = Writer::new(BundleKind::Document, size + 16 * 1024);
    let identifier = json!({"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", request.uuid)});
    out.raw(format!(",\"identifier\":{identifier},\"timestamp\":\"{}\"", instant(request.now)).as_bytes());
    out.raw(b",\"meta\":{\"profile\":[\"http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips\"]}");
    let mut entry = |resource_type: &str, id: &str, bytes: &[u8]| {
        out.entry();
        out.raw(b"{\"fullUrl\":");
        out.text(&format!("{}/{resource_type}/{id}", record.base));
        out.raw(b",\"resource\":");
        out.raw(bytes);
        out.raw(b"}");
    };
    entry("Composition", request.uuid.as_str(), composition.to_string().as_bytes());
    for resource in &resources {
        let id = resource.id().map(ResourceId::as_str).unwrap_or_default();
        entry(resource.resource_type().as_str(), id, resource.bytes());
    }
    if !record.holds_author(request.author.id) {
        let author =
            json!({"resourceType": "Organization", "id": request.author.id.as_str(), "name": request.author.name});
        entry("Organization", request.author.id.as_str(), author.to_string().as_bytes());
    }
    Ok(out.finish())
}

/// A resource that a section lists.
struct Item<'a> {
    resource: &'a Resource,
    json: Value,
}

impl Item<'_> {
    fn reference(&self) -> String {
        // Resources without an id are not in the record's index.
        let id = self.resource.id().map(ResourceId::as_str).unwrap_or_default();
        format!("{}/{id}", self.resource.resource_type())
    }
}

/// The record, to be found by type and id.
struct Record<'a> {
    base: &'a str,
    author: &'a ResourceId,
    by_name: HashMap<(ResourceType, &'a ResourceId), &'a Resource>,
    in_order: Vec<&'a Resource>,
}

impl<'a> Record<'a> {
    fn new(request: &SummaryRequest<'a>, patient: &'a ResourceId) -> Self {
        let mut by_name = HashMap::new();
        let mut in_order = Vec::new();
        for &resource in request.record {
            let Some(id) = resource.id() else { continue };
            let name = (resource.resource_type(), id);
            if name != (ResourceType::PATIENT, patient) && by_name.insert(name, resource).is_none() {
                in_order.push(resource);
            }
        }
        by_name.insert((ResourceType::PATIENT, patient), request.patient);
        Self { base: request.base_url.trim_end_matches('/'), author: request.author.id, by_name, in_order }
    }

    fn holds_author(&self, id: &ResourceId) -> bool {
        self.organization(id).is_some()
    }

    fn organization(&self, id: &ResourceId) -> Option<&'a Resource> {
        let organization: ResourceType = "Organization".parse().ok()?;
        self.by_name.get(&(organization, id)).copied()
    }

    /// What the sections list, newest first.
    fn choose(&self) -> Result<HashMap<Section, Vec<Item<'a>>>, FhirError> {
        let mut chosen: HashMap<Section, Vec<Item<'a>>> = HashMap::new();
        for &resource in &self.in_order {
            if !Section::takes(resource.resource_type()) {
                continue;
            }
            let json = resource.json()?;
            if let Some(section) = Section::of(resource.resource_type(), &json) {
                chosen.entry(section).or_default().push(Item { resource, json });
            }
        }
        for (section, items) in &mut chosen {
            // Dates are compared as text: offsets from UTC may misplace what lies within a day.
            items.sort_by(|a, b| {
                let date = |item: &Item<'_>| display::date(&item.json).map(str::to_owned);
                date(b).cmp(&date(a)).then_with(|| a.resource.id().cmp(&b.resource.id()))
            });
            let mut seen: HashMap<String, usize> = HashMap::new();
            items.retain(|item| {
                let Some(code) = section::code(&item.json) else { return true };
                let count = seen.entry(code).or_default();
                *count += 1;
                *count <= section.newest_per_code()
            });
            items.truncate(SECTION_ENTRIES_MAX);
        }
        Ok(chosen)
    }

    /// The resource that a reference names, if the record has it.
    fn find(&self, reference: &str) -> Option<&'a Resource> {
        let (resource_type, id) = match Reference::parse(reference) {
            Reference::Relative { resource_type, id } => (resource_type, id),
            Reference::Absolute { url, target: Some((resource_type, id)) }
                if url == format!("{}/{resource_type}/{id}", self.base) =>
            {
                (resource_type, id)
            }
            _ => return None,
        };
        self.by_name.get(&(resource_type, &id)).copied()
    }

    /// The patient, what the sections list, and whatever of the record those refer to, each once.
    fn with_supporting(&self, patient: &'a Resource, listed: &[&'a Resource]) -> Vec<&'a Resource> {
        let mut found = vec![patient];
        found.extend(listed);
        found.extend(self.organization(self.author));
        let mut seen: HashSet<_> = found.iter().map(|resource| (resource.resource_type(), resource.id())).collect();
        let most = found.len() + SUPPORTING_MAX;
        let mut at = 0;
        while let Some(resource) = found.get(at).copied() {
            for target in references(resource).filter_map(|reference| self.find(reference)) {
                if found.len() < most && seen.insert((target.resource_type(), target.id())) {
                    found.push(target);
                }
            }
            at += 1;
        }
        found
    }
}

fn composition(
    request: &SummaryRequest<'_>,
    patient: &ResourceId,
    listed: &[(Section, Vec<Item<'_>>)],
    record: &Record<'_>,
) -> Value {
    let author = json!({"reference": format!("Organization/{}", request.author.id), "display": request.author.name});
    let sections: Vec<_> = listed
        .iter()
        .map(|(section, items)| {
            let mut shape = json!({
                "title": section.title(),
                "code": {"coding": [{"system": section::LOINC, "code": section.code(), "display": section.display()}]},
                "text": {"status": "generated", "div": narrative::table(*section, items, record)},
            });
            let (member, value) = if items.is_empty() {
                // What is not recorded here may be recorded elsewhere: "unavailable", not "none known".
                let coding = json!({
                    "system": "http://terminology.hl7.org/CodeSystem/list-empty-reason",
                    "code": "unavailable",
                    "display": "Unavailable",
                });
                ("emptyReason", json!({"coding": [coding], "text": narrative::NOTHING}))
            } else {
                ("entry", items.iter().map(|item| json!({"reference": item.reference()})).collect())
            };
            if let Value::Object(members) = &mut shape {
                members.insert(member.to_owned(), value);
            }
            shape
        })
        .collect();
    json!({
        "resourceType": "Composition",
        "id": request.uuid.as_str(),
        "meta": {"profile": ["http://hl7.org/fhir/uv/ips/StructureDefinition/Composition-uv-ips"]},
        "status": "final",
        "type": {"coding": [{"system": section::LOINC, "code": "60591-5", "display": "Patient summary Document"}]},
        "subject": {"reference": format!("Patient/{patient}")},
        "date": instant(request.now),
        "author": [author],
        "title": "International Patient Summary",
        "custodian": author,
        "section": sections,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use time::macros::datetime;

    use super::*;
    use crate::parse_bundle;

    fn check(patient: &str, record: &[&str]) -> Result<Vec<Value>, FhirError> {
        let read = |body: &str| Resource::parse(format!("{{\"resourceType\":{body}}}")).unwrap();
        let patient = read(patient);
        let record: Vec<_> = record.iter().map(|body| read(body)).collect();
        let bytes = summary(&SummaryRequest {
            patient: &patient,
            record: &record.iter().collect::<Vec<_>>(),
            author: SummaryAuthor { id: &"h".parse().unwrap(), name: "H" },
            uuid: &"0a2f5c0e-7f2b-4a55-9a0f-0d4a86a3f0c1".parse().unwrap(),
            base_url: "https://h.example/fhir/",
            now: datetime!(2026-05-04 03:02:01 UTC),
        })?;
        let bundle = parse_bundle(bytes).unwrap();
        Ok(bundle.resources().map(|(_, resource)| resource.json().unwrap()).collect())
    }

    const PATIENT: &str = r#""Patient","id":"p""#;

    /// Entries of a section.
    fn entries(found: &[Value], code: &str) -> Vec<String> {
        let sections = found[0]["section"].as_array().unwrap();
        let section = sections.iter().find(|section| section["code"]["coding"][0]["code"] == code);
        let entries = section.and_then(|section| section["entry"].as_array()).cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["reference"].as_str().unwrap().to_owned()).collect()
    }

    fn names(found: &[Value]) -> Vec<String> {
        found
            .iter()
            .skip(1)
            .map(|json| format!("{}/{}", json["resourceType"].as_str().unwrap(), json["id"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn an_empty_record() {
        let found = check(PATIENT, &[]).unwrap();
        assert_eq!(names(&found), ["Patient/p", "Organization/h"]);
        let composition = &found[0];
        assert_eq!(composition["status"], "final");
        assert_eq!(composition["type"]["coding"][0]["code"], "60591-5");
        assert_eq!(composition["subject"]["reference"], "Patient/p");
        assert_eq!(composition["author"][0]["reference"], "Organization/h");
        assert_eq!(composition["date"], "2026-05-04T03:02:01.000Z");
        let sections = composition["section"].as_array().unwrap();
        assert_eq!(sections.len(), 3);
        for section in sections {
            assert_eq!(section["emptyReason"]["coding"][0]["code"], "unavailable");
            assert!(section["text"]["div"].as_str().unwrap().contains(narrative::NOTHING));
        }
    }

    #[test]
    fn what_is_referred_to_comes_along_once() {
        let found = check(
            PATIENT,
            &[
                r#""MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/p"},"requester":{"reference":"Practitioner/d"},"medicationReference":{"reference":"https://h.example/fhir/Medication/x"}"#,
                r#""Practitioner","id":"d","extension":[{"url":"u","valueReference":{"reference":"Organization/o/_history/3"}}]"#,
                r#""Medication","id":"x","code":{"text":"Aspirin"},"manufacturer":{"reference":"Organization/o"}"#,
                r#""Organization","id":"o","partOf":{"reference":"Organization/h"}"#,
                r#""Organization","id":"h","name":"Our own""#,
                r#""Organization","id":"unused""#,
                r#""Patient","id":"p""#,
                r#""Condition","subject":{"reference":"Patient/p"}"#,
                r#""Condition","id":"c","asserter":{"reference":"https://elsewhere.example/fhir/Practitioner/d2"},"recorder":{"reference":"Practitioner/gone"}"#,
                r#""Practitioner","id":"d2""#,
            ],
        )
        .unwrap();
        assert_eq!(
            names(&found),
            [
                "Patient/p",
                "Condition/c",
                "MedicationRequest/m",
                "Organization/h",
                "Practitioner/d",
                "Medication/x",
                "Organization/o"
            ]
        );
        assert_eq!(entries(&found, "10160-0"), ["MedicationRequest/m"]);
        let text = found[0]["section"][2]["text"]["div"].to_string();
        assert!(text.contains("<td>Aspirin</td>"), "{text}");
    }

    #[test]
    fn long_histories_are_cut_to_the_newest() {
        let weights: Vec<_> = (10..20)
            .map(|day| format!(r#""Observation","id":"w{day}","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"29463-7"}}]}},"effectiveDateTime":"2020-01-{day}""#))
            .collect();
        let labs: Vec<_> = (0..SECTION_ENTRIES_MAX + 7)
            .map(|at| format!(r#""Observation","id":"l{at}","status":"final","code":{{"text":"lab {at}"}}"#))
            .collect();
        let record: Vec<_> = weights.iter().chain(&labs).map(String::as_str).collect();
        let found = check(PATIENT, &record).unwrap();
        assert_eq!(entries(&found, "8716-3"), ["Observation/w19", "Observation/w18", "Observation/w17"]);
        assert_eq!(entries(&found, "30954-2").len(), SECTION_ENTRIES_MAX);
        assert_eq!(found.len(), 3 + 3 + SECTION_ENTRIES_MAX);
    }

    #[test]
    fn narratives_are_escaped() {
        let found = check(
            PATIENT,
            &[
                r#""AllergyIntolerance","id":"a","code":{"text":"<script>&\"'\u0001\uffff"},"reaction":[{"manifestation":[{"text":"</td><b>"}]}],"criticality":"high""#,
                &format!(r#""Condition","id":"c","code":{{"text":"{}"}}"#, "é".repeat(1000)),
            ],
        )
        .unwrap();
        let text = found[0]["section"][1]["text"]["div"].as_str().unwrap();
        assert!(
            text.contains("<td>&lt;script&gt;&amp;&quot;&apos;</td><td>&lt;/td&gt;&lt;b&gt;; criticality high</td>"),
            "{text}"
        );
        let text = found[0]["section"][0]["text"]["div"].as_str().unwrap();
        assert!(text.contains("é…</td>") && text.chars().count() < 800, "{text}");
    }

    #[test]
    fn a_summary_is_made_of_a_patient() {
        assert_eq!(check(r#""Group","id":"g""#, &[]).unwrap_err().code(), "bad-element");
        assert_eq!(check(r#""Patient""#, &[]).unwrap_err().code(), "missing-element");
    }
}
