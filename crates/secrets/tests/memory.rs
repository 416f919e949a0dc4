//! What a process still knows: a program runs whole sessions, tells every secret that came into being under a mask, and
//! has its memory searched while the sessions live and after they ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use sealwort_proto::crypto::{Secret, extracted};
use sealwort_secrets::masked::{Mask, Masked};
use sealwort_secrets::memory::search;
use sealwort_secrets::{ENDED, LIVE};

/// What a live session holds: the secrets of both directions, the keys that seal, and the exporter. A patient that is
/// held open holds its halves' nodes.
const HELD: [&str; 7] = [
    "sealwort sharer to answerer v1",
    "sealwort answerer to sharer v1",
    "sealwort exporter v1",
    "sealwort key v1",
    "sealwort next v1",
    "sealwort label half v1",
    "random",
];

/// How often each kind of secret was found, and where first.
type Tally = BTreeMap<String, (usize, String)>;

fn tally(process: u32, secrets: &[(String, Vec<u8>)]) -> Tally {
    // Both ends of each secret, so that a copy that was partly overwritten is found too.
    let needles: Vec<Vec<u8>> =
        secrets.iter().flat_map(|(_, secret)| [secret[..16].to_vec(), secret[16..].to_vec()]).collect();
    let (found, searched) = search(process, &needles).expect("the child's memory");
    assert!(searched > 100_000, "only {searched} bytes were searched");
    let mut tally = Tally::new();
    for one in found {
        let place = format!("{} at {:x}", one.region, one.address);
        tally.entry(secrets[one.needle / 2].0.clone()).or_insert((0, place)).0 += 1;
    }
    tally
}

/// Runs the program; what was found while its sessions lived, and after.
fn run(arguments: &[&str]) -> (Vec<String>, Tally, Tally) {
    let mask: Mask = *Secret::random().expose();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sessions"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut input = child.stdin.take().unwrap();
    input.write_all(&mask).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<Masked> =
        lines.by_ref().take_while(|line| line != LIVE).filter_map(|l| Masked::from_line(&l)).collect();
    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    let mut last = Vec::new();
    for masked in &told {
        let bytes = masked.unmask(&mask);
        if masked.name == "extract with this salt" {
            secrets.push(("extracted".to_owned(), extracted(&bytes, &last)));
            continue;
        }
        last.clone_from(&bytes);
        secrets.extend(bytes.chunks_exact(32).map(|part| (masked.name.clone(), part.to_vec())));
    }
    secrets.sort();
    secrets.dedup();
    let live = tally(child.id(), &secrets);
    input.write_all(b".").unwrap();
    assert_eq!(lines.next().as_deref(), Some(ENDED));
    let ended = tally(child.id(), &secrets);
    input.write_all(b".").unwrap();
    assert!(child.wait().unwrap().success());
    let mut names: Vec<String> = secrets.into_iter().map(|(name, _)| name).collect();
    names.dedup();
    (names, live, ended)
}

#[test]
fn no_secret_outlives_its_session() {
    if !cfg!(target_os = "linux") {
        println!("SKIPPED: the memory of another process is read as Linux shows it");
        return;
    }
    let (names, live, ended) = run(&[]);
    for name in &names {
        let count = |tally: &Tally| tally.get(name).map_or(0, |(count, _)| *count);
        println!("{name}: {} found in the live process, {} after", count(&live), count(&ended));
    }
    assert!(names.len() >= 12, "{names:?}");
    for name in HELD {
        assert!(live.contains_key(name), "{name} was not found while it is in use: the search proves nothing");
    }
    let passed: Tally = live.into_iter().filter(|(name, _)| !HELD.contains(&name.as_str())).collect();
    assert!(passed.is_empty(), "secrets of steps that are over: {passed:#?}");
    assert!(ended.is_empty(), "secrets of sessions that ended: {ended:#?}");
}

#[test]
fn a_copy_that_is_kept_is_found() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let (names, _, ended) = run(&["keep-a-copy"]);
    for name in names.iter().filter(|name| *name != "extracted") {
        assert!(ended.contains_key(name), "{name} was kept on purpose and not found");
    }
}
