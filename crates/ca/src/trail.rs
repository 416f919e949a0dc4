//! The authority's audit log: whom it was asked to invite, enrol, renew and revoke, and how that ended, on disk before the
//! answer leaves. Lists of revoked certificates go out in any case: parties that cannot fetch them believe nobody any more.

use std::sync::{Arc, Mutex, PoisonError};

use sealwort_audit::{Event, EventKind, Outcome};
use sealwort_journal::{Journal, Speaker, Voice};
use sealwort_net::Clock;
use sealwort_net::tls::SharedTrust;
use sealwort_pki::enrolment::{CrlResponse, Membership};
use sealwort_pki::{Identity, Trust, TrustError};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::error::{CaError, Fault};

/// Who speaks in the authority's log.
struct AuthorityVoice {
    own: watch::Receiver<Arc<Membership>>,
    crl: Mutex<watch::Receiver<Arc<CrlResponse>>>,
    trust: SharedTrust,
    clock: Arc<dyn Clock>,
}

impl Voice for AuthorityVoice {
    fn speaker(&self) -> Speaker {
        let own = self.own.borrow();
        Speaker {
            identity: own.identity.clone(),
            key: Arc::clone(&own.statement.key),
            chain: own.statement.chain.clone(),
        }
    }

    fn trust(&self) -> Arc<Trust> {
        let mut crl = self.crl.lock().unwrap_or_else(PoisonError::into_inner);
        if crl.has_changed().unwrap_or_default() {
            let list = crl.borrow_and_update().clone();
            if let Err(error) = self.trust.set_crl(&list.crl, &list.issuing) {
                tracing::error!(%error, "the authority's own revocation list cannot be read");
            }
        }
        self.trust.current()
    }

    fn now_millis(&self) -> u64 {
        self.clock.now_millis()
    }
}

impl Authority {
    /// Who speaks in its audit log.
    pub fn voice(&self) -> Result<Arc<dyn Voice>, TrustError> {
        let (own, mut crl) = (self.own(), self.crl());
        let trust = {
            let own = own.borrow();
            Trust::new(own.identity.exchange.clone(), own.trust.root())?
        };
        let trust = SharedTrust::new(trust, self.clock());
        crl.mark_changed();
        Ok(Arc::new(AuthorityVoice { own, crl: Mutex::new(crl), trust, clock: self.clock() }))
    }

    /// Keeps an audit log from now on.
    pub fn keep_log(&self, journal: Journal) {
        // It is opened once, by whoever starts the authority.
        let _ = self.journal.set(journal);
    }

    /// Refuses what could not be entered.
    pub(crate) fn check_log(&self) -> Result<(), CaError> {
        Ok(self.journal.get().map_or(Ok(()), Journal::check)?)
    }

    /// An entry about a party, or about nobody.
    pub(crate) fn entry(&self, kind: EventKind, party: Option<&Identity>) -> Event {
        let entry = Event::new(kind, self.clock().now_millis());
        match party {
            Some(party) => entry.peer(&party.to_string()),
            None => entry,
        }
    }

    /// Keeps how something ended, and passes that on when it is on disk.
    pub(crate) async fn entered<T>(&self, mut entry: Event, outcome: Result<T, CaError>) -> Result<T, CaError> {
        if let Err(error) = &outcome {
            let code = error.code().into();
            let ours = error.fault() == Fault::Ours;
            entry.outcome = if ours { Outcome::Failed(code) } else { Outcome::Refused(code) };
        }
        if let Some(journal) = self.journal.get() {
            journal.append(entry).await?;
        } else {
            tracing::warn!(kind = %entry.kind, "the authority keeps no audit log");
        }
        outcome
    }
}
