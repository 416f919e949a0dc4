//! Transactions, batches and collections of the gateway as an EHR posts them (FHIR R4, http.html#transaction): links
//! within a Bundle, conditional references and creates, several patients, and that a transaction with one faulty entry
//! stores nothing at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwort_fhir::same_content;
use serde_json::{Value, json};
use support::{Answer, Client, Party, World, parts};

#[test]
fn bundles_are_stored_whole_or_not_at_all() {
    let world = World::start();
    let ehr = world.client(Party::HospitalA);
    parts(&[
        ("links within a transaction", &|| links_within_a_transaction(&ehr)),
        ("ids of what is created", &|| ids_of_what_is_created(&ehr)),
        ("conditional references", &|| conditional_references(&ehr)),
        ("conditional entries", &|| conditional_entries(&ehr)),
        ("every verb", &|| every_verb(&ehr)),
        ("several patients", &|| several_patients(&ehr)),
        ("two people with one number", &|| two_people_with_one_number(&ehr, &world.client(Party::HospitalB))),
        ("one faulty entry", &|| one_faulty_entry(&ehr)),
        ("refused as a whole", &|| refused_as_a_whole(&ehr)),
        ("batches", &|| batches(&ehr)),
        ("collections and documents", &|| collections_and_documents(&ehr)),
    ]);
}

// ---- what is posted ----

fn patient(number: u32) -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{"system": "urn:bundles", "value": number.to_string()}],
        "name": [{"family": format!("Bundle{number}")}],
    })
}

fn observation(subject: &str, text: &str) -> Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": text}, "subject": {"reference": subject}})
}

fn with_id(mut resource: Value, id: &str) -> Value {
    resource["id"] = json!(id);
    resource
}

fn entry(url: &str, resource: &Value, method: &str, target: &str) -> Value {
    json!({"fullUrl": url, "resource": resource, "request": {"method": method, "url": target}})
}

/// A create under a name of its own.
fn post(url: &str, resource: &Value) -> Value {
    entry(url, resource, "POST", resource["resourceType"].as_str().unwrap())
}

/// An update, or a create under this id.
fn put(resource: &Value) -> Value {
    let target = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    entry(&format!("http://elsewhere.example/fhir/{target}"), resource, "PUT", &target)
}

fn get(url: &str) -> Value {
    json!({"request": {"method": "GET", "url": url}})
}

fn uuid(number: u32) -> String {
    format!("urn:uuid:5ea10000-0000-4000-8000-{number:012}")
}

fn send(ehr: &Client, kind: &str, entries: &[Value], fields: &[(&str, &str)]) -> Answer {
    ehr.send("POST", "/fhir", fields, json!({"resourceType": "Bundle", "type": kind, "entry": entries}).to_string())
}

fn transaction(ehr: &Client, entries: &[Value]) -> Answer {
    send(ehr, "transaction", entries, &[])
}

/// Statuses of an answer's entries, in order.
fn statuses(answer: &Answer) -> Vec<String> {
    let status = |entry: &Value| entry["response"]["status"].as_str().unwrap()[..3].to_owned();
    answer.entries().iter().map(status).collect()
}

/// `Type/id` of an entry's location.
fn place(answer: &Answer, at: usize) -> String {
    let location =
        answer.entries()[at]["response"]["location"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
    location
        .split("/_history")
        .next()
        .unwrap()
        .rsplitn(3, '/')
        .take(2)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join("/")
}

fn read(ehr: &Client, place: &str) -> Value {
    ehr.get(&format!("/fhir/{place}")).with(200).json()
}

fn total(ehr: &Client, search: &str) -> u64 {
    ehr.get(&format!("/fhir/{search}")).with(200).json()["total"].as_u64().unwrap()
}

// ---- the parts ----

fn links_within_a_transaction(ehr: &Client) {
    let (person, visit, weight) = (uuid(1), uuid(2), "http://elsewhere.example/fhir/Observation/w");
    let encounter = json!({
        "resourceType": "Encounter", "status": "finished", "subject": {"reference": person},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    });
    let mut measured = observation(&person, "weight");
    measured["encounter"] = json!({"reference": visit});
    let report = json!({
        "resourceType": "DiagnosticReport", "status": "final", "code": {"text": "r"}, "subject": {"reference": person},
        // By its URL, and by what is left of it without the server.
        "result": [{"reference": weight}, {"reference": "Observation/w"}],
        "text": {"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{visit}\">visit</a></div>")},
    });
    // The order of entries does not matter (http.html#trules).
    let entries =
        [post(&uuid(3), &report), post(weight, &measured), post(&visit, &encounter), post(&person, &patient(1))];
    let stored = transaction(ehr, &entries).with(200);
    assert_eq!(stored.json()["type"], "transaction-response");
    assert_eq!(statuses(&stored), ["201", "201", "201", "201"]);
    for (at, kind) in ["DiagnosticReport", "Observation", "Encounter", "Patient"].into_iter().enumerate() {
        let response = &stored.entries()[at]["response"];
        assert!(place(&stored, at).starts_with(&format!("{kind}/")), "{response}");
        assert_eq!(response["etag"], "W/\"1\"");
        assert!(response["lastModified"].as_str().is_some_and(|time| time.ends_with('Z')), "{response}");
    }
    let [report, weight, visit, person] = [0, 1, 2, 3].map(|at| (place(&stored, at), read(ehr, &place(&stored, at))));
    assert_eq!(weight.1["subject"]["reference"], person.0);
    assert_eq!(weight.1["encounter"]["reference"], visit.0);
    assert_eq!(visit.1["subject"]["reference"], person.0);
    assert_eq!(report.1["result"], json!([{"reference": weight.0}, {"reference": weight.0}]));
    assert!(report.1["text"]["div"].as_str().unwrap().contains(&visit.0), "links in narratives are rewritten, too");
    assert_eq!(total(ehr, &format!("Observation?patient.identifier=urn:bundles%7C1&encounter={}", visit.0)), 1);
}

fn ids_of_what_is_created(ehr: &Client) {
    let entries = [post(&uuid(11), &with_id(patient(11), "brought")), post(&uuid(12), &observation(&uuid(11), "a"))];
    let stored = transaction(ehr, &entries).with(200);
    // A uuid is an id that nobody else has: what is created keeps it.
    assert_eq!(place(&stored, 0), format!("Patient/{}", &uuid(11)["urn:uuid:".len()..]));
    assert_eq!(ehr.get("/fhir/Patient/brought").status, 404);
    // Posted once more, the same Bundle creates anew what has no condition.
    let again = transaction(ehr, &entries[1..]);
    assert!(!again.is_success(), "the patient's name leads nowhere in this Bundle: {}", again.text());
    let mut second = entries[1].clone();
    second["resource"]["subject"]["reference"] = json!(place(&stored, 0));
    let second = transaction(ehr, &[second]).with(200);
    assert_ne!(place(&second, 0), place(&stored, 1));
    // Content comes back where it is asked for.
    let representation = [("Prefer", "return=representation")];
    let told = send(ehr, "transaction", &[post(&uuid(13), &observation(&place(&stored, 0), "b"))], &representation);
    assert_eq!(told.entries()[0]["resource"]["code"]["text"], "b", "{}", told.text());
    // What is the hospital's own and there already keeps its id. With what is new it is one change of one record, so
    // the version of each is known.
    let organization = |number, name| post(&uuid(number), &json!({"resourceType": "Organization", "name": name}));
    transaction(ehr, &[organization(14, "one")]).with(200);
    let told = transaction(ehr, &[organization(14, "renamed"), organization(15, "two")]).with(200);
    assert_eq!(statuses(&told), ["200", "201"]);
    let etags: Vec<_> = told.entries().iter().map(|entry| entry["response"]["etag"].clone()).collect();
    assert_eq!(etags, ["W/\"2\"", "W/\"1\""], "{}", told.text());
}

fn conditional_references(ehr: &Client) {
    let doctor = json!({"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": "7"}], "name": [{"family": "House"}]});
    let doctor = ehr.send("POST", "/fhir/Practitioner", &[], doctor.to_string()).with(201).id();
    let by = |search: &str| {
        let mut measured = observation(&uuid(21), "by somebody");
        measured["performer"] = json!([{"reference": search}]);
        [post(&uuid(21), &patient(21)), post(&uuid(22), &measured)]
    };
    let unknown = by("Practitioner?identifier=urn:npi|8");
    let refused = transaction(ehr, &unknown).refusal();
    let wanted = "Bundle.entry[1].resource.performer[0].reference";
    assert_eq!((refused.0, refused.1.as_str(), refused.2.as_str()), (422, "reference-unresolved", wanted));
    assert_eq!(total(ehr, "Patient?identifier=urn:bundles%7C21"), 0, "nothing of the Bundle was stored");
    let stored = transaction(ehr, &by("Practitioner?identifier=urn:npi|7")).with(200);
    assert_eq!(read(ehr, &place(&stored, 1))["performer"][0]["reference"], format!("Practitioner/{doctor}"));
    // A patient who is known already is found in the same way.
    let of_patient = post(&uuid(23), &observation("Patient?identifier=urn:bundles|21", "conditional subject"));
    let known = transaction(ehr, &[of_patient]).with(200);
    assert_eq!(read(ehr, &place(&known, 0))["subject"]["reference"], place(&stored, 0));
    // Who would rather keep what leads nowhere says so.
    let kept = send(
        ehr,
        "transaction",
        &by("Practitioner?identifier=urn:npi|9")[1..]
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                entry["resource"]["subject"]["reference"] = json!(place(&stored, 0));
                entry
            })
            .collect::<Vec<_>>(),
        &[("Prefer", "handling=lenient")],
    )
    .with(200);
    assert_eq!(read(ehr, &place(&kept, 0))["performer"][0]["reference"], "Practitioner?identifier=urn:npi|9");
    // Two that match are none.
    let twin = json!({"resourceType": "Practitioner", "identifier": [{"system": "urn:npi", "value": "7"}]});
    ehr.send("POST", "/fhir/Practitioner", &[], twin.to_string()).with(201);
    assert_eq!(transaction(ehr, &by("Practitioner?identifier=urn:npi|7")).refusal().1, "condition-ambiguous");
}

fn conditional_entries(ehr: &Client) {
    let if_none = |number: u32| {
        let mut entry = post(&uuid(30 + number), &patient(30));
        entry["request"]["ifNoneExist"] = json!("identifier=urn:bundles|30");
        entry
    };
    let first = transaction(ehr, &[if_none(1), post(&uuid(38), &observation(&uuid(31), "first"))]).with(200);
    assert_eq!(statuses(&first), ["201", "201"]);
    let second = transaction(ehr, &[if_none(2), post(&uuid(39), &observation(&uuid(32), "second"))]).with(200);
    assert_eq!(statuses(&second), ["200", "201"]);
    // Links to what was there already lead to it.
    assert_eq!(place(&second, 0), place(&first, 0));
    assert_eq!(read(ehr, &place(&second, 1))["subject"]["reference"], place(&first, 0));
    assert_eq!(total(ehr, "Patient?identifier=urn:bundles%7C30"), 1);
    // A conditional update of what is there, and of what is not.
    let coded = |text: &str| {
        let mut coded = observation(&place(&first, 0), text);
        coded["identifier"] = json!([{"system": "urn:o", "value": "1"}]);
        entry(&uuid(37), &coded, "PUT", "Observation?identifier=urn:o|1")
    };
    let created = transaction(ehr, &[coded("created")]).with(200);
    let updated = transaction(ehr, &[coded("updated")]).with(200);
    assert_eq!((statuses(&created), statuses(&updated)), (vec!["201".to_owned()], vec!["200".to_owned()]));
    assert_eq!(place(&created, 0), place(&updated, 0));
    assert_eq!(updated.entries()[0]["response"]["etag"], "W/\"2\"");
}

fn every_verb(ehr: &Client) {
    let person = with_id(patient(40), "v-40");
    let [to_update, to_patch, to_delete] =
        ["u", "p", "d"].map(|id| with_id(observation("Patient/v-40", "before"), &format!("v-{id}")));
    transaction(ehr, &[put(&person), put(&to_update), put(&to_patch), put(&to_delete)]).with(200);
    let patch = STANDARD.encode(r#"[{"op":"replace","path":"/code/text","value":"patched"}]"#);
    let patch = json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch});
    let mut updated = to_update.clone();
    updated["code"]["text"] = json!("updated");
    let done = transaction(
        ehr,
        &[
            get("Observation/v-u"),
            get("Observation?patient=v-40&_sort=_id"),
            put(&updated),
            json!({"resource": patch, "request": {"method": "PATCH", "url": "Observation/v-p", "ifMatch": "W/\"1\""}}),
            json!({"request": {"method": "DELETE", "url": "Observation/v-d"}}),
            post(&uuid(41), &observation("Patient/v-40", "created")),
            get("Observation/v-d"),
        ],
    );
    let done = done.with(200);
    assert_eq!(statuses(&done), ["200", "200", "200", "200", "204", "201", "410"]);
    // Reads come last (http.html#trules): they show what the transaction did.
    let entries = done.entries();
    assert_eq!(entries[0]["resource"]["code"]["text"], "updated");
    assert_eq!((&entries[1]["resource"]["type"], &entries[1]["resource"]["total"]), (&json!("searchset"), &json!(3)));
    assert_eq!(read(ehr, "Observation/v-p")["code"]["text"], "patched");
    assert_eq!(entries[6]["response"]["outcome"]["resourceType"], "OperationOutcome");
    // A condition that does not hold stops everything.
    let mut late = put(&to_update);
    late["request"]["ifMatch"] = json!("W/\"1\"");
    let refused = transaction(ehr, &[post(&uuid(42), &observation("Patient/v-40", "with it")), late]).refusal();
    assert_eq!((refused.0, refused.1.as_str()), (412, "version-differs"));
    assert!(refused.2.starts_with("Bundle.entry[1]"), "{refused:?}");
    assert_eq!(total(ehr, "Observation?patient=v-40"), 3);
}

fn several_patients(ehr: &Client) {
    let entries = [
        post(&uuid(51), &patient(51)),
        post(&uuid(52), &patient(52)),
        post(&uuid(53), &observation(&uuid(51), "of 51")),
        post(&uuid(54), &observation(&uuid(52), "of 52")),
        post(
            &uuid(55),
            &json!({"resourceType": "Organization", "identifier": [{"system": "urn:org", "value": "5"}], "name": "shared"}),
        ),
    ];
    let stored = transaction(ehr, &entries).with(200);
    assert!(statuses(&stored).iter().all(|status| status == "201"), "{}", stored.text());
    for number in [51, 52] {
        let found = ehr.get(&format!("/fhir/Observation?patient.identifier=urn:bundles%7C{number}"));
        let texts: Vec<_> = found.entries().iter().map(|e| e["resource"]["code"]["text"].clone()).collect();
        assert_eq!(texts, [json!(format!("of {number}"))]);
    }
    assert_eq!(read(ehr, &place(&stored, 4))["name"], "shared");
}

/// One entry is at fault, in every way; the others would be fine, and belong to another patient besides.
/// A wrong number must not bring one person's results into another's record.
fn two_people_with_one_number(ehr: &Client, elsewhere: &Client) {
    let person = |identifiers: &[(&str, &str)]| {
        let identifiers: Vec<Value> =
            identifiers.iter().map(|(system, value)| json!({"system": system, "value": value})).collect();
        json!({"resourceType": "Patient", "identifier": identifiers})
    };
    let create = |ehr: &Client, patient: &Value| ehr.send("POST", "/fhir/Patient", &[], patient.to_string());
    let first = create(ehr, &person(&[("urn:mrn", "900"), ("urn:licence", "S1")])).with(201).id();
    let known = || total(ehr, "Patient?identifier=urn:licence%7CS1");
    let conflict = |code: &str| (409, code.to_owned(), "Patient.identifier".to_owned());
    // The licence is the same and the number another: somebody else, or an error.
    let second = person(&[("urn:mrn", "901"), ("urn:licence", "S1")]);
    assert_eq!(create(ehr, &second).refusal(), conflict("identifiers-contradict"));
    let mut named = second.clone();
    named["id"] = json!("second");
    assert_eq!(ehr.send("PUT", "/fhir/Patient/second", &[], named.to_string()).refusal().1, "identifiers-contradict");
    let result = observation(&uuid(900), "of the second");
    let both = [post(&uuid(900), &second), post(&uuid(901), &result)];
    assert_eq!(transaction(ehr, &both).refusal().1, "identifiers-contradict");
    assert_eq!((known(), total(ehr, &format!("Observation?patient={first}"))), (1, 0));
    // A hospital that may not read the record is not let in by the number either.
    assert_eq!(create(elsewhere, &second).refusal().0, 403);
    // Nothing contradicts: one more Patient of the same person, and their new numbers lead to them.
    let more = person(&[("urn:licence", "S1"), ("urn:passport", "P1")]);
    create(ehr, &more).with(201);
    assert_eq!(known(), 2);
    let subject = json!({"identifier": {"system": "urn:passport", "value": "P1"}});
    let by_passport =
        json!({"resourceType": "Observation", "status": "final", "code": {"text": "p"}, "subject": subject});
    ehr.send("POST", "/fhir/Observation", &[], by_passport.to_string()).with(201);
    let everything = ehr.get(&format!("/fhir/Patient/{first}/$everything")).with(200).names();
    assert_eq!(everything.iter().filter(|name| name.starts_with("Observation/")).count(), 1, "{everything:?}");
    // Who names the Patient by its id may correct a number, and may not take somebody else's.
    let mut corrected = person(&[("urn:mrn", "902"), ("urn:licence", "S1")]);
    corrected["id"] = json!(first);
    let path = format!("/fhir/Patient/{first}");
    ehr.send("PUT", &path, &[], corrected.to_string()).with(200);
    create(ehr, &person(&[("urn:mrn", "903")])).with(201);
    corrected["identifier"][0]["value"] = json!("903");
    assert_eq!(ehr.send("PUT", &path, &[], corrected.to_string()).refusal().1, "patient-id-taken");
    let of_both = person(&[("urn:mrn", "903"), ("urn:licence", "S1")]);
    assert_eq!(create(ehr, &of_both).refusal(), conflict("identifiers-of-two"));
}

fn one_faulty_entry(ehr: &Client) {
    let base = with_id(patient(60), "f-60");
    transaction(ehr, &[put(&base), put(&with_id(observation("Patient/f-60", "there"), "f-there"))]).with(200);
    let mut invalid = observation("Patient/f-60", "invalid");
    invalid["status"] = json!("very final");
    let if_none = |search: &str| {
        let mut conditional = post(&uuid(65), &observation("Patient/f-60", "x"));
        conditional["request"]["ifNoneExist"] = json!(search);
        conditional
    };
    let patch = |operations: &str| {
        let data = STANDARD.encode(operations);
        let binary = json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data});
        json!({"resource": binary, "request": {"method": "PATCH", "url": "Observation/f-there"}})
    };
    let mut stale = put(&with_id(observation("Patient/f-60", "changed"), "f-there"));
    stale["request"]["ifMatch"] = json!("W/\"9\"");
    for (what, faulty, status) in [
        ("an invalid resource", post(&uuid(64), &invalid), 422),
        ("nobody's observation", post(&uuid(64), &observation("Patient/nobody", "x")), 404),
        ("an empty condition", if_none(""), 400),
        ("a condition that nobody understands", if_none("zebra=1"), 400),
        ("a patch whose test fails", patch(r#"[{"op":"test","path":"/status","value":"x"}]"#), 422),
        ("a patch to an invalid resource", patch(r#"[{"op":"remove","path":"/status"}]"#), 422),
        (
            "a patch of nothing",
            json!({"resource": patch("[]")["resource"], "request": {"method": "PATCH", "url": "Observation/none"}}),
            404,
        ),
        ("a version that is gone", stale, 412),
        ("a type that is none", json!({"request": {"method": "DELETE", "url": "Observatoin/1"}}), 404),
        ("an operation", json!({"request": {"method": "GET", "url": "Patient/f-60/$export"}}), 422),
    ] {
        let entries = [
            post(&uuid(61), &patient(61)),
            post(&uuid(62), &observation(&uuid(61), "of the new one")),
            post(&uuid(63), &observation("Patient/f-60", "of the old one")),
            faulty,
        ];
        let refused = transaction(ehr, &entries);
        let (found, _, place) = refused.refusal();
        assert_eq!(found, status, "{what}: {}", refused.text());
        assert!(place.starts_with("Bundle.entry[3]"), "{what}: {}", refused.text());
        assert_eq!(total(ehr, "Patient?identifier=urn:bundles%7C61"), 0, "{what}");
        assert_eq!(total(ehr, "Observation?patient=f-60"), 1, "{what}");
        assert_eq!(read(ehr, "Observation/f-there")["meta"]["versionId"], "1", "{what}");
    }
}

fn refused_as_a_whole(ehr: &Client) {
    let one = with_id(patient(70), "r-70");
    let twice = [put(&one), put(&one)];
    assert_eq!(transaction(ehr, &twice).refusal().1, "duplicate-entry");
    let no_request = json!({"fullUrl": uuid(71), "resource": patient(71)});
    assert_eq!(transaction(ehr, &[no_request]).refusal().2, "Bundle.entry[0].request");
    for kind in ["searchset", "history", "message", "transaction-response"] {
        assert_eq!(send(ehr, kind, &[], &[]).refusal().1, "bundle-type-not-accepted", "{kind}");
    }
    assert_eq!(send(ehr, "heap", &[], &[]).refusal().0, 400);
    assert_eq!(total(ehr, "Patient?identifier=urn:bundles%7C70"), 0);
    // Nothing is as good as done.
    assert_eq!(transaction(ehr, &[]).with(200).entries().len(), 0);
}

fn batches(ehr: &Client) {
    let person = with_id(patient(80), "b-80");
    transaction(ehr, &[put(&person), put(&with_id(observation("Patient/b-80", "there"), "b-there"))]).with(200);
    let mut invalid = observation("Patient/b-80", "x");
    invalid["status"] = json!("no status");
    let done = send(
        ehr,
        "batch",
        &[
            get("Patient/b-80"),
            get("Observation/nobody"),
            get("Observation?patient=b-80"),
            get("Observation?code=x"),
            put(&with_id(observation("Patient/b-80", "new"), "b-new")),
            post(&uuid(81), &invalid),
            post(&uuid(82), &observation("Patient/nobody", "x")),
            json!({"request": {"method": "DELETE", "url": "Observation/b-there"}}),
            get("Patient/b-80/$everything"),
            get("Patient/b-80/_history/1"),
            get("metadata"),
            json!({"request": {"method": "GET", "url": "Patient/b-80", "ifNoneMatch": "W/\"1\""}}),
            json!({"resource": {"resourceType": "Bundle", "type": "batch"}, "request": {"method": "POST", "url": "Bundle"}}),
        ],
        &[],
    );
    let done = done.with(200);
    assert_eq!(done.json()["type"], "batch-response");
    let expected = ["200", "404", "200", "400", "201", "422", "404", "204", "200", "200", "200", "304"];
    assert_eq!(statuses(&done)[..12], expected, "{}", done.text());
    let entries = done.entries();
    assert!(same_content(entries[0]["resource"].to_string().as_bytes(), person.to_string().as_bytes()));
    assert_eq!(entries[2]["resource"]["total"], 1, "what stands before the others sees the record before them");
    assert_eq!(entries[8]["resource"]["total"], 2, "the patient and the new observation: {}", entries[8]);
    for at in [1, 3, 5, 6] {
        let issue = &entries[at]["response"]["outcome"]["issue"][0];
        assert!(issue["details"]["text"].is_string(), "{at}: {}", entries[at]);
        let places = issue["expression"].as_array().cloned().unwrap_or_default();
        let within = |place: &Value| place.as_str().unwrap().starts_with(&format!("Bundle.entry[{at}]"));
        assert!(places.iter().all(within), "{at}: {places:?}");
    }
    // Those that failed stored nothing, the others stand.
    assert_eq!(total(ehr, "Observation?patient=b-80"), 1);
    let many: Vec<Value> = (0..=1000).map(|_| get("metadata")).collect();
    assert_eq!(send(ehr, "batch", &many, &[]).refusal().1, "bundle-too-long");
}

/// What has no requests is kept under its own ids.
fn collections_and_documents(ehr: &Client) {
    let person = with_id(patient(90), "c-90");
    let weight = with_id(observation("Patient/c-90", "of a collection"), "c-weight");
    let stored = send(ehr, "collection", &[json!({"resource": person}), json!({"resource": weight})], &[]).with(200);
    assert_eq!(statuses(&stored), ["201", "201"]);
    assert!(same_content(&ehr.get("/fhir/Observation/c-weight").body, weight.to_string().as_bytes()));
    let again = send(ehr, "collection", &[json!({"resource": person}), json!({"resource": weight})], &[]).with(200);
    assert_eq!(statuses(&again), ["200", "200"]);
    assert_eq!(read(ehr, "Observation/c-weight")["meta"]["versionId"], "1", "the same again is no new version");
    let composition = json!({
        "resourceType": "Composition", "id": "c-doc", "status": "final", "type": {"text": "t"}, "date": "2026-01-01",
        "subject": {"reference": "Patient/c-90"}, "author": [{"display": "somebody"}], "title": "Document",
    });
    let document = json!({
        "resourceType": "Bundle", "type": "document", "timestamp": "2026-01-01T00:00:00Z",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": uuid(91)},
        "entry": [
            {"fullUrl": "http://elsewhere.example/Composition/c-doc", "resource": composition},
            {"fullUrl": "http://elsewhere.example/Patient/c-90", "resource": person},
        ],
    });
    let stored = ehr.send("POST", "/fhir", &[], document.to_string()).with(200);
    assert_eq!(statuses(&stored), ["201", "200"], "{}", stored.text());
    assert!(same_content(&ehr.get("/fhir/Composition/c-doc").body, composition.to_string().as_bytes()));
}
