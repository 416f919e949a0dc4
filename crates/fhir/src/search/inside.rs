//! The resources inside a resource: those contained, and the one that a Bundle holds in the place of a
//! reference. Chains look into them (R4 search, "contained" and "reference"); no search has them as matches.
//! Only those are read that a search value leads to.

use serde_json::Value;

use super::form::{list, member};
use crate::ResourceType;

/// Most resources inside one that chains look into. What is beyond is not found.
pub(super) const INSIDE_MAX: usize = 1000;

/// What references within one resource lead to, by place, in the order in which it was reached.
pub(super) struct Inside<'t> {
    root: &'t Value,
    /// Sorted by id at the first reference: a list of many must not be gone through for each.
    contained: Option<Vec<Contained<'t>>>,
    reached: Vec<Reached<'t>>,
}

struct Contained<'t> {
    id: &'t str,
    tree: &'t Value,
    resource_type: Option<ResourceType>,
    place: Option<u16>,
}

/// A resource inside.
#[derive(Clone, Copy)]
pub(super) struct Reached<'t> {
    pub(super) tree: &'t Value,
    pub(super) resource_type: ResourceType,
    pub(super) way: Way,
}

/// How it is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Its own `#` references are to those beside it.
    Contained,
    /// It stands in the place of a reference, and contains others itself.
    Nested,
}

impl<'t> Inside<'t> {
    pub(super) fn new(root: &'t Value) -> Self {
        Self { root, contained: None, reached: Vec::new() }
    }

    /// The resource at a place.
    pub(super) fn reached(&self, place: usize) -> Option<Reached<'t>> {
        self.reached.get(place).copied()
    }

    /// The type of a contained resource, by its id.
    pub(super) fn type_of(&mut self, id: &str) -> Option<ResourceType> {
        self.contained(id)?.resource_type
    }

    /// The place of a contained resource, by its id.
    pub(super) fn place_of(&mut self, id: &str) -> Option<u16> {
        let found = self.contained(id)?;
        if found.place.is_some() {
            return found.place;
        }
        let reached = Reached { tree: found.tree, resource_type: found.resource_type?, way: Way::Contained };
        let place = self.reach(reached);
        self.contained(id)?.place = place;
        place
    }

    /// Takes in a resource that stands in the place of a reference.
    pub(super) fn nest(&mut self, resource_type: ResourceType, tree: &'t Value) -> Option<u16> {
        self.reach(Reached { tree, resource_type, way: Way::Nested })
    }

    fn reach(&mut self, reached: Reached<'t>) -> Option<u16> {
        let place = u16::try_from(self.reached.len()).ok().filter(|_| self.reached.len() < INSIDE_MAX)?;
        self.reached.push(reached);
        Some(place)
    }

    fn contained(&mut self, id: &str) -> Option<&mut Contained<'t>> {
        let root = self.root;
        let sorted = self.contained.get_or_insert_with(|| {
            let all = list(root, "contained").iter();
            let mut sorted: Vec<_> = all
                .filter_map(|tree| {
                    let resource_type = member(tree, "resourceType").and_then(|name| name.parse().ok());
                    Some(Contained { id: member(tree, "id")?, tree, resource_type, place: None })
                })
                .collect();
            sorted.sort_by_key(|contained| contained.id);
            sorted
        });
        let at = sorted.partition_point(|contained| contained.id < id);
        sorted.get_mut(at).filter(|contained| contained.id == id)
    }
}
