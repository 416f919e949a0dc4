//! The Patient compartment: which elements of which types put a resource into a patient's record.
//!
//! The first table is the R4 definition (`CompartmentDefinition/patient`, 4.0.1) with its search
//! parameters written out as element paths. `Patient.link` is left out: linked Patients have records
//! of their own. The second table holds elements that name the person concerned and that R4 forgot:
//! without them a Task or a Device of one patient would count as nobody's.

use crate::identifier::Identifier;
use crate::{Reference, Resource, ResourceType};

/// Type and elements, by the R4 definition; sorted by type.
static DEFINED: &[(&str, &[&str])] = &[
    ("Account", &["subject"]),
    ("AdverseEvent", &["subject"]),
    ("AllergyIntolerance", &["patient", "recorder", "asserter"]),
    ("Appointment", &["participant.actor"]),
    ("AppointmentResponse", &["actor"]),
    ("AuditEvent", &["agent.who", "entity.what"]),
    ("Basic", &["subject", "author"]),
    ("BodyStructure", &["patient"]),
    ("CarePlan", &["subject", "activity.detail.performer"]),
    ("CareTeam", &["subject", "participant.member"]),
    ("ChargeItem", &["subject"]),
    ("Claim", &["patient", "payee.party"]),
    ("ClaimResponse", &["patient"]),
    ("ClinicalImpression", &["subject"]),
    ("Communication", &["subject", "sender", "recipient"]),
    ("CommunicationRequest", &["subject", "sender", "recipient", "requester"]),
    ("Composition", &["subject", "author", "attester.party"]),
    ("Condition", &["subject", "asserter"]),
    ("Consent", &["patient"]),
    ("Coverage", &["policyHolder", "subscriber", "beneficiary", "payor"]),
    ("CoverageEligibilityRequest", &["patient"]),
    ("CoverageEligibilityResponse", &["patient"]),
    ("DetectedIssue", &["patient"]),
    ("DeviceRequest", &["subject", "performer"]),
    ("DeviceUseStatement", &["subject"]),
    ("DiagnosticReport", &["subject"]),
    ("DocumentManifest", &["subject", "author", "recipient"]),
    ("DocumentReference", &["subject", "author"]),
    ("Encounter", &["subject"]),
    ("EnrollmentRequest", &["candidate"]),
    ("EpisodeOfCare", &["patient"]),
    ("ExplanationOfBenefit", &["patient", "payee.party"]),
    ("FamilyMemberHistory", &["patient"]),
    ("Flag", &["subject"]),
    ("Goal", &["subject"]),
    ("Group", &["member.entity"]),
    ("ImagingStudy", &["subject"]),
    ("Immunization", &["patient"]),
    ("ImmunizationEvaluation", &["patient"]),
    ("ImmunizationRecommendation", &["patient"]),
    ("Invoice", &["subject", "recipient"]),
    ("List", &["subject", "source"]),
    ("MeasureReport", &["subject"]),
    ("Media", &["subject"]),
    ("MedicationAdministration", &["subject", "performer.actor"]),
    ("MedicationDispense", &["subject", "receiver"]),
    ("MedicationRequest", &["subject"]),
    ("MedicationStatement", &["subject"]),
    ("MolecularSequence", &["patient"]),
    ("NutritionOrder", &["patient"]),
    ("Observation", &["subject", "performer"]),
    ("Person", &["link.target"]),
    ("Procedure", &["subject", "performer.actor"]),
    ("Provenance", &["target"]),
    ("QuestionnaireResponse", &["subject", "author"]),
    ("RelatedPerson", &["patient"]),
    ("RequestGroup", &["subject", "action.participant"]),
    ("ResearchSubject", &["individual"]),
    ("RiskAssessment", &["subject"]),
    ("Schedule", &["actor"]),
    ("ServiceRequest", &["subject", "performer"]),
    ("Specimen", &["subject"]),
    ("SupplyDelivery", &["patient"]),
    ("SupplyRequest", &["deliverTo"]),
    ("VisionPrescription", &["patient"]),
];

/// Type and elements that R4's definition lacks; sorted by type.
static ADDED: &[(&str, &[&str])] = &[
    ("BiologicallyDerivedProduct", &["collection.source"]),
    ("Contract", &["subject"]),
    ("Device", &["patient"]),
    ("GuidanceResponse", &["subject"]),
    ("Task", &["for"]),
];

/// A reference that puts a resource into a patient's compartment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientReference {
    /// The element that holds it, without the type: `subject`, `participant.actor`.
    pub element: &'static str,
    /// Whom it names.
    pub target: PatientTarget,
}

/// How a patient is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientTarget {
    /// By a reference. It is to a Patient, or it is a URN or URL that does not say its type and
    /// may turn out to be to something else.
    Reference(Reference),
    /// By identifier alone (`Reference.identifier`), in an element that names the person concerned.
    Identifier(Identifier),
}

/// The elements of a type that put its resources into a patient's compartment.
pub fn patient_elements(resource_type: ResourceType) -> impl Iterator<Item = &'static str> {
    [DEFINED, ADDED]
        .into_iter()
        .filter_map(move |table| {
            let at = table.binary_search_by_key(&resource_type.as_str(), |(name, _)| name).ok()?;
            table.get(at).map(|(_, elements)| elements.iter().copied())
        })
        .flatten()
}

/// The references by which a resource is in patients' compartments, in the order of the document.
/// A Patient is in its own record and has none.
pub fn patient_references(resource: &Resource) -> Vec<PatientReference> {
    if resource.resource_type() == ResourceType::PATIENT {
        return Vec::new();
    }
    let known = |holder: &str| patient_elements(resource.resource_type()).find(|element| *element == holder);
    let by_reference = resource.links().iter().filter_map(|link| {
        let element = known(&link.element)?;
        let reference = Reference::parse(&link.reference);
        let may_be_patient = match &reference {
            Reference::Contained(_) | Reference::Unknown(_) => false,
            other => other.target_type().is_none_or(|named| named == ResourceType::PATIENT),
        };
        may_be_patient.then_some(PatientReference { element, target: PatientTarget::Reference(reference) })
    });
    let by_identifier = resource.logical_links().iter().filter_map(|(holder, identifier)| {
        // A literal reference beside the identifier wins (R4 references, "logical references").
        if resource.links().iter().any(|link| link.element == *holder) {
            return None;
        }
        // Elements such as `performer` may hold the identifier of somebody else.
        let element =
            known(holder).filter(|element| matches!(*element, "subject" | "patient" | "beneficiary" | "for"))?;
        Some(PatientReference { element, target: PatientTarget::Identifier(identifier.clone()) })
    });
    by_reference.chain(by_identifier).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn tables_are_sorted_and_name_known_types() {
        for table in [DEFINED, ADDED] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            for (name, elements) in table {
                assert!(name.parse::<ResourceType>().is_ok(), "{name}");
                assert!(!elements.is_empty(), "{name}");
            }
        }
        // The definition lists 66 types with parameters; Patient is the one left out.
        assert_eq!(DEFINED.len(), 65);
    }

    #[test]
    fn elements_of_the_compartment() {
        for (body, expected) in [
            (r#""resourceType":"Observation","subject":{"reference":"Patient/a"}"#, "subject Patient/a"),
            (
                r#""resourceType":"Observation","subject":{"reference":"Group/g"},"performer":[{"reference":"Practitioner/d"},{"reference":"Patient/m"}]"#,
                "performer Patient/m",
            ),
            (
                r#""resourceType":"Appointment","participant":[{"actor":{"reference":"Location/l"}},{"actor":{"reference":"urn:uuid:7"}}]"#,
                "participant.actor urn:uuid:7",
            ),
            (
                r#""resourceType":"AllergyIntolerance","patient":{"reference":"https://h.example/Patient/a/_history/2"},"asserter":{"reference":"Patient?identifier=1"}"#,
                "patient https://h.example/Patient/a, asserter Patient?identifier=1",
            ),
            (r#""resourceType":"Device","patient":{"reference":"Patient/a"}"#, "patient Patient/a"),
            (r#""resourceType":"Task","for":{"reference":"Patient/a"}"#, "for Patient/a"),
            (r##""resourceType":"Condition","subject":{"reference":"#p"}"##, ""),
            (r#""resourceType":"Condition","evidence":[{"detail":[{"reference":"Patient/a"}]}]"#, ""),
            (r#""resourceType":"Organization","contact":[{"subject":{"reference":"Patient/a"}}]"#, ""),
            (r#""resourceType":"Patient","link":[{"other":{"reference":"Patient/b"}}]"#, ""),
            (
                r#""resourceType":"Observation","contained":[{"resourceType":"Observation","subject":{"reference":"Patient/b"}}]"#,
                "",
            ),
            (
                r#""resourceType":"Observation","subject":{"identifier":{"system":"s","value":"1"}},"performer":[{"identifier":{"value":"2"}}]"#,
                "subject s|1",
            ),
            (
                r#""resourceType":"Observation","subject":{"reference":"Patient/a","identifier":{"system":"s","value":"1"}}"#,
                "subject Patient/a",
            ),
        ] {
            let resource = Resource::parse(format!("{{{body}}}").into_bytes()).unwrap();
            let found: Vec<_> = patient_references(&resource)
                .into_iter()
                .map(|found| match found.target {
                    PatientTarget::Reference(reference) => format!("{} {reference}", found.element),
                    PatientTarget::Identifier(identifier) => {
                        format!("{} {identifier}", found.element)
                    }
                })
                .collect();
            assert_eq!(found.join(", "), expected, "{body}");
        }
    }
}
