//! A primary and a streaming standby of PostgreSQL under Patroni, with etcd, in a temporary folder and on free ports of
//! loopback: what replaces a primary that is gone. Everything is ended by its own id.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::server::{self, PASSWORD, USER};

/// Seconds after which a primary that says nothing is replaced; Patroni takes no fewer.
const TTL: u64 = 20;
/// Longest that a primary and its standby may take to be there, or to be there again.
pub const PATIENCE: Duration = Duration::from_mins(4);
const POLL: Duration = Duration::from_millis(200);

struct Node {
    name: &'static str,
    port: u16,
    rest: u16,
    patroni: Option<Child>,
}

pub struct Cluster {
    programs: PathBuf,
    place: tempfile::TempDir,
    etcd: Child,
    nodes: [Node; 2],
}

impl Cluster {
    /// Starts one, once its standby is synchronous; says loudly where the machine has no Patroni or etcd.
    pub fn start() -> Option<Self> {
        let programs = server::programs()?;
        let there =
            |program: &str| Command::new(program).arg("--version").output().is_ok_and(|run| run.status.success());
        if !there("patroni") || !there("etcd") {
            eprintln!(
                "SKIPPED: Patroni or etcd is not here (Debian: patroni, etcd-server); scripts/install.sh installs them"
            );
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        server::give(place.path());
        let [client, peer] = [(); 2].map(|()| server::free_port());
        let etcd = etcd(place.path(), client, peer);
        let nodes = ["one", "two"].map(|name| {
            let [port, rest] = [(); 2].map(|()| server::free_port());
            Node { name, port, rest, patroni: None }
        });
        let mut cluster = Self { programs, place, etcd, nodes };
        for node in 0..2 {
            cluster.configure(node, client);
            cluster.resume(node);
        }
        cluster.wait_for_standby();
        Some(cluster)
    }

    fn configure(&self, node: usize, etcd: u16) {
        let Node { name, port, rest, .. } = self.nodes[node];
        let (place, programs) = (self.place.path().display(), self.programs.display());
        let host = "127.0.0.1";
        let login = |user| format!("{{username: {user}, password: {PASSWORD}}}");
        let configuration = format!(
            "scope: sealwort
name: {name}
restapi: {{listen: '{host}:{rest}', connect_address: '{host}:{rest}'}}
etcd3: {{host: '{host}:{etcd}'}}
bootstrap:
  dcs:
    ttl: {TTL}
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    failsafe_mode: true
    postgresql: {{use_pg_rewind: true, parameters: {{max_connections: 80}}}}
  initdb: [data-checksums, {{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: '{host}:{port}'
  connect_address: '{host}:{port}'
  data_dir: {place}/{name}
  bin_dir: {programs}
  pgpass: {place}/{name}.pgpass
  parameters: {{unix_socket_directories: '{place}', shared_buffers: 16MB}}
  pg_hba: ['local all all trust', 'host all all {host}/32 scram-sha-256', 'host replication all {host}/32 scram-sha-256']
  authentication: {{superuser: {keeper}, replication: {replicator}, rewind: {keeper}}}
",
            keeper = login(USER),
            replicator = login("replicator"),
        );
        fs::write(self.configuration(node), configuration).unwrap();
        server::give(&self.configuration(node));
    }

    fn configuration(&self, node: usize) -> PathBuf {
        self.place.path().join(format!("{}.yml", self.nodes[node].name))
    }

    /// The URL of a database on whichever server is primary, without the password.
    pub fn url(&self, database: &str) -> String {
        let [one, two] = [0, 1].map(|node| self.nodes[node].port);
        format!("postgresql://{USER}@127.0.0.1:{one},127.0.0.1:{two}/{database}")
    }

    /// Makes a database.
    pub fn database(&self, name: &str) {
        self.sql(self.primary(), &format!("CREATE DATABASE {name}"));
    }

    /// The node whose Patroni says that it is the primary, once one does.
    pub fn primary(&self) -> usize {
        self.until("a primary", || (0..2).find(|node| self.status(*node, "/primary") == Some(200)))
    }

    /// Waits until the other node is the primary.
    pub fn wait_for_another(&self, than: usize) {
        self.until("another primary", || (self.status(1 - than, "/primary") == Some(200)).then_some(()));
    }

    /// Waits for a standby without which nothing is acknowledged.
    pub fn wait_for_standby(&self) {
        self.until("a synchronous standby", || {
            (0..2).find(|node| self.status(*node, "/synchronous") == Some(200)).map(drop)
        });
    }

    /// A node's machine is gone: Patroni and PostgreSQL with all their processes.
    pub fn kill(&mut self, node: usize) {
        let mut patroni = self.nodes[node].patroni.take().unwrap();
        patroni.kill().unwrap();
        patroni.wait().unwrap();
        server::kill_with_children(&self.postmaster(node).expect("a server that runs"));
    }

    /// It is there again.
    pub fn resume(&mut self, node: usize) {
        let patroni = launch(self.place.path(), "patroni", &[self.configuration(node).to_str().unwrap()]);
        self.nodes[node].patroni = Some(patroni);
    }

    /// Does something after etcd has been away for longer than a primary may go without, but for the failsafe mode.
    pub fn without_etcd(&self, then: impl FnOnce()) {
        server::signal("STOP", [&*self.etcd.id().to_string()]);
        std::thread::sleep(Duration::from_secs(TTL));
        then();
        server::signal("CONT", [&*self.etcd.id().to_string()]);
    }

    fn postmaster(&self, node: usize) -> Option<String> {
        let file = self.place.path().join(self.nodes[node].name).join("postmaster.pid");
        let id = fs::read_to_string(file).ok()?.lines().next()?.to_owned();
        // After a kill another process may have its number.
        let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(self.place.path().to_str()?).then_some(id)
    }

    fn sql(&self, node: usize, statements: &str) {
        let done = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--username", USER, "--dbname", "postgres"])
            .args(["--port", &self.nodes[node].port.to_string(), "--command", statements, "--host"])
            .arg(self.place.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// What a node's Patroni answers to a health check, if it does.
    fn status(&self, node: usize, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.nodes[node].rest)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    fn until<T>(&self, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = poll() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "there is no {what}: {}", self.log());
            std::thread::sleep(POLL);
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..2 {
            if let Some(mut patroni) = self.nodes[node].patroni.take() {
                let _ = patroni.kill();
                let _ = patroni.wait();
            }
            if let Some(postmaster) = self.postmaster(node) {
                let _ = Command::new("kill").args(["-s", "QUIT", &postmaster]).stderr(Stdio::null()).status();
            }
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

fn etcd(place: &Path, client: u16, peer: u16) -> Child {
    let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
    let data = place.join("etcd");
    launch(
        place,
        "etcd",
        &[
            "--name=etcd",
            "--data-dir",
            data.to_str().unwrap(),
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &format!("etcd={peer}"),
        ],
    )
}

fn launch(place: &Path, program: &str, arguments: &[&str]) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(place.join("log")).unwrap();
    let mut command = server::as_other_user("TERM", program);
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}
