//! What other systems of the hospital bring: HL7 v2 messages over a socket, as published simulations send them, and a
//! device that sends its measurements. What was acknowledged outlives `kill -9` and an exchange that is away; what is
//! sent again changes nothing; what is refused is told, kept and replayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Client, Party, World, encode, exit, free_address, json_of, parts, succeeded};

/// Messages of the simulated hospital that are sent.
const MESSAGES: usize = 50;
/// The system of its record numbers, by the configuration.
const MRN: &str = "urn:example:mrn";
/// Longest wait for what waits in the outbox.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn what_was_acknowledged_is_there_and_what_was_refused_is_kept() {
    let address = free_address();
    let world = RefCell::new(World::start_with(&[
        (Party::HospitalA, "mllp.address", json!(address)),
        (Party::HospitalA, "mllp.systems.\"SIMULATOR MRN\"", json!(MRN)),
    ]));
    let ehr = world.borrow().client(Party::HospitalA);
    parts(&[
        ("a simulated hospital", &|| a_simulated_hospital(address, &ehr)),
        ("types of messages", &|| types_of_messages(address, &ehr)),
        ("frames", &|| frames(address, &ehr)),
        ("what is refused", &|| what_is_refused(address, &world.borrow())),
        ("a device", &|| a_device(&world.borrow())),
        ("what a device may not", &|| what_a_device_may_not(&world.borrow())),
        ("killed after it said yes", &|| killed_after_it_said_yes(address, &world)),
        ("the exchange is away", &|| the_exchange_is_away(address, &world)),
    ]);
}

// ---- a sender ----

/// A system of the hospital with its connection.
struct Sender(TcpStream);

impl Sender {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends a message and waits for its acknowledgement.
    fn send(&mut self, message: &str) -> Acknowledged {
        self.0.write_all(&framed(message)).unwrap();
        self.next()
    }

    /// The next acknowledgement.
    fn next(&mut self) -> Acknowledged {
        let mut frame = Vec::new();
        let mut byte = [0];
        while !frame.ends_with(&[0x1C, 0x0D]) {
            self.0
                .read_exact(&mut byte)
                .unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&frame)));
            frame.push(byte[0]);
        }
        assert_eq!(frame[0], 0x0B, "a frame begins with 0x0B");
        Acknowledged(String::from_utf8(frame[1..frame.len() - 2].to_vec()).unwrap())
    }
}

fn framed(message: &str) -> Vec<u8> {
    [b"\x0B", message.as_bytes(), b"\x1C\r"].concat()
}

/// An acknowledgement.
#[derive(Debug)]
struct Acknowledged(String);

impl Acknowledged {
    /// A field: `("MSA", 1)`. MSH-1 is the separator itself.
    fn field(&self, segment: &str, number: usize) -> String {
        let line = self.0.split('\r').find(|line| line.starts_with(segment)).unwrap_or_default();
        let number = if segment == "MSH" { number - 1 } else { number };
        line.split('|').nth(number).unwrap_or_default().to_owned()
    }

    /// MSA-1.
    fn code(&self) -> String {
        self.field("MSA", 1)
    }
}

/// The messages of a published simulation, each with CR between its segments.
fn simulated() -> Option<Vec<String>> {
    let file = sealwort_published::data("hl7v2-simhospital/messages.hl7")?;
    let text = String::from_utf8(std::fs::read(file).unwrap()).unwrap().replace("\r\n", "\r").replace('\n', "\r");
    let messages: Vec<String> = text
        .split("\rMSH|")
        .map(|part| format!("MSH|{}\r", part.trim_start_matches("MSH|").trim_matches('\r')))
        .collect();
    Some(messages)
}

/// A field of a message, as in [`Acknowledged::field`].
fn field(message: &str, segment: &str, number: usize) -> String {
    Acknowledged(message.to_owned()).field(segment, number)
}

/// A message of ours. Nothing is said in MSH-15 and MSH-16, so AA, AE or AR is the answer.
fn message(kind: &str, control: &str, segments: &[&str]) -> String {
    let header = format!("MSH|^~\\&|LAB|WARD|GATE|HOSP|20260301120000||{kind}|{control}|P|2.5");
    let lines: Vec<&str> = std::iter::once(header.as_str()).chain(segments.iter().copied()).collect();
    lines.join("\r") + "\r"
}

fn pid(mrn: &str, family: &str) -> String {
    format!("PID|1||{mrn}^^^SIMULATOR MRN^MR||{family}^Given||19700131|F")
}

fn result(mrn: &str, control: &str, value: &str) -> String {
    let (pid, obr) =
        (pid(mrn, "Sender"), format!("OBR|1|o-{control}|f-{control}|us^Urea^L|||20260301110000|||||||||||||||||F"));
    let obx = format!("OBX|1|NM|8867-4^Pulse^LN||{value}|/min^per minute^UCUM|||||F");
    message("ORU^R01", control, &[&pid, &obr, &obx])
}

// ---- what became of it ----

fn total(ehr: &Client, search: &str) -> u64 {
    ehr.get(&format!("/fhir/{search}")).with(200).json()["total"].as_u64().unwrap()
}

/// The values of a patient's Observations, as they are written: `<15` is one, too.
fn values(ehr: &Client, mrn: &str) -> Vec<String> {
    let found = ehr.get(&format!("/fhir/Observation?patient.identifier={}%7C{mrn}&_count=1000&_sort=_id", encode(MRN)));
    let found = found.with(200).entries();
    let written =
        |quantity: &Value| format!("{}{}", quantity["comparator"].as_str().unwrap_or_default(), quantity["value"]);
    let mut values: Vec<String> =
        found.iter().filter_map(|e| e["resource"].get("valueQuantity").map(written)).collect();
    values.sort();
    values
}

fn patient_of(ehr: &Client, mrn: &str) -> Option<Value> {
    let found = ehr.get(&format!("/fhir/Patient?identifier={}%7C{mrn}", encode(MRN))).with(200).entries();
    found.into_iter().map(|entry| entry["resource"].clone()).find(|resource| resource["resourceType"] == "Patient")
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

// ---- the parts ----

fn a_simulated_hospital(address: SocketAddr, ehr: &Client) {
    let Some(messages) = simulated() else { return };
    let messages = &messages[..MESSAGES];
    let kinds: BTreeSet<String> = messages.iter().map(|message| field(message, "MSH", 9)).collect();
    assert_eq!(kinds, BTreeSet::from(["ADT^A01".to_owned(), "ORU^R01".to_owned()]));
    let mut sender = Sender::connect(address);
    let send_all = |sender: &mut Sender| {
        for message in messages {
            let answer = sender.send(message);
            // MSH-15 is AL and MSH-16 is empty: it is the accept acknowledgement that is asked for.
            assert_eq!(
                (answer.code().as_str(), answer.field("MSA", 2)),
                ("CA", field(message, "MSH", 10)),
                "{answer:?}"
            );
            for (mine, theirs) in [(3, 5), (4, 6), (5, 3), (6, 4)] {
                assert_eq!(answer.field("MSH", mine), field(message, "MSH", theirs), "{answer:?}");
            }
            assert_eq!(answer.field("MSH", 12), field(message, "MSH", 12));
        }
    };
    send_all(&mut sender);
    // What each patient's messages hold: numbers digit for digit.
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut results, mut visits) = (0, 0);
    for message in messages {
        let mrn = field(message, "PID", 3).split('^').next().unwrap().to_owned();
        let numbers =
            message.split('\r').filter(|line| line.starts_with("OBX|") && line.split('|').nth(2) == Some("NM"));
        let numbers = numbers.map(|line| line.split('|').nth(5).unwrap().to_owned());
        expected.entry(mrn.clone()).or_default().extend(numbers);
        results += message.matches("\rOBX|").count();
        if field(message, "MSH", 9) == "ADT^A01" {
            visits += 1;
            assert!(total(ehr, &format!("Encounter?patient.identifier={}%7C{mrn}", encode(MRN))) > 0, "{mrn}");
        }
    }
    let (mut observations, people) = (0, expected.len());
    for (mrn, mut numbers) in expected.clone() {
        numbers.sort();
        assert_eq!(values(ehr, &mrn), numbers, "{mrn}");
        let person = patient_of(ehr, &mrn).unwrap_or_else(|| panic!("no Patient {mrn}"));
        let message = messages.iter().find(|message| field(message, "PID", 3).starts_with(&mrn)).unwrap();
        let name = field(message, "PID", 5);
        assert_eq!(person["name"][0]["family"], name.split('^').next().unwrap());
        let birth = field(message, "PID", 7);
        assert_eq!(person["birthDate"], format!("{}-{}-{}", &birth[..4], &birth[4..6], &birth[6..8]));
        observations += total(ehr, &format!("Observation?patient.identifier={}%7C{mrn}", encode(MRN)));
    }
    let counts = |ehr: &Client| -> Vec<u64> {
        let of = |kind: &str, mrn: &str| total(ehr, &format!("{kind}?patient.identifier={}%7C{mrn}", encode(MRN)));
        let kinds = ["Observation", "Encounter", "DiagnosticReport", "ServiceRequest"];
        expected.keys().flat_map(|mrn| kinds.map(|kind| of(kind, mrn))).collect()
    };
    // Sent again, nothing is there twice.
    let before = counts(ehr);
    send_all(&mut sender);
    assert_eq!(counts(ehr), before);
    assert!(expected.keys().all(|mrn| total(ehr, &format!("Patient?identifier={}%7C{mrn}", encode(MRN))) == 1));
    println!(
        "{MESSAGES} messages of {people} patients, {visits} visits, {results} results: {observations} Observations; all of it twice"
    );
}

fn types_of_messages(address: SocketAddr, ehr: &Client) {
    let mut sender = Sender::connect(address);
    let (old, new) = (pid("types-1", "Before"), pid("types-1", "After"));
    let visit = "PV1|1|I|Ward^1^2||||||||||||||||visit-1";
    let order = "OBR|1|order-1||24323-8^Panel^LN|||20260301";
    let document = "TXA|1|CN|TX|20260301120000||||||||doc-1|||||AU";
    for (control, kind, segments) in [
        ("t1", "ADT^A28", &[old.as_str()][..]),
        ("t2", "ADT^A01", &[&old, visit]),
        ("t3", "ADT^A08", &[&new, visit]),
        ("t4", "ADT^A03", &[&new, visit]),
        ("t5", "ADT^A04", &[&pid("types-2", "Outpatient"), "PV1|1|O|Clinic"]),
        ("t6", "ADT^A31", &[&new]),
        ("t7", "ORM^O01", &[&new, "ORC|NW|order-1", order]),
        ("t8", "OML^O21", &[&new, "ORC|NW|order-2", "OBR|1|order-2||24323-8^Panel^LN"]),
        ("t9", "MDM^T02", &[&new, visit, document, "OBX|1|TX|11506-3^Note^LN||Patient is well.||||||F"]),
    ] {
        let answer = sender.send(&message(kind, control, segments));
        assert_eq!((answer.code().as_str(), answer.field("MSA", 2).as_str()), ("AA", control), "{kind}: {answer:?}");
    }
    assert_eq!(patient_of(ehr, "types-1").unwrap()["name"][0]["family"], "After");
    let of = |kind: &str| total(ehr, &format!("{kind}?patient.identifier={}%7Ctypes-1", encode(MRN)));
    assert_eq!([of("Encounter"), of("ServiceRequest"), of("DocumentReference")], [1, 2, 1]);
    let visit = ehr.get(&format!("/fhir/Encounter?patient.identifier={}%7Ctypes-1", encode(MRN))).entries();
    assert_eq!(visit[0]["resource"]["status"], "finished", "discharged by A03");
}

/// How bytes may arrive.
fn frames(address: SocketAddr, ehr: &Client) {
    let mut sender = Sender::connect(address);
    // Two at once, and one byte by byte.
    let two = [framed(&result("frames", "f1", "61")), framed(&result("frames", "f2", "62"))].concat();
    sender.0.write_all(&two).unwrap();
    assert_eq!(
        [sender.next(), sender.next()].map(|a| (a.code(), a.field("MSA", 2))),
        [("AA".to_owned(), "f1".to_owned()), ("AA".to_owned(), "f2".to_owned())]
    );
    for byte in framed(&result("frames", "f3", "63")) {
        sender.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(sender.next().field("MSA", 2), "f3");
    // A batch is answered message by message; LF serves for CR.
    let batch =
        format!("FHS|^~\\&\rBHS|^~\\&\r{}{}BTS|2\rFTS|1\r", result("frames", "f4", "64"), result("frames", "f5", "65"));
    sender.0.write_all(&framed(&batch.replace('\r', "\n"))).unwrap();
    assert_eq!([sender.next(), sender.next()].map(|answer| answer.field("MSA", 2)), ["f4", "f5"]);
    // What lacks its last byte is whole after a pause; bytes between frames are passed over.
    let frame = framed(&result("frames", "f6", "66"));
    sender.0.write_all(&frame[..frame.len() - 1]).unwrap();
    assert_eq!(
        (sender.next().field("MSA", 2).as_str(), sender.send(&result("frames", "f7", "67")).code().as_str()),
        ("f6", "AA")
    );
    sender.0.write_all(b"\r\n \r\n").unwrap();
    assert_eq!(sender.send(&result("frames", "f8", "68.0")).code(), "AA");
    assert_eq!(values(ehr, "frames"), ["61", "62", "63", "64", "65", "66", "67", "68.0"]);
    // Another connection serves at the same time.
    assert_eq!(Sender::connect(address).send(&result("frames", "f9", "69")).code(), "AA");
}

fn what_is_refused(address: SocketAddr, world: &World) {
    let ehr = world.client(Party::HospitalA);
    let kept = || ehr.get("/feeds/refused").with(200).json().as_array().unwrap().clone();
    assert_eq!(kept(), [] as [Value; 0], "nothing was refused so far");
    let mut sender = Sender::connect(address);
    let person = pid("refused", "Refused");
    let cases = [
        ("this is no HL7 v2".to_owned(), "AR", "UNKNOWN", ""),
        ("MSH".to_owned(), "AE", "UNKNOWN", ""),
        (message("ADT^A34", "r1", &[&person]), "AR", "r1", "201"),
        (message("XYZ^A01", "r2", &[&person]), "AR", "r2", "200"),
        (message("ADT^A01", "r3", &["EVN|A01|2026"]), "AE", "r3", "100"),
        (message("ADT^A01", "r4", &["PID|1||||Nobody"]), "AE", "r4", "101"),
    ];
    for (message, code, control, condition) in &cases {
        let answer = sender.send(message);
        assert_eq!((answer.code().as_str(), answer.field("MSA", 2).as_str()), (*code, *control), "{answer:?}");
        assert!(answer.field("ERR", 3).starts_with(condition), "{control}: {answer:?}");
        assert!(!answer.0.contains("Refused^"), "an acknowledgement repeats no name: {answer:?}");
    }
    let expected = cases.len();
    let list = kept();
    assert_eq!(list.len(), expected, "{list:?}");
    assert!(
        list.iter()
            .all(|one| one["source"] == "mllp" && one["bytes"].as_u64() > Some(0) && one.get("received").is_none())
    );
    assert_eq!(ehr.get("/status").json()["refused_feeds"], expected);

    // Two Patients have the number: whom it is about is not certain, until one of them is gone.
    let twin = json!({"resourceType": "Patient", "identifier": [{"system": MRN, "value": "twin"}]}).to_string();
    let [first, _] = [(), ()].map(|()| ehr.send("POST", "/fhir/Patient", &[], &twin).with(201).id());
    let ambiguous = sender.send(&message("ADT^A28", "r9", &[&pid("twin", "Twin")]));
    assert!(matches!(ambiguous.code().as_str(), "AE" | "AR"), "{ambiguous:?}");
    let listed = json_of(&world.run_at(Party::HospitalA, &["refused", "list", "--json"]));
    let ambiguous = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["reason"].as_str().unwrap().contains("more than one"))
        .unwrap();
    let id = ambiguous["id"].as_str().unwrap().to_owned();
    let replay = ["refused", "replay", id.as_str()];
    assert_eq!(exit(&world.run_at(Party::HospitalA, &replay)), 2, "it is still refused");
    assert_eq!(kept().len(), expected + 1, "and still kept");
    ehr.send("DELETE", &format!("/fhir/Patient/{first}"), &[], "").with(204);
    succeeded(&world.run_at(Party::HospitalA, &replay));
    assert_eq!(patient_of(&ehr, "twin").unwrap()["name"][0]["family"], "Twin");
    assert_eq!(exit(&world.run_at(Party::HospitalA, &replay)), 2, "what is stored is kept no longer");
    for one in kept() {
        let id = one["id"].as_str().unwrap().to_owned();
        succeeded(&world.run_at(Party::HospitalA, &["refused", "discard", &id]));
    }
    assert_eq!(kept(), [] as [Value; 0]);
    assert_eq!(ehr.send("DELETE", "/feeds/refused/00", &[], "").refusal().1, "refused-unknown");
    assert_eq!(ehr.send("POST", "/feeds/refused/00/replay", &[], "").refusal().1, "refused-unknown");

    // Who does not speak MLLP, and what is too large, is answered and the connection closed.
    let mut stranger = Sender::connect(address);
    stranger.0.write_all(&vec![b'x'; 70 * 1024]).unwrap();
    assert_eq!(stranger.next().code(), "AR");
    let mut rest = Vec::new();
    assert_eq!(stranger.0.read_to_end(&mut rest).unwrap_or_default(), 0);
}

// ---- devices ----

fn enrolled(ehr: &Client, patient: &Value, measures: &[&str]) -> (String, (String, String)) {
    let device = json!({"patient": patient, "kind": "pulse oximeter", "manufacturer": "Maker", "serial": "7", "measures": measures});
    let shown = ehr.send("POST", "/devices", &[], device.to_string()).with(201).json();
    let credentials = &shown["credentials"];
    let [name, password] = ["username", "password"].map(|part| credentials[part].as_str().unwrap().to_owned());
    assert!(
        credentials["https"]["url"].as_str().unwrap().ends_with(&format!("/devices/{name}/measurements")),
        "{shown}"
    );
    assert!(shown["pairing_code"].as_str().unwrap().ends_with(&format!("#{password}")), "{shown}");
    assert!(!shown["device"].to_string().contains(&password), "the secret is in the credentials alone");
    (name.clone(), basic(&name, &password))
}

fn basic(name: &str, password: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

fn measured(sequence: u32, measure: &str, value: &str, unit: &str) -> String {
    format!(
        r#"{{"format":"sealwort-measurements/1","sequence":{sequence},"time":"2026-01-01T08:00:{sequence:02}Z","measure":"{measure}","value":{value},"unit":"{unit}"}}"#
    )
}

fn send_measured(ehr: &Client, device: &str, login: &(String, String), payload: &str) -> support::Answer {
    ehr.send("POST", &format!("/devices/{device}/measurements"), &[(&login.0, &login.1)], payload)
}

fn a_device(world: &World) {
    let ehr = world.client(Party::HospitalA);
    let patient =
        json!({"resourceType": "Patient", "id": "measured", "identifier": [{"system": MRN, "value": "measured"}]});
    ehr.send("PUT", "/fhir/Patient/measured", &[], patient.to_string()).with(201);
    let (device, login) = enrolled(&ehr, &json!({"id": "measured"}), &["heart-rate", "oxygen-saturation"]);
    for payload in [
        measured(1, "heart-rate", "72", "/min"),
        measured(2, "oxygen-saturation", "97.50", "%"),
        measured(1, "heart-rate", "72", "/min"),
    ] {
        send_measured(&ehr, &device, &login, &payload).with(204);
    }
    let found = ehr
        .get("/fhir/Observation?patient=measured&code=http://loinc.org%7C8867-4&_include=Observation:device")
        .with(200);
    assert_eq!(found.json()["total"], 1, "the same measurement twice is one: {}", found.text());
    let observation = found.entries()[0]["resource"].clone();
    assert_eq!(observation["valueQuantity"]["value"], 72);
    assert_eq!(
        (&observation["valueQuantity"]["system"], &observation["valueQuantity"]["code"]),
        (&json!("http://unitsofmeasure.org"), &json!("/min"))
    );
    assert_eq!(observation["subject"]["reference"], "Patient/measured");
    let devices: Vec<Value> =
        found.entries().into_iter().map(|e| e["resource"].clone()).filter(|r| r["resourceType"] == "Device").collect();
    assert_eq!(
        (devices.len(), &devices[0]["manufacturer"], &devices[0]["serialNumber"]),
        (1, &json!("Maker"), &json!("7"))
    );
    assert_eq!(values(&ehr, "measured"), ["72", "97.50"]);
    // By Open mHealth, too; and by the patient's identifier from the command line.
    let open_mhealth = json!({
        "header": {"id": "omh-1", "creation_date_time": "2026-01-01T08:00:10Z", "schema_id": {"namespace": "omh", "name": "heart-rate", "version": "2.0"}},
        "body": {"heart_rate": {"value": 67.5, "unit": "beats/min"}, "effective_time_frame": {"date_time": "2026-01-01T08:00:00Z"}},
    });
    send_measured(&ehr, &device, &login, &open_mhealth.to_string()).with(204);
    let token = format!("{MRN}|measured");
    let enrol = ["device", "enrol", &token, "--kind", "scale", "--measure", "body-weight", "--json"];
    let shown = json_of(&world.run_at(Party::HospitalA, &enrol));
    let [name, password] = ["username", "password"].map(|part| shown["credentials"][part].as_str().unwrap().to_owned());
    send_measured(&ehr, &name, &basic(&name, &password), &measured(1, "body-weight", "71.10", "kg")).with(204);
    assert_eq!(values(&ehr, "measured"), ["67.5", "71.10", "72", "97.50"]);
    let listed = json_of(&world.run_at(Party::HospitalA, &["device", "list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(&password), "{listed}");
    // What is revoked sends nothing more.
    succeeded(&world.run_at(Party::HospitalA, &["device", "revoke", &name]));
    let refused = send_measured(&ehr, &name, &basic(&name, &password), &measured(2, "body-weight", "70", "kg"));
    assert_eq!(refused.refusal(), (401, "device-unknown".to_owned(), String::new()));
}

fn what_a_device_may_not(world: &World) {
    let ehr = world.client(Party::HospitalA);
    let (device, login) = enrolled(&ehr, &json!({"id": "measured"}), &["heart-rate"]);
    let (other, other_login) = enrolled(&ehr, &json!({"id": "measured"}), &["heart-rate"]);
    let pulse = measured(1, "heart-rate", "80", "/min");
    let before = values(&ehr, "measured");
    let bearer = ("Authorization".to_owned(), format!("Bearer {}", world.token_of_user(Party::HospitalA)));
    let wrong = basic(&device, &STANDARD.encode([7; 32]));
    for (name, login) in
        [(&device, &wrong), (&device, &other_login), (&other, &login), (&device, &bearer), (&"none".to_owned(), &login)]
    {
        let refused = send_measured(&ehr, name, login, &pulse);
        assert_eq!(refused.refusal(), (401, "device-unknown".to_owned(), String::new()), "{name}");
        // A 401 names the scheme that would do (RFC 9110, section 15.5.2).
        assert!(refused.field("www-authenticate").is_some_and(|scheme| scheme.starts_with("Basic")), "{refused:?}");
    }
    let kept = || ehr.get("/feeds/refused").with(200).json().as_array().unwrap().clone();
    assert!(kept().is_empty(), "what nobody vouches for is not kept");
    // A device reads nothing.
    assert_eq!(ehr.send("GET", "/fhir/Patient/measured", &[(&login.0, &login.1)], "").refusal().0, 401);
    for (payload, wanted) in [
        (measured(1, "body-weight", "70", "kg"), (403, "not-enrolled-for")),
        (measured(1, "heart-rate", "800", "/min"), (422, "implausible")),
        (measured(1, "heart-rate", "80", "Hz"), (422, "wrong-unit")),
        (pulse.replace("2026-01-01", "2999-01-01"), (422, "in-future")),
        (pulse.replace("\"value\":80", "\"value\":80,\"value\":81"), (400, "duplicate-member")),
        ("{".to_owned(), (400, "not-json")),
    ] {
        let refused = send_measured(&ehr, &device, &login, &payload).refusal();
        assert_eq!((refused.0, refused.1.as_str()), wanted, "{payload}");
    }
    let list = kept();
    assert_eq!(list.len(), 6);
    assert!(list.iter().all(|one| one["source"] == device.as_str()), "{list:?}");
    assert_eq!(values(&ehr, "measured"), before);
    // Of a patient who is not there yet: kept, and stored once somebody is.
    let (late, late_login) = enrolled(&ehr, &json!({"identifier": {"system": MRN, "value": "late"}}), &["heart-rate"]);
    assert!(send_measured(&ehr, &late, &late_login, &pulse).refusal().0 < 500);
    let id = kept().iter().find(|one| one["source"] == late.as_str()).unwrap()["id"].as_str().unwrap().to_owned();
    let replay = format!("/feeds/refused/{id}/replay");
    assert!(ehr.send("POST", &replay, &[], "").refusal().0 < 500);
    let patient = json!({"resourceType": "Patient", "identifier": [{"system": MRN, "value": "late"}]});
    ehr.send("POST", "/fhir/Patient", &[], patient.to_string()).with(201);
    ehr.send("POST", &replay, &[], "").with(204);
    assert_eq!(values(&ehr, "late"), ["80"]);
    for one in kept() {
        ehr.send("DELETE", &format!("/feeds/refused/{}", one["id"].as_str().unwrap()), &[], "").with(204);
    }
}

// ---- durability ----

/// A power cut right after the acknowledgement.
fn killed_after_it_said_yes(address: SocketAddr, world: &RefCell<World>) {
    for round in 0..3 {
        let mrn = format!("killed-{round}");
        let (control, value) = (format!("k{round}"), format!("7{round}.50"));
        assert_eq!(Sender::connect(address).send(&result(&mrn, &control, &value)).code(), "AA");
        world.borrow_mut().kill(Party::HospitalA);
        world.borrow_mut().restart(Party::HospitalA);
        let ehr = world.borrow().client(Party::HospitalA);
        assert_eq!(values(&ehr, &mrn), [value.as_str()], "round {round}");
        // The sender cannot know whether its answer was sent: it sends again.
        assert_eq!(Sender::connect(address).send(&result(&mrn, &control, &value)).code(), "AA");
        assert_eq!(values(&ehr, &mrn), [value]);
    }
}

/// What is acknowledged while the broker is away waits on disk, outlives a power cut, and arrives in order.
fn the_exchange_is_away(address: SocketAddr, world: &RefCell<World>) {
    let ehr = world.borrow().client(Party::HospitalA);
    let (device, login) = enrolled(&ehr, &json!({"id": "measured"}), &["heart-rate"]);
    world.borrow_mut().kill(Party::Broker);
    let mut sender = Sender::connect(address);
    for (control, kind, family) in [("w1", "ADT^A28", "First"), ("w2", "ADT^A31", "Second"), ("w3", "ADT^A31", "Third")]
    {
        let answer = sender.send(&message(kind, control, &[&pid("away", family)]));
        assert_eq!(answer.code(), "AA", "it is durable here: {answer:?}");
    }
    assert_eq!(sender.send(&result("away", "w4", "64.10")).code(), "AA");
    send_measured(&ehr, &device, &login, &measured(9, "heart-rate", "99", "/min")).with(204);
    assert_eq!(sender.send("this is no HL7 v2").code(), "AR", "what is wrong is told at once");
    // Two people with one licence: nobody can be asked whether they are one.
    for id in ["twin-1", "twin-2"] {
        let identifiers = json!([{"system": MRN, "value": id}, {"system": "urn:licence", "value": "T"}]);
        let twin = json!({"resourceType": "Patient", "id": id, "identifier": identifiers});
        ehr.send("PUT", &format!("/fhir/Patient/{id}"), &[], twin.to_string()).with(202);
    }
    let waiting = ehr.get("/status").json()["waiting"].as_u64().unwrap();
    assert_eq!(waiting, 7);
    world.borrow_mut().kill(Party::HospitalA);
    world.borrow_mut().restart(Party::HospitalA);
    let ehr = world.borrow().client(Party::HospitalA);
    assert_eq!(ehr.get("/status").json()["waiting"], waiting, "the outbox is on disk");
    world.borrow_mut().restart(Party::Broker);
    // The second twin is refused now, and somebody must decide.
    let undecided = || {
        let list = ehr.get("/feeds/refused").with(200).json();
        list.as_array().unwrap().iter().filter(|one| one["source"] == "outbox").cloned().collect::<Vec<Value>>()
    };
    eventually("one write is left", || ehr.get("/status").json()["waiting"] == 1 && undecided().len() == 1);
    let twin = &undecided()[0];
    assert!(twin["reason"].as_str().unwrap().contains("urn:example:mrn"), "{twin}");
    let path = format!("/feeds/refused/{}", twin["id"].as_str().unwrap());
    assert_eq!(ehr.send("POST", &format!("{path}/replay"), &[], "").refusal().1, "identifiers-contradict");
    assert_eq!((ehr.get("/fhir/Patient/twin-1").status, ehr.get("/fhir/Patient/twin-2").status), (200, 404));
    ehr.send("DELETE", &path, &[], "").with(204);
    assert_eq!(ehr.send("DELETE", &path, &[], "").refusal().0, 404);
    assert_eq!((ehr.get("/status").json()["waiting"].as_u64(), undecided().len()), (Some(0), 0));
    assert_eq!(patient_of(&ehr, "away").unwrap()["name"][0]["family"], "Third", "in the order in which they came");
    assert_eq!(values(&ehr, "away"), ["64.10"]);
    assert!(values(&ehr, "measured").contains(&"99".to_owned()));
    assert_eq!(ehr.get("/status").json()["refused"], json!([]));
    assert_eq!(total(&ehr, &format!("Patient?identifier={}%7Caway", encode(MRN))), 1);
}
