//! The operator's way to the authority. While the service runs, it has the folder locked, so the command goes
//! to it over TLS with the authority's own hop certificate, which lies in that folder; else the command opens
//! the folder itself. Both ways take and give the same messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use sealwort_ca::admin::{
    INVITE_PATH, InviteRequest, LIST_PATH, ListResponse, ListedJson, REVOKE_PATH, RevokeRequest, RevokeResponse,
};
use sealwort_ca::{Authority, ExchangeFolder, PAGE_CERTIFICATES_MAX};
use sealwort_journal::JournalError;
use sealwort_net::client::{Body, Connection, Endpoint, HopClient};
use sealwort_net::health::Readiness;
use sealwort_net::tls::{Credentials, SharedTrust, authority_client_config};
use sealwort_net::{SystemClock, secret_file};
use sealwort_pki::authority::RevocationReason;
use sealwort_pki::enrolment::{Invitation, Membership, Refusal};
use sealwort_pki::{Identity, Role, SerialNumber};
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use sealwort_store::{DataFolder, StoreError};
use serde::Serialize;

use super::CaServiceConfig;
use super::folder::open_exchange;
use super::serve::open_log;
use crate::error::CliError;
use crate::settings::SettingsArgs;

/// The operator's way to the authority.
pub(super) struct Operator {
    identity: Identity,
    way: Way,
}

enum Way {
    /// The service runs.
    Service(Connection),
    /// It does not; the folder stays locked meanwhile.
    Folder(Box<Folder>),
}

/// The authority in this process.
struct Folder {
    authority: Authority,
    store: SqliteStore,
    log: Result<SqliteAudit, JournalError>,
    /// Locked until all is closed.
    _data: DataFolder,
}

impl Operator {
    /// Has work done by the way that is open. However it ends, everything is on disk then.
    pub(super) async fn work<T>(
        settings: &SettingsArgs,
        work: impl AsyncFnOnce(&Self) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let operator = Self::open(settings).await?;
        let outcome = work(&operator).await;
        operator.close().await;
        outcome
    }

    async fn open(settings: &SettingsArgs) -> Result<Self, CliError> {
        let config = settings.load::<CaServiceConfig>()?.value;
        let exchange = open_exchange(&config.folder)?;
        let identity = exchange.identity().clone();
        let way = match DataFolder::open(&config.folder, Role::Ca.as_str()) {
            Ok(data) => in_folder(&config, exchange, data).await?,
            Err(StoreError::InUse { .. }) => Way::Service(connect(&config, &exchange).await?),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { identity, way })
    }

    /// The authority's own identity.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why nothing can be entered in the audit log, where that is known: then only revoking and listing work.
    pub(super) fn without_log(&self) -> Option<&JournalError> {
        match &self.way {
            Way::Folder(folder) => folder.log.as_ref().err(),
            Way::Service(_) => None,
        }
    }

    /// Invites a party.
    pub(super) async fn invite(&self, request: InviteRequest) -> Result<Invitation, CliError> {
        match &self.way {
            Way::Service(connection) => {
                let answer = post(connection, INVITE_PATH, &request).await?;
                Ok(Invitation::from_json(&answer)?)
            }
            Way::Folder(folder) => {
                let lifetime = Duration::from_secs(request.lifetime_seconds);
                Ok(folder.authority.invite(request.role, request.name, lifetime).await?)
            }
        }
    }

    /// Revokes a party or a certificate.
    pub(super) async fn revoke(&self, request: RevokeRequest) -> Result<RevokeResponse, CliError> {
        match &self.way {
            Way::Service(connection) => read(&post(connection, REVOKE_PATH, &request).await?),
            Way::Folder(folder) => {
                let reason: RevocationReason = request
                    .reason
                    .parse()
                    .map_err(|error: sealwort_pki::authority::UnknownReason| CliError::Local(error.to_string()))?;
                Ok(folder.authority.revoke(&request.target.into(), reason).await?.into())
            }
        }
    }

    /// Every certificate that has not ended.
    pub(super) async fn list(&self) -> Result<Vec<ListedJson>, CliError> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|last: &ListedJson| last.serial);
            let page = self.page(after).await?;
            let is_last = page.len() < PAGE_CERTIFICATES_MAX;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    async fn close(self) {
        if let Way::Folder(folder) = self.way {
            folder.authority.close_log().await;
            if let Ok(audit) = folder.log {
                audit.close().await;
            }
            folder.store.close().await;
        }
    }

    async fn page(&self, after: Option<SerialNumber>) -> Result<Vec<ListedJson>, CliError> {
        match &self.way {
            Way::Service(connection) => {
                let path = match after {
                    Some(serial) => format!("{LIST_PATH}?after={serial}"),
                    None => LIST_PATH.to_owned(),
                };
                let answer = ask(connection, Method::GET, &path, Body::empty()).await?;
                Ok(read::<ListResponse>(&answer)?.certificates)
            }
            Way::Folder(folder) => {
                let page = folder.authority.list(after, PAGE_CERTIFICATES_MAX).await?;
                Ok(page.into_iter().map(ListedJson::from).collect())
            }
        }
    }
}

/// A log that cannot be opened keeps nobody from revoking.
async fn in_folder(config: &CaServiceConfig, exchange: ExchangeFolder, mut data: DataFolder) -> Result<Way, CliError> {
    if config.url.is_empty() && config.listen.address.port() == 0 {
        return Err(CliError::Local(
            "the service does not run and has no fixed address; set url in its configuration, or start it".to_owned(),
        ));
    }
    let store = SqliteStore::open(&mut data).await?;
    let policy = config.policy(config.listen.address);
    let authority = Authority::open(exchange, Arc::new(store.clone()), policy, Arc::new(SystemClock)).await?;
    let log = open_log(&data, authority.voice()?, config, Readiness::new()).await;
    authority.keep_log(log.clone().map(|(journal, _)| journal));
    let log = log.map(|(_, audit)| audit);
    Ok(Way::Folder(Box::new(Folder { authority, store, log, _data: data })))
}

async fn connect(config: &CaServiceConfig, exchange: &ExchangeFolder) -> Result<Connection, CliError> {
    let membership = Membership::from_json(&secret_file::read(&exchange.membership_path())?)?;
    let trust = SharedTrust::new(membership.trust.clone(), Arc::new(SystemClock));
    let credentials = Credentials::new(&membership.hop.chain, Arc::clone(&membership.hop.key))?;
    let client = HopClient::new(authority_client_config(Some(&credentials), &trust)?);
    Ok(client.connect(&service_endpoint(config)?).await?)
}

/// The running service: by its listening address on this computer where that is fixed, else by its URL.
pub(crate) fn service_endpoint(config: &CaServiceConfig) -> Result<Endpoint, CliError> {
    let listen = config.listen.address;
    if listen.port() == 0 {
        if config.url.is_empty() {
            return Err(CliError::Local(
                "the service listens on a port that is not in its configuration; give --set listen.address=ADDRESS"
                    .to_owned(),
            ));
        }
        return Ok(config.url.parse()?);
    }
    let here = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(here, listen.port()).try_into()?)
}

async fn post(connection: &Connection, path: &str, message: &impl Serialize) -> Result<Vec<u8>, CliError> {
    let body = serde_json::to_vec(message).map_err(|error| CliError::Local(error.to_string()))?;
    ask(connection, Method::POST, path, Body::from(body)).await
}

async fn ask(connection: &Connection, method: Method, path: &str, body: Body) -> Result<Vec<u8>, CliError> {
    let response = connection.request(method, path, body, PATIENCE).await?;
    let status = response.status;
    let body = response.read(ANSWER_BYTES_MAX).await?;
    if status == StatusCode::OK {
        return Ok(body.to_vec());
    }
    let refusal = Refusal::from_json(&body).map_err(|_| {
        CliError::remote("not-an-answer", format!("the authority answered {status} without saying why"))
    })?;
    Err(refusal.into())
}

fn read<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(answer)
        .map_err(|error| CliError::remote("message-malformed", format!("the authority's answer is malformed: {error}")))
}

/// Time to wait for the service's answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A page of [`PAGE_CERTIFICATES_MAX`] certificates takes less than half of this.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
