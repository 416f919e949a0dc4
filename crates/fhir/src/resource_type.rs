//! The resource types of FHIR R4 (4.0.1). A type that is not in the table is refused at the door, so
//! a `ResourceType` can stand in a path or a search without further checks.

use std::fmt;
use std::str::FromStr;

/// The concrete resource types of R4, sorted. The value set `resource-types` counts 148: these and the
/// two abstract ones, `Resource` and `DomainResource`, of which no instance exists.
static NAMES: &[&str] = &[
    "Account",
    "ActivityDefinition",
    "AdverseEvent",
    "AllergyIntolerance",
    "Appointment",
    "AppointmentResponse",
    "AuditEvent",
    "Basic",
    "Binary",
    "BiologicallyDerivedProduct",
    "BodyStructure",
    "Bundle",
    "CapabilityStatement",
    "CarePlan",
    "CareTeam",
    "CatalogEntry",
    "ChargeItem",
    "ChargeItemDefinition",
    "Claim",
    "ClaimResponse",
    "ClinicalImpression",
    "CodeSystem",
    "Communication",
    "CommunicationRequest",
    "CompartmentDefinition",
    "Composition",
    "ConceptMap",
    "Condition",
    "Consent",
    "Contract",
    "Coverage",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "DetectedIssue",
    "Device",
    "DeviceDefinition",
    "DeviceMetric",
    "DeviceRequest",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "EffectEvidenceSynthesis",
    "Encounter",
    "Endpoint",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "EpisodeOfCare",
    "EventDefinition",
    "Evidence",
    "EvidenceVariable",
    "ExampleScenario",
    "ExplanationOfBenefit",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "GraphDefinition",
    "Group",
    "GuidanceResponse",
    "HealthcareService",
    "ImagingStudy",
    "Immunization",
    "ImmunizationEvaluation",
    "ImmunizationRecommendation",
    "ImplementationGuide",
    "InsurancePlan",
    "Invoice",
    "Library",
    "Linkage",
    "List",
    "Location",
    "Measure",
    "MeasureReport",
    "Media",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationKnowledge",
    "MedicationRequest",
    "MedicationStatement",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "MessageDefinition",
    "MessageHeader",
    "MolecularSequence",
    "NamingSystem",
    "NutritionOrder",
    "Observation",
    "ObservationDefinition",
    "OperationDefinition",
    "OperationOutcome",
    "Organization",
    "OrganizationAffiliation",
    "Parameters",
    "Patient",
    "PaymentNotice",
    "PaymentReconciliation",
    "Person",
    "PlanDefinition",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "Questionnaire",
    "QuestionnaireResponse",
    "RelatedPerson",
    "RequestGroup",
    "ResearchDefinition",
    "ResearchElementDefinition",
    "ResearchStudy",
    "ResearchSubject",
    "RiskAssessment",
    "RiskEvidenceSynthesis",
    "Schedule",
    "SearchParameter",
    "ServiceRequest",
    "Slot",
    "Specimen",
    "SpecimenDefinition",
    "StructureDefinition",
    "StructureMap",
    "Subscription",
    "Substance",
    "SubstanceNucleicAcid",
    "SubstancePolymer",
    "SubstanceProtein",
    "SubstanceReferenceInformation",
    "SubstanceSourceMaterial",
    "SubstanceSpecification",
    "SupplyDelivery",
    "SupplyRequest",
    "Task",
    "TerminologyCapabilities",
    "TestReport",
    "TestScript",
    "ValueSet",
    "VerificationResult",
    "VisionPrescription",
];

/// A concrete resource type of R4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceType(&'static str);

impl ResourceType {
    /// `AuditEvent`.
    pub const AUDIT_EVENT: Self = Self("AuditEvent");
    /// `Bundle`.
    pub const BUNDLE: Self = Self("Bundle");
    /// `Binary`.
    pub const BINARY: Self = Self("Binary");
    /// `Patient`.
    pub const PATIENT: Self = Self("Patient");
    /// `Subscription`.
    pub const SUBSCRIPTION: Self = Self("Subscription");

    /// The name as FHIR spells it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Its place in the order of the alphabet: one byte in place of a name. It holds within one build alone.
    pub(crate) fn number(self) -> u8 {
        let at = NAMES.binary_search(&self.0).unwrap_or_default();
        u8::try_from(at).unwrap_or_default()
    }

    /// Every type, in the order of the alphabet.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|name| Self(name))
    }
}

/// The name is not a concrete resource type of R4; names are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a resource type of FHIR R4")]
pub struct UnknownType;

impl FromStr for ResourceType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let at = NAMES.binary_search(&text).map_err(|_| UnknownType)?;
        NAMES.get(at).map(|name| Self(name)).ok_or(UnknownType)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert_eq!(NAMES.len(), 146);
        assert!(NAMES.is_sorted_by(|a, b| a < b));
        for name in NAMES {
            let found: ResourceType = name.parse().unwrap();
            assert_eq!(found.as_str(), *name);
            assert_eq!(NAMES[usize::from(found.number())], *name);
        }
        for name in [ResourceType::BUNDLE, ResourceType::BINARY, ResourceType::PATIENT, ResourceType::SUBSCRIPTION] {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }

    #[test]
    fn others_are_refused() {
        for name in ["", "patient", "Resource", "DomainResource", "Patient ", "Actor", "Zebra"] {
            assert_eq!(name.parse::<ResourceType>(), Err(UnknownType), "{name}");
        }
    }
}
