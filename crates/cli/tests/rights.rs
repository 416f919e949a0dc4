//! The right to be erased, through real processes: nothing of the record is left in the files of broker and archive, both
//! certify it, nobody else can order it, and the person who comes back begins anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::time::Duration;

use sealwort_pki::Role;
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

/// `sealwort erase verify`: 0 as it is, 5 with a byte of it changed or moved, 6 without what it takes to tell.
fn certificates_verify_offline(world: &World, erased: &Value) {
    let file = world.path().join("erasure.json");
    let root = world.folder(Party::Ca).join("root.der");
    let verify = |erased: &Value| {
        fs::write(&file, erased.to_string()).unwrap();
        support::exit(&support::run(&["erase", "verify", support::text(&file), "--root", support::text(&root)]))
    };
    assert_eq!(verify(erased), 0);
    assert_eq!(verify(&json!([erased])), 0);
    let turned = |text: &str, at: usize| {
        let mut bytes = hex::decode(text).unwrap();
        let at = if at < bytes.len() { at } else { bytes.len() - 1 };
        bytes[at] ^= 1;
        json!(hex::encode(bytes))
    };
    for member in ["certificates", "erasure"] {
        let text = if member == "erasure" { &erased[member] } else { &erased[member][0] };
        let mut altered = erased.clone();
        let place = if member == "erasure" { &mut altered[member] } else { &mut altered[member][0] };
        *place = turned(text.as_str().unwrap(), usize::MAX);
        assert_eq!(verify(&altered), 5, "the signature of {member}");
    }
    let mut other = erased.clone();
    other["patient"] = turned(erased["patient"].as_str().unwrap(), 0);
    assert_eq!(verify(&other), 5);
    for missing in [json!([]), json!([erased["certificates"][0]])] {
        let mut less = erased.clone();
        less["certificates"] = missing;
        assert_eq!(verify(&less), 6);
    }
    let stranger = tempfile::tempdir().unwrap();
    let folders = ["ca", "root"].map(|name| stranger.path().join(name));
    let [ca, kept] = folders.each_ref().map(|folder| support::text(folder));
    support::succeeded(&support::run(&["ca", "init", "--name", "test", "--dir", ca, "--root-dir", kept]));
    fs::write(&file, erased.to_string()).unwrap();
    let foreign = folders[0].join("root.der");
    assert_eq!(
        support::exit(&support::run(&["erase", "verify", support::text(&file), "--root", support::text(&foreign)])),
        6
    );
}

#[test]
fn an_erased_patient_is_gone_everywhere() {
    let mut world = World::start();
    for resource in [patient(1), observation(1)] {
        put(&world, Party::HospitalA, &resource);
    }
    let ehr = world.client(Party::HospitalA);
    ehr.get("/fhir/Observation/o1").with(200);
    world.consent(Party::HospitalA, "grant", "urn:rights|1", Party::HospitalB).unwrap().done();
    let elsewhere = world.client(Party::HospitalB);
    elsewhere.get("/fhir/Patient?identifier=urn:rights%7C1").done();
    elsewhere.get("/fhir/Observation/o1").with(200);
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
    certificates_verify_offline(&world, &erased);
    // The other hospital forgets as well, with the broker's certificate in hand.
    let elsewhere = world.client(Party::HospitalB);
    elsewhere.get("/fhir/Observation/o1").with(410);
    let told = elsewhere.get("/erasure").done().json();
    assert_eq!((&told[0]["patient"], told[0]["certificates"].as_array().unwrap().len()), (&erased["patient"], 1));
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

/// A published patient where there is one, else one of the project's samples.
fn some_patient() -> Vec<u8> {
    let folder = sealwort_published::unpacked("fhir-phr-ig-patients.tar.zst");
    let file = folder.as_ref().and_then(|folder| {
        let files = sealwort_published::files(folder.path(), Some("json"));
        files.into_iter().find(|file| file.to_string_lossy().contains("Maegan141"))
    });
    file.map_or_else(|| sealwort_fhir::samples::ALL[0].bytes.to_vec(), |file| fs::read(file).unwrap())
}

/// A document with its text inside, of the patient.
fn document(patient: &str) -> Value {
    json!({
        "resourceType": "DocumentReference", "id": "letter", "status": "current",
        "subject": {"reference": patient}, "author": [{"reference": "Practitioner/house"}],
        "content": [{"attachment": {"contentType": "text/plain", "data": "ZGVhciBjb2xsZWFndWU="}}],
    })
}

/// The resources of a record by name, without what a server sets.
fn resources(everything: &support::Answer) -> std::collections::BTreeMap<String, Value> {
    let bare = |entry: Value| {
        let mut resource = entry["resource"].clone();
        let meta = resource["meta"].as_object_mut().unwrap();
        meta.remove("versionId");
        meta.remove("lastUpdated");
        (support::name_of(&resource), resource)
    };
    everything.entries().into_iter().map(bare).collect()
}

#[test]
fn a_patient_takes_everything_along_and_another_exchange_has_the_same() {
    let world = World::start_with(&[
        (Party::HospitalA, "audit.cosign_every", json!("200ms")),
        (Party::Broker, "audit.cosign_every", json!("200ms")),
    ]);
    let there = World::start();
    let ehr = world.client(Party::HospitalA);
    ehr.send(
        "PUT",
        "/fhir/Practitioner/house",
        &[],
        json!({"resourceType": "Practitioner", "id": "house"}).to_string(),
    )
    .done();
    // Some of the published ones refer to practitioners that are not in the file.
    let answer = ehr.send("POST", "/fhir", &[("Prefer", "handling=lenient")], some_patient()).done();
    let name = support::stored::stored(&some_patient(), &answer)
        .into_iter()
        .find_map(|(name, _)| name.starts_with("Patient/").then_some(name));
    let name = name.unwrap();
    let id = name.strip_prefix("Patient/").unwrap();
    put(&world, Party::HospitalA, &document(&name));
    // It refers to another patient's, too, whose record does not leave and is not opened for it.
    for resource in [patient(7), observation(7)] {
        put(&world, Party::HospitalA, &resource);
    }
    let mut relative = observation(8);
    relative["subject"]["reference"] = json!(name);
    relative["hasMember"] = json!([{"reference": "Observation/o7"}]);
    put(&world, Party::HospitalA, &relative);
    let before = resources(&ehr.get(&format!("/fhir/{name}/$everything")).done());
    assert!(before.len() > 10);
    let at = |file: &str| world.path().join(file);
    let export = |file: &str, format: &str| {
        let file = at(file);
        let file = support::text(&file);
        world.run_at(Party::HospitalA, &["export", id, "--format", format, "--output", file, "--json"])
    };

    let written = support::json_of(&export("p.sphr", "sphr"));
    let manifest = &written["manifest"];
    assert_eq!(manifest["resources"], json!(before.len() + 1), "the record, and the practitioner it refers to");
    assert_eq!(manifest["patient"], json!(name));
    let mut folder = zip::ZipArchive::new(fs::File::open(at("p.sphr")).unwrap()).unwrap();
    let mut part = |path: &str| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut folder.by_name(&format!("{id}/{path}")).unwrap(), &mut text).unwrap();
        text
    };
    assert_eq!(part("documents/DocumentReference-letter-1.txt"), "dear colleague");
    let ips: Value = serde_json::from_str(&part("ips.json")).unwrap();
    assert_eq!(ips["type"], "document");
    let consent: Value = serde_json::from_str(&part("consent.json")).unwrap();
    assert!(!consent["provisions"].as_array().unwrap().is_empty());
    let lines: Vec<Value> =
        part(&format!("{id}.phr")).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().take(3).map(|line| line["resourceType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Composition", "DocumentManifest", "Patient"]);
    for line in lines.iter().chain([&ips]) {
        let issues = sealwort_fhir::validate(line, sealwort_fhir::Handling::Lenient);
        assert!(sealwort_fhir::validation::is_acceptable(&issues), "{}: {issues:?}", support::name_of(line));
    }
    // One Provenance for each resource that is none itself, naming the hospital and the entry that it signed.
    let provenances: Vec<_> =
        lines.iter().filter(|line| line["id"].as_str().is_some_and(|id| id.starts_with("entry-"))).collect();
    let told: std::collections::BTreeSet<_> =
        provenances.iter().map(|it| it["target"][0]["reference"].as_str().unwrap()).collect();
    let expected = before.keys().filter(|name| !name.starts_with("Provenance/")).count() + 1;
    assert_eq!((provenances.len(), told.len()), (expected, expected));
    let author = "sealwort://test/gateway/hospital-a";
    assert!(provenances.iter().all(|it| it["agent"][0]["who"]["identifier"]["value"] == author));
    signed_by_the_hospital(&world, &part("manifest.json"), &part("manifest.json.jws"));
    assert!(manifest["missing"].as_array().unwrap().contains(&json!("Observation/o7")), "{manifest}");
    let stranger = ehr.get("/consent?patient=urn:rights%7C7").done().json()["patient"].clone();
    let folder_of_a = world.folder(Party::HospitalA);
    let exported = ["audit", "search", "--folder", support::text(&folder_of_a), "--kind", "exported", "--json"];
    let exported = support::json_of(&support::run(&exported));
    let patients: Vec<_> = exported.as_array().unwrap().iter().map(|entry| &entry["patient"]).collect();
    assert!(!patients.is_empty() && !patients.contains(&&stranger), "{patients:?}");
    // Who had to do with the record leaves with who may see that.
    assert!(folder.by_name(&format!("{id}/access-log.json")).is_err(), "a physician may not");
    leaves_with_its_access_log(&world, &there, id);

    // What was altered or cut short is no export.
    let whole = fs::read(at("p.sphr")).unwrap();
    fs::write(at("cut.sphr"), &whole[..whole.len() - 100]).unwrap();
    assert_eq!(support::exit(&there.run_at(Party::HospitalA, &["import", support::text(&at("cut.sphr"))])), 6);
    fs::write(at("altered.sphr"), repacked(&whole, &format!("{id}/consent.json"))).unwrap();
    assert_eq!(support::exit(&there.run_at(Party::HospitalA, &["import", support::text(&at("altered.sphr"))])), 5);

    // Elsewhere it is the same record; once more, as a Bundle, it changes nothing.
    support::succeeded(&there.run_at(Party::HospitalA, &["import", support::text(&at("p.sphr"))]));
    let written = support::json_of(&export("p.json", "bundle"));
    assert_eq!(written["resources"], json!(manifest["resources"].as_u64().unwrap() + expected as u64));
    support::succeeded(&there.run_at(Party::HospitalA, &["import", support::text(&at("p.json"))]));
    let other = there.client(Party::HospitalA);
    let everything = other.get(&format!("/fhir/{name}/$everything")).done();
    let versions: Vec<_> =
        everything.entries().iter().map(|entry| entry["resource"]["meta"]["versionId"].clone()).collect();
    assert!(versions.iter().all(|version| version == "1"), "{versions:?}");
    let mut after = resources(&everything);
    after.retain(|name, resource| {
        let of_export = resource["id"].as_str().is_some_and(|id| id.starts_with("entry-"));
        !of_export && name != "Practitioner/house"
    });
    assert_eq!(after, before);

    // The summary; and a token about the patient exports without naming one, about another nothing.
    support::succeeded(&export("ips.json", "ips"));
    let mut app = support::smart::App::register(&world, Party::HospitalA, "leave", "patient/*.rs");
    app.used_by(format!("sealwort_session={}", world.token(Party::HospitalA, "pat", "patient")));
    let token = support::smart::access_token(app.user_token("patient/*.rs", Some(id)));
    let phone = world.client_with(Party::HospitalA, Some(token));
    phone.get("/fhir/Bundle/$phr-export?outputFormat=bundle").with(200);
    let folder = std::io::Cursor::new(phone.get("/fhir/Bundle/$phr-export").with(200).body);
    assert!(zip::ZipArchive::new(folder).unwrap().by_name(&format!("{id}/access-log.json")).is_ok());
    assert_eq!(phone.get("/fhir/Patient/p7/$phr-export").refusal().0, 404);
    let glass = [("Purpose-Of-Use", "BTG")];
    assert_eq!(ehr.send("GET", &format!("/fhir/{name}/$phr-export"), &glass, "").refusal().0, 403);
}

/// The export of somebody who may see it holds the access log, which verifies offline. What imports the rest leaves it.
fn leaves_with_its_access_log(world: &World, there: &World, id: &str) {
    let (file, log) = (world.path().join("whole.sphr"), world.path().join("access-log.json"));
    let token =
        support::browser::private_file(world, "auditor.token", &world.token(Party::HospitalA, "aud", "auditor"));
    let root = world.folder(Party::Ca).join("root.der");
    let [file, log, token, root] = [&file, &log, &token, &root].map(|path| support::text(path));
    let verify = || support::run(&["audit", "verify", log, "--root", root, "--json"]);
    let begun = std::time::Instant::now();
    // Until every log is cosigned, only its own party's word is there for some.
    let verified = loop {
        support::succeeded(&world.run_at(Party::HospitalA, &["export", id, "--output", file, "--token-file", token]));
        let mut folder = zip::ZipArchive::new(fs::File::open(file).unwrap()).unwrap();
        let mut part = folder.by_name(&format!("{id}/access-log.json")).unwrap();
        std::io::copy(&mut part, &mut fs::File::create(log).unwrap()).unwrap();
        let verified = verify();
        if support::exit(&verified) != 6 || begun.elapsed() > Duration::from_secs(30) {
            break verified;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let passed = support::json_of(&verified);
    assert_eq!(passed.as_array().unwrap().len(), 3, "{passed}");
    let read = fs::read_to_string(log).unwrap();
    assert!(read.contains("dr-test"));
    fs::write(log, read.replacen("dr-test", "dr-eves", 1)).unwrap();
    assert_eq!(support::exit(&verify()), 5);
    let whole = fs::read(file).unwrap();
    fs::write(log, repacked(&whole, &format!("{id}/access-log.json"))).unwrap();
    assert_eq!(support::exit(&there.run_at(Party::HospitalA, &["import", log])), 5);
    support::succeeded(&there.run_at(Party::HospitalA, &["import", file]));
}

/// The same file with one byte of a part changed.
fn repacked(whole: &[u8], altered: &str) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(std::io::Cursor::new(whole)).unwrap();
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for at in 0..from.len() {
        let mut part = from.by_index(at).unwrap();
        let name = part.name().unwrap().into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut part, &mut content).unwrap();
        if name == altered {
            content[10] ^= 1;
        }
        to.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut to, &content).unwrap();
    }
    to.finish().unwrap().into_inner()
}

/// The detached JWS of a manifest verifies under the key of the certificate in it, which is the gateway's.
fn signed_by_the_hospital(world: &World, manifest: &str, signature: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let parts: Vec<&str> = signature.split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let chain: Vec<Vec<u8>> =
        header["x5c"].as_array().unwrap().iter().map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap()).collect();
    let chain = sealwort_pki::CertificateChain::new(chain).unwrap();
    let signed = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(manifest));
    let root = fs::read(world.folder(Party::Ca).join("root.der")).unwrap();
    let trust = sealwort_pki::Trust::new("test".parse().unwrap(), &root).unwrap();
    let expected =
        sealwort_pki::Expected { roles: &[Role::Gateway], name: None, key_use: sealwort_pki::KeyUse::Statement };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hospital = trust.verify_past(&chain, &expected, sealwort_pki::UnixTime::from_secs(now)).unwrap();
    assert_eq!(hospital.identity().to_string(), "sealwort://test/gateway/hospital-a");
    hospital.public_key().verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
}

/// Parameters that name two patients, by reference.
fn two(source: &str, target: &str) -> String {
    let side = |name: &str, id: &str| json!({"name": name, "valueReference": {"reference": format!("Patient/{id}")}});
    json!({"resourceType": "Parameters", "parameter": [side("source-patient", source), side("target-patient", target)]})
        .to_string()
}

/// The answer to a merge, or its undoing, that an administrator asks for.
fn merged(world: &World, hospital: Party, operation: &str, body: String) -> support::Answer {
    let administrator = world.token(hospital, "root", "administrator");
    let path = format!("/fhir/Patient/{operation}");
    world.client_with(hospital, Some(administrator)).send("POST", &path, &[], body)
}

/// MSA-1 of the answer to a message over MLLP.
fn acknowledged(address: std::net::SocketAddr, message: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\x1c\r") {
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split("MSA|").nth(1).unwrap().split('|').next().unwrap().to_owned()
}

/// Names of what a search finds at a hospital.
fn finds(world: &World, hospital: Party, query: &str) -> Vec<String> {
    world.client(hospital).get(&format!("/fhir/{query}")).done().names()
}

#[test]
fn two_identities_become_one_patient_and_two_again() {
    let mllp = support::free_address();
    let world = World::start_with(&[
        (Party::HospitalA, "mllp.address", json!(mllp)),
        (Party::HospitalA, "mllp.systems.HOSP", json!("urn:rights")),
    ]);
    let (here, there) = (Party::HospitalA, Party::HospitalB);
    for resource in [patient(1), observation(1), patient(2), observation(2), patient(3)] {
        put(&world, here, &resource);
    }
    for number in ["1", "2"] {
        let patient = format!("urn:rights|{number}");
        world.consent(here, "grant", &patient, there).unwrap().done();
    }
    let post = |hospital: Party, operation: &str, body: String| merged(&world, hospital, operation, body);
    assert_eq!(finds(&world, there, "Observation?patient.identifier=urn:rights%7C1").len(), 1);
    let consent =
        |number: u32| world.client(here).get(&format!("/consent?patient=urn:rights%7C{number}")).done().json();
    let before = (consent(1), consent(2));
    let whole = |hospital: Party, id: &str| {
        resources(&world.client(hospital).get(&format!("/fhir/Patient/{id}/$everything")).done())
    };
    let (first, second) = (whole(here, "p1"), whole(here, "p2"));

    // It is for administrators. Looking changes nothing; what is wrong is told. Hospital B has not met the second one.
    for operation in ["$merge", "$unmerge"] {
        let by_physician = world.client(here).send("POST", &format!("/fhir/Patient/{operation}"), &[], two("p1", "p2"));
        assert_eq!(by_physician.refusal(), (403, "administrator-needed".to_owned(), String::new()));
    }
    assert_eq!(post(there, "$merge", two("p1", "p2")).refusal().0, 404);
    assert_eq!(post(here, "$merge", two("p1", "p1")).refusal().1, "merge-same");
    let mut preview: Value = serde_json::from_str(&two("p1", "p2")).unwrap();
    preview["parameter"].as_array_mut().unwrap().push(json!({"name": "preview", "valueBoolean": true}));
    post(here, "$merge", preview.to_string()).with(200);
    assert_eq!(finds(&world, here, "Patient?identifier=urn:rights%7C1"), ["Patient/p1"]);

    // What hospital B may not of one of them, it may not of both. For hospital A nothing changes.
    let withdrawn = json!({"patient": "urn:rights|1", "to": "hospital-b", "labels": ["psychiatry"]});
    world.request(here, "POST", "/consent/withdraw", withdrawn.to_string().as_bytes()).unwrap().done();
    let withdrawn = consent(1);
    post(here, "$merge", two("p1", "p2")).with(200);
    post(here, "$merge", two("p1", "p2")).with(200);
    let agreed = consent(2);
    let of_b = agreed["provisions"].as_array().unwrap().iter().filter(|it| it["to"].as_str().unwrap().ends_with("-b"));
    assert!(
        of_b.clone().count() > 0
            && of_b.clone().all(|it| !it["labels"].as_array().unwrap().contains(&json!("psychiatry")))
    );

    for hospital in [here, there] {
        let client = world.client(hospital);
        for identifier in ["1", "2"] {
            let found = finds(&world, hospital, &format!("Patient?identifier=urn:rights%7C{identifier}"));
            assert_eq!(found, ["Patient/p2"], "{hospital:?} {identifier}");
            let found = finds(&world, hospital, &format!("Observation?patient.identifier=urn:rights%7C{identifier}"));
            assert_eq!(found.len(), 2, "{hospital:?} {identifier}: {found:?}");
        }
        assert_eq!(finds(&world, hospital, "Observation?patient=p2").len(), 2);
        let observation = client.get("/fhir/Observation/o1").done().json();
        assert_eq!(observation["subject"]["reference"], "Patient/p2", "{observation}");
        let (old, new) = (client.get("/fhir/Patient/p1").done().json(), client.get("/fhir/Patient/p2").done().json());
        assert_eq!((&old["active"], &old["link"][0]["type"]), (&json!(false), &json!("replaced-by")));
        assert_eq!(
            (&new["link"][0]["type"], &new["link"][0]["other"]["reference"]),
            (&json!("replaces"), &json!("Patient/p1"))
        );
        assert_eq!(new["identifier"][1]["use"], "old");
        for resource in [&old, &new, &observation] {
            let issues = sealwort_fhir::validate(resource, sealwort_fhir::Handling::Strict);
            assert!(sealwort_fhir::validation::is_acceptable(&issues), "{issues:?}");
        }
    }
    assert_eq!(finds(&world, here, "Patient?name=Gone"), ["Patient/p2", "Patient/p3"]);

    // What is written for either goes to the one that survived. The one that was given up is written no more.
    let mut since = observation(1);
    since["id"] = json!("since");
    put(&world, here, &since);
    assert_eq!(finds(&world, there, "Observation?patient=p2").len(), 3);
    let mut older = observation(1);
    older["code"]["text"] = json!("corrected");
    put(&world, here, &older);
    let corrected = world.client(there).get("/fhir/Observation/o1").done().json();
    assert_eq!((&corrected["meta"]["versionId"], &corrected["code"]["text"]), (&json!("2"), &json!("corrected")));
    assert_eq!(world.put(here, patient(1).to_string().as_bytes()).unwrap().refusal().1, "patient-merged");
    let forged = json!({"resourceType": "Linkage", "id": "sealwort-merge-1", "item": [
        {"type": "source", "resource": {"reference": "Patient/p3"}}]});
    assert_eq!(world.put(here, forged.to_string().as_bytes()).unwrap().refusal().1, "linkage-reserved");
    assert_eq!(erase(&world, here, &json!({"patient": "p2"})).refusal().1, "patient-merged");

    // Undone, each is as it was; what was written since stays.
    support::succeeded(&support::browser::administrate(&world, &["patient", "unmerge", "p1"]));
    let undone = whole(here, "p1");
    assert_eq!(undone, first);
    let mut kept = whole(here, "p2");
    assert!(kept.remove("Observation/since").is_some() && kept.remove("Observation/o1").is_some());
    assert_eq!(kept, second);
    for hospital in [here, there] {
        assert_eq!(finds(&world, hospital, "Patient?identifier=urn:rights%7C1"), ["Patient/p1"], "{hospital:?}");
        assert_eq!(finds(&world, hospital, "Patient?identifier=urn:rights%7C2"), ["Patient/p2"], "{hospital:?}");
        assert_eq!(finds(&world, hospital, "Observation?patient.identifier=urn:rights%7C1"), ["Observation/o1"]);
    }
    let provisions = |consent: &Value| -> std::collections::BTreeSet<String> {
        let all = consent["provisions"].as_array().unwrap().iter().cloned();
        all.map(|mut it| {
            it.as_object_mut().unwrap().remove("id");
            it.to_string()
        })
        .collect()
    };
    assert_eq!(provisions(&consent(1)), provisions(&withdrawn));
    assert_eq!(provisions(&consent(2)), provisions(&before.1));
    assert!(before.0["version"].as_u64() < consent(1)["version"].as_u64());
    assert_eq!(post(here, "$unmerge", two("p1", "p2")).refusal().1, "patient-not-merged");
    assert_eq!(post(there, "$merge", two("p1", "p2")).refusal().1, "authority-elsewhere");

    // The same by messages of the hospital's own system.
    let sent = |event: &str, last: &str| {
        let text = format!(
            "MSH|^~\\&|APP|FAC|US|OURS|20240101||ADT^{event}|{event}|P|2.5\rEVN|{event}\rPID|1||2^^^HOSP^MR||Gone\r{last}\r"
        );
        acknowledged(mllp, &text)
    };
    assert_eq!(sent("A40", "MRG|1^^^HOSP^MR"), "AA");
    assert_eq!(finds(&world, there, "Patient?identifier=urn:rights%7C1"), ["Patient/p2"]);
    assert_eq!(sent("A37", "PID|2||1^^^HOSP^MR||Gone"), "AA");
    assert_eq!(finds(&world, there, "Patient?identifier=urn:rights%7C1"), ["Patient/p1"]);
    assert_eq!(whole(here, "p1"), first);
    assert_ne!(sent("A40", "MRG|99^^^HOSP^MR"), "AA");

    // What the surviving Patient is to say; undone, it says again what it said.
    let mut with_result: Value = serde_json::from_str(&two("p1", "p3")).unwrap();
    let mut result = patient(3);
    result["name"][0]["family"] = json!("Found");
    with_result["parameter"].as_array_mut().unwrap().push(json!({"name": "result-patient", "resource": result}));
    post(here, "$merge", with_result.to_string()).with(200);
    let denied = world.client(there).get("/fhir/Patient?identifier=urn:rights%7C1").refusal();
    assert_eq!(denied.0, 403, "hospital B has no consent of p3: {denied:?}");
    assert_eq!(finds(&world, here, "Patient?name=Found"), ["Patient/p3"]);
    post(here, "$unmerge", two("p1", "p3")).with(200);
    assert_eq!(finds(&world, here, "Patient?name=Found").len(), 0);
    assert_eq!(whole(here, "p1"), first);

    // A patient of another authority; and the audit logs name what was done, and verify.
    put(&world, there, &patient(4));
    world.consent(there, "grant", "urn:rights|4", here).unwrap().done();
    assert_eq!(finds(&world, here, "Patient?identifier=urn:rights%7C4"), ["Patient/p4"]);
    assert_eq!(post(here, "$merge", two("p4", "p3")).refusal().1, "authorities-differ");
    let folder = world.folder(here);
    let entries =
        support::run(&["audit", "search", "--folder", support::text(&folder), "--kind", "patient-merged", "--json"]);
    support::succeeded(&entries);
    assert!(String::from_utf8_lossy(&entries.stdout).contains("patient-merged"));
}

const GLASS: [(&str, &str); 1] = [("Purpose-Of-Use", "BTG")];

/// Parameters of texts.
fn texts(values: &[(&str, &str)]) -> String {
    let parts: Vec<_> = values.iter().map(|(name, value)| json!({"name": name, "valueString": value})).collect();
    json!({"resourceType": "Parameters", "parameter": parts}).to_string()
}

#[test]
fn what_belongs_to_either_identity_follows_the_merge() {
    let (here, there) = (Party::HospitalA, Party::HospitalB);
    let world = World::start_with(&[
        (here, "emergency.at_registration.hospitals", json!(["hospital-a", "hospital-b"])),
        (here, "emergency.at_registration.labels", json!(["general"])),
    ]);
    let odd = r"a,b|c$d\e";
    let mut third = patient(3);
    third["identifier"][0]["value"] = json!(odd);
    for resource in [patient(1), observation(1), patient(2), observation(2), third] {
        put(&world, here, &resource);
    }
    for number in ["1", "2"] {
        let change = json!({"patient": format!("urn:rights|{number}"), "to": "hospital-b", "labels": ["general"]});
        world.request(here, "POST", "/consent/grant", change.to_string().as_bytes()).unwrap().done();
        assert_eq!(finds(&world, there, &format!("Patient?identifier=urn:rights%7C{number}")).len(), 1);
    }
    let before = world.client_with(here, Some(world.token(here, "dr-before", "physician")));
    before.get("/fhir/Observation/o1").with(200);

    // By identifiers with letters that searches know: as FHIR has them, and as a search writes them.
    let by = |name: &str, value: &str| {
        let identifier = json!({"system": "urn:rights", "value": value});
        json!({"name": format!("{name}-identifier"), "valueIdentifier": identifier})
    };
    let preview = json!({"name": "preview", "valueBoolean": true});
    let looked = json!({"resourceType": "Parameters", "parameter": [by("source-patient", odd), by("target-patient", "1"), preview]});
    let looked = merged(&world, here, "$merge", looked.to_string()).with(200);
    assert!(looked.text().contains("Patient/p3 would be merged into Patient/p1"), "{}", looked.text());
    let typed = format!("urn:rights|{}", r"a\,b\|c\$d\\e");
    let looked = support::browser::administrate(&world, &["patient", "merge", &typed, "--into", "p1", "--dry-run"]);
    support::succeeded(&looked);
    assert!(String::from_utf8_lossy(&looked.stdout).contains("Patient/p3 would be merged"));
    let wrong = support::browser::administrate(&world, &["patient", "merge", "urn:rights|a,b", "--into", "p1"]);
    assert_eq!(support::exit(&wrong), 1, "{}", support::errors(&wrong));

    merged(&world, here, "$merge", two("p1", "p2")).with(200);

    // Who looked at either is in the log of both, which is asked for by either id; each proof is of one identity.
    let auditor = world.client_with(here, Some(world.token(here, "aud-1", "auditor")));
    let log = |id: &str| auditor.get(&format!("/fhir/Patient/{id}/$access-log?_count=1000")).with(200).text();
    let events = |id: &str| auditor.get(&format!("/fhir/AuditEvent?patient={id}&_count=1000")).with(200).text();
    for id in ["p1", "p2"] {
        assert!(log(id).contains("dr-before") && events(id).contains("dr-before"), "{id}");
        // An access is to the Patient whose record it was, by whichever id it is asked for.
        for found in [log(id), events(id)] {
            let found: Value = serde_json::from_str(&found).unwrap();
            let of_doctor = |event: &&Value| event["agent"].to_string().contains("dr-before");
            let all = found["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
            let whose: Vec<_> = all.clone().filter(of_doctor).map(|event| &event["entity"][0]["what"]).collect();
            assert!(whose.iter().all(|what| what["reference"] == "Patient/p1"), "{id}: {whose:?}");
            assert!(all.clone().any(|event| event["entity"][0]["what"]["reference"] == "Patient/p2"), "{id}");
        }
        let folder = auditor.get(&format!("/fhir/Patient/{id}/$phr-export")).with(200).body;
        let mut folder = zip::ZipArchive::new(std::io::Cursor::new(folder)).unwrap();
        let patients = ["access-log.json", "access-log-2.json"].map(|name| {
            let part = folder.by_name(&format!("{id}/{name}")).unwrap();
            serde_json::from_reader::<_, Value>(part).unwrap()["patient"].clone()
        });
        assert_ne!(patients[0], patients[1]);
        assert!(folder.by_name(&format!("{id}/access-log-3.json")).is_err());
    }
    let delegate = json!({
        "patient": "p1", "account": "erin", "name": "Erin", "relationship": "PRN", "rights": ["read"], "days": 30,
    });
    world.request(here, "POST", "/delegates", delegate.to_string().as_bytes()).unwrap().with(201);
    let wrong = json!({"patient": "p1", "to": "hospital-b", "labels": ["nonsense"]});
    assert_eq!(world.request(here, "POST", "/consent/grant", wrong.to_string().as_bytes()).unwrap().refusal().0, 422);
    assert!(events("p1").contains("word-unknown"), "what was refused names whom it was about");
    let proof =
        |id: &str| auditor.get(&format!("/fhir/Patient/{id}/$access-log-proof")).with(200).json()["patient"].clone();
    assert_ne!(proof("p1"), proof("p2"));

    // An emergency access to one opens the record of both, and its report tells so.
    let doctor = world.client(there);
    let found = "/fhir/Observation?patient.identifier=urn:rights%7C1";
    assert_eq!(doctor.send("GET", found, &GLASS, "").refusal().1, "emergency-access-needed");
    let glass = [
        ("patient", "urn:rights|1"),
        ("reason", "unconscious"),
        ("text", "found unconscious on the street"),
        ("confirmation", "I open the record of 1 in an emergency"),
    ];
    let opened = doctor.send("POST", "/fhir/$emergency-access", &[], texts(&glass)).with(201).json();
    let id =
        opened["parameter"].as_array().unwrap().iter().find(|part| part["name"] == "id").unwrap()["valueId"].clone();
    let id = id.as_str().unwrap();
    let mut names = doctor.send("GET", found, &GLASS, "").with(200).names();
    names.sort_unstable();
    assert_eq!(names, ["Observation/o1", "Observation/o2"]);
    doctor.send("POST", "/fhir/$emergency-access-end", &[], texts(&[("id", id)])).with(200);
    assert_eq!(doctor.send("GET", found, &GLASS, "").refusal().1, "emergency-access-needed");
    let officer = world.client_with(there, Some(world.token(there, "officer-1", "security-officer")));
    let report = officer.get(&format!("/emergency/{id}/report")).with(200).json();
    let shown = &report["report"]["opened"]["resources"];
    assert_eq!((&shown["Observation"], &shown["Patient"]), (&json!(["o1", "o2"]), &json!(["p1", "p2"])));

    // What is labelled anew goes away from where it was, though that is in the record that was given up.
    doctor.get("/fhir/Observation/o1").with(200);
    let mut closed = observation(1);
    closed["meta"] =
        json!({"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}]});
    put(&world, here, &closed);
    for path in ["Observation/o1", "Observation/o1/_history/1", "Observation/o1/_history"] {
        doctor.get(&format!("/fhir/{path}")).with(404);
    }
    assert_eq!(finds(&world, there, "Observation?patient=p2"), ["Observation/o2"]);
    assert_eq!(world.client(here).get("/fhir/Observation/o1").with(200).json()["meta"]["versionId"], "2");

    // Parted, each has its own log again.
    merged(&world, here, "$unmerge", two("p1", "p2")).with(200);
    assert!(log("p1").contains("dr-before") && events("p1").contains("dr-before"));
    assert!(!log("p2").contains("dr-before") && !events("p2").contains("dr-before"));
    assert!(log("p1").contains("delegate-changed"), "whose delegate it is");
}
