//! Enrolling: an invited party proves the invitation and both keys, and gets
//! its first certificates. The invitation is used up in the same transaction
//! that records them.

use sealwort_audit::{Detail, Event, EventKind};
use sealwort_pki::UnixTime;
use sealwort_pki::enrolment::{EnrolRequest, JoinResponse};

use crate::authority::{Authority, issue, response};
use crate::error::CaError;
use crate::records::{CertificateRecord, InvitationRecord};

impl Authority {
    /// Answers a request to join. The invitation is looked at before any
    /// signature is checked, so that strangers cost little.
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<JoinResponse, CaError> {
        self.check_log()?;
        let entry = self.entry(EventKind::CertificateEnrolled, Some(&request.identity));
        let outcome = self.admit(request).await;
        self.entered_grant(entry, outcome).await
    }

    async fn admit(&self, request: &EnrolRequest) -> Result<(JoinResponse, CertificateRecord), CaError> {
        let now = self.now();
        let digest = request.secret.digest();
        let _turn = self.turn.lock().await;
        let invitation = self.records.invitation(&digest).await?;
        let invitation = invitation.ok_or(CaError::InvitationUnknown)?;
        check(&invitation, request, now)?;
        let identity = invitation.identity;
        self.check_room(&identity, now).await?;
        let grant = issue(&self.folder, &self.policy, &identity, &request.hop, &request.statement, now)?;
        let used = self.records.use_invitation(&digest, now, &grant.records);
        if !used.await? {
            return Err(CaError::InvitationUsed(now));
        }
        tracing::info!(%identity, "enrolled");
        let hop = grant.records[0].clone();
        Ok((response(&self.folder, &self.crl.borrow(), &identity, grant), hop))
    }
}

impl Authority {
    /// Keeps what was granted, by the hop certificate, and gives the answer.
    pub(crate) async fn entered_grant(
        &self,
        mut entry: Event,
        outcome: Result<(JoinResponse, CertificateRecord), CaError>,
    ) -> Result<JoinResponse, CaError> {
        if let Ok((_, hop)) = &outcome {
            entry.note(Detail::Serial, hop.serial);
            entry.note(Detail::Expires, hop.not_after);
        }
        self.entered(entry, outcome.map(|(response, _)| response)).await
    }
}

/// Whether the invitation is open, and for what is asked.
fn check(invitation: &InvitationRecord, request: &EnrolRequest, now: UnixTime) -> Result<(), CaError> {
    if let Some(used) = invitation.used {
        return Err(CaError::InvitationUsed(used));
    }
    if now > invitation.expires {
        return Err(CaError::InvitationExpired(invitation.expires));
    }
    let (invited, asked) = (&invitation.identity, &request.identity);
    if invited.exchange != asked.exchange {
        return Err(CaError::WrongExchange { expected: invited.exchange.clone(), found: asked.exchange.clone() });
    }
    if invited.role != asked.role {
        return Err(CaError::WrongRole { expected: invited.role, found: asked.role });
    }
    if invited.name != asked.name {
        return Err(CaError::WrongName { expected: invited.name.clone(), found: asked.name.clone() });
    }
    Ok(())
}
