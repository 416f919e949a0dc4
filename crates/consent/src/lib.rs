//! Consent: what a patient allows, as a signed list, and the decision that follows from it.
//!
//! A [`Directive`] is the complete, current list of [`Provision`]s of one patient. The patient's
//! consent authority signs its bytes; the broker and the archive both keep the newest one, both
//! check that it follows the one before ([`check_successor`]), and both run the same pure
//! function on it ([`CompiledDirective::decide`]). Cedar evaluates; the types here only compile
//! to it.
//!
//! This crate does not sign, verify, hash, store or look at a clock: it is given bytes, digests
//! and the time. It sees pseudonyms and opaque label tags, never a name or a label's meaning.

mod among;
mod decision;
mod directive;
mod encoding;
mod explanation;
mod identifier;
mod missing;
mod policy;
mod provision;
mod statement;
mod successor;
mod vocabulary;

pub use among::{Among, NAMES_MAX};
pub use decision::{Decision, REQUEST_TAGS_MAX, Request};
pub use directive::{Directive, DirectiveError, PROVISIONS_MAX, Withdrawal};
pub use encoding::{DIRECTIVE_BYTES_MAX, DIRECTIVE_FORMAT, EncodingError, SetField};
pub use explanation::{Explainer, Explanation, NotExplained};
pub use identifier::{
    EXCHANGE_BYTES_MAX, LabelTag, PARTY_BYTES_MAX, Party, PartyError, Patient, ProvisionId, ROLE_BYTES_MAX, UserRole,
    UserRoleError,
};
pub use missing::Missing;
pub use policy::{CompileError, CompiledDirective};
pub use provision::{Period, Provision, TAGS_MAX, TIME_SECONDS_MAX, Terms, TermsError};
pub use statement::{Compiled, Effect, Everything, Rule, Sentence, compile, in_common};
pub use successor::{Change, Predecessor, SuccessorError, check_successor};
pub use vocabulary::{Action, Purpose, UnknownWord};
