//! The sections of a summary (IPS 2.0.0, Composition-uv-ips) and which resource belongs into which.

use serde_json::Value;

use crate::ResourceType;
use crate::display::{codes, text};

/// The code system of section and observation codes.
pub(crate) const LOINC: &str = "http://loinc.org";

/// Pregnancy: status, due dates by several methods, outcomes (value set of IPS).
const PREGNANCY: &[&str] = &[
    "11612-9", "11613-7", "11614-5", "11636-8", "11637-6", "11638-4", "11639-2", "11640-0", "11778-8", "11779-6",
    "11780-4", "33065-4", "82810-3",
];
/// Use of tobacco and alcohol.
const SOCIAL: &[&str] = &["72166-2", "74013-4"];
/// Vital signs (R4 vital signs profile), for observations that lack the category.
const VITAL: &[&str] = &[
    "2708-6", "29463-7", "39156-5", "59408-5", "8302-2", "8310-5", "8462-4", "8480-6", "85353-1", "85354-9", "8867-4",
    "9279-1", "9843-4",
];
/// Services whose reports are results: laboratory, radiology, pathology.
const REPORTS: &[&str] = &["LP29684-5", "LP29693-6", "LP7839-6"];

/// A section, in the order of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Section {
    Problems,
    Allergies,
    Medications,
    Immunizations,
    Results,
    Procedures,
    Devices,
    Alerts,
    VitalSigns,
    SocialHistory,
    Pregnancy,
    PastIllness,
    FunctionalStatus,
    PlanOfCare,
    AdvanceDirectives,
}

impl Section {
    pub(crate) const ALL: [Self; 15] = [
        Self::Problems,
        Self::Allergies,
        Self::Medications,
        Self::Immunizations,
        Self::Results,
        Self::Procedures,
        Self::Devices,
        Self::Alerts,
        Self::VitalSigns,
        Self::SocialHistory,
        Self::Pregnancy,
        Self::PastIllness,
        Self::FunctionalStatus,
        Self::PlanOfCare,
        Self::AdvanceDirectives,
    ];

    /// LOINC code, its display, and the title.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Problems => ("11450-4", "Problem list - Reported", "Problems"),
            Self::Allergies => ("48765-2", "Allergies and adverse reactions Document", "Allergies and Intolerances"),
            Self::Medications => ("10160-0", "History of Medication use Narrative", "Medications"),
            Self::Immunizations => ("11369-6", "History of Immunization note", "Immunizations"),
            Self::Results => ("30954-2", "Relevant diagnostic tests/laboratory data note", "Results"),
            Self::Procedures => ("47519-4", "History of Procedures Document", "Procedures"),
            Self::Devices => ("46264-8", "History of medical device use", "Devices"),
            Self::Alerts => ("104605-1", "Alert", "Alerts"),
            Self::VitalSigns => ("8716-3", "Vital signs note", "Vital Signs"),
            Self::SocialHistory => ("29762-2", "Social history note", "Social History"),
            Self::Pregnancy => ("10162-6", "History of pregnancies Narrative", "Pregnancy"),
            Self::PastIllness => ("11348-0", "History of Past illness note", "Past Illness"),
            Self::FunctionalStatus => ("47420-5", "Functional status assessment note", "Functional Status"),
            Self::PlanOfCare => ("18776-5", "Plan of care note", "Plan of Care"),
            Self::AdvanceDirectives => ("42348-3", "Advance healthcare directives", "Advance Directives"),
        }
    }

    pub(crate) fn code(self) -> &'static str {
        self.names().0
    }

    pub(crate) fn display(self) -> &'static str {
        self.names().1
    }

    pub(crate) fn title(self) -> &'static str {
        self.names().2
    }

    /// Whether the section is there even with nothing in it.
    pub(crate) fn is_required(self) -> bool {
        matches!(self, Self::Problems | Self::Allergies | Self::Medications)
    }

    /// How many of the newest entries with one code are listed. Courses of values are worth three; what
    /// holds until further notice is worth one.
    pub(crate) fn newest_per_code(self) -> usize {
        match self {
            Self::Immunizations => 10,
            Self::Results | Self::Procedures | Self::VitalSigns | Self::Pregnancy => 3,
            _ => 1,
        }
    }

    /// Whether any section takes resources of this type.
    pub(crate) fn takes(resource_type: ResourceType) -> bool {
        matches!(
            resource_type.as_str(),
            "AllergyIntolerance"
                | "CarePlan"
                | "ClinicalImpression"
                | "Condition"
                | "Consent"
                | "Device"
                | "DeviceUseStatement"
                | "DiagnosticReport"
                | "Flag"
                | "Immunization"
                | "MedicationRequest"
                | "MedicationStatement"
                | "Observation"
                | "Procedure"
        )
    }

    /// The section that a resource belongs into by its status, category and code; nothing for what is
    /// over, planned, refuted or entered in error, where the section wants what holds.
    pub(crate) fn of(resource_type: ResourceType, json: &Value) -> Option<Self> {
        let status = text(json, "status").unwrap_or_default();
        let one_of = |allowed: &[&str], section| allowed.contains(&status).then_some(section);
        match resource_type.as_str() {
            "Condition" => condition(json),
            "AllergyIntolerance" => allergy(json),
            "MedicationStatement" => one_of(&["active", "intended", "on-hold", "unknown"], Self::Medications),
            "MedicationRequest" => {
                let wanted = text(json, "intent") != Some("proposal") && json.get("doNotPerform") != Some(&true.into());
                one_of(&["active", "on-hold", "unknown"], Self::Medications).filter(|_| wanted)
            }
            "Immunization" => one_of(&["completed"], Self::Immunizations),
            "Procedure" => one_of(&["completed", "in-progress", "on-hold", "unknown"], Self::Procedures),
            "DeviceUseStatement" => one_of(&["active", "on-hold"], Self::Devices),
            // A Device that belongs to the patient; others are only referred to.
            "Device" => one_of(&["active", ""], Self::Devices).filter(|_| json.get("patient").is_some()),
            "Flag" => one_of(&["active"], Self::Alerts),
            "CarePlan" => one_of(&["active", "on-hold"], Self::PlanOfCare),
            "ClinicalImpression" => one_of(&["completed"], Self::FunctionalStatus),
            "Consent" => one_of(&["active"], Self::AdvanceDirectives).filter(|_| is_directive(json)),
            "DiagnosticReport" => {
                one_of(&["final", "amended", "corrected", "appended", "preliminary", "partial"], Self::Results)
                    .filter(|_| is_result(json))
            }
            "Observation" => {
                let sound = matches!(status, "final" | "amended" | "corrected" | "preliminary");
                if sound { observation(json) } else { None }
            }
            _ => None,
        }
    }
}

/// The code by which entries count as the same; nothing for what has none.
pub(crate) fn code(json: &Value) -> Option<String> {
    let members = ["code", "vaccineCode", "medicationCodeableConcept"];
    let concept = members.iter().find_map(|member| json.get(member));
    if let Some(concept) = concept {
        let coded = codes(concept).next().map(|(system, code)| format!("{system}|{code}"));
        return coded.or_else(|| text(concept, "text").map(str::to_owned));
    }
    let reference = json.get("medicationReference").or_else(|| json.get("device"))?;
    // A contained resource is another one in each container.
    text(reference, "reference").filter(|reference| !reference.starts_with('#')).map(str::to_owned)
}

/// Codes of a member that is one concept or a list of them.
fn has_code(json: &Value, member: &str, accepted: impl Fn(&str, &str) -> bool) -> bool {
    let found = json.get(member);
    let list = found
        .and_then(Value::as_array)
        .map_or_else(|| found.into_iter().collect(), |list| list.iter().collect::<Vec<_>>());
    list.into_iter().flat_map(codes).any(|(system, code)| accepted(system, code))
}

fn condition(json: &Value) -> Option<Section> {
    if has_code(json, "verificationStatus", |_, code| matches!(code, "refuted" | "entered-in-error")) {
        return None;
    }
    let is_over = has_code(json, "clinicalStatus", |_, code| matches!(code, "inactive" | "remission" | "resolved"));
    let is_active = has_code(json, "clinicalStatus", |_, code| matches!(code, "active" | "recurrence" | "relapse"));
    let has_ended = crate::display::choice(json, "abatement").is_some();
    if has_code(json, "category", |_, code| is_functional(code)) {
        return (!is_over).then_some(Section::FunctionalStatus);
    }
    Some(if is_over || has_ended && !is_active { Section::PastIllness } else { Section::Problems })
}

fn allergy(json: &Value) -> Option<Section> {
    let wrong = has_code(json, "verificationStatus", |_, code| matches!(code, "refuted" | "entered-in-error"));
    let over = has_code(json, "clinicalStatus", |_, code| matches!(code, "inactive" | "resolved"));
    (!wrong && !over).then_some(Section::Allergies)
}

fn observation(json: &Value) -> Option<Section> {
    let coded = |known: &[&str]| has_code(json, "code", |system, code| system == LOINC && known.contains(&code));
    let category = |wanted: &str| has_code(json, "category", |_, code| code == wanted);
    if coded(PREGNANCY) {
        Some(Section::Pregnancy)
    } else if coded(SOCIAL) || category("social-history") {
        Some(Section::SocialHistory)
    } else if category("vital-signs") || coded(VITAL) {
        Some(Section::VitalSigns)
    } else if category("laboratory") || category("imaging") || json.get("category").is_none() {
        Some(Section::Results)
    } else {
        has_code(json, "category", |_, code| is_functional(code)).then_some(Section::FunctionalStatus)
    }
}

/// Categories of US Core that mark functional status.
fn is_functional(code: &str) -> bool {
    matches!(code, "functional-status" | "disability-status" | "cognitive-status")
}

fn is_result(json: &Value) -> bool {
    let service = |system: &str, code: &str| system.ends_with("/v2-0074") || system == LOINC && REPORTS.contains(&code);
    has_code(json, "category", service) || json.get("category").is_none() && json.get("result").is_some()
}

/// Consents that say how to be treated. Consents to sharing data are no part of a summary.
fn is_directive(json: &Value) -> bool {
    has_code(json, "scope", |_, code| matches!(code, "adr" | "treatment"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn check(name: &str, body: &str) -> Option<Section> {
        // `@x;` is short for a concept with that code of LOINC.
        let body = body.replace('@', r#"{"coding":[{"system":"http://loinc.org","code":""#).replace(';', r#""}]}"#);
        let json: Value = serde_json::from_str(&format!("{{{body}}}")).unwrap_or_else(|e| panic!("{e}: {body}"));
        assert!(Section::takes(name.parse().unwrap()));
        Section::of(name.parse().unwrap(), &json)
    }

    #[test]
    fn status_category_and_code_decide() {
        use Section as S;
        for (name, body, section) in [
            ("Condition", r#""clinicalStatus":@active;"#, Some(S::Problems)),
            ("Condition", r#""clinicalStatus":@relapse;,"abatementDateTime":"2020""#, Some(S::Problems)),
            ("Condition", "", Some(S::Problems)),
            ("Condition", r#""abatementDateTime":"2020""#, Some(S::PastIllness)),
            ("Condition", r#""clinicalStatus":@resolved;"#, Some(S::PastIllness)),
            ("Condition", r#""clinicalStatus":@remission;"#, Some(S::PastIllness)),
            ("Condition", r#""clinicalStatus":@active;,"verificationStatus":@refuted;"#, None),
            ("Condition", r#""verificationStatus":@entered-in-error;"#, None),
            ("Condition", r#""category":[@disability-status;]"#, Some(S::FunctionalStatus)),
            ("Condition", r#""category":[@disability-status;],"clinicalStatus":@resolved;"#, None),
            ("AllergyIntolerance", r#""clinicalStatus":@active;"#, Some(S::Allergies)),
            ("AllergyIntolerance", r#""code":@x;"#, Some(S::Allergies)),
            ("AllergyIntolerance", r#""clinicalStatus":@resolved;"#, None),
            ("AllergyIntolerance", r#""verificationStatus":@refuted;"#, None),
            ("MedicationStatement", r#""status":"active""#, Some(S::Medications)),
            ("MedicationStatement", r#""status":"stopped""#, None),
            ("MedicationStatement", r#""status":"entered-in-error""#, None),
            ("MedicationRequest", r#""status":"active","intent":"order""#, Some(S::Medications)),
            ("MedicationRequest", r#""status":"active","intent":"proposal""#, None),
            ("MedicationRequest", r#""status":"active","intent":"order","doNotPerform":true"#, None),
            ("MedicationRequest", r#""status":"completed","intent":"order""#, None),
            ("Immunization", r#""status":"completed""#, Some(S::Immunizations)),
            ("Immunization", r#""status":"not-done""#, None),
            ("Procedure", r#""status":"completed""#, Some(S::Procedures)),
            ("Procedure", r#""status":"not-done""#, None),
            ("DeviceUseStatement", r#""status":"active""#, Some(S::Devices)),
            ("DeviceUseStatement", r#""status":"completed""#, None),
            ("Device", r#""status":"active","patient":{"reference":"Patient/1"}"#, Some(S::Devices)),
            ("Device", r#""patient":{"reference":"Patient/1"}"#, Some(S::Devices)),
            ("Device", r#""status":"active""#, None),
            ("Device", r#""status":"inactive","patient":{"reference":"Patient/1"}"#, None),
            ("Flag", r#""status":"active""#, Some(S::Alerts)),
            ("Flag", r#""status":"inactive""#, None),
            ("CarePlan", r#""status":"active""#, Some(S::PlanOfCare)),
            ("CarePlan", r#""status":"completed""#, None),
            ("ClinicalImpression", r#""status":"completed""#, Some(S::FunctionalStatus)),
            ("Consent", r#""status":"active","scope":@adr;"#, Some(S::AdvanceDirectives)),
            ("Consent", r#""status":"active","scope":@patient-privacy;"#, None),
            ("Consent", r#""status":"rejected","scope":@adr;"#, None),
            ("DiagnosticReport", r#""status":"final","category":[@LP29693-6;]"#, Some(S::Results)),
            ("DiagnosticReport", r#""status":"final","category":[@34117-2;]"#, None),
            ("DiagnosticReport", r#""status":"final","result":[{}]"#, Some(S::Results)),
            ("DiagnosticReport", r#""status":"cancelled","result":[{}]"#, None),
            ("Observation", r#""status":"final","category":[@laboratory;]"#, Some(S::Results)),
            ("Observation", r#""status":"final","code":@2339-0;"#, Some(S::Results)),
            ("Observation", r#""status":"final","category":[@vital-signs;]"#, Some(S::VitalSigns)),
            ("Observation", r#""status":"final","code":@8867-4;"#, Some(S::VitalSigns)),
            ("Observation", r#""status":"final","category":[@social-history;]"#, Some(S::SocialHistory)),
            ("Observation", r#""status":"final","code":@72166-2;,"category":[@survey;]"#, Some(S::SocialHistory)),
            ("Observation", r#""status":"final","code":@82810-3;,"category":[@laboratory;]"#, Some(S::Pregnancy)),
            ("Observation", r#""status":"final","category":[@functional-status;]"#, Some(S::FunctionalStatus)),
            ("Observation", r#""status":"final","category":[@survey;]"#, None),
            ("Observation", r#""status":"cancelled","category":[@laboratory;]"#, None),
            ("Observation", r#""status":"entered-in-error","category":[@vital-signs;]"#, None),
        ] {
            assert_eq!(check(name, body), section, "{name} {body}");
        }
        assert!(!Section::takes("Claim".parse().unwrap()));
    }

    #[test]
    fn codes_tell_entries_apart() {
        for (json, expected) in [
            (r#"{"code":{"coding":[{"system":"s","code":"1"},{"code":"2"}],"text":"t"}}"#, Some("s|1")),
            (r#"{"vaccineCode":{"text":"t"}}"#, Some("t")),
            (r#"{"medicationCodeableConcept":{"coding":[{"code":"1"}]}}"#, Some("|1")),
            (r#"{"medicationReference":{"reference":"Medication/1"}}"#, Some("Medication/1")),
            (r##"{"medicationReference":{"reference":"#1"}}"##, None),
            (r#"{"code":{}}"#, None),
            ("{}", None),
        ] {
            assert_eq!(code(&serde_json::from_str(json).unwrap()).as_deref(), expected, "{json}");
        }
    }
}
