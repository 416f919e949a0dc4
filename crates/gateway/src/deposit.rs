//! The write leg at the gateway: steps 1 to 7 of the transmission with the action *write*. Records are sealed
//! in a chain from the head that broker and archive agree on, and sent together; what another writer added
//! meanwhile is a conflict, and everything is sealed anew after it.

use std::sync::Arc;

use sealwort_fhir::Branch;
use sealwort_pki::UnixTime;
use sealwort_proto::codec::Blob;
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::log::{Authors, ChainWalk, empty};
use sealwort_proto::message::{
    ENTRIES_BYTES_AIM, ENTRIES_PER_MESSAGE_MAX, FromArchive, FromBroker, HEADS_PER_MESSAGE_MAX, ToArchive, ToBroker,
    WireEntry,
};
use sealwort_proto::receipt::{VerifiedReceipt, Witness};
use sealwort_proto::record::{Change, EntryHeader, Record, VerifiedEntry, seal};
use sealwort_proto::transmission::gateway::Authority;
use sealwort_proto::{DepositId, EntryId, ErrorKind, LabelTag, Pseudonym, SUITE, TokenId};

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
    pub(crate) label: Branch,
}

impl Labelled {
    /// The record of a version; before it, where it goes under another label than the one before, that it went away from
    /// there: who may not read the new version shall not take the old one for it.
    pub(crate) fn after(self, before: Option<Branch>) -> impl Iterator<Item = Self> {
        let moved = before.filter(|before| *before != self.label).map(|label| {
            let (resource_type, id) = (self.record.resource_type.clone(), self.record.id.clone());
            Self { record: Record { change: Change::Move, resource_type, id, content: Vec::new() }, label }
        });
        moved.into_iter().chain([self])
    }
}

/// On what a write rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Nothing: it goes after whatever the log holds.
    Any,
    /// The same for what was judged without reading what is there: that is looked up when it is stored.
    Unread,
    /// That nothing is written yet.
    Unwritten,
    /// What was read up to this head: it goes after that and nothing else.
    Read(Witness),
}

impl Basis {
    /// Whether it goes after whatever the log holds.
    pub(crate) fn is_free(self) -> bool {
        matches!(self, Self::Any | Self::Unread)
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deposited {
    /// It is on the archive's disk and witnessed. The head that it follows, unless an earlier attempt had stored it.
    Stored { after: Option<Witness> },
    /// The log has moved on from its basis; nothing was stored.
    Moved,
}

/// How one attempt ended.
enum Attempt {
    Stored { after: Option<Witness> },
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
        (basis, now): (Basis, UnixTime),
    ) -> Result<Deposited, GatewayError> {
        let (mut attempt, mut conflicts) = (1, 0);
        loop {
            let session = self.session().await?;
            match self.deposit_once(&session, patient, deposit, &records, asking, (basis, now)).await {
                Ok(Attempt::Stored { after }) => {
                    self.patients.changed(patient);
                    return Ok(Deposited::Stored { after });
                }
                Ok(Attempt::Conflict) if !basis.is_free() => {
                    self.patients.changed(patient);
                    return Ok(Deposited::Moved);
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
        (basis, now): (Basis, UnixTime),
    ) -> Result<Attempt, GatewayError> {
        let authority = self.authorise(session, self.sought(patient, "write", asking), &asking.trail).await?;
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
        let after = match basis {
            Basis::Any | Basis::Unread => self.verified_head(session, &authority).await?,
            // A repetition still names its first basis: the archive knows the deposit, or says that the log moved on.
            Basis::Read(at) => at,
            Basis::Unwritten => empty(patient),
        };
        let (id, witness) = (authority.id, authority.witness);
        let (entries, head) = self.seal_all(session, authority, deposit, after, records, now).await?;
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
                let at_once = verified.witness() == head;
                if !at_once {
                    let versions = records.iter().filter(|one| one.record.change != Change::Move);
                    let tags: Vec<_> = versions.map(|one| self.directory.tag(patient, one.label)).collect();
                    self.stored_before(session, id, witness, &verified, &tags).await?;
                }
                self.have_witnessed(session, receipt).await?;
                Ok(Attempt::Stored { after: at_once.then_some(after) })
            }
            FromArchive::Conflict { .. } => Ok(Attempt::Conflict),
            _ => Err(unexpected(Fault::Archive)),
        }
    }

    /// Has the broker witness a head before anybody is told of it. The archive owes the broker the same receipt; this
    /// is for an archive that would rather not be held to it.
    pub(crate) async fn have_witnessed(&self, session: &Arc<Session>, receipt: Blob) -> Result<(), GatewayError> {
        match self.sessions.ask_broker(session, &ToBroker::Witness(receipt)).await? {
            FromBroker::Kept => Ok(()),
            _ => Err(unexpected(Fault::Broker)),
        }
    }

    /// Every head above a sequence number that the broker has witnessed.
    pub(crate) async fn witnessed(
        &self,
        session: &Arc<Session>,
        patient: Pseudonym,
        mut after: u64,
    ) -> Result<Vec<Witness>, GatewayError> {
        let mut all = Vec::new();
        loop {
            let question = ToBroker::Witnessed { patient, after };
            let FromBroker::Heads(heads) = self.sessions.ask_broker(session, &question).await? else {
                return Err(unexpected(Fault::Broker));
            };
            let ascending = heads.iter().map(|head| head.sequence).is_sorted_by(|a, b| a < b);
            if !ascending || heads.first().is_some_and(|head| head.sequence <= after) {
                return Err(unexpected(Fault::Broker));
            }
            let full = heads.len() >= HEADS_PER_MESSAGE_MAX;
            after = heads.last().map_or(after, |head| head.sequence);
            all.extend(heads);
            if !full {
                return Ok(all);
            }
        }
    }

    /// The head to write after. What the archive states beyond the witnessed head is walked first, envelope by
    /// envelope, so that nobody writes on top of a fork.
    async fn verified_head(&self, session: &Arc<Session>, authority: &Authority) -> Result<Witness, GatewayError> {
        if authority.head == authority.witness {
            return Ok(authority.head);
        }
        let (patient, witness) = (authority.patient, authority.witness);
        self.walk(session, authority.id, patient, (witness.sequence, Some(witness)), witness, |_| {}).await
    }

    /// A receipt of another head than the one just sealed: an earlier attempt stored this deposit, or the archive
    /// passes off another receipt and keeps nothing. So the log must hold the whole of this deposit, by this hospital, up
    /// to the receipt's head, and lead from there to the witnessed one or from it. Whole are its versions, under these
    /// labels: what went away from under another label may have been something else at the earlier attempt.
    async fn stored_before(
        &self,
        session: &Arc<Session>,
        authority: TokenId,
        witness: Witness,
        receipt: &VerifiedReceipt,
        versions: &[LabelTag],
    ) -> Result<(), GatewayError> {
        let missing = || archive_fault(ErrorKind::Rollback("the log does not hold the deposit that the receipt names"));
        let (patient, stored) = (receipt.receipt().patient, receipt.witness());
        let before = stored.sequence.saturating_sub(2 * versions.len() as u64);
        let from = if before >= witness.sequence {
            (witness.sequence, Some(witness))
        } else {
            (before, (before == 0).then(|| empty(patient)))
        };
        let identity = session.party.identity.to_string();
        let (mut own, mut reached) = (Vec::new(), false);
        self.walk(session, authority, patient, from, witness, |entry| {
            let header = entry.header();
            if header.sequence > before && header.sequence <= stored.sequence {
                if header.author == identity && Some(header.deposit) == receipt.receipt().deposit {
                    own.push(header.tag);
                } else {
                    own.clear();
                }
            }
            reached |= Witness { sequence: header.sequence, head: entry.hash() } == stored;
        })
        .await?;
        if is_whole(&own, versions) && reached { Ok(()) } else { Err(missing()) }
    }

    /// Walks the log after a sequence number to its end, envelope by envelope. Where the head there is not known,
    /// the walk begins with what the first entry follows, and the witness must lie ahead.
    async fn walk(
        &self,
        session: &Arc<Session>,
        authority: TokenId,
        patient: Pseudonym,
        (after, head): (u64, Option<Witness>),
        witness: Witness,
        mut each: impl FnMut(&VerifiedEntry),
    ) -> Result<Witness, GatewayError> {
        let heads = self.witnessed(session, patient, after).await?;
        let begin = |from| {
            let mut walk = ChainWalk::new(session.party.exchange(), patient, from, witness)?;
            walk.hold_against(&heads)?;
            Ok::<_, ErrorKind>(walk)
        };
        let begin = |from| begin(from).map_err(archive_fault);
        let mut walk = head.map(begin).transpose()?;
        let mut answers = self.sessions.ask_archive(session, &[ToArchive::Fetch { authority, after }]).await?;
        let mut authors = Arc::new(Authors::default());
        loop {
            match answers.next().await?.0 {
                FromArchive::Entries { entries, authors: chains } => {
                    authors = self.learn_authors(authors, &entries, &chains)?;
                    for entry in entries {
                        let verified = authors
                            .verify(entry.envelope.as_ref(), &session.party.operations)
                            .map_err(archive_fault)?;
                        let walk = match &mut walk {
                            Some(walk) => walk,
                            None => walk.insert(begin(Witness { sequence: after, head: verified.header().previous })?),
                        };
                        walk.step(&verified).map_err(archive_fault)?;
                        each(&verified);
                    }
                }
                FromArchive::End { receipt } => {
                    let receipt = verify_receipt(session, receipt.as_ref())?;
                    let nothing = || archive_fault(ErrorKind::Rollback("the log ends before the witnessed head"));
                    return walk.ok_or_else(nothing)?.finish(&receipt).map_err(archive_fault);
                }
                _ => return Err(unexpected(Fault::Archive)),
            }
        }
    }

    /// Seals every record, each after the one before it, away from the threads that serve connections. Gives the
    /// entries and the head that they make.
    async fn seal_all(
        &self,
        session: &Arc<Session>,
        authority: Authority,
        deposit: DepositId,
        after: Witness,
        records: &Arc<Vec<Labelled>>,
        now: UnixTime,
    ) -> Result<(Vec<WireEntry>, Witness), GatewayError> {
        let tags = Branch::ALL.map(|label| (label, self.directory.tag(authority.patient, label)));
        let (session, records) = (Arc::clone(session), Arc::clone(records));
        let sealed = sealwort_net::transport::away(move || {
            let party = &session.party;
            let mut at = after;
            let entries: Result<Vec<_>, ErrorKind> = records
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
                        deposit,
                    };
                    let sealed = seal(&header, &labelled.record, &authority.keys, &party.key, &party.operations)?;
                    at = Witness { sequence: header.sequence, head: sealed.hash };
                    Ok(sealed.wire)
                })
                .collect();
            Ok((entries?, at))
        });
        let sealed = sealed.await.map_err(|_| GatewayError::Kept("sealing records was interrupted"))?;
        sealed.map_err(|kind: ErrorKind| ProtocolError::new(Step::Record, Fault::Own, kind).into())
    }
}

/// Whether entries under these labels are all versions of a deposit. Before each may stand that it went away, which is
/// never under the label of the version itself: so no part of a deposit is taken for the whole.
fn is_whole(entries: &[LabelTag], versions: &[LabelTag]) -> bool {
    let mut entries = entries.iter();
    let all = versions.iter().all(|version| entries.next() == Some(version) || entries.next() == Some(version));
    all && entries.next().is_none()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_deposit_is_taken_for_the_whole() {
        let [a, b, c] = [1, 2, 3].map(|byte| LabelTag::new([byte; LabelTag::LEN]));
        // The second and the third version went away from under another label, or from under none.
        let versions = [a, b, b];
        for whole in [&[a, b, b][..], &[a, c, b, b], &[a, b, a, b], &[c, a, a, b, c, b]] {
            assert!(is_whole(whole, &versions));
            for part in (0..whole.len()).filter_map(|length| whole.get(..length)) {
                assert!(!is_whole(part, &versions));
            }
        }
        assert!(!is_whole(&[a, b, b, b], &versions));
        assert!(!is_whole(&[c, c, a, b, b], &versions));
    }
}
