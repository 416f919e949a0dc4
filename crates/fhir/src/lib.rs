//! FHIR R4 as a gateway needs it: resources kept as the bytes received, beside the few facts that
//! are read from them on the way in.
//!
//! Everything here is pure: bytes go in, bytes and values come out. The crate reaches no socket,
//! file, clock or database, and it does not validate profiles. At the door it checks what storing,
//! sharing and finding a patient's records depends on (JSON that has one reading, a known type, a
//! sound id, the patient it belongs to, its confidentiality label); [`validate`] checks the rest of R4.
//!
//! | module | what it answers |
//! |---|---|
//! | [`resource`], [`bundle`] | what was sent, byte for byte |
//! | [`reference`](mod@reference), [`compartment`], [`partition`](mod@partition) | whose record it is |
//! | [`identifier`], [`label`], [`labelling`], [`branch`] | which patient, how confidential, and under which keys |
//! | [`search`] | which resources of a record a search finds |
//! | [`presentation`], [`mod@summary`], [`html`] | a stored resource, a patient and a page as we show them |
//! | [`rewrite`], [`patch`] | changes to a resource that leave the rest of its bytes alone |
//! | [`structure`], [`validation`], [`narrative`] | what R4 allows, and what breaks it |
//! | [`outcome`], [`response`], [`capability`], [`subset`] | what we say back |
//! | [`phr`] | what goes with a record that leaves for another system |
//! | [`plain`] | what a resource is, in plain words |
//! | [`samples`], [`synthetic`] | patients to show and to test with |

pub mod branch;
pub mod bundle;
pub mod capability;
pub mod compartment;
pub mod consent;
mod display;
mod document;
pub mod error;
pub mod html;
pub mod id;
pub mod identifier;
mod json;
pub mod label;
pub mod labelling;
pub mod narrative;
pub mod outcome;
pub mod partition;
pub mod patch;
pub mod phr;
pub mod plain;
pub mod presentation;
pub mod pretty;
pub mod reference;
pub mod resource;
pub mod resource_type;
pub mod response;
pub mod rewrite;
pub mod samples;
pub mod search;
mod splice;
pub mod structure;
pub mod subset;
pub mod summary;
pub mod synthetic;
pub mod validation;

pub use branch::{Branch, UnknownBranch};
pub use bundle::{
    BUNDLE_BYTES_MAX, BUNDLE_ENTRIES_MAX, Bundle, BundleEntry, BundleKind, BundleRequest, Method, logical_id,
    parse_any_bundle, parse_bundle, parse_ndjson,
};
pub use compartment::{PatientReference, patient_references};
pub use error::FhirError;
pub use id::ResourceId;
pub use identifier::{Identifier, Token, parse_token, parse_token_list, patient_identifiers};
pub use json::{JSON_DEPTH_MAX, read_json};
pub use label::{Label, SecurityCoding, label_of};
pub use labelling::{LabelMatch, LabelRule, LabelRules, LabelRulesError};
pub use outcome::{Issue, IssueCode, Outcome, Severity};
pub use partition::{ASSIGNMENTS_MAX, Partition, PatientGroup, PatientKey, assign_patients, partition};
pub use patch::PatchError;
pub use presentation::{PRESENTATION_BYTES_MAX, VersionId, present, same_content, same_content_but_id};
pub use reference::{Reference, references};
pub use resource::{RESOURCE_BYTES_MAX, Resource};
pub use resource_type::ResourceType;
pub use rewrite::{ConditionalReference, conditional_references, rewrite_references};
pub use summary::{SummaryAuthor, SummaryRequest, summary};
pub use validation::{Handling, validate};
