//! Where references lead inside what was sent: to the contained resources of their container, and to
//! the entries of their Bundle. Collected once per container, before its elements are walked.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::structure;

/// A resource that may contain others.
#[derive(Default)]
pub(crate) struct Container<'v> {
    /// Ids of the contained resources, with their types; nothing where there are none.
    contained: HashMap<&'v str, &'v str>,
    /// Fragments that something in the container points at.
    used: HashSet<&'v str>,
    /// Ids of contained resources that were walked.
    walked: HashSet<&'v str>,
    /// The contained resource that is being walked, by its place.
    inside: Option<usize>,
    /// Contained resources that point at their container (`#`).
    anchored: HashSet<usize>,
}

impl<'v> Container<'v> {
    pub(crate) fn of(resource: &'v Map<String, Value>) -> Self {
        let mut container = Self::default();
        let Some(Value::Array(resources)) = resource.get("contained") else { return container };
        for resource in resources {
            if let (Some(id), Some(kind)) = (text(resource, "id"), text(resource, "resourceType")) {
                container.contained.insert(id, kind);
            }
        }
        container
    }

    /// Notes a reference to a fragment, without its `#`.
    pub(crate) fn note(&mut self, fragment: &'v str) {
        if self.contained.is_empty() {
            return;
        }
        match self.inside {
            Some(at) if fragment.is_empty() => drop(self.anchored.insert(at)),
            _ => drop(self.used.insert(fragment)),
        }
    }

    /// The type of a contained resource.
    pub(crate) fn kind_of(&self, fragment: &str) -> Option<&'v str> {
        self.contained.get(fragment).copied()
    }

    /// Whether a contained resource is being walked.
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Begins a contained resource; whether its id is new.
    pub(crate) fn enter(&mut self, at: usize, id: Option<&'v str>) -> bool {
        self.inside = Some(at);
        id.is_none_or(|id| self.walked.insert(id))
    }

    pub(crate) fn leave(&mut self) {
        self.inside = None;
    }

    /// Whether something points at the contained resource, or it at its container (dom-3).
    pub(crate) fn is_used(&self, at: usize, id: &str) -> bool {
        self.used.contains(id) || self.anchored.contains(&at)
    }
}

/// The entries of a Bundle: the types of their resources by `fullUrl`.
pub(crate) fn entries(bundle: &Map<String, Value>) -> HashMap<&str, &str> {
    let Some(Value::Array(entries)) = bundle.get("entry") else { return HashMap::new() };
    let known = entries.iter().filter_map(|entry| {
        let kind = text(entry.get("resource")?, "resourceType")?;
        structure::find(kind)?;
        Some((text(entry, "fullUrl")?, kind))
    });
    known.collect()
}

/// A string member of an object.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}
