//! Messages about identities: A40, by which one is given up for another (MRG-1 for PID-3), and A37, by which the two of PID
//! are parted again.

use super::context::Context;
use super::patient::IDENTIFIER_FIELDS;
use crate::message::{Message, Segment};
use crate::refused::Refused;

/// Two identities, each as `system|value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identities {
    /// One is given up for the other.
    Merged {
        /// What is given up.
        prior: String,
        /// What stands for both from now on.
        surviving: String,
    },
    /// They are two people again. Which of them had been given up, the message does not say.
    Parted {
        /// The first PID.
        first: String,
        /// The second.
        second: String,
    },
}

impl Context<'_> {
    /// The identities of an A40: PID survives, MRG is given up.
    pub(super) fn merged(&self, message: &Message, pid: &Segment<'_>) -> Result<Identities, Refused> {
        let merge = message.first("MRG").ok_or(Refused::MissingSegment(crate::message::SegmentName::MRG))?;
        if message.segments().filter(|segment| segment.name() == merge.name()).count() > 1 {
            return Err(Refused::AnotherPatient(merge.place()));
        }
        Ok(Identities::Merged { prior: self.token(&merge, &[1])?, surviving: self.token(pid, &IDENTIFIER_FIELDS)? })
    }

    /// The identities of an A37: two PIDs.
    pub(super) fn parted(&self, message: &Message, pid: &Segment<'_>) -> Result<Identities, Refused> {
        let mut both = message.segments().filter(|segment| segment.name() == pid.name()).skip(1);
        let (Some(second), None) = (both.next(), both.next()) else {
            return Err(Refused::MissingSegment(pid.name()));
        };
        Ok(Identities::Parted {
            first: self.token(pid, &IDENTIFIER_FIELDS)?,
            second: self.token(&second, &IDENTIFIER_FIELDS)?,
        })
    }

    fn token(&self, segment: &Segment<'_>, fields: &[usize]) -> Result<String, Refused> {
        let place = segment.first(fields.first().copied().unwrap_or(1)).place(1);
        let key = self.identity(segment, fields).ok_or(Refused::NoPatientIdentifier(place))?;
        Ok(key.token())
    }
}
