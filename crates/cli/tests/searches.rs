//! Searches and operations of the gateway over whole records: pages to their end while the gateway restarts, the
//! hospital's roster by name and birth date, its own record, `$everything`, `$summary`, `$validate` and `$export`.
//! What each search parameter finds is tested in `crates/fhir` and `interop/search`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use sealwort_fhir::validation::is_acceptable;
use sealwort_fhir::{
    BundleKind, Handling, ResourceType, parse_any_bundle, parse_ndjson, same_content, samples, validate,
};
use serde_json::{Value, json};
use support::{Answer, Client, Party, World, parts};

/// Observations of the patient whose pages are turned.
const MANY: usize = 130;

#[test]
fn searches_and_operations_of_whole_records() {
    let world = RefCell::new(World::start());
    let ehr = world.borrow().client(Party::HospitalA);
    ehr.send("POST", "/fhir", &[], many_observations()).with(200);
    parts(&[
        ("pages to the end", &|| pages_to_the_end(&ehr)),
        ("pages outlive a restart", &|| pages_outlive_a_restart(&world)),
        ("forms of a search", &|| forms_of_a_search(&ehr)),
        ("unknown parameters", &|| unknown_parameters(&ehr)),
        ("whom a search is about", &|| whom_a_search_is_about(&ehr)),
        ("the roster", &|| the_roster(&world)),
        ("another hospital's patient", &|| another_hospitals_patient(&world.borrow())),
        ("the hospital's own record", &|| own_record(&ehr)),
        ("everything", &|| everything(&ehr)),
        ("summaries", &|| summaries(&ehr)),
        ("validation", &|| validation(&ehr)),
        ("exports", &|| exports(&world.borrow(), &ehr)),
    ]);
}

fn many_observations() -> String {
    let patient = json!({"resourceType": "Patient", "id": "many", "identifier": [{"system": "urn:s", "value": "many"}], "name": [{"family": "Many"}]});
    let observations = (0..MANY).map(|number| {
        let resource = json!({
            "resourceType": "Observation", "id": format!("many-{number:03}"), "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": "Patient/many"},
            // Each date occurs several times, so that pages end among equals.
            "effectiveDateTime": format!("2025-01-{:02}", number * 7 % 28 + 1),
            "valueQuantity": {"value": 60 + number, "unit": "/min"},
        });
        json!({"resource": resource, "request": {"method": "PUT", "url": format!("Observation/many-{number:03}")}})
    });
    let patient = json!({"resource": patient, "request": {"method": "PUT", "url": "Patient/many"}});
    let entries: Vec<Value> = std::iter::once(patient).chain(observations).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string()
}

/// Turns pages from this one to the last. Every page but the last is full, and none is empty.
fn turned(ehr: &Client, mut page: Answer, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let found = page.names();
        assert!(!found.is_empty(), "an empty page: {}", page.text());
        names.extend(found.iter().cloned());
        let Some(next) = page.link("next") else { return names };
        assert_eq!(found.len(), count);
        page = ehr.follow(&next).with(200);
    }
}

fn pages_to_the_end(ehr: &Client) {
    let whole = ehr.get("/fhir/Observation?patient=many&_sort=date,_id&_count=1000").with(200);
    assert_eq!((whole.names().len(), whole.link("next")), (MANY, None));
    let order = whole.names();
    let key = |entry: &Value| (entry["resource"]["effectiveDateTime"].to_string(), entry["resource"]["id"].to_string());
    assert!(whole.entries().is_sorted_by_key(key), "{order:?}");
    for count in [1, 7, 26, 65, 129, 130, 131] {
        let first = ehr.get(&format!("/fhir/Observation?patient=many&_sort=date,_id&_count={count}"));
        assert_eq!(first.json()["total"], MANY);
        assert_eq!(turned(ehr, first, count), order, "pages of {count}");
    }
    let down = turned(ehr, ehr.get("/fhir/Observation?patient=many&_sort=-date,-_id&_count=40"), 40);
    assert_eq!(down, order.iter().rev().cloned().collect::<Vec<_>>());
    // A search in a form goes on with links that are read.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted =
        ehr.send("POST", "/fhir/Observation/_search?_count=50", &form, "patient=many&_sort=date,_id").with(200);
    assert_eq!(turned(ehr, posted, 50), order);
    // What comes along comes with its page, and is no match.
    let page = ehr.get("/fhir/Observation?patient=many&_count=50&_include=Observation:subject").with(200);
    assert_eq!((page.names().len(), &page.json()["total"]), (51, &json!(MANY)));
    assert!(page.names().contains(&"Patient/many".to_owned()));
    let next = ehr.follow(&page.link("next").unwrap());
    assert_eq!(next.names().len(), 51, "{}", next.text());
}

fn pages_outlive_a_restart(world: &RefCell<World>) {
    let ehr = world.borrow().client(Party::HospitalA);
    let search = "/fhir/Observation?patient=many&_sort=date,_id&_count=30";
    let order = ehr.get("/fhir/Observation?patient=many&_sort=date,_id&_count=1000").names();
    let first = ehr.get(search).with(200);
    let second = ehr.follow(&first.link("next").unwrap()).with(200);
    world.borrow_mut().stop(Party::HospitalA);
    world.borrow_mut().restart(Party::HospitalA);
    // Two more in the meantime, one before the place where the reader stands, one behind it.
    for (id, date) in [("early", "2024-01-01"), ("late", "2026-01-01")] {
        let more = json!({
            "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "x"},
            "subject": {"reference": "Patient/many"}, "effectiveDateTime": date,
        });
        ehr.send("PUT", &format!("/fhir/Observation/{id}"), &[], more.to_string()).with(201);
    }
    let rest = turned(&ehr, ehr.follow(&second.link("next").unwrap()).with(200), 30);
    let read: Vec<String> = [first.names(), second.names(), rest].concat();
    let wanted: Vec<String> = order.into_iter().chain(["Observation/late".to_owned()]).collect();
    assert_eq!(read, wanted, "nothing is shown twice or left out");
    // A cursor is this gateway's own, for searches of its users.
    let next = second.link("next").unwrap();
    let path = next.split_once("/fhir").unwrap().1;
    let at_b = world.borrow().client(Party::HospitalB).get(&format!("/fhir{path}"));
    assert_eq!(at_b.refusal(), (400, "cursor-unusable".to_owned(), String::new()));
    let last = if next.ends_with('A') { 'B' } else { 'A' };
    for wrong in [
        format!("{}{last}", &path[..path.len() - 1]),
        "/Observation?_cursor=x".to_owned(),
        "/Observation?_cursor=".to_owned(),
    ] {
        assert_eq!(ehr.get(&format!("/fhir{wrong}")).refusal().0, 400, "{wrong}");
    }
    assert_eq!(world.borrow().client_with(Party::HospitalA, None).get(&format!("/fhir{path}")).refusal().0, 401);
    for id in ["early", "late"] {
        ehr.send("DELETE", &format!("/fhir/Observation/{id}"), &[], "").with(204);
    }
}

fn forms_of_a_search(ehr: &Client) {
    let total = |search: &str| ehr.get(&format!("/fhir/{search}")).with(200).json()["total"].clone();
    assert_eq!(total("Observation?patient=many&value-quantity=ge100"), 90);
    assert_eq!(total("Observation?subject=Patient/many"), MANY);
    assert_eq!(
        total("Observation?subject:Patient.identifier=urn:s%7Cmany&date=2025-01-01"),
        total("Observation?patient=many&date=2025-01-01")
    );
    assert_eq!(
        total("Patient/many/Observation?date=lt2025-01-02"),
        total("Observation?patient=many&date=lt2025-01-02")
    );
    assert_eq!(total("Patient/many/Condition"), 0);
    assert_eq!(total("?_type=Observation,Condition&patient=many&_total=accurate"), MANY);
    assert_eq!(total("Observation?patient=many&_summary=count"), MANY);
    let counted = ehr.get("/fhir/Observation?patient=many&_count=0").with(200);
    assert_eq!((counted.entries().len(), &counted.json()["total"], counted.link("next")), (0, &json!(MANY), None));
    let uncounted = ehr.get("/fhir/Observation?patient=many&_total=none&_count=10").with(200);
    assert_eq!((uncounted.names().len(), uncounted.json().get("total")), (10, None));
    let brief = ehr.get("/fhir/Observation?patient=many&_elements=status&_count=2").with(200);
    let resource = &brief.entries()[0]["resource"];
    assert!(resource.get("valueQuantity").is_none() && resource["status"] == "final", "{resource}");
    assert!(resource["meta"]["tag"].to_string().contains("SUBSETTED"), "{resource}");
    let url = brief.entries()[0]["fullUrl"].as_str().unwrap().to_owned();
    assert!(ehr.follow(&url).with(200).json().get("valueQuantity").is_some(), "a fullUrl is the resource's address");
    let head = ehr.send("HEAD", "/fhir/Observation?patient=many", &[], "").with(200);
    assert_eq!(head.field("content-type"), Some("application/fhir+json; charset=utf-8"));
    for wrong in [
        "date=yesterday",
        "value-quantity=gtx",
        "_count=many",
        "_count=-1",
        "_sort=zebra",
        "_total=some",
        "status:zebra=final",
    ] {
        assert_eq!(ehr.get(&format!("/fhir/Observation?patient=many&{wrong}")).refusal().0, 400, "{wrong}");
    }
    let refused = ehr.send("POST", "/fhir/Observation/_search", &[("Content-Type", "text/plain")], "patient=many");
    assert_eq!(refused.refusal().0, 415);
    assert_eq!(ehr.get("/fhir/Observation?patient=many&code=%FF").refusal().1, "query-invalid");
}

/// A parameter that nobody knows is left out and told, or refused where the client wants that (http.html, `Prefer`).
fn unknown_parameters(ehr: &Client) {
    let search = "/fhir/Observation?patient=many&_count=1&zebra=1";
    let lenient = ehr.get(search).with(200);
    assert_eq!(lenient.json()["total"], MANY);
    assert!(!lenient.link("self").unwrap().contains("zebra"), "the self link tells what was understood");
    let entries = lenient.entries();
    let notes: Vec<_> = entries.iter().filter(|entry| entry["search"]["mode"] == "outcome").collect();
    assert_eq!(notes.len(), 1, "{}", lenient.text());
    assert_eq!(notes[0]["resource"]["issue"][0]["details"]["coding"][0]["code"], "parameter-ignored");
    let strict = ehr.send("GET", search, &[("Prefer", "handling=strict")], "");
    assert_eq!(strict.refusal(), (400, "unknown-search-parameter".to_owned(), "http.zebra".to_owned()));
}

/// A search names one patient, or says that it cannot be answered and how to ask.
fn whom_a_search_is_about(ehr: &Client) {
    for search in [
        "Observation?code=8867-4",
        "Observation",
        "Condition?_count=5",
        "?_type=Observation",
        "Observation?patient=many,other",
        "Observation?patient.identifier=many",
        "Observation?patient=many&subject=Patient/other",
    ] {
        let refused = ehr.get(&format!("/fhir/{search}"));
        assert_eq!(refused.refusal().1, "search-unsupported", "{search}");
        assert!(refused.text().contains("patient"), "it says how to ask: {}", refused.text());
    }
    for search in [
        "Observation?patient=nobody",
        "Observation?patient.identifier=urn:s%7Cnobody",
        "Patient?_id=nobody",
        "Patient?identifier=urn:s%7Cnobody",
        "Patient/nobody/Observation",
        "Observation?_id=nothing",
    ] {
        let found = ehr.get(&format!("/fhir/{search}")).with(200);
        assert_eq!((found.json()["total"].clone(), found.names().len()), (json!(0), 0), "{search}");
    }
    assert_eq!(ehr.get("/fhir/Observation?_id=many-003").with(200).names(), ["Observation/many-003"]);
}

fn the_roster(world: &RefCell<World>) {
    let ehr = world.borrow().client(Party::HospitalA);
    let person = |number: usize, family: &str| {
        json!({
            "resourceType": "Patient", "id": format!("roster-{number}"), "gender": if number.is_multiple_of(2) { "male" } else { "female" },
            "identifier": [{"system": "urn:roster", "value": number.to_string()}],
            "name": [{"family": family, "given": [format!("Given{number}")]}],
            "birthDate": format!("19{:02}-05-17", 50 + number),
        })
    };
    let entries: Vec<Value> = (0..25)
        .map(|number| {
            let family = if number < 20 { "Müller" } else { "Rossi" };
            json!({"resource": person(number, family), "request": {"method": "PUT", "url": format!("Patient/roster-{number}")}})
        })
        .collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    ehr.send("POST", "/fhir", &[], bundle.to_string()).with(200);
    let found = |search: &str| ehr.get(&format!("/fhir/Patient?{search}")).with(200).name_set();
    let named =
        |numbers: std::ops::Range<usize>| numbers.map(|n| format!("Patient/roster-{n}")).collect::<BTreeSet<_>>();
    let searches = || {
        assert_eq!(found("name=mull&_count=50"), named(0..20), "case and accents aside, from the beginning of a part");
        assert_eq!(found("family:exact=Rossi"), named(20..25));
        assert_eq!(found("family:exact=rossi"), BTreeSet::new());
        assert_eq!(found("birthdate=1971-05-17"), named(21..22));
        assert_eq!(found("birthdate=ge1970&family=rossi"), named(20..25));
        assert_eq!(found("given=given7&gender=female"), named(7..8));
        assert_eq!(found("identifier=urn:roster%7C3"), named(3..4));
        assert_eq!(found("identifier=24&family=rossi"), named(24..25));
        assert_eq!(found("_id=roster-4"), named(4..5));
        assert_eq!(found("name=nobody"), BTreeSet::new());
        let pages = turned(
            &ehr,
            ehr.get("/fhir/Patient?family=müller&_sort=birthdate&_count=6".replace('ü', "%C3%BC").as_str()),
            6,
        );
        assert_eq!(pages, (0..20).map(|n| format!("Patient/roster-{n}")).collect::<Vec<_>>());
    };
    searches();
    world.borrow_mut().stop(Party::HospitalA);
    world.borrow_mut().restart(Party::HospitalA);
    searches();
    // Who has another name is found by that one, and who was deleted by none.
    ehr.send("PUT", "/fhir/Patient/roster-20", &[], person(20, "Bianchi").to_string()).with(200);
    ehr.send("DELETE", "/fhir/Patient/roster-21", &[], "").with(204);
    assert_eq!(found("family=rossi"), named(22..25));
    assert_eq!(found("family=bianchi"), named(20..21));
    assert_eq!(found("birthdate=1971-05-17"), BTreeSet::new());
    // The roster is the hospital's own.
    let at_b = world.borrow().client(Party::HospitalB).get("/fhir/Patient?family=rossi").with(200);
    assert_eq!(at_b.json()["total"], 0, "{}", at_b.text());
}

/// Found by an identifier once consent allows it, then by name; forgotten once it does not.
fn another_hospitals_patient(world: &World) {
    let b = world.client(Party::HospitalB);
    let total = |search: &str| b.get(&format!("/fhir/Patient?{search}")).with(200).json()["total"].clone();
    let by_identifier = "identifier=urn:roster%7C24";
    assert_eq!(b.get(&format!("/fhir/Patient?{by_identifier}")).refusal().0, 403, "no consent yet");
    assert_eq!(total("family=rossi"), 0);
    world.consent(Party::HospitalA, "grant", "urn:roster|24", Party::HospitalB).unwrap().done();
    assert_eq!(b.get(&format!("/fhir/Patient?{by_identifier}")).with(200).names(), ["Patient/roster-24"]);
    // What a reading showed is noted beside it.
    let noted = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        total("family=rossi") == 1
    });
    assert!(noted, "the roster of B does not know whom B has read");
    world.consent(Party::HospitalA, "withdraw", "urn:roster|24", Party::HospitalB).unwrap().done();
    assert_eq!(b.get(&format!("/fhir/Patient?{by_identifier}")).refusal().0, 403);
    assert_eq!(total("family=rossi"), 0, "whom B may not read any more it forgets");
}

/// What concerns no patient is the hospital's own (practitioners, organizations, definitions).
fn own_record(ehr: &Client) {
    let doctor = json!({"resourceType": "Practitioner", "id": "house", "identifier": [{"system": "urn:npi", "value": "7"}], "name": [{"family": "House"}]});
    let ward = json!({"resourceType": "Organization", "id": "ward", "name": "Ward 3"});
    ehr.send("PUT", "/fhir/Practitioner/house", &[], doctor.to_string()).with(201);
    ehr.send("PUT", "/fhir/Organization/ward", &[], ward.to_string()).with(201);
    let role = json!({
        "resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "Practitioner/house"},
        "organization": {"reference": "Organization/ward"},
    });
    ehr.send("PUT", "/fhir/PractitionerRole/role", &[], role.to_string()).with(201);
    assert!(same_content(&ehr.get("/fhir/Practitioner/house").with(200).body, doctor.to_string().as_bytes()));
    assert_eq!(ehr.get("/fhir/Practitioner?name=house").with(200).names(), ["Practitioner/house"]);
    assert_eq!(ehr.get("/fhir/Practitioner?identifier=urn:npi%7C7").with(200).names(), ["Practitioner/house"]);
    assert_eq!(
        ehr.get("/fhir/PractitionerRole?practitioner.name=house&_include=PractitionerRole:organization")
            .with(200)
            .name_set(),
        BTreeSet::from(["Organization/ward".to_owned(), "PractitionerRole/role".to_owned()])
    );
    assert_eq!(ehr.get("/fhir/Organization?name=ward").with(200).names(), ["Organization/ward"]);
    assert_eq!(ehr.get("/fhir/Practitioner?name=nobody").with(200).json()["total"], 0);
    // It is nobody's, and no patient.
    let everything = ehr.get("/fhir/Patient/many/$everything").with(200).names();
    assert!(
        everything.iter().all(|name| name.starts_with("Patient/") || name.starts_with("Observation/")),
        "{everything:?}"
    );
    assert_eq!(ehr.get("/fhir/Patient/many/Practitioner").with(200).json()["total"], 0);
    assert_eq!(
        ehr.get("/fhir/Patient?identifier=urn:sealwort:own-record%7Csealwort://test/gateway/hospital-a")
            .with(200)
            .names()
            .len(),
        0
    );
    ehr.send("DELETE", "/fhir/Practitioner/house", &[], "").with(204);
    assert_eq!(ehr.get("/fhir/Practitioner/house").refusal().0, 410);
    assert_eq!(ehr.get("/fhir/Practitioner?name=house").with(200).json()["total"], 0);
}

fn everything(ehr: &Client) {
    let path = "/fhir/Patient/many/$everything";
    let whole = ehr.get(path).with(200);
    assert_eq!((whole.json()["type"].clone(), whole.name_set().len()), (json!("searchset"), MANY + 1));
    assert_eq!(whole.link("next"), None);
    for count in [1, 50, 131] {
        let pages = turned(ehr, ehr.get(&format!("{path}?_count={count}")).with(200), count);
        assert_eq!(pages, whole.names(), "pages of {count}");
    }
    assert_eq!(ehr.get(&format!("{path}?_type=Patient")).with(200).names(), ["Patient/many"]);
    assert_eq!(ehr.get(&format!("{path}?_type=Patient,Observation")).with(200).names().len(), MANY + 1);
    assert_eq!(ehr.get(&format!("{path}?_since=2999-01-01")).with(200).names().len(), 0);
    assert_eq!(ehr.get(&format!("{path}?_since=2020-01-01T00:00:00Z")).with(200).names().len(), MANY + 1);
    for (query, code) in [
        ("_type=Zebra", "type-unknown"),
        ("_since=soon", "parameter-unsupported"),
        ("zebra=1", "parameter-unsupported"),
        ("_cursor=x", "cursor-unusable"),
    ] {
        assert_eq!(ehr.get(&format!("{path}?{query}")).refusal().1, code, "{query}");
    }
    assert_eq!(ehr.get("/fhir/Patient/nobody/$everything").refusal().0, 404);
    assert_eq!(ehr.get("/fhir/Observation/many-001/$everything").refusal().0, 404);
}

/// An International Patient Summary of each vendored sample: a valid document that begins with its Composition.
fn summaries(ehr: &Client) {
    let mut people = BTreeSet::new();
    for sample in samples::ALL {
        let posted: Value = serde_json::from_slice(sample.bytes).unwrap();
        let resources = posted["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
        let patient = resources.into_iter().find(|resource| resource["resourceType"] == "Patient").unwrap();
        let identifier = &patient["identifier"][0];
        let [system, value] = ["system", "value"].map(|part| support::encode(identifier[part].as_str().unwrap()));
        // Some samples are one person; once is enough.
        if !people.insert(format!("{system}|{value}")) {
            continue;
        }
        ehr.send("POST", "/fhir", &[("Prefer", "handling=lenient")], sample.bytes).with(200);
        let found = ehr.get(&format!("/fhir/Patient?identifier={system}%7C{value}")).with(200);
        let id = found.entries()[0]["resource"]["id"].as_str().unwrap().to_owned();
        let summary = ehr.get(&format!("/fhir/Patient/{id}/$summary")).with(200);
        let document = parse_any_bundle(summary.body.clone()).unwrap();
        assert_eq!(document.kind(), BundleKind::Document);
        let kinds: Vec<_> = document.resources().map(|(_, resource)| resource.resource_type()).collect();
        assert_eq!(kinds[0].as_str(), "Composition");
        assert!(kinds.contains(&ResourceType::PATIENT));
        let issues = validate(&summary.json(), Handling::Strict);
        assert!(is_acceptable(&issues), "{}: {issues:?}", sample.name);
        // Every entry that a section names is in the document.
        let urls: BTreeSet<String> =
            summary.entries().iter().map(|e| e["fullUrl"].as_str().unwrap().to_owned()).collect();
        let entries = summary.entries();
        let sections = entries[0]["resource"]["section"].as_array().unwrap();
        assert!(sections.len() >= 3, "problems, allergies and medicines are always there");
        let named = sections.iter().flat_map(|section| section["entry"].as_array().cloned().unwrap_or_default());
        for reference in named {
            let reference = reference["reference"].as_str().unwrap();
            assert!(urls.iter().any(|url| url == reference || url.ends_with(&format!("/{reference}"))), "{reference}");
        }
        let by_identifier = ehr.get(&format!("/fhir/Patient/$summary?identifier={system}%7C{value}")).with(200);
        assert_eq!(by_identifier.entries().len(), entries.len());
    }
    assert_eq!(ehr.get("/fhir/Patient/nobody/$summary").refusal().0, 404);
    assert_eq!(ehr.get("/fhir/Patient/$summary").refusal().1, "patient-needed");
    assert_eq!(ehr.get("/fhir/Patient/$summary?identifier=urn:s%7Cnobody").refusal().1, "patient-unknown");
}

/// The answer to `$validate` is 200 whatever is found; nothing is stored.
fn validation(ehr: &Client) {
    let faulty = json!({"resourceType": "Patient", "id": "validated", "gender": "x", "birthDate": "x"});
    let valid = json!({"resourceType": "Patient", "id": "validated"});
    let parameters = |resource: &Value| json!({"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": resource}]});
    for (path, body, codes) in [
        ("Patient/$validate", valid.clone(), &["valid"][..]),
        ("Patient/validated/$validate", valid.clone(), &["valid"]),
        ("Patient/$validate?mode=create", valid.clone(), &["valid"]),
        ("Patient/$validate", parameters(&valid), &["valid"]),
        ("Patient/$validate", faulty.clone(), &["not-in-value-set", "bad-format"]),
        ("Patient/$validate", parameters(&faulty), &["not-in-value-set", "bad-format"]),
        ("Observation/$validate", valid, &["type-differs"]),
        ("Patient/$validate", json!([]), &["not-an-object"]),
    ] {
        let told = ehr.send("POST", &format!("/fhir/{path}"), &[], body.to_string()).with(200).json();
        assert_eq!(told["resourceType"], "OperationOutcome");
        let issues = told["issue"].as_array().unwrap();
        let found: Vec<_> =
            issues.iter().map(|issue| issue["details"]["coding"][0]["code"].as_str().unwrap()).collect();
        assert_eq!(found.len(), codes.len(), "{path} {body}: {told}");
        let good = codes == ["valid"];
        assert!(issues.iter().all(|issue| (issue["severity"] == "information") == good), "{path}: {told}");
        if good || codes.len() == 1 {
            assert_eq!(found, codes, "{path}: {told}");
        }
    }
    let no_part = json!({"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "create"}]});
    assert_eq!(ehr.send("POST", "/fhir/Patient/$validate", &[], no_part.to_string()).refusal().1, "resource-needed");
    let strict = ehr.send(
        "POST",
        "/fhir/Patient/$validate",
        &[("Prefer", "handling=strict")],
        r#"{"resourceType":"Patient","zebra":1}"#,
    );
    assert_eq!(strict.with(200).code(), "unknown-element");
    assert_eq!(ehr.get("/fhir/Patient/validated").status, 404);
}

/// The steps of the bulk data pattern for one patient: kick-off, status with the manifest, files.
fn exports(world: &World, ehr: &Client) {
    let path = "/fhir/Patient/many/$export";
    let asynchronous = [("Prefer", "respond-async"), ("Accept", "application/fhir+json")];
    assert_eq!(ehr.get(path).refusal().1, "async-needed");
    for (query, code) in [
        ("_outputFormat=csv", "parameter-unsupported"),
        ("_type=Zebra", "type-unknown"),
        ("zebra=1", "parameter-unsupported"),
    ] {
        assert_eq!(ehr.send("GET", &format!("{path}?{query}"), &asynchronous, "").refusal().1, code, "{query}");
    }
    assert_eq!(ehr.send("GET", "/fhir/Patient/nobody/$export", &asynchronous, "").refusal().0, 404);
    for (query, kinds) in [
        ("", &["Observation", "Patient"][..]),
        ("?_type=Patient", &["Patient"]),
        ("?_type=Observation&_since=2020-01-01", &["Observation"]),
    ] {
        let begun = ehr.send("GET", &format!("{path}{query}"), &asynchronous, "").with(202);
        let status = ehr.follow(begun.field("content-location").unwrap()).with(200);
        assert_eq!(status.field("content-type"), Some("application/json"));
        assert!(status.field("expires").is_some_and(|date| date.ends_with("GMT")));
        let manifest = status.json();
        assert_eq!((&manifest["requiresAccessToken"], &manifest["error"]), (&json!(true), &json!([])));
        assert!(
            manifest["transactionTime"].is_string() && manifest["request"].as_str().unwrap().ends_with("$export"),
            "{manifest}"
        );
        let output = manifest["output"].as_array().unwrap();
        let told: Vec<_> = output.iter().map(|file| file["type"].as_str().unwrap()).collect();
        assert_eq!(told, kinds, "{query}");
        let mut exported = BTreeSet::new();
        for file in output {
            let url = file["url"].as_str().unwrap();
            let lines = ehr.follow(url).with(200);
            assert_eq!(lines.field("content-type"), Some("application/fhir+ndjson"));
            let resources = parse_ndjson(lines.body.clone()).unwrap();
            assert_eq!(json!(resources.len()), file["count"]);
            assert_eq!(lines.text().lines().count(), resources.len());
            for resource in &resources {
                assert_eq!(resource.resource_type().as_str(), file["type"]);
                exported.insert(format!("{}/{}", resource.resource_type(), resource.id().unwrap().as_str()));
            }
            let path = url.split_once("/fhir").unwrap().1;
            assert_eq!(world.client_with(Party::HospitalA, None).get(&format!("/fhir{path}")).refusal().0, 401);
            assert_eq!(world.client(Party::HospitalB).get(&format!("/fhir{path}")).refusal().1, "export-unknown");
        }
        let types = kinds.join(",");
        assert_eq!(exported, ehr.get(&format!("/fhir/Patient/many/$everything?_type={types}")).name_set());
        let handle = begun.field("content-location").unwrap().split_once("/fhir").unwrap().1.to_owned();
        ehr.send("DELETE", &format!("/fhir{handle}"), &[], "").with(202);
    }
    assert_eq!(ehr.get("/fhir/$export-status/x").refusal().1, "export-unknown");
}
