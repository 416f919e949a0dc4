//! What one signature vouches for: the entries before it in its own deposit, and nothing else.

use sealwort_proto::DepositId;
use sealwort_proto::codec::Blob;
use sealwort_proto::log::{self, empty};
use sealwort_proto::message::WireEntry;
use sealwort_proto::operations::Operations;
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{self, EntryHeader};
use sealwort_proto::statement::{self, Kind};

use super::records::{authors, seal_by};
use super::support::chance::seeded;
use super::support::seven_steps::{GRANTED, Patient};
use super::support::tree::Node;
use super::support::world::World;

/// Within a deposit the last signature vouches for the entries before it, and for nothing that its author did not
/// chain there.
#[test]
fn a_signature_vouches_for_its_own_deposit_alone() {
    let (_, _seeded) = seeded("vouching");
    let world = World::new();
    let authors = authors(&world);
    let (honest, rogue) = (&world.gateway, &world.rogue_gateway);
    let fresh = || {
        let mut patient = Patient::new(&world, 1);
        patient.log.clear();
        patient.head = empty(patient.id);
        patient
    };
    // One deposit of four entries, then one of one, then one by another author.
    let mut patient = fresh();
    let deposits = [1, 1, 1, 1, 2, 3].map(|number| DepositId::new([number; 16]));
    for (deposit, author) in deposits.into_iter().zip([honest, honest, honest, honest, honest, rogue]) {
        let header = EntryHeader { deposit, ..patient.next_header(author, GRANTED[0], world.now) };
        let entry = seal_by(author, &patient, &header);
        patient.head = Witness { sequence: header.sequence, head: log::entry_hash(entry.envelope.as_ref()) };
        patient.log.push(entry);
    }
    let run = |entries: &[WireEntry]| {
        let operations = Operations::default();
        let verified = authors.verify_run(entries.iter().map(|entry| entry.envelope.as_ref()), &operations);
        (verified, operations.counts().verify)
    };
    let (verified, count) = run(&patient.log);
    assert_eq!(count, 3, "one signature for each deposit");
    let hashes: Vec<_> = verified.unwrap().iter().map(record::VerifiedEntry::hash).collect();
    let expected: Vec<_> = patient.log.iter().map(|entry| log::entry_hash(entry.envelope.as_ref())).collect();
    assert_eq!(hashes, expected, "in the order of the log");
    // A signature altered by one bit, wherever it stands.
    for place in 0..patient.log.len() {
        let mut served = patient.log.clone();
        let last = served[place].envelope.0.len() - 1;
        served[place].envelope.0[last] ^= 1;
        assert_eq!(run(&served).0.unwrap_err().code(), "signature-wrong", "{place}");
    }
    // Somebody else's entry under the honest name, before an entry that the honest hospital signed.
    let forged = fresh();
    let header = EntryHeader { deposit: deposits[1], ..forged.next_header(honest, GRANTED[0], world.now) };
    let payload = seal_by(rogue, &patient, &header);
    let mut tree = Node::read(patient.log[0].envelope.as_ref()).unwrap();
    let payload = statement::parse(Kind::Entry, payload.envelope.as_ref()).unwrap().payload().to_vec();
    *tree.at_mut(&[0, 2]).unwrap() = Node::Bytes(payload);
    let stranger = WireEntry { envelope: Blob(tree.bytes()), ciphertext: None };
    let served = [stranger, patient.log[1].clone(), patient.log[2].clone()];
    assert_eq!(run(&served).0.unwrap_err().code(), "signature-wrong");
    // The same before the first entry of a deposit, and under a later entry's author.
    for place in [0, 4, 5] {
        let served = [served[0].clone(), patient.log[place].clone()];
        assert_eq!(run(&served).0.unwrap_err().code(), "signature-wrong", "before {place}");
    }
}
