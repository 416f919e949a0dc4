//! Requests of patients held open, at hospital B: reads by id, searches and whole records. The gateway's process has a
//! core of its own where there are two, and this program, which is the client, the others. References take turns: the
//! same server doing nothing, nginx where it is installed, and for searches the read by id.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::cold::Patient;
use super::cores::Cores;
use super::footprint;
use super::hospital::Hospital;
use super::load::{self, Load, Target};
use super::nginx::{self, Nginx};
use crate::Thoroughness;
use crate::http_client::{Client, encode};
use crate::measure::{Failure, Samples, factor};
use crate::report::{Aim, Report, Row};

/// Size of the patients that are asked for, and how many of them.
const RESOURCES: usize = 1_000;
const ASKED_FOR: usize = 4;
/// Patients held open meanwhile: as many as the gateway's default allows.
const HELD_OPEN: usize = 64;
/// Rounds, and how long each kind of request takes in a round.
const ROUNDS: usize = 5;
const ROUND_FULL: Duration = Duration::from_millis(1_500);
const ROUND_QUICK: Duration = Duration::from_millis(300);
/// Connections for which the aims are.
const CONNECTIONS: usize = 16;
/// The request that does nothing.
const NOTHING: &str = "/livez";
/// Answers that are looked at before anything is measured.
const SURVEYED: usize = 64;
/// Resources on a page of a search.
const PAGE: &str = "_count=20";

/// One kind of request, and what was found.
struct Kind<'a> {
    name: &'static str,
    what: &'static str,
    target: Target<'a>,
    load: Load,
}

/// What was aimed at for a kind.
#[derive(Default)]
struct Aims {
    rate: Option<Aim>,
    cpu: Option<Aim>,
    p99: Option<Aim>,
}

/// Measures and reports. The reader is a new process on the server's core with its default settings.
pub(super) async fn run(
    thoroughness: Thoroughness,
    place: &Path,
    reader: &Hospital,
    patients: &[Patient],
    cores: &Cores,
    report: &mut Report,
) -> Result<(), Failure> {
    let asked_for: Vec<_> = patients.iter().filter(|patient| patient.resources == RESOURCES).take(ASKED_FOR).collect();
    let upto = patients.iter().rposition(|patient| patient.resources == RESOURCES).map_or(0, |last| last + 1);
    // The last ones up to this size, so that those who are asked for are among them.
    let held_open = patients.get(upto.saturating_sub(HELD_OPEN)..upto).unwrap_or_default();
    footprint::open(reader, held_open).await?;
    let held = reader.held().await?;
    if !cores.apart() {
        report.note("gateway: THERE IS ONE CORE; server and client share it, and no rate is that of a server's core");
    }
    let target = |paths| Target { server: &reader.process, address: reader.address, token: &reader.token, paths };
    let at_reader = |name, what, paths| Kind { name, what, target: target(Arc::new(paths)), load: Load::default() };

    let reads = asked_for.iter().flat_map(|patient| patient.paths.iter().cloned()).collect();
    let read = at_reader("read", "read by id, warm", reads);
    let mut client = reader.connect().await?;
    let read_answers = survey(&mut client, &read.target.paths).await?;
    let read_bytes = read_answers.bytes;
    let (mut kinds, mut answers) = (vec![read], vec![read_answers]);
    for (name, what, paths) in searches(&asked_for) {
        let kind = at_reader(name, what, paths);
        let found = survey(&mut client, &kind.target.paths).await?;
        if found.empty > 0 {
            return Err(format!("{} of the searches of {name} found nothing", found.empty).into());
        }
        answers.push(found);
        kinds.push(kind);
    }
    let mut idle = at_reader("idle", "the same server, doing nothing", vec![NOTHING.to_owned()]);
    let nginx = Nginx::start(place, read_bytes, cores).await?;
    if nginx.is_none() {
        report.note("gateway: SKIPPED: nginx is not installed (Debian: nginx-light), so there is no peer to read from");
    }
    let mut peer = nginx.as_ref().map(|nginx| Kind {
        name: "nginx",
        what: "nginx, a file of the same size",
        target: Target {
            server: &nginx.process,
            address: nginx.address,
            token: &reader.token,
            paths: Arc::new(vec![nginx::FILE.to_owned()]),
        },
        load: Load::default(),
    });

    report.note(&format!("gateway: warm requests while {} patients are held open", held.patients));
    for connections in [1, CONNECTIONS] {
        // One connection tells the latency of a read alone.
        let asked = if connections == 1 { kinds.get_mut(..1) } else { kinds.get_mut(..) };
        let asked = asked.unwrap_or_default();
        let mut all: Vec<&mut Kind<'_>> = asked.iter_mut().chain([&mut idle]).chain(peer.as_mut()).collect();
        measure(thoroughness, &mut all, connections).await?;
        drop(all);
        read_rows(connections, kinds.first(), &idle, peer.as_ref(), report);
        if connections == CONNECTIONS {
            search_rows(&kinds, report);
            notes(&kinds, &answers, report);
        }
        for kind in kinds.iter_mut().chain([&mut idle]).chain(peer.as_mut()) {
            kind.load = Load::default();
        }
    }
    Ok(())
}

/// All kinds in turns, after a round that does not count.
async fn measure(thoroughness: Thoroughness, kinds: &mut [&mut Kind<'_>], connections: usize) -> Result<(), Failure> {
    let round = if thoroughness == Thoroughness::Full { ROUND_FULL } else { ROUND_QUICK };
    for kind in kinds.iter() {
        load::run(&kind.target, connections, ROUND_QUICK).await?;
    }
    for _ in 0..ROUNDS {
        for kind in kinds.iter_mut() {
            let found = load::run(&kind.target, connections, round).await?;
            kind.load.append(found);
        }
    }
    Ok(())
}

/// What clients ask of a record, as name, words and paths; each with different values for each patient.
fn searches(patients: &[&Patient]) -> Vec<(&'static str, &'static str, Vec<String>)> {
    const CODES: [&str; 4] = ["8867-4", "29463-7", "8310-5", "59408-5"];
    const YEARS: [u32; 3] = [2020, 2022, 2024];
    const VISITS: [&str; 4] = ["185349003", "185345009", "390906007", "162673000"];
    let loinc = |code: &str| encode(&format!("http://loinc.org|{code}"));
    let snomed = |code: &str| encode(&format!("http://snomed.info/sct|{code}"));
    // Each patient with each value.
    let each = |values: &[String]| -> Vec<String> {
        let of = |patient: &&Patient| values.iter().map(|value| value.replace("{id}", &patient.id)).collect::<Vec<_>>();
        patients.iter().flat_map(of).collect()
    };
    let code = CODES.map(|code| format!("/fhir/Observation?patient={{id}}&code={}&{PAGE}", loinc(code)));
    let range = YEARS.map(|year| {
        let dates = format!("date=ge{year}-01-01&date=lt{}-01-01", year + 2);
        format!("/fhir/Observation?patient={{id}}&category=vital-signs&{dates}&_sort=-date&{PAGE}")
    });
    let include = CODES.map(|code| {
        let code = loinc(code);
        format!("/fhir/Observation?patient={{id}}&code={code}&_include=Observation:encounter&{PAGE}")
    });
    let chain =
        VISITS.map(|code| format!("/fhir/Observation?patient={{id}}&encounter:Encounter.type={}&{PAGE}", snomed(code)));
    let has = CODES
        .map(|code| format!("/fhir/Encounter?patient={{id}}&_has:Observation:encounter:code={}&{PAGE}", loinc(code)));
    let page = [format!("/fhir/Patient/{{id}}/$everything?{PAGE}")];
    let whole = ["/fhir/Patient/{id}/$everything".to_owned()];
    vec![
        ("search.code", "Observations by code", each(&code)),
        ("search.date", "by category and dates, sorted by date", each(&range)),
        ("search.include", "by code, with encounters", each(&include)),
        ("search.chain", "by the type of their encounter", each(&chain)),
        ("search.has", "Encounters that have a measurement", each(&has)),
        ("everything.page", "$everything, 20 resources", each(&page)),
        ("everything", "$everything, 1,000 resources", each(&whole)),
    ]
}

/// What some of the answers are like.
struct Answers {
    /// Bytes of one, in the middle.
    bytes: usize,
    /// Entries of one, in the middle; one for a resource.
    entries: f64,
    /// Bundles without an entry.
    empty: usize,
}

async fn survey(client: &mut Client, paths: &[String]) -> Result<Answers, Failure> {
    let (mut sizes, mut entries, mut empty) = (Vec::new(), Samples::default(), 0);
    let step = (paths.len() / SURVEYED).max(1);
    for path in paths.iter().step_by(step) {
        let body = client.get(path).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        let held = match answer.get("resourceType").and_then(Value::as_str) {
            Some("Bundle") => answer.get("entry").and_then(Value::as_array).map_or(0, Vec::len),
            _ => 1,
        };
        empty += usize::from(held == 0);
        entries.push(factor(held as u64));
        sizes.push(body.len());
    }
    sizes.sort_unstable();
    let bytes = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    Ok(Answers { bytes, entries: entries.median(), empty })
}

fn read_rows(
    connections: usize,
    read: Option<&Kind<'_>>,
    idle: &Kind<'_>,
    peer: Option<&Kind<'_>>,
    report: &mut Report,
) {
    let Some(read) = read else { return };
    let aims = match connections {
        CONNECTIONS => Aims {
            rate: Some(Aim::AtLeast(READS_A_SECOND_AIM)),
            cpu: Some(Aim::AtMost(READ_CPU_MICROS_AIM)),
            p99: Some(Aim::AtMost(P99_MICROS_AIM)),
        },
        _ => Aims::default(),
    };
    rows(&format!("gateway.read_{connections}"), read, idle, &aims, report);
    if let Some(peer) = peer {
        rows(&format!("gateway.read_{connections}.nginx"), read, peer, &Aims::default(), report);
    }
}

fn search_rows(kinds: &[Kind<'_>], report: &mut Report) {
    let Some((read, searches)) = kinds.split_first() else { return };
    for search in searches {
        // A whole record is no search; what it costs is its bytes.
        let aims = match search.name {
            "everything" => Aims::default(),
            _ => Aims {
                rate: None,
                cpu: Some(Aim::AtMost(SEARCH_CPU_MICROS_AIM)),
                p99: Some(Aim::AtMost(P99_MICROS_AIM)),
            },
        };
        rows(&format!("gateway.{}_{CONNECTIONS}", search.name), search, read, &aims, report);
    }
}

/// Rate, latency and CPU time of one kind beside another.
fn rows(name: &str, kind: &Kind<'_>, reference: &Kind<'_>, aims: &Aims, report: &mut Report) {
    let (ours, theirs) = (&kind.load, &reference.load);
    let cells = [
        ("rate", "requests", "/s", ours.rate.median(), theirs.rate.median(), aims.rate),
        ("p50", "latency", "µs", ours.latency.quantile(0.5), theirs.latency.quantile(0.5), None),
        ("p99", "latency", "µs", ours.latency.quantile(0.99), theirs.latency.quantile(0.99), aims.p99),
        ("cpu", "CPU of the server's process each", "µs", ours.cpu.median(), theirs.cpu.median(), aims.cpu),
    ];
    for (part, measured, unit, value, other, aim) in cells {
        let row = Row::new(format!("{name}.{part}"), format!("{}, {measured}", kind.what), value, unit)
            .against(reference.what, other);
        report.row(match aim {
            Some(aim) => row.aim(aim),
            None => row,
        });
    }
}

fn notes(kinds: &[Kind<'_>], answers: &[Answers], report: &mut Report) {
    for (kind, answer) in kinds.iter().zip(answers) {
        let load = &kind.load;
        report.note(&format!(
            "gateway.{}_{CONNECTIONS}: {} paths, answers of {} resources and {} bytes; of the server's CPU {:.0} µs each \
             went to the kernel; the client spent {:.0} µs each; {:.0} requests for each second of the server's CPU",
            kind.name,
            kind.target.paths.len(),
            answer.entries,
            answer.bytes,
            load.system.median(),
            load.client.median(),
            1e6 / load.cpu.median(),
        ));
    }
}

/// The aims.
const READS_A_SECOND_AIM: f64 = 10_000.0;
const READ_CPU_MICROS_AIM: f64 = 100.0;
const SEARCH_CPU_MICROS_AIM: f64 = 300.0;
const P99_MICROS_AIM: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_search_is_of_a_patient() {
        let patient = |id: &str| Patient {
            resources: RESOURCES,
            id: id.to_owned(),
            token: String::new(),
            json_bytes: 0,
            paths: Vec::new(),
        };
        let (one, other) = (patient("p1"), patient("p2"));
        for (name, _, paths) in searches(&[&one, &other]) {
            for id in ["p1", "p2"] {
                let of = paths.iter().filter(|path| path.contains(id)).count();
                assert_eq!(of * 2, paths.len(), "{name}: {paths:?}");
            }
            assert!(paths.iter().all(|path| path.parse::<http::Uri>().is_ok()), "{name}");
        }
    }
}
