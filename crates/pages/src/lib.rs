//! What pages of all services share: the frame around them, the policy under which browsers show them, style sheet and
//! scripts, charts, sequence diagrams, dates, and every word that people read (`words`), so that translating is editing one folder.
//!
//! Nothing here knows a record, a session or a service. Handlers give facts, and get a page.

pub mod assets;
pub mod chart;
pub mod date;
mod frame;
mod policy;
pub mod sequence;
pub mod words;

pub use frame::{Frame, Link};
pub use policy::{Policy, respond};
