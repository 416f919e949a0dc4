//! Private people: delegates, and patients who sign in themselves. What is theirs to see and to decide and what is not, how
//! they stand in the logs, and that whatever they hold ends with its ground: answers on their way, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::browser::{Browser, Provider, administrate, configure, split};
use support::receiver::Receiver;
use support::smart::{App, access_token, hidden};
use support::{Answer, Party, SYSTEM, World, bundle, errors, exit, json_of, parts, run, succeeded, text, until};

const A: Party = Party::HospitalA;
const B: Party = Party::HospitalB;

#[test]
fn private_people_have_what_is_theirs_as_long_as_it_is() {
    let slow = json!("60s");
    let place = tempfile::tempdir().unwrap();
    let authority = place.path().join("receiver.pem");
    let receiver = Receiver::start(&authority);
    let mut world = World::start_with(&[
        (A, "sign_in.patient_claim", json!("mrn")),
        (A, "sign_in.patient_system", json!(SYSTEM)),
        (A, "subscriptions.inside", json!(true)),
        (A, "subscriptions.push_contact", json!("mailto:it@hospital-a.example")),
        (A, "subscriptions.authority", json!(authority)),
        (A, "limits.body_timeout", slow.clone()),
        (B, "limits.body_timeout", slow),
    ]);
    let Some(provider) = Provider::start(&world, world.address(A)) else { return };
    configure(&mut world, A, &provider.issuer.clone());
    for patient in [1, 2] {
        world.put(A, &bundle(patient, 2)).unwrap().done();
    }
    let secret = json!({
        "resourceType": "Observation", "id": "secret", "status": "final", "code": {"text": "secret"},
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]},
        "subject": {"reference": "Patient/p1"},
    });
    world.put(A, secret.to_string().as_bytes()).unwrap().done();
    parts(&[
        ("a delegate has the rights that were given", &|| delegates(&world)),
        ("a patient sees and decides about the own record", &|| patients(&world)),
        ("a delegate's browser is told while the delegation lasts", &|| browsers(&world, &receiver)),
        ("a user signs in from a terminal", &|| from_a_terminal(&world)),
        ("answers on their way are cut", &|| cut(&world)),
        ("identities are merged and parted", &|| merged(&world)),
    ]);
}

fn add(world: &World, patient: &str, account: &str, more: &[&str]) -> Value {
    let add = ["delegate", "add", patient, "--account", account, "--name", "Somebody", "--days", "30", "--json"];
    json_of(&world.run_at(A, &[&add, more].concat()))
}

fn with(world: &World, token: &str) -> support::Client {
    world.client_with(A, Some(token.to_owned()))
}

fn post(world: &World, token: &str, path: &str, body: &Value) -> Answer {
    with(world, token).send("POST", path, &[], body.to_string())
}

fn grant(world: &World, token: &str, patient: &str, change: &str) -> Answer {
    let body = json!({"patient": patient, "to": B.name(), "actions": ["read"]});
    post(world, token, &format!("/consent/{change}"), &body)
}

fn delegates(world: &World) {
    let gateway = world.url(A);
    assert!(Browser::default().sign_in(&gateway, "anna").with(401).text().contains("delegate"));
    for wrong in [["--relationship", "BOSS"], ["--labels", "none"], ["--types", "Nothing"], ["--rights", "all"]] {
        let mut given = vec!["delegate", "add", "p1", "--account", "anna", "--name", "Anna", "--days", "30"];
        if wrong[0] != "--relationship" {
            given.extend(["--relationship", "GUARD"]);
        }
        assert!(!world.run_at(A, &[&given, &wrong[..]].concat()).status.success(), "{wrong:?}");
    }
    let given = add(world, "p1", "anna", &["--relationship", "GUARD", "--labels", "general"]);
    let (id, name) = (given["id"].as_str().unwrap(), given["user"].as_str().unwrap());
    let mut anna = Browser::default();
    assert!(anna.sign_in(&gateway, "anna").with(200).text().contains("As GUARD: Patient/p1"));
    let token = anna.token(&gateway);
    let client = with(world, &token);

    // Reading, in one record, of one label.
    client.get("/fhir/Patient/p1").with(200);
    let seen = client.get("/fhir/Observation?patient=p1").with(200).name_set();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let all = with(world, world.token_of_user(A)).get("/fhir/Observation?patient=p1").with(200).name_set();
    assert_eq!(all.len(), 3, "{all:?}");
    for hidden in ["Observation/secret", "Patient/p2", "Observation/p2-o0", "Patient/p2/$everything"] {
        client.get(&format!("/fhir/{hidden}")).with(404);
    }
    assert!(!client.get("/fhir/Patient/p1/$everything").with(200).text().contains("secret"));
    // Nothing else.
    let observation = json!({
        "resourceType": "Observation", "status": "final", "code": {"text": "own"},
        "subject": {"reference": "Patient/p1"},
    });
    post(world, &token, "/fhir/Observation", &observation).with(403);
    let consent = json!({"resourceType": "Consent", "status": "active", "patient": {"reference": "Patient/p1"}});
    post(world, &token, "/fhir/Consent", &consent).with(403);
    assert_eq!(grant(world, &token, "p1", "grant").with(403).code(), "delegation-insufficient");
    grant(world, &token, "p2", "grant").with(404);
    let more = json!({
        "patient": "p1", "account": "eve", "name": "Eve", "relationship": "FRND", "rights": ["read"], "days": 1,
    });
    post(world, &token, "/delegates", &more).with(404);
    for path in ["/status", "/sessions", "/emergency", "/devices", "/erasure"] {
        client.get(path).with(403);
    }
    for path in ["/delegates?patient=p1", "/passkeys?patient=p1"] {
        client.get(path).with(404);
    }
    client.send("DELETE", &format!("/delegates/{id}"), &[], "").with(404);
    refusals_are_entered(world, name);
    let other = client.send("GET", "/fhir/Patient/p1", &[("Purpose-Of-Use", "TREAT")], "").with(401);
    assert_eq!(other.code(), "purpose-not-granted");

    // In both logs as who they are, with what they are to the patient.
    for party in [Party::Broker, Party::Archive, A] {
        let folder = world.folder(party);
        let search = ["audit", "search", "--folder", text(&folder), "--user", name, "--json"];
        let found = json_of(&run(&search));
        let found = found.as_array().unwrap();
        let asked = found.iter().filter(|one| one["role"] == "GUARD" && one["purpose"] == "PATRQT").count();
        assert!(asked > 0, "{party:?}: {found:?}");
        assert!(!found.iter().any(|one| one["role"] == "patient"), "{party:?}: {found:?}");
    }
    let person =
        with(world, world.token_of_user(A)).get(&format!("/fhir/RelatedPerson/delegate-{id}")).with(200).json();
    assert_eq!((&person["active"], &person["relationship"][0]["coding"][0]["code"]), (&json!(true), &json!("GUARD")));

    // An app that they approve has no more than they have.
    let mut app = App::register(world, A, "family", "user/*.cruds patient/*.rs offline_access");
    app.used_by(anna.session());
    let answer = app.user_token("user/*.rs patient/*.rs offline_access", Some("p1")).with(200).json();
    let scope = answer["scope"].as_str().unwrap();
    assert!(!scope.contains("user/") && scope.contains("patient/"), "{scope}");
    let approved = answer["access_token"].as_str().unwrap();
    with(world, approved).get("/fhir/Patient/p1").with(200);
    with(world, approved).get("/fhir/Observation/secret").with(404);

    // Removed: at once, for tokens, apps and the next sign-in.
    succeeded(&world.run_at(A, &["delegate", "remove", id]));
    assert_eq!(client.get("/fhir/Patient/p1").with(401).code(), "token-revoked");
    with(world, approved).get("/fhir/Patient/p1").with(401);
    assert_eq!(app.refreshed(answer["refresh_token"].as_str().unwrap()).status, 400);
    anna.token_for(&gateway, "p1").with(403);
    Browser::default().sign_in(&gateway, "anna").with(401);
    let person =
        with(world, world.token_of_user(A)).get(&format!("/fhir/RelatedPerson/delegate-{id}")).with(200).json();
    assert_eq!(person["active"], false);
    assert_eq!(exit(&world.run_at(A, &["delegate", "remove", id])), 2);
    let folder = world.folder(A);
    let changed =
        json_of(&run(&["audit", "search", "--folder", text(&folder), "--kind", "delegate-changed", "--json"]));
    let actions: Vec<_> = changed.as_array().unwrap().iter().map(|one| one["details"]["action"].clone()).collect();
    assert!(actions.contains(&json!("add")) && actions.contains(&json!("remove")), "{changed}");
}

/// What a delegate was refused stands in the hospital's log, and about whom.
fn refusals_are_entered(world: &World, name: &str) {
    let folder = world.folder(A);
    let pseudonym = |patient: &str| {
        let consent = with(world, world.token_of_user(A)).get(&format!("/consent?patient={patient}")).with(200);
        consent.json()["patient"].as_str().unwrap().to_owned()
    };
    let (p1, p2) = (pseudonym("p1"), pseudonym("p2"));
    let search = ["audit", "search", "--folder", text(&folder), "--user", name, "--outcome", "refused", "--json"];
    let found = json_of(&run(&search));
    let entered = |kind: &str, code: &str, patient: Option<&str>, what: (&str, &str)| {
        found.as_array().unwrap().iter().any(|one| {
            (&one["kind"], &one["code"]) == (&json!(kind), &json!(code))
                && one["patient"].as_str() == patient
                && one["details"][what.0] == what.1
        })
    };
    for (kind, code, patient, what) in [
        ("consent-changed", "delegation-insufficient", Some(&*p1), ("action", "grant")),
        ("consent-changed", "patient-unknown", Some(&*p2), ("action", "grant")),
        ("delegate-changed", "patient-unknown", Some(&*p1), ("action", "add")),
        ("delegate-changed", "delegation-unknown", Some(&*p1), ("action", "remove")),
        ("list-read", "patient-unknown", Some(&*p1), ("subject", "delegates")),
        ("list-read", "patient-unknown", Some(&*p1), ("subject", "passkeys")),
        ("signed-in", "scope-insufficient", None, ("action", "GET /status")),
        ("signed-in", "administrator-needed", None, ("action", "GET /sessions")),
    ] {
        assert!(entered(kind, code, patient, what), "{kind} {code} {what:?}: {found:#}");
    }
}

/// Its messages end with the delegation, as all else that the delegate holds.
fn browsers(world: &World, receiver: &Receiver) {
    let gateway = world.url(A);
    let given = add(world, "p1", "dora", &["--relationship", "PRN"]);
    let some = add(world, "p1", "otto", &["--relationship", "SIB", "--labels", "general"]);
    let signed_in = |account: &str| {
        let mut browser = Browser::default();
        browser.sign_in(&gateway, account).with(200);
        browser.token(&gateway)
    };
    let (dora, otto) = (signed_in("dora"), signed_in("otto"));
    let (browser, subscription) = receiver.browser("of-a-delegate");
    let body = json!({"subscription": subscription});
    // The log names what has labels that this delegate may not open.
    assert_eq!(post(world, &otto, "/push/browsers", &body).with(403).code(), "scope-insufficient");
    post(world, &dora, "/push/browsers", &body).with(201);
    let opened_by = |user: &str| {
        let token = world.token(A, user, "physician");
        with(world, &token).get("/fhir/Patient/p1").with(200);
    };
    let told = || receiver.told(&browser, "of-a-delegate");
    opened_by("dr-before");
    until(|| (!told().is_empty()).then_some(()));
    assert_eq!((told().len(), &told()[0]["user"]), (1, &json!("dr-before")));
    succeeded(&world.run_at(A, &["delegate", "remove", given["id"].as_str().unwrap()]));
    opened_by("dr-after");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(told().len(), 1, "{:?}", told());
    succeeded(&world.run_at(A, &["delegate", "remove", some["id"].as_str().unwrap()]));
}

fn patients(world: &World) {
    let gateway = world.url(A);
    let mut pat = Browser::default();
    assert!(pat.sign_in(&gateway, "pat").with(200).text().contains("Your own: Patient/p1"));
    let token = pat.token(&gateway);
    let client = with(world, &token);
    assert_eq!(client.get("/fhir/Observation?patient=p1").with(200).name_set().len(), 3);
    client.get("/fhir/Observation/p2-o0").with(404);
    for patient in ["p2", &format!("{SYSTEM}|2")] {
        grant(world, &token, patient, "grant").with(404);
        client.get(&format!("/consent?patient={}", support::encode(patient))).with(404);
        client.get(&format!("/delegates?patient={}", support::encode(patient))).with(404);
    }
    assert_eq!(grant(world, &token, "p1", "grant").with(200).json()["provisions"].as_array().unwrap().len(), 2);

    // The patient makes a delegate, who may decide and nothing more.
    let made = json!({
        "patient": "p1", "account": "carol", "name": "Carol", "relationship": "HPOWATT", "rights": ["consent"], "days": 1,
    });
    let made = post(world, &token, "/delegates", &made).with(201).json();
    let mut carol = Browser::default();
    carol.sign_in(&gateway, "carol").with(200);
    let hers = carol.token(&gateway);
    with(world, &hers).get("/fhir/Observation/p1-o0").with(403);
    grant(world, &hers, "p1", "withdraw").with(200);
    with(world, &hers).get("/consent?patient=p1").with(200);
    let path = format!("/delegates/{}", made["id"].as_str().unwrap());
    with(world, &hers).send("DELETE", &path, &[], "").with(404);
    client.send("DELETE", &path, &[], "").with(204);
    grant(world, &hers, "p1", "grant").with(401);

    // A user of the hospital who is somebody's delegate works in one of both, as they ask.
    add(world, "p2", "dr-a", &["--relationship", "CHILD"]);
    let mut dr_a = Browser::default();
    assert!(dr_a.sign_in(&gateway, "dr-a").with(200).text().contains("physician"));
    let mut child = Browser::default();
    let url = child.reach_callback(&gateway, "dr-a", "?role=patient");
    child.go(&url, None, "").1.with(200);
    assert!(child.page(&gateway).with(200).text().contains("As CHILD: Patient/p2"));
    let token = child.token(&gateway);
    with(world, &token).get("/fhir/Patient/p2").with(200);
    with(world, &token).get("/fhir/Patient/p1").with(404);
}

/// The patient sees the records of both identities; who acts for one of them sees neither, until they are named for both.
fn merged(world: &World) {
    let gateway = world.url(A);
    let signed_in = |account: &str| {
        let mut browser = Browser::default();
        browser.sign_in(&gateway, account).with(200);
        browser.token(&gateway)
    };
    let sees =
        |token: &str| ["p1", "p2"].map(|id| with(world, token).get(&format!("/fhir/Observation/{id}-o0")).status);
    let given = add(world, "p1", "mona", &["--relationship", "GUARD"]);
    let (mona, own) = (signed_in("mona"), signed_in("pat"));
    assert_eq!((sees(&mona), sees(&own)), ([200, 404], [200, 404]));

    succeeded(&administrate(world, &["patient", "merge", "p1", "--into", "p2"]));
    let since = signed_in("pat");
    assert_eq!((sees(&mona), sees(&own), sees(&since)), ([401, 401], [200, 200], [200, 200]));
    Browser::default().sign_in(&gateway, "mona").with(401);
    let listed = json_of(&world.run_at(A, &["delegate", "list", "p2", "--json"]));
    let one = listed.as_array().unwrap().iter().find(|one| one["id"] == given["id"]).unwrap();
    assert_eq!(one["rests"], true, "{listed}");
    let anew = add(world, "p1", "mona", &["--relationship", "GUARD"]);
    assert_eq!(anew["rests"], false);
    let for_both = signed_in("mona");
    assert_eq!((sees(&for_both), sees(&mona)), ([200, 200], [401, 401]));

    // Parted, everybody has their own again.
    succeeded(&administrate(world, &["patient", "unmerge", "p1"]));
    for token in [&mona, &own, &since, &for_both] {
        assert_eq!(sees(token), [200, 404]);
    }
}

fn from_a_terminal(world: &World) {
    let gateway = world.url(A);
    let file = world.path().join("login.token");
    let mut login = Command::new(env!("CARGO_BIN_EXE_sealwort"))
        .args(["login", "--gateway", &gateway, "--token-file", text(&file)])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(login.stderr.take().unwrap());
    let mut line = String::new();
    while !line.trim().starts_with("http://") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0);
    }
    let url = line.trim().to_owned();
    let (host, path) = split(&url);
    let mut dr_a = Browser::default();
    dr_a.sign_in(&gateway, "dr-a").with(200);
    let page = dr_a.send(&host, &path, None).with(200);
    assert!(page.field("content-security-policy").unwrap().contains("form-action 'self' http://127.0.0.1:"));
    let page = page.text();
    let field = |name| hidden(&page, name);
    let asked = format!("port={}&state={}&code_challenge={}", field("port"), field("state"), field("code_challenge"));
    dr_a.send(&host, "/auth/terminal", Some(&format!("{asked}&form=x"))).with(403);
    let allowed = dr_a.send(&host, "/auth/terminal", Some(&format!("{asked}&form={}", field("form")))).with(303);
    let back = allowed.field("location").unwrap().to_owned();
    // Whoever sees the code cannot use it; it is used up by trying.
    let again = dr_a.send(&host, "/auth/terminal", Some(&format!("{asked}&form={}", field("form")))).with(303);
    let stolen = again.field("location").unwrap().split(['=', '&']).nth(1).unwrap().to_owned();
    for _ in 0..2 {
        let body = json!({"code": stolen, "code_verifier": "guessed"});
        post(world, "", "/auth/terminal/token", &body).with(401);
    }
    let (program, path) = split(&back);
    Browser::default().send(&program, &path.replace("state=", "state=x"), None).with(404);
    Browser::default().send(&program, &path, None).with(200);
    assert!(login.wait().unwrap().success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let command = |name| run(&[name, "--gateway", &gateway, "--token-file", text(&file)]);
    succeeded(&command("status"));
    let sessions = json_of(&administrate(world, &["session", "list", "--json"]));
    assert!(sessions.as_array().unwrap().iter().any(|one| one["user"] == "dr-a"));
    let token = fs::read_to_string(&file).unwrap();
    succeeded(&command("logout"));
    assert!(!file.exists());
    with(world, &token).get("/status").with(401);
    dr_a.page(&gateway).with(303);
    let nowhere = run(&["login", "--gateway", &gateway]);
    assert!(exit(&nowhere) == 1 && errors(&nowhere).contains("--token-file"), "{}", errors(&nowhere));
}

/// Somebody who takes a long answer slowly.
struct SlowReader {
    stream: TcpStream,
    promised: usize,
    received: usize,
}

impl SlowReader {
    fn begin(address: SocketAddr, token: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split_once("content-length: ").unwrap_or_else(|| panic!("{head}")).1;
        Self { stream, promised: length.split("\r\n").next().unwrap().parse().unwrap(), received: 0 }
    }

    /// Takes a little more, if there is more.
    fn take(&mut self) -> bool {
        let taken = self.stream.read(&mut [0; 8 * 1024]).unwrap_or(0);
        self.received += taken;
        taken > 0
    }

    /// Takes what is left, and says whether all came.
    fn comes_whole(mut self) -> bool {
        while self.take() {}
        assert!(self.received <= self.promised);
        self.received == self.promised
    }
}

/// Reads all of these slowly, does something, and some seconds later takes whatever still comes: which of them are whole.
fn interrupted<const N: usize>(mut readers: [SlowReader; N], ends: impl FnOnce()) -> [bool; N] {
    let slowly = |readers: &mut [SlowReader; N], time: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            for reader in readers.iter_mut() {
                reader.take();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    slowly(&mut readers, Duration::from_secs(1));
    ends();
    slowly(&mut readers, Duration::from_secs(4));
    readers.map(SlowReader::comes_whole)
}

fn cut(world: &World) {
    let gateway = world.url(A);
    world.put(A, &bundle(3, 0)).unwrap().done();
    for number in 0..7 {
        // Random letters, so that nothing makes them short.
        let data: String = (0..64 * 1024).map(|_| support::letters(64)).collect();
        let document = json!({
            "resourceType": "DocumentReference", "id": format!("long-{number}"), "status": "current",
            "subject": {"reference": "Patient/p3"},
            "content": [{"attachment": {"contentType": "application/octet-stream", "data": data}}],
        });
        world.put(A, document.to_string().as_bytes()).unwrap().done();
    }
    world.consent(A, "grant", "p3", B).unwrap().done();
    let mut dr_a = Browser::default();
    dr_a.sign_in(&gateway, "dr-a").with(200);
    let session = dr_a.token(&gateway);
    let delegation = add(world, "p3", "anna", &["--relationship", "PRN"]);
    let mut anna = Browser::default();
    anna.sign_in(&gateway, "anna").with(200);
    let delegate = anna.token(&gateway);
    let mut app = App::register(world, A, "long", "patient/*.rs");
    app.used_by(anna.session());
    // An app's token from somebody else: it is revoked by itself.
    let mut ned = Browser::default();
    ned.sign_in(&gateway, "ned").with(200);
    app.used_by(ned.session());
    let apps = access_token(app.user_token("patient/*.rs", Some("p3")));

    let identifier = support::encode(&support::identifier(3));
    world.get(B, &format!("/fhir/Patient?identifier={identifier}")).unwrap().done();
    let everything = "/fhir/Patient/p3/$everything";
    let at_a = |token: &str| SlowReader::begin(world.address(A), token, everything);
    let at_b = || SlowReader::begin(world.address(B), world.token_of_user(B), everything);
    let readers = [at_a(world.token_of_user(A)), at_a(&session), at_a(&delegate), at_a(&apps)];
    let id = dr_a.session().split_once('=').unwrap().1.split('.').next().unwrap().to_owned();
    let whole = interrupted(readers, || {
        succeeded(&administrate(world, &["session", "end", &id]));
        succeeded(&world.run_at(A, &["delegate", "remove", delegation["id"].as_str().unwrap()]));
        app.revoke(&apps).with(200);
    });
    assert_eq!(whole, [true, false, false, false], "a user's own, an ended session's, a delegate's, an app's");

    let whole = interrupted([at_b()], || drop(world.consent(A, "withdraw", "p3", B).unwrap().done()));
    assert_eq!(whole, [false], "a hospital's whose consent was withdrawn");

    world.consent(A, "grant", "p3", B).unwrap().done();
    let config = world.config(Party::Ca);
    let revoke = ["ca", "revoke", "hospital-b", "--reason", "privilege-withdrawn", "--config", text(&config)];
    let whole = interrupted([at_b()], || succeeded(&run(&revoke)));
    assert_eq!(whole, [false], "a hospital's whose certificates were revoked");
}
