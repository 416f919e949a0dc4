//! The broker's side (HTSC) of steps 1 to 4.
//!
//! `on_request` → [`PendingRequest`] → [`AcceptedRequest`] → token. Who may do what is decided between the
//! last two, by the patient's directive and outside this crate.

use sealwort_pki::UnixTime;

use super::{EMERGENCY, EMERGENCY_SECONDS_MAX, REASON_BYTES_MAX, TAGS_MAX, USER_BYTES_MAX};
use crate::channel::Channel;
use crate::codec::{Blob, from_bytes};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::handshake::Party;
use crate::handshake::broker::GatewayEstablished;
use crate::id::{Digest, LabelTag, Nonce, TokenId};
use crate::message::{AccessRequest, Emergency, HANDSHAKE_BYTES_MAX, PolicyAcceptance, PolicyChallenge};
use crate::operations::count;
use crate::receipt::Witness;
use crate::statement::{self, Kind};
use crate::token::{self, EmergencyTerm, Token};

/// Seconds within which step 3 must follow step 2.
pub const CHALLENGE_SECONDS: u64 = 30;

/// A signed request that awaits step 3.
pub struct PendingRequest {
    request: AccessRequest,
    digest: Digest,
    time_stamp: u64,
    challenge: Nonce,
}

/// A request whose policies were accepted and whose challenge was answered.
pub struct AcceptedRequest {
    request: AccessRequest,
    digest: Digest,
    policies: Digest,
}

/// What the directive allows.
pub struct Permission {
    /// Labels allowed, as tags. Sorted, unique, not empty.
    pub tags: Vec<LabelTag>,
    /// Version of the directive that decided.
    pub directive_version: u64,
    /// Its epoch.
    pub epoch: u64,
    /// When the emergency access began by which it was asked for, as the broker keeps it.
    pub begun_at: Option<u64>,
}

/// Step 1 received; gives step 2.
pub fn on_request(
    bytes: &[u8],
    session: &GatewayEstablished,
    party: &Party,
    now: UnixTime,
) -> Result<(PendingRequest, PolicyChallenge), ProtocolError> {
    let step = Step::Transmission(1);
    let fault = Fault::Gateway;
    let payload =
        statement::open(Kind::Request, bytes, session.gateway.public_key(), &party.operations).at(step, fault)?;
    let request: AccessRequest = from_bytes(&payload, HANDSHAKE_BYTES_MAX).at(step, fault)?;
    request.header.check(party.exchange(), 1, session.channel.session()).at(step, fault)?;
    if request.tags.len() > TAGS_MAX || !request.tags.is_sorted_by(|a, b| a < b) {
        return Err(ProtocolError::new(step, fault, ErrorKind::Token("its labels are not sorted and unique")));
    }
    if request.user.len().max(request.user_role.len()) > USER_BYTES_MAX {
        return Err(ProtocolError::new(step, fault, ErrorKind::Statement("the user's name or role is too long")));
    }
    if request.emergency.is_some() != (request.action == EMERGENCY) {
        let what = "an emergency access and the action emergency come together";
        return Err(ProtocolError::new(step, fault, ErrorKind::Statement(what)));
    }
    if let Some(emergency) = &request.emergency {
        let ahead = emergency.begun_at.saturating_sub(now.as_secs());
        let skew = u64::from(party.policies.clock_skew_seconds);
        if ahead > skew {
            return Err(ProtocolError::new(step, fault, ErrorKind::Clock { seconds: ahead, limit: skew }));
        }
        if emergency.reason.is_empty() || emergency.reason.len() > REASON_BYTES_MAX {
            return Err(ProtocolError::new(step, fault, ErrorKind::Statement("the code of the reason is too long")));
        }
    }
    if !session.policies.purposes.contains(&request.purpose) {
        let reason = format!("{} was not agreed for this session", request.purpose);
        return Err(ProtocolError::new(step, fault, ErrorKind::Policy { field: "purposes", reason }));
    }
    let challenge = Nonce::random(&party.operations);
    let message = PolicyChallenge { policies: party.policies.clone(), time_stamp: now.as_secs(), challenge };
    let pending = PendingRequest { request, digest: statement::digest(bytes), time_stamp: now.as_secs(), challenge };
    Ok((pending, message))
}

impl PendingRequest {
    /// The challenge by which step 3 names this request.
    pub fn challenge(&self) -> Nonce {
        self.challenge
    }

    /// Whether step 3 comes too late.
    pub fn is_stale(&self, now: UnixTime) -> bool {
        now.as_secs().saturating_sub(self.time_stamp) > CHALLENGE_SECONDS
    }

    /// Step 3 received.
    pub fn on_acceptance(
        self,
        acceptance: &PolicyAcceptance,
        session: &GatewayEstablished,
        party: &Party,
        now: UnixTime,
    ) -> Result<AcceptedRequest, ProtocolError> {
        let step = Step::Transmission(3);
        let policies = party.policies.digest();
        let answered = acceptance.challenge == self.challenge
            && acceptance.time_stamp == self.time_stamp + 1
            && acceptance.policies == policies
            && !self.is_stale(now);
        if !answered {
            return Err(ProtocolError::new(step, Fault::Gateway, ErrorKind::Challenge));
        }
        if acceptance.binding != session.binding {
            return Err(ProtocolError::new(step, Fault::Gateway, ErrorKind::Token("it belongs to another session")));
        }
        Ok(AcceptedRequest { request: self.request, digest: self.digest, policies })
    }
}

impl AcceptedRequest {
    /// What was asked for.
    pub fn request(&self) -> &AccessRequest {
        &self.request
    }

    /// The hash of the signed request, by which all parties name it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Step 4: the token, readable and sealed for the archive.
    pub fn issue(
        self,
        permission: Permission,
        witness: Witness,
        session: &GatewayEstablished,
        archive: &Channel,
        party: &Party,
        now: UnixTime,
    ) -> Result<(Blob, Blob), ProtocolError> {
        count(&party.operations.nonce);
        let lifetime = session.policies.token_lifetime_seconds.min(party.policies.token_lifetime_seconds);
        let term = |(asked, begun_at): (Emergency, u64)| EmergencyTerm { id: asked.id, begun_at };
        let emergency = self.request.emergency.zip(permission.begun_at).map(term);
        let expires_at = now.as_secs() + u64::from(lifetime);
        let hour = emergency.map(|emergency| emergency.begun_at.saturating_add(EMERGENCY_SECONDS_MAX));
        let token = Token {
            exchange: party.exchange().to_owned(),
            issuer: party.identity.to_string(),
            holder: session.gateway.identity().to_string(),
            holder_key: statement::key_id(session.gateway.public_key()),
            audience: session.archive.identity().to_string(),
            id: TokenId::random(),
            patient: self.request.patient,
            action: self.request.action,
            tags: permission.tags,
            purpose: self.request.purpose,
            emergency,
            user: self.request.user,
            user_role: self.request.user_role,
            request: self.digest,
            policies: self.policies,
            directive_version: permission.directive_version,
            epoch: permission.epoch,
            witness_sequence: witness.sequence,
            witness_head: witness.head,
            binding: session.binding,
            issued_at: now.as_secs(),
            expires_at: hour.map_or(expires_at, |hour| expires_at.min(hour)),
        };
        let signed = token.sign(&party.key, &party.operations).at(Step::Transmission(4), Fault::Own)?;
        let sealed = token::seal(archive, &signed, &party.operations);
        Ok((Blob(signed), Blob(sealed)))
    }
}
