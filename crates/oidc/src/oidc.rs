//! Signing users of the hospital in at its own provider: OpenID Connect Core 1.0 with the authorization code flow, PKCE
//! (RFC 7636) and the counsel of RFC 9700. Here are the requests that are sent and the checks of what comes back; the
//! network, cookies and the clock are the service's. Nothing that a provider says is believed before its signature and
//! every claim about whom, by whom, for whom and when were checked.

use std::collections::BTreeMap;

use base64::Engine as _;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::form::with_parameters;
use crate::identifier::{Role, UserName};
use crate::jws::{self, Compact, Header};
use crate::secret::SecretText;
use crate::time::NumericDate;

/// Algorithms of identity tokens that are accepted. All of them hash with SHA-256, so that `at_hash` has one meaning;
/// for EdDSA it has none that a standard fixes.
pub const ID_TOKEN_ALGORITHMS: [&str; 3] = ["RS256", "PS256", "ES256"];
/// Longest identity token, in bytes. Groups of a large directory stand in it.
pub const ID_TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Largest document of a provider, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// How far the clock of the provider may be from ours, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 60;
/// How old an identity token may be when it arrives, in seconds: it was made for this sign-in.
pub const ID_TOKEN_AGE_SECONDS_MAX: u64 = 10 * 60;
/// How long a user may take at the provider, in seconds.
pub const FLOW_SECONDS: u64 = 10 * 60;
/// Most keys of a provider that are looked at.
const KEYS_MAX: usize = 64;
/// Most roles that a provider may say of one user.
const ROLES_MAX: usize = 2000;
/// Lifetime of an assertion with which the gateway proves itself, in seconds.
const ASSERTION_SECONDS: u64 = 60;

/// Why a user is not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInFault {
    /// The discovery document.
    #[error("the provider's discovery document cannot be used: {0}")]
    Discovery(&'static str),
    /// The keys.
    #[error("the provider's keys cannot be read: {0}")]
    Keys(&'static str),
    /// The answer of the token endpoint.
    #[error("the provider gave no tokens: {0}")]
    Tokens(String),
    /// Not a signed token.
    #[error("the identity token is not a JWT in canonical compact form, or has a member twice")]
    Form,
    /// Its algorithm.
    #[error("the identity token is signed with an algorithm other than RS256, PS256 and ES256, or asks for more")]
    Algorithm,
    /// No such key. The keys may have changed: fetch them again, once.
    #[error("no key of the provider has the name that the identity token gives")]
    UnknownKey,
    /// Wrong signature.
    #[error("the signature of the identity token is wrong")]
    Signature,
    /// Another issuer.
    #[error("the identity token is from another issuer than the one that is configured")]
    Issuer,
    /// For another client.
    #[error("the identity token is for another client, or for several without azp")]
    Audience,
    /// Its time is over.
    #[error("the identity token has expired; check the clocks of the provider and of this service")]
    Expired,
    /// Issued too long ago, or in the future.
    #[error("the identity token was not issued just now; check the clocks of the provider and of this service")]
    NotNow,
    /// Made for another sign-in.
    #[error("the identity token belongs to another sign-in (nonce)")]
    Nonce,
    /// The access token beside it is another.
    #[error("the access token is not the one that the identity token came with (at_hash)")]
    AccessToken,
    /// No usable name.
    #[error("the claim `{0}` of the identity token holds no name of a user")]
    Name(String),
    /// No role.
    #[error(
        "none of the roles that the provider says this user has means anything here, and the user is no patient or delegate"
    )]
    NoRole,
    /// Not the role that was asked for.
    #[error("the provider does not say that this user has the role that was asked for")]
    OtherRole,
    /// The service's key cannot sign.
    #[error("this service's key for the provider cannot sign; it is a P-256 key in PKCS #8")]
    Signing,
}

/// What a provider says of itself (OpenID Connect Discovery 1.0), checked against what the administrator configured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provider {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Provider {
    /// Where the document of an issuer lies.
    pub fn document_url(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
    }

    /// Reads the document. Its issuer is the configured one, letter for letter (Discovery 1.0, section 4.3).
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, SignInFault> {
        let wrong = SignInFault::Discovery;
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let provider: Self = jws::parse(document).ok_or(wrong("it is not JSON with all endpoints"))?;
        if provider.issuer != issuer {
            return Err(wrong("it is of another issuer than the option provider.issuer of sign-in, letter for letter"));
        }
        let secure =
            |url: &str| url.starts_with("https://") || (issuer.starts_with("http://") && url.starts_with("http://"));
        let web = |url: &str| secure(url) && url.bytes().all(|byte| byte.is_ascii_graphic());
        let all = [&provider.authorization_endpoint, &provider.token_endpoint, &provider.jwks_uri];
        if !all.into_iter().chain(&provider.end_session_endpoint).all(|url| web(url)) {
            return Err(wrong("an endpoint is not an https URL"));
        }
        Ok(provider)
    }

    /// Where keys are fetched.
    pub fn jwks_uri(&self) -> &str {
        &self.jwks_uri
    }

    /// Where codes become tokens.
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// Where sessions at the provider end, if it offers that.
    pub fn logout_endpoint(&self) -> Option<&str> {
        self.end_session_endpoint.as_deref()
    }

    /// Where the browser goes to end the session at the provider, too (RP-Initiated Logout 1.0).
    pub fn logout_url(&self, client_id: &str, id_token: &str, back: &str) -> Option<String> {
        let parameters = [("id_token_hint", id_token), ("client_id", client_id), ("post_logout_redirect_uri", back)];
        self.end_session_endpoint.as_ref().map(|url| with_parameters(url, &parameters))
    }

    /// Whether the answer names the issuer that it must (RFC 9207).
    pub fn answers_as(&self, iss: Option<&str>) -> bool {
        iss.map_or(!self.authorization_response_iss_parameter_supported, |iss| iss == self.issuer)
    }
}

/// The keys of a provider.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys(Vec<Jwk>);

impl ProviderKeys {
    /// Reads a key set (RFC 7517). Keys of kinds that are not known here are passed over, as section 5 asks.
    pub fn parse(document: &[u8]) -> Result<Self, SignInFault> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(SignInFault::Keys("the document is too long"));
        }
        let set: Set = jws::parse(document).ok_or(SignInFault::Keys("the document is not a JWK set"))?;
        let known = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok());
        let signs =
            |key: &Jwk| key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        Ok(Self(known.filter(signs).collect()))
    }

    /// The keys that a token may be signed with: the one of that name, or all where it names none.
    fn named<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Jwk> {
        self.0.iter().filter(move |key| kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid)))
    }
}

/// How the gateway is known at the provider, and how it reads the provider's claims.
#[derive(Debug, Clone)]
pub struct SignInSettings {
    /// The issuer.
    pub issuer: String,
    /// The gateway's client id there.
    pub client_id: String,
    /// The gateway's address for the browser's way back.
    pub redirect_uri: String,
    /// Scopes beside `openid`.
    pub scope: String,
    /// The claim with the user's name.
    pub name_claim: String,
    /// The claim with roles or groups: a name, or names with dots for members of members.
    pub roles_claim: String,
    /// Roles or groups of the provider, and the roles here that they mean.
    pub roles: BTreeMap<String, Role>,
    /// The claim that says which patient a user is; empty for none.
    pub patient_claim: String,
}

/// The role that a user asks for who signs in for their own record, or as somebody's delegate.
pub const PATIENT_ROLE: &str = "patient";

/// How the gateway proves itself at the token endpoint.
pub enum ClientProof {
    /// `client_secret_basic`
    Secret(Zeroizing<String>),
    /// `private_key_jwt`, signed with ES256.
    Key(Box<EncodingKey>),
}

impl ClientProof {
    /// A P-256 key in PKCS #8.
    pub fn from_key(pkcs8: &[u8]) -> Self {
        Self::Key(Box::new(EncodingKey::from_ec_der(pkcs8)))
    }
}

/// A sign-in that waits for the user's way back.
#[derive(Debug)]
pub struct Flow {
    nonce: String,
    verifier: SecretText,
    /// The role that the user asked for, where they have several.
    role: Option<Role>,
    /// After this the user must begin again.
    pub expires: NumericDate,
}

/// A sign-in that begins.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// The value of `state`, which comes back with the browser.
    pub state: String,
    /// What is kept until then.
    pub flow: Flow,
}

/// The tokens of the provider. Nothing of them is verified yet.
#[derive(Debug, Deserialize)]
pub struct ProviderTokens {
    id_token: String,
    #[serde(default)]
    access_token: Option<String>,
}

impl ProviderTokens {
    /// Reads the answer of the token endpoint.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, SignInFault> {
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        if status == 200 {
            let tokens = jws::parse(body).ok_or("the answer has no identity token");
            return tokens.map_err(|text| SignInFault::Tokens(text.to_owned()));
        }
        let word =
            |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let error = jws::parse(body).map(|Refused { error }| error).filter(|error| word(error));
        Err(SignInFault::Tokens(error.unwrap_or_else(|| format!("status {status}"))))
    }

    /// The identity token, for [`Provider::logout_url`].
    pub fn into_id_token(self) -> Zeroizing<String> {
        Zeroizing::new(self.id_token)
    }
}

/// Who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The user's name, as the hospital knows them.
    pub name: UserName,
    /// In which role they work now; none for who did not come to work, or has no role here.
    pub role: Option<Role>,
    /// All roles that the provider says they have here.
    pub roles: Vec<Role>,
    /// Which patient they are, in the provider's words.
    pub patient: Option<String>,
}

impl SignedIn {
    /// The role in which they work, where they came to work.
    pub fn works_as(&self) -> Result<Role, SignInFault> {
        self.role.clone().ok_or(SignInFault::NoRole)
    }
}

impl SignInSettings {
    /// Begins a sign-in.
    pub fn begin(
        &self,
        provider: &Provider,
        role: Option<Role>,
        digest: fn(&[u8]) -> [u8; 32],
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Begun {
        let [state, nonce, verifier] = [jws::encode(&random()), jws::encode(&random()), jws::encode(&random())];
        let challenge = jws::encode(&digest(verifier.as_bytes()));
        let scope = format!("openid {}", self.scope);
        let parameters = [
            ("response_type", "code"),
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", scope.trim()),
            ("state", state.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let url = with_parameters(&provider.authorization_endpoint, &parameters);
        let flow = Flow { nonce, verifier: SecretText::new(verifier), role, expires: now.plus(FLOW_SECONDS) };
        Begun { url, state, flow }
    }

    /// What is sent to the token endpoint: the value of `Authorization`, where there is one, and the form.
    pub fn token_request(
        &self,
        provider: &Provider,
        flow: &Flow,
        code: &str,
        proof: &ClientProof,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<(Option<Zeroizing<String>>, Zeroizing<String>), SignInFault> {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", flow.verifier.expose()),
        ];
        let assertion;
        let authorization = match proof {
            ClientProof::Secret(secret) => {
                // Both halves are form-encoded first (RFC 6749, section 2.3.1).
                let encoded = |text: &str| with_parameters("", &[("", text)]).split_off(2);
                let pair = Zeroizing::new(format!("{}:{}", encoded(&self.client_id), encoded(secret)));
                let pair = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
                Some(Zeroizing::new(format!("Basic {pair}")))
            }
            ClientProof::Key(key) => {
                let claims = Assertion {
                    iss: &self.client_id,
                    sub: &self.client_id,
                    aud: &provider.token_endpoint,
                    jti: &jws::encode(&random()),
                    iat: now,
                    exp: now.plus(ASSERTION_SECONDS),
                };
                let header = Header { typ: "JWT", alg: Algorithm::ES256, kid: None };
                assertion = jws::sign(&header, &claims, key, Algorithm::ES256).ok_or(SignInFault::Signing)?;
                parameters.push(("client_id", &self.client_id));
                parameters.push(("client_assertion_type", crate::ASSERTION_TYPE));
                parameters.push(("client_assertion", &assertion));
                None
            }
        };
        Ok((authorization, Zeroizing::new(with_parameters("?", &parameters).split_off(2))))
    }

    /// Checks the identity token (OpenID Connect Core 1.0, sections 3.1.3.7 and 3.1.3.8) and reads who signed in.
    pub fn verify(
        &self,
        tokens: &ProviderTokens,
        keys: &ProviderKeys,
        flow: &Flow,
        digest: fn(&[u8]) -> [u8; 32],
        now: NumericDate,
    ) -> Result<SignedIn, SignInFault> {
        let compact = Compact::split(&tokens.id_token, ID_TOKEN_BYTES_MAX).map_err(|_| SignInFault::Form)?;
        verify_signature(&compact, keys)?;
        let claims: Claims = jws::parse(&compact.claims).ok_or(SignInFault::Form)?;
        if claims.iss != self.issuer {
            return Err(SignInFault::Issuer);
        }
        let ours = |name: &str| name == self.client_id;
        let for_us = match &claims.aud {
            Audience::One(one) => ours(one),
            Audience::Many(many) => many.iter().any(|one| ours(one)) && (many.len() == 1 || claims.azp.is_some()),
        };
        if !for_us || claims.azp.as_deref().is_some_and(|azp| !ours(azp)) {
            return Err(SignInFault::Audience);
        }
        if now >= claims.exp.plus(CLOCK_SKEW_SECONDS) {
            return Err(SignInFault::Expired);
        }
        if claims.iat > now.plus(CLOCK_SKEW_SECONDS) || claims.iat.plus(ID_TOKEN_AGE_SECONDS_MAX) < now {
            return Err(SignInFault::NotNow);
        }
        let nonce = claims.nonce.as_deref().unwrap_or_default();
        if !bool::from(nonce.as_bytes().ct_eq(flow.nonce.as_bytes())) {
            return Err(SignInFault::Nonce);
        }
        if let Some(hash) = &claims.at_hash {
            let whole = digest(tokens.access_token.as_deref().unwrap_or_default().as_bytes());
            let (left, _) = whole.split_at(whole.len() / 2);
            if tokens.access_token.is_none() || *hash != jws::encode(left) {
                return Err(SignInFault::AccessToken);
            }
        }
        self.user(&claims.others, flow)
    }

    /// Who the claims are about.
    fn user(&self, claims: &BTreeMap<String, Value>, flow: &Flow) -> Result<SignedIn, SignInFault> {
        let name = claims.get(&self.name_claim).and_then(Value::as_str).and_then(|name| name.parse().ok());
        let name = name.ok_or_else(|| SignInFault::Name(self.name_claim.clone()))?;
        let mut said = claims.get(&self.roles_claim);
        if said.is_none() {
            // Keycloak nests them: realm_access.roles.
            let mut members = self.roles_claim.split('.');
            said = members.next().and_then(|first| claims.get(first));
            for member in members {
                said = said.and_then(|value| value.get(member));
            }
        }
        let patient = claims.get(&self.patient_claim).and_then(Value::as_str).filter(|said| !said.is_empty());
        let said: Vec<&str> = match said {
            Some(Value::Array(all)) => all.iter().take(ROLES_MAX).filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        };
        let mut roles: Vec<Role> = Vec::new();
        for role in said.into_iter().filter_map(|role| self.roles.get(role)) {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        let role = match &flow.role {
            Some(asked) if asked.as_str() == PATIENT_ROLE => None,
            Some(asked) => Some(roles.iter().find(|role| *role == asked).ok_or(SignInFault::OtherRole)?),
            None => roles.first(),
        };
        Ok(SignedIn { name, role: role.cloned(), roles, patient: patient.map(str::to_owned) })
    }
}

/// The algorithm is one that was chosen here, and of the kind of the key that the provider published.
fn verify_signature(compact: &Compact<'_>, keys: &ProviderKeys) -> Result<(), SignInFault> {
    // A list would be read as the members in their order.
    let header = jws::decode(compact.encoded_header).filter(|header| header.starts_with(b"{"));
    let header = header.and_then(|header| jws::parse::<TokenHeader>(&header));
    let header = header.ok_or(SignInFault::Form)?;
    if header.crit.is_some() {
        return Err(SignInFault::Algorithm);
    }
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        "ES256" => Algorithm::ES256,
        _ => return Err(SignInFault::Algorithm),
    };
    let mut fault = SignInFault::UnknownKey;
    for key in keys.named(header.kid.as_deref()) {
        let named = key.common.key_algorithm.as_ref().is_none_or(|named| named.to_string() == header.alg);
        let Some(opening) =
            DecodingKey::from_jwk(key).ok().filter(|opening| named && opening.family() == algorithm.family())
        else {
            continue;
        };
        if compact.verify(&opening, algorithm).is_ok() {
            return Ok(());
        }
        fault = SignInFault::Signature;
    }
    Err(fault)
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: NumericDate,
    exp: NumericDate,
}
