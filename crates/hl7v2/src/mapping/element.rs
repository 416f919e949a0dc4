//! JSON objects without empty members, which FHIR forbids (R4 JSON format).

use serde_json::{Map, Value, json};

/// A resource or a datatype being built.
#[derive(Clone, Default)]
pub(crate) struct Element(Map<String, Value>);

impl Element {
    /// An element with nothing in it.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A resource.
    pub(crate) fn resource(resource_type: &str) -> Self {
        Self::new().with("resourceType", resource_type)
    }

    /// Sets a member, unless the value is empty.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if !is_empty(&value) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// As [`Self::set`], for building in one expression.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Appends to a list, unless the value is empty.
    pub(crate) fn push(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if is_empty(&value) {
            return;
        }
        match self.0.entry(name).or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(value),
            other => *other = json!([other.take(), value]),
        }
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.shift_remove(name);
    }

    /// A member.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value, unless nothing was set.
    pub(crate) fn build(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

impl From<Element> for Value {
    fn from(element: Element) -> Self {
        Self::Object(element.0)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
