//! What opening a patient is held against, on one thread, with no network, store or HTTP: decompressing and parsing
//! its resources, and what it cannot do without for sealed ones: for every entry one signature check, one hash, one
//! decryption, one decompression and one reading of JSON.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::{Resource, parse_bundle};
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::operations::Operations;
use sealwort_proto::record::{self, Change, EntryHeader, Record, SealedEntry};
use sealwort_proto::{Digest, EntryId, LabelTag, Pseudonym, SUITE, log};
use serde_json::Value;

use crate::measure::Failure;

const AUTHOR: &str = "sealwort://bench/gateway/hospital";
const PATIENT: Pseudonym = Pseudonym::new([1; 32]);
const TAG: LabelTag = LabelTag::new([2; 16]);

/// Compression level of records (`proto`, `record.rs`).
const COMPRESSION_LEVEL: i32 = 1;

/// Compresses every resource of a Bundle as records are, and tells how long decompressing and parsing them all takes.
/// What was parsed is kept to the end, as an open patient is.
pub(super) fn decompress_and_parse(bundle: Bytes) -> Result<Duration, Failure> {
    let bundle = parse_bundle(bundle)?;
    let mut compressed = Vec::new();
    for (_, resource) in bundle.resources() {
        let bytes = resource.bytes();
        compressed.push((zstd::bulk::compress(bytes, COMPRESSION_LEVEL)?, bytes.len()));
    }
    let begun = Instant::now();
    let mut parsed: Vec<(Vec<u8>, Value)> = Vec::with_capacity(compressed.len());
    for (packed, length) in &compressed {
        let bytes = zstd::bulk::decompress(packed, *length)?;
        let value = serde_json::from_slice(&bytes)?;
        parsed.push((bytes, value));
    }
    let took = begun.elapsed();
    drop(parsed);
    Ok(took)
}

/// How long opening sealed entries took, and its parts.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) total: Duration,
    /// Reading envelopes and checking their signatures.
    pub(super) verify: Duration,
    /// Checking hashes, decrypting and decompressing.
    pub(super) decrypt: Duration,
    /// Reading the resources.
    pub(super) read: Duration,
}

/// Seals every resource of a Bundle, and tells how long opening them all takes.
pub(super) fn open_all(bundle: Bytes) -> Result<Opened, Failure> {
    let bundle = parse_bundle(bundle)?;
    let half = |side| vec![Half::generate(side, PATIENT, 1).for_reader(TAG)];
    let keys = KeyRing::new(PATIENT, half(Side::Broker), half(Side::Archive));
    let author = SigningKey::generate(KeyAlgorithm::Ed25519)?;
    let operations = Operations::default();
    let mut sealed: Vec<SealedEntry> = Vec::new();
    let mut previous = log::genesis(PATIENT);
    for ((_, resource), sequence) in bundle.resources().zip(1..) {
        let record = Record {
            change: Change::Put,
            resource_type: resource.resource_type().as_str().to_owned(),
            id: resource.id().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            content: resource.bytes().to_vec(),
        };
        let entry = record::seal(&header(sequence, previous), &record, &keys, &author, &operations)?;
        previous = entry.hash;
        sealed.push(entry);
    }
    let begun = Instant::now();
    let (mut took, mut since) = (Opened::default(), begun);
    let mut lap = |part: &mut Duration| {
        let now = Instant::now();
        *part += now - since;
        since = now;
    };
    let mut opened = Vec::with_capacity(sealed.len());
    for entry in sealed {
        let verified = record::parse(entry.wire.envelope.as_ref())?.verify(author.public_key(), &operations)?;
        lap(&mut took.verify);
        let ciphertext = entry.wire.ciphertext.ok_or("an entry without ciphertext")?.0;
        let record = verified.open(ciphertext, &keys, &operations)?;
        lap(&mut took.decrypt);
        opened.push(Resource::parse(record.content)?);
        lap(&mut took.read);
    }
    took.total = begun.elapsed();
    drop(opened);
    Ok(took)
}

fn header(sequence: u64, previous: Digest) -> EntryHeader {
    EntryHeader {
        suite: SUITE,
        exchange: "bench".to_owned(),
        patient: PATIENT,
        entry: EntryId::random(),
        author: AUTHOR.to_owned(),
        tag: TAG,
        epoch: 1,
        sequence,
        previous,
        authored_at: 1_900_000_000,
        deposit: sealwort_proto::DepositId::new([4; 16]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_sealed_in_memory_opens_in_memory() {
        let bundle = Bytes::from(sealwort_fhir::synthetic::bundle(1, 0, 20));
        let Opened { total, verify, decrypt, read } = open_all(bundle.clone()).unwrap();
        let parts = verify + decrypt + read;
        assert!(total >= parts && verify > Duration::ZERO && decrypt > Duration::ZERO && read > Duration::ZERO);
        assert!(decompress_and_parse(bundle).unwrap() > Duration::ZERO);
    }
}
