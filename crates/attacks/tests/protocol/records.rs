//! Named attacks on tokens and records: a malicious archive, a malicious hospital, a broker or an archive in league
//! with a hospital that has no consent.

use sealwort_pki::UnixTime;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::Secret;
use sealwort_proto::error::{ErrorKind, Fault, Step};
use sealwort_proto::halves::{KeyRing, SubHalf};
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{FromArchive, FromBroker, MESSAGE_BYTES_MAX, ToArchive, WireEntry};
use sealwort_proto::operations::Operations;
use sealwort_proto::receipt::{self, Witness};
use sealwort_proto::record::{self, EntryHeader};
use sealwort_proto::registration::{self, Moment, Registration};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::transmission::archive::{UsedTokens, on_present};
use sealwort_proto::transmission::broker::on_request;
use sealwort_proto::transmission::gateway::request;
use sealwort_proto::{Locator, token};

use super::support::chance::seeded;
use super::support::seven_steps::{GRANTED, Layer, Patient, Reading, WITHHELD, receipt_of};
use super::support::world::World;

pub(super) fn authors(world: &World) -> Authors {
    let mut authors = Authors::default();
    for author in [&world.gateway, &world.rogue_gateway] {
        authors.add(&author.chain, world.now, &world.peers()).unwrap();
    }
    authors
}

/// What a reader makes of a log that an archive serves with a receipt of its end, held against the witness.
fn walk(
    world: &World,
    patient: &Patient,
    log: &[WireEntry],
    end: Witness,
    witness: Witness,
) -> Result<Witness, ErrorKind> {
    let operations = Operations::default();
    let (archive, authors) = (&world.archive, authors(world));
    let mut walk = ChainWalk::new("demo", patient.id, empty(patient.id), witness)?;
    for entry in log {
        walk.step(&authors.verify(entry.envelope.as_ref(), &operations)?)?;
    }
    let receipt = receipt_of(world, archive, patient.id, end).sign(&archive.key, &operations)?;
    let name = archive.identity.to_string();
    walk.finish(&receipt::verify(&receipt, "demo", &name, archive.key.public_key(), &operations)?)
}

/// Rolls back, forks, withholds, reorders, serves another patient's entries.
#[test]
fn an_archive_that_serves_another_log_than_the_witnessed_one() {
    let (_, _seeded) = seeded("malicious archive");
    let world = World::new();
    let (patient, other) = (Patient::new(&world, 1), Patient::new(&world, 2));
    let (log, head) = (&patient.log, patient.head);
    assert_eq!(walk(&world, &patient, log, head, head).unwrap(), head);
    let at = |log: &[WireEntry], place: usize| {
        let head = sealwort_proto::log::entry_hash(log[place].envelope.as_ref());
        Witness { sequence: place as u64 + 1, head }
    };
    // Another history of the same length, honestly signed: the same authors wrote other entries.
    let fork = Patient { id: patient.id, ..forked(&world) };
    let swapped = [log[0].clone(), log[2].clone(), log[1].clone()];
    let hole = [log[0].clone(), log[2].clone()];
    let cases: [(&str, &[WireEntry], Witness, &str); 9] = [
        ("rolled back to nothing", &[], empty(patient.id), "log-rolled-back"),
        ("rolled back by one entry", &log[..2], at(log, 1), "log-rolled-back"),
        ("cut, with a receipt of the whole", &log[..2], head, "log-rolled-back"),
        ("a fork of the same length", &fork.log, fork.head, "log-rolled-back"),
        ("an entry withheld", &hole, head, "log-inconsistent"),
        ("entries in another order", &swapped, head, "log-inconsistent"),
        ("another patient's entries", &other.log, other.head, "log-inconsistent"),
        (
            "another patient's last entry",
            &[log[0].clone(), log[1].clone(), other.log[2].clone()],
            head,
            "log-inconsistent",
        ),
        ("a receipt of another head", log, at(log, 1), "log-rolled-back"),
    ];
    for (name, served, end, code) in cases {
        let error = walk(&world, &patient, served, end, head).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    // A fork that is longer than what was witnessed.
    let mut longer = forked(&world);
    longer.write(&world.gateway, GRANTED[0], world.now);
    assert_eq!(walk(&world, &patient, &longer.log, longer.head, head).unwrap_err().code(), "log-rolled-back");
    // An entry replaced by another of its author's, with the number and the predecessor that it should have or not.
    for previous in [empty(patient.id).head, head.head] {
        let header =
            EntryHeader { sequence: 2, previous, ..patient.next_header(&world.rogue_gateway, GRANTED[1], world.now) };
        let sealed = seal_by(&world.rogue_gateway, &patient, &header);
        let served = [log[0].clone(), sealed, log[2].clone()];
        assert_eq!(walk(&world, &patient, &served, head, head).unwrap_err().code(), "log-inconsistent");
    }
}

/// An archive shows one history to a first writer and builds another one without that writer's entries, which goes on
/// and is witnessed later: the broker remembers the earlier heads, too.
#[test]
fn a_fork_that_leaves_out_what_was_witnessed_earlier() {
    let (_, _seeded) = seeded("fork past the witness");
    let world = World::new();
    let patient = Patient::new(&world, 1);
    let mut fork = forked(&world);
    fork.write(&world.gateway, GRANTED[0], world.now);
    let (operations, authors) = (Operations::default(), authors(&world));
    let walked = |log: &[WireEntry], witness: Witness, earlier: &[Witness]| {
        let mut walk = ChainWalk::new("demo", patient.id, empty(patient.id), witness)?;
        walk.hold_against(earlier)?;
        log.iter().try_for_each(|entry| walk.step(&authors.verify(entry.envelope.as_ref(), &operations)?))
    };
    walked(&patient.log, patient.head, &[patient.head]).unwrap();
    walked(&fork.log, fork.head, &[fork.head]).unwrap();
    // The last head is that of the fork; an earlier one is that of the history which was left out.
    let error = walked(&fork.log, fork.head, &[patient.head, fork.head]).unwrap_err();
    assert_eq!(error.code(), "log-rolled-back");
}

/// The patient of number 1 with another history.
fn forked(world: &World) -> Patient {
    let mut fork = Patient::new(world, 1);
    fork.log.clear();
    fork.head = empty(fork.id);
    for tag in [GRANTED[1], GRANTED[0], GRANTED[0]] {
        fork.write(&world.gateway, tag, world.now);
    }
    fork
}

pub(super) fn seal_by(author: &sealwort_proto::handshake::Party, patient: &Patient, header: &EntryHeader) -> WireEntry {
    let keys = patient.keys(&[header.tag]);
    record::seal(header, &patient.records[0], &keys, &author.key, &Operations::default()).unwrap().wire
}

/// Receipts forged by others, and receipts of others' heads.
#[test]
fn forged_receipts_are_refused() {
    let (_, _seeded) = seeded("forged receipts");
    let world = World::new();
    let patient = Patient::new(&world, 1);
    let operations = Operations::default();
    let name = world.archive.identity.to_string();
    let key = world.archive.key.public_key();
    for (signer, named) in [
        (&world.rogue_archive, &world.archive),
        (&world.broker, &world.archive),
        (&world.gateway, &world.archive),
        (&world.rogue_archive, &world.rogue_archive),
        (&world.archive, &world.rogue_archive),
    ] {
        let forged = receipt_of(&world, named, patient.id, patient.head).sign(&signer.key, &operations).unwrap();
        let error = receipt::verify(&forged, "demo", &name, key, &operations).unwrap_err();
        assert!(["signature-wrong", "party-wrong"].contains(&error.code()), "{error}");
    }
    // A true receipt of another patient.
    let other = Patient::new(&world, 2);
    let receipt =
        receipt_of(&world, &world.archive, other.id, patient.head).sign(&world.archive.key, &operations).unwrap();
    let receipt = receipt::verify(&receipt, "demo", &name, key, &operations).unwrap();
    let mut walk = ChainWalk::new("demo", patient.id, empty(patient.id), patient.head).unwrap();
    for entry in &patient.log {
        walk.step(&authors(&world).verify(entry.envelope.as_ref(), &operations).unwrap()).unwrap();
    }
    assert_eq!(walk.finish(&receipt).unwrap_err().code(), "log-rolled-back");
}

/// Serves ciphertexts of other entries, entries under another label, and keeps ciphertexts back.
#[test]
fn an_archive_that_mixes_ciphertexts_and_labels() {
    let (_, _seeded) = seeded("mixed ciphertexts");
    let world = World::new();
    let session = world.session();
    let patient = Patient::new(&world, 1);
    let mut reading = Reading::new(&world, &session, &patient);
    let honest = reading.honest();
    assert_eq!((honest.records.len(), honest.withheld), (2, 1));
    type Change = fn(&mut Vec<WireEntry>, &Patient);
    let cases: [(&str, Change, &str); 5] = [
        (
            "ciphertexts of two entries swapped",
            |page, _| {
                let first = page[0].ciphertext.clone();
                page[0].ciphertext = page[1].ciphertext.take();
                page[1].ciphertext = first;
            },
            "log-inconsistent",
        ),
        ("a granted entry without its ciphertext", |page, _| page[0].ciphertext = None, "log-inconsistent"),
        (
            "the withheld entry's ciphertext",
            |page, p| page[2].ciphertext.clone_from(&p.log[2].ciphertext),
            "record-invalid",
        ),
        ("no entries", |page, _| page.clear(), "log-rolled-back"),
        ("the first entry twice", |page, _| page.insert(0, page[0].clone()), "log-inconsistent"),
    ];
    for (name, change, code) in cases {
        let outcome = reading.read(&mut |at, layer, bytes| {
            if at != "7 entries" || layer != Layer::Content {
                return bytes;
            }
            let FromArchive::Entries { mut entries, authors } = from_bytes(&bytes, MESSAGE_BYTES_MAX).unwrap() else {
                panic!("entries")
            };
            change(&mut entries, &patient);
            to_bytes(&FromArchive::Entries { entries, authors })
        });
        let error = outcome.expect_err(name);
        assert_eq!((error.fault, error.code()), (Fault::Archive, code), "{name}: {error}");
    }
    assert_eq!(reading.honest(), honest);
}

/// Entries in another's name, under another's key, or sealed with sub-halves of somebody else.
#[test]
fn a_hospital_that_writes_in_anothers_name() {
    let (_, _seeded) = seeded("another's name");
    let world = World::new();
    let patient = Patient::new(&world, 1);
    let (honest, rogue) = (&world.gateway, &world.rogue_gateway);
    let authors = authors(&world);
    let operations = Operations::default();
    // Named after the honest hospital, signed by the rogue.
    let header = patient.next_header(honest, GRANTED[0], world.now);
    let forged = seal_by(rogue, &patient, &header);
    assert_eq!(authors.verify(forged.envelope.as_ref(), &operations).unwrap_err().code(), "party-wrong");
    // With the honest hospital's key id put over the rogue's signature.
    let other = EntryHeader { authored_at: header.authored_at + 1, ..header.clone() };
    let honest_entry = seal_by(honest, &patient, &other);
    let payload = statement::parse(Kind::Entry, forged.envelope.as_ref()).unwrap().payload().to_vec();
    let mut tree = super::support::tree::Node::read(honest_entry.envelope.as_ref()).unwrap();
    *tree.at_mut(&[0, 2]).unwrap() = super::support::tree::Node::Bytes(payload);
    assert_eq!(authors.verify(&tree.bytes(), &operations).unwrap_err().code(), "signature-wrong");
    // By a hospital whose certificate the reader does not have.
    let unknown = Authors::default().verify(honest_entry.envelope.as_ref(), &operations).unwrap_err();
    assert_eq!(unknown.code(), "log-inconsistent");
    // Dated outside its certificate.
    let before = EntryHeader { authored_at: 1_000, ..header.clone() };
    let entry = seal_by(honest, &patient, &before);
    assert_eq!(authors.verify(entry.envelope.as_ref(), &operations).unwrap_err().code(), "log-inconsistent");

    // A writer's leaves open and seal its own entries alone, in its own epoch, under its own label.
    let leaf = |of: &sealwort_proto::handshake::Party, tag| {
        let name = of.identity.to_string();
        let halves = (patient.broker_half.for_author(tag, &name), patient.archive_half.for_author(tag, &name));
        KeyRing::new(patient.id, vec![halves.0], vec![halves.1])
    };
    let own = leaf(rogue, GRANTED[0]);
    let name = honest.identity.to_string();
    assert!(own.record_key(1, &rogue.identity.to_string(), GRANTED[0]).is_some());
    assert!(own.record_key(1, &name, GRANTED[0]).is_none());
    assert!(own.record_key(2, &rogue.identity.to_string(), GRANTED[0]).is_none());
    assert!(own.record_key(1, &rogue.identity.to_string(), GRANTED[1]).is_none());
    // Sub-halves that name another author, epoch or label than they were made for open nothing.
    let entry = authors.verify(honest_entry.envelope.as_ref(), &operations).unwrap();
    let ciphertext = honest_entry.ciphertext.unwrap().0;
    let relabelled = |half: &SubHalf, author: Option<String>| {
        let mut half = half.clone();
        half.author = author;
        half
    };
    let rogue_name = rogue.identity.to_string();
    for author in [Some(name), None] {
        let t = relabelled(&patient.broker_half.for_author(GRANTED[0], &rogue_name), author.clone());
        let m = relabelled(&patient.archive_half.for_author(GRANTED[0], &rogue_name), author);
        let ring = KeyRing::new(patient.id, vec![t], vec![m]);
        assert_eq!(entry.open(ciphertext.clone(), &ring, &operations).unwrap_err().code(), "seal-broken");
    }
}

/// One side gives everything that it has; the other side's part is missing, guessed, or another patient's.
#[test]
fn one_sides_halves_open_nothing() {
    let (_, _seeded) = seeded("one side's halves");
    let world = World::new();
    let (patient, other) = (Patient::new(&world, 1), Patient::new(&world, 2));
    let authors = authors(&world);
    let operations = Operations::default();
    let (t, m) = (&patient.broker_half, &patient.archive_half);
    let all = [GRANTED[0], GRANTED[1], WITHHELD];
    let nodes = |half: &sealwort_proto::halves::Half| all.map(|tag| half.for_reader(tag)).to_vec();
    let guess = |side, secret| sealwort_proto::halves::Half::from_secret(side, patient.id, 1, secret);
    use sealwort_proto::halves::Side;
    let mut rings = vec![
        ("broker alone", KeyRing::new(patient.id, nodes(t), Vec::new())),
        ("archive alone", KeyRing::new(patient.id, Vec::new(), nodes(m))),
        ("broker twice", KeyRing::new(patient.id, nodes(t), nodes(t))),
        ("archive twice", KeyRing::new(patient.id, nodes(m), nodes(m))),
        ("in each other's place", KeyRing::new(patient.id, nodes(m), nodes(t))),
        ("another patient's archive half", KeyRing::new(patient.id, nodes(t), nodes(&other.archive_half))),
        ("another patient's broker half", KeyRing::new(patient.id, nodes(&other.broker_half), nodes(m))),
        ("another patient's name", KeyRing::new(other.id, nodes(t), nodes(m))),
    ];
    for secret in [Secret::new([0; 32]), t.secret().clone(), Secret::random()] {
        rings.push(("a guess", KeyRing::new(patient.id, nodes(t), nodes(&guess(Side::Archive, secret)))));
    }
    for secret in [Secret::new([0; 32]), m.secret().clone(), Secret::random()] {
        rings.push(("a guess", KeyRing::new(patient.id, nodes(&guess(Side::Broker, secret)), nodes(m))));
    }
    // Rogue writer: both leaves of its own, and all of one side.
    let rogue = world.rogue_gateway.identity.to_string();
    let leaves = |half: &sealwort_proto::halves::Half| all.map(|tag| half.for_author(tag, &rogue)).to_vec();
    rings.push(("a rogue writer with the broker", KeyRing::new(patient.id, nodes(t), leaves(m))));
    rings.push(("a rogue writer with the archive", KeyRing::new(patient.id, leaves(t), nodes(m))));
    let whole = KeyRing::new(patient.id, nodes(t), nodes(m));
    let mut attempts = 0;
    for wire in &patient.log {
        let entry = authors.verify(wire.envelope.as_ref(), &operations).unwrap();
        let ciphertext = wire.ciphertext.as_ref().unwrap().0.clone();
        entry.open(ciphertext.clone(), &whole, &operations).expect("control: both sides open everything");
        for (name, ring) in &rings {
            if entry.header().author == rogue && name.starts_with("a rogue writer") {
                continue;
            }
            attempts += 1;
            let error = entry.open(ciphertext.clone(), ring, &operations).expect_err(name);
            assert!(["seal-broken", "record-invalid"].contains(&error.code()), "{name}: {error}");
        }
    }
    println!("{attempts} attempts with one side's halves");
}

/// A token works once, over its own session, for its own hospital, within its time.
#[test]
fn a_token_is_worthless_elsewhere_later_and_twice() {
    let (_, _seeded) = seeded("tokens elsewhere");
    let world = World::new();
    let (one, two) = (world.session(), world.session());
    let patient = Patient::new(&world, 1);
    let reading = Reading::new(&world, &one, &patient);
    let present = |l: sealwort_proto::transmission::gateway::AwaitToken, grant| match l
        .on_token(grant, &one.gateway, &world.gateway, &world.peers())
        .unwrap()
        .1
    {
        ToArchive::Present { sealed, possession } => (sealed.0, possession.0),
        _ => panic!("step 5"),
    };
    let (l, grant) = reading.token();
    let readable = grant.token.0.clone();
    let (sealed, possession) = present(l, grant);
    let mut used = UsedTokens::default();
    let archive = &world.archive;
    let mut take = |sealed: &[u8], possession: &[u8], session, channel, now| {
        on_present(sealed, possession, session, channel, archive, &mut used, now).map(|_| ()).map_err(|error| {
            assert_eq!(error.step, Step::Transmission(5));
            error.to_string()
        })
    };
    let refused = |outcome: Result<(), String>, why: &str| {
        let error = outcome.expect_err(why);
        assert!(error.contains(why), "{error} instead of {why}");
    };
    let now = world.now;
    let later = |seconds: u64| UnixTime::from_secs(now.as_secs() + seconds);
    let earlier = UnixTime::from_secs(now.as_secs() - 31);
    // Over another session of the same hospital; the hospital signs what fits, the broker seals for any session.
    refused(take(&sealed, &possession, &two.archive, &one.archive_to_broker, now), "another session");
    let resealed = token::seal(&two.broker_to_archive, &readable, &Operations::default());
    refused(take(&resealed, &possession, &two.archive, &two.archive_to_broker, now), "another session");
    refused(take(&sealed, &possession, &two.archive, &two.archive_to_broker, now), "does not open");
    // Too late and too early.
    refused(take(&sealed, &possession, &one.archive, &one.archive_to_broker, later(90)), "expired");
    refused(take(&sealed, &possession, &one.archive, &one.archive_to_broker, earlier), "31 seconds off");
    // By another hospital, over a session of its own: neither the name nor the proof of possession fits.
    let rogue = super::support::nine_steps::Cast::of(&world, &world.rogue_gateway, &world.broker, archive);
    let rogue = rogue.run(&mut |_, bytes| bytes).session();
    let resealed = token::seal(&rogue.broker_to_archive, &readable, &Operations::default());
    refused(take(&resealed, &possession, &rogue.archive, &rogue.archive_to_broker, now), "another gateway");
    // Without proof of possession, with one of another token, with the rogue's signature.
    let (l, grant) = reading.token();
    let (_, of_another) = present(l, grant);
    refused(take(&sealed, &of_another, &one.archive, &one.archive_to_broker, now), "another token");
    refused(take(&sealed, b"", &one.archive, &one.archive_to_broker, now), "CBOR");
    let payload = statement::parse(Kind::Possession, &possession).unwrap().payload().to_vec();
    let forged = statement::sign(Kind::Possession, &payload, &world.rogue_gateway.key, &Operations::default()).unwrap();
    refused(take(&sealed, &forged, &one.archive, &one.archive_to_broker, now), "signature");
    // After all that it still works; and then no more.
    take(&sealed, &possession, &one.archive, &one.archive_to_broker, now).unwrap();
    refused(take(&sealed, &possession, &one.archive, &one.archive_to_broker, now), "used before");
    // Sealed anew by a broker in league, it is the same token.
    let again = token::seal(&one.broker_to_archive, &readable, &Operations::default());
    refused(take(&again, &possession, &one.archive, &one.archive_to_broker, now), "used before");
}

/// A broker that shows the hospital one token and seals another for the archive.
#[test]
fn a_broker_that_swaps_the_token_for_the_archive() {
    let (_, _seeded) = seeded("swapped tokens");
    let world = World::new();
    let session = world.session();
    let patient = Patient::new(&world, 1);
    let reading = Reading::new(&world, &session, &patient);
    let (l, mut grant) = reading.token();
    let mut other: token::Token =
        from_bytes(statement::parse(Kind::Token, grant.token.as_ref()).unwrap().payload(), MESSAGE_BYTES_MAX).unwrap();
    other.action = "write".into();
    let other = other.sign(&world.broker.key, &Operations::default()).unwrap();
    grant.sealed = Blob(token::seal(&session.broker_to_archive, &other, &Operations::default()));
    let ToArchive::Present { sealed, possession } =
        l.on_token(grant, &session.gateway, &world.gateway, &world.peers()).unwrap().1
    else {
        panic!("step 5")
    };
    let mut used = UsedTokens::default();
    let channel = &session.archive_to_broker;
    let outcome = on_present(
        sealed.as_ref(),
        possession.as_ref(),
        &session.archive,
        channel,
        &world.archive,
        &mut used,
        world.now,
    );
    assert_eq!(outcome.unwrap_err().code(), "token-refused");
}

/// Forged witnessed heads: a broker that states a head which the archive does not have is caught in step 6, and one
/// that states an older head does not hide what the reader knows.
#[test]
fn a_broker_that_forges_witnessed_heads() {
    let (_, _seeded) = seeded("forged witness");
    let world = World::new();
    let session = world.session();
    let patient = Patient::new(&world, 1);
    let head = patient.head;
    let other = Witness { sequence: head.sequence, head: empty(patient.id).head };
    let beyond = Witness { sequence: head.sequence + 1, head: head.head };
    let furthest = Witness { sequence: u64::MAX, head: head.head };
    let older = Witness { sequence: 1, head: other.head };
    let mut reading = Reading::new(&world, &session, &patient);
    for (witness, step) in [(other, 6), (beyond, 6), (furthest, 6), (older, 7)] {
        let outcome = reading.read(&mut |at, layer, bytes| {
            if at != "4 token" || layer != Layer::Content {
                return bytes;
            }
            let FromBroker::Token(mut grant) = from_bytes(&bytes, MESSAGE_BYTES_MAX).unwrap() else { panic!("step 4") };
            let payload = statement::parse(Kind::Token, grant.token.as_ref()).unwrap().payload().to_vec();
            let mut token: token::Token = from_bytes(&payload, MESSAGE_BYTES_MAX).unwrap();
            (token.witness_sequence, token.witness_head) = (witness.sequence, witness.head);
            let signed = token.sign(&world.broker.key, &Operations::default()).unwrap();
            grant.sealed = Blob(token::seal(&session.broker_to_archive, &signed, &Operations::default()));
            grant.token = Blob(signed);
            to_bytes(&FromBroker::Token(grant))
        });
        let error = outcome.expect_err("a forged witness");
        assert_eq!((error.step, error.code()), (Step::Transmission(step), "log-rolled-back"), "{witness:?}: {error}");
    }
    reading.honest();
}

/// A request signed by another hospital, or for another session, and one signed as another kind of statement.
#[test]
fn a_request_in_anothers_name() {
    let (_, _seeded) = seeded("a request in another's name");
    let world = World::new();
    let (session, other) = (world.session(), world.session());
    let patient = Patient::new(&world, 1);
    let sought = Reading::new(&world, &session, &patient).sought();
    let signed =
        |session: &super::support::nine_steps::Session, party| match request(&session.gateway, party, sought.clone())
            .unwrap()
            .1
        {
            sealwort_proto::message::ToBroker::Request(signed) => signed.0,
            _ => panic!("step 1"),
        };
    let code =
        |bytes: &[u8]| on_request(bytes, &session.broker, &world.broker, world.now).err().unwrap().code().to_owned();
    assert_eq!(code(&signed(&session, &world.rogue_gateway)), "signature-wrong");
    assert_eq!(code(&signed(&other, &world.gateway)), "session-wrong");
    let payload = statement::parse(Kind::Request, &signed(&session, &world.gateway)).unwrap().payload().to_vec();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Request) {
        let bytes = statement::sign(kind, &payload, &world.gateway.key, &Operations::default()).unwrap();
        assert_eq!(code(&bytes), "statement-invalid", "{kind:?}");
    }
}

/// A broker that hands out another patient's registration, or one that a rogue hospital made for this patient.
#[test]
fn a_broker_that_hands_out_the_wrong_patient() {
    let (_, _seeded) = seeded("wrong patient");
    let world = World::new();
    let session = world.session();
    let (patient, other) = (Patient::new(&world, 1), Patient::new(&world, 2));
    let operations = Operations::default();
    let rogue = &world.rogue_gateway;
    let authority = sealwort_pki::SigningKey::generate(sealwort_pki::KeyAlgorithm::Ed25519).unwrap();
    let locators = [Locator::new([1 ^ 0x55; 32])];
    let forged = Registration::new("demo", patient.id, locators, authority.public_key(), rogue, world.now);
    let forged = forged.sign(&rogue.key, &operations).unwrap();
    registration::verify(&forged, "demo", Moment::Acceptance, &world.peers(), &operations)
        .expect("it is one by itself");

    let reading = Reading::new(&world, &session, &patient);
    let (l, mut grant) = reading.token();
    grant.registration = Blob(other.registration.clone());
    let error = l.on_token(grant, &session.gateway, &world.gateway, &world.peers()).err().unwrap();
    assert_eq!((error.step, error.fault, error.code()), (Step::Transmission(4), Fault::Broker, "statement-invalid"));
    // The rogue's registration passes step 4; the archive has pinned another one, which shows in step 6.
    let mut reading = Reading::new(&world, &session, &patient);
    let outcome = reading.read(&mut |at, layer, bytes| {
        if at != "4 token" || layer != Layer::Content {
            return bytes;
        }
        let FromBroker::Token(mut grant) = from_bytes(&bytes, MESSAGE_BYTES_MAX).unwrap() else { panic!("step 4") };
        grant.registration = Blob(forged.clone());
        to_bytes(&FromBroker::Token(grant))
    });
    let error = outcome.unwrap_err();
    assert_eq!((error.step, error.code()), (Step::Transmission(6), "statement-invalid"));
}

/// A registration that its own date makes unreadable later is refused when it is made.
#[test]
fn a_registration_dated_outside_its_certificate_or_ahead_is_refused() {
    let (_, _seeded) = seeded("dated registrations");
    let world = World::new();
    let patient = Patient::new(&world, 1);
    let operations = Operations::default();
    let accepted = |at: u64| {
        let mut registration: Registration = from_bytes(
            statement::parse(Kind::Registration, &patient.registration).unwrap().payload(),
            MESSAGE_BYTES_MAX,
        )
        .unwrap();
        registration.registered_at = at;
        let bytes = registration.sign(&world.gateway.key, &operations).unwrap();
        let peers = world.peers();
        let verified = registration::verify(&bytes, "demo", Moment::Acceptance, &peers, &operations);
        if verified.is_ok() {
            registration::verify(&bytes, "demo", Moment::Reading, &peers, &operations).expect("it can be read back");
        }
        verified.map(|_| ()).map_err(|error| error.code())
    };
    let now = world.now.as_secs();
    for (at, expected) in [
        (now, Ok(())),
        (now + 300, Ok(())),
        (now + 301, Err("clock-skew")),
        (0, Err("certificate-refused")),
        (1_000, Err("certificate-refused")),
        (now + 400 * 86_400, Err("certificate-refused")),
        (u64::MAX, Err("certificate-refused")),
    ] {
        assert_eq!(accepted(at), expected, "registered at {at}, now {now}");
    }
}
