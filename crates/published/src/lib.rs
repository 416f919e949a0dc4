//! Published records (patients, messages, devices, keys) that lie beside the project and are not part of it.
//! `SEALWORT_OPEN_DATA` names their folder; without it they are looked for at `../shared/data/open` beside the project.
//! Where something is missing, the test that asks for it says `SKIPPED` and passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helps tests alone: what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or folder of the published data, if it is there.
pub fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/open");
    let path = std::env::var_os("SEALWORT_OPEN_DATA").map_or(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {name} is not in the open data folder; set SEALWORT_OPEN_DATA to test with it");
    None
}

/// Whether every file is wanted, not a sample (`SEALWORT_OPEN_DATA_ALL`).
pub fn all_wanted() -> bool {
    std::env::var_os("SEALWORT_OPEN_DATA_ALL").is_some()
}

/// An archive (`.tar.zst`), unpacked into a temporary folder.
pub fn unpacked(name: &str) -> Option<tempfile::TempDir> {
    let archive = data(name)?;
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("bash")
        .args(["-o", "pipefail", "-c", "zstd -dc --long=27 \"$1\" | tar x -C \"$2\"", "bash"])
        .args([archive.as_os_str(), folder.path().as_os_str()])
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Some(folder);
    }
    println!("SKIPPED: {name} cannot be unpacked; install zstd and tar");
    None
}

/// Files below a folder, sorted: all of them, or those with an extension such as `json`.
pub fn files(folder: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_none_or(|wanted| path.extension().is_some_and(|found| found == wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
