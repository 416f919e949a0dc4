//! Branches of a patient's keys. Whoever is given a branch opens what is kept under it and nothing else, so that a branch
//! is the finest that consent can tell apart by keys: one for each kind of confidential matter, and of what is ordinary
//! one for each section that people understand.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::{FhirError, Label, Resource, ResourceType};

/// Code system of the sections, for `Consent.provision.class`.
pub const SECTION_SYSTEM: &str = "https://sealwort.example/fhir/CodeSystem/section";
/// Code system of resource types, likewise.
pub const TYPE_SYSTEM: &str = "http://hl7.org/fhir/resource-types";
/// Code system of `Observation.category`.
const CATEGORY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// Types of the sections but `administrative`, which has all others. Observations are told apart by their category.
static TYPES: &[(Branch, &[&str])] = &[
    (
        Branch::Problems,
        &[
            "AdverseEvent",
            "AllergyIntolerance",
            "CarePlan",
            "CareTeam",
            "ClinicalImpression",
            "Condition",
            "DetectedIssue",
            "FamilyMemberHistory",
            "Flag",
            "Goal",
            "NutritionOrder",
            "Procedure",
            "RiskAssessment",
        ],
    ),
    (
        Branch::Medications,
        &[
            "Immunization",
            "ImmunizationEvaluation",
            "ImmunizationRecommendation",
            "Medication",
            "MedicationAdministration",
            "MedicationDispense",
            "MedicationKnowledge",
            "MedicationRequest",
            "MedicationStatement",
        ],
    ),
    (
        Branch::Results,
        &["BodyStructure", "DiagnosticReport", "ImagingStudy", "MolecularSequence", "ServiceRequest", "Specimen"],
    ),
    (Branch::Measurements, &["Device", "DeviceMetric", "DeviceRequest", "DeviceUseStatement"]),
    (
        Branch::Documents,
        &[
            "Binary",
            "Communication",
            "CommunicationRequest",
            "Composition",
            "DocumentManifest",
            "DocumentReference",
            "List",
            "Media",
            "QuestionnaireResponse",
        ],
    ),
];

/// Sections that an Observation can be in.
static OF_OBSERVATIONS: &[Branch] = &[Branch::Problems, Branch::Results, Branch::Measurements];

/// A branch of a patient's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// Problems, allergies, procedures, plans and family history.
    Problems,
    /// Medications and immunizations.
    Medications,
    /// Laboratory and other results.
    Results,
    /// Vital signs, and what devices measure.
    Measurements,
    /// Documents, notes, images and messages.
    Documents,
    /// The person, visits, appointments, insurance, consents and everything else.
    Administrative,
    /// As [`Label::Psychiatry`].
    Psychiatry,
    /// As [`Label::SubstanceUse`].
    SubstanceUse,
    /// As [`Label::Sexuality`].
    Sexuality,
    /// As [`Label::Hiv`].
    Hiv,
    /// As [`Label::Genetics`].
    Genetics,
    /// As [`Label::Violence`].
    Violence,
    /// As [`Label::VeryRestricted`].
    VeryRestricted,
}

impl Branch {
    /// Every branch.
    pub const ALL: [Self; 13] = [
        Self::Problems,
        Self::Medications,
        Self::Results,
        Self::Measurements,
        Self::Documents,
        Self::Administrative,
        Self::Psychiatry,
        Self::SubstanceUse,
        Self::Sexuality,
        Self::Hiv,
        Self::Genetics,
        Self::Violence,
        Self::VeryRestricted,
    ];
    /// The sections of what is ordinary; together they are called `general`.
    pub const GENERAL: [Self; 6] =
        [Self::Problems, Self::Medications, Self::Results, Self::Measurements, Self::Documents, Self::Administrative];

    /// The name on the command line, in configuration and in the tags of keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problems => "problems",
            Self::Medications => "medications",
            Self::Results => "results",
            Self::Measurements => "measurements",
            Self::Documents => "documents",
            Self::Administrative => "administrative",
            Self::Psychiatry => "psychiatry",
            Self::SubstanceUse => "substance-use",
            Self::Sexuality => "sexuality",
            Self::Hiv => "hiv",
            Self::Genetics => "genetics",
            Self::Violence => "violence",
            Self::VeryRestricted => "very-restricted",
        }
    }

    /// The label of what is kept under it.
    pub const fn label(self) -> Label {
        match self {
            Self::Psychiatry => Label::Psychiatry,
            Self::SubstanceUse => Label::SubstanceUse,
            Self::Sexuality => Label::Sexuality,
            Self::Hiv => Label::Hiv,
            Self::Genetics => Label::Genetics,
            Self::Violence => Label::Violence,
            Self::VeryRestricted => Label::VeryRestricted,
            _ => Label::General,
        }
    }

    /// The branch of a kind of confidential matter; none for what is ordinary.
    pub fn of_kind(label: Label) -> Option<Self> {
        Self::ALL.into_iter().find(|branch| label != Label::General && branch.label() == label)
    }

    /// The branches of a label.
    pub fn of_label(label: Label) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |branch| branch.label() == label)
    }

    /// The branch of a resource that has this label.
    ///
    /// # Errors
    /// As [`Resource::json`].
    pub fn of(resource: &Resource, label: Label) -> Result<Self, FhirError> {
        match Self::of_kind(label) {
            Some(branch) => Ok(branch),
            None if resource.resource_type().as_str() == OBSERVATION => Ok(section_of_observation(&resource.json()?)),
            None => Ok(section_of_type(resource.resource_type())),
        }
    }

    /// The sections that ordinary resources of a type can be in.
    pub fn of_type(kind: ResourceType) -> Vec<Self> {
        if kind.as_str() == OBSERVATION { OF_OBSERVATIONS.to_vec() } else { vec![section_of_type(kind)] }
    }

    /// The types of a section.
    pub fn types(self) -> Vec<ResourceType> {
        ResourceType::all().filter(|kind| Self::of_type(*kind).contains(&self)).collect()
    }

    /// What a word of a command or of configuration stands for: a branch, or `general` for all that is ordinary.
    ///
    /// # Errors
    /// [`UnknownBranch`]
    pub fn named(word: &str) -> Result<Vec<Self>, UnknownBranch> {
        if word == GENERAL { Ok(Self::GENERAL.to_vec()) } else { Ok(vec![word.parse()?]) }
    }

    /// The words for branches, the shortest that say the same.
    pub fn words(branches: &[Self]) -> Vec<&'static str> {
        let general = Self::GENERAL.iter().all(|section| branches.contains(section));
        let rest = branches.iter().filter(|branch| !(general && branch.label() == Label::General));
        general.then_some(GENERAL).into_iter().chain(rest.map(|branch| branch.as_str())).collect()
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a label; the labels are general or its sections (problems, medications, results, measurements, documents, administrative), psychiatry, substance-use, sexuality, hiv, genetics, violence and very-restricted"
)]
pub struct UnknownBranch;

impl FromStr for Branch {
    type Err = UnknownBranch;

    fn from_str(text: &str) -> Result<Self, UnknownBranch> {
        Self::ALL.into_iter().find(|branch| branch.as_str() == text).ok_or(UnknownBranch)
    }
}

fn section_of_type(kind: ResourceType) -> Branch {
    let found = TYPES.iter().find(|(_, types)| types.contains(&kind.as_str()));
    found.map_or(Branch::Administrative, |(section, _)| *section)
}

fn section_of_observation(observation: &Value) -> Branch {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let codings: Vec<Value> =
        list(observation, "category").iter().flat_map(|category| list(category, "coding")).collect();
    let has = |code: &str| {
        codings.iter().any(|coding| {
            coding.get("system").is_some_and(|it| it == CATEGORY_SYSTEM)
                && coding.get("code").is_some_and(|it| it == code)
        })
    };
    if has("vital-signs") || has("activity") {
        Branch::Measurements
    } else if has("social-history") {
        Branch::Problems
    } else {
        Branch::Results
    }
}

const OBSERVATION: &str = "Observation";
const GENERAL: &str = "general";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_round_trip_and_general_is_all_that_is_ordinary() {
        for branch in Branch::ALL {
            assert_eq!(branch.as_str().parse(), Ok(branch));
            assert_eq!(Branch::named(branch.as_str()), Ok(vec![branch]));
        }
        assert_eq!(Branch::named("general").unwrap(), Branch::of_label(Label::General).collect::<Vec<_>>());
        assert_eq!("general".parse::<Branch>(), Err(UnknownBranch));
        assert_eq!(Branch::words(&Branch::ALL)[..2], ["general", "psychiatry"]);
        assert_eq!(Branch::words(&[Branch::Results, Branch::Hiv]), ["results", "hiv"]);
    }

    /// Each type has one section, Observations three; every name in the table is a type.
    #[test]
    fn every_type_has_its_section() {
        for kind in ResourceType::all() {
            let wanted = if kind.as_str() == "Observation" { 3 } else { 1 };
            assert_eq!(Branch::of_type(kind).len(), wanted, "{kind}");
        }
        for (section, types) in TYPES {
            for name in *types {
                let kind: ResourceType = name.parse().unwrap();
                assert_eq!(Branch::of_type(kind), [*section]);
                assert!(section.types().contains(&kind));
            }
        }
        assert!(Branch::Administrative.types().contains(&ResourceType::PATIENT));
    }

    #[test]
    fn resources_go_under_their_branch() {
        let category =
            |code: &str| format!(r#","category":[{{"coding":[{{"system":"{CATEGORY_SYSTEM}","code":"{code}"}}]}}]"#);
        for (kind, more, label, branch) in [
            ("Condition", String::new(), Label::General, Branch::Problems),
            ("Immunization", String::new(), Label::General, Branch::Medications),
            ("Observation", String::new(), Label::General, Branch::Results),
            ("Observation", category("laboratory"), Label::General, Branch::Results),
            ("Observation", category("vital-signs"), Label::General, Branch::Measurements),
            ("Observation", category("social-history"), Label::General, Branch::Problems),
            ("Observation", category("vital-signs"), Label::Hiv, Branch::Hiv),
            ("DocumentReference", String::new(), Label::General, Branch::Documents),
            ("Patient", String::new(), Label::General, Branch::Administrative),
            ("Consent", String::new(), Label::General, Branch::Administrative),
            ("Condition", String::new(), Label::VeryRestricted, Branch::VeryRestricted),
        ] {
            let resource = Resource::parse(format!(r#"{{"resourceType":"{kind}"{more}}}"#).into_bytes()).unwrap();
            assert_eq!(Branch::of(&resource, label).unwrap(), branch, "{kind}{more}");
        }
    }
}
