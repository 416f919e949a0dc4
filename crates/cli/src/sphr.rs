//! Files that hold a patient's record: `.sphr` (a ZIP folder), `.phr` (a resource in each line), a Bundle. Read, and held
//! against their manifest where they have one. Nothing is unpacked onto the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use bytes::Bytes;
use sealwort_fhir::phr::is_wrapping;
use sealwort_fhir::{parse_ndjson, response};
use sealwort_proto::crypto::sha256;
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use crate::error::{CliError, Refused};

/// Most bytes of one part, unpacked.
const PART_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Most parts of a file.
const PARTS_MAX: usize = 100_000;

/// What a file says of itself, in its `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) hospital: String,
    pub(crate) created: String,
    pub(crate) patient: String,
    pub(crate) resources: u64,
    pub(crate) provenances: u64,
    /// Entries of the record that consent withheld.
    pub(crate) withheld: u64,
    /// What the record refers to and is not in the file.
    pub(crate) missing: Vec<String>,
    pub(crate) parts: Vec<Part>,
}

/// A part, as the manifest tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<u64>,
}

/// A `.sphr` file that was read.
pub(crate) struct Sphr {
    /// Absent where another system made it.
    pub(crate) manifest: Option<Manifest>,
    /// The `.phr` files in it.
    lines: Vec<Bytes>,
}

impl Sphr {
    /// Reads a file and holds every part against the manifest.
    pub(crate) fn open(file: &Path) -> Result<Self, CliError> {
        let opened = File::open(file).map_err(|error| CliError::Local(format!("it cannot be read: {error}")))?;
        let mut archive = ZipArchive::new(BufReader::new(opened)).map_err(|error| broken(&error.to_string()))?;
        if archive.len() > PARTS_MAX {
            return Err(broken(&format!("it has more than {PARTS_MAX} parts")));
        }
        let mut names = BTreeSet::new();
        for at in 0..archive.len() {
            let part = archive.by_index(at).map_err(|error| broken(&error.to_string()))?;
            let name = part.name().map_err(|error| broken(&error.to_string()))?.into_owned();
            if !names.insert(name.clone()) {
                return Err(broken(&format!("it has two parts {name}")));
            }
        }
        // What systems put beside a file when they pack a folder is no part of the record.
        let is_part = |name: &&String| !name.ends_with('/') && !name.starts_with("__MACOSX/") && !name.contains("/.");
        let parts: Vec<&String> = names.iter().filter(is_part).collect();
        let manifest = match parts.iter().find(|name| name.ends_with("/manifest.json")) {
            Some(name) => {
                let content = part(&mut archive, name)?;
                let read: Manifest =
                    serde_json::from_slice(&content).map_err(|error| broken(&format!("its manifest: {error}")))?;
                check(&mut archive, name, &parts, &read)?;
                Some(read)
            }
            None => None,
        };
        let mut lines = Vec::new();
        let has_lines =
            |name: &&&String| [Some("phr"), Some("ndjson")].contains(&name.rsplit_once('.').map(|(_, kind)| kind));
        for name in parts.iter().filter(has_lines) {
            lines.push(part(&mut archive, name)?.into());
        }
        Ok(Self { manifest, lines })
    }
}

/// Holds the parts against the manifest: none altered, none missing, none more.
fn check<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    parts: &[&String],
    manifest: &Manifest,
) -> Result<(), CliError> {
    let folder = name.trim_end_matches("manifest.json");
    let told: BTreeMap<String, &Part> =
        manifest.parts.iter().map(|part| (format!("{folder}{}", part.path), part)).collect();
    let beside = [name.to_owned(), format!("{name}.jws")];
    if let Some(more) = parts.iter().find(|part| !told.contains_key(**part) && !beside.contains(part)) {
        return Err(tampered(format!("{more} is not in its manifest")));
    }
    let mut lines = 0;
    for (path, told) in told {
        if !parts.iter().any(|part| **part == path) {
            return Err(tampered(format!("{path} is missing")));
        }
        let content = part(archive, &path)?;
        if content.len() as u64 != told.bytes || hex::encode(sha256(&content)) != told.sha256 {
            return Err(tampered(format!("{path} is not what its manifest says")));
        }
        if let Some(told) = told.lines {
            let found = content.split(|byte| *byte == b'\n').count().saturating_sub(1) as u64;
            if found != told {
                return Err(tampered(format!("{path} has {found} lines, its manifest says {told}")));
            }
            lines += found;
        }
    }
    // Cover page and document manifest come before the record.
    let wrapping = lines.min(2);
    if lines - wrapping != manifest.resources + manifest.provenances {
        return Err(tampered(format!("it has {} resources, its manifest says otherwise", lines - wrapping)));
    }
    Ok(())
}

fn part<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> Result<Vec<u8>, CliError> {
    let file = archive.by_name(name).map_err(|error| broken(&format!("{name}: {error}")))?;
    let mut content = Vec::new();
    file.take(PART_BYTES_MAX + 1).read_to_end(&mut content).map_err(|error| broken(&format!("{name}: {error}")))?;
    if content.len() as u64 > PART_BYTES_MAX {
        return Err(broken(&format!("{name} is larger than {PART_BYTES_MAX} bytes")));
    }
    Ok(content)
}

/// The resources of a file as one collection that a gateway stores, how many there are, and the file's manifest.
pub(crate) fn collected(file: &Path) -> Result<(Bytes, usize, Option<Manifest>), CliError> {
    let mut begin = [0; 2];
    let opened = File::open(file).and_then(|mut file| file.read(&mut begin));
    let read = opened.map_err(|error| CliError::Local(format!("it cannot be read: {error}")))?;
    let (texts, manifest) = if read == 2 && &begin == b"PK" {
        let sphr = Sphr::open(file)?;
        if sphr.lines.is_empty() {
            return Err(CliError::Local("it holds no .phr file".to_owned()));
        }
        (sphr.lines, sphr.manifest)
    } else {
        let content = std::fs::read(file).map_err(|error| CliError::Local(format!("it cannot be read: {error}")))?;
        if let Ok(bundle) = serde_json::from_slice::<Outline>(&content) {
            if bundle.resource_type != "Bundle" {
                return Err(CliError::Local("it is a single resource; write it with sealwort put".to_owned()));
            }
            return Ok((content.into(), bundle.entry.len(), None));
        }
        (vec![content.into()], None)
    };
    let mut resources = Vec::new();
    for text in &texts {
        let unreadable = |error: sealwort_fhir::FhirError| CliError::Local(error.to_string());
        for resource in parse_ndjson(text.clone()).map_err(unreadable)? {
            if !is_wrapping(&resource.json().map_err(unreadable)?) {
                resources.push(resource);
            }
        }
    }
    Ok((response::collection(&resources).into(), resources.len(), manifest))
}

/// As much of a Bundle as tells its size.
#[derive(Deserialize)]
pub(crate) struct Outline {
    #[serde(rename = "resourceType")]
    resource_type: String,
    #[serde(default)]
    pub(crate) entry: Vec<serde::de::IgnoredAny>,
}

fn tampered(message: String) -> CliError {
    let remedy = Some("ask the hospital that made the file for a new one".to_owned());
    CliError::Tampered(Refused { code: "export-altered".to_owned(), message, remedy })
}

fn broken(message: &str) -> CliError {
    let remedy = Some("the file was cut short or is no .sphr file; ask for a new one".to_owned());
    let message = message.to_owned();
    CliError::Unverifiable(Refused { code: "export-unreadable".to_owned(), message, remedy })
}
