//! HL7 v2 messages in, FHIR R4 transactions out, as the HL7 v2-to-FHIR implementation guide maps them.
//!
//! Everything here is pure: bytes, the time and a control id go in, bytes go out. A listener feeds what
//! it reads to [`mllp::Decoder`], splits a frame with [`batch::split`], reads each message with
//! [`Message::read`], maps it with [`mapping::map`], stores the Bundle durably, and only then answers
//! with [`acknowledgement::acknowledge`]. Nothing here stores, sends or decides who may send.
//!
//! | module | what it answers |
//! |---|---|
//! | [`mllp`], [`batch`] | where one message ends and the next begins |
//! | [`character_set`], [`escape`], [`message`], [`timestamp`] | what a message says |
//! | [`refused`] | what is wrong with it, and where |
//! | [`mapping`] | which FHIR resources it becomes |
//! | [`acknowledgement`] | what we say back |

pub mod acknowledgement;
pub mod batch;
pub mod character_set;
pub mod escape;
pub mod mapping;
pub mod message;
pub mod mllp;
pub mod refused;
pub mod timestamp;

pub use acknowledgement::{ControlId, Outcome, acknowledge};
pub use mapping::{Identities, Mapped, Settings, Unmapped, map};
pub use message::{Message, Place};
pub use refused::{Code, Refused};
