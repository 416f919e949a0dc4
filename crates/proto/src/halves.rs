//! The two halves of a patient's keys. Broker and archive each hold one random half per patient and epoch;
//! from a half a node per label is derived, from a node a leaf per author. A writer is given its own leaf, a
//! reader the nodes of the labels granted to it. Only the two sides' leaves together make a record key.

use std::collections::HashMap;

use minicbor::{Decode, Encode};

use crate::crypto::{Prk, Secret, extract};
use crate::id::{LabelTag, Pseudonym};

/// Which party a half belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The broker (HTSC).
    Broker,
    /// The archive (HIMC).
    Archive,
}

impl Side {
    /// Under what a half is wrapped beside patient and epoch.
    pub const fn place(self) -> &'static [u8] {
        match self {
            Self::Broker => b"broker half",
            Self::Archive => b"archive half",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Archive => "archive",
        }
    }
}

/// A party's half of one patient's keys in one epoch. Never leaves the party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    side: Side,
    patient: Pseudonym,
    epoch: u64,
    secret: Secret,
}

impl Half {
    /// A fresh half.
    pub fn generate(side: Side, patient: Pseudonym, epoch: u64) -> Self {
        Self { side, patient, epoch, secret: Secret::random() }
    }

    /// A half read back from disk.
    pub fn from_secret(side: Side, patient: Pseudonym, epoch: u64, secret: Secret) -> Self {
        Self { side, patient, epoch, secret }
    }

    /// The secret, to be wrapped and kept.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What a reader of this label is given.
    pub fn for_reader(&self, tag: LabelTag) -> SubHalf {
        SubHalf { epoch: self.epoch, tag, author: None, secret: self.node(tag) }
    }

    /// What this author needs for writing under this label, and no more.
    pub fn for_author(&self, tag: LabelTag, author: &str) -> SubHalf {
        let secret = leaf(&self.node(tag), author);
        SubHalf { epoch: self.epoch, tag, author: Some(author.to_owned()), secret }
    }

    fn node(&self, tag: LabelTag) -> Secret {
        Prk::from_secret(&self.secret).expand(
            "sealwort label half v1",
            &[self.side.label().as_bytes(), self.patient.as_bytes(), &self.epoch.to_be_bytes(), tag.as_bytes()],
        )
    }
}

fn leaf(node: &Secret, author: &str) -> Secret {
    Prk::from_secret(node).expand("sealwort author half v1", &[author.as_bytes()])
}

/// A part of a half that a gateway is given: a label's node, or one author's leaf below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubHalf {
    /// The epoch.
    pub epoch: u64,
    /// The label.
    pub tag: LabelTag,
    /// The author whose leaf this is; `None` for the label's node.
    pub author: Option<String>,
    secret: Secret,
}

impl SubHalf {
    fn leaf(&self, author: &str) -> Option<Secret> {
        match &self.author {
            None => Some(leaf(&self.secret, author)),
            Some(own) if own == author => Some(self.secret.clone()),
            Some(_) => None,
        }
    }
}

impl<C> Encode<C> for SubHalf {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(4)?.u64(self.epoch)?.bytes(self.tag.as_bytes())?;
        match &self.author {
            Some(author) => e.str(author)?,
            None => e.null()?,
        };
        e.bytes(self.secret.expose())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SubHalf {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(4) {
            return Err(minicbor::decode::Error::message("a sub-half has four elements"));
        }
        let epoch = d.u64()?;
        let tag = LabelTag::decode(d, context)?;
        let author = Option::<String>::decode(d, context)?;
        let secret = Secret::from_slice(d.bytes()?)
            .ok_or_else(|| minicbor::decode::Error::message("a sub-half has 32 bytes"))?;
        Ok(Self { epoch, tag, author, secret })
    }
}

/// The key from which each entry of one patient, epoch, author and label derives its own.
pub struct RecordKey(Secret);

impl RecordKey {
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

/// Sub-halves of both sides, joined on demand.
#[derive(Default)]
pub struct KeyRing {
    patient: Option<Pseudonym>,
    parts: HashMap<(u64, LabelTag), Parts>,
}

#[derive(Default)]
struct Parts {
    broker: Vec<SubHalf>,
    archive: Vec<SubHalf>,
}

impl KeyRing {
    /// Collects what both sides gave for one patient.
    pub fn new(patient: Pseudonym, broker: Vec<SubHalf>, archive: Vec<SubHalf>) -> Self {
        let mut parts: HashMap<_, Parts> = HashMap::new();
        for half in broker {
            parts.entry((half.epoch, half.tag)).or_default().broker.push(half);
        }
        for half in archive {
            parts.entry((half.epoch, half.tag)).or_default().archive.push(half);
        }
        Self { patient: Some(patient), parts }
    }

    /// The record key of this epoch, author and label; `None` where either side withheld its part.
    pub fn record_key(&self, epoch: u64, author: &str, tag: LabelTag) -> Option<RecordKey> {
        let patient = self.patient?;
        let parts = self.parts.get(&(epoch, tag))?;
        let broker = parts.broker.iter().find_map(|half| half.leaf(author))?;
        let archive = parts.archive.iter().find_map(|half| half.leaf(author))?;
        Some(join(&broker, &archive, patient, epoch, author, tag))
    }
}

/// `HKDF(half_T ‖ half_M; patient, epoch, author, label)`.
fn join(broker: &Secret, archive: &Secret, patient: Pseudonym, epoch: u64, author: &str, tag: LabelTag) -> RecordKey {
    let mut both = zeroize::Zeroizing::new([0u8; 64]);
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(broker.expose());
    second.copy_from_slice(archive.expose());
    RecordKey(
        extract(b"sealwort record v1", both.as_ref()).expand(
            "sealwort record v1",
            &[patient.as_bytes(), &epoch.to_be_bytes(), author.as_bytes(), tag.as_bytes()],
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENT: Pseudonym = Pseudonym::new([1; 32]);
    const TAG: LabelTag = LabelTag::new([2; 16]);
    const OTHER: LabelTag = LabelTag::new([3; 16]);

    #[test]
    fn a_writer_opens_its_own_and_a_reader_its_labels() {
        let broker = Half::generate(Side::Broker, PATIENT, 1);
        let archive = Half::generate(Side::Archive, PATIENT, 1);
        let reader = KeyRing::new(PATIENT, vec![broker.for_reader(TAG)], vec![archive.for_reader(TAG)]);
        let writer = KeyRing::new(PATIENT, vec![broker.for_author(TAG, "a")], vec![archive.for_author(TAG, "a")]);
        let key = |ring: &KeyRing, author, tag| ring.record_key(1, author, tag).map(|k| k.0);
        assert_eq!(key(&reader, "a", TAG).unwrap(), key(&writer, "a", TAG).unwrap());
        assert_ne!(key(&reader, "a", TAG), key(&reader, "b", TAG));
        assert!(key(&writer, "b", TAG).is_none());
        assert!(key(&reader, "a", OTHER).is_none());
        assert!(reader.record_key(2, "a", TAG).is_none());
        let half_only = KeyRing::new(PATIENT, vec![broker.for_reader(TAG)], vec![]);
        assert!(key(&half_only, "a", TAG).is_none());
    }
}
