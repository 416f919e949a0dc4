//! Apps and their tokens: the SMART authorization server of this gateway (`sealwort_smart`), with what it must remember
//! sealed on disk, and the apps that the hospital registered in `apps.json`, read anew when the file changes.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::request::Parts;
use sealwort_net::member::Member;
use sealwort_net::secret_file;
use sealwort_net::server::PeerAddress;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{random, sha256};
use sealwort_smart::{
    Access, AccessToken, Apps, AuthorizationServer, Endpoints, IdentityAlgorithm, IdentityKey, NumericDate, OAuthError,
    Settings, TokenFault, TokenResponse,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::delegates::Delegation;
use crate::error::GatewayError;
use crate::keys::Keys;
use crate::user::{Asking, bearer, let_in};

/// Path below which users and apps are authorized.
pub(crate) const AUTH: &str = "/auth";
/// The file of registered apps, in the data folder.
pub(crate) const APPS_FILE: &str = "apps.json";
/// The file of what is remembered, sealed.
const STATE_FILE: &str = "authorization.state";
/// Largest such file, in bytes.
const STATE_FILE_BYTES_MAX: u64 = sealwort_smart::server::STATE_BYTES_MAX as u64 + 1024;

/// Why apps cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// `apps.json` is not as it must be.
    #[error("{file}: {reason}")]
    Apps {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was remembered cannot be read.
    #[error("{file}: {reason}; restore it from a backup, or remove it, which ends what users had approved")]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key cannot be used.
    #[error("the keys for tokens cannot be used: {0}")]
    Keys(String),
}

/// Tells one file of registered apps from the next: when it was written, and its number, since each replaces the other
/// whole. None where there is no file.
type Written = Option<(SystemTime, u64)>;

/// The authorization server with its memory.
pub(crate) struct Authorization {
    server: Mutex<AuthorizationServer>,
    /// One change on disk at a time, so that the newest state is the one that stays.
    writing: tokio::sync::Mutex<()>,
    /// Which file the apps were read from.
    apps: Mutex<Written>,
    apps_file: PathBuf,
    state_file: PathBuf,
    member: Arc<Member>,
}

impl Authorization {
    /// Opens it. `root` is where the gateway answers, without a path; `base` its FHIR base.
    pub(crate) fn open(member: Arc<Member>, keys: &Keys, root: &str, base: &str) -> Result<Self, AuthorizationError> {
        let at = |path: &str| format!("{root}{AUTH}/{path}");
        let endpoints = Endpoints {
            issuer: format!("{root}{AUTH}"),
            fhir_base: base.to_owned(),
            authorization: at("authorize"),
            token: at("token"),
            introspection: at("introspect"),
            revocation: at("revoke"),
            jwks: at("jwks"),
            management: None,
        };
        let identity_key = IdentityKey::from_der(&keys.identity, IdentityAlgorithm::Es256)
            .map_err(|error| AuthorizationError::Keys(error.to_string()))?;
        let settings = Settings {
            endpoints,
            name: member.identity().to_string(),
            token_secret: Zeroizing::new(*keys.bearer.expose()),
            digest: sha256,
            identity_key: Some(identity_key),
            style_url: None,
            launches_apps: true,
        };
        let mut server = AuthorizationServer::new(settings, Apps::default())
            .map_err(|error| AuthorizationError::Keys(error.to_string()))?;
        let (apps_file, state_file) = (member.folder().join(APPS_FILE), member.folder().join(STATE_FILE));
        if state_file.exists() {
            let wrong = |reason: String| AuthorizationError::State { file: state_file.clone(), reason };
            let sealed =
                secret_file::read_up_to(&state_file, STATE_FILE_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
            let state = member.kek().unwrap(&[b"authorization v1"], &sealed);
            let state = state.map_err(|_| wrong("it does not open under this gateway's key".to_owned()))?;
            server.import(&state).map_err(|error| wrong(error.to_string()))?;
        }
        let authorization = Self {
            server: Mutex::new(server),
            writing: tokio::sync::Mutex::new(()),
            apps: Mutex::default(),
            apps_file,
            state_file,
            member,
        };
        authorization.load_apps()?;
        Ok(authorization)
    }

    /// Reads the registered apps where the file has changed. It is looked at for every request: an app that is removed
    /// ends at once.
    pub(crate) fn load_apps(&self) -> Result<(), AuthorizationError> {
        let mut read = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let file = std::fs::metadata(&self.apps_file).ok();
        let written: Written = file.and_then(|file| Some((file.modified().ok()?, file.ino())));
        if written == *read {
            return Ok(());
        }
        // A file that cannot be read is told of once.
        *read = written;
        let apps = match written {
            Some(_) => read_apps(&self.apps_file)?,
            None => Apps::default(),
        };
        self.server.lock().unwrap_or_else(PoisonError::into_inner).set_apps(apps);
        Ok(())
    }

    /// Asks the server, with its apps as they are now.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&mut AuthorizationServer) -> T) -> T {
        if let Err(error) = self.load_apps() {
            tracing::error!(%error, "the registered apps stay as they were");
        }
        question(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, and keeps on disk what it changed before anybody is told. Writing holds up nobody but other writers.
    pub(crate) async fn change<T>(
        &self,
        question: impl FnOnce(&mut AuthorizationServer) -> Result<T, OAuthError>,
    ) -> Result<T, OAuthError> {
        let broken = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "what apps were granted could not be kept");
            OAuthError::new(sealwort_smart::ErrorCode::ServerError, "the gateway could not keep this; try again")
        };
        let _one_at_a_time = self.writing.lock().await;
        let (answer, state) = self.ask(|server| question(server).map(|answer| (answer, server.export())))?;
        let sealed = self.member.kek().wrap(&[b"authorization v1"], &state);
        let file = self.state_file.clone();
        let written = sealwort_net::transport::away(move || secret_file::replace(&file, &sealed)).await;
        written.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        Ok(answer)
    }

    /// `POST /auth/token`
    pub(crate) async fn token(&self, body: &[u8], now: UnixTime) -> Result<TokenResponse, OAuthError> {
        self.change(|server| server.exchange(body, &mut random, seconds(now))).await
    }

    /// Forgets what has ended.
    pub(crate) fn sweep(&self, now: UnixTime) {
        self.ask(|server| server.sweep(seconds(now)));
    }

    /// The document for apps.
    pub(crate) fn discovery(&self) -> Value {
        self.ask(|server| server.smart_configuration())
    }

    /// `CapabilityStatement.rest.security`.
    pub(crate) fn security(&self) -> Value {
        self.ask(|server| server.security_element())
    }
}

/// Reads and checks a file of registered apps.
pub(crate) fn read_apps(file: &std::path::Path) -> Result<Apps, AuthorizationError> {
    let wrong = |reason: String| AuthorizationError::Apps { file: file.to_owned(), reason };
    let json = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    Apps::parse(&json).map_err(|error| wrong(error.to_string()))
}

/// Checks and writes a file of registered apps, whole or not at all.
pub(crate) fn write_apps(file: &std::path::Path, apps: &[Value]) -> Result<(), AuthorizationError> {
    let wrong = |reason: String| AuthorizationError::Apps { file: file.to_owned(), reason };
    let text =
        serde_json::to_vec_pretty(&serde_json::json!({ "apps": apps })).map_err(|error| wrong(error.to_string()))?;
    Apps::parse(&text).map_err(|error| wrong(error.to_string()))?;
    secret_file::replace(file, &text).map_err(|error| wrong(error.to_string()))
}

/// The address that a request came from.
pub(crate) fn source(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<PeerAddress>().map(|address| address.0.ip())
}

pub(crate) fn seconds(now: UnixTime) -> NumericDate {
    NumericDate::from_secs(now.as_secs())
}

/// Whether looking at a token is a use of the session that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It comes with a request.
    Anew,
    /// Its answer is still on its way.
    GoesOn,
}

impl Gateway {
    /// Whether a token counts now, with the session that it belongs to.
    pub(crate) fn check_token(&self, token: &str, usage: Use) -> Result<AccessToken, TokenFault> {
        let now = self.sessions.now();
        let token = self.authorization.ask(|server| server.recheck_access_token(token, seconds(now)))?;
        let session = token.access().user.as_ref().and_then(|user| user.session.as_ref());
        let goes_on = session.is_none_or(|session| match usage {
            Use::Anew => self.sign_in.sessions.touch(session, now),
            Use::GoesOn => self.sign_in.sessions.goes_on(session, now),
        });
        let delegation = token.access().user.as_ref().and_then(|user| user.delegation.as_ref());
        let stands = delegation.is_none_or(|id| self.delegation(id.as_str(), now).is_some());
        if goes_on && stands { Ok(token) } else { Err(TokenFault::Revoked) }
    }

    /// Lets a request in, or says why not. A good token is let in wherever it comes from; after too many bad ones from
    /// an address the answer to the next is a wait.
    pub(crate) fn let_in(&self, parts: &Parts) -> Result<Asking, GatewayError> {
        let checked = self.check_token(bearer(&parts.headers)?, Use::Anew);
        let fault = checked.as_ref().err().copied();
        let delegation = checked.as_ref().map_or(Ok(None), |token| self.delegation_of(token.access()));
        let mut asking = let_in(checked, &parts.headers).map_err(|error| match fault {
            Some(TokenFault::Foreign | TokenFault::Signature) => {
                self.token_failed(source(parts), "not a token of this gateway").unwrap_or(error)
            }
            _ => error,
        })?;
        // It may have ended since the token was looked at.
        asking.delegation = delegation?;
        Ok(asking)
    }

    /// What a delegate may do for the patient for whom this access was given; none for everybody else.
    pub(crate) fn delegation_of(&self, access: &Access) -> Result<Option<Arc<Delegation>>, GatewayError> {
        let Some(id) = access.user.as_ref().and_then(|user| user.delegation.as_ref()) else { return Ok(None) };
        let stands = self.delegation(id.as_str(), self.sessions.now());
        stands.map(Some).ok_or_else(GatewayError::delegation_ended)
    }
}
