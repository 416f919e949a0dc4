//! Keeping: the revocation list is renewed at half of its lifetime, the
//! authority's own certificates at two thirds of theirs.

use std::sync::Arc;
use std::time::Duration;

use sealwort_audit::{Detail, EventKind};
use sealwort_net::Shutdown;
use sealwort_pki::authority::{AuthorityError, Revocation};
use sealwort_pki::enrolment::{CrlResponse, JoinError, Membership, RenewalRequest};
use sealwort_pki::{Trust, UnixTime};

use crate::authority::{Authority, Policy, issue, response};
use crate::error::CaError;
use crate::exchange::ExchangeFolder;
use crate::records::{CrlRecord, Records};

impl Authority {
    /// Renews what is due, and says when the next thing will be. Whoever revoked may have gone away between storing a
    /// list and serving it, so the stored one is served.
    pub async fn keep(&self) -> Result<UnixTime, CaError> {
        let now = self.now();
        let _turn = self.turn.lock().await;
        let mut crl = self.records.crl().await?;
        if crl.as_ref().is_none_or(|crl| crl_due(crl) <= now) {
            self.publish(&[], now).await?;
            crl = self.records.crl().await?;
        }
        if let Some(crl) = &crl {
            self.serve_list(&crl.der);
        }
        let own = self.own.borrow().clone();
        if own_due(&own, &self.records, now).await? {
            let crl = self.crl.borrow().clone();
            let next = next_own(&self.folder, &self.records, &self.policy, &crl, now).await?;
            self.own.send_replace(Arc::new(next));
        }
        let issuing_ends = self.folder.issuing.not_after();
        if issuing_ends.since(now) < ISSUING_ENDS_SOON {
            tracing::warn!(%issuing_ends, "the issuing certificate ends soon: issue a new one with the root key");
        }
        let own = self.own.borrow().renewal_time();
        Ok(crl.map_or(now, |crl| crl_due(&crl)).min(own))
    }

    /// Keeps everything fresh until `shutdown`. A failure is logged and tried
    /// again; parties keep trusting the last list until it ends.
    pub async fn keep_fresh(&self, shutdown: Shutdown) {
        loop {
            let wait = match self.keep().await {
                Ok(next) => next.since(self.now()).clamp(WAIT_MIN, WAIT_MAX),
                Err(error) => {
                    tracing::error!(%error, "could not renew the revocation list or the authority's certificate");
                    WAIT_AFTER_ERROR
                }
            };
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Enters the numbers of refusals until `shutdown`. Apart from the keeping, which waits for no log.
    pub(crate) async fn count_refusals(&self, shutdown: Shutdown) {
        loop {
            self.enter_refusals().await;
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(WAIT_MAX) => {}
            }
        }
    }

    /// Publishes the next list, with `new` on it. The caller has the turn.
    pub(crate) async fn publish(&self, new: &[Revocation], now: UnixTime) -> Result<u64, CaError> {
        let crl = next_crl(&self.folder, &self.records, &self.policy, new, now).await?;
        self.serve_list(&crl.der);
        let entry = self.entry(EventKind::RevocationListIssued, None).detail(Detail::Version, crl.number);
        self.enter_if_possible(entry).await;
        Ok(crl.number)
    }

    fn serve_list(&self, crl: &[u8]) {
        let next = || CrlResponse { crl: crl.to_vec(), issuing: self.folder.issuing.certificate().to_vec() };
        self.crl.send_if_modified(|served| {
            let differs = served.crl != crl;
            if differs {
                *served = Arc::new(next());
            }
            differs
        });
    }
}

/// When a list should be followed by the next.
pub(crate) fn crl_due(crl: &CrlRecord) -> UnixTime {
    let lifetime = crl.next_update.since(crl.this_update);
    crl.this_update.plus(lifetime / 2)
}

/// Whether the authority needs other certificates of its own.
pub(crate) async fn own_due(own: &Membership, records: &Records, now: UnixTime) -> Result<bool, CaError> {
    if now >= own.renewal_time() {
        return Ok(true);
    }
    for serial in [own.hop.serial, own.statement.serial] {
        let record = records.certificate(serial).await?;
        // A store put back from before knows it no longer, and could not revoke it.
        if record.is_none_or(|record| record.revoked.is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Signs and stores the next list, with `new` on it.
pub(crate) async fn next_crl(
    folder: &ExchangeFolder,
    records: &Records,
    policy: &Policy,
    new: &[Revocation],
    now: UnixTime,
) -> Result<CrlRecord, CaError> {
    let number = records.crl().await?.map_or(0, |crl| crl.number) + 1;
    // Entries outlast their certificates by one list (RFC 5280, 3.3), for slow clocks.
    let mut revoked = records.revoked(now.minus(policy.crl_lifetime)).await?;
    revoked.extend(new);
    let next_update = now.plus(policy.crl_lifetime);
    let crl = CrlRecord {
        number,
        der: folder.issuing.make_crl(number, &revoked, now, next_update)?,
        this_update: now,
        next_update,
    };
    if !records.publish_crl(&crl, new).await? {
        return Err(CaError::CrlMoved);
    }
    Ok(crl)
}

/// Issues the authority's own next certificates as it would anybody's, records
/// them and keeps the file.
pub(crate) async fn next_own(
    folder: &ExchangeFolder,
    records: &Records,
    policy: &Policy,
    crl: &CrlResponse,
    now: UnixTime,
) -> Result<Membership, CaError> {
    let own = |error: JoinError| CaError::Own(error.to_string());
    let identity = &folder.identity;
    let algorithm = folder.issuing.key().algorithm();
    let request = RenewalRequest::new(identity.clone(), algorithm).map_err(own)?;
    let message = request.message();
    let grant = issue(folder, policy, identity, &message.hop, &message.statement, now)?;
    records.add_certificates(&grant.records).await?;
    let trust = Trust::new(identity.exchange.clone(), &folder.root).map_err(|error| CaError::Own(error.to_string()))?;
    let response = response(folder, crl, identity, grant);
    let admission = request.accept(response, &trust, None, now).map_err(own)?;
    folder.keep_membership(&admission.membership).map_err(|error| CaError::Own(error.to_string()))?;
    tracing::info!(%identity, ends = %admission.membership.not_after(), "renewed the authority's own certificates");
    Ok(admission.membership)
}

impl From<sealwort_pki::KeyError> for CaError {
    fn from(error: sealwort_pki::KeyError) -> Self {
        Self::Issuing(AuthorityError::Key(error))
    }
}

/// How long before its end an issuing certificate is complained about.
const ISSUING_ENDS_SOON: Duration = Duration::from_hours(24 * 60);

/// The clock may be set meanwhile, so never wait long.
const WAIT_MAX: Duration = Duration::from_secs(30);
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_AFTER_ERROR: Duration = Duration::from_secs(5);
