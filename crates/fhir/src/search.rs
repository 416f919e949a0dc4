//! FHIR R4 search inside one opened patient (R4 section 3.1.1). On opening, each resource is read once into
//! a compact [`Document`] of its search values and its tree is dropped; a [`Query`] then runs over the
//! [`Corpus`] of documents. The module does not know HTTP, does not keep resources and writes no Bundles: it
//! takes decoded parameters and gives back ordinals.
//!
//! Access rules come in as [`Visible`] and are applied before matching. A document that is not visible is
//! never looked at: no chain, `_has`, include, sort key or total can tell whether it is there.
//!
//! | part | what it answers |
//! |---|---|
//! | `definition` | which parameters a type has, and where their values are (generated tables) |
//! | `document`, `form`, `inside`, `packed` | the values of one resource, packed |
//! | `corpus` | the documents of a patient |
//! | `query`, `criterion`, `value` | what was asked |
//! | `filter`, `compare` | which documents match |
//! | `run`, `include`, `sort`, `position` | order, pages and what comes along |

mod compare;
mod corpus;
mod criterion;
mod date;
mod decimal;
mod definition;
mod document;
mod error;
mod filter;
mod form;
mod include;
mod inside;
mod packed;
mod patient;
mod position;
mod query;
mod run;
mod sort;
mod text;
mod value;

pub use corpus::{Bits, Corpus, ORDINALS_MAX, Ordinal, Visible};
pub use criterion::{CHAIN_LINKS_MAX, LINKS_MAX, VALUES_OF_SEARCH_MAX};
pub use definition::{Offered, offered};
pub use document::{Document, ENTRIES_MAX};
pub use error::SearchError;
pub use filter::Filter;
pub use include::{INCLUDED_MAX, ITERATE_ROUNDS_MAX};
pub use patient::PatientNamed;
pub use position::{POSITION_BYTES_MAX, Position};
pub use query::{COUNT_DEFAULT, COUNT_MAX, Handling, INCLUDES_MAX, PARAMETERS_MAX, Query, Total};
pub use run::Found;
pub use sort::SORT_KEYS_MAX;
pub use value::{VALUE_BYTES_MAX, VALUES_MAX};

/// The span that a date stands for, in Unix seconds: its first second, and the first one after it. What lies before 1970
/// counts as 1970.
pub fn date_span(text: &str) -> Option<(u64, u64)> {
    let span = date::parse(text)?;
    let micros = |time: i64| u64::try_from(time).unwrap_or_default();
    Some((micros(span.low) / 1_000_000, micros(span.high).div_ceil(1_000_000)))
}
