//! How long it takes to be told of nothing: of a resource that a label hides, beside one that nobody ever stored. Requests
//! for both take turns on one connection. Hospital B has seen the hidden ones before consent was narrowed, so that it
//! knows their ids.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::hospital::Hospital;
use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::http_client::Client;
use crate::measure::{Failure, Samples};
use crate::processes::Binary;
use crate::report::{Aim, Report, Row};

/// Requests of each kind, hidden and absent each.
const REQUESTS: usize = 2_000;
/// Requests that do not count.
const WARM_UP: usize = 50;
/// Resources of the patient that are not hidden, as in an ordinary record.
const VISIBLE: usize = 100;
/// Hidden resources, and as many names that nothing has.
const HIDDEN: usize = 20;
const SYSTEM: &str = "urn:bench:hidden";
/// The aim: hidden by absent, at most this far from 1.
const WITHIN: f64 = 0.05;

/// A way of asking. Both names have the same length.
struct Way {
    name: &'static str,
    what: &'static str,
    status: StatusCode,
    request: fn(&str) -> (Method, String, String),
}

const BY_PATIENT: &str = "patient.identifier=urn:bench:hidden%7Cpatient";

const WAYS: [Way; 7] = [
    Way {
        name: "read",
        what: "GET [type]/[id]",
        status: StatusCode::NOT_FOUND,
        request: |id| (Method::GET, format!("/fhir/Observation/{id}"), String::new()),
    },
    Way {
        name: "id",
        what: "search by id",
        status: StatusCode::OK,
        request: |id| (Method::GET, format!("/fhir/Observation?{BY_PATIENT}&_id={id}"), String::new()),
    },
    Way {
        name: "id_alone",
        what: "search by id alone",
        status: StatusCode::OK,
        request: |id| (Method::GET, format!("/fhir/Observation?_id={id}"), String::new()),
    },
    Way {
        name: "identifier",
        what: "search by identifier",
        status: StatusCode::OK,
        request: |id| {
            (Method::GET, format!("/fhir/Observation?{BY_PATIENT}&identifier={SYSTEM}%7C{id}"), String::new())
        },
    },
    Way {
        name: "chain",
        what: "chained search",
        status: StatusCode::OK,
        request: |id| {
            let path = format!("/fhir/Observation?{BY_PATIENT}&has-member:Observation.identifier={SYSTEM}%7C{id}");
            (Method::GET, path, String::new())
        },
    },
    Way {
        name: "patch",
        what: "PATCH",
        status: StatusCode::NOT_FOUND,
        request: |id| {
            let patch = json!([{"op": "replace", "path": "/status", "value": "amended"}]);
            (Method::PATCH, format!("/fhir/Observation/{id}"), patch.to_string())
        },
    },
    Way {
        name: "conditional",
        what: "conditional reference",
        status: StatusCode::UNPROCESSABLE_ENTITY,
        request: |id| {
            let member = json!([{"reference": format!("Observation?identifier={SYSTEM}|{id}")}]);
            let linked = with(observation("linked", &[]), "hasMember", member);
            (Method::POST, "/fhir".to_owned(), transaction([(linked, "POST")]))
        },
    },
];

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    let exchange = Exchange::start(binary, place.path()).await?;
    let author = Hospital::join(&exchange, binary, "hospital-a", &[]).await?;
    let reader = Hospital::join(&exchange, binary, "hospital-b", &[]).await?;
    let mut client = prepare(&author, &reader).await?;
    let rounds = thoroughness.times(REQUESTS);
    report.note(&format!(
        "hidden: {rounds} requests of each kind for hidden and for absent resources in turns; load average {}",
        super::load_average()
    ));
    for way in &WAYS {
        let (mut hidden, mut absent) = (Samples::default(), Samples::default());
        for number in 0..rounds + WARM_UP {
            let mut pair =
                [(format!("psy-{:04}", number % HIDDEN), true), (format!("non-{:04}", number % HIDDEN), false)];
            // Neither is always the first.
            pair.rotate_left(number % 2);
            for (id, is_hidden) in &pair {
                let (method, path, body) = (way.request)(id);
                let begun = Instant::now();
                let (status, _) = client.ask(method, &path, None, body.into()).await?;
                let took = begun.elapsed();
                if status != way.status {
                    return Err(format!("hidden.{}: {path} was answered {status}", way.name).into());
                }
                if number >= WARM_UP {
                    (if *is_hidden { &mut hidden } else { &mut absent }).push_micros(took);
                }
            }
        }
        report.note(&format!(
            "hidden.{}: tenth and ninetieth percentiles: hidden {:.0} and {:.0} µs, absent {:.0} and {:.0} µs",
            way.name,
            hidden.quantile(0.1),
            hidden.quantile(0.9),
            absent.quantile(0.1),
            absent.quantile(0.9),
        ));
        report.row(
            Row::new(format!("hidden.{}", way.name), format!("{}, hidden", way.what), hidden.median(), "µs")
                .against("absent", absent.median())
                .aim(Aim::RatioWithin(WITHIN)),
        );
    }
    Ok(())
}

/// A patient whom hospital B may read but for psychiatry, which it has seen once.
async fn prepare(author: &Hospital, reader: &Hospital) -> Result<Client, Failure> {
    let patient = json!({
        "resourceType": "Patient", "id": "patient", "identifier": [{"system": SYSTEM, "value": "patient"}],
    });
    let psychiatry = [json!({"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"})];
    let visible = (0..VISIBLE).map(|number| observation(&format!("obs-{number:04}"), &[]));
    let hidden = (0..HIDDEN).map(|number| observation(&format!("psy-{number:04}"), &psychiatry));
    let resources = std::iter::once(patient).chain(visible).chain(hidden).map(|resource| (resource, "PUT"));
    let mut at_author = author.connect().await?;
    at_author.post("/fhir", transaction(resources).into()).await?;
    let consent = |labels: &[&str]| {
        let grant = json!({
            "patient": format!("{SYSTEM}|patient"), "to": "hospital-b", "actions": ["read", "write"],
            "purposes": ["TREAT"],
        });
        let grant = if labels.is_empty() { grant } else { with(grant, "labels", json!(labels)) };
        Bytes::from(grant.to_string())
    };
    at_author.post("/consent/grant", consent(&[])).await?;
    let mut client = reader.connect().await?;
    let everything = format!("/fhir/Observation?{BY_PATIENT}&_count=1000");
    let found: Value = serde_json::from_slice(&client.get(&everything).await?)?;
    if found.get("total") != Some(&json!(VISIBLE + HIDDEN)) {
        return Err(format!("hospital B found {:?} Observations", found.get("total")).into());
    }
    at_author.post("/consent/withdraw", consent(&["psychiatry"])).await?;
    let begun = Instant::now();
    loop {
        let found: Value = serde_json::from_slice(&client.get(&everything).await?)?;
        if found.get("total") == Some(&json!(VISIBLE)) {
            return Ok(client);
        }
        if begun.elapsed() > super::PATIENCE {
            return Err("the withdrawal did not take effect".into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn observation(id: &str, security: &[Value]) -> Value {
    let resource = json!({
        "resourceType": "Observation", "id": id, "status": "final", "subject": {"reference": "Patient/patient"},
        "code": {"text": id}, "identifier": [{"system": SYSTEM, "value": id}],
    });
    if security.is_empty() { resource } else { with(resource, "meta", json!({"security": security})) }
}

/// An object with one more field.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    object
}

fn transaction(resources: impl IntoIterator<Item = (Value, &'static str)>) -> String {
    let entry = |(resource, method): (Value, &str)| {
        let part = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = part("resourceType");
        let url = if method == "PUT" { format!("{kind}/{}", part("id")) } else { kind };
        json!({"resource": resource, "request": {"method": method, "url": url}})
    };
    let entries: Vec<Value> = resources.into_iter().map(entry).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string()
}
