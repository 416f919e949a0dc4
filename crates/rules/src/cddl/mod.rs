//! CDDL (RFC 8610), as much of it as `spec/` uses: arrays, maps, choices, ranges, tags, `.size` and `.cbor`. [`Schema::parse`] reads a file, [`Schema::check`] holds a value against a rule. Group choices, generics,
//! sockets and the other controls are refused, so that nothing is silently not checked; of `.regexp` only that it is a text.

mod parse;
mod validate;

/// The rules of a file, in its order.
#[derive(Debug, Clone)]
pub struct Schema {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it stands for.
    pub body: Type,
    /// The comment line above it, without semicolon; empty where there is none.
    pub comment: String,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// One of several.
    Choice(Vec<Type>),
    /// This integer.
    Int(i128),
    /// This text.
    Text(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// An integer between these, both included.
    Range(i128, i128),
    /// Another rule, or a type of the prelude.
    Name(String),
    /// An array.
    Array(Vec<Entry>),
    /// A map.
    Map(Vec<Entry>),
    /// A tagged item.
    Tagged(u64, Box<Type>),
    /// A type under a control.
    Control(Box<Type>, String, Box<Type>),
}

/// An entry of an array or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How often at least.
    pub least: usize,
    /// How often at most.
    pub most: usize,
    /// Its key: in an array a name for people alone.
    pub key: Option<Key>,
    /// Its type.
    pub value: Type,
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// `name:`
    Bare(String),
    /// `type =>`
    Type(Type),
}

impl Schema {
    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

impl Rule {
    /// The section of the specification in the comment `Section 4.1. Rust: Hello`.
    pub fn section(&self) -> Option<&str> {
        Some(self.comment.strip_prefix("Section ")?.split_once(". Rust: ")?.0)
    }

    /// The Rust type in that comment: `None` for a part of other rules (`-`), or without such a comment.
    pub fn rust(&self) -> Option<&str> {
        let rust = self.comment.split_once(". Rust: ")?.1.trim();
        (rust != "-").then_some(rust)
    }
}

impl Entry {
    /// The name before the colon.
    pub fn name(&self) -> Option<&str> {
        match &self.key {
            Some(Key::Bare(name)) => Some(name),
            _ => None,
        }
    }
}

/// Names of the prelude (RFC 8610, appendix D) that are known here.
pub const PRELUDE: [&str; 6] = ["uint", "int", "bstr", "tstr", "bool", "null"];
