//! One message becomes one FHIR R4 transaction, after the HL7 v2-to-FHIR implementation guide. This module
//! says which messages are taken and walks their segments; the files beside it each map some of them.
//! Nothing is looked up: every entry is conditional on a business identifier, and the server that stores
//! the transaction finds what exists.

mod clinical;
mod context;
mod datatypes;
mod document;
mod element;
mod identities;
mod observation;
mod order;
mod patient;
mod people;
mod settings;
mod tables;
mod transaction;
mod visit;

use std::collections::BTreeMap;
use std::fmt;

pub use identities::Identities;
pub use settings::Settings;
pub use transaction::ENTRIES_MAX;

use crate::message::{Message, Place, Segment, SegmentName};
use crate::refused::{Refused, TYPE_LETTERS_MAX};
use context::Context;
use document::Document;
use order::Orders;

/// A message as a transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct Mapped {
    /// A Bundle of type `transaction`, as JSON. The same message gives the same bytes.
    pub bundle: Vec<u8>,
    /// MSH-10.
    pub control_id: String,
    /// `type^event`, of those in [`MESSAGE_TYPES`].
    pub message_type: String,
    /// How many entries the Bundle has.
    pub entries: usize,
    /// Identities to be merged or parted once the Bundle is stored.
    pub identities: Option<Identities>,
    /// What of the message is not in the Bundle, for the log.
    pub unmapped: Vec<Unmapped>,
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({}, {} entries, {} unmapped)", self.message_type, self.entries, self.unmapped.len())
    }
}

/// Something that the Bundle leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// Segments that have no mapping, or no place in this message.
    Segments {
        /// Their name.
        name: SegmentName,
        /// How many.
        count: usize,
    },
    /// A value that is not what its data type demands.
    Value {
        /// Where.
        place: Place,
        /// What it should be.
        expected: &'static str,
    },
}

/// `PID-7[1].1 is not a date`, or `ROL is left out (3 of them)`.
impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments { name, count } => write!(f, "{name} is left out ({count} of them)"),
            Self::Value { place, expected } => write!(f, "{place} is not {expected}"),
        }
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// ADT: the newest state of a patient and a visit.
    Registration,
    /// ORU: results.
    Result,
    /// ORM and OML: orders.
    Order,
    /// MDM: a document.
    Document,
    /// ADT about two identities: it says who they are, and nothing new of them.
    Identities,
}

/// The state that an event leaves a visit in, where the visit itself does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    Planned,
    Open,
    Ended,
    Cancelled,
    Unsaid,
}

/// The messages that are mapped.
pub const MESSAGE_TYPES: [&str; 18] = [
    "ADT^A01", "ADT^A02", "ADT^A03", "ADT^A04", "ADT^A05", "ADT^A06", "ADT^A07", "ADT^A08", "ADT^A11", "ADT^A13",
    "ADT^A28", "ADT^A31", "ADT^A37", "ADT^A40", "ORU^R01", "ORM^O01", "OML^O21", "MDM^T02",
];

/// Maps a message.
///
/// # Errors
/// [`Refused`], which knows the place and the acknowledgement.
pub fn map(message: &Message, settings: &Settings) -> Result<Mapped, Refused> {
    let header = message.header();
    let (message_type, family, visit) = kind(&header)?;
    let control_id = header.text(10).ok_or(Refused::MissingField(header.place_of(10)))?;
    let patient = message.first("PID").ok_or(Refused::MissingSegment(SegmentName::PID))?;
    let mut context = Context::new(&header, settings, family, visit)?;
    let identities = match message_type.as_str() {
        "ADT^A40" => Some(context.merged(message, &patient)?),
        "ADT^A37" => Some(context.parted(message, &patient)?),
        _ => None,
    };
    if let Some(Identities::Parted { .. }) = identities {
        let (bundle, entries, unmapped) = context.finish();
        return Ok(Mapped { bundle, control_id, message_type, entries, identities, unmapped });
    }
    context.map_patient(&patient, message.first("PD1").as_ref())?;
    context.map_visit(message.first("PV1").as_ref(), message.first("PV2").as_ref())?;
    Walk::default().run(message, &mut context)?;
    let (bundle, entries, unmapped) = context.finish();
    Ok(Mapped { bundle, control_id, message_type, entries, identities, unmapped })
}

/// Type and event of MSH-9, and the version of MSH-12.
fn kind(header: &Segment<'_>) -> Result<(String, Family, Visit), Refused> {
    let field = header.first(9);
    let kind = field.text(1).ok_or(Refused::MissingField(field.place(1)))?;
    // ORM had one event only, and early senders leave it out; others name it in the structure alone.
    let structure = field.text(3).and_then(|structure| structure.split_once('_').map(|(_, event)| event.to_owned()));
    let event = field.text(2).or(structure).unwrap_or_else(|| if kind == "ORM" { "O01" } else { "" }.to_owned());
    let message_type: String = format!("{kind}^{event}").chars().take(TYPE_LETTERS_MAX).collect();
    let family = match kind.as_str() {
        "ADT" if matches!(event.as_str(), "A37" | "A40") => Family::Identities,
        "ADT" => Family::Registration,
        "ORU" => Family::Result,
        "ORM" | "OML" => Family::Order,
        "MDM" => Family::Document,
        _ => return Err(Refused::UnsupportedType { message_type }),
    };
    if !MESSAGE_TYPES.contains(&message_type.as_str()) {
        return Err(Refused::UnsupportedEvent { message_type });
    }
    if header.text(12).is_some_and(|version| !version.starts_with("2.") && version != "2") {
        return Err(Refused::UnsupportedVersion);
    }
    let visit = match event.as_str() {
        "A05" => Visit::Planned,
        "A01" | "A02" | "A04" | "A06" | "A07" | "A08" | "A13" => Visit::Open,
        "A03" => Visit::Ended,
        "A11" => Visit::Cancelled,
        _ => Visit::Unsaid,
    };
    Ok((message_type, family, visit))
}

/// The walk over the segments after patient and visit.
#[derive(Default)]
struct Walk {
    orders: Orders,
    document: Option<Document>,
    unmapped: BTreeMap<SegmentName, usize>,
}

impl Walk {
    fn run(mut self, message: &Message, context: &mut Context<'_>) -> Result<(), Refused> {
        for segment in message.segments() {
            if !self.step(&segment, context)? {
                *self.unmapped.entry(segment.name()).or_default() += 1;
            }
        }
        self.orders.close(context)?;
        match self.document {
            Some(document) => document.finish(self.orders.requests, context)?,
            None if context.family == Family::Document => return Err(Refused::MissingSegment(SegmentName::TXA)),
            None => {}
        }
        context.leave_out(self.unmapped);
        Ok(())
    }

    /// Maps a segment; false when it has no place.
    fn step(&mut self, segment: &Segment<'_>, context: &mut Context<'_>) -> Result<bool, Refused> {
        let first = segment.place().occurrence == 1;
        match segment.name().as_str() {
            // The header is read above, EVN says again what it says.
            "MSH" | "EVN" => {}
            "MRG" if context.family == Family::Identities => {}
            "PID" if first => {}
            "PID" => context.check_same_patient(segment)?,
            "PD1" => return Ok(first),
            "PV1" | "PV2" if first => return Ok(context.encounter.is_some()),
            // Results before it were of another visit.
            "PV1" => {
                context.map_visit(Some(segment), None)?;
                return Ok(context.encounter.is_some());
            }
            "NK1" => context.map_next_of_kin(segment)?,
            "AL1" => context.map_allergy(segment)?,
            "DG1" => context.map_diagnosis(segment)?,
            "IN1" => context.map_insurance(segment)?,
            "ORC" | "OBR" | "SPM" if matches!(context.family, Family::Registration | Family::Identities) => {
                return Ok(false);
            }
            "ORC" => self.orders.control(segment, context)?,
            "OBR" => self.orders.request(segment, context)?,
            "SPM" => self.orders.specimen(segment, context)?,
            "TXA" if context.family != Family::Document => return Ok(false),
            "TXA" if self.document.is_some() => return Err(Refused::AnotherDocument(segment.place())),
            "TXA" => self.document = Some(context.begin_document(segment)?),
            "OBX" => match &mut self.document {
                Some(document) => document.content(segment)?,
                None => self.orders.result(segment, context)?,
            },
            "NTE" if self.document.is_none() => return Ok(self.orders.note(segment)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
