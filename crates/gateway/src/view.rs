//! A patient held open: the resources of one log in memory, as the newest versions of the bytes received.
//! Built by `fetch`, read by the FHIR face.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use sealwort_fhir::Resource;
use sealwort_pki::UnixTime;
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{Change, Record};
use sealwort_proto::{LabelTag, Pseudonym};

/// The newest version of one resource.
#[derive(Clone)]
pub(crate) struct Held {
    /// Type and id.
    pub(crate) kind: String,
    pub(crate) id: String,
    /// How many versions the log holds of it that this hospital may read.
    pub(crate) version: u64,
    /// When the newest was written.
    pub(crate) changed: UnixTime,
    /// The resource; `None` after a deletion.
    pub(crate) resource: Option<Resource>,
}

/// An open patient.
pub(crate) struct PatientView {
    pub(crate) patient: Pseudonym,
    /// Where the log was read to.
    pub(crate) at: Witness,
    /// Labels granted, as tags.
    pub(crate) tags: Vec<LabelTag>,
    /// End of the authority that it was read by.
    pub(crate) expires: UnixTime,
    /// Entries whose label was not granted.
    pub(crate) withheld: u64,
    /// Whether the roster knows these resources by their ids.
    pub(crate) noted: AtomicBool,
    held: Vec<Held>,
    index: HashMap<(String, String), usize>,
}

impl PatientView {
    /// Nothing read yet.
    pub(crate) fn new(patient: Pseudonym, at: Witness, tags: Vec<LabelTag>) -> Self {
        Self {
            patient,
            at,
            tags,
            expires: UnixTime::from_secs(0),
            withheld: 0,
            noted: AtomicBool::new(false),
            held: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// The same, to be read on from where it stands.
    pub(crate) fn continued(&self) -> Self {
        Self {
            patient: self.patient,
            at: self.at,
            tags: self.tags.clone(),
            expires: self.expires,
            withheld: self.withheld,
            noted: AtomicBool::new(false),
            held: self.held.clone(),
            index: self.index.clone(),
        }
    }

    /// Takes the next record of the log.
    pub(crate) fn take(&mut self, record: Record, resource: Option<Resource>, changed: UnixTime) {
        let resource = match record.change {
            Change::Put => resource,
            Change::Delete => None,
        };
        let key = (record.resource_type, record.id);
        if let Some(held) = self.index.get(&key).and_then(|place| self.held.get_mut(*place)) {
            held.version += 1;
            held.changed = changed;
            held.resource = resource;
            return;
        }
        self.index.insert(key.clone(), self.held.len());
        let (kind, id) = key;
        self.held.push(Held { kind, id, version: 1, changed, resource });
    }

    /// One resource, deleted or not.
    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<&Held> {
        self.index.get(&(kind.to_owned(), id.to_owned())).and_then(|place| self.held.get(*place))
    }

    /// All resources that are not deleted, in the order in which they were first written.
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&Held, &Resource)> {
        self.held.iter().filter_map(|held| held.resource.as_ref().map(|resource| (held, resource)))
    }

    /// Bytes of JSON held.
    pub(crate) fn bytes(&self) -> usize {
        self.resources().map(|(_, resource)| resource.bytes().len()).sum()
    }
}

/// Reads a record's content as a resource.
pub(crate) fn parse(record: &mut Record) -> Option<Resource> {
    match record.change {
        Change::Put => Resource::parse(Bytes::from(std::mem::take(&mut record.content))).ok(),
        Change::Delete => None,
    }
}
