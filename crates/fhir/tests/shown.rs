//! Published records shown as this server shows them, rewritten, patched, summarised and laid out: what
//! nobody asked to change stays byte for byte. Where the records are absent the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use sealwort_fhir::html::{Page, page};
use sealwort_fhir::{
    Bundle, BundleKind, PRESENTATION_BYTES_MAX, Reference, Resource, ResourceId, SummaryAuthor, SummaryRequest,
    VersionId, logical_id, parse_any_bundle, parse_bundle, patch, present, references, rewrite_references,
    same_content, same_content_but_id, samples, summary,
};
use sealwort_published::{data, files};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-05-04 03:02:01.5 UTC);
const BASE: &str = "https://h.example/fhir";

/// The text without the values of the three members that a server sets, as another reader finds them.
fn without_values(bytes: &[u8]) -> String {
    #[derive(serde::Deserialize, Default)]
    struct Members<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        meta: Option<&'a RawValue>,
        #[serde(borrow, rename = "versionId")]
        version_id: Option<&'a RawValue>,
        #[serde(borrow, rename = "lastUpdated")]
        last_updated: Option<&'a RawValue>,
    }
    let text = std::str::from_utf8(bytes).unwrap();
    let top: Members<'_> = serde_json::from_str(text).unwrap();
    let meta: Members<'_> = top.meta.map(|meta| serde_json::from_str(meta.get()).unwrap()).unwrap_or_default();
    let mut spans: Vec<_> = [top.id, meta.version_id, meta.last_updated]
        .into_iter()
        .flatten()
        .map(|value| (value.get().as_ptr().addr() - text.as_ptr().addr(), value.get().len()))
        .collect();
    spans.sort_unstable();
    let mut out = text.to_owned();
    for (at, length) in spans.into_iter().rev() {
        out.replace_range(at..at + length, "");
    }
    out
}

/// Whether the two differ in nothing but those values and the members that had to be added.
fn is_spliced(old: &[u8], new: &[u8]) -> bool {
    let (old, new) = (without_values(old), without_values(new));
    // One more than in the old text: the first that the old text does not have at that place.
    let without = |new: &str, added: &str| {
        let mut places = new.match_indices(added).map(|(at, _)| at);
        let at = places.find(|at| !old.get(*at..).is_some_and(|rest| rest.starts_with(added)))?;
        Some(format!("{}{}", &new[..at], &new[at + added.len()..]))
    };
    let metas = [
        ",\"meta\":{\"versionId\":,\"lastUpdated\":}",
        "\"versionId\":,\"lastUpdated\":,",
        "\"versionId\":,\"lastUpdated\":",
        "\"versionId\":,",
        ",\"lastUpdated\":",
    ];
    [without(&new, ",\"id\":"), Some(new.clone())]
        .into_iter()
        .flatten()
        .any(|new| new == old || metas.iter().any(|meta| without(&new, meta).is_some_and(|new| new == old)))
}

fn check_presented(resource: &Resource) {
    let id: ResourceId = resource.id().cloned().unwrap_or_else(|| "made-1".parse().unwrap());
    let shown = present(resource, &id, VersionId::new(7), NOW);
    let (old, new) = (resource.bytes(), shown.bytes());
    assert!(same_content_but_id(old, new), "{resource:?}");
    assert_eq!(same_content(old, new), resource.id().is_some(), "{resource:?}");
    assert!(new.len() <= old.len() + PRESENTATION_BYTES_MAX);
    let read = Resource::parse(new.clone()).unwrap();
    assert_eq!((read.id(), read.resource_type()), (Some(&id), resource.resource_type()));
    assert!(read.security().eq(resource.security()) && references(&read).eq(references(resource)));
    let json = read.json().unwrap();
    assert_eq!(json["meta"]["versionId"], "7");
    assert_eq!(json["meta"]["lastUpdated"], "2026-05-04T03:02:01.500Z");
    assert_eq!(present(&shown, &id, VersionId::new(7), NOW), shown, "showing it again changes nothing");
    assert!(is_spliced(old, new), "{}", String::from_utf8_lossy(new));
}

fn check_page(resource: &Resource) -> usize {
    let page = page(resource.bytes(), &Page { stylesheet: "/style.css", base_url: BASE }).unwrap();
    for forbidden in ["<script", "<style", "<img", "href=\"javascript"] {
        assert!(!page.contains(forbidden), "{resource:?} {forbidden}");
    }
    page.len()
}

/// A test operation on the id, and a replacement that comes to the same: the content stays.
fn check_patched(resource: &Resource) {
    let Some(id) = resource.id() else { return };
    let patch = format!(
        r#"[{{"op":"test","path":"/id","value":"{id}"}},{{"op":"add","path":"/extra-1","value":1.10}},{{"op":"test","path":"/extra-1","value":1.1}},{{"op":"remove","path":"/extra-1"}}]"#
    );
    let patched = patch::apply(resource, patch.as_bytes()).unwrap();
    assert!(same_content(patched.bytes(), resource.bytes()), "{resource:?}");
}

/// The entries of a transaction as a server stores them: with ids, and links rewritten.
fn stored(bundle: &Bundle) -> Vec<Resource> {
    let mut targets = HashMap::new();
    let mut named = Vec::new();
    for (at, entry) in bundle.entries().iter().enumerate() {
        let Some(resource) = &entry.resource else { continue };
        let id = logical_id(entry).unwrap_or_else(|| format!("made-{at}").parse().unwrap());
        if let Some(url) = &entry.full_url {
            targets.insert(url.as_str(), format!("{}/{id}", resource.resource_type()));
        }
        named.push((id, resource));
    }
    let target = |link: &str| targets.get(link).cloned();
    named
        .into_iter()
        .map(|(id, resource)| {
            let new = rewrite_references(resource, target).unwrap();
            for (old, new) in references(resource).zip(references(&new)) {
                assert_eq!(new, target(old).as_deref().unwrap_or(old));
            }
            // Rewriting is undone by the way back: nothing else has changed.
            let back: HashMap<_, _> = targets.iter().map(|(url, target)| (target.as_str(), *url)).collect();
            let again = rewrite_references(&new, |link| back.get(link).map(|url| (*url).to_owned())).unwrap();
            if references(resource).all(|old| !back.contains_key(old)) {
                assert_eq!(again.bytes(), resource.bytes(), "{resource:?}");
            }
            present(&new, &id, VersionId::FIRST, NOW)
        })
        .collect()
}

/// Sections by code with the number of their entries.
fn check_summary(record: &[Resource], name: &str) -> BTreeMap<String, usize> {
    let all: Vec<_> = record.iter().collect();
    let patient = record.iter().find(|resource| resource.resource_type().as_str() == "Patient").unwrap();
    let request = SummaryRequest {
        patient,
        record: &all,
        author: SummaryAuthor { id: &"hospital-1".parse().unwrap(), name: "Wayland <General>" },
        uuid: &"0a2f5c0e-7f2b-4a55-9a0f-0d4a86a3f0c1".parse().unwrap(),
        base_url: BASE,
        now: NOW,
    };
    let bytes = Bytes::from(summary(&request).unwrap());
    let bundle = parse_bundle(bytes.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(bundle.kind(), BundleKind::Document, "{name}");
    let urls: HashSet<_> = bundle.entries().iter().map(|entry| entry.full_url.clone().unwrap()).collect();
    assert_eq!(urls.len(), bundle.entries().len(), "{name}");
    let known: HashSet<_> = all.iter().map(|r| format!("{}/{}", r.resource_type(), r.id().unwrap())).collect();
    for entry in bundle.entries() {
        let resource = entry.resource.as_ref().unwrap();
        let id = resource.id().unwrap();
        assert_eq!(entry.full_url.as_deref(), Some(format!("{BASE}/{}/{id}", resource.resource_type()).as_str()));
        if let Some(original) = all.iter().find(|r| r.id() == Some(id) && r.resource_type() == resource.resource_type())
        {
            assert_eq!(original.bytes(), resource.bytes(), "{name}");
        }
        let composed = resource.resource_type().as_str() == "Composition";
        for reference in references(resource).filter(|reference| composed || known.contains(*reference)) {
            let Reference::Relative { .. } = Reference::parse(reference) else { continue };
            assert!(urls.contains(&format!("{BASE}/{reference}")), "{name}: {reference} leads nowhere");
        }
    }
    let composition = bundle.entries()[0].resource.as_ref().unwrap().json().unwrap();
    let mut counts = BTreeMap::new();
    for section in composition["section"].as_array().unwrap() {
        let code = section["code"]["coding"][0]["code"].as_str().unwrap();
        let entries = section["entry"].as_array().map_or(0, Vec::len);
        assert_eq!(entries == 0, section["emptyReason"]["coding"][0]["code"] == "unavailable", "{name} {code}");
        let div = section["text"]["div"].as_str().unwrap();
        assert_eq!(div.matches("<tr>").count(), if entries == 0 { 0 } else { entries + 1 }, "{name} {code}");
        assert!(well_formed(div), "{name} {code}: {div}");
        counts.insert(code.to_owned(), entries);
    }
    for required in ["11450-4", "48765-2", "10160-0"] {
        assert!(counts.contains_key(required), "{name}");
    }
    counts
}

fn well_formed(xhtml: &str) -> bool {
    let mut reader = quick_xml::Reader::from_str(xhtml);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn samples_are_summarised() {
    for sample in samples::ALL {
        let bundle = parse_bundle(sample.bytes).unwrap();
        let record: Vec<_> =
            bundle.resources().map(|(_, resource)| resource.clone()).filter(|r| r.id().is_some()).collect();
        let counts = check_summary(&record, sample.name);
        println!("{}: {counts:?}", sample.name);
    }
}

/// What the authors of a published summary put into its sections, we put there too.
#[test]
fn a_published_summary_is_made_again() {
    let sample = samples::ALL.iter().find(|sample| sample.name == "ips-all-sections").unwrap();
    let bundle = parse_bundle(sample.bytes).unwrap();
    let record: Vec<_> = bundle.resources().map(|(_, resource)| resource.clone()).collect();
    let theirs = bundle.entries()[0].resource.as_ref().unwrap().json().unwrap();
    let ours = check_summary(&record, sample.name);
    let mut differences = Vec::new();
    for section in theirs["section"].as_array().unwrap() {
        let code = section["code"]["coding"][0]["code"].as_str().unwrap();
        let count = section["entry"].as_array().map_or(0, Vec::len);
        if ours.get(code).copied().unwrap_or_default() != count {
            differences.push(code);
        }
    }
    // An impairment that no category tells from a problem; a medication that was stopped; the patient's
    // story, which is text that nobody but its author can choose. All else is alike, section by section.
    assert_eq!(differences, ["11450-4", "10160-0", "81338-6", "47420-5"]);
    assert_eq!((ours["11450-4"], ours["10160-0"]), (3, 2));
}

#[test]
fn synthea_small() {
    let Some(folder) = data("fhir-small-synthea") else { return };
    let (mut count, mut pages) = (0, 0);
    for path in files(&folder, Some("json")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bundle = parse_bundle(std::fs::read(&path).unwrap()).unwrap();
        for (_, resource) in bundle.resources() {
            check_presented(resource);
        }
        let record = stored(&bundle);
        for resource in &record {
            check_presented(resource);
            check_patched(resource);
            pages += check_page(resource);
            assert!(references(resource).all(|reference| !reference.starts_with("urn:uuid:")), "{resource:?}");
        }
        count += record.len();
        println!("{name}: {:?}", check_summary(&record, &name));
    }
    println!("fhir-small-synthea: {count} resources shown, rewritten, patched; {pages} bytes of pages");
    assert!(count > 500);
}

#[test]
fn files_of_one_resource() {
    for name in [
        "fhir-ips-2.0.0-examples",
        "fhir-us-core-examples",
        "fhir-r4-spec-examples",
        "audit-ihe-balp",
        "consent-ihe-pcf",
    ] {
        let Some(folder) = data(name) else { continue };
        let mut count = 0;
        for path in files(&folder, Some("json")) {
            let resource = Resource::parse(std::fs::read(&path).unwrap()).unwrap();
            check_presented(&resource);
            check_patched(&resource);
            check_page(&resource);
            assert_eq!(rewrite_references(&resource, |_| None).unwrap().bytes(), resource.bytes());
            if let Ok(bundle) = parse_any_bundle(resource.bytes().clone()) {
                bundle.resources().for_each(|(_, resource)| check_presented(resource));
            }
            count += 1;
        }
        println!("{name}: {count} resources shown, patched, laid out");
        assert!(count > 0);
    }
}
