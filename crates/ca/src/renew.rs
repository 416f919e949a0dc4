//! Renewing: a member whose current hop certificate authenticated the
//! connection gets its next pair, for two new keys. A revoked party gets none.

use sealwort_audit::{Detail, EventKind};
use sealwort_pki::enrolment::{JoinResponse, RenewRequest};
use sealwort_pki::{Identity, SerialNumber};

use crate::authority::{Authority, issue, response};
use crate::error::CaError;
use crate::records::CertificateRecord;

impl Authority {
    /// Answers the member `identity`, whose verified hop certificate has
    /// number `serial`. The records are asked again, because the connection
    /// may be older than a revocation.
    pub async fn renew(
        &self,
        identity: &Identity,
        serial: SerialNumber,
        request: &RenewRequest,
    ) -> Result<JoinResponse, CaError> {
        self.check_log()?;
        let entry = self.entry(EventKind::CertificateRenewed, Some(identity)).detail(Detail::Before, serial);
        let outcome = self.renew_pair(identity, serial, request).await;
        self.entered_grant(entry, outcome).await
    }

    async fn renew_pair(
        &self,
        identity: &Identity,
        serial: SerialNumber,
        request: &RenewRequest,
    ) -> Result<(JoinResponse, CertificateRecord), CaError> {
        let now = self.now();
        let _turn = self.turn.lock().await;
        let current = self.records.certificate(serial).await?;
        let current =
            current.filter(|current| current.identity == *identity).ok_or(CaError::CertificateUnknown(serial))?;
        if let Some((revoked_at, _)) = current.revoked {
            return Err(CaError::Revoked { identity: identity.clone(), revoked_at });
        }
        self.check_room(identity, now).await?;
        let grant = issue(&self.folder, &self.policy, identity, &request.hop, &request.statement, now)?;
        self.records.add_certificates(&grant.records).await?;
        tracing::info!(%identity, old = %serial, "renewed");
        let hop = grant.records[0].clone();
        Ok((response(&self.folder, &self.crl.borrow(), identity, grant), hop))
    }
}
