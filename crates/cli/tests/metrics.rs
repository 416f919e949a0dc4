//! What services tell of themselves, by a real exchange: an upload at one hospital and a reading at another. Every party is
//! scraped, the traces go to a collector and into the data folders, logs are JSON; each is held against what happened,
//! and searched for what must be in none of them. A Prometheus scrapes all of it, and answers what the dashboard asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "metrics/collector.rs"]
mod collector;
#[path = "metrics/prometheus.rs"]
mod prometheus;
#[path = "metrics/scrape.rs"]
mod scrape;
#[path = "metrics/shown.rs"]
mod shown;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use collector::{Collector, words_of};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus::Prometheus;
use scrape::Scrape;
use sealwort_net::metrics::labels::{Fate, Notice, Peer, Phase, Route, Status, Verb, Work};
use sealwort_net::traces::{ATTRIBUTES, KEPT_FILE};
use serde_json::{Value, json};
use shown::{dashboard_and_alerts_name_what_exists, questions};
use support::{Answer, Party, World, encode, run, succeeded, text, until};

/// A person whose name, identifier and user are nobody else's.
const FAMILY: &str = "Wunderlichova";
const GIVEN: &str = "Ludmilka";
const SYSTEM: &str = "urn:example:quarzuhr";
const VALUE: &str = "QZ-4711-98273";
const USER: &str = "dr-quastenflosser";
/// What a client calls its upload, which a program would not do.
const REQUEST: &str = "upload of Wunderlichova, QZ-4711-98273";
/// The clients' own traces.
const UPLOAD: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const READING: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";
/// Parties with a part in the exchange of a record.
const SERVING: [Party; 4] = [Party::HospitalA, Party::HospitalB, Party::Broker, Party::Archive];

#[test]
fn what_services_tell_is_right_and_tells_of_nobody() {
    let collector = Collector::start();
    let mut options: Vec<(Party, &str, Value)> = Vec::new();
    for party in Party::ALL {
        options.push((party, "health.address", json!("127.0.0.1:0")));
        options.push((party, "telemetry.endpoint", json!(format!("http://{}", collector.address))));
        options.push((party, "telemetry.keep", json!("8MiB")));
        options.push((party, "log.format", json!("json")));
        options.push((party, "log.filter", json!("info")));
    }
    let mut world = World::start_with(&options);
    let prometheus = Prometheus::watch(&world);
    let story = Story::tell(&world);
    let scrapes: BTreeMap<Party, Scrape> =
        Party::ALL.into_iter().map(|party| (party, Scrape::of(&world, party))).collect();
    counted(&scrapes, &story);
    labels_are_closed(&scrapes);
    dashboard_and_alerts_name_what_exists(&scrapes);
    if let Some(prometheus) = prometheus {
        watched(&mut world, &prometheus);
    }

    // On stopping a service sends what spans it has still.
    for party in [Party::HospitalA, Party::HospitalB, Party::Broker, Party::Archive, Party::Ca] {
        assert!(!world.is_running(party) || world.stop(party).success(), "{party:?}");
    }
    collected(&collector, &story);
    shown_as_a_tree(&world, &story);
    logs_name_the_trace(&world, &story);
    nobody_is_told_of(&world, &scrapes, &collector, &story);
}

/// What was done, and what is known of it from elsewhere.
struct Story {
    /// As broker and archive know the patient.
    pseudonym: String,
    /// Traces of the upload and of the reading, as their answers name them.
    upload: String,
    reading: String,
    /// Of hospital A and of hospital B to their FHIR faces, with the class of their status.
    requests: BTreeMap<Party, BTreeMap<(&'static str, &'static str), u64>>,
}

impl Story {
    fn tell(world: &World) -> Self {
        let [at_a, at_b] = [Party::HospitalA, Party::HospitalB]
            .map(|hospital| world.client_with(hospital, Some(world.token(hospital, USER, "physician"))));
        let parent = |trace: &str| format!("00-{trace}-{CLIENT_SPAN}-01");
        let find = format!("/fhir/Patient?identifier={}", encode(&format!("{SYSTEM}|{VALUE}")));

        let upload = parent(UPLOAD);
        let fields = [("traceparent", upload.as_str()), ("X-Request-Id", REQUEST)];
        let stored = at_a.send("POST", "/fhir", &fields, patient()).with(200);
        let refused = at_b.get(&find).with(403);
        let grant = json!({"patient": format!("{SYSTEM}|{VALUE}"), "to": "hospital-b", "actions": ["read", "write"]});
        at_a.send("POST", "/consent/grant", &[], grant.to_string()).with(200);
        let reading = parent(READING);
        let found = at_b.send("GET", &find, &[("traceparent", &reading)], "").with(200);
        let (upload, reading) = (trace_of(&stored), trace_of(&found));
        let all = BTreeSet::from([upload.as_str(), &reading, UPLOAD, READING, refused.field("x-trace-id").unwrap()]);
        assert_eq!(all.len(), 5, "each request has a trace of its own, and none is the client's");
        assert!(found.text().contains(FAMILY), "the needles are in what was read");
        // What is no trace is none, and another one begins.
        let broken = at_b.send("GET", "/fhir/metadata", &[("traceparent", "00-Wunderlichova-1-01")], "").with(200);
        assert_eq!(trace_of(&broken).len(), 32);
        until(|| (Scrape::of(world, Party::HospitalB).sum("sealwort_notices_total", &[]) > 0.0).then_some(()));

        let log = run(&["audit", "search", "--folder", text(&world.folder(Party::Broker)), "--user", USER, "--json"]);
        let entries: Value = support::json_of(&log);
        let pseudonym = entries[0]["patient"].as_str().expect("an entry about the patient").to_owned();
        let of_a = BTreeMap::from([(("fhir-bundle", "2xx"), 1), (("consent", "2xx"), 1)]);
        let of_b = BTreeMap::from([
            (("fhir-search", "4xx"), 1),
            (("fhir-search", "2xx"), 1),
            (("fhir-description", "2xx"), 1),
        ]);
        Self {
            pseudonym,
            upload,
            reading,
            requests: BTreeMap::from([(Party::HospitalA, of_a), (Party::HospitalB, of_b)]),
        }
    }
}

fn trace_of(answer: &Answer) -> String {
    answer.field("x-trace-id").expect("the answer names its trace").to_owned()
}

fn patient() -> String {
    let name = "urn:uuid:00000000-0000-4000-8000-000000000001";
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": name, "request": {"method": "POST", "url": "Patient"}, "resource": {
            "resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": VALUE}],
            "name": [{"family": FAMILY, "given": [GIVEN]}],
        }},
        {"request": {"method": "POST", "url": "Observation"}, "resource": {
            "resourceType": "Observation", "status": "final", "subject": {"reference": name},
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "valueQuantity": {"value": 71, "unit": "/min"},
        }},
    ]})
    .to_string()
}

// ---- metrics ----

fn counted(scrapes: &BTreeMap<Party, Scrape>, story: &Story) {
    for (hospital, requests) in &story.requests {
        let scrape = &scrapes[hospital];
        for ((route, status), count) in requests {
            let labels = [("role", "gateway"), ("route", *route), ("status", *status)];
            let found = scrape.count("sealwort_requests_total", &labels);
            assert_eq!(found, *count, "{hospital:?} {route} {status}\n{}", scrape.text);
        }
        let routes: BTreeSet<&str> = requests.keys().map(|(route, _)| *route).collect();
        for route in routes {
            let all: u64 = requests.iter().filter(|((found, _), _)| *found == route).map(|(_, count)| count).sum();
            assert_eq!(scrape.count("sealwort_request_seconds_count", &[("route", route)]), all);
            assert_eq!(scrape.count("sealwort_request_seconds_bucket", &[("route", route), ("le", "+Inf")]), all);
            assert!(scrape.sum("sealwort_request_seconds_sum", &[("route", route)]) > 0.0);
        }
    }
    let [a, b, broker, archive, ca] =
        [Party::HospitalA, Party::HospitalB, Party::Broker, Party::Archive, Party::Ca].map(|party| &scrapes[&party]);
    // Two gateways ran the nine steps over one session of broker and archive.
    let step = |scrape: &Scrape, phase: &str, step: &str| {
        scrape.count("sealwort_step_seconds_count", &[("phase", phase), ("step", step)])
    };
    for (scrape, steps) in [(a, ["1", "4", "9"]), (b, ["1", "4", "9"])] {
        assert!(steps.iter().all(|number| step(scrape, "authentication", number) == 1), "{}", scrape.text);
    }
    assert_eq!(step(broker, "authentication", "3"), 2);
    assert_eq!(step(archive, "authentication", "8"), 2);
    for phase in [("authentication", 9), ("transmission", 7)] {
        for number in 1..=phase.1 {
            let taken: u64 = SERVING.iter().map(|party| step(&scrapes[party], phase.0, &number.to_string())).sum();
            assert!(taken > 0, "{} {number} was taken by nobody", phase.0);
        }
    }
    assert_eq!(broker.count("sealwort_sessions", &[("peer", "gateway")]), 2);
    assert_eq!(broker.count("sealwort_sessions", &[("peer", "archive")]), 1);
    assert_eq!(archive.count("sealwort_sessions", &[("peer", "gateway")]), 2);
    assert_eq!(a.count("sealwort_sessions", &[("peer", "broker")]), 1);
    // Held open where the broker's notices were heard in time.
    assert!(b.has("sealwort_open_patients") && b.sum("sealwort_open_patients", &[]) <= 1.0, "{}", b.text);
    assert_eq!(a.count("sealwort_outbox_items", &[]), 0);
    assert!(a.has("sealwort_outbox_items") && !broker.has("sealwort_outbox_items"));
    // Before consent hospital B was refused, with the broker's code.
    for scrape in [b, broker] {
        let refusals: f64 = scrape
            .with("sealwort_refusals_total", &[])
            .filter(|one| one.labels["code"].starts_with("consent-"))
            .map(|one| one.value)
            .sum();
        assert!(refusals >= 1.0, "{}", scrape.text);
    }
    assert!(archive.sum("sealwort_store_seconds_count", &[("work", "append")]) >= 1.0, "{}", archive.text);
    assert!(ca.sum("sealwort_requests_total", &[("route", "enrolment"), ("status", "2xx")]) >= 4.0, "{}", ca.text);
    for (party, scrape) in scrapes {
        let role = party.role();
        for work in ["change", "audit-entry"] {
            let written = scrape.sum("sealwort_store_seconds_count", &[("work", work)]);
            // An authority enters what others ask of it; hospital B changes nothing here but its roster.
            assert!(written > 0.0 || work == "change", "{party:?} {work}\n{}", scrape.text);
        }
        assert_eq!(scrape.count("sealwort_store_failures_total", &[]), 0, "{party:?}");
        assert!(scrape.with("sealwort_ready", &[]).all(|part| part.value > 0.5), "{}", scrape.text);
        let days = scrape.sum("sealwort_certificate_remaining_seconds", &[]) / 86_400.0;
        assert!((1.0..1000.0).contains(&days), "{party:?}: {days} days");
        if party != &Party::Ca {
            assert!(scrape.has("sealwort_ready") || role == "gateway", "{}", scrape.text);
            let hours = scrape.sum("sealwort_revocation_list_remaining_seconds", &[]) / 3600.0;
            assert!((1.0..=24.0).contains(&hours), "{party:?}: {hours} hours");
        }
        let build = [("version", env!("CARGO_PKG_VERSION")), ("role", role)];
        assert_eq!(scrape.count("sealwort_build_info", &build), 1, "{}", scrape.text);
        assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
        assert!(scrape.sum("process_open_fds", &[]) > 5.0);
        assert!(scrape.has("process_cpu_seconds_total"));
        assert_eq!(scrape.count("sealwort_spans_total", &[("fate", "lost")]), 0);
    }
}

/// The labels that are words of the program, with all their words.
fn closed_labels() -> BTreeMap<&'static str, BTreeSet<String>> {
    let words = |words: Vec<&'static str>| words.into_iter().map(str::to_owned).collect::<BTreeSet<String>>();
    BTreeMap::from([
        ("role", words(vec!["ca", "broker", "archive", "gateway"])),
        ("route", words(Route::ALL.iter().map(|one| one.as_str()).collect())),
        ("status", words(Status::ALL.iter().map(|one| one.as_str()).collect())),
        ("phase", words(Phase::ALL.iter().map(|one| one.as_str()).collect())),
        ("step", (1..=9).map(|number: u8| number.to_string()).collect()),
        ("work", words(Work::ALL.iter().map(|one| one.as_str()).collect())),
        ("peer", words(Peer::ALL.iter().map(|one| one.as_str()).collect())),
        ("notice", words(Notice::ALL.iter().map(|one| one.as_str()).collect())),
        ("fate", words(Fate::ALL.iter().map(|one| one.as_str()).collect())),
        ("version", words(vec![env!("CARGO_PKG_VERSION")])),
        ("part", words(vec!["start", "service", "store", "audit log", "keys", "witnessed logs"])),
    ])
}

/// Each label is one of few, and each of its values a word of the program or a number.
fn labels_are_closed(scrapes: &BTreeMap<Party, Scrape>) {
    let closed = closed_labels();
    for (party, scrape) in scrapes {
        for (key, value) in scrape.samples.iter().flat_map(|sample| &sample.labels) {
            let fits = match key.as_str() {
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                // Held against the list where it is made.
                "code" => value.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit()),
                key => closed.get(key).is_some_and(|words| words.contains(value)),
            };
            assert!(fits, "{party:?}: {key}={value}");
        }
    }
}

/// What Prometheus makes of it, while all is well and while the broker is away.
fn watched(world: &mut World, prometheus: &Prometheus) {
    let at_b = world.client_with(Party::HospitalB, Some(world.token(Party::HospitalB, USER, "physician")));
    let find = |value: &str| format!("/fhir/Patient?identifier={}", encode(&format!("{SYSTEM}|{value}")));
    at_b.get(&find(VALUE)).with(200);
    let (of_failures, others): (Vec<_>, Vec<_>) =
        questions().into_iter().partition(|question| question.expression.contains("5xx"));
    prometheus.answers(&others);
    prometheus.evaluates_the_alerts();
    assert_eq!(prometheus.firing("SealwortDown"), Vec::<String>::new());

    let broker = world.health(Party::Broker).unwrap().to_string();
    assert!(world.stop(Party::Broker).success());
    let failed = at_b.get(&find("somebody else"));
    assert!((500..600).contains(&failed.status), "{}", failed.text());
    assert_eq!(of_failures.len(), 1);
    prometheus.answers(&of_failures);
    until(|| (prometheus.firing("SealwortDown") == [broker.clone()]).then_some(()));
}

// ---- traces ----

fn collected(collector: &Collector, story: &Story) {
    let spans = collector.spans();
    let of_trace = |trace: &str| -> Vec<&(String, Span)> {
        let trace = hex::decode(trace).unwrap();
        spans.iter().filter(|(_, span)| span.trace_id == trace).collect()
    };
    for (trace, hospital, root) in
        [(&story.upload, "hospital-a", "request fhir-bundle"), (&story.reading, "hospital-b", "request fhir-search")]
    {
        let spans = of_trace(trace);
        let parties: BTreeSet<&str> = spans.iter().map(|(party, _)| party.rsplit('/').next().unwrap()).collect();
        assert_eq!(parties, BTreeSet::from([hospital, "broker", "archive"]), "{trace}");
        // One root; everything else belongs to something here.
        let known: BTreeSet<&[u8]> = spans.iter().map(|(_, span)| span.span_id.as_slice()).collect();
        let roots: Vec<_> = spans.iter().filter(|(_, span)| !known.contains(span.parent_span_id.as_slice())).collect();
        assert_eq!(roots.len(), 1, "{roots:?}");
        let (party, first) = roots[0];
        assert!(party.ends_with(hospital) && first.name == root, "{first:?}");
        assert!(first.parent_span_id.is_empty(), "{first:?}");
        // All seven steps of the transmission, each at the party that takes it.
        for (number, party) in (1..).zip([hospital, "broker", hospital, "broker", hospital, "archive", "archive"]) {
            let name = format!("transmission {number}");
            let taken = |one: &&(String, Span)| one.1.name == name && one.0.ends_with(party);
            assert!(spans.iter().copied().any(|one| taken(&one)), "{name} at {party} is missing in {trace}");
        }
        let within = |span: &Span| {
            let parent = spans.iter().find(|(_, parent)| parent.span_id == span.parent_span_id);
            parent.map(|(party, parent)| (party.rsplit('/').next().unwrap(), parent.name.as_str()))
        };
        let find =
            |party: &str, name: &str| &spans.iter().find(|one| one.0.ends_with(party) && one.1.name == name).unwrap().1;
        assert_eq!(within(find("broker", "request channel")), Some((hospital, root)));
        assert_eq!(within(find("archive", "request relay")), Some(("broker", "request relay")));
        assert_eq!(within(find("broker", "transmission 4")), Some(("broker", "request channel")));
        assert!(spans.iter().all(|(_, span)| span.end_time_unix_nano >= span.start_time_unix_nano));
    }
    assert!(of_trace(&story.upload).iter().any(|(_, span)| span.name == "store append"));
    let (all, mut seen) = (closed_words(), BTreeSet::new());
    for (party, span) in &spans {
        let name = |span: &Span| NAMES.iter().any(|begin| span.name.starts_with(begin));
        assert!(name(span), "{party}: {}", span.name);
        assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty());
        for attribute in &span.attributes {
            assert!(ATTRIBUTES.contains(&attribute.key.as_str()), "{party}: {}", attribute.key);
            let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
            let words = words_of(value);
            let is_code = attribute.key == "sealwort.code";
            let closed = matches!(value, Any::IntValue(_)) || all.contains(words.as_str()) || is_code;
            assert!(closed && !(is_code && words.contains(' ')), "{party}: {} = {words}", attribute.key);
            seen.insert(attribute.key.as_str());
        }
    }
    assert_eq!(seen, BTreeSet::from(ATTRIBUTES), "attributes that were never seen are never checked");
    let refused =
        spans.iter().find(|(_, span)| span.status.as_ref().is_some_and(|s| s.message.starts_with("consent-")));
    assert!(refused.is_some(), "the refusal before consent has its code");
}

const NAMES: [&str; 6] = ["request ", "session", "outbox", "authentication ", "transmission ", "store "];

fn closed_words() -> BTreeSet<&'static str> {
    let ways = ["L → T", "L → M", "T → M", "T → L", "M → T", "M → L", "L → T, M"];
    Verb::ALL.iter().map(|verb| verb.as_str()).chain(ways).collect()
}

fn shown_as_a_tree(world: &World, story: &Story) {
    let dirs = SERVING.map(|party| world.folder(party));
    let shown = |id: &str, more: &[&str]| {
        let mut arguments = vec!["trace", id];
        arguments.extend(dirs.iter().flat_map(|dir| ["--dir", text(dir)]));
        arguments.extend(more);
        run(&arguments)
    };
    let (upload, reading) = (story.upload.as_str(), story.reading.as_str());
    for (id, trace, root) in [
        (reading, reading, "request fhir-search"),
        (READING, reading, "request fhir-search"),
        (REQUEST, upload, "request fhir-bundle"),
    ] {
        let output = shown(id, &[]);
        succeeded(&output);
        let tree = String::from_utf8(output.stdout).unwrap();
        let mut lines = tree.lines();
        assert_eq!(lines.next(), Some(format!("trace {trace}").as_str()));
        let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(head, ["party", "span", "start", "time", "outcome"]);
        let lines: Vec<&str> = lines.collect();
        assert!(lines[0].contains(root) && lines[0].ends_with("ok (200)"), "{tree}");
        let depth = |line: &str| line.find("request ").or_else(|| line.find("transmission ")).unwrap_or_default();
        let at = |what: &str| {
            *lines.iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in\n{tree}"))
        };
        assert!(depth(at("broker/broker")) > depth(lines[0]), "{tree}");
        assert!(depth(at("transmission 4 (T → L)")) > depth(at("request channel")), "{tree}");
        assert!(depth(at("transmission 6 (M → L)")) > depth(at("broker/broker")), "{tree}");
        println!("{tree}");
    }
    let trees: Value = support::json_of(&shown(reading, &["--json"]));
    assert_eq!(trees.as_array().map(Vec::len), Some(1), "{trees}");
    assert_eq!(trees[0]["trace"], reading);
    let root = &trees[0]["spans"][0];
    assert_eq!((&root["name"], &root["outcome"]), (&json!("request fhir-search"), &json!("ok")));
    assert!(root["within"].as_array().is_some_and(|within| within.len() > 3), "{root}");
    let unknown = shown("00000000000000000000000000000001", &[]);
    assert_eq!(support::exit(&unknown), 1, "{}", support::errors(&unknown));
}

// ---- logs, and what is in none ----

fn logs_name_the_trace(world: &World, story: &Story) {
    let mut seen = BTreeSet::new();
    for party in SERVING {
        for line in world.log_text(party).lines() {
            // What `announce` says is for people.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(trace) = event["span"]["trace_id"].as_str() {
                assert_eq!((trace.len(), event["span"]["span_id"].as_str().unwrap().len()), (32, 16), "{line}");
                seen.insert((party, trace.to_owned()));
            }
            if event["fields"]["message"] == "decided" {
                assert!(event["span"]["trace_id"].is_string(), "{line}");
            }
        }
    }
    for trace in [&story.upload, &story.reading] {
        assert!(seen.contains(&(Party::Broker, trace.to_owned())), "the broker logged nothing of {trace}: {seen:?}");
    }
    assert!(seen.iter().any(|(party, _)| *party == Party::HospitalA), "{seen:?}");
}

fn nobody_is_told_of(world: &World, scrapes: &BTreeMap<Party, Scrape>, collector: &Collector, story: &Story) {
    let mut told: Vec<(String, Vec<u8>)> = Vec::new();
    for party in Party::ALL {
        told.push((format!("scrape of {party:?}"), scrapes[&party].text.clone().into_bytes()));
        told.push((format!("log of {party:?}"), world.log_text(party).into_bytes()));
        let spans = fs::read(world.folder(party).join(KEPT_FILE)).unwrap_or_default();
        assert!(!spans.is_empty(), "{party:?} kept no spans");
        told.push((format!("spans of {party:?}"), spans));
    }
    told.push(("what the collector took".to_owned(), collector.taken.lock().unwrap().concat()));
    assert!(story.pseudonym.len() >= 32, "{}", story.pseudonym);
    let mut found = Vec::new();
    for needle in [FAMILY, GIVEN, VALUE, SYSTEM, USER, REQUEST, UPLOAD, READING, CLIENT_SPAN, &story.pseudonym] {
        for (place, bytes) in &told {
            let lower = bytes.to_ascii_lowercase();
            if lower.windows(needle.len()).any(|run| run == needle.to_ascii_lowercase().as_bytes()) {
                found.push(format!("{needle} is in the {place}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The search finds what is there.
    let (_, log) = told.iter().find(|(place, _)| place == "log of Broker").unwrap();
    assert!(log.windows(7).any(|run| run == b"decided"));
}
