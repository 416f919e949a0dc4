//! Emergency access end to end: who may, by which words, what opens and what stays closed, how it ends, who is told,
//! and what is reported, over real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Answer, Client, Party, SYSTEM, World, encode, errors, exit, free_address, identifier, json_of, parts};

const GLASS: [(&str, &str); 1] = [("Purpose-Of-Use", "BTG")];
const TEXT: &str = "found unconscious on the street";
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_glass_breaks_by_the_rules_and_for_nobody_else() {
    let mailbox = Mailbox::at(free_address());
    let url = format!("http://{}/notices", mailbox.address);
    let world = World::start_with(&[
        (Party::HospitalA, "emergency.at_registration.hospitals", json!(["hospital-a", "hospital-b"])),
        (Party::HospitalA, "emergency.at_registration.labels", json!(["general", "psychiatry"])),
        (Party::HospitalA, "emergency.second_person", json!(["nurse"])),
        (Party::HospitalA, "emergency.notices_url", json!(url)),
        (Party::HospitalB, "emergency.notices_url", json!(url)),
        (Party::HospitalB, "emergency.minutes", json!(1)),
    ]);
    for patient in 1..=3 {
        world.put(Party::HospitalA, &record(patient)).unwrap().done();
    }
    parts(&[
        ("refusals", &|| refusals(&world)),
        ("another hospital", &|| another_hospital(&world, &mailbox)),
        ("second person", &|| second_person(&world, &mailbox)),
        ("not allowed", &|| not_allowed(&world)),
    ]);
    survives_a_restart(world, &mailbox);
}

fn refusals(world: &World) {
    let doctor = world.client(Party::HospitalB);
    let clerk = world.client_with(Party::HospitalB, Some(world.token(Party::HospitalB, "clerk", "clerk")));
    let right = [&*identifier(1), "unconscious", TEXT, &sentence(1)].map(str::to_owned);
    let with = |at: usize, value: &str| {
        let mut changed = right.clone();
        value.clone_into(&mut changed[at]);
        changed
    };
    let part = |name: &str| format!("Parameters.parameter.where(name = '{name}')");
    let cases = [
        (&clerk, right.clone(), 403, "emergency-role", String::new()),
        (&doctor, with(1, "curious"), 422, "emergency-reason-needed", part("reason")),
        (&doctor, with(2, "  now!  "), 422, "emergency-reason-needed", part("text")),
        (&doctor, with(3, &sentence(2)), 422, "emergency-confirmation-wrong", part("confirmation")),
        (&doctor, with(3, "yes"), 422, "emergency-confirmation-wrong", part("confirmation")),
        (&doctor, with(3, ""), 422, "emergency-confirmation-wrong", part("confirmation")),
    ];
    for (who, [patient, reason, text, confirmation], status, code, place) in cases {
        let answer = open(who, &patient, &reason, &text, &confirmation);
        assert_eq!(answer.refusal(), (status, code.to_owned(), place));
    }
    let unknown = open(&doctor, &identifier(99), "unconscious", TEXT, &sentence(99));
    assert_eq!(unknown.refusal().1, "patient-unknown");
    let nothing = doctor.send("POST", "/fhir/$emergency-access", &[], r#"{"resourceType":"Parameters"}"#);
    assert_eq!(nothing.refusal().1, "parameters-needed");
    // Without one, the purpose opens nothing, and treatment is what consent makes it.
    assert_eq!(by_identifier(&doctor, 1, &GLASS).refusal().1, "emergency-access-needed");
    assert!(by_identifier(&doctor, 1, &[]).refusal().1.starts_with("consent-"));
    assert_eq!(json_of(&world.run_at(Party::HospitalB, &["emergency", "list", "--json"])), json!([]));
}

fn another_hospital(world: &World, mailbox: &Mailbox) {
    let doctor = world.client(Party::HospitalB);
    let begun = Instant::now();
    let id = opened(&open(&doctor, &identifier(1), "unconscious", TEXT, &sentence(1)).with(201));
    let found = by_identifier(&doctor, 1, &GLASS).done();
    println!("from the request to the record: {:.3} s", begun.elapsed().as_secs_f64());
    assert_eq!(resources(&found), 1);
    // Labels of the emergency provision open, others do not: their keys never came.
    assert_eq!(doctor.send("GET", "/fhir/Observation/p1-o0", &GLASS, "").status, 200);
    assert_eq!(doctor.send("GET", "/fhir/Observation/p1-psychiatry", &GLASS, "").status, 200);
    let hidden = doctor.send("GET", "/fhir/Observation/p1-hiv", &GLASS, "");
    assert_eq!(hidden.status, 404);
    // Known by it, and open for nothing else: for treatment consent says no, and why.
    for path in ["/fhir/Patient/p1", "/fhir/Patient/p1/$everything"] {
        let (status, code, _) = doctor.get(path).refusal();
        assert!(status == 403 && code.starts_with("consent-"), "{path}: {status} {code}");
    }
    assert_eq!(doctor.get("/fhir/Observation/p1-o0").status, 404);
    assert_eq!(resources(&doctor.send("GET", "/fhir/Patient/p1/$everything", &GLASS, "").done()), 4);
    // For this user, this patient and this purpose alone.
    let colleague = world.client_with(Party::HospitalB, Some(world.token(Party::HospitalB, "dr-other", "physician")));
    assert_eq!(by_identifier(&colleague, 1, &GLASS).refusal().1, "emergency-access-needed");
    assert_eq!(by_identifier(&doctor, 2, &GLASS).refusal().1, "emergency-access-needed");
    assert!(by_identifier(&doctor, 1, &[]).refusal().1.starts_with("consent-"));
    let fields = [("Purpose-Of-Use", "BTG"), ("Prefer", "respond-async")];
    assert_eq!(doctor.send("GET", "/fhir/Patient/p1/$export", &fields, "").refusal().1, "emergency-no-export");
    let again = open(&doctor, &identifier(1), "unconscious", TEXT, &sentence(1));
    assert_eq!(again.refusal().1, "emergency-exists");
    // Only its user or an officer ends it, and then nothing is shown any more.
    let body = parameters(&[("id", &id)]);
    assert_eq!(colleague.send("POST", END, &[], &body).refusal().1, "emergency-officers-only");
    doctor.send("POST", END, &[], &body).with(200);
    assert_eq!(by_identifier(&doctor, 1, &GLASS).refusal().1, "emergency-access-needed");
    assert_eq!(doctor.send("GET", "/fhir/Observation/p1-o0", &GLASS, "").status / 100, 4);
    assert_eq!(doctor.send("GET", "/fhir/Patient/p1", &GLASS, "").refusal().1, "emergency-access-needed");
    assert!(doctor.get("/fhir/Patient/p1").refusal().1.starts_with("consent-"));
    // The report is there, for officers.
    assert_eq!(doctor.get(&format!("/emergency/{id}/report")).refusal().1, "emergency-officers-only");
    let officer = officer(world, Party::HospitalB);
    let report = officer.get(&format!("/emergency/{id}/report")).done().json();
    let content = &report["report"];
    assert_eq!(content["user"], "dr-test");
    assert_eq!((&content["how"], &content["ended"]["by"]), (&json!("user"), &json!("dr-test")));
    assert_eq!(content["reason"], json!({"code": "unconscious", "text": TEXT}));
    assert_eq!(content["opened"]["resources"]["Observation"], json!(["p1-o0", "p1-o1", "p1-psychiatry"]));
    assert_eq!((&content["opened"]["withheld"], &content["resources_opened"]), (&json!(1), &json!(4)));
    assert_eq!(serde_json::from_str::<Value>(report["signed"]["content"].as_str().unwrap()).unwrap(), *content);
    assert_eq!(report["review"], Value::Null);
    // The officer reviews it.
    let path = format!("/emergency/{id}/review");
    assert_eq!(doctor.send("POST", &path, &[], r#"{"finding":"fine"}"#).refusal().1, "emergency-officers-only");
    assert_eq!(officer.send("POST", &path, &[], r#"{"finding":" "}"#).refusal().1, "emergency-finding-needed");
    officer.send("POST", &path, &[], r#"{"finding":"justified"}"#).done();
    let reviewed = officer.get(&format!("/emergency/{id}/report")).done().json();
    assert_eq!((&reviewed["review"]["finding"], &reviewed["report"]), (&json!("justified"), content));
    // The hospital's mail system was away, and is told nevertheless.
    mailbox.open();
    mailbox.wait(&[("begun", "security-officer"), ("ended", "security-officer")], &id);
    // Hospital A, which registered the patient, tells both as well, though the glass was broken elsewhere.
    mailbox.wait(&[("elsewhere", "security-officer"), ("elsewhere", "patient")], &id);
    let told = mailbox.taken().into_iter().find(|notice| notice["event"] == "emergency-access-elsewhere").unwrap();
    assert!(told["hospital"].as_str().unwrap().ends_with("/hospital-b"), "{told}");
    assert_eq!((&told["user"], &told["role"]), (&json!("dr-test"), &json!("physician")));
    assert_eq!((&told["reason"], &told["patient"]), (&json!("unconscious"), &json!(["Patient/p1"])));
    let at = Party::HospitalA;
    let theirs = world.client_with(at, Some(world.token(at, "officer-a", "security-officer")));
    let seen = theirs.get("/emergency/elsewhere").done().json();
    assert_eq!((seen.as_array().unwrap().len(), &seen[0]["about"]), (2, &json!(id)));
    assert_eq!(world.client(at).get("/emergency/elsewhere").refusal().1, "emergency-officers-only");
    assert!(
        mailbox.taken().iter().all(|notice| !notice.to_string().contains("street")),
        "no words of the reason leave"
    );
}

fn second_person(world: &World, mailbox: &Mailbox) {
    let at = Party::HospitalA;
    let nurse = world.client_with(at, Some(world.token(at, "nurse-1", "nurse")));
    let asked = open(&nurse, &identifier(2), "life-threatening", TEXT, &sentence(2)).with(202);
    let id = opened(&asked);
    let body = parameters(&[("id", &id)]);
    assert_eq!(by_identifier(&nurse, 2, &GLASS).refusal().1, "emergency-access-needed");
    assert_eq!(nurse.send("POST", APPROVE, &[], &body).refusal().1, "emergency-same-person");
    let clerk = world.client_with(at, Some(world.token(at, "clerk", "clerk")));
    assert_eq!(clerk.send("POST", APPROVE, &[], &body).refusal().1, "emergency-role");
    let doctor = world.client(at);
    doctor.send("POST", APPROVE, &[], &body).with(200);
    assert_eq!(doctor.send("POST", APPROVE, &[], &body).refusal().1, "emergency-not-awaited");
    assert_eq!(resources(&by_identifier(&nurse, 2, &GLASS).done()), 1);
    assert_eq!(by_identifier(&doctor, 2, &GLASS).refusal().1, "emergency-access-needed");
    // This hospital registered the patient: it tells both.
    mailbox.open();
    mailbox.wait(&[("begun", "security-officer"), ("begun", "patient")], &id);
    officer(world, at).send("POST", END, &[], &body).with(200);
    assert_eq!(by_identifier(&nurse, 2, &GLASS).refusal().1, "emergency-access-needed");
    let report = officer(world, at).get(&format!("/emergency/{id}/report")).done().json();
    assert_eq!(report["report"]["second_person"]["approved"]["user"], "dr-test");
    assert_eq!(report["report"]["how"], "officer");
    let token = world.token(at, "officer-1", "security-officer");
    let file = world.path().join("officer.token");
    std::fs::write(&file, token).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shown = world.run_at(at, &["emergency", "report", &id, "--token-file", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("nurse-1 (nurse)") && text.contains(TEXT), "{text}{}", errors(&shown));
}

fn not_allowed(world: &World) {
    let change = json!({"patient": identifier(3), "to": "hospital-b", "actions": ["emergency"]});
    let withdrawn = world.request(Party::HospitalA, "POST", "/consent/withdraw", change.to_string().as_bytes());
    withdrawn.unwrap().done();
    let line = ["emergency", "open", &identifier(3), "--reason", "other", "--text", TEXT, "--confirm", &sentence(3)];
    let refused = world.run_at(Party::HospitalB, &line);
    assert_eq!(exit(&refused), 3, "{}", errors(&refused));
    let list = officer(world, Party::HospitalB).get("/emergency").json();
    let ended = list.as_array().unwrap().iter().find(|one| one["named"] == identifier(3)).unwrap();
    assert_eq!((&ended["standing"], &ended["ended"]["how"]), (&json!("ended"), &json!("not-opened")));
    assert!(ended["ended"]["code"].as_str().unwrap().starts_with("consent-"), "{ended}");
}

/// It outlives a crash, ends while the gateway is down, and is reported afterwards.
fn survives_a_restart(mut world: World, mailbox: &Mailbox) {
    let at = Party::HospitalB;
    // The patient's own hospital is away meanwhile.
    world.kill(Party::HospitalA);
    let id = opened(&open(&world.client(at), &identifier(2), "other", TEXT, &sentence(2)).with(201));
    let begun = Instant::now();
    world.kill(at);
    world.restart(at);
    assert_eq!(resources(&by_identifier(&world.client(at), 2, &GLASS).done()), 1);
    world.kill(at);
    world.restart(Party::HospitalA);
    mailbox.wait(&[("elsewhere", "security-officer"), ("elsewhere", "patient")], &id);
    std::thread::sleep(Duration::from_secs(61).saturating_sub(begun.elapsed()));
    world.restart(at);
    assert_eq!(by_identifier(&world.client(at), 2, &GLASS).refusal().1, "emergency-access-needed");
    let report = until(|| {
        let answer = officer(&world, at).get(&format!("/emergency/{id}/report"));
        answer.is_success().then(|| answer.json())
    });
    assert_eq!((&report["report"]["how"], &report["report"]["seconds"]), (&json!("time"), &json!(60)));
    assert_eq!(report["report"]["opened"]["resources"]["Patient"], json!(["p2"]));
}

// ---- asking ----

const APPROVE: &str = "/fhir/$emergency-access-approve";
const END: &str = "/fhir/$emergency-access-end";

fn open(who: &Client, patient: &str, reason: &str, text: &str, confirmation: &str) -> Answer {
    let body = [("patient", patient), ("reason", reason), ("text", text), ("confirmation", confirmation)];
    who.send("POST", "/fhir/$emergency-access", &[], parameters(&body))
}

fn parameters(values: &[(&str, &str)]) -> String {
    let parts: Vec<_> = values.iter().map(|(name, value)| json!({"name": name, "valueString": value})).collect();
    json!({"resourceType": "Parameters", "parameter": parts}).to_string()
}

fn opened(answer: &Answer) -> String {
    let parts = answer.json()["parameter"].as_array().unwrap().clone();
    parts.iter().find(|part| part["name"] == "id").unwrap()["valueId"].as_str().unwrap().to_owned()
}

fn sentence(patient: usize) -> String {
    format!("I open the record of {patient} in an emergency")
}

fn by_identifier(who: &Client, patient: usize, fields: &[(&str, &str)]) -> Answer {
    who.send("GET", &format!("/fhir/Patient?identifier={}", encode(&identifier(patient))), fields, "")
}

/// How many resources of the record an answer has, without the note that entries are withheld.
fn resources(answer: &Answer) -> usize {
    let is_note = |entry: &Value| entry["resource"]["resourceType"] == "OperationOutcome";
    answer.entries().iter().filter(|entry| !is_note(entry)).count()
}

fn officer(world: &World, at: Party) -> Client {
    world.client_with(at, Some(world.token(at, "officer-1", "security-officer")))
}

/// A patient with two observations of no label, one of psychiatry and one of HIV.
fn record(patient: usize) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(&support::bundle(patient, 2)).unwrap();
    for (name, code) in [("psychiatry", "PSY"), ("hiv", "HIV")] {
        let mut entry = bundle["entry"][1].clone();
        let id = format!("p{patient}-{name}");
        entry["resource"]["id"] = json!(id);
        entry["resource"]["meta"] =
            json!({"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]});
        entry["request"]["url"] = json!(format!("Observation/{id}"));
        bundle["entry"].as_array_mut().unwrap().push(entry);
    }
    assert!(bundle.to_string().contains(SYSTEM));
    bundle.to_string().into_bytes()
}

fn until<T>(look: impl FnMut() -> Option<T>) -> T {
    support::until_within(PATIENCE, look)
}

/// The hospital's mail system: not there at first, then it refuses once, then it takes what comes.
struct Mailbox {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Value>>>,
    opened: Mutex<bool>,
}

impl Mailbox {
    fn at(address: SocketAddr) -> Self {
        Self { address, taken: Arc::default(), opened: Mutex::new(false) }
    }

    fn open(&self) {
        let mut opened = self.opened.lock().unwrap();
        if std::mem::replace(&mut *opened, true) {
            return;
        }
        let listener = TcpListener::bind(self.address).unwrap();
        let taken = Arc::clone(&self.taken);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let (mut received, mut piece) = (Vec::new(), [0; 4096]);
                // A body of JSON ends with a brace; its request has no other after the headers.
                while !received.ends_with(b"}") {
                    match stream.read(&mut piece) {
                        Ok(length @ 1..) => received.extend_from_slice(&piece[..length]),
                        _ => break,
                    }
                }
                let status = if number == 0 { "503 Service Unavailable" } else { "204 No Content" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let text = String::from_utf8_lossy(&received).into_owned();
                if number > 0
                    && let Some((_, body)) = text.split_once("\r\n\r\n")
                {
                    taken.lock().unwrap().push(serde_json::from_str(body).unwrap());
                }
            }
        });
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }

    fn wait(&self, wanted: &[(&str, &str)], emergency: &str) {
        until(|| {
            let taken = self.taken();
            let came = |(event, to): &(&str, &str)| {
                taken.iter().any(|notice| {
                    notice["emergency"] == emergency
                        && notice["event"] == format!("emergency-access-{event}")
                        && notice["to"] == *to
                })
            };
            wanted.iter().all(came).then_some(())
        });
    }
}
