//! A patient held open: the versions of the resources of one log, as this server shows them, beside what searches
//! run over. Built by `open`, read by the FHIR face. What it holds is wiped when nobody holds it any more.

mod combined;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use sealwort_fhir::search::{Corpus, Document, Ordinal};
use sealwort_fhir::{Branch, Resource, ResourceId, ResourceType, VersionId, present};
use sealwort_pki::UnixTime;
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{Change, Record};
use sealwort_proto::{LabelTag, Pseudonym};
use zeroize::Zeroizing;

use crate::merge::note::{MergeNote, is_reserved};

/// Who wrote a version, and which entry of the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Identity of the hospital that signed the entry.
    pub(crate) author: Arc<str>,
    /// In whose log.
    pub(crate) log: Pseudonym,
    /// Place and hash of the entry.
    pub(crate) entry: Witness,
}

/// One version of a resource.
#[derive(Clone)]
pub(crate) struct Version {
    /// `meta.versionId`: counted per resource, from 1, over what this hospital may read.
    pub(crate) number: u64,
    /// `meta.lastUpdated`: when its author wrote it.
    pub(crate) changed: UnixTime,
    /// The label whose key opened it.
    pub(crate) label: Branch,
    /// The resource as this server shows it; `None` for a deletion.
    pub(crate) content: Option<Bytes>,
    pub(crate) origin: Origin,
}

/// A resource and its versions, the oldest first.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) kind: ResourceType,
    pub(crate) id: ResourceId,
    older: Vec<Version>,
    newest: Version,
    /// Place in the log of the move that it went away with, unless a version came right after.
    moved: Option<u64>,
}

impl Held {
    /// The newest version, which may be a deletion.
    pub(crate) fn newest(&self) -> &Version {
        &self.newest
    }

    /// Whether nothing of it may be shown any more, and nothing is held.
    fn is_gone(&self) -> bool {
        self.newest.number == 0
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
            Change::Delete | Change::Move => None,
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
    /// Whose records were merged into it and are shown with it.
    with: Vec<Pseudonym>,
    /// What it says of merges, by Linkage, each with who wrote it last.
    merges: BTreeMap<String, (Origin, Option<MergeNote>)>,
    /// Resources whose next version this reading could not follow, each with the place of the move: what a record that was
    /// merged into this one holds of them is not shown either.
    away: HashMap<(ResourceType, ResourceId), u64>,
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
            with: Vec::new(),
            merges: BTreeMap::new(),
            away: HashMap::new(),
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
            with: self.with.clone(),
            merges: self.merges.clone(),
            away: self.away.clone(),
            held: self.held.clone(),
            index: self.index.clone(),
            corpus: self.corpus.clone(),
            bytes: self.bytes,
            new_from: self.held.len(),
        }
    }

    /// Takes the next record of the log.
    pub(crate) fn take(&mut self, taken: Taken, changed: UnixTime, label: Branch, origin: Origin) {
        let Taken { kind, id, change, resource, document } = taken;
        // What ties two records is no resource of anybody's.
        if is_reserved(kind, id.as_str()) {
            let note = resource.and_then(|resource| MergeNote::read(id.as_str(), &resource));
            self.merges.insert(id.as_str().to_owned(), (origin, note));
            return;
        }
        let sequence = origin.entry.sequence;
        let mut known = self.index.get(&kind).and_then(|ids| ids.get(&id)).copied();
        if change == Change::Move {
            self.away.insert((kind, id.clone()), sequence);
            if let Some(held) = known.and_then(|at| self.held.get_mut(at)).map(Arc::make_mut) {
                held.moved = Some(sequence);
            }
            return;
        }
        self.away.retain(|_, moved| moved.checked_add(1) != Some(sequence));
        // What went away and comes back later is another resource to whoever could not follow it.
        if let Some(moved) = known.and_then(|at| self.held.get(at)).and_then(|held| held.moved) {
            if moved.checked_add(1) == Some(sequence) {
                if let Some(held) = known.and_then(|at| self.held.get_mut(at)).map(Arc::make_mut) {
                    held.moved = None;
                }
            } else {
                self.drop_moved(kind, &id);
                known = None;
            }
        }
        let number = known.and_then(|at| self.held.get(at)).map_or(1, |held| held.newest.number + 1);
        let content = match change {
            Change::Put => resource.and_then(|resource| shown(&resource, &id, number, changed)),
            Change::Delete | Change::Move => None,
        };
        self.bytes += content.as_ref().map_or(0, Bytes::len) + document.as_ref().map_or(0, |d| d.bytes());
        let version = Version { number, changed, label, content, origin };
        let at = if let Some(at) = known {
            if let Some(held) = self.held.get_mut(at).map(Arc::make_mut) {
                let before = std::mem::replace(&mut held.newest, version);
                held.older.push(before);
            }
            at
        } else {
            let at = self.held.len();
            self.index.entry(kind).or_default().insert(id.clone(), at);
            self.held.push(Arc::new(Held { kind, id, older: Vec::new(), newest: version, moved: None }));
            at
        };
        match (ordinal(at), document) {
            (Some(at), Some(document)) => self.corpus.put(at, document),
            (Some(at), None) => self.corpus.remove(at),
            // Beyond what a log can hold.
            (None, _) => {}
        }
    }

    /// Lets go, after the last record, of what went away under a label that may not be read.
    pub(crate) fn settle(&mut self) {
        let moved = self.held.iter().filter(|held| held.moved.is_some() && !held.is_gone());
        let moved: Vec<(ResourceType, ResourceId)> = moved.map(|held| (held.kind, held.id.clone())).collect();
        for (kind, id) in moved {
            self.drop_moved(kind, &id);
        }
    }

    /// Nothing is left of the resource but its place, so that places do not change.
    fn drop_moved(&mut self, kind: ResourceType, id: &ResourceId) {
        let Some(at) = self.index.get_mut(&kind).and_then(|ids| ids.remove(id)) else { return };
        if let Some(held) = self.held.get_mut(at).map(Arc::make_mut) {
            held.older.clear();
            held.newest.content = None;
            held.newest.number = 0;
        }
        if let Some(at) = ordinal(at) {
            self.corpus.remove(at);
        }
    }

    /// The merges that it tells of, in words of this hospital: who else may write could say anything.
    pub(crate) fn merges_by<'a>(&'a self, author: &'a str) -> impl Iterator<Item = &'a MergeNote> {
        let by = self.merges.values().filter(move |(origin, _)| &*origin.author == author);
        by.filter_map(|(_, note)| note.as_ref())
    }

    /// Where its log last says, in words of this hospital, that this patient was merged or parted.
    pub(crate) fn merge_told(&self, author: &str, patient: Pseudonym) -> Option<u64> {
        let of_patient = |note: &MergeNote| [note.source.patient, note.target.patient].contains(&patient);
        let told = self
            .merges
            .values()
            .filter(|(origin, note)| &*origin.author == author && note.as_ref().is_some_and(of_patient));
        told.map(|(origin, _)| origin.entry.sequence).max()
    }

    /// Whether it shows this patient, by itself or merged into it.
    pub(crate) fn stands_for(&self, patient: Pseudonym) -> bool {
        self.patient == patient || self.with.contains(&patient)
    }

    /// Whether it tells of any merge.
    pub(crate) fn tells_of_merges(&self) -> bool {
        !self.merges.is_empty()
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
        self.held.iter().map(Arc::as_ref).enumerate().filter(|(_, held)| !held.is_gone())
    }

    /// Resources that the reading before did not have.
    pub(crate) fn new_ones(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().skip(self.new_from).map(Arc::as_ref).filter(|held| !held.is_gone())
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
