//! The dashboard and the alerts that an operator is given (`config/grafana/sealwort.json`, `config/prometheus/alerts.yml`):
//! they ask for what exists, and the dashboard has the form that Grafana takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sealwort_net::metrics::labels::Code;
use serde_json::{Value, json};

use crate::closed_labels;
use crate::scrape::Scrape;
use crate::support::Party;

/// What a panel asks Prometheus.
pub(crate) struct Question {
    pub(crate) panel: String,
    pub(crate) expression: String,
    /// How a series is named there, with `{{label}}`.
    pub(crate) legend: String,
    /// Whether it asks for this moment alone, and not for a while.
    pub(crate) is_instant: bool,
}

/// The file with the alerts.
pub(crate) const ALERTS_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/prometheus/alerts.yml");
const DASHBOARD_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/grafana/sealwort.json");

/// The alerts as text.
pub(crate) fn alerts() -> String {
    fs::read_to_string(ALERTS_FILE).unwrap()
}

/// The names of the alerts.
pub(crate) fn alert_names(alerts: &str) -> BTreeSet<String> {
    alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// What the panels ask, in their order.
pub(crate) fn questions() -> Vec<Question> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut questions = Vec::new();
    for panel in panels(&dashboard()) {
        questions.extend(panel["targets"].as_array().into_iter().flatten().map(|target| Question {
            panel: text(&panel["title"]),
            expression: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
            is_instant: target["instant"] == true,
        }));
    }
    questions
}

/// Where the dashboard's variable `job` takes its values from: a metric and a label of it.
pub(crate) fn values_of_job() -> (String, String) {
    let dashboard = dashboard();
    let variable = variables(&dashboard).find(|variable| variable["name"] == "job").unwrap();
    let arguments =
        variable["query"].as_str().unwrap().strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
    let (metric, label) = arguments.split_once(", ").unwrap();
    (metric.to_owned(), label.to_owned())
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(DASHBOARD_FILE).unwrap()).unwrap()
}

fn variables(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["templating"]["list"].as_array().unwrap().iter()
}

/// All panels. A row that is folded holds its own.
fn panels(dashboard: &Value) -> Vec<Value> {
    let listed = |value: &Value| value["panels"].as_array().cloned().unwrap_or_default();
    listed(dashboard).into_iter().flat_map(|panel| [vec![panel.clone()], listed(&panel)].concat()).collect()
}

/// Every name is one of a metric, of a label or of the language, and every word that a label is held against can occur.
pub(crate) fn dashboard_and_alerts_name_what_exists(scrapes: &BTreeMap<Party, Scrape>) {
    let samples = || scrapes.values().flat_map(|scrape| &scrape.samples);
    let names: BTreeSet<&str> = samples().map(|sample| sample.name.as_str()).collect();
    let labels: BTreeSet<&str> = samples().flat_map(|sample| sample.labels.keys().map(String::as_str)).collect();
    let mut expressions: Vec<String> = questions().into_iter().map(|question| question.expression).collect();
    let asked = expressions.len();
    let alerts = alerts();
    expressions.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    assert_eq!(expressions.len() - asked, alert_names(&alerts).len());
    expressions.push(values_of_job().0);
    assert!(asked > 20 && expressions.len() - asked > 10, "{asked} of {}", expressions.len());
    let closed = closed_labels();
    let mut used = BTreeSet::new();
    for expression in &expressions {
        let found = names_in(expression);
        let metrics = found.iter().filter(|name| names.contains(**name) || **name == UP);
        assert!(metrics.count() > 0, "no metric in {expression}");
        for name in found {
            if name.starts_with("sealwort_") || name.starts_with("process_") {
                assert!(names.contains(name), "{name} does not exist: {expression}");
                used.insert(name);
            } else {
                // Prometheus gives each series its job and instance.
                let known = LANGUAGE.contains(&name) || labels.contains(name) || ["job", "instance"].contains(&name);
                assert!(known, "{name} is neither a label nor a word of PromQL: {expression}");
            }
        }
        for (label, word) in words_in(expression) {
            let exists = match label {
                "job" => ["$job", "sealwort"].contains(&word),
                "code" => Code::of(word).as_str() == word,
                label => closed.get(label).is_some_and(|words| words.contains(word)),
            };
            assert!(exists, "{label} is never {word}: {expression}");
            // Such an alert fires at the first one; a rise from nothing is none.
            let is_there = |scrape: &Scrape| scrape.with("sealwort_refusals_total", &[(label, word)]).next().is_some();
            assert!(label != "code" || scrapes.values().all(is_there), "a first {word} would not be seen to rise");
        }
    }
    // What is measured is worth a look: every family is on the dashboard or in an alert.
    for name in names {
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(used.iter().any(|used| used.starts_with(family)), "{name} is shown nowhere");
    }
    assert!(!names_in("sum(sealwort_invented_total)").iter().all(|name| used.contains(name)));
    assert_eq!(words_in(r#"a{b="c",d=~"e|f"} > 1"#), [("b", "c"), ("d", "e"), ("d", "f")]);
}

/// Whether a scrape succeeded, by Prometheus itself.
const UP: &str = "up";
/// Functions and keywords in the expressions, and that metric.
const LANGUAGE: [&str; 10] = [UP, "sum", "min", "max", "rate", "increase", "histogram_quantile", "by", "and", "on"];

/// The names in an expression: outside of quotes, brackets and numbers.
fn names_in(expression: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (outside, part) in expression.split('"').enumerate().map(|(number, part)| (number % 2 == 0, part)) {
        if !outside {
            continue;
        }
        for piece in part.split('[').map(|piece| piece.rsplit(']').next().unwrap_or(piece)) {
            let words = piece.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            names.extend(words.filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic())));
        }
    }
    names
}

/// Labels with the words that they are held against: what `code=~"a|b"` names, one by one.
fn words_in(expression: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = expression.split('"').collect();
    let pairs = parts.chunks_exact(2).map(|pair| (pair[0].trim_end_matches(['=', '~', '!']), pair[1]));
    let labelled = pairs.map(|(before, words)| (before.rsplit(['{', ',', ' ']).next().unwrap_or_default(), words));
    labelled.flat_map(|(label, words)| words.split('|').map(move |word| (label, word))).collect()
}

/// What Grafana needs to take a file as a dashboard and to show it, as far as the file itself tells.
#[test]
fn the_dashboard_has_the_form_that_grafana_takes() {
    let dashboard = dashboard();
    // Grafana gives the number, and migrates what is older than it knows; panels and sources are as since version 36.
    assert!(dashboard["id"].is_null(), "an id is of one Grafana");
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| (36..=41).contains(&version)));
    let uid = dashboard["uid"].as_str().unwrap();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!((1..=40).contains(&uid.len()) && uid.bytes().all(plain), "{uid}");
    assert!(dashboard["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(dashboard["time"]["from"].is_string() && dashboard["time"]["to"].is_string());

    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let variable = variables(&dashboard).find(|variable| variable["type"] == "datasource").expect("a source to choose");
    assert_eq!((&variable["name"], &variable["query"]), (&json!("datasource"), &json!("prometheus")));
    let queries = || variables(&dashboard).filter(|variable| variable["type"] == "query");
    assert!(queries().all(|variable| variable["datasource"] == source && variable["query"] == variable["definition"]));
    let known: BTreeSet<&str> = variables(&dashboard).map(|variable| variable["name"].as_str().unwrap()).collect();

    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        let kind = panel["type"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id of {title} is there twice");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{title} has no {name}"));
        assert!(place("w") > 0 && place("h") > 0 && place("x") + place("w") <= 24, "{title}");
        for (x, y) in (0..place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
            assert!(taken.insert((place("x") + x, place("y") + y)), "{title} covers another panel");
        }
        if kind == "row" {
            continue;
        }
        // Those of Grafana itself, without a plugin.
        assert!(["stat", "timeseries", "table", "gauge", "bargauge"].contains(&kind), "{title}: {kind}");
        assert_eq!(panel["datasource"], source, "{title}");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(UNITS.contains(&defaults["unit"].as_str().unwrap_or("none")), "{title}: {}", defaults["unit"]);
        if let Some(steps) = defaults["thresholds"]["steps"].as_array() {
            let values: Vec<Option<f64>> = steps.iter().map(|step| step["value"].as_f64()).collect();
            assert!(values[0].is_none() && values.is_sorted(), "{title}: the first threshold has no value");
        }
        let targets = panel["targets"].as_array().unwrap();
        let names: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert!(!targets.is_empty() && names.len() == targets.len(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"], source, "{title}");
            for name in target["expr"].as_str().unwrap().split('$').skip(1) {
                let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let name = &name[..end.unwrap_or(name.len())];
                assert!(known.contains(name) || name == "__rate_interval", "{title}: nothing is named {name}");
            }
        }
    }
}

/// Units by Grafana's names for them.
const UNITS: [&str; 6] = ["none", "s", "bytes", "Bps", "reqps", "ops"];
