//! Validation of a resource against the base definitions of FHIR R4: structure, cardinality, types,
//! formats, required value sets, references, contained resources, narratives, and the invariants
//! that are simple to state. It knows no profiles and no terminology service.
//!
//! Every fault is named with its FHIRPath expression, a stable code, what was expected and what to
//! do. Texts quote codes and names of elements, never other values.
//!
//! | file | what it checks |
//! |---|---|
//! | `walk` | the elements of every object, against the tables of [`crate::structure`] |
//! | `primitive` | formats of single values |
//! | `scope` | where references lead: contained resources, entries of the same Bundle |
//! | `rules` | invariants |
//! | `fault` | what is said of each fault |

mod fault;
mod primitive;
mod rules;
mod scope;
mod walk;

use serde_json::Value;

pub use primitive::STRING_BYTES_MAX;

use crate::outcome::{Issue, Severity};

/// Errors listed at most; the first ones found. Then the walk stops.
pub const ERRORS_LISTED_MAX: usize = 100;
/// Warnings and notes listed at most, besides the errors.
pub const NOTES_LISTED_MAX: usize = 20;

/// What becomes of elements that FHIR R4 does not define (R4 http.html, `Prefer: handling`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// They are kept, and noted as information.
    Lenient,
    /// They are errors.
    Strict,
}

/// The faults of a resource, and what deserves a look, in document order. A resource may be taken in
/// when no issue is an error ([`is_acceptable`]).
///
/// The time is linear in the size of the resource, and the depth of recursion is bounded by
/// [`crate::JSON_DEPTH_MAX`].
pub fn validate(resource: &Value, handling: Handling) -> Vec<Issue> {
    walk::Walk::new(handling).of(resource)
}

/// Whether none of the issues is an error.
pub fn is_acceptable(issues: &[Issue]) -> bool {
    issues.iter().all(|issue| matches!(issue.severity(), Severity::Warning | Severity::Information))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;
    use crate::JSON_DEPTH_MAX;

    /// Every issue as `severity code expression`.
    fn found(resource: &Value, handling: Handling) -> Vec<String> {
        let issues = validate(resource, handling);
        let line = |issue: &Issue| {
            let severity = match issue.severity() {
                Severity::Fatal | Severity::Error => "",
                Severity::Warning => "warning ",
                Severity::Information => "note ",
            };
            format!("{severity}{} {}", issue.stable_code(), issue.expressions().join(","))
        };
        issues.iter().map(line).collect()
    }

    fn check(resource: &Value, expected: &[&str]) {
        assert_eq!(found(resource, Handling::Strict), expected, "{resource}");
    }

    #[test]
    fn resources_as_a_whole() {
        check(&json!(null), &["wrong-json Resource"]);
        check(&json!([]), &["wrong-json Resource"]);
        check(&json!({}), &["missing-resource-type Resource"]);
        check(&json!({"resourceType": 7}), &["wrong-json Resource.resourceType"]);
        check(&json!({"resourceType": "Zebra"}), &["unknown-resource-type Resource.resourceType"]);
        check(&json!({"resourceType": "DomainResource"}), &["unknown-resource-type Resource.resourceType"]);
        check(&json!({"resourceType": "HumanName"}), &["unknown-resource-type Resource.resourceType"]);
        check(&json!({"resourceType": "Patient"}), &[]);
        check(&json!({"resourceType": "Basic"}), &["missing-element Basic.code"]);
        check(
            &json!({"resourceType": "Patient", "name": [{"resourceType": "Patient", "text": "x"}]}),
            &["unknown-element Patient.name[0].resourceType"],
        );
    }

    #[test]
    fn unknown_elements_by_handling() {
        let patient = json!({"resourceType": "Patient", "birthdate": "1970-01-01", "deceased": true, "_name": {"id": "x"},
            "_birthDate": {"id": "x", "zebra": 1}, "_id": "of a database"});
        let places =
            ["Patient.birthdate", "Patient.deceased", "Patient._name", "Patient.birthDate.zebra", "Patient._id"];
        check(&patient, &places.map(|place| format!("unknown-element {place}")).each_ref().map(String::as_str));
        assert_eq!(found(&patient, Handling::Lenient), places.map(|place| format!("note unknown-element {place}")));
        assert!(is_acceptable(&validate(&patient, Handling::Lenient)));
        let remedies: Vec<_> = validate(&patient, Handling::Strict)
            .iter()
            .map(|issue| serde_json::to_value(issue).unwrap()["diagnostics"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(remedies[0], "did you mean birthDate?");
        assert_eq!(remedies[1], "write its type into the name: deceasedBoolean, deceasedDateTime");
        assert!(remedies[3].starts_with("remove it"));
    }

    #[test]
    fn primitive_extensions() {
        let extension = json!({"extension": [{"url": "u", "valueCode": "c"}]});
        let patient = |more: Value| {
            let mut patient = json!({"resourceType": "Patient"});
            patient.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
            patient
        };
        check(&patient(json!({"_birthDate": extension})), &[]);
        check(&patient(json!({"birthDate": "1970", "_birthDate": extension})), &[]);
        check(&patient(json!({"birthDate": null, "_birthDate": extension})), &["wrong-json Patient.birthDate"]);
        check(&patient(json!({"_birthDate": "x"})), &["wrong-json Patient.birthDate"]);
        check(&patient(json!({"_birthDate": {}})), &["empty Patient.birthDate"]);
        check(
            &patient(json!({"_birthDate": {"extension": [{"url": "u"}]}})),
            &["ext-1 Patient.birthDate.extension[0]"],
        );
        let name = |more: Value| patient(json!({"name": [more]}));
        check(&name(json!({"given": ["a", null], "_given": [null, extension]})), &[]);
        check(&name(json!({"_given": [extension]})), &[]);
        check(&name(json!({"given": ["a", null]})), &["empty Patient.name[0].given[1]"]);
        check(&name(json!({"given": ["a", null], "_given": [null, null]})), &["empty Patient.name[0].given[1]"]);
        check(
            &name(json!({"given": ["a"], "_given": [null, extension]})),
            &["misaligned-extensions Patient.name[0].given"],
        );
        check(&name(json!({"given": ["a"], "_given": extension})), &["wrong-json Patient.name[0].given"]);
        // A required element may have an extension in place of a value.
        let code = json!({"text": "c"});
        check(&json!({"resourceType": "Observation", "_status": extension, "code": code}), &[]);
        check(&json!({"resourceType": "Observation", "status": "final", "code": code, "_valueString": extension}), &[]);
        check(
            &json!({"resourceType": "Observation", "status": "final", "code": code, "_valueString": extension, "valueInteger": 1}),
            &["two-choices Observation.value"],
        );
    }

    #[test]
    fn contained_resources() {
        let condition = |contained: Value, asserter: &str| {
            json!({"resourceType": "Condition", "contained": contained, "subject": {"reference": "Patient/p"},
                "asserter": {"reference": asserter}})
        };
        let doctor = json!({"resourceType": "Practitioner", "id": "d"});
        let place = "Condition.contained[0]";
        check(&condition(json!([doctor]), "#d"), &[]);
        check(&condition(json!([doctor]), "Practitioner/x"), &[&format!("dom-3 {place}")]);
        check(&condition(json!([doctor]), "#e"), &["ref-1 Condition.asserter.reference", &format!("dom-3 {place}")]);
        check(
            &condition(json!([{"resourceType": "Device", "id": "d"}]), "#d"),
            &["reference-target Condition.asserter"],
        );
        check(
            &condition(json!([{"resourceType": "Practitioner"}]), "Practitioner/x"),
            &[&format!("contained-without-id {place}")],
        );
        check(&condition(json!([doctor, doctor]), "#d"), &["contained-twice Condition.contained[1].id"]);
        check(
            &condition(
                json!([{"resourceType": "Practitioner", "id": "d", "contained": [{"resourceType": "Basic", "id": "b", "code": {"text": "x"}}]}]),
                "#d",
            ),
            &[&format!("dom-2 {place}.contained[0]")],
        );
        check(
            &condition(
                json!([{"resourceType": "Practitioner", "id": "d", "meta": {"versionId": "1", "security": [{"code": "R"}]}}]),
                "#d",
            ),
            &[&format!("dom-4 {place}.meta.versionId"), &format!("dom-5 {place}.meta.security")],
        );
        check(
            &condition(json!([{"resourceType": "Zebra", "id": "d"}]), "#x"),
            &[
                &format!("unknown-resource-type {place}.resourceType"),
                "ref-1 Condition.asserter.reference",
                &format!("dom-3 {place}"),
            ],
        );
        // A provenance that points back at its container needs no reference to itself.
        let back = json!({"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "#"}});
        check(&condition(json!([back]), "Practitioner/x"), &[]);
    }

    #[test]
    fn references() {
        let observation = |subject: Value| json!({"resourceType": "Observation", "status": "final", "code": {"text": "c"}, "subject": subject});
        for reference in
            ["Patient/p", "https://h.example/fhir/Group/g", "urn:uuid:1", "Patient?identifier=1", "Device/d/_history/1"]
        {
            check(&observation(json!({"reference": reference})), &[]);
        }
        for reference in ["Account/a", "https://h.example/fhir/Account/a", "Account?identifier=1"] {
            check(&observation(json!({"reference": reference})), &["reference-target Observation.subject"]);
        }
        check(&observation(json!({"type": "Account", "display": "x"})), &["reference-target Observation.subject"]);
        check(
            &observation(json!({"type": "Group", "reference": "Patient/p"})),
            &["reference-type-differs Observation.subject.type"],
        );
        check(&observation(json!({"reference": "nowhere"})), &["warning reference-form Observation.subject.reference"]);
        let bundle = |url: &str, entry: Value| {
            json!({"resourceType": "Bundle", "type": "collection", "entry": [
                {"fullUrl": "urn:uuid:1", "resource": entry},
                {"resource": observation(json!({"reference": url}))}]})
        };
        check(&bundle("urn:uuid:1", json!({"resourceType": "Patient"})), &[]);
        check(&bundle("urn:uuid:2", json!({"resourceType": "Patient"})), &[]);
        let task = json!({"resourceType": "Basic", "code": {"text": "x"}});
        check(&bundle("urn:uuid:1", task), &["reference-target Bundle.entry[1].resource.subject"]);
    }

    #[test]
    fn bundles() {
        let patient = json!({"resourceType": "Patient"});
        let bundle = |kind: &str, more: Value, entries: Value| {
            let mut bundle = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
            bundle.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
            bundle
        };
        let request = json!({"method": "POST", "url": "Patient"});
        let entry = json!({"resource": patient});
        for (bundle, expected) in [
            (bundle("collection", json!({}), json!([entry])), vec![]),
            (bundle("collection", json!({"total": 1}), json!([entry])), vec!["bdl-1 Bundle.total"]),
            (
                bundle("collection", json!({}), json!([{"resource": patient, "search": {"mode": "match"}}])),
                vec!["bdl-2 Bundle.entry[0].search"],
            ),
            (
                bundle("searchset", json!({"total": 1}), json!([{"resource": patient, "search": {"mode": "match"}}])),
                vec![],
            ),
            (bundle("transaction", json!({}), json!([{"resource": patient, "request": request}])), vec![]),
            (bundle("transaction", json!({}), json!([entry])), vec!["bdl-3 Bundle.entry[0]"]),
            (
                bundle("collection", json!({}), json!([{"resource": patient, "request": request}])),
                vec!["bdl-3 Bundle.entry[0].request"],
            ),
            (bundle("batch-response", json!({}), json!([entry])), vec!["bdl-4 Bundle.entry[0]"]),
            (bundle("collection", json!({}), json!([{"fullUrl": "urn:uuid:1"}])), vec!["bdl-5 Bundle.entry[0]"]),
            (
                bundle(
                    "collection",
                    json!({}),
                    json!([{"fullUrl": "urn:uuid:1", "resource": patient}, {"fullUrl": "urn:uuid:1", "resource": patient}]),
                ),
                vec!["bdl-7 Bundle.entry[1].fullUrl"],
            ),
            (
                bundle(
                    "collection",
                    json!({}),
                    json!([{"fullUrl": "http://h.example/Patient/1/_history/1", "resource": patient}]),
                ),
                vec!["bdl-8 Bundle.entry[0]"],
            ),
            (
                bundle("document", json!({}), json!([entry])),
                vec!["bdl-9 Bundle", "bdl-10 Bundle", "bdl-11 Bundle.entry[0]"],
            ),
            (bundle("message", json!({}), json!([entry])), vec!["bdl-12 Bundle.entry[0]"]),
            (
                bundle("collection", json!({}), json!([{"resource": {"resourceType": "Patient", "gender": "x"}}])),
                vec!["code-not-in-value-set Bundle.entry[0].resource.gender"],
            ),
        ] {
            check(&bundle, &expected);
        }
    }

    #[test]
    fn invariants_and_concepts() {
        let observation = |more: Value| {
            let mut observation = json!({"resourceType": "Observation", "status": "final",
                "code": {"coding": [{"system": "s", "code": "c"}]}});
            observation.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
            observation
        };
        let component = |code: &str| json!({"code": {"coding": [{"system": "s", "code": code}]}});
        check(&observation(json!({"valueString": "x", "dataAbsentReason": {"text": "y"}})), &["obs-6 Observation"]);
        check(&observation(json!({"valueString": "x", "component": [component("d")]})), &[]);
        check(&observation(json!({"valueString": "x", "component": [component("c")]})), &["obs-7 Observation"]);
        check(&observation(json!({"component": [component("c")]})), &[]);
        check(
            &observation(json!({"referenceRange": [{"appliesTo": [{"text": "x"}]}]})),
            &["obs-3 Observation.referenceRange[0]"],
        );
        check(&json!({"resourceType": "Patient", "contact": [{"gender": "male"}]}), &["pat-1 Patient.contact[0]"]);
        check(&json!({"resourceType": "Organization", "active": true}), &["org-1 Organization"]);
        let timing = json!({"repeat": {"duration": 1, "period": 1}});
        let request = json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order",
            "subject": {"reference": "Patient/p"}, "occurrenceTiming": timing});
        let place = "ServiceRequest.occurrence.repeat";
        check(&request, &[&format!("tim-1 {place}"), &format!("tim-2 {place}")]);
        let condition = |status: Value| json!({"resourceType": "Condition", "subject": {"reference": "Patient/p"}, "clinicalStatus": status});
        let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
        check(&condition(json!({"coding": [{"system": "x", "code": "y"}, {"system": system, "code": "active"}]})), &[]);
        for status in [json!({"text": "active"}), json!({"coding": [{"system": "x", "code": "active"}]})] {
            check(&condition(status), &["code-not-in-value-set Condition.clinicalStatus"]);
        }
    }

    #[test]
    fn limits() {
        let many = |name: &str, count: usize| {
            let names: serde_json::Map<_, _> = (0..count).map(|at| (format!("{name}{at}"), json!(1))).collect();
            let mut patient = json!({"resourceType": "Patient"});
            patient.as_object_mut().unwrap().extend(names);
            patient
        };
        let strict = validate(&many("zebra", 50_000), Handling::Strict);
        assert_eq!(strict.len(), ERRORS_LISTED_MAX + 1);
        assert_eq!(strict.last().unwrap().stable_code(), "more-issues");
        // Notes never crowd out an error.
        let mut lenient = many("zebra", 50_000);
        lenient["gender"] = json!("x");
        let lenient = validate(&lenient, Handling::Lenient);
        assert_eq!(lenient.len(), NOTES_LISTED_MAX + 2);
        assert!(!is_acceptable(&lenient));
        let exact = validate(&many("zebra", ERRORS_LISTED_MAX), Handling::Strict);
        assert_eq!(exact.len(), ERRORS_LISTED_MAX);

        // Deeper than any parser gives us: the walk stops at the limit.
        let mut extension = json!({"url": "u", "valueCode": "c"});
        for _ in 0..JSON_DEPTH_MAX {
            extension = json!({"url": "u", "extension": [extension]});
        }
        let patient = json!({"resourceType": "Patient", "extension": [extension]});
        let issues = found(&patient, Handling::Strict);
        assert_eq!(issues.len(), 1);
        assert!(issues[0].starts_with("too-deep Patient.extension[0].extension[0]"), "{issues:?}");
    }
}
