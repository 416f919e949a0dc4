//! One authorization server with three apps, and a clock and a source of randomness that repeat themselves.

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::jwk::ThumbprintHash;
use sealwort_smart::{
    Apps, AuthorizationServer, Banner, Consent, Endpoints, IdentityAlgorithm, IdentityKey, Launch, NumericDate,
    PendingAuthorization, Settings, User,
};
use serde_json::{Value, json};

use crate::keys::{SigningKey, rsa_der};

pub(crate) const BASE: &str = "https://gateway.example/fhir";
pub(crate) const TOKEN_ENDPOINT: &str = "https://gateway.example/oauth/token";
pub(crate) const CALLBACK: &str = "https://trend.example/after-auth";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The example of RFC 7636, appendix B: the challenge that belongs to the verifier.
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
pub(crate) const SECRET: [u8; 32] = [42; 32];
pub(crate) const LAB: &str = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let utilities = &CryptoProvider::try_get_default().unwrap().key_utils;
    (utilities.compute_digest)(bytes, ThumbprintHash::SHA256).unwrap().try_into().unwrap()
}

/// Values that never repeat within one test.
pub(crate) fn randomness() -> impl FnMut() -> [u8; 32] {
    let mut count = 0_u64;
    move || {
        count += 1;
        sha256(&count.to_be_bytes())
    }
}

pub(crate) fn user(name: &str) -> User {
    User {
        name: name.parse().unwrap(),
        role: "physician".parse().unwrap(),
        fhir_user: Some("Practitioner/7".parse().unwrap()),
        session: None,
        delegation: None,
    }
}

/// The key of the app `monitor` and the one of `ward`.
pub(crate) fn monitor_key() -> SigningKey {
    SigningKey::ec("monitor-1", 3)
}

pub(crate) fn ward_key() -> SigningKey {
    SigningKey::rsa("ward-1")
}

pub(crate) fn apps_file() -> Value {
    json!({ "apps": [
        {
            "client_id": "trend", "name": "Trend", "kind": "public",
            "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"],
            "launch_url": "https://trend.example/launch",
            "scope": "launch launch/patient openid fhirUser offline_access online_access patient/Observation.rs \
                patient/Patient.r user/Patient.rs",
        },
        {
            "client_id": "ward", "name": "Ward board", "kind": "confidential",
            "redirect_uris": ["https://ward.example/cb"],
            "scope": "patient/*.rs offline_access",
            "jwks": { "keys": [ward_key().public_jwk()] },
        },
        {
            "client_id": "monitor", "name": "Lab monitor", "kind": "confidential",
            "scope": format!("system/Observation.rs?{LAB} system/Patient.r"),
            "jwks": { "keys": [monitor_key().public_jwk(), SigningKey::rsa("monitor-2").public_jwk()] },
        },
    ]})
}

pub(crate) fn endpoints() -> Endpoints {
    let at = |path: &str| format!("https://gateway.example{path}");
    Endpoints {
        issuer: at(""),
        fhir_base: BASE.to_owned(),
        authorization: at("/oauth/authorize"),
        token: TOKEN_ENDPOINT.to_owned(),
        introspection: at("/oauth/introspect"),
        revocation: at("/oauth/revoke"),
        jwks: at("/oauth/jwks"),
        management: Some(at("/sharing")),
    }
}

/// By what the server knows its own tokens.
pub(crate) const NAME: &str = "sealwort://test/gateway/hospital";

pub(crate) fn settings(identity_key: Option<IdentityKey>) -> Settings {
    Settings {
        endpoints: endpoints(),
        name: NAME.to_owned(),
        token_secret: SECRET.into(),
        digest: sha256,
        identity_key,
        style_url: None,
        launches_apps: true,
    }
}

pub(crate) fn server() -> AuthorizationServer {
    let key = IdentityKey::from_der(&rsa_der(), IdentityAlgorithm::Rs256).unwrap();
    let apps = Apps::parse(apps_file().to_string().as_bytes()).unwrap();
    AuthorizationServer::new(settings(Some(key)), apps).unwrap()
}

/// A form from its parameters.
pub(crate) fn form(parameters: &[(&str, &str)]) -> Vec<u8> {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let pairs: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    pairs.join("&").into_bytes()
}

/// A sound authorization request of the app `trend`.
pub(crate) fn request(scope: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "trend"),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("state", "98wrghuwuogerg97"),
        ("aud", BASE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

pub(crate) fn consent(pending: &PendingAuthorization, patient: Option<&str>) -> Consent {
    Consent {
        scopes: pending.scopes.clone(),
        patient: patient.map(|patient| patient.parse().unwrap()),
        purpose: Some("TREAT".parse().unwrap()),
    }
}

/// A code for the app `trend`, approved by `dr-a` for patient `demo-1`.
pub(crate) fn code(server: &mut AuthorizationServer, scope: &str, random: &mut dyn FnMut() -> [u8; 32]) -> String {
    let dr_a = user("dr-a");
    let pending = server.authorize(&form(&request(scope)), &dr_a.name, NOW).unwrap();
    let location =
        server.approve(pending.ticket.expose(), &dr_a, consent(&pending, Some("demo-1")), random, NOW).unwrap();
    parameter(&location, "code")
}

/// A sound exchange of a code by the app `trend`.
pub(crate) fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "trend"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

pub(crate) fn launch(app: &str, name: &str, patient: &str) -> Launch {
    Launch {
        client_id: app.parse().unwrap(),
        user: name.parse().unwrap(),
        patient: patient.parse().unwrap(),
        encounter: Some("visit-1".parse().unwrap()),
        banner: Banner::Gateway,
    }
}

/// A parameter in the query of an address, as it stands there.
pub(crate) fn parameter(location: &str, name: &str) -> String {
    let query = location.split_once('?').unwrap().1;
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(held, _)| *held == name);
    found.unwrap_or_else(|| panic!("no {name} in {location}")).1.to_owned()
}

/// The claims of a sound assertion of an app.
pub(crate) fn assertion_claims(app: &str, jti: &str) -> Value {
    json!({"iss": app, "sub": app, "aud": TOKEN_ENDPOINT, "exp": NOW.as_secs() + 300, "iat": NOW.as_secs(), "jti": jti})
}

/// A sound assertion of an app.
pub(crate) fn assertion(key: &SigningKey, app: &str, jti: &str) -> String {
    let header = json!({"alg": format!("{:?}", key.algorithm), "kid": key.kid, "typ": "JWT"});
    key.sign(&header.to_string(), &assertion_claims(app, jti).to_string())
}

pub(crate) const JWT_BEARER: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// A request for a token of the app itself.
pub(crate) fn backend<'a>(assertion: &'a str, scope: &'a str) -> Vec<u8> {
    form(&[("grant_type", "client_credentials"), ("scope", scope), JWT_BEARER, ("client_assertion", assertion)])
}
