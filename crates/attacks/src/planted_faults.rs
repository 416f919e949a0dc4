//! Plants faults in the code, one at a time, and demands that a named attack notices each. Nothing in the project
//! itself is touched: the sources are copied, and the copy is altered, built and tested.
//!
//! `cargo run -p sealwort-attacks --no-default-features --bin planted-faults [NAME | protocol | services …]`

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use serde::Deserialize;

/// Folders that are not copied: what is built, and what is not Rust.
const LEFT_OUT: [&str; 6] = ["target", ".git", "fuzz", "interop", "proof", "bench/results"];
/// The package whose tests must notice.
const PACKAGE: &str = "sealwort-attacks";

#[derive(Deserialize)]
struct Faults {
    fault: Vec<Fault>,
}

/// One fault: texts that are replaced, and the test that must fail.
#[derive(Deserialize)]
struct Fault {
    name: String,
    /// `protocol` or `services`.
    suite: String,
    /// Full name of the test.
    test: String,
    edit: Vec<Edit>,
}

#[derive(Deserialize)]
struct Edit {
    /// From the root of the workspace.
    file: String,
    /// Occurs once.
    find: String,
    replace: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("planted-faults: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(told("the workspace"))?;
    let place = root.join("target/planted-faults");
    let copy = place.join("source");
    mirror(&root, &copy, Path::new("")).map_err(told("copying the sources"))?;
    let text = fs::read_to_string(root.join("crates/attacks/faults.toml")).map_err(told("faults.toml"))?;
    let faults: Faults = toml::from_str(&text).map_err(|error| format!("faults.toml: {error}"))?;
    let only: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&Fault> =
        faults.fault.iter().filter(|f| only.is_empty() || only.contains(&f.name) || only.contains(&f.suite)).collect();
    for fault in &chosen {
        check(fault, &copy)?;
    }

    let mut good = true;
    let mut table = String::from("| planted fault | caught by | seconds |\n|---|---|---|\n");
    let mut suites: Vec<&str> = chosen.iter().map(|fault| fault.suite.as_str()).collect();
    suites.sort_unstable();
    suites.dedup();
    for suite in suites {
        // The control: what must fail with a fault passes without one.
        let tests: Vec<&str> = chosen.iter().filter(|f| f.suite == suite).map(|f| f.test.as_str()).collect();
        let begun = Instant::now();
        let outcome = test(&copy, &place, suite, &tests)?;
        let verdict = if outcome.passed { "all pass" } else { "DOES NOT PASS" };
        let _ = writeln!(table, "| none ({suite}) | {verdict} | {} |", begun.elapsed().as_secs());
        if !outcome.passed {
            return Err(format!("without any fault the tests do not pass:\n{}", outcome.output));
        }
    }
    for fault in chosen {
        let begun = Instant::now();
        let kept = plant(fault, &copy)?;
        let outcome = test(&copy, &place, &fault.suite, &[&fault.test]);
        for (file, content) in kept {
            fs::write(&file, content).map_err(told("restoring"))?;
        }
        let outcome = outcome?;
        let verdict = if outcome.failed.is_empty() {
            good = false;
            if outcome.passed { "NOT CAUGHT".to_owned() } else { format!("DID NOT RUN:\n{}", outcome.output) }
        } else {
            outcome.failed.join(", ")
        };
        let line = format!("| {} | {verdict} | {} |", fault.name, begun.elapsed().as_secs());
        eprintln!("{line}");
        let _ = writeln!(table, "{line}");
    }
    println!("{table}");
    Ok(good)
}

/// A fault whose text is gone says nothing any more.
fn check(fault: &Fault, copy: &Path) -> Result<(), String> {
    for edit in &fault.edit {
        let text = fs::read_to_string(copy.join(&edit.file)).map_err(told(&edit.file))?;
        let found = text.matches(&edit.find).count();
        if found != 1 {
            return Err(format!("{}: the text to replace occurs {found} times in {}", fault.name, edit.file));
        }
    }
    Ok(())
}

/// Replaces the texts; gives what was there.
fn plant(fault: &Fault, copy: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let mut kept = Vec::new();
    for edit in &fault.edit {
        let file = copy.join(&edit.file);
        let text = fs::read_to_string(&file).map_err(told(&edit.file))?;
        fs::write(&file, text.replacen(&edit.find, &edit.replace, 1)).map_err(told(&edit.file))?;
        kept.insert(0, (file, text));
    }
    Ok(kept)
}

struct Outcome {
    passed: bool,
    failed: Vec<String>,
    output: String,
}

fn test(copy: &Path, place: &Path, suite: &str, tests: &[&str]) -> Result<Outcome, String> {
    let mut command = Command::new("cargo");
    command.current_dir(copy).env("CARGO_TARGET_DIR", place.join("target")).env("RUST_BACKTRACE", "0");
    command.args(["test", "--quiet", "-p", PACKAGE, "--test", suite]);
    if suite == "protocol" {
        command.arg("--no-default-features");
    }
    let output = command.args(["--", "--exact", "--format=pretty"]).args(tests).output().map_err(told("cargo"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = printed.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let failed = failed.map(str::to_owned).collect();
    let ran = printed.lines().filter(|line| line.starts_with("test ") && line.contains(" ... ")).count();
    let wanted: std::collections::BTreeSet<&&str> = tests.iter().collect();
    if output.status.success() && ran != wanted.len() {
        return Err(format!("{ran} of {} tests are there: {wanted:?}", wanted.len()));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = errors.lines().chain(printed.lines()).rev().take(40).collect();
    let output_text = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
    Ok(Outcome { passed: output.status.success(), failed, output: output_text })
}

/// Makes `to` hold what `from` holds. A file that is the same stays as it is, so that little is built anew.
fn mirror(from: &Path, to: &Path, below: &Path) -> io::Result<()> {
    fs::create_dir_all(to.join(below))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if LEFT_OUT.iter().any(|left_out| path == Path::new(left_out)) {
            continue;
        }
        names.push(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            mirror(from, to, &path)?;
        } else if kind.is_file() {
            let content = fs::read(entry.path())?;
            if fs::read(to.join(&path)).ok().as_deref() != Some(content.as_slice()) {
                fs::write(to.join(&path), content)?;
            }
        }
    }
    for entry in fs::read_dir(to.join(below))? {
        let entry = entry?;
        if names.contains(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn told(what: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}
