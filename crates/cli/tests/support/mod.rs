//! A whole exchange of real processes for tests: a certificate authority, an archive, a broker and two
//! gateways, each started from its own configuration file in one temporary folder, on ports that were free.
//! Processes can be killed and started again; each is ended by its own id when the world is dropped.
//!
//! The ports of the first start are written into the configuration files, so that a restarted party is found
//! where it was.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub(crate) mod browser;
mod http;
pub(crate) mod load;
pub(crate) mod pages;
pub(crate) mod patient;
pub(crate) mod payloads;
pub(crate) mod receiver;
mod small_disk;
pub(crate) mod smart;
pub(crate) mod storage;
pub(crate) mod stored;
mod waiting;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use http::{Answer, Client, asked, encode, name_of};
use serde_json::{Value, json};
pub(crate) use small_disk::may_mount;
pub(crate) use waiting::{until, until_within};

/// The five parties, and further nodes of two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Ca,
    Archive,
    Broker,
    /// A further node of the archive, of [`World::add_node`].
    SecondArchive,
    /// A further node of the broker.
    SecondBroker,
    /// Gateway of hospital A.
    HospitalA,
    /// Gateway of hospital B.
    HospitalB,
}

impl Party {
    /// The five, in the order in which they are started.
    pub(crate) const ALL: [Self; 5] = [Self::Ca, Self::Archive, Self::Broker, Self::HospitalA, Self::HospitalB];

    /// Folder, log and party name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Archive => "archive",
            Self::Broker => "broker",
            Self::SecondArchive => "archive-2",
            Self::SecondBroker => "broker-2",
            Self::HospitalA => "hospital-a",
            Self::HospitalB => "hospital-b",
        }
    }

    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::HospitalA | Self::HospitalB => "gateway",
            Self::SecondArchive => "archive",
            Self::SecondBroker => "broker",
            other => other.name(),
        }
    }

    /// The option that holds its listening address.
    fn listen_key(self) -> &'static str {
        match self {
            Self::HospitalA | Self::HospitalB => "fhir.address",
            _ => "listen.address",
        }
    }
}

struct Process {
    child: Child,
    address: SocketAddr,
    /// Where it tells of its health and its metrics.
    health: Option<SocketAddr>,
}

/// A running exchange.
pub(crate) struct World {
    place: tempfile::TempDir,
    processes: BTreeMap<Party, Process>,
    options: BTreeMap<Party, BTreeMap<String, Value>>,
    /// Whose audit log lies on a file system of its own.
    small_disks: BTreeMap<Party, PathBuf>,
    tokens: BTreeMap<Party, String>,
    /// What processes find in their environment besides.
    environment: BTreeMap<String, String>,
    /// What broker and archive keep their data in, unless they do themselves.
    storage: Option<storage::Storage>,
}

impl World {
    /// Starts everybody: created, invited, joined, listening.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options in the configuration files.
    pub(crate) fn start_with(extra: &[(Party, &str, Value)]) -> Self {
        Self::start_on(&[], extra)
    }

    /// The same with the audit logs of some parties on file systems of their own, small ones, in memory. They are
    /// mounted in mount namespaces of these processes, so nobody else sees them, and they end with them.
    pub(crate) fn start_on(small_disks: &[Party], extra: &[(Party, &str, Value)]) -> Self {
        let mut world = Self {
            place: tempfile::tempdir().unwrap(),
            processes: BTreeMap::new(),
            options: BTreeMap::new(),
            small_disks: BTreeMap::new(),
            tokens: BTreeMap::new(),
            environment: BTreeMap::new(),
            storage: storage::Storage::asked_for(),
        };
        fs::create_dir(world.place.path().join("logs")).unwrap();
        for party in Party::ALL {
            world.set(party, "folder", json!(world.folder(party)));
            world.set(party, party.listen_key(), json!("127.0.0.1:0"));
            world.set(party, "log.filter", json!("debug"));
            if party != Party::Ca {
                world.set(party, "ca.crl_every", json!("1s"));
            }
        }
        for party in small_disks {
            let disk = world.place.path().join(format!("disk-of-{}", party.name()));
            fs::create_dir(&disk).unwrap();
            world.set(*party, "audit.folder", json!(disk));
            world.small_disks.insert(*party, disk);
        }
        for (party, key, value) in world.storage.as_ref().map(storage::Storage::options).unwrap_or_default() {
            world.set(party, key, value);
        }
        for (party, key, value) in extra {
            world.set(*party, key, value.clone());
        }
        let root = world.place.path().join("root-key");
        let folder = world.folder(Party::Ca);
        succeeded(&run(&["ca", "init", "--name", "test", "--dir", text(&folder), "--root-dir", text(&root)]));
        let ca = world.launch(Party::Ca);
        for party in Party::ALL.into_iter().skip(1) {
            world.set(party, "ca.url", json!(format!("https://{ca}")));
            world.join(party);
        }
        let archive = world.launch(Party::Archive);
        world.set(Party::Broker, "archive.url", json!(format!("https://{archive}")));
        let broker = world.launch(Party::Broker);
        for hospital in [Party::HospitalA, Party::HospitalB] {
            world.set(hospital, "broker.url", json!(format!("https://{broker}")));
            world.launch(hospital);
            let token = world.token(hospital, "dr-test", "physician");
            world.tokens.insert(hospital, token);
        }
        world
    }

    /// Starts a further node of a party on the same database. Its folder is a copy.
    pub(crate) fn add_node(&mut self, of: Party, node: Party) {
        let (from, to) = (self.folder(of), self.folder(node));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
        self.options.insert(node, self.options[&of].clone());
        self.set(node, "folder", json!(to));
        self.set(node, node.listen_key(), json!("127.0.0.1:0"));
        self.launch(node);
    }

    // ---- places ----

    /// The temporary folder that holds everything.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// A party's data folder.
    pub(crate) fn folder(&self, party: Party) -> PathBuf {
        self.place.path().join(party.name())
    }

    /// A party's configuration file.
    pub(crate) fn config(&self, party: Party) -> PathBuf {
        self.place.path().join(format!("{}.toml", party.name()))
    }

    /// What a party has written to standard error, over all its starts.
    pub(crate) fn log(&self, party: Party) -> PathBuf {
        self.place.path().join("logs").join(format!("{}.log", party.name()))
    }

    /// What `sealwort doctor` finds in one check.
    pub(crate) fn finding(&self, party: Party, check: &str) -> Value {
        let config = self.config(party);
        let report = self.run_as(&["doctor", "--role", party.role(), "--config", text(&config), "--json"]);
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check}: {report}")).clone()
    }

    /// A party's log as text.
    pub(crate) fn log_text(&self, party: Party) -> String {
        String::from_utf8_lossy(&fs::read(self.log(party)).unwrap_or_default()).into_owned()
    }

    /// Where a party listens.
    pub(crate) fn address(&self, party: Party) -> SocketAddr {
        self.processes[&party].address
    }

    /// Where a party tells of its health and its metrics, if `health.address` is set.
    pub(crate) fn health(&self, party: Party) -> Option<SocketAddr> {
        self.processes[&party].health
    }

    /// The process id of a party.
    pub(crate) fn id(&self, party: Party) -> u32 {
        self.processes[&party].child.id()
    }

    /// `http://host:port` of a hospital's gateway.
    pub(crate) fn url(&self, hospital: Party) -> String {
        format!("http://{}", self.address(hospital))
    }

    /// A party's small disk, as its process sees it.
    pub(crate) fn small_disk(&self, party: Party) -> PathBuf {
        let disk = self.small_disks[&party].strip_prefix("/").unwrap();
        Path::new("/proc").join(self.id(party).to_string()).join("root").join(disk)
    }

    /// Runs `sealwort` where a party with a small disk runs, so that it sees that disk.
    pub(crate) fn run_beside(&self, party: Party, arguments: &[&str]) -> Output {
        let id = self.id(party).to_string();
        let users = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["--target", &id, "--mount"]);
        if users(&id) != users("self") {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(env!("CARGO_BIN_EXE_sealwort")).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    // ---- processes ----

    /// Ends a party as a power cut would (`kill -9`).
    pub(crate) fn kill(&mut self, party: Party) {
        let process = self.processes.get_mut(&party).unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// Asks a party to end (SIGTERM) and waits until it has.
    pub(crate) fn stop(&mut self, party: Party) -> ExitStatus {
        let process = self.processes.get_mut(&party).unwrap();
        let asked = Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().unwrap();
        assert!(asked.success(), "{party:?} was not running");
        let begun = Instant::now();
        loop {
            if let Some(status) = process.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < STOP_PATIENCE, "{party:?} does not end:\n{}", self.log_text(party));
            std::thread::sleep(POLL);
        }
    }

    /// Starts a party again after [`Self::kill`] or [`Self::stop`].
    pub(crate) fn restart(&mut self, party: Party) {
        self.launch(party);
    }

    /// The same for one that may refuse to start: then what it said.
    pub(crate) fn restart_or_refusal(&mut self, party: Party) -> Option<String> {
        let before = self.log_text(party).len();
        let begun = Instant::now();
        loop {
            if let Some(process) = self.try_launch(party) {
                self.processes.insert(party, process);
                return None;
            }
            let said = self.log_text(party).split_off(before);
            if !said.contains("in use") || begun.elapsed() > START_PATIENCE {
                return Some(said);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Whether a party's process is running.
    pub(crate) fn is_running(&mut self, party: Party) -> bool {
        self.processes.get_mut(&party).is_some_and(|process| process.child.try_wait().unwrap().is_none())
    }

    /// Sets an option in a party's configuration file, for its next start.
    pub(crate) fn set(&mut self, party: Party, key: &str, value: Value) {
        let options = self.options.entry(party).or_default();
        options.insert(key.to_owned(), value);
        // Values of JSON that are texts and numbers are values of TOML, too.
        let lines: Vec<String> = options.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        fs::write(self.config(party), lines.join("\n")).unwrap();
    }

    /// Sets a variable of the environment, for the next start of each party and for [`Self::run_as`].
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    fn launch(&mut self, party: Party) -> SocketAddr {
        let begun = Instant::now();
        loop {
            if let Some(process) = self.try_launch(party) {
                let address = process.address;
                self.set(party, party.listen_key(), json!(address));
                self.processes.insert(party, process);
                return address;
            }
            // The port may be in use for a moment by somebody's outgoing connection.
            let log = self.log_text(party);
            assert!(begun.elapsed() < START_PATIENCE, "{party:?} does not start:\n{log}");
            std::thread::sleep(POLL);
        }
    }

    fn try_launch(&self, party: Party) -> Option<Process> {
        let log = OpenOptions::new().create(true).append(true).open(self.log(party)).unwrap();
        let mut child = self.command(party, log);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            // It ended without listening; the log says why.
            let _ = child.kill();
            child.wait().unwrap();
            return None;
        };
        assert_eq!((&event["event"], &event["role"]), (&json!("listening"), &json!(party.role())), "{line}");
        let address = event["address"].as_str().unwrap().parse().unwrap();
        let health = event["health"].as_str().map(|health| health.parse().unwrap());
        Some(Process { child, address, health })
    }

    fn command(&self, party: Party, log: File) -> Child {
        let mut command = match self.small_disks.get(&party) {
            Some(disk) => small_disk::program_on(disk),
            None => binary(),
        };
        match party {
            Party::Ca => command.args(["ca", "serve"]),
            party => command.arg(party.role()),
        };
        command
            .envs(&self.environment)
            .args(["--json", "--config", text(&self.config(party))])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    // ---- commands ----

    /// Runs `sealwort` in the environment of the parties.
    pub(crate) fn run_as(&self, arguments: &[&str]) -> Output {
        binary().envs(&self.environment).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `sealwort` as a user of a hospital: gateway and token are given to it.
    pub(crate) fn run_at(&self, hospital: Party, arguments: &[&str]) -> Output {
        binary()
            .args(arguments)
            .env("SEALWORT_CLIENT__GATEWAY", self.url(hospital))
            .env("SEALWORT_CLIENT__TOKEN", &self.tokens[&hospital])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Invites a party and lets it join.
    pub(crate) fn join(&self, party: Party) {
        let invitation = self.place.path().join(format!("{}.invitation", party.name()));
        let config = self.config(Party::Ca);
        let (file, folder) = (text(&invitation).to_owned(), self.folder(party));
        succeeded(&run(&["ca", "invite", party.role(), party.name(), "--out", &file, "--config", text(&config)]));
        succeeded(&run(&["join", "--invite", &file, "--dir", text(&folder)]));
    }

    /// A bearer token of a hospital.
    pub(crate) fn token(&self, hospital: Party, user: &str, role: &str) -> String {
        let folder = self.folder(hospital);
        let output = run(&["gateway", "token", "--dir", text(&folder), "--user", user, "--role", role, "--json"]);
        json_of(&output)["token"].as_str().unwrap().to_owned()
    }

    /// The token of the user who was there from the beginning.
    pub(crate) fn token_of_user(&self, hospital: Party) -> &str {
        &self.tokens[&hospital]
    }

    // ---- a hospital's requests ----

    /// Posts a Bundle, or another resource, at a hospital. An error means that no answer came: what was sent is
    /// then not acknowledged.
    pub(crate) fn put(&self, hospital: Party, resource: &[u8]) -> std::io::Result<Answer> {
        let probe: Value = serde_json::from_slice(resource).unwrap();
        let (kind, id) = (probe["resourceType"].as_str().unwrap(), probe["id"].as_str());
        match (kind, id) {
            ("Bundle", _) => self.request(hospital, "POST", "/fhir", resource),
            (kind, Some(id)) => self.request(hospital, "PUT", &format!("/fhir/{kind}/{id}"), resource),
            (kind, None) => self.request(hospital, "POST", &format!("/fhir/{kind}"), resource),
        }
    }

    /// Gets a path such as `/fhir/Patient/p1/$everything` at a hospital.
    pub(crate) fn get(&self, hospital: Party, path: &str) -> std::io::Result<Answer> {
        self.request(hospital, "GET", path, &[])
    }

    /// `change` is `grant` or `withdraw`, `patient` is `system|value` or an id, `to` a hospital that reads and
    /// writes everything for treatment.
    pub(crate) fn consent(&self, at: Party, change: &str, patient: &str, to: Party) -> std::io::Result<Answer> {
        let body = json!({"patient": patient, "to": to.name(), "actions": ["read", "write"]});
        self.request(at, "POST", &format!("/consent/{change}"), body.to_string().as_bytes())
    }

    /// Any request at a hospital's gateway.
    pub(crate) fn request(&self, hospital: Party, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        self.client(hospital).request(method, path, body)
    }

    /// Somebody who sends requests to a hospital while the world changes: the address outlives restarts.
    pub(crate) fn client(&self, hospital: Party) -> Client {
        Client::new(self.address(hospital), Some(self.tokens[&hospital].clone()))
    }

    /// The same with another token, or with none.
    pub(crate) fn client_with(&self, hospital: Party, token: Option<String>) -> Client {
        Client::new(self.address(hospital), token)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Gateways first: nobody complains about a peer that is gone.
        for (_, mut process) in std::mem::take(&mut self.processes).into_iter().rev() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if std::thread::panicking() {
            for party in Party::ALL.into_iter().chain([Party::SecondArchive, Party::SecondBroker]) {
                let log = self.log_text(party);
                let from = log.len().saturating_sub(LOG_TAIL_BYTES);
                let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
                eprintln!("---- {}\n{}", party.name(), &log[from..]);
            }
        }
    }
}

/// Runs the parts of a story that share one world. A part that fails does not hide what the others find.
pub(crate) fn parts(parts: &[(&str, &dyn Fn())]) {
    let fails = |part: &&(&str, &dyn Fn())| {
        let run = std::panic::AssertUnwindSafe(|| {
            let begun = Instant::now();
            (part.1)();
            println!("{}: {:.1} s", part.0, begun.elapsed().as_secs_f64());
        });
        std::panic::catch_unwind(run).is_err()
    };
    let failed: Vec<&str> = parts.iter().filter(fails).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "parts that failed: {failed:?}");
}

/// An address on loopback that nobody listens on. Somebody may take it before it is used; then the party that should
/// listen there does not start, and is started again.
pub(crate) fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, storage::free_port()).into()
}

/// Runs `sealwort` with these arguments to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    binary().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwort"));
    command.env_clear();
    command
}

/// The exit code of a command.
pub(crate) fn exit(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Fails the test unless the command did what it was asked.
pub(crate) fn succeeded(output: &Output) {
    assert!(output.status.success(), "exit {}: {}", exit(output), errors(output));
}

/// What a command wrote to standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that succeeded wrote to standard output, as JSON.
pub(crate) fn json_of(output: &Output) -> Value {
    succeeded(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A patient with one identifier and some observations, as a transaction Bundle. The same numbers give the same
/// bytes.
pub(crate) fn bundle(patient: usize, observations: usize) -> Vec<u8> {
    let name = format!("urn:uuid:00000000-0000-4000-8000-{patient:012}");
    let mut entries = vec![json!({
        "fullUrl": name,
        "resource": {
            "resourceType": "Patient", "id": format!("p{patient}"),
            "identifier": [{"system": SYSTEM, "value": format!("{patient}")}],
            "name": [{"family": format!("Family{patient}"), "given": ["Given"]}],
        },
        "request": {"method": "PUT", "url": format!("Patient/p{patient}")},
    })];
    entries.extend((0..observations).map(|number| {
        json!({
            "resource": {
                "resourceType": "Observation", "id": format!("p{patient}-o{number}"), "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                "subject": {"reference": name},
                "valueQuantity": {"value": 60 + number % 40, "unit": "/min"},
            },
            "request": {"method": "PUT", "url": format!("Observation/p{patient}-o{number}")},
        })
    }));
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string().into_bytes()
}

/// `system|value` of the patient of [`bundle`].
pub(crate) fn identifier(patient: usize) -> String {
    format!("{SYSTEM}|{patient}")
}

/// So many random letters.
pub(crate) fn letters(count: usize) -> String {
    let letter = |byte: u8| char::from(b'A' + byte % 26);
    let mut all = String::new();
    while all.len() < count {
        all.extend(sealwort_proto::crypto::random::<64>().into_iter().map(letter));
    }
    all.truncate(count);
    all
}

/// System of the identifiers of [`bundle`].
pub(crate) const SYSTEM: &str = "urn:example:sealwort-test";

const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const LOG_TAIL_BYTES: usize = 4096;
