//! Named attacks on the agreement of keys: somebody in the middle, somebody in another's name, messages lifted to
//! another connection, a broker that swaps what passes through it.

use std::collections::HashSet;
use std::sync::Arc;

use sealwort_pki::{KeyAlgorithm, Role};
use sealwort_proto::SessionId;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::handshake::Party;
use sealwort_proto::message::{
    Acceptance, BrokerAnswer, Completion, HANDSHAKE_BYTES_MAX, Header, Hello, Introduction, Presentation, Share,
    SignedShare,
};
use sealwort_proto::policy::Policies;

use super::support::chance::seeded;
use super::support::malice::{Agreement, Letter};
use super::support::nine_steps::{Cast, Run, session_in};
use super::support::tree::Node;
use super::support::world::{HOP_LT, HOP_TM, World, party, twin};

type Messages = Vec<(&'static str, Vec<u8>)>;

fn message(seen: &Messages, name: &str) -> Vec<u8> {
    seen.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.clone()).unwrap()
}

fn told(run: Run, step: u8, fault: Fault, code: &str) {
    let error = run.error();
    assert_eq!((error.step, error.fault, error.code()), (Step::Authentication(step), fault, code), "{error}");
}

fn read<T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>>(bytes: &[u8]) -> T {
    from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).unwrap()
}

/// Lowe's attack: a hospital runs with a rogue broker, which uses the hospital's messages to be that hospital towards
/// the honest one.
#[test]
fn lowes_attack_by_a_rogue_broker_in_the_middle() {
    let (_, _seeded) = seeded("Lowe");
    let world = World::new();
    let (with_rogue, _) = Cast::of(&world, &world.gateway, &world.rogue_broker, &world.archive).recording();
    // On its own connection the rogue is seen as itself.
    let mut cast = world.cast();
    cast.broker_sees = world.rogue_broker.identity.clone();
    let hello = message(&with_rogue, "1 hello");
    told(
        cast.run(&mut |at, bytes| if at == "1 hello" { hello.clone() } else { bytes }),
        1,
        Fault::Gateway,
        "party-wrong",
    );
    // Even if TLS had let it pass as the hospital, the hospital's share names the session with the rogue.
    let share = message(&with_rogue, "4 share");
    let refused = |share: &[u8], broker: sealwort_proto::handshake::broker::AwaitShare| {
        let error = broker.on_share(share, &world.broker, &HOP_LT, world.now).err().unwrap();
        assert_eq!((error.step, error.fault), (Step::Authentication(4), Fault::Gateway), "{error}");
        error.code().to_owned()
    };
    assert_eq!(refused(&share, awaiting_share(&world, &hello)), "session-wrong");
    // With the session's name altered, the hospital's signature is one over another conversation.
    let broker = awaiting_share(&world, &hello);
    let mut signed: SignedShare = read(&share);
    let mut inner: Share = read(signed.share.as_ref());
    inner.header.session = broker.session();
    signed.share = Blob(to_bytes(&inner));
    assert_eq!(refused(&to_bytes(&signed), broker), "signature-wrong");
}

/// The honest broker, with the honest archive, after a hello that it believes to be the hospital's.
fn awaiting_share(world: &World, hello: &[u8]) -> sealwort_proto::handshake::broker::AwaitShare {
    use sealwort_proto::handshake::archive::on_introduction;
    use sealwort_proto::handshake::broker::{Greeted, Load, on_hello};
    let (peers, gateway, archive) = (world.peers(), &world.gateway.identity, &world.archive.identity);
    let greeted = on_hello(hello, &world.broker, &peers, gateway, &HOP_LT, archive, &Load::Normal).unwrap();
    let Greeted::Introduce(t, introduction) = greeted else { panic!("no load") };
    let (_, _, acceptance) = on_introduction(&introduction, &world.archive, &peers, &world.broker.identity).unwrap();
    t.on_acceptance(&acceptance, &world.broker, &peers).unwrap().0
}

/// Unknown key share: a rogue hospital lets the honest one talk to the honest broker, in the rogue's name, so that the
/// broker believes to share the key with the rogue.
#[test]
fn unknown_key_share_by_a_rogue_hospital_in_the_middle() {
    let (_, _seeded) = seeded("unknown key share");
    let world = World::new();
    // The rogue says hello with its own certificate and the honest hospital's nonce.
    let mut cast = Cast::of(&world, &world.gateway, &world.broker, &world.archive);
    cast.broker_sees = world.rogue_gateway.identity.clone();
    let swap = |bytes: &[u8]| {
        let mut hello: Hello = read(bytes);
        hello.certificate = world.rogue_gateway.chain.certificates().iter().map(|c| Blob(c.clone())).collect();
        to_bytes(&hello)
    };
    // Step 3, made for the rogue, reaches the honest hospital: its own name is missing from the session.
    let run = cast.run(&mut |at, bytes| if at == "1 hello" { swap(&bytes) } else { bytes });
    told(run, 3, Fault::Broker, "session-wrong");

    // The other way: an honest session with the broker, whose step 5 is replaced by that of a rogue's session in which
    // the rogue offered the honest hospital's key as its own.
    let mut key = None;
    let mut rogues = Cast::of(&world, &world.rogue_gateway, &world.broker, &world.archive);
    rogues.gateway_sees = world.broker.identity.clone();
    let run = world.cast().run(&mut |at, bytes| {
        if at == "4 share" {
            key = Some(read::<Share>(read::<SignedShare>(&bytes).share.as_ref()).key);
        }
        if at != "5+8 answer" {
            return bytes;
        }
        let mut seen = Messages::new();
        let _ = rogues.run(&mut |at, bytes| {
            seen.push((at, bytes.clone()));
            if at != "4 share" {
                return bytes;
            }
            let mut share: Share = read(read::<SignedShare>(&bytes).share.as_ref());
            share.key = key.clone().unwrap();
            let (hello, presentation) = (message(&seen, "1 hello"), message(&seen, "3 presentation"));
            Agreement::gateway_broker(share.header.session, &HOP_LT, &hello, &presentation)
                .sign_share(&world.rogue_gateway, &to_bytes(&share))
        });
        let (own, others): (BrokerAnswer, BrokerAnswer) = (read(&bytes), read(&message(&seen, "5+8 answer")));
        to_bytes(&BrokerAnswer { answer: others.answer, archive_share: own.archive_share })
    });
    told(run, 5, Fault::Broker, "session-wrong");
}

/// Relay attack: what was said on one connection is said again on another.
#[test]
fn messages_lifted_to_another_hop_are_worthless() {
    let (_, _seeded) = seeded("another hop");
    let world = World::new();
    let mut cast = world.cast();
    cast.hop_of_gateway = [0x55; 32];
    told(cast.run(&mut |_, bytes| bytes), 4, Fault::Gateway, "signature-wrong");
    let mut cast = world.cast();
    cast.hop_to_archive = [0x55; 32];
    told(cast.run(&mut |_, bytes| bytes), 6, Fault::Broker, "signature-wrong");
}

/// Somebody shows another's certificate and has another key.
#[test]
fn a_certificate_without_its_key_is_nobody() {
    let (_, _seeded) = seeded("impostors");
    for algorithm in KeyAlgorithm::ALL {
        let world = World::with(algorithm);
        let impostor = |of: &Party, key: &Party| Party { key: Arc::clone(&key.key), ..twin(of) };
        let gateway = impostor(&world.gateway, &world.rogue_gateway);
        let broker = impostor(&world.broker, &world.rogue_broker);
        let archive = impostor(&world.archive, &world.rogue_archive);
        let cases = [
            (Cast::of(&world, &gateway, &world.broker, &world.archive), 4, Fault::Gateway),
            // The broker signs step 6 towards the archive before step 5 reaches the hospital.
            (Cast::of(&world, &world.gateway, &broker, &world.archive), 6, Fault::Broker),
            (Cast::of(&world, &world.gateway, &world.broker, &archive), 7, Fault::Archive),
        ];
        for (cast, step, fault) in cases {
            told(cast.run(&mut |_, bytes| bytes), step, fault, "signature-wrong");
        }
        // A broker that is believed by the archive (their session stands already) is not believed by the hospital.
        let run = world.cast().run(&mut |at, bytes| match at {
            "5+8 answer" => {
                let mut both: BrokerAnswer = read(&bytes);
                both.answer = Blob(forged(both.answer.as_ref(), &world.rogue_broker));
                to_bytes(&both)
            }
            _ => bytes,
        });
        told(run, 5, Fault::Broker, "signature-wrong");
        let run = world.cast().run(&mut |at, bytes| match at {
            "5+8 answer" => {
                let mut both: BrokerAnswer = read(&bytes);
                both.archive_share = Blob(forged(both.archive_share.as_ref(), &world.rogue_archive));
                to_bytes(&both)
            }
            _ => bytes,
        });
        told(run, 8, Fault::Archive, "signature-wrong");
        let run = world.cast().run(&mut |at, bytes| match at {
            "9 completion" => {
                let mut both: Completion = read(&bytes);
                both.for_archive = Blob(forged(both.for_archive.as_ref(), &world.rogue_gateway));
                to_bytes(&both)
            }
            _ => bytes,
        });
        told(run, 9, Fault::Gateway, "signature-wrong");
    }
}

/// The signature of a signed message replaced by one of somebody else's.
fn forged(signed: &[u8], by: &Party) -> Vec<u8> {
    let mut tree = Node::read(signed).unwrap();
    *tree.at_mut(&[1]).unwrap() = Node::Bytes(by.key.sign(b"something").unwrap());
    tree.bytes()
}

/// The proof that the other side holds the key is missing or that of another run.
#[test]
fn a_confirmation_that_does_not_fit_ends_the_run() {
    let (_, _seeded) = seeded("confirmations");
    let world = World::new();
    let unconfirmed = |signed: &[u8], with: Vec<u8>| {
        let mut tree = Node::read(signed).unwrap();
        *tree.at_mut(&[2]).unwrap() = Node::Bytes(with);
        tree.bytes()
    };
    for with in [vec![0; 32], Vec::new(), vec![7; 31], vec![0; 64]] {
        let run =
            world.cast().run(&mut |at, bytes| if at == "7 answer" { unconfirmed(&bytes, with.clone()) } else { bytes });
        told(run, 7, Fault::Archive, "confirmation-wrong");
        let run = world.cast().run(&mut |at, bytes| {
            if at != "5+8 answer" {
                return bytes;
            }
            let mut both: BrokerAnswer = read(&bytes);
            both.answer = Blob(unconfirmed(both.answer.as_ref(), with.clone()));
            to_bytes(&both)
        });
        told(run, 5, Fault::Broker, "confirmation-wrong");
        let run = world.cast().run(&mut |at, bytes| {
            if at != "9 completion" {
                return bytes;
            }
            let mut both: Completion = read(&bytes);
            both.for_archive = Blob(unconfirmed(both.for_archive.as_ref(), with.clone()));
            to_bytes(&both)
        });
        told(run, 9, Fault::Gateway, "confirmation-wrong");
    }
}

/// Every role's certificate in the place of every other's.
#[test]
fn a_certificate_of_another_role_is_refused() {
    let (_, _seeded) = seeded("roles");
    let world = World::new();
    let of = |role, name: &str| party(world.exchange.party(role, name));
    for (role, name) in [(Role::Broker, "x"), (Role::Archive, "x"), (Role::Ca, "x")] {
        let gateway = of(role, name);
        let run = Cast::of(&world, &gateway, &world.broker, &world.archive).run(&mut |_, bytes| bytes);
        told(run, 1, Fault::Gateway, "certificate-refused");
    }
    for (role, name) in [(Role::Gateway, "y"), (Role::Archive, "y"), (Role::Ca, "y")] {
        let broker = of(role, name);
        let run = Cast::of(&world, &world.gateway, &broker, &world.archive).run(&mut |_, bytes| bytes);
        told(run, 2, Fault::Broker, "certificate-refused");
        // With an archive in league, which lets it pass.
        let run = presented_by(&world, &broker, &world.archive);
        assert_eq!((run.step, run.fault, run.code()), (Step::Authentication(3), Fault::Broker, "certificate-refused"));
    }
    for (role, name) in [(Role::Gateway, "z"), (Role::Broker, "z"), (Role::Ca, "z")] {
        let archive = of(role, name);
        let run = Cast::of(&world, &world.gateway, &world.broker, &archive).run(&mut |_, bytes| bytes);
        told(run, 3, Fault::Archive, "certificate-refused");
        let run = presented_by(&world, &world.broker, &archive);
        assert_eq!((run.step, run.fault, run.code()), (Step::Authentication(3), Fault::Archive, "certificate-refused"));
    }
}

/// Step 3 as this broker and this archive would make it together, at the hospital.
fn presented_by(world: &World, broker: &Party, archive: &Party) -> ProtocolError {
    use sealwort_proto::handshake::gateway::start;
    let (l, _) = start(&world.gateway, &archive.identity, &broker.identity, HOP_LT);
    let chain = |of: &Party| of.chain.certificates().iter().map(|c| Blob(c.clone())).collect();
    let operations = &world.broker.operations;
    let session = SessionId::new([7; 32]);
    let acceptance = Acceptance {
        header: Header::new("demo", 3, session),
        nonce: sealwort_proto::Nonce::random(operations),
        certificate: chain(archive),
    };
    let presentation = Presentation {
        header: Header::new("demo", 3, session),
        nonce: sealwort_proto::Nonce::random(operations),
        certificate: chain(broker),
        acceptance: Blob(to_bytes(&acceptance)),
    };
    l.on_presentation(&to_bytes(&presentation), &world.gateway, &world.peers()).err().unwrap()
}

/// A malicious broker swaps certificates on their way.
#[test]
fn a_broker_that_swaps_certificates() {
    let (_, _seeded) = seeded("swapped certificates");
    let world = World::new();
    let chain = |of: &Party| -> Vec<Blob> { of.chain.certificates().iter().map(|c| Blob(c.clone())).collect() };
    // Another hospital towards the archive: the hospital's share then names a session that it never saw.
    let run = world.cast().run(&mut |at, bytes| {
        if at != "2 introduction" {
            return bytes;
        }
        let mut introduction: Introduction = read(&bytes);
        let mut hello: Hello = read(introduction.hello.as_ref());
        hello.certificate = chain(&world.rogue_gateway);
        introduction.hello = Blob(to_bytes(&hello));
        to_bytes(&introduction)
    });
    told(run, 3, Fault::Archive, "session-wrong");
    // Another archive towards the hospital.
    let run = world.cast().run(&mut |at, bytes| {
        if at != "3 presentation" {
            return bytes;
        }
        let mut presentation: Presentation = read(&bytes);
        let mut acceptance: Acceptance = read(presentation.acceptance.as_ref());
        acceptance.certificate = chain(&world.rogue_archive);
        presentation.acceptance = Blob(to_bytes(&acceptance));
        to_bytes(&presentation)
    });
    told(run, 3, Fault::Broker, "party-wrong");
}

/// A malicious broker puts a KEM key of its own in the place of the archive's, or answers the archive itself.
#[test]
fn a_broker_that_swaps_kem_keys() {
    let (_, _seeded) = seeded("swapped KEM keys");
    let world = World::new();
    for signer in [&world.broker, &world.rogue_archive] {
        let run = world.cast().run(&mut |at, bytes| {
            if at != "5+8 answer" {
                return bytes;
            }
            let mut both: BrokerAnswer = read(&bytes);
            let share: Share = read(read::<SignedShare>(both.archive_share.as_ref()).share.as_ref());
            let agreement = Agreement::gateway_archive(share.header.session);
            both.archive_share = Blob(agreement.share(signer, &share.policies).1);
            to_bytes(&both)
        });
        told(run, 8, Fault::Archive, "signature-wrong");
    }
    // In step 9 the broker answers the archive's share for the hospital.
    let mut seen = Messages::new();
    let run = world.cast().run(&mut |at, bytes| {
        seen.push((at, bytes.clone()));
        if at != "9 completion" {
            return bytes;
        }
        let share = read::<BrokerAnswer>(&message(&seen, "5+8 answer")).archive_share;
        let session = read::<Share>(read::<SignedShare>(share.as_ref()).share.as_ref()).header.session;
        let agreement = Agreement::gateway_archive(session);
        let (_, answer) = agreement.answer(&world.broker, share.as_ref(), &Policies::standard(), |answer| answer);
        let mut both: Completion = read(&bytes);
        both.for_archive = Blob(answer);
        to_bytes(&both)
    });
    told(run, 9, Fault::Gateway, "signature-wrong");
}

/// A malicious broker tells the archive other policies than the hospital's.
#[test]
fn a_broker_that_swaps_policies() {
    let (_, _seeded) = seeded("swapped policies");
    let world = World::new();
    let mut weaker = Policies::standard();
    weaker.retention_days = 1;
    // It asks the archive for step 8 with them, in a channel of its own with the archive.
    let (l, offered) = until_step_8(&world, &weaker);
    let error = l(offered);
    assert_eq!(
        (error.step, error.fault, error.code()),
        (Step::Authentication(8), Fault::Broker, "policy-changed"),
        "{error}"
    );
}

/// An honest run up to step 8, in which the broker asks the archive for step 8 with these policies. Gives what the
/// hospital says to a step 8, and step 8.
fn until_step_8<'a>(world: &'a World, policies: &Policies) -> (impl FnOnce(Vec<u8>) -> ProtocolError + 'a, Vec<u8>) {
    use sealwort_proto::handshake::archive::on_introduction;
    use sealwort_proto::handshake::broker::{Greeted, Load, on_hello, start_archive};
    use sealwort_proto::handshake::gateway::{Presented, start};
    let (peers, names) = (world.peers(), (&world.gateway.identity, &world.broker.identity, &world.archive.identity));
    let (l, hello) = start(&world.gateway, names.2, names.1, HOP_LT);
    let greeted = on_hello(&hello, &world.broker, &peers, names.0, &HOP_LT, names.2, &Load::Normal).unwrap();
    let Greeted::Introduce(t, introduction) = greeted else { panic!("no load") };
    let (m_tm, m, acceptance) = on_introduction(&introduction, &world.archive, &peers, names.1).unwrap();
    let (t, presentation) = t.on_acceptance(&acceptance, &world.broker, &peers).unwrap();
    let Presented::Continue(l, share) = l.on_presentation(&presentation, &world.gateway, &peers).unwrap() else {
        panic!("no load")
    };
    let opening = t.archive_opening();
    let t = t.on_share(&share, &world.broker, &HOP_LT, world.now).unwrap();
    let (_, share6) = start_archive(opening, &world.broker, &HOP_TM).unwrap();
    let (m_broker, _) = m_tm.on_share(&share6, &world.archive, &HOP_TM, world.now).unwrap();
    let (_, share8) = m.on_offer(policies, &m_broker.broker, &world.archive).unwrap();
    let answer = t.answer_with(share8);
    let step_9 =
        move |answer: Vec<u8>| l.on_answer(&answer, &world.gateway, world.now).err().expect("policies were swapped");
    (step_9, answer)
}

/// Nonces, session ids, KEM keys and encapsulations are never used twice.
#[test]
fn nothing_fresh_comes_twice() {
    let world = World::new();
    let mut fresh = HashSet::new();
    let runs = 40;
    for _ in 0..runs {
        let (seen, _) = world.cast().recording();
        let acceptance: Acceptance = read(&message(&seen, "3 acceptance"));
        let introduction: Introduction = read(&message(&seen, "2 introduction"));
        let hello: Hello = read(introduction.hello.as_ref());
        let share = read::<Share>(read::<SignedShare>(&message(&seen, "4 share")).share.as_ref());
        let values = [
            hello.nonce.as_bytes().to_vec(),
            introduction.nonce.as_bytes().to_vec(),
            acceptance.nonce.as_bytes().to_vec(),
            session_in(&seen).as_bytes().to_vec(),
            share.key.0,
            message(&seen, "7 answer"),
        ];
        for value in values {
            assert!(fresh.insert(value), "something fresh came twice");
        }
    }
    assert_eq!(fresh.len(), runs * 6);
    // Under one key no two messages have the same number, so that no AEAD nonce repeats.
    let session = world.session();
    let mut numbers = HashSet::new();
    for _ in 0..100 {
        let (number, _) = session.gateway.with_archive.request(b"the same content", world.now).unwrap();
        assert!(numbers.insert(number), "a message number came twice");
    }
}

/// A hospital's keys were stolen: after the revocation the thief is nobody, also where it was known before.
#[test]
fn a_stolen_key_is_worthless_once_it_is_revoked() {
    let (_, _seeded) = seeded("stolen key");
    let mut world = World::new();
    let thief = world.exchange.party(Role::Gateway, "robbed");
    let serial = thief.statement.serial;
    let thief = party(thief);
    let run = |world: &World| Cast::of(world, &thief, &world.broker, &world.archive).run(&mut |_, bytes| bytes);
    assert!(run(&world).outcome.is_ok(), "before the revocation it is the hospital");
    let crl = world.exchange.crl(2, &[serial]);
    world.trust.set_crl(&crl, world.exchange.issuing.certificate(), world.now).unwrap();
    told(run(&world), 1, Fault::Gateway, "certificate-refused");
    // A broker in league lets it pass; the archive does not.
    let mut blind = World::new();
    std::mem::swap(&mut blind.exchange, &mut world.exchange);
    let lenient = blind.exchange.trust();
    let error = introduced_by_lenient_broker(&world, &thief, &lenient);
    assert_eq!(
        (error.step, error.fault, error.code()),
        (Step::Authentication(2), Fault::Gateway, "certificate-refused")
    );
    // Everybody else goes on.
    world.session();
}

/// Step 2 by a broker that does not look at revocation lists, at the archive that does.
fn introduced_by_lenient_broker(world: &World, gateway: &Party, lenient: &sealwort_pki::Trust) -> ProtocolError {
    use sealwort_proto::handshake::archive::on_introduction;
    use sealwort_proto::handshake::broker::{Greeted, Load, on_hello};
    use sealwort_proto::handshake::gateway::start;
    let cache = sealwort_proto::peers::PeerCache::default();
    let blind = sealwort_proto::peers::Peers { trust: lenient, cache: &cache, now: world.now };
    let (broker, archive) = (&world.broker, &world.archive.identity);
    let (_, hello) = start(gateway, archive, &broker.identity, HOP_LT);
    let greeted = on_hello(&hello, broker, &blind, &gateway.identity, &HOP_LT, archive, &Load::Normal).unwrap();
    let Greeted::Introduce(_, introduction) = greeted else { panic!("no load") };
    on_introduction(&introduction, &world.archive, &world.peers(), &broker.identity).err().unwrap()
}

/// Every message of a channel is taken once, whatever the order in which copies come.
#[test]
fn channel_messages_are_taken_once() {
    let (mut chance, _seeded) = seeded("replayed channel messages");
    let world = World::new();
    let session = world.session();
    let (a, b) = (&session.gateway.with_archive, &session.archive.channel);
    let sent: Vec<_> = (0..200).map(|_| a.request(b"content", world.now).unwrap().1).collect();
    let mut taken = HashSet::new();
    for _ in 0..1_000 {
        let which = chance.below(sent.len());
        let opened = b.open_request(&sent[which], world.now);
        assert_eq!(opened.is_ok(), taken.insert(which), "message {which}");
        if let Err(error) = opened {
            assert_eq!(error.code(), "message-replayed");
        }
    }
    // Sent back to where it came from, it opens nowhere: each direction has its own key.
    let (_, echo) = a.request(b"content", world.now).unwrap();
    assert_eq!(a.open_request(&echo, world.now).unwrap_err().code(), "seal-broken");
    // Nor in another channel of the same two, nor in that of another pair.
    let other = world.session();
    for channel in [&other.archive.channel, &other.gateway.with_archive] {
        assert_eq!(channel.open_request(&echo, world.now).unwrap_err().code(), "session-wrong");
    }
    for channel in [&session.broker.channel, &session.gateway.with_broker] {
        assert_eq!(channel.open_request(&echo, world.now).unwrap_err().code(), "seal-broken");
    }
}

/// Everything that was recorded, with all long-term keys handed over afterwards.
///
/// What this shows: none of the secrets and values that exist after the session gives its keys, by the protocol's own
/// key schedule, and the same procedure does find the keys where the ephemeral secret is known. What it cannot show:
/// that there is no other way; that is what the proof is for (queries of forward secrecy in `proof/`).
#[test]
fn a_recorded_exchange_stays_closed_when_all_long_term_keys_leak() {
    let (_, _seeded) = seeded("recorded");
    let world = World::new();
    let (seen, _) = world.cast().recording();
    let id = session_in(&seen);
    let both: BrokerAnswer = read(&message(&seen, "5+8 answer"));
    let runs = [
        (
            Agreement::gateway_broker(id, &HOP_LT, &message(&seen, "1 hello"), &message(&seen, "3 presentation")),
            message(&seen, "4 share"),
            both.answer.0,
        ),
        (
            Agreement::broker_archive(id, &HOP_TM, &message(&seen, "2 introduction"), &message(&seen, "3 acceptance")),
            message(&seen, "6 share"),
            message(&seen, "7 answer"),
        ),
        (
            Agreement::gateway_archive(id),
            both.archive_share.0,
            read::<Completion>(&message(&seen, "9 completion")).for_archive.0,
        ),
    ];
    // All that is left: the long-term keys, every run of 32 bytes on the wire, and what KEM keys made from the
    // long-term keys decapsulate.
    let mut secrets: HashSet<[u8; 32]> = HashSet::from([[0; 32], [0xff; 32]]);
    let parties = [&world.gateway, &world.broker, &world.archive];
    let keys: Vec<Vec<u8>> = parties.iter().map(|party| party.key.to_pkcs8().unwrap().to_vec()).collect();
    for bytes in keys.iter().chain(seen.iter().map(|(_, bytes)| bytes)) {
        secrets.extend(bytes.windows(32).map(|run| <[u8; 32]>::try_from(run).unwrap()));
    }
    for key in &keys {
        for seed in key.windows(32).map(|run| <[u8; 32]>::try_from(run).unwrap()) {
            for (_, _, answer) in &runs {
                secrets.extend(decapsulated(&seed, answer));
            }
        }
    }
    let mut attempts = 0;
    let sealed = [message(&seen, "8 call"), message(&seen, "9 call"), message(&seen, "confirmation")];
    for (agreement, share, answer) in &runs {
        let confirmation = read::<sealwort_proto::message::SignedAnswer>(answer).confirmation.0;
        for secret in &secrets {
            attempts += 1;
            let keys = agreement.keys_of(share, answer, secret);
            assert_ne!(keys.confirmation.to_vec(), confirmation, "a key of {} was derived", agreement.pair);
        }
        // Opening what was recorded is tried with some of them; the confirmation above stands for all.
        for secret in secrets.iter().take(200) {
            let keys = agreement.keys_of(share, answer, secret);
            for (direction, message) in [&keys.sharer_to_answerer, &keys.answerer_to_sharer]
                .into_iter()
                .flat_map(|direction| sealed.iter().map(move |message| (direction, message)))
            {
                assert!(Letter::open(agreement.pair, direction, message).is_none());
            }
        }
    }
    println!("{} secrets, {attempts} attempts: none gives a session key", secrets.len());
    control(&world);
}

fn decapsulated(seed: &[u8; 32], answer: &[u8]) -> Option<[u8; 32]> {
    let answer: sealwort_proto::message::Answer =
        read(read::<sealwort_proto::message::SignedAnswer>(answer).answer.as_ref());
    let key = sealwort_proto::crypto::KemKey::from_seed(seed).ok()?;
    key.decapsulate(answer.encapsulation.as_ref(), &sealwort_proto::operations::Operations::default())
        .ok()
        .map(|secret| *secret.expose())
}

/// The procedure finds the keys where the ephemeral secret is known: to the broker itself, of step 6.
fn control(world: &World) {
    let mut seen = Messages::new();
    let mut kem = None;
    let run = world.cast().run(&mut |at, bytes| {
        seen.push((at, bytes.clone()));
        if at != "6 share" {
            return bytes;
        }
        let session = read::<Share>(read::<SignedShare>(&bytes).share.as_ref()).header.session;
        let (introduction, acceptance) = (message(&seen, "2 introduction"), message(&seen, "3 acceptance"));
        let agreement = Agreement::broker_archive(session, &HOP_TM, &introduction, &acceptance);
        let (key, share) = agreement.share(&world.broker, &Policies::standard());
        kem = Some((key, agreement, share.clone()));
        share
    });
    drop(run);
    let (key, agreement, share) = kem.unwrap();
    let answer: sealwort_proto::message::SignedAnswer = read(&message(&seen, "7 answer"));
    let inner: sealwort_proto::message::Answer = read(answer.answer.as_ref());
    let operations = sealwort_proto::operations::Operations::default();
    let secret = key.decapsulate(inner.encapsulation.as_ref(), &operations).unwrap();
    let keys = agreement.keys_of(&share, &message(&seen, "7 answer"), secret.expose());
    assert_eq!(keys.confirmation.to_vec(), answer.confirmation.0, "the procedure finds keys where they can be found");
    let sealed = Letter::new("TM", agreement.session, 1).seal(&keys.sharer_to_answerer, b"content");
    assert_eq!(Letter::open("TM", &keys.sharer_to_answerer, &sealed).unwrap(), b"content");
}
