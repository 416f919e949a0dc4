//! Labels by rules, at a running exchange: what comes in is labelled by its codes, another hospital opens what it was
//! granted and no more, and when the rules change, so do the labels of what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Client, Party, World, exit, json_of, run, succeeded, text};

const ICD: &str = "http://hl7.org/fhir/sid/icd-10";
const HIV: (&str, &str, &str) = ("only-hiv", "HIV", "B20");
const MIND: (&str, &str, &str) = ("only-mind", "PSY", "F20");

#[test]
fn labels_follow_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    write_rules(&file, &[HIV]);
    let mut world = World::start_with(&[(Party::HospitalA, "labels.rules", json!(file))]);
    let token = world.token_of_user(Party::HospitalA).to_owned();
    let a = |world: &World| world.client_with(Party::HospitalA, Some(token.clone()));
    let b = world.client(Party::HospitalB);
    on_arrival(&world, &a(&world), &b, folder.path());

    write_rules(&file, &[HIV, MIND]);
    restart(&mut world);
    stricter(&world, &a(&world), &b);

    write_rules(&file, &[HIV]);
    restart(&mut world);
    more_open(&world, &a(&world), &b);

    while_away(&mut world);

    fs::write(&file, "[[rule]]\nname = \"x\"\n").unwrap();
    assert!(world.stop(Party::HospitalA).success());
    let started = run(&["gateway", "--config", text(&world.config(Party::HospitalA))]);
    let told = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(exit(&started) != 0 && told.contains("labels.rules") && told.contains("rules.toml"), "{told}");
}

fn write_rules(file: &Path, rules: &[(&str, &str, &str)]) {
    let rule = |(name, sensitivity, below): &(&str, &str, &str)| {
        format!(
            "[[rule]]\nname = {name:?}\nsensitivity = {sensitivity:?}\nsource = \"a test\"\nsystems = [{ICD:?}]\n\
             below = [{below:?}]\n"
        )
    };
    fs::write(file, rules.iter().map(rule).collect::<Vec<_>>().concat()).unwrap();
}

fn restart(world: &mut World) {
    assert!(world.stop(Party::HospitalA).success());
    world.restart(Party::HospitalA);
}

fn level(code: &str) -> Value {
    json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": code}])
}

fn condition(id: &str, code: &str, security: &Value) -> Value {
    json!({
        "resourceType": "Condition", "id": id, "meta": {"security": security},
        "subject": {"reference": "Patient/labels"}, "code": {"coding": [{"system": ICD, "code": code}]},
    })
}

fn conditions(at: &Client) -> Vec<String> {
    at.get("/fhir/Condition?patient.identifier=urn:labels%7C1").with(200).names()
}

fn labels(world: &World, arguments: &[&str]) -> Value {
    let output = world.run_at(Party::HospitalA, &[&["labels"], arguments, &["--json"]].concat());
    succeeded(&output);
    json_of(&output)
}

fn on_arrival(world: &World, a: &Client, b: &Client, folder: &Path) {
    let very = level("V");
    let patient = json!({"resourceType": "Patient", "id": "labels",
        "identifier": [{"system": "urn:labels", "value": "1"}], "name": [{"family": "Labels"}]});
    let resources = [
        patient,
        condition("plain", "I10", &level("N")),
        condition("hiv", "B20.1", &level("N")),
        condition("mind", "F20.0", &level("N")),
        // The sender's word goes further than the rule's.
        condition("said", "B20", &very),
    ];
    let entries = resources.map(|resource| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    });
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    a.send("POST", "/fhir", &[], bundle.to_string()).with(200);
    let grant = json!({"patient": "urn:labels|1", "to": "hospital-b", "labels": ["general"]});
    a.send("POST", "/consent/grant", &[], grant.to_string()).with(200);
    assert_eq!(conditions(b), ["Condition/plain", "Condition/mind"]);
    assert_eq!(conditions(a).len(), 4);

    let told = labels(world, &["explain", "Condition/hiv"]);
    assert_eq!((&told["stored"], &told["label"]), (&json!("hiv"), &json!("hiv")));
    assert_eq!(told["rules"][0]["rule"], "only-hiv");
    assert_eq!(told["rules"][0]["expression"], "Condition.code.coding[0]");
    let told = labels(world, &["explain", "Condition/said"]);
    assert_eq!((&told["stored"], &told["sender"]), (&json!("very-restricted"), &json!("very-restricted")));
    let sent = folder.join("sent.json");
    fs::write(&sent, condition("sent", "B24", &level("N")).to_string()).unwrap();
    let told = world.run_at(Party::HospitalA, &["labels", "explain", text(&sent)]);
    let (rows, words) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(rows.contains("no rule is about it"), "{rows}{words}");
}

/// A new rule: what it is about becomes a new version under another key, and whoever had the old label sees it no more.
fn stricter(world: &World, a: &Client, b: &Client) {
    b.get("/fhir/Condition/mind/_history/1").with(200);
    let planned = labels(world, &["apply", "urn:labels|1", "--dry-run"]);
    let told: Vec<&Value> = planned.as_array().unwrap().iter().collect();
    assert_eq!((told.len(), &told[0]["resource"], &told[0]["to"]), (1, &json!("Condition/mind"), &json!("psychiatry")));
    assert_eq!(told[0]["rules"], json!(["only-mind"]));
    b.get("/fhir/Condition/mind").with(200);

    assert_eq!(labels(world, &["apply", "urn:labels|1"]), planned);
    for path in ["/fhir/Condition/mind", "/fhir/Condition/mind/_history", "/fhir/Condition/mind/_history/1"] {
        b.get(path).with(404);
    }
    assert_eq!(conditions(b), ["Condition/plain"]);
    let history = b.get("/fhir/Condition/_history?patient=labels").with(200).text();
    assert!(!history.contains("F20"), "{history}");
    assert_eq!(a.get("/fhir/Condition/mind").with(200).field("etag"), Some("W/\"2\""));
    assert_eq!(a.get("/fhir/Condition/mind/_history").with(200).entries().len(), 2);
    assert_eq!(labels(world, &["explain", "Condition/mind"])["stored"], "psychiatry");
    assert_eq!(labels(world, &["apply", "urn:labels|1"]), json!([]));
}

/// A rule that is gone opens nothing by itself.
fn more_open(world: &World, a: &Client, b: &Client) {
    assert_eq!(labels(world, &["apply", "urn:labels|1"]), json!([]));
    b.get("/fhir/Condition/mind").with(404);
    let told = labels(world, &["apply", "urn:labels|1", "--exact"]);
    assert_eq!((told.as_array().unwrap().len(), &told[0]["from"]), (1, &json!("psychiatry")));
    assert_eq!(b.get("/fhir/Condition/mind").with(200).field("etag"), Some("W/\"1\""));
    assert_eq!(a.get("/fhir/Condition/mind/_history").with(200).entries().len(), 3);
}

/// What is labelled anew while the exchange is away goes away from where it was once it is sent.
fn while_away(world: &mut World) {
    let (a, b) = (world.client(Party::HospitalA), world.client(Party::HospitalB));
    b.get("/fhir/Condition/plain").with(200);
    world.kill(Party::Broker);
    // From now on nothing is known there of what is stored.
    while a.get("/fhir/Condition/plain").status == 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let now = condition("plain", "B20", &level("N"));
    a.send("PUT", "/fhir/Condition/plain", &[], now.to_string()).with(202);
    world.restart(Party::Broker);
    let begun = Instant::now();
    while b.get("/fhir/Condition/plain/_history/1").status != 404 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the version before is shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    b.get("/fhir/Condition/plain").with(404);
    assert_eq!(a.get("/fhir/Condition/plain").with(200).field("etag"), Some("W/\"2\""));
}
