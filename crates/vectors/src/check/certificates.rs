//! Section 3: certificates, revocation lists, certificate requests, and what an authority and a party say.

use sealwort_pki::authority::parse_csr;
use sealwort_pki::enrolment::{
    CrlResponse, EnrolRequest, Invitation, JoinRequest, JoinResponse, MessageError, Refusal, RenewRequest, RootResponse,
};
use sealwort_pki::testing::Seeded;
use sealwort_pki::{CertificateChain, Expected, KeyAlgorithm, KeyUse, PartyName, Role, UnixTime};
use serde_json::{Map, Value, json};

use super::{Library, Outcome};
use crate::vector::{Failure, In, hex};

pub(super) fn run(library: &Library, kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "certificate-verify" => certificate_verify(library, input),
        "list-take" => list_take(library, input),
        "certificate-request" => match parse_csr(&input.bytes("request")) {
            Ok(request) => Ok(json!({
                "identity": request.identity().to_string(),
                "key_use": request.key_use().as_str(),
                "public_key": hex(request.public_key().as_bytes()),
            })),
            Err(error) => {
                // The code as the authority sends it.
                let code = sealwort_pki::authority::AuthorityError::from(error.clone()).code();
                Err(Failure::new(code, error))
            }
        },
        "authority-message" => authority_message(input.text("object"), input.text("json")),
        "join" => join(input),
        _ => return None,
    })
}

fn certificate_verify(library: &Library, input: In<'_>) -> Outcome {
    let role = |name: &Value| Role::ALL.into_iter().find(|role| Some(role.as_str()) == name.as_str()).expect("a role");
    let roles: Vec<Role> = input.list("roles").iter().map(role).collect();
    let name: Option<PartyName> = input.optional("name").map(|name| name.as_str().unwrap().parse().unwrap());
    let key_use = KeyUse::ALL.into_iter().find(|key_use| key_use.as_str() == input.text("key_use")).unwrap();
    let chain = CertificateChain::new(input.byte_list("chain")).unwrap();
    let expected = Expected { roles: &roles, name: name.as_ref(), key_use };
    let trust = library.setting.trust(input.text("trust"));
    let party = trust
        .verify(&chain, &expected, UnixTime::from_secs(input.uint("now")))
        .map_err(|error| Failure::new(error.code(), error))?;
    Ok(json!({
        "identity": party.identity().to_string(),
        "key_use": party.key_use().as_str(),
        "public_key": hex(party.public_key().as_bytes()),
        "serial": party.serial().to_string(),
        "not_before": party.not_before().as_secs(),
        "not_after": party.not_after().as_secs(),
    }))
}

fn list_take(library: &Library, input: In<'_>) -> Outcome {
    let mut trust = library.setting.trust(input.text("trust")).clone();
    let now = UnixTime::from_secs(input.uint("now"));
    let taken = trust
        .set_crl(&input.bytes("crl"), &input.bytes("issuing"), now)
        .map_err(|error| Failure::new(error.code(), error))?;
    Ok(json!({
        "number": taken.number,
        "this_update": taken.this_update.as_secs(),
        "next_update": taken.next_update.as_secs(),
        "revoked": taken.revoked,
    }))
}

fn authority_message(object: &str, json: &str) -> Outcome {
    let bytes = json.as_bytes();
    let again = match object {
        "invitation" => Invitation::from_json(bytes).map(|message| message.to_json().to_string()),
        "enrol-request" => EnrolRequest::from_json(bytes).map(|message| message.to_json().to_string()),
        "renew-request" => RenewRequest::from_json(bytes).map(|message| message.to_json().to_string()),
        "grant" => JoinResponse::from_json(bytes).map(|message| message.to_json().to_string()),
        "list" => CrlResponse::from_json(bytes).map(|message| message.to_json()),
        "root" => RootResponse::from_json(bytes).map(|message| message.to_json()),
        "refusal" => Refusal::from_json(bytes).map(|message| message.to_json()),
        other => panic!("{other} is no object of the authority's"),
    };
    let again = again.map_err(|error: MessageError| Failure::new("message-malformed", error))?;
    let again: Map<String, Value> = serde_json::from_str(&again).unwrap();
    assert_eq!(serde_json::from_str::<Map<String, Value>>(json).unwrap(), again);
    let mut members: Vec<(String, Value)> = again.into_iter().collect();
    members.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(json!({ "members": members.into_iter().collect::<Map<_, _>>() }))
}

fn join(input: In<'_>) -> Outcome {
    let failed = |error: sealwort_pki::enrolment::JoinError| Failure::new(error.code(), error);
    let now = UnixTime::from_secs(input.uint("now"));
    let invitation = Invitation::from_json(input.text("invitation").as_bytes()).unwrap();
    let _seeded = Seeded::replay([input.bytes("hop_seed"), input.bytes("statement_seed")]);
    let request = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, now).map_err(failed)?;
    let grant = JoinResponse::from_json(input.text("grant").as_bytes()).unwrap();
    let membership = request.accept(grant, now).map_err(failed)?.membership;
    let mut output = json!({
        "identity": membership.identity.to_string(),
        "hop": membership.hop.serial.to_string(),
        "statement": membership.statement.serial.to_string(),
    });
    if let Some(key) = &membership.directory_key {
        output["directory_key"] = Value::String(key.expose_hex().to_string());
    }
    Ok(output)
}
