//! Every measure in every format and unit, and every rule broken once. Each Bundle that comes out is held against the
//! validator of R4.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use sealwort_devices::{DeviceError, Measure, PAYLOAD_BYTES_MAX, to_fhir};
use serde_json::{Value, json};
use support::{NOW, enrolled, enrolled_for, observations};

/// The value of a member somewhere in a payload, as text to be cut in.
fn own(rest: &str) -> String {
    format!(r#"{{"format":"sealwort-measurements/1","sequence":1,"time":"2026-11-28T19:44:40+01:00",{rest}}}"#)
}

fn data_point(name: &str, version: &str, body: &str) -> String {
    format!(
        r#"{{"header":{{"id":"123e4567-e89b-12d3-a456-426655440000","creation_date_time":"2026-11-28T07:25:10Z","schema_id":{{"namespace":"omh","name":"{name}","version":"{version}"}}}},"body":{{{body},"effective_time_frame":{{"date_time":"2026-11-28T07:25:00Z"}}}}}}"#
    )
}

fn fhir(system: &str, code: &str, rest: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"o1","status":"final","code":{{"coding":[{{"system":"{system}","code":"{code}"}}]}},"effectiveDateTime":"2026-11-28T07:25:00Z",{rest}}}"#
    )
}

fn quantity(value: &str, unit: &str) -> String {
    format!(r#""valueQuantity":{{"value":{value},"unit":"x","system":"http://unitsofmeasure.org","code":"{unit}"}}"#)
}

const LOINC: &str = "http://loinc.org";
const MDC: &str = "urn:iso:std:iso:11073:10101";

/// Measure, unit here and in Open mHealth, a value with a zero at its end, the code that it gets, the category.
const VALUES: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("heart-rate", "/min", "beats/min", "72.0", "8867-4", "vital-signs"),
    ("oxygen-saturation", "%", "%", "97.50", "2708-6", "vital-signs"),
    ("respiratory-rate", "/min", "breaths/min", "14.0", "9279-1", "vital-signs"),
    ("body-temperature", "Cel", "C", "36.60", "8310-5", "vital-signs"),
    ("body-temperature", "[degF]", "F", "98.60", "8310-5", "vital-signs"),
    ("body-weight", "kg", "kg", "71.10", "29463-7", "vital-signs"),
    ("body-weight", "g", "g", "3420.0", "29463-7", "vital-signs"),
    ("body-weight", "[lb_av]", "lb", "156.70", "29463-7", "vital-signs"),
    ("body-height", "cm", "cm", "180.0", "8302-2", "vital-signs"),
    ("body-height", "[in_i]", "in", "70.90", "8302-2", "vital-signs"),
    ("blood-glucose", "mg/dL", "mg/dL", "101.0", "2339-0", "laboratory"),
    ("blood-glucose", "mmol/L", "mmol/L", "5.60", "15074-8", "laboratory"),
];

fn check_value(found: &Value, (value, unit, code, category): (&str, &str, &str, &str)) {
    assert_eq!(found["valueQuantity"]["value"].to_string(), value, "digit for digit");
    assert_eq!(found["valueQuantity"]["code"], unit);
    assert_eq!(found["code"]["coding"][0]["code"], code);
    assert_eq!(found["category"][0]["coding"][0]["code"], category);
    assert_eq!(found["subject"]["reference"], "Patient/p1");
    assert!(found["device"]["reference"].as_str().unwrap().starts_with("urn:uuid:"));
}

#[test]
fn every_measure_in_every_format_and_unit() {
    let enrolled = enrolled();
    for (measure, unit, unit_there, value, code, category) in VALUES {
        let payload = own(&format!(r#""measure":"{measure}","value":{value},"unit":"{unit}""#));
        let found = observations(&enrolled, payload.as_bytes()).unwrap();
        check_value(&found[0], (value, unit, code, category));
        assert_eq!(found[0]["identifier"][0]["value"], "phg-7/1");
        assert_eq!(found[0]["effectiveDateTime"], "2026-11-28T19:44:40+01:00");

        let version = if matches!(*measure, "blood-glucose" | "body-temperature") { "4.0" } else { "2.0" };
        let member = measure.replace('-', "_");
        let body = format!(r#""{member}":{{"value":{value},"unit":"{unit_there}"}}"#);
        let found = observations(&enrolled, data_point(measure, version, &body).as_bytes()).unwrap();
        check_value(&found[0], (value, unit, code, category));
        assert_eq!(found[0]["identifier"][0]["value"], "phg-7/123e4567-e89b-12d3-a456-426655440000");
        assert_eq!(found[0]["issued"], "2026-11-28T07:25:10Z");

        let bare = format!(r#"{{{body},"effective_time_frame":{{"date_time":"2026-11-28T07:25:00Z"}}}}"#);
        let found = observations(&enrolled, bare.as_bytes()).unwrap();
        check_value(&found[0], (value, unit, code, category));
        assert_eq!(found[0]["identifier"][0]["value"], format!("phg-7/{measure}@2026-11-28T07:25:00Z={value}@"));

        let found = observations(&enrolled, fhir(LOINC, code, &quantity(value, unit)).as_bytes()).unwrap();
        assert_eq!(found[0]["valueQuantity"]["value"].to_string(), *value);
        assert_eq!(found[0]["subject"]["reference"], "Patient/p1");
        assert_eq!(found[0]["identifier"][0]["value"], "phg-7/Observation/o1@2026-11-28T07:25:00Z");
    }
}

#[test]
fn blood_pressure_in_every_format() {
    let enrolled = enrolled();
    let check = |payload: &str, expected: &[(&str, &str)]| {
        let found = observations(&enrolled, payload.as_bytes()).unwrap();
        assert_eq!(found[0]["code"]["coding"][0]["code"], "85354-9");
        let components: Vec<_> = found[0]["component"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| {
                assert_eq!(component["valueQuantity"]["code"], "mm[Hg]");
                (
                    component["code"]["coding"][0]["code"].as_str().unwrap().to_owned(),
                    component["valueQuantity"]["value"].to_string(),
                )
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(code, value)| ((*code).to_owned(), (*value).to_owned())).collect();
        assert_eq!(components, expected);
    };
    check(
        &own(r#""measure":"blood-pressure","systolic":121,"diastolic":79,"mean":93.0,"unit":"mm[Hg]""#),
        &[("8480-6", "121"), ("8462-4", "79"), ("8478-0", "93.0")],
    );
    check(
        &own(r#""measure":"blood-pressure","systolic":121,"diastolic":79,"unit":"mm[Hg]""#),
        &[("8480-6", "121"), ("8462-4", "79")],
    );
    check(
        &data_point(
            "blood-pressure",
            "4.0",
            r#""systolic_blood_pressure":{"value":121.0,"unit":"mmHg"},"diastolic_blood_pressure":{"value":79,"unit":"mmHg"}"#,
        ),
        &[("8480-6", "121.0"), ("8462-4", "79")],
    );
    let component = |code: &str, value: &str| {
        format!(r#"{{"code":{{"coding":[{{"system":"{LOINC}","code":"{code}"}}]}},{}}}"#, quantity(value, "mm[Hg]"))
    };
    check(
        &fhir(
            LOINC,
            "85354-9",
            &format!(r#""component":[{},{}]"#, component("8480-6", "121"), component("8462-4", "79")),
        ),
        &[("8480-6", "121"), ("8462-4", "79")],
    );
}

#[test]
fn curves() {
    let enrolled = enrolled();
    let check = |payload: String| observations(&enrolled, payload.as_bytes()).unwrap().remove(0);
    let found = check(own(
        r#""measure":"ecg","unit":"mV","period_ms":8,"channels":[{"lead":"II","factor":0.0050,"origin":-5.12,"lower_limit":0,"samples":[995,"L",-997,"E"]},{"lead":"aVF","samples":[1,2,3,4]}]"#,
    ));
    assert_eq!(found["code"]["coding"][0]["code"], "131328");
    assert_eq!(
        found["effectivePeriod"],
        json!({"start": "2026-11-28T19:44:40+01:00", "end": "2026-11-28T19:44:40.032+01:00"})
    );
    assert_eq!(found["component"][0]["code"]["coding"][0]["code"], "131330");
    assert_eq!(found["component"][1]["code"]["coding"][0]["code"], "131392");
    let sampled = &found["component"][0]["valueSampledData"];
    assert_eq!(sampled["data"], "995 L -997 E");
    assert_eq!(
        (sampled["factor"].to_string(), sampled["origin"]["value"].to_string()),
        ("0.0050".to_owned(), "-5.12".to_owned())
    );
    let found =
        check(own(r#""measure":"plethysmogram","unit":"1","period_ms":13.333,"channels":[{"samples":[1,2,3]}]"#));
    assert_eq!(found["valueSampledData"]["period"].to_string(), "13.333");
    assert_eq!(found["category"][0]["coding"][0]["code"], "procedure");
    check(fhir(
        MDC,
        "131329",
        r#""valueSampledData":{"origin":{"value":0},"period":10,"dimensions":1,"data":"1 2 E -3.5"}"#,
    ));
}

#[test]
fn what_is_said_beside_the_value_is_kept() {
    let enrolled = enrolled();
    let check = |payload: String| observations(&enrolled, payload.as_bytes()).unwrap().remove(0);
    let found = check(own(r#""measure":"body-temperature","value":38.1,"unit":"Cel","site":"ear","note":"felt hot""#));
    assert_eq!(
        (found["bodySite"]["text"].as_str(), found["note"][0]["text"].as_str()),
        (Some("ear"), Some("felt hot"))
    );
    for (specimen, unit, code) in [
        ("blood", "mg/dL", "2339-0"),
        ("capillary-blood", "mg/dL", "41653-7"),
        ("capillary-blood", "mmol/L", "14743-9"),
        ("plasma", "mg/dL", "2345-7"),
        ("serum", "mmol/L", "14749-6"),
        ("interstitial-fluid", "mg/dL", "99504-3"),
        ("interstitial-fluid", "mmol/L", "105272-9"),
    ] {
        let found =
            check(own(&format!(r#""measure":"blood-glucose","value":20,"unit":"{unit}","specimen":"{specimen}""#)));
        assert_eq!(found["code"]["coding"][0]["code"], code);
    }
    let found = check(data_point(
        "oxygen-saturation",
        "2.0",
        r#""oxygen_saturation":{"value":93,"unit":"%"},"supplemental_oxygen_flow_rate":{"value":2.50,"unit":"L/min"},"descriptive_statistic":"lower quartile""#,
    ));
    assert_eq!(found["note"][0]["text"], "supplemental oxygen flow rate: 2.50 L/min");
    assert_eq!(found["method"]["coding"][0]["code"], "4-lower");
}

#[test]
fn a_patient_known_by_identifier_alone_is_referred_to_by_search() {
    let patient = json!({"identifier": {"system": "urn:mrn", "value": "a|7 é"}});
    let enrolled = enrolled_for(&Measure::ALL, &patient);
    let payload = own(r#""measure":"heart-rate","value":72,"unit":"/min""#);
    let found = observations(&enrolled, payload.as_bytes()).unwrap();
    assert_eq!(found[0]["subject"]["reference"], "Patient?identifier=urn:mrn|a%5C%7C7%20%C3%A9");
    assert_eq!(found[0]["subject"]["identifier"]["value"], "a|7 é");
}

#[test]
fn lists() {
    let enrolled = enrolled();
    let one = |sequence: usize| {
        format!(
            r#"{{"sequence":"a:{sequence}","time":"2026-11-28T19:44:40Z","measure":"heart-rate","value":72,"unit":"/min"}}"#
        )
    };
    let list = |count: usize| {
        let list: Vec<_> = (0..count).map(one).collect();
        format!(r#"{{"format":"sealwort-measurements/1","measurements":[{}]}}"#, list.join(","))
    };
    assert_eq!(observations(&enrolled, list(3).as_bytes()).unwrap().len(), 3);
    assert_eq!(observations(&enrolled, list(1000).as_bytes()).unwrap().len(), 1000);
    check_refused(&list(1001), "too-many-measurements", "1000");
    check_refused(&list(0), "bad-value", "$.measurements");
    let twice = format!(r#"{{"format":"sealwort-measurements/1","measurements":[{},{}]}}"#, one(1), one(1));
    check_refused(&twice, "repeated", "measurement 2");
    let point = |id: u32| {
        data_point("heart-rate", "2.0", r#""heart_rate":{"value":60,"unit":"beats/min"}"#)
            .replace("123e4567", &id.to_string())
    };
    let points = format!("[{},{}]", point(1), point(2));
    assert_eq!(observations(&enrolled, points.as_bytes()).unwrap().len(), 2);
    check_refused("[]", "unknown-format", "$");
    check_refused(&format!("[{},{{}}]", point(1)), "unknown-format", "$[1]");
}

fn check_refused(payload: &str, code: &str, said: &str) {
    let error = to_fhir(&enrolled(), payload.as_bytes(), NOW).expect_err(payload);
    assert_eq!(error.code(), code, "{error}: {payload}");
    assert!(error.to_string().contains(said), "{error}");
    assert!((400..500).contains(&error.http_status()));
}

#[test]
fn payloads_that_are_no_payloads() {
    for (payload, code, said) in [
        ("", "not-json", "$"),
        ("{", "not-json", "line 1"),
        ("null", "unknown-format", "$"),
        ("7", "unknown-format", "$"),
        ("{}", "unknown-format", "$"),
        (r#"{"value":72,"unit":"/min"}"#, "unknown-format", "$"),
        (r#"{"format":"sealwort-measurements/1","resourceType":"Observation"}"#, "unknown-format", "$"),
        (r#"{"heart_rate":{"value":1,"unit":"x"},"body_weight":{}}"#, "unknown-format", "$"),
        (r#"{"format":"sealwort-measurements/2"}"#, "bad-value", "$.format"),
        (r#"{"format":1}"#, "bad-value", "$.format"),
        (r#"{"format":"sealwort-measurements/1"}"#, "missing", "$.sequence"),
        (r#"{"format":"sealwort-measurements/1","measurements":{}}"#, "bad-value", "$.measurements"),
        (r#"{"format":"sealwort-measurements/1","measurements":[],"sequence":1}"#, "unknown-member", "$.sequence"),
        (r#"{"resourceType":"Patient"}"#, "bad-value", "$.resourceType"),
        (r#"{"format":"a","format":"b"}"#, "duplicate-member", "$.format"),
    ] {
        check_refused(payload, code, said);
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    check_refused(&deep, "too-deep", "64");
    assert_eq!(to_fhir(&enrolled(), b"\"\xff\"", NOW).unwrap_err().code(), "not-utf-8");
    let large = vec![b' '; PAYLOAD_BYTES_MAX + 1];
    assert_eq!(to_fhir(&enrolled(), &large, NOW).unwrap_err().code(), "too-large");
}

/// A payload that is accepted, and what breaks one rule of it each.
fn check_changes(good: &str, changes: &[(&str, &str, &str, &str)]) {
    observations(&enrolled(), good.as_bytes()).unwrap();
    for (from, to, code, said) in changes {
        assert!(good.contains(from), "{from}");
        check_refused(&good.replacen(from, to, 1), code, said);
    }
}

#[test]
fn rules_of_our_own_format() {
    let good = own(r#""measure":"heart-rate","value":72,"unit":"/min","note":"n","site":"s""#);
    check_changes(
        &good,
        &[
            (r#""sequence":1"#, r#""sequence":1.0"#, "bad-value", "$.sequence"),
            (r#""sequence":1"#, r#""sequence":-1"#, "bad-value", "$.sequence"),
            (r#""sequence":1"#, r#""sequence":"a/b""#, "bad-value", "$.sequence"),
            (r#""sequence":1"#, r#""sequence":"""#, "bad-value", "$.sequence"),
            (r#""sequence":1,"#, "", "missing", "$.sequence"),
            (r#""sequence":1,"#, r#""sequence":1,"sequence":2,"#, "duplicate-member", "$.sequence"),
            (r#""sequence":1,"#, r#""sequence":1,"colour":2,"#, "unknown-member", "$.colour"),
            ("+01:00", "", "bad-value", "$.time"),
            ("19:44:40+01:00", "21:05:01+01:00", "in-future", "$.time"),
            ("2026-11-28T", "2027-11-28T", "in-future", "300 s"),
            ("heart-rate", "pulse", "unknown-measure", "$.measure"),
            ("heart-rate", "other", "unknown-measure", "$.measure"),
            ("72", "\"72\"", "bad-value", "$.value"),
            ("72", "null", "bad-value", "$.value"),
            ("72", "7.2e1", "bad-value", "exponent"),
            ("72", "72.00000000000000000000001", "bad-value", "24 characters"),
            ("72", "-72", "implausible", "15 to 350 /min"),
            ("72", "0", "implausible", "$.value"),
            ("72", "14.999", "implausible", "$.value"),
            ("72", "351", "implausible", "$.value"),
            (r#""value":72,"#, "", "missing", "$.value"),
            ("/min", "bpm", "wrong-unit", "/min"),
            ("/min", "%", "wrong-unit", "$.unit"),
            (r#""note":"n""#, r#""note":"\u0000""#, "bad-value", "$.note"),
            (r#""note":"n""#, r#""systolic":120"#, "unknown-member", "$.systolic"),
            (r#""note":"n""#, r#""specimen":"blood""#, "unknown-member", "$.specimen"),
        ],
    );
    check_changes(
        &own(r#""measure":"oxygen-saturation","value":97,"unit":"%""#),
        &[("97", "130", "implausible", "20 to 100 %"), ("97", "0.97", "implausible", "$.value")],
    );
    check_changes(
        &own(r#""measure":"body-temperature","value":36.5,"unit":"Cel""#),
        &[
            ("36.5", "97.9", "implausible", "15 to 46 Cel"),
            ("Cel", "[degF]", "implausible", "59 to 114.8 [degF]"),
            ("Cel", "K", "wrong-unit", "Cel or [degF]"),
        ],
    );
    check_changes(
        &own(r#""measure":"blood-glucose","value":5.5,"unit":"mmol/L""#),
        &[
            ("mmol/L", "mg/dL", "implausible", "9 to 1800"),
            (r#""unit""#, r#""specimen":"tears","unit""#, "bad-value", "$.specimen"),
        ],
    );
    check_changes(
        &own(r#""measure":"blood-pressure","systolic":121,"diastolic":79,"mean":93,"unit":"mm[Hg]""#),
        &[
            (r#""systolic":121"#, r#""systolic":78"#, "pressures-out-of-order", "$"),
            (r#""mean":93"#, r#""mean":122"#, "pressures-out-of-order", "$"),
            (r#""diastolic":79"#, r#""diastolic":7"#, "implausible", "$.diastolic"),
            (r#""diastolic":79,"#, "", "missing", "$.diastolic"),
            ("mm[Hg]", "kPa", "wrong-unit", "mm[Hg]"),
            (r#""mean":93"#, r#""value":93"#, "unknown-member", "$.value"),
        ],
    );
    let good = own(
        r#""measure":"ecg","unit":"mV","period_ms":8,"channels":[{"lead":"II","factor":0.005,"upper_limit":2047,"samples":[995,"U","E"]},{"lead":"V5","samples":[1,2,3]}]"#,
    );
    check_changes(
        &good,
        &[
            ("mV", "V", "wrong-unit", "mV or uV"),
            (r#""period_ms":8"#, r#""period_ms":0"#, "bad-value", "$.period_ms"),
            (r#""period_ms":8"#, r#""period_ms":60001"#, "bad-value", "$.period_ms"),
            (r#""lead":"V5""#, r#""lead":"V7""#, "bad-value", "$.channels[1].lead"),
            (r#""lead":"V5""#, r#""lead":"II""#, "bad-value", "$.channels[1]"),
            (r#""lead":"V5","#, "", "missing", "$.channels[1].lead"),
            ("[1,2,3]", "[1,2]", "bad-value", "equally many"),
            ("[1,2,3]", "[]", "bad-value", "$.channels[1].samples"),
            ("[1,2,3]", "[1,2,3.5]", "bad-value", "$.channels[1].samples[2]"),
            ("[1,2,3]", r#"[1,2,"L"]"#, "bad-value", "lower_limit"),
            ("[1,2,3]", r#"[1,2,"X"]"#, "bad-value", "$.channels[1].samples[2]"),
            ("[1,2,3]", "[1,2,123456789012]", "bad-value", "32 bits"),
            (r#""factor":0.005"#, r#""factor":0"#, "bad-value", "$.channels[0].factor"),
            (r#""measure":"ecg","unit":"mV""#, r#""measure":"plethysmogram","unit":"1""#, "bad-value", "$.channels"),
        ],
    );
    let samples = vec!["1"; 600_001].join(",");
    let many =
        own(&format!(r#""measure":"ecg","unit":"mV","period_ms":8,"channels":[{{"lead":"I","samples":[{samples}]}}]"#));
    check_refused(&many, "too-many-samples", "600000");
}

#[test]
fn rules_of_open_mhealth() {
    let good = data_point(
        "heart-rate",
        "2.0",
        r#""heart_rate":{"value":60,"unit":"beats/min"},"temporal_relationship_to_sleep":"on waking""#,
    );
    check_changes(
        &good,
        &[
            (r#""id":"123e4567-e89b-12d3-a456-426655440000","#, "", "missing", "$.header.id"),
            ("2026-11-28T07:25:10Z", "201-02-05T07:25:00Z", "bad-value", "$.header.creation_date_time"),
            (r#""namespace":"omh""#, r#""namespace":"x""#, "unknown-measure", "$.header.schema_id"),
            (r#""version":"2.0""#, r#""version":"9.0""#, "unknown-measure", "$.header.schema_id"),
            (r#""name":"heart-rate""#, r#""name":"step-count""#, "unknown-measure", "$.header.schema_id"),
            (r#""name":"heart-rate""#, r#""name":"body-weight""#, "missing", "$.body.body_weight"),
            ("beats/min", "breaths/min", "wrong-unit", "$.body.heart_rate.unit"),
            ("beats/min", "/min", "wrong-unit", "$.body.heart_rate.unit"),
            ("60", "\"60\"", "bad-value", "$.body.heart_rate.value"),
            ("60", "600", "implausible", "$.body.heart_rate.value"),
            ("on waking", "awake", "bad-value", "$.body.temporal_relationship_to_sleep"),
            (r#""temporal_relationship_to_sleep":"on waking""#, r#""mood":"good""#, "unknown-member", "$.body.mood"),
            (
                r#""temporal_relationship_to_sleep":"on waking""#,
                r#""descriptive_statistic":"variance""#,
                "bad-value",
                "$.body.descriptive_statistic",
            ),
            (
                r#""date_time":"2026-11-28T07:25:00Z""#,
                r#""date_time":"2027-11-28T07:25:00Z""#,
                "in-future",
                "$.body.effective_time_frame.date_time",
            ),
            (r#""date_time":"2026-11-28T07:25:00Z""#, "", "bad-value", "date_time or time_interval"),
        ],
    );
    let interval = |text: &str| {
        good.replace(r#"{"date_time":"2026-11-28T07:25:00Z"}"#, &format!(r#"{{"time_interval":{{{text}}}}}"#))
    };
    for (text, expected) in [
        (
            r#""start_date_time":"2026-11-28T07:00:00Z","end_date_time":"2026-11-28T07:25:00Z""#,
            ("2026-11-28T07:00:00Z", "2026-11-28T07:25:00Z"),
        ),
        (
            r#""start_date_time":"2026-11-28T07:00:00+01:00","duration":{"value":1.5,"unit":"h"}"#,
            ("2026-11-28T07:00:00+01:00", "2026-11-28T08:30:00+01:00"),
        ),
        (
            r#""end_date_time":"2026-11-28T07:00:00Z","duration":{"value":1,"unit":"d"}"#,
            ("2026-11-27T07:00:00Z", "2026-11-28T07:00:00Z"),
        ),
    ] {
        let found = observations(&enrolled(), interval(text).as_bytes()).unwrap();
        assert_eq!(found[0]["effectivePeriod"], json!({"start": expected.0, "end": expected.1}));
    }
    for (text, said) in [
        (r#""start_date_time":"2026-11-28T08:00:00Z","end_date_time":"2026-11-28T07:25:00Z""#, "before the begin"),
        (r#""start_date_time":"2026-11-28T08:00:00Z""#, "two of"),
        (r#""start_date_time":"2026-11-28T08:00:00Z","duration":{"value":1,"unit":"Mo"}"#, "unit"),
        (r#""start_date_time":"2026-11-28T08:00:00Z","duration":{"value":-1,"unit":"h"}"#, "0 or more"),
        (
            r#""start_date_time":"2026-11-28T08:00:00Z","duration":{"value":99999999999999999999,"unit":"wk"}"#,
            "duration",
        ),
    ] {
        check_refused(&interval(text), "bad-value", said);
    }
    let day = data_point("blood-pressure", "1.0", r#""systolic_blood_pressure":{"value":121,"unit":"mmHg"},"diastolic_blood_pressure":{"value":79,"unit":"mmHg"}"#)
        .replace(r#""date_time":"2026-11-28T07:25:00Z""#, r#""time_interval":{"date":"2026-11-28","part_of_day":"evening"}"#);
    let found = observations(&enrolled(), day.as_bytes()).unwrap();
    assert_eq!(
        (found[0]["effectiveDateTime"].as_str(), found[0]["note"][0]["text"].as_str()),
        (Some("2026-11-28"), Some("part of day: evening"))
    );
    check_refused(&day.replace("\"1.0\"", "\"4.0\""), "bad-value", "time_interval");
    // Version 1 does not ask for a time; FHIR is told so.
    let timeless = data_point("heart-rate", "1.0", r#""heart_rate":{"value":60,"unit":"beats/min"}"#)
        .replace(r#","effective_time_frame":{"date_time":"2026-11-28T07:25:00Z"}"#, "");
    let found = observations(&enrolled(), timeless.as_bytes()).unwrap();
    assert_eq!(found[0]["_effectiveDateTime"]["extension"][0]["valueCode"], "unknown");
    check_refused(&timeless.replace("\"1.0\"", "\"2.0\""), "missing", "$.body.effective_time_frame");
}

#[test]
fn rules_of_personal_health_gateways() {
    let value = quantity("36.5", "Cel");
    let good = fhir(
        LOINC,
        "8310-5",
        &format!(
            r#"{value},"subject":{{"reference":"Patient/p1"}},"performer":[{{"reference":"Practitioner/7","display":"n"}}]"#
        ),
    );
    check_changes(
        &good,
        &[
            ("Patient/p1", "Patient/p2", "another-patient", "$.subject.reference"),
            ("Patient/p1", "https://other.example/fhir/Patient/p1", "another-patient", "$.subject"),
            ("Patient/p1", "Patient?identifier=urn:mrn|8", "another-patient", "$.subject"),
            ("Patient/p1", "Group/p1", "another-patient", "$.subject"),
            ("Patient/p1", "Device/p1", "another-patient", "$.subject"),
            ("Patient/p1", "#p1", "bad-value", "$.subject.reference"),
            ("Patient/p1", "urn:uuid:1", "bad-value", "$.subject.reference"),
            (
                r#"{"reference":"Patient/p1"}"#,
                r#"{"type":"Patient","identifier":{"system":"urn:mrn","value":"8"}}"#,
                "another-patient",
                "$.subject",
            ),
            (r#"{"reference":"Patient/p1"}"#, r#"{"display":"Jane Doe"}"#, "another-patient", "$.subject"),
            (r#"{"reference":"Patient/p1"}"#, r#""Patient/p1""#, "bad-value", "$.subject"),
            ("Practitioner/7", "Patient/7", "another-patient", "$.performer[0].reference"),
            ("Practitioner/7", "nobody", "another-patient", "$.performer[0].reference"),
            (
                r#"{"reference":"Practitioner/7","display":"n"}"#,
                r#"{"type":"Patient","identifier":{"value":"8"}}"#,
                "another-patient",
                "$.performer[0]",
            ),
            (r#""id":"o1","#, "", "no-identity", "$"),
            (r#""id":"o1","#, r#""id":"o1","contained":[],"#, "bad-value", "$.contained"),
            (
                r#""id":"o1","#,
                r#""identifier":[{"system":"urn:sealwort:measurement","value":"oxi/1"}],"#,
                "bad-value",
                "$.identifier[0]",
            ),
            (r#""effectiveDateTime":"2026-11-28T07:25:00Z","#, "", "missing", "$.effectiveDateTime"),
            ("2026-11-28T07:25:00Z", "2026-11", "bad-value", "$.effectiveDateTime"),
            ("2026-11-28T07:25:00Z", "2026-12-28T07:25:00Z", "in-future", "$.effectiveDateTime"),
            ("36.5", "365", "implausible", "$.valueQuantity.value"),
            ("36.5", "\"36.5\"", "bad-value", "$.valueQuantity.value"),
            ("\"Cel\"", "\"[degF]\"", "implausible", "$.valueQuantity.value"),
            ("\"Cel\"", "\"C\"", "wrong-unit", "$.valueQuantity.code"),
            ("http://unitsofmeasure.org", "urn:x", "wrong-unit", "$.valueQuantity.code"),
            (r#""value":36.5"#, r#""value":36.5,"comparator":"<""#, "bad-value", "$.valueQuantity.comparator"),
            ("valueQuantity", "valueRange", "missing", "$.valueQuantity"),
            (
                r#""code":"8310-5"}"#,
                r#""code":"8310-5"},{"system":"http://loinc.org","code":"8867-4"}"#,
                "bad-value",
                "$.code",
            ),
        ],
    );
    // What is not in the payload is known by identifier, never by an id that means another resource here.
    let found = observations(&enrolled(), good.as_bytes()).unwrap();
    assert_eq!(found[0]["performer"][0]["identifier"]["value"], "phg-7/Practitioner/7");
    assert!(found[0]["performer"][0].get("reference").is_none());
    let component = format!(
        r#""component":[{{"code":{{"coding":[{{"system":"{LOINC}","code":"8867-4"}}]}},{}}}]"#,
        quantity("72", "/min")
    );
    check_changes(
        &fhir(MDC, "150604", &component),
        &[("\"value\":72", "\"value\":720", "implausible", "$.component[0].valueQuantity.value")],
    );
    check_changes(
        &fhir(MDC, "131328", r#""valueSampledData":{"origin":{"value":0},"period":10,"dimensions":1,"data":"1 2"}"#),
        &[
            ("1 2", "1  2", "bad-value", "$.valueSampledData.data"),
            ("1 2", "1 NaN", "bad-value", "$.valueSampledData.data"),
            (r#""period":10"#, r#""period":0"#, "bad-value", "$.valueSampledData.period"),
        ],
    );
}

#[test]
fn bundles_of_personal_health_gateways() {
    let observation = |id: &str, rest: &str| {
        fhir(LOINC, "8867-4", &format!("{}{rest}", quantity("72", "/min"))).replace("\"o1\"", &format!("\"{id}\""))
    };
    let patient = r#"{"resourceType":"Patient","id":"x","identifier":[{"system":"urn:oid:2.999.1.2.3.4.5.6.7.8.10","value":"sisansarahId"}]}"#;
    let cuff = r#"{"resourceType":"Device","id":"d","identifier":[{"system":"urn:eui","value":"7"}],"patient":{"reference":"Patient/x"}}"#;
    let good = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{patient}}},{{"resource":{cuff}}},{{"fullUrl":"urn:uuid:0b7f3a52-6d0e-4d0b-9a53-2d6c3a2f7c01","resource":{}}},{{"resource":{}}}]}}"#,
        observation("a", r#","subject":{"reference":"Patient/x"},"device":{"reference":"Device/d"}"#),
        observation("b", r#","derivedFrom":[{"reference":"Observation/a"}]"#),
    );
    let found = observations(&enrolled(), good.as_bytes()).unwrap();
    assert_eq!(found[0]["subject"]["reference"], "Patient/p1");
    assert_eq!(found[0]["device"]["reference"], "Device?identifier=urn:sealwort:device|phg-7/urn:eui%5C%7C7");
    assert_eq!(found[0]["extension"][0]["url"], "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice");
    assert_eq!(found[1]["derivedFrom"][0]["reference"], "urn:uuid:0b7f3a52-6d0e-4d0b-9a53-2d6c3a2f7c01");
    check_changes(
        &good,
        &[
            ("sisansarahId", "somebody", "another-patient", "$.entry[0].resource"),
            ("\"collection\"", "\"history\"", "bad-value", "$.type"),
            ("\"entry\"", "\"entries\"", "missing", "$.entry"),
            (
                r#""resourceType":"Device""#,
                r#""resourceType":"Consent""#,
                "bad-value",
                "$.entry[1].resource.resourceType",
            ),
            (r#""identifier":[{"system":"urn:eui","value":"7"}],"#, "", "no-identity", "$.entry[1].resource"),
            ("urn:eui", "urn:sealwort:device", "bad-value", "$.entry[1].resource.identifier[0]"),
            (
                r#""patient":{"reference":"Patient/x"}"#,
                r#""patient":{"reference":"Patient/y"}"#,
                "another-patient",
                "$.entry[1].resource",
            ),
            (r#""id":"b""#, r#""id":"a""#, "bad-value", "same name"),
            ("0b7f3a52-6d0e-4d0b-9a53-2d6c3a2f7c01", "5e0c3f3a-7d0b-4a6e-9d35-8f3f1f0c7a11", "bad-value", "fullUrl"),
        ],
    );
    let none = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{{"resource":{patient}}}]}}"#);
    check_refused(&none, "bad-value", "no Observation");
}

#[test]
fn an_enrolment_bounds_what_is_taken() {
    let payload = own(r#""measure":"heart-rate","value":72,"unit":"/min""#);
    let refused =
        |enrolled: &sealwort_devices::Enrolled, payload: &str| to_fhir(enrolled, payload.as_bytes(), NOW).unwrap_err();
    let other = enrolled_for(&[Measure::BodyWeight], &json!({"id": "p1"}));
    let denied = |measure| DeviceError::NotEnrolledFor { place: "$".to_owned(), measure };
    assert_eq!(refused(&other, &payload), denied(Measure::HeartRate));
    assert_eq!(refused(&other, &fhir(LOINC, "8867-4", &quantity("72", "/min"))), denied(Measure::HeartRate));
    assert_eq!(refused(&other, &fhir(LOINC, "718-7", &quantity("72", "g/L"))), denied(Measure::Other));
    assert_eq!(refused(&other, r#"{"heart_rate":{"value":60,"unit":"beats/min"}}"#), denied(Measure::HeartRate));
    let revoked = enrolled().revoke(NOW).unwrap();
    assert_eq!(refused(&revoked, &payload), DeviceError::Revoked);
}

/// The examples of the crate's documentation are what they say.
#[test]
fn the_documented_examples_are_taken() {
    for example in support::documented() {
        observations(&enrolled(), example.as_bytes()).unwrap_or_else(|error| panic!("{error}: {example}"));
    }
}
