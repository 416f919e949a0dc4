//! Every party's audit log, with real processes: what is asked and refused stands in the right logs with the right user,
//! role and purpose; a log that was cut is not cosigned; and while a log cannot be written nothing is served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwort_audit::{AtRest, Detail, Event, EventKind, Outcome};
use sealwort_net::SystemClock;
use sealwort_net::member::Member;
use sealwort_pki::Role;
use sealwort_proto::policy::Policies;
use sealwort_store::sqlite::SqliteAudit;
use sealwort_store::{AuditQuery, AuditStore as _};
use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use support::{Answer, Party, World, bundle, identifier, text};

/// The database in a party's folder.
const FILE: &str = "audit.sqlite";
/// Rounds of cosigning come every second here.
const COSIGNED_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn what_is_asked_and_refused_stands_in_the_logs_of_all_three() {
    let world = World::start();
    world.put(Party::HospitalA, &bundle(1, 3)).unwrap().done();
    let refused = read(&world, Party::HospitalB);
    assert!(refused.status == 403 || refused.status == 200, "{}", refused.status);
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    let reads = 5;
    for _ in 0..reads {
        assert_eq!(read(&world, Party::HospitalB).status, 200);
    }
    let nobody = world.client_with(Party::HospitalB, None).get("/fhir/Patient?identifier=x");
    assert_eq!(nobody.status, 401);

    // The gateways: one entry for each request, before its answer.
    let at_a = events(&world, Party::HospitalA);
    let put = of(&at_a, EventKind::BundleProcessed);
    assert_eq!(put.len(), 1);
    assert_eq!(who(put[0]), ("dr-test", "physician", "TREAT"));
    assert!(put[0].patient.is_some() && put[0].outcome == Outcome::Done);
    let changed = of(&at_a, EventKind::ConsentChanged);
    assert_eq!((changed.len(), changed[0].patient), (1, put[0].patient));
    let at_b = events(&world, Party::HospitalB);
    let searched = of(&at_b, EventKind::Searched);
    assert_eq!(searched.len(), reads + 1);
    for entry in searched.iter().skip(1) {
        assert_eq!(entry.patient, put[0].patient);
        assert_eq!(entry.get(Detail::Count), Some("1"));
        assert!(entry.get(Detail::Subject).unwrap().starts_with("Patient/"), "{entry:?}");
    }
    let turned_away = of(&at_b, EventKind::SignedIn);
    assert_eq!((turned_away.len(), turned_away[0].outcome.code()), (1, Some("login-needed")));

    // The broker decided, and knows the user by name and the patient by pseudonym alone.
    let at_broker = events(&world, Party::Broker);
    let decided = of(&at_broker, EventKind::RequestDecided);
    let refused = decided.iter().find(|entry| matches!(entry.outcome, Outcome::Refused(_))).unwrap();
    assert!(refused.outcome.code().unwrap().starts_with("consent-"), "{refused:?}");
    assert!(refused.peer.as_ref().unwrap().as_str().ends_with("hospital-b"));
    assert_eq!(who(refused), ("dr-test", "physician", "TREAT"));
    let granted = decided.iter().find(|entry| {
        entry.outcome == Outcome::Done && entry.peer.as_ref().is_some_and(|peer| peer.as_str().ends_with("hospital-b"))
    });
    assert_eq!(granted.unwrap().get(Detail::Action), Some("read"));
    assert_eq!(of(&at_broker, EventKind::PatientRegistered).len(), 1);
    assert_eq!(of(&at_broker, EventKind::HalfMade).len(), 1);
    assert!(!of(&at_broker, EventKind::ReceiptWitnessed).is_empty());
    assert!(of(&at_broker, EventKind::SessionBegun).len() >= 2);

    // The archive by its own token check, under the same request.
    let at_archive = events(&world, Party::Archive);
    let given = of(&at_archive, EventKind::AuthorityGiven);
    for entry in &given {
        assert_eq!(who(entry), ("dr-test", "physician", "TREAT"));
        assert!(decided.iter().any(|decided| decided.request == entry.request && decided.patient == entry.patient));
    }
    let deposited = of(&at_archive, EventKind::DepositStored);
    assert_eq!((deposited.len(), deposited[0].get(Detail::Count)), (1, Some("4")));
    let fetched = of(&at_archive, EventKind::EntriesFetched);
    assert!(fetched.iter().any(|entry| entry.get(Detail::Size) == Some("4") && entry.token.is_some()), "{fetched:?}");

    // No names and no identifiers outside the hospitals.
    for party in [Party::Broker, Party::Archive] {
        let text = format!("{:?}", events(&world, party));
        for clear in ["Family1", support::SYSTEM, "Patient/", "p1-o"] {
            assert!(!text.contains(clear), "{party:?}: {clear}");
        }
    }
    // A gateway's log is sealed.
    let lying = fs::read(world.folder(Party::HospitalB).join(FILE)).unwrap();
    assert!(!lying.windows(7).any(|seven| seven == b"dr-test"));
}

#[test]
fn a_log_that_was_cut_is_not_cosigned_and_is_told_of() {
    let every = json!("1s");
    let cosign = |party| (party, "audit.cosign_every", every.clone());
    let mut world = World::start_with(&[cosign(Party::Broker), cosign(Party::HospitalA), cosign(Party::HospitalB)]);
    world.put(Party::HospitalA, &bundle(1, 1)).unwrap().done();
    // Neighbours cosign each other's.
    for (log, by) in [
        (Party::Archive, Party::Broker),
        (Party::Broker, Party::Archive),
        (Party::Broker, Party::HospitalA),
        (Party::HospitalA, Party::Broker),
    ] {
        wait("a cosignature", || cosigners(&world, log).iter().any(|name| name.ends_with(by.name())));
    }
    assert!(world.stop(Party::Archive).success());
    let file = world.folder(Party::Archive).join(FILE);
    let older = fs::read(&file).unwrap();
    world.restart(Party::Archive);
    for observations in 2..5 {
        world.put(Party::HospitalA, &bundle(1, observations)).unwrap().done();
    }
    let size = events(&world, Party::Archive).len();
    wait("the newer checkpoint", || remembered(&world) >= size);
    // The archive's log goes back to before, with a checkpoint that fits it.
    assert!(world.stop(Party::Archive).success());
    for stale in ["audit.sqlite-wal", "audit.sqlite-shm"] {
        let _ = fs::remove_file(world.folder(Party::Archive).join(stale));
    }
    fs::write(&file, &older).unwrap();
    world.restart(Party::Archive);
    let evidence = world.folder(Party::Broker).join("audit-evidence");
    wait("the evidence", || fs::read_dir(&evidence).is_ok_and(|mut files| files.next().is_some()));
    let kept = fs::read_dir(&evidence).unwrap().next().unwrap().unwrap().path();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert!(kept["reason"].as_str().unwrap().contains("was rewritten"), "{kept}");
    assert!(kept["remembered"].as_str().unwrap().contains("archive/archive"), "{kept}");
    assert!(world.log_text(Party::Broker).contains("was rewritten"));
    wait("the broker's entry", || {
        let told = events(&world, Party::Broker);
        of(&told, EventKind::CheckpointCosigned).iter().any(|entry| entry.outcome.code() == Some("log-rewritten"))
    });
}

#[test]
fn while_a_log_cannot_be_written_nothing_is_served_and_then_it_is_again() {
    let world = World::start();
    world.put(Party::HospitalA, &bundle(1, 1)).unwrap().done();
    for party in [Party::Archive, Party::HospitalA] {
        assert_eq!(read(&world, Party::HospitalA).status, 200);
        // Whoever holds the database's one lock keeps the service from writing.
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = SqliteConnectOptions::new().filename(world.folder(party).join(FILE));
        let mut lock = runtime.block_on(options.connect()).unwrap();
        runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut lock)).unwrap();
        let refused = match party {
            Party::HospitalA => read(&world, party),
            // A write needs a new authority, which the archive must log.
            _ => world.put(Party::HospitalA, &bundle(1, 7)).unwrap(),
        };
        assert_eq!(refused.code(), "audit-unavailable", "{}", String::from_utf8_lossy(&refused.body));
        assert!(refused.status >= 500, "{}", refused.status);
        if party == Party::HospitalA {
            assert_eq!(refused.status, 503);
            let ready = world.client(party).get("/readyz");
            assert_eq!(ready.status, 503);
            assert!(String::from_utf8_lossy(&ready.body).contains("audit log"));
        }
        runtime.block_on(sqlx::query("ROLLBACK").execute(&mut lock)).unwrap();
        drop(lock);
        wait("service again", || match party {
            Party::HospitalA => read(&world, party).status == 200,
            _ => world.put(Party::HospitalA, &bundle(1, 7)).unwrap().status == 200,
        });
        let told = events(&world, party);
        assert!(!of(&told, EventKind::LogResumed).is_empty() || party == Party::HospitalA, "{party:?}");
    }
}

#[test]
fn a_full_disk_stops_the_service_and_room_lets_it_go_on() {
    if !support::may_mount() {
        eprintln!("SKIPPED: this machine lets nobody mount a small disk (unshare --mount); no audit disk was filled");
        return;
    }
    let parties = [Party::HospitalA, Party::Broker, Party::Archive];
    let cosign: Vec<_> = Party::ALL.into_iter().skip(1).map(|it| (it, "audit.cosign_every", json!("1s"))).collect();
    let world = World::start_on(&parties, &cosign);
    world.put(Party::HospitalA, &bundle(1, 1)).unwrap().done();
    let mut observations = 1;
    for party in parties {
        let disk = world.small_disk(party);
        fill(&disk.join("filler"));
        // What was begun before it was noticed may still fit into what the log has of the disk already.
        let begun = Instant::now();
        let refused = loop {
            let answer = world.put(Party::HospitalA, &bundle(1, observations + 1)).unwrap();
            if !answer.is_success() {
                break answer;
            }
            assert!(begun.elapsed() < COSIGNED_WITHIN, "{party:?} goes on with a full disk");
            observations += 1;
        };
        println!("{party:?}: {} after {observations} and {:.1} s", refused.status, begun.elapsed().as_secs_f64());
        let refusal = refused.json()["issue"][0].clone();
        assert_eq!(
            (refused.code().as_str(), refused.json()["resourceType"].as_str()),
            ("audit-unavailable", Some("OperationOutcome"))
        );
        let said = refusal["details"]["text"].as_str().unwrap();
        assert!(said.contains("the audit log's disk is full"), "{said}");
        assert!(refusal["diagnostics"].as_str().unwrap().contains("free space where audit.folder lies"), "{refusal}");
        if party == Party::HospitalA {
            assert_eq!(refused.status, 507);
            for path in ["/fhir/Patient/p1", "/fhir/Observation?patient=p1", "/consent?patient=p1"] {
                let refused = world.get(party, path).unwrap();
                assert_eq!((refused.status, refused.code().as_str()), (507, "audit-unavailable"), "{path}");
            }
            let ready = world.client(party).get("/readyz");
            assert_eq!(ready.status, 503);
            assert!(ready.text().contains("the disk is full") && ready.text().contains("disk-of-"), "{}", ready.text());
        } else {
            assert!(said.contains(&format!("the {} refused", party.role())), "{said}");
            // Nothing that needs this party is served to anybody else either.
            // A smaller entry than the one that was refused may still fit into what the log has of the disk.
            wait("refusal elsewhere", || {
                let asked = format!("/fhir/Patient?identifier={}", of_patient());
                world.get(Party::HospitalB, &asked).unwrap().code() == "audit-unavailable"
            });
        }
        let log = world.log_text(party);
        assert!(log.contains("nothing is served until the audit log can be written") && log.contains("disk-of-"));
        fs::remove_file(disk.join("filler")).unwrap();
        let begun = Instant::now();
        wait("service again", || world.put(Party::HospitalA, &bundle(1, observations + 1)).unwrap().status == 200);
        observations += 1;
        println!("{party:?}: served again {:.1} s after there was room", begun.elapsed().as_secs_f64());
        // What was acknowledged is there, and the log is whole.
        let found = world.get(Party::HospitalA, "/fhir/Observation?patient=p1&_summary=count").unwrap();
        assert_eq!(found.json()["total"], json!(observations));
        let log = format!("/{}", disk.strip_prefix(format!("/proc/{}/root", world.id(party))).unwrap().display());
        let folder = world.folder(party);
        let verify = ["audit", "verify", "--folder", text(&folder), "--log", &log];
        wait("a log that verifies", || world.run_beside(party, &verify).status.success());
    }
}

/// Writes until there is no room left.
fn fill(file: &std::path::Path) {
    let mut file = fs::File::create(file).unwrap();
    let mut piece = vec![0x5a_u8; 1 << 16];
    while piece.len() > 1 {
        if std::io::Write::write_all(&mut file, &piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

fn of_patient() -> String {
    identifier(1).replace('|', "%7C")
}

// ---- what stands in the logs ----

fn events(world: &World, party: Party) -> Vec<Event> {
    let at_rest = match party {
        Party::HospitalA | Party::HospitalB => sealed(world, party),
        _ => AtRest::Clear,
    };
    with_log(world, party, async |log| {
        let rows = log.audit_rows(AuditQuery::default(), 100_000).await.unwrap();
        rows.iter().map(|row| Event::from_bytes(&at_rest.open(&row.stored).unwrap()).unwrap()).collect()
    })
}

/// A gateway's log opens with what its folder holds.
fn sealed(world: &World, party: Party) -> AtRest {
    let folder = world.folder(party);
    let member = Member::load(&folder, Role::Gateway, Policies::standard(), Arc::new(SystemClock)).unwrap();
    AtRest::sealed(&member.audit_key().unwrap())
}

fn with_log<T>(world: &World, party: Party, ask: impl AsyncFnOnce(&SqliteAudit) -> T) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let log = SqliteAudit::open_beside(&world.folder(party)).await.unwrap();
        let answer = ask(&log).await;
        log.close().await;
        answer
    })
}

fn cosigners(world: &World, party: Party) -> Vec<String> {
    with_log(world, party, async |log| {
        let notes = log.cosigned(0, 1000).await.unwrap();
        let notes = notes.iter().map(|kept| kept.note.parse::<sealwort_audit::Note>().unwrap());
        notes.flat_map(|note| note.names().map(str::to_owned).collect::<Vec<_>>()).collect()
    })
}

/// How much of the archive's log the broker has seen.
fn remembered(world: &World) -> usize {
    with_log(world, Party::Broker, async |log| {
        let newest = log.newest_remembered("sealwort://test/archive/archive").await.unwrap();
        newest.map_or(0, |kept| usize::try_from(kept.size).unwrap())
    })
}

fn of(events: &[Event], kind: EventKind) -> Vec<&Event> {
    events.iter().filter(|event| event.kind == kind).collect()
}

fn who(event: &Event) -> (&str, &str, &str) {
    let purpose = event.purpose.as_ref().map_or("", |purpose| purpose.as_str());
    let role = event.role.as_ref().map_or("", |role| role.as_str());
    (event.user.as_ref().map_or("", |user| user.as_str()), role, purpose)
}

fn read(world: &World, hospital: Party) -> Answer {
    world.get(hospital, &format!("/fhir/Patient?identifier={}", identifier(1).replace('|', "%7C"))).unwrap()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < COSIGNED_WITHIN, "no {what} within {COSIGNED_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}
