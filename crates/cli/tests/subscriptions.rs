//! Subscriptions over real processes and real TLS: what a subscriber is told of, what never leaves, how a notice that is
//! not taken is tried again, over a crash too, and how a right that ends ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use support::receiver::{FORM, Receiver};
use support::smart::{App, access_token};
use support::{Answer, Client, Party, World, bundle, encode, identifier, parts, run, succeeded, text, until};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;
/// Time in which nothing comes where nothing should.
const QUIET: Duration = Duration::from_secs(3);

#[test]
fn subscribers_are_told_what_they_may_see_until_they_may_not() {
    let place = tempfile::tempdir().unwrap();
    let authority = place.path().join("receiver.pem");
    let receiver = Receiver::start(&authority);
    let mut world = World::start_with(&[
        (A, "subscriptions.retry_first", json!("1s")),
        (A, "subscriptions.attempts_max", json!(2)),
        (B, "subscriptions.inside", json!(true)),
        (B, "subscriptions.push_contact", json!("mailto:it@hospital-b.example")),
        (B, "subscriptions.authority", json!(authority)),
        (B, "subscriptions.retry_first", json!("1s")),
        (B, "subscriptions.retry_longest", json!("1s")),
        (B, "subscriptions.attempts_max", json!(8)),
        (B, "emergency.at_registration.hospitals", json!(["hospital-a"])),
        (B, "emergency.at_registration.labels", json!(["general"])),
    ]);
    for patient in 1..=3 {
        world.put(A, &bundle(patient, 1)).unwrap().done();
        let change = json!({"patient": identifier(patient), "to": "hospital-b", "actions": ["read", "write"], "labels": ["general"]});
        world.request(A, "POST", "/consent/grant", change.to_string().as_bytes()).unwrap().done();
        let found = format!("/fhir/Patient?identifier={}", encode(&identifier(patient)));
        world.client(B).get(&found).done();
    }
    parts(&[
        ("refusals", &|| refusals(&world, &receiver)),
        ("own and others' changes", &|| own_and_others(&world, &receiver)),
        ("addresses that are not public", &|| not_public(&world, &receiver)),
    ]);
    survives_a_crash(&mut world, &receiver);
    parts(&[
        ("redirects are not followed", &|| redirected(&world, &receiver)),
        ("a patient's browser", &|| browser(&world, &receiver)),
        ("a patient's browser, in an emergency elsewhere", &|| emergency(&world, &receiver)),
        ("an app that is removed", &|| removed_app(&world, &receiver)),
        ("withdrawn consent", &|| withdrawn(&world, &receiver)),
        ("merged identities", &|| merged(&world, &receiver)),
    ]);
}

fn refusals(world: &World, receiver: &Receiver) {
    let doctor = world.client(B);
    let with = |pointer: &str, value: Value| {
        let mut changed = subscription(&receiver.url, 1);
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let cases = [
        ("/channel/type", json!("email"), "subscription-unsupported", "Subscription.channel.type"),
        ("/channel/endpoint", json!("ftp://x/y"), "subscription-unsupported", "Subscription.channel.endpoint"),
        ("/criteria", json!("Observation?code=x"), "subscription-unsupported", "Subscription.criteria"),
        ("/criteria", json!("Observation?patient=nobody"), "patient-unknown", ""),
    ];
    for (pointer, value, code, at) in cases {
        let answer = doctor.send("POST", "/fhir/Subscription", &[], with(pointer, value).to_string());
        assert_eq!((answer.refusal().1.as_str(), answer.refusal().2.as_str()), (code, at), "{}", answer.text());
    }
    // Hospital A reaches public addresses alone.
    let inside = world.client(A).send(
        "POST",
        "/fhir/Subscription",
        &[],
        with("/channel/endpoint", json!("https://127.0.0.1/x")).to_string(),
    );
    assert_eq!(inside.refusal().2, "Subscription.channel.endpoint");
    // It is no part of a record, and has no versions.
    let one = json!({"request": {"method": "POST", "url": "Subscription"}, "resource": subscription(&receiver.url, 1)});
    let transaction = json!({"resourceType": "Bundle", "type": "transaction", "entry": [one]});
    assert_eq!(doctor.send("POST", "/fhir", &[], transaction.to_string()).refusal().1, "subscription-alone");
    for (method, path) in [("PATCH", "/fhir/Subscription/x"), ("GET", "/fhir/Subscription/x/_history/1")] {
        let code = doctor.send(method, path, &[], "[]").refusal().1;
        assert!(["method-not-allowed", "route-unknown"].contains(&code.as_str()), "{method} {path}: {code}");
    }
    let metadata = doctor.get("/fhir/metadata").json();
    let offers = metadata["rest"][0]["resource"].as_array().unwrap();
    let offer = offers.iter().find(|offer| offer["type"] == "Subscription").unwrap();
    let mut listed: Vec<_> =
        offer["interaction"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(listed, ["create", "delete", "read", "search-type", "update"]);
    assert_eq!(offer["conditionalCreate"], false);
    assert_eq!(doctor.get("/fhir/Subscription").done().json()["total"], 0);
}

fn own_and_others(world: &World, receiver: &Receiver) {
    let doctor = world.client(B);
    let made = doctor.send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 1).to_string()).with(201);
    let (id, made) = (made.id(), made.json());
    assert_eq!((&made["status"], &made["meta"]["versionId"]), (&json!("active"), &json!("1")));
    // Hospital A writes, and B's gateway hears of it.
    write(world, A, 1, "from-a", None);
    let told = receiver.wait(&["Observation/from-a"]);
    assert_eq!(told.key, FORM.1);
    assert!(told.head.contains("application/fhir+json") && told.head.starts_with("POST /hook "), "{}", told.head);
    for clinical in ["8867-4", "beats", "Family1", "valueQuantity"] {
        assert!(!told.body.contains(clinical), "{}", told.body);
    }
    let bundle: Value = serde_json::from_str(&told.body).unwrap();
    let base = format!("{}/fhir", world.url(B));
    assert_eq!(
        bundle["entry"][0]["resource"]["parameter"][0]["valueReference"]["reference"],
        format!("{base}/Subscription/{id}")
    );
    assert_eq!(bundle["entry"][1]["fullUrl"], format!("{base}/Observation/from-a"));
    // Its own hospital's change, and nothing of what does not match, is withheld, or is about somebody else.
    write(world, A, 1, "secret", Some("HIV"));
    write(world, A, 2, "of-another", None);
    let other = json!({"resourceType": "Condition", "id": "no-match", "subject": {"reference": "Patient/p1"}});
    world.put(A, other.to_string().as_bytes()).unwrap().done();
    write(world, B, 1, "from-b", None);
    receiver.wait(&["Observation/from-b"]);
    std::thread::sleep(QUIET);
    let all = receiver.all();
    for name in ["secret", "of-another", "no-match"] {
        assert!(!all.contains(name), "{name}: {all}");
    }
    // It is found and read by its owner alone.
    let colleague = world.client_with(B, Some(world.token(B, "dr-other", "physician")));
    assert_eq!(colleague.get(&format!("/fhir/Subscription/{id}")).status, 404);
    assert_eq!(colleague.get("/fhir/Subscription").done().json()["total"], 0);
    let found = doctor.get("/fhir/Subscription?status=active&type=rest-hook").done().json();
    assert_eq!((&found["total"], &found["entry"][0]["resource"]["id"]), (&json!(1), &json!(id)));
    // It is put off, and then there is nothing to tell.
    let mut off = subscription(&receiver.url, 1);
    (off["id"], off["status"]) = (json!(id), json!("off"));
    let path = format!("/fhir/Subscription/{id}");
    assert_eq!(doctor.send("PUT", &path, &[("If-Match", "W/\"7\"")], off.to_string()).refusal().0, 412);
    let put = doctor.send("PUT", &path, &[("If-Match", "W/\"1\"")], off.to_string()).with(200).json();
    assert_eq!(put["status"], "off");
    write(world, B, 1, "while-off", None);
    std::thread::sleep(QUIET);
    assert!(!receiver.all().contains("while-off"));
    doctor.send("DELETE", &path, &[], "").with(204);
    assert_eq!(doctor.get(&path).status, 404);
}

/// A name that leads to an address inside is found out when it is connected to.
fn not_public(world: &World, receiver: &Receiver) {
    let doctor = world.client(A);
    let url = receiver.url.replace("127.0.0.1", "localhost");
    let id = doctor.send("POST", "/fhir/Subscription", &[], subscription(&url, 3).to_string()).with(201).id();
    write(world, A, 3, "never-sent", None);
    let ended = until_status(&doctor, &id, "error");
    assert!(ended["error"].as_str().unwrap().contains("not a public address"), "{ended}");
    assert!(!receiver.all().contains("never-sent"));
}

fn survives_a_crash(world: &mut World, receiver: &Receiver) {
    receiver.answers(503);
    let made = world.client(B).send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 1).to_string());
    let id = made.with(201).id();
    let before = receiver.count();
    write(world, A, 1, "while-refused", None);
    // With the second try the first is known to have failed, also on disk.
    until(|| (receiver.count() >= before + 2).then_some(()));
    receiver.wait(&["Observation/while-refused"]);
    world.kill(B);
    write(world, A, 1, "while-dead", None);
    world.restart(B);
    receiver.answers(200);
    receiver.wait(&["Observation/while-refused", "Observation/while-dead"]);
    let count = receiver.all().matches("Observation/while-dead").count();
    std::thread::sleep(QUIET);
    assert_eq!(receiver.all().matches("Observation/while-dead").count(), count, "it is told once");
    let log = run(&["audit", "search", "--folder", text(&world.folder(B)), "--kind", "subscription-delivered"]);
    let log = format!("{}{}", String::from_utf8_lossy(&log.stdout), String::from_utf8_lossy(&log.stderr));
    assert!(log.contains(&id) && log.contains("not-delivered"), "{log}");
    world.client(B).send("DELETE", &format!("/fhir/Subscription/{id}"), &[], "").with(204);
}

fn redirected(world: &World, receiver: &Receiver) {
    let doctor = world.client(B);
    receiver.answers(307);
    let id = doctor.send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 1).to_string()).with(201).id();
    write(world, A, 1, "redirected", None);
    let ended = until_status(&doctor, &id, "error");
    assert!(ended["error"].as_str().unwrap().contains("307"), "{ended}");
    assert!(!receiver.all().contains("/elsewhere"));
    // Requested anew it goes on from where it stood.
    receiver.answers(200);
    let before = receiver.count();
    let mut again = subscription(&receiver.url, 1);
    again["id"] = json!(id);
    let again = doctor.send("PUT", &format!("/fhir/Subscription/{id}"), &[], again.to_string()).with(200).json();
    assert_eq!((&again["status"], again.get("error")), (&json!("active"), None));
    receiver.wait_after(before, &["Observation/redirected"]);
    doctor.send("DELETE", &format!("/fhir/Subscription/{id}"), &[], "").with(204);
}

fn removed_app(world: &World, receiver: &Receiver) {
    let scopes = "system/Subscription.cruds system/Observation.rs system/Patient.rs";
    let mut app = App::register(world, B, "monitor", scopes);
    let client = world.client_with(B, Some(access_token(app.own_token(scopes))));
    let id = client.send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 2).to_string()).with(201).id();
    // What its scopes do not let it search, it is not told of.
    let mut wider = subscription(&receiver.url, 2);
    wider["criteria"] = json!("Condition?patient=p2");
    let wider = client.send("POST", "/fhir/Subscription", &[], wider.to_string());
    assert_eq!(wider.refusal().1, "scope-insufficient");
    write(world, A, 2, "for-the-app", None);
    receiver.wait(&["Observation/for-the-app"]);
    succeeded(&run(&["gateway", "app", "remove", "monitor", "--dir", text(&world.folder(B))]));
    let begun = Instant::now();
    until(|| {
        world.log_text(B).contains(&format!("{id}\",\"status\":\"off")).then_some(()).or_else(|| {
            world.log_text(B).lines().any(|line| line.contains(&id) && line.contains("stopped")).then_some(())
        })
    });
    assert!(begun.elapsed() < Duration::from_secs(10));
    write(world, A, 2, "for-nobody", None);
    std::thread::sleep(QUIET);
    assert!(!receiver.all().contains("for-nobody"));
}

fn withdrawn(world: &World, receiver: &Receiver) {
    let doctor = world.client(B);
    let id = doctor.send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 2).to_string()).with(201).id();
    write(world, A, 2, "before", None);
    receiver.wait(&["Observation/before"]);
    world.consent(A, "withdraw", &identifier(2), B).unwrap().done();
    let begun = Instant::now();
    write(world, A, 2, "after", None);
    let ended = until_status(&doctor, &id, "error");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(ended["error"].as_str().unwrap().contains("consent"), "{ended}");
    std::thread::sleep(QUIET);
    assert!(!receiver.all().contains("Observation/after"));
}

/// What was made for an identity that is given up goes on with the one that survives, and alone again once they are parted.
fn merged(world: &World, receiver: &Receiver) {
    let doctor = world.client(B);
    doctor.get("/fhir/Patient/p3").with(200);
    let id = doctor.send("POST", "/fhir/Subscription", &[], subscription(&receiver.url, 3).to_string()).with(201).id();
    let (browser, subscribed) = receiver.browser("of-the-third");
    let registration = json!({"patient": identifier(3), "subscription": subscribed});
    doctor.send("POST", "/push/browsers", &[], registration.to_string()).with(201);
    let administrator = world.client_with(A, Some(world.token(A, "root", "administrator")));
    let side = |name: &str, id: &str| json!({"name": name, "valueReference": {"reference": format!("Patient/{id}")}});
    let both = json!({"resourceType": "Parameters", "parameter": [side("source-patient", "p3"), side("target-patient", "p1")]});
    let opened_by = |user: &str| {
        let before = receiver.count();
        world.client_with(B, Some(world.token(B, user, "physician"))).get("/fhir/Observation/p1-o0").with(200);
        std::thread::sleep(QUIET);
        let taken = receiver.taken.lock().unwrap();
        let texts = taken.iter().skip(before).filter_map(|told| browser.decrypt(&told.raw));
        texts.map(|text| String::from_utf8(text).unwrap()).filter(|text| text.contains(user)).count()
    };
    assert_eq!(opened_by("dr-one"), 0, "somebody else's record");
    write(world, A, 3, "alone", None);
    receiver.wait(&["Observation/alone"]);

    administrator.send("POST", "/fhir/Patient/$merge", &[], both.to_string()).with(200);
    write(world, A, 1, "of-both", None);
    write(world, A, 3, "of-both-too", None);
    receiver.wait(&["Observation/of-both", "Observation/of-both-too"]);
    assert_eq!(opened_by("dr-two"), 1, "the record of both");
    assert_eq!(doctor.get(&format!("/fhir/Subscription/{id}")).with(200).json()["status"], "active");

    administrator.send("POST", "/fhir/Patient/$unmerge", &[], both.to_string()).with(200);
    write(world, A, 1, "of-the-other", None);
    write(world, A, 3, "alone-again", None);
    receiver.wait(&["Observation/alone-again"]);
    assert_eq!(opened_by("dr-three"), 0, "somebody else's record again");
    let all = receiver.all();
    assert!(!all.contains("of-the-other"), "{all}");
    for name in ["alone", "of-both", "alone-again"] {
        let url = format!("\"fullUrl\":\"{}/fhir/Observation/{name}\"", world.url(B));
        let notices = receiver.taken.lock().unwrap().iter().filter(|told| told.body.contains(&url)).count();
        assert_eq!(notices, 1, "{name} is told once: {all}");
    }
}

/// A patient's browser is told who opened the record, once, in words that its push service cannot read.
fn browser(world: &World, receiver: &Receiver) {
    let (browser, subscription) = receiver.browser("of-a-browser");
    let registration = json!({"patient": identifier(1), "subscription": subscription});
    let desk = world.client_with(B, Some(world.token(B, "desk", "physician")));
    assert_eq!(world.client(A).get("/push/key").refusal().1, "push-off");
    let mut bad = registration.clone();
    bad["subscription"]["keys"]["auth"] = json!("AAAA");
    assert_eq!(desk.send("POST", "/push/browsers", &[], bad.to_string()).refusal().1, "push-subscription-invalid");
    let mut unknown = registration.clone();
    unknown["patient"] = json!(identifier(99));
    assert_eq!(desk.send("POST", "/push/browsers", &[], unknown.to_string()).refusal().1, "patient-unknown");
    desk.send("POST", "/push/browsers", &[], registration.to_string()).with(201);
    assert_eq!(world.client(B).get("/push/browsers").json(), json!([]));
    // Nobody is told of themselves; of others once, however often they look.
    desk.get("/fhir/Patient/p1").with(200);
    let before = receiver.count();
    for _ in 0..3 {
        world.client(B).get("/fhir/Observation/p1-o0").with(200);
    }
    until(|| (receiver.count() > before).then_some(()));
    std::thread::sleep(QUIET);
    assert_eq!(receiver.count(), before + 1);
    let told = receiver.taken.lock().unwrap().last().unwrap().clone();
    assert!(told.head.starts_with("POST /push/of-a-browser "), "{}", told.head);
    for field in ["content-encoding: aes128gcm", "ttl: ", "urgency: normal"] {
        assert!(told.head.to_ascii_lowercase().contains(field), "{field}: {}", told.head);
    }
    assert!(!told.body.contains("dr-test"), "it is sealed");
    let text: Value = serde_json::from_slice(&browser.decrypt(&told.raw).unwrap()).unwrap();
    assert_eq!(
        (&text["event"], &text["user"], &text["patient"]),
        (&json!("record-opened"), &json!("dr-test"), &json!(["Patient/p1"]))
    );
    assert!(!text.to_string().contains("Family1") && !text.to_string().contains("p1-o0"), "{text}");
    // The service knows the gateway by the key that the browser was given.
    let key = desk.get("/push/key").json()["applicationServerKey"].as_str().unwrap().to_owned();
    let line = told.head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization: vapid ")).unwrap();
    let token = line.split("t=").nth(1).unwrap().split(',').next().unwrap();
    assert!(line.trim_end().ends_with(&format!("k={key}")), "{line}");
    let point = URL_SAFE_NO_PAD.decode(&key).unwrap();
    let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&[receiver.url.strip_suffix("/hook").unwrap()]);
    let key = jsonwebtoken::DecodingKey::from_ec_components(&x, &y).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims;
    assert_eq!(claims["sub"], "mailto:it@hospital-b.example");
    // A browser that has unsubscribed is forgotten.
    assert_eq!(desk.get("/push/browsers").json().as_array().unwrap().len(), 1);
    receiver.answers(410);
    world.client_with(B, Some(world.token(B, "dr-new", "physician"))).get("/fhir/Patient/p1").with(200);
    until(|| (desk.get("/push/browsers").json() == json!([])).then_some(()));
    receiver.answers(200);
}

/// What a patient's browser is told of an emergency is not lost where it could not be kept at first, and is told once.
fn emergency(world: &World, receiver: &Receiver) {
    world.put(B, &bundle(4, 1)).unwrap().done();
    let desk = world.client_with(B, Some(world.token(B, "desk", "physician")));
    let (browser, subscription) = receiver.browser("in-an-emergency");
    let registration = json!({"patient": identifier(4), "subscription": subscription});
    desk.send("POST", "/push/browsers", &[], registration.to_string()).with(201);
    let store = |statement: &'static str| {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let file = world.folder(B).join("store.sqlite");
            let mut store = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
            store.execute(statement).await.unwrap();
            sqlx::Connection::close(store).await.unwrap();
        });
    };
    // Messages to browsers are rows of kind 42.
    store(
        "CREATE TRIGGER no_messages BEFORE INSERT ON roster WHEN NEW.kind = 42
         BEGIN SELECT RAISE(ABORT, 'no messages'); END",
    );
    let (patient, sentence) = (identifier(4), "I open the record of 4 in an emergency");
    let said = [("patient", &*patient), ("reason", "other"), ("text", "found unconscious"), ("confirmation", sentence)];
    let said = said.map(|(name, value)| json!({"name": name, "valueString": value}));
    let opening = json!({"resourceType": "Parameters", "parameter": said});
    world.client(A).send("POST", "/fhir/$emergency-access", &[], opening.to_string()).with(201);
    until(|| world.log_text(B).contains("emergency accesses elsewhere could not be learnt of").then_some(()));
    assert!(receiver.told(&browser, "in-an-emergency").is_empty());
    store("DROP TRIGGER no_messages");
    until(|| (!receiver.told(&browser, "in-an-emergency").is_empty()).then_some(()));
    std::thread::sleep(QUIET);
    let told = receiver.told(&browser, "in-an-emergency");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["event"], &told[0]["user"]), (&json!("emergency-access-elsewhere"), &json!("dr-test")));
    assert!(receiver.all().to_ascii_lowercase().contains("urgency: high"));
}

// ---- what is sent ----

fn subscription(url: &str, patient: usize) -> Value {
    let ids = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content";
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "a test",
        "criteria": format!("Observation?patient=p{patient}&code=http://loinc.org|8867-4"),
        "channel": {
            "type": "rest-hook", "endpoint": url, "header": [format!("{}: {}", FORM.0, FORM.1)],
            "payload": "application/fhir+json", "_payload": {"extension": [{"url": ids, "valueCode": "id-only"}]},
        },
    })
}

fn write(world: &World, at: Party, patient: usize, id: &str, label: Option<&str>) {
    let mut observation = json!({
        "resourceType": "Observation", "id": id, "status": "final", "subject": {"reference": format!("Patient/p{patient}")},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "valueQuantity": {"value": 61, "unit": "beats"},
    });
    if let Some(code) = label {
        let security = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]);
        observation["meta"] = json!({"security": security});
    }
    world.put(at, observation.to_string().as_bytes()).unwrap().with(201);
}

fn until_status(client: &Client, id: &str, status: &str) -> Value {
    until(|| {
        let now: Answer = client.get(&format!("/fhir/Subscription/{id}"));
        Some(now.with(200).json()).filter(|now| now["status"] == status)
    })
}
