//! Section 6: statements, registrations, directives and decisions; and tokens held against their use (7.2).

use minicbor::Encoder;
use sealwort_consent::{
    Change, CompiledDirective, Directive, LabelTag, Party, Patient, Predecessor, Request, UserRole, check_successor,
};
use sealwort_pki::testing::Seeded;
use sealwort_pki::{KeyAlgorithm, PublicKey, SigningKey, UnixTime};
use sealwort_proto::channel::{Channel, End, Pair};
use sealwort_proto::crypto::{AeadKey, Prk, hash};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::registration::{self, Moment};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::testing::channel;
use sealwort_proto::token::{self, TokenUse};
use sealwort_proto::{Digest, SessionId};
use serde_json::{Value, json};

use super::primitives::{hashed, secret};
use super::{Library, Outcome};
use crate::cbor;
use crate::setting::NOW;
use crate::vector::{Failure, In, bytes, hex, hexes};

pub(super) fn run(library: &Library, kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "statement-sign" => Ok(sign(input)),
        "statement-open" => open(input),
        "registration-verify" => registration_verify(library, input),
        "directive-read" => directive_read(&input.bytes("payload")),
        "directive-follow" => directive_follow(input),
        "directive-decide" => directive_decide(input),
        "token-seal" => Ok(token_seal(input)),
        "token-unseal" => token_unseal(input),
        "token-verify" => token_verify(input),
        _ => return None,
    })
}

/// A kind by its name in vectors.
pub(crate) fn kind_of(name: &str) -> Kind {
    let content_type = format!("application/sealwort-{name}+cbor");
    Kind::ALL.into_iter().find(|kind| kind.content_type() == content_type).expect("a kind of statement")
}

fn sign(input: In<'_>) -> Value {
    assert_eq!(input.text("algorithm"), "ed25519", "signatures of P-256 differ every time");
    let kind = kind_of(input.text("statement"));
    let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, &input.array("seed")).unwrap();
    let payload = input.bytes("payload");
    let bytes = statement::sign(kind, &payload, &key, &Operations::default()).unwrap();

    // The same by hand.
    let key_id = hashed("sealwort key id v1", &[key.public_key().to_bytes()]);
    let mut protected = Vec::new();
    let mut encoder = Encoder::new(&mut protected);
    encoder.map(3).unwrap().u8(1).unwrap().i8(-8).unwrap();
    encoder.u8(3).unwrap().str(kind.content_type()).unwrap().u8(4).unwrap().bytes(&key_id).unwrap();
    let signed = cbor::from_json(&json!([
        "Signature1",
        cbor::bytes(&protected),
        cbor::bytes(kind.content_type()),
        cbor::bytes(&payload),
    ]));
    let signature = key.sign(&signed).unwrap();
    assert_eq!(crate::forge::statement(&protected, &payload, &signature), bytes);
    json!({
        "key_id": hex(key_id),
        "protected": hex(protected),
        "signed_bytes": hex(signed),
        "signature": hex(signature),
        "bytes": hex(&bytes),
        "digest": hex(statement::digest(&bytes).as_bytes()),
    })
}

fn open(input: In<'_>) -> Outcome {
    let key = PublicKey::from_bytes(&input.bytes("public_key")).unwrap();
    let bytes = input.bytes("bytes");
    let payload = statement::open(kind_of(input.text("statement")), &bytes, &key, &Operations::default())?;
    let digest = hashed("sealwort statement v1", std::slice::from_ref(&bytes));
    assert_eq!(*statement::digest(&bytes).as_bytes(), digest);
    Ok(json!({ "payload": hex(payload), "digest": hex(digest) }))
}

fn registration_verify(library: &Library, input: In<'_>) -> Outcome {
    let cache = PeerCache::default();
    let now = UnixTime::from_secs(input.uint("now"));
    let peers = Peers { trust: library.setting.trust(input.text("trust")), cache: &cache, now };
    let moment = match input.text("moment") {
        "acceptance" => Moment::Acceptance,
        "reading" => Moment::Reading,
        other => panic!("{other} is no moment"),
    };
    let verified =
        registration::verify(&input.bytes("bytes"), input.text("exchange"), moment, &peers, &Operations::default())?;
    let registration = verified.registration();
    Ok(json!({
        "patient": hex(registration.patient.as_bytes()),
        "locators": hexes(registration.locators.iter().map(|l| *l.as_bytes())),
        "authority": hex(verified.authority().as_bytes()),
        "registered_by": registration.registered_by,
        "registered_at": registration.registered_at,
    }))
}

fn directive(payload: &[u8]) -> Result<Directive, Failure> {
    Directive::from_bytes(payload).map_err(|error| Failure::new(error.code(), error))
}

fn digest(payload: &[u8]) -> [u8; 32] {
    *hash("sealwort directive v1", payload).as_bytes()
}

fn directive_read(payload: &[u8]) -> Outcome {
    let read = directive(payload)?;
    assert_eq!(read.to_bytes(), payload);
    Ok(json!({ "content": cbor::to_json(payload), "digest": hex(digest(payload)) }))
}

fn directive_follow(input: In<'_>) -> Outcome {
    let next = directive(&input.bytes("next"))?;
    let current = input.optional("current").map(bytes).map(|payload| (directive(&payload).unwrap(), digest(&payload)));
    let predecessor = current.as_ref().map(|(directive, digest)| Predecessor { directive, digest: *digest });
    let change = check_successor(predecessor, &next).map_err(|error| Failure::new(error.code(), error))?;
    let change = match change {
        Change::First => "first",
        Change::Unchanged => "unchanged",
        Change::Widened => "widened",
        Change::Narrowed => "narrowed",
    };
    Ok(json!({ "change": change }))
}

fn directive_decide(input: In<'_>) -> Outcome {
    let compiled = CompiledDirective::compile(&directive(&input.bytes("directive"))?).unwrap();
    let unknown = |what: &str| Failure::new("request-invalid", format!("the {what} is unknown"));
    let request = Request {
        party: Party::new(input.text("hospital")).unwrap(),
        patient: Patient::new(input.array("patient")),
        role: input.optional("role").map(|role| UserRole::new(role.as_str().unwrap()).unwrap()),
        action: input.text("action").parse().map_err(|_| unknown("action"))?,
        tags: input.byte_list("tags").into_iter().map(|tag| LabelTag::new(tag.try_into().unwrap())).collect(),
        purpose: input.text("purpose").parse().map_err(|_| unknown("purpose"))?,
        now: input.uint("now"),
    };
    let decision = compiled.decide(&request);
    if let Some(missing) = decision.missing() {
        return Err(Failure::new(missing.code(), missing));
    }
    let shown = |tags: &[LabelTag]| hexes(tags.iter().map(|tag| tag.to_bytes()));
    Ok(json!({
        "permitted": shown(decision.permitted()),
        "withheld": shown(decision.withheld()),
        "permitted_until": decision.permitted_until(),
    }))
}

/// The end of the T–M channel that the key gives.
fn token_channel(input: In<'_>, end: End) -> Channel {
    channel(Pair::BrokerArchive, end, SessionId::new(input.array("session")), &secret(input, "key"), NOW)
}

fn token_seal(input: In<'_>) -> Value {
    let salt = input.bytes("salt");
    let seeded = Seeded::replay([salt.clone()]);
    let sealed = token::seal(&token_channel(input, End::Sharer), &input.bytes("token"), &Operations::default());
    assert_eq!(seeded.left(), 0);

    let exporter = Prk::from_secret(&secret(input, "key")).expand("sealwort exporter v1", &[b"TM"]);
    let purpose = Prk::from_secret(&exporter).expand("sealwort token sealing v1", &[]);
    let sealing_key = Prk::from_secret(&purpose).expand("sealwort token v1", &[&salt]);
    let mut by_hand = input.bytes("token");
    AeadKey::new(&sealing_key).seal(0, &input.bytes("session"), &mut by_hand, &Operations::default());
    assert_eq!([salt, by_hand].concat(), sealed);
    json!({
        "exporter": hex(exporter.expose()), "sealing_key": hex(sealing_key.expose()), "sealed": hex(sealed),
    })
}

fn token_unseal(input: In<'_>) -> Outcome {
    let channel = token_channel(input, End::Answerer);
    let token = token::unseal(&channel, &input.bytes("sealed"), &Operations::default())?;
    Ok(json!({ "token": hex(token) }))
}

fn token_verify(input: In<'_>) -> Outcome {
    let key = |name| PublicKey::from_bytes(&input.bytes(name)).unwrap();
    let usage = TokenUse {
        exchange: input.text("exchange"),
        issuer: input.text("issuer"),
        issuer_key: &key("issuer_key"),
        holder: input.text("holder"),
        holder_key: &key("holder_key"),
        audience: input.text("audience"),
        binding: Digest::new(input.array("binding")),
        lifetime_seconds: u32::try_from(input.uint("lifetime")).unwrap(),
        skew_seconds: u32::try_from(input.uint("skew")).unwrap(),
        now: UnixTime::from_secs(input.uint("now")),
    };
    let bytes = input.bytes("token");
    token::verify(&bytes, &usage, &Operations::default())?;
    Ok(json!({ "digest": hex(statement::digest(&bytes).as_bytes()) }))
}
