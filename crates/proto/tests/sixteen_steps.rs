//! All nine steps and all seven, in memory, between a gateway, a broker and an archive with real certificates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::similar_names, clippy::unused_self, reason = "the parties' letters are the paper's")]

use std::sync::Arc;

use sealwort_pki::testing::{TEST_NOW, TestExchange};
use sealwort_pki::{Identity, KeyAlgorithm, Role, SigningKey, Trust};
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::halves::{Half, Side};
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::handshake::gateway::{AwaitAnswer, AwaitPresentation, Presented};
use sealwort_proto::handshake::{Party, archive, broker, gateway};
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{
    ArchiveGrant, MESSAGE_BYTES_MAX, PolicyAcceptance, SignedAnswer, SignedShare, ToArchive, ToBroker, TokenGrant,
};
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;
use sealwort_proto::receipt::{self, Receipt};
use sealwort_proto::record::{self, Change, EntryHeader, Record};
use sealwort_proto::registration::{self, Moment, Registration};
use sealwort_proto::testing::Seeded;
use sealwort_proto::transmission::broker::Permission;
use sealwort_proto::transmission::gateway::Sought;
use sealwort_proto::{
    EntryId, ErrorKind, Fault, LabelTag, Locator, ProtocolError, Pseudonym, SUITE, Step, transmission,
};

const HOP_LT: [u8; 32] = [1; 32];
const HOP_TM: [u8; 32] = [2; 32];
const TAG: LabelTag = LabelTag::new([7; 16]);
const PATIENT: Pseudonym = Pseudonym::new([9; 32]);

struct World {
    exchange: TestExchange,
    trust: Trust,
    cache: PeerCache,
    gateway: Party,
    broker: Party,
    archive: Party,
}

fn party(exchange: &TestExchange, role: Role, name: &str) -> Party {
    let made = exchange.party(role, name);
    Party {
        identity: made.identity,
        chain: made.statement.chain,
        key: Arc::new(made.statement.key),
        policies: Policies::standard(),
        operations: Arc::default(),
    }
}

fn world_with(algorithm: KeyAlgorithm) -> World {
    let exchange = TestExchange::with("demo", algorithm, TEST_NOW);
    World {
        trust: exchange.trust(),
        cache: PeerCache::default(),
        gateway: party(&exchange, Role::Gateway, "a"),
        broker: party(&exchange, Role::Broker, "t"),
        archive: party(&exchange, Role::Archive, "m"),
        exchange,
    }
}

fn world() -> World {
    world_with(KeyAlgorithm::Ed25519)
}

struct Session {
    gateway: gateway::Established,
    broker: broker::GatewayEstablished,
    archive: archive::GatewayEstablished,
    broker_to_archive: Arc<Channel>,
    archive_to_broker: Arc<Channel>,
}

/// Lets a test alter a message on its way. The name is the step.
type Wire<'a> = &'a mut dyn FnMut(&str, Vec<u8>) -> Vec<u8>;

impl World {
    fn peers(&self) -> Peers<'_> {
        Peers { trust: &self.trust, cache: &self.cache, now: TEST_NOW }
    }

    fn start(&self) -> (AwaitPresentation, Vec<u8>) {
        gateway::start(&self.gateway, &self.archive.identity, &self.broker.identity, HOP_LT)
    }

    fn greet(&self, hello: &[u8], load: &Load<'_>) -> Result<Greeted, ProtocolError> {
        let archive: &Identity = &self.archive.identity;
        broker::on_hello(hello, &self.broker, &self.peers(), &self.gateway.identity, &HOP_LT, archive, load)
    }

    fn run(&self, wire: Wire<'_>) -> Result<Session, ProtocolError> {
        let (l, hello) = self.start();
        let hello = wire("1", hello);
        let Greeted::Introduce(t, introduction) = self.greet(&hello, &Load::Normal)? else { panic!("no load") };
        let introduction = wire("2", introduction);
        let (m_tm, m_lm, acceptance) =
            archive::on_introduction(&introduction, &self.archive, &self.peers(), &self.broker.identity)?;
        let acceptance = wire("3 M-T", acceptance);
        let (t, presentation) = t.on_acceptance(&acceptance, &self.broker, &self.peers())?;
        let presentation = wire("3 T-L", presentation);
        let Presented::Continue(l, share) = l.on_presentation(&presentation, &self.gateway, &self.peers())? else {
            panic!("no load")
        };
        self.rest(*l, share, t, m_tm, m_lm, wire)
    }

    fn rest(
        &self,
        l: AwaitAnswer,
        share: Vec<u8>,
        t: broker::AwaitShare,
        m_tm: archive::AwaitBrokerShare,
        m_lm: archive::AwaitOffer,
        wire: Wire<'_>,
    ) -> Result<Session, ProtocolError> {
        assert_eq!(l.session(), t.session());
        let opening = t.archive_opening();
        let share = wire("4", share);
        let t = t.on_share(&share, &self.broker, &HOP_LT, TEST_NOW)?;

        let (tm, share6) = broker::start_archive(opening, &self.broker, &HOP_TM)?;
        let share6 = wire("6", share6);
        let (m_broker, answer7) = m_tm.on_share(&share6, &self.archive, &HOP_TM, TEST_NOW)?;
        let answer7 = wire("7", answer7);
        let tm = tm.on_answer(&answer7, &self.broker, TEST_NOW)?;

        let (m, share8) = m_lm.on_offer(t.gateway_policies(), &m_broker.broker, &self.archive)?;
        let share8 = wire("8", share8);
        let (l, completion) = l.on_answer(&wire("5", t.answer_with(share8)), &self.gateway, TEST_NOW)?;
        let completion = wire("9", completion);
        let (t, for_archive) = t.on_completion(&completion, TEST_NOW)?;
        let for_archive = wire("9 M", for_archive);
        let (m, confirmation) = m.on_completion(&for_archive, &self.archive, TEST_NOW)?;
        let confirmation = wire("confirm", confirmation);
        let l = l.on_confirmation(&confirmation, TEST_NOW)?;
        Ok(Session {
            gateway: l,
            broker: t,
            archive: m,
            broker_to_archive: Arc::new(tm.channel),
            archive_to_broker: Arc::new(m_broker.channel),
        })
    }

    fn sought(&self) -> Sought {
        Sought {
            patient: PATIENT,
            action: "read".into(),
            tags: vec![TAG],
            purpose: "TREAT".into(),
            emergency: None,
            user: "dr-jones".into(),
            user_role: "physician".into(),
        }
    }

    fn registration(&self) -> (Vec<u8>, SigningKey) {
        let authority = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let locators = [Locator::new([3; 32])];
        let registration =
            Registration::new("demo", PATIENT, locators, authority.public_key(), &self.gateway, TEST_NOW);
        (registration.sign(&self.gateway.key, &self.gateway.operations).unwrap(), authority)
    }

    /// Steps 1 to 4 of the transmission; the token grant and the gateway's state that takes it.
    fn token(
        &self,
        session: &Session,
        registration: &[u8],
    ) -> Result<(transmission::gateway::AwaitToken, TokenGrant), ProtocolError> {
        let now = TEST_NOW;
        let (l, ToBroker::Request(request)) =
            transmission::gateway::request(&session.gateway, &self.gateway, self.sought())?
        else {
            panic!("step 1")
        };
        let (t, challenge) = transmission::broker::on_request(request.as_ref(), &session.broker, &self.broker, now)?;
        let (l, ToBroker::Accept(accept)) = l.on_challenge(&challenge, &session.gateway, &self.gateway, now)? else {
            panic!("step 3")
        };
        assert_eq!(accept.time_stamp, challenge.time_stamp + 1);
        let t = t.on_acceptance(&accept, &session.broker, &self.broker, now)?;
        let permission = Permission { tags: vec![TAG], directive_version: 1, epoch: 1, begun_at: None };
        let (token, sealed) =
            t.issue(permission, empty(PATIENT), &session.broker, &session.broker_to_archive, &self.broker, now)?;
        let grant = TokenGrant { sealed, token, sub_halves: vec![], registration: registration.to_vec().into() };
        Ok((l, grant))
    }
}

fn unaltered() -> impl FnMut(&str, Vec<u8>) -> Vec<u8> {
    |_, bytes| bytes
}

/// All sixteen steps; gives the name and the bytes of every message, certificate and sealed record.
fn all_sixteen(algorithm: KeyAlgorithm) -> Vec<(String, Vec<u8>)> {
    let world = world_with(algorithm);
    let mut sent = vec![("certificate".to_owned(), world.gateway.chain.leaf().to_vec())];
    let session = world
        .run(&mut |step, bytes| {
            sent.push((step.to_owned(), bytes.clone()));
            bytes
        })
        .unwrap();
    assert_eq!(session.gateway.with_archive.binding(), session.archive.channel.binding());
    assert_eq!(session.gateway.with_archive.binding(), session.broker.binding);
    let (number, call) = session.broker_to_archive.request(b"call", TEST_NOW).unwrap();
    let opened = session.archive_to_broker.open_request(&call, TEST_NOW).unwrap();
    assert_eq!((opened.number, opened.content), (number, b"call".to_vec()));

    let (registration, _) = world.registration();
    let peers = world.peers();
    let operations = &world.gateway.operations;
    registration::verify(&registration, "demo", Moment::Acceptance, &peers, operations).unwrap();
    let (l, mut grant) = world.token(&session, &registration).unwrap();
    let (half_t, half_m) = (Half::generate(Side::Broker, PATIENT, 1), Half::generate(Side::Archive, PATIENT, 1));
    grant.sub_halves = vec![half_t.for_reader(TAG)];
    let token_sent = to_bytes(&grant);
    let grant: TokenGrant = from_bytes(&token_sent, MESSAGE_BYTES_MAX).unwrap();
    let (l, ToArchive::Present { sealed, possession }) =
        l.on_token(grant, &session.gateway, &world.gateway, &peers).unwrap()
    else {
        panic!("step 5")
    };
    let mut used = transmission::archive::UsedTokens::default();
    let mut present = || {
        transmission::archive::on_present(
            sealed.as_ref(),
            possession.as_ref(),
            &session.archive,
            &session.archive_to_broker,
            &world.archive,
            &mut used,
            TEST_NOW,
        )
    };
    let token = present().unwrap();
    assert_eq!(present().unwrap_err().kind, ErrorKind::Token("it was used before"));
    let granted = ArchiveGrant {
        authority: token.token().id,
        expires: token.token().expires_at,
        tags: vec![TAG],
        sub_halves: vec![half_m.for_reader(TAG)],
        registration: registration.clone().into(),
        sequence: 0,
        head: empty(PATIENT).head,
    };
    let authority = l.on_grant(granted).unwrap();

    // Step 7, both ways: an entry written, and read back against the witness.
    let header = EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: PATIENT,
        entry: EntryId::random(),
        author: world.gateway.identity.to_string(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: authority.head.head,
        authored_at: TEST_NOW.as_secs(),
        deposit: sealwort_proto::DepositId::random(),
    };
    let resource = Record {
        change: Change::Put,
        resource_type: "Patient".into(),
        id: "p".into(),
        content: b"{\"resourceType\":\"Patient\"}".to_vec(),
    };
    let sealed = record::seal(&header, &resource, &authority.keys, &world.gateway.key, operations).unwrap();
    let mut authors = Authors::default();
    authors.add(&world.gateway.chain, TEST_NOW, &peers).unwrap();
    let entry = authors.verify(sealed.wire.envelope.as_ref(), operations).unwrap();
    let mut walk = ChainWalk::new("demo", PATIENT, empty(PATIENT), authority.witness).unwrap();
    walk.step(&entry).unwrap();
    let receipt = Receipt {
        exchange: "demo".into(),
        archive: world.archive.identity.to_string(),
        patient: PATIENT,
        sequence: 1,
        head: sealed.hash,
        deposit: None,
        issued_at: TEST_NOW.as_secs(),
    };
    let receipt_sent = receipt.sign(&world.archive.key, &world.archive.operations).unwrap();
    let archive_name = world.archive.identity.to_string();
    let archive_key = world.archive.key.public_key();
    let receipt = receipt::verify(&receipt_sent, "demo", &archive_name, archive_key, operations).unwrap();
    walk.finish(&receipt).unwrap();
    let ciphertext = sealed.wire.ciphertext.unwrap().0;
    assert_eq!(entry.open(ciphertext.clone(), &authority.keys, operations).unwrap(), resource);
    println!("gateway operations: {:?}", world.gateway.operations.counts().named());
    sent.extend([
        ("registration".to_owned(), registration),
        ("token".to_owned(), token_sent),
        ("possession".to_owned(), possession.0),
        ("envelope".to_owned(), sealed.wire.envelope.0),
        ("ciphertext".to_owned(), ciphertext),
        ("receipt".to_owned(), receipt_sent),
    ]);
    sent
}

#[test]
fn all_sixteen_steps_lead_to_an_opened_record() {
    for algorithm in KeyAlgorithm::ALL {
        let sizes: Vec<_> = all_sixteen(algorithm).into_iter().map(|(name, bytes)| (name, bytes.len())).collect();
        println!("{algorithm}: {sizes:?}");
    }
}

/// With ECDSA this cannot be: the library draws a fresh number for each signature.
#[test]
fn a_seed_repeats_all_sixteen_steps_byte_for_byte() {
    let run = |seed| {
        let _seeded = Seeded::install(seed);
        all_sixteen(KeyAlgorithm::Ed25519)
    };
    let (first, again, other) = (run(1), run(1), run(2));
    for ((one, two), three) in first.iter().zip(&again).zip(&other) {
        assert_eq!(one, two);
        assert_ne!(one.1, three.1, "{} does not depend on the seed", one.0);
    }
    assert_eq!((first.len(), again.len()), (19, 19));
    // Without a seed two runs differ.
    assert_ne!(all_sixteen(KeyAlgorithm::Ed25519), all_sixteen(KeyAlgorithm::Ed25519));
}

/// Every byte of every step altered, one at a time (some positions of the long ones): nobody establishes.
#[test]
fn no_altered_message_leads_to_a_session() {
    let world = world();
    let mut lengths = Vec::new();
    world
        .run(&mut |step, bytes| {
            lengths.push((step.to_owned(), bytes.len()));
            bytes
        })
        .unwrap();
    let mut tried = 0;
    for (step, length) in lengths {
        for position in (0..length).step_by(1 + length / 40) {
            let outcome = world.run(&mut |at, mut bytes| {
                if at == step && position < bytes.len() {
                    bytes[position] ^= 0x01;
                }
                bytes
            });
            tried += 1;
            assert!(outcome.is_err(), "step {step}, byte {position} of {length}");
        }
    }
    println!("{tried} altered messages refused");
}

#[test]
fn each_fault_is_named_with_its_step() {
    let world = world();
    let stranger = party(&world.exchange, Role::Gateway, "b");
    let other = World { broker: party(&world.exchange, Role::Broker, "t"), ..world_with(KeyAlgorithm::Ed25519) };

    // A hello lifted off another gateway's connection.
    let (_, hello) = gateway::start(&stranger, &world.archive.identity, &world.broker.identity, HOP_LT);
    let error = world.greet(&hello, &Load::Normal).err().unwrap();
    assert_eq!((error.step, error.fault, error.code()), (Step::Authentication(1), Fault::Gateway, "party-wrong"));

    // A certificate of another exchange.
    let (_, hello) = other.start();
    let error = world.greet(&hello, &Load::Normal).err().unwrap();
    assert_eq!((error.step, error.code()), (Step::Authentication(1), "certificate-refused"));

    // The signature of step 4 replaced.
    let error = world
        .run(&mut |step, bytes| {
            if step != "4" {
                return bytes;
            }
            let mut signed: SignedShare = from_bytes(&bytes, bytes.len()).unwrap();
            signed.signature = stranger.key.sign(b"x").unwrap().into();
            to_bytes(&signed)
        })
        .err()
        .unwrap();
    assert_eq!((error.step, error.fault), (Step::Authentication(4), Fault::Gateway));
    assert_eq!(error.kind, ErrorKind::Signature);

    // The confirmation of step 7 replaced.
    let error = world
        .run(&mut |step, bytes| {
            if step != "7" {
                return bytes;
            }
            let mut signed: SignedAnswer = from_bytes(&bytes, bytes.len()).unwrap();
            signed.confirmation = vec![0; 32].into();
            to_bytes(&signed)
        })
        .err()
        .unwrap();
    assert_eq!((error.step, error.fault), (Step::Authentication(7), Fault::Archive));
    assert_eq!(error.kind, ErrorKind::Confirmation);

    // A policy that the broker does not serve.
    let mut greedy = world_with(KeyAlgorithm::Ed25519);
    greedy.gateway.policies.token_lifetime_seconds = 600;
    let error = greedy.run(&mut unaltered()).err().unwrap();
    assert_eq!((error.step, error.code()), (Step::Authentication(4), "policy-mismatch"));
}

#[test]
fn another_hop_means_another_key() {
    let world = world();
    let (l, hello) = world.start();
    let Greeted::Introduce(t, introduction) = world.greet(&hello, &Load::Normal).unwrap() else { panic!() };
    let (_, _, acceptance) =
        archive::on_introduction(&introduction, &world.archive, &world.peers(), &world.broker.identity).unwrap();
    let (t, presentation) = t.on_acceptance(&acceptance, &world.broker, &world.peers()).unwrap();
    let Presented::Continue(_, share) = l.on_presentation(&presentation, &world.gateway, &world.peers()).unwrap()
    else {
        panic!()
    };
    let error = t.on_share(&share, &world.broker, &[0x55; 32], TEST_NOW).err().unwrap();
    assert_eq!((error.step, error.kind), (Step::Authentication(4), ErrorKind::Signature));
}

#[test]
fn under_load_a_hello_needs_a_cookie() {
    let world = world();
    let jar = CookieJar::default();
    let (l, hello) = world.start();
    let Greeted::DemandCookie(demand) = world.greet(&hello, &Load::High(&jar)).unwrap() else { panic!() };
    let Presented::Again(_, again) = l.on_presentation(&demand, &world.gateway, &world.peers()).unwrap() else {
        panic!()
    };
    assert!(matches!(world.greet(&again, &Load::High(&jar)).unwrap(), Greeted::Introduce(..)));
}

#[test]
fn a_token_is_worthless_elsewhere() {
    let world = world();
    let (registration, _) = world.registration();
    let one = world.run(&mut unaltered()).unwrap();
    let two = world.run(&mut unaltered()).unwrap();
    let (_, grant) = world.token(&one, &registration).unwrap();
    let (l, _) = world.token(&two, &registration).unwrap();
    // The token of session one, handed to session two.
    let error = l.on_token(grant.clone(), &two.gateway, &world.gateway, &world.peers()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Token("it belongs to another session"));
    // Presented in session two, even under the same broker–archive session.
    let mut used = transmission::archive::UsedTokens::default();
    let error = transmission::archive::on_present(
        grant.sealed.as_ref(),
        b"",
        &two.archive,
        &one.archive_to_broker,
        &world.archive,
        &mut used,
        TEST_NOW,
    )
    .err()
    .unwrap();
    assert_eq!(error.kind, ErrorKind::Token("it belongs to another session"));
    // Too late.
    let late = sealwort_pki::UnixTime::from_secs(TEST_NOW.as_secs() + 91);
    let error = transmission::archive::on_present(
        grant.sealed.as_ref(),
        b"",
        &one.archive,
        &one.archive_to_broker,
        &world.archive,
        &mut used,
        late,
    )
    .err()
    .unwrap();
    assert_eq!(error.kind, ErrorKind::Token("it has expired"));
    // Step 3 that answers another challenge.
    let (l, ToBroker::Request(request)) =
        transmission::gateway::request(&one.gateway, &world.gateway, world.sought()).unwrap()
    else {
        panic!()
    };
    let (pending, challenge) =
        transmission::broker::on_request(request.as_ref(), &one.broker, &world.broker, TEST_NOW).unwrap();
    drop(l);
    let wrong = PolicyAcceptance {
        time_stamp: challenge.time_stamp,
        challenge: challenge.challenge,
        policies: challenge.policies.digest(),
        binding: one.broker.binding,
    };
    let error = pending.on_acceptance(&wrong, &one.broker, &world.broker, TEST_NOW).err().unwrap();
    assert_eq!((error.step, error.kind), (Step::Transmission(3), ErrorKind::Challenge));
    // A request signed in another session.
    let error = transmission::broker::on_request(request.as_ref(), &two.broker, &world.broker, TEST_NOW).err().unwrap();
    assert_eq!(error.kind, ErrorKind::WrongSession);
}
