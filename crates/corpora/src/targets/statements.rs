//! Signed statements (`spec/protocol.md`, section 6): COSE_Sign1 of every kind, and what registrations, directives,
//! tokens, proofs of possession, receipts and entries say. A statement is altered on its way, which must show, or by
//! its own signer, which must at least have the right form.

use std::sync::OnceLock;

use sealwort_consent::{
    Action, CompiledDirective, Directive, LabelTag as ConsentTag, Party as Grantee, Patient, Period, Predecessor,
    Purpose, Request, Terms, check_successor,
};
use sealwort_pki::testing::TEST_NOW;
use sealwort_pki::{PublicKey, Role, SigningKey};
use sealwort_proto::codec::to_bytes;
use sealwort_proto::erasure::{self, Certificate, Destroyed, Erasure};
use sealwort_proto::handshake::Party;
use sealwort_proto::log::{Authors, entry_hash};
use sealwort_proto::log_request::{self, LogRequest};
use sealwort_proto::message::{AccessRequest, Header};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::receipt::{self, Receipt, Witness};
use sealwort_proto::record::{self, EntryHeader, Envelope};
use sealwort_proto::registration::{self, LOCATORS_MAX, Moment, Registration};
use sealwort_proto::statement::{self, Kind, STATEMENT_BYTES_MAX};
use sealwort_proto::testing::Seeded;
use sealwort_proto::token::{self, Token, TokenUse};
use sealwort_proto::{DepositId, Digest, EntryId, LabelTag, Locator, Pseudonym, SUITE, SessionId, TokenId};

use crate::input::Input;
use crate::mutation::alter;
use crate::world::world;

const PATIENT: Pseudonym = Pseudonym::new([9; 32]);
const TAG: LabelTag = LabelTag::new([7; 16]);
const BINDING: Digest = Digest::new([5; 32]);

/// Reads statements as the script says: the kind, how it was made, then bytes or alterations.
///
/// # Panics
/// When an altered statement verifies, or one that verifies has a form that none may have.
pub fn statements(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.one_of(&Kind::ALL);
    let how = input.byte() % 4;
    let signer = signer(kind);
    let operations = Operations::default();
    match how {
        // Any bytes at all.
        0 => {
            if let Ok(read) = statement::parse(kind, input.rest()) {
                assert!(input.rest().len() <= STATEMENT_BYTES_MAX);
                let payload = read.payload().to_vec();
                if read.verify(signer.public_key(), &operations).is_ok() {
                    assert_eq!(statement::sign(kind, &payload, signer, &operations).as_deref(), Ok(input.rest()));
                }
            }
            read_as(kind, input.rest());
        }
        // Altered on its way.
        1 => {
            let good = statement::sign(kind, &payload(kind), signer, &operations).expect("a signature");
            let altered = alter(good.clone(), input, &[]);
            let opened = statement::open(kind, &altered, signer.public_key(), &operations);
            assert_eq!(opened.is_ok(), altered == good, "an altered statement verifies");
            assert!(altered == good || !read_as(kind, &altered), "an altered {kind:?} was accepted");
        }
        // Altered by its signer, or any payload.
        how => {
            let payload = if how == 2 { alter(payload(kind), input, &[]) } else { input.rest().to_vec() };
            let signed = statement::sign(kind, &payload, signer, &operations).expect("a signature");
            if signed.len() <= STATEMENT_BYTES_MAX {
                assert_eq!(statement::open(kind, &signed, signer.public_key(), &operations).as_ref(), Ok(&payload));
            } else {
                assert!(statement::parse(kind, &signed).is_err());
            }
            read_as(kind, &signed);
        }
    }
}

/// Reads a statement as its receiver does; whether it was accepted. What is accepted has the right form.
fn read_as(kind: Kind, bytes: &[u8]) -> bool {
    let world = world();
    let operations = Operations::default();
    match kind {
        Kind::Registration => {
            let read = registration::verify(bytes, "demo", Moment::Acceptance, &world.peers(), &operations);
            let past = registration::verify(bytes, "demo", Moment::Reading, &world.peers(), &operations);
            drop(past);
            let Ok(read) = read else { return false };
            let registration = read.registration();
            assert!((1..=LOCATORS_MAX).contains(&registration.locators.len()));
            assert!(registration.locators.is_sorted_by(|a, b| a < b));
            assert_eq!(registration.exchange, "demo");
            assert_eq!(registration.registered_by, world.gateway.identity.to_string());
            true
        }
        Kind::Directive => {
            let Ok(payload) = statement::open(kind, bytes, signer(kind).public_key(), &operations) else {
                return false;
            };
            directive(&payload)
        }
        Kind::Token => token_is_accepted(bytes, &operations),
        Kind::Possession => {
            let token = statement::sign(Kind::Token, &payload(Kind::Token), signer(Kind::Token), &operations);
            let token = token::verify(&token.expect("a token"), &token_use(), &operations).expect("a good token");
            token::check_possession(bytes, &token, world.gateway.key.public_key(), &operations).is_ok()
        }
        Kind::LogRequest => {
            let key = world.stranger.key.public_key();
            log_request::verify(bytes, "demo", SessionId::new([1; 32]), key, TEST_NOW, &operations).is_ok()
        }
        Kind::Erasure => {
            let read = erasure::verify(bytes, "demo", world.stranger.key.public_key(), &operations);
            read.is_ok_and(|read| {
                assert_eq!(read.erasure().exchange, "demo");
                true
            })
        }
        Kind::ErasureCertificate => {
            let read = erasure::verify_certificate(bytes, "demo", Role::Archive, &world.peers(), &operations);
            read.is_ok_and(|read| {
                assert_eq!(read.certificate().party, world.archive.identity.to_string());
                true
            })
        }
        Kind::Receipt => {
            let name = world.archive.identity.to_string();
            let read = receipt::verify(bytes, "demo", &name, world.archive.key.public_key(), &operations);
            read.is_ok_and(|read| {
                assert_eq!(
                    (read.receipt().exchange.as_str(), read.receipt().archive.as_str()),
                    ("demo", name.as_str())
                );
                true
            })
        }
        Kind::Entry => {
            let mut authors = Authors::default();
            authors.add(&world.gateway.chain, TEST_NOW, &world.peers()).expect("an author");
            authors.verify(bytes, &operations).is_ok_and(|entry| {
                assert_eq!(entry.header().author, world.gateway.identity.to_string());
                assert_eq!((entry.header().suite, entry.hash()), (SUITE, entry_hash(bytes)));
                assert!(entry.ciphertext_length() <= record::CIPHERTEXT_BYTES_MAX as u64);
                true
            })
        }
        Kind::Request => statement::open(kind, bytes, world.gateway.key.public_key(), &operations).is_ok(),
    }
}

/// A directive's own form, whether it may follow another, and what it decides.
fn directive(payload: &[u8]) -> bool {
    let Ok(read) = Directive::from_bytes(payload) else { return false };
    assert_eq!(read.to_bytes(), payload);
    let first = first_directive();
    let digest = statement::digest(&first.to_bytes());
    let successor = check_successor(Some(Predecessor { directive: first, digest: *digest.as_bytes() }), &read);
    if successor.is_ok() {
        assert_eq!((read.version(), read.patient()), (2, first.patient()));
        assert!(read.epoch() >= first.epoch() && read.issued_at() >= first.issued_at());
    }
    let Ok(compiled) = CompiledDirective::compile(&read) else { return true };
    let tags = vec![ConsentTag::new([7; 16]), ConsentTag::new([8; 16])];
    for (party, action) in [("a", Action::Read), ("a", Action::Write), ("b", Action::Emergency)] {
        let party = Grantee::new(format!("sealwort://demo/gateway/{party}")).expect("a party");
        let now = TEST_NOW.as_secs();
        let request = Request {
            party,
            patient: read.patient(),
            role: None,
            action,
            tags: tags.clone(),
            purpose: Purpose::Treatment,
            now,
        };
        let decision = compiled.decide(&request);
        for tag in decision.permitted() {
            let permits = |terms: &Terms| {
                terms.grantees().holds(&request.party)
                    && terms.actions().contains(&action)
                    && terms.purposes().contains(&request.purpose)
                    && terms.tags().contains(tag)
            };
            assert!(read.provisions().iter().any(|provision| permits(provision.terms())), "permitted by nobody");
        }
    }
    true
}

fn token_is_accepted(bytes: &[u8], operations: &Operations) -> bool {
    let usage = token_use();
    let Ok(verified) = token::verify(bytes, &usage, operations) else { return false };
    let token = verified.token();
    assert_eq!((token.exchange.as_str(), token.binding), (usage.exchange, BINDING));
    assert_eq!(
        (token.issuer.as_str(), token.holder.as_str(), token.audience.as_str()),
        (usage.issuer, usage.holder, usage.audience)
    );
    assert!(token.expires_at > token.issued_at && token.expires_at - token.issued_at <= 60);
    assert!(token.issued_at <= TEST_NOW.as_secs() + 30 && TEST_NOW.as_secs() < token.expires_at + 30);
    assert!(!token.tags.is_empty() && token.tags.is_sorted_by(|a, b| a < b));
    true
}

fn token_use() -> TokenUse<'static> {
    static NAMES: OnceLock<[String; 3]> = OnceLock::new();
    static KEYS: OnceLock<[PublicKey; 2]> = OnceLock::new();
    let world = world();
    let [issuer, holder, audience] =
        NAMES.get_or_init(|| [&world.broker, &world.gateway, &world.archive].map(|party| party.identity.to_string()));
    let [issuer_key, holder_key] =
        KEYS.get_or_init(|| [&world.broker, &world.gateway].map(|party| party.key.public_key().clone()));
    TokenUse {
        exchange: "demo",
        issuer,
        issuer_key,
        holder,
        holder_key,
        audience,
        binding: BINDING,
        lifetime_seconds: 60,
        skew_seconds: 30,
        now: TEST_NOW,
    }
}

/// Who signs statements of this kind; a directive is signed by a consent authority of its own.
fn signer(kind: Kind) -> &'static SigningKey {
    let world = world();
    let party: &Party = match kind {
        Kind::Request | Kind::Possession | Kind::Registration | Kind::Entry => &world.gateway,
        Kind::Token => &world.broker,
        Kind::Receipt | Kind::ErasureCertificate => &world.archive,
        Kind::Directive | Kind::Erasure | Kind::LogRequest => &world.stranger,
    };
    &party.key
}

fn first_directive() -> &'static Directive {
    static FIRST: OnceLock<Directive> = OnceLock::new();
    FIRST.get_or_init(|| {
        let grantee = |name: &str| Grantee::new(format!("sealwort://demo/gateway/{name}")).expect("a party");
        let period = Period::new(0, None).expect("a period");
        let tags = [ConsentTag::new([7; 16])];
        let terms =
            |name, action| Terms::new(grantee(name), [action], tags, [Purpose::Treatment], period).expect("terms");
        let all = vec![terms("a", Action::Read), terms("a", Action::Write), terms("b", Action::Emergency)];
        Directive::first("demo", Patient::new([9; 32]), TEST_NOW.as_secs(), all).expect("a directive")
    })
}

/// What a good statement of this kind says.
pub fn payload(kind: Kind) -> Vec<u8> {
    let world = world();
    let name = |party: &Party| party.identity.to_string();
    match kind {
        Kind::Request => to_bytes(&AccessRequest {
            header: Header::new("demo", 1, SessionId::new([1; 32])),
            patient: PATIENT,
            action: "read".into(),
            tags: vec![TAG],
            purpose: "TREAT".into(),
            emergency: None,
            user: "dr-jones".into(),
            user_role: "physician".into(),
        }),
        Kind::Token => to_bytes(&Token {
            exchange: "demo".into(),
            issuer: name(&world.broker),
            holder: name(&world.gateway),
            holder_key: statement::key_id(world.gateway.key.public_key()),
            audience: name(&world.archive),
            id: TokenId::new([4; 16]),
            patient: PATIENT,
            action: "read".into(),
            tags: vec![TAG],
            purpose: "TREAT".into(),
            emergency: None,
            user: "dr-a".into(),
            user_role: "physician".into(),
            request: Digest::ZERO,
            policies: Digest::ZERO,
            directive_version: 1,
            epoch: 1,
            witness_sequence: 0,
            witness_head: Digest::ZERO,
            binding: BINDING,
            issued_at: TEST_NOW.as_secs(),
            expires_at: TEST_NOW.as_secs() + 60,
        }),
        Kind::Possession => {
            let token =
                statement::sign(Kind::Token, &payload(Kind::Token), signer(Kind::Token), &Operations::default());
            to_bytes(&(TokenId::new([4; 16]), BINDING, statement::digest(&token.expect("a token"))))
        }
        Kind::Registration => {
            let _seeded = Seeded::install(6);
            let key = world.stranger.key.public_key();
            to_bytes(&Registration::new("demo", PATIENT, [Locator::new([3; 32])], key, &world.gateway, TEST_NOW))
        }
        Kind::Directive => {
            let first = first_directive();
            let digest = *statement::digest(&first.to_bytes()).as_bytes();
            let grantee = Grantee::new("sealwort://demo/gateway/c").expect("a party");
            let period = Period::new(0, Some(TEST_NOW.as_secs() + 1000)).expect("a period");
            let terms = Terms::new(grantee, [Action::Read], [ConsentTag::new([8; 16])], [Purpose::Treatment], period);
            first.grant(TEST_NOW.as_secs(), digest, vec![terms.expect("terms")]).expect("a directive").to_bytes()
        }
        Kind::Receipt => to_bytes(&Receipt {
            exchange: "demo".into(),
            archive: name(&world.archive),
            patient: PATIENT,
            sequence: 7,
            head: Digest::ZERO,
            deposit: Some(DepositId::new([2; 16])),
            issued_at: TEST_NOW.as_secs(),
        }),
        Kind::Erasure => to_bytes(&Erasure {
            exchange: "demo".into(),
            patient: PATIENT,
            version: 2,
            reason: "patient-request".into(),
            issued_at: TEST_NOW.as_secs(),
        }),
        Kind::ErasureCertificate => to_bytes(&Certificate {
            exchange: "demo".into(),
            patient: PATIENT,
            erasure: Digest::ZERO,
            destroyed: Destroyed {
                halves: 1,
                entries: 2,
                head: Witness { sequence: 2, head: Digest::ZERO },
                erased_at: TEST_NOW.as_secs(),
            },
            party: name(&world.archive),
            issued_at: TEST_NOW.as_secs(),
            certificate: chain_to_wire(&world.archive.chain),
        }),
        Kind::LogRequest => to_bytes(&LogRequest {
            exchange: "demo".into(),
            patient: PATIENT,
            session: SessionId::new([1; 32]),
            issued_at: TEST_NOW.as_secs(),
        }),
        Kind::Entry => {
            let header = to_bytes(&entry_header());
            to_bytes(&Envelope { header: header.into(), ciphertext: Digest::ZERO, length: 256 })
        }
    }
}

fn entry_header() -> EntryHeader {
    EntryHeader {
        suite: SUITE,
        exchange: "demo".into(),
        patient: PATIENT,
        entry: EntryId::new([1; 16]),
        author: world().gateway.identity.to_string(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: Digest::ZERO,
        authored_at: TEST_NOW.as_secs(),
        deposit: DepositId::new([2; 16]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_example_that_is_accepted() {
        for kind in Kind::ALL {
            let signed = statement::sign(kind, &payload(kind), signer(kind), &Operations::default()).unwrap();
            assert!(read_as(kind, &signed), "{kind:?}");
        }
    }
}
