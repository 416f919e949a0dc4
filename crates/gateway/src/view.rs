//! A patient held open: the versions of the resources of one log, as this server shows them, beside what searches
//! run over. Built by `open`, read by the FHIR face. What it holds is wiped when nobody holds it any more.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sealwort_fhir::search::{Corpus, Document, Ordinal};
use sealwort_fhir::{Label, Resource, ResourceId, ResourceType, VersionId, present};
use sealwort_pki::UnixTime;
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{Change, Record};
use sealwort_proto::{LabelTag, Pseudonym};
use zeroize::Zeroizing;

/// One version of a resource.
#[derive(Clone)]
pub(crate) struct Version {
    /// `meta.versionId`: counted per resource, from 1, over what this hospital may read.
    pub(crate) number: u64,
    /// `meta.lastUpdated`: when its author wrote it.
    pub(crate) changed: UnixTime,
    /// Where its entry stands in the log.
    pub(crate) sequence: u64,
    /// The label whose key opened it.
    pub(crate) label: Label,
    /// The resource as this server shows it; `None` for a deletion.
    pub(crate) content: Option<Bytes>,
}

/// A resource and its versions, the oldest first.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) kind: ResourceType,
    pub(crate) id: ResourceId,
    older: Vec<Version>,
    newest: Version,
}

impl Held {
    /// The newest version, which may be a deletion.
    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// One version by its number.
    pub(crate) fn version(&self, number: u64) -> Option<&Version> {
        self.versions().find(|version| version.number == number)
    }

    /// All versions, the newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.newest).chain(self.older.iter().rev())
    }
}

/// A record of the log, opened and read.
pub(crate) struct Taken {
    kind: ResourceType,
    id: ResourceId,
    change: Change,
    /// The resource as it was received.
    resource: Option<Resource>,
    /// What searches see of it.
    document: Option<Arc<Document>>,
}

impl Taken {
    /// Reads a record; `None` for one that names no resource, which only a faulty gateway could have written.
    pub(crate) fn read(mut record: Record, changed: UnixTime) -> Option<Self> {
        let (kind, id) = (record.resource_type.parse::<ResourceType>().ok()?, record.id.parse::<ResourceId>().ok()?);
        let content = Zeroizing::new(std::mem::take(&mut record.content));
        let resource = match record.change {
            Change::Put => Some(Resource::parse(Bytes::from_owner(content)).ok()?),
            Change::Delete => None,
        };
        let document = match &resource {
            Some(resource) => {
                let tree = resource.json().ok()?;
                Some(Arc::new(Document::read(kind, id.as_str(), millis(changed), &tree)))
            }
            None => None,
        };
        Some(Self { kind, id, change: record.change, resource, document })
    }
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
    held: Vec<Arc<Held>>,
    index: HashMap<ResourceType, HashMap<ResourceId, usize>>,
    corpus: Corpus,
    bytes: usize,
    /// Place of the first resource that the reading before did not have.
    new_from: usize,
}

impl PatientView {
    /// Nothing read yet.
    pub(crate) fn new(patient: Pseudonym, at: Witness, tags: Vec<LabelTag>, base: &str) -> Self {
        Self {
            patient,
            at,
            tags,
            expires: UnixTime::from_secs(0),
            withheld: 0,
            held: Vec::new(),
            index: HashMap::new(),
            corpus: Corpus::new(&[base]),
            bytes: 0,
            new_from: 0,
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
            held: self.held.clone(),
            index: self.index.clone(),
            corpus: self.corpus.clone(),
            bytes: self.bytes,
            new_from: self.held.len(),
        }
    }

    /// Takes the next record of the log.
    pub(crate) fn take(&mut self, taken: Taken, changed: UnixTime, sequence: u64, label: Label) {
        let Taken { kind, id, change, resource, document } = taken;
        let known = self.index.get(&kind).and_then(|ids| ids.get(&id)).copied();
        let number = known.and_then(|at| self.held.get(at)).map_or(1, |held| held.newest.number + 1);
        let content = match change {
            Change::Put => resource.and_then(|resource| shown(&resource, &id, number, changed)),
            Change::Delete => None,
        };
        self.bytes += content.as_ref().map_or(0, Bytes::len) + document.as_ref().map_or(0, |d| d.bytes());
        let version = Version { number, changed, sequence, label, content };
        let at = if let Some(at) = known {
            if let Some(held) = self.held.get_mut(at).map(Arc::make_mut) {
                let before = std::mem::replace(&mut held.newest, version);
                held.older.push(before);
            }
            at
        } else {
            let at = self.held.len();
            self.index.entry(kind).or_default().insert(id.clone(), at);
            self.held.push(Arc::new(Held { kind, id, older: Vec::new(), newest: version }));
            at
        };
        match (ordinal(at), document) {
            (Some(at), Some(document)) => self.corpus.put(at, document),
            (Some(at), None) => self.corpus.remove(at),
            // Beyond what a log can hold.
            (None, _) => {}
        }
    }

    /// One resource, deleted or not.
    pub(crate) fn get(&self, kind: ResourceType, id: &str) -> Option<&Held> {
        self.place(kind, id).and_then(|at| self.held.get(at)).map(Arc::as_ref)
    }

    /// Where a resource stands among all.
    pub(crate) fn place(&self, kind: ResourceType, id: &str) -> Option<usize> {
        self.index.get(&kind)?.get(id).copied()
    }

    /// The resource at a place.
    pub(crate) fn at(&self, place: usize) -> Option<&Held> {
        self.held.get(place).map(Arc::as_ref)
    }

    /// All resources, deleted or not, with their places, in the order in which they were first written.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Held)> {
        self.held.iter().map(Arc::as_ref).enumerate()
    }

    /// Resources that the reading before did not have.
    pub(crate) fn new_ones(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().skip(self.new_from).map(Arc::as_ref)
    }

    /// The types of its resources.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = ResourceType> {
        self.index.keys().copied()
    }

    /// What searches run over.
    pub(crate) fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Bytes of JSON and of search values held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The bytes that this server shows, in memory that is wiped once nobody needs it.
fn shown(resource: &Resource, id: &ResourceId, number: u64, changed: UnixTime) -> Option<Bytes> {
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(changed.as_secs()).ok()?).ok()?;
    Some(present(resource, id, VersionId::new(number), at).bytes().clone())
}

/// A place as searches name it.
pub(crate) fn ordinal(place: usize) -> Option<Ordinal> {
    Ordinal::new(u32::try_from(place).ok()?)
}

pub(crate) fn millis(at: UnixTime) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX / 1000).saturating_mul(1000)
}
