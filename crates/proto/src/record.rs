//! Sealed records: one version of one FHIR resource per entry. Compressed, padded to a size class, encrypted
//! under a key that only both halves give, with the header as associated data, and signed by the author.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, SigningKey};

use crate::codec::{Blob, from_bytes, to_bytes};
use crate::crypto::{AeadKey, Prk, TAG_BYTES, hash};
use crate::error::ErrorKind;
use crate::halves::{KeyRing, RecordKey};
use crate::id::{DepositId, Digest, EntryId, LabelTag, Pseudonym};
use crate::message::WireEntry;
use crate::operations::{Operations, count};
use crate::statement::{self, Kind};
use crate::{SUITE, log};

/// Largest resource that an entry holds, in bytes before compression.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest ciphertext of an entry, in bytes.
pub const CIPHERTEXT_BYTES_MAX: usize = RECORD_BYTES_MAX + RECORD_BYTES_MAX / 8 + 4096;
/// Smallest size class, in bytes.
pub const SIZE_CLASS_MIN: usize = 256;
/// Compression level of zstd: quick, and within a few percent of the default for FHIR JSON.
pub(crate) const COMPRESSION_LEVEL: i32 = 1;

/// What an author says about an entry in the clear. The archive learns no more than this and the size class.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EntryHeader {
    /// [`SUITE`].
    #[n(0)]
    pub suite: u16,
    /// Name of the exchange.
    #[n(1)]
    pub exchange: String,
    /// The patient.
    #[n(2)]
    pub patient: Pseudonym,
    /// This sealing.
    #[n(3)]
    pub entry: EntryId,
    /// Identity of the writing hospital.
    #[n(4)]
    pub author: String,
    /// The label, blinded.
    #[n(5)]
    pub tag: LabelTag,
    /// The epoch of the keys.
    #[n(6)]
    pub epoch: u64,
    /// Place in the patient's log, from 1.
    #[n(7)]
    pub sequence: u64,
    /// Hash of the entry before it, or the patient's genesis.
    #[n(8)]
    pub previous: Digest,
    /// Unix seconds.
    #[n(9)]
    pub authored_at: u64,
    /// The deposit that it belongs to: its author recognises it when an earlier attempt stored it.
    #[n(10)]
    pub deposit: DepositId,
}

/// What the author signs: the header, and the ciphertext by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Envelope {
    /// The encoded [`EntryHeader`], which is also the associated data of the encryption.
    #[n(0)]
    pub header: Blob,
    /// Hash of the ciphertext.
    #[n(1)]
    pub ciphertext: Digest,
    /// Length of the ciphertext in bytes.
    #[n(2)]
    pub length: u64,
}

/// What happened to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Change {
    /// Created or updated.
    #[n(0)]
    Put,
    /// Deleted; the content is empty.
    #[n(1)]
    Delete,
    /// Under another label from the next entry on; the content is empty.
    #[n(2)]
    Move,
}

/// The content of an entry, readable at a gateway only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Put, delete or move.
    pub change: Change,
    /// FHIR resource type.
    pub resource_type: String,
    /// FHIR logical id.
    pub id: String,
    /// The resource's bytes as received.
    pub content: Vec<u8>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Plain {
    #[n(0)]
    change: Change,
    #[n(1)]
    resource_type: String,
    #[n(2)]
    id: String,
    /// Length before compression; 0 in `compressed` would mean stored as is.
    #[n(3)]
    length: u64,
    #[n(4)]
    compressed: bool,
    #[n(5)]
    content: Blob,
}

/// A sealed entry and its hash, which the next entry names.
#[derive(Debug, Clone)]
pub struct SealedEntry {
    /// As it travels and is stored.
    pub wire: WireEntry,
    /// The entry's hash.
    pub hash: Digest,
}

/// Seals a record under the key of its author and label, and signs it.
pub fn seal(
    header: &EntryHeader,
    record: &Record,
    keys: &KeyRing,
    key: &SigningKey,
    operations: &Operations,
) -> Result<SealedEntry, ErrorKind> {
    let record_key = keys
        .record_key(header.epoch, &header.author, header.tag)
        .ok_or(ErrorKind::Record("no key for this label and epoch was granted"))?;
    if record.content.len() > RECORD_BYTES_MAX {
        return Err(ErrorKind::Record("the resource is larger than 16 MiB"));
    }
    let plain = pad(to_bytes(&compress(record)?));
    seal_bytes(header, plain, &record_key, key, operations)
}

/// Encrypts and signs bytes that are already compressed and padded.
pub fn seal_bytes(
    header: &EntryHeader,
    mut bytes: Vec<u8>,
    record_key: &RecordKey,
    key: &SigningKey,
    operations: &Operations,
) -> Result<SealedEntry, ErrorKind> {
    let header_bytes = to_bytes(header);
    entry_key(record_key, header.entry).seal(0, &header_bytes, &mut bytes, operations);
    count(&operations.hash);
    let envelope =
        Envelope { header: Blob(header_bytes), ciphertext: ciphertext_digest(&bytes), length: bytes.len() as u64 };
    let envelope = statement::sign(Kind::Entry, &to_bytes(&envelope), key, operations)?;
    let hash = log::entry_hash(&envelope);
    Ok(SealedEntry { wire: WireEntry { envelope: Blob(envelope), ciphertext: Some(Blob(bytes)) }, hash })
}

/// An envelope that was read, and not yet verified.
pub struct UnverifiedEntry {
    statement: statement::Unverified,
    header: EntryHeader,
    envelope: Envelope,
    hash: Digest,
}

/// An entry of which its author's signature, or one that vouches for it, was verified.
#[derive(Debug, Clone)]
pub struct VerifiedEntry {
    header: EntryHeader,
    envelope: Envelope,
    hash: Digest,
}

/// Reads an envelope.
pub fn parse(envelope: &[u8]) -> Result<UnverifiedEntry, ErrorKind> {
    let statement = statement::parse(Kind::Entry, envelope)?;
    let parsed: Envelope = from_bytes(statement.payload(), statement::STATEMENT_BYTES_MAX)?;
    let header: EntryHeader = from_bytes(parsed.header.as_ref(), statement::STATEMENT_BYTES_MAX)?;
    if header.suite != SUITE {
        return Err(ErrorKind::Suite { found: header.suite });
    }
    if parsed.length > CIPHERTEXT_BYTES_MAX as u64 {
        return Err(ErrorKind::Record("the ciphertext is longer than an entry may be"));
    }
    Ok(UnverifiedEntry { statement, header, envelope: parsed, hash: log::entry_hash(envelope) })
}

impl UnverifiedEntry {
    /// The header, not yet to be believed.
    pub fn header(&self) -> &EntryHeader {
        &self.header
    }

    /// The name of the key that is said to have signed.
    pub fn key_id(&self) -> Option<Digest> {
        self.statement.key_id()
    }

    /// Verifies the author's signature.
    pub fn verify(self, author: &PublicKey, operations: &Operations) -> Result<VerifiedEntry, ErrorKind> {
        self.statement.verify(author, operations)?;
        Ok(VerifiedEntry { header: self.header, envelope: self.envelope, hash: self.hash })
    }

    /// Whether a verified entry's author made this one too, and says so: of the same deposit, it follows this one.
    pub(crate) fn is_vouched_for_by(&self, next: &VerifiedEntry) -> bool {
        let (own, next) = (&self.header, &next.header);
        next.previous == self.hash && next.author == own.author && next.deposit == own.deposit
    }

    /// As verified, where another signature vouches for it.
    pub(crate) fn vouched_for(self) -> VerifiedEntry {
        VerifiedEntry { header: self.header, envelope: self.envelope, hash: self.hash }
    }
}

impl VerifiedEntry {
    /// The header.
    pub fn header(&self) -> &EntryHeader {
        &self.header
    }

    /// The entry's hash.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Length of the ciphertext in bytes, as the author signed it.
    pub fn ciphertext_length(&self) -> u64 {
        self.envelope.length
    }

    /// Checks that these are the bytes that the author signed.
    pub fn check_ciphertext(&self, ciphertext: &[u8]) -> Result<(), ErrorKind> {
        if ciphertext.len() as u64 == self.envelope.length && ciphertext_digest(ciphertext) == self.envelope.ciphertext
        {
            Ok(())
        } else {
            Err(ErrorKind::Chain("the ciphertext is not the one that the author signed"))
        }
    }

    /// Opens the entry. The ciphertext's hash is checked first.
    pub fn open(&self, ciphertext: Vec<u8>, keys: &KeyRing, operations: &Operations) -> Result<Record, ErrorKind> {
        let record_key = keys
            .record_key(self.header.epoch, &self.header.author, self.header.tag)
            .ok_or(ErrorKind::Record("no key for this label and epoch was granted"))?;
        let plain = self.open_bytes(ciphertext, &record_key, operations)?;
        decompress(unpad(&plain)?)
    }

    /// Checks and decrypts, without unpadding or decompressing.
    pub fn open_bytes(
        &self,
        mut ciphertext: Vec<u8>,
        record_key: &RecordKey,
        operations: &Operations,
    ) -> Result<Vec<u8>, ErrorKind> {
        count(&operations.hash);
        self.check_ciphertext(&ciphertext)?;
        entry_key(record_key, self.header.entry).open(0, self.envelope.header.as_ref(), &mut ciphertext, operations)?;
        Ok(ciphertext)
    }
}

/// One key per sealing, so that the nonce can be constant.
fn entry_key(record_key: &RecordKey, entry: EntryId) -> AeadKey {
    AeadKey::new(&Prk::from_secret(record_key.secret()).expand("sealwort entry v1", &[entry.as_bytes()]))
}

fn ciphertext_digest(ciphertext: &[u8]) -> Digest {
    hash("sealwort ciphertext v1", ciphertext)
}

fn compress(record: &Record) -> Result<Plain, ErrorKind> {
    let packed = zstd::bulk::compress(&record.content, COMPRESSION_LEVEL)
        .map_err(|_| ErrorKind::Record("compression failed"))?;
    let compressed = packed.len() < record.content.len();
    Ok(Plain {
        change: record.change,
        resource_type: record.resource_type.clone(),
        id: record.id.clone(),
        length: record.content.len() as u64,
        compressed,
        content: Blob(if compressed { packed } else { record.content.clone() }),
    })
}

fn decompress(bytes: &[u8]) -> Result<Record, ErrorKind> {
    let plain: Plain = from_bytes(bytes, CIPHERTEXT_BYTES_MAX)?;
    let length = usize::try_from(plain.length)
        .ok()
        .filter(|l| *l <= RECORD_BYTES_MAX)
        .ok_or(ErrorKind::Record("the resource is larger than 16 MiB"))?;
    let content = if plain.compressed {
        zstd::bulk::decompress(&plain.content.0, length)
            .map_err(|_| ErrorKind::Record("the content does not decompress"))?
    } else {
        plain.content.0
    };
    if content.len() != length {
        return Err(ErrorKind::Record("the content has another length than stated"));
    }
    Ok(Record { change: plain.change, resource_type: plain.resource_type, id: plain.id, content })
}

/// Pads with a one bit and zeros (ISO/IEC 7816-4) so that the ciphertext's length is a size class.
pub fn pad(mut bytes: Vec<u8>) -> Vec<u8> {
    let target = size_class(bytes.len() + 1 + TAG_BYTES) - TAG_BYTES;
    bytes.reserve_exact(target + TAG_BYTES - bytes.len());
    bytes.push(0x80);
    bytes.resize(target, 0);
    bytes
}

fn unpad(bytes: &[u8]) -> Result<&[u8], ErrorKind> {
    let end = bytes.iter().rposition(|b| *b != 0).filter(|end| bytes.get(*end) == Some(&0x80));
    end.and_then(|end| bytes.get(..end)).ok_or(ErrorKind::Record("the padding is not valid"))
}

/// The size class of a length: at most an eighth above it, and few enough that a length says little (Padmé,
/// Nikitin and others 2019, with a floor of [`SIZE_CLASS_MIN`]).
pub fn size_class(length: usize) -> usize {
    if length <= SIZE_CLASS_MIN {
        return SIZE_CLASS_MIN;
    }
    let exponent = length.ilog2();
    let low_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1usize << low_bits) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::halves::{Half, Side};
    use sealwort_pki::KeyAlgorithm;

    const PATIENT: Pseudonym = Pseudonym::new([1; 32]);
    const TAG: LabelTag = LabelTag::new([2; 16]);

    fn header() -> EntryHeader {
        EntryHeader {
            suite: SUITE,
            exchange: "demo".into(),
            patient: PATIENT,
            entry: EntryId::random(),
            author: "sealwort://demo/gateway/a".into(),
            tag: TAG,
            epoch: 1,
            sequence: 1,
            previous: log::genesis(PATIENT),
            authored_at: 1_000,
            deposit: DepositId::random(),
        }
    }

    fn record(content: &[u8]) -> Record {
        Record { change: Change::Put, resource_type: "Patient".into(), id: "p".into(), content: content.to_vec() }
    }

    #[test]
    fn what_is_sealed_opens_to_the_same_bytes_under_both_halves_only() {
        let operations = Operations::default();
        let (broker, archive) = (Half::generate(Side::Broker, PATIENT, 1), Half::generate(Side::Archive, PATIENT, 1));
        let ring = KeyRing::new(PATIENT, vec![broker.for_reader(TAG)], vec![archive.for_reader(TAG)]);
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let other = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        for content in [b"".to_vec(), b"{\"resourceType\":\"Patient\"}".to_vec(), vec![7; 100_000]] {
            let sealed = seal(&header(), &record(&content), &ring, &key, &operations).unwrap();
            let ciphertext = sealed.wire.ciphertext.clone().unwrap().0;
            assert_eq!(size_class(ciphertext.len()), ciphertext.len());
            let parse = || parse(&sealed.wire.envelope.0).unwrap();
            assert!(parse().verify(other.public_key(), &operations).is_err());
            let entry = parse().verify(key.public_key(), &operations).unwrap();
            assert_eq!(entry.open(ciphertext.clone(), &ring, &operations).unwrap(), record(&content));

            let wrong = Half::generate(Side::Archive, PATIENT, 1);
            let half = KeyRing::new(PATIENT, vec![broker.for_reader(TAG)], vec![wrong.for_reader(TAG)]);
            assert_eq!(entry.open(ciphertext.clone(), &half, &operations), Err(ErrorKind::Sealed));
            let mut altered = ciphertext.clone();
            altered[0] ^= 1;
            assert!(matches!(entry.open(altered, &ring, &operations), Err(ErrorKind::Chain(_))));
        }
    }

    #[test]
    fn size_classes_waste_little_and_are_few() {
        let mut classes = std::collections::BTreeSet::new();
        for length in 1..100_000 {
            let class = size_class(length);
            assert!(class >= length && (class <= SIZE_CLASS_MIN || class - length <= length / 8), "{length}");
            assert_eq!(size_class(class), class);
            classes.insert(class);
        }
        assert!(classes.len() < 150, "{}", classes.len());
    }

    #[test]
    fn padding_is_exact() {
        for length in [0, 1, 238, 239, 240, 5000] {
            let padded = pad(vec![0xaa; length]);
            assert_eq!(unpad(&padded).unwrap(), vec![0xaa; length]);
            assert_eq!(size_class(padded.len() + TAG_BYTES), padded.len() + TAG_BYTES);
        }
        for bad in [&[][..], &[0, 0], &[0x81, 0]] {
            assert!(unpad(bad).is_err());
        }
    }
}
