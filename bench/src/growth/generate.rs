//! Logs of many patients, sealed and signed as gateways do, appended as the archive does: deposits of some entries, many at
//! a time.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sealwort_fhir::{parse_bundle, synthetic};
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::operations::Operations;
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::{DepositId, EntryId, LabelTag, Pseudonym, SUITE, log, statement};
use sealwort_store::{Append, Appended, LogStore, NewEntry};

use crate::measure::Failure;

/// Entries of each patient.
pub(super) const ENTRIES: usize = 25;
/// Entries of a deposit.
const DEPOSIT: usize = 5;
/// Patients that are written at the same time.
const WRITERS: usize = 64;
const AUTHOR: &str = "sealwort://bench/gateway/hospital";
const TAG: LabelTag = LabelTag::new([2; 16]);
const AUTHORED_AT: u64 = 1_900_000_000;

/// What all patients have in common.
struct Author {
    key: SigningKey,
    records: Vec<Record>,
}

/// A patient's pseudonym. Real ones are hashes: neighbours in time are not neighbours in the index.
pub(super) fn pseudonym(number: u64) -> Pseudonym {
    let mut bytes = [0x5a; 32];
    let (first, _) = bytes.split_at_mut(8);
    first.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Pseudonym::new(bytes)
}

/// Stores so many patients' logs; returns once all are on disk.
pub(super) async fn load(store: &Arc<dyn LogStore>, patients: u64) -> Result<(), Failure> {
    let bundle = parse_bundle(Bytes::from(synthetic::bundle(1, 0, ENTRIES)))?;
    let records = bundle.resources().map(|(_, resource)| Record {
        change: Change::Put,
        resource_type: resource.resource_type().as_str().to_owned(),
        id: resource.id().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        content: resource.bytes().to_vec(),
    });
    let author = Arc::new(Author { records: records.collect(), key: SigningKey::generate(KeyAlgorithm::Ed25519)? });
    stream::iter(0..patients)
        .map(|number| {
            let (store, author) = (Arc::clone(store), Arc::clone(&author));
            async move { tokio::spawn(async move { patient(&*store, &author, pseudonym(number)).await }).await? }
        })
        .buffer_unordered(WRITERS)
        .try_collect()
        .await
}

async fn patient(store: &dyn LogStore, author: &Author, patient: Pseudonym) -> Result<(), Failure> {
    let half = |side| vec![Half::generate(side, patient, 1).for_reader(TAG)];
    let keys = KeyRing::new(patient, half(Side::Broker), half(Side::Archive));
    let (operations, mut head) = (Operations::default(), log::empty(patient));
    for records in author.records.chunks(DEPOSIT) {
        let (deposit, after) = (DepositId::random(), head);
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            let header = EntryHeader {
                suite: SUITE,
                exchange: "bench".to_owned(),
                patient,
                entry: EntryId::random(),
                author: AUTHOR.to_owned(),
                tag: TAG,
                epoch: 1,
                sequence: head.sequence + 1,
                previous: head.head,
                authored_at: AUTHORED_AT,
                deposit,
            };
            let sealed = record::seal(&header, record, &keys, &author.key, &operations)?;
            (head.sequence, head.head) = (header.sequence, sealed.hash);
            entries.push(NewEntry {
                sequence: header.sequence,
                hash: sealed.hash,
                tag: TAG,
                author_key: statement::key_id(author.key.public_key()),
                envelope: sealed.wire.envelope.0,
                ciphertext: sealed.wire.ciphertext.ok_or("an entry without ciphertext")?.0,
            });
        }
        match store.append(Append { patient, deposit, after, entries }).await? {
            Appended::Stored(stored) if stored == head => {}
            other => return Err(format!("an append to a log with one writer ended so: {other:?}").into()),
        }
    }
    Ok(())
}
