//! Sign-in at a provider: one good identity token, and every claim and check of it broken once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sealwort_smart::Role;
use sealwort_smart::oidc::{
    ClientProof, Flow, Provider, ProviderKeys, ProviderTokens, SignInFault, SignInSettings, SignedIn,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::keys::rsa_der;
use crate::world::{NOW, randomness, sha256};

/// What is changed in the claims of the good token.
type Change = Box<dyn Fn(&mut Value)>;

const ISSUER: &str = "https://id.hospital.example/realms/main";

fn settings() -> SignInSettings {
    let roles = [("physicians", "physician"), ("nurses", "nurse")];
    SignInSettings {
        issuer: ISSUER.into(),
        client_id: "sealwort".into(),
        redirect_uri: "https://gateway.example/auth/login/callback".into(),
        scope: "profile".into(),
        name_claim: "preferred_username".into(),
        roles_claim: "roles".into(),
        roles: roles.map(|(theirs, ours)| (theirs.to_owned(), ours.parse().unwrap())).into(),
        patient_claim: "mrn".into(),
    }
}

fn document() -> Value {
    json!({
        "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/auth?tenant=1"),
        "token_endpoint": format!("{ISSUER}/token"), "jwks_uri": format!("{ISSUER}/certs"),
        "end_session_endpoint": format!("{ISSUER}/logout"), "unknown": [1, {"a": 2}],
    })
}

fn provider() -> Provider {
    Provider::parse(document().to_string().as_bytes(), ISSUER).unwrap()
}

/// The parameters of a URL or a form.
fn parameter(text: &str, name: &str) -> Option<String> {
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let mut values = query.split('&').filter_map(|pair| pair.split_once('='));
    values.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

fn begin(role: Option<&str>) -> (Flow, String) {
    let role = role.map(|role| role.parse().unwrap());
    let begun = settings().begin(&provider(), role, sha256, &mut randomness(), NOW);
    let nonce = parameter(&begun.url, "nonce").unwrap();
    (begun.flow, nonce)
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_der(&rsa_der())
}

fn ec(byte: u8) -> EncodingKey {
    // SEC 1 within PKCS #8, as the library takes it.
    let mut der = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
    der.extend([byte; 32]);
    EncodingKey::from_ec_der(&der)
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn public(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = json!(Jwk::from_encoding_key(key, algorithm).unwrap());
    jwk["kid"] = json!(kid);
    jwk
}

fn keys() -> ProviderKeys {
    let unknown = json!({"kty": "FUTURE", "kid": "f", "x": "?"});
    let mut for_encryption = public(&ec(9), Algorithm::ES256, "enc");
    for_encryption["use"] = json!("enc");
    let keys = json!({"keys": [
        unknown, for_encryption, public(&rsa(), Algorithm::RS256, "rsa"), public(&ec(7), Algorithm::ES256, "ec"),
    ]});
    ProviderKeys::parse(keys.to_string().as_bytes()).unwrap()
}

fn claims(nonce: &str) -> Value {
    let at = NOW.as_secs();
    json!({
        "iss": ISSUER, "aud": "sealwort", "azp": "sealwort", "sub": "8f3a", "exp": at + 300, "iat": at, "nonce": nonce,
        "at_hash": at_hash("opaque"), "preferred_username": "dr-a", "roles": ["staff", "physicians", "nurses"],
        "deep": {"roles": ["nurses"]}, "auth_time": 1.5,
    })
}

fn at_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&sha256(token.as_bytes())[..16])
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    header
}

fn tokens(id_token: &str, access_token: Option<&str>) -> ProviderTokens {
    let body = json!({"id_token": id_token, "access_token": access_token, "token_type": "Bearer", "expires_in": 1});
    ProviderTokens::parse(200, body.to_string().as_bytes()).unwrap()
}

/// What becomes of the good token after one change of its claims.
fn check(change: &dyn Fn(&mut Value)) -> Result<SignedIn, SignInFault> {
    let (flow, nonce) = begin(None);
    let mut claims = claims(&nonce);
    change(&mut claims);
    let token = jsonwebtoken::encode(&header(Algorithm::ES256, Some("ec")), &claims, &ec(7)).unwrap();
    settings().verify(&tokens(&token, Some("opaque")), &keys(), &flow, sha256, NOW)
}

#[test]
fn each_claim_of_an_identity_token_is_checked() {
    let good = check(&|_| {}).unwrap();
    let told = (good.name.as_str(), good.role.as_ref().map(Role::as_str), good.roles.len());
    assert_eq!(told, ("dr-a", Some("physician"), 2));
    let at = NOW.as_secs();
    let set = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value.clone();
    let unset = |name: &'static str| {
        move |claims: &mut Value| {
            claims.as_object_mut().unwrap().remove(name);
        }
    };
    let name = || SignInFault::Name("preferred_username".into());
    let bad: Vec<(SignInFault, Change)> = vec![
        (SignInFault::Issuer, Box::new(set("iss", json!(format!("{ISSUER}/"))))),
        (SignInFault::Form, Box::new(unset("iss"))),
        (SignInFault::Audience, Box::new(set("aud", json!("other")))),
        (SignInFault::Audience, Box::new(set("aud", json!([])))),
        (SignInFault::Audience, Box::new(set("azp", json!("other")))),
        (
            SignInFault::Audience,
            Box::new(|claims| {
                claims["aud"] = json!(["sealwort", "other"]);
                claims.as_object_mut().unwrap().remove("azp");
            }),
        ),
        (SignInFault::Form, Box::new(unset("aud"))),
        (SignInFault::Expired, Box::new(set("exp", json!(at - 60)))),
        (SignInFault::Form, Box::new(unset("exp"))),
        (SignInFault::Form, Box::new(set("exp", json!("soon")))),
        (SignInFault::NotNow, Box::new(set("iat", json!(at + 61)))),
        (SignInFault::NotNow, Box::new(set("iat", json!(at - 601)))),
        (SignInFault::Form, Box::new(unset("iat"))),
        (SignInFault::Nonce, Box::new(set("nonce", json!("another")))),
        (SignInFault::Nonce, Box::new(unset("nonce"))),
        (SignInFault::AccessToken, Box::new(set("at_hash", json!(at_hash("stolen"))))),
        (name(), Box::new(unset("preferred_username"))),
        (name(), Box::new(set("preferred_username", json!("")))),
        (name(), Box::new(set("preferred_username", json!("a\nb")))),
        (name(), Box::new(set("preferred_username", json!(["dr-a"])))),
        (SignInFault::NoRole, Box::new(unset("roles"))),
        (SignInFault::NoRole, Box::new(set("roles", json!(["staff", 7, {"physicians": true}])))),
    ];
    for (number, (fault, change)) in bad.iter().enumerate() {
        let found = check(change).and_then(|who| who.works_as());
        assert_eq!(found.unwrap_err(), *fault, "case {number}");
    }
    let fine: Vec<Change> = vec![
        Box::new(set("aud", json!(["sealwort"]))),
        Box::new(set("aud", json!(["sealwort", "other"]))),
        Box::new(unset("azp")),
        Box::new(unset("at_hash")),
        Box::new(set("exp", json!(at - 59))),
        Box::new(set("iat", json!(at + 60))),
        Box::new(set("roles", json!("physicians"))),
    ];
    for (number, change) in fine.iter().enumerate() {
        assert_eq!(
            check(change).map(|who| who.role.map(|role| role.to_string())),
            Ok(Some("physician".to_owned())),
            "case {number}"
        );
    }
}

#[test]
fn a_signature_counts_with_an_allowed_algorithm_and_a_key_of_the_provider() {
    let (flow, nonce) = begin(None);
    let claims = claims(&nonce);
    let sign = |algorithm, kid, key: &EncodingKey| jsonwebtoken::encode(&header(algorithm, kid), &claims, key).unwrap();
    let hmac = EncodingKey::from_secret(b"sealwort").unwrap();
    let good = sign(Algorithm::ES256, Some("ec"), &ec(7));
    let [_, body, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // The first letter of a signature is all of it, unlike the last.
    let (first, rest) = signature.split_at(1);
    let altered = format!("{}{}{rest}", &good[..good.len() - signature.len()], if first == "A" { "B" } else { "A" });
    let headed = |header: Value| {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{body}.{signature}")
    };
    let cases = [
        (None, good.clone()),
        (None, sign(Algorithm::ES256, None, &ec(7))),
        (None, sign(Algorithm::RS256, Some("rsa"), &rsa())),
        (Some(SignInFault::Signature), sign(Algorithm::ES256, Some("ec"), &ec(8))),
        (Some(SignInFault::Signature), altered),
        (Some(SignInFault::UnknownKey), sign(Algorithm::ES256, Some("old"), &ec(7))),
        // A key for encryption, an algorithm of another kind of key, and one that the key is not for.
        (Some(SignInFault::UnknownKey), sign(Algorithm::ES256, Some("enc"), &ec(9))),
        (Some(SignInFault::UnknownKey), sign(Algorithm::RS256, Some("ec"), &rsa())),
        (Some(SignInFault::UnknownKey), sign(Algorithm::PS256, Some("rsa"), &rsa())),
        (Some(SignInFault::Algorithm), sign(Algorithm::RS384, Some("rsa"), &rsa())),
        (Some(SignInFault::Algorithm), sign(Algorithm::HS256, Some("ec"), &hmac)),
        (Some(SignInFault::Algorithm), headed(json!({"alg": "none"}))),
        (Some(SignInFault::Algorithm), headed(json!({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false}))),
        (Some(SignInFault::Form), headed(json!(["ES256"]))),
        (Some(SignInFault::Form), format!("{good}.")),
        (Some(SignInFault::Form), "a.b".into()),
    ];
    for (number, (fault, token)) in cases.iter().enumerate() {
        let found = settings().verify(&tokens(token, Some("opaque")), &keys(), &flow, sha256, NOW);
        assert_eq!(found.err(), *fault, "case {number}");
    }
    let without = settings().verify(&tokens(&good, None), &keys(), &flow, sha256, NOW);
    assert_eq!(without.unwrap_err(), SignInFault::AccessToken);
    let late = settings().verify(&tokens(&good, Some("opaque")), &keys(), &flow, sha256, NOW.plus(360));
    assert_eq!(late.unwrap_err(), SignInFault::Expired);
}

#[test]
fn a_user_with_several_roles_works_in_the_one_they_ask_for() {
    let found = |role: Option<&str>, claim: &str| {
        let (flow, nonce) = begin(role);
        let token = jsonwebtoken::encode(&header(Algorithm::ES256, Some("ec")), &claims(&nonce), &ec(7)).unwrap();
        let settings = SignInSettings { roles_claim: claim.into(), ..settings() };
        let who = settings.verify(&tokens(&token, Some("opaque")), &keys(), &flow, sha256, NOW)?;
        who.works_as().map(|role| role.to_string())
    };
    assert_eq!(found(None, "roles"), Ok("physician".into()));
    assert_eq!(found(Some("nurse"), "roles"), Ok("nurse".into()));
    assert_eq!(found(Some("administrator"), "roles"), Err(SignInFault::OtherRole));
    assert_eq!(found(None, "deep.roles"), Ok("nurse".into()));
    assert_eq!(found(None, "deep.groups"), Err(SignInFault::NoRole));
    assert_eq!(found(Some("patient"), "roles"), Err(SignInFault::NoRole));
}

#[test]
fn which_patient_a_user_is_stands_in_the_claim_that_was_configured() {
    for (said, patient) in [(json!("urn:mrn|7"), Some("urn:mrn|7")), (json!(""), None), (json!(7), None)] {
        assert_eq!(check(&move |claims| claims["mrn"] = said.clone()).unwrap().patient.as_deref(), patient);
    }
    assert_eq!(check(&|claims| claims["patient"] = json!("urn:mrn|7")).unwrap().patient, None);
}

#[test]
fn requests_carry_what_the_provider_must_check_and_no_more() {
    let begun = settings().begin(&provider(), None, sha256, &mut randomness(), NOW);
    assert!(begun.url.starts_with(&format!("{ISSUER}/auth?tenant=1&response_type=code&client_id=sealwort&")));
    assert_eq!(parameter(&begun.url, "scope").unwrap(), "openid%20profile");
    assert_eq!(parameter(&begun.url, "state").unwrap(), begun.state);
    assert_eq!(parameter(&begun.url, "code_challenge_method").unwrap(), "S256");
    assert_eq!(begun.flow.expires, NOW.plus(600));

    let request = |proof: &ClientProof| {
        settings().token_request(&provider(), &begun.flow, "a&b", proof, &mut randomness(), NOW).unwrap()
    };
    let (authorization, form) = request(&ClientProof::Secret(Zeroizing::new("s:ü".into())));
    // "sealwort:s%3A%C3%BC"
    assert_eq!(authorization.unwrap().as_str(), "Basic c2VhbHdvcnQ6cyUzQSVDMyVCQw==");
    assert_eq!(parameter(&form, "code").unwrap(), "a%26b");
    let verifier = parameter(&form, "code_verifier").unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    assert_eq!(parameter(&begun.url, "code_challenge").unwrap(), challenge);
    assert!(parameter(&form, "client_assertion").is_none() && !form.contains("%C3%BC"));

    let mut der = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
    der.extend([7; 32]);
    let (authorization, form) = request(&ClientProof::from_key(&der));
    assert!(authorization.is_none());
    let assertion = parameter(&form, "client_assertion").unwrap();
    let claims = jsonwebtoken::decode::<Value>(
        &assertion,
        &jsonwebtoken::DecodingKey::from_jwk(&Jwk::from_encoding_key(&ec(7), Algorithm::ES256).unwrap()).unwrap(),
        &{
            let mut validation = jsonwebtoken::Validation::new(Algorithm::ES256);
            validation.set_audience(&[format!("{ISSUER}/token")]);
            validation.validate_exp = false;
            validation
        },
    );
    let claims = claims.unwrap().claims;
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("sealwort"), &json!("sealwort")));
    assert_eq!(claims["exp"], json!(NOW.as_secs() + 60));
}

#[test]
fn documents_of_a_provider_are_read_strictly() {
    let parse = |change: &dyn Fn(&mut Value), issuer: &str| {
        let mut document = document();
        change(&mut document);
        Provider::parse(document.to_string().as_bytes(), issuer).is_ok()
    };
    assert!(parse(&|_| {}, ISSUER));
    assert!(!parse(&|_| {}, &format!("{ISSUER}/")));
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        assert!(!parse(&|document| document[name] = json!("http://id.hospital.example/x"), ISSUER), "{name}");
        assert!(!parse(&|document| document[name] = json!("javascript:alert(1)"), ISSUER), "{name}");
        assert!(!parse(&|document| document[name] = Value::Null, ISSUER), "{name}");
        assert!(!parse(&|document| document[name] = json!("https://a\r\nSet-Cookie: b=c"), ISSUER), "{name}");
    }
    assert!(!parse(&|document| document["end_session_endpoint"] = json!("http://x/"), ISSUER));
    for bytes in [&b"{}"[..], b"", b"[]", br#"{"issuer":"a","issuer":"a"}"#, &vec![b' '; 300 * 1024]] {
        assert!(Provider::parse(bytes, ISSUER).is_err());
        assert!(ProviderKeys::parse(bytes).is_err());
    }
    assert_eq!(Provider::document_url("https://a/b/"), "https://a/b/.well-known/openid-configuration");
    let refused = |status, body: &str| ProviderTokens::parse(status, body.as_bytes()).unwrap_err().to_string();
    assert!(refused(400, r#"{"error":"invalid_grant"}"#).ends_with("invalid_grant"));
    assert!(refused(400, r#"{"error":"<script>"}"#).ends_with("status 400"));
    assert!(refused(200, "{}").ends_with("no identity token") && refused(302, "").ends_with("status 302"));
    let out = provider().logout_url("sealwort", "a.b.c", "https://gateway.example/auth/signed-out").unwrap();
    assert!(out.starts_with(&format!("{ISSUER}/logout?id_token_hint=a.b.c&client_id=sealwort&")));
    let with_iss = |iss| {
        let mut document = document();
        document["authorization_response_iss_parameter_supported"] = json!(true);
        Provider::parse(document.to_string().as_bytes(), ISSUER).unwrap().answers_as(iss)
    };
    assert!(with_iss(Some(ISSUER)) && !with_iss(None) && !with_iss(Some("https://evil.example")));
    assert!(provider().answers_as(None) && !provider().answers_as(Some("https://evil.example")));
}
