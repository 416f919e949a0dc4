#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::json;

use super::*;

fn plain(resource_type: &str, resource: &Value) -> Plain {
    Plain::of(resource_type.parse().unwrap(), resource)
}

fn observation(more: &Value) -> Plain {
    let mut whole = json!({"code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}, "status": "final"});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    plain("Observation", &whole)
}

#[test]
fn a_measurement_has_name_number_unit_and_range() {
    let one = observation(&json!({
        "valueQuantity": {"value": 72, "unit": "/min", "code": "/min"}, "effectiveDateTime": "2026-03-01T08:00:00+01:00",
        "referenceRange": [{"low": {"value": 60, "unit": "/min"}, "high": {"value": 100, "unit": "/min"}}],
        "performer": [{"display": "Dr Ada"}], "encounter": {"reference": "Encounter/e1"},
    }));
    assert_eq!((one.kind, one.title.as_deref()), (Kind::Vital, Some("Heart rate")));
    let reading = &one.readings[0];
    let amount = reading.amount.as_ref().unwrap();
    assert_eq!((amount.text.as_str(), amount.number, amount.unit.as_str()), ("72", Some(72.0), "per minute"));
    assert_eq!(reading.usual, Some(Usual { low: Some(60.0), high: Some(100.0) }));
    assert_eq!(one.source.as_deref(), Some("Dr Ada"));
    assert_eq!(one.visit.unwrap().1.as_str(), "e1");
    let at = one.at.unwrap();
    assert_eq!((at.year, at.month, at.day, at.seconds), (2026, Some(3), Some(1), 1_772_348_400));
    assert_eq!(at.time, Some(TimeOfDay { hour: 8, minute: 0, offset_minutes: 60 }));
}

#[test]
fn blood_pressure_is_a_pair() {
    let part = |code: &str, value: u32| {
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": {"value": value, "code": "mm[Hg]"}})
    };
    let mut one = json!({"code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "component": [part("8462-4", 80), part("8480-6", 120)]});
    let shown = plain("Observation", &one);
    let (upper, lower) = shown.blood_pressure().unwrap();
    assert_eq!(
        (upper.amount.as_ref().unwrap().text.as_str(), lower.amount.as_ref().unwrap().text.as_str()),
        ("120", "80")
    );
    assert_eq!(upper.amount.as_ref().unwrap().unit, "mmHg");
    // Half of it is no pair.
    one["component"].as_array_mut().unwrap().pop();
    assert!(plain("Observation", &one).blood_pressure().is_none());
}

/// A range counts only where it is for everybody, usual, and in the same unit.
#[test]
fn ranges_come_from_the_data_alone() {
    let with = |ranges: Value| {
        let one = observation(
            &json!({"valueQuantity": {"value": 5, "unit": "mmol/L", "code": "mmol/L"}, "referenceRange": ranges}),
        );
        one.readings[0].usual
    };
    let range = |low: Option<f64>, high: Option<f64>| Some(Usual { low, high });
    let code = |code: &str| json!({"coding": [{"code": code}]});
    for (ranges, expected) in [
        (json!([]), None),
        (json!([{"text": "4 to 6"}]), None),
        (json!([{"low": {"value": 4}, "high": {"value": 6}}]), range(Some(4.0), Some(6.0))),
        (json!([{"high": {"value": 6, "unit": "mmol/L"}}]), range(None, Some(6.0))),
        (json!([{"low": {"value": 70, "unit": "mg/dL"}, "high": {"value": 110, "unit": "mg/dL"}}]), None),
        (
            json!([{"type": code("critical"), "low": {"value": 1}}, {"type": code("normal"), "low": {"value": 4}}]),
            range(Some(4.0), None),
        ),
        (json!([{"appliesTo": [code("female")], "low": {"value": 4}}]), None),
        (json!([{"age": {"low": {"value": 18}}, "low": {"value": 4}}]), None),
        (json!([{"low": {"value": 9}, "high": {"value": 2}}]), None),
        (json!([{"low": {"value": "4"}}]), None),
        (json!("4 to 6"), None),
        (json!([{"type": {"text": "therapeutic"}, "low": {"value": 4}}]), None),
        (json!([{"text": "women", "low": {"value": 4}}, {"text": "men", "low": {"value": 5}}]), None),
    ] {
        assert_eq!(with(ranges.clone()), expected, "{ranges}");
    }
}

#[test]
fn numbers_keep_their_digits_and_bounds_are_not_drawn() {
    let of = |value: Value| {
        observation(&json!({"valueQuantity": value})).readings.first().and_then(|one| one.amount.clone())
    };
    let written = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (value, text, number) in [
        (written(r#"{"value": 1.10, "unit": "kg"}"#), "1.10", Some(1.1)),
        (written(r#"{"value": 5, "comparator": "<"}"#), "< 5", None),
        (written(r#"{"value": 5, "comparator": "about"}"#), "5", Some(5.0)),
        (written(r#"{"value": -3}"#), "-3", Some(-3.0)),
    ] {
        let amount = of(value.clone()).unwrap();
        assert_eq!((amount.text.as_str(), amount.number), (text, number), "{value}");
    }
    for value in [json!({"value": "5"}), json!({}), json!(null), json!([5]), json!({"value": {"value": 5}})] {
        assert_eq!(of(value.clone()), None, "{value}");
    }
    let long = of(written(&format!("{{\"value\": 1.{}}}", "3".repeat(300)))).unwrap();
    assert_eq!(long.text, "1.3333333333333333e0", "not another number");
    let huge = of(written(r#"{"value": 1e400}"#));
    assert!(huge.is_none_or(|amount| amount.number.is_none()));
}

#[test]
fn names_are_those_that_people_use() {
    for (resource_type, resource, expected) in [
        ("Condition", json!({"code": {"coding": [{"code": "1", "display": "Asthma (disorder)"}]}}), Some("Asthma")),
        ("Procedure", json!({"code": {"text": "Removal of tooth (procedure)"}}), Some("Removal of tooth")),
        ("Condition", json!({"code": {"coding": [{"system": "http://snomed.info/sct", "code": "195967001"}]}}), None),
        ("Condition", json!({"code": {"text": "Pain (left arm)"}}), Some("Pain (left arm)")),
        ("Immunization", json!({"vaccineCode": {"text": "Tetanus"}, "status": "completed"}), Some("Tetanus")),
        ("MedicationRequest", json!({"medicationReference": {"display": "Ibuprofen"}}), Some("Ibuprofen")),
        (
            "MedicationRequest",
            json!({"medicationReference": {"reference": "#m"}, "contained": [{"id": "m", "code": {"text": "Aspirin"}}]}),
            Some("Aspirin"),
        ),
        ("DocumentReference", json!({"content": [{"attachment": {"title": "Letter"}}]}), Some("Letter")),
        ("Encounter", json!({"type": [{"text": "Check-up"}]}), Some("Check-up")),
        ("Patient", json!({"name": [{"given": ["Ada"], "family": "Byron"}]}), Some("Ada Byron")),
        (
            "FamilyMemberHistory",
            json!({"relationship": {"text": "Mother"}, "condition": [{"code": {"text": "Asthma"}}]}),
            Some("Mother: Asthma"),
        ),
        ("Condition", json!({"code": {"text": "  \n "}}), None),
        ("Condition", json!({"code": "Asthma"}), None),
        ("Condition", json!([]), None),
        ("Condition", json!(null), None),
    ] {
        assert_eq!(plain(resource_type, &resource).title.as_deref(), expected, "{resource_type} {resource}");
    }
}

#[test]
fn text_cannot_mislead_the_eye() {
    assert_eq!(tidy("a\u{202e}b\u{2066}c\u{200b}d\u{feff}"), "abcd");
    assert_eq!(tidy(" one\n\ttwo\u{0}three "), "one two three");
    assert_eq!(tidy("Finding (finding) (situation)"), "Finding");
    assert_eq!(tidy("(disorder)"), "(disorder)");
    assert_eq!(tidy(&"x".repeat(500)).chars().count(), 200);
    assert_eq!(tidy("<script>alert(1)</script>"), "<script>alert(1)</script>", "escaping is the page's");
    assert_eq!(unit("mm[Hg]"), "mmHg");
    assert_eq!(unit("furlong"), "furlong");
}

#[test]
fn what_counts_is_told_from_what_does_not() {
    let code = |code: &str| json!({"coding": [{"code": code}]});
    for (resource_type, resource, expected) in [
        ("Condition", json!({"clinicalStatus": code("active")}), Standing::Current),
        (
            "Condition",
            json!({"clinicalStatus": code("active"), "verificationStatus": code("provisional")}),
            Standing::Open,
        ),
        ("Condition", json!({"clinicalStatus": code("resolved")}), Standing::Over),
        ("Condition", json!({"abatementDateTime": "2020"}), Standing::Over),
        (
            "Condition",
            json!({"clinicalStatus": code("active"), "verificationStatus": code("refuted")}),
            Standing::Wrong,
        ),
        ("Observation", json!({"status": "entered-in-error"}), Standing::Wrong),
        ("Observation", json!({"status": "preliminary"}), Standing::Open),
        ("Observation", json!({"status": "final"}), Standing::Current),
        ("Immunization", json!({"status": "not-done"}), Standing::Over),
        ("Immunization", json!({"status": "completed"}), Standing::Current),
        ("MedicationRequest", json!({"status": "completed"}), Standing::Over),
        ("MedicationRequest", json!({"status": "active"}), Standing::Current),
        ("Appointment", json!({"status": "booked"}), Standing::Planned),
        ("Observation", json!({"status": 7}), Standing::Current),
        ("Condition", json!({"verificationStatus": code("unconfirmed")}), Standing::Open),
        ("MedicationRequest", json!({"status": "active", "doNotPerform": true}), Standing::Over),
    ] {
        assert_eq!(plain(resource_type, &resource).standing, expected, "{resource_type} {resource}");
    }
}

#[test]
fn dates_stay_as_exact_as_they_were_written() {
    for (text, parts) in [
        ("2020", Some((2020, None, None, 1_577_836_800))),
        ("2020-02", Some((2020, Some(2), None, 1_580_515_200))),
        ("2020-02-29", Some((2020, Some(2), Some(29), 1_582_934_400))),
        ("1931-05-06", Some((1931, Some(5), Some(6), -1_219_968_000))),
        ("2020-02-29T23:30:00-01:00", Some((2020, Some(2), Some(29), 1_583_022_600))),
        ("2020-02-29T10:00:60Z", Some((2020, Some(2), Some(29), 1_582_970_460))),
        ("2020-02-29T10:00:00.123456789Z", Some((2020, Some(2), Some(29), 1_582_970_400))),
        ("2021-02-29", None),
        ("2020-13", None),
        ("2020-00-01", None),
        ("0000", None),
        ("20", None),
        ("2020-1-1", None),
        ("2020-01-01T25:00:00Z", None),
        ("2020-01-01T10:00:00", None),
        ("2020-01T10:00:00Z", None),
        ("2020-01-01T10:00:00+99:00", None),
        ("2020-01-01T10:00:00+", None),
        ("+2020", None),
        ("tomorrow", None),
        ("", None),
        ("2020-01-01Té", None),
    ] {
        let found = Moment::parse(text).map(|at| (at.year, at.month, at.day, at.seconds));
        assert_eq!(found, parts, "{text}");
    }
}

#[test]
fn medicines_and_allergies_say_more() {
    let medicine = plain(
        "MedicationRequest",
        &json!({
            "medicationCodeableConcept": {"text": "Ibuprofen"}, "dosageInstruction": [{"text": "one in the morning"}],
            "note": [{"text": "with food"}], "requester": {"display": "Dr Ada"},
        }),
    );
    assert_eq!(medicine.more, ["one in the morning", "with food"]);
    assert_eq!(medicine.haystack(), "ibuprofen dr ada one in the morning with food");
    let allergy = plain(
        "AllergyIntolerance",
        &json!({
            "code": {"text": "Peanuts"}, "reaction": [{"manifestation": [{"text": "Hives"}, {"text": "Wheezing"}]}],
        }),
    );
    assert_eq!((allergy.kind, allergy.more), (Kind::Allergy, vec!["Hives".to_owned(), "Wheezing".to_owned()]));
}

/// No shape of JSON at any place makes it stumble.
#[test]
fn odd_values_at_every_place_are_left_out() {
    let whole = json!({
        "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}], "text": "x"},
        "category": [{"coding": [{"code": "vital-signs"}]}], "valueQuantity": {"value": 1, "unit": "kg"},
        "component": [{"code": {"text": "y"}, "valueString": "z"}], "referenceRange": [{"low": {"value": 1}}],
        "performer": [{"actor": {"display": "d"}}], "encounter": {"reference": "Encounter/1"}, "note": [{"text": "n"}],
        "clinicalStatus": {"coding": [{"code": "active"}]}, "dosageInstruction": [{"text": "t"}],
        "reaction": [{"manifestation": [{"text": "m"}]}], "content": [{"attachment": {"title": "a"}}], "effectiveDateTime": "2020",
    });
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(""),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!("\u{202e}x"),
    ];
    let names: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
    for resource_type in [
        "Observation",
        "Condition",
        "MedicationRequest",
        "AllergyIntolerance",
        "DocumentReference",
        "Encounter",
        "Patient",
        "Device",
    ] {
        for name in &names {
            for value in &odd {
                let mut one = whole.clone();
                one[name] = value.clone();
                plain(resource_type, &one).haystack();
                let inside = |one: &mut Value| match one {
                    Value::Object(members) => members.values_mut().for_each(|member| *member = value.clone()),
                    Value::Array(items) => items.iter_mut().for_each(|item| *item = value.clone()),
                    _ => {}
                };
                let mut one = whole.clone();
                inside(&mut one[name]);
                plain(resource_type, &one).haystack();
            }
        }
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::named("nothing"), None);
}
