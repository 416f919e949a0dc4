//! Joining as the party sees it: an honest answer is accepted once, and every
//! way in which an answer can be wrong has its own error.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use super::*;
use crate::authority::{PARTY_LIFETIME, parse_csr};
use crate::testing::{TEST_NOW, TestExchange};
use crate::{CertificateChain, Expected, Fingerprint, Identity, KeyAlgorithm, KeyUse, Role};

fn invitation(exchange: &TestExchange, role: Role) -> Invitation {
    Invitation {
        identity: exchange.identity(role, "one"),
        url: "https://127.0.0.1:8440".into(),
        root: exchange.root.fingerprint(),
        secret: InvitationSecret::generate().unwrap(),
        expires: TEST_NOW.plus(Duration::from_hours(1)),
    }
}

/// What an honest authority answers.
fn answer(exchange: &TestExchange, identity: &Identity, hop: &[u8], statement: &[u8]) -> JoinResponse {
    let (hop, statement) = (parse_csr(hop).unwrap(), parse_csr(statement).unwrap());
    let pair = exchange.issuing.issue_pair(identity, &hop, &statement, PARTY_LIFETIME, TEST_NOW).unwrap();
    JoinResponse {
        hop: pair.hop.chain,
        statement: pair.statement.chain,
        root: exchange.root.certificate().to_vec(),
        crl: exchange.crl(1, &[]),
        directory_key: (identity.role == Role::Gateway).then(|| DirectoryKey::from_bytes(&[7; 32])),
    }
}

#[test]
fn an_honest_answer_makes_a_member_that_survives_its_file() {
    for algorithm in KeyAlgorithm::ALL {
        for role in Role::ALL {
            let exchange = TestExchange::with("demo", algorithm, TEST_NOW);
            let invitation = invitation(&exchange, role);
            let read = Invitation::from_json(invitation.to_json().as_bytes()).unwrap();
            assert_eq!(read, invitation);
            let request = JoinRequest::new(read, algorithm, TEST_NOW).unwrap();

            let body = EnrolRequest::from_json(request.to_json().as_bytes()).unwrap();
            assert_eq!(body, request.message());
            assert_eq!(body.secret.digest(), invitation.secret.digest());
            let response = answer(&exchange, &body.identity, &body.hop, &body.statement);
            let response = JoinResponse::from_json(response.to_json().as_bytes()).unwrap();
            let admission = request.accept(response, TEST_NOW).unwrap();
            let member = admission.membership;
            assert_eq!(member.trust.crl_number(), Some(1));
            assert_eq!(member.renewal_time(), TEST_NOW.plus(PARTY_LIFETIME * 2 / 3).minus(Duration::from_secs(20)));

            let file = member.to_json().unwrap();
            let mut again = Membership::from_json(file.as_bytes()).unwrap();
            assert_eq!(again.to_json().unwrap(), file);
            assert_eq!(again.identity, invitation.identity);
            assert_eq!(again.not_after(), TEST_NOW.plus(PARTY_LIFETIME));
            assert_eq!(again.trust.crl_number(), None);
            let crl = CrlResponse::from_json(admission.crl.to_json().as_bytes()).unwrap();
            again.trust.set_crl(&crl.crl, &crl.issuing, TEST_NOW).unwrap();
            let expected = Expected::role(role, KeyUse::Statement);
            again.trust.verify(&again.statement.chain, &expected, TEST_NOW).unwrap();
        }
    }
}

#[test]
fn each_wrong_answer_has_its_own_error() {
    type Change = Box<dyn FnOnce(&mut JoinResponse)>;
    let exchange = TestExchange::new("demo");
    let stranger = TestExchange::new("demo");
    let other = exchange.party(Role::Gateway, "other");
    let same = exchange.party(Role::Gateway, "one");
    let broker = exchange.party(Role::Broker, "one");
    let strangers_root = stranger.root.certificate().to_vec();
    let strangers_crl = stranger.crl(1, &[]);
    let strangers_chain = stranger.party(Role::Gateway, "one").hop.chain;
    let changes: Vec<(&str, Change)> = vec![
        ("wrong-root", Box::new(move |r| r.root = strangers_root)),
        ("crl-bad-signature", Box::new(move |r| r.crl = strangers_crl)),
        ("bad-issuing-certificate", Box::new(move |r| r.hop = strangers_chain)),
        ("wrong-name", Box::new(move |r| r.hop = other.hop.chain)),
        ("wrong-role", Box::new(move |r| r.statement = broker.statement.chain)),
        ("wrong-key", Box::new(move |r| r.statement = same.statement.chain)),
        ("wrong-key-use", Box::new(|r| std::mem::swap(&mut r.hop, &mut r.statement))),
        ("unknown-issuer", Box::new(|r| r.hop = CertificateChain::new(vec![r.hop.leaf().to_vec()]).unwrap())),
        ("directory-key", Box::new(|r| r.directory_key = None)),
    ];
    for (code, change) in changes {
        let request = JoinRequest::new(invitation(&exchange, Role::Gateway), KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
        let body = request.message();
        let mut response = answer(&exchange, &body.identity, &body.hop, &body.statement);
        change(&mut response);
        assert_eq!(request.accept(response, TEST_NOW).unwrap_err().code(), code);
    }

    let request = JoinRequest::new(invitation(&exchange, Role::Broker), KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
    let body = request.message();
    let mut response = answer(&exchange, &body.identity, &body.hop, &body.statement);
    response.directory_key = Some(DirectoryKey::from_bytes(&[7; 32]));
    assert_eq!(request.accept(response, TEST_NOW).unwrap_err(), JoinError::DirectoryKey);

    let late = TEST_NOW.plus(Duration::from_hours(2));
    let expired = JoinRequest::new(invitation(&exchange, Role::Broker), KeyAlgorithm::Ed25519, late);
    assert_eq!(expired.unwrap_err().code(), "invitation-expired");
}

#[test]
fn renewal_keeps_the_root_and_the_directory_key() {
    let exchange = TestExchange::new("demo");
    let stranger = TestExchange::new("demo");
    let member = |exchange: &TestExchange| {
        let invitation = invitation(exchange, Role::Gateway);
        let request = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
        let body = request.message();
        let response = answer(exchange, &body.identity, &body.hop, &body.statement);
        request.accept(response, TEST_NOW).unwrap().membership
    };
    let mut other_key = member(&exchange);
    other_key.directory_key = Some(DirectoryKey::from_bytes(&[8; 32]));
    for (current, code) in
        [(member(&exchange), None), (other_key, Some("directory-key-changed")), (member(&stranger), Some("wrong-root"))]
    {
        let identity = exchange.identity(Role::Gateway, "one");
        let request = RenewalRequest::new(identity.clone(), KeyAlgorithm::Ed25519).unwrap();
        let body = RenewRequest::from_json(request.to_json().as_bytes()).unwrap();
        let response = answer(&exchange, &identity, &body.hop, &body.statement);
        let found = request.accept(response, &current.trust, current.directory_key.as_ref(), TEST_NOW);
        assert_eq!(found.err().map(|error| error.code()), code);
    }
}

#[test]
fn messages_are_read_strictly() {
    let exchange = TestExchange::new("demo");
    let good = invitation(&exchange, Role::Gateway).to_json().to_string();
    for (from, to) in [
        ("https:", "http:"),
        ("\"name\"", "\"nome\""),
        ("\"url\"", "\"extra\":1,\"url\""),
        ("\"gateway\"", "\"Gateway\""),
        ("\"secret\":\"", "\"secret\":\"00"),
        ("}", ""),
    ] {
        assert_ne!(good.replacen(from, to, 1), good);
        assert!(Invitation::from_json(good.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
    }
    let long = format!("{good}{}", " ".repeat(MESSAGE_BYTES_MAX));
    assert!(matches!(Invitation::from_json(long.as_bytes()), Err(MessageError::TooLong { .. })));
    for wrong in ["", "{}", "[]", "{\"crl\":\"\",\"issuing\":\"00\"}", "{\"crl\":\"zz\",\"issuing\":\"00\"}"] {
        assert!(CrlResponse::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        assert!(JoinResponse::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        assert!(RenewRequest::from_json(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let root = RootResponse { exchange: "demo".parse().unwrap(), root: exchange.root.certificate().to_vec() };
    assert_eq!(RootResponse::from_json(root.to_json().as_bytes()), Ok(root));
    let refusal = Refusal { code: "a".into(), message: "b".into(), remedy: "c".into() };
    assert_eq!(Refusal::from_json(refusal.to_json().as_bytes()), Ok(refusal));
}

#[test]
fn a_membership_file_is_read_only_whole() {
    let exchange = TestExchange::new("demo");
    let member = |role| {
        let request = JoinRequest::new(invitation(&exchange, role), KeyAlgorithm::Ed25519, TEST_NOW).unwrap();
        let body = request.message();
        let response = answer(&exchange, &body.identity, &body.hop, &body.statement);
        request.accept(response, TEST_NOW).unwrap().membership
    };
    let (mut one, two) = (member(Role::Gateway), member(Role::Gateway));
    let damaged = |member: &Membership, field| {
        let json = member.to_json().unwrap();
        assert_eq!(Membership::from_json(json.as_bytes()).unwrap_err(), MembershipError(field));
    };
    one.directory_key = None;
    damaged(&one, "the directory key");
    one.directory_key = Some(DirectoryKey::from_bytes(&[1; 32]));
    let key = std::mem::replace(&mut one.hop.key, two.hop.key.clone());
    damaged(&one, "the hop key or certificate");
    one.hop.key = key;
    one.statement.chain = one.hop.chain.clone();
    damaged(&one, "the statement key or certificate");
    let json = two.to_json().unwrap();
    for wrong in [json.replacen("\"identity\"", "\"id\"", 1), json.to_uppercase(), String::new()] {
        assert!(Membership::from_json(wrong.as_bytes()).is_err());
    }
}

#[test]
fn secrets_do_not_print_and_compare_by_value() {
    let secret = InvitationSecret::from_bytes(&[9; 32]);
    assert_eq!(format!("{secret:?}"), "InvitationSecret([redacted])");
    assert_eq!(InvitationSecret::from_hex(&secret.expose_hex()), Some(secret.clone()));
    assert_ne!(secret, InvitationSecret::generate().unwrap());
    assert_ne!(secret.digest().as_bytes(), secret.expose_bytes());
    assert_ne!(*secret.digest().as_bytes(), *Fingerprint::of(secret.expose_bytes()).as_bytes());
    assert_eq!(DirectoryKey::from_hex("00"), None);
}
