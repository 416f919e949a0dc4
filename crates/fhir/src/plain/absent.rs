//! What a record says that there is none of. Such an entry is of the type of what it denies, an AllergyIntolerance of no
//! allergy, and only its code tells. The codes are those of IPS
//! (<https://hl7.org/fhir/uv/ips/STU1/CodeSystem-absent-unknown-uv-ips.html>) and of SNOMED CT, 716186003 with what stands
//! below it.

use serde_json::Value;

use crate::ResourceType;
use crate::display::codes;

const SNOMED_CT: &str = "http://snomed.info/sct";

/// What an entry denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Somebody asked, and no allergy is known.
    NoAllergy,
    /// No allergy of one kind is known. Of the other kinds it says nothing.
    NoAllergyTo(&'static str),
    /// Nothing is known of allergies, or nobody asked.
    NotAsked,
}

impl Absent {
    pub(super) fn of(resource_type: ResourceType, concept: Option<&Value>) -> Option<Self> {
        if resource_type.as_str() != "AllergyIntolerance" {
            return None;
        }
        let all: Vec<Self> =
            concept.into_iter().flat_map(codes).filter_map(|(system, code)| of(system, code)).collect();
        // Of several codes the one that denies least.
        let narrow = all.iter().find(|one| matches!(one, Self::NoAllergyTo(_)));
        all.iter().find(|one| **one == Self::NotAsked).or(narrow).or(all.first()).copied()
    }

    /// In words.
    pub fn title(self) -> String {
        match self {
            Self::NoAllergy => "No known allergies".to_owned(),
            Self::NoAllergyTo(what) => format!("No known allergies to {what}"),
            Self::NotAsked => "Nothing is known of allergies".to_owned(),
        }
    }
}

fn of(system: &str, code: &str) -> Option<Absent> {
    use Absent::{NoAllergy, NoAllergyTo, NotAsked};
    Some(match code {
        // The codes of IPS are words; other systems have taken them over as they are, so their system says nothing more.
        "no-known-allergies" => NoAllergy,
        "no-known-medication-allergies" => NoAllergyTo(MEDICINES),
        "no-known-food-allergies" => NoAllergyTo(FOOD),
        "no-known-environmental-allergies" => NoAllergyTo(SURROUNDINGS),
        "no-allergy-info" => NotAsked,
        _ if system != SNOMED_CT => return None,
        // The second is the one that the first replaced.
        "716186003" | "160244002" => NoAllergy,
        "409137002" => NoAllergyTo(MEDICINES),
        "429625007" => NoAllergyTo(FOOD),
        "428607008" => NoAllergyTo(SURROUNDINGS),
        "428197003" => NoAllergyTo("insects"),
        "716220001" => NoAllergyTo("animals"),
        // The second is the one that the first replaced.
        "1003774007" | "716184000" => NoAllergyTo("latex"),
        // The patient was not asked.
        "1631000175102" => NotAsked,
        _ => return None,
    })
}

const MEDICINES: &str = "medicines";
const FOOD: &str = "food";
const SURROUNDINGS: &str = "anything in the surroundings";
