//! A Prometheus of the test's own over the metrics of all parties, told what `docs/observability.md` tells an operator, but for
//! the pace. It is ended by its own id when it is dropped, and by the system when the test ends without dropping it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::shown::{self, Question};
use crate::support::{Client, Party, World, asked, encode, free_address, text, until};

pub(crate) struct Prometheus {
    place: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
    /// Seconds since 1970.
    begun: u64,
}

impl Prometheus {
    /// Starts one and waits until it has scraped all parties; says loudly where the machine has none.
    pub(crate) fn watch(world: &World) -> Option<Self> {
        if !is_here() {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("prometheus.yml");
        fs::write(&file, configuration(world)).unwrap();
        fs::write(place.path().join("alerts.yml"), at_once(&shown::alerts())).unwrap();
        promtool(&["check", "config", text(&file)]);
        let address = free_address();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "prometheus", "--log.level=warn"]);
        for (option, value) in [
            ("config.file", text(&file)),
            ("storage.tsdb.path", text(&place.path().join("data"))),
            ("web.listen-address", &address.to_string()),
        ] {
            command.arg(format!("--{option}={value}"));
        }
        let log = File::create(log(place.path())).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut prometheus = Self { place, child, address, begun: now() };
        until(|| {
            assert!(prometheus.child.try_wait().unwrap().is_none(), "Prometheus ended");
            asked(address, "/-/ready").filter(|(status, _)| *status == 200)
        });
        until(|| prometheus.reaches_all().then_some(()));
        Some(prometheus)
    }

    fn reaches_all(&self) -> bool {
        let targets = self.ask("targets?state=active")["activeTargets"].take();
        let targets = targets.as_array().unwrap();
        // It has none for its first seconds.
        targets.len() == Party::ALL.len() && targets.iter().all(|target| target["health"] == "up")
    }

    /// Each question of the dashboard finds numbers, with the labels that name their series.
    pub(crate) fn answers(&self, questions: &[Question]) {
        let (metric, label) = shown::values_of_job();
        let jobs = self.ask(&format!("label/{label}/values?match[]={metric}"));
        assert_eq!(jobs, json!(["sealwort"]));
        for question in questions {
            let told = format!("{}: {}", question.panel, question.expression);
            let may_be_zero = MAY_BE_ZERO.iter().any(|name| question.expression.contains(name));
            // The next scrape may know more.
            let series = until(|| {
                let series = self.found(question);
                let tells = |number: f64| number.is_finite() && (number > 0.0 || may_be_zero);
                let has_numbers = series.iter().any(|one| numbers(one).any(tells));
                if !has_numbers {
                    println!("{told} finds no number yet, or none above zero: {series:?}");
                }
                has_numbers.then_some(series)
            });
            for label in question.legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                assert!(series.iter().all(|one| one["metric"][label].is_string()), "{told}: no {label} in {series:?}");
            }
        }
    }

    /// What a question finds, asked as Grafana asks: for a moment, or for all the time since it began.
    fn found(&self, question: &Question) -> Vec<Value> {
        let expression = question.expression.replace("$__rate_interval", RATE_INTERVAL).replace("$job", "sealwort");
        assert!(!expression.contains('$'), "{expression}");
        let expression = encode(&expression);
        let mut data = if question.is_instant {
            self.ask(&format!("query?query={expression}"))
        } else {
            self.ask(&format!("query_range?query={expression}&start={}&end={}&step=1", self.begun, now()))
        };
        serde_json::from_value(data["result"].take()).unwrap()
    }

    /// Every alert was loaded and can be evaluated.
    pub(crate) fn evaluates_the_alerts(&self) {
        let rules = until(|| {
            let rules = self.ask("rules?type=alert")["groups"][0]["rules"].take();
            let rules = rules.as_array().unwrap().clone();
            rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
        });
        for rule in &rules {
            assert_eq!((&rule["health"], rule["lastError"].as_str().unwrap_or_default()), (&json!("ok"), ""), "{rule}");
        }
        let names = rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned());
        assert_eq!(names.collect::<BTreeSet<_>>(), shown::alert_names(&shown::alerts()));
    }

    /// Where an alert of this name fires.
    pub(crate) fn firing(&self, name: &str) -> Vec<String> {
        let alerts = self.ask("alerts")["alerts"].take();
        let fires = |alert: &&Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
        let instance = |alert: &Value| alert["labels"]["instance"].as_str().unwrap().to_owned();
        alerts.as_array().unwrap().iter().filter(fires).map(instance).collect()
    }

    /// What its HTTP API answers.
    fn ask(&self, path: &str) -> Value {
        let answer = Client::new(self.address, None).get(&format!("/api/v1/{path}"));
        let mut told = answer.json();
        assert_eq!(told["status"], "success", "{path}: {told}");
        told["data"].take()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let targets = asked(self.address, "/api/v1/targets?state=active").map(|(_, targets)| targets);
            let log = fs::read_to_string(log(self.place.path())).unwrap_or_default();
            eprintln!("---- Prometheus\n{log}\n{}", targets.unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The alerts are in a form that Prometheus takes, and each fires for what it is for.
#[test]
fn alerts_fire_for_what_they_are_for() {
    if is_here() {
        promtool(&["check", "rules", shown::ALERTS_FILE]);
        promtool(&["test", "rules", CASES_FILE]);
        let cases = fs::read_to_string(CASES_FILE).unwrap();
        let uncalled = shown::alert_names(&shown::alerts()).into_iter().filter(|name| !cases.contains(name.as_str()));
        assert_eq!(uncalled.collect::<Vec<_>>(), Vec::<String>::new(), "alerts without a case");
    }
}

fn is_here() -> bool {
    let is_here = ["prometheus", "promtool"].iter().all(|name| Command::new(name).arg("--version").output().is_ok());
    if !is_here {
        eprintln!("SKIPPED: Prometheus is not here (Debian: prometheus); scripts/install.sh installs it");
    }
    is_here
}

fn promtool(arguments: &[&str]) {
    let done = Command::new("promtool").args(arguments).output().unwrap();
    let told = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&told));
}

/// The configuration that the document shows, with the parties' own addresses.
fn configuration(world: &World) -> String {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observability.md")).unwrap();
    let shown = document.split_once("```yaml\n# prometheus.yml\n").unwrap().1.split_once("```").unwrap().0;
    let targets: Vec<String> =
        Party::ALL.iter().map(|party| world.health(*party).expect("it listens").to_string()).collect();
    let (before, after) = shown.split_once("targets: [").unwrap();
    let after = after.split_once(']').unwrap().1;
    format!("global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{before}targets: {}{after}", json!(targets))
}

/// The alerts as they are, but that nothing has to last for more than a second.
fn at_once(alerts: &str) -> String {
    let lines = alerts.lines().map(|line| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 1s"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Of a series: one value, or one for each second.
fn numbers(series: &Value) -> impl Iterator<Item = f64> {
    let pairs = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
    pairs.into_iter().map(|pair| pair[1].as_str().unwrap().parse().unwrap())
}

fn log(place: &Path) -> PathBuf {
    place.join("log")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

const CASES_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics/alerts.yml");
/// Grafana takes four times the pace of scraping at the least.
const RATE_INTERVAL: &str = "4s";
/// What did not happen here, is over before it is scraped, or rises from a series that was not there before.
const MAY_BE_ZERO: [&str; 8] = [
    "sealwort_outbox_items",
    "sealwort_outbox_refused_items",
    "sealwort_store_failures_total",
    "sealwort_requests_in_flight",
    "sealwort_runs",
    "status=\"5xx\"",
    "sealwort_refusals_total",
    "sealwort_notices_total",
];
