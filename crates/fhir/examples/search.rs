//! Searches in one patient's record from the command line, to compare the search with other engines and to
//! measure it.
//!
//! ```text
//! search [--base URL] [--strict] [--measure] FILE... < queries
//! ```
//!
//! A FILE is a Bundle, NDJSON, or one resource. A line of the input is a search such as
//! `Observation?code=http://loinc.org|8302-2&_sort=-date`; `?_type=…` searches all types. For each line one
//! JSON line is printed, with every page's matches. A resource without an id gets its number as id, and
//! references to a Bundle's `fullUrl` become `Type/id`. With `--measure`, sizes and times are printed too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for developers may stop at its first fault")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwort_fhir::ResourceType;
use sealwort_fhir::search::{Corpus, Document, Handling, Ordinal, Query, SearchError, Visible};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut files, mut base, mut handling, mut measures) = (Vec::new(), None, Handling::Lenient, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--base" => base = arguments.next(),
            "--strict" => handling = Handling::Strict,
            "--measure" => measures = true,
            _ => files.push(argument),
        }
    }
    let mut corpus = Corpus::new(base.as_deref().as_slice());
    let resources: Vec<Value> =
        files.iter().flat_map(|file| resources(&std::fs::read_to_string(file).unwrap())).collect();
    for (number, tree) in (0..).zip(&resources) {
        corpus.put(Ordinal::new(number).unwrap(), Arc::new(document(number, tree)));
    }
    if measures {
        opening(&resources, &corpus);
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        if line.trim().is_empty() {
            continue;
        }
        println!(
            "{}",
            answer(&line, handling, &corpus).unwrap_or_else(|e| json!({"query": line, "error": e.to_string()}))
        );
        if measures && let Ok(query) = read(&line, handling) {
            let (time, found) = repeated(|| query.run(&corpus, &Visible::Everything, None).matches.len());
            println!("{:>9.1} µs, {found} on the first page", time.as_secs_f64() * 1e6);
        }
    }
}

/// The resources of a file, references within a Bundle resolved.
fn resources(text: &str) -> Vec<Value> {
    let Ok(tree) = serde_json::from_str::<Value>(text) else {
        return text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
    };
    let Some(entries) = tree["entry"].as_array().filter(|_| tree["resourceType"] == "Bundle") else {
        return vec![tree];
    };
    let name = |entry: &Value| {
        let resource = &entry["resource"];
        let full_url = entry["fullUrl"].as_str()?.to_owned();
        Some((full_url, format!("{}/{}", resource["resourceType"].as_str()?, resource["id"].as_str()?)))
    };
    let names: HashMap<String, String> = entries.iter().filter_map(name).collect();
    let mut resources: Vec<Value> =
        entries.iter().map(|entry| entry["resource"].clone()).filter(Value::is_object).collect();
    for resource in &mut resources {
        resolve(resource, &names);
    }
    resources
}

fn resolve(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| resolve(one, names)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "reference" => {
                        if let Some(found) = names.get(text) {
                            text.clone_from(found);
                        }
                    }
                    _ => resolve(value, names),
                }
            }
        }
        _ => {}
    }
}

fn document(number: u32, tree: &Value) -> Document {
    let resource_type: ResourceType = tree["resourceType"].as_str().unwrap().parse().unwrap();
    let id = tree["id"].as_str().map_or_else(|| number.to_string(), str::to_owned);
    let updated = tree["meta"]["lastUpdated"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let updated_ms = updated.map_or(0, |time| time.unix_timestamp() * 1000 + i64::from(time.millisecond()));
    Document::read(resource_type, &id, updated_ms, tree)
}

fn read(line: &str, handling: Handling) -> Result<Query, SearchError> {
    let (kind, query) = line.split_once('?').unwrap_or((line, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameters: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect();
    Query::parse(kind.trim().parse().ok(), &parameters, handling)
}

/// Undoes percent-encoding; a plus sign stays, so that queries can be written by hand.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}

/// Every page of a search.
fn answer(line: &str, handling: Handling, corpus: &Corpus) -> Result<Value, SearchError> {
    let query = read(line, handling)?;
    let name = |at: &Ordinal| corpus.document(*at).map(|found| format!("{}/{}", found.resource_type(), found.id()));
    let (mut matches, mut included, mut total, mut after) = (Vec::new(), Vec::new(), None, None);
    loop {
        let page = query.run(corpus, &Visible::Everything, after.as_ref());
        matches.extend(page.matches.iter().filter_map(name));
        included.extend(page.included.iter().filter_map(name));
        total = total.or(page.total);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(json!({
        "query": line, "total": total, "matches": matches, "included": included, "ignored": query.ignored(),
    }))
}

/// What opening the record costs, beside one parse of the same bytes.
fn opening(resources: &[Value], corpus: &Corpus) {
    let texts: Vec<Vec<u8>> = resources.iter().map(|tree| serde_json::to_vec(tree).unwrap()).collect();
    let json: usize = texts.iter().map(Vec::len).sum();
    let documents: usize = (0..).map_while(Ordinal::new).map_while(|at| corpus.document(at)).map(Document::bytes).sum();
    let (parsing, ()) = repeated(|| {
        for text in &texts {
            drop(black_box(serde_json::from_slice::<Value>(text).unwrap()));
        }
    });
    let (reading, ()) = repeated(|| {
        for tree in resources {
            drop(black_box(document(0, tree)));
        }
    });
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let ratio = |part: usize| part as f64 / json as f64;
    println!("{} resources, {json} bytes of JSON", resources.len());
    println!(
        "documents {documents} bytes ({:.2}), corpus {} ({:.2})",
        ratio(documents),
        corpus.bytes(),
        ratio(corpus.bytes())
    );
    println!(
        "parsing {parsing:?}, reading {reading:?} ({:.2} of a parse)",
        reading.as_secs_f64() / parsing.as_secs_f64()
    );
}

/// The least time of many runs: the machine is shared.
fn repeated<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let end = Instant::now() + Duration::from_millis(300);
    let mut least = Duration::MAX;
    loop {
        let begin = Instant::now();
        let result = black_box(run());
        least = least.min(begin.elapsed());
        if Instant::now() > end {
            return (least, result);
        }
    }
}
