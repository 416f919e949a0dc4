//! One entry of a log: what happened, to whom, by whom, why, and how it ended. One model for all parties; broker and
//! archive know a patient by the pseudonym alone. Deterministic CBOR; these bytes are the leaf of the tree.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use sealwort_proto::codec::{self, CodecError, from_bytes, to_bytes};
use sealwort_proto::crypto;
use sealwort_proto::{Digest, Pseudonym, TokenId};

use crate::line::Line;
use crate::vocabulary::{Detail, EventKind};

/// Largest entry, in bytes.
pub const ENTRY_BYTES_MAX: usize = 24 * 1024;
/// Most details of one entry.
const DETAILS_MAX: usize = 32;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It was done.
    #[default]
    Done,
    /// It was refused, with the stable code of the reason.
    Refused(Line<64>),
    /// It failed, with the stable code of the reason.
    Failed(Line<64>),
}

impl Outcome {
    /// As it is written.
    pub const fn number(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused(_) => 1,
            Self::Failed(_) => 2,
        }
    }

    /// `done`, `refused` or `failed`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    /// The stable code of the reason.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Refused(code) | Self::Failed(code) => Some(code.as_str()),
        }
    }
}

impl<C> Encode<C> for Outcome {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self.code() {
            None => e.array(1)?.u8(self.number())?.ok(),
            Some(code) => e.array(2)?.u8(self.number())?.str(code)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Outcome {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let position = d.position();
        match (d.array()?, d.u8()?) {
            (Some(1), 0) => Ok(Self::Done),
            (Some(2), 1) => Ok(Self::Refused(Line::decode(d, context)?)),
            (Some(2), 2) => Ok(Self::Failed(Line::decode(d, context)?)),
            _ => Err(minicbor::decode::Error::message("not an outcome").at(position)),
        }
    }
}

/// Sixteen random bytes, so that a leaf's hash tells nothing about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Nonce(#[n(0)] ByteArray<16>);

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Event {
    /// Of this format, 1.
    #[n(0)]
    version: u8,
    #[n(1)]
    nonce: Nonce,
    /// Unix milliseconds.
    #[n(2)]
    pub time: u64,
    /// What happened.
    #[n(3)]
    pub kind: EventKind,
    /// How it ended.
    #[n(4)]
    pub outcome: Outcome,
    /// Identity of the other party.
    #[n(5)]
    pub peer: Option<Line<256>>,
    /// The user, as the hospital names them.
    #[n(6)]
    pub user: Option<Line<256>>,
    /// The user's role.
    #[n(7)]
    pub role: Option<Line<64>>,
    /// Purpose of use.
    #[n(8)]
    pub purpose: Option<Line<64>>,
    /// The patient.
    #[n(9)]
    pub patient: Option<Pseudonym>,
    /// Hash of the signed request (`statement::digest` of step 1): the same at all three parties.
    #[n(10)]
    pub request: Option<Digest>,
    /// The token: the same at all three parties.
    #[n(11)]
    pub token: Option<TokenId>,
    /// More, by name in ascending order, each name once.
    #[n(12)]
    details: Vec<Field>,
}

/// One detail.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Field {
    #[n(0)]
    name: Detail,
    #[n(1)]
    value: Line<512>,
}

impl Event {
    /// Something that was done at this time, in Unix milliseconds. The fields say the rest.
    pub fn new(kind: EventKind, time: u64) -> Self {
        Self {
            version: 1,
            nonce: Nonce(crypto::random::<16>().into()),
            time,
            kind,
            outcome: Outcome::Done,
            peer: None,
            user: None,
            role: None,
            purpose: None,
            patient: None,
            request: None,
            token: None,
            details: Vec::new(),
        }
    }

    /// It was refused, for the reason with this stable code.
    #[must_use]
    pub fn refused(mut self, code: &str) -> Self {
        self.outcome = Outcome::Refused(code.into());
        self
    }

    /// It failed, for the reason with this stable code.
    #[must_use]
    pub fn failed(mut self, code: &str) -> Self {
        self.outcome = Outcome::Failed(code.into());
        self
    }

    /// The other party.
    #[must_use]
    pub fn peer(mut self, identity: &str) -> Self {
        self.peer = Some(identity.into());
        self
    }

    /// The user and their role.
    #[must_use]
    pub fn user(mut self, user: &str, role: &str) -> Self {
        self.user = Some(user.into());
        self.role = Some(role.into());
        self
    }

    /// The purpose of use.
    #[must_use]
    pub fn purpose(mut self, purpose: &str) -> Self {
        self.purpose = Some(purpose.into());
        self
    }

    /// The patient.
    #[must_use]
    pub fn patient(mut self, patient: Pseudonym) -> Self {
        self.patient = Some(patient);
        self
    }

    /// The signed request, by its hash.
    #[must_use]
    pub fn request(mut self, request: Digest) -> Self {
        self.request = Some(request);
        self
    }

    /// The token.
    #[must_use]
    pub fn token(mut self, token: TokenId) -> Self {
        self.token = Some(token);
        self
    }

    /// A detail; one of the same name is replaced. An empty value says nothing and is left out.
    #[must_use]
    pub fn detail(mut self, name: Detail, value: impl std::fmt::Display) -> Self {
        self.note(name, value);
        self
    }

    /// The same, of an event that is being gathered.
    pub fn note(&mut self, name: Detail, value: impl std::fmt::Display) {
        let value = Line::new(&value.to_string());
        self.details.retain(|field| field.name != name);
        if !value.as_str().is_empty() {
            let at = self.details.partition_point(|field| field.name < name);
            self.details.insert(at, Field { name, value });
        }
    }

    /// The value of a detail.
    pub fn get(&self, name: Detail) -> Option<&str> {
        self.details.iter().find(|field| field.name == name).map(|field| field.value.as_str())
    }

    /// All details, in order of their numbers.
    pub fn details(&self) -> impl Iterator<Item = (Detail, &str)> {
        self.details.iter().map(|field| (field.name, field.value.as_str()))
    }

    /// The bytes of the leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads the bytes of a leaf in their one form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let event: Self = from_bytes(bytes, ENTRY_BYTES_MAX)?;
        let ascending = event.details.is_sorted_by(|a, b| a.name < b.name);
        let complete = event.details.iter().all(|field| !field.value.as_str().is_empty());
        if event.version != 1 || !ascending || !complete || event.details.len() > DETAILS_MAX {
            return Err(codec::CodecError::Malformed("not an entry of the audit log, version 1".into()));
        }
        Ok(event)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    pub(crate) fn full() -> Event {
        Event::new(EventKind::RequestDecided, 1_893_456_000_123)
            .refused("consent-missing")
            .peer("sealwort://demo/gateway/a")
            .user("https://id.example/users|dr-ada", "physician")
            .purpose("TREAT")
            .patient(Pseudonym::new([7; 32]))
            .request(Digest::new([8; 32]))
            .token(TokenId::new([9; 16]))
            .detail(Detail::Session, "ab")
            .detail(Detail::Action, "read")
    }

    #[test]
    fn every_kind_round_trips_and_two_of_the_same_differ() {
        for kind in EventKind::ALL {
            let event = Event { kind: *kind, ..full() };
            assert_eq!(Event::from_bytes(&event.to_bytes()).unwrap(), event);
        }
        assert_ne!(full().to_bytes(), full().to_bytes(), "the nonce is fresh");
        assert_eq!(full().detail(Detail::Action, "write").get(Detail::Action), Some("write"));
        assert_eq!(full().details().map(|(name, _)| name).collect::<Vec<_>>(), [Detail::Action, Detail::Session]);
    }

    #[test]
    fn long_and_odd_texts_are_taken_and_bounded() {
        let long = "ä\n".repeat(2000);
        let mut event = full().user(&long, &long).purpose(&long).peer(&long).refused(&long);
        for detail in Detail::ALL {
            event = event.detail(*detail, &long);
        }
        let bytes = event.to_bytes();
        assert!(bytes.len() <= ENTRY_BYTES_MAX);
        assert_eq!(Event::from_bytes(&bytes).unwrap(), event);
        assert_eq!(full().detail(Detail::Reason, "").get(Detail::Reason), None);
    }

    /// Whatever is read has one form: what a changed byte gives is refused or encodes to just these bytes.
    #[test]
    fn altered_bytes_never_panic_and_never_read_as_the_same() {
        let (event, bytes) = (full(), full().to_bytes());
        for position in 0..bytes.len() {
            assert!(Event::from_bytes(&bytes[..position]).is_err(), "cut at {position}");
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[position] ^= 1 << bit;
                if let Ok(read) = Event::from_bytes(&altered) {
                    assert_eq!(read.to_bytes(), altered);
                    assert_ne!(read, event);
                }
            }
        }
    }
}
