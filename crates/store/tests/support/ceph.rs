//! An S3 server of a test's own: Ceph's gateway over one monitor and one object daemon that keeps everything in memory,
//! on free ports of loopback, with data and logs in a temporary folder. Each is ended by its own id when it is dropped,
//! and by the system when the test ends without dropping it.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::server::free_port;

pub const ACCESS_KEY: &str = "keeper";
/// Not to be found in any log.
pub const SECRET_KEY: &str = "not-for-logs-9317";
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
const PROGRAMS: [&str; 6] = ["ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin"];
const CLUSTER: &str = "8c1f2a64-3a2b-4a57-9d2e-2f1d0a5b7c11";
const DAEMON: &str = "11111111-2222-4333-8444-555555555555";

/// A running server.
pub struct Ceph {
    place: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    frontend: String,
    storage: Vec<Child>,
    gateway: Option<Child>,
    buckets: AtomicU32,
}

impl Ceph {
    /// Starts one; says loudly where the machine has none.
    pub fn start() -> Option<Self> {
        let found = |program: &&&str| Command::new(program).arg("--version").output().is_ok();
        if PROGRAMS.iter().filter(found).count() < PROGRAMS.len() {
            eprintln!(
                "SKIPPED: Ceph is not here (Debian: ceph-mon ceph-osd radosgw); scripts/install.sh installs it; needed: {PROGRAMS:?}"
            );
            return None;
        }
        let (monitor, port, tls_port) = (free_port(), free_port(), free_port());
        let frontend = format!("beast endpoint=127.0.0.1:{port}");
        let place = tempfile::tempdir().unwrap();
        let (storage, gateway, buckets) = (Vec::new(), None, AtomicU32::new(0));
        let mut ceph = Self { place, port, tls_port, frontend, storage, gateway, buckets };
        for folder in ["mon", "osd"] {
            fs::create_dir(ceph.path().join(folder)).unwrap();
        }
        fs::write(ceph.path().join("ceph.conf"), configuration(ceph.path(), monitor)).unwrap();
        let map = ceph.path().join("map");
        let address = format!("[v2:127.0.0.1:{monitor}]");
        ceph.run("monmaptool", &["--create", "--fsid", CLUSTER, "--addv", "a", &address, map.to_str().unwrap()]);
        ceph.run("ceph-mon", &["--mkfs", "-i", "a", "--monmap", map.to_str().unwrap()]);
        let running = ceph.launch("ceph-mon", &["-f", "-i", "a"]);
        ceph.storage.push(running);
        ceph.run("ceph-osd", &["--mkfs", "-i", "0", "--osd-uuid", DAEMON]);
        ceph.run("ceph", &["osd", "new", DAEMON, "0"]);
        let running = ceph.launch("ceph-osd", &["-f", "-i", "0"]);
        ceph.storage.push(running);
        let keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY];
        ceph.run("radosgw-admin", &[&["user", "create", "--uid=keeper", "--display-name=keeper"][..], &keys].concat());
        ceph.resume();
        Some(ceph)
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Where it speaks HTTP.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS, by the name of the certificate.
    pub fn tls_endpoint(&self, host: &str) -> String {
        format!("https://{host}:{}", self.tls_port)
    }

    /// Starts the gateway again with a certificate and its key.
    pub fn speak_tls(&mut self, certificate: &str, key: &str) {
        self.stop();
        let (certificate_file, key_file) = (self.path().join("certificate.pem"), self.path().join("key.pem"));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        self.frontend = format!(
            "{} ssl_endpoint=127.0.0.1:{} ssl_certificate={} ssl_private_key={}",
            self.frontend,
            self.tls_port,
            certificate_file.display(),
            key_file.display()
        );
        self.resume();
    }

    /// Name of a bucket that is not there yet.
    pub fn bucket(&self) -> String {
        format!("bucket{}", self.buckets.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends the gateway as a crash would. What it has answered stays.
    pub fn stop(&mut self) {
        let mut gateway = self.gateway.take().unwrap();
        gateway.kill().unwrap();
        gateway.wait().unwrap();
    }

    /// Starts the gateway, also after [`Self::stop`].
    pub fn resume(&mut self) {
        let frontend = format!("--rgw-frontends={}", self.frontend);
        let begun = Instant::now();
        loop {
            let mut gateway = self.launch("radosgw", &["-f", "-n", "client.admin", &frontend]);
            while gateway.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                    self.gateway = Some(gateway);
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "the gateway does not start: {}", self.log());
                std::thread::sleep(POLL);
            }
            // Its port may be in use for a moment by somebody's outgoing connection.
            assert!(begun.elapsed() < PATIENCE, "the gateway does not start: {}", self.log());
        }
    }

    /// What all of it has written.
    pub fn log(&self) -> String {
        let files = ["mon.log", "osd.log", "client.log", "output"];
        files.iter().map(|name| fs::read_to_string(self.path().join(name)).unwrap_or_default()).collect()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE.as_secs().to_string()).arg(program).arg("-c").arg(self.path().join("ceph.conf"));
        if program == "monmaptool" {
            command = Command::new(program);
        }
        let done = command.args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}\n{}", String::from_utf8_lossy(&done.stderr), self.log());
    }

    /// Starts a daemon that ends with this thread.
    fn launch(&self, program: &str, arguments: &[&str]) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path().join("output")).unwrap();
        Command::new("setpriv")
            .arg("--pdeathsig=KILL")
            .arg(program)
            .arg("-c")
            .arg(self.path().join("ceph.conf"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        for child in self.gateway.iter_mut().chain(&mut self.storage) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One copy of everything, in memory, and no login between the daemons.
fn configuration(place: &Path, monitor: u16) -> String {
    let place = place.display();
    format!(
        "[global]
fsid = {CLUSTER}
mon_host = [v2:127.0.0.1:{monitor}]
public_addr = 127.0.0.1
mon_data = {place}/mon
osd_data = {place}/osd
run_dir = {place}
log_file = {place}/$type.log
admin_socket =
pid_file =
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
paxos_propose_interval = 0.1
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
rgw_thread_pool_size = 32
rgw_run_sync_thread = false
"
    )
}
