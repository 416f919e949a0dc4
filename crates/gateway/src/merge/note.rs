//! That two records are of one person, as it stands sealed in both: a FHIR Linkage that the gateway of the consent authority
//! writes and nobody else. Its author is told by the signature of the entry, so that it needs none of its own; broker and
//! archive see one entry more in each record, and nothing that ties the two.

use sealwort_fhir::{Resource, ResourceId, ResourceType};
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::random;
use serde_json::{Value, json};

/// How the ids of such Linkages begin.
const PREFIX: &str = "sealwort-merge-";
/// Namespace of pseudonyms.
const PSEUDONYM_SYSTEM: &str = "urn:sealwort:pseudonym";

/// One side: a record, and the Patient that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) patient: Pseudonym,
    pub(crate) id: ResourceId,
}

/// What a Linkage says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MergeNote {
    pub(crate) linkage: String,
    /// Whose identity was given up.
    pub(crate) source: Side,
    /// Whose identity stands for both.
    pub(crate) target: Side,
    pub(crate) standing: Standing,
}

/// Whether a merge holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Merged,
    Undone,
}

/// Whether a resource is one that only a merge writes.
pub(crate) fn is_reserved(kind: ResourceType, id: &str) -> bool {
    kind.as_str() == "Linkage" && id.starts_with(PREFIX)
}

/// An id for the Linkage of a merge.
pub(crate) fn fresh_linkage() -> String {
    format!("{PREFIX}{}", hex::encode(random::<16>()))
}

impl MergeNote {
    /// Reads a Linkage; `None` for one that tells of no merge.
    pub(crate) fn read(linkage: &str, resource: &Resource) -> Option<Self> {
        let tree = resource.json().ok()?;
        let side = |wanted: &str| {
            let items = tree.get("item")?.as_array()?;
            let item = items.iter().find(|item| item.get("type").is_some_and(|kind| kind == wanted))?;
            let named = item.pointer("/resource/identifier")?;
            if named.get("system")? != PSEUDONYM_SYSTEM {
                return None;
            }
            let patient = named.get("value")?.as_str()?.parse().ok()?;
            let id = item.pointer("/resource/reference")?.as_str()?.strip_prefix("Patient/")?.parse().ok()?;
            Some(Side { patient, id })
        };
        let merged = tree.get("active").and_then(Value::as_bool).unwrap_or_default();
        Some(Self {
            linkage: linkage.to_owned(),
            source: side("alternate")?,
            target: side("source")?,
            standing: if merged { Standing::Merged } else { Standing::Undone },
        })
    }

    /// The Linkage (R4 linkage.html): its `source` is the resource that holds, its `alternate` the one that was given up.
    pub(crate) fn resource(&self, author: &str) -> Vec<u8> {
        let item = |kind: &str, side: &Side| {
            json!({
                "type": kind,
                "resource": {
                    "reference": format!("Patient/{}", side.id),
                    "identifier": { "system": PSEUDONYM_SYSTEM, "value": side.patient.to_string() },
                },
            })
        };
        let made = json!({
            "resourceType": "Linkage",
            "id": self.linkage,
            "active": self.standing == Standing::Merged,
            "author": { "identifier": { "system": "urn:ietf:rfc:3986", "value": author } },
            "item": [item("source", &self.target), item("alternate", &self.source)],
        });
        made.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_valid() {
        let side = |byte, id: &str| Side { patient: Pseudonym::new([byte; 32]), id: id.parse().unwrap() };
        let note = MergeNote {
            linkage: fresh_linkage(),
            source: side(1, "s"),
            target: side(2, "t"),
            standing: Standing::Merged,
        };
        let bytes = note.resource("sealwort://t/gateway/a");
        let resource = Resource::parse(bytes).unwrap();
        assert!(is_reserved(resource.resource_type(), &note.linkage));
        let issues = sealwort_fhir::validate(&resource.json().unwrap(), sealwort_fhir::Handling::Strict);
        assert!(sealwort_fhir::validation::is_acceptable(&issues), "{issues:?}");
        assert_eq!(MergeNote::read(&note.linkage, &resource), Some(note));
        let other = br#"{"resourceType":"Linkage","item":[{"type":"source","resource":{"reference":"Patient/t"}}]}"#;
        assert_eq!(MergeNote::read("x", &Resource::parse(other.to_vec()).unwrap()), None);
    }
}
