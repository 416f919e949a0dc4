//! The authorization server's state and what needs all of it: launches, the check of access tokens, introspection,
//! revocation, and keeping over a restart. The two endpoints with a walk of their own are in `authorization` and
//! `exchange`. The gateway keeps one of these behind a lock.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::app::{App, AppKind, Apps};
use crate::assertion::{ASSERTION_TYPE, ReplayGuard, claimed_by, verify_assertion};
use crate::authorization::Code;
use crate::error::{ErrorCode, OAuthError};
use crate::form::{Form, with_parameters};
use crate::grant::{Fingerprint, Grant, Grants};
use crate::id_token::IdentityKey;
use crate::identifier::{ClientId, EncounterId, FhirUser, GrantId, PatientId, SessionId, TokenId, UserName};
use crate::jws::{self, MacKey};
use crate::scope::Scope;
use crate::scope_set::ScopeSet;
use crate::time::NumericDate;
use crate::token::{Access, AccessToken, AccessTokens, GATEWAY_CLIENT, KeptAccess, SecretText, TokenFault, User};

/// Lifetime of a launch that no app has answered, in seconds.
pub const LAUNCH_SECONDS: u64 = 5 * 60;
/// Most launches that wait for an app.
pub const LAUNCHES_MAX: usize = 10_000;
/// Most of them that wait for one user.
pub const LAUNCHES_PER_USER_MAX: usize = 50;
/// Most access tokens that are remembered as verified.
const VERIFIED_MAX: usize = 1_000;
/// Longest kept state, in bytes.
pub const STATE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Where the gateway answers. All are absolute URLs.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The authorization server; below it lies `.well-known/openid-configuration`.
    pub issuer: String,
    /// The FHIR server, without a slash at the end.
    pub fhir_base: String,
    /// Where users approve.
    pub authorization: String,
    /// Where apps get tokens.
    pub token: String,
    /// Where tokens are looked at.
    pub introspection: String,
    /// Where apps give tokens back.
    pub revocation: String,
    /// Where the public key for identity tokens lies.
    pub jwks: String,
    /// Where users see what they approved, if there is such a page.
    pub management: Option<String>,
}

/// What an authorization server is made of.
pub struct Settings {
    /// Where it answers.
    pub endpoints: Endpoints,
    /// By what its access tokens know it, as issuer and audience. Unlike its addresses it never changes, so that tokens
    /// outlive a move, and can be made while the gateway is not running.
    pub name: String,
    /// The secret of its tokens; it serves nothing else.
    pub token_secret: Zeroizing<[u8; 32]>,
    /// SHA-256. The caller's, so that primitives stay in one place.
    pub digest: fn(&[u8]) -> [u8; 32],
    /// The key for identity tokens; without one there are none.
    pub identity_key: Option<IdentityKey>,
    /// The gateway's looks, for apps that follow them (`smart_style_url`).
    pub style_url: Option<String>,
    /// Whether the record system can have apps launched.
    pub launches_apps: bool,
}

/// An authorization server for one FHIR server.
pub struct AuthorizationServer {
    pub(crate) endpoints: Endpoints,
    pub(crate) digest: fn(&[u8]) -> [u8; 32],
    pub(crate) identity_key: Option<IdentityKey>,
    pub(crate) style_url: Option<String>,
    pub(crate) launches_apps: bool,
    pub(crate) apps: Apps,
    pub(crate) tokens: AccessTokens,
    pub(crate) tickets: MacKey,
    pub(crate) launches: BTreeMap<Fingerprint, WaitingLaunch>,
    pub(crate) codes: BTreeMap<Fingerprint, Code>,
    pub(crate) kept: Kept,
    /// Sessions that go on. What belongs to another one has ended; after a restart all have.
    sessions: BTreeSet<SessionId>,
    /// Tokens that were verified before.
    verified: BTreeMap<Fingerprint, AccessToken>,
}

/// What must outlive a restart. Launches and codes are over in minutes.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    version: StateVersion,
    pub(crate) grants: Grants,
    pub(crate) replays: ReplayGuard,
}

#[derive(Default, Serialize, Deserialize)]
enum StateVersion {
    #[default]
    #[serde(rename = "1")]
    First,
}

/// An app that a user starts from within the record system, for a patient who is open there.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The app that is started.
    pub client_id: ClientId,
    /// Who starts it.
    pub user: UserName,
    /// For whom.
    pub patient: PatientId,
    /// At which encounter, where one is open.
    pub encounter: Option<EncounterId>,
    /// Who shows the patient's name.
    pub banner: Banner,
}

/// A launch that no app has answered yet.
pub(crate) struct WaitingLaunch {
    pub(crate) launch: Launch,
    pub(crate) expires: NumericDate,
}

/// Who shows the patient's name while the app runs (`need_patient_banner`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Banner {
    /// The app.
    App,
    /// The page around the app.
    Gateway,
}

/// A launch that was issued.
#[derive(Debug, Clone)]
pub struct IssuedLaunch {
    /// The value of `launch`.
    pub launch: SecretText,
    /// The address to open, if the app registered a launch URL.
    pub url: Option<String>,
}

/// Which endpoint an app asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Token,
    Introspection,
    Revocation,
}

/// The kept state cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kept state of the authorization server is not one that this version wrote; users must approve again")]
pub struct BadState;

/// The app that sends a form, as it says itself; nothing is verified. For counting failures.
pub fn claimed_client(body: &[u8]) -> Option<ClientId> {
    let form = Form::parse(body).ok()?;
    let claimed = form.value("client_assertion").and_then(|assertion| claimed_by(assertion).ok());
    claimed.or_else(|| form.value("client_id")?.parse().ok())
}

impl AuthorizationServer {
    /// A server that remembers nothing yet.
    pub fn new(settings: Settings, apps: Apps) -> Result<Self, TokenFault> {
        let Settings { endpoints, name, token_secret, digest, identity_key, style_url, launches_apps } = settings;
        let tokens = AccessTokens::new(&name, &name, &token_secret)?;
        // Tickets and access tokens have different types in their MACed headers.
        let tickets = MacKey::new(&token_secret).ok_or(TokenFault::Signing)?;
        let (launches, codes, kept) = (BTreeMap::new(), BTreeMap::new(), Kept::default());
        Ok(Self {
            endpoints,
            digest,
            identity_key,
            style_url,
            launches_apps,
            apps,
            tokens,
            tickets,
            launches,
            codes,
            kept,
            sessions: BTreeSet::new(),
            verified: BTreeMap::new(),
        })
    }

    /// Registered apps, anew. What an app lost it loses with its next token; a removed app at once.
    pub fn set_apps(&mut self, apps: Apps) {
        self.apps = apps;
    }

    /// Registered apps.
    pub const fn apps(&self) -> &Apps {
        &self.apps
    }

    /// The access tokens, to make one for a user of the hospital.
    pub const fn tokens(&self) -> &AccessTokens {
        &self.tokens
    }

    /// Lets an access token in: it is ours, in its time, not revoked, and its app is still registered.
    pub fn check_access_token(&self, token: &str, now: NumericDate) -> Result<AccessToken, TokenFault> {
        let token = self.tokens.verify(token, now)?;
        self.check_standing(&token)?;
        Ok(token)
    }

    /// The same for a token that comes with request after request: that it is ours is remembered by its fingerprint,
    /// since checking it takes longer than most answers. Its time, its grant and its app are looked at every time.
    pub fn recheck_access_token(&mut self, token: &str, now: NumericDate) -> Result<AccessToken, TokenFault> {
        let fingerprint = Fingerprint::of(token, self.digest);
        if let Some(known) = self.verified.get(&fingerprint) {
            known.check_time(now)?;
            self.check_standing(known)?;
            return Ok(known.clone());
        }
        let token = self.check_access_token(token, now)?;
        if self.verified.len() >= VERIFIED_MAX {
            self.verified.clear();
        }
        self.verified.insert(fingerprint, token.clone());
        Ok(token)
    }

    fn check_standing(&self, token: &AccessToken) -> Result<(), TokenFault> {
        let client_id = &token.access().client_id;
        let registered = client_id.as_str() == GATEWAY_CLIENT || self.apps.find(client_id).is_some();
        let goes_on = token.access().user.as_ref().is_none_or(|user| self.is_present(user));
        if registered && goes_on && !self.kept.grants.is_revoked(token) { Ok(()) } else { Err(TokenFault::Revoked) }
    }

    /// What is left of an access that was kept. It lasts as long as what it hangs on: an approval that can be refreshed
    /// until that ends, the rights of an app that acts for itself as long as it is registered with them, everything else
    /// until the token's own end; and no longer than a session on which it depends.
    pub fn kept_access(&self, kept: &KeptAccess, now: NumericDate) -> Result<Access, TokenFault> {
        let token = kept.token();
        self.check_standing(&token)?;
        let access = token.access().clone();
        let own = self.apps.find(&access.client_id).filter(|_| access.user.is_none());
        if let Some(app) = own {
            let scopes = access.scopes.intersect(app.scopes());
            return Ok(Access { scopes, ..access });
        }
        let approved = self.kept.grants.iter(now).any(|grant| access.grant.as_ref() == Some(&grant.id));
        if approved || now < token.expires() { Ok(access) } else { Err(TokenFault::Expired) }
    }

    /// Whether the session of a user goes on, if what they have depends on one.
    pub(crate) fn is_present(&self, user: &User) -> bool {
        user.session.as_ref().is_none_or(|session| self.sessions.contains(session))
    }

    /// A person signed in.
    pub fn begin_session(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    /// A session ended: its tokens and what was approved for as long as it goes on end at once.
    pub fn close_session(&mut self, session: &SessionId, now: NumericDate) {
        self.sessions.remove(session);
        self.kept.grants.revoke_where(now, |grant| grant.user.session.as_ref() == Some(session));
    }

    /// What a delegate could do has ended: so has whatever they approved by it.
    pub fn end_delegation(&mut self, delegation: &str, now: NumericDate) {
        let by_it = |grant: &Grant| grant.user.delegation.as_ref().is_some_and(|id| id.as_str() == delegation);
        self.kept.grants.revoke_where(now, by_it);
    }

    /// A user is to have nothing any more: what they approved for longer than a session ends, too.
    pub fn end_approvals(&mut self, user: &UserName, now: NumericDate) {
        self.kept.grants.revoke_where(now, |grant| grant.user.name == *user);
    }

    /// Whether an app is a record system that may begin launches for users: it proves who it is by a key, and the hospital
    /// registered it with the scope `launch`.
    pub fn begins_launches(&self, client_id: &ClientId) -> bool {
        let registered = self.apps.find(client_id);
        registered.is_some_and(|app| app.kind() == AppKind::Confidential && app.scopes().contains(&Scope::Launch))
    }

    /// Begins an EHR launch.
    pub fn issue_launch(
        &mut self,
        launch: Launch,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<IssuedLaunch, OAuthError> {
        let app = self.apps.find(&launch.client_id).ok_or_else(unknown_app)?;
        if self.launches.len() >= LAUNCHES_MAX {
            self.launches.retain(|_, waiting| now < waiting.expires);
        }
        if self.launches.len() >= LAUNCHES_MAX {
            return Err(full());
        }
        // One user's launches leave room for those of others; the oldest gives way.
        let own = || self.launches.iter().filter(|(_, waiting)| waiting.launch.user == launch.user);
        if own().count() >= LAUNCHES_PER_USER_MAX
            && let Some(oldest) = own().min_by_key(|(_, waiting)| waiting.expires).map(|(launch, _)| launch.clone())
        {
            self.launches.remove(&oldest);
        }
        let text = SecretText::new(jws::encode(&random()));
        let parameters = [("iss", self.endpoints.fhir_base.as_str()), ("launch", text.expose())];
        let url = app.launch_url().map(|url| with_parameters(url, &parameters));
        let waiting = WaitingLaunch { launch, expires: now.plus(LAUNCH_SECONDS) };
        self.launches.insert(Fingerprint::of(text.expose(), self.digest), waiting);
        Ok(IssuedLaunch { launch: text, url })
    }

    /// Answers `POST` on the introspection endpoint (RFC 7662; SMART App Launch 2.2, "Token Introspection"). The caller
    /// shows an access token of this server in `Authorization`, or authenticates as an app in the form.
    pub fn introspect(
        &mut self,
        body: &[u8],
        caller: Option<&AccessToken>,
        now: NumericDate,
    ) -> Result<Value, OAuthError> {
        let form = Form::parse(body)?;
        if caller.is_none() {
            let app = self.authenticate(&form, Asked::Introspection, now)?;
            if app.kind() == AppKind::Public {
                return Err(OAuthError::new(ErrorCode::InvalidClient, "a public app shows its access token as Bearer"));
            }
        }
        let token = form.required("token")?;
        if let Ok(token) = self.check_access_token(token, now) {
            return Ok(self.describe_token(&token));
        }
        let grant = self.kept.grants.find(token, self.digest, now);
        Ok(grant.map_or_else(|| json!({"active": false}), |grant| self.describe_grant(grant)))
    }

    /// Answers `POST` on the revocation endpoint (RFC 7009). A token that is not known is as good as revoked.
    pub fn revoke(&mut self, body: &[u8], now: NumericDate) -> Result<(), OAuthError> {
        let form = Form::parse(body)?;
        let client_id = self.authenticate(&form, Asked::Revocation, now)?.client_id().clone();
        let text = form.required("token")?;
        let others = || OAuthError::new(ErrorCode::UnauthorizedClient, "the token was issued to another app");
        if let Ok(token) = self.tokens.verify(text, now) {
            if token.access().client_id != client_id {
                return Err(others());
            }
            self.kept.grants.revoke_token(token.id(), token.expires(), now);
        } else if let Some(grant) = self.kept.grants.find(text, self.digest, now) {
            if grant.client_id != client_id {
                return Err(others());
            }
            let id = grant.id.clone();
            self.kept.grants.revoke_grant(&id, now);
        }
        Ok(())
    }

    /// What users approved and still counts, for the page on which they see and end it.
    pub fn grants(&self, now: NumericDate) -> impl Iterator<Item = &Grant> {
        self.kept.grants.iter(now)
    }

    /// Ends an approval and all its tokens.
    pub fn revoke_grant(&mut self, id: &GrantId, now: NumericDate) {
        self.kept.grants.revoke_grant(id, now);
    }

    /// Ends an access token before its time: one that an administrator made, or that an incident touched.
    pub fn revoke_token(&mut self, token: &AccessToken, now: NumericDate) {
        self.kept.grants.revoke_token(token.id(), token.expires(), now);
    }

    /// The user signed out: what had `online_access` ends.
    pub fn end_session(&mut self, user: &UserName, now: NumericDate) {
        self.kept.grants.end_session(user, now);
    }

    /// Forgets what has ended. Once a minute is enough.
    pub fn sweep(&mut self, now: NumericDate) {
        self.launches.retain(|_, waiting| now < waiting.expires);
        self.codes.retain(|_, code| now < code.forgotten);
        self.kept.grants.sweep(now);
        self.kept.replays.sweep(now);
    }

    /// What must outlive a restart, as bytes. They name users and patients: keep them sealed. They open nothing.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(&self.kept).unwrap_or_default())
    }

    /// Takes back what was exported.
    pub fn import(&mut self, state: &[u8]) -> Result<(), BadState> {
        if state.len() > STATE_BYTES_MAX {
            return Err(BadState);
        }
        self.kept = jws::parse(state).ok_or(BadState)?;
        Ok(())
    }

    /// Which app sends this form. A public app says so; a confidential one proves it.
    pub(crate) fn authenticate(&mut self, form: &Form, asked: Asked, now: NumericDate) -> Result<&App, OAuthError> {
        let wrong = |text| OAuthError::new(ErrorCode::InvalidClient, text);
        let refused = |fault| OAuthError::new(ErrorCode::InvalidClient, fault);
        if form.value("client_secret").is_some() {
            return Err(wrong("this server takes no client secret; sign a client assertion with a private key"));
        }
        let named = form.value("client_id").map(str::parse::<ClientId>).transpose();
        let named = named.map_err(|_| unknown_app())?;
        let assertion = match (form.value("client_assertion_type"), form.value("client_assertion")) {
            (None, None) => None,
            (Some(ASSERTION_TYPE), Some(assertion)) => Some(assertion),
            _ => return Err(wrong("client_assertion and client_assertion_type come together, of type jwt-bearer")),
        };
        let claimed = assertion.map(claimed_by).transpose().map_err(refused)?;
        if named.is_some() && claimed.is_some() && named != claimed {
            return Err(wrong("client_id and the issuer of the client assertion differ"));
        }
        let app = claimed.or(named).and_then(|id| self.apps.find(&id)).ok_or_else(unknown_app)?;
        match (app.kind(), assertion) {
            (AppKind::Public, None) => Ok(app),
            (AppKind::Confidential, Some(assertion)) => {
                let at = &self.endpoints;
                let own = match asked {
                    Asked::Token => &at.token,
                    Asked::Introspection => &at.introspection,
                    Asked::Revocation => &at.revocation,
                };
                verify_assertion(assertion, app, &[&at.token, own], &mut self.kept.replays, now).map_err(refused)?;
                Ok(app)
            }
            (AppKind::Public, Some(_)) => Err(wrong("the app is registered as public; it has no key to sign with")),
            (AppKind::Confidential, None) => Err(wrong("the app is confidential; send a client assertion")),
        }
    }

    fn describe_token(&self, token: &AccessToken) -> Value {
        let access = token.access();
        let user = access.user.as_ref();
        json!(Introspection {
            active: true,
            token_type: "Bearer",
            scope: &access.scopes,
            client_id: &access.client_id,
            iss: &self.endpoints.issuer,
            aud: Some(&self.endpoints.fhir_base),
            sub: user.map_or(access.client_id.as_str(), |user| user.name.as_str()),
            jti: Some(token.id()),
            iat: token.issued(),
            exp: token.expires(),
            patient: access.patient.as_ref(),
            fhir_user: user
                .and_then(|user| user.fhir_user.as_ref())
                .filter(|_| access.scopes.contains(&Scope::FhirUser)),
        })
    }

    fn describe_grant(&self, grant: &Grant) -> Value {
        json!(Introspection {
            active: true,
            token_type: "refresh_token",
            scope: &grant.scopes,
            client_id: &grant.client_id,
            iss: &self.endpoints.issuer,
            aud: None,
            sub: grant.user.name.as_str(),
            jti: None,
            iat: grant.approved,
            exp: grant.expires,
            patient: grant.patient.as_ref(),
            fhir_user: grant.user.fhir_user.as_ref().filter(|_| grant.scopes.contains(&Scope::FhirUser)),
        })
    }
}

/// RFC 7662, section 2.2, with the launch context of SMART.
#[derive(Serialize)]
struct Introspection<'a> {
    active: bool,
    token_type: &'a str,
    scope: &'a ScopeSet,
    client_id: &'a ClientId,
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a TokenId>,
    iat: NumericDate,
    exp: NumericDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a PatientId>,
    #[serde(rename = "fhirUser", skip_serializing_if = "Option::is_none")]
    fhir_user: Option<&'a FhirUser>,
}

pub(crate) fn unknown_app() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, "no app is registered with this client id; ask the hospital")
}

pub(crate) fn full() -> OAuthError {
    OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many approvals are under way; try again in a minute")
}
