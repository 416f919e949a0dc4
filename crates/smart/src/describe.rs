//! Scopes in plain language, for the page on which a user approves. People know lab results and medicines; they know
//! neither Observation nor cruds. The words say at least what a scope gives, never less.

use crate::scope::{Action, Actions, Context, ResourceScope, ResourceTypes, Scope};

/// Who reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A patient, about their own record.
    Patient,
    /// Staff of the hospital.
    Staff,
}

/// What the app may do with this scope: the rest of a sentence that begins with "The app may".
pub fn describe(scope: &Scope, reader: Reader) -> String {
    let text = match scope {
        Scope::Launch => "know which patient is open here",
        Scope::LaunchPatient => "ask which patient this is about",
        Scope::OpenId => "know that it is you who signed in",
        Scope::FhirUser => "know your name and your role in this hospital",
        Scope::OfflineAccess => "keep this access for 90 days, also when you are not here",
        Scope::OnlineAccess => "keep this access until you sign out",
        Scope::Resource(scope) => return describe_resources(scope, reader),
    };
    text.to_owned()
}

fn describe_resources(scope: &ResourceScope, reader: Reader) -> String {
    let whose = match (scope.context(), reader) {
        (Context::Patient, Reader::Patient) => "your",
        (Context::Patient, Reader::Staff) => "this patient's",
        (Context::User, Reader::Patient) => "the",
        (Context::User, Reader::Staff) => "all patients'",
        (Context::System, _) => "every patient's",
    };
    let reach = match scope.context() {
        Context::User => " that you may open yourself",
        Context::System => " without anybody signed in",
        Context::Patient => "",
    };
    let (what, only) = contents(scope);
    format!("{} {whose} {what}{only}{reach}", verbs(scope.actions()))
}

/// Search and read are one thing to a person: the text never says less than either.
fn verbs(actions: Actions) -> String {
    let seen = actions.contains(Action::Read) || actions.contains(Action::Search);
    let words = [
        (seen, "see"),
        (actions.contains(Action::Create), "add to"),
        (actions.contains(Action::Update), "change"),
        (actions.contains(Action::Delete), "delete"),
    ];
    let words: Vec<_> = words.into_iter().filter(|(said, _)| *said).map(|(_, word)| word).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}

/// What the records are called, and what the filter leaves of them.
fn contents(scope: &ResourceScope) -> (String, String) {
    let ResourceTypes::One(kind) = scope.resource_types() else {
        let only = scope.filter().map_or_else(String::new, |filter| format!(" (only where {filter})"));
        return ("whole record, with all that will be added to it".to_owned(), only);
    };
    let name = kind.as_str();
    if let Some(filter) = scope.filter() {
        let category = filter.strip_prefix("category=").filter(|rest| !rest.contains(['&', ',', '%']));
        let known = category
            .and_then(code_of_hl7)
            .and_then(|code| CATEGORIES.iter().find(|(of, known, _)| *of == name && *known == code));
        return match known {
            Some((_, _, words)) => ((*words).to_owned(), String::new()),
            None => (type_words(name), format!(" (only where {filter})")),
        };
    }
    (type_words(name), String::new())
}

/// The code of a token that names no code system or one of HL7: elsewhere a code can mean anything.
fn code_of_hl7(token: &str) -> Option<&str> {
    let Some((system, code)) = token.split_once('|') else { return Some(token) };
    let of_hl7 = ["http://terminology.hl7.org/", "http://hl7.org/fhir/"].iter().any(|start| system.starts_with(start));
    of_hl7.then_some(code)
}

/// The words for a resource type; a rare one is named by its own name, taken apart.
fn type_words(name: &str) -> String {
    if let Some((_, words)) = TYPES.iter().find(|(known, _)| *known == name) {
        return (*words).to_owned();
    }
    let mut words = String::from("records of the kind \"");
    for (place, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words + "\""
}

/// Categories of US Core and FHIR R4 that people know by a name.
const CATEGORIES: [(&str, &str, &str); 12] = [
    ("Observation", "laboratory", "lab results"),
    ("Observation", "vital-signs", "vital signs, such as blood pressure and weight"),
    ("Observation", "social-history", "living habits, such as smoking"),
    ("Observation", "survey", "answers to questionnaires"),
    ("Observation", "imaging", "measurements from images"),
    ("Observation", "procedure", "measurements during procedures"),
    ("Observation", "exam", "findings of examinations"),
    ("Observation", "activity", "physical activity"),
    ("Condition", "problem-list-item", "list of health problems"),
    ("Condition", "encounter-diagnosis", "diagnoses from visits"),
    ("Condition", "health-concern", "health concerns"),
    ("DocumentReference", "clinical-note", "doctors' and nurses' notes"),
];

/// Types that an app is likely to ask for.
const TYPES: [(&str, &str); 42] = [
    ("AllergyIntolerance", "allergies"),
    ("Appointment", "appointments"),
    ("AuditEvent", "list of who looked at the record"),
    ("Binary", "files"),
    ("Bundle", "collections of records"),
    ("CarePlan", "care plans"),
    ("CareTeam", "care team"),
    ("Claim", "bills"),
    ("Communication", "messages"),
    ("Composition", "documents"),
    ("Condition", "health problems and diagnoses"),
    ("Consent", "decisions about who may see the record"),
    ("Coverage", "insurance"),
    ("Device", "medical devices and implants"),
    ("DiagnosticReport", "reports of lab tests, images and other examinations"),
    ("DocumentReference", "documents and notes"),
    ("Encounter", "visits and hospital stays"),
    ("ExplanationOfBenefit", "insurance statements"),
    ("FamilyMemberHistory", "family's illnesses"),
    ("Flag", "warnings"),
    ("Goal", "health goals"),
    ("ImagingStudy", "X-rays and other images"),
    ("Immunization", "vaccinations"),
    ("List", "lists"),
    ("Location", "places of care"),
    ("Media", "photos, films and recordings"),
    ("Medication", "medicines"),
    ("MedicationAdministration", "medicines that were given"),
    ("MedicationDispense", "medicines from the pharmacy"),
    ("MedicationRequest", "prescriptions"),
    ("MedicationStatement", "medicines that are taken"),
    ("Observation", "lab results, vital signs and all other measurements and findings"),
    ("Organization", "hospitals and practices"),
    ("Patient", "name, birth date, address and other personal details"),
    ("Practitioner", "doctors and other professionals"),
    ("Procedure", "operations and other procedures"),
    ("Provenance", "notes on where records come from"),
    ("QuestionnaireResponse", "answers to questionnaires"),
    ("RelatedPerson", "relatives and contacts"),
    ("ServiceRequest", "orders and referrals"),
    ("Specimen", "samples for the laboratory"),
    ("Task", "tasks"),
];

#[cfg(test)]
mod tests {
    use sealwort_fhir::ResourceType;

    use super::*;

    #[test]
    fn scopes_are_told_in_plain_words() {
        let lab =
            "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
        let cases = [
            (
                "patient/Observation.rs",
                Reader::Patient,
                "see your lab results, vital signs and all other measurements and findings",
            ),
            (lab, Reader::Patient, "see your lab results"),
            (lab, Reader::Staff, "see this patient's lab results"),
            ("patient/Condition.rs?category=problem-list-item", Reader::Patient, "see your list of health problems"),
            (
                "patient/Condition.r?category=other",
                Reader::Patient,
                "see your health problems and diagnoses (only where category=other)",
            ),
            (
                "patient/Observation.r?category=laboratory&code=1",
                Reader::Staff,
                "see this patient's lab results, vital signs and all other measurements and findings (only where \
                 category=laboratory&code=1)",
            ),
            (
                "patient/Observation.r?category=laboratory,exam",
                Reader::Patient,
                "see your lab results, vital signs and \
             all other measurements and findings (only where category=laboratory,exam)",
            ),
            (
                "patient/*.cruds",
                Reader::Patient,
                "see, add to, change and delete your whole record, with all that will be added to it",
            ),
            ("user/MedicationRequest.rs", Reader::Staff, "see all patients' prescriptions that you may open yourself"),
            (
                "system/Encounter.cud",
                Reader::Staff,
                "add to, change and delete every patient's visits and hospital \
             stays without anybody signed in",
            ),
            ("patient/BodyStructure.r", Reader::Patient, "see your records of the kind \"body structure\""),
            (
                "patient/Condition.r?category=http://other.example|problem-list-item",
                Reader::Patient,
                "see your health problems and diagnoses (only where category=http://other.example|problem-list-item)",
            ),
            ("offline_access", Reader::Patient, "keep this access for 90 days, also when you are not here"),
        ];
        for (scope, reader, text) in cases {
            assert_eq!(describe(&Scope::parse(scope).unwrap(), reader), text, "{scope}");
        }
    }

    #[test]
    fn every_scope_has_words_and_every_word_has_a_resource_type() {
        for name in ResourceType::all() {
            for context in ["patient", "user", "system"] {
                let scope = Scope::parse(&format!("{context}/{name}.d")).unwrap();
                assert!(describe(&scope, Reader::Staff).starts_with("delete "), "{name}");
            }
        }
        let of_categories = CATEGORIES.iter().map(|(name, ..)| name);
        for name in TYPES.iter().map(|(name, _)| name).chain(of_categories) {
            assert!(name.parse::<ResourceType>().is_ok(), "{name}");
        }
    }
}
