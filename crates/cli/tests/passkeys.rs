//! Patients' passkeys, in a real browser (Chromium) with an authenticator of its own, on the gateway's real page over real
//! TLS: made by an invitation, shown to sign in, several of them, kept over a restart, removed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use support::{Party, World, bundle, errors, free_address, json_of, succeeded, text};

const A: Party = Party::HospitalA;

/// A patient's browser.
struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    fn start(profile: &Path, spki: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/clients/node/passkeys.mjs");
        let mut child = Command::new("node")
            .args([text(&script), "chromium", text(profile), spki])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, commands, answers };
        assert_eq!(browser.answer(), json!({"ready": true}));
        browser
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    #[track_caller]
    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let answer = self.answer();
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer
    }

    /// The text of the page that comes after a button.
    #[track_caller]
    fn press(&mut self, button: &str) -> (String, String) {
        let page = self.tell(&json!({"press": button}));
        (page["url"].as_str().unwrap().to_owned(), page["text"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn make(&mut self, code: &str) -> (String, String) {
        self.tell(&json!({"fill": ["code", code]}));
        self.press("#invitation button")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The script ends the browser with itself, when its input ends.
        let _ = self.commands.flush();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hospital whose gateway is reached over TLS.
struct Site {
    world: World,
    url: String,
    certificate: PathBuf,
}

impl Site {
    fn run(&self, token: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .args(arguments)
            .args(["--gateway", &self.url, "--cacert", text(&self.certificate)])
            .env_clear()
            .env("SEALWORT_CLIENT__TOKEN", token)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn staff(&self, arguments: &[&str]) -> Output {
        self.run(self.world.token_of_user(A), arguments)
    }
}

#[test]
fn patients_sign_in_with_passkeys() {
    if !["chromium", "node"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok()) {
        eprintln!("SKIPPED: chromium and node are not installed; run scripts/install.sh");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (place.path().join("gateway.crt"), place.path().join("gateway.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let spki = STANDARD
        .encode(sealwort_proto::crypto::sha256(&rcgen::PublicKeyData::subject_public_key_info(&made.signing_key)));
    let address = free_address();
    let url = format!("https://localhost:{}", address.port());
    let world = World::start_with(&[
        (A, "fhir.address", json!(address)),
        (A, "fhir.public_url", json!(url)),
        (A, "fhir.certificate", json!(certificate)),
        (A, "fhir.key", json!(key)),
    ]);
    let mut site = Site { world, url: url.clone(), certificate };
    for patient in [1, 2] {
        let file = place.path().join("bundle.json");
        fs::write(&file, bundle(patient, 1)).unwrap();
        succeeded(&site.staff(&["put", text(&file)]));
    }
    let mut browser = Browser::start(&place.path().join("profile"), &spki);
    let home = format!("{url}/portal/own");
    let page = format!("{url}/auth/passkey");

    // Made by an invitation, which counts once; a user whom the authenticator does not verify makes none.
    let invited = json_of(&site.staff(&["passkey", "invite", "p1", "--json"]));
    let code = invited["code"].as_str().unwrap();
    assert_eq!(invited["url"], page.as_str());
    let shown = browser.tell(&json!({"open": page}));
    let policy = shown["policy"].as_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(browser.make("00000-00000-00000-00000").1.contains("no such invitation"));
    browser.tell(&json!({"authenticator": {"isUserVerified": false}}));
    assert!(browser.make(code).1.contains("did not work"));
    browser.tell(&json!({"authenticator": {}}));
    let (at, said) = browser.make(&code.to_lowercase().replace('-', " "));
    assert!(at == home && said.contains("Your own record: Given Family1"), "{at}: {said}");

    // The token opens the own record and nothing else.
    let token = |browser: &mut Browser| {
        browser.tell(&json!({"open": page}));
        let answer = browser.tell(&json!({"token": true}));
        assert_eq!(answer["status"], 200, "{answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["patient"], "p1");
        assert!(body["scope"].as_str().unwrap().split(' ').all(|scope| scope.starts_with("patient/")), "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    };
    let first = token(&mut browser);
    succeeded(&site.run(&first, &["get", "p1"]));
    for other in [&["get", "p2"][..], &["status"], &["passkey", "list", "p2"], &["passkey", "invite", "p1"]] {
        assert!(!site.run(&first, other).status.success(), "{other:?}");
    }
    let list = |site: &Site| json_of(&site.staff(&["passkey", "list", "p1", "--json"])).as_array().unwrap().clone();
    assert_eq!(list(&site).len(), 1);
    // While the identity is merged into another one it is the other's, too; then its own again.
    let listed = |site: &Site| {
        ["p1", "p2"].map(|id| json_of(&site.staff(&["passkey", "list", id, "--json"])).as_array().unwrap().len())
    };
    let administrator = site.world.token(A, "root", "administrator");
    succeeded(&site.run(&administrator, &["patient", "merge", "p1", "--into", "p2"]));
    assert_eq!(listed(&site), [1, 1]);
    succeeded(&site.run(&first, &["get", "p2"]));
    succeeded(&site.run(&administrator, &["patient", "unmerge", "p1"]));
    assert_eq!(listed(&site), [1, 0]);
    assert!(!site.run(&first, &["get", "p2"]).status.success());
    browser.tell(&json!({"forget": true}));
    browser.tell(&json!({"open": page}));
    assert!(browser.make(code).1.contains("no such invitation"), "an invitation counts once");

    // Shown to sign in, each time anew, and after a restart.
    let (at, said) = browser.press("#sign-in");
    assert!(at == home && said.contains("Your own record: Given Family1"), "{at}: {said}");
    site.world.stop(A);
    site.world.restart(A);
    assert!(!site.run(&first, &["get", "p1"]).status.success(), "sessions end with the gateway");
    browser.tell(&json!({"forget": true}));
    browser.tell(&json!({"open": page}));
    let nonsense = json!({"id": "AAAA", "client_data": "AAAA", "authenticator_data": "AAAA", "signature": "AAAA"});
    assert_eq!(browser.tell(&json!({"send": ["/auth/passkey/signed-in", nonsense]}))["status"], 401);
    assert_eq!(browser.press("#sign-in").0, home);
    let credentials = browser.tell(&json!({"credentials": true}))["credentials"].clone();
    assert_eq!(credentials.as_array().unwrap().len(), 1);
    assert!(credentials[0]["signCount"].as_u64().unwrap() >= 2 && credentials[0]["isResidentCredential"] == true);

    // A second one, by somebody who is signed in, on another authenticator; the first is removed, and what it began ends.
    let by_first = token(&mut browser);
    let one = list(&site)[0]["id"].as_str().unwrap().to_owned();
    browser.tell(&json!({"authenticator": {"transport": "usb"}}));
    browser.tell(&json!({"open": page}));
    assert_eq!(browser.press("#make").0, home);
    assert_eq!(list(&site).len(), 2);
    let by_second = token(&mut browser);
    assert!(!site.run(&by_first, &["get", "p1"]).status.success(), "signed in anew: the session before has ended");
    succeeded(&site.staff(&["passkey", "remove", &one]));
    assert_eq!(list(&site).len(), 1);
    succeeded(&site.run(&by_second, &["get", "p1"]));

    // The owner removes the last one by their own page.
    browser.tell(&json!({"open": page}));
    let (at, said) = browser.press("form button");
    assert!(at == page && said.contains("First time here"), "{at}: {said}");
    assert!(!site.run(&by_second, &["get", "p1"]).status.success());
    assert!(browser.press("#sign-in").1.contains("not registered here"));
    assert!(list(&site).is_empty());

    // What is removed does not come back by a sign-in at the same moment. Whoever holds the database's one lock holds both
    // up, the removal first.
    browser.tell(&json!({"authenticator": {}}));
    let invited = json_of(&site.staff(&["passkey", "invite", "p1", "--json"]));
    browser.tell(&json!({"open": page}));
    assert_eq!(browser.make(invited["code"].as_str().unwrap()).0, home);
    let third = list(&site)[0]["id"].as_str().unwrap().to_owned();
    browser.tell(&json!({"forget": true}));
    browser.tell(&json!({"open": page}));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteConnectOptions::new().filename(site.world.folder(A).join("store.sqlite"));
    let mut lock = runtime.block_on(store.connect()).unwrap();
    runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut lock)).unwrap();
    let (removed, said) = std::thread::scope(|scope| {
        let removing = scope.spawn(|| site.staff(&["passkey", "remove", &third]));
        std::thread::sleep(Duration::from_secs(1));
        let signing_in = scope.spawn(|| browser.press("#sign-in").1);
        std::thread::sleep(Duration::from_secs(2));
        runtime.block_on(sqlx::query("ROLLBACK").execute(&mut lock)).unwrap();
        (removing.join().unwrap(), signing_in.join().unwrap())
    });
    succeeded(&removed);
    assert!(said.contains("not registered here"), "{said}");
    assert!(list(&site).is_empty());
    site.world.stop(A);
    site.world.restart(A);
    assert!(list(&site).is_empty(), "nor is it on disk");

    let folder = site.world.folder(A);
    let search = ["audit", "search", "--folder", text(&folder), "--kind", "passkey-changed", "--json"];
    let changed = json_of(&support::run(&search));
    let actions: Vec<_> = changed.as_array().unwrap().iter().map(|one| one["details"]["action"].clone()).collect();
    assert_eq!(actions, ["invite", "add", "add", "remove", "remove", "invite", "add", "remove"]);
    let wrong = site.staff(&["passkey", "remove", &one]);
    assert!(errors(&wrong).contains("no such passkey"), "{}", errors(&wrong));

    // The owner's look at the list has its entry, and so has what was refused.
    let foreign = browser.tell(&json!({"send": ["/auth/passkey/remove", {"id": one}]}));
    assert_eq!(foreign["status"], 403);
    let has = |kind: &str, role: &str, detail: &str, value: &str, code: &str| {
        let search = ["audit", "search", "--folder", text(&folder), "--kind", kind, "--json"];
        let all = json_of(&support::run(&search));
        let is_it = |entry: &Value| {
            entry["details"][detail] == value
                && entry["role"].as_str().unwrap_or_default() == role
                && entry["code"].as_str().unwrap_or_default() == code
        };
        assert!(all.as_array().unwrap().iter().any(is_it), "{kind}: {all:#}");
    };
    has("list-read", "patient", "subject", "passkeys", "");
    has("passkey-changed", "physician", "action", "remove", "passkey-unknown");
    has("signed-in", "", "method", "passkey", "access-refused");
    has("signed-in", "", "action", "POST /auth/passkey/remove", "form-foreign");
}
