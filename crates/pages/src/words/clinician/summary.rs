//! The International Patient Summary, and entries in lists.

/// What was read.
pub fn summary_of(read_to: u64) -> String {
    format!(
        "International Patient Summary, made now from the patient's record, which was read to entry {read_to} of its log. \
         Each entry says which hospital signed it. Of several entries with one code it lists the newest alone, of results, \
         procedures and vital signs the newest three, of vaccinations ten; medicines that are current are all listed."
    )
}

/// Names the list of sections.
pub const SECTIONS: &str = "Sections";
/// Nothing in a section.
pub const SECTION_EMPTY: &str = "Nothing is recorded. That is not the same as none known.";
/// Beside that.
pub const SECTION_MAYBE_WITHHELD: &str = "Entries of this record are withheld; some may belong here.";
/// Column.
pub const WHAT: &str = "What";
/// Column.
pub const SAYS: &str = "Details";
/// Column.
pub const WHEN: &str = "When";
/// Column.
pub const SOURCE_COLUMN: &str = "Signed by";
/// No date.
pub const NO_DATE: &str = "no date";
/// An entry without a name.
pub const UNNAMED: &str = "Without a name";
/// It is over.
pub const OVER: &str = "over";
/// It is to come.
pub const PLANNED: &str = "planned";
/// It is not certain, or not final.
pub const UNCERTAIN: &str = "not confirmed or not final";
/// It never took place.
pub const NOT_DONE: &str = "was not done or given";
/// An order not to do or give it.
pub const FORBIDDEN: &str = "must not be done or given";
/// It was written by mistake.
pub const WRONG: &str = "entered in error or refuted";

/// The rest of a section.
pub fn more_entries(count: usize) -> String {
    if count == 1 { "1 more entry".to_owned() } else { format!("{count} more entries") }
}

/// A section, by its code of LOINC.
pub fn section(code: &str) -> &'static str {
    match code {
        "11450-4" => "Problems",
        "48765-2" => "Allergies and intolerances",
        "10160-0" => "Medicines",
        "11369-6" => "Vaccinations",
        "30954-2" => "Results",
        "47519-4" => "Procedures",
        "46264-8" => "Devices",
        "104605-1" => "Alerts",
        "8716-3" => "Vital signs",
        "29762-2" => "Social history",
        "10162-6" => "Pregnancy",
        "11348-0" => "Past illness",
        "47420-5" => "Functional status",
        "18776-5" => "Plan of care",
        "42348-3" => "Advance directives",
        _ => "Other",
    }
}

/// The kind of an entry without a name, by its FHIR type.
pub fn kind(resource_type: &str) -> String {
    let known = match resource_type {
        "AllergyIntolerance" => "Allergy or intolerance",
        "MedicationRequest" => "Prescription",
        "MedicationStatement" => "Medicine taken",
        "Observation" => "Result or observation",
        "Condition" => "Problem or diagnosis",
        "Immunization" => "Vaccination",
        "DiagnosticReport" => "Report",
        "DeviceUseStatement" => "Device in use",
        "CarePlan" => "Plan of care",
        "Flag" => "Alert",
        other => other,
    };
    known.to_owned()
}
