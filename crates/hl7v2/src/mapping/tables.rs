//! Code tables of HL7 v2 as FHIR's codes (the concept maps of the v2-to-FHIR guide), and the URIs of code
//! systems. Codes that are not here stay codes of their v2 table, where FHIR takes any, or are left out.

/// The value beside a code.
pub(crate) fn lookup(table: &'static [(&str, &str)], code: &str) -> Option<&'static str> {
    table.iter().find(|(from, _)| *from == code).map(|(_, to)| *to)
}

/// Table 0001 to `administrative-gender`.
pub(crate) static SEX: &[(&str, &str)] =
    &[("F", "female"), ("M", "male"), ("O", "other"), ("A", "other"), ("N", "other"), ("U", "unknown"), ("X", "other")];

/// Table 0002 to v3-MaritalStatus; the others stay in v2-0002.
pub(crate) static MARITAL_STATUS: &[(&str, &str)] = &[
    ("B", "U"),
    ("D", "D"),
    ("E", "L"),
    ("I", "I"),
    ("M", "M"),
    ("N", "A"),
    ("P", "T"),
    ("R", "T"),
    ("S", "S"),
    ("W", "W"),
];

/// Table 0200 to `name-use`.
pub(crate) static NAME_USE: &[(&str, &str)] = &[
    ("L", "official"),
    ("R", "official"),
    ("D", "usual"),
    ("M", "maiden"),
    ("N", "nickname"),
    ("S", "anonymous"),
    ("BAD", "old"),
];

/// Table 0190 to `address-use`.
pub(crate) static ADDRESS_USE: &[(&str, &str)] = &[
    ("H", "home"),
    ("HOME", "home"),
    ("P", "home"),
    ("L", "home"),
    ("B", "work"),
    ("O", "work"),
    ("C", "temp"),
    ("V", "temp"),
    ("BA", "old"),
    ("BI", "billing"),
];

/// Table 0201 to `contact-point-use`.
pub(crate) static TELECOM_USE: &[(&str, &str)] =
    &[("PRN", "home"), ("HOME", "home"), ("ORN", "home"), ("VHN", "temp"), ("WPN", "work"), ("PRS", "mobile")];

/// Table 0202 to `contact-point-system`.
pub(crate) static TELECOM_SYSTEM: &[(&str, &str)] = &[
    ("PH", "phone"),
    ("CP", "phone"),
    ("SAT", "phone"),
    ("FX", "fax"),
    ("BP", "pager"),
    ("INTERNET", "email"),
    ("X.400", "email"),
    ("MD", "other"),
    ("TDD", "other"),
    ("TTY", "other"),
];

/// Table 0004 to v3-ActCode; the others stay in v2-0004.
pub(crate) static PATIENT_CLASS: &[(&str, (&str, &str))] = &[
    ("E", ("EMER", "emergency")),
    ("I", ("IMP", "inpatient encounter")),
    ("O", ("AMB", "ambulatory")),
    ("P", ("PRENC", "pre-admission")),
];

/// Table 0085 to `observation-status`.
pub(crate) static RESULT_STATUS: &[(&str, &str)] = &[
    ("A", "amended"),
    ("B", "amended"),
    ("C", "corrected"),
    ("D", "entered-in-error"),
    ("F", "final"),
    ("I", "registered"),
    ("N", "cancelled"),
    ("O", "registered"),
    ("P", "preliminary"),
    ("R", "preliminary"),
    ("S", "preliminary"),
    ("U", "final"),
    ("V", "final"),
    ("W", "entered-in-error"),
    ("X", "cancelled"),
];

/// Table 0123 to `diagnostic-report-status`.
pub(crate) static REPORT_STATUS: &[(&str, &str)] = &[
    ("A", "partial"),
    ("C", "corrected"),
    ("F", "final"),
    ("I", "registered"),
    ("M", "corrected"),
    ("N", "partial"),
    ("O", "registered"),
    ("P", "preliminary"),
    ("R", "preliminary"),
    ("S", "registered"),
    ("X", "cancelled"),
];

/// Table 0119, order control codes that end or hold an order, to `request-status`.
pub(crate) static ORDER_CONTROL: &[(&str, &str)] = &[
    ("CA", "revoked"),
    ("CR", "revoked"),
    ("DC", "revoked"),
    ("DR", "revoked"),
    ("OC", "revoked"),
    ("OD", "revoked"),
    ("RP", "revoked"),
    ("RQ", "revoked"),
    ("RU", "revoked"),
    ("HD", "on-hold"),
    ("HR", "on-hold"),
    ("OH", "on-hold"),
    ("DE", "entered-in-error"),
];

/// Table 0038 to `request-status`.
pub(crate) static ORDER_STATUS: &[(&str, &str)] = &[
    ("A", "active"),
    ("CA", "revoked"),
    ("CM", "completed"),
    ("DC", "revoked"),
    ("ER", "entered-in-error"),
    ("HD", "on-hold"),
    ("IP", "active"),
    ("RP", "revoked"),
    ("SC", "active"),
];

/// Priorities of OBR-5, OBR-27.6 and TQ1-9 to `request-priority`.
pub(crate) static PRIORITY: &[(&str, &str)] =
    &[("S", "stat"), ("STAT", "stat"), ("A", "asap"), ("ASAP", "asap"), ("R", "routine"), ("ROUTINE", "routine")];

/// Table 0127 to `allergy-intolerance-category`.
pub(crate) static ALLERGY_CATEGORY: &[(&str, &str)] = &[
    ("DA", "medication"),
    ("FA", "food"),
    ("EA", "environment"),
    ("LA", "environment"),
    ("PA", "environment"),
    ("AA", "environment"),
];

/// Table 0128 to `reaction-event-severity`.
pub(crate) static ALLERGY_SEVERITY: &[(&str, &str)] = &[("MI", "mild"), ("MO", "moderate"), ("SV", "severe")];

/// Table 0271 to `composition-status`.
pub(crate) static DOCUMENT_STATUS: &[(&str, &str)] = &[
    ("AU", "final"),
    ("LA", "final"),
    ("DI", "preliminary"),
    ("DO", "preliminary"),
    ("IN", "preliminary"),
    ("IP", "preliminary"),
    ("PA", "preliminary"),
];

/// Codes that v3-ObservationInterpretation shares with table 0078.
pub(crate) static INTERPRETATIONS: &[&str] = &[
    "<", ">", "A", "AA", "AC", "B", "D", "DET", "H", "HH", "HM", "HU", "HX", "I", "IND", "L", "LL", "LU", "LX", "MS",
    "N", "ND", "NEG", "NR", "NS", "POS", "QCF", "R", "RR", "S", "TOX", "U", "VS", "W", "WR",
];

/// Coding systems (table 0396) to their URIs.
pub(crate) static CODE_SYSTEMS: &[(&str, &str)] = &[
    ("LN", "http://loinc.org"),
    ("SCT", "http://snomed.info/sct"),
    ("UCUM", "http://unitsofmeasure.org"),
    ("I10", "http://hl7.org/fhir/sid/icd-10"),
    ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
    ("I10P", "http://www.cms.gov/Medicare/Coding/ICD10"),
    ("I9C", "http://hl7.org/fhir/sid/icd-9-cm"),
    ("I9CDX", "http://hl7.org/fhir/sid/icd-9-cm"),
    ("RXNORM", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("NDC", "http://hl7.org/fhir/sid/ndc"),
    ("CVX", "http://hl7.org/fhir/sid/cvx"),
    ("C4", "http://www.ama-assn.org/go/cpt"),
    ("CPT", "http://www.ama-assn.org/go/cpt"),
    ("CDCREC", "urn:oid:2.16.840.1.113883.6.238"),
    ("DCM", "http://dicom.nema.org/resources/ontology/DCM"),
    ("NUCC", "http://nucc.org/provider-taxonomy"),
    ("UNII", "http://fdasis.nlm.nih.gov"),
    ("ISO3166_1", "urn:iso:std:iso:3166"),
    ("BCP47", "urn:ietf:bcp:47"),
    ("ISO639", "urn:ietf:bcp:47"),
];

/// Authorities whose identifiers have a URI of their own in FHIR, by name or OID.
pub(crate) static AUTHORITIES: &[(&str, &str)] = &[
    ("USSSA", "http://hl7.org/fhir/sid/us-ssn"),
    ("2.16.840.1.113883.4.1", "http://hl7.org/fhir/sid/us-ssn"),
    ("2.16.840.1.113883.4.6", "http://hl7.org/fhir/sid/us-npi"),
];

/// Units that are UCUM codes as they stand; a laboratory that names no system for these means UCUM.
pub(crate) static UCUM_UNITS: &[&str] = &[
    "%", "/min", "10*12/L", "10*3/uL", "10*6/uL", "10*9/L", "Cel", "U/L", "[degF]", "[lb_av]", "[in_i]", "[pH]", "a",
    "cm", "d", "dL", "fL", "g", "g/L", "g/dL", "h", "kU/L", "kg", "kg/m2", "kPa", "L", "L/min", "m", "mL", "mL/min",
    "mU/L", "meq/L", "mg", "mg/L", "mg/dL", "mg/g", "mg/mmol", "min", "mm", "mm/h", "mm[Hg]", "mmol/L", "mmol/mol",
    "mosm/kg", "ms", "ng/L", "ng/dL", "ng/mL", "nmol/L", "pg", "pg/mL", "pmol/L", "s", "ug", "ug/L", "ug/dL", "umol/L",
    "u[IU]/mL", "m[IU]/L", "m[IU]/mL", "[IU]/L", "[IU]/mL", "{INR}", "{score}",
];

/// The system of a v2 table.
pub(crate) fn v2(table: &str) -> String {
    format!("http://terminology.hl7.org/CodeSystem/v2-{table}")
}
