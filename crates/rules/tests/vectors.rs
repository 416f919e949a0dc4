//! The vectors of `spec/vectors/` follow the rules of the CDDL that they name, read and judged by the code of this crate
//! alone. Their form is described in `spec/vectors/README.md`.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a file that cannot be read must fail")]

use std::fs;

use sealwort_rules::cbor::from_json;
use sealwort_rules::cddl::Schema;
use sealwort_rules::{check, read, root};
use serde_json::Value;

/// Files of vectors, by path.
fn files() -> Vec<(String, Value)> {
    let folder = root().join("spec/vectors");
    let entries = fs::read_dir(&folder).expect("spec/vectors").flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .map(|name| {
            let path = format!("spec/vectors/{name}");
            let content = serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            (path, content)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// A member by its path, such as `output.messages.1`; members with a dot in their name are found as well.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    let step = |name: &str| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    };
    step(path).or_else(|| path.match_indices('.').find_map(|(dot, _)| at(step(&path[..dot])?, &path[dot + 1..])))
}

fn bytes(value: Option<&Value>) -> Result<Vec<u8>, String> {
    let text = value.and_then(Value::as_str).ok_or("there is no hex there")?;
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2).and_then(|p| u8::from_str_radix(p, 16).ok()));
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| "it is not hexadecimal".to_owned())
}

#[test]
fn every_vector_follows_the_rules_that_it_names() {
    let schema = Schema::parse(&read("spec/sealwort.cddl")).expect("the CDDL");
    let joining = Schema::parse(&read("spec/enrolment.cddl")).expect("the CDDL of joining");
    let (mut breaches, mut followed, mut refused) = (Vec::new(), 0, 0);
    for (path, content) in files() {
        for vector in content["vectors"].as_array().into_iter().flatten() {
            let name = vector["name"].as_str().unwrap_or("?");
            for (place, rule) in vector["cddl"].as_object().into_iter().flatten() {
                let rule = rule.as_str().unwrap_or_default();
                let judged = bytes(at(vector, place)).and_then(|bytes| schema.check_bytes(rule, &bytes));
                match judged {
                    Ok(()) => followed += 1,
                    Err(error) => breaches.push(format!("{path}: {name}: {place}: {error}")),
                }
            }
            // A message says its rule itself, and a malformed one must break it.
            let input = &vector["input"];
            let judged = match vector["kind"].as_str() {
                Some("message") => {
                    let rule = input["rule"].as_str().unwrap_or_default();
                    bytes(input.get("bytes")).and_then(|bytes| schema.check_bytes(rule, &bytes))
                }
                Some("authority-message") => {
                    let text = input["json"].as_str().unwrap_or_default();
                    let rule = input["object"].as_str().unwrap_or_default();
                    let read = serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
                    read.and_then(|read| from_json(&read)).and_then(|read| joining.check(rule, &read))
                }
                _ => continue,
            };
            match (judged, vector.get("error").and_then(Value::as_str)) {
                (Ok(()), None) => followed += 1,
                (Err(error), None) => breaches.push(format!("{path}: {name}: {error}")),
                (Err(_), Some(_)) => refused += 1,
                (Ok(()), Some(error)) => println!("{path}: {name} is {error} by the text alone"),
            }
        }
    }
    println!("{followed} messages follow their rules, {refused} malformed ones do not");
    check("a vector does not follow its rule", &breaches);
    assert!(followed > 150 && refused > 15, "the vectors that name their rules are gone");
}
