//! The CapabilityStatement cannot lie: every interaction, operation, search parameter, include and format that it lists
//! is asked for and answered, and what it does not list is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use sealwort_fhir::validation::is_acceptable;
use sealwort_fhir::{Handling, validate};
use serde_json::{Value, json};
use support::{Answer, Client, Party, World, parts};

const STRICT: (&str, &str) = ("Prefer", "handling=strict");
/// Types whose interactions are tried, each with what it needs at least.
const TRIED: [(&str, &str); 5] = [
    ("Patient", r#""name":[{"family":"x"}]"#),
    ("Observation", r#""status":"final","code":{"text":"x"},"subject":{"reference":"Patient/cap"}"#),
    (
        "MedicationRequest",
        r#""status":"active","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/cap"}"#,
    ),
    ("Encounter", r#""status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/cap"}"#),
    ("Practitioner", r#""name":[{"family":"x"}]"#),
];
/// Codes of refusals that say "this is not offered here".
const NOT_OFFERED: [&str; 7] = [
    "route-unknown",
    "method-not-allowed",
    "type-unknown",
    "unknown-search-parameter",
    "search-not-supported",
    "parameter-unsupported",
    "format-unsupported",
];

#[test]
fn the_capability_statement_cannot_lie() {
    let world = World::start();
    let ehr = world.client(Party::HospitalA);
    let answer = world.client_with(Party::HospitalA, None).get("/fhir/metadata").with(200);
    let statement = answer.json();
    let types: BTreeMap<String, Value> = statement["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| (offer["type"].as_str().unwrap().to_owned(), offer.clone()))
        .collect();
    ehr.send("PUT", "/fhir/Patient/cap", &[], resource("Patient", "cap")).with(201);
    let auditor = world.client_with(Party::HospitalA, Some(world.token(Party::HospitalA, "aud-1", "auditor")));
    parts(&[
        ("the statement itself", &|| the_statement_itself(&world, &statement, &answer)),
        ("interactions", &|| interactions(&ehr, &types)),
        ("operations", &|| operations(&ehr, &types)),
        ("the whole server", &|| the_whole_server(&ehr, &statement)),
        ("search parameters", &|| search_parameters(&ehr, &auditor, &types)),
        ("types that are not listed", &|| types_not_listed(&ehr, &types)),
    ]);
}

fn resource(kind: &str, id: &str) -> String {
    let needs = TRIED.iter().find(|(name, _)| *name == kind).unwrap().1;
    let identifier = format!(r#""identifier":[{{"system":"urn:cap","value":"{id}"}}]"#);
    format!(r#"{{"resourceType":"{kind}","id":"{id}",{identifier},{needs}}}"#)
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

/// Codes of a list of objects, such as `interaction`.
fn codes(value: &Value, name: &str, member: &str) -> BTreeSet<String> {
    list(value, name).map(|one| one[member].as_str().unwrap().to_owned()).collect()
}

/// Whether an answer says that what was asked for is not offered.
fn is_not_offered(answer: &Answer) -> bool {
    !answer.is_success() && answer.status != 304 && NOT_OFFERED.contains(&answer.code().as_str())
}

fn the_statement_itself(world: &World, statement: &Value, answer: &Answer) {
    let issues = validate(statement, Handling::Strict);
    assert!(is_acceptable(&issues), "{issues:?}");
    assert_eq!((&statement["fhirVersion"], &statement["kind"]), (&json!("4.0.1"), &json!("instance")));
    assert_eq!(statement["implementation"]["url"], format!("{}/fhir", world.url(Party::HospitalA)));
    let security = statement["rest"][0]["security"].to_string();
    assert!(security.contains("SMART-on-FHIR") && security.contains("oauth-uris"), "{security}");
    assert!(answer.field("etag").is_some());
    let ehr = world.client(Party::HospitalA);
    for format in list(statement, "format") {
        let format = format.as_str().unwrap().replace('+', "%2B");
        ehr.get(&format!("/fhir/Patient/cap?_format={format}")).with(200);
    }
    for format in ["xml", "application/fhir%2Bxml", "ttl"] {
        assert_eq!(ehr.get(&format!("/fhir/Patient/cap?_format={format}")).refusal().0, 406);
    }
    for format in list(statement, "patchFormat") {
        let media = [("Content-Type", format.as_str().unwrap())];
        ehr.send("PATCH", "/fhir/Patient/cap", &media, r#"[{"op":"test","path":"/name/0/family","value":"x"}]"#)
            .with(200);
    }
    for media in ["application/fhir+xml", "application/xml-patch+xml", "application/merge-patch+json"] {
        assert_eq!(ehr.send("PATCH", "/fhir/Patient/cap", &[("Content-Type", media)], "[]").refusal().0, 415);
    }
}

fn interactions(ehr: &Client, types: &BTreeMap<String, Value>) {
    for (kind, _) in TRIED {
        let offer = &types[kind];
        let own = format!("tried-{}", kind.to_ascii_lowercase());
        let (one, all) = (format!("/fhir/{kind}/{own}"), format!("/fhir/{kind}"));
        let body = resource(kind, &own);
        let patch = [("Content-Type", "application/json-patch+json")];
        let history = format!("{all}/_history?patient=cap");
        // In an order in which each finds what it needs.
        let tries: Vec<(&str, Answer)> = vec![
            ("update", ehr.send("PUT", &one, &[], &body)),
            ("read", ehr.get(&one)),
            ("vread", ehr.get(&format!("{one}/_history/1"))),
            ("patch", ehr.send("PATCH", &one, &patch, r#"[{"op":"add","path":"/language","value":"en"}]"#)),
            ("history-instance", ehr.get(&format!("{one}/_history"))),
            ("history-type", ehr.get(&history)),
            ("search-type", ehr.get(&format!("{all}?identifier=urn:cap%7C{own}&patient=cap"))),
            ("delete", ehr.send("DELETE", &one, &[], "")),
            ("create", ehr.send("POST", &all, &[], &body)),
        ];
        let listed = codes(offer, "interaction", "code");
        for (code, answer) in &tries {
            assert_eq!(listed.contains(*code), !is_not_offered(answer), "{kind} {code}: {}", answer.text());
            assert!(answer.is_success() || *code == "history-type", "{kind} {code}: {}", answer.text());
        }
        assert!(listed.iter().all(|code| tries.iter().any(|(tried, _)| tried == code)), "{kind}: {listed:?}");

        // The other promises.
        let yes = |name: &str| offer[name] == true;
        ehr.send("PUT", &one, &[], &body).with(201);
        assert!(yes("readHistory") && yes("updateCreate"), "{offer}");
        assert_eq!(offer["versioning"], "versioned-update");
        assert_eq!(ehr.send("PUT", &one, &[("If-Match", "W/\"99\"")], &body).refusal().0, 412);
        let search = format!("identifier=urn:cap|{own}-2");
        let (body, condition) = (resource(kind, &format!("{own}-2")), [("If-None-Exist", search.as_str())]);
        let created = ehr.send("POST", &all, &condition, &body).with(201);
        let again = ehr.send("POST", &all, &condition, &body).with(200);
        assert!(yes("conditionalCreate") && created.id() == again.id(), "{offer}");
        let without_id = body.replacen(&format!(r#""id":"{own}-2","#), "", 1);
        let updated = ehr.send("PUT", &format!("{all}?identifier=urn:cap%7C{own}-2"), &[], &without_id).with(200);
        assert!(yes("conditionalUpdate") && updated.id() == created.id(), "{offer}");
        let tag = created.field("etag").unwrap().to_owned();
        let unchanged = ehr.send("GET", &format!("{all}/{}", created.id()), &[("If-None-Match", &tag)], "");
        assert_eq!((offer["conditionalRead"].clone(), unchanged.status), (json!("full-support"), 304));
        let conditional = ehr.send("DELETE", &format!("{all}?identifier=urn:cap%7C{own}-2"), &[], "");
        let promised = offer.get("conditionalDelete").is_some_and(|how| how != "not-supported");
        assert_eq!(promised, !is_not_offered(&conditional), "{}", conditional.text());
    }
}

fn operations(ehr: &Client, types: &BTreeMap<String, Value>) {
    let valid = r#"{"resourceType":"Parameters"}"#;
    for (kind, _) in TRIED {
        let listed = codes(&types[kind], "operation", "name");
        let one = if kind == "Patient" { "cap".to_owned() } else { format!("tried-{}", kind.to_ascii_lowercase()) };
        for name in [
            "validate",
            "everything",
            "summary",
            "export",
            "consent-explain",
            "document",
            "meta",
            "match",
            "lastn",
            "graphql",
            "expand",
        ] {
            let asked = match name {
                "validate" => ehr.send("POST", &format!("/fhir/{kind}/$validate"), &[], resource(kind, "v")),
                "match" => ehr.send("POST", &format!("/fhir/{kind}/$match"), &[], valid),
                "export" => ehr.send("GET", &format!("/fhir/{kind}/{one}/$export"), &[("Prefer", "respond-async")], ""),
                "lastn" => ehr.get(&format!("/fhir/{kind}/$lastn?patient=cap")),
                name => ehr.get(&format!("/fhir/{kind}/{one}/${name}")),
            };
            assert_eq!(listed.contains(name), !is_not_offered(&asked), "{kind}/${name}: {}", asked.text());
            assert!(!listed.contains(name) || asked.is_success(), "{kind}/${name}: {}", asked.text());
        }
    }
}

fn the_whole_server(ehr: &Client, statement: &Value) {
    let listed = codes(&statement["rest"][0], "interaction", "code");
    let bundle = |kind: &str| format!(r#"{{"resourceType":"Bundle","type":"{kind}"}}"#);
    for (code, answer) in [
        ("transaction", ehr.send("POST", "/fhir", &[], bundle("transaction"))),
        ("batch", ehr.send("POST", "/fhir", &[], bundle("batch"))),
        ("search-system", ehr.get("/fhir?_type=Observation,Encounter&patient=cap")),
        ("history-system", ehr.get("/fhir/_history")),
    ] {
        assert_eq!(listed.contains(code), !is_not_offered(&answer), "{code}: {}", answer.text());
        assert!(!listed.contains(code) || answer.is_success(), "{code}: {}", answer.text());
    }
}

/// A value that fits a parameter of this type.
fn value(name: &str, kind: &str) -> &'static str {
    match kind {
        "token" | "string" => "x",
        "date" => "2020-01-01",
        "reference" => "Patient/cap",
        "quantity" | "number" => "1",
        "uri" => "urn:x",
        "composite" if name.contains("quantity") => "x$1",
        "composite" if name.contains("date") => "x$2020",
        "composite" if name.contains("chromosome") || name.contains("variant") || name.contains("referenceseqid") => {
            "x$1$1"
        }
        "composite" => "x$x",
        other => panic!("{name} is {other}"),
    }
}

/// Of all types: what is listed is understood, also as an include; what is listed for other types alone is not.
fn search_parameters(ehr: &Client, auditor: &Client, types: &BTreeMap<String, Value>) {
    let parameters = |offer: &Value| -> BTreeMap<String, String> {
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        list(offer, "searchParam").map(|one| (text(one, "name"), text(one, "type"))).collect()
    };
    let everywhere: BTreeMap<String, String> = types.values().flat_map(parameters).collect();
    let search = |kind: &str, query: &str| {
        let patient = if types[kind]["searchParam"].to_string().contains("\"patient\"") { "patient=cap&" } else { "" };
        // The audit log has readers of its own.
        let client = if kind == "AuditEvent" { auditor } else { ehr };
        client.send("GET", &format!("/fhir/{kind}?{patient}{query}"), &[STRICT], "")
    };
    let (mut listed, mut included, mut others) = (0, 0, 0);
    for (kind, offer) in types {
        let own = parameters(offer);
        for (name, of) in &own {
            let answer = search(kind, &format!("{name}={}", value(name, of)));
            assert!(answer.is_success() || answer.code() == "search-unsupported", "{kind}?{name}: {}", answer.text());
            listed += 1;
        }
        for include in list(offer, "searchInclude") {
            let answer = search(kind, &format!("_id=x&_include={}", include.as_str().unwrap()));
            assert!(answer.is_success(), "{kind}?_include={include}: {}", answer.text());
            included += 1;
        }
        if TRIED.iter().any(|(tried, _)| tried == kind) {
            for (name, of) in everywhere.iter().filter(|(name, _)| !own.contains_key(*name)) {
                let answer = search(kind, &format!("{name}={}", value(name, of)));
                let code = answer.code();
                assert!(is_not_offered(&answer), "{kind}?{name} is not listed: {} {code}", answer.status);
                others += 1;
            }
        }
    }
    // What R4 has for every type or for one, and the statement leaves out, is refused even where clients are lenient:
    // leaving it out would give a wider answer.
    for (kind, query) in [
        ("Patient", "phonetic=x"),
        ("Location", "near=1%7C2"),
        ("Observation", "_text=x"),
        ("Observation", "_content=x"),
        ("Observation", "_filter=x"),
        ("Observation", "_list=x"),
        ("Observation", "_query=x"),
        ("Observation", "_contained=true"),
    ] {
        let name = query.split('=').next().unwrap();
        assert!(!parameters(&types[kind]).contains_key(name));
        let patient = if kind == "Observation" { "patient=cap&" } else { "" };
        assert_eq!(ehr.get(&format!("/fhir/{kind}?{patient}{query}")).refusal().1, "search-not-supported", "{query}");
    }
    println!(
        "{} types: {listed} parameters and {included} includes are understood, {others} of other types refused",
        types.len()
    );
    assert!(listed > 1300 && included > 300 && others > 1000);
}

fn types_not_listed(ehr: &Client, types: &BTreeMap<String, Value>) {
    let all: Vec<_> = sealwort_fhir::ResourceType::all().map(sealwort_fhir::ResourceType::as_str).collect();
    let not: Vec<_> =
        all.iter().filter(|kind| !types.contains_key(**kind)).chain(&["Zebra", "DomainResource", "patient"]).collect();
    for kind in not {
        for answer in [
            ehr.get(&format!("/fhir/{kind}/1")),
            ehr.get(&format!("/fhir/{kind}?_id=1")),
            ehr.send(
                "PUT",
                &format!("/fhir/{kind}/1"),
                &[],
                format!(r#"{{"resourceType":"{kind}","id":"1","type":"collection"}}"#),
            ),
        ] {
            assert!(
                is_not_offered(&answer),
                "{kind} is not listed, and is answered: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}
