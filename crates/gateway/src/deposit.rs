//! The write leg at the gateway: steps 1 to 7 of the transmission with the action *write*. Records are sealed
//! in a chain from the head that broker and archive agree on, and sent together; what another writer added
//! meanwhile is a conflict, and everything is sealed anew after it.

use std::sync::Arc;

use sealwort_fhir::Label;
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::log::{Authors, ChainWalk};
use sealwort_proto::message::{ENTRIES_BYTES_AIM, ENTRIES_PER_MESSAGE_MAX, FromArchive, ToArchive, WireEntry};
use sealwort_proto::receipt::{VerifiedReceipt, Witness};
use sealwort_proto::record::{EntryHeader, Record, seal};
use sealwort_proto::transmission::gateway::Authority;
use sealwort_proto::{DepositId, EntryId, ErrorKind, Pseudonym, SUITE};

use crate::Gateway;
use crate::error::GatewayError;
use crate::open::{ATTEMPTS_MAX, archive_fault, unexpected, verify_receipt};
use crate::session::Session;
use crate::user::Asking;

/// Times that a deposit is sealed anew because another writer came first.
const CONFLICTS_MAX: usize = 10;

/// A record to be written, with the label that decides who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labelled {
    pub(crate) record: Record,
    pub(crate) label: Label,
}

/// How one attempt ended.
enum Attempt {
    Stored(VerifiedReceipt),
    Conflict,
}

impl Gateway {
    /// Stores records of one patient, all or none. The same deposit id again stores nothing twice.
    pub(crate) async fn deposit(
        &self,
        patient: Pseudonym,
        deposit: DepositId,
        records: Arc<Vec<Labelled>>,
        asking: &Asking,
    ) -> Result<VerifiedReceipt, GatewayError> {
        let (mut attempt, mut conflicts) = (1, 0);
        loop {
            let session = self.session().await?;
            match self.deposit_once(&session, patient, deposit, &records, asking).await {
                Ok(Attempt::Stored(receipt)) => {
                    self.patients.changed(patient);
                    return Ok(receipt);
                }
                Ok(Attempt::Conflict) if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    continue;
                }
                Ok(Attempt::Conflict) => {
                    return Err(GatewayError::request(
                        409,
                        sealwort_fhir::IssueCode::Conflict,
                        "log-busy",
                        "other hospitals write to this patient at the same time",
                        "try again in a moment",
                    ));
                }
                Err(error) if attempt < ATTEMPTS_MAX && error.is_session_lost() => {
                    self.sessions.drop_session(&session).await;
                }
                Err(error) if attempt < ATTEMPTS_MAX && error.wants_new_token() => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn deposit_once(
        &self,
        session: &Arc<Session>,
        patient: Pseudonym,
        deposit: DepositId,
        records: &Arc<Vec<Labelled>>,
        asking: &Asking,
    ) -> Result<Attempt, GatewayError> {
        let authority = self.authorise(session, self.sought(patient, "write", asking)).await?;
        let denied = records.iter().find(|r| !authority.tags.contains(&self.directory.tag(patient, r.label)));
        if let Some(denied) = denied {
            return Err(GatewayError::request(
                403,
                sealwort_fhir::IssueCode::Forbidden,
                "consent-label-not-granted",
                format!("consent does not let this hospital write what is labelled {}", denied.label.as_str()),
                "ask the patient's consent authority to grant it",
            ));
        }
        let after = self.verified_head(session, &authority).await?;
        let id = authority.id;
        let entries = self.seal_all(session, authority, after, records).await?;
        let mut questions = vec![ToArchive::Deposit {
            authority: id,
            deposit,
            after: after.sequence,
            head: after.head,
            entries: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        }];
        questions.extend(in_messages(entries));
        let mut answers = self.sessions.ask_archive(session, &questions).await?;
        match answers.next().await?.0 {
            FromArchive::Stored { receipt } => {
                let verified = verify_receipt(session, receipt.as_ref())?;
                if verified.receipt().patient != patient || verified.receipt().deposit != Some(deposit) {
                    return Err(archive_fault(ErrorKind::Rollback("the receipt is for another deposit")));
                }
                Ok(Attempt::Stored(verified))
            }
            FromArchive::Conflict { .. } => Ok(Attempt::Conflict),
            _ => Err(unexpected(Fault::Archive)),
        }
    }

    /// The head to write after. What the archive states beyond the witnessed head is walked first, envelope by
    /// envelope, so that nobody writes on top of a fork.
    async fn verified_head(&self, session: &Arc<Session>, authority: &Authority) -> Result<Witness, GatewayError> {
        if authority.head == authority.witness {
            return Ok(authority.head);
        }
        let patient = authority.patient;
        let mut walk = ChainWalk::new(session.party.exchange(), patient, authority.witness, authority.witness)
            .map_err(archive_fault)?;
        let fetch = ToArchive::Fetch { authority: authority.id, after: authority.witness.sequence };
        let mut answers = self.sessions.ask_archive(session, &[fetch]).await?;
        let mut authors = Arc::new(Authors::default());
        loop {
            match answers.next().await?.0 {
                FromArchive::Entries { entries, authors: chains } => {
                    authors = self.learn_authors(authors, &entries, &chains)?;
                    for entry in entries {
                        let verified = authors
                            .verify(entry.envelope.as_ref(), &session.party.operations)
                            .map_err(archive_fault)?;
                        walk.step(&verified).map_err(archive_fault)?;
                    }
                }
                FromArchive::End { receipt } => {
                    let receipt = verify_receipt(session, receipt.as_ref())?;
                    return walk.finish(&receipt).map_err(archive_fault);
                }
                _ => return Err(unexpected(Fault::Archive)),
            }
        }
    }

    /// Seals every record, each after the one before it, away from the threads that serve connections.
    async fn seal_all(
        &self,
        session: &Arc<Session>,
        authority: Authority,
        after: Witness,
        records: &Arc<Vec<Labelled>>,
    ) -> Result<Vec<WireEntry>, GatewayError> {
        let tags = Label::ALL.map(|label| (label, self.directory.tag(authority.patient, label)));
        let (session, records, now) = (Arc::clone(session), Arc::clone(records), self.sessions.now());
        let sealed = tokio::task::spawn_blocking(move || {
            let party = &session.party;
            let mut at = after;
            records
                .iter()
                .map(|labelled| {
                    let tag = tags.iter().find(|(label, _)| *label == labelled.label).map(|(_, tag)| *tag);
                    let header = EntryHeader {
                        suite: SUITE,
                        exchange: party.exchange().to_owned(),
                        patient: authority.patient,
                        entry: EntryId::random(),
                        author: party.identity.to_string(),
                        tag: tag.ok_or(ErrorKind::Record("the label is unknown"))?,
                        epoch: authority.epoch,
                        sequence: at.sequence.checked_add(1).ok_or(ErrorKind::Chain("the log is full"))?,
                        previous: at.head,
                        authored_at: now.as_secs(),
                    };
                    let sealed = seal(&header, &labelled.record, &authority.keys, &party.key, &party.operations)?;
                    at = Witness { sequence: header.sequence, head: sealed.hash };
                    Ok(sealed.wire)
                })
                .collect::<Result<Vec<_>, ErrorKind>>()
        });
        let sealed = sealed.await.map_err(|_| GatewayError::Kept("sealing records was interrupted"))?;
        sealed.map_err(|kind| ProtocolError::new(Step::Record, Fault::Own, kind).into())
    }
}

/// Entries in messages of a handy size.
fn in_messages(entries: Vec<WireEntry>) -> Vec<ToArchive> {
    let (mut messages, mut page, mut bytes) = (Vec::new(), Vec::new(), 0);
    for entry in entries {
        let size = entry.envelope.0.len() + entry.ciphertext.as_ref().map_or(0, |c| c.0.len());
        if !page.is_empty() && (bytes + size > ENTRIES_BYTES_AIM || page.len() >= ENTRIES_PER_MESSAGE_MAX) {
            messages.push(ToArchive::Entries(std::mem::take(&mut page)));
            bytes = 0;
        }
        bytes += size;
        page.push(entry);
    }
    if !page.is_empty() {
        messages.push(ToArchive::Entries(page));
    }
    messages
}
