//! The documents of one patient, by ordinal, and which of them a caller may see.

use std::collections::HashMap;
use std::sync::Arc;

use super::Document;
use super::form::LocalKey;
use super::packed::{ReferenceValue, Target};
use crate::{ResourceId, ResourceType};

/// Most ordinals in one corpus: a record has fewer resources, those deleted included.
pub const ORDINALS_MAX: u32 = 1 << 22;

/// The place of a resource in the order of first writing. A new version keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(u32);

impl Ordinal {
    /// The ordinal of a number below [`ORDINALS_MAX`].
    pub fn new(number: u32) -> Option<Self> {
        (number < ORDINALS_MAX).then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The documents of one patient. A clone shares them; changing it afterwards leaves the clone as it was.
#[derive(Clone, Default)]
pub struct Corpus {
    inner: Arc<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    /// Base URLs of this server without the slash at the end.
    bases: Vec<Box<str>>,
    documents: Vec<Option<Arc<Document>>>,
    by_type: HashMap<ResourceType, Vec<Ordinal>>,
    /// By what references say: the type's number and the id.
    by_key: HashMap<Box<[u8]>, Ordinal>,
    count: usize,
    bytes: usize,
}

impl Corpus {
    /// An empty corpus. References that begin with one of `own_bases` (`https://h.example/fhir`) are as good
    /// as relative ones.
    pub fn new(own_bases: &[&str]) -> Self {
        let bases = own_bases.iter().map(|base| base.trim_end_matches('/').into()).collect();
        Self { inner: Arc::new(Inner { bases, ..Inner::default() }) }
    }

    /// Puts the current version of a resource at its ordinal, in place of an earlier one.
    pub fn put(&mut self, at: Ordinal, document: Arc<Document>) {
        self.remove(at);
        let inner = Arc::make_mut(&mut self.inner);
        if inner.documents.len() <= at.index() {
            inner.documents.resize(at.index() + 1, None);
        }
        let ordinals = inner.by_type.entry(document.resource_type()).or_default();
        let place = ordinals.partition_point(|other| *other < at);
        ordinals.insert(place, at);
        if let Some(key) = document.key() {
            inner.by_key.insert(key.as_bytes().into(), at);
        }
        inner.count += 1;
        inner.bytes += document.bytes();
        if let Some(slot) = inner.documents.get_mut(at.index()) {
            *slot = Some(document);
        }
    }

    /// Takes a resource out: it was deleted.
    pub fn remove(&mut self, at: Ordinal) {
        if self.document(at).is_none() {
            return;
        }
        let inner = Arc::make_mut(&mut self.inner);
        let Some(old) = inner.documents.get_mut(at.index()).and_then(Option::take) else { return };
        inner.bytes -= old.bytes();
        if let Some(ordinals) = inner.by_type.get_mut(&old.resource_type())
            && let Ok(place) = ordinals.binary_search(&at)
        {
            ordinals.remove(place);
        }
        inner.count -= 1;
        if let Some(key) = old.key()
            && inner.by_key.get(key.as_bytes()) == Some(&at)
        {
            inner.by_key.remove(key.as_bytes());
        }
    }

    /// The document at an ordinal.
    pub fn document(&self, at: Ordinal) -> Option<&Document> {
        self.inner.documents.get(at.index())?.as_deref()
    }

    /// The ordinals of a type, ascending.
    pub fn of_type(&self, resource_type: ResourceType) -> &[Ordinal] {
        self.inner.by_type.get(&resource_type).map_or(&[], Vec::as_slice)
    }

    /// Where a resource is.
    pub fn ordinal(&self, resource_type: ResourceType, id: &ResourceId) -> Option<Ordinal> {
        self.of_key(LocalKey::of(resource_type, id.as_str())?.as_bytes())
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.inner.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the corpus takes, documents included, in bytes.
    pub fn bytes(&self) -> usize {
        const SLOT: usize = size_of::<Option<Arc<Document>>>() + size_of::<Ordinal>();
        const KEY: usize = size_of::<(Box<[u8]>, Ordinal)>() + 1;
        let keys: usize = self.inner.by_key.keys().map(|key| key.len()).sum();
        self.inner.bytes + keys + self.inner.by_key.capacity() * KEY + self.inner.documents.capacity() * SLOT
    }

    /// Where the resource of a key is.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<Ordinal> {
        self.inner.by_key.get(key).copied()
    }

    /// The key of a URL that begins with a base of this server.
    pub(super) fn own_key(&self, url: &str) -> Option<LocalKey> {
        let bases = self.inner.bases.iter();
        LocalKey::parse(
            bases.filter_map(|base| url.strip_prefix(base.as_ref())).find_map(|rest| rest.strip_prefix('/'))?,
        )
    }

    /// The resource that a reference points at, where it is here and the caller may see it.
    pub(super) fn resolve(&self, reference: &ReferenceValue<'_>, visible: &Visible) -> Option<Ordinal> {
        let at = match reference.target {
            Target::Local(key) => self.of_key(key),
            Target::Url(url) | Target::Canonical(url) => {
                self.of_key(self.own_key(std::str::from_utf8(url).ok()?)?.as_bytes())
            }
            // What is inside a resource is none of its own.
            Target::Inside { .. } | Target::Nowhere => None,
        };
        at.filter(|at| visible.shows(*at))
    }
}

/// Which documents the caller may see. The others are as good as absent.
#[derive(Clone, Debug, Default)]
pub enum Visible {
    /// All of them.
    #[default]
    Everything,
    /// Those alone whose bit is set.
    Only(Bits),
}

impl Visible {
    /// These alone.
    pub fn only(ordinals: impl IntoIterator<Item = Ordinal>) -> Self {
        Self::Only(ordinals.into_iter().collect())
    }

    /// Whether the caller may see it.
    pub fn shows(&self, at: Ordinal) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(bits) => bits.contains(at),
        }
    }
}

/// A set of ordinals, one bit each.
#[derive(Clone, Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Adds an ordinal; says whether it is new.
    pub fn insert(&mut self, at: Ordinal) -> bool {
        let (word, bit) = (at.index() / 64, 1 << (at.0 % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.get_mut(word).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }

    /// Whether the ordinal is in the set.
    pub fn contains(&self, at: Ordinal) -> bool {
        self.0.get(at.index() / 64).is_some_and(|word| word >> (at.0 % 64) & 1 == 1)
    }
}

impl FromIterator<Ordinal> for Bits {
    fn from_iter<I: IntoIterator<Item = Ordinal>>(ordinals: I) -> Self {
        let mut bits = Self::default();
        for at in ordinals {
            bits.insert(at);
        }
        bits
    }
}
