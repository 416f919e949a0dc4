//! The command line and the five processes as operators and scripts meet them: from configuration files, over
//! real sockets, with the exit codes that they rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use sealwort_net::SystemClock;
use sealwort_net::client::{Body, HopClient};
use sealwort_net::tls::pinned_root_client_config;
use serde_json::{Value, json};
use support::{Party, World, bundle, errors, exit, identifier, json_of, run, succeeded, text};

#[test]
fn five_processes_exchange_a_record_and_answer_their_operators() {
    let mut world = World::start();
    let file = world.path().join("bundle.json");
    fs::write(&file, bundle(1, 20)).unwrap();

    // Written at A, refused at B, granted, read at B, withdrawn, refused again.
    let written = json_of(&world.run_at(Party::HospitalA, &["put", "--json", text(&file)]));
    assert_eq!((&written["resources"], &written["queued"]), (&json!(21), &json!(0)), "{written}");
    let here = json_of(&world.run_at(Party::HospitalA, &["get", &identifier(1)]));
    assert_eq!(here["entry"].as_array().unwrap().len(), 21);
    let refused = world.run_at(Party::HospitalB, &["get", &identifier(1)]);
    assert_eq!(exit(&refused), 3, "{}", errors(&refused));
    let grant = ["consent", "grant", &identifier(1), "--to", "hospital-b", "--action", "read"];
    succeeded(&world.run_at(Party::HospitalA, &grant));
    let listed = json_of(&world.run_at(Party::HospitalA, &["consent", "list", "--json", &identifier(1)]));
    assert!(listed.to_string().contains("hospital-b"), "{listed}");
    let there = json_of(&world.run_at(Party::HospitalB, &["get", &identifier(1)]));
    assert_eq!(resources(&there), resources(&here));
    let withdraw = ["consent", "withdraw", &identifier(1), "--to", "hospital-b"];
    succeeded(&world.run_at(Party::HospitalA, &withdraw));
    let refused = world.run_at(Party::HospitalB, &["get", "--json", &identifier(1)]);
    assert_eq!(exit(&refused), 3, "{}", errors(&refused));
    let told: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert!(told["error"]["code"].as_str().unwrap().starts_with("consent-"), "{told}");

    // A file larger than any socket's buffer, with a token of another hospital: told, not broken off.
    fs::write(&file, bundle(2, 20_000)).unwrap();
    let (gateway, token) = (world.url(Party::HospitalA), world.path().join("token-of-b"));
    let folder = world.folder(Party::HospitalB);
    let (folder, token) = (text(&folder), text(&token));
    succeeded(&run(&["gateway", "token", "--dir", folder, "--user", "dr", "--role", "physician", "--out", token]));
    let stranger = run(&["put", "--gateway", &gateway, "--token-file", token, text(&file)]);
    assert_eq!(exit(&stranger), 2);
    assert!(errors(&stranger).contains("token"), "{}", errors(&stranger));

    // Status, in JSON and in words.
    let status = json_of(&world.run_at(Party::HospitalA, &["status", "--json"]));
    assert_eq!(status["identity"], "sealwort://test/gateway/hospital-a");
    let words = world.run_at(Party::HospitalA, &["status"]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("sealwort://test/gateway/hospital-a"));
    let unknown = world.run_at(Party::HospitalA, &["get", &identifier(99)]);
    assert_eq!(exit(&unknown), 2, "{}", errors(&unknown));

    // Everybody is healthy.
    for party in Party::ALL {
        let report = doctor(&world, party);
        let words = String::from_utf8_lossy(&report.stdout).into_owned();
        assert_eq!(exit(&report), 0, "{party:?}\n{words}");
        assert_eq!(json_of(&report)["healthy"], true);
    }
    // A key that others can read, and a peer that is away, are found with what mends them.
    let key = world.folder(Party::Broker).join("kek.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(wrong(&world, Party::Broker), [("key files".to_owned(), "chmod 600".to_owned())]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    world.kill(Party::Archive);
    assert_eq!(wrong(&world, Party::Broker), [("archive".to_owned(), "start the archive".to_owned())]);
    world.restart(Party::Archive);
    assert_eq!(wrong(&world, Party::Broker), []);

    // A folder belongs to one process.
    for party in Party::ALL {
        let config = world.config(party);
        let command: &[&str] = if party == Party::Ca { &["ca", "serve"] } else { &[party.role()] };
        let second = run(&[command, &["--config", text(&config), "--listen", "127.0.0.1:0"]].concat());
        assert_eq!(exit(&second), 1, "{party:?}");
        assert!(errors(&second).contains("in use by another process"), "{party:?}: {}", errors(&second));
    }

    // Asked to end, everybody ends well.
    for party in Party::ALL.into_iter().rev() {
        assert!(world.stop(party).success(), "{party:?}\n{}", world.log_text(party));
    }
    assert_eq!(exit(&world.run_at(Party::HospitalA, &["status"])), 2);
}

#[test]
fn the_operator_invites_lists_and_revokes_with_and_without_the_service() {
    let mut world = World::start();
    let config = world.config(Party::Ca);
    let config = text(&config).to_owned();
    let list = || json_of(&run(&["ca", "list", "--json", "--config", &config]));
    let of = |list: &Value, name: &str, status: &str| {
        let matches = |one: &&Value| one["identity"].as_str().unwrap().ends_with(name) && one["status"] == status;
        list.as_array().unwrap().iter().filter(matches).count()
    };
    assert_eq!(of(&list(), "hospital-b", "in-force"), 2);
    let revoke = ["ca", "revoke", "hospital-b", "--reason", "privilege-withdrawn", "--config", &config, "--json"];
    let revoked = json_of(&run(&revoke));
    assert_eq!(revoked["serials"].as_array().unwrap().len(), 2);
    assert_eq!(of(&list(), "hospital-b", "revoked"), 2);
    assert_eq!(exit(&run(&revoke)), 2, "nothing is left to revoke");
    let found = wrong(&world, Party::HospitalB);
    assert!(found.iter().all(|(_, remedy)| remedy == "ask the exchange's"), "{found:?}");

    // Fingerprint and invitation must agree with what was told by another way.
    let print = json_of(&run(&["ca", "fingerprint", "--config", &config, "--json"]));
    let root = print["root"].as_str().unwrap().to_owned();
    let (file, folder) = (world.path().join("c.invitation"), world.path().join("hospital-c"));
    let (file, folder) = (text(&file).to_owned(), text(&folder).to_owned());
    world.stop(Party::Ca);
    succeeded(&run(&["ca", "invite", "lhc", "hospital-c", "--out", &file, "--ttl", "1h", "--config", &config]));
    let again = run(&["ca", "invite", "lhc", "hospital-c", "--out", &file, "--config", &config]);
    assert_eq!(exit(&again), 1);
    entered_and_closed(&world, &config);
    without_its_log_the_authority_only_revokes(&mut world, &config, &root);
    world.restart(Party::Ca);
    let url = format!("https://{}", world.address(Party::Ca));
    let other = root.chars().rev().collect::<String>();
    for wrong in [["--fingerprint", &other, &url], ["--fingerprint", &root, "https://127.0.0.1:1"]] {
        let refused = run(&[&["join", "--invite", &file, "--dir", &folder][..], &wrong].concat());
        assert_eq!(exit(&refused), 1, "{}", errors(&refused));
        assert!(errors(&refused).contains("operator"), "{}", errors(&refused));
    }
    let colons: Vec<String> =
        root.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).to_uppercase()).collect();
    let joined =
        run(&["join", &url, "--invite", &file, "--dir", &folder, "--fingerprint", &colons.join(":"), "--json"]);
    assert_eq!(json_of(&joined)["identity"], "sealwort://test/gateway/hospital-c");
    let other_folder = format!("{folder}-2");
    let used = run(&["join", "--invite", &file, "--dir", &other_folder, "--json"]);
    assert_eq!(exit(&used), 2);
    let told: Value = serde_json::from_slice(&used.stderr).unwrap();
    assert_eq!(told["error"]["code"], "invitation-used");
    // Joining left a configuration behind that is valid and knows folder and authority.
    let file = format!("{folder}/gateway.toml");
    succeeded(&run(&["config", "check", &file, "--role", "gateway"]));
    let shown = json_of(&run(&["config", "show", "--role", "gateway", "--dir", &folder, "--json"]));
    assert_eq!(shown["ca.url"]["value"], url);
    assert!(shown["ca.url"]["origin"].as_str().unwrap().contains("gateway.toml:"), "{shown}");
}

/// Commands without the service leave whole logs behind: each ends with the end of its own process.
fn entered_and_closed(world: &World, config: &str) {
    assert_eq!(exit(&run(&["ca", "revoke", &"0".repeat(32), "--config", config])), 1, "no such certificate");
    let shown = |serial: &Value| serial.as_str().unwrap().to_owned();
    let listed = json_of(&run(&["ca", "list", "--json", "--config", config]));
    let listed = listed.as_array().unwrap();
    let broker = listed.iter().find(|one| one["identity"].as_str().unwrap().ends_with("/broker")).unwrap();
    succeeded(&run(&["ca", "revoke", &shown(&broker["serial"]), "--config", config]));
    let found = run(&["audit", "search", "--folder", text(&world.folder(Party::Ca)), "--json", "--most", "1000"]);
    let found = json_of(&found);
    let kinds: Vec<_> = found.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    // The last is the search's own.
    let kinds = &kinds[kinds.len() - 5..kinds.len() - 1];
    assert_eq!(kinds, ["service-started", "revocation-list-issued", "certificate-revoked", "service-stopped"]);
    let starts = |kind: &str| found.as_array().unwrap().iter().filter(|one| one["kind"] == kind).count();
    assert_eq!(starts("service-started"), starts("service-stopped"), "also where the command was refused");
}

/// Where the log cannot be opened, nobody is invited; who must go goes, without the service and with it.
fn without_its_log_the_authority_only_revokes(world: &mut World, config: &str, root: &str) {
    let log = world.folder(Party::Ca).join("audit.sqlite");
    let kept = std::fs::read(&log).unwrap();
    std::fs::write(&log, b"nothing of a database").unwrap();
    let file = world.path().join("d.invitation");
    let refused = run(&["ca", "invite", "lhc", "hospital-d", "--out", text(&file), "--config", config]);
    assert_eq!(exit(&refused), 1);
    assert!(errors(&refused).contains("audit log cannot be written"), "{}", errors(&refused));
    assert!(errors(&refused).contains("only revoking and listing go on"), "{}", errors(&refused));
    assert!(!file.exists());
    let revoked = run(&["ca", "revoke", "archive", "--config", config]);
    succeeded(&revoked);
    assert!(errors(&revoked).contains("in force and was not entered"), "{}", errors(&revoked));
    let list = || json_of(&run(&["ca", "list", "--json", "--config", config]));
    let is_revoked = |list: &Value, name: &str| {
        let of_party = |one: &&Value| one["identity"].as_str().unwrap().ends_with(name);
        let mut found = list.as_array().unwrap().iter().filter(of_party).peekable();
        found.peek().is_some() && found.all(|one| one["status"] == "revoked")
    };
    assert!(is_revoked(&list(), "/archive/archive"), "{}", list());

    world.restart(Party::Ca);
    let (status, told) = got_from_authority(world, root, "/readyz");
    assert!(status == 503 && told.contains("audit log") && told.contains("start again"), "{status} {told}");
    let served = got_from_authority(world, root, "/v1/crl");
    assert_eq!(served.0, 200);
    let refused = run(&["ca", "invite", "lhc", "hospital-d", "--out", text(&file), "--config", config, "--json"]);
    assert_eq!(exit(&refused), 2);
    assert!(errors(&refused).contains("audit-unavailable"), "{}", errors(&refused));
    let revoked = run(&["ca", "revoke", "hospital-a", "--config", config, "--json"]);
    succeeded(&revoked);
    assert_eq!(json_of(&revoked)["entered"], false);
    assert!(errors(&revoked).contains("in force and was not entered"), "{}", errors(&revoked));
    assert!(is_revoked(&list(), "/gateway/hospital-a"), "{}", list());
    assert_ne!(got_from_authority(world, root, "/v1/crl").1, served.1, "the list is another one");
    assert!(world.stop(Party::Ca).success());
    std::fs::write(&log, kept).unwrap();
}

/// What the running authority answers whoever knows no more than its root certificate's fingerprint.
fn got_from_authority(world: &World, root: &str, path: &str) -> (u16, String) {
    let tls = pinned_root_client_config(root.parse().unwrap(), Arc::new(SystemClock)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = HopClient::new(tls).connect(&world.address(Party::Ca).try_into().unwrap()).await.unwrap();
        let asked = connection.request(Method::GET, path, Body::empty(), Duration::from_secs(20)).await.unwrap();
        let status = asked.status.as_u16();
        let body = asked.read(1024 * 1024).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    })
}

#[test]
fn what_is_written_wrong_is_told_with_the_right_word_and_exit_code_1() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("broker.toml");
    fs::write(&file, "[listen]\naddress = \"127.0.0.1:0\"\n[archiv]\nurl = \"https://127.0.0.1:1\"\n").unwrap();
    let path = text(&file).to_owned();
    for command in [&["config", "check", &path, "--role", "broker"][..], &["broker", "--config", &path]] {
        let refused = run(command);
        assert_eq!(exit(&refused), 1);
        let told = errors(&refused);
        assert!(told.contains("broker.toml:3") && told.contains("did you mean `archive`"), "{told}");
    }
    let nowhere = place.path().join("nowhere");
    for (command, said) in [
        (vec!["broker", "--dir", text(&nowhere), "--set", "listen.adress=127.0.0.1:0"], "did you mean"),
        (vec!["archive", "--dir", text(&nowhere)], "sealwort join"),
        (vec!["ca", "serve", "--dir", text(&nowhere)], "sealwort ca init"),
        (vec!["ca", "list", "--dir", text(&nowhere)], "sealwort ca init"),
        (vec!["brokr"], "broker"),
        (vec!["get"], "PATIENT"),
        (vec!["put", "--gateway", "127.0.0.1:1", "x.json"], "write it like"),
        (vec!["status", "--gateway", "https://127.0.0.1:1"], "--cacert"),
        (vec!["consent", "grant", "s|1", "--to", "b", "--label", "secret"], "very-restricted"),
        (vec!["doctor"], "--dir"),
    ] {
        let refused = run(&command);
        assert_eq!(exit(&refused), 1, "{command:?}: {}", errors(&refused));
        assert!(errors(&refused).contains(said), "{command:?}: {}", errors(&refused));
    }
    assert!(!nowhere.exists(), "a refused command left a folder behind");
    // Nobody there is another party's fault; a folder that is not there is unhealthy.
    assert_eq!(exit(&run(&["status", "--gateway", "http://127.0.0.1:1"])), 2);
    let unhealthy = run(&["doctor", "--role", "archive", "--dir", text(&nowhere), "--json"]);
    assert_eq!(exit(&unhealthy), 4);
    let report: Value = serde_json::from_slice(&unhealthy.stdout).unwrap();
    assert!(report["findings"].to_string().contains("sealwort join"), "{report}");
    assert_eq!(exit(&run(&["--help"])), 0);
    assert_eq!(exit(&run(&["--version"])), 0);
}

#[test]
fn a_party_that_was_killed_is_found_again() {
    let mut world = World::start();
    for (patient, party) in [Party::Archive, Party::Broker, Party::HospitalA].into_iter().enumerate() {
        world.put(Party::HospitalA, &bundle(patient, 3)).unwrap().done();
        world.kill(party);
        assert!(!world.is_running(party));
        if party != Party::HospitalA {
            // The exchange is away: what is written meanwhile waits, and is told so.
            let waiting = world.put(Party::HospitalA, &bundle(patient, 5)).unwrap();
            assert_eq!(waiting.status, 202, "{party:?}: {}", String::from_utf8_lossy(&waiting.body));
        }
        world.restart(party);
        let expected = if party == Party::HospitalA { 4 } else { 6 };
        let begun = Instant::now();
        loop {
            let read = world.get(Party::HospitalA, &format!("/fhir/Patient/p{patient}/$everything")).unwrap();
            let found = if read.is_success() { resources(&read.json()).len() } else { 0 };
            if found == expected {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{party:?}: {found} of {expected} resources");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_gateway_speaks_https_with_the_sites_own_certificate_and_tokens_come_by_file() {
    let mut world = World::start();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (world.path().join("site.pem"), world.path().join("site.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    world.set(Party::HospitalA, "fhir.certificate", json!(certificate));
    world.set(Party::HospitalA, "fhir.key", json!(key));
    world.stop(Party::HospitalA);
    world.restart(Party::HospitalA);

    let (token, folder) = (world.path().join("token"), world.folder(Party::HospitalA));
    let (token, folder) = (text(&token), text(&folder));
    let issue = ["gateway", "token", "--dir", folder, "--user", "dr", "--role", "physician", "--out", token];
    succeeded(&run(&issue));
    assert_eq!(exit(&run(&issue)), 1, "a token file is not overwritten");
    let url = format!("https://{}", world.address(Party::HospitalA));
    let status = ["status", "--json", "--gateway", &url, "--cacert", text(&certificate)];
    assert_eq!(json_of(&run(&[&status[..], &["--token-file", token]].concat()))["connected"], false);
    let stranger = run(&status);
    assert_eq!(exit(&stranger), 2);
    assert!(errors(&stranger).contains("--token-file"), "{}", errors(&stranger));
    // Another site's certificate is not believed.
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(&certificate, other.cert.pem()).unwrap();
    let refused = run(&[&status[..], &["--token-file", token]].concat());
    assert_eq!(exit(&refused), 2);
    assert!(errors(&refused).contains("tls-failed"), "{}", errors(&refused));
    fs::set_permissions(token, fs::Permissions::from_mode(0o644)).unwrap();
    let open = run(&["status", "--gateway", &url, "--cacert", text(&certificate), "--token-file", token]);
    assert!(errors(&open).contains("chmod 600"), "{}", errors(&open));
}

fn doctor(world: &World, party: Party) -> std::process::Output {
    let config = world.config(party);
    run(&["doctor", "--role", party.role(), "--config", text(&config), "--json"])
}

/// The checks that found something wrong, each with the beginning of its remedy.
fn wrong(world: &World, party: Party) -> Vec<(String, String)> {
    let output = doctor(world, party);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["state"] == "wrong")
        .map(|finding| {
            let remedy = finding["remedy"].as_str().unwrap();
            let words = if remedy.starts_with("chmod") { 2 } else { 3 };
            let beginning: Vec<&str> = remedy.split([' ', ',']).take(words).collect();
            (finding["check"].as_str().unwrap().to_owned(), beginning.join(" "))
        })
        .collect();
    assert_eq!(exit(&output), if findings.is_empty() { 0 } else { 4 }, "{report}");
    findings
}

/// The resources of a Bundle, in a comparable order.
fn resources(bundle: &Value) -> Vec<String> {
    let mut all: Vec<String> =
        bundle["entry"].as_array().unwrap().iter().map(|entry| entry["resource"].to_string()).collect();
    all.sort();
    all
}
