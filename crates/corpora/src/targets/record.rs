//! Sealed records as a hostile author makes them (`spec/protocol.md`, section 8): contents of any shape, lies about
//! lengths, decompression bombs, broken padding, and logs whose headers do not fit together. The author signs and
//! seals correctly; only what is inside lies.

use std::sync::OnceLock;

use sealwort_pki::testing::TEST_NOW;
use sealwort_proto::halves::{Half, KeyRing, Side};
use sealwort_proto::log::{ChainWalk, empty};
use sealwort_proto::operations::Operations;
use sealwort_proto::receipt::{self, Receipt, Witness};
use sealwort_proto::record::{
    self, CIPHERTEXT_BYTES_MAX, Change, EntryHeader, RECORD_BYTES_MAX, Record, SealedEntry, pad, size_class,
};
use sealwort_proto::testing::Seeded;
use sealwort_proto::{DepositId, Digest, EntryId, ErrorKind, LabelTag, Pseudonym, SUITE};

use crate::input::Input;
use crate::mutation::alter;
use crate::tree::Item;
use crate::world::world;

const PATIENT: Pseudonym = Pseudonym::new([9; 32]);
const TAG: LabelTag = LabelTag::new([7; 16]);
/// Bytes of AES-GCM behind the plain text.
const TAG_BYTES: usize = 16;
/// Longest content that is sealed once more; beyond it a run takes too long.
const RESEALED_BYTES_MAX: usize = 64 * 1024;
/// Longest walk of a script, in entries.
const ENTRIES_MAX: usize = 24;

/// Opens what a hostile author sealed, or walks a log that it wrote.
///
/// # Panics
/// When an opened record is larger than allowed or does not open again after an honest sealing, and when a walk ends
/// well whose entries do not follow from each other.
pub fn record(bytes: &[u8]) {
    let _seeded = Seeded::install(8);
    let mut input = Input::new(bytes);
    match input.byte() % 5 {
        0 => open(input.rest().to_vec()),
        1 => open(pad(input.rest().to_vec())),
        2 => open(pad(lie(input))),
        3 => honest(input),
        _ => walk(input),
    }
}

fn keys() -> KeyRing {
    let [broker, archive] =
        [Side::Broker, Side::Archive].map(|side| vec![Half::generate(side, PATIENT, 1).for_reader(TAG)]);
    KeyRing::new(PATIENT, broker, archive)
}

fn header() -> EntryHeader {
    EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: PATIENT,
        entry: EntryId::new([1; 16]),
        author: world().gateway.identity.to_string(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: empty(PATIENT).head,
        authored_at: TEST_NOW.as_secs(),
        deposit: DepositId::new([2; 16]),
    }
}

/// Seals plain bytes as they are and opens them as a reader does.
fn open(plain: Vec<u8>) {
    let (keys, header, operations) = (keys(), header(), Operations::default());
    let record_key = keys.record_key(1, &header.author, TAG).expect("both halves");
    let sealed = record::seal_bytes(&header, plain, &record_key, &world().gateway.key, &operations).expect("sealed");
    if let Ok(record) = opened(&sealed, &keys) {
        assert!(record.content.len() <= RECORD_BYTES_MAX);
        if record.content.len() > RESEALED_BYTES_MAX {
            return;
        }
        // What came out is an ordinary record: sealed honestly it comes out the same.
        let again = record::seal(&header, &record, &keys, &world().gateway.key, &operations).expect("sealed again");
        check_size(&again, &record);
        assert_eq!(opened(&again, &keys), Ok(record));
    }
}

fn opened(sealed: &SealedEntry, keys: &KeyRing) -> Result<Record, ErrorKind> {
    let operations = Operations::default();
    let entry = record::parse(sealed.wire.envelope.as_ref())?.verify(world().gateway.key.public_key(), &operations)?;
    assert_eq!(entry.hash(), sealed.hash);
    let ciphertext = sealed.wire.ciphertext.clone().map(|ciphertext| ciphertext.0).unwrap_or_default();
    entry.open(ciphertext, keys, &operations)
}

fn check_size(sealed: &SealedEntry, record: &Record) {
    let length = sealed.wire.ciphertext.as_ref().map_or(0, |ciphertext| ciphertext.0.len());
    assert!(length >= TAG_BYTES && size_class(length) == length && length <= CIPHERTEXT_BYTES_MAX);
    let content = record.content.len() + record.id.len() + record.resource_type.len();
    assert!(length <= 1024 + content + content / 4, "{length} bytes for {content}");
}

/// A plain text in the right form whose numbers need not be true: `[change, type, id, length, compressed, content]`.
fn lie(mut input: Input<'_>) -> Vec<u8> {
    let change = i128::from(input.byte() % 3);
    let (times, stated, packed) = (input.byte(), input.number(), input.byte() % 4);
    let script = Input::new(input.bytes());
    let pattern = if input.is_empty() { b"x".as_slice() } else { input.rest() };
    let (length, content) = match times {
        0..=251 => {
            let length = usize::from(times) * 7;
            let content: Vec<u8> = pattern.iter().copied().cycle().take(length).collect();
            (length, if packed == 1 { content } else { zstd::bulk::compress(&content, 1).expect("compressed") })
        }
        bomb => bombs()[usize::from(bomb - 252)].clone(),
    };
    let stated = if packed >= 2 { length as u64 } else { stated };
    let plain = Item::Array(vec![
        Item::Integer(change),
        Item::Text("Patient".into()),
        Item::Text("p".into()),
        Item::Integer(stated.into()),
        Item::Bool(packed != 1),
        Item::Bytes(content),
    ]);
    if script.is_empty() { plain.to_bytes() } else { alter(plain.to_bytes(), script, &[]) }
}

/// Small when packed, and at the limit, above it, and far above it when not.
fn bombs() -> &'static [(usize, Vec<u8>)] {
    static BOMBS: OnceLock<Vec<(usize, Vec<u8>)>> = OnceLock::new();
    BOMBS.get_or_init(|| {
        [RECORD_BYTES_MAX / 16, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 4 * RECORD_BYTES_MAX]
            .map(|length| (length, zstd::bulk::compress(&vec![b'x'; length], 1).expect("compressed")))
            .to_vec()
    })
}

/// Any content comes out as it went in.
fn honest(mut input: Input<'_>) {
    let (keys, operations) = (keys(), Operations::default());
    let change = input.one_of(&[Change::Put, Change::Delete, Change::Move]);
    let id = String::from_utf8_lossy(input.bytes()).into_owned();
    let times = 1 + usize::from(input.byte());
    let content = input.rest().repeat(times);
    let record = Record { change, resource_type: "Patient".into(), id, content };
    let sealed = record::seal(&header(), &record, &keys, &world().gateway.key, &operations).expect("sealed");
    check_size(&sealed, &record);
    assert_eq!(opened(&sealed, &keys), Ok(record));
}

/// A log of entries that follow from each other, but for what the script changes, held against a witness and a receipt.
fn walk(mut input: Input<'_>) {
    let (archive, operations) = (&world().archive, Operations::default());
    let from = if input.byte().is_multiple_of(2) {
        empty(PATIENT)
    } else {
        Witness { sequence: input.number(), head: Digest::new([3; 32]) }
    };
    let witness = Witness { sequence: input.number(), head: Digest::new([input.byte() % 4; 32]) };
    let Ok(mut walk) = ChainWalk::new("demo", PATIENT, from, witness) else { return };
    let (mut expected, mut epoch) = (Some(from), 0);
    for _ in 0..ENTRIES_MAX {
        if input.is_empty() {
            break;
        }
        let (at, mut header) = (walk.at(), header());
        header.sequence = at.sequence.wrapping_add(1);
        header.previous = at.head;
        match input.byte() % 16 {
            0 => header.sequence = input.number(),
            1 => header.previous = Digest::new([input.byte(); 32]),
            2 => header.exchange = "other".into(),
            3 => header.patient = Pseudonym::new([input.byte(); 32]),
            4 => header.epoch = input.number(),
            5 => header.sequence = at.sequence,
            _ => {}
        }
        let record_key = keys().record_key(1, &header.author, TAG).expect("both halves");
        let sealed = record::seal_bytes(&header, pad(vec![]), &record_key, &world().gateway.key, &operations);
        let sealed = sealed.expect("sealed");
        let entry = record::parse(sealed.wire.envelope.as_ref())
            .and_then(|entry| entry.verify(world().gateway.key.public_key(), &operations));
        let taken = walk.step(&entry.expect("an entry")).is_ok();
        let follows = at.sequence.checked_add(1) == Some(header.sequence)
            && header.previous == at.head
            && header.exchange == "demo"
            && header.patient == PATIENT
            && header.epoch >= epoch;
        assert!(!taken || follows, "an entry was taken that does not follow");
        if !taken {
            return;
        }
        epoch = header.epoch;
        expected = Some(Witness { sequence: header.sequence, head: sealed.hash });
        assert_eq!(Some(walk.at()), expected);
    }
    let stated = if input.byte().is_multiple_of(4) {
        Witness { sequence: input.number(), head: Digest::ZERO }
    } else {
        walk.at()
    };
    let receipt = Receipt {
        exchange: "demo".into(),
        archive: archive.identity.to_string(),
        patient: PATIENT,
        sequence: stated.sequence,
        head: stated.head,
        deposit: None,
        issued_at: TEST_NOW.as_secs(),
    };
    let receipt = receipt.sign(&archive.key, &operations).expect("a receipt");
    let (name, key) = (archive.identity.to_string(), archive.key.public_key());
    let receipt = receipt::verify(&receipt, "demo", &name, key, &operations).expect("a good receipt");
    if let Ok(end) = walk.finish(&receipt) {
        assert_eq!((Some(end), end), (expected, stated));
        assert!(end.sequence >= witness.sequence, "the log ends before its witness");
    }
}
