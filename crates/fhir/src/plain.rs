//! What a resource is, in plain words: what kind of thing, its name, its value with unit and usual range, when, whether it
//! still counts, and who says so. For people who read their own record, so it shows no code where there is a word, and no
//! word of FHIR. It judges nothing: a range is shown only where the data has one.
//!
//! Resources come from many systems and hold anything. What does not have the shape that R4 gives it is left out, text is
//! cut and freed of what could mislead the eye, and nothing is escaped: whoever puts it into a page does.

mod moment;
mod names;

use serde_json::Value;

use crate::display::{choice, codes, concept, date, line, name, text};
use crate::{Reference, ResourceId, ResourceType};
pub use moment::{Moment, TimeOfDay};
pub use names::{tidy, unit};

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

/// Whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds now, or is done for good.
    Current,
    /// It is over.
    Over,
    /// It is to come.
    Planned,
    /// It is not certain or not final.
    Open,
    /// It was written by mistake, or refuted: nobody should rely on it.
    Wrong,
}

/// A range in which values are usual, as the data says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usual {
    /// Lowest usual value.
    pub low: Option<f64>,
    /// Highest usual value.
    pub high: Option<f64>,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The number with every digit that was written, and `<` and the like before it.
    pub text: String,
    /// The number to draw; none where it is only a bound or too large.
    pub number: Option<f64>,
    /// The unit for people; empty where there is none.
    pub unit: String,
}

/// A value, alone or one of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is, where it is one of several.
    pub name: Option<String>,
    /// Its code, by which values of the same belong together.
    pub series: Option<String>,
    /// The number.
    pub amount: Option<Amount>,
    /// The value in words, where it is no number.
    pub words: Option<String>,
    /// The usual range, in the unit of the number.
    pub usual: Option<Usual>,
}

/// A resource in plain words.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name; none where the record has no word for it.
    pub title: Option<String>,
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
        Self {
            kind: kind(resource_type, resource),
            title: title(resource_type, resource),
            series: concept_of(resource).and_then(series),
            readings: readings(resource),
            at: date(resource).and_then(Moment::parse),
            standing: standing(resource_type, resource),
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

    /// Whether two tell the same, so that one of them is enough. What has no name tells nothing that another could.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.title.is_some() && self.title == other.title && self.more == other.more
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
    let is_vital =
        || resource.get("code").is_some_and(|code| codes(code).any(|(system, code)| names::is_vital(system, code)));
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

fn series(concept: &Value) -> Option<String> {
    let coded = codes(concept).next().map(|(system, code)| names::key(system, code));
    coded.or_else(|| text(concept, "text").map(str::to_lowercase))
}

fn title(resource_type: ResourceType, resource: &Value) -> Option<String> {
    let known = concept_of(resource).into_iter().flat_map(codes).find_map(|(system, code)| names::of(system, code));
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
    // A plain word for a well-known code is better than most systems' own.
    known.map(str::to_owned).or_else(|| found.map(|text| tidy(&text)).filter(|text| !text.is_empty()))
}

/// Whether a concept has more to say than a code.
fn has_words(concept: &Value) -> bool {
    let codings = concept.get("coding").and_then(Value::as_array);
    text(concept, "text").is_some() || codings.into_iter().flatten().any(|coding| text(coding, "display").is_some())
}

/// The name of what a resource holds inside itself.
fn contained(resource: &Value, reference: &str) -> Option<String> {
    let id = reference.strip_prefix('#')?;
    let all = resource.get("contained")?.as_array()?;
    let one = all.iter().find(|one| text(one, "id") == Some(id))?;
    concept_of(one).and_then(concept)
}

fn readings(resource: &Value) -> Vec<Reading> {
    let mut found = Vec::new();
    if let Some(mut own) = reading(resource) {
        own.name = None;
        found.push(own);
    }
    let parts = resource.get("component").and_then(Value::as_array);
    found.extend(parts.into_iter().flatten().take(READINGS_MAX).filter_map(reading));
    found
}

fn reading(element: &Value) -> Option<Reading> {
    let (suffix, value) = choice(element, "value")?;
    let amount = (suffix == "Quantity").then(|| amount(value)).flatten();
    let words = match suffix {
        "CodeableConcept" => concept(value),
        "String" | "Integer" | "Boolean" | "Range" | "Ratio" | "Period" | "DateTime" | "Time" => line(value),
        _ => None,
    };
    let words = words.map(|words| tidy(&words)).filter(|words| !words.is_empty());
    if amount.is_none() && words.is_none() {
        return None;
    }
    let code = element.get("code");
    let known = code.into_iter().flat_map(codes).find_map(|(system, code)| names::of(system, code));
    let usual = amount.as_ref().and_then(|amount| usual(element, value, amount));
    Some(Reading {
        name: known.map(str::to_owned).or_else(|| code.and_then(concept).map(|name| tidy(&name))),
        series: code.and_then(series),
        amount,
        words,
        usual,
    })
}

fn amount(quantity: &Value) -> Option<Amount> {
    let number = quantity.get("value").filter(|value| value.is_number())?;
    let whole = number.to_string();
    let written = match number.as_f64() {
        Some(value) if whole.len() > NUMBER_CHARACTERS_MAX => format!("{value:e}"),
        _ => whole,
    };
    let comparator = text(quantity, "comparator").filter(|one| matches!(*one, "<" | "<=" | ">" | ">="));
    let unit = text(quantity, "unit").or_else(|| text(quantity, "code")).map(unit).unwrap_or_default();
    Some(Amount {
        text: comparator.map_or(written.clone(), |comparator| format!("{comparator} {written}")),
        number: number.as_f64().filter(|number| number.is_finite() && comparator.is_none()),
        unit,
    })
}

/// The range that the data calls usual, for everybody and in the value's own unit. Nothing is converted.
fn usual(element: &Value, quantity: &Value, amount: &Amount) -> Option<Usual> {
    let same_unit = |end: &Value| {
        let code = |of: &Value| text(of, "code").or_else(|| text(of, "unit")).map(unit);
        code(end).is_none_or(|of_end| Some(&of_end) == code(quantity).as_ref() || of_end == amount.unit)
    };
    let end = |range: &Value, name: &str| {
        let end = range.get(name).filter(|end| same_unit(end))?;
        end.get("value")?.as_f64().filter(|value| value.is_finite())
    };
    let ranges = element.get("referenceRange").and_then(Value::as_array)?;
    let is_normal = |range: &&Value| {
        let is_usual = range.get("type").is_none_or(|kind| codes(kind).any(|(_, code)| code == "normal"));
        is_usual && range.get("appliesTo").is_none() && range.get("age").is_none()
    };
    let of = |range: &Value| Usual { low: end(range, "low"), high: end(range, "high") };
    let sound = |usual: &Usual| match (usual.low, usual.high) {
        (None, None) => false,
        (Some(low), Some(high)) => low <= high,
        _ => true,
    };
    // Of several, nobody here can tell which one is for this patient.
    let mut found = ranges.iter().filter(is_normal).map(of).filter(sound);
    found.next().filter(|_| found.next().is_none())
}

fn standing(resource_type: ResourceType, resource: &Value) -> Standing {
    let code = |member: &str| resource.get(member).and_then(|one| codes(one).next().map(|(_, code)| code.to_owned()));
    let verified = code("verificationStatus");
    if matches!(verified.as_deref(), Some("refuted" | "entered-in-error")) {
        return Standing::Wrong;
    }
    // An order not to do something is nothing that is done.
    if resource.get("doNotPerform") == Some(&Value::Bool(true)) {
        return Standing::Over;
    }
    let unsure = matches!(verified.as_deref(), Some("unconfirmed" | "provisional" | "differential"));
    match code("clinicalStatus").as_deref() {
        Some("inactive" | "remission" | "resolved") => return Standing::Over,
        Some(_) => return if unsure { Standing::Open } else { Standing::Current },
        None if choice(resource, "abatement").is_some() => return Standing::Over,
        None if unsure => return Standing::Open,
        None => {}
    }
    match text(resource, "status").unwrap_or_default() {
        "entered-in-error" => Standing::Wrong,
        "preliminary" | "registered" | "partial" | "draft" | "unknown" | "on-hold" | "onhold" | "pending"
        | "proposed" => Standing::Open,
        "planned" | "booked" | "arrived" | "intended" | "preparation" | "accepted" => Standing::Planned,
        "stopped" | "cancelled" | "not-done" | "not-taken" | "inactive" | "superseded" | "abandoned" | "revoked"
        | "rejected" | "declined" | "ended" | "noshow" => Standing::Over,
        // A course of a medicine is over; a visit or a vaccination is done and counts.
        "completed" if Kind::of_type(resource_type) == Kind::Medicine => Standing::Over,
        _ => Standing::Current,
    }
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
    let list = |member: &str| resource.get(member).and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<String> = Vec::new();
    match resource_type.as_str() {
        "MedicationRequest" | "MedicationDispense" => {
            found.extend(list("dosageInstruction").filter_map(dosage));
        }
        "MedicationStatement" => found.extend(list("dosage").filter_map(dosage)),
        "AllergyIntolerance" => {
            let caused = list("reaction").flat_map(|one| {
                one.get("manifestation").and_then(Value::as_array).into_iter().flatten().filter_map(concept)
            });
            found.extend(caused);
        }
        "DiagnosticReport" => found.extend(text(resource, "conclusion").map(str::to_owned)),
        "Encounter" => {
            let reasons = list("reasonCode").filter_map(concept);
            found.extend(reasons);
        }
        _ => {}
    }
    found.extend(list("interpretation").filter_map(concept));
    found.extend(list("note").filter_map(|note| text(note, "text").map(str::to_owned)));
    found.iter().map(|text| tidy(text)).filter(|text| !text.is_empty()).take(MORE_MAX).collect()
}

fn dosage(dosage: &Value) -> Option<String> {
    text(dosage, "text").or_else(|| text(dosage, "patientInstruction")).map(str::to_owned)
}

/// Parts of one observation that are shown.
const READINGS_MAX: usize = 40;
/// Longest number that is shown digit by digit; a longer one by its power of ten.
const NUMBER_CHARACTERS_MAX: usize = 24;
/// Sentences of one resource.
const MORE_MAX: usize = 12;

#[cfg(test)]
mod tests;
