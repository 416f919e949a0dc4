//! What turns identities into blinds and back: identifiers into locators, labels into tags. The key is the
//! exchange's directory key, which gateways alone hold.

use sealwort_fhir::{Branch, Identifier};
use sealwort_proto::crypto::{Secret, mac};
use sealwort_proto::{LabelTag, Locator, Pseudonym};

/// The exchange's directory key in use.
pub(crate) struct Directory(Secret);

impl Directory {
    pub(crate) fn new(key: Secret) -> Self {
        Self(key)
    }

    /// An identifier as broker and archive see it.
    pub(crate) fn locator(&self, identifier: &Identifier) -> Locator {
        let system = identifier.system.as_deref().unwrap_or_default();
        Locator::new(mac(&self.0, "sealwort locator v1", &[system.as_bytes(), identifier.value.as_bytes()]))
    }

    /// A label as broker and archive see it for one patient.
    pub(crate) fn tag(&self, patient: Pseudonym, label: Branch) -> LabelTag {
        let full = mac(&self.0, "sealwort label tag v1", &[patient.as_bytes(), label.as_str().as_bytes()]);
        let mut tag = [0u8; LabelTag::LEN];
        let (first, _) = full.split_at(LabelTag::LEN);
        tag.copy_from_slice(first);
        LabelTag::new(tag)
    }

    /// All labels of a patient, as tags.
    pub(crate) fn tags(&self, patient: Pseudonym) -> Vec<LabelTag> {
        Branch::ALL.iter().map(|label| self.tag(patient, *label)).collect()
    }

    /// The label that a tag stands for.
    pub(crate) fn label(&self, patient: Pseudonym, tag: LabelTag) -> Option<Branch> {
        Branch::ALL.into_iter().find(|label| self.tag(patient, *label) == tag)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The vectors of locators and label tags (`spec/protocol.md`, section 8.1).
    #[test]
    fn it_blinds_as_the_vectors_say() {
        let vectors: Value = serde_json::from_str(include_str!("../../../spec/vectors/records.json")).unwrap();
        let mut held = 0;
        for vector in vectors["vectors"].as_array().unwrap() {
            let text = |member: &str| vector["input"][member].as_str().unwrap();
            let directory = || {
                let mut key = [0; 32];
                hex::decode_to_slice(text("directory_key"), &mut key).unwrap();
                Directory::new(Secret::new(key))
            };
            match vector["kind"].as_str().unwrap() {
                "locator" => {
                    let system = Some(text("system").to_owned()).filter(|system| !system.is_empty());
                    let made = directory().locator(&Identifier { system, value: text("value").to_owned() });
                    assert_eq!(made.to_string(), vector["output"]["locator"].as_str().unwrap());
                }
                "label-tag" => {
                    let label = text("label").parse().unwrap();
                    let made = directory().tag(text("pseudonym").parse().unwrap(), label);
                    assert_eq!(made.to_string(), vector["output"]["tag"].as_str().unwrap());
                    assert_eq!(directory().label(text("pseudonym").parse().unwrap(), made), Some(label));
                }
                _ => continue,
            }
            held += 1;
        }
        assert_eq!(held, 6);
    }
}
