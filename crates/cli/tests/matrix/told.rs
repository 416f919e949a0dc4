//! The same through Subscriptions: each role subscribes to each patient's Observations for each purpose, while what the
//! patient withdraws later is still in force; then Observations are written. Who is told of which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::receiver::{Receiver, Told};
use super::support::{Party, World};
use super::{
    Consented, Expired, Granted, Hiv, Label, Normal, PURPOSES, Psychiatry, ROLES, Refused, SITUATIONS, Situation,
    Withdrawn, may_see, resource, transaction,
};

/// Time in which nothing comes where nothing should.
const QUIET: Duration = Duration::from_secs(3);
/// Longest that a notice is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const WRITTEN: [(&str, Label); 3] = [("telln", Normal), ("tellp", Psychiatry), ("tellh", Hiv)];

/// What the patient had said when the Subscription was made.
fn before(situation: Situation) -> Situation {
    match situation {
        Withdrawn | Expired => Consented,
        Refused => Granted,
        other => other,
    }
}

/// The plain reading: whoever may see it in a search is told of it. The patient's identifier in the criteria leads
/// through the Patient, and in an emergency one looks oneself.
fn may_be_told(situation: Situation, role: &str, purpose: &str, label: Label) -> bool {
    let may_see = |label| may_see(situation, role, purpose, label);
    purpose != "ETREAT" && may_see(Normal) && may_see(label)
}

fn path(situation: Situation, role: &str, purpose: &str) -> String {
    format!("/{}-{role}-{purpose}", situation.key())
}

fn subscription(receiver: &Receiver, situation: Situation, role: &str, purpose: &str) -> Value {
    let ids = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content";
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "the matrix",
        "criteria": format!("Observation?patient.identifier=urn:matrix|{}", situation.key()),
        "channel": {
            "type": "rest-hook", "endpoint": receiver.url.clone() + &path(situation, role, purpose),
            "payload": "application/fhir+json", "_payload": {"extension": [{"url": ids, "valueCode": "id-only"}]},
        },
    })
}

/// Everybody subscribes to the records of these. What was answered otherwise than the patient's words let expect.
pub(crate) fn subscribe(world: &World, receiver: &Receiver, situations: &[Situation]) -> Vec<String> {
    let mut differences = Vec::new();
    for situation in situations.iter().copied() {
        for role in ROLES {
            let client = world.client_with(situation.asks_at(), Some(world.token(situation.asks_at(), role, role)));
            for purpose in PURPOSES {
                let body = subscription(receiver, situation, role, purpose).to_string();
                let answer = client.send("POST", "/fhir/Subscription", &[("Purpose-Of-Use", purpose)], body);
                let opens =
                    [Normal, Psychiatry, Hiv].into_iter().any(|label| may_see(before(situation), role, purpose, label));
                let wanted = if opens && purpose != "ETREAT" { 201 } else { 403 };
                if answer.status != wanted {
                    let status = answer.status;
                    differences
                        .push(format!("{situation:?}, {role}, {purpose}: Subscription: {status}: {}", answer.text()));
                }
            }
        }
    }
    differences
}

/// Writes to every patient, and waits for what is told, and for what should not be. How many cells, and what differs.
pub(crate) fn tell(world: &World, receiver: &Receiver) -> (usize, Vec<String>) {
    let own = world.client(Party::HospitalA);
    let mut wanted: BTreeMap<(String, String), bool> = BTreeMap::new();
    for situation in SITUATIONS {
        let key = situation.key();
        let written = WRITTEN.map(|(name, label)| resource(&key, (name, "Observation", label, "encn"), false));
        own.send("POST", "/fhir", &[], transaction(written)).with(200);
        for (role, purpose) in ROLES.iter().flat_map(|role| PURPOSES.map(|purpose| (role, purpose))) {
            for (name, label) in WRITTEN {
                let cell = (path(situation, role, purpose), format!("Observation/{key}-{name}"));
                wanted.insert(cell, may_be_told(situation, role, purpose, label));
            }
        }
    }
    let begun = Instant::now();
    let is_told = |told: &BTreeSet<_>| wanted.iter().all(|(cell, wanted)| !wanted || told.contains(cell));
    while !is_told(&told(receiver)) && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(QUIET);
    let told = told(receiver);
    let known = told.iter().filter(|cell| !wanted.contains_key(cell)).map(|cell| (cell, false));
    let cells = wanted.iter().map(|(cell, wanted)| (cell, *wanted)).chain(known);
    let differs = cells.filter(|(cell, wanted)| told.contains(cell) != *wanted);
    let differs =
        differs.map(|((path, name), wanted)| format!("{path}: told of {name}: {}, and not {wanted}", !wanted));
    (wanted.len(), differs.collect())
}

/// To which path what was told.
fn told(receiver: &Receiver) -> BTreeSet<(String, String)> {
    let taken = receiver.taken.lock().unwrap();
    let of_one = |told: &Told| {
        let to = told.head.split(' ').nth(1).unwrap().strip_prefix("/hook").unwrap().to_owned();
        let notice: Value = serde_json::from_str(&told.body).unwrap();
        // The first entry is the Subscription's status.
        let entries = notice["entry"].as_array().unwrap().iter().skip(1);
        let names = entries.map(|entry| entry["request"]["url"].as_str().unwrap().to_owned());
        names.map(|name| (to.clone(), name)).collect::<Vec<_>>()
    };
    taken.iter().flat_map(of_one).collect()
}
