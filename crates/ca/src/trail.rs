//! The authority's audit log: whom it was asked to invite, enrol, renew and revoke, and how that ended, on disk before the
//! answer leaves. Lists of revoked certificates go out in any case: parties that cannot fetch them believe nobody any more.
//! Anybody can have an enrolment refused, so such entries are bounded in number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_journal::{Journal, JournalError, Speaker, Voice};
use sealwort_net::Clock;
use sealwort_net::tls::SharedTrust;
use sealwort_pki::enrolment::{CrlResponse, Membership};
use sealwort_pki::{Identity, Trust, TrustError, UnixTime};
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

    /// Keeps an audit log from now on. Where it could not be opened, all is refused but revoking and what that needs:
    /// the lists of certificates and of those revoked.
    pub fn keep_log(&self, opened: Result<Journal, JournalError>) {
        // It is opened once, by whoever starts the authority.
        let _ = self.journal.set(opened);
    }

    fn log(&self) -> Result<Option<&Journal>, JournalError> {
        self.journal.get().map(Result::as_ref).transpose().map_err(JournalError::clone)
    }

    /// Refuses what could not be entered.
    pub(crate) fn check_log(&self) -> Result<(), CaError> {
        Ok(self.log()?.map_or(Ok(()), Journal::check)?)
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
        self.append(entry).await?;
        outcome
    }

    /// Whether one more refused enrolment is entered by itself, or only counted.
    pub(crate) fn enters_refusal(&self) -> bool {
        self.refusals().takes(self.now())
    }

    /// Enters how many enrolments were refused without an entry of their own.
    pub(crate) async fn enter_refusals(&self) {
        let Some(count) = self.refusals().counted() else { return };
        let entry = self.entry(EventKind::CertificateEnrolled, None).refused("enrolments-refused");
        let reason = format!("beyond {REFUSALS_MAX} in {} s", REFUSALS_EVERY.as_secs());
        self.enter_if_possible(entry.detail(Detail::Count, count).detail(Detail::Reason, reason)).await;
    }

    /// Enters what goes out in any case.
    pub(crate) async fn enter_if_possible(&self, entry: Event) {
        let kind = entry.kind;
        if let Err(error) = self.append(entry).await {
            tracing::error!(%error, %kind, "an entry of the audit log could not be kept");
        }
    }

    async fn append(&self, entry: Event) -> Result<(), JournalError> {
        if let Some(journal) = self.log()? {
            return journal.append(entry).await;
        }
        tracing::warn!(kind = %entry.kind, "the authority keeps no audit log");
        Ok(())
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refused enrolments of the last while.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    since: Option<UnixTime>,
    /// Since then.
    entered: u32,
    /// Without an entry of their own yet.
    counted: u64,
}

impl Refusals {
    /// Whether one more gets an entry of its own.
    fn takes(&mut self, now: UnixTime) -> bool {
        // A clock that was set back begins anew, too.
        if self.since.is_none_or(|since| now < since || now.since(since) >= REFUSALS_EVERY) {
            (self.since, self.entered) = (Some(now), 0);
        }
        let takes = self.entered < REFUSALS_MAX;
        if takes {
            self.entered += 1;
        } else {
            self.counted += 1;
        }
        takes
    }

    fn counted(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.counted)).filter(|count| *count > 0)
    }
}

/// Refused enrolments that are entered one by one in [`REFUSALS_EVERY`].
const REFUSALS_MAX: u32 = 10;
const REFUSALS_EVERY: Duration = Duration::from_mins(1);
