//! Comparisons of secrets under valgrind, after the method of ctgrind (Langley 2010): the secrets are marked
//! undefined, and memcheck reports every branch and every memory address that depends on one. Ours must pass in
//! silence; planted faults must be reported by the same check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What valgrind ends with when it had something to report.
const REPORTED: i32 = 99;

/// Every comparison of secrets in our code.
const OURS: [&str; 7] = ["mac", "secret", "half", "invitation", "directory-key", "cookie", "key-derivation"];
/// Faults on purpose.
const PLANTED: [&str; 3] = ["planted-equality", "planted-early-end", "planted-table"];

/// The library that marks what is read as secret; `None` where valgrind or a C compiler is missing.
fn marking_library(folder: &Path) -> Option<PathBuf> {
    let valgrind = Command::new("valgrind").arg("--version").output().ok().filter(|done| done.status.success());
    if valgrind.is_none() {
        println!("SKIPPED: valgrind is not installed: comparisons of secrets are not checked for constant time");
        return None;
    }
    let library = folder.join("libundefined.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("valgrind/undefined.c");
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
    match built {
        Ok(done) if done.status.success() => Some(library),
        Ok(done) => {
            let reason = String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or_default().to_owned();
            println!("SKIPPED: {} does not compile ({reason}): constant time is not checked", source.display());
            None
        }
        Err(error) => {
            println!("SKIPPED: no C compiler ({error}): comparisons of secrets are not checked for constant time");
            None
        }
    }
}

/// Compares two secrets under valgrind; the comparison's answer, and what valgrind said.
fn compare(library: &Path, name: &str, one: [u8; 32], other: [u8; 32]) -> (Option<bool>, Output) {
    let suppressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("valgrind/debug-assertions.supp");
    let mut command = Command::new("valgrind");
    command.arg("--quiet").arg(format!("--error-exitcode={REPORTED}")).arg("--num-callers=30");
    if cfg!(debug_assertions) {
        // `subtle` asserts in debug builds that a choice is 0 or 1, and so branches on it.
        command.arg(format!("--suppressions={}", suppressions.display()));
    }
    let mut child = command
        .arg(env!("CARGO_BIN_EXE_comparison"))
        .arg(name)
        .env("LD_PRELOAD", library)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("valgrind");
    child.stdin.take().unwrap().write_all(&[one, other].concat()).unwrap();
    let done = child.wait_with_output().unwrap();
    (done.stdout.first().map(|byte| *byte == 1), done)
}

#[test]
fn no_comparison_of_secrets_branches_on_them_and_planted_faults_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = marking_library(folder.path()) else { return };
    let mut failures = Vec::new();
    let mut nearly = [7; 32];
    nearly[31] ^= 1;
    for name in OURS.into_iter().chain(PLANTED) {
        let planted = PLANTED.contains(&name);
        for other in if planted { vec![nearly] } else { vec![[7; 32], nearly] } {
            let (answer, done) = compare(&library, name, [7; 32], other);
            let said = String::from_utf8_lossy(&done.stderr);
            let reported = done.status.code() == Some(REPORTED);
            assert!(reported || done.status.success(), "{name}: {}: {said}", done.status);
            let expected = other == [7; 32] || ["cookie", "key-derivation", "planted-table"].contains(&name);
            assert_eq!(answer, Some(expected), "{name} answers wrongly: {said}");
            if reported != planted {
                failures.push(format!("{name} was {}:\n{said}", if planted { "not reported" } else { "reported" }));
            }
        }
        println!("{name}: {}", if planted { "reported, as it must be" } else { "nothing depends on the secrets" });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
