//! `statements.json`: section 6 up to registrations; and tokens held against their use.

use sealwort_pki::{KeyUse, SigningKey};
use sealwort_proto::codec::{Blob, to_bytes};
use sealwort_proto::erasure::{Certificate, Destroyed, Erasure};
use sealwort_proto::log_request::LogRequest;
use sealwort_proto::operations::Operations;
use sealwort_proto::receipt::Witness;
use sealwort_proto::registration::Registration;
use sealwort_proto::statement::{self, Kind, key_id};
use sealwort_proto::token::{EmergencyTerm, Token};
use sealwort_proto::{Digest, EmergencyId, LabelTag, Locator, Pseudonym, SessionId, TokenId};
use serde_json::{Value, json};

use super::Maker;
use super::directives::Directive;
use super::logs::receipt;
use super::records::{PATIENT, TAGS, log};
use crate::cbor;
use crate::check::Library;
use crate::forge;
use crate::setting::{EXCHANGE, NOW, after};
use crate::vector::{File, hex};

/// `h_LM` of the tokens here.
const BINDING: [u8; 32] = [0xb0; 32];

pub(super) fn make(library: &Library) -> File {
    let mut m =
        Maker::new(library, "statements", "Signed statements, registrations, and tokens held against their use.");
    kinds(&mut m, library);
    broken(&mut m, library);
    registrations(&mut m, library);
    tokens(&mut m, library);
    sealed_tokens(&mut m, library);
    m.done()
}

/// Who signs a kind, and a payload for it.
fn kinds(m: &mut Maker<'_>, library: &Library) {
    for kind in Kind::ALL {
        let name = kind.content_type().trim_start_matches("application/sealwort-").trim_end_matches("+cbor");
        let party = match name {
            "token" => "broker",
            "receipt" | "erasure-certificate" => "archive",
            _ => "hospital-a",
        };
        let seed = library.setting.credential(party, KeyUse::Statement).seed;
        let payload = payload(library, kind);
        let input = json!({ "statement": name, "algorithm": "ed25519", "seed": hex(seed), "payload": hex(payload) });
        let comment = &format!("A {name}.");
        let made = m.good(&format!("statement-{name}-signed"), "statement-sign", "6", comment, input);
        m.cddl(&[("output.bytes", &format!("{name}-statement"))]);
        let key = library.setting.public_key(party);
        let input = json!({ "statement": name, "public_key": hex(key.as_bytes()), "bytes": made["bytes"] });
        m.good(&format!("statement-{name}-opened"), "statement-open", "6", comment, input);
    }
}

fn payload(library: &Library, kind: Kind) -> Vec<u8> {
    let session = cbor::bytes([0x5e; 32]);
    let tags: Vec<Value> = TAGS.iter().map(cbor::bytes).collect();
    match kind {
        Kind::Request => cbor::from_json(&json!([
            [1, EXCHANGE, 1, session],
            cbor::bytes(PATIENT),
            "read",
            tags,
            "TREAT",
            null,
            "dr-jones",
            "physician"
        ])),
        Kind::Token => to_bytes(&token(library)),
        Kind::Possession => {
            cbor::from_json(&json!([cbor::bytes([0x70; 16]), cbor::bytes(BINDING), cbor::bytes([0x74; 32])]))
        }
        Kind::Registration => to_bytes(&registration(library)),
        Kind::Directive => Directive::first().encode(),
        Kind::Entry => crate::vector::bytes(&log(library, 1)[0]["envelope"]),
        Kind::Receipt => to_bytes(&receipt()),
        Kind::Erasure => to_bytes(&erasure()),
        Kind::ErasureCertificate => to_bytes(&erasure_certificate(library)),
        Kind::LogRequest => to_bytes(&log_request()),
    }
}

/// A signed erasure, and the archive's signed certificate.
pub(super) fn signed_erasure(library: &Library) -> [Vec<u8>; 2] {
    let operations = Operations::default();
    let certificate = to_bytes(&erasure_certificate(library));
    [
        statement::sign(Kind::Erasure, &to_bytes(&erasure()), &library.setting.key("hospital-a"), &operations).unwrap(),
        statement::sign(Kind::ErasureCertificate, &certificate, &library.setting.key("archive"), &operations).unwrap(),
    ]
}

/// A signed log request.
pub(super) fn signed_log_request(library: &Library) -> Vec<u8> {
    let (key, operations) = (library.setting.key("hospital-a"), Operations::default());
    statement::sign(Kind::LogRequest, &to_bytes(&log_request()), &key, &operations).unwrap()
}

fn log_request() -> LogRequest {
    LogRequest {
        exchange: EXCHANGE.into(),
        patient: Pseudonym::new(PATIENT),
        session: SessionId::new([0x5e; 32]),
        issued_at: NOW.as_secs(),
    }
}

fn erasure() -> Erasure {
    Erasure {
        exchange: EXCHANGE.into(),
        patient: Pseudonym::new(PATIENT),
        version: 3,
        reason: "patient-request".into(),
        issued_at: NOW.as_secs(),
    }
}

fn erasure_certificate(library: &Library) -> Certificate {
    let archive = library.setting.credential("archive", KeyUse::Statement);
    Certificate {
        exchange: EXCHANGE.into(),
        patient: Pseudonym::new(PATIENT),
        erasure: statement::digest(b"an erasure statement"),
        destroyed: Destroyed {
            halves: 2,
            entries: 7,
            head: Witness { sequence: 7, head: statement::digest(b"a head") },
            erased_at: NOW.as_secs(),
        },
        party: format!("sealwort://{EXCHANGE}/archive/archive"),
        issued_at: NOW.as_secs() + 60,
        certificate: archive.chain.certificates().iter().map(|der| Blob(der.clone())).collect(),
    }
}

fn broken(m: &mut Maker<'_>, library: &Library) {
    let key = library.setting.key("broker");
    let payload = b"payload".to_vec();
    let kind = Kind::Token;
    let id = *key_id(key.public_key()).as_bytes();
    let right = statement::sign(kind, &payload, &key, &Operations::default()).unwrap();
    let mut bad = |name: &str, comment: &str, bytes: Vec<u8>, code: &str| {
        let public = hex(key.public_key().as_bytes());
        let input = json!({ "statement": "token", "public_key": public, "bytes": hex(bytes) });
        m.bad(&format!("statement-{name}"), "statement-open", "6", comment, input, code);
    };
    let sign = |protected: &[u8]| forge::signed(protected, kind.content_type(), &payload, &key);
    let malformed = "message-malformed";
    let invalid = "statement-invalid";
    let wrong = "signature-wrong";

    let mut altered = right.clone();
    *altered.last_mut().unwrap() ^= 1;
    bad("signature-altered", "The last bit.", altered, wrong);
    let mut altered = right.clone();
    let at = right.windows(7).position(|window| window == payload).unwrap();
    altered[at] ^= 1;
    bad("payload-altered", "The first bit of the payload.", altered, wrong);
    let other = library.setting.key("archive");
    let theirs = statement::sign(kind, &payload, &other, &Operations::default()).unwrap();
    bad("of-another-key", "The archive signed, and says so.", theirs, wrong);
    let claimed = forge::signed(&forge::protected_of(kind, &key), kind.content_type(), &payload, &other);
    bad("under-a-borrowed-key-id", "The archive signed with the broker's key id.", claimed, wrong);
    bad(
        "with-another-key-id",
        "The right key signed another key id.",
        sign(&forge::protected(-8, kind.content_type(), &[9; 32])),
        wrong,
    );
    bad(
        "with-another-algorithm",
        "ES256 is said, an Ed25519 key signed.",
        sign(&forge::protected(-7, kind.content_type(), &id)),
        wrong,
    );
    let receipt = statement::sign(Kind::Receipt, &payload, &key, &Operations::default()).unwrap();
    bad("of-another-kind", "A receipt where a token is awaited.", receipt, invalid);
    let crossed = forge::signed(&forge::protected_of(kind, &key), Kind::Receipt.content_type(), &payload, &key);
    bad("with-other-external-data", "The external data are the content type of a receipt.", crossed, wrong);
    bad(
        "with-unprotected-header",
        "A key id stands in the unprotected header.",
        forge::with_unprotected(&right, 4, &id),
        invalid,
    );
    bad(
        "with-another-header-field",
        "The protected header has a field 5.",
        sign(&forge::protected_more(&id, kind)),
        invalid,
    );
    bad(
        "without-content-type",
        "The protected header has no field 3.",
        sign(&forge::protected_without(&id, 3)),
        invalid,
    );
    bad(
        "without-key-id",
        "The protected header has no field 4.",
        sign(&forge::protected_without(kind.content_type().as_bytes(), 4)),
        wrong,
    );
    bad("header-out-of-order", "Fields 4, 3, 1.", sign(&forge::protected_reversed(&id, kind)), malformed);
    bad("header-not-shortest", "Field 1 is written in two bytes.", sign(&forge::protected_long(&id, kind)), malformed);
    bad("without-tag", "The COSE tag 18 is missing.", right[1..].to_vec(), malformed);
    bad("with-tag-98", "The tag of COSE_Sign.", [&[0xd8, 98][..], &right[1..]].concat(), malformed);
    bad("with-trailing-byte", "", [&right[..], &[0]].concat(), malformed);
    bad(
        "without-payload",
        "The payload is null: detached, as COSE allows and this text does not.",
        forge::detached(kind, &payload, &key),
        malformed,
    );
}

/// A registration of the patient by hospital-a, under the authority patient-1.
pub(crate) fn registration(library: &Library) -> Registration {
    let chain = library.setting.credential("hospital-a", KeyUse::Statement).chain;
    Registration {
        exchange: EXCHANGE.into(),
        patient: Pseudonym::new(PATIENT),
        locators: vec![Locator::new([0x11; 32]), Locator::new([0x12; 32])],
        authority: Blob(library.setting.authority("patient-1").public_key().to_bytes()),
        registered_by: library.setting.identity("hospital-a").into(),
        registered_at: NOW.as_secs(),
        certificate: sealwort_proto::peers::chain_to_wire(&chain),
    }
}

/// Signs a registration.
pub(crate) fn sign_registration(registration: &Registration, key: &SigningKey) -> Vec<u8> {
    registration.sign(key, &Operations::default()).unwrap()
}

fn registrations(m: &mut Maker<'_>, library: &Library) {
    let key = library.setting.key("hospital-a");
    let input = |bytes: &[u8], moment: &str, trust: &str, now: u64| json!({ "bytes": hex(bytes), "moment": moment, "exchange": EXCHANGE, "trust": trust, "now": now });
    let right = sign_registration(&registration(library), &key);
    let now = NOW.as_secs();
    m.good("registration-accepted", "registration-verify", "6.1", "", input(&right, "acceptance", "demo", now));
    m.cddl(&[("input.bytes", "registration-statement")]);
    let years = after(3 * 365 * 86_400).as_secs();
    let comment = "Three years later, as the certificate stood when it was made.";
    m.good("registration-read-later", "registration-verify", "6.1", comment, input(&right, "reading", "demo", years));
    let late = after(73 * 3600).as_secs();
    let comment = "The certificate has ended.";
    m.bad(
        "registration-accepted-too-late",
        "registration-verify",
        "6.1",
        comment,
        input(&right, "acceptance", "demo", late),
        "certificate-refused",
    );

    let mut bad = |name: &str, comment: &str, party: &str, code: &str, change: &dyn Fn(&mut Registration)| {
        let mut changed = registration(library);
        change(&mut changed);
        let bytes = sign_registration(&changed, &library.setting.key(party));
        let name = format!("registration-{name}");
        m.bad(&name, "registration-verify", "6.1", comment, input(&bytes, "acceptance", "demo", now), code);
    };
    let chain =
        |party: &str, key_use| sealwort_proto::peers::chain_to_wire(&library.setting.credential(party, key_use).chain);
    bad("of-another-exchange", "", "hospital-a", "exchange-wrong", &|r| r.exchange = "north".into());
    bad("by-another-than-it-says", "The certificate is hospital-a's.", "hospital-a", "party-wrong", &|r| {
        r.registered_by = library.setting.identity("hospital-b").into();
    });
    bad("signed-by-another", "hospital-b signed.", "hospital-b", "signature-wrong", &|_| ());
    bad("by-a-broker", "Gateways register.", "broker", "certificate-refused", &|r| {
        r.certificate = chain("broker", KeyUse::Statement);
        r.registered_by = library.setting.identity("broker").into();
    });
    bad("with-a-hop-certificate", "The statement certificate is needed.", "hospital-a", "certificate-refused", &|r| {
        r.certificate = chain("hospital-a", KeyUse::Hop);
    });
    bad("without-locators", "", "hospital-a", "statement-invalid", &|r| r.locators.clear());
    bad("locators-not-sorted", "", "hospital-a", "statement-invalid", &|r| r.locators.reverse());
    bad("locator-twice", "", "hospital-a", "statement-invalid", &|r| r.locators = vec![Locator::new([0x11; 32]); 2]);
    bad("with-33-locators", "", "hospital-a", "statement-invalid", &|r| {
        r.locators = (1..=33).map(|n| Locator::new([n; 32])).collect();
    });
    bad("authority-not-a-key", "Its last byte is missing.", "hospital-a", "statement-invalid", &|r| {
        r.authority.0.truncate(43);
    });
    bad("authority-key-raw", "32 bytes without SubjectPublicKeyInfo.", "hospital-a", "statement-invalid", &|r| {
        r.authority.0.drain(..12);
    });
    bad("without-certificate", "", "hospital-a", "statement-invalid", &|r| r.certificate.clear());
    let revoked = Registration {
        certificate: chain("hospital-b", KeyUse::Statement),
        registered_by: library.setting.identity("hospital-b").into(),
        ..registration(library)
    };
    let bytes = sign_registration(&revoked, &library.setting.key("hospital-b"));
    m.bad(
        "registration-by-a-revoked-hospital",
        "registration-verify",
        "6.1",
        "hospital-b is on list 2.",
        input(&bytes, "acceptance", "demo-revoking", now),
        "certificate-refused",
    );
    let comment = "Revocation is judged when it is accepted.";
    m.good(
        "registration-read-after-revocation",
        "registration-verify",
        "6.1",
        comment,
        input(&bytes, "reading", "demo-revoking", now),
    );
}

/// A token as the broker would issue it to hospital-a.
fn token(library: &Library) -> Token {
    let setting = &library.setting;
    Token {
        exchange: EXCHANGE.into(),
        issuer: setting.identity("broker").into(),
        holder: setting.identity("hospital-a").into(),
        holder_key: key_id(&setting.public_key("hospital-a")),
        audience: setting.identity("archive").into(),
        id: TokenId::new([0x70; 16]),
        patient: Pseudonym::new(PATIENT),
        action: "read".into(),
        tags: TAGS.map(LabelTag::new).to_vec(),
        purpose: "TREAT".into(),
        emergency: None,
        user: "dr-b".into(),
        user_role: "physician".into(),
        request: Digest::new([0x71; 32]),
        policies: Digest::new([0x72; 32]),
        directive_version: 3,
        epoch: 1,
        witness_sequence: 2,
        witness_head: Digest::new([0x73; 32]),
        binding: Digest::new(BINDING),
        issued_at: NOW.as_secs(),
        expires_at: NOW.as_secs() + 60,
    }
}

fn token_input(library: &Library, token: &[u8], now: u64) -> Value {
    let setting = &library.setting;
    json!({
        "token": hex(token), "exchange": EXCHANGE, "issuer": setting.identity("broker"),
        "holder": setting.identity("hospital-a"), "audience": setting.identity("archive"),
        "issuer_key": hex(setting.public_key("broker").as_bytes()),
        "holder_key": hex(setting.public_key("hospital-a").as_bytes()),
        "binding": hex(BINDING), "lifetime": 60, "skew": 30, "now": now,
    })
}

fn tokens(m: &mut Maker<'_>, library: &Library) {
    let broker = library.setting.key("broker");
    let sign = |token: &Token, key: &SigningKey| token.sign(key, &Operations::default()).unwrap();
    let right = sign(&token(library), &broker);
    let now = NOW.as_secs();
    m.good("token", "token-verify", "7.2", "", token_input(library, &right, now));
    m.cddl(&[("input.token", "token-statement")]);
    m.good("token-in-its-last-second", "token-verify", "7.2", "End and skew.", token_input(library, &right, now + 89));
    m.good(
        "token-from-a-fast-clock",
        "token-verify",
        "7.2",
        "Issued 30 seconds ahead.",
        token_input(library, &right, now - 30),
    );
    m.bad("token-expired", "token-verify", "7.2", "", token_input(library, &right, now + 90), "token-refused");
    m.bad("token-of-the-future", "token-verify", "7.2", "", token_input(library, &right, now - 31), "clock-skew");
    let refused = "token-refused";
    let mut bad = |name: &str, comment: &str, key: &str, code: &str, change: &dyn Fn(&mut Token)| {
        let mut changed = token(library);
        change(&mut changed);
        let bytes = sign(&changed, &library.setting.key(key));
        m.bad(&format!("token-{name}"), "token-verify", "7.2", comment, token_input(library, &bytes, now), code);
    };
    bad("signed-by-the-holder", "A gateway issues no tokens.", "hospital-a", "signature-wrong", &|_| ());
    bad("of-another-exchange", "", "broker", refused, &|t| t.exchange = "north".into());
    bad("of-another-issuer", "", "broker", refused, &|t| t.issuer = "sealwort://demo/broker/broker-2".into());
    bad("for-another-holder", "", "broker", refused, &|t| t.holder = library.setting.identity("hospital-b").into());
    bad("for-another-key-of-the-holder", "", "broker", refused, &|t| {
        t.holder_key = key_id(&library.setting.public_key("hospital-b"));
    });
    bad("for-another-archive", "", "broker", refused, &|t| t.audience = library.setting.identity("archive-2").into());
    bad("for-another-session", "h_LM is another.", "broker", refused, &|t| t.binding = Digest::new([0xb9; 32]));
    bad("without-tags", "", "broker", refused, &|t| t.tags.clear());
    bad("tags-not-sorted", "", "broker", refused, &|t| t.tags.reverse());
    bad("tag-twice", "", "broker", refused, &|t| t.tags[1] = t.tags[0]);
    bad("living-too-long", "61 seconds.", "broker", refused, &|t| t.expires_at += 1);
    bad("ending-before-it-begins", "", "broker", refused, &|t| t.expires_at = t.issued_at);
    let hour = "An emergency access is good for an hour.";
    let emergency = |begun_at: u64| Some(EmergencyTerm { id: EmergencyId::new([0x74; 16]), begun_at });
    bad("of-an-emergency-without-its-name", "", "broker", refused, &|t| t.action = "emergency".into());
    bad("of-an-emergency-for-reading", "", "broker", refused, &|t| t.emergency = emergency(now));
    bad("outlasting-its-emergency", hour, "broker", refused, &|t| {
        (t.action, t.emergency) = ("emergency".into(), emergency(now + 60 - 3601));
    });
    bad("before-its-emergency", "", "broker", refused, &|t| {
        (t.action, t.emergency) = ("emergency".into(), emergency(now + 1));
    });
    let last = Token { action: "emergency".into(), emergency: emergency(now + 60 - 3600), ..token(library) };
    let comment = "It ends with the hour of its emergency access.";
    m.good("token-of-an-emergency", "token-verify", "7.2", comment, token_input(library, &sign(&last, &broker), now));
    let input = json!({ "rule": "token", "bytes": hex(to_bytes(&last)) });
    m.good("token-payload-of-an-emergency", "message", "7.2", "", input);
    m.cddl(&[("input.bytes", "token")]);
    let bytes = sign(&token(library), &broker);
    let input = json!({ "rule": "token", "bytes": hex(to_bytes(&token(library))) });
    m.good("token-payload", "message", "7.2", "The content of the vector `token`.", input);
    m.cddl(&[("input.bytes", "token")]);
    assert_eq!(bytes, right);
}

fn sealed_tokens(m: &mut Maker<'_>, library: &Library) {
    let token = token(library).sign(&library.setting.key("broker"), &Operations::default()).unwrap();
    let (key, session) = (hex([0x6b; 32]), hex([0x6c; 32]));
    let input = json!({ "key": key, "session": session, "salt": hex([0x6d; 16]), "token": hex(&token) });
    let sealed = m.good("token-sealed", "token-seal", "7.2", "For the archive, under SK_TM.", input)["sealed"].clone();
    let open =
        |key: &Value, session: &Value, sealed: &Value| json!({ "key": key, "session": session, "sealed": sealed });
    m.good("token-unsealed", "token-unseal", "7.2", "", open(&key, &session, &sealed));
    let other = hex([0x6e; 32]);
    let mut salted = crate::vector::bytes(&sealed);
    salted[0] ^= 1;
    for (name, input) in [
        ("token-sealed-under-another-key", open(&other, &session, &sealed)),
        ("token-sealed-in-another-session", open(&key, &other, &sealed)),
        ("token-sealed-with-another-salt", open(&key, &session, &hex(salted))),
        ("token-sealed-too-short", open(&key, &session, &hex([0; 15]))),
    ] {
        m.bad(name, "token-unseal", "7.2", "", input, "seal-broken");
    }
}
