//! The gateway's FHIR face as an EHR meets it, one resource at a time: create, read, update, patch and delete with
//! their conditions, versions and histories, the forms in which answers come, and every refusal as an OperationOutcome
//! that names the place (FHIR R4, http.html). Bundles are in `bundles`, searches in `searches`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};

use sealwort_fhir::{same_content, same_content_but_id};
use serde_json::{Value, json};
use support::{Answer, Client, Party, World, encode, parts};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"brought-along", "identifier":[{"system":"urn:test","value":"face 1"}],"name":[{"family":"Ångström"}]}"#;
/// Odd spacing, a trailing zero, an exponent and a primitive's extension, none of which may get lost.
const WEIGHT: &str = r#"{"resourceType":"Observation", "id":"weight-1","status":"final","code":{"text":"weight"},
 "subject":{"reference":"Patient/PATIENT"},"_effectiveDateTime":{"extension":[{"url":"urn:test","valueCode":"unknown"}]},
 "component":[{"code":{"text":"a"},"valueQuantity":{"value":1E-22}}],"valueQuantity":{"value":71.10,"unit":"kg"}}"#;

#[test]
fn an_ehr_keeps_one_resource_after_the_other() {
    let world = World::start();
    let ehr = world.client(Party::HospitalA);
    let patient = creates_and_reads(&ehr);
    let weight = WEIGHT.replace("PATIENT", &patient);
    parts(&[
        ("updates and patches", &|| updates_and_patches(&ehr, &weight)),
        ("versions and histories", &|| versions_and_histories(&ehr, &patient)),
        ("deletes and brings back", &|| deletes_and_brings_back(&ehr, &weight)),
        ("conditions by search", &|| conditions_by_search(&ehr, &patient)),
        ("preferences", &|| preferences(&ehr, &patient)),
        ("forms", &|| forms(&ehr, &weight)),
        ("pretty", &|| pretty(&ehr, &weight)),
        ("summaries and elements", &|| summaries_and_elements(&ehr)),
        ("compression", &|| compression(&ehr, &patient)),
        ("pages for browsers", &|| pages_for_browsers(&ehr, &patient)),
        ("refusals", &|| refusals(&ehr, &patient, &weight)),
        ("what is allowed", &|| told_what_is_allowed(&ehr)),
        ("records are for life", &|| records_are_for_life(&ehr, &patient, &weight)),
        ("logins", &|| logins(&world)),
    ]);
}

fn etag(answer: &Answer) -> &str {
    answer.field("etag").unwrap_or_else(|| panic!("no ETag: {}", answer.text()))
}

/// Gives back the patient's id.
fn creates_and_reads(ehr: &Client) -> String {
    let created = ehr.send("POST", "/fhir/Patient", &[], PATIENT).with(201);
    let id = created.id();
    assert_ne!(id, "brought-along", "an id that a client brings to a create is not taken (http.html#create)");
    assert_eq!(etag(&created), "W/\"1\"");
    let location = created.field("location").unwrap();
    assert!(location.ends_with(&format!("/fhir/Patient/{id}/_history/1")), "{location}");
    assert!(created.field("last-modified").is_some_and(|date| date.ends_with("GMT")), "{created:?}");
    assert!(same_content_but_id(&created.body, PATIENT.as_bytes()), "{}", created.text());
    let read = ehr.get(&format!("/fhir/Patient/{id}")).with(200);
    assert!(same_content(&read.body, &created.body), "{}", read.text());
    assert_eq!(read.field("content-type"), Some("application/fhir+json; charset=utf-8"));
    assert_eq!((etag(&read), &read.json()["meta"]["versionId"]), ("W/\"1\"", &json!("1")));
    assert_eq!(ehr.follow(location).with(200).body, read.body);

    // Conditional reads. A date from before is no reason to leave the resource out.
    let path = format!("/fhir/Patient/{id}");
    let modified = read.field("last-modified").unwrap();
    for (field, value, status) in [
        ("If-None-Match", "W/\"1\"", 304),
        ("If-None-Match", "W/\"7\", W/\"1\"", 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "W/\"2\"", 200),
        ("If-Modified-Since", modified, 304),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
        ("If-Modified-Since", "yesterday", 200),
    ] {
        let answer = ehr.send("GET", &path, &[(field, value)], "").with(status);
        assert_eq!(answer.body.is_empty(), status == 304, "{field}: {value}");
        assert_eq!(etag(&answer), "W/\"1\"");
    }
    let head = ehr.send("HEAD", &path, &[], "").with(200);
    let same = ["etag", "last-modified", "content-type", "cache-control"];
    assert!(same.iter().all(|name| head.field(name) == read.field(name)), "{head:?} {read:?}");
    ehr.send("HEAD", "/fhir/Patient/nobody", &[], "").with(404);
    id
}

fn updates_and_patches(ehr: &Client, weight: &str) {
    let path = "/fhir/Observation/weight-1";
    let created = ehr.send("PUT", path, &[], weight).with(201);
    assert!(same_content(&created.body, weight.as_bytes()), "{}", created.text());
    assert!(created.text().contains("71.10") && created.text().contains("1E-22"), "{}", created.text());
    let heavier = weight.replace("71.10", "72.00");
    let updated = ehr.send("PUT", path, &[("If-Match", "W/\"1\"")], &heavier).with(200);
    assert_eq!(etag(&updated), "W/\"2\"");
    assert!(same_content(&ehr.get(path).body, heavier.as_bytes()));
    // The same again is no new version.
    assert_eq!(etag(&ehr.send("PUT", path, &[], &heavier).with(200)), "W/\"2\"");
    // Another literal of the same number is one.
    assert_eq!(etag(&ehr.send("PUT", path, &[], heavier.replace("72.00", "72.0")).with(200)), "W/\"3\"");
    for (field, value) in [("If-Match", "W/\"2\""), ("If-Match", "W/\"4\""), ("If-None-Match", "*")] {
        let refused = ehr.send("PUT", path, &[(field, value)], weight);
        assert_eq!(refused.refusal(), (412, "version-differs".to_owned(), String::new()), "{field}");
    }
    let unknown =
        ehr.send("PUT", "/fhir/Observation/new", &[("If-Match", "W/\"1\"")], weight.replace("weight-1", "new"));
    assert_eq!(unknown.refusal().0, 412, "what is not there has no version");
    ehr.send("PUT", "/fhir/Observation/new", &[("If-None-Match", "*")], weight.replace("weight-1", "new")).with(201);
    assert_eq!(etag(&ehr.get(path)), "W/\"3\"");

    let json_patch = [("Content-Type", "application/json-patch+json")];
    let change = r#"[{"op":"test","path":"/status","value":"final"},{"op":"replace","path":"/valueQuantity/value","value":73.500}]"#;
    let patched = ehr.send("PATCH", path, &[json_patch[0], ("If-Match", "W/\"3\"")], change).with(200);
    assert_eq!(etag(&patched), "W/\"4\"");
    assert!(same_content(&ehr.get(path).body, heavier.replace("72.00", "73.500").as_bytes()), "{}", patched.text());
    for (patch, wanted) in [
        (r#"[{"op":"test","path":"/status","value":"amended"}]"#, (422, "patch-test-failed")),
        (r#"[{"op":"remove","path":"/method"}]"#, (422, "patch-no-such-place")),
        (r#"[{"op":"replace","path":"/id","value":"x"}]"#, (422, "patch-identity")),
        (r#"[{"op":"remove","path":"/status"}]"#, (422, "missing-element")),
        (r#"{"op":"remove"}"#, (400, "patch-malformed")),
        ("[", (400, "patch-not-json")),
    ] {
        let refused = ehr.send("PATCH", path, &json_patch, patch).refusal();
        assert_eq!((refused.0, refused.1.as_str()), wanted, "{patch}");
    }
    let refused = ehr.send("PATCH", path, &[json_patch[0], ("If-Match", "W/\"3\"")], change);
    assert_eq!(refused.refusal().1, "version-differs");
    assert_eq!(ehr.send("PATCH", path, &[("Content-Type", "application/merge-patch+json")], "{}").refusal().0, 415);
    assert_eq!(ehr.send("PATCH", "/fhir/Observation/none", &json_patch, "[]").refusal().0, 404);
    assert_eq!(etag(&ehr.get(path)), "W/\"4\"", "what was refused made no version");
}

fn versions_and_histories(ehr: &Client, patient: &str) {
    let path = "/fhir/Observation/weight-1";
    for (version, value) in [(1, "71.10"), (2, "72.00"), (3, "72.0"), (4, "73.500")] {
        let read = ehr.get(&format!("{path}/_history/{version}")).with(200);
        assert_eq!(etag(&read), format!("W/\"{version}\""));
        assert_eq!(read.json()["meta"]["versionId"], version.to_string());
        assert!(read.text().contains(&format!("\"value\":{value},")), "{version}: {}", read.text());
    }
    for wrong in ["0", "5", "x", "1a"] {
        assert_eq!(ehr.get(&format!("{path}/_history/{wrong}")).refusal().0, 404, "{wrong}");
    }
    let history = ehr.get(&format!("{path}/_history")).with(200).json();
    assert_eq!((&history["type"], &history["total"]), (&json!("history"), &json!(4)), "{history}");
    let told: Vec<String> = history["entry"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(told, ["PUT 200 OK W/\"4\"", "PUT 200 OK W/\"3\"", "PUT 200 OK W/\"2\"", "PUT 201 Created W/\"1\""]);

    let mut page = ehr.get(&format!("{path}/_history?_count=3"));
    let mut versions = Vec::new();
    loop {
        assert_eq!(page.json()["total"], 4);
        versions.extend(page.entries().iter().map(|e| e["resource"]["meta"]["versionId"].as_str().unwrap().to_owned()));
        assert!(!page.entries().is_empty(), "an empty last page");
        let Some(next) = page.link("next") else { break };
        page = ehr.follow(&next);
    }
    assert_eq!(versions, ["4", "3", "2", "1"]);
    assert_eq!(ehr.get(&format!("{path}/_history?_since=2999-01-01")).json()["total"], 0);
    assert_eq!(ehr.get(&format!("{path}/_history?_since=soon")).refusal().0, 400);

    // All versions of a type, within a record.
    let of_type = ehr.get(&format!("/fhir/Observation/_history?patient={patient}")).with(200);
    assert_eq!(of_type.json()["total"], 5, "four versions of one, one of the other: {}", of_type.text());
    assert_eq!(ehr.get("/fhir/Observation/_history").refusal().1, "patient-needed");
    assert_eq!(ehr.get("/fhir/Observation/none/_history").refusal().0, 404);
}

/// An entry of a history in a line.
fn told(entry: &Value) -> String {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {} {}", text("/request/method"), text("/response/status"), text("/response/etag"))
}

fn deletes_and_brings_back(ehr: &Client, weight: &str) {
    let path = "/fhir/Observation/weight-1";
    let refused = ehr.send("DELETE", path, &[("If-Match", "W/\"1\"")], "");
    assert_eq!(refused.refusal().1, "version-differs");
    ehr.send("DELETE", path, &[("If-Match", "W/\"4\"")], "").with(204);
    ehr.send("DELETE", path, &[], "").with(204);
    ehr.send("DELETE", "/fhir/Observation/never-was", &[], "").with(204);
    assert_eq!(ehr.get(path).refusal(), (410, "resource-deleted".to_owned(), String::new()));
    assert_eq!(ehr.get(&format!("{path}/_history/5")).refusal().0, 410);
    ehr.get(&format!("{path}/_history/4")).with(200);
    let history = ehr.get(&format!("{path}/_history"));
    assert_eq!(told(&history.entries()[0]), "DELETE 204 No Content W/\"5\"");
    assert!(history.entries()[0].get("resource").is_none());
    assert_eq!(history.entries().len(), 5, "the second deletion is none");
    let refused = ehr.send("PATCH", path, &[("Content-Type", "application/json-patch+json")], "[]");
    assert!(matches!(refused.refusal().0, 404 | 410), "{}", refused.text());
    let back = ehr.send("PUT", path, &[], weight);
    assert_eq!((back.status, etag(&back)), (201, "W/\"6\""), "{}", back.text());
    ehr.get(path).with(200);
}

fn conditions_by_search(ehr: &Client, patient: &str) {
    let coded = |code: &str, more: &str| {
        format!(
            r#"{{"resourceType":"Condition"{more},"identifier":[{{"system":"urn:c","value":"{code}"}}],"subject":{{"reference":"Patient/{patient}"}},"code":{{"text":"{code}"}}}}"#
        )
    };
    let if_none = |search: &str, body: &str| ehr.send("POST", "/fhir/Condition", &[("If-None-Exist", search)], body);
    let created = if_none("identifier=urn:c|one", &coded("one", "")).with(201);
    let found = if_none("identifier=urn:c|one", &coded("one", "")).with(200);
    assert_eq!(found.id(), created.id());
    assert_eq!(etag(&found), "W/\"1\"");
    ehr.send("POST", "/fhir/Condition", &[], coded("twice", "")).with(201);
    ehr.send("POST", "/fhir/Condition", &[], coded("twice", "")).with(201);
    let put = |search: &str, body: &str| ehr.send("PUT", &format!("/fhir/Condition?{search}"), &[], body);
    for (what, refused, wanted) in [
        ("create", if_none("identifier=urn:c|twice", &coded("twice", "")), (412, "condition-ambiguous")),
        ("create", if_none("zebra=1", &coded("z", "")), (400, "unknown-search-parameter")),
        ("update", put("identifier=urn:c%7Ctwice", &coded("twice", "")), (412, "condition-ambiguous")),
        ("update", put("", &coded("one", "")), (412, "condition-empty")),
        ("update", put("identifier=urn:c%7Cone", &coded("one", r#","id":"another""#)), (400, "id-differs")),
    ] {
        let told = refused.refusal();
        assert_eq!((told.0, told.1.as_str()), wanted, "{what}");
    }
    // A search that finds nothing creates; one that finds something updates it.
    let new = put("identifier=urn:c%7Ctwo", &coded("two", "")).with(201);
    let again = put("identifier=urn:c%7Ctwo", &coded("two", r#","note":[{"text":"changed"}]"#)).with(200);
    assert_eq!((again.id(), etag(&again)), (new.id(), "W/\"2\""));
    let own = put("identifier=urn:c%7Cthree", &coded("three", r#","id":"own-id""#)).with(201);
    assert_eq!(own.id(), "own-id");
    // Patients are found by their identifiers in the same way.
    let same =
        ehr.send("POST", "/fhir/Patient", &[("If-None-Exist", "identifier=urn:test|face%201")], PATIENT).with(200);
    assert_eq!(same.id(), patient);
}

fn preferences(ehr: &Client, patient: &str) {
    let body =
        json!({"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": format!("Patient/{patient}")}});
    let (body, zebra) = (body.to_string(), body.to_string().replace("\"code\"", "\"zebra\":1,\"code\""));
    let create = |prefer: &str, body: &str| ehr.send("POST", "/fhir/Basic", &[("Prefer", prefer)], body);
    let minimal = create("return=minimal", &body).with(201);
    assert!(minimal.body.is_empty() && minimal.field("location").is_some() && etag(&minimal) == "W/\"1\"");
    assert_eq!(create("return=OperationOutcome", &body).with(201).json()["resourceType"], "OperationOutcome");
    assert_eq!(create("return=representation", &body).with(201).json()["resourceType"], "Basic");
    // What R4 does not know is kept, unless the client wants to be told of it.
    let kept = create("handling=lenient", &zebra).with(201);
    assert_eq!(ehr.get(&format!("/fhir/Basic/{}", kept.id())).json()["zebra"], 1);
    let refused = create("return=minimal, handling=strict", &zebra).refusal();
    assert_eq!(refused, (422, "unknown-element".to_owned(), "Basic.zebra".to_owned()));
}

fn forms(ehr: &Client, weight: &str) {
    let path = "/fhir/Observation/weight-1";
    let fhir = "application/fhir+json; charset=utf-8";
    for (accept, query, media) in [
        ("application/fhir+json", "", fhir),
        ("application/json", "", fhir),
        ("*/*", "", fhir),
        ("application/fhir+xml, application/fhir+json;q=0.1", "", fhir),
        ("application/fhir+xml", "?_format=json", fhir),
        ("text/html", "?_format=application/fhir%2Bjson", fhir),
        ("text/html", "?_format=application/fhir+json", fhir),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", "text/html; charset=utf-8"),
        ("application/fhir+json", "?_format=html", "text/html; charset=utf-8"),
    ] {
        let answer = ehr.send("GET", &format!("{path}{query}"), &[("Accept", accept)], "").with(200);
        assert_eq!(answer.field("content-type"), Some(media), "{accept} {query}");
        assert!(media != fhir || same_content(&answer.body, weight.as_bytes()), "{accept} {query}");
    }
    for (accept, query) in [("application/fhir+xml", ""), ("text/turtle", ""), ("*/*", "?_format=xml")] {
        let refused = ehr.send("GET", &format!("{path}{query}"), &[("Accept", accept)], "").with(406);
        assert!(refused.text().contains("XML"), "{}", refused.text());
        assert_eq!(refused.refusal().1, "format-unsupported");
    }
    let xml = r#"<Observation xmlns="http://hl7.org/fhir"/>"#;
    for (method, path) in
        [("POST", "/fhir/Observation"), ("PUT", path), ("POST", "/fhir"), ("POST", "/fhir/Observation/$validate")]
    {
        let refused = ehr.send(method, path, &[("Content-Type", "application/fhir+xml")], xml);
        assert_eq!(refused.refusal().0, 415, "{method} {path}");
        assert!(refused.text().contains("JSON"), "{}", refused.text());
    }
}

/// Lines and spaces are all that is pretty: numbers keep their digits.
fn pretty(ehr: &Client, weight: &str) {
    let pretty = ehr.get("/fhir/Observation/weight-1?_pretty=true").with(200);
    assert!(pretty.text().lines().count() > 10 && same_content(&pretty.body, weight.as_bytes()), "{}", pretty.text());
    let plain = ehr.get("/fhir/Observation/weight-1?_pretty=false").with(200);
    assert!(same_content(&plain.body, weight.as_bytes()));
}

fn summaries_and_elements(ehr: &Client) {
    let path = "/fhir/Observation/weight-1";
    let subsetted = |answer: &Answer| answer.json()["meta"]["tag"].to_string().contains("SUBSETTED");
    let summary = ehr.get(&format!("{path}?_summary=true")).with(200);
    assert!(subsetted(&summary) && summary.json().get("component").is_some() && summary.json().get("method").is_none());
    let text = ehr.get(&format!("{path}?_summary=text")).with(200);
    assert!(
        subsetted(&text) && text.json().get("component").is_none() && text.json()["status"] == "final",
        "{}",
        text.text()
    );
    let elements = ehr.get(&format!("{path}?_elements=subject")).with(200);
    let json = elements.json();
    assert!(subsetted(&elements) && json.get("subject").is_some() && json.get("component").is_none(), "{json}");
    assert_eq!(json["status"], "final", "mandatory elements stay");
    for query in ["_summary=some", "_summary=true&_elements=code", "_elements=zebra!", "_pretty=maybe", "zebra=1"] {
        assert_eq!(ehr.get(&format!("{path}?{query}")).refusal().0, 400, "{query}");
    }
}

fn compression(ehr: &Client, patient: &str) {
    let path = format!("/fhir/Patient/{patient}/$everything");
    let plain = ehr.get(&path);
    let packed = ehr.send("GET", &path, &[("Accept-Encoding", "gzip")], "").with(200);
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain.body && packed.body.len() < plain.body.len());

    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let send = |coding: &str, body: &[u8]| ehr.send("POST", "/fhir/Basic", &[("Content-Encoding", coding)], body);
    let basic =
        format!(r#"{{"resourceType":"Basic","code":{{"text":"x"}},"subject":{{"reference":"Patient/{patient}"}}}}"#);
    let created = send("gzip", &gzip(basic.as_bytes())).with(201);
    assert!(same_content_but_id(&created.body, basic.as_bytes()));
    for (coding, body, wanted) in [
        ("gzip", basic.into_bytes(), (400, "body-unreadable")),
        ("br", b"x".to_vec(), (415, "content-coding-unsupported")),
        ("gzip", gzip(&vec![b' '; 300 << 20]), (413, "unpacks-too-large")),
    ] {
        let refused = send(coding, &body).refusal();
        assert_eq!((refused.0, refused.1.as_str()), wanted, "{coding}");
    }
}

fn pages_for_browsers(ehr: &Client, patient: &str) {
    let script = format!(
        r#"{{"resourceType":"Basic","id":"page","text":{{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>seen</p></div>"}},
"code":{{"text":"<script>alert(1)</script>"}},"subject":{{"reference":"Patient/{patient}"}}}}"#
    );
    ehr.send("PUT", "/fhir/Basic/page", &[], script).with(201);
    let browser = [("Accept", "text/html,application/xhtml+xml;q=0.9")];
    let found = format!("/fhir/Patient/{patient}/$everything");
    for (path, status) in
        [("/fhir/Basic/page", 200), (found.as_str(), 200), ("/fhir/Basic/none", 404), ("/fhir/metadata", 200)]
    {
        let page = ehr.send("GET", path, &browser, "").with(status);
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let policy = page.field("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.field("x-content-type-options"), Some("nosniff"), "{path}");
        let text = page.text().to_ascii_lowercase();
        assert!(
            text.starts_with("<!doctype html>") && !text.contains("<script") && !text.contains(" style="),
            "{text}"
        );
        assert!(!text.contains(" onload=") && text.contains("<title>"), "{text}");
    }
    let page = ehr.send("GET", "/fhir/Basic/page", &browser, "").text();
    assert!(page.contains("seen") && page.contains("&lt;script&gt;"), "{page}");
    let style = ehr.get("/fhir.css").with(200);
    assert_eq!(style.field("content-type"), Some("text/css; charset=utf-8"));
    // What would run in a browser is refused at the door.
    let running = r#"{"resourceType":"Basic","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>1</script></div>"},"code":{"text":"x"}}"#;
    assert_eq!(ehr.send("POST", "/fhir/Basic", &[], running).refusal().0, 422);
}

fn refusals(ehr: &Client, patient: &str, weight: &str) {
    let with_nobody = weight.replace(&format!("Patient/{patient}"), "Patient/nobody");
    let two_ids = PATIENT.replace("\"id\":\"brought-along\"", "\"id\":\"a\",\"id\":\"b\"");
    let faulty =
        r#"{"resourceType":"Patient","gender":"maybe","birthDate":"31.12.1999","name":{"family":"x"},"identifier":[]}"#;
    let deep = format!("{{\"resourceType\":\"Basic\",\"extension\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let other = weight.replace("weight-1", "other");
    let long = "x".repeat(65);
    let long = format!("/fhir/Patient/{long}");
    let cases: [(&str, &str, &str, (u16, &str, &str)); 24] = [
        ("GET", "/fhir/Patient/nobody", "", (404, "resource-unknown", "")),
        ("GET", "/fhir/Paitent/1", "", (404, "type-unknown", "")),
        ("GET", "/fhir/patient/1", "", (404, "type-unknown", "")),
        ("GET", "/fhir/Patient/a_b", "", (400, "id-invalid", "")),
        ("GET", &long, "", (400, "id-invalid", "")),
        ("GET", "/fhir/Observation/1/$nothing", "", (404, "route-unknown", "")),
        ("GET", "/nothing", "", (404, "route-unknown", "")),
        ("DELETE", "/fhir/Patient", "", (405, "method-not-allowed", "")),
        ("DELETE", "/fhir/Patient?name=x", "", (405, "method-not-allowed", "")),
        ("POST", "/fhir/Observation/weight-1", weight, (405, "method-not-allowed", "")),
        ("POST", "/fhir/Observation", &with_nobody, (404, "patient-unknown", "Observation.subject")),
        ("POST", "/fhir/Condition", weight, (400, "type-differs", "resourceType")),
        ("PUT", "/fhir/Observation/weight-1", &other, (400, "id-differs", "Observation.id")),
        ("PUT", "/fhir/Basic/1", r#"{"resourceType":"Basic","code":{"text":"x"}}"#, (400, "id-differs", "Basic.id")),
        ("POST", "/fhir/Patient", &two_ids, (400, "duplicate-member", "Resource.id")),
        ("POST", "/fhir/Patient", "", (400, "not-json", "")),
        ("POST", "/fhir/Patient", "[]", (400, "not-an-object", "")),
        ("POST", "/fhir/Patient", "{}", (400, "missing-resource-type", "")),
        ("POST", "/fhir/Patient", r#"{"resourceType":"Paitent"}"#, (400, "unknown-resource-type", "")),
        ("POST", "/fhir/Basic", &deep, (400, "too-deep", "")),
        ("POST", "/fhir/Patient", faulty, (422, "", "Patient.")),
        ("POST", "/fhir", "{\"resourceType\":\"Bundle\"", (400, "not-json", "")),
        ("POST", "/fhir", weight, (400, "not-a-bundle", "")),
        ("POST", "/fhir/Observation/$validate?zebra=1", weight, (400, "parameter-unsupported", "")),
    ];
    for (method, path, body, (status, code, place)) in cases {
        let told = ehr.send(method, path, &[], body).refusal();
        assert_eq!(told.0, status, "{method} {path}: {told:?}");
        assert!(code.is_empty() || told.1 == code, "{method} {path}: {told:?}");
        assert!(told.2.starts_with(place), "{method} {path}: {told:?}");
    }
    // Every fault is named with its place, not only the first.
    let told = ehr.send("POST", "/fhir/Patient", &[], faulty).json();
    let places: Vec<_> =
        told["issue"].as_array().unwrap().iter().map(|i| i["expression"][0].as_str().unwrap()).collect();
    for place in ["Patient.gender", "Patient.birthDate", "Patient.name", "Patient.identifier"] {
        assert!(places.contains(&place), "{place}: {told}");
    }
}

/// A method that is not allowed is refused with those that are (RFC 9110, section 15.5.6).
fn told_what_is_allowed(ehr: &Client) {
    let allowed = ehr.send("DELETE", "/fhir/Patient", &[], "").with(405).field("allow").unwrap_or_default().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST") && !allowed.contains("DELETE"), "Allow: {allowed:?}");
}

/// A resource is in one record for life, and an id is one person's.
fn records_are_for_life(ehr: &Client, patient: &str, weight: &str) {
    let another = PATIENT.replace("face 1", "face 2");
    let another = ehr.send("POST", "/fhir/Patient", &[], another).with(201).id();
    let moved = weight.replace(patient, &another);
    assert_eq!(ehr.send("PUT", "/fhir/Observation/weight-1", &[], moved).refusal().1, "patient-differs");
    let same_person = format!(
        r#"{{"resourceType":"Patient","id":"{another}","identifier":[{{"system":"urn:test","value":"face 1"}}]}}"#
    );
    let taken = ehr.send("PUT", &format!("/fhir/Patient/{another}"), &[], same_person);
    assert_eq!(taken.refusal(), (409, "patient-id-taken".to_owned(), String::new()));
}

fn logins(world: &World) {
    let nobody = world.client_with(Party::HospitalA, None);
    for path in ["/fhir/Patient/1", "/fhir/Patient?name=x", "/fhir/Patient/1/$everything", "/status", "/devices"] {
        let refused = nobody.get(path);
        assert_eq!(refused.refusal(), (401, "login-needed".to_owned(), String::new()), "{path}");
        assert!(refused.field("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")), "{path}");
    }
    for path in ["/fhir/metadata", "/fhir/.well-known/smart-configuration", "/fhir.css"] {
        nobody.get(path).with(200);
    }
    let own = world.token_of_user(Party::HospitalA);
    let foreign = world.token_of_user(Party::HospitalB).to_owned();
    let altered = format!("{}{}", &own[..own.len() - 1], if own.ends_with('A') { 'B' } else { 'A' });
    for token in [foreign, altered, own[..own.len() - 8].to_owned(), "x".to_owned(), encode(own).replace('.', "%2E")] {
        let refused = world.client_with(Party::HospitalA, Some(token)).get("/fhir/Patient?name=x");
        assert_eq!(refused.refusal(), (401, "token-wrong".to_owned(), String::new()));
    }
    let twice = [("Authorization", "Bearer x"), ("authorization", "Bearer y")];
    assert_eq!(nobody.send("GET", "/fhir/Patient/1", &twice, "").refusal().0, 401);
}
