//! What goes with a patient's resources when they leave for another system: a Provenance for each of them, and the cover
//! page and document manifest of a `.phr` file (HL7 Personal Health Record Format IG, "Record Keeping"; the profile
//! `PhrComposition`). Also the attachments that resources hold, which lie beside them as files of their own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::response::instant;
use crate::{ResourceId, ResourceType};

/// System of the tag in `meta` by which a reader knows what is wrapping and not part of the record.
pub const WRAPPING_SYSTEM: &str = "urn:sealwort:phr";
/// The system of an identifier that is a URI (FHIR R4, identifier-registry).
const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// Somebody who answers for something, by the URI of their identity.
#[derive(Clone, Copy, Debug)]
pub struct Organization<'a> {
    /// The URI.
    pub uri: &'a str,
    /// The name.
    pub name: &'a str,
}

impl Organization<'_> {
    fn reference(self) -> Value {
        json!({ "identifier": { "system": URI_SYSTEM, "value": self.uri }, "display": self.name })
    }
}

/// Where a version of a resource comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The resource's type.
    pub kind: ResourceType,
    /// Its logical id.
    pub id: &'a ResourceId,
    /// `CREATE` for a first version, else `UPDATE` (v3-DataOperation).
    pub activity: &'static str,
    /// When it was written.
    pub recorded: OffsetDateTime,
    /// The hospital that wrote and signed it.
    pub author: Organization<'a>,
    /// Hash of the signed entry, hexadecimal.
    pub hash: &'a str,
    /// URI that names the entry in the log.
    pub entry: &'a str,
}

/// The Provenance of one version (the profile `PhrProvenance`). Its id follows from the entry, so that it is the same
/// however often it is made.
pub fn provenance(origin: &Origin<'_>) -> Vec<u8> {
    let id = format!("entry-{}", origin.hash.get(..32).unwrap_or(origin.hash));
    let participant = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
    let activity = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";
    let made = json!({
        "resourceType": "Provenance",
        "id": id,
        "target": [{ "reference": format!("{}/{}", origin.kind, origin.id) }],
        "recorded": instant(origin.recorded),
        "activity": { "coding": [{ "system": activity, "code": origin.activity }] },
        "agent": [{
            "type": { "coding": [{ "system": participant, "code": "author" }] },
            "who": origin.author.reference(),
        }],
        "entity": [{
            "role": "source",
            "what": { "identifier": { "system": URI_SYSTEM, "value": origin.entry }, "display": "signed log entry" },
        }],
    });
    made.to_string().into_bytes()
}

/// What a cover page tells.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// The patient.
    pub patient: &'a ResourceId,
    /// Who made the file.
    pub author: Organization<'a>,
    /// When.
    pub date: OffsetDateTime,
    /// What is in it, by type.
    pub contents: &'a BTreeMap<ResourceType, Vec<ResourceId>>,
}

impl Cover<'_> {
    /// The Composition that a `.phr` file begins with: one section for each type.
    pub fn composition(&self) -> Vec<u8> {
        let entry = |kind: &ResourceType, id: &ResourceId| json!({ "reference": format!("{kind}/{id}") });
        let sections: Vec<Value> = self
            .contents
            .iter()
            .map(|(kind, ids)| {
                let entries: Vec<Value> = ids.iter().map(|id| entry(kind, id)).collect();
                json!({ "title": kind.as_str(), "entry": entries })
            })
            .collect();
        let mut made = json!({
            "resourceType": "Composition",
            "id": format!("cover-{}", self.patient.as_str().chars().take(58).collect::<String>()),
            "meta": { "tag": [{ "system": WRAPPING_SYSTEM, "code": "cover" }] },
            "status": "final",
            "type": { "coding": [{ "system": "http://loinc.org", "code": "11503-0", "display": "Medical records" }] },
            "subject": { "reference": format!("Patient/{}", self.patient) },
            "date": instant(self.date),
            "author": [self.author.reference()],
            "title": "Personal health record",
        });
        if let (Some(object), false) = (made.as_object_mut(), sections.is_empty()) {
            object.insert("section".to_owned(), sections.into());
        }
        made.to_string().into_bytes()
    }

    /// The DocumentManifest behind it: the documents, or the cover where there are none.
    pub fn document_manifest(&self) -> Vec<u8> {
        let documents = self.contents.iter().filter(|(kind, _)| DOCUMENTS.contains(&kind.as_str()));
        let references = documents.flat_map(|(kind, ids)| ids.iter().map(move |id| format!("{kind}/{id}")));
        let mut content: Vec<Value> = references.map(|reference| json!({ "reference": reference })).collect();
        let cover: String = self.patient.as_str().chars().take(58).collect();
        if content.is_empty() {
            content.push(json!({ "reference": format!("Composition/cover-{cover}") }));
        }
        let made = json!({
            "resourceType": "DocumentManifest",
            "id": format!("docs-{cover}"),
            "meta": { "tag": [{ "system": WRAPPING_SYSTEM, "code": "manifest" }] },
            "status": "current",
            "subject": { "reference": format!("Patient/{}", self.patient) },
            "created": instant(self.date),
            "author": [self.author.reference()],
            "description": "Documents in this personal health record",
            "content": content,
        });
        made.to_string().into_bytes()
    }
}

/// Whether a resource is the wrapping of a file and not part of the record.
pub fn is_wrapping(resource: &Value) -> bool {
    let tags = resource.pointer("/meta/tag").and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|tag| tag.get("system").is_some_and(|it| it == WRAPPING_SYSTEM)))
}

/// A document that a resource holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Attachment {
    /// The ending of a file's name for it.
    pub fn extension(&self) -> &'static str {
        extension(&self.content_type)
    }
}

/// A document of a resource, not yet opened: what stands in an Attachment or a Binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enclosure<'a> {
    /// Its media type.
    pub content_type: &'a str,
    /// Where it is.
    pub place: Place<'a>,
}

/// Where a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the resource, as base64, which may be broken.
    Here(&'a str),
    /// At a URL, such as that of a Binary.
    At(&'a str),
}

impl Enclosure<'_> {
    /// The document, where the resource itself holds it and it decodes.
    pub fn open(&self) -> Option<Attachment> {
        let Place::Here(data) = self.place else { return None };
        let compact: String = data.split_ascii_whitespace().collect();
        let data = STANDARD.decode(compact).ok()?;
        Some(Attachment { content_type: self.content_type.to_owned(), data })
    }

    /// How many bytes it has, worked out from how long its base64 is; none where it is elsewhere.
    pub fn size(&self) -> Option<usize> {
        let Place::Here(data) = self.place else { return None };
        Some(data.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').count() * 3 / 4)
    }

    /// The ending of a file's name for it.
    pub fn extension(&self) -> &'static str {
        extension(self.content_type)
    }
}

/// A media type without its parameters, in lower case.
pub fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn extension(content_type: &str) -> &'static str {
    let essence = essence(content_type);
    EXTENSIONS.iter().find(|(name, _)| *name == essence).map_or("bin", |(_, extension)| extension)
}

/// Types whose resources are documents.
const DOCUMENTS: [&str; 3] = ["Binary", "DocumentReference", "Media"];

const EXTENSIONS: [(&str, &str); 13] = [
    ("application/pdf", "pdf"),
    ("application/dicom", "dcm"),
    ("application/json", "json"),
    ("application/xml", "xml"),
    ("application/hl7-v3+xml", "xml"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tif"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/rtf", "rtf"),
    ("text/xml", "xml"),
];

/// The documents that a resource holds itself, in the order in which they stand in it. What does not decode is none.
pub fn attachments(resource: &Value) -> Vec<Attachment> {
    enclosures(resource).iter().filter_map(Enclosure::open).collect()
}

/// The documents of a resource, in the order in which they stand in it: every `data` in base64, or else every `url`, beside
/// a `contentType`, as in the data type Attachment and in Binary.
pub fn enclosures(resource: &Value) -> Vec<Enclosure<'_>> {
    let mut found = Vec::new();
    gather(resource, &mut found);
    found
}

fn gather<'a>(value: &'a Value, found: &mut Vec<Enclosure<'a>>) {
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            let place = text("data").map(Place::Here).or_else(|| text("url").map(Place::At));
            if let (Some(content_type), Some(place)) = (text("contentType"), place) {
                found.push(Enclosure { content_type, place });
            }
            members.values().for_each(|member| gather(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::validation::{Handling, is_acceptable, validate};

    const HOSPITAL: Organization<'_> = Organization { uri: "sealwort://t/gateway/a", name: "a" };

    fn valid(bytes: &[u8]) -> Value {
        let made: Value = serde_json::from_slice(bytes).unwrap();
        let issues = validate(&made, Handling::Strict);
        assert!(is_acceptable(&issues), "{issues:?}");
        made
    }

    #[test]
    fn what_goes_with_the_resources_is_valid_r4() {
        let id: ResourceId = "o1".parse().unwrap();
        let origin = Origin {
            kind: "Observation".parse().unwrap(),
            id: &id,
            activity: "CREATE",
            recorded: OffsetDateTime::UNIX_EPOCH,
            author: HOSPITAL,
            hash: &"ab".repeat(32),
            entry: "urn:sealwort:entry:1:2:3",
        };
        let made = valid(&provenance(&origin));
        assert_eq!(made["target"][0]["reference"], "Observation/o1");
        assert_eq!(made["id"], format!("entry-{}", "ab".repeat(16)));
        let patient: ResourceId = "p".repeat(64).parse().unwrap();
        let mut contents = BTreeMap::from([(ResourceType::PATIENT, vec![patient.clone()])]);
        for documents in [Vec::new(), vec![id]] {
            if !documents.is_empty() {
                contents.insert("DocumentReference".parse().unwrap(), documents);
            }
            let date = OffsetDateTime::UNIX_EPOCH;
            let cover = Cover { patient: &patient, author: HOSPITAL, date, contents: &contents };
            assert!(is_wrapping(&valid(&cover.composition())));
            let manifest = valid(&cover.document_manifest());
            assert!(is_wrapping(&manifest));
            assert_eq!(manifest["content"].as_array().unwrap().len(), 1);
        }
        assert!(!is_wrapping(&made));
    }

    #[test]
    fn attachments_are_found_wherever_they_stand() {
        let resource = json!({
            "resourceType": "DocumentReference",
            "content": [
                { "attachment": { "contentType": "text/plain; charset=utf-8", "data": "aGVs\nbG8=" } },
                { "attachment": { "contentType": "application/pdf", "url": "Binary/b" } },
                { "attachment": { "contentType": "image/png", "data": "not base64!" } },
            ],
        });
        let found = attachments(&resource);
        assert_eq!(found, [Attachment { content_type: "text/plain; charset=utf-8".into(), data: b"hello".to_vec() }]);
        assert_eq!(found[0].extension(), "txt");
        // Unopened, all three are there; what is broken does not open.
        let all = enclosures(&resource);
        let expected = [
            (Place::Here("aGVs\nbG8="), Some(5), true, "txt"),
            (Place::At("Binary/b"), None, false, "pdf"),
            (Place::Here("not base64!"), Some(7), false, "png"),
        ];
        let told: Vec<_> =
            all.iter().map(|one| (one.place, one.size(), one.open().is_some(), one.extension())).collect();
        assert_eq!(told, expected);
        assert_eq!(essence(" Image/PNG ;x=y"), "image/png");
    }
}
