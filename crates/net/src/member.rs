//! A running party's place in the exchange: its keys and certificates, whom it trusts, and the key under which
//! it wraps what it keeps. Read from its data folder at the start; certificates are renewed and revocation
//! lists fetched in the background, and both are kept for the next start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use sealwort_pki::enrolment::{
    Admission, CRL_MESSAGE_BYTES_MAX, CrlResponse, ENROL_PATH, Invitation, JoinError, JoinRequest, JoinResponse,
    Membership, MembershipError, MessageError, RENEW_PATH, Refusal, RenewalRequest,
};
use sealwort_pki::{CertificateError, Identity, KeyAlgorithm, KeyError, Role, Trust, TrustError};
use sealwort_proto::crypto::Secret;
use sealwort_proto::handshake::Party;
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;
use tokio::task::JoinHandle;

use crate::client::{Body, Endpoint, HopClient, HopError};
use crate::clock::Clock;
use crate::config::CaConfig;
use crate::crl::{fetch_crl, spawn_crl_refresh};
use crate::kek::{self, KeyEncryptionKeys};
use crate::secret_file::{self, SecretFileError};
use crate::shutdown::Shutdown;
use crate::tls::{
    Credentials, CredentialsError, SharedTrust, TlsConfigError, authority_client_config, pinned_root_client_config,
};
use crate::token::{Token, TokenError, WrappingError};
use crate::transport::away;

/// Keys and certificates.
const MEMBERSHIP_FILE: &str = "membership.json";
/// The newest revocation list.
const CRL_FILE: &str = "crl.json";
/// The audit log's key where entries are sealed, wrapped under the key-encryption key.
pub const AUDIT_KEY_FILE: &str = "audit.key";
const AUDIT_KEY_CONTEXT: &[u8] = b"sealwort audit key v1";
/// Time to wait for the CA's answer.
const CA_PATIENCE: Duration = Duration::from_secs(20);
/// Shortest time between two attempts to renew.
const RENEWAL_RETRY: Duration = Duration::from_secs(30);

/// Why a party could not take its place.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The folder holds no membership.
    #[error("{folder} holds no membership; join the exchange first: sealwort join --invite FILE --dir {folder}")]
    NotJoined {
        /// The folder.
        folder: String,
    },
    /// The folder holds a membership already.
    #[error("{folder} holds the membership of {identity} already; choose another folder")]
    Joined {
        /// The folder.
        folder: String,
        /// Whose.
        identity: Identity,
    },
    /// The membership is of another role.
    #[error("the membership is that of {found}, this is a {expected}; choose the right folder")]
    WrongRole {
        /// Role of this service.
        expected: Role,
        /// Identity in the folder.
        found: Identity,
    },
    /// A secret file is missing, open to others or unreadable.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The membership file is damaged.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// A line of the key file is neither a key nor the name of one.
    #[error("{0} is not a key of 32 bytes in hexadecimal, nor the name of one in a token; restore it from a backup")]
    KeyEncryptionKey(String),
    /// The key file names a key in a token, and no token is configured.
    #[error("{0} names a key in a PKCS#11 token; say in [keys] of the configuration which module and token that is")]
    KeyInToken(String),
    /// The token does not have the key, or does not answer.
    #[error("the key-encryption key: {0}")]
    Token(#[from] WrappingError),
    /// The key-encryption key is being changed.
    #[error("{0} holds an older key, too: the last change is not at its end; start the service, and wait for it")]
    KeysChanging(String),
    /// The key file lost the key in use.
    #[error(
        "{0} does not hold the newest key in use any more, and what was wrapped under it would not open; the old keys stay in use; put the newest copy of the file back before the next start"
    )]
    KeyLost(String),
    /// The audit log's key does not open.
    #[error("{0} does not open under the folder's key-encryption key; restore both from a backup")]
    AuditKey(String),
    /// Key and certificate do not belong together.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The TLS side cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The kept revocation list is not in order.
    #[error("the kept revocation list is not in order: {0}")]
    Crl(#[from] TrustError),
    /// A message of the CA's is malformed.
    #[error("the certificate authority's answer is malformed: {0}")]
    Message(#[from] MessageError),
    /// The CA was not reached.
    #[error(transparent)]
    Hop(#[from] HopError),
    /// The CA refused.
    #[error("the certificate authority refused: {} ({}); {}", .0.message, .0.code, .0.remedy)]
    Refused(Box<Refusal>),
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A party that takes part.
pub struct Member {
    folder: PathBuf,
    identity: Identity,
    trust: SharedTrust,
    credentials: Credentials,
    party: RwLock<Arc<Party>>,
    membership: RwLock<Arc<Membership>>,
    peers: PeerCache,
    kek: RwLock<Arc<KeyEncryptionKeys>>,
    token: Option<Arc<Token>>,
    keys_held: tokio::sync::RwLock<()>,
    directory_key: Option<Secret>,
}

impl Member {
    /// Reads a folder's membership for a service of this role.
    pub fn load(folder: &Path, role: Role, policies: Policies, clock: Arc<dyn Clock>) -> Result<Self, MemberError> {
        Self::load_with(folder, role, policies, clock, None)
    }

    /// The same for a party whose key-encryption key may be in a token.
    pub fn load_with(
        folder: &Path,
        role: Role,
        policies: Policies,
        clock: Arc<dyn Clock>,
        token: Option<Arc<Token>>,
    ) -> Result<Self, MemberError> {
        let file = folder.join(MEMBERSHIP_FILE);
        if !file.exists() {
            return Err(MemberError::NotJoined { folder: folder.display().to_string() });
        }
        let membership = Membership::from_json(&secret_file::read(&file)?)?;
        if membership.identity.role != role {
            return Err(MemberError::WrongRole { expected: role, found: membership.identity });
        }
        let trust = kept_trust(folder, &membership, clock)?;
        let credentials = Credentials::new(&membership.hop.chain, Arc::clone(&membership.hop.key))?;
        let party = Arc::new(party(&membership, policies, Arc::default()));
        let directory_key = membership.directory_key.as_ref().map(|key| Secret::new(*key.expose_bytes()));
        let kek = KeyEncryptionKeys::open(&kek::file(folder), token.as_ref())?;
        kek.prove()?;
        Ok(Self {
            folder: folder.to_owned(),
            identity: membership.identity.clone(),
            trust,
            credentials,
            party: RwLock::new(party),
            kek: RwLock::new(Arc::new(kek)),
            token,
            keys_held: tokio::sync::RwLock::default(),
            directory_key,
            membership: RwLock::new(Arc::new(membership)),
            peers: PeerCache::default(),
        })
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whom it trusts.
    pub fn trust(&self) -> &SharedTrust {
        &self.trust
    }

    /// Its TLS side.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Its protocol side. A session keeps the one that it began with.
    pub fn party(&self) -> Arc<Party> {
        Arc::clone(&self.party.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Certificates and keys as they are now.
    pub fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.membership.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key that its audit log is sealed under, as [`audit_key`] gives it.
    pub fn audit_key(&self) -> Result<Secret, MemberError> {
        audit_key_under(&self.kek(), &self.folder)
    }

    /// The keys under which it wraps what it keeps.
    pub fn kek(&self) -> Arc<KeyEncryptionKeys> {
        Arc::clone(&self.kek.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Held from wrapping something until it is stored, and from reading something until it is unwrapped: the keys in use
    /// stay the same.
    pub async fn with_keys_held(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.keys_held.read().await
    }

    /// The key file's keys. Where they are others than those in use, their token was asked: nothing is to be wrapped under
    /// a key that this party cannot reach.
    pub async fn keys_in_file(&self) -> Result<Arc<KeyEncryptionKeys>, MemberError> {
        let (file, used) = (kek::file(&self.folder), self.kek());
        if used.are_in(&file)? {
            return Ok(used);
        }
        let keys = Arc::new(KeyEncryptionKeys::read(&file, self.token.as_ref())?);
        if keys.ask_a_token() {
            let asked = Arc::clone(&keys);
            away(move || asked.prove()).await.map_err(|_| WrappingError::from(TokenError::Stopped))??;
        }
        Ok(keys)
    }

    /// Runs `work` with the keys in use; where a token is asked, away from the threads that serve connections.
    pub async fn with_keys<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KeyEncryptionKeys) -> T + Send + 'static,
    ) -> Result<T, WrappingError> {
        let keys = self.kek();
        if keys.ask_a_token() {
            return away(move || work(&keys)).await.map_err(|_| TokenError::Stopped.into());
        }
        Ok(work(&keys))
    }

    /// Takes the key file's keys where they are others than those in use. On return whatever was wrapped under the keys
    /// before was handed to the store.
    pub async fn reload_keys(&self) -> Result<(), MemberError> {
        let used = self.kek();
        let keys = self.keys_in_file().await?;
        if !Arc::ptr_eq(&keys, &used) {
            if !keys.follow(&used) {
                return Err(MemberError::KeyLost(kek::file(&self.folder).display().to_string()));
            }
            let _alone = self.keys_held.write().await;
            *self.kek.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        Ok(())
    }

    /// Takes the older keys out of the key file, if it still holds these.
    pub async fn retire_keys(&self, keys: &KeyEncryptionKeys) -> Result<(), MemberError> {
        keys.retire_older(&kek::file(&self.folder))?;
        self.reload_keys().await
    }

    /// The exchange's directory key, which gateways alone hold.
    pub fn directory_key(&self) -> Option<&Secret> {
        self.directory_key.as_ref()
    }

    /// Runs `check` with the means to verify peers now.
    pub fn with_peers<T>(&self, check: impl FnOnce(&Peers<'_>) -> T) -> T {
        let trust = self.trust.current();
        check(&Peers { trust: &trust, cache: &self.peers, now: self.trust.now() })
    }

    /// Keeps the revocation list fresh and renews the certificates at two thirds of their life.
    pub fn spawn_upkeep(
        self: &Arc<Self>,
        ca: &CaConfig,
        shutdown: &Shutdown,
    ) -> Result<Vec<JoinHandle<()>>, MemberError> {
        let (client, endpoint) = self.authority(ca)?;
        let fetch = {
            let (client, endpoint) = (client.clone(), endpoint.clone());
            move || {
                let (client, endpoint) = (client.clone(), endpoint.clone());
                async move { fetch_crl(&client, &endpoint).await }
            }
        };
        let keep = {
            let file = self.folder.join(CRL_FILE);
            move |answer: Bytes| {
                let file = file.clone();
                async move { secret_file::replace(&file, &answer) }
            }
        };
        let refresh = spawn_crl_refresh(self.trust.clone(), fetch, keep, ca.crl_every.0, shutdown.clone());
        let renewal = tokio::spawn(renewal(Arc::clone(self), client, endpoint, shutdown.clone()));
        Ok(vec![refresh, renewal])
    }

    /// The way to the certificate authority, as the party that this is.
    pub fn authority(&self, ca: &CaConfig) -> Result<(HopClient, Endpoint), MemberError> {
        let client = HopClient::new(authority_client_config(Some(&self.credentials), &self.trust)?);
        Ok((client, ca.url.parse()?))
    }

    /// Renews both certificates with fresh keys now.
    pub async fn renew(&self, client: &HopClient, ca: &Endpoint) -> Result<(), MemberError> {
        let request = RenewalRequest::new(self.identity.clone(), KeyAlgorithm::default())?;
        let answer = post(client, ca, RENEW_PATH, request.to_json().as_bytes()).await?;
        let current = self.membership();
        let response = JoinResponse::from_json(&answer)?;
        let admission =
            request.accept(response, &self.trust.current(), current.directory_key.as_ref(), self.trust.now())?;
        let policies = self.party().policies.clone();
        let operations = Arc::clone(&self.party().operations);
        keep(&self.folder, &admission)?;
        let membership = admission.membership;
        self.credentials.renew(&membership.hop.chain, Arc::clone(&membership.hop.key))?;
        *self.party.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(party(&membership, policies, operations));
        *self.membership.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(membership);
        Ok(())
    }
}

/// Joins an exchange with an invitation: keys are made here and never leave. The folder must be new.
pub async fn join(folder: &Path, invitation: Invitation, clock: Arc<dyn Clock>) -> Result<Identity, MemberError> {
    let file = folder.join(MEMBERSHIP_FILE);
    if file.exists() {
        let identity = Membership::from_json(&secret_file::read(&file)?)?.identity;
        return Err(MemberError::Joined { folder: folder.display().to_string(), identity });
    }
    let now = clock.now();
    let endpoint: Endpoint = invitation.url.parse()?;
    let client = HopClient::new(pinned_root_client_config(invitation.root, clock)?);
    let request = JoinRequest::new(invitation, KeyAlgorithm::default(), now)?;
    let answer = post(&client, &endpoint, ENROL_PATH, request.to_json().as_bytes()).await?;
    let admission = request.accept(JoinResponse::from_json(&answer)?, now)?;
    keep(folder, &admission)?;
    Ok(admission.membership.identity)
}

fn keep(folder: &Path, admission: &Admission) -> Result<(), MemberError> {
    std::fs::create_dir_all(folder).map_err(|source| SecretFileError::Io {
        action: "create the folder of",
        path: folder.join(MEMBERSHIP_FILE),
        source,
    })?;
    secret_file::replace(&folder.join(CRL_FILE), admission.crl.to_json().as_bytes())?;
    // The membership comes last: a folder that has it has joined.
    secret_file::replace(&folder.join(MEMBERSHIP_FILE), admission.membership.to_json()?.as_bytes())?;
    Ok(())
}

async fn post(client: &HopClient, ca: &Endpoint, path: &str, message: &[u8]) -> Result<Vec<u8>, MemberError> {
    let connection = client.connect(ca).await?;
    let response = connection.request(Method::POST, path, Body::from(message.to_vec()), CA_PATIENCE).await?;
    let status = response.status;
    let body = response.read(CRL_MESSAGE_BYTES_MAX + sealwort_pki::enrolment::MESSAGE_BYTES_MAX).await?;
    if status == StatusCode::OK {
        return Ok(body.to_vec());
    }
    Err(MemberError::Refused(Box::new(Refusal::from_json(&body)?)))
}

/// Reads a file that holds no secret, up to a limit.
fn read_public(file: &Path, limit: usize) -> Result<Vec<u8>, SecretFileError> {
    use std::io::Read as _;
    let failed = |source| SecretFileError::Io { action: "read", path: file.to_owned(), source };
    let mut content = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(limit as u64).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn kept_trust(folder: &Path, membership: &Membership, clock: Arc<dyn Clock>) -> Result<SharedTrust, MemberError> {
    let mut trust: Trust = membership.trust.clone();
    let file = folder.join(CRL_FILE);
    if file.exists() {
        let kept = read_public(&file, CRL_MESSAGE_BYTES_MAX)?;
        let kept = CrlResponse::from_json(&kept)?;
        // A list that has ended meanwhile still tells who was revoked; until a fresh one is fetched nobody is believed.
        if let Err(error) = trust.set_crl(&kept.crl, &kept.issuing, clock.now()) {
            tracing::warn!(%error, "the kept revocation list is not in force; waiting for a fresh one");
        }
    }
    Ok(SharedTrust::new(trust, clock))
}

fn party(membership: &Membership, policies: Policies, operations: Arc<Operations>) -> Party {
    Party {
        identity: membership.identity.clone(),
        chain: membership.statement.chain.clone(),
        key: Arc::clone(&membership.statement.key),
        policies,
        operations,
    }
}

/// The key that the audit log of this folder is sealed under; made where there is none.
pub fn audit_key(folder: &Path) -> Result<Secret, MemberError> {
    audit_key_under(&KeyEncryptionKeys::open(&kek::file(folder), None)?, folder)
}

fn audit_key_under(kek: &KeyEncryptionKeys, folder: &Path) -> Result<Secret, MemberError> {
    let file = folder.join(AUDIT_KEY_FILE);
    if !file.exists() {
        secret_file::create(&file, &kek.try_wrap(&[AUDIT_KEY_CONTEXT], Secret::random().expose())?)?;
    }
    let key = kek.unwrap(&[AUDIT_KEY_CONTEXT], &secret_file::read(&file)?).ok();
    let key = key.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
    key.map(Secret::new).ok_or_else(|| MemberError::AuditKey(file.display().to_string()))
}

async fn renewal(member: Arc<Member>, client: HopClient, ca: Endpoint, shutdown: Shutdown) {
    loop {
        let due = member.membership().renewal_time().as_secs();
        let wait = Duration::from_secs(due.saturating_sub(member.trust.now().as_secs()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => return,
        }
        match member.renew(&client, &ca).await {
            Ok(()) => {
                tracing::info!(not_after = %member.membership().not_after(), "certificates renewed");
            }
            Err(error) => {
                tracing::warn!(%error, retry_in = ?RENEWAL_RETRY, "certificates not renewed");
                tokio::select! {
                    () = tokio::time::sleep(RENEWAL_RETRY) => {}
                    () = shutdown.wait() => return,
                }
            }
        }
    }
}

/// A certificate that was refused, in the words of an operator's next step.
pub fn remedy(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::RevocationUnknown(_) => {
            "reach the certificate authority so that a fresh revocation list is fetched"
        }
        CertificateError::Expired { .. } => "renew the certificate, or join again",
        CertificateError::NotYetValid { .. } => "set the clocks right",
        _ => "ask the exchange's operator",
    }
}
