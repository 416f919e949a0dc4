//! `sealwort trace`: what happened for one request, at every party whose data folder is at hand, as a tree. Spans are read
//! as the services kept them (`telemetry.keep`); nobody is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use clap::Args;
use sealwort_net::traces::{KEPT_FILE, Kept, Names, OLDER_FILE};
use serde::Serialize;

use crate::error::CliError;
use crate::output::{Output, table};

/// Hexadecimal digits of a trace.
const TRACE_DIGITS: usize = 32;

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The trace, as the header X-Trace-Id of an answer names it; or what the client sent: its X-Request-Id, or its trace.
    id: String,
    /// Data folder of a party. May be given several times.
    #[arg(long, value_name = "DIR", required = true)]
    dir: Vec<PathBuf>,
}

/// A span in its tree.
#[derive(Debug, Serialize)]
struct Node {
    #[serde(flatten)]
    span: Kept,
    /// Those that belong to it, in the order of their beginnings.
    within: Vec<Node>,
}

/// One trace.
#[derive(Debug, Serialize)]
struct Trace {
    trace: String,
    /// Spans that belong to none that is known.
    spans: Vec<Node>,
}

#[expect(clippy::unused_async, reason = "all commands are run alike")]
pub(crate) async fn run(args: TraceArgs, output: Output) -> Result<(), CliError> {
    let (mut known, mut wanted) = (Vec::new(), BTreeSet::new());
    for dir in &args.dir {
        let spans = kept_in(dir)?;
        wanted.extend(wanted_of(&args.id, &spans, Names::of(dir)?.as_ref()));
        known.extend(spans);
    }
    let traces: Vec<Trace> = wanted.into_iter().map(|trace| tree(&trace, &known)).collect();
    if traces.is_empty() {
        return Err(CliError::Local(format!(
            "no span of {} is kept there; the parties keep spans where telemetry.keep is set, and the oldest go first",
            args.id
        )));
    }
    output.data(&traces, || traces.iter().map(shown).collect::<Vec<_>>().join("\n"))
}

/// The spans that a party kept. A line that was cut off, as by a full disk, is passed over.
fn kept_in(dir: &Path) -> Result<Vec<Kept>, CliError> {
    let mut spans = Vec::new();
    let failed = |path: &Path, error| CliError::Local(format!("cannot read {}: {error}", path.display()));
    if !dir.is_dir() {
        return Err(CliError::Local(format!("{} is no folder", dir.display())));
    }
    for name in [OLDER_FILE, KEPT_FILE] {
        let path = dir.join(name);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, error)),
        };
        for line in std::io::BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| failed(&path, error))?;
            spans.extend(serde_json::from_slice::<Kept>(&line).ok());
        }
    }
    Ok(spans)
}

/// Which traces are meant among a party's: the one of this id, or those of the requests that clients called so.
fn wanted_of(id: &str, spans: &[Kept], names: Option<&Names>) -> BTreeSet<String> {
    let lower = id.to_ascii_lowercase();
    let is_trace = lower.len() == TRACE_DIGITS && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_trace && spans.iter().any(|span| span.trace == lower) {
        return BTreeSet::from([lower]);
    }
    let Some(names) = names else { return BTreeSet::new() };
    let hashes = [names.hash(id), names.hash(&lower)];
    let is_called_so = |span: &&Kept| span.names.iter().any(|name| hashes.contains(name));
    spans.iter().filter(is_called_so).map(|span| span.trace.clone()).collect()
}

fn tree(trace: &str, known: &[Kept]) -> Trace {
    let mut spans: BTreeMap<&str, &Kept> = BTreeMap::new();
    for span in known.iter().filter(|span| span.trace == trace) {
        spans.insert(&span.span, span);
    }
    let mut children: BTreeMap<Option<&str>, Vec<&Kept>> = BTreeMap::new();
    for span in spans.values() {
        let parent = span.parent.as_deref().filter(|parent| spans.contains_key(parent) && *parent != span.span);
        children.entry(parent).or_default().push(span);
    }
    for siblings in children.values_mut() {
        siblings.sort_by_key(|span| span.start_micros);
    }
    // Taken out as they are placed, so that spans that name each other in a circle end.
    let roots = children.remove(&None).unwrap_or_default();
    let spans = roots.into_iter().map(|root| node(root, &mut children)).collect();
    Trace { trace: trace.to_owned(), spans }
}

fn node<'k>(span: &'k Kept, children: &mut BTreeMap<Option<&'k str>, Vec<&'k Kept>>) -> Node {
    let within = children.remove(&Some(span.span.as_str())).unwrap_or_default();
    Node { span: span.clone(), within: within.into_iter().map(|child| node(child, children)).collect() }
}

fn shown(trace: &Trace) -> String {
    let begun = trace.spans.iter().map(|node| node.span.start_micros).min().unwrap_or_default();
    let mut rows = Vec::new();
    for root in &trace.spans {
        rows_of(root, 0, begun, &mut rows);
    }
    format!("trace {}\n{}", trace.trace, table(&["party", "span", "start", "time", "outcome"], &rows))
}

fn rows_of(node: &Node, depth: usize, begun: u64, rows: &mut Vec<Vec<String>>) {
    let Kept { party, name, start_micros, micros, outcome, attributes, .. } = &node.span;
    let way = attributes.get("sealwort.way").and_then(|way| way.as_str()).map(|way| format!(" ({way})"));
    let status = attributes.get("http.response.status_code").and_then(serde_json::Value::as_u64);
    rows.push(vec![
        party.trim_start_matches("sealwort://").to_owned(),
        format!("{}{name}{}", "  ".repeat(depth), way.unwrap_or_default()),
        format!("+{}", millis(start_micros.saturating_sub(begun))),
        millis(*micros),
        status.map_or_else(|| outcome.clone(), |status| format!("{outcome} ({status})")),
    ]);
    for child in &node.within {
        rows_of(child, depth + 1, begun, rows);
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn span(span: &str, parent: Option<&str>, start_micros: u64) -> Kept {
        Kept {
            trace: "0af7651916cd43dd8448eb211c80319c".to_owned(),
            span: span.to_owned(),
            parent: parent.map(str::to_owned),
            party: "sealwort://test/broker/broker".to_owned(),
            name: format!("span {span}"),
            start_micros,
            micros: 1500,
            outcome: "ok".to_owned(),
            attributes: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    #[test]
    fn spans_stand_below_those_that_they_belong_to() {
        let known = [
            span("c", Some("a"), 30),
            span("a", Some("of the client"), 10),
            span("b", Some("a"), 20),
            span("d", Some("b"), 21),
        ];
        for id in ["0af7651916cd43dd8448eb211c80319c", "0AF7651916CD43DD8448EB211C80319C"] {
            let found = wanted_of(id, &known, None);
            assert_eq!(found.len(), 1, "{id}");
            let trace = tree(found.first().unwrap(), &known);
            let text = shown(&trace);
            let names: Vec<&str> =
                text.lines().skip(2).map(|line| line.split("test/broker/broker").nth(1).unwrap()).collect();
            let begins = ["  span a", "    span b", "      span d", "    span c"];
            assert!(names.iter().zip(begins).all(|(name, begin)| name.starts_with(begin)), "{text}");
            assert!(text.contains("+0.020 ms  1.500 ms  ok"), "{text}");
        }
        assert!(wanted_of("another", &known, None).is_empty());
        // Who names each other belongs to nobody, and is no endless tree.
        assert!(tree(&known[0].trace, &[span("x", Some("y"), 1), span("y", Some("x"), 2)]).spans.is_empty());
    }
}
