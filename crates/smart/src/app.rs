//! Apps that the hospital registered, and their file `apps.json`. Public keys stand in the file itself; a `jwks_uri` is
//! refused, because the gateway connects outward to its broker alone and fetches no key from anywhere. To change a
//! key, put the new one beside the old one, then take the old one out.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identifier::ClientId;
use crate::jws;
use crate::redirect::RedirectUri;
use crate::scope::Context;
use crate::scope_set::ScopeSet;

/// Longest file, in bytes.
pub const APPS_BYTES_MAX: usize = 1024 * 1024;
/// Most apps.
pub const APPS_MAX: usize = 1000;
/// Most keys of one app.
pub const KEYS_MAX: usize = 16;
/// Most redirect URIs of one app.
pub const REDIRECT_URIS_MAX: usize = 16;
/// Longest name of an app, in bytes.
pub const APP_NAME_BYTES_MAX: usize = 128;

/// Whether an app can keep a secret (RFC 6749, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppKind {
    /// It cannot: it runs in a browser or on a user's device. PKCE protects it.
    Public,
    /// It can: it signs with a private key (`private_key_jwt`).
    Confidential,
}

/// A registered app.
#[derive(Debug, Clone)]
pub struct App {
    entry: Entry,
    keys: Vec<RegisteredKey>,
}

/// A public key of an app.
#[derive(Debug, Clone)]
pub(crate) struct RegisteredKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl App {
    /// Its client id.
    pub const fn client_id(&self) -> &ClientId {
        &self.entry.client_id
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Whether it can keep a secret.
    pub const fn kind(&self) -> AppKind {
        self.entry.kind
    }

    /// What it may be granted at most.
    pub const fn scopes(&self) -> &ScopeSet {
        &self.entry.scope
    }

    /// Where an EHR launch begins: the gateway opens it with `iss` and `launch`.
    pub fn launch_url(&self) -> Option<&str> {
        self.entry.launch_url.as_ref().map(RedirectUri::as_str)
    }

    /// Whether a user may be sent back to this address. The text must be equal to a registered one; on a loopback
    /// address any port serves (RFC 8252, section 7.3).
    pub fn redirects_to(&self, uri: &str) -> bool {
        self.entry.redirect_uris.iter().any(|registered| registered.admits(uri))
    }

    pub(crate) fn key(&self, kid: &str) -> Option<&RegisteredKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }
}

/// All registered apps.
#[derive(Debug, Clone, Default)]
pub struct Apps(BTreeMap<ClientId, App>);

impl Apps {
    /// Reads `apps.json`. One fault refuses the whole file: the hospital wrote it and shall know.
    pub fn parse(json: &[u8]) -> Result<Self, AppFault> {
        if json.len() > APPS_BYTES_MAX {
            return Err(AppFault::TooLarge);
        }
        jws::parse::<Value>(json).ok_or(AppFault::Json)?;
        let file: File = serde_json::from_slice(json).map_err(|error| AppFault::Form(error.to_string()))?;
        let mut apps = Self::default();
        for entry in file.apps {
            let id = entry.client_id.clone();
            let app = App::checked(entry).map_err(|rule| AppFault::App { id: id.clone(), rule })?;
            if apps.0.len() == APPS_MAX {
                return Err(AppFault::TooLarge);
            }
            if apps.0.insert(id.clone(), app).is_some() {
                return Err(AppFault::App { id, rule: AppRule::Twice });
            }
        }
        Ok(apps)
    }

    /// The file again, with each scope in its canonical form.
    pub fn to_json(&self) -> Value {
        let entries: Vec<_> = self.0.values().map(|app| &app.entry).collect();
        serde_json::json!({ "apps": entries })
    }

    /// The app with this client id.
    pub fn find(&self, client_id: &ClientId) -> Option<&App> {
        self.0.get(client_id)
    }

    /// Each app, sorted by client id.
    pub fn iter(&self) -> impl Iterator<Item = &App> {
        self.0.values()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    apps: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    client_id: ClientId,
    name: String,
    kind: AppKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redirect_uris: Vec<RedirectUri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    launch_url: Option<RedirectUri>,
    scope: ScopeSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks: Option<KeySet>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySet {
    keys: Vec<Map<String, Value>>,
}

/// Why `apps.json` is not accepted. The hospital's administrator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppFault {
    /// Beyond a limit.
    #[error("the file of apps is larger than 1 MiB or has more than 1000 apps; split it over several gateways")]
    TooLarge,
    /// Not JSON.
    #[error("the file of apps is not JSON, or an object in it has a member twice")]
    Json,
    /// Not the format.
    #[error("the file of apps has a wrong member or value: {0}")]
    Form(String),
    /// An app breaks a rule.
    #[error("app {id}: {rule}")]
    App {
        /// Which.
        id: ClientId,
        /// The rule.
        rule: AppRule,
    },
}

/// A rule that a registered app must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppRule {
    /// A client id belongs to one app.
    #[error("the client id is registered twice")]
    Twice,
    /// `~` marks the gateway's own client.
    #[error("a client id does not begin with ~")]
    Reserved,
    /// People read the name.
    #[error("the name has 1 to 128 bytes in one line")]
    Name,
    /// An app without scopes can do nothing.
    #[error("give the app at least one scope")]
    NoScope,
    /// Nothing proves who a public app is.
    #[error("a public app has no keys and no system scopes; register it as confidential with its public key")]
    Public,
    /// A confidential app proves itself by a key.
    #[error("a confidential app needs 1 to 16 public keys under jwks.keys; a jwks_uri is never fetched")]
    NoKey,
    /// A user must come back to somewhere.
    #[error("an app with patient or user scopes needs 1 to 16 redirect URIs")]
    NoRedirect,
    /// A private key was registered.
    #[error("a key contains its private part; register the public key and replace this one, for it is exposed")]
    PrivateKey,
    /// A key cannot be used.
    #[error("a key is not an RSA key of 2048 to 8192 bits for RS384 or a P-384 key for ES384, with a kid of its own")]
    Key,
}

impl App {
    fn checked(entry: Entry) -> Result<Self, AppRule> {
        let check = |sound: bool, rule: AppRule| if sound { Ok(()) } else { Err(rule) };
        let name = &entry.name;
        let line = !name.contains(char::is_control) && name.trim() == name;
        check(!entry.client_id.as_str().starts_with('~'), AppRule::Reserved)?;
        check((1..=APP_NAME_BYTES_MAX).contains(&name.len()) && line, AppRule::Name)?;
        check(!entry.scope.is_empty(), AppRule::NoScope)?;
        let registered = entry.jwks.as_ref().map_or(&[][..], |set| &set.keys);
        match entry.kind {
            AppKind::Public => {
                check(entry.jwks.is_none() && !entry.scope.has_context(Context::System), AppRule::Public)?;
            }
            AppKind::Confidential => check((1..=KEYS_MAX).contains(&registered.len()), AppRule::NoKey)?,
        }
        let for_users = entry.scope.has_context(Context::Patient) || entry.scope.has_context(Context::User);
        let redirects = entry.redirect_uris.len();
        check((!for_users || redirects > 0) && redirects <= REDIRECT_URIS_MAX, AppRule::NoRedirect)?;
        let mut keys: Vec<RegisteredKey> = Vec::new();
        for jwk in registered {
            let key = RegisteredKey::checked(jwk)?;
            check(keys.iter().all(|held| held.kid != key.kid), AppRule::Key)?;
            keys.push(key);
        }
        Ok(Self { entry, keys })
    }
}

/// Members that only a private or shared key has (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl RegisteredKey {
    /// "Bare" public keys with `kty` and `kid` (SMART App Launch 2.2, "Client Authentication: Asymmetric").
    fn checked(jwk: &Map<String, Value>) -> Result<Self, AppRule> {
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(AppRule::PrivateKey);
        }
        let text = |member: &str| jwk.get(member).and_then(Value::as_str).ok_or(AppRule::Key);
        let bytes = |member: &str| text(member).and_then(|text| jws::decode(text).ok_or(AppRule::Key));
        let kid = text("kid")?;
        let (algorithm, name, key) = match text("kty")? {
            "RSA" => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let sound = (256..=1024).contains(&modulus.len()) && modulus.first() != Some(&0) && exponent.len() <= 4;
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                (Algorithm::RS384, "RS384", sound.then_some(key))
            }
            "EC" => {
                let sound = text("crv")? == "P-384" && bytes("x")?.len() == 48 && bytes("y")?.len() == 48;
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok();
                (Algorithm::ES384, "ES384", key.filter(|_| sound))
            }
            _ => return Err(AppRule::Key),
        };
        let operations = jwk.get("key_ops").and_then(Value::as_array);
        let serves = jwk.get("alg").is_none_or(|alg| alg == name)
            && jwk.get("use").is_none_or(|purpose| purpose == "sig")
            && (!jwk.contains_key("key_ops") || operations.is_some_and(|list| list.iter().any(|one| one == "verify")))
            && (1..=128).contains(&kid.len());
        let key = key.filter(|_| serves).ok_or(AppRule::Key)?;
        Ok(Self { kid: kid.to_owned(), algorithm, key })
    }
}
