//! Inviting: the operator names a new party and hands it a secret that works
//! once. Only the secret's hash is kept.

use std::time::Duration;

use sealwort_audit::{Detail, EventKind};
use sealwort_pki::enrolment::{Invitation, InvitationSecret};
use sealwort_pki::{Identity, PartyName, Role};

use crate::authority::Authority;
use crate::error::CaError;
use crate::records::InvitationRecord;

/// The longest time for which an invitation works.
pub const INVITATION_LIFETIME_MAX: Duration = Duration::from_hours(24 * 30);

impl Authority {
    /// Invites `role`/`name` for the next `lifetime`.
    pub async fn invite(&self, role: Role, name: PartyName, lifetime: Duration) -> Result<Invitation, CaError> {
        self.check_log()?;
        let identity = Identity::new(self.folder.exchange().clone(), role, name);
        let mut entry = self.entry(EventKind::PartyInvited, Some(&identity));
        let outcome = self.make_invitation(identity, lifetime).await;
        if let Ok(invitation) = &outcome {
            entry.note(Detail::Until, invitation.expires);
        }
        self.entered(entry, outcome).await
    }

    async fn make_invitation(&self, identity: Identity, lifetime: Duration) -> Result<Invitation, CaError> {
        let role = identity.role;
        if role == Role::Ca {
            return Err(CaError::RoleNotInvited);
        }
        if lifetime < Duration::from_secs(1) || lifetime > INVITATION_LIFETIME_MAX {
            return Err(CaError::InvitationLifetime(INVITATION_LIFETIME_MAX));
        }
        let now = self.now();
        let secret = InvitationSecret::generate()?;
        let record = InvitationRecord {
            digest: secret.digest(),
            identity: identity.clone(),
            created: now,
            expires: now.plus(lifetime),
            used: None,
        };
        self.records.add_invitation(&record).await?;
        tracing::info!(%identity, expires = %record.expires, "invited");
        Ok(Invitation {
            identity,
            url: self.policy.url.clone(),
            root: self.folder.root_fingerprint(),
            secret,
            expires: record.expires,
        })
    }
}
