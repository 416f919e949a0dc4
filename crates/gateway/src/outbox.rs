//! Writes that wait for the exchange: sealed under the key-encryption key, on disk before the hospital is told,
//! sent in the order of their arrival per patient. A write that the exchange refuses for good stays, with its
//! reason in the log and the status, until somebody decides.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minicbor::{Decode, Encode};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::IssueCode;
use sealwort_net::member::Member;
use sealwort_net::traces::Name;
use sealwort_net::{Backoff, Shutdown};
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{Secret, mac};
use sealwort_proto::record::{Change, Record};
use sealwort_proto::{DepositId, Locator};
use sealwort_store::{GatewayStore, OutboxItem};
use tokio::sync::Notify;

use crate::Gateway;
use crate::deposit::{Basis, Labelled};
use crate::error::GatewayError;
use crate::feeds::refused::Source;
use crate::user::{Asking, Turn};

/// Largest item, in bytes.
const ITEM_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Items looked at in one pass, unless all of them are refused.
const PASS_MAX: usize = 32;
/// How often the outbox is looked at without being told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A write that waits.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Outgoing {
    /// Records of one patient.
    #[n(0)]
    Deposit(#[n(0)] WaitingDeposit),
    /// A signed directive.
    #[n(1)]
    Directive(#[n(0)] Blob),
    /// A FHIR transaction of a feed.
    #[n(2)]
    Transaction(#[n(0)] WaitingTransaction),
    /// A signed erasure.
    #[n(3)]
    Erasure(#[n(0)] Blob),
}

/// A transaction that waits: whom it is about shows when it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct WaitingTransaction {
    /// The Bundle.
    #[n(0)]
    pub(crate) bundle: Blob,
    /// Who wrote.
    #[n(1)]
    pub(crate) user: String,
    /// Their role.
    #[n(2)]
    pub(crate) user_role: String,
    /// For which purpose.
    #[n(3)]
    pub(crate) purpose: String,
}

/// Records that wait, with what is needed to find their patient.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct WaitingDeposit {
    /// The patient's blinded identifiers.
    #[n(0)]
    pub(crate) locators: Vec<Locator>,
    /// The records.
    #[n(1)]
    pub(crate) records: Vec<WaitingRecord>,
    /// Who wrote.
    #[n(2)]
    pub(crate) user: String,
    /// Their role.
    #[n(3)]
    pub(crate) user_role: String,
    /// For which purpose.
    #[n(4)]
    pub(crate) purpose: String,
    /// What was there before, and not read when this was written: `type/id`.
    #[n(5)]
    pub(crate) unread: Option<Vec<String>>,
}

/// A record that waits.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct WaitingRecord {
    #[n(0)]
    change: Change,
    #[n(1)]
    resource_type: String,
    #[n(2)]
    id: String,
    #[n(3)]
    label: String,
    #[n(4)]
    content: Blob,
}

impl WaitingRecord {
    fn labelled(self) -> Result<Labelled, GatewayError> {
        let label = self.label.parse().map_err(|_| GatewayError::Kept("an item of the outbox has an unknown label"))?;
        let record =
            Record { change: self.change, resource_type: self.resource_type, id: self.id, content: self.content.0 };
        Ok(Labelled { record, label })
    }
}

impl From<&Labelled> for WaitingRecord {
    fn from(labelled: &Labelled) -> Self {
        Self {
            change: labelled.record.change,
            resource_type: labelled.record.resource_type.clone(),
            id: labelled.record.id.clone(),
            label: labelled.label.as_str().to_owned(),
            content: Blob(labelled.record.content.clone()),
        }
    }
}

/// Why an item waits for somebody to decide.
#[derive(Debug, Clone)]
pub(crate) struct RefusedItem {
    pub(crate) reason: String,
    /// Length of the item.
    pub(crate) bytes: usize,
    /// When it was refused first since the gateway's start, Unix time.
    pub(crate) at: u64,
}

/// The outbox over the gateway's store.
pub(crate) struct Outbox {
    store: Arc<dyn GatewayStore>,
    member: Arc<Member>,
    index: Secret,
    told: Notify,
    /// Items that the exchange refused for good, with the reason.
    refused: Mutex<BTreeMap<DepositId, RefusedItem>>,
}

impl Outbox {
    pub(crate) fn new(store: Arc<dyn GatewayStore>, member: Arc<Member>, index: Secret) -> Self {
        Self { store, member, index, told: Notify::new(), refused: Mutex::default() }
    }

    /// Keeps a write. On return it is on disk.
    pub(crate) async fn put(&self, id: DepositId, patient: &[u8], item: &Outgoing) -> Result<(), GatewayError> {
        self.keep(id, patient, item).await?;
        self.tell();
        Ok(())
    }

    /// The same for what its caller sends at once; otherwise [`Outbox::tell`] has it sent.
    pub(crate) async fn keep(&self, id: DepositId, patient: &[u8], item: &Outgoing) -> Result<(), GatewayError> {
        let sealed = self.member.kek().wrap(&[b"outbox", id.as_bytes()], &to_bytes(item));
        Ok(self.store.enqueue(id, self.patient_key(patient), sealed).await?)
    }

    /// Has what waits sent now.
    pub(crate) fn tell(&self) {
        self.told.notify_one();
    }

    /// Forgets what was sent.
    pub(crate) async fn done(&self, id: DepositId) -> Result<(), GatewayError> {
        self.store.done(id).await?;
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(())
    }

    /// The newest directive that waits in this line.
    pub(crate) async fn newest_directive(&self, line: &[u8]) -> Result<Option<Blob>, GatewayError> {
        let line = self.patient_key(line);
        if self.store.pending_count(Some(line)).await? == 0 {
            return Ok(None);
        }
        let waiting = self.store.pending(usize::MAX).await?;
        let Some(newest) = waiting.iter().rfind(|item| item.patient == line) else { return Ok(None) };
        match self.open(newest.id, &newest.sealed)? {
            Outgoing::Directive(directive) => Ok(Some(directive)),
            Outgoing::Deposit(_) | Outgoing::Transaction(_) | Outgoing::Erasure(_) => {
                Err(GatewayError::Kept("an item of the outbox stands in the wrong line"))
            }
        }
    }

    /// How many writes of this patient wait.
    pub(crate) async fn waiting_for(&self, patient: &[u8]) -> Result<u64, GatewayError> {
        Ok(self.store.pending_count(Some(self.patient_key(patient))).await?)
    }

    /// How many writes wait in all, and the reasons of those that were refused.
    pub(crate) async fn totals(&self) -> Result<(u64, Vec<String>), GatewayError> {
        let refused = self.refused().into_iter().map(|(id, item)| format!("{id}: {}", item.reason)).collect();
        Ok((self.store.pending_count(None).await?, refused))
    }

    /// Items that the exchange refused for good: others of their patients wait behind them.
    pub(crate) fn refused(&self) -> Vec<(DepositId, RefusedItem)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().map(|(id, item)| (*id, item.clone())).collect()
    }

    /// One of them, by its id in hexadecimal.
    async fn refused_item(&self, id: &str) -> Result<Option<(DepositId, Vec<u8>)>, GatewayError> {
        let Some((id, _)) = self.refused().into_iter().find(|(refused, _)| refused.to_string() == id) else {
            return Ok(None);
        };
        let waiting = self.store.pending(usize::MAX).await?;
        Ok(waiting.into_iter().find(|item| item.id == id).map(|item| (id, item.sealed)))
    }

    /// Forgets what waits of an erased patient: consents, and writes under these identifiers.
    pub(crate) async fn purge(&self, consent_line: &[u8], locators: &[Locator]) -> Result<(), GatewayError> {
        let consent_line = self.patient_key(consent_line);
        for item in self.store.pending(usize::MAX).await? {
            let of_patient = match self.open(item.id, &item.sealed)? {
                Outgoing::Deposit(waiting) => waiting.locators.iter().any(|locator| locators.contains(locator)),
                Outgoing::Directive(_) => item.patient == consent_line,
                Outgoing::Transaction(_) | Outgoing::Erasure(_) => false,
            };
            if of_patient {
                self.done(item.id).await?;
            }
        }
        Ok(())
    }

    fn patient_key(&self, patient: &[u8]) -> [u8; 32] {
        mac(&self.index, "sealwort outbox v1", &[patient])
    }

    fn open(&self, id: DepositId, sealed: &[u8]) -> Result<Outgoing, GatewayError> {
        let unusable = || GatewayError::Kept("an item of the outbox does not open");
        let plain = self.member.kek().unwrap(&[b"outbox", id.as_bytes()], sealed).map_err(|_| unusable())?;
        from_bytes(&plain, ITEM_BYTES_MAX).map_err(|_| unusable())
    }
}

/// Sends what waits, until `shutdown`.
pub(crate) async fn flush_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    let mut backoff = Backoff::default();
    loop {
        let wait = match gateway.flush().await {
            Ok(()) => {
                backoff.reset();
                LOOK_EVERY
            }
            Err(error) => {
                let wait = backoff.next_wait();
                tracing::info!(%error, retry_in = ?wait, "the outbox waits for the exchange");
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = gateway.outbox.told.notified() => {}
            () = shutdown.wait() => return,
        }
    }
}

impl Gateway {
    /// Sends what waits, oldest first. Stops at the first sign that the exchange is away. A party that answers but cannot
    /// serve now, perhaps this patient or this size alone, keeps nothing of other patients waiting, unless many in a row
    /// cannot be served.
    async fn flush(&self) -> Result<(), GatewayError> {
        let (mut looked_at, mut in_a_row) = (PASS_MAX, 0);
        loop {
            let items = self.outbox.store.pending(looked_at).await?;
            let all = items.len() < looked_at;
            let (mut sent, mut unserved) = (0, None);
            let mut held_back = HashSet::new();
            for item in items {
                if held_back.contains(&item.patient) {
                    continue;
                }
                match self.send_observed(item.id, &item.sealed).await {
                    Ok(()) => {
                        self.outbox.done(item.id).await?;
                        sent += 1;
                        in_a_row = 0;
                    }
                    Err(error) if error.code() == "unavailable" && in_a_row < PASS_MAX => {
                        in_a_row += 1;
                        held_back.insert(item.patient);
                        unserved = Some(error);
                    }
                    Err(error) if error.is_away() || error.is_session_lost() => return Err(error),
                    // What a feed brought goes where feeds' refusals go, so that nothing waits behind it.
                    Err(error) if error.status() < 500 && self.set_aside(item.id, &item.sealed, &error).await? => {
                        self.outbox.done(item.id).await?;
                        sent += 1;
                    }
                    Err(error) => {
                        // Later writes of this patient may build on it, so they wait behind it.
                        held_back.insert(item.patient);
                        self.hold_back(&item, &error);
                    }
                }
            }
            if sent == 0 && all {
                return unserved.map_or(Ok(()), Err);
            }
            // Where all of them are refused, others wait behind them.
            if sent == 0 {
                looked_at *= 2;
            }
        }
    }

    fn hold_back(&self, item: &OutboxItem, error: &GatewayError) {
        let (bytes, at) = (item.sealed.len(), self.sessions.now().as_secs());
        let mut refused = self.outbox.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refused.entry(item.id).or_insert_with(|| {
            tracing::error!(id = %item.id, %error, "a write in the outbox was refused and is kept");
            RefusedItem { reason: String::new(), bytes, at }
        });
        known.reason = error.to_string();
    }

    /// Tries an item again that was refused. Whether there is one by this id.
    pub(crate) async fn resend(&self, id: &str) -> Result<bool, GatewayError> {
        let Some((id, sealed)) = self.outbox.refused_item(id).await? else { return Ok(false) };
        self.send(id, &sealed).await?;
        self.outbox.done(id).await?;
        self.outbox.tell();
        Ok(true)
    }

    /// Gives an item up that was refused, so that what waits behind it goes on. Whether there is one by this id. A
    /// signed consent is not given up: this hospital acts by it already.
    pub(crate) async fn give_up(&self, id: &str) -> Result<bool, GatewayError> {
        let Some((id, sealed)) = self.outbox.refused_item(id).await? else { return Ok(false) };
        if let Outgoing::Directive(_) | Outgoing::Erasure(_) = self.outbox.open(id, &sealed)? {
            return Err(GatewayError::request(
                409,
                IssueCode::BusinessRule,
                "consent-waits",
                "this is a signed consent or erasure, and it cannot be taken back",
                "mend what its reason names; it is sent again by itself",
            ));
        }
        tracing::warn!(%id, "a write in the outbox was given up");
        self.outbox.done(id).await?;
        self.outbox.tell();
        Ok(true)
    }

    /// Keeps a feed's transaction among what was refused. Whether it was one, and there was room.
    async fn set_aside(&self, id: DepositId, sealed: &[u8], error: &GatewayError) -> Result<bool, GatewayError> {
        match self.outbox.open(id, sealed)? {
            Outgoing::Transaction(waiting) if error.code() != "log-busy" => {
                tracing::error!(%id, code = error.code(), "a waiting transaction was refused");
                self.keep_refused(Source::Transaction, waiting.bundle.as_ref(), error.to_string()).await
            }
            _ => Ok(false),
        }
    }

    /// Each is a trace of its own: whoever wrote it was answered long ago.
    async fn send_observed(&self, id: DepositId, sealed: &[u8]) -> Result<(), GatewayError> {
        let sent = Box::pin(self.send(id, sealed));
        match self.sessions.steps().observation() {
            Some(observation) => observation.within(Name::Outbox, GatewayError::code, sent).await,
            None => sent.await,
        }
    }

    async fn send(&self, id: DepositId, sealed: &[u8]) -> Result<(), GatewayError> {
        match self.outbox.open(id, sealed)? {
            Outgoing::Directive(directive) => self.send_directive(directive.as_ref()).await,
            Outgoing::Erasure(erasure) => self.send_erasure(erasure.as_ref()).await,
            Outgoing::Transaction(waiting) => {
                let gateway = self.me.upgrade().ok_or(GatewayError::Kept("the gateway is stopping"))?;
                let mut asking = Asking::itself(waiting.user, waiting.user_role, waiting.purpose);
                asking.turn = Turn::Now;
                crate::face::store_bundle(&gateway, &asking, waiting.bundle.0.into()).await
            }
            Outgoing::Deposit(waiting) => {
                let asking = Asking::itself(waiting.user, waiting.user_role, waiting.purpose);
                let records: Vec<Labelled> =
                    waiting.records.into_iter().map(WaitingRecord::labelled).collect::<Result<_, _>>()?;
                let (records, written) = (Arc::new(records), (Basis::Unread, self.sessions.now()));
                let unread = waiting.unread.unwrap_or_default();
                let outcome = self.store_records(&waiting.locators, id, (records, &unread), &asking, written).await;
                let waits = outcome.as_ref().err().is_some_and(|error| error.is_away() || error.is_session_lost());
                // What was read for it stands in the logs of broker and archive, and so it does here.
                if waits && !asking.trail.has_grants() {
                    return outcome.map(|_| ());
                }
                // That it was taken has its entry from then; this one says that it went out.
                let entry = self.entry(EventKind::DepositStored, &asking).detail(Detail::Deposit, id);
                self.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await?;
                outcome.map(|_| ())
            }
        }
    }
}
