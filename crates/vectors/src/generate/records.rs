//! `records.json`: sections 8.1 to 8.4.

use sealwort_pki::KeyUse;
use sealwort_proto::log::genesis;
use sealwort_proto::{Pseudonym, SUITE};
use serde_json::{Value, json};

use super::Maker;
use crate::cbor;
use crate::check::Library;
use crate::setting::{EXCHANGE, NOW};
use crate::vector::{File, bytes, hex};

/// The patient of most vectors.
pub(crate) const PATIENT: [u8; 32] = [0x5f; 32];
/// Two label tags of the patient's, ascending.
pub(crate) const TAGS: [[u8; 16]; 2] = [[0x21; 16], [0x42; 16]];
/// T's half of the patient's keys in epochs 1 and 2.
pub(crate) const BROKER_HALVES: [[u8; 32]; 2] = [[0xb1; 32], [0xb2; 32]];
/// M's half.
pub(crate) const ARCHIVE_HALVES: [[u8; 32]; 2] = [[0xa1; 32], [0xa2; 32]];

pub(super) fn make(library: &Library) -> File {
    let mut m = Maker::new(library, "records", "Blinding, halves, keys, padding and sealed entries.");
    blinding(&mut m, library);
    halves(&mut m);
    padding(&mut m);
    entries(&mut m, library);
    m.done()
}

fn blinding(m: &mut Maker<'_>, library: &Library) {
    let setting = library.setting.json();
    let directory = setting.value("directory_key");
    let mut locators = Vec::new();
    for (name, system, value, comment) in [
        ("locator", "urn:oid:2.16.840.1.113883.4.1", "444-22-2222", "System and value are two parts."),
        ("locator-without-system", "", "12345", "An absent system is the empty text."),
        ("locator-not-ascii", "https://example.org/mrn", "Zoë 7", "UTF-8, not normalised, not trimmed."),
    ] {
        let input = json!({ "directory_key": directory, "system": system, "value": value });
        locators.push(m.good(name, "locator", "8.1", comment, input)["locator"].clone());
    }
    let input = json!({ "pseudonym_key": setting.value("pseudonym_key"), "locators": locators });
    let pseudonym = m.good("pseudonym", "pseudonym", "8.1", "Of the smallest locator.", input)["pseudonym"].clone();
    for label in ["problems", "psychiatry", "very-restricted"] {
        let input = json!({ "directory_key": directory, "pseudonym": pseudonym, "label": label });
        m.good(&format!("label-tag-{label}"), "label-tag", "8.1", "The first 16 bytes.", input);
    }
}

/// The encoded sub-half of one side.
pub(crate) fn sub_half(side: &str, half: [u8; 32], epoch: u64, tag: [u8; 16], author: Option<&str>) -> Value {
    json!({
        "side": side, "half": hex(half), "pseudonym": hex(PATIENT), "epoch": epoch, "tag": hex(tag), "author": author,
    })
}

fn halves(m: &mut Maker<'_>) {
    let author = "sealwort://demo/gateway/hospital-a";
    let mut made = Vec::new();
    for (side, half) in [("broker", BROKER_HALVES[0]), ("archive", ARCHIVE_HALVES[0])] {
        for (who, author) in [("reader", None), ("author", Some(author))] {
            let comment = if author.is_some() { "An author's leaf." } else { "A label's node." };
            let input = sub_half(side, half, 1, TAGS[0], author);
            made.push(m.good(&format!("sub-half-of-{side}-for-{who}"), "sub-half", "8.2", comment, input));
            m.cddl(&[("output.sub_half", "sub-half")]);
        }
    }
    let joined = |broker: &Value, archive: &Value| {
        json!({
            "pseudonym": hex(PATIENT), "epoch": 1, "author": author, "tag": hex(TAGS[0]),
            "broker": broker["sub_half"], "archive": archive["sub_half"],
        })
    };
    let read = m.good("record-key-from-nodes", "record-key", "8.3", "A reader's.", joined(&made[0], &made[2]));
    let wrote = m.good("record-key-from-leaves", "record-key", "8.3", "The author's.", joined(&made[1], &made[3]));
    assert_eq!(read, wrote);
}

fn padding(m: &mut Maker<'_>) {
    let lengths: Vec<u64> = vec![
        0, 1, 16, 17, 255, 256, 257, 264, 265, 511, 512, 513, 1000, 1024, 1025, 4096, 5000, 65_535, 65_536, 65_537,
        100_000, 1_048_577, 10_000_000, 16_777_216, 18_878_464,
    ];
    let comment = "Lengths of ciphertexts with their tags, and the size classes that they are padded to.";
    m.good("size-classes", "size-class", "8.4", comment, json!({ "lengths": lengths }));
    for (name, length) in [("pad-nothing", 0), ("pad-239", 239), ("pad-240", 240)] {
        let comment = "0x80 and zeros, so that content and tag have a size class.";
        m.good(name, "pad", "8.4", comment, json!({ "plain": hex(vec![0x61; length]) }));
    }
}

/// What a header says, with its usual values.
pub(crate) struct Header {
    pub(crate) suite: u16,
    pub(crate) exchange: &'static str,
    pub(crate) patient: [u8; 32],
    pub(crate) entry: u8,
    pub(crate) author: &'static str,
    pub(crate) tag: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) authored_at: u64,
    pub(crate) deposit: u8,
}

impl Header {
    /// The first entry of the patient's log.
    pub(crate) fn first() -> Self {
        Self {
            suite: SUITE,
            exchange: EXCHANGE,
            patient: PATIENT,
            entry: 0xe1,
            author: "sealwort://demo/gateway/hospital-a",
            tag: TAGS[0],
            epoch: 1,
            sequence: 1,
            previous: *genesis(Pseudonym::new(PATIENT)).as_bytes(),
            authored_at: NOW.as_secs(),
            deposit: 0xd1,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        cbor::from_json(&json!([
            self.suite,
            self.exchange,
            cbor::bytes(self.patient),
            cbor::bytes([self.entry; 16]),
            self.author,
            cbor::bytes(self.tag),
            self.epoch,
            self.sequence,
            cbor::bytes(self.previous),
            self.authored_at,
            cbor::bytes([self.deposit; 16]),
        ]))
    }
}

/// A resource as it is sealed, not compressed.
pub(crate) fn plain(id: &str) -> Vec<u8> {
    let content = format!("{{\"resourceType\":\"Patient\",\"id\":\"{id}\"}}");
    let length = content.len();
    cbor::from_json(&json!([0, "Patient", id, length, false, cbor::bytes(content)]))
}

/// The inputs of `entry-seal` by an author of the setting.
pub(crate) fn seal_input(library: &Library, header: &[u8], plain: &[u8], party: &str) -> Value {
    let shown = cbor::to_json(header);
    let (epoch, tag) = (shown[6].as_u64().unwrap(), bytes(&shown[5]["bytes"]).try_into().unwrap());
    let half = |side, halves: [[u8; 32]; 2]| {
        let mut input = sub_half(side, halves[usize::try_from(epoch).unwrap() - 1], epoch, tag, shown[4].as_str());
        input["pseudonym"] = shown[2]["bytes"].clone();
        crate::check::run(library, "sub-half", &input).unwrap()["sub_half"].clone()
    };
    json!({
        "header": hex(header), "plain": hex(plain), "broker": half("broker", BROKER_HALVES),
        "archive": half("archive", ARCHIVE_HALVES), "seed": hex(library.setting.credential(party, KeyUse::Statement).seed),
    })
}

fn entries(m: &mut Maker<'_>, library: &Library) {
    let author_key = hex(library.setting.public_key("hospital-a").as_bytes());
    let open = |input: &Value, sealed: &Value| {
        json!({
            "bytes": sealed["bytes"], "ciphertext": sealed["ciphertext"], "author_key": author_key,
            "broker": [input["broker"]], "archive": [input["archive"]],
        })
    };
    // zstd of 300 times the letter a, as the code packs it, so that decompression is seen.
    let content = vec![b'a'; 300];
    let packed = sealwort_proto::testing::compressed(&content);
    let compressed = cbor::from_json(&json!([0, "Binary", "b", content.len(), true, cbor::bytes(&packed)]));
    let deleted = cbor::from_json(&json!([1, "Patient", "p", 0, false, cbor::bytes([])]));
    let moved = cbor::from_json(&json!([2, "Patient", "p", 0, false, cbor::bytes([])]));
    let mut first = None;
    for (name, plain, comment) in [
        ("entry", plain("p"), "One resource, stored as it is."),
        ("entry-compressed", compressed, "The content is a zstd frame."),
        ("entry-of-a-deletion", deleted, "The content is empty."),
        ("entry-of-a-move", moved, "The content is empty."),
    ] {
        let input = seal_input(library, &Header::first().encode(), &plain, "hospital-a");
        let sealed = m.good(&format!("{name}-sealed"), "entry-seal", "8.4", comment, input.clone());
        m.cddl(&[
            ("input.header", "entry-header"),
            ("input.plain", "plain"),
            ("output.envelope", "envelope"),
            ("output.bytes", "entry-statement"),
        ]);
        let opening = open(&input, &sealed);
        m.good(&format!("{name}-opened"), "entry-open", "8.4", comment, opening.clone());
        first.get_or_insert((input, sealed, opening));
    }
    let (input, sealed, opening) = first.unwrap();
    broken_entries(m, library, &input, &sealed, &opening);
}

fn broken_entries(m: &mut Maker<'_>, library: &Library, input: &Value, sealed: &Value, opening: &Value) {
    let with = |member: &str, value: Value| {
        let mut changed = opening.clone();
        changed[member] = value;
        changed
    };
    let mut ciphertext = bytes(&sealed["ciphertext"]);
    ciphertext[0] ^= 1;
    let code = "log-inconsistent";
    m.bad(
        "entry-ciphertext-altered",
        "entry-open",
        "8.4",
        "The author signed its hash.",
        with("ciphertext", hex(&ciphertext)),
        code,
    );
    ciphertext.pop();
    m.bad(
        "entry-ciphertext-cut",
        "entry-open",
        "8.4",
        "The author signed its length.",
        with("ciphertext", hex(&ciphertext)),
        code,
    );
    let other = hex(library.setting.public_key("hospital-b").as_bytes());
    m.bad(
        "entry-of-another-author",
        "entry-open",
        "8.4",
        "Another key signed.",
        with("author_key", other),
        "signature-wrong",
    );
    let half = |half, epoch, tag| {
        let input = sub_half("archive", half, epoch, tag, None);
        json!([crate::check::run(library, "sub-half", &input).unwrap()["sub_half"]])
    };
    let wrong = half([0xa9; 32], 1, TAGS[0]);
    m.bad(
        "entry-under-another-half",
        "entry-open",
        "8.3",
        "M's half is another.",
        with("archive", wrong),
        "seal-broken",
    );
    let wrong = half(ARCHIVE_HALVES[1], 2, TAGS[0]);
    m.bad(
        "entry-of-an-epoch-not-granted",
        "entry-open",
        "8.2",
        "No sub-half of its epoch.",
        with("archive", wrong),
        "record-invalid",
    );
    let wrong = half(ARCHIVE_HALVES[0], 1, TAGS[1]);
    m.bad(
        "entry-of-a-label-not-granted",
        "entry-open",
        "8.2",
        "No sub-half of its label.",
        with("archive", wrong),
        "record-invalid",
    );
    m.bad(
        "entry-with-one-half-only",
        "entry-open",
        "8.2",
        "M gave nothing.",
        with("archive", json!([])),
        "record-invalid",
    );

    // Sealed and signed as it should be, by an author who breaks one rule.
    let resealed = |plain: &[u8], header: &Header| {
        let input = seal_input(library, &header.encode(), plain, "hospital-a");
        let sealed = crate::check::run(library, "entry-seal", &input).unwrap();
        let mut changed = opening.clone();
        for member in ["bytes", "ciphertext"] {
            changed[member] = sealed[member].clone();
        }
        changed
    };
    let content = cbor::bytes(b"{}");
    let wrong = |json: Value| resealed(&cbor::from_json(&json), &Header::first());
    let first = || json!([0, "Patient", "p", 3, false, content]);
    m.bad(
        "entry-content-of-another-length",
        "entry-open",
        "8.4",
        "Three bytes are said, two are there.",
        wrong(first()),
        "record-invalid",
    );
    let frame = json!([0, "Patient", "p", 2, true, content]);
    m.bad(
        "entry-content-not-zstd",
        "entry-open",
        "8.4",
        "It is said to be compressed.",
        wrong(frame),
        "record-invalid",
    );
    let huge = json!([0, "Patient", "p", 16_777_217, false, content]);
    m.bad("entry-larger-than-16-mib", "entry-open", "8.4", "The length that is said.", wrong(huge), "record-invalid");
    let change = json!([3, "Patient", "p", 2, false, content]);
    m.bad(
        "entry-with-an-unknown-change",
        "entry-open",
        "8.4",
        "0 is put, 1 is delete, 2 is move.",
        wrong(change),
        "message-malformed",
    );
    let suite = resealed(&plain("p"), &Header { suite: 2, ..Header::first() });
    m.bad("entry-of-another-suite", "entry-open", "8.4", "", suite, "suite-unknown");
    let mut unpadded = opening.clone();
    let (made, ciphertext) = crate::forge::entry_without_padding(library, input);
    (unpadded["bytes"], unpadded["ciphertext"]) = (hex(made), hex(ciphertext));
    m.bad(
        "entry-without-padding",
        "entry-open",
        "8.4",
        "The plaintext ends in a byte that is neither 0x80 nor zero.",
        unpadded,
        "record-invalid",
    );
}

/// Deposits and entries of a log: `count` entries of the first label, each sealed by hospital-a.
pub(crate) fn log(library: &Library, count: u64) -> Vec<Value> {
    let mut previous = Header::first().previous;
    (1..=count)
        .map(|sequence| {
            let entry = 0xe0 + u8::try_from(sequence).unwrap();
            let tag = TAGS[usize::try_from(sequence + 1).unwrap() % 2];
            let header = Header { entry, tag, sequence, previous, ..Header::first() };
            let input = seal_input(library, &header.encode(), &plain("p"), "hospital-a");
            let sealed = crate::check::run(library, "entry-seal", &input).unwrap();
            previous = bytes(&sealed["hash"]).try_into().unwrap();
            sealed
        })
        .collect()
}
