//! Where a party of a test keeps its data, and what the tests that kill it share: numbers from the environment, random
//! moments that a seed repeats, and the programs behind which a test runs itself again.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sealwort_store::postgres::Database;
use sealwort_store::{DataFolder, PartyStore, StoreError};

const FOLDER: &str = "SEALWORT_STORE_CHILD_FOLDER";
const URL: &str = "SEALWORT_STORE_CHILD_URL";

/// A data folder, and a database on a server or none.
#[derive(Debug, Clone)]
pub struct Place {
    pub folder: PathBuf,
    pub url: Option<String>,
}

impl Place {
    /// What this process, a child, was given; `None` in a process that is none.
    pub fn given() -> Option<Self> {
        Some(Self { folder: std::env::var_os(FOLDER)?.into(), url: std::env::var(URL).ok() })
    }

    /// Gives it to a process that is about to be started.
    pub fn give(&self, command: &mut Command) {
        command.env(FOLDER, &self.folder);
        if let Some(url) = &self.url {
            command.env(URL, url);
        }
    }

    pub async fn open(&self) -> Result<PartyStore, StoreError> {
        let database = self.url.as_deref().map(|url| Database::new(url, None)).transpose()?;
        let folder = DataFolder::open(&self.folder, "archive")?;
        let audit = self.folder.clone();
        PartyStore::open(folder, &audit, database.as_ref()).await
    }
}

/// This test binary again, running the one test of this name.
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::null());
    command
}

/// A number from the environment, for runs longer than those of every day.
pub fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Xorshift: moments and places of faults need no better randomness.
pub struct Random(u64);

impl Random {
    /// From `SEALWORT_SEED`, or one of its own; it is printed.
    pub fn seeded(what: &str) -> Self {
        let own = u64::from_be_bytes(sealwort_proto::crypto::random());
        let seed = number("SEALWORT_SEED", own);
        println!("{what}: SEALWORT_SEED={seed}");
        Self::new(seed)
    }

    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Median and maximum of what was measured, to be printed.
pub fn spread(mut durations: Vec<Duration>) -> String {
    durations.sort();
    format!("median {:?}, longest {:?}", durations[durations.len() / 2], durations[durations.len() - 1])
}

/// Runs [`again`] as root in a mount namespace of its own, which ends with it. `false` where that is not allowed.
pub fn among_own_mounts(test: &str, marker: &str) -> bool {
    let mounting = Command::new("unshare").args(["--mount", "sh", "-c", "test -e /dev/loop-control && id -u"]).output();
    if !mounting.is_ok_and(|output| output.stdout == b"0\n") {
        return false;
    }
    let itself = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(itself).args(["--exact", test, "--nocapture"]).env(marker, "1");
    assert!(command.status().unwrap().success(), "{test} failed behind unshare");
    true
}

/// A disk of a test's own: a file with a file system in it, mounted.
pub struct Disk {
    image: PathBuf,
    pub mounted: PathBuf,
}

impl Disk {
    pub fn new(place: &Path, bytes: &str) -> Self {
        let disk = Self { image: place.join("image"), mounted: place.join("disk") };
        std::fs::create_dir(&disk.mounted).unwrap();
        run("truncate", &["--size", bytes, disk.image.to_str().unwrap()]);
        run("mkfs.ext4", &["-q", "-F", disk.image.to_str().unwrap()]);
        disk.mount();
        disk
    }

    pub fn mount(&self) {
        run("mount", &["-o", "loop", self.image.to_str().unwrap(), self.mounted.to_str().unwrap()]);
    }

    /// Unmounts it once nobody uses it any more.
    pub fn unmount(&self) {
        let begun = std::time::Instant::now();
        while !Command::new("umount").arg(&self.mounted).stderr(Stdio::null()).status().unwrap().success() {
            assert!(begun.elapsed() < Duration::from_mins(1), "somebody still uses {}", self.mounted.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the power away: from now on nothing reaches the disk, neither what waits in memory nor the journal. What is to
    /// happen last is done right before.
    pub fn cut<T>(&self, last: impl FnOnce() -> T) -> T {
        // FS_IOC_SHUTDOWN with NOLOGFLUSH, once it is told to.
        let script = "import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))";
        let mut python = Command::new("python3");
        let python = python.args(["-c", script]).arg(&self.mounted).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cutter = python.spawn().unwrap();
        BufReader::new(cutter.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let done = last();
        drop(cutter.stdin.take());
        assert!(cutter.wait().unwrap().success(), "cutting the power of {}", self.mounted.display());
        done
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mounted).stderr(Stdio::null()).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
