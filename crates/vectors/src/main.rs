//! Writes `spec/vectors` anew.
#![allow(clippy::expect_used, reason = "a folder that cannot be written must stop the run")]

use std::fs;

use sealwort_vectors::check::Library;
use sealwort_vectors::generate;
use sealwort_vectors::setting::Setting;
use sealwort_vectors::vector::{Expected, folder, text};

fn main() {
    let folder = folder();
    let (setting, mut files) = generate::everything();
    fs::write(folder.join("setting.json"), text(&setting)).expect("spec/vectors is written");
    let (mut good, mut bad, mut bytes) = (0, 0, 0);
    // Written once: P-256 signs differently every time.
    if !folder.join("p256.json").exists() {
        files.push(generate::p256::make(&Library::new(Setting::new(setting.clone()))));
    }
    for file in &files {
        let text = file.to_text();
        bytes += text.len();
        fs::write(folder.join(format!("{}.json", file.name)), text).expect("spec/vectors is written");
        let negative = file.vectors.iter().filter(|vector| matches!(vector.expected, Expected::Error(_))).count();
        bad += negative;
        good += file.vectors.len() - negative;
    }
    println!("{good} positive and {bad} negative vectors in {} files, {} KiB", files.len(), bytes / 1024);
}
