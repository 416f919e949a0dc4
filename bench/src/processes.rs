//! Real `sealwort` processes: start them, read what they announce, and look at them from outside through `/proc`.
//! They end with this program.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::measure::{Failure, factor};

/// The program under test.
pub(crate) struct Binary(PathBuf);

/// A process that goes on until this is dropped.
pub(crate) struct Process {
    child: Child,
    objects: UnboundedReceiver<Value>,
    log: PathBuf,
}

/// CPU time of all threads of a process so far, in ticks of about 10 ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    /// In the program.
    pub(crate) user: Duration,
    /// In the kernel for it: sockets and files.
    pub(crate) system: Duration,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

impl Binary {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn command(&self) -> Result<Command, Failure> {
        if self.0.is_file() {
            return Ok(Command::new(&self.0));
        }
        Err(format!(
            "{} is not there; build it with cargo build --release -p sealwort-cli, or name another with --sealwort",
            self.0.display()
        )
        .into())
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<(), Failure> {
        let mut command = self.command()?;
        command.args(arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("sealwort {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into())
    }

    /// Starts a process; its standard error goes to a file.
    pub(crate) fn start(&self, arguments: &[&str], log: &Path) -> Result<Process, Failure> {
        let mut child = self
            .command()?
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let (sender, objects) = unbounded_channel();
        // Reads to the end, so that the process never waits for somebody to listen.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line) {
                    let _ = sender.send(value);
                }
            }
        });
        Ok(Process { child, objects, log: log.to_owned() })
    }
}

impl Process {
    /// The next line of standard output that is a JSON object.
    pub(crate) async fn json(&mut self, patience: Duration) -> Result<Value, Failure> {
        match timeout(patience, self.objects.recv()).await {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.explain("the process ended")),
            Err(_) => Err(self.explain(&format!("no answer within {} s", patience.as_secs()))),
        }
    }

    /// Where a service says that it listens.
    pub(crate) async fn address(&mut self) -> Result<SocketAddr, Failure> {
        let event = self.json(START_PATIENCE).await?;
        let address = event.get("address").and_then(Value::as_str).ok_or("the process did not say where it listens")?;
        Ok(address.parse()?)
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let missing = || Failure::from("the system does not tell the memory of a process");
        Ok(Memory { resident: field("VmRSS:").ok_or_else(missing)?, peak: field("VmHWM:").ok_or_else(missing)? })
    }

    /// CPU time of all its threads so far, user and system, in ticks of about 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let CpuTime { user, system } = self.cpu_time()?;
        Ok(user + system)
    }

    /// The same in its two parts.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (user, system) = ticks(&stat).ok_or("the system does not tell the CPU time of a process")?;
        let time = |ticks| Duration::from_secs_f64(factor(ticks) / factor(rustix::param::clock_ticks_per_second()));
        Ok(CpuTime { user: time(user), system: time(system) })
    }

    /// Ends it at once.
    pub(crate) fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn explain(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{what}; its last words:\n{}", last.join("\n")).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// utime and stime, fields 14 and 15 of proc_pid_stat(5); the name before them may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

const START_PATIENCE: Duration = Duration::from_secs(30);
const LOG_LINES_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 5000 1 1";
        assert_eq!(ticks(stat), Some((250, 50)));
        assert_eq!(ticks("nonsense"), None);
    }
}
