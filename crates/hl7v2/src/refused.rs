//! Why a message becomes no transaction, where the fault is, and which acknowledgement it calls for. The
//! texts go back to the sender: they name places and types, and no values of a patient.

use thiserror::Error;

use crate::message::{Place, ReadError, SegmentName};

/// Why a message was not mapped.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// It is no message, or not one that we can read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// MSH-9.1 is not a type that we map.
    #[error("unsupported message type {message_type}; send ADT, ORU, ORM, OML or MDM")]
    UnsupportedType {
        /// `type^event`, at most [`TYPE_LETTERS_MAX`] letters of it.
        message_type: String,
    },
    /// MSH-9.2 is not an event that we map.
    #[error("unsupported event in message type {message_type}")]
    UnsupportedEvent {
        /// `type^event`, at most [`TYPE_LETTERS_MAX`] letters of it.
        message_type: String,
    },
    /// MSH-12 is not a version 2.
    #[error("unsupported version in MSH-12; send a version 2 message")]
    UnsupportedVersion,
    /// A required segment is missing.
    #[error("the segment {0} is missing")]
    MissingSegment(SegmentName),
    /// An order has no detail that we map, as an order of medicines.
    #[error("the order at {0} has no OBR; only orders with OBR are supported")]
    OrderWithoutDetail(Place),
    /// A required field is empty.
    #[error("{0} is required")]
    MissingField(Place),
    /// No repetition of PID-3, PID-2 or PID-4 holds an id and who assigned it.
    #[error("{0} is required: the patient has no identifier with an assigning authority")]
    NoPatientIdentifier(Place),
    /// A value is not what its data type demands.
    #[error("{place} is not {expected}")]
    BadValue {
        /// Where.
        place: Place,
        /// What it should be.
        expected: &'static str,
    },
    /// A second PID names somebody else. One message, one patient.
    #[error("{0} names another patient; send one message for each patient")]
    AnotherPatient(Place),
    /// A second TXA. What follows it would be taken for content of the first document.
    #[error("{0} begins another document; send one message for each document")]
    AnotherDocument(Place),
    /// The transaction would have too many entries.
    #[error("the message becomes more than {limit} resources; split it")]
    TooManyResources {
        /// The limit.
        limit: usize,
    },
}

/// Letters of MSH-9 that an error text repeats, at most.
pub const TYPE_LETTERS_MAX: usize = 20;

/// The acknowledgement code (HL7 table 0008) of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// AE: something in the message is wrong; corrected, it can be sent again.
    Error,
    /// AR: we do not take such messages at all.
    Reject,
}

impl Refused {
    /// Whether it is an error in the message or a message that we never take.
    pub fn code(&self) -> Code {
        match self {
            Self::Unreadable(ReadError::NoHeader)
            | Self::UnsupportedType { .. }
            | Self::UnsupportedEvent { .. }
            | Self::UnsupportedVersion
            | Self::OrderWithoutDetail(_) => Code::Reject,
            _ => Code::Error,
        }
    }

    /// Number and name of the condition (HL7 table 0357).
    pub fn condition(&self) -> (u16, &'static str) {
        match self {
            Self::Unreadable(ReadError::CharacterSet(_)) => (103, "Table value not found"),
            Self::Unreadable(ReadError::FieldTooLong(_)) => (104, "Value too long"),
            Self::Unreadable(ReadError::Delimiters) | Self::MissingField(_) | Self::NoPatientIdentifier(_) => {
                (101, "Required field missing")
            }
            Self::Unreadable(_)
            | Self::MissingSegment(_)
            | Self::AnotherPatient(_)
            | Self::AnotherDocument(_)
            | Self::TooManyResources { .. } => (100, "Segment sequence error"),
            Self::UnsupportedType { .. } | Self::OrderWithoutDetail(_) => (200, "Unsupported message type"),
            Self::UnsupportedEvent { .. } => (201, "Unsupported event code"),
            Self::UnsupportedVersion => (203, "Unsupported version id"),
            Self::BadValue { .. } => (102, "Data type error"),
        }
    }

    /// Where in the message, if it is one place.
    pub fn place(&self) -> Option<Place> {
        let header = |field| Some(Place::field(SegmentName::MSH, 1, field));
        match self {
            Self::Unreadable(error) => error.place(),
            Self::UnsupportedType { .. } | Self::UnsupportedEvent { .. } => header(9),
            Self::UnsupportedVersion => header(12),
            Self::MissingSegment(name) => Some(Place::segment(*name, 1)),
            Self::OrderWithoutDetail(place)
            | Self::MissingField(place)
            | Self::NoPatientIdentifier(place)
            | Self::BadValue { place, .. }
            | Self::AnotherPatient(place)
            | Self::AnotherDocument(place) => Some(*place),
            Self::TooManyResources { .. } => None,
        }
    }
}
