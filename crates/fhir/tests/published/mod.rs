//! Published records that lie beside the project. Set `SEALWORT_OPEN_DATA` to their folder, or put it
//! at `../shared/data/open` beside the project. Where it is absent the tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or folder of the open data, if it is there.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEALWORT_OPEN_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/open"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {name} is not in the open data folder; set SEALWORT_OPEN_DATA to test with it");
    println!("SKIPPED: {name} is not in the open data folder; set SEALWORT_OPEN_DATA to test with it");
    None
}

/// An archive unpacked into a temporary folder.
pub(crate) fn unpacked(name: &str) -> Option<tempfile::TempDir> {
    let archive = data(name)?;
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("sh")
        .args(["-c", "zstd -dc --long=27 \"$1\" | tar x -C \"$2\"", "sh"])
        .args([archive.as_os_str(), folder.path().as_os_str()])
        .status();
    match status {
        Ok(status) if status.success() => Some(folder),
        _ => {
            println!("SKIPPED: {name} cannot be unpacked; install zstd and tar");
            None
        }
    }
}

/// Files below a folder with an extension, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
