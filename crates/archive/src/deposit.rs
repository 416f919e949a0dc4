//! Step 7, writing: the third leg of a deposit. Entries are gathered, each is checked against the authority,
//! its author's signature and its place in the chain, and all become durable and visible together.

use std::sync::Arc;
use std::time::Instant;

use sealwort_audit::{Detail, Event};
use sealwort_custody::{CustodyError, Ward};
use sealwort_pki::UnixTime;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::log::ChainWalk;
use sealwort_proto::message::{DEPOSIT_BYTES_MAX, DEPOSIT_ENTRIES_MAX, FromArchive, Refusal, ToArchive, WireEntry};
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::receipt::{Receipt, Witness};
use sealwort_proto::{DepositId, Digest, TokenId, record, statement};
use sealwort_store::{Append, Appended, NewEntry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Archive;
use crate::authenticate::refusal;
use crate::fetch::no_authority;
use crate::present::epoch_changed;
use crate::relay::{Incoming, Reply, note_token};
use crate::sessions::{Authority, GatewaySession};

/// Memory for all deposits in progress, in KiB.
const DEPOSIT_MEMORY_KIB: usize = 256 * 1024;
/// Seconds that an entry's date may lie away from the archive's clock.
const AUTHORED_SKEW_SECONDS: u64 = 300;

/// What the gateway announced.
pub(crate) struct Announced {
    pub(crate) authority: TokenId,
    pub(crate) deposit: DepositId,
    pub(crate) after: u64,
    pub(crate) head: Digest,
    pub(crate) entries: u32,
}

/// Bounds the memory that deposits in progress take together.
pub(crate) struct DepositMemory(Arc<Semaphore>);

impl Default for DepositMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(DEPOSIT_MEMORY_KIB)))
    }
}

impl DepositMemory {
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).acquire_many_owned(kib).await.ok()
    }
}

impl Archive {
    /// Gathers, checks and appends a deposit.
    pub(crate) async fn deposit(
        &self,
        session: &Arc<GatewaySession>,
        announced: Announced,
        incoming: Incoming,
        entry: &mut Event,
    ) -> Result<Reply, Refusal> {
        let begun = Instant::now();
        let now = self.member.trust().now();
        let authority = session.authority(announced.authority, now).ok_or_else(no_authority)?;
        let token = authority.token.token();
        note_token(entry, token);
        entry.note(Detail::Deposit, announced.deposit);
        entry.note(Detail::Count, announced.entries);
        if token.action != "write" {
            return Err(Refusal::new(
                Fault::Archive,
                "action-wrong",
                "the token is not for writing",
                "ask for a token to write",
            ));
        }
        let (entries, bytes, _memory) = self.gather(announced.entries, incoming).await?;

        let ward = self.ward(token.patient).await?;
        self.decide(&ward, session, token, &authority.tags, now)?;
        if ward.epoch() != token.epoch {
            return Err(epoch_changed());
        }
        let entries = self.check(session, &authority, &ward, &announced, entries, now).await?;
        self.remember_author(session).await?;
        let failed = |e| CustodyError::Store(e).refusal(Fault::Archive);
        let appended = self
            .logs
            .append(Append {
                patient: token.patient,
                deposit: announced.deposit,
                after: Witness { sequence: announced.after, head: announced.head },
                entries,
            })
            .await
            .map_err(failed)?;
        let head = match appended {
            Appended::Stored(head) | Appended::Known(head) => head,
            Appended::Erased => return Err(CustodyError::Erased.refusal(Fault::Archive)),
            Appended::Conflict(head) => {
                return Ok(Reply::One(FromArchive::Conflict { sequence: head.sequence, head: head.head }));
            }
        };
        entry.note(Detail::Size, head.sequence);
        let receipt = Receipt {
            exchange: session.party.exchange().to_owned(),
            archive: session.party.identity.to_string(),
            patient: token.patient,
            sequence: head.sequence,
            head: head.head,
            deposit: Some(announced.deposit),
            issued_at: now.as_secs(),
        };
        let receipt = receipt
            .sign(&session.party.key, &session.party.operations)
            .map_err(|kind| CustodyError::from(kind).refusal(Fault::Archive))?;
        self.report(
            Step::Transmission(7),
            "L → M",
            "sealed entries; receipt of the head",
            session.established.channel.session(),
            bytes,
            begun,
        );
        Ok(Reply::WithReceipt(receipt.clone(), FromArchive::Stored { receipt: receipt.into() }))
    }

    async fn gather(
        &self,
        announced: u32,
        mut incoming: Incoming,
    ) -> Result<(Vec<WireEntry>, usize, Vec<OwnedSemaphorePermit>), Refusal> {
        if announced == 0 || announced > DEPOSIT_ENTRIES_MAX {
            return Err(Refusal::new(
                Fault::Archive,
                "deposit-size",
                format!("a deposit holds 1 to {DEPOSIT_ENTRIES_MAX} entries"),
                "split the Bundle",
            ));
        }
        let (mut entries, mut bytes, mut memory) = (Vec::new(), 0, Vec::new());
        while entries.len() < announced as usize {
            let (_, message) = incoming.next().await.map_err(|error| refusal(&error))?;
            let ToArchive::Entries(more) = message else {
                return Err(Refusal::new(
                    Fault::Archive,
                    "step-wrong",
                    "something else than entries came",
                    "send the entries announced",
                ));
            };
            let size: usize =
                more.iter().map(|e| e.envelope.0.len() + e.ciphertext.as_ref().map_or(0, |c| c.0.len())).sum();
            bytes += size;
            if more.is_empty() || bytes > DEPOSIT_BYTES_MAX {
                return Err(Refusal::new(
                    Fault::Archive,
                    "deposit-size",
                    format!("a deposit holds at most {DEPOSIT_BYTES_MAX} bytes"),
                    "split the Bundle",
                ));
            }
            memory.extend(self.memory.take(size).await);
            entries.extend(more);
        }
        if entries.len() != announced as usize {
            return Err(Refusal::new(
                Fault::Archive,
                "deposit-size",
                "more entries came than were announced",
                "announce the right number",
            ));
        }
        Ok((entries, bytes, memory))
    }

    /// Checks every entry away from the threads that serve connections: each costs a signature check.
    async fn check(
        &self,
        session: &Arc<GatewaySession>,
        authority: &Arc<Authority>,
        ward: &Ward,
        announced: &Announced,
        entries: Vec<WireEntry>,
        now: UnixTime,
    ) -> Result<Vec<NewEntry>, Refusal> {
        let (session, authority) = (Arc::clone(session), Arc::clone(authority));
        let from = Witness { sequence: announced.after, head: announced.head };
        let (epoch, deposit) = (ward.epoch(), announced.deposit);
        let checked = sealwort_net::transport::away(move || {
            check_entries(&session, &authority, epoch, deposit, from, entries, now)
        });
        match checked.await {
            Ok(outcome) => {
                outcome.map_err(|kind| refusal(&ProtocolError::new(Step::Transmission(7), Fault::Gateway, kind)))
            }
            Err(_) => {
                Err(Refusal::new(Fault::Archive, "unavailable", "the archive is stopping", "try again in a moment"))
            }
        }
    }

    async fn remember_author(&self, session: &GatewaySession) -> Result<(), Refusal> {
        let key = statement::key_id(session.established.gateway.public_key());
        let failed = |e| CustodyError::Store(e).refusal(Fault::Archive);
        if self.logs.author(key).await.map_err(failed)?.is_none() {
            let chain = to_bytes(&chain_to_wire(&session.established.gateway_chain));
            self.logs.put_author(key, chain).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn check_entries(
    session: &GatewaySession,
    authority: &Authority,
    epoch: u64,
    deposit: DepositId,
    from: Witness,
    entries: Vec<WireEntry>,
    now: UnixTime,
) -> Result<Vec<NewEntry>, ErrorKind> {
    let gateway = &session.established.gateway;
    let operations = &session.party.operations;
    let patient = authority.token.token().patient;
    let identity = gateway.identity().to_string();
    let author_key = statement::key_id(gateway.public_key());
    let mut walk = ChainWalk::new(session.party.exchange(), patient, from, from)?;
    entries
        .into_iter()
        .map(|wire| {
            let entry = record::parse(wire.envelope.as_ref())?.verify(gateway.public_key(), operations)?;
            let header = entry.header();
            if header.author != identity {
                return Err(ErrorKind::WrongParty { expected: identity.clone(), found: header.author.clone() });
            }
            if header.epoch != epoch || authority.tags.binary_search(&header.tag).is_err() {
                return Err(ErrorKind::Token("it does not allow this label or epoch"));
            }
            if header.deposit != deposit {
                return Err(ErrorKind::Chain("an entry belongs to another deposit than the announced one"));
            }
            let seconds = header.authored_at.abs_diff(now.as_secs());
            if seconds > AUTHORED_SKEW_SECONDS {
                return Err(ErrorKind::Clock { seconds, limit: AUTHORED_SKEW_SECONDS });
            }
            walk.step(&entry)?;
            let ciphertext = wire.ciphertext.ok_or(ErrorKind::Record("an entry came without its ciphertext"))?.0;
            entry.check_ciphertext(&ciphertext)?;
            Ok(NewEntry {
                sequence: header.sequence,
                hash: entry.hash(),
                tag: header.tag,
                author_key,
                envelope: wire.envelope.0,
                ciphertext,
            })
        })
        .collect()
}
