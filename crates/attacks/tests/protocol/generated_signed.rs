//! Every field altered by a party that has a certificate, and signed and sealed by it again: a malicious hospital,
//! broker or archive. What it may say is listed with the reason; all else is refused by name.

use std::collections::BTreeSet;

use sealwort_proto::codec::{Blob, from_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::handshake::Party;
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{BrokerAnswer, HANDSHAKE_BYTES_MAX, SignedAnswer, SignedShare, TokenGrant};
use sealwort_proto::operations::Operations;
use sealwort_proto::policy::Policies;
use sealwort_proto::receipt::{self, Witness};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::transmission::archive::{UsedTokens, on_present};
use sealwort_proto::transmission::broker::on_request;
use sealwort_proto::transmission::gateway::request;
use sealwort_proto::{codec, record, registration, token};

use super::support::chance::{Chance, seeded};
use super::support::malice::Agreement;
use super::support::mutation::{fields, name};
use super::support::nine_steps::Session;
use super::support::seven_steps::{GRANTED, Patient, Reading, receipt_of};
use super::support::tally::{Tally, is_named};
use super::support::tree::Node;
use super::support::world::{HOP_LT, HOP_TM, World};

/// Judges one suite: an alteration is refused by name, or its path is on the list with a reason.
struct Judge {
    tally: Tally,
    allowed: Vec<(&'static str, &'static str, &'static str)>,
    used: BTreeSet<(&'static str, &'static str)>,
}

impl Judge {
    fn new(allowed: &[(&'static str, &'static str, &'static str)]) -> Self {
        Self { tally: Tally::default(), allowed: allowed.to_vec(), used: BTreeSet::new() }
    }

    fn kind(&mut self, what: &'static str, class: &'static str, path: &str, outcome: Result<(), ErrorKind>) {
        let outcome = outcome.map_err(|kind| ProtocolError::new(Step::Record, Fault::Author, kind));
        self.step(what, class, path, outcome);
    }

    fn step(&mut self, what: &'static str, class: &'static str, path: &str, outcome: Result<(), ProtocolError>) {
        match outcome {
            Err(error) => {
                assert!(is_named(&error), "{what} {class} at {path}: {error}");
                self.tally.refused(class, error.code());
            }
            Ok(()) => {
                for part in path.split('+') {
                    let begins = |allowed: &str| part == allowed || part.starts_with(&format!("{allowed}/"));
                    let rule = self.allowed.iter().find(|(of, at, _)| *of == what && begins(at));
                    let (of, at, _) =
                        rule.unwrap_or_else(|| panic!("{what} {class} at {path}: taken, no reason known"));
                    self.used.insert((of, at));
                }
                self.tally.without_effect(class);
            }
        }
    }

    fn finish(self, title: &str, at_least: &[(&str, usize)]) {
        self.tally.finish(title, at_least);
        for (of, at, why) in &self.allowed {
            println!("  taken by design: {of} at {at}: {why}");
            assert!(self.used.contains(&(of, at)), "{of} at {at}: the reason is not needed any more");
        }
    }
}

/// Alters every field of a message, given as bytes.
fn each(message: &[u8], other: &[u8], chance: &mut Chance, mut take: impl FnMut(&'static str, &str, Vec<u8>)) {
    let (tree, other) = (Node::read(message).unwrap(), Node::read(other));
    fields(&tree, other.as_ref(), chance, &mut |class, path, altered| {
        let bytes = altered.bytes();
        // Two fields in each other's place are two altered fields.
        let path = match (&tree, altered) {
            (Node::Array(old), Node::Array(new)) if path.is_empty() && old.len() == new.len() => {
                let changed = (0..old.len()).filter(|place| old[*place] != new[*place]);
                changed.map(|place| place.to_string()).collect::<Vec<_>>().join("+")
            }
            _ => name(path),
        };
        if bytes != message {
            take(class, &path, bytes);
        }
    });
}

const OWN_KEY: &str = "the signer's own ephemeral key; without its secret half it cannot confirm, and the run ends";
const OWN_DEMANDS: &str = "the signer's own demands, within what the other side serves";
const OWN_PROMISES: &str = "the signer's own promises, signed by it";

#[test]
fn shares_and_answers_altered_and_signed_again_by_their_sender() {
    let (mut chance, _seeded) = seeded("signed again in the nine steps");
    let world = World::new();
    let mut judge = Judge::new(&[
        ("4 share", "1", OWN_KEY),
        ("4 share", "2", OWN_DEMANDS),
        ("6 share", "1", OWN_KEY),
        ("6 share", "2", OWN_DEMANDS),
        ("8 share", "1", OWN_KEY),
        ("5 answer", "3", OWN_PROMISES),
        ("7 answer", "3", OWN_PROMISES),
        ("9 answer", "3", OWN_PROMISES),
    ]);
    let other = world.recording();
    for what in ["4 share", "6 share", "8 share"] {
        let sample = share_in(what, &other);
        each(&sample, &sample, &mut chance, |class, path, altered| {
            let outcome = with_share(&world, what, &sample, &altered);
            judge.step(what, class, path, outcome);
        });
    }
    for what in ["5 answer", "7 answer", "9 answer"] {
        let sample = answer_in(what, &other);
        each(&sample, &sample, &mut chance, |class, path, altered| {
            let outcome = with_answer(&world, what, &sample, &altered);
            judge.step(what, class, path, outcome);
        });
    }
    world.session();
    judge.finish(
        "shares and answers, signed again by their sender",
        &[
            ("bit flip", 40),
            ("boundary", 100),
            ("truncated", 60),
            ("extended", 60),
            ("dropped", 50),
            ("duplicated", 50),
        ],
    );
}

type Seen = Vec<(&'static str, Vec<u8>)>;

fn message(seen: &[(&'static str, Vec<u8>)], name: &str) -> Vec<u8> {
    seen.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.clone()).unwrap()
}

fn share_in(what: &str, seen: &Seen) -> Vec<u8> {
    let signed = match what {
        "8 share" => both(&message(seen, "5+8 answer")).1,
        _ => message(seen, what),
    };
    from_bytes::<SignedShare>(&signed, HANDSHAKE_BYTES_MAX).unwrap().share.0
}

fn answer_in(what: &str, seen: &Seen) -> Vec<u8> {
    let signed = match what {
        "5 answer" => both(&message(seen, "5+8 answer")).0,
        "7 answer" => message(seen, "7 answer"),
        _ => completion(&message(seen, "9 completion")).0,
    };
    from_bytes::<SignedAnswer>(&signed, HANDSHAKE_BYTES_MAX).unwrap().answer.0
}

fn both(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let both: BrokerAnswer = from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).unwrap();
    (both.answer.0, both.archive_share.0)
}

fn completion(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let both: sealwort_proto::message::Completion = from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).unwrap();
    (both.for_archive.0, both.for_broker.0)
}

/// Runs with a share that its sender altered before signing it. `Ok` when its receiver took it.
fn with_share(world: &World, what: &str, sample: &[u8], altered: &[u8]) -> Result<(), ProtocolError> {
    let mut seen = Seen::new();
    let on_wire = if what == "8 share" { "5+8 answer" } else { what };
    let run = world.cast().run(&mut |at, bytes| {
        seen.push((at, bytes.clone()));
        if at != on_wire {
            return bytes;
        }
        let share = super::graft::graft(&share_in(what, &seen), sample, altered);
        let header = share_in(what, &seen);
        let session = session_of_share(&header);
        match what {
            "4 share" => agreement_lt(session, &seen).sign_share(&world.gateway, &share),
            "6 share" => agreement_tm(session, &seen).sign_share(&world.broker, &share),
            _ => {
                let signed = Agreement::gateway_archive(session).sign_share(&world.archive, &share);
                let answer = both(&bytes).0;
                codec::to_bytes(&BrokerAnswer { answer: Blob(answer), archive_share: Blob(signed) })
            }
        }
    });
    let taken = run.reached == on_wire || past(on_wire, run.reached);
    if taken { Ok(()) } else { Err(run.error()) }
}

/// The same with an answer; its sender encapsulates and confirms as it should.
fn with_answer(world: &World, what: &str, sample: &[u8], altered: &[u8]) -> Result<(), ProtocolError> {
    let mut seen = Seen::new();
    let on_wire = match what {
        "5 answer" => "5+8 answer",
        "7 answer" => "7 answer",
        _ => "9 call",
    };
    let mut direct = None;
    let run = world.cast().run(&mut |at, bytes| {
        seen.push((at, bytes.clone()));
        let edit = |answer: Vec<u8>| super::graft::graft(&answer, sample, altered);
        let standard = Policies::standard();
        match (what, at) {
            ("5 answer", "5+8 answer") => {
                let share = message(&seen, "4 share");
                let session = session_of_share(&share_in("4 share", &seen));
                let (_, answer) = agreement_lt(session, &seen).answer(&world.broker, &share, &standard, edit);
                codec::to_bytes(&BrokerAnswer { answer: Blob(answer), archive_share: Blob(both(&bytes).1) })
            }
            ("7 answer", "7 answer") => {
                let share = message(&seen, "6 share");
                let session = session_of_share(&share_in("6 share", &seen));
                agreement_tm(session, &seen).answer(&world.archive, &share, &standard, edit).1
            }
            ("9 answer", "9 completion") => {
                // The gateway's part for the archive is inside; the broker passes it on as it is.
                let share = both(&message(&seen, "5+8 answer")).1;
                let session = session_of_share(&share_in("8 share", &seen));
                let (_, answer) = Agreement::gateway_archive(session).answer(&world.gateway, &share, &standard, edit);
                direct = Some(answer.clone());
                let for_broker = completion(&bytes).1;
                codec::to_bytes(&sealwort_proto::message::Completion {
                    for_archive: Blob(answer),
                    for_broker: Blob(for_broker),
                })
            }
            _ => bytes,
        }
    });
    assert!(what != "9 answer" || direct.is_some());
    let taken = run.reached == on_wire || past(on_wire, run.reached);
    if taken { Ok(()) } else { Err(run.error()) }
}

fn past(name: &str, reached: &str) -> bool {
    let place = |name: &str| {
        super::support::nine_steps::MESSAGES.iter().position(|(known, _)| *known == name).map_or(0, |place| place + 1)
    };
    place(reached) > place(name)
}

fn session_of_share(share: &[u8]) -> sealwort_proto::SessionId {
    let share: sealwort_proto::message::Share = from_bytes(share, HANDSHAKE_BYTES_MAX).unwrap();
    share.header.session
}

fn agreement_lt(session: sealwort_proto::SessionId, seen: &Seen) -> Agreement {
    Agreement::gateway_broker(session, &HOP_LT, &message(seen, "1 hello"), &message(seen, "3 presentation"))
}

fn agreement_tm(session: sealwort_proto::SessionId, seen: &Seen) -> Agreement {
    Agreement::broker_archive(session, &HOP_TM, &message(seen, "2 introduction"), &message(seen, "3 acceptance"))
}

const BY_CONSENT: &str = "what is asked for is decided by the patient's directive, at the broker and at the archive";
const OWN_WORD: &str = "the hospital's own word on its user, for the log";

#[test]
fn statements_altered_and_signed_again_by_their_signer() {
    let (mut chance, _seeded) = seeded("signed again statements");
    let world = World::new();
    let session = world.session();
    let patient = Patient::new(&world, 1);
    let mut judge = Judge::new(&[
        ("request", "1", BY_CONSENT),
        ("request", "2", BY_CONSENT),
        ("request", "3", BY_CONSENT),
        ("request", "6", OWN_WORD),
        ("request", "7", OWN_WORD),
        ("token at the archive", "5", "the broker numbers its tokens; each number is used once"),
        ("token at the archive", "6", BY_CONSENT),
        ("token at the archive", "7", BY_CONSENT),
        ("token at the archive", "8", BY_CONSENT),
        ("token at the archive", "9", BY_CONSENT),
        ("token at the archive", "11", "the gateway holds it against its request"),
        ("token at the archive", "12", "the gateway holds it against its request"),
        ("token at the archive", "13", "the gateway holds it against its request"),
        ("token at the archive", "14", "the gateway holds it against the policies of step 2"),
        ("token at the archive", "15", "the archive's own directive must not be older, and decides"),
        ("token at the archive", "16", "the archive's own directive names the epoch"),
        ("token at the archive", "17", "the witness is for the reader, who holds the archive against it"),
        ("token at the archive", "18", "the witness is for the reader"),
        ("token at the archive", "20", "within the clocks' skew"),
        ("token at the archive", "21", "within the lifetime agreed"),
        ("token at the gateway", "5", "the broker numbers its tokens"),
        ("token at the gateway", "8", "the broker may grant less than was asked for"),
        ("token at the gateway", "15", "the archive holds it against its own"),
        ("token at the gateway", "16", "a writer writes in it, and the archive refuses any but the newest"),
        ("token at the gateway", "17", "a witness that the archive's log does not reach is an error in step 6"),
        ("token at the gateway", "18", "a witness that the archive's log does not hold is an error in step 6"),
        ("token at the gateway", "20", "within the clocks' skew"),
        ("token at the gateway", "21", "within the lifetime agreed"),
        ("receipt", "6", "the archive's own word on its clock"),
        ("entry", "3", "the author names its sealings"),
        ("entry", "9", "within the validity of the author's certificate; the archive demands its own time"),
        ("entry", "10", "the author names its deposits; the archive demands the announced one"),
    ]);
    requests(&world, &session, &patient, &mut judge, &mut chance);
    tokens(&world, &session, &patient, &mut judge, &mut chance);
    possessions(&world, &session, &patient, &mut judge, &mut chance);
    receipts(&world, &patient, &mut judge, &mut chance);
    entries(&world, &mut judge, &mut chance);
    registrations(&world, &patient, &mut judge, &mut chance);
    judge.finish(
        "statements, signed again by their signer",
        &[("bit flip", 25), ("boundary", 70), ("truncated", 40), ("extended", 40), ("dropped", 40), ("duplicated", 40)],
    );
}

fn signed(kind: Kind, payload: &[u8], by: &Party) -> Vec<u8> {
    statement::sign(kind, payload, &by.key, &Operations::default()).unwrap()
}

fn payload(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    statement::parse(kind, bytes).unwrap().payload().to_vec()
}

fn requests(world: &World, session: &Session, patient: &Patient, judge: &mut Judge, chance: &mut Chance) {
    let sought = Reading::new(world, session, patient).sought();
    let (_, question) = request(&session.gateway, &world.gateway, sought).unwrap();
    let sealwort_proto::message::ToBroker::Request(original) = question else { panic!("step 1") };
    let original = payload(Kind::Request, original.as_ref());
    each(&original, &original, chance, |class, path, altered| {
        let bytes = signed(Kind::Request, &altered, &world.gateway);
        let outcome = on_request(&bytes, &session.broker, &world.broker, world.now);
        judge.step("request", class, path, outcome.map(|_| ()));
    });
}

/// A malicious broker alters the token's fields and signs and seals it as it should; the hospital is in league with it
/// and proves that it holds whatever token it is.
fn tokens(world: &World, session: &Session, patient: &Patient, judge: &mut Judge, chance: &mut Chance) {
    let reading = Reading::new(world, session, patient);
    let (_, grant) = reading.token();
    let original = payload(Kind::Token, grant.token.as_ref());
    let elsewhere = world.session();
    let other = payload(Kind::Token, Reading::new(world, &elsewhere, patient).token().1.token.as_ref());
    each(&original, &other, chance, |class, path, altered| {
        let bytes = signed(Kind::Token, &altered, &world.broker);
        let outcome = present(world, session, &bytes, &mut UsedTokens::default());
        judge.step("token at the archive", class, path, outcome);

        let (l, honest) = reading.token();
        let altered = super::graft::graft(&payload(Kind::Token, honest.token.as_ref()), &original, &altered);
        let grant = TokenGrant { token: Blob(signed(Kind::Token, &altered, &world.broker)), ..honest };
        let outcome = l.on_token(grant, &session.gateway, &world.gateway, &world.peers());
        judge.step("token at the gateway", class, path, outcome.map(|_| ()));
    });
}

/// Step 5 with a token that the broker sealed, by a hospital that signs whatever possession fits.
fn present(world: &World, session: &Session, bytes: &[u8], used: &mut UsedTokens) -> Result<(), ProtocolError> {
    let sealed = token::seal(&session.broker_to_archive, bytes, &Operations::default());
    let tree = Node::read(&payload(Kind::Token, bytes)).unwrap();
    let part = |place: usize| tree.at(&[place]).cloned().unwrap_or(Node::Null);
    let digest = Node::Bytes(statement::digest(bytes).as_bytes().to_vec());
    let possession = signed(Kind::Possession, &Node::Array(vec![part(5), part(19), digest]).bytes(), &world.gateway);
    let channel = &session.archive_to_broker;
    on_present(&sealed, &possession, &session.archive, channel, &world.archive, used, world.now).map(|_| ())
}

fn possessions(world: &World, session: &Session, patient: &Patient, judge: &mut Judge, chance: &mut Chance) {
    let (l, grant) = Reading::new(world, session, patient).token();
    let sealed = grant.sealed.clone();
    let (_, question) = l.on_token(grant, &session.gateway, &world.gateway, &world.peers()).unwrap();
    let sealwort_proto::message::ToArchive::Present { possession, .. } = question else { panic!("step 5") };
    let original = payload(Kind::Possession, possession.as_ref());
    each(&original, &original, chance, |class, path, altered| {
        let bytes = signed(Kind::Possession, &altered, &world.gateway);
        let (channel, mut used) = (&session.archive_to_broker, UsedTokens::default());
        let outcome =
            on_present(sealed.as_ref(), &bytes, &session.archive, channel, &world.archive, &mut used, world.now);
        judge.step("possession", class, path, outcome.map(|_| ()));
    });
}

fn receipts(world: &World, patient: &Patient, judge: &mut Judge, chance: &mut Chance) {
    let archive = &world.archive;
    let original = codec::to_bytes(&receipt_of(world, archive, patient.id, patient.head));
    let other = Patient::new(world, 2);
    let other = codec::to_bytes(&receipt_of(world, &world.rogue_archive, other.id, other.head));
    each(&original, &other, chance, |class, path, altered| {
        let bytes = signed(Kind::Receipt, &altered, archive);
        let outcome = end_at(world, patient, &bytes, patient.head);
        judge.kind("receipt", class, path, outcome);
    });
}

/// A reader walks the patient's log and ends at this receipt.
fn end_at(world: &World, patient: &Patient, receipt: &[u8], witness: Witness) -> Result<(), ErrorKind> {
    let (archive, operations) = (&world.archive, Operations::default());
    let mut walk = ChainWalk::new("demo", patient.id, empty(patient.id), witness)?;
    let authors = authors(world);
    for entry in &patient.log {
        walk.step(&authors.verify(entry.envelope.as_ref(), &operations)?)?;
    }
    let name = archive.identity.to_string();
    walk.finish(&receipt::verify(receipt, "demo", &name, archive.key.public_key(), &operations)?).map(|_| ())
}

fn authors(world: &World) -> Authors {
    let mut authors = Authors::default();
    for author in [&world.gateway, &world.rogue_gateway] {
        authors.add(&author.chain, world.now, &world.peers()).unwrap();
    }
    authors
}

/// A malicious hospital seals entries under its own keys, with whatever header, and signs them.
fn entries(world: &World, judge: &mut Judge, chance: &mut Chance) {
    let author = &world.rogue_gateway;
    let (patient, other) = (Patient::new(world, 1), Patient::new(world, 2));
    let header = patient.next_header(author, GRANTED[0], world.now);
    let reader = patient.keys(&[GRANTED[0]]);
    let own = reader.record_key(1, &header.author, header.tag).unwrap();
    let authors = authors(world);
    let operations = Operations::default();
    let original = codec::to_bytes(&header);
    let elsewhere = codec::to_bytes(&other.next_header(&world.gateway, GRANTED[1], world.now));
    each(&original, &elsewhere, chance, |class, path, altered| {
        let outcome = (|| {
            // It seals as the protocol does, so that the header's own fields are all that can be wrong.
            let Ok(header) = from_bytes::<record::EntryHeader>(&altered, HANDSHAKE_BYTES_MAX) else {
                let envelope =
                    record::Envelope { header: Blob(altered), ciphertext: sealwort_proto::Digest::ZERO, length: 0 };
                let envelope = signed(Kind::Entry, &codec::to_bytes(&envelope), author);
                return authors.verify(&envelope, &operations).map(|_| ());
            };
            let content = record::pad(vec![0x86, 0x00, 0x60, 0x60, 0x00, 0xf4, 0x40]);
            let sealed = record::seal_bytes(&header, content, &own, &author.key, &operations)?;
            let entry = authors.verify(sealed.wire.envelope.as_ref(), &operations)?;
            let mut walk = ChainWalk::new("demo", patient.id, patient.head, patient.head)?;
            walk.step(&entry)?;
            entry.open(sealed.wire.ciphertext.unwrap().0, &reader, &operations).map(|_| ())
        })();
        judge.kind("entry", class, path, outcome);
    });
}

/// A registration altered by the hospital that signs it is another registration: broker and archive pin the first.
/// Here it is altered by somebody else, who signs with a key of its own.
fn registrations(world: &World, patient: &Patient, judge: &mut Judge, chance: &mut Chance) {
    let original = payload(Kind::Registration, &patient.registration);
    let operations = Operations::default();
    each(&original, &original, chance, |class, path, altered| {
        let bytes = signed(Kind::Registration, &altered, &world.rogue_gateway);
        let moment = registration::Moment::Reading;
        let outcome = registration::verify(&bytes, "demo", moment, &world.peers(), &operations);
        judge.kind("registration", class, path, outcome.map(|_| ()));
    });
}
