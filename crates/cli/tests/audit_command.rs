//! `sealwort audit` over real parties' folders beside their running services: a log that another party cosigned is
//! searched, exported and verified; then it is altered in the ways its administrator could, and verified again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use sealwort_audit::{AtRest, Checkpoint, Event, EventKind, Note, Question, Row, Tree};
use sealwort_net::{Clock, SystemClock, member, secret_file};
use sealwort_pki::enrolment::Membership;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::{Digest, Pseudonym};
use sealwort_store::sqlite::SqliteAudit;
use sealwort_store::{AuditAppended, AuditBatch, AuditStore, DataFolder, KeptCheckpoint};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use support::{Party, World, errors, exit, json_of, run, succeeded, text};

const ENTRIES: u64 = 300;
/// So many of them the broker has seen.
const WITNESSED: u64 = 250;
const TAMPERED: i32 = 5;
const UNVERIFIABLE: i32 = 6;

/// A log of a party, in a folder of its own.
struct Trail {
    membership: Membership,
    at_rest: AtRest,
    folder: PathBuf,
    place: PathBuf,
}

impl Trail {
    fn of(world: &World, party: Party, name: &str) -> Self {
        let folder = world.folder(party);
        let membership = secret_file::read(&folder.join("membership.json")).unwrap();
        let at_rest = match party {
            Party::HospitalA | Party::HospitalB => AtRest::sealed(&member::audit_key(&folder).unwrap()),
            _ => AtRest::Clear,
        };
        let membership = Membership::from_json(&membership).unwrap();
        Self { membership, at_rest, folder, place: world.path().join(name) }
    }

    /// Begins it.
    async fn begin(&self) -> SqliteAudit {
        let data = DataFolder::open(&self.place.join("scratch"), "archive").unwrap();
        SqliteAudit::open(&data, &self.place).await.unwrap()
    }

    async fn keep_chain(&self, store: &SqliteAudit) {
        let chain = &self.membership.statement.chain;
        let name = Digest::new(*chain.fingerprint().as_bytes());
        store.put_audit_chain(name, to_bytes(&chain_to_wire(chain))).await.unwrap();
    }

    /// Appends one entry; `false` where somebody else did at the same moment.
    async fn append(&self, store: &SqliteAudit, number: u64) -> bool {
        let size = store.audit_size().await.unwrap();
        let mut tree = tree(store, size).await;
        let patient = Pseudonym::new([u8::try_from(number % 7).unwrap(); 32]);
        let event = Event::new(EventKind::EntriesFetched, SystemClock.now_millis());
        let event = event.patient(patient).user("dr-ada", "physician").purpose("TREAT");
        let row = Row::append(&mut tree, &event, &self.at_rest).unwrap();
        let checkpoint = KeptCheckpoint { size: tree.size(), note: self.note(&tree).to_string() };
        store.append_audit(AuditBatch { rows: vec![row], checkpoint }).await.unwrap() == AuditAppended::Stored
    }

    fn note(&self, tree: &Tree) -> Note {
        let checkpoint = Checkpoint::of(tree, &self.membership.identity, SystemClock.now_millis());
        checkpoint.sign(&self.membership.statement.key).unwrap()
    }

    /// A copy, altered with SQL.
    async fn altered(&self, name: &str, statements: &str) -> PathBuf {
        let copy = self.place.with_file_name(name);
        fs::create_dir(&copy).unwrap();
        fs::copy(self.place.join("audit.sqlite"), copy.join("audit.sqlite")).unwrap();
        let mut root = SqliteConnectOptions::new().filename(copy.join("audit.sqlite")).connect().await.unwrap();
        root.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await.unwrap();
        sqlx::Connection::close(root).await.unwrap();
        copy
    }

    fn run(&self, command: &str, place: &Path, more: &[&str]) -> Output {
        let fixed = ["audit", command, "--folder", text(&self.folder), "--log", text(place)];
        run(&[&fixed[..], more].concat())
    }

    fn verify(&self, place: &Path, more: &[&str]) -> Output {
        self.run("verify", place, more)
    }
}

async fn tree(store: &SqliteAudit, size: u64) -> Tree {
    let hashes = store.audit_hashes(&Question::Root { size }.needs()).await.unwrap();
    Tree::open(size, &hashes).unwrap()
}

/// The archive's log, which the broker has cosigned, and the broker's, which remembers it.
async fn two_logs(world: &World) -> (Trail, Trail) {
    let (archive, broker) =
        (Trail::of(world, Party::Archive, "archive-log"), Trail::of(world, Party::Broker, "broker-log"));
    let (store, other) = (archive.begin().await, broker.begin().await);
    archive.keep_chain(&store).await;
    broker.keep_chain(&store).await;
    for number in 0..ENTRIES {
        assert!(archive.append(&store, number).await);
    }
    let mut note = archive.note(&tree(&store, WITNESSED).await);
    let origin = archive.membership.identity.to_string();
    let remembered = KeptCheckpoint { size: WITNESSED, note: note.to_string() };
    assert!(other.remember_checkpoint(&origin, 0, remembered).await.unwrap());
    let own = &broker.membership.statement.key;
    note.add(&note.cosign(&broker.membership.identity, own, SystemClock.now()).unwrap()).unwrap();
    let cosigned = KeptCheckpoint { size: WITNESSED, note: note.to_string() };
    store.put_cosigned(WITNESSED, Box::new(move |_| Some(cosigned))).await.unwrap();
    store.close().await;
    other.close().await;
    (archive, broker)
}

fn ends(output: &Output, code: i32, says: &str) {
    assert_eq!(exit(output), code, "{}", errors(output));
    assert!(errors(output).contains(says), "{says:?} is not in {}", errors(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_searched_exported_and_verified_and_what_was_altered_is_found() {
    let world = World::start();
    let (archive, broker) = two_logs(&world).await;
    let witness = world.path().join("broker.witness");
    succeeded(&broker.run("witnessed", &broker.place, &["-o", text(&witness)]));

    let passed = json_of(&archive.verify(&archive.place, &["--json"]));
    assert_eq!((&passed["size"], &passed["witnessed"]), (&ENTRIES.into(), &WITNESSED.into()));
    assert_eq!(passed["witnesses"][0], broker.membership.identity.to_string());

    altered_logs_are_found(&archive, text(&witness)).await;
    exports_verify_offline(&world, &archive, text(&witness));
    reading_is_entered_first(&archive);
    beside_a_writer(&archive).await;
    sealed_at_a_gateway(&world).await;
}

async fn altered_logs_are_found(archive: &Trail, witness: &str) {
    let cosigned = "DELETE FROM audit_checkpoint WHERE cosigned = 1";
    let alone = archive.altered("alone", cosigned).await;
    ends(&archive.verify(&alone, &[]), UNVERIFIABLE, "no other party has cosigned it");
    succeeded(&archive.verify(&alone, &["--witness", witness]));

    let edits = [
        "UPDATE audit_entry SET stored = CAST(replace(CAST(stored AS TEXT), 'dr-ada', 'dr-eve') AS BLOB) WHERE number = 20",
        "DELETE FROM audit_entry WHERE number = 20",
        "UPDATE audit_entry SET patient = NULL WHERE number = 20",
        "UPDATE audit_entry SET number = -1 WHERE number = 20; UPDATE audit_entry SET number = 20 WHERE number = 21; UPDATE audit_entry SET number = 21 WHERE number = -1",
        "DELETE FROM audit_entry WHERE number >= 290",
    ];
    for (number, edit) in edits.iter().enumerate() {
        let place = archive.altered(&format!("edit-{number}"), edit).await;
        ends(&archive.verify(&place, &[]), TAMPERED, "");
    }
    // The administrator holds the log's own key: the cut log is signed again, and what others cosigned is thrown away.
    let cut = archive.altered("cut", &format!("DELETE FROM audit_entry WHERE number >= 200; {cosigned}")).await;
    let store = SqliteAudit::open_beside(&cut).await.unwrap();
    let forged = archive.note(&tree(&store, 200).await).to_string();
    store.close().await;
    let sign = format!("UPDATE audit_checkpoint SET size = 200, note = '{forged}' WHERE cosigned = 0");
    let whole = archive.altered("signed", &format!("DELETE FROM audit_entry WHERE number >= 200; {sign}")).await;
    ends(&archive.verify(&whole, &[]), TAMPERED, "has seen 250");
    let alone = format!("DELETE FROM audit_entry WHERE number >= 200; {cosigned}; {sign}");
    let alone = archive.altered("signed-alone", &alone).await;
    ends(&archive.verify(&alone, &[]), UNVERIFIABLE, "only its own party's word");
    ends(&archive.verify(&alone, &["--witness", witness]), TAMPERED, "has seen 250");

    // A log that does not hold is not handed out as if it did, and nothing is signed over it.
    for name in ["edit-0", "edit-4"] {
        let (place, file) = (archive.place.with_file_name(name), archive.place.join(format!("{name}.ndjson")));
        let refused = archive.run("export", &place, &["-o", text(&file), "--proof", &format!("{name}.proof")]);
        ends(&refused, TAMPERED, "");
        assert!(!file.exists());
    }
}

fn exports_verify_offline(world: &World, archive: &Trail, witness: &str) {
    let place = world.path().join("exports");
    fs::create_dir(&place).unwrap();
    let file = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let (lines, proof) = (file("a.ndjson"), file("a.proof"));
    let passed = json_of(&archive.run("export", &archive.place, &["-o", &lines, "--proof", &proof, "--json"]));
    assert_eq!(passed["verified"]["entries"], ENTRIES + 1, "this reading is in it too");
    let der = world.folder(Party::Ca).join("root.der");
    let root = file("root.pem");
    let encoded = base64::engine::general_purpose::STANDARD.encode(fs::read(&der).unwrap());
    fs::write(&root, format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")).unwrap();
    let verify = |lines: &str, proof: &str, root: &str, more: &[&str]| {
        run(&[&["audit", "verify", lines, "--proof", proof, "--root", root], more].concat())
    };
    for root in [text(&der), root.as_str()] {
        succeeded(&verify(&lines, &proof, root, &[]));
        succeeded(&verify(&lines, &proof, root, &["--witness", witness]));
    }
    let altered = file("altered.ndjson");
    let read = fs::read_to_string(&lines).unwrap();
    for changed in
        [read.replacen("dr-ada", "dr-eve", 1), read.replacen("\"number\":20,", "\"number\":21,", 1), cut(&read)]
    {
        assert_ne!(changed, read);
        fs::write(&altered, changed).unwrap();
        ends(&verify(&altered, &proof, &root, &[]), TAMPERED, "");
    }
    // Another exchange's root knows none of these parties.
    let stranger = place.join("stranger");
    let keys = file("stranger-root");
    succeeded(&run(&["ca", "init", "--name", "other", "--dir", text(&stranger), "--root-dir", &keys]));
    ends(&verify(&lines, &proof, text(&stranger.join("root.der")), &[]), UNVERIFIABLE, "certificate");
    assert_eq!(exit(&archive.run("export", &archive.place, &["-o", &lines, "--proof", &proof])), 1, "files stay");

    let (lines, proof) = (file("p.ndjson"), file("p.proof"));
    let patient = Pseudonym::new([3; 32]).to_string();
    let output = archive.run("export", &archive.place, &["--patient", &patient, "-o", &lines, "--proof", &proof]);
    ends(&output, 0, "that none was left out is not");
    ends(&verify(&lines, &proof, &root, &[]), 0, "that none was left out is not");
    let read = fs::read_to_string(&lines).unwrap();
    assert!(read.lines().count() > 40 && read.lines().all(|line| line.contains(&patient)));

    let (lines, proof) = (file("d.ndjson"), file("d.proof"));
    let none = ["--to", "2001-01-01", "-o", &lines, "--proof", &proof];
    succeeded(&archive.run("export", &archive.place, &none));
    assert_eq!(fs::read(&lines).unwrap(), b"");
    succeeded(&verify(&lines, &proof, &root, &[]));
}

/// Without its last line.
fn cut(text: &str) -> String {
    let end = text.trim_end().rfind('\n').unwrap();
    text[..=end].to_owned()
}

fn reading_is_entered_first(archive: &Trail) {
    let found = json_of(&archive.run("search", &archive.place, &["--kind", "log-exported", "--json"]));
    let found = found.as_array().unwrap();
    assert!(!found.is_empty());
    assert!(found.iter().all(|one| one["user"].as_str().unwrap().starts_with("uid ") && one["role"] == "operator"));
    let search = |more: &[&str]| json_of(&archive.run("search", &archive.place, &[more, &["--json"]].concat()));
    let searched = search(&["--kind", "log-searched"]);
    assert_eq!(searched.as_array().unwrap().len(), 2, "the one before, and this one");
    assert_eq!(searched[1]["details"]["query"], "kind log-searched");
    assert_eq!(search(&["--user", "dr-ada", "--most", "1000"]).as_array().unwrap().len() as u64, ENTRIES);
    assert_eq!(search(&["--user", "dr-eve"]).as_array().unwrap().len(), 0);
    assert_eq!(search(&["--outcome", "refused"]).as_array().unwrap().len(), 0);
    let patient = Pseudonym::new([3; 32]).to_string();
    let about = search(&["--patient", &patient, "--kind", "log-exported"]);
    assert_eq!(about.as_array().unwrap().len(), 1, "that the patient's entries were exported is one of them");
    let few = archive.run("search", &archive.place, &["--most", "2"]);
    ends(&few, 0, "--after 1");
    assert_eq!(exit(&archive.run("search", &archive.place, &["--kind", "nonsense"])), 1);
    succeeded(&archive.verify(&archive.place, &[]));
}

/// The command and a writer in another process append in turns, and none takes anything from the other.
async fn beside_a_writer(archive: &Trail) {
    let store = SqliteAudit::open_beside(&archive.place).await.unwrap();
    let before = store.audit_size().await.unwrap();
    let (folder, place) = (archive.folder.clone(), archive.place.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let log = ["--folder", text(&folder), "--log", text(&place)];
        for _ in 0..5 {
            succeeded(&run(&[&["audit", "search"], &log[..], &["--kind", "log-exported"]].concat()));
            succeeded(&run(&[&["audit", "verify"], &log[..]].concat()));
        }
    });
    let mut stored = 0;
    while !reader.is_finished() {
        stored += u64::from(archive.append(&store, stored).await);
    }
    reader.await.unwrap();
    assert!(stored > 0);
    assert_eq!(store.audit_size().await.unwrap(), before + stored + 5);
    store.close().await;
    succeeded(&archive.verify(&archive.place, &[]));
}

async fn sealed_at_a_gateway(world: &World) {
    let hospital = Trail::of(world, Party::HospitalA, "hospital-log");
    let store = hospital.begin().await;
    hospital.keep_chain(&store).await;
    for number in 0..10 {
        assert!(hospital.append(&store, number).await);
    }
    store.close().await;
    let found = json_of(&hospital.run("search", &hospital.place, &["--user", "dr-ada", "--json"]));
    assert_eq!(found.as_array().unwrap().len(), 10);
    let bytes = fs::read(hospital.place.join("audit.sqlite")).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"dr-ada"), "names lie in the clear");
    ends(&hospital.verify(&hospital.place, &[]), UNVERIFIABLE, "only its own party's word");
    let place =
        hospital.altered("hospital-edit", "UPDATE audit_entry SET stored = zeroblob(200) WHERE number = 4").await;
    ends(&hospital.verify(&place, &[]), TAMPERED, "entry 4");
}
