//! The authority at work: its keys, its memory, its clock. The verbs are in
//! files of their own; this one opens it and issues what they ask for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sealwort_journal::{Journal, JournalError};
use sealwort_net::Clock;
use sealwort_pki::authority::{AuthorityError, Issued, PARTY_LIFETIME, parse_csr};
use sealwort_pki::enrolment::{CrlResponse, JoinResponse, Membership, RootResponse};
use sealwort_pki::{CertificateChain, Identity, Role, UnixTime};
use sealwort_store::CaStore;
use tokio::sync::{Mutex, watch};

use crate::error::CaError;
use crate::exchange::ExchangeFolder;
use crate::keep::{crl_due, next_crl, next_own, own_due};
use crate::records::{CertificateRecord, Records};
use crate::trail::Refusals;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The service's address as parties reach it, `https://host:port`; it goes
    /// into invitations.
    pub url: String,
    /// How long a party's certificates last.
    pub party_lifetime: Duration,
    /// How long a revocation list lasts; the next one comes at half of it.
    pub crl_lifetime: Duration,
}

impl Policy {
    /// The defaults, for a service at `url`: certificates of 72 hours, lists of 24.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), party_lifetime: PARTY_LIFETIME, crl_lifetime: CRL_LIFETIME }
    }
}

/// The authority of one exchange.
#[derive(Debug)]
pub struct Authority {
    pub(crate) folder: ExchangeFolder,
    pub(crate) records: Records,
    pub(crate) policy: Policy,
    clock: Arc<dyn Clock>,
    /// Held by whoever issues or revokes, so that a revocation and a renewal of
    /// the same party never cross.
    pub(crate) turn: Mutex<()>,
    pub(crate) crl: watch::Sender<Arc<CrlResponse>>,
    pub(crate) own: watch::Sender<Arc<Membership>>,
    /// The audit log once it was opened, or why it could not be.
    pub(crate) journal: OnceLock<Result<Journal, JournalError>>,
    pub(crate) refusals: std::sync::Mutex<Refusals>,
}

impl Authority {
    /// Opens the authority: makes the first revocation list and its own
    /// certificates if there are none yet, and renews them if they are due.
    pub async fn open(
        folder: ExchangeFolder,
        store: Arc<dyn CaStore>,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CaError> {
        let records = Records::new(store);
        let now = clock.now();
        let crl = match records.crl().await? {
            Some(crl) if crl_due(&crl) > now => crl,
            _ => next_crl(&folder, &records, &policy, &[], now).await?,
        };
        let crl = CrlResponse { crl: crl.der, issuing: folder.issuing.certificate().to_vec() };
        let kept = folder.membership().map_err(|error| CaError::Own(error.to_string()))?;
        let own = match kept {
            Some(own) if !own_due(&own, &records, now).await? => own,
            _ => next_own(&folder, &records, &policy, &crl, now).await?,
        };
        Ok(Self {
            folder,
            records,
            policy,
            clock,
            turn: Mutex::new(()),
            crl: watch::Sender::new(Arc::new(crl)),
            own: watch::Sender::new(Arc::new(own)),
            journal: OnceLock::new(),
            refusals: std::sync::Mutex::default(),
        })
    }

    /// The exchange's folder.
    pub fn folder(&self) -> &ExchangeFolder {
        &self.folder
    }

    /// What the operator decided.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The exchange's name and root certificate.
    pub fn root(&self) -> RootResponse {
        RootResponse { exchange: self.folder.exchange().clone(), root: self.folder.root.clone() }
    }

    /// The newest revocation list; the receiver sees each later one.
    pub fn crl(&self) -> watch::Receiver<Arc<CrlResponse>> {
        self.crl.subscribe()
    }

    /// The authority's own keys and certificates; the receiver sees each
    /// renewal.
    pub fn own(&self) -> watch::Receiver<Arc<Membership>> {
        self.own.subscribe()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Refuses another pair for a party that holds very many already.
    pub(crate) async fn check_room(&self, identity: &Identity, now: UnixTime) -> Result<(), CaError> {
        let held = self.records.certificates_of(identity, now).await?;
        let in_force = held.iter().filter(|held| held.revoked.is_none()).count();
        if in_force >= CERTIFICATES_PER_PARTY_MAX {
            return Err(CaError::TooManyCertificates { identity: identity.clone(), limit: CERTIFICATES_PER_PARTY_MAX });
        }
        Ok(())
    }
}

/// Two certificates, issued and not yet recorded.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) hop: CertificateChain,
    pub(crate) statement: CertificateChain,
    pub(crate) records: [CertificateRecord; 2],
}

/// Reads both requests, proofs of possession included, and issues both
/// certificates of `identity`. The caller records them and only then answers.
pub(crate) fn issue(
    folder: &ExchangeFolder,
    policy: &Policy,
    identity: &Identity,
    hop: &[u8],
    statement: &[u8],
    now: UnixTime,
) -> Result<Grant, CaError> {
    let hop = parse_csr(hop).map_err(AuthorityError::from)?;
    let statement = parse_csr(statement).map_err(AuthorityError::from)?;
    let pair = folder.issuing.issue_pair(identity, &hop, &statement, policy.party_lifetime, now)?;
    Ok(Grant {
        records: [record(&pair.hop), record(&pair.statement)],
        hop: pair.hop.chain,
        statement: pair.statement.chain,
    })
}

/// The answer to whoever was granted certificates.
pub(crate) fn response(folder: &ExchangeFolder, crl: &CrlResponse, identity: &Identity, grant: Grant) -> JoinResponse {
    let gateway = identity.role == Role::Gateway;
    JoinResponse {
        hop: grant.hop,
        statement: grant.statement,
        root: folder.root.clone(),
        crl: crl.crl.clone(),
        directory_key: gateway.then(|| folder.directory_key.clone()),
    }
}

fn record(issued: &Issued) -> CertificateRecord {
    CertificateRecord {
        serial: issued.serial,
        identity: issued.identity.clone(),
        key_use: issued.key_use,
        not_before: issued.not_before,
        not_after: issued.not_after,
        revoked: None,
    }
}

/// How long a revocation list lasts unless configured otherwise.
const CRL_LIFETIME: Duration = Duration::from_hours(24);

/// Eight pairs: renewal at two thirds of the lifetime needs two.
const CERTIFICATES_PER_PARTY_MAX: usize = 16;
