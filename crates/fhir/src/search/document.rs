//! The search values of one version of a resource, without its tree. Reading walks the JSON once, along the
//! members that hold values, and packs each value once however many parameters take it.

use std::fmt;

use serde_json::Value;

use super::date;
use super::definition::{self, Condition, Edge, ID, LAST_UPDATED, TypeTable};
use super::form::{self, LocalKey};
use super::inside::{Inside, Reached, Way};
use super::packed::{self, Block, DateValue, Fields, TokenValue};
use crate::ResourceType;

/// Most values kept of one resource. What is beyond is not found; no real resource has so many.
pub const ENTRIES_MAX: usize = 50_000;

/// What searches need to know of one version of a resource.
pub struct Document {
    resource_type: ResourceType,
    /// Sorted by parameter and group.
    entries: Box<[Entry]>,
    values: Box<[u8]>,
    /// Resources inside this one, by the places that references have.
    inside: Box<[Document]>,
}

/// A block of values that a parameter has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) parameter: u8,
    /// Which element the value is in, for composites; 0 outside of elements that they join.
    pub(super) group: u16,
    /// Where the block begins.
    start: u32,
}

impl Document {
    /// Reads the search values out of a resource's tree. `id` and `last_updated_ms` (UTC, since 1970) are the
    /// server's own; those in the tree are not looked at.
    pub fn read(resource_type: ResourceType, id: &str, last_updated_ms: i64, tree: &Value) -> Self {
        Self::whole(resource_type, id, Some(last_updated_ms), tree)
    }

    /// Reads a resource and those inside it that its references lead to.
    fn whole(resource_type: ResourceType, id: &str, last_updated_ms: Option<i64>, tree: &Value) -> Self {
        let mut reading = Reading::new(tree);
        let mut document = reading.document(resource_type, id, last_updated_ms, tree);
        let mut documents = Vec::new();
        // What is inside may lead to more.
        while let Some(Reached { tree, resource_type, way }) = reading.inside.reached(documents.len()) {
            let id = form::member(tree, "id").unwrap_or_default();
            documents.push(match way {
                Way::Contained => reading.document(resource_type, id, None, tree),
                Way::Nested => Self::whole(resource_type, id, None, tree),
            });
        }
        document.inside = documents.into();
        document
    }

    /// The type.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// The logical id.
    pub fn id(&self) -> &str {
        let id = self.blocks(ID).next().and_then(|mut fields| fields.token()?.code);
        // It was written from a string.
        id.and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }

    /// When the version came to be, in milliseconds since 1970, UTC.
    pub fn last_updated_ms(&self) -> i64 {
        let span = self.blocks(LAST_UPDATED).next().and_then(|mut fields| fields.date());
        span.map_or(0, |span| span.low.div_euclid(1000))
    }

    /// The memory it takes, in bytes, with its place in an `Arc`.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.bytes_held()
    }

    fn bytes_held(&self) -> usize {
        let inside: usize = self.inside.iter().map(|document| size_of::<Self>() + document.bytes_held()).sum();
        size_of_val(&*self.entries) + self.values.len() + inside
    }

    /// The resource inside at a place that one of its references has.
    pub(super) fn inside(&self, place: u16) -> Option<&Document> {
        self.inside.get(usize::from(place))
    }

    /// Whether there are resources inside it.
    pub(super) fn holds_others(&self) -> bool {
        !self.inside.is_empty()
    }

    /// The blocks of a parameter.
    pub(super) fn blocks(&self, parameter: u8) -> Blocks<'_> {
        Blocks { document: self, entries: self.entries_of(parameter).iter() }
    }

    /// The blocks of a parameter within one group.
    pub(super) fn blocks_in(&self, parameter: u8, group: u16) -> Blocks<'_> {
        let entries = self.entries_of(parameter);
        let from = entries.partition_point(|entry| entry.group < group);
        let to = entries.partition_point(|entry| entry.group <= group);
        Blocks { document: self, entries: entries.get(from..to).unwrap_or_default().iter() }
    }

    /// The groups in which a parameter has values, each once.
    pub(super) fn groups(&self, parameter: u8) -> impl Iterator<Item = u16> {
        self.entries_of(parameter)
            .chunk_by(|one, next| one.group == next.group)
            .filter_map(|same| Some(same.first()?.group))
    }

    fn entries_of(&self, parameter: u8) -> &[Entry] {
        let from = self.entries.partition_point(|entry| entry.parameter < parameter);
        let rest = self.entries.get(from..).unwrap_or_default();
        let to = rest.partition_point(|entry| entry.parameter == parameter);
        rest.get(..to).unwrap_or_default()
    }

    /// Whether a parameter has a value.
    pub(super) fn has(&self, parameter: u8) -> bool {
        self.entries.binary_search_by_key(&parameter, |entry| entry.parameter).is_ok()
    }

    fn block(&self, entry: Entry) -> Fields<'_> {
        let mut fields = Fields::new(self.values.get(entry.start as usize..).unwrap_or_default());
        let block = fields.length().and_then(|length| fields.bytes(length));
        Fields::new(block.unwrap_or_default())
    }

    /// The key under which references find it; nothing where its id is not one of R4.
    pub(super) fn key(&self) -> Option<LocalKey> {
        LocalKey::of(self.resource_type, self.id())
    }
}

/// Blocks of values of one document.
#[derive(Clone)]
pub(super) struct Blocks<'d> {
    document: &'d Document,
    entries: std::slice::Iter<'d, Entry>,
}

impl<'d> Iterator for Blocks<'d> {
    type Item = Fields<'d>;

    fn next(&mut self) -> Option<Fields<'d>> {
        Some(self.document.block(*self.entries.next()?))
    }
}

/// Shows type and size alone: search values are the patient's data.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({}, {} bytes)", self.resource_type, self.bytes())
    }
}

/// Reads a resource and what it contains, one document after the other; the lists are kept for their memory.
struct Reading<'t> {
    inside: Inside<'t>,
    entries: Vec<Entry>,
    values: Vec<u8>,
    /// The block being written.
    block: Block,
    groups: u16,
}

impl<'t> Reading<'t> {
    fn new(root: &'t Value) -> Self {
        Self {
            inside: Inside::new(root),
            // Enough for most.
            entries: Vec::with_capacity(64),
            values: Vec::with_capacity(1024),
            block: Block::default(),
            groups: 0,
        }
    }

    /// Reads one document. One inside another has its own word alone on when it was updated.
    fn document(
        &mut self,
        resource_type: ResourceType,
        id: &str,
        last_updated_ms: Option<i64>,
        tree: &'t Value,
    ) -> Document {
        self.entries.clear();
        self.values.clear();
        self.groups = 0;
        self.block.token(&TokenValue { system: None, code: Some(id.as_bytes()), text: None, kinds: None });
        self.keep(ID, 0);
        let updated = match last_updated_ms.map(|milliseconds| milliseconds.saturating_mul(1000)) {
            Some(low) => Some(DateValue { low, high: low.saturating_add(1000) }),
            None => tree.get("meta").and_then(|meta| date::parse(form::member(meta, "lastUpdated")?)),
        };
        if let Some(updated) = updated {
            self.block.date(updated);
            self.keep(LAST_UPDATED, 0);
        }
        let table = definition::of_type(resource_type);
        self.object(tree, table.edges, 0);
        self.finish(resource_type, table)
    }

    fn object(&mut self, value: &'t Value, edges: &'static [Edge], group: u16) {
        let Value::Object(members) = value else { return };
        for (name, value) in members {
            let from = edges.partition_point(|edge| edge.member < name.as_str());
            let same = edges.get(from..).unwrap_or_default().iter().take_while(|edge| edge.member == name);
            for edge in same {
                match value {
                    Value::Array(list) => {
                        let count = if matches!(edge.condition, Condition::First) { 1 } else { usize::MAX };
                        list.iter().take(count).for_each(|one| self.value(one, edge, group));
                    }
                    one => self.value(one, edge, group),
                }
            }
        }
    }

    fn value(&mut self, value: &'t Value, edge: &'static Edge, group: u16) {
        if let Condition::Is(member, expected) = edge.condition
            && value.get(member).and_then(Value::as_str) != Some(expected)
        {
            return;
        }
        let mut group = group;
        if edge.group {
            // What no number is left for is beyond `ENTRIES_MAX` as well.
            let Some(next) = self.groups.checked_add(1) else { return };
            self.groups = next;
            group = next;
        }
        for take in edge.takes {
            take.form.write(value, &mut self.inside, &mut self.block);
            if self.block.as_bytes().is_empty() {
                continue;
            }
            let start = self.keep_block();
            for receiver in take.receivers {
                let wanted =
                    receiver.only.is_none_or(|only| form::reference_type(value, &mut self.inside) == Some(only));
                if wanted {
                    self.enter(receiver.parameter, group, start);
                }
            }
        }
        if !edge.below.is_empty() {
            self.object(value, edge.below, group);
        }
    }

    /// Takes over the block as a parameter's.
    fn keep(&mut self, parameter: u8, group: u16) {
        let start = self.keep_block();
        self.enter(parameter, group, start);
    }

    fn keep_block(&mut self) -> Option<u32> {
        let start = u32::try_from(self.values.len()).ok();
        packed::length(&mut self.values, self.block.as_bytes().len());
        self.values.extend_from_slice(self.block.as_bytes());
        self.block.clear();
        start
    }

    fn enter(&mut self, parameter: u8, group: u16, start: Option<u32>) {
        if let Some(start) = start
            && self.entries.len() < ENTRIES_MAX
        {
            self.entries.push(Entry { parameter, group, start });
        }
    }

    fn finish(&mut self, resource_type: ResourceType, table: &TypeTable) -> Document {
        if let Some(parameter) = table.never_absent
            && !self.entries.iter().any(|entry| entry.parameter == parameter)
        {
            form::write_absent(&mut self.block);
            self.keep(parameter, 0);
        }
        // Stable, so that values stay in the order of the document.
        self.entries.sort_by_key(|entry| (entry.parameter, entry.group));
        Document {
            resource_type,
            entries: self.entries.as_slice().into(),
            values: self.values.as_slice().into(),
            inside: Box::default(),
        }
    }
}
