//! A PostgreSQL server of a test's own, in a temporary folder, on a Unix socket and a free port of loopback. It is ended
//! by its own id when it is dropped, and by the system when the test ends without dropping it. PostgreSQL refuses to
//! run as root; then it runs as another user.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Password of the user over TCP; over the socket none is asked for.
pub const PASSWORD: &str = "not-for-logs-8412";
pub const USER: &str = "keeper";
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A port of loopback for whoever has to be told one before it listens. It lies below those that systems take for outgoing
/// connections, so that no other test gets it meanwhile by chance.
pub fn free_port() -> u16 {
    let (first, count) = (20_000, 12_000);
    loop {
        let [a, b, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        let port = first + u16::from_be_bytes([a, b]) % count;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running server.
pub struct Server {
    programs: PathBuf,
    place: tempfile::TempDir,
    data: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// Starts one; says loudly where the machine has none.
    pub fn start() -> Option<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same with its data in a folder.
    pub fn start_in(folder: &Path) -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: PostgreSQL is not here (Debian: postgresql); scripts/install.sh installs it");
            return None;
        };
        let (place, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in(folder).unwrap());
        let port = free_port();
        let databases = AtomicU32::new(0);
        let mut server = Self { programs, place, data, port, options: Vec::new(), child: None, databases };
        let password = server.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        for path in [server.path(), server.data(), &password] {
            give(path);
        }
        let made = server
            .command("initdb")
            .args(["--username", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--pwfile", password.to_str().unwrap(), "--pgdata"])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        Some(server)
    }

    /// A standby of it, which streams what it writes and nobody waits for.
    pub fn standby(&self) -> Self {
        let (place, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let port = free_port();
        for path in [place.path(), data.path()] {
            give(path);
        }
        // As initdb would.
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let made = self
            .command("pg_basebackup")
            .args(["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"])
            .args(["--username", USER, "--port", &self.port.to_string(), "--host"])
            .arg(self.path())
            .arg("--pgdata")
            .arg(data.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        let (programs, databases) = (self.programs.clone(), AtomicU32::new(0));
        let mut standby = Self { programs, place, data, port, options: Vec::new(), child: None, databases };
        standby.resume();
        standby
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// An option that counts from the next start on.
    pub fn set(&mut self, option: &str) {
        self.options.push(option.to_owned());
    }

    /// Starts it again with a certificate and its key.
    pub fn speak_tls(&mut self, certificate: &str, key: &str) {
        self.stop();
        self.set("ssl=on");
        for (name, content) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.data().join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            give(&file);
        }
        self.resume();
    }

    /// A new database, by its name.
    pub fn database(&self) -> String {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Its URL over the socket.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@/{database}?host={}&port={}", self.path().display(), self.port)
    }

    /// Its URL over loopback, without the password.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements with `psql`; gives what they answer, bare.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let done = self.psql(database, statements);
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Asks until it answers so.
    pub fn wait_for(&self, database: &str, question: &str, answer: &str) {
        let begun = Instant::now();
        while self.sql(database, question) != answer {
            assert!(begun.elapsed() < PATIENCE, "{question}: not {answer}");
            std::thread::sleep(POLL);
        }
    }

    /// Waits until nobody is connected: what a client sent before it was killed may still be carried out.
    pub fn wait_for_quiet(&self) {
        let clients = "SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND datname <> 'postgres'";
        self.wait_for("postgres", clients, "0");
    }

    fn psql(&self, database: &str, statements: &str) -> std::process::Output {
        Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--username", USER, "--port", &self.port.to_string(), "--host"])
            .arg(self.path())
            .args(["--dbname", database, "--command", statements])
            .output()
            .unwrap()
    }

    /// Brings everything that it and its making wrote to the disk.
    pub fn sync(&self) {
        self.sql("postgres", "CHECKPOINT");
        assert!(Command::new("sync").arg("--file-system").arg(self.data()).status().unwrap().success());
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        kill_with_children(&child.id().to_string());
        child.wait().unwrap();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        // SIGINT: connections are ended, and a checkpoint is written.
        signal("INT", [&*child.id().to_string()]);
        child.wait().unwrap();
    }

    /// Starts it, also after [`Self::kill`] and [`Self::stop`].
    pub fn resume(&mut self) {
        let begun = Instant::now();
        loop {
            self.child = Some(self.launch());
            while self.child.as_mut().unwrap().try_wait().unwrap().is_none() {
                if self.psql("postgres", "SELECT 1").status.success() {
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", self.log());
                std::thread::sleep(POLL);
            }
            // After a kill its children take a moment to end; it refuses to start before.
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", self.log());
            std::thread::sleep(POLL);
        }
    }

    fn launch(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.path()).args(["-p", &self.port.to_string()]);
        for option in ["listen_addresses=127.0.0.1", "shared_buffers=16MB", "max_connections=80", "log_statement=none"]
        {
            command.args(["-c", option]);
        }
        for option in &self.options {
            command.args(["-c", option]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = as_other_user("INT", self.programs.join(program));
        command.current_dir(self.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

/// Ends a server as a crash would, with its children: one that waits for a lock that died with another would stay for ever.
pub fn kill_with_children(id: &str) {
    signal("STOP", [id]);
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    signal("KILL", children.split_whitespace().chain([id]));
}

/// A child may have ended by itself before, so only the last process has to be there.
pub fn signal<'a>(name: &str, processes: impl IntoIterator<Item = &'a str>) {
    let sent = |process| Command::new("kill").args(["-s", name, process]).stderr(Stdio::null()).status().unwrap();
    assert!(processes.into_iter().map(sent).last().unwrap().success(), "SIG{name} was not sent");
}

/// Where Debian or another system keeps the newest server's programs.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").exists()).max();
    let elsewhere =
        || ["/usr/bin", "/usr/local/bin"].map(PathBuf::from).into_iter().find(|bin| bin.join("postgres").exists());
    debian.or_else(elsewhere)
}

/// A program as a user that PostgreSQL accepts. It is sent a signal when this thread ends.
pub fn as_other_user(at_the_end: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={at_the_end}"));
    if let Some((uid, gid)) = other_user() {
        let (uid, gid) = (uid.to_string(), gid.to_string());
        command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
    }
    command.arg(program);
    command
}

/// Makes a file that user's.
pub fn give(path: &Path) {
    if let Some((uid, gid)) = other_user() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// For root: the user and the group that the server runs as.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    user("postgres").or_else(|| user("nobody"))
}
