//! One core for the server that is measured and the others for its clients, so that what is called a rate on one core
//! is one. A process started on a core keeps to it, with all its threads, as on a machine that has no other.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use crate::measure::Failure;

/// The cores that this program may use, and who gets which.
pub(super) struct Cores {
    all: CpuSet,
    server: CpuSet,
    clients: CpuSet,
}

impl Cores {
    /// The last core for the server. Where there is one only, all share it.
    pub(super) fn shared_out() -> Result<Self, Failure> {
        let all = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core));
        let (mut server, mut clients) = (all, all);
        if let Some(last) = last.filter(|_| all.count() > 1) {
            server.clear();
            server.set(last);
            clients.unset(last);
        }
        Ok(Self { all, server, clients })
    }

    /// Whether the server has a core of its own.
    pub(super) fn apart(&self) -> bool {
        self.server.count() < self.all.count()
    }

    /// Starts a process, which inherits the core of the thread that starts it.
    pub(super) fn on_server<T>(&self, start: impl FnOnce() -> T) -> Result<T, Failure> {
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.server)?;
        let started = start();
        sched_setaffinity(None, &before)?;
        Ok(started)
    }

    /// Keeps this program off the server's core.
    pub(super) fn part(&self) -> Result<(), Failure> {
        own_threads(&self.clients)
    }

    /// Lets this program use all of them again.
    pub(super) fn rejoin(&self) -> Result<(), Failure> {
        own_threads(&self.all)
    }
}

fn own_threads(cores: &CpuSet) -> Result<(), Failure> {
    for thread in std::fs::read_dir("/proc/self/task")? {
        let id = thread?.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        // It may have ended meanwhile.
        if let Some(id) = id {
            let _ = sched_setaffinity(Some(id), cores);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_started_on_the_servers_core_stays_there() {
        let cores = Cores::shared_out().unwrap();
        let before = sched_getaffinity(None).unwrap();
        let command = || std::process::Command::new("nproc").output().unwrap();
        let told = cores.on_server(command).unwrap();
        assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "1");
        assert_eq!(sched_getaffinity(None).unwrap().count(), before.count());
        assert_eq!(cores.apart(), before.count() > 1);
    }
}
