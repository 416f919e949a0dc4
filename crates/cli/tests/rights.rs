//! The right to be erased, through real processes: nothing of the record is left in the files of broker and archive, both
//! certify it, nobody else can order it, and the person who comes back begins anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use support::{Party, World};

fn patient(number: u32) -> Value {
    json!({
        "resourceType": "Patient",
        "id": format!("p{number}"),
        "identifier": [{"system": "urn:rights", "value": number.to_string()}],
        "name": [{"family": "Gone"}],
    })
}

fn observation(number: u32) -> Value {
    json!({
        "resourceType": "Observation", "id": format!("o{number}"), "status": "final",
        "code": {"text": "erased later"}, "subject": {"reference": format!("Patient/p{number}")},
    })
}

fn put(world: &World, hospital: Party, resource: &Value) {
    let path = format!("/fhir/{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    world.client(hospital).send("PUT", &path, &[], resource.to_string()).done();
}

fn erase(world: &World, hospital: Party, body: &Value) -> support::Answer {
    let json = [("Content-Type", "application/json")];
    let administrator = world.token(hospital, "root", "administrator");
    world.client_with(hospital, Some(administrator)).send("POST", "/erasure", &json, body.to_string())
}

/// Every byte in a party's folder.
fn files(world: &World, party: Party) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(world.folder(party)).unwrap().flatten();
    entries.filter(|entry| entry.path().is_file()).map(|entry| fs::read(entry.path()).unwrap()).collect()
}

fn holds(files: &[Vec<u8>], needle: &[u8]) -> bool {
    files.iter().any(|file| file.windows(needle.len()).any(|window| window == needle))
}

/// What a party's store keeps of its only patient: what must not be found afterwards.
async fn secrets(world: &World, party: Party) -> Vec<Vec<u8>> {
    let file = world.folder(party).join("store.sqlite");
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let mut found = Vec::new();
    for (column, table) in [
        ("wrapped", "half"),
        ("registration", "patient"),
        ("directive", "patient"),
        ("locator", "locator"),
        ("ciphertext", "entry"),
        ("envelope", "entry"),
    ] {
        let statement = format!("SELECT {column} FROM {table}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap();
        // The end of a value is its signature, or random.
        let end = |value: Vec<u8>| value[value.len().saturating_sub(32)..].to_vec();
        found.extend(rows.iter().map(|row| end(row.get(0))));
    }
    found
}

#[test]
fn an_erased_patient_is_gone_everywhere() {
    let mut world = World::start();
    for resource in [patient(1), observation(1)] {
        put(&world, Party::HospitalA, &resource);
    }
    let ehr = world.client(Party::HospitalA);
    ehr.get("/fhir/Observation/o1").with(200);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let read = |party| (party, runtime.block_on(secrets(&world, party)));
    let kept = [Party::Broker, Party::Archive].map(read);
    for (party, secrets) in &kept {
        assert!(!secrets.is_empty(), "{party:?} keeps something");
        let files = files(&world, *party);
        assert!(secrets.iter().all(|secret| holds(&files, secret)), "{party:?}: the search finds what is there");
    }

    // Another hospital is not the authority; a wrong confirmation changes nothing.
    let request = json!({"patient": "urn:rights|1"});
    assert_eq!(erase(&world, Party::HospitalB, &request).refusal().0, 403);
    let by_physician = world.request(Party::HospitalA, "POST", "/erasure", request.to_string().as_bytes()).unwrap();
    assert_eq!(by_physician.refusal(), (403, "administrator-needed".to_owned(), String::new()));
    let dry = erase(&world, Party::HospitalA, &request).done().json();
    assert_eq!((&dry["ordered"], &dry["people"]), (&json!(false), &json!(1)));
    let wrong = json!({"patient": "urn:rights|1", "confirm": "erase everything"});
    assert_eq!(erase(&world, Party::HospitalA, &wrong).refusal().0, 422);
    ehr.get("/fhir/Observation/o1").with(200);

    // While the broker is away the order waits, and the record is not shown any more.
    world.kill(Party::Broker);
    let confirmed = json!({"patient": "p1", "confirm": dry["confirm"]});
    let ordered = erase(&world, Party::HospitalA, &confirmed).done().json();
    assert_eq!((&ordered["ordered"], &ordered["certified"]), (&json!(true), &json!(false)));
    let ehr = world.client(Party::HospitalA);
    assert_eq!(ehr.get("/fhir/Observation/o1").refusal().0, 410);
    world.restart(Party::Broker);
    let mut erased = Value::Null;
    for _ in 0..300 {
        erased = ehr.get("/erasure").done().json()[0].clone();
        if erased["certified"] == json!(true) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(erased["certificates"].as_array().unwrap().len(), 2, "{erased}");
    for (party, secrets) in &kept {
        let files = files(&world, *party);
        let left = secrets.iter().filter(|secret| holds(&files, secret)).count();
        assert_eq!(left, 0, "{party:?} still has {left} of {} secrets in its files", secrets.len());
    }
    assert_eq!(ehr.get("/fhir/Patient/p1").refusal().0, 410);
    assert_eq!(ehr.get("/fhir/Patient?identifier=urn:rights%7C1").done().names(), Vec::<String>::new());

    // Who comes back begins anew, under another pseudonym and the same ids.
    for resource in [patient(1), observation(1)] {
        put(&world, Party::HospitalA, &resource);
    }
    ehr.get("/fhir/Observation/o1").with(200);
    let consent = ehr.get("/consent?patient=urn:rights%7C1").done().json();
    assert_ne!(consent["patient"], erased["patient"]);
}
