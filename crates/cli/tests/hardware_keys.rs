//! The key-encryption keys of broker and archive in a PKCS#11 token (SoftHSM), with real processes: they are changed from the
//! file to the token, to another key of the token and back, while hospitals write and the services are killed; a token that
//! is away is told of, and everything goes on when it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use support::patient::resources;
use support::{
    Party, World, asked, bundle, errors, exit, free_address, identifier, json_of, run, succeeded, text, until,
    until_within,
};

const BOTH: [Party; 2] = [Party::Archive, Party::Broker];
/// How often a service is killed during each change; a longer run sets `SEALWORT_KEY_KILLS`.
const KILLS: usize = 2;
const PIN: &str = "quiet-marmot";
const OTHER_PIN: &str = "other-marmot";
const LABEL: &str = "sealwort test";
/// Changes of the key, one after the other, and with what the new key's line begins.
const CHANGES: [(&[&str], &str); 3] = [(&["--to", "token"], "pkcs11 "), (&[], "pkcs11 "), (&["--to", "file"], "")];
/// Where Debian and others keep the module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm.so",
];

/// A token in a folder of its own.
struct SoftHsm {
    place: tempfile::TempDir,
    module: &'static str,
}

impl SoftHsm {
    /// Makes it; says loudly where the machine has no SoftHSM.
    fn start() -> Option<Self> {
        let module = MODULES.into_iter().find(|module| Path::new(module).exists());
        let Some(module) = module else {
            eprintln!("SKIPPED: SoftHSM is not here (Debian: softhsm2); scripts/install.sh installs it");
            return None;
        };
        let it = Self { place: tempfile::tempdir().unwrap(), module };
        fs::create_dir(it.tokens()).unwrap();
        let lines = format!("directories.tokendir = {}\nobjectstore.backend = file\n", it.tokens().display());
        fs::write(it.settings(), lines).unwrap();
        it.write_pin(PIN);
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "161803", "--pin", PIN])
            .env("SOFTHSM2_CONF", it.settings())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", errors(&made));
        Some(it)
    }

    fn tokens(&self) -> PathBuf {
        self.place.path().join("tokens")
    }

    fn settings(&self) -> PathBuf {
        self.place.path().join("softhsm2.conf")
    }

    fn pin_file(&self) -> PathBuf {
        self.place.path().join("pin")
    }

    fn write_pin(&self, pin: &str) {
        fs::write(self.pin_file(), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.pin_file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The folder of the one token.
    fn token(&self) -> PathBuf {
        let mut tokens = fs::read_dir(self.tokens()).unwrap().map(|entry| entry.unwrap().path());
        tokens.find(|path| path.is_dir()).unwrap()
    }

    /// Takes the token away; what it returns puts it back.
    fn unplug(&self) -> impl FnOnce() + use<> {
        let (there, away) = (self.token(), self.place.path().join("away"));
        fs::rename(&there, &away).unwrap();
        move || fs::rename(&away, &there).unwrap()
    }
}

#[test]
fn keys_are_changed_between_file_and_token_while_hospitals_write() {
    let Some(hsm) = SoftHsm::start() else { return };
    let kills = std::env::var("SEALWORT_KEY_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let health = BOTH.map(|party| (party, free_address()));
    let often = BOTH.map(|party| (party, "audit.cosign_every", json!("1s")));
    let heard = health.map(|(party, address)| (party, "health.address", json!(address)));
    let mut world = World::start_with(&[often, heard].concat());
    world.set_variable("SOFTHSM2_CONF", text(&hsm.settings()));
    for patient in 1..=6 {
        write(&world, patient);
    }
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    let mut written = 6;
    for party in BOTH {
        let folder = world.folder(party);
        let key = folder.join("kek.key");
        let in_file = fs::read_to_string(&key).unwrap();
        // Where no configuration says which token, nothing is begun.
        let unnamed = world.run_as(&["store", "rotate-key", "--folder", text(&folder), "--to", "token"]);
        assert!(exit(&unnamed) == 1 && errors(&unnamed).contains("--config FILE"), "{}", errors(&unnamed));
        let unset = rotate(&world, party, &["--to", "token"]);
        assert!(exit(&unset) == 1 && errors(&unset).contains("--config FILE"), "{}", errors(&unset));
        assert_eq!(fs::read_to_string(&key).unwrap(), in_file);

        assert!(world.stop(party).success());
        world.set(party, "keys.module", json!(hsm.module));
        world.set(party, "keys.token", json!(LABEL));
        world.set(party, "keys.pin_file", json!(hsm.pin_file()));
        let mut before = in_file.clone();
        // Stopped, it is only begun; killed at any moment, it goes on.
        for (to, scheme) in CHANGES {
            let begun = json_of(&rotate(&world, party, to));
            assert_eq!(begun["changed"], json!(false));
            let both = fs::read_to_string(&key).unwrap();
            assert!(both.starts_with(scheme) && both.ends_with(&before) && both.lines().count() == 2, "{both:?}");
            world.restart(party);
            for _ in 0..kills {
                std::thread::sleep(Duration::from_millis(u64::from(sealwort_proto::crypto::random::<1>()[0])));
                world.kill(party);
                world.restart(party);
            }
            until(|| (fs::read_to_string(&key).unwrap().lines().count() == 1).then_some(()));
            let now = fs::read_to_string(&key).unwrap();
            assert!(both.starts_with(&now) && now != before, "the new key is left");
            assert_eq!(now.starts_with("pkcs11 "), scheme == "pkcs11 ");
            sound(&world, party);
            before = now;
            assert!(world.stop(party).success());
        }
        world.restart(party);

        // Into the token once more, and within it, beside the running service and under load.
        let ways: [&[&str]; 2] = [&["--to", "token"], &[]];
        for to in ways {
            std::thread::scope(|scope| {
                let (world, first) = (&world, written + 1);
                let load = scope.spawn(move || (first..first + 5).for_each(|patient| write(world, patient)));
                let changed = json_of(&rotate(world, party, to));
                assert_eq!(changed["changed"], json!(true));
                load.join().unwrap();
            });
            written += 5;
        }
        let named = fs::read_to_string(&key).unwrap();
        assert!(named.starts_with("pkcs11 ") && named.lines().count() == 1, "{named:?}");
        assert_eq!(sound(&world, party)["halves"], json!(written), "every patient has a half, of one epoch");
        // Without the token nobody can tell whether halves open, and nobody says that they do not.
        let outside = run(&["store", "verify", "--json", "--folder", text(&folder)]);
        let told: Value = serde_json::from_slice(&outside.stdout).unwrap();
        let told = told["findings"].to_string();
        assert!(
            exit(&outside) == 6 && told.contains("under a key in a token") && !told.contains("does not open"),
            "{told}"
        );
    }
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();
    for party in BOTH {
        assert!(world.stop(party).success());
        world.restart(party);
        // Neither the key nor the PIN is in what a party writes.
        let said = world.log_text(party);
        assert!(!said.contains(PIN), "the PIN is in the log");
    }
    for patient in 1..=written {
        until(|| (resources(&world, Party::HospitalA, patient) == 3).then_some(()));
    }
    assert_eq!(resources(&world, Party::HospitalB, 1), 0);

    refused_at_the_start(&mut world, &hsm);
    away_while_serving(&world, &hsm, &health);
}

/// What is wrong with the token is told at the start.
fn refused_at_the_start(world: &mut World, hsm: &SoftHsm) {
    let party = Party::Archive;
    assert!(world.stop(party).success());
    let put_back = hsm.unplug();
    let said = world.restart_or_refusal(party).expect("it does not start without its key");
    assert!(said.contains("0 tokens have the label"), "{said}");
    assert_eq!(world.finding(party, "keys")["state"], json!("wrong"));
    put_back();
    let found = world.finding(party, "keys");
    assert!(found["state"] == json!("good") && found["detail"].as_str().unwrap().contains("the token has"), "{found}");
    hsm.write_pin(OTHER_PIN);
    let said = world.restart_or_refusal(party).expect("it does not start with a wrong PIN");
    assert!(said.contains("refuses the PIN") && !said.contains(OTHER_PIN), "{said}");
    hsm.write_pin(PIN);
    // Another token with the same name has no such key.
    let put_back = hsm.unplug();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "161803", "--pin", PIN])
        .env("SOFTHSM2_CONF", hsm.settings())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", errors(&made));
    let said = world.restart_or_refusal(party).expect("it does not start with another token");
    assert!(said.contains("has 0 keys with the id"), "{said}");
    fs::remove_dir_all(hsm.token()).unwrap();
    put_back();
    // A configuration without a token.
    let folder = world.folder(party);
    world.set(party, "keys.module", json!(""));
    let said = world.restart_or_refusal(party).expect("it does not start without [keys]");
    assert!(said.contains("[keys]") && said.contains(text(&folder.join("kek.key"))), "{said}");
    world.set(party, "keys.module", json!(hsm.module));
    world.restart(party);
    until(|| (resources(world, Party::HospitalA, 1) == 3).then_some(()));
}

/// While the token is away, nobody is registered; when it is back, all goes on by itself.
fn away_while_serving(world: &World, hsm: &SoftHsm, health: &[(Party, SocketAddr)]) {
    let put_back = hsm.unplug();
    let mut patient = 500;
    // What no party knows yet needs halves; the gateway keeps it meanwhile.
    until(|| {
        patient += 1;
        (world.put(Party::HospitalA, &bundle(patient, 2)).unwrap().status == 202).then_some(())
    });
    until(|| world.log_text(Party::Broker).contains("not at hand").then_some(()));
    for (_, address) in health {
        until(|| asked(*address, "/readyz").filter(|(status, why)| *status == 503 && why.contains("keys: ")));
    }
    put_back();
    for (_, address) in health {
        until(|| asked(*address, "/readyz").filter(|(status, _)| *status == 200));
    }
    until(|| (resources(world, Party::HospitalA, patient) == 3).then_some(()));
    for party in BOTH {
        sound(world, party);
    }
}

fn rotate(world: &World, party: Party, more: &[&str]) -> Output {
    let (folder, config) = (world.folder(party), world.config(party));
    let command = ["store", "rotate-key", "--json", "--folder", text(&folder), "--config", text(&config)];
    world.run_as(&[&command[..], more].concat())
}

/// What is told of a store in which nothing is wrong.
fn sound(world: &World, party: Party) -> Value {
    let (folder, config) = (world.folder(party), world.config(party));
    let verify = ["store", "verify", "--json", "--folder", text(&folder), "--config", text(&config)];
    // The audit log is cosigned after a moment, by a party that is running.
    let found = until_within(Duration::from_secs(90), || Some(world.run_as(&verify)).filter(|found| exit(found) != 6));
    succeeded(&found);
    json_of(&found)
}

/// Writes a patient with two observations.
fn write(world: &World, patient: usize) {
    until(|| (world.put(Party::HospitalA, &bundle(patient, 2)).unwrap().status == 200).then_some(()));
}
