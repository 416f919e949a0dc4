//! What a resource is, in plain words: what kind of thing, its name, its value with unit and usual range, when, whether it
//! still counts, and who says so. For people who read their own record, so it shows no code where there is a word, and no
//! word of FHIR. It judges nothing: a range is shown only where the data has one.
//!
//! Resources come from many systems and hold anything. What does not have the shape that R4 gives it is left out, text is
//! cut and freed of what could mislead the eye, and nothing is escaped: whoever puts it into a page does.

mod absent;
mod dose;
mod moment;
mod names;
mod reading;
mod standing;

use serde_json::Value;

use crate::display::{codes, concept, dates, has_words, name, text};
use crate::{Reference, ResourceId, ResourceType};
pub use absent::Absent;
pub use moment::{Moment, TimeOfDay};
pub use names::{Names, tidy, unit};
pub use reading::{Amount, End, Reading, Usual};
pub use standing::Standing;

/// What kind of thing it is, as people sort things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Blood pressure, weight and the like.
    Vital,
    /// A result of a laboratory or another examination.
    Result,
    /// A report that holds results.
    Report,
    /// A diagnosis or problem.
    Condition,
    /// An allergy or intolerance.
    Allergy,
    /// A medicine.
    Medicine,
    /// A vaccination.
    Vaccine,
    /// An operation or another procedure.
    Procedure,
    /// A visit or stay.
    Visit,
    /// An appointment.
    Appointment,
    /// A letter, note or image.
    Document,
    /// A plan, goal or care team.
    Plan,
    /// A device.
    Device,
    /// A message or a filled-in form.
    Message,
    /// A decision about sharing.
    Consent,
    /// A bill, an insurance and the like.
    Payment,
    /// A person or an organization.
    Person,
    /// Anything else.
    Other,
}

impl Kind {
    /// All of them, in the order in which people look for them.
    pub const ALL: [Self; 18] = [
        Self::Vital,
        Self::Result,
        Self::Report,
        Self::Condition,
        Self::Allergy,
        Self::Medicine,
        Self::Vaccine,
        Self::Procedure,
        Self::Visit,
        Self::Appointment,
        Self::Document,
        Self::Plan,
        Self::Device,
        Self::Message,
        Self::Consent,
        Self::Payment,
        Self::Person,
        Self::Other,
    ];

    /// A name for addresses and forms; the words for people are elsewhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vital => "vital",
            Self::Result => "result",
            Self::Report => "report",
            Self::Condition => "condition",
            Self::Allergy => "allergy",
            Self::Medicine => "medicine",
            Self::Vaccine => "vaccine",
            Self::Procedure => "procedure",
            Self::Visit => "visit",
            Self::Appointment => "appointment",
            Self::Document => "document",
            Self::Plan => "plan",
            Self::Device => "device",
            Self::Message => "message",
            Self::Consent => "consent",
            Self::Payment => "payment",
            Self::Person => "person",
            Self::Other => "other",
        }
    }

    /// By that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What resources of a type are, where their content does not say more.
    pub fn of_type(resource_type: ResourceType) -> Self {
        match resource_type.as_str() {
            "Observation" | "ImagingStudy" | "MolecularSequence" | "Specimen" | "BodyStructure" => Self::Result,
            "DiagnosticReport" => Self::Report,
            "Condition" | "AdverseEvent" | "ClinicalImpression" | "DetectedIssue" | "Flag" => Self::Condition,
            "AllergyIntolerance" => Self::Allergy,
            "MedicationAdministration" | "MedicationDispense" | "MedicationRequest" | "MedicationStatement" => {
                Self::Medicine
            }
            "Immunization" => Self::Vaccine,
            "Procedure" => Self::Procedure,
            "Encounter" | "EpisodeOfCare" => Self::Visit,
            "Appointment" | "AppointmentResponse" => Self::Appointment,
            "Binary" | "Composition" | "DocumentManifest" | "DocumentReference" | "List" | "Media" => Self::Document,
            "CarePlan"
            | "CareTeam"
            | "Goal"
            | "ImmunizationEvaluation"
            | "ImmunizationRecommendation"
            | "NutritionOrder"
            | "ServiceRequest" => Self::Plan,
            "Device" | "DeviceMetric" | "DeviceRequest" | "DeviceUseStatement" => Self::Device,
            "Communication" | "CommunicationRequest" | "QuestionnaireResponse" => Self::Message,
            "Consent" => Self::Consent,
            "Account" | "ChargeItem" | "Claim" | "ClaimResponse" | "Coverage" | "ExplanationOfBenefit" | "Invoice" => {
                Self::Payment
            }
            "Patient" | "Person" | "Practitioner" | "PractitionerRole" | "Organization" | "Location"
            | "RelatedPerson" | "Group" => Self::Person,
            _ => Self::Other,
        }
    }
}

/// A resource in plain words.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name; none where the record has no word for it.
    pub title: Option<String>,
    /// What it denies, where it says that there is none: no allergy known is no allergy.
    pub absent: Option<Absent>,
    /// Its code, by which things of one name belong together.
    pub series: Option<String>,
    /// Its values.
    pub readings: Vec<Reading>,
    /// When it was.
    pub at: Option<Moment>,
    /// Whether it counts.
    pub standing: Standing,
    /// Who says so, by name.
    pub source: Option<String>,
    /// The visit that it belongs to.
    pub visit: Option<(ResourceType, ResourceId)>,
    /// What else it says, in sentences: how to take it, what it caused, notes.
    pub more: Vec<String>,
}

impl Plain {
    /// Reads a resource. Any JSON is taken.
    pub fn of(resource_type: ResourceType, resource: &Value) -> Self {
        Self::called(resource_type, resource, Names::Plain)
    }

    /// The same, with things called as these names say.
    pub fn called(resource_type: ResourceType, resource: &Value, named: Names) -> Self {
        let absent = Absent::of(resource_type, concept_of(resource));
        Self {
            kind: kind(resource_type, resource),
            title: absent.map(Absent::title).or_else(|| title(resource_type, resource, named)),
            absent,
            series: concept_of(resource).and_then(names::series),
            readings: reading::readings(resource, named),
            at: dates(resource).find_map(Moment::parse),
            standing: Standing::of(resource_type, resource),
            source: source(resource),
            visit: visit(resource),
            more: more(resource_type, resource),
        }
    }

    /// Everything that can be searched by words, in lower case.
    pub fn haystack(&self) -> String {
        let mut words: Vec<&str> =
            self.title.iter().chain(&self.source).chain(&self.more).map(String::as_str).collect();
        for reading in &self.readings {
            words.extend(reading.name.iter().chain(&reading.words).map(String::as_str));
        }
        words.join(" ").to_lowercase()
    }

    /// What it tells, so that one of several that tell the same is enough. What has no name tells nothing that another
    /// could, and each dose of a vaccine and each operation is one of its own.
    pub fn tells(&self) -> Option<(&str, &[String], Standing)> {
        let is_one_of_its_own = matches!(self.kind, Kind::Vaccine | Kind::Procedure);
        let title = self.title.as_deref().filter(|_| !is_one_of_its_own)?;
        Some((title, self.more.as_slice(), self.standing))
    }

    /// Whether its value is one number or word, and not several with names or the half of a pair.
    pub fn is_one_value(&self) -> bool {
        matches!(self.readings.as_slice(), [only] if only.name.is_none())
    }

    /// Upper and lower blood pressure, where it is that.
    pub fn blood_pressure(&self) -> Option<(&Reading, &Reading)> {
        let part = |code: &str| {
            let is_it = |one: &&Reading| one.series.as_deref() == Some(code) && one.amount.is_some();
            self.readings.iter().find(is_it)
        };
        Some((part(names::SYSTOLIC)?, part(names::DIASTOLIC)?))
    }
}

fn kind(resource_type: ResourceType, resource: &Value) -> Kind {
    if resource_type.as_str() != "Observation" {
        return Kind::of_type(resource_type);
    }
    let has_category = |wanted: &str| {
        let all = resource.get("category").and_then(Value::as_array);
        all.into_iter().flatten().flat_map(codes).any(|(_, code)| code == wanted)
    };
    let is_vital = || resource.get("code").and_then(names::known).is_some_and(|(.., vital)| *vital);
    if has_category("vital-signs") || is_vital() { Kind::Vital } else { Kind::Result }
}

/// The member that names what it is.
fn concept_of(resource: &Value) -> Option<&Value> {
    const MEMBERS: &[&str] = &["vaccineCode", "medicationCodeableConcept", "code", "type", "serviceType", "category"];
    MEMBERS.iter().find_map(|member| match resource.get(member)? {
        Value::Array(list) => list.first().filter(|one| one.is_object()),
        one if one.is_object() => Some(one),
        _ => None,
    })
}

fn title(resource_type: ResourceType, resource: &Value, named: Names) -> Option<String> {
    let words = || concept_of(resource).filter(|one| has_words(one)).and_then(concept);
    let reference = |member: &str| {
        let one = resource.get(member)?;
        text(one, "display").map(str::to_owned).or_else(|| contained(resource, text(one, "reference")?))
    };
    let found = match resource_type.as_str() {
        "Patient" | "Person" | "Practitioner" | "RelatedPerson" | "Organization" | "Location" => name(resource),
        "Device" => resource
            .get("deviceName")
            .and_then(Value::as_array)
            .and_then(|names| names.iter().find_map(|one| text(one, "name")))
            .map(str::to_owned)
            .or_else(words)
            .or_else(|| text(resource, "modelNumber").map(str::to_owned)),
        "DocumentReference" | "Media" | "DocumentManifest" => text(resource, "description")
            .map(str::to_owned)
            .or_else(|| {
                let content = resource.get("content").map(|content| content.get(0).unwrap_or(content));
                let attachment = content.map(|content| content.get("attachment").unwrap_or(content))?;
                text(attachment, "title").map(str::to_owned)
            })
            .or_else(words),
        "Composition" | "List" | "CarePlan" | "QuestionnaireResponse" | "Questionnaire" => {
            text(resource, "title").map(str::to_owned).or_else(words)
        }
        "Goal" => resource.get("description").and_then(concept),
        "FamilyMemberHistory" => {
            let who = resource.get("relationship").and_then(concept);
            let what = resource.pointer("/condition/0/code").and_then(concept);
            match (who, what) {
                (Some(who), Some(what)) => Some(format!("{who}: {what}")),
                (who, what) => who.or(what),
            }
        }
        _ => words()
            .or_else(|| reference("medicationReference"))
            .or_else(|| reference("device"))
            .or_else(|| resource.get("reasonCode").and_then(|reasons| reasons.get(0)).and_then(concept)),
    };
    let found = found.map(|text| tidy(&text)).filter(|text| !text.is_empty());
    let known = concept_of(resource).and_then(names::known).map(|(_, name, _)| (*name).to_owned());
    match named {
        // A plain word for a well-known code is better than most systems' own.
        Names::Plain => known.or(found),
        Names::OfTheData => found.or(known),
    }
}

/// The name of what a resource holds inside itself.
fn contained(resource: &Value, reference: &str) -> Option<String> {
    let id = reference.strip_prefix('#')?;
    let all = resource.get("contained")?.as_array()?;
    let one = all.iter().find(|one| text(one, "id") == Some(id))?;
    concept_of(one).and_then(concept)
}

fn source(resource: &Value) -> Option<String> {
    const MEMBERS: &[&str] = &[
        "performer",
        "author",
        "asserter",
        "recorder",
        "requester",
        "prescriber",
        "participant",
        "serviceProvider",
        "sender",
    ];
    let display = |one: &Value| {
        ["", "actor", "individual", "member"].iter().find_map(|inner| {
            let at = if inner.is_empty() { one } else { one.get(inner)? };
            text(at, "display").map(tidy).filter(|name| !name.is_empty())
        })
    };
    MEMBERS.iter().find_map(|member| match resource.get(member)? {
        Value::Array(list) => list.iter().find_map(display),
        one => display(one),
    })
}

fn visit(resource: &Value) -> Option<(ResourceType, ResourceId)> {
    let context = resource.get("context");
    let encounter = resource
        .get("encounter")
        .or_else(|| context.and_then(|context| context.get("encounter")))
        .or(context)
        .map(|one| one.get(0).unwrap_or(one))?;
    match Reference::parse(text(encounter, "reference")?) {
        Reference::Relative { resource_type, id } if resource_type.as_str() == "Encounter" => Some((resource_type, id)),
        _ => None,
    }
}

fn more(resource_type: ResourceType, resource: &Value) -> Vec<String> {
    let list = |member: &str| match resource.get(member) {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) if one.is_object() => vec![one],
        _ => Vec::new(),
    };
    let mut found: Vec<String> = Vec::new();
    match resource_type.as_str() {
        "AllergyIntolerance" => {
            let caused = list("reaction").into_iter().flat_map(|one| {
                one.get("manifestation").and_then(Value::as_array).into_iter().flatten().filter_map(concept)
            });
            found.extend(caused);
        }
        "DiagnosticReport" => found.extend(text(resource, "conclusion").map(str::to_owned)),
        "Encounter" => found.extend(list("reasonCode").into_iter().filter_map(concept)),
        _ => {}
    }
    // Why something was stopped, or never done.
    found.extend(list("statusReason").into_iter().filter_map(concept));
    found.extend(list("interpretation").into_iter().filter_map(concept));
    found.extend(list("note").into_iter().filter_map(|note| text(note, "text").map(str::to_owned)));
    let found = found.iter().map(|text| tidy(text)).filter(|text| !text.is_empty());
    let doses = if Kind::of_type(resource_type) == Kind::Medicine { dose::doses(resource) } else { None };
    doses.into_iter().chain(found).take(MORE_MAX).collect()
}

/// Sentences of one resource.
const MORE_MAX: usize = 12;

#[cfg(test)]
mod tests;
