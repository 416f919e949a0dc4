//! Does to a vector's input what its kind says, with the real code, and gives what came out. Where a value can be
//! computed a second way, it is, and both must be the same.

mod certificates;
mod channels;
mod messages;
mod primitives;
mod records;
mod runs;
mod statements;
mod transmissions;

pub(crate) use messages::policies;
pub(crate) use primitives::hashed;
pub(crate) use records::{head, head_json, witness};

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::setting::Setting;
use crate::vector::{Failure, File, In, Vector};

/// What vectors may name: the setting, and other vectors.
pub struct Library {
    /// `setting.json`.
    pub setting: Setting,
    named: BTreeMap<String, Vector>,
}

impl Library {
    /// A library that knows no vectors yet.
    pub fn new(setting: Setting) -> Self {
        Self { setting, named: BTreeMap::new() }
    }

    /// Adds a file's vectors. Names are unique in the whole folder.
    pub fn add(&mut self, file: &File) {
        for vector in &file.vectors {
            let before = self.named.insert(vector.name.clone(), vector.clone());
            assert!(before.is_none(), "two vectors are called {}", vector.name);
        }
    }

    /// A vector by its name.
    pub fn vector(&self, name: &str) -> &Vector {
        self.named.get(name).unwrap_or_else(|| panic!("no vector {name}"))
    }
}

/// What came out.
pub type Outcome = Result<Value, Failure>;

/// Does what the kind says.
pub fn run(library: &Library, kind: &str, input: &Value) -> Outcome {
    let input = In(input);
    let found = primitives::run(kind, input)
        .or_else(|| records::run(library, kind, input))
        .or_else(|| messages::run(kind, input))
        .or_else(|| statements::run(library, kind, input))
        .or_else(|| channels::run(kind, input))
        .or_else(|| certificates::run(library, kind, input))
        .or_else(|| runs::run(library, kind, input))
        .or_else(|| transmissions::run(library, kind, input));
    found.unwrap_or_else(|| panic!("{kind} is no kind"))
}

/// The output of what only has to succeed.
fn nothing(result: Result<(), Failure>) -> Outcome {
    result.map(|()| json!({}))
}
