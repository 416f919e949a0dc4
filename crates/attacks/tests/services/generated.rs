//! Every field of every message that a hospital sends inside its channels, altered by a malicious hospital and given
//! to the real broker and archive: refused by name, nothing stored, no half beyond consent, and the session goes on.

use sealwort_pki::{Role, UnixTime};
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::halves::SubHalf;
use sealwort_proto::log_request::LogRequest;
use sealwort_proto::message::{FromArchive, FromBroker, MESSAGE_BYTES_MAX, Refusal, ToArchive, ToBroker, WireEntry};
use sealwort_proto::operations::Operations;
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::transmission::gateway::{Authority, AwaitGrant, Sought, request};
use sealwort_proto::{DepositId, EntryId, Locator, SUITE};

use super::exchange::{Actor, Exchange, OTHER_TAG, Registered, Session, TAGS};
use super::support::chance::{Chance, seed};
use super::support::mutation::{fields, mutations, name};
use super::support::tally::{Tally, memory_kib};
use super::support::tree::Node;

/// Memory that all cases together may leave behind in this process, services included, in KiB.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

/// Begins of codes of refusals (`spec/protocol.md`, section 10) that a party gives for a message that it understood.
const FAMILIES: [&str; 4] = ["consent-", "directive-", "provision-", "successor-"];

/// A refusal that names what was wrong, by whom it was refused and what to do.
fn named(refusal: &Refusal, what: &str) -> String {
    let known = refusal.code.contains('-') || ["conflict", "unavailable"].contains(&refusal.code.as_str());
    assert!(known && !["crypto-failed", "storage-failed"].contains(&refusal.code.as_str()), "{what}: {refusal}");
    assert!(["broker", "archive"].contains(&refusal.by.as_str()), "{what}: {refusal}");
    assert!(!refusal.reason.is_empty() && !refusal.remedy.is_empty(), "{what}: {refusal}");
    match FAMILIES.iter().find(|family| refusal.code.starts_with(**family)) {
        Some(family) => format!("{family}…"),
        None => refusal.code.clone(),
    }
}

fn sought(registered: &Registered, action: &str) -> Sought {
    Sought {
        patient: registered.patient,
        action: action.into(),
        tags: vec![TAGS[0], TAGS[1], OTHER_TAG],
        purpose: "TREAT".into(),
        emergency: None,
        user: "dr-jones".into(),
        user_role: "physician".into(),
    }
}

/// Steps 1 to 4, and step 5 ready to be sent.
async fn token(
    session: &Session,
    by: &Actor,
    registered: &Registered,
    action: &str,
    now: UnixTime,
) -> (AwaitGrant, ToArchive) {
    let (established, party) = (&session.established, &by.party);
    let (state, question) = request(established, party, sought(registered, action)).unwrap();
    let FromBroker::Challenge(challenge) = session.ask_broker(&question, now).await.unwrap() else { panic!("step 2") };
    let (state, question) = state.on_challenge(&challenge, established, party, now).unwrap();
    let FromBroker::Token(grant) = session.ask_broker(&question, now).await.unwrap() else { panic!("step 4") };
    by.peers(|peers| state.on_token(*grant, established, party, peers)).unwrap()
}

async fn authority(session: &Session, by: &Actor, registered: &Registered, action: &str, now: UnixTime) -> Authority {
    let (state, question) = token(session, by, registered, action, now).await;
    let Some(FromArchive::Granted(grant)) = session.ask_archive(&[question], now).await.unwrap().pop() else {
        panic!("step 6")
    };
    state.on_grant(*grant).unwrap()
}

/// One entry after the authority's head, as its author seals it.
fn entry(by: &Actor, authority: &Authority, deposit: DepositId, now: UnixTime) -> WireEntry {
    let header = EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: authority.patient,
        entry: EntryId::random(),
        author: by.party.identity.to_string(),
        tag: TAGS[0],
        epoch: authority.epoch,
        sequence: authority.head.sequence + 1,
        previous: authority.head.head,
        authored_at: now.as_secs(),
        deposit,
    };
    let record =
        Record { change: Change::Put, resource_type: "Patient".into(), id: "p".into(), content: b"{}".to_vec() };
    record::seal(&header, &record, &authority.keys, &by.party.key, &Operations::default()).unwrap().wire
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_a_malicious_hospital_sends() {
    let mut chance = Chance::from_seed("a malicious hospital");
    println!("seed {}", seed());
    let exchange = Exchange::start().await;
    let (a, b) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "b"));
    let (session, of_b) = (exchange.session(&a).await, exchange.session(&b).await);
    let (own, others) = (exchange.register(&a, &session, 1).await, exchange.register(&b, &of_b, 2).await);
    let now = exchange.now();
    let (held, before) = (exchange.held(), memory_kib());
    let mut tally = Tally::default();
    to_broker(&session, &a, (&own, &of_b, &b, &others), now, &mut chance, &mut tally).await;
    signed_requests(&session, &a, (&own, &others), now, &mut chance, &mut tally).await;
    to_archive(&session, &a, (&own, &others), now, &mut chance, &mut tally).await;
    deposits(&session, &a, (&own, &of_b, &b, &others), now, &mut chance, &mut tally).await;
    let after = memory_kib();
    println!("memory: {before} KiB before, {after} KiB after");
    assert!(after < before + GROWTH_KIB_MAX, "memory grew from {before} to {after} KiB");
    assert_eq!(exchange.held(), held, "sessions were left behind");
    authority(&session, &a, &own, "read", now).await;
    exchange.stop().await;
    tally.finish(
        "contents sent by a malicious hospital to broker and archive",
        &[
            ("bit flip", 40),
            ("boundary", 100),
            ("truncated", 80),
            ("extended", 80),
            ("dropped", 60),
            ("duplicated", 50),
            ("wrong type", 80),
        ],
    );
}

type Patients<'a> = (&'a Registered, &'a Registered);

/// The archive's receipt of a log's head.
async fn receipt(session: &Session, by: &Actor, registered: &Registered, now: UnixTime) -> Blob {
    let authority = authority(session, by, registered, "read", now).await;
    let fetch = ToArchive::Fetch { authority: authority.id, after: authority.head.sequence };
    let Some(FromArchive::End { receipt }) = session.ask_archive(&[fetch], now).await.unwrap().pop() else {
        panic!("step 7")
    };
    receipt
}

async fn to_broker(
    session: &Session,
    by: &Actor,
    (own, of_b, b, others): (&Registered, &Session, &Actor, &Registered),
    now: UnixTime,
    chance: &mut Chance,
    tally: &mut Tally,
) {
    let signed = |registered: &Registered| match request(&session.established, &by.party, sought(registered, "read")) {
        Ok((_, ToBroker::Request(signed))) => signed,
        _ => panic!("step 1"),
    };
    let receipts = [receipt(session, by, own, now).await, receipt(of_b, b, others, now).await];
    let log_request = |registered: &Registered, number: u8| {
        let session = if number == 1 { session } else { of_b };
        log_request(session, registered, now)
    };
    let samples = |registered: &Registered, number: u8| {
        let receipt = receipts[usize::from(number - 1)].clone();
        let (registration, directive) = (Blob(registered.registration.clone()), Blob(registered.signed()));
        [
            ("locate", ToBroker::Locate(vec![Locator::new([number; 32])])),
            ("allot", ToBroker::Allot(vec![Locator::new([number; 32])])),
            ("register", ToBroker::Register { registration, directive: directive.clone() }),
            ("direct", ToBroker::Direct { directive }),
            ("consent", ToBroker::Consent(registered.patient)),
            ("request", ToBroker::Request(signed(registered))),
            ("witness", ToBroker::Witness(receipt)),
            ("witnessed", ToBroker::Witnessed { patient: registered.patient, after: 0 }),
            ("log", ToBroker::Log { request: log_request(registered, number), from: 0, size: 0 }),
        ]
    };
    for ((what, message), (_, other)) in samples(own, 1).into_iter().zip(samples(others, 2)) {
        for mutation in mutations(&to_bytes(&message), &to_bytes(&other), chance) {
            let what = format!("{what} {} at {}", mutation.class, mutation.path);
            match session.say_to_broker(&mutation.bytes, now).await {
                Err(refusal) => tally.refused(mutation.class, &named(&refusal, &what)),
                // Any hospital may ask whether an identifier is registered (`SECURITY.md`), and for its own patients.
                Ok(FromBroker::Located(_) | FromBroker::NotLocated | FromBroker::Allotted(_)) => {
                    tally.without_effect(mutation.class);
                }
                Ok(FromBroker::Consent { registration, .. }) => {
                    assert_eq!(registration.0, own.registration, "{what}: another patient's consent was shown");
                    tally.without_effect(mutation.class);
                }
                // A directive that its authority signed may be brought by anybody; this one is the newest already.
                Ok(FromBroker::Kept) if what.starts_with("direct other value") => tally.without_effect(mutation.class),
                // Its own request for another patient: decided in step 3, see below.
                Ok(FromBroker::Challenge(_)) if what.starts_with("request other value") => {
                    tally.without_effect(mutation.class);
                }
                // Where its own patient's heads begin is its own to say, and a true receipt may be brought by anybody.
                Ok(FromBroker::Heads(_)) if !what.ends_with("at 1/0") => tally.without_effect(mutation.class),
                // Which part of its own patient's entries it asks for is its own to say.
                Ok(FromBroker::Log(_)) if !what.contains("at 1/0") => tally.without_effect(mutation.class),
                Ok(FromBroker::Kept) if what.starts_with("witness other value") => {
                    tally.without_effect(mutation.class);
                }
                Ok(other) => panic!("{what}: answered by {other:?}"),
            }
        }
    }
}

/// The consent authority's request for the logs, in a session.
fn log_request(session: &Session, registered: &Registered, now: UnixTime) -> Blob {
    let request = LogRequest {
        exchange: "demo".to_owned(),
        patient: registered.patient,
        session: session.established.with_broker.session(),
        issued_at: now.as_secs(),
    };
    Blob(request.sign(&registered.key, &Operations::default()).unwrap())
}

/// The request of step 1 altered and signed again, and step 3 after it.
async fn signed_requests(
    session: &Session,
    by: &Actor,
    (own, others): Patients<'_>,
    now: UnixTime,
    chance: &mut Chance,
    tally: &mut Tally,
) {
    let payload = |registered: &Registered| match request(&session.established, &by.party, sought(registered, "read")) {
        Ok((_, ToBroker::Request(signed))) => {
            statement::parse(Kind::Request, signed.as_ref()).unwrap().payload().to_vec()
        }
        _ => panic!("step 1"),
    };
    let (tree, other) = (Node::read(&payload(own)).unwrap(), Node::read(&payload(others)));
    let mut altered = Vec::new();
    fields(&tree, other.as_ref(), chance, &mut |class, path, tree| altered.push((class, name(path), tree.bytes())));
    for (class, path, bytes) in altered {
        let what = format!("signed request {class} at {path}");
        let signed = statement::sign(Kind::Request, &bytes, &by.party.key, &Operations::default()).unwrap();
        let challenge = match session.ask_broker(&ToBroker::Request(Blob(signed)), now).await {
            Ok(FromBroker::Challenge(challenge)) => challenge,
            Ok(other) => panic!("{what}: {other:?}"),
            Err(refusal) => {
                tally.refused(class, &named(&refusal, &what));
                continue;
            }
        };
        let acceptance = sealwort_proto::message::PolicyAcceptance {
            time_stamp: challenge.time_stamp + 1,
            challenge: challenge.challenge,
            policies: challenge.policies.digest(),
            binding: session.established.with_archive.binding(),
        };
        match session.ask_broker(&ToBroker::Accept(acceptance), now).await {
            Err(refusal) => tally.refused(class, &named(&refusal, &what)),
            Ok(FromBroker::Token(grant)) => {
                let token = statement::parse(Kind::Token, grant.token.as_ref()).unwrap();
                let token: sealwort_proto::token::Token = from_bytes(token.payload(), MESSAGE_BYTES_MAX).unwrap();
                assert_eq!(token.patient, own.patient, "{what}: a token for another hospital's patient");
                within_consent(&grant.sub_halves, &what);
                tally.without_effect(class);
            }
            Ok(other) => panic!("{what}: {other:?}"),
        }
    }
}

fn within_consent(halves: &[SubHalf], what: &str) {
    assert!(halves.iter().all(|half| TAGS.contains(&half.tag)), "{what}: a half beyond consent");
}

async fn to_archive(
    session: &Session,
    by: &Actor,
    (own, others): Patients<'_>,
    now: UnixTime,
    chance: &mut Chance,
    tally: &mut Tally,
) {
    let reading = authority(session, by, own, "read", now).await;
    // An honest step 5 that is kept back until everything altered has been refused.
    let (state, present) = token(session, by, own, "read", now).await;
    let (_, other_present) = token(session, by, own, "read", now).await;
    let samples = |registered: &Registered, present: &ToArchive| {
        let (registration, directive) = (Blob(registered.registration.clone()), Blob(registered.signed()));
        [
            ("register", ToArchive::Register { registration, directive: directive.clone() }),
            ("direct", ToArchive::Direct { directive }),
            ("present", present.clone()),
            ("fetch", ToArchive::Fetch { authority: reading.id, after: 0 }),
            ("log", ToArchive::Log { request: log_request(session, registered, now), from: 0, size: 0 }),
        ]
    };
    for ((what, message), (_, other)) in samples(own, &present).into_iter().zip(samples(others, &other_present)) {
        for mutation in mutations(&to_bytes(&message), &to_bytes(&other), chance) {
            let what = format!("{what} {} at {}", mutation.class, mutation.path);
            match session.say_to_archive(std::slice::from_ref(&mutation.bytes), now).await {
                Err(refusal) => tally.refused(mutation.class, &named(&refusal, &what)),
                Ok(answers) => {
                    // Where in the log a reader begins is its own to say.
                    let read =
                        |answer: &FromArchive| matches!(answer, FromArchive::Entries { .. } | FromArchive::End { .. });
                    let own_place = what.starts_with("fetch") && answers.iter().all(read);
                    let own_page = what.starts_with("log") && !what.contains("at 1/0");
                    // Whoever has another authority's key may ask with it.
                    let others_key = what.starts_with("log other value");
                    let log = |answer: &FromArchive| matches!(answer, FromArchive::Log(_));
                    let own_log = (own_page || others_key) && answers.iter().all(log);
                    let unchanged = what.starts_with("direct other value") && answers == [FromArchive::Kept];
                    // The whole of another honest step 5 of this hospital's: its own token, used once.
                    let own_token = ["", "1"].map(|path| format!("present other value at {path}")).contains(&what);
                    assert!(own_place || own_log || unchanged || own_token, "{what}: {answers:?}");
                    tally.without_effect(mutation.class);
                }
            }
        }
    }
    let granted = session.ask_archive(&[present], now).await.expect("nothing altered has used the token").pop();
    let Some(FromArchive::Granted(grant)) = granted else { panic!("step 6") };
    within_consent(&grant.sub_halves, "step 6");
    state.on_grant(*grant).unwrap();
}

/// Announcements and entries altered; and entries signed again by their author with another header.
async fn deposits(
    session: &Session,
    by: &Actor,
    (own, of_b, b, others): (&Registered, &Session, &Actor, &Registered),
    now: UnixTime,
    chance: &mut Chance,
    tally: &mut Tally,
) {
    let (writing, elsewhere) =
        (authority(session, by, own, "write", now).await, authority(of_b, b, others, "write", now).await);
    let id = DepositId::new([5; 16]);
    let announce = |authority: &Authority, deposit| ToArchive::Deposit {
        authority: authority.id,
        deposit,
        after: authority.head.sequence,
        head: authority.head.head,
        entries: 1,
    };
    let entry_of = entry(by, &writing, id, now);
    let honest = [announce(&writing, id), ToArchive::Entries(vec![entry_of.clone()])];
    let other = [announce(&elsewhere, id), ToArchive::Entries(vec![entry(b, &elsewhere, id, now)])];
    let honest = honest.map(|message| to_bytes(&message));
    let other = other.map(|message| to_bytes(&message));
    let mut attempts = Vec::new();
    for place in 0..2 {
        for mutation in mutations(&honest[place], &other[place], chance) {
            let mut contents = honest.clone();
            contents[place] = mutation.bytes;
            attempts.push((
                mutation.class,
                format!("deposit {place} {} at {}", mutation.class, mutation.path),
                contents,
            ));
        }
    }
    // The author alters its envelope's payload and signs it again.
    let payload = statement::parse(Kind::Entry, entry_of.envelope.as_ref()).unwrap().payload().to_vec();
    fields(&Node::read(&payload).unwrap(), None, chance, &mut |class, path, tree| {
        let signed = statement::sign(Kind::Entry, &tree.bytes(), &by.party.key, &Operations::default()).unwrap();
        let entry = WireEntry { envelope: Blob(signed), ciphertext: entry_of.ciphertext.clone() };
        let contents = [honest[0].clone(), to_bytes(&ToArchive::Entries(vec![entry]))];
        attempts.push((class, format!("signed entry {class} at {}", name(path)), contents));
    });
    let mut stored = None;
    for (class, what, contents) in attempts {
        match session.say_to_archive(&contents, now).await {
            Err(refusal) => tally.refused(class, &named(&refusal, &what)),
            Ok(answers) => match answers.as_slice() {
                // Another head than the log's: nothing is stored.
                [FromArchive::Conflict { .. }] => tally.refused(class, "conflict"),
                // What an author may choose for its own entry: its id, and a date within the archive's clock.
                [FromArchive::Stored { .. }] if what.starts_with("signed entry") && stored.is_none() => {
                    stored = Some(what);
                    tally.without_effect(class);
                }
                // The deposit is stored: whatever comes under its id now is answered and not stored again.
                [FromArchive::Stored { .. }] if stored.is_some() => tally.without_effect(class),
                _ => panic!("{what}: {answers:?}"),
            },
        }
    }
    println!("an entry that its author signed again was stored once: {stored:?}");
    // The log has at most that one entry.
    let reading = authority(session, by, own, "read", now).await;
    assert_eq!(reading.head.sequence, u64::from(stored.is_some()), "the log grew by what was refused");
    assert_eq!(authority(of_b, b, others, "read", now).await.head.sequence, 0);
}
