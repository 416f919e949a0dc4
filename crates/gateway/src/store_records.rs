//! A write from the hospital, whole: the patient is found or registered, the records are deposited, and which
//! resource is whose is noted. When the exchange is away, the write goes to the outbox and the hospital is told so.

use std::sync::Arc;

use sealwort_fhir::IssueCode;
use sealwort_pki::UnixTime;
use sealwort_proto::receipt::Witness;
use sealwort_proto::record::{Change, Record};
use sealwort_proto::{DepositId, Locator, Pseudonym};

use crate::Gateway;
use crate::deposit::{Basis, Deposited, Labelled};
use crate::error::GatewayError;
use crate::home::Home;
use crate::outbox::{Outgoing, WaitingDeposit};
use crate::roster::Known;
use crate::user::{Asking, Turn};

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Stored at the archive, witnessed by the broker.
    Stored {
        patient: Pseudonym,
        /// The head that it follows, where that is known.
        after: Option<Witness>,
    },
    /// In the outbox, on disk here.
    Queued,
    /// Nowhere: the record has changed since what the write rests on was read.
    Moved,
}

impl Gateway {
    /// Stores records in somebody's record, as written at `now`, or keeps them until the exchange is back. A write that
    /// rests on what was read is never kept: whether it may be done shows only when it is done.
    pub(crate) async fn write(
        &self,
        home: &Home,
        records: Vec<Labelled>,
        asking: &Asking,
        basis: Basis,
        now: UnixTime,
    ) -> Result<Written, GatewayError> {
        let locators = home.locators.as_slice();
        let id = DepositId::random();
        let records = Arc::new(records);
        let unread = if basis == Basis::Unread { self.known_of(&records).await? } else { Vec::new() };
        // What waits already goes first.
        let key = self.patient_key(locators).await?;
        let waits = asking.turn == Turn::Queued && self.waits(&key, locators).await?;
        if waits && !basis.is_free() {
            return Err(GatewayError::request(
                503,
                IssueCode::Transient,
                "earlier-writes-wait",
                "earlier writes of this patient still wait for the exchange, so a conditional one cannot be judged",
                "try again in a moment, or write without a condition",
            ));
        }
        if !waits {
            match self.store_records(locators, id, (Arc::clone(&records), &unread), asking, (basis, now)).await {
                Ok(Some((patient, after))) => return Ok(Written::Stored { patient, after }),
                Ok(None) => return Ok(Written::Moved),
                Err(error)
                    if basis.is_free()
                        && asking.turn == Turn::Queued
                        && (error.is_away() || error.is_session_lost()) =>
                {
                    tracing::warn!(%error, "the exchange is away; the write goes to the outbox");
                }
                Err(error) => return Err(error),
            }
        }
        let waiting = WaitingDeposit {
            locators: locators.to_vec(),
            records: records.iter().map(Into::into).collect(),
            user: asking.user.clone(),
            user_role: asking.role.clone(),
            purpose: asking.purpose.clone(),
            unread: Some(unread).filter(|unread| !unread.is_empty()),
        };
        self.outbox.put(id, &key, &Outgoing::Deposit(waiting)).await?;
        Ok(Written::Queued)
    }

    /// Finds or registers the patient, deposits, and notes which resource is whose. `None` where the record has moved
    /// on from the basis. `unread` are those of them that were there before and were not read.
    pub(crate) async fn store_records(
        &self,
        locators: &[Locator],
        id: DepositId,
        (records, unread): (Arc<Vec<Labelled>>, &[String]),
        asking: &Asking,
        (basis, now): (Basis, UnixTime),
    ) -> Result<Option<(Pseudonym, Option<Witness>)>, GatewayError> {
        let mut known = self.find_or_register(locators).await?;
        // What waited since before a merge, or names the identity that was given up, goes where both are.
        let surviving = self.roster.surviving(known.patient);
        if surviving != known.patient {
            known = self.roster.known(surviving).await?.ok_or_else(GatewayError::unknown_patient)?;
        }
        let patient = known.patient;
        for record in records.iter().map(|r| &r.record).filter(|record| record.resource_type == "Patient") {
            if self.roster.by_resource("Patient", &record.id).await?.is_some_and(|other| other != patient) {
                return Err(crate::home::taken(&record.id));
            }
            if record.change == Change::Put {
                self.check_same_person(&known, (&record.id, &record.content), asking).await?;
            }
        }
        let records = match basis {
            Basis::Unread => self.with_moves(&known, (records, unread), asking).await?,
            _ => records,
        };
        let names = records.iter().map(|r| (r.record.resource_type.as_str(), r.record.id.as_str()));
        self.roster.put_resources(patient, names).await?;
        asking.trail.touches(patient);
        for record in records.iter().map(|labelled| &labelled.record) {
            if let Ok(kind) = record.resource_type.parse() {
                asking.trail.shows(patient, kind, &record.id);
            }
        }
        match self.deposit(patient, id, records, asking, (basis, now)).await? {
            Deposited::Stored { after } => Ok(Some((patient, after))),
            Deposited::Moved => Ok(None),
        }
    }

    /// The names under which something is known here already, of what is to be put. This very write is noted later.
    async fn known_of(&self, records: &[Labelled]) -> Result<Vec<String>, GatewayError> {
        let mut known = Vec::new();
        for record in records.iter().map(|one| &one.record).filter(|record| record.change == Change::Put) {
            if self.roster.by_resource(&record.resource_type, &record.id).await?.is_some() {
                known.push(name(record));
            }
        }
        Ok(known)
    }

    /// Records that were made without knowing what is there, with what goes away from under another label. As online,
    /// nobody writes over what is withheld from them.
    async fn with_moves(
        &self,
        known: &Known,
        (records, unread): (Arc<Vec<Labelled>>, &[String]),
        asking: &Asking,
    ) -> Result<Arc<Vec<Labelled>>, GatewayError> {
        let view = match self.open(known.patient, asking).await {
            Ok(view) => view,
            // Who may write and not read cannot tell.
            Err(error) if error.status() == 403 => return Ok(records),
            Err(error) => return Err(error),
        };
        let label_before = |record: &Record| {
            let kind = record.resource_type.parse().ok()?;
            view.get(kind, &record.id).map(|held| held.newest().label)
        };
        for record in records.iter().map(|one| &one.record).filter(|record| unread.contains(&name(record))) {
            if view.withheld == 0 || label_before(record).is_some() {
                continue;
            }
            let owner = self.roster.by_resource(&record.resource_type, &record.id).await?;
            if owner.is_some_and(|owner| view.stands_for(owner)) {
                return Err(GatewayError::withheld_resource());
            }
        }
        let versions = records.iter().filter(|one| one.record.change != Change::Move);
        Ok(Arc::new(versions.flat_map(|one| one.clone().after(label_before(&one.record))).collect()))
    }

    /// Whether writes of this patient wait: under the pseudonym, or under an identifier from before it was known.
    async fn waits(&self, key: &[u8], locators: &[Locator]) -> Result<bool, GatewayError> {
        for name in std::iter::once(key).chain(locators.iter().map(|l| l.as_bytes().as_slice())) {
            if self.outbox.waiting_for(name).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether writes wait in somebody's record.
    pub(crate) async fn waits_at(&self, locators: &[Locator]) -> Result<bool, GatewayError> {
        let key = self.patient_key(locators).await?;
        self.waits(&key, locators).await
    }

    /// By what a patient's writes are kept in order: the pseudonym where it is known, else the first identifier.
    pub(crate) async fn patient_key(&self, locators: &[Locator]) -> Result<Vec<u8>, GatewayError> {
        if let Some(patient) = self.roster.by_locators(locators).await? {
            return Ok(patient.as_bytes().to_vec());
        }
        Ok(locators.first().map(|locator| locator.as_bytes().to_vec()).unwrap_or_default())
    }
}

fn name(record: &Record) -> String {
    format!("{}/{}", record.resource_type, record.id)
}
