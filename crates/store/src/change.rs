//! What was changed in a database that several processes share, for whoever has to tell somebody. Decisions read the
//! database; but a gateway shows what it holds without asking as long as it is told of changes. So a store says, too,
//! when nothing is heard.

use futures::stream::BoxStream;
use sealwort_proto::Pseudonym;

/// A change that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A patient's directive, or the patient was erased.
    Consent(Pseudonym),
    /// A patient's log has a new head.
    Head(Pseudonym),
    /// The hospital of this identity is to be told of an emergency access.
    Emergency(String),
    /// From here on all changes are told; before, anything may have happened.
    Anything,
    /// From here on changes are not told, until [`Change::Anything`].
    Silence,
}

/// Tells of changes.
pub trait ChangeStore: Send + Sync {
    /// Those that any process commits, this one as well, beginning in silence. None where there is no other process: then
    /// whoever changes something knows of it.
    fn changes(&self) -> Option<BoxStream<'static, Change>> {
        None
    }
}
