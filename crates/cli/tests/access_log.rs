//! Who had to do with a record: the patient's view over the logs of the hospital, the broker and the archive, its download,
//! and the gateway's log as FHIR AuditEvents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use sealwort_audit::{AtRest, Checkpoint, Detail, Event, EventKind, Question, Row, Tree};
use sealwort_fhir::validation::{Handling, is_acceptable, validate};
use sealwort_net::{Clock, SystemClock, member, secret_file};
use sealwort_pki::enrolment::Membership;
use sealwort_proto::{Digest, Pseudonym, TokenId};
use sealwort_store::sqlite::SqliteAudit;
use sealwort_store::{AuditAppended, AuditBatch, AuditStore, KeptCheckpoint};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use support::smart::{App, access_token};
use support::{Answer, Client, Party, World, bundle, encode, errors, exit, identifier, parts, run, succeeded, text};

const LOG: &str = "/fhir/Patient/p1/$access-log";
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn patients_see_who_looked_and_readers_search_the_log() {
    let world = World::start_with(&[
        (Party::HospitalA, "audit.cosign_every", json!("200ms")),
        (Party::HospitalB, "audit.cosign_every", json!("200ms")),
        (Party::Broker, "audit.cosign_every", json!("200ms")),
    ]);
    happenings(&world);
    let auditor = world.client_with(Party::HospitalA, Some(world.token(Party::HospitalA, "aud-1", "auditor")));
    parts(&[
        ("the joined log", &|| the_joined_log(&auditor)),
        ("dates and pages", &|| dates_and_pages(&auditor)),
        ("who may see it", &|| who_may_see_it(&world)),
        ("events are searched", &|| events_are_searched(&world, &auditor)),
        ("nobody writes events", &|| nobody_writes_events(&world, &auditor)),
        ("the download verifies", &|| the_download_verifies(&world)),
        ("the authority keeps a log", &|| the_authority_keeps_a_log(&world)),
        ("the hospital's own routes are entered", &|| own_routes_are_entered(&world, &auditor)),
        // The last: it alters the broker's log.
        ("an altered log is told", &|| an_altered_log_is_told(&world, &auditor)),
    ]);
}

/// A record is written and read here; another hospital is refused, then let in, and reads.
fn happenings(world: &World) {
    let (a, b) = (world.client(Party::HospitalA), world.client(Party::HospitalB));
    world.put(Party::HospitalA, &bundle(1, 3)).unwrap().done();
    world.put(Party::HospitalA, &bundle(2, 1)).unwrap().done();
    a.get("/fhir/Observation/p1-o0").with(200);
    a.get("/fhir/Observation?patient=p1&code=8867-4").with(200);
    a.get("/fhir/Patient/p1/$everything").with(200);
    let search = format!("/fhir/Patient?identifier={}", encode(&identifier(1)));
    assert_eq!(b.get(&search).status, 403);
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    b.get(&search).with(200);
}

fn resources(answer: &Answer) -> Vec<Value> {
    answer.entries().iter().map(|entry| entry["resource"].clone()).collect()
}

fn events(answer: &Answer) -> Vec<Value> {
    resources(answer).into_iter().filter(|one| one["resourceType"] == "AuditEvent").collect()
}

/// The last subtype is the kind of the audit log.
fn kind(event: &Value) -> &str {
    event["subtype"].as_array().unwrap().last().unwrap()["code"].as_str().unwrap()
}

fn user(event: &Value) -> &str {
    let agents = event["agent"].as_array().unwrap();
    agents.iter().find(|agent| agent["requestor"] == true).and_then(|user| user["name"].as_str()).unwrap_or_default()
}

/// The logs that have an entry about it.
fn logs(event: &Value) -> Vec<String> {
    let extensions = event["extension"].as_array().unwrap().iter();
    let entries = extensions.filter(|one| one["url"] == "urn:sealwort:audit:entry");
    entries.map(|one| one["extension"][0]["valueString"].as_str().unwrap().to_owned()).collect()
}

fn issues(answer: &Answer) -> Vec<(String, String)> {
    let outcomes = resources(answer).into_iter().filter(|one| one["resourceType"] == "OperationOutcome");
    let issues = outcomes.flat_map(|outcome| outcome["issue"].as_array().unwrap().clone());
    issues
        .map(|issue| {
            let said = |value: &Value| value.as_str().unwrap().to_owned();
            (said(&issue["details"]["coding"][0]["code"]), said(&issue["details"]["text"]))
        })
        .collect()
}

fn valid(events: &[Value]) {
    for event in events {
        let issues = validate(event, Handling::Strict);
        assert!(is_acceptable(&issues), "{issues:?}\n{event:#}");
    }
}

fn the_joined_log(auditor: &Client) {
    let answer = auditor.get(LOG).with(200);
    let all = events(&answer);
    valid(&all);
    let parties =
        ["gateway/hospital-a", "broker/broker", "archive/archive"].map(|name| format!("sealwort://test/{name}"));
    let proved = issues(&answer);
    assert_eq!(proved.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(), ["log-proved"; 3], "{proved:?}");
    for (party, (_, text)) in parties.iter().zip(&proved) {
        assert!(text.starts_with(party.as_str()), "{text}");
    }
    let of = |wanted: &str| all.iter().filter(|event| kind(event) == wanted).collect::<Vec<_>>();
    let read = of("read");
    assert_eq!(read.len(), 1);
    assert_eq!((user(read[0]), &read[0]["outcome"]), ("dr-test", &json!("0")));
    assert_eq!(
        read[0]["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    );
    assert_eq!(read[0]["purposeOfEvent"][0]["coding"][0]["code"], "TREAT");
    let seen = logs(read[0]);
    assert!(parties.iter().all(|party| seen.contains(party)), "all three logs know of it: {seen:?}");
    assert!(read[0].to_string().contains("Observation/p1-o0"), "what was shown");
    assert!(of("record-read")[0].to_string().contains("Observation/p1-o2"), "$everything names what it showed");
    // The other hospital's accesses, by broker and archive.
    let decided = of("request-decided");
    let theirs: Vec<_> = decided.iter().filter(|event| event.to_string().contains("gateway/hospital-b")).collect();
    let outcomes: Vec<_> = theirs.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["0", "4"], "let in, and before that refused");
    assert!(theirs[1]["outcomeDesc"].as_str().unwrap().starts_with("consent-"));
    assert!(theirs.iter().all(|event| user(event) == "dr-test"));
    assert!(logs(theirs[0]).contains(&parties[2]) && !logs(theirs[0]).contains(&parties[0]));
    // One directive, in all three logs.
    let consent = of("consent-changed");
    assert_eq!((consent.len(), logs(consent[0]).len()), (1, 3), "{consent:#?}");
    assert!(all.iter().all(|event| !event.to_string().contains("p2-o0")), "nothing of another patient");
    // That the log is read is in it from then on, in all three.
    let shown = auditor.get(LOG).with(200);
    let shown: Vec<_> = events(&shown).into_iter().filter(|event| kind(event) == "log-shown").collect();
    assert_eq!((user(&shown[0]), logs(&shown[0]).len()), ("aud-1", 3));
}

fn dates_and_pages(auditor: &Client) {
    let total = |query: &str| auditor.get(&format!("{LOG}?{query}")).with(200).json()["total"].as_u64().unwrap();
    let all = total("date=ge2020-01-01");
    assert!(all > 5);
    assert_eq!((total("date=lt2020-01-01"), total("date=ge2020-01-01&date=lt2021-01-01")), (0, 0));
    assert_eq!(auditor.get(&format!("{LOG}?date=yesterday")).refusal().1, "parameter-unsupported");
    let (mut seen, mut page) = (Vec::new(), auditor.get(&format!("{LOG}?_count=4")).with(200));
    loop {
        seen.extend(events(&page).iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.link("next") else { break };
        page = auditor.follow(&next).with(200);
    }
    let once: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "no row twice: {seen:?}");
    assert!(seen.len() as u64 >= all);
}

fn who_may_see_it(world: &World) {
    let client = |hospital, role: &str| world.client_with(hospital, Some(world.token(hospital, "somebody", role)));
    for role in ["physician", "patient", "security-officer"] {
        assert_eq!(client(Party::HospitalA, role).get(LOG).refusal(), forbidden(), "{role}");
    }
    let elsewhere = client(Party::HospitalB, "auditor").get(LOG).refusal();
    assert_eq!((elsewhere.0, elsewhere.1.as_str()), (403, "authority-elsewhere"));
    client(Party::HospitalA, "auditor").get("/fhir/Patient/nobody/$access-log").with(404);
    // Apps: for the patient in context and in the patient's own name alone.
    let mut app = App::register(world, Party::HospitalA, "log-app", "patient/*.rs user/*.cruds");
    let mut approved = |role: &str, scopes: &str, patient: Option<&str>| {
        app.used_by(format!("sealwort_session={}", world.token(Party::HospitalA, "pat", role)));
        world.client_with(Party::HospitalA, Some(access_token(app.user_token(scopes, patient))))
    };
    let own = approved("patient", "patient/*.rs", Some("p1"));
    assert!(events(&own.get(LOG).with(200)).iter().any(|event| kind(event) == "read"));
    assert_eq!(own.get("/fhir/Patient/p2/$access-log").refusal(), forbidden());
    assert_eq!(own.get("/fhir/AuditEvent?patient=p1").refusal(), forbidden());
    assert_eq!(approved("physician", "patient/*.rs", Some("p1")).get(LOG).refusal(), forbidden());
    assert_eq!(approved("patient", "patient/Observation.rs", Some("p1")).get(LOG).refusal(), forbidden());
    assert_eq!(approved("auditor", "user/*.cruds", None).get(LOG).refusal(), forbidden(), "an app is no reader");
}

fn forbidden() -> (u16, String, String) {
    (403, "log-readers-only".to_owned(), String::new())
}

fn events_are_searched(world: &World, auditor: &Client) {
    let search = |query: &str| {
        let answer = auditor.get(&format!("/fhir/AuditEvent?_count=500&{query}")).with(200);
        let found = events(&answer);
        valid(&found);
        assert_eq!(answer.json()["total"].as_u64(), Some(found.len() as u64), "{query}");
        found
    };
    let of_one = search("patient=p1");
    assert!(of_one.iter().all(|event| event["entity"][0]["what"]["reference"] == "Patient/p1"));
    assert!(
        of_one.iter().any(|event| kind(event) == "searched")
            && of_one.iter().any(|event| kind(event) == "bundle-processed")
    );
    let within = auditor.get("/fhir/Patient/p1/AuditEvent?subtype=read&_count=500").with(200);
    assert_eq!(events(&within).len(), 1);
    assert_eq!(search("patient=p1&subtype=read&agent-name=dr-test").len(), 1);
    assert_eq!(search("patient=p1&subtype=read&agent-name=dr-eve").len(), 0);
    assert!(search("action=R").iter().all(|event| event["action"] == "R"));
    assert_eq!(search("date=lt2020-01-01").len(), 0);
    auditor.get("/fhir/Observation/nothing-there").with(404);
    let failed = search("outcome=4");
    assert!(!failed.is_empty() && failed.iter().all(|event| event["outcome"] == "4" && event.get("meta").is_none()));
    assert!(search("date=ge2020-01-01").len() > of_one.len());
    let read = &search("patient=p1&subtype=read")[0];
    let id = read["id"].as_str().unwrap();
    assert_eq!(auditor.get(&format!("/fhir/AuditEvent/{id}")).with(200).json(), *read);
    for id in ["gateway-999999", "broker-1", "nonsense"] {
        auditor.get(&format!("/fhir/AuditEvent/{id}")).with(404);
    }
    // Searching the log is entered, and about whom.
    let looked: Vec<_> = search("patient=p1").into_iter().filter(|event| kind(event) == "log-searched").collect();
    assert!(looked.len() > 3 && looked.iter().all(|event| user(event) == "aud-1"));
    assert_eq!(world.client(Party::HospitalA).get("/fhir/AuditEvent?patient=p1").refusal(), forbidden());
    assert_eq!(world.client(Party::HospitalA).get(&format!("/fhir/AuditEvent/{id}")).refusal(), forbidden());
}

fn nobody_writes_events(world: &World, auditor: &Client) {
    let event = events(&auditor.get("/fhir/AuditEvent?patient=p1&subtype=read").with(200)).remove(0);
    let (id, body) = (event["id"].as_str().unwrap().to_owned(), event.to_string());
    let one = format!("/fhir/AuditEvent/{id}");
    for client in [auditor, &world.client(Party::HospitalA)] {
        for (method, path) in [("POST", "/fhir/AuditEvent"), ("PUT", one.as_str()), ("DELETE", &one), ("PATCH", &one)] {
            let refused = client.send(method, path, &[], &body);
            assert_eq!((refused.status, refused.field("allow")), (405, Some("GET")), "{method} {path}");
        }
        for kind in ["transaction", "batch", "collection"] {
            let request = json!({"method": "POST", "url": "AuditEvent"});
            let entry = match kind {
                "collection" => json!({"fullUrl": "urn:uuid:00000000-0000-4000-8000-00000000aaaa", "resource": event}),
                _ => json!({"resource": event, "request": request}),
            };
            let sent = json!({"resourceType": "Bundle", "type": kind, "entry": [entry]});
            let answer = client.send("POST", "/fhir", &[], sent.to_string());
            assert!(answer.status == 405 || answer.text().contains("405"), "{kind}: {}", answer.text());
        }
    }
    let statement = auditor.get("/fhir/metadata").json();
    let offers = statement["rest"][0]["resource"].as_array().unwrap();
    let offer = offers.iter().find(|offer| offer["type"] == "AuditEvent").unwrap();
    let codes: Vec<_> = offer["interaction"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, ["read", "search-type"]);
}

fn the_download_verifies(world: &World) {
    let file = world.path().join("p1.access");
    let root = world.folder(Party::Ca).join("root.der");
    let token = world.token(Party::HospitalA, "aud-1", "auditor");
    let url = world.url(Party::HospitalA);
    let place = world.path().join("auditor.token");
    secret_file::create(&place, token.as_bytes()).unwrap();
    let client = ["--gateway", url.as_str(), "--token-file", text(&place)];
    let log = |more: &[&str]| run(&[&["access-log", "p1"], more, &client[..]].concat());
    let shown = log(&[]);
    succeeded(&shown);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("dr-test") && shown.contains("hospital-b") && shown.contains("consent-"), "{shown}");
    // Until every log is cosigned, only its own party's word is there for some.
    let begun = Instant::now();
    let verified = loop {
        let _ = fs::remove_file(&file);
        succeeded(&log(&["--proof", text(&file)]));
        let verified = run(&["audit", "verify", text(&file), "--root", text(&root), "--json"]);
        if exit(&verified) != 6 || begun.elapsed() > PATIENCE {
            break verified;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    succeeded(&verified);
    let passed: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(passed.as_array().unwrap().len(), 3);
    assert!(passed.as_array().unwrap().iter().all(|one| one["entries"].as_u64().unwrap() > 2));
    assert_eq!(exit(&log(&["--proof", text(&file)])), 1, "files stay");
    let read = fs::read_to_string(&file).unwrap();
    let altered = world.path().join("altered.access");
    let verify = |content: String, root: &str| {
        assert_ne!(content, read);
        fs::write(&altered, content).unwrap();
        run(&["audit", "verify", text(&altered), "--root", root])
    };
    let whole: Value = serde_json::from_str(&read).unwrap();
    let tampered = |verified: std::process::Output| assert_eq!(exit(&verified), 5, "{}", errors(&verified));
    tampered(verify(read.replacen("dr-test", "dr-eves", 1), text(&root)));
    let mut cut = whole.clone();
    let lines = cut["logs"][1]["pages"][0]["entries"].as_str().unwrap();
    let fewer: String = lines.split_inclusive('\n').skip(1).collect();
    cut["logs"][1]["pages"][0]["entries"] = json!(fewer);
    tampered(verify(cut.to_string(), text(&root)));
    let mut without = whole.clone();
    without["logs"].as_array_mut().unwrap().pop();
    let verified = verify(without.to_string(), text(&root));
    assert_eq!(exit(&verified), 6, "one of three logs was taken out: {}", errors(&verified));
    let mut other = whole.clone();
    other["patient"] = json!("00".repeat(32));
    tampered(verify(other.to_string(), text(&root)));
    let mut swapped = whole.clone();
    swapped["logs"][1]["log"] = whole["logs"][2]["log"].clone();
    tampered(verify(swapped.to_string(), text(&root)));
    let mut missing = whole;
    missing["logs"][2]["pages"] = json!([]);
    missing["logs"][2]["missing"] = json!("the archive was away");
    let verified = verify(missing.to_string(), text(&root));
    assert_eq!(exit(&verified), 6, "{}", errors(&verified));
    assert_eq!(exit(&run(&["audit", "verify", text(&place), "--root", text(&root)])), 1, "no access log");
}

fn the_authority_keeps_a_log(world: &World) {
    let (config, folder) = (world.config(Party::Ca), world.folder(Party::Ca));
    let refused = run(&["ca", "revoke", "nobody-of-this-name", "--config", text(&config)]);
    assert_ne!(exit(&refused), 0);
    let search = |kind: &str| {
        let found = run(&["audit", "search", "--folder", text(&folder), "--kind", kind, "--json", "--most", "100"]);
        support::json_of(&found).as_array().unwrap().clone()
    };
    assert_eq!((search("party-invited").len(), search("certificate-enrolled").len()), (4, 4));
    let joined = search("certificate-enrolled");
    assert!(joined.iter().any(|one| one["peer"] == "sealwort://test/gateway/hospital-b"));
    assert!(joined.iter().all(|one| one["outcome"] == "done" && one["details"]["serial"].is_string()));
    // Members cosign it over the connections that they have for the revocation list.
    let begun = Instant::now();
    loop {
        let verified = run(&["audit", "verify", "--folder", text(&folder), "--json"]);
        if exit(&verified) == 0 {
            let passed: Value = serde_json::from_slice(&verified.stdout).unwrap();
            assert!(!passed["witnesses"].as_array().unwrap().is_empty());
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", errors(&verified));
        std::thread::sleep(Duration::from_millis(200));
    }
    for party in [Party::Ca, Party::Broker, Party::HospitalA] {
        let seen = run(&["doctor", "--role", party.role(), "--config", text(&world.config(party))]);
        let seen = String::from_utf8(seen.stdout).unwrap();
        assert!(seen.contains("as its newest checkpoint says"), "{seen}");
    }
}

fn own_routes_are_entered(world: &World, auditor: &Client) {
    let ehr = world.client(Party::HospitalA);
    ehr.get("/devices").with(200);
    ehr.get("/feeds/refused").with(200);
    ehr.get("/emergency").with(200);
    ehr.get("/erasure").with(200);
    ehr.get("/delegates?patient=p1").with(200);
    ehr.get("/passkeys?patient=p1").with(200);
    ehr.get("/push/browsers").with(200);
    assert_eq!(ehr.get("/emergency/elsewhere").refusal().1, "emergency-officers-only");
    assert_eq!(ehr.get("/sessions").refusal().1, "administrator-needed");
    ehr.send("DELETE", "/devices/0000000000000000", &[], "").with(404);
    let found = auditor.get("/fhir/AuditEvent?subtype=list-read&_count=100").with(200).text();
    let elsewhere = "emergency accesses elsewhere";
    for list in ["devices", "refused", "emergency accesses", "erasures", "delegates", "passkeys", "browsers", elsewhere]
    {
        assert!(found.contains(&format!("\"valueString\":\"{list}\"")), "{list}: {found}");
    }
    // What was looked at of a patient stands in the patient's own view; what was refused says so.
    let of_patient = events(&auditor.get(&format!("{LOG}?_count=500")).with(200));
    for list in ["delegates", "passkeys"] {
        let about = |event: &&Value| kind(event) == "list-read" && event.to_string().contains(&format!("\"{list}\""));
        assert_eq!(of_patient.iter().filter(about).map(user).collect::<Vec<_>>(), ["dr-test"], "{list}");
    }
    let refused = events(&auditor.get("/fhir/AuditEvent?outcome=4&_count=500").with(200));
    for (of, what) in [("list-read", elsewhere), ("signed-in", "GET /sessions")] {
        let about = |event: &&Value| kind(event) == of && event.to_string().contains(&format!("\"{what}\""));
        assert_eq!(refused.iter().filter(about).map(user).collect::<Vec<_>>(), ["dr-test"], "{what}");
    }
    let removed = events(&auditor.get("/fhir/AuditEvent?subtype=device-removed").with(200));
    assert_eq!((removed.len(), &removed[0]["outcome"]), (1, &json!("4")));
}

fn an_altered_log_is_told(world: &World, auditor: &Client) {
    // A page that ends with the last row that another log leads; the look itself is a row of the next answer.
    let urls = |answer: &Answer| -> Vec<String> {
        answer.entries().iter().filter_map(|entry| Some(entry["fullUrl"].as_str()?.to_owned())).collect()
    };
    let before = urls(&auditor.get(&format!("{LOG}?_count=500")).with(200));
    let shown = 1 + before.iter().rposition(|url| url.starts_with("urn:")).unwrap();
    let first = auditor.get(&format!("{LOG}?_count={}", shown + 1)).with(200);
    assert_eq!(urls(&first).last(), before.get(shown - 1));
    let broker = world.folder(Party::Broker).join("audit.sqlite");
    let edit = "UPDATE audit_entry SET stored = CAST(replace(CAST(stored AS TEXT), 'dr-test', 'dr-eves') AS BLOB) \
                WHERE patient IS NOT NULL";
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut root = SqliteConnectOptions::new().filename(&broker).connect().await.unwrap();
        root.execute(edit).await.unwrap();
        sqlx::Connection::close(root).await.unwrap();
    });
    // Though there are fewer rows now, the next page begins after the one that was shown last.
    let (mut rest, mut next) = (Vec::new(), first.link("next"));
    while let Some(link) = next {
        let page = auditor.follow(&link).with(200);
        rest.extend(urls(&page).into_iter().filter(|url| !url.starts_with("urn:")));
        next = page.link("next");
    }
    assert!(!rest.is_empty());
    assert_eq!(rest, before[shown..]);

    let answer = auditor.get(LOG).with(200);
    let told = issues(&answer);
    assert_eq!(told.iter().filter(|(code, _)| code == "log-tampered").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|(code, _)| code == "log-proved").count(), 2);
    let all = events(&answer);
    assert!(all.iter().all(|event| !event.to_string().contains("dr-eves")), "nothing of a log that does not hold");
    assert!(all.iter().any(|event| kind(event) == "read"));
    let place = world.path().join("auditor.token");
    assert_eq!(exit(&run(&["audit", "verify", "--folder", text(&world.folder(Party::Broker))])), 5);
    let ended = run(&["access-log", "p1", "--gateway", &world.url(Party::HospitalA), "--token-file", text(&place)]);
    assert_eq!(exit(&ended), 5, "{}", errors(&ended));
}

/// Entries about one patient in each of the three logs.
const ENTRIES: u64 = 10_000;
const YEARS_MILLIS: u64 = 3 * 365 * 86_400_000;

/// Three years of accesses, in all three logs among those of others, put in by their parties' own keys.
#[test]
fn three_years_of_ten_thousand_accesses_are_shown() {
    let mut world = World::start();
    world.put(Party::HospitalA, &bundle(1, 1)).unwrap().done();
    let consent = world.get(Party::HospitalA, "/consent?patient=p1").unwrap().with(200).json();
    let patient: Pseudonym = consent["patient"].as_str().unwrap().parse().unwrap();
    let parties = [Party::HospitalA, Party::Broker, Party::Archive];
    for party in parties {
        assert!(world.stop(party).success());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for party in parties {
        runtime.block_on(fill(&world, party, patient));
    }
    for party in [Party::Archive, Party::Broker, Party::HospitalA] {
        world.restart(party);
    }
    let auditor = world.client_with(Party::HospitalA, Some(world.token(Party::HospitalA, "aud-1", "auditor")));
    let mut times = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        let answer = auditor.get(&format!("{LOG}?_count=1000")).with(200);
        times.push(begun.elapsed());
        assert_eq!(issues(&answer).iter().filter(|(code, _)| code == "log-proved").count(), 3, "{:?}", issues(&answer));
        assert!(answer.json()["total"].as_u64().unwrap() > ENTRIES);
        assert!(!answer.text().contains("urn:sealwort:audit:missing"), "every access is in all three logs");
        assert_eq!(events(&answer).len(), 1000);
    }
    println!("30,000 entries about one patient out of 60,000, asked for, proved and joined: {times:?}");
    let begun = Instant::now();
    let found = auditor.get("/fhir/AuditEvent?patient=p1&date=lt2027&subtype=read&_count=100").with(200);
    println!("10,000 AuditEvents searched: {:?}", begun.elapsed());
    assert_eq!(found.json()["total"], ENTRIES);
}

/// Puts in the accesses of three years, the newest an hour ago, each followed by one of somebody else's.
async fn fill(world: &World, party: Party, patient: Pseudonym) {
    let folder = world.folder(party);
    let membership = Membership::from_json(&secret_file::read(&folder.join("membership.json")).unwrap()).unwrap();
    let (kind, at_rest) = match party {
        Party::HospitalA => (EventKind::Read, AtRest::sealed(&member::audit_key(&folder).unwrap())),
        Party::Broker => (EventKind::RequestDecided, AtRest::Clear),
        _ => (EventKind::EntriesFetched, AtRest::Clear),
    };
    let store = SqliteAudit::open_beside(&folder).await.unwrap();
    let size = store.audit_size().await.unwrap();
    let mut tree = Tree::open(size, &store.audit_hashes(&Question::Root { size }.needs()).await.unwrap()).unwrap();
    let now = SystemClock.now_millis();
    let hospital = format!("sealwort://test/gateway/{}", Party::HospitalA.name());
    let mut rows = Vec::new();
    for number in 0..ENTRIES {
        let time = now - 3_600_000 - YEARS_MILLIS + number * (YEARS_MILLIS / ENTRIES);
        let mut request = [0; 32];
        request[..8].copy_from_slice(&number.to_be_bytes());
        for of in [patient, Pseudonym::new([7; 32])] {
            let mut event = Event::new(kind, time).user("dr-ada", "physician").purpose("TREAT").patient(of);
            let token = TokenId::from_slice(&request[..16]).unwrap();
            event = event.request(Digest::new(request)).token(token).detail(Detail::Subject, "Observation/p1-o0");
            if party != Party::HospitalA {
                event = event.peer(&hospital);
            }
            rows.push(Row::append(&mut tree, &event, &at_rest).unwrap());
        }
    }
    let checkpoint = Checkpoint::of(&tree, &membership.identity, now).sign(&membership.statement.key).unwrap();
    let checkpoint = KeptCheckpoint { size: tree.size(), note: checkpoint.to_string() };
    let appended = store.append_audit(AuditBatch { rows, checkpoint }).await.unwrap();
    assert_eq!(appended, AuditAppended::Stored);
    store.close().await;
}
