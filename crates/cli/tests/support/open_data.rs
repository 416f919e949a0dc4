//! Published records that lie beside the project and are not part of it. `SEALWORT_OPEN_DATA` names their folder;
//! where one is missing the test says so and passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or folder of the open data, if it is there.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/open");
    let folder = std::env::var_os("SEALWORT_OPEN_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: no open data at {}; set SEALWORT_OPEN_DATA to test with real patients", path.display());
    None
}

/// Whether every file is wanted, not a sample.
pub(crate) fn all_wanted() -> bool {
    std::env::var_os("SEALWORT_OPEN_DATA_ALL").is_some()
}

/// An archive, unpacked.
pub(crate) fn unpacked(archive: &str) -> Option<tempfile::TempDir> {
    let file = data(archive)?;
    let folder = tempfile::tempdir().unwrap();
    let script = format!("zstd -dc --long=27 '{}' | tar x -C '{}'", file.display(), folder.path().display());
    let done = Command::new("bash").args(["-o", "pipefail", "-c", &script]).status().unwrap();
    if !done.success() {
        println!("SKIPPED: {} cannot be unpacked; zstd and tar are needed", file.display());
        return None;
    }
    Some(folder)
}

/// All files below a folder whose names end so, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
