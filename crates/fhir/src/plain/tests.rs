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

/// A range of numbers that are written so.
fn range(low: Option<&str>, high: Option<&str>) -> Usual {
    let end = |text: Option<&str>| text.map(|text| End::of(&serde_json::from_str(text).unwrap()).unwrap());
    Usual { low: end(low), high: end(high) }
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
    assert_eq!(reading.usual, Some(range(Some("60"), Some("100"))));
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
    // Half of it is no pair and no value alone, and says which half it is.
    one["component"].as_array_mut().unwrap().pop();
    let half = plain("Observation", &one);
    assert!(half.blood_pressure().is_none() && !half.is_one_value());
    assert_eq!(half.readings[0].name.as_deref(), Some("Lower blood pressure"));
    // So with the other half there, and no value in it.
    let absent = json!({"coding": [{"code": "not-performed"}]});
    let upper =
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "dataAbsentReason": absent});
    one["component"].as_array_mut().unwrap().push(upper);
    let half = plain("Observation", &one);
    assert!(half.blood_pressure().is_none() && !half.is_one_value() && half.readings[1].is_missing);
    assert_eq!(half.readings[1].words.as_deref(), Some("no value: not performed"));
}

/// In whichever order the codes stand, and with SNOMED CT alone.
#[test]
fn parts_of_a_blood_pressure_are_found_by_any_of_their_codes() {
    let coding = |system: &str, code: &str| json!({"system": system, "code": code});
    let (loinc, snomed) = ("http://loinc.org", "http://snomed.info/sct");
    let cases = [
        (
            vec![coding(snomed, "271650006"), coding(loinc, "8462-4")],
            vec![coding(snomed, "271649006"), coding(loinc, "8480-6")],
        ),
        (vec![coding(loinc, "8462-4"), coding("x", "1")], vec![coding("x", "2"), coding(loinc, "8480-6")]),
        (vec![coding(snomed, "271650006")], vec![coding(snomed, "271649006")]),
    ];
    for (lower, upper) in cases {
        let part =
            |codes: Vec<Value>, value: u32| json!({"code": {"coding": codes}, "valueQuantity": {"value": value}});
        let whole = json!({"component": [part(lower, 80), part(upper, 120)]});
        let shown = plain("Observation", &whole);
        let (upper, lower) = shown.blood_pressure().unwrap();
        let text = |one: &Reading| one.amount.clone().unwrap().text;
        assert_eq!((text(upper).as_str(), text(lower).as_str()), ("120", "80"), "{whole}");
    }
}

/// Another specimen or method is another series, and has a name of its own; the laboratory's words are kept for who asks.
#[test]
fn different_examinations_are_not_one() {
    let coded = |codes: &[&str], text: &str| {
        let codings: Vec<_> = codes.iter().map(|code| json!({"system": "http://loinc.org", "code": code})).collect();
        json!({"code": {"coding": codings, "text": text}, "valueQuantity": {"value": 1}})
    };
    for (one, other) in [
        ("2339-0", "2345-7"),
        ("2708-6", "59408-5"),
        ("2160-0", "38483-4"),
        ("8310-5", "8331-1"),
        ("29463-7", "3141-9"),
    ] {
        let (one, other) = (coded(&[one], "a"), coded(&[other], "a"));
        let (one, other) = (plain("Observation", &one), plain("Observation", &other));
        assert_ne!(one.series, other.series);
        assert_ne!(one.title, other.title);
    }
    // The more exact of two codes counts, wherever it stands.
    let (one, other) = (coded(&["2708-6", "59408-5"], "a"), coded(&["59408-5", "2708-6"], "a"));
    assert_eq!(plain("Observation", &one).series, plain("Observation", &other).series);
    assert_eq!(plain("Observation", &one).series.as_deref(), Some("http://loinc.org 59408-5"));
    // The older code of both parts of a blood pressure is the same thing.
    let (one, other) = (coded(&["85354-9"], "a"), coded(&["55284-4"], "a"));
    assert_eq!(plain("Observation", &one).series, plain("Observation", &other).series);

    let glucose = coded(&["2345-7"], "Glucose [Mass/volume] in Serum or Plasma");
    let called = |names| Plain::called("Observation".parse().unwrap(), &glucose, names).title;
    assert_eq!(called(Names::Plain).as_deref(), Some("Blood sugar (serum)"));
    assert_eq!(called(Names::OfTheData).as_deref(), Some("Glucose [Mass/volume] in Serum or Plasma"));
    let bare = json!({"code": {"coding": [{"system": "http://loinc.org", "code": "2571-8"}]}, "component": [
        {"code": {"coding": [{"system": "http://loinc.org", "code": "2093-3", "display": "Cholesterol in Serum"}]},
            "valueQuantity": {"value": 1}}]});
    let bare = Plain::called("Observation".parse().unwrap(), &bare, Names::OfTheData);
    assert_eq!(bare.title.as_deref(), Some("Blood fats (triglycerides)"), "better than none");
    assert_eq!(bare.readings[0].name.as_deref(), Some("Cholesterol in Serum"));
}

/// A range counts only where it is for everybody, usual, and in the same unit.
#[test]
fn ranges_come_from_the_data_alone() {
    let with = |ranges: Value| {
        let one = observation(
            &json!({"valueQuantity": {"value": 5, "unit": "mmol/L", "code": "mmol/L"}, "referenceRange": ranges}),
        );
        one.readings[0].usual.clone()
    };
    let code = |code: &str| json!({"coding": [{"code": code}]});
    for (ranges, expected) in [
        (json!([]), None),
        (json!([{"text": "4 to 6"}]), None),
        (json!([{"low": {"value": 4}, "high": {"value": 6}}]), Some(range(Some("4"), Some("6")))),
        (json!([{"high": {"value": 6, "unit": "mmol/L"}}]), Some(range(None, Some("6")))),
        (json!([{"low": {"value": 70, "unit": "mg/dL"}, "high": {"value": 110, "unit": "mg/dL"}}]), None),
        (
            json!([{"type": code("critical"), "low": {"value": 1}}, {"type": code("normal"), "low": {"value": 4}}]),
            Some(range(Some("4"), None)),
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
fn ranges_keep_their_digits() {
    let written = r#"{"valueQuantity": {"value": 1.003}, "referenceRange": [{"low": {"value": 1.005}, "high": {"value": 1.030}}]}"#;
    let one = observation(&serde_json::from_str(written).unwrap());
    let usual = one.readings[0].usual.as_ref().unwrap();
    assert_eq!((usual.low.as_ref().unwrap().text(), usual.high.as_ref().unwrap().text()), ("1.005", "1.030"));
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
        ("Immunization", json!({"status": "not-done"}), Standing::NotDone),
        ("MedicationStatement", json!({"status": "not-taken"}), Standing::NotDone),
        ("Observation", json!({"status": "cancelled"}), Standing::NotDone),
        ("Appointment", json!({"status": "noshow"}), Standing::NotDone),
        ("Coverage", json!({"status": "cancelled"}), Standing::Over),
        ("Immunization", json!({"status": "completed"}), Standing::Current),
        ("MedicationRequest", json!({"status": "completed"}), Standing::Over),
        ("MedicationRequest", json!({"status": "active"}), Standing::Current),
        ("Appointment", json!({"status": "booked"}), Standing::Planned),
        ("Observation", json!({"status": 7}), Standing::Current),
        ("Condition", json!({"verificationStatus": code("unconfirmed")}), Standing::Open),
        ("MedicationRequest", json!({"status": "active", "doNotPerform": true}), Standing::Forbidden),
        ("MedicationRequest", json!({"status": "on-hold", "doNotPerform": true}), Standing::Forbidden),
        ("MedicationRequest", json!({"status": "stopped", "doNotPerform": true}), Standing::Over),
        ("MedicationRequest", json!({"status": "entered-in-error", "doNotPerform": true}), Standing::Wrong),
        ("MedicationRequest", json!({"status": "active", "doNotPerform": false}), Standing::Current),
        ("MedicationRequest", json!({"status": "active", "intent": "order"}), Standing::Current),
        ("MedicationRequest", json!({"status": "active", "intent": "proposal"}), Standing::Planned),
        ("MedicationRequest", json!({"status": "active", "intent": "plan"}), Standing::Planned),
        ("MedicationRequest", json!({"status": "stopped", "intent": "plan"}), Standing::Over),
        (
            "MedicationRequest",
            json!({"status": "active", "intent": "plan", "reportedBoolean": true}),
            Standing::Current,
        ),
        ("CarePlan", json!({"status": "active", "intent": "plan"}), Standing::Current),
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
        ("2020-02-29T10:00:00", Some((2020, Some(2), Some(29), 1_582_934_400))),
        ("2020-02-29T10:61:00", None),
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

#[test]
fn the_first_date_that_can_be_read_counts() {
    let one = observation(&json!({"valueQuantity": {"value": 1}, "effectiveDateTime": "soon", "issued": "2026-05-04"}));
    assert_eq!(one.at, Moment::parse("2026-05-04"));
}

/// A code of IPS is a word and counts in any system; one of SNOMED CT only as that.
#[test]
fn an_allergy_that_is_denied_is_none() {
    let of = |resource_type: &str, system: &str, code: &str| {
        let coded = json!({"code": {"coding": [{"system": system, "code": code}]}});
        let one = plain(resource_type, &coded);
        (one.absent, one.title)
    };
    let ips = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips";
    let sct = "http://snomed.info/sct";
    let none = |title: &str, absent| (Some(absent), Some(title.to_owned()));
    for (system, code, expected) in [
        (ips, "no-known-allergies", none("No known allergies", Absent::NoAllergy)),
        (
            ips,
            "no-known-medication-allergies",
            none("No known allergies to medicines", Absent::NoAllergyTo("medicines")),
        ),
        (ips, "no-known-food-allergies", none("No known allergies to food", Absent::NoAllergyTo("food"))),
        (
            ips,
            "no-known-environmental-allergies",
            none(
                "No known allergies to anything in the surroundings",
                Absent::NoAllergyTo("anything in the surroundings"),
            ),
        ),
        (ips, "no-allergy-info", none("Nothing is known of allergies", Absent::NotAsked)),
        (sct, "716186003", none("No known allergies", Absent::NoAllergy)),
        (sct, "160244002", none("No known allergies", Absent::NoAllergy)),
        (sct, "409137002", none("No known allergies to medicines", Absent::NoAllergyTo("medicines"))),
        (sct, "429625007", none("No known allergies to food", Absent::NoAllergyTo("food"))),
        (
            sct,
            "428607008",
            none(
                "No known allergies to anything in the surroundings",
                Absent::NoAllergyTo("anything in the surroundings"),
            ),
        ),
        (sct, "428197003", none("No known allergies to insects", Absent::NoAllergyTo("insects"))),
        (sct, "716220001", none("No known allergies to animals", Absent::NoAllergyTo("animals"))),
        (sct, "1003774007", none("No known allergies to latex", Absent::NoAllergyTo("latex"))),
        (sct, "716184000", none("No known allergies to latex", Absent::NoAllergyTo("latex"))),
        (sct, "1631000175102", none("Nothing is known of allergies", Absent::NotAsked)),
        (sct, "762952008", (None, None)),
        ("http://loinc.org", "716186003", (None, None)),
    ] {
        assert_eq!(of("AllergyIntolerance", system, code), expected, "{system} {code}");
    }
    assert_eq!(of("Condition", sct, "716186003"), (None, None));
    // Of two codes the one that denies less.
    let both =
        json!({"code": {"coding": [{"system": sct, "code": "716186003"}, {"system": sct, "code": "409137002"}]}});
    assert_eq!(plain("AllergyIntolerance", &both).absent, Some(Absent::NoAllergyTo("medicines")));
}

#[test]
fn doses_are_told_from_their_parts() {
    let dose = |value: u32| json!([{"doseQuantity": {"value": value, "unit": "mg"}}]);
    let tablets =
        json!([{"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}]);
    let repeat = |repeat: Value| json!({"repeat": repeat});
    let by_mouth = json!({"text": "by mouth"});
    for (dosage, expected) in [
        (json!({"text": "one in the morning", "doseAndRate": dose(1)}), "one in the morning"),
        (json!({"doseAndRate": dose(10)}), "10 mg"),
        (
            json!({"doseAndRate": dose(10), "route": by_mouth,
                "timing": repeat(json!({"frequency": 2, "period": 1, "periodUnit": "d"}))}),
            "10 mg, by mouth, twice a day",
        ),
        (
            json!({"doseAndRate": tablets, "timing": {"code": {"coding": [{"code": "TID"}]}}}),
            "1 to 2 tablet, 3 times a day",
        ),
        (
            json!({"doseAndRate": dose(500), "asNeededCodeableConcept": {"text": "pain"},
                "timing": repeat(json!({"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"})),
                "maxDosePerPeriod": {"numerator": {"value": 4, "unit": "g"}, "denominator": {"value": 1, "code": "d"}}}),
            "500 mg, every 4 to 6 hours, as needed for pain, at most 4 g per day",
        ),
        (
            json!({"doseAndRate": dose(5), "asNeededBoolean": true, "timing": repeat(json!({"when": ["MORN", "HS"],
                "boundsDuration": {"value": 7, "code": "d"}}))}),
            "5 mg, in the morning and before going to sleep, for 7 days, as needed",
        ),
        (
            json!({"doseAndRate": dose(5), "timing": repeat(json!({"frequency": 1, "period": 1, "periodUnit": "wk",
                "dayOfWeek": ["mon"], "timeOfDay": ["08:00:00"], "boundsPeriod": {"end": "2026-05-04"}}))}),
            "5 mg, once a week, on Monday, at 08:00, until 2026-05-04",
        ),
        (
            json!({"doseAndRate": [{"rateRatio": {"numerator": {"value": 100, "unit": "mL"},
                "denominator": {"value": 1, "unit": "hour", "code": "h"}}}]}),
            "at 100 mL per hour",
        ),
        (
            json!({"patientInstruction": "Take with food", "doseAndRate": dose(5),
                "timing": repeat(json!({"frequency": 1, "period": 1, "periodUnit": "wk"}))}),
            "5 mg, once a week, Take with food",
        ),
        // What was calculated is not what was ordered.
        (
            json!({"doseAndRate": [
                {"type": {"coding": [{"code": "calculated"}]}, "doseQuantity": {"value": 9.7, "unit": "mg"}},
                {"type": {"coding": [{"code": "ordered"}]}, "doseQuantity": {"value": 10, "unit": "mg"}}]}),
            "10 mg",
        ),
        // A part is never told as the whole.
        (json!({"doseAndRate": dose(5), "timing": {"event": ["2026-05-04"]}}), "5 mg, more in the original"),
        (json!({"doseAndRate": dose(5), "timing": repeat(json!({"frequency": 3}))}), "5 mg, more in the original"),
        (
            json!({"doseAndRate": dose(5), "timing": repeat(json!({"when": ["AC"], "offset": 30}))}),
            "5 mg, before a meal, more in the original",
        ),
        (json!({"doseAndRate": [{"doseQuantity": {"unit": "mg"}}]}), "dose: see the original"),
        (json!({}), "dose: see the original"),
    ] {
        let one = plain("MedicationRequest", &json!({"dosageInstruction": [dosage]}));
        assert_eq!(one.more, [expected], "{dosage}");
    }
    let long = plain("MedicationRequest", &json!({"dosageInstruction": [{"text": "one more each day ".repeat(20)}]}));
    assert!(long.more[0].ends_with("…, more in the original"), "{:?}", long.more);
    let given = json!({"dosage": {"dose": {"value": 5, "unit": "mg"}, "rateQuantity": {"value": 2, "unit": "mL/h"}}});
    assert_eq!(plain("MedicationAdministration", &given).more, ["5 mg, at 2 mL/h"]);
    assert!(plain("MedicationRequest", &json!({})).more.is_empty());

    // All of several, in their order, in one line.
    let step = |sequence: u32, value: u32| json!({"sequence": sequence, "doseAndRate": dose(value)});
    for (all, expected) in [
        (json!([{"doseAndRate": dose(10)}, {"doseAndRate": dose(20)}]), "10 mg; 20 mg"),
        (json!([step(2, 20), step(1, 10), step(1, 5)]), "10 mg; 5 mg; then 20 mg"),
    ] {
        assert_eq!(plain("MedicationRequest", &json!({"dosageInstruction": all})).more, [expected], "{all}");
    }
}

#[test]
fn one_of_several_that_tell_the_same_is_enough() {
    let told = |resource_type: &str, resource: &Value| {
        let one = plain(resource_type, resource);
        one.tells().map(|(title, more, standing)| (title.to_owned(), more.to_vec(), standing))
    };
    let order = |value: u32| {
        json!({"medicationCodeableConcept": {"text": "Aspirin"}, "status": "active",
            "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": value, "unit": "mg"}}]}]})
    };
    assert!(told("MedicationRequest", &order(10)).is_some());
    assert_eq!(told("MedicationRequest", &order(10)), told("MedicationRequest", &order(10)));
    assert_ne!(told("MedicationRequest", &order(10)), told("MedicationRequest", &order(20)));
    // Each dose of a vaccine is one of its own.
    assert_eq!(told("Immunization", &json!({"vaccineCode": {"text": "Tetanus"}, "status": "completed"})), None);
    let refused =
        json!({"vaccineCode": {"text": "Tetanus"}, "status": "not-done", "statusReason": {"text": "refused"}});
    assert_eq!(plain("Immunization", &refused).more, ["refused"]);
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
        "dosage": {"doseAndRate": [{"doseQuantity": {"value": 1}}], "timing": {"repeat": {"frequency": 1, "period": 1}}},
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
