//! Searches over published records, held against plain functions over the same JSON. Where the open data are
//! absent (see `open_data.rs`) the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwort_fhir::search::{Corpus, Document, Handling, Ordinal, Query, Visible};
use sealwort_published::data;
use serde_json::Value;

/// The JSON files of a folder of the open data.
fn files(name: &str) -> Vec<PathBuf> {
    data(name).map(|folder| sealwort_published::files(&folder, Some("json"))).unwrap_or_default()
}

/// The resources of a Bundle, its URNs resolved.
fn resources(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let mut resolved = text;
    for entry in bundle["entry"].as_array().unwrap() {
        let resource = &entry["resource"];
        let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        resolved = resolved.replace(entry["fullUrl"].as_str().unwrap(), &name);
    }
    let bundle: Value = serde_json::from_str(&resolved).unwrap();
    bundle["entry"].as_array().unwrap().iter().map(|entry| entry["resource"].clone()).collect()
}

fn document(tree: &Value) -> Document {
    Document::read(tree["resourceType"].as_str().unwrap().parse().unwrap(), tree["id"].as_str().unwrap_or("x"), 0, tree)
}

fn has_code(concept: &Value, code: &str) -> bool {
    concept["coding"].as_array().is_some_and(|codings| codings.iter().any(|coding| coding["code"] == code))
}

/// A search and the same said over JSON: the record, and the resource in question.
type Case = (&'static str, fn(&[Value], &Value) -> bool);

#[test]
fn as_plain_functions_say() {
    let cases: &[Case] = &[
        ("Observation?code=http://loinc.org|8302-2", |_, o| has_code(&o["code"], "8302-2")),
        ("Observation?category=laboratory&status=final", |_, o| {
            has_code(&o["category"][0], "laboratory") && o["status"] == "final"
        }),
        ("Observation?category:not=laboratory", |_, o| !has_code(&o["category"][0], "laboratory")),
        ("Observation?date=ge2014&date=lt2016", |_, o| {
            o["effectiveDateTime"].as_str().is_some_and(|at| at.starts_with("2014") || at.starts_with("2015"))
        }),
        ("Observation?value-quantity=gt100", |_, o| {
            o["valueQuantity"]["value"].to_string().parse::<f64>().is_ok_and(|value| value > 100.0)
        }),
        ("Observation?combo-code-value-quantity=8462-4$gt80", |_, o| {
            let over = |o: &Value| {
                has_code(&o["code"], "8462-4")
                    && o["valueQuantity"]["value"].to_string().parse::<f64>().is_ok_and(|value| value > 80.0)
            };
            over(o) || o["component"].as_array().is_some_and(|parts| parts.iter().any(over))
        }),
        ("Observation?code:text=blood", |_, o| {
            let has = |text: &Value| text.as_str().is_some_and(|text| text.to_lowercase().contains("blood"));
            has(&o["code"]["text"]) || has(&o["code"]["coding"][0]["display"])
        }),
        ("Encounter?class=AMB", |_, o| o["class"]["code"] == "AMB"),
        ("Encounter?_has:Observation:encounter:code=8302-2", |all, o| {
            let reference = format!("Encounter/{}", o["id"].as_str().unwrap());
            let refers = |other: &&Value| {
                other["resourceType"] == "Observation"
                    && other["encounter"]["reference"] == reference.as_str()
                    && has_code(&other["code"], "8302-2")
            };
            all.iter().any(|other| refers(&other))
        }),
        ("Condition?clinical-status=active", |_, o| has_code(&o["clinicalStatus"], "active")),
        ("Condition?encounter.class=AMB", |all, o| {
            let is = |other: &Value| {
                other["resourceType"] == "Encounter"
                    && other["class"]["code"] == "AMB"
                    && o["encounter"]["reference"] == format!("Encounter/{}", other["id"].as_str().unwrap()).as_str()
            };
            all.iter().any(is)
        }),
        ("Claim?patient:missing=false", |_, o| o["patient"]["reference"].is_string()),
        ("Immunization?vaccine-code:missing=true", |_, o| o["vaccineCode"].is_null()),
    ];
    let mut found_of_all = 0;
    for file in files("fhir-small-synthea") {
        let all = resources(&file);
        let mut corpus = Corpus::default();
        for (number, tree) in (0..).zip(&all) {
            corpus.put(Ordinal::new(number).unwrap(), Arc::new(document(tree)));
        }
        for (search, said) in cases {
            let (kind, parameters) = search.split_once('?').unwrap();
            let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            let mut pairs: Vec<(String, String)> = parameters.split('&').filter_map(pair).collect();
            pairs.push(("_count".to_owned(), "1000".to_owned()));
            let query = Query::parse(Some(kind.parse().unwrap()), &pairs, Handling::Strict).unwrap();
            let found: Vec<u32> =
                query.run(&corpus, &Visible::Everything, None).matches.iter().map(|at| at.number()).collect();
            let expected: Vec<u32> = (0..)
                .zip(&all)
                .filter(|(_, tree)| tree["resourceType"] == kind && said(&all, tree))
                .map(|(number, _)| number)
                .collect();
            assert_eq!(found, expected, "{search} in {}", file.display());
            found_of_all += found.len();
        }
    }
    println!("{found_of_all} matches compared");
}

/// Every published example gives a document, and one that is smaller than its JSON.
#[test]
fn documents_are_small() {
    for folder in ["fhir-r4-spec-examples", "fhir-us-core-examples", "fhir-small-synthea"] {
        let (mut json, mut documents, mut count) = (0, 0, 0);
        for file in files(folder) {
            let tree: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let all = if folder == "fhir-small-synthea" { resources(&file) } else { vec![tree] };
            for tree in &all {
                if tree["resourceType"].as_str().is_none_or(|name| name.parse::<sealwort_fhir::ResourceType>().is_err())
                {
                    continue;
                }
                json += serde_json::to_vec(tree).unwrap().len();
                documents += document(tree).bytes();
                count += 1;
            }
        }
        println!("{folder}: {count} resources, {json} bytes of JSON, {documents} of documents");
        assert!(documents <= json, "{folder}");
    }
}
