//! The records of one person under the Patient that stands for both: what was written in the record of the identity that
//! was given up is shown beside the rest, its references lead to the surviving Patient, and the Patient that was given up
//! says by what it is replaced (R4 patient.html, "Merging records"). Nothing of it is stored: undone, both are as they were.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sealwort_fhir::search::Document;
use sealwort_fhir::{Resource, ResourceId, ResourceType, VersionId, present, rewrite_references};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Held, PatientView, Version, millis, ordinal};
use crate::merge::note::MergeNote;

impl PatientView {
    /// This record together with those that were merged into it.
    pub(crate) fn combined(&self, base: &str, sources: &[(MergeNote, Arc<Self>)]) -> Self {
        let mut whole = self.continued();
        let mut links = Links { base, to: HashMap::new() };
        let mut given_up: Vec<(ResourceId, &MergeNote)> = Vec::new();
        for (note, source) in sources {
            whole.withheld += source.withheld;
            whole.with.push(source.patient);
            for (_, held) in source.all().filter(|(_, held)| held.kind == ResourceType::PATIENT) {
                links.lead(&held.id, &note.target.id);
                given_up.push((held.id.clone(), note));
            }
        }
        // References in what was written since may still name the identity that was given up.
        let renamed: Vec<Arc<Held>> = self.all().filter_map(|(_, held)| links.rewritten(held)).map(Arc::new).collect();
        for held in renamed {
            whole.lay(held);
        }
        let mut identifiers: Vec<Value> = Vec::new();
        for (note, source) in sources {
            for (_, held) in source.all() {
                if self.away.contains_key(&(held.kind, held.id.clone())) {
                    continue;
                }
                let mut held = links.rewritten(held).unwrap_or_else(|| held.clone());
                if held.kind == ResourceType::PATIENT {
                    identifiers.extend(identifiers_of(&held.newest));
                    edit(&mut held.newest, |patient| replace_by(patient, note));
                }
                let later = self.get(held.kind, held.id.as_str());
                let both = match later {
                    Some(later) => followed(held, &links.rewritten(later).unwrap_or_else(|| later.clone())),
                    None => held,
                };
                whole.lay(Arc::new(both));
            }
        }
        // Searches find one Patient: the one that stands for both.
        for (id, _) in &given_up {
            if let Some(at) = whole.place(ResourceType::PATIENT, id.as_str()).and_then(ordinal) {
                whole.corpus.remove(at);
            }
        }
        for (note, _) in sources {
            let Some(target) = whole.get(ResourceType::PATIENT, note.target.id.as_str()) else { continue };
            let mut target = target.clone();
            edit(&mut target.newest, |patient| take_over(patient, &given_up, note, &identifiers));
            whole.lay(Arc::new(target));
        }
        whole
    }

    /// Puts a resource at its place, or at the end, and what searches see of it.
    fn lay(&mut self, held: Arc<Held>) {
        let place = if let Some(place) = self.place(held.kind, held.id.as_str()) {
            place
        } else {
            let place = self.held.len();
            self.index.entry(held.kind).or_default().insert(held.id.clone(), place);
            self.bytes += held.versions().filter_map(|version| version.content.as_ref()).map(Bytes::len).sum::<usize>();
            place
        };
        if let Some(at) = ordinal(place) {
            match document(&held) {
                Some(document) => self.corpus.put(at, Arc::new(document)),
                None => self.corpus.remove(at),
            }
        }
        match self.held.get_mut(place) {
            Some(slot) => *slot = held,
            None => self.held.push(held),
        }
    }
}

fn document(held: &Held) -> Option<Document> {
    let content = held.newest.content.clone()?;
    let tree = Resource::parse(content).ok()?.json().ok()?;
    Some(Document::read(held.kind, held.id.as_str(), millis(held.newest.changed), &tree))
}

/// Where references to Patients that were given up lead.
struct Links<'a> {
    base: &'a str,
    to: HashMap<String, String>,
}

impl Links<'_> {
    fn lead(&mut self, from: &ResourceId, to: &ResourceId) {
        self.to.insert(format!("Patient/{from}"), format!("Patient/{to}"));
        self.to.insert(format!("{}/Patient/{from}", self.base), format!("{}/Patient/{to}", self.base));
    }

    /// The resource with its references led on; `None` where it has none of them. A Patient keeps its own.
    fn rewritten(&self, held: &Held) -> Option<Held> {
        if held.kind == ResourceType::PATIENT {
            return None;
        }
        let named = |version: &Version| {
            let text = version.content.as_deref().and_then(|content| std::str::from_utf8(content).ok());
            text.is_some_and(|text| self.to.keys().any(|name| text.contains(name.as_str())))
        };
        if !held.versions().any(named) {
            return None;
        }
        let mut held = held.clone();
        for version in held.older.iter_mut().chain([&mut held.newest]) {
            let Some(content) = version.content.clone() else { continue };
            let resource = Resource::parse(content).ok()?;
            let led = rewrite_references(&resource, |text| self.to.get(text).cloned()).ok()?;
            version.content = Some(led.bytes().clone());
        }
        Some(held)
    }
}

/// A resource that is in both records: its versions in the order in which they were written, wherever that was.
fn followed(first: Held, other: &Held) -> Held {
    let Held { kind, id, mut older, newest, .. } = first;
    older.push(newest);
    older.extend(other.older.iter().chain([&other.newest]).cloned());
    older.sort_by_key(|version| version.changed);
    for (number, version) in (1..).zip(&mut older) {
        if std::mem::replace(&mut version.number, number) == number {
            continue;
        }
        if let (Some(content), Some(at)) = (version.content.take(), crate::face::reply::date(version.changed)) {
            version.content = Resource::parse(content)
                .ok()
                .map(|resource| present(&resource, &id, VersionId::new(number), at).bytes().clone());
        }
    }
    match older.pop() {
        Some(newest) => Held { kind, id, older, newest, moved: None },
        None => other.clone(),
    }
}

fn identifiers_of(version: &Version) -> Vec<Value> {
    let tree = version.content.clone().and_then(|content| Resource::parse(content).ok()?.json().ok());
    let identifiers = tree.as_ref().and_then(|tree| tree.get("identifier")?.as_array().cloned());
    identifiers.unwrap_or_default()
}

/// Changes a Patient as it is shown.
fn edit(version: &mut Version, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let tree = version.content.clone().and_then(|content| Resource::parse(content).ok()?.json().ok());
    let Some(Value::Object(mut patient)) = tree else { return };
    change(&mut patient);
    let text = Zeroizing::new(Value::Object(patient).to_string().into_bytes());
    version.content = Some(Bytes::from_owner(text));
}

/// The Patient that was given up.
fn replace_by(patient: &mut serde_json::Map<String, Value>, note: &MergeNote) {
    patient.insert("active".to_owned(), Value::Bool(false));
    let target = format!("Patient/{}", note.target.id);
    push(patient, "link", json!({ "other": { "reference": target }, "type": "replaced-by" }));
}

/// The Patient that stands for both: it says whom it replaces, and has their identifiers as old ones.
fn take_over(
    patient: &mut serde_json::Map<String, Value>,
    given_up: &[(ResourceId, &MergeNote)],
    note: &MergeNote,
    identifiers: &[Value],
) {
    for (id, _) in given_up.iter().filter(|(_, other)| other.linkage == note.linkage) {
        let name = format!("Patient/{id}");
        let links = patient.get("link").and_then(Value::as_array);
        let names = |link: &Value| link.pointer("/other/reference").and_then(Value::as_str) == Some(name.as_str());
        if links.is_some_and(|links| links.iter().any(names)) {
            continue;
        }
        push(patient, "link", json!({ "other": { "reference": name }, "type": "replaces" }));
    }
    let name = |identifier: &Value| (identifier.get("system").cloned(), identifier.get("value").cloned());
    for identifier in identifiers {
        let held = patient.get("identifier").and_then(Value::as_array);
        if held.is_some_and(|held| held.iter().any(|one| name(one) == name(identifier))) {
            continue;
        }
        let mut old = identifier.clone();
        if let Some(old) = old.as_object_mut() {
            old.insert("use".to_owned(), "old".into());
        }
        push(patient, "identifier", old);
    }
}

fn push(patient: &mut serde_json::Map<String, Value>, list: &str, item: Value) {
    match patient.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) => items.push(item),
        None => drop(patient.insert(list.to_owned(), Value::Array(vec![item]))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_fhir::Branch;
    use sealwort_pki::UnixTime;
    use sealwort_proto::receipt::Witness;
    use sealwort_proto::{Digest, Pseudonym};

    use super::*;
    use crate::view::Origin;

    fn held(times: &[u64]) -> Held {
        let version = |changed: &u64| {
            let content =
                json!({"resourceType": "Practitioner", "id": "house", "name": [{"text": changed.to_string()}]});
            let entry = Witness { sequence: *changed, head: Digest::new([0; 32]) };
            Version {
                number: 1,
                changed: UnixTime::from_secs(*changed),
                label: Branch::Administrative,
                content: Some(content.to_string().into()),
                origin: Origin { author: "sealwort://t/gateway/a".into(), log: Pseudonym::new([1; 32]), entry },
            }
        };
        let mut older: Vec<_> = times.iter().map(version).collect();
        let newest = older.pop().unwrap();
        let kind = "Practitioner".parse().unwrap();
        Held { kind, id: "house".parse().unwrap(), older, newest, moved: None }
    }

    #[test]
    fn versions_of_both_records_stand_in_the_order_in_which_they_were_written() {
        for (one, other) in [(&[10, 40][..], &[20, 30][..]), (&[20, 30], &[10, 40]), (&[10, 20], &[30, 40])] {
            let both = followed(held(one), &held(other));
            let told: Vec<_> = both.versions().map(|version| (version.number, version.changed.as_secs())).collect();
            assert_eq!(told, [(4, 40), (3, 30), (2, 20), (1, 10)]);
            for version in both.versions() {
                let text = String::from_utf8(version.content.clone().unwrap().to_vec()).unwrap();
                assert!(text.contains(&format!("\"{}\"", version.changed.as_secs())), "{text}");
                let says = format!("\"versionId\":\"{}\"", version.number);
                assert!(version.number == 1 || text.contains(&says), "{text}");
            }
        }
    }
}
