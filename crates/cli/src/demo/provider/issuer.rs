//! What the provider answers, without the network: requests are checked (OpenID Connect Core 1.0, section 3.1; RFC 9700),
//! a choice becomes a code that counts once, and a code becomes an identity token that a key of this run signs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm as JwkAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use sealwort_oidc::form::with_parameters;
use sealwort_oidc::{NumericDate, jws};
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::crypto::{random, sha256};
use sealwort_sign_in::is_same;
use serde_json::{Value, json};

use super::people::{PATIENT_CLAIM, Party, Person, parties};
use crate::demo::local::field;
use crate::error::CliError;

/// How long a code waits, in seconds.
const CODE_SECONDS: u64 = 60;
/// Lifetime of tokens, in seconds.
const TOKEN_SECONDS: u64 = 300;
/// Most codes that wait.
const CODES_MAX: usize = 1000;
/// Letters of a challenge: SHA-256 in base64url.
const CHALLENGE_LETTERS: usize = 43;

/// The provider's key, people, parties and codes.
pub(super) struct Issuer {
    url: String,
    key: EncodingKey,
    public: Jwk,
    people: Vec<Person>,
    parties: Vec<Party>,
    codes: Mutex<HashMap<String, Granted>>,
}

/// A request whose party and way back are known.
pub(super) struct Asked<'a> {
    pub(super) party: &'a Party,
    pub(super) redirect_uri: &'a str,
    state: Option<String>,
    nonce: Option<String>,
    challenge: String,
}

/// Why a request leads to no page.
pub(super) enum Unusable<'a> {
    /// Nobody is sent anywhere.
    Party,
    /// The party is told by this code.
    Request(Asked<'a>, &'static str),
}

/// What a code is good for.
struct Granted {
    party: &'static str,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    account: &'static str,
    expires: NumericDate,
}

/// Why there are no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Client,
    Grant,
    GrantType,
    /// The token could not be signed.
    Signing,
}

impl Refusal {
    /// RFC 6749, section 5.2.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Client => "invalid_client",
            Self::Grant => "invalid_grant",
            Self::GrantType => "unsupported_grant_type",
            Self::Signing => "server_error",
        }
    }
}

impl Issuer {
    /// With a key of its own.
    pub(super) fn new(url: &str, people: Vec<Person>) -> Result<Self, CliError> {
        let wrong = |error: &dyn std::fmt::Display| CliError::Local(format!("no key for the demo's sign-in: {error}"));
        let pkcs8 =
            SigningKey::generate(KeyAlgorithm::EcdsaP256).and_then(|key| key.to_pkcs8()).map_err(|e| wrong(&e))?;
        let key = EncodingKey::from_ec_der(&pkcs8);
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|e| wrong(&e))?;
        public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256).map_err(|e| wrong(&e))?);
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(JwkAlgorithm::ES256);
        Ok(Self { url: url.to_owned(), key, public, people, parties: parties(), codes: Mutex::default() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    pub(super) fn party(&self, name: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.name == name)
    }

    /// OpenID Connect Discovery 1.0, section 3.
    pub(super) fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"),
            "scopes_supported": ["openid", "profile"],
            "claims_supported": ["sub", "preferred_username", "roles", PATIENT_CLAIM],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// RFC 7517, section 5.
    pub(super) fn jwks(&self) -> Value {
        json!({"keys": [self.public]})
    }

    /// Checks a request.
    pub(super) fn asked(&self, fields: &[(String, String)]) -> Result<Asked<'_>, Unusable<'_>> {
        let given = |name: &str| field(fields, name);
        let party = given("client_id").and_then(|name| self.party(name)).ok_or(Unusable::Party)?;
        let redirect_uri = party.redirect_uri.get().filter(|known| given("redirect_uri") == Some(known.as_str()));
        let asked = Asked {
            party,
            redirect_uri: redirect_uri.ok_or(Unusable::Party)?,
            state: given("state").map(str::to_owned),
            nonce: given("nonce").map(str::to_owned),
            challenge: given("code_challenge").unwrap_or_default().to_owned(),
        };
        let twice = fields.iter().any(|(name, _)| fields.iter().filter(|(other, _)| other == name).count() > 1);
        let has_challenge = asked.challenge.len() == CHALLENGE_LETTERS && jws::decode(&asked.challenge).is_some();
        let error = if twice || given("code_challenge_method") != Some("S256") || !has_challenge {
            "invalid_request"
        } else if given("response_type") != Some("code") {
            "unsupported_response_type"
        } else if !given("scope").is_some_and(|scope| scope.split(' ').any(|one| one == "openid")) {
            "invalid_scope"
        } else {
            return Ok(asked);
        };
        Err(Unusable::Request(asked, error))
    }

    /// Somebody was chosen: where the browser goes.
    pub(super) fn chosen<'a>(
        &self,
        asked: Asked<'a>,
        account: Option<&str>,
        now: NumericDate,
    ) -> Result<String, Unusable<'a>> {
        let Some(person) = self.people.iter().find(|person| Some(person.account) == account) else {
            return Err(Unusable::Request(asked, "access_denied"));
        };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, granted| now < granted.expires);
        if codes.len() >= CODES_MAX {
            return Err(Unusable::Request(asked, "temporarily_unavailable"));
        }
        let code = jws::encode(&random::<32>());
        let back = self.back(&asked, &[("code", code.as_str())]);
        let granted = Granted {
            party: asked.party.name,
            redirect_uri: asked.redirect_uri.to_owned(),
            challenge: asked.challenge,
            nonce: asked.nonce,
            account: person.account,
            expires: now.plus(CODE_SECONDS),
        };
        codes.insert(code, granted);
        Ok(back)
    }

    /// Back to the party, with whose answer it is (RFC 9207).
    pub(super) fn back(&self, asked: &Asked<'_>, answer: &[(&str, &str)]) -> String {
        let state = asked.state.as_deref().map(|state| ("state", state));
        let all: Vec<_> = answer.iter().copied().chain(state).chain([("iss", self.url.as_str())]).collect();
        with_parameters(asked.redirect_uri, &all)
    }

    /// Gives tokens for a code, which is used up by being shown.
    pub(super) fn tokens(
        &self,
        authorization: Option<&str>,
        form: &[(String, String)],
        now: NumericDate,
    ) -> Result<Value, Refusal> {
        let party = authorization.and_then(|shown| self.authenticated(shown)).ok_or(Refusal::Client)?;
        if field(form, "grant_type") != Some("authorization_code") {
            return Err(Refusal::GrantType);
        }
        let code = field(form, "code").ok_or(Refusal::Grant)?;
        let granted = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(code).ok_or(Refusal::Grant)?;
        let challenge = jws::encode(&sha256(field(form, "code_verifier").unwrap_or_default().as_bytes()));
        let holds = granted.party == party.name
            && field(form, "redirect_uri") == Some(granted.redirect_uri.as_str())
            && is_same(&granted.challenge, &challenge)
            && now < granted.expires;
        let person = self.people.iter().find(|person| holds && person.account == granted.account);
        let person = person.ok_or(Refusal::Grant)?;
        // It opens nothing: there is no endpoint that takes it.
        let access_token = jws::encode(&random::<32>());
        let id_token = self.id_token(person, &granted, &access_token, now).ok_or(Refusal::Signing)?;
        Ok(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "id_token": id_token,
        }))
    }

    /// The party whose secret is shown (RFC 6749, section 2.3.1).
    fn authenticated(&self, authorization: &str) -> Option<&Party> {
        let pair = STANDARD.decode(authorization.strip_prefix("Basic ")?).ok()?;
        let (name, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        let decoded = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
        let party = self.party(&decoded(name)?)?;
        is_same(&party.secret, &decoded(secret)?).then_some(party)
    }

    /// OpenID Connect Core 1.0, sections 2 and 3.1.3.6.
    fn id_token(&self, person: &Person, granted: &Granted, access_token: &str, now: NumericDate) -> Option<String> {
        let hash = sha256(access_token.as_bytes());
        let mut claims = json!({
            "iss": self.url,
            "sub": person.account,
            "aud": granted.party,
            "iat": now,
            "exp": now.plus(TOKEN_SECONDS),
            "at_hash": jws::encode(hash.get(..hash.len() / 2)?),
            "preferred_username": person.account,
            "roles": person.group.iter().collect::<Vec<_>>(),
        });
        for (name, value) in [("nonce", &granted.nonce), (PATIENT_CLAIM, &person.patient)] {
            if let (Some(value), Some(claims)) = (value, claims.as_object_mut()) {
                claims.insert(name.to_owned(), value.as_str().into());
            }
        }
        let header = jws::Header { typ: "JWT", alg: Algorithm::ES256, kid: self.public.common.key_id.as_deref() };
        jws::sign(&header, &claims, &self.key, Algorithm::ES256)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use std::collections::BTreeMap;

    use sealwort_oidc::oidc::{ClientProof, Flow, Provider, ProviderKeys, ProviderTokens, SignInSettings};

    use super::*;
    use crate::demo::local::fields;
    use crate::demo::patients::Named;
    use crate::demo::provider::people;

    const URL: &str = "http://127.0.0.1:1";
    const BACK: &str = "http://127.0.0.1:2/auth/login/callback";
    const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);

    fn issuer() -> Issuer {
        let patient = Named { name: None, identifier: "urn:s|1".to_owned() };
        let issuer = Issuer::new(URL, people::all(Some(patient))).unwrap();
        issuer.party("hospital-a").unwrap().redirect_uri.set(BACK.to_owned()).unwrap();
        issuer
    }

    /// What a gateway does, by the code with which it does it.
    fn gateway() -> SignInSettings {
        SignInSettings {
            issuer: URL.to_owned(),
            client_id: "hospital-a".to_owned(),
            redirect_uri: BACK.to_owned(),
            scope: "profile".to_owned(),
            name_claim: "preferred_username".to_owned(),
            roles_claim: "roles".to_owned(),
            roles: BTreeMap::from([(people::physicians("hospital-a"), "physician".parse().unwrap())]),
            patient_claim: PATIENT_CLAIM.to_owned(),
        }
    }

    fn query(url: &str) -> Vec<(String, String)> {
        fields(url.split_once('?').unwrap().1.as_bytes())
    }

    fn provider(issuer: &Issuer) -> Provider {
        Provider::parse(issuer.discovery().to_string().as_bytes(), URL).unwrap()
    }

    fn begun(issuer: &Issuer) -> (Vec<(String, String)>, Flow) {
        let begun = gateway().begin(&provider(issuer), None, sha256, &mut random, NOW);
        (query(&begun.url), begun.flow)
    }

    fn code(issuer: &Issuer, asked: &[(String, String)], account: &str) -> String {
        let Ok(asked) = issuer.asked(asked) else { panic!("a good request is refused") };
        let Ok(back) = issuer.chosen(asked, Some(account), NOW) else { panic!("{account} cannot be chosen") };
        let back = query(&back);
        assert!(provider(issuer).answers_as(field(&back, "iss")));
        field(&back, "code").unwrap().to_owned()
    }

    fn shown(issuer: &Issuer, flow: &Flow, code: &str, secret: &str) -> (String, Vec<(String, String)>) {
        let proof = ClientProof::Secret(secret.to_owned().into());
        let (authorization, form) =
            gateway().token_request(&provider(issuer), flow, code, &proof, &mut random, NOW).unwrap();
        (authorization.unwrap().to_string(), fields(form.as_bytes()))
    }

    #[test]
    fn a_gateway_takes_its_tokens_for_whom_was_chosen() {
        let issuer = issuer();
        let secret = issuer.party("hospital-a").unwrap().secret.clone();
        for (account, role, patient) in
            [("dr-adams", Some("physician"), None), ("dr-baker", None, None), ("patient", None, Some("urn:s|1"))]
        {
            let (asked, flow) = begun(&issuer);
            let code = code(&issuer, &asked, account);
            let (authorization, form) = shown(&issuer, &flow, &code, &secret);
            let tokens = issuer.tokens(Some(&authorization), &form, NOW).unwrap();
            let tokens = ProviderTokens::parse(200, tokens.to_string().as_bytes()).unwrap();
            let keys = ProviderKeys::parse(issuer.jwks().to_string().as_bytes()).unwrap();
            let signed_in = gateway().verify(&tokens, &keys, &flow, sha256, NOW).unwrap();
            assert_eq!(signed_in.name.as_str(), account);
            assert_eq!(signed_in.role.as_ref().map(sealwort_oidc::Role::as_str), role, "{account}");
            assert_eq!(signed_in.patient.as_deref(), patient, "{account}");
            assert_eq!(issuer.tokens(Some(&authorization), &form, NOW), Err(Refusal::Grant), "a code counts once");
        }
    }

    #[test]
    fn a_request_that_is_not_as_it_must_be_gets_no_code() {
        let issuer = issuer();
        let (good, _) = begun(&issuer);
        let error = |name: &str, value: &str| {
            let mut asked = good.clone();
            asked.retain(|(known, _)| known != name);
            if !value.is_empty() {
                asked.push((name.to_owned(), value.to_owned()));
            }
            match issuer.asked(&asked) {
                Ok(_) => "",
                Err(Unusable::Party) => "nobody",
                Err(Unusable::Request(_, error)) => error,
            }
        };
        for (name, value, expected) in [
            ("ui_locales", "en", ""),
            ("client_id", "hospital-c", "nobody"),
            // It does not listen yet.
            ("client_id", "hospital-b", "nobody"),
            ("redirect_uri", "http://127.0.0.1:2/auth/login/callback/", "nobody"),
            ("redirect_uri", "", "nobody"),
            ("code_challenge", "", "invalid_request"),
            ("code_challenge", "short", "invalid_request"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("response_type", "token", "unsupported_response_type"),
            ("scope", "profile", "invalid_scope"),
        ] {
            assert_eq!(error(name, value), expected, "{name}={value}");
        }
        let mut twice = good.clone();
        twice.push(("scope".to_owned(), "openid".to_owned()));
        assert!(matches!(issuer.asked(&twice), Err(Unusable::Request(_, "invalid_request"))));
        let Ok(asked) = issuer.asked(&good) else { panic!("a good request is refused") };
        assert!(matches!(issuer.chosen(asked, Some("nobody"), NOW), Err(Unusable::Request(_, "access_denied"))));
    }

    #[test]
    fn a_code_is_for_whoever_asked_with_the_secret_and_the_verifier_in_time() {
        let issuer = issuer();
        let secret = issuer.party("hospital-a").unwrap().secret.clone();
        let refused = |authorization: &dyn Fn(String) -> Option<String>, field: (&str, &str), now: NumericDate| {
            let (asked, flow) = begun(&issuer);
            let code = code(&issuer, &asked, "dr-adams");
            let (shown, mut form) = shown(&issuer, &flow, &code, &secret);
            for (name, value) in &mut form {
                if name == field.0 {
                    field.1.clone_into(value);
                }
            }
            issuer.tokens(authorization(shown).as_deref(), &form, now).err()
        };
        let own = Some::<String>;
        let other = |name: &str, secret: &str| Some(format!("Basic {}", STANDARD.encode(format!("{name}:{secret}"))));
        let of_b = issuer.party("hospital-b").unwrap().secret.clone();
        let none = ("", "");
        assert_eq!(refused(&own, none, NOW), None);
        assert_eq!(refused(&|_| None, none, NOW), Some(Refusal::Client));
        assert_eq!(refused(&|_| other("hospital-a", "guessed"), none, NOW), Some(Refusal::Client));
        assert_eq!(refused(&|_| other("hospital-b", &of_b), none, NOW), Some(Refusal::Grant));
        assert_eq!(refused(&own, ("grant_type", "password"), NOW), Some(Refusal::GrantType));
        assert_eq!(refused(&own, ("code", "guessed"), NOW), Some(Refusal::Grant));
        assert_eq!(refused(&own, ("code_verifier", "guessed"), NOW), Some(Refusal::Grant));
        assert_eq!(refused(&own, ("redirect_uri", "http://127.0.0.1:3/"), NOW), Some(Refusal::Grant));
        assert_eq!(refused(&own, none, NOW.plus(CODE_SECONDS)), Some(Refusal::Grant));
    }
}
