//! Section 8: blinding, halves, keys, entries, logs and receipts.

use sealwort_pki::{CertificateChain, KeyAlgorithm, PublicKey, SigningKey, UnixTime};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::{AeadKey, Prk, Secret, extract, mac, pseudonym};
use sealwort_proto::halves::{Half, KeyRing, Side, SubHalf};
use sealwort_proto::log::{Authors, ChainWalk, entry_hash, genesis};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::receipt::{self, Witness};
use sealwort_proto::record::{self, Change, EntryHeader, Envelope, pad, size_class};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{Digest, LabelTag, Locator, Pseudonym};
use serde_json::{Value, json};

use super::primitives::{hashed, secret};
use super::{Library, Outcome};
use crate::setting::NOW;
use crate::vector::{Failure, In, bytes, hex};

pub(super) fn run(library: &Library, kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "locator" => {
            let parts = [input.text("system").as_bytes(), input.text("value").as_bytes()];
            Ok(json!({ "locator": hex(mac(&secret(input, "directory_key"), "sealwort locator v1", &parts)) }))
        }
        "pseudonym" => {
            let smallest = input.byte_list("locators").into_iter().min().unwrap();
            let found = pseudonym(&secret(input, "pseudonym_key"), &Locator::from_slice(&smallest).unwrap());
            Ok(json!({ "pseudonym": hex(found.as_bytes()) }))
        }
        "label-tag" => {
            let parts = [&input.bytes("pseudonym")[..], input.text("label").as_bytes()];
            let full = mac(&secret(input, "directory_key"), "sealwort label tag v1", &parts);
            Ok(json!({ "tag": hex(&full[..LabelTag::LEN]) }))
        }
        "sub-half" => Ok(sub_half(input)),
        "record-key" => Ok(record_key(input)),
        "size-class" => {
            let lengths = input.list("lengths").iter().map(|l| usize::try_from(l.as_u64().unwrap()).unwrap());
            Ok(json!({ "classes": lengths.map(size_class).collect::<Vec<_>>() }))
        }
        "pad" => {
            let plain = input.bytes("plain");
            let padded = pad(plain.clone());
            assert_eq!(padded[..plain.len()], plain);
            assert_eq!(padded[plain.len()], 0x80);
            assert!(padded[plain.len() + 1..].iter().all(|b| *b == 0));
            Ok(json!({ "padded": hex(padded) }))
        }
        "entry-seal" => Ok(entry_seal(input)),
        "entry-open" => entry_open(input),
        "genesis" => {
            let found = genesis(Pseudonym::new(input.array("pseudonym")));
            Ok(json!({ "genesis": hex(found.as_bytes()) }))
        }
        "receipt-verify" => receipt_verify(input),
        "log-walk" => log_walk(library, input),
        _ => return None,
    })
}

fn sub_half(input: In<'_>) -> Value {
    let (side, tag) = (input.text("side"), LabelTag::new(input.array("tag")));
    let patient = Pseudonym::new(input.array("pseudonym"));
    let epoch = input.uint("epoch");
    let author = input.optional("author").map(|author| author.as_str().unwrap());
    let half = Half::from_secret(
        if side == "broker" { Side::Broker } else { Side::Archive },
        patient,
        epoch,
        secret(input, "half"),
    );
    let made = author.map_or_else(|| half.for_reader(tag), |author| half.for_author(tag, author));
    let node = Prk::from_secret(&secret(input, "half"))
        .expand("sealwort label half v1", &[side.as_bytes(), patient.as_bytes(), &epoch.to_be_bytes(), tag.as_bytes()]);
    let secret = author.map_or_else(|| node.clone(), |author| leaf(&node, author));
    let encoded = crate::cbor::from_json(&json!([
        epoch,
        crate::cbor::bytes(tag.as_bytes()),
        author,
        crate::cbor::bytes(secret.expose()),
    ]));
    assert_eq!(to_bytes(&made), encoded);
    json!({ "node": hex(node.expose()), "secret": hex(secret.expose()), "sub_half": hex(encoded) })
}

fn leaf(node: &Secret, author: &str) -> Secret {
    Prk::from_secret(node).expand("sealwort author half v1", &[author.as_bytes()])
}

/// A sub-half's leaf of this author, by hand.
fn leaf_of(encoded: &[u8], author: &str) -> Secret {
    let json = crate::cbor::to_json(encoded);
    let secret = Secret::from_slice(&bytes(&json[3]["bytes"])).unwrap();
    match json[2].as_str() {
        None => leaf(&secret, author),
        Some(own) => {
            assert_eq!(own, author);
            secret
        }
    }
}

pub(super) fn sub_halves(input: In<'_>, name: &str) -> Vec<SubHalf> {
    let all = match input.value(name) {
        Value::Array(items) => items.iter().map(bytes).collect(),
        one => vec![bytes(one)],
    };
    all.iter().map(|encoded| from_bytes(encoded, 1024).unwrap()).collect()
}

fn record_key(input: In<'_>) -> Value {
    let (patient, tag) = (Pseudonym::new(input.array("pseudonym")), LabelTag::new(input.array("tag")));
    let (epoch, author) = (input.uint("epoch"), input.text("author"));
    let ring = KeyRing::new(patient, sub_halves(input, "broker"), sub_halves(input, "archive"));
    let key = ring.record_key(epoch, author, tag).unwrap();
    let (broker, archive) = (leaf_of(&input.bytes("broker"), author), leaf_of(&input.bytes("archive"), author));
    let both = [&broker.expose()[..], archive.expose()].concat();
    let by_hand = extract(b"sealwort record v1", &both)
        .expand("sealwort record v1", &[patient.as_bytes(), &epoch.to_be_bytes(), author.as_bytes(), tag.as_bytes()]);
    assert_eq!(*key.expose(), by_hand);
    json!({
        "broker_leaf": hex(broker.expose()), "archive_leaf": hex(archive.expose()),
        "record_key": hex(by_hand.expose()),
    })
}

pub(crate) fn entry_seal(input: In<'_>) -> Value {
    let operations = Operations::default();
    let header: EntryHeader = from_bytes(&input.bytes("header"), 4096).unwrap();
    let ring = KeyRing::new(header.patient, sub_halves(input, "broker"), sub_halves(input, "archive"));
    let record_key = ring.record_key(header.epoch, &header.author, header.tag).unwrap();
    let author = SigningKey::from_seed(KeyAlgorithm::Ed25519, &input.array("seed")).unwrap();
    let padded = pad(input.bytes("plain"));
    let sealed = record::seal_bytes(&header, padded.clone(), &record_key, &author, &operations).unwrap();
    let bytes = sealed.wire.envelope.0;
    let ciphertext = sealed.wire.ciphertext.unwrap().0;

    let entry_key = Prk::from_secret(record_key.expose()).expand("sealwort entry v1", &[header.entry.as_bytes()]);
    let mut again = padded.clone();
    AeadKey::new(&entry_key).seal(0, &input.bytes("header"), &mut again, &operations);
    assert_eq!(again, ciphertext);
    let digest = hashed("sealwort ciphertext v1", std::slice::from_ref(&ciphertext));
    let payload = statement::open(Kind::Entry, &bytes, author.public_key(), &operations).unwrap();
    let envelope: Envelope = from_bytes(&payload, 4096).unwrap();
    assert_eq!((envelope.ciphertext, envelope.length), (Digest::new(digest), ciphertext.len() as u64));
    assert_eq!(envelope.header.0, input.bytes("header"));
    assert_eq!(sealed.hash, entry_hash(&bytes));
    json!({
        "record_key": hex(record_key.expose().expose()),
        "entry_key": hex(entry_key.expose()),
        "padded": hex(padded),
        "ciphertext": hex(ciphertext),
        "ciphertext_digest": hex(digest),
        "envelope": hex(payload),
        "bytes": hex(bytes),
        "hash": hex(sealed.hash.as_bytes()),
    })
}

fn entry_open(input: In<'_>) -> Outcome {
    let operations = Operations::default();
    let author = PublicKey::from_bytes(&input.bytes("author_key")).unwrap();
    let entry = record::parse(&input.bytes("bytes"))?.verify(&author, &operations)?;
    let ring = KeyRing::new(entry.header().patient, sub_halves(input, "broker"), sub_halves(input, "archive"));
    let opened = entry.open(input.bytes("ciphertext"), &ring, &operations)?;
    let change = match opened.change {
        Change::Put => "put",
        Change::Delete => "delete",
        Change::Move => "move",
    };
    Ok(json!({
        "change": change, "resource_type": opened.resource_type, "id": opened.id, "content": hex(opened.content),
    }))
}

fn receipt_verify(input: In<'_>) -> Outcome {
    let key = PublicKey::from_bytes(&input.bytes("archive_key")).unwrap();
    let verified = receipt::verify(
        &input.bytes("bytes"),
        input.text("exchange"),
        input.text("archive"),
        &key,
        &Operations::default(),
    )?;
    let receipt = verified.receipt();
    Ok(json!({
        "patient": hex(receipt.patient.as_bytes()),
        "sequence": receipt.sequence,
        "head": hex(receipt.head.as_bytes()),
        "deposit": receipt.deposit.map(|id| id.to_string()),
        "issued_at": receipt.issued_at,
    }))
}

pub(crate) fn head(input: In<'_>, name: &str) -> Witness {
    witness(input.object(name))
}

/// A head by itself.
pub(crate) fn witness(head: In<'_>) -> Witness {
    Witness { sequence: head.uint("sequence"), head: Digest::new(head.array("head")) }
}

/// A head as vectors show it.
pub(crate) fn head_json(head: Witness) -> Value {
    json!({ "sequence": head.sequence, "head": hex(head.head.as_bytes()) })
}

fn log_walk(library: &Library, input: In<'_>) -> Outcome {
    let operations = Operations::default();
    let cache = PeerCache::default();
    let peers = Peers { trust: library.setting.trust(input.text("trust")), cache: &cache, now: NOW };
    let patient = Pseudonym::new(input.array("patient"));
    let mut walk = ChainWalk::new(input.text("exchange"), patient, head(input, "from"), head(input, "witness"))?;
    if let Some(heads) = input.optional("heads") {
        let heads: Vec<Witness> = heads.as_array().unwrap().iter().map(|head| witness(In(head))).collect();
        walk.hold_against(&heads)?;
    }
    let mut authors = Authors::default();
    for author in input.list("authors").iter().map(In) {
        let chain = CertificateChain::new(author.byte_list("chain")).unwrap();
        authors.add(&chain, UnixTime::from_secs(author.uint("at")), &peers)?;
    }
    for entry in input.byte_list("entries") {
        walk.step(&authors.verify(&entry, &operations)?)?;
    }
    let archive = input.text("archive");
    let receipt = receipt::verify(
        &input.bytes("receipt"),
        input.text("exchange"),
        library.setting.identity(archive),
        &library.setting.public_key(archive),
        &operations,
    )?;
    let end = walk.finish(&receipt).map_err(Failure::from)?;
    Ok(json!({ "head": head_json(end) }))
}
