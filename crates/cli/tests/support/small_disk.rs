//! Small disks: file systems in memory, mounted where nobody else sees them.

use std::path::Path;
use std::process::Command;

use super::text;

/// Whether this machine lets a small disk be mounted.
pub(crate) fn may_mount() -> bool {
    unshared().is_some()
}

/// The program in a mount namespace of its own, with a small file system at this place.
pub(super) fn program_on(disk: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshared().expect("this machine lets a small disk be mounted"));
    let size = format!("size={SMALL_DISK_KIB}k,mode=700");
    command.args(["sh", "-c", "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"", &size, text(disk)]);
    command.arg(env!("CARGO_BIN_EXE_sealwort"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// How a process gets a mount namespace of its own, in which it may mount. Root needs no user namespace, and may be where
/// there are none.
fn unshared() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let mounts = |way: &&[&str]| {
        let tried = Command::new("unshare").args(*way).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    ways.into_iter().find(mounts)
}

const SMALL_DISK_KIB: u64 = 8 * 1024;
