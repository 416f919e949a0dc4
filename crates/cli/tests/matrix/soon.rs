//! What is taken back is taken back within ten seconds, wherever it was in use: a patient's withdrawal, and a hospital's
//! certificates. A user's session is `sign_in`'s.

use std::time::{Duration, Instant};

use super::support::{Client, Party, World, run, succeeded, text};
use super::{THINGS, resource, transaction};

const KEY: &str = "soon";
const WITHIN: Duration = Duration::from_secs(10);
/// How long nothing must come back afterwards.
const AFTERWARDS: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

pub(crate) fn what_is_taken_back_ends_everywhere(world: &World) {
    let (a, b) = (world.client(Party::HospitalA), world.client(Party::HospitalB));
    a.send("POST", "/fhir", &[], transaction(THINGS.map(|thing| resource(KEY, thing, false)))).with(200);
    let change = |to| {
        world.consent(Party::HospitalA, to, &format!("urn:matrix|{KEY}"), Party::HospitalB).unwrap().done();
    };
    change("grant");
    let ways = ways(&b);
    ended("a withdrawal", &b, &ways, || change("withdraw"));
    change("grant");
    for way in &ways {
        b.get(way).with(200);
    }
    let config = world.config(Party::Ca);
    ended("a revocation", &b, &ways, || {
        succeeded(&run(&["ca", "revoke", "hospital-b", "--reason", "privilege-withdrawn", "--config", text(&config)]));
    });
    // Nobody else is the worse for it.
    a.get(&format!("/fhir/Observation/{KEY}-obsn")).with(200);
}

/// Ways to what hospital B holds open or was promised.
fn ways(b: &Client) -> Vec<String> {
    let by = format!("urn:matrix%7C{KEY}");
    let mut ways = vec![
        format!("/fhir/Patient?identifier={by}"),
        format!("/fhir/Observation/{KEY}-obsn"),
        format!("/fhir/Observation/{KEY}-obsn/_history"),
        format!("/fhir/Observation?patient.identifier={by}&_include=Observation:encounter"),
        format!("/fhir/Patient/{KEY}-patient/$everything"),
    ];
    for way in &ways {
        b.get(way).with(200);
    }
    let page = b.get(&format!("/fhir/Observation?patient.identifier={by}&_count=1")).with(200).link("next").unwrap();
    let begun = b.send("GET", &format!("/fhir/Patient/{KEY}-patient/$export"), &[("Prefer", "respond-async")], "");
    let status = begun.with(202).field("content-location").unwrap().to_owned();
    let inside = |url: &str| url[url.find("/fhir/").unwrap()..].to_owned();
    let manifest = b.get(&inside(&status)).with(200).json();
    let file = manifest["output"][0]["url"].as_str().unwrap().to_owned();
    ways.extend([page, status, file].map(|url| inside(&url)));
    ways
}

/// Takes something back, and sees every way end, and stay so.
fn ended(what: &str, b: &Client, ways: &[String], take_back: impl FnOnce()) {
    let begun = Instant::now();
    take_back();
    let done = begun.elapsed();
    let mut open: Vec<&String> = ways.iter().collect();
    let mut last = done;
    while !open.is_empty() {
        open.retain(|way| b.get(way).is_success());
        last = begun.elapsed();
        assert!(last < WITHIN, "{what}: after {last:?} still open: {open:?}");
        std::thread::sleep(POLL);
    }
    println!("{what}: done in {:.2} s, every way ended after {:.2} s", done.as_secs_f64(), last.as_secs_f64());
    while begun.elapsed() < last + AFTERWARDS {
        for way in ways {
            let answer = b.get(way);
            assert!(!answer.is_success(), "{what}: {way} is open again: {}", answer.text());
        }
        std::thread::sleep(POLL);
    }
}
