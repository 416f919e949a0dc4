//! An app of a hospital, as it gets its tokens over HTTP: for itself by a signed assertion (SMART Backend Services), or
//! from a user who approves (SMART App Launch with PKCE). The browser is a few requests and a cookie.

use std::fs;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{Answer, Client, Party, World, encode, run, succeeded, text};

/// Where users are sent back to. Nobody listens there: the address in the answer is all that is needed.
const REDIRECT: &str = "https://app.example/back";
/// RFC 7636, section 4.1: 43 to 128 letters.
const VERIFIER: &str = "a-verifier-that-nobody-guesses-0123456789-0123456789";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A registered app with its private key.
pub(crate) struct App {
    id: String,
    key: EncodingKey,
    client: Client,
    /// The session of the user who approves.
    cookie: String,
    /// What the gateway tells apps about itself.
    pub(crate) discovered: Value,
    base: String,
    number: u32,
}

impl App {
    /// Registers a confidential app that may have all of these scopes.
    pub(crate) fn register(world: &World, hospital: Party, id: &str, scopes: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        // An uncompressed point: 4, x, y.
        let (x, y) = pair.public_key_raw()[1..].split_at(48);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-384", "x": x, "y": y, "kid": "key-1", "alg": "ES384"}]});
        let (file, folder) = (world.path().join(format!("{id}.jwks")), world.folder(hospital));
        fs::write(&file, keys.to_string()).unwrap();
        let add = ["gateway", "app", "add", id, "--dir", text(&folder), "--scope", scopes];
        succeeded(&run(&[&add[..], &["--jwks", text(&file), "--redirect", REDIRECT]].concat()));
        let client = world.client_with(hospital, None);
        let discovered = client.get("/fhir/.well-known/smart-configuration").done().json();
        let cookie = format!("sealwort_session={}", world.token_of_user(hospital));
        let base = format!("{}/fhir", world.url(hospital));
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { id: id.to_owned(), key, client, cookie, discovered, base, number: 0 }
    }

    /// Lets a user approve who signed in at the hospital's provider, by the cookie of their session.
    pub(crate) fn used_by(&mut self, cookie: String) {
        self.cookie = cookie;
    }

    /// A token for the app itself.
    pub(crate) fn own_token(&mut self, scopes: &str) -> Answer {
        let assertion = self.assertion();
        self.token(&[("grant_type", "client_credentials"), ("scope", scopes)], &assertion)
    }

    /// A token from the user who approves all of these scopes, for one patient where it needs one.
    pub(crate) fn user_token(&mut self, scopes: &str, patient: Option<&str>) -> Answer {
        let code = self.code(scopes, patient, None);
        self.exchanged(&code)
    }

    /// The same for an app that was opened with a launch, which says for which patient.
    pub(crate) fn launched_token(&mut self, scopes: &str, launch: &str) -> Answer {
        let code = self.code(scopes, None, Some(launch));
        self.exchanged(&code)
    }

    fn exchanged(&mut self, code: &str) -> Answer {
        let assertion = self.assertion();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.token(&form, &assertion)
    }

    /// A new token for an old approval.
    pub(crate) fn refreshed(&mut self, refresh_token: &str) -> Answer {
        let assertion = self.assertion();
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)], &assertion)
    }

    /// What the gateway says of a token.
    pub(crate) fn introspected(&mut self, token: &str) -> Answer {
        let assertion = self.assertion();
        self.ask("introspection_endpoint", &[("token", token)], &assertion)
    }

    /// Gives a token back.
    pub(crate) fn revoke(&mut self, token: &str) -> Answer {
        let assertion = self.assertion();
        self.ask("revocation_endpoint", &[("token", token)], &assertion)
    }

    /// A fresh client assertion (RFC 7523; each counts once).
    pub(crate) fn assertion(&mut self) -> String {
        self.number += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.discovered["token_endpoint"],
            "exp": now + 60, "jti": format!("{}-{}", self.id, self.number),
        });
        let header = Header { kid: Some("key-1".to_owned()), ..Header::new(Algorithm::ES384) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    /// Asks the token endpoint with this assertion.
    pub(crate) fn token(&self, form: &[(&str, &str)], assertion: &str) -> Answer {
        self.ask("token_endpoint", form, assertion)
    }

    fn ask(&self, endpoint: &str, form: &[(&str, &str)], assertion: &str) -> Answer {
        let signed = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
        let body = form_of(&[form, &signed].concat());
        self.client.send("POST", &self.path(endpoint), &[FORM], body)
    }

    /// The user's browser: the page on which the app is approved, and the code in the address that it leads to.
    fn code(&self, scopes: &str, patient: Option<&str>, launch: Option<&str>) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(sealwort_proto::crypto::sha256(VERIFIER.as_bytes()));
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", REDIRECT),
            ("scope", scopes),
            ("state", "some-state"),
            ("aud", &self.base),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        parameters.extend(launch.map(|launch| ("launch", launch)));
        let request = form_of(&parameters);
        let signed_in = ("Cookie", self.cookie.as_str());
        let page =
            self.client.send("GET", &format!("{}?{request}", self.path("authorization_endpoint")), &[signed_in], "");
        let page = page.with(200).text();
        let hidden = |name: &str| hidden(&page, name);
        let mut form = vec![("ticket", hidden("ticket")), ("form", hidden("form")), ("decision", "approve")];
        form.extend(scopes.split(' ').map(|scope| ("scope", scope)));
        form.extend(patient.map(|patient| ("patient", patient)));
        let sent_back = self.client.send("POST", "/auth/decide", &[signed_in, FORM], form_of(&form)).with(303);
        let location = sent_back.field("location").unwrap();
        assert!(location.starts_with(REDIRECT) && location.contains("state=some-state"), "{location}");
        let code = location.split(['?', '&']).find_map(|part| part.strip_prefix("code="));
        code.unwrap_or_else(|| panic!("no code: {location}")).to_owned()
    }

    fn path(&self, endpoint: &str) -> String {
        let url = self.discovered[endpoint].as_str().unwrap();
        url.strip_prefix(self.base.strip_suffix("/fhir").unwrap()).unwrap().to_owned()
    }
}

/// The value of a hidden field of a page's form.
#[track_caller]
pub(crate) fn hidden<'p>(page: &'p str, name: &str) -> &'p str {
    let field = format!("name=\"{name}\" value=\"");
    page.split_once(&field).unwrap_or_else(|| panic!("no {name}: {page}")).1.split('"').next().unwrap()
}

/// The access token in an answer of the token endpoint.
#[track_caller]
pub(crate) fn access_token(answer: Answer) -> String {
    answer.with(200).json()["access_token"].as_str().unwrap().to_owned()
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn form_of(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
