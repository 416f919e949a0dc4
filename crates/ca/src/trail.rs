//! The authority's audit log: whom it was asked to invite, enrol, renew and revoke, and how that ended, on disk before the
//! answer leaves. Lists of revoked certificates go out in any case: parties that cannot fetch them believe nobody any more.
//! Anybody can have something refused, so such entries are bounded in number, those of each kind and reason by themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_journal::{Journal, JournalError, Speaker, Voice};
use sealwort_net::Clock;
use sealwort_net::tls::SharedTrust;
use sealwort_pki::enrolment::{CrlResponse, Membership};
use sealwort_pki::{Identity, Trust, TrustError, UnixTime};
use sealwort_store::StoreError;
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

    /// Keeps how something ended, and passes that on when it is on disk. What was refused or failed already is told by its
    /// own reason, also where the log fails, too.
    pub(crate) async fn entered<T>(&self, entry: Event, outcome: Result<T, CaError>) -> Result<T, CaError> {
        let entry = ended(entry, &outcome);
        if let Err(error) = &outcome
            && !self.refusals().takes(&entry, error.code(), self.now())
        {
            return outcome;
        }
        match (self.append(entry).await, outcome) {
            (Err(error), Ok(_)) => Err(error.into()),
            (Err(error), Err(first)) => {
                tracing::error!(%error, code = first.code(), "a refusal could not be entered in the audit log");
                Err(first)
            }
            (Ok(()), outcome) => outcome,
        }
    }

    /// Enters how often something was refused without an entry of its own.
    pub(crate) async fn enter_refusals(&self) {
        let counted = self.refusals().counted();
        for (reason @ (kind, _), outcome, count) in counted {
            let mut entry = self.entry(kind, None).detail(Detail::Count, count);
            entry.note(Detail::Reason, format!("beyond {REFUSALS_MAX} in {} s", REFUSALS_EVERY.as_secs()));
            entry.outcome = outcome;
            if let Err(error) = self.append(entry).await {
                tracing::error!(%error, %kind, "the number of refusals could not be entered; it is tried again");
                self.refusals().give_back(reason, count);
            }
        }
    }

    /// Enters what goes out in any case, and says whether that is on disk. A disk that hangs is not waited for long; the
    /// entry follows when it goes on.
    pub(crate) async fn enter_if_possible(&self, entry: Event) -> bool {
        let kind = entry.kind;
        let appended = match self.log() {
            Ok(Some(journal)) => {
                let journal = journal.clone();
                let appending = tokio::spawn(async move { journal.append(entry).await });
                match tokio::time::timeout(APPEND_PATIENCE, appending).await {
                    Ok(appended) => appended.unwrap_or(Err(JournalError::Closed)),
                    Err(_) => Err(StoreError::Io(format!("nothing after {} s", APPEND_PATIENCE.as_secs())).into()),
                }
            }
            Ok(None) => {
                tracing::warn!(%kind, "the authority keeps no audit log");
                return false;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &appended {
            tracing::error!(%error, %kind, "an entry of the audit log could not be kept");
        }
        appended.is_ok()
    }

    /// Enters what is still to be entered, and that the authority stops.
    pub async fn close_log(&self) {
        if let Ok(Some(journal)) = self.log() {
            self.enter_refusals().await;
            journal.close().await;
        }
    }

    async fn append(&self, entry: Event) -> Result<(), JournalError> {
        if let Some(journal) = self.log()? {
            return journal.append(entry).await;
        }
        tracing::warn!(kind = %entry.kind, "the authority keeps no audit log");
        Ok(())
    }

    pub(crate) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry with how what it is about ended.
pub(crate) fn ended<T>(mut entry: Event, outcome: &Result<T, CaError>) -> Event {
    if let Err(error) = outcome {
        let code = error.code().into();
        let ours = error.fault() == Fault::Ours;
        entry.outcome = if ours { Outcome::Failed(code) } else { Outcome::Refused(code) };
    }
    entry
}

/// What was refused or failed in the last while, by kind and code: who knocks in vain hides nothing else. Both are closed
/// lists, so there are never many.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<Reason, Refused>);

pub(crate) type Reason = (EventKind, &'static str);

/// What was refused by one reason.
#[derive(Debug)]
struct Refused {
    outcome: Outcome,
    since: UnixTime,
    /// Since then.
    entered: u32,
    /// Without an entry of their own yet.
    counted: u64,
}

impl Refusals {
    /// Whether one more gets an entry of its own, or is only counted.
    fn takes(&mut self, entry: &Event, code: &'static str, now: UnixTime) -> bool {
        let new = || Refused { outcome: entry.outcome.clone(), since: now, entered: 0, counted: 0 };
        let refused = self.0.entry((entry.kind, code)).or_insert_with(new);
        // A clock that was set back begins anew, too.
        if now < refused.since || now.since(refused.since) >= REFUSALS_EVERY {
            (refused.since, refused.entered) = (now, 0);
        }
        let takes = refused.entered < REFUSALS_MAX;
        if takes {
            refused.entered += 1;
        } else {
            refused.counted += 1;
        }
        takes
    }

    /// What was only counted; from now on that is the caller's.
    pub(crate) fn counted(&mut self) -> Vec<(Reason, Outcome, u64)> {
        let counted = self.0.iter_mut().filter(|(_, refused)| refused.counted > 0);
        counted
            .map(|(reason, refused)| (*reason, refused.outcome.clone(), std::mem::take(&mut refused.counted)))
            .collect()
    }

    fn give_back(&mut self, reason: Reason, count: u64) {
        if let Some(refused) = self.0.get_mut(&reason) {
            refused.counted += count;
        }
    }
}

/// What is entered one by one in [`REFUSALS_EVERY`], of each kind and code.
const REFUSALS_MAX: u32 = 10;
const REFUSALS_EVERY: Duration = Duration::from_mins(1);
/// How long what goes out in any case waits for its entry. Two of these are less than the operator's patience.
const APPEND_PATIENCE: Duration = Duration::from_secs(3);
