//! The operator's commands over HTTP, for when the service is running: whoever
//! holds the authority's own hop key, which lies in the authority's folder, is
//! the operator. The bodies are here for the command line to share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use sealwort_audit::EventKind;
use sealwort_net::tls::HopPeer;
use sealwort_pki::authority::RevocationReason;
use sealwort_pki::enrolment::MessageError;
use sealwort_pki::{Identity, PartyName, Role, SerialNumber, UnixTime};
use serde::{Deserialize, Serialize};

use crate::authority::Authority;
use crate::error::CaError;
use crate::http::{Answer, body, json};
use crate::list::{CertificateStatus, Listed, PAGE_CERTIFICATES_MAX};
use crate::revoke::{Revoked, Target};

/// `POST`: an [`InviteRequest`], answered by an invitation file.
pub const INVITE_PATH: &str = "/v1/admin/invite";
/// `POST`: a [`RevokeRequest`], answered by a [`RevokeResponse`].
pub const REVOKE_PATH: &str = "/v1/admin/revoke";
/// `GET`, with [`ListQuery`]: a [`ListResponse`].
pub const LIST_PATH: &str = "/v1/admin/certificates";

/// Invites a party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// Its role.
    pub role: Role,
    /// Its name.
    pub name: PartyName,
    /// For how many seconds the invitation works.
    pub lifetime_seconds: u64,
}

/// Revokes a party, or one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// What to revoke.
    pub target: TargetJson,
    /// As [`RevocationReason`] spells it.
    pub reason: String,
}

/// [`Target`] in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetJson {
    /// Every certificate in force of one party.
    Party(Identity),
    /// One certificate.
    Certificate(SerialNumber),
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeResponse {
    /// The certificates.
    pub serials: Vec<SerialNumber>,
    /// The number of the list that says so.
    pub crl_number: u64,
    /// Whether the entry about it is in the audit log.
    pub entered: bool,
}

/// Which page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only certificates after this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SerialNumber>,
}

/// A page of certificates; a full one may be followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListResponse {
    /// By serial number, at most [`PAGE_CERTIFICATES_MAX`].
    pub certificates: Vec<ListedJson>,
}

/// [`Listed`] in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedJson {
    /// Its number.
    pub serial: SerialNumber,
    /// Whose.
    pub identity: Identity,
    /// `hop` or `statement`.
    pub key_use: String,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
    /// `in-force`, `ended` or `revoked`.
    pub status: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixTime>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

pub(crate) fn routes() -> Router<Arc<Authority>> {
    Router::new().route(INVITE_PATH, post(invite)).route(REVOKE_PATH, post(revoke)).route(LIST_PATH, get(list))
}

async fn invite(State(authority): State<Arc<Authority>>, peer: Option<Extension<HopPeer>>, request: Request) -> Answer {
    check_operator(&authority, peer, EventKind::PartyInvited).await?;
    let request: InviteRequest = parse(&body(request).await?)?;
    let lifetime = Duration::from_secs(request.lifetime_seconds);
    let invitation = authority.invite(request.role, request.name, lifetime).await?;
    Ok(json(invitation.to_json().as_bytes()))
}

async fn revoke(State(authority): State<Arc<Authority>>, peer: Option<Extension<HopPeer>>, request: Request) -> Answer {
    check_operator(&authority, peer, EventKind::CertificateRevoked).await?;
    let request: RevokeRequest = parse(&body(request).await?)?;
    let reason: RevocationReason = request.reason.parse().map_err(|_| MessageError::Field("reason"))?;
    // A task of its own, so that who goes away does not leave it half done.
    let revoking = tokio::spawn(async move { authority.revoke(&request.target.into(), reason).await });
    let revoked = revoking.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    Ok(answer(&RevokeResponse::from(revoked)))
}

async fn list(
    State(authority): State<Arc<Authority>>,
    peer: Option<Extension<HopPeer>>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    check_operator(&authority, peer, EventKind::ListRead).await?;
    let Query(query) = query.map_err(|_| MessageError::Field("after"))?;
    let listed = authority.list(query.after, PAGE_CERTIFICATES_MAX).await?;
    Ok(answer(&ListResponse { certificates: listed.into_iter().map(ListedJson::from).collect() }))
}

/// The operator shows the authority's own certificate. What a member tries in vain is entered.
async fn check_operator(
    authority: &Authority,
    peer: Option<Extension<HopPeer>>,
    kind: EventKind,
) -> Result<(), CaError> {
    let Extension(peer) = peer.ok_or(CaError::NotAuthenticated)?;
    if peer.identity() == authority.folder().identity() {
        return Ok(());
    }
    let entry = authority.entry(kind, Some(peer.identity()));
    authority.entered(entry, Err(CaError::NotOperator(peer.identity().clone()))).await
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CaError> {
    let parsed = serde_json::from_slice(body);
    Ok(parsed.map_err(|error| MessageError::Json(error.to_string()))?)
}

fn answer(message: &impl Serialize) -> Response {
    // Structs of texts and numbers always have a JSON form.
    json(&serde_json::to_vec(message).unwrap_or_default())
}

impl From<TargetJson> for Target {
    fn from(target: TargetJson) -> Self {
        match target {
            TargetJson::Party(identity) => Self::Party(identity),
            TargetJson::Certificate(serial) => Self::Certificate(serial),
        }
    }
}

impl From<Revoked> for RevokeResponse {
    fn from(revoked: Revoked) -> Self {
        Self { serials: revoked.serials, crl_number: revoked.crl_number, entered: revoked.entered }
    }
}

impl From<Listed> for ListedJson {
    fn from(listed: Listed) -> Self {
        let (revoked_at, reason) = match listed.status {
            CertificateStatus::Revoked { at, reason } => (Some(at), Some(reason.to_string())),
            CertificateStatus::InForce | CertificateStatus::Ended => (None, None),
        };
        Self {
            serial: listed.serial,
            identity: listed.identity,
            key_use: listed.key_use.to_string(),
            not_before: listed.not_before,
            not_after: listed.not_after,
            status: listed.status.as_str().to_owned(),
            revoked_at,
            reason,
        }
    }
}
