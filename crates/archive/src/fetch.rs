//! Step 7, reading: a patient's entries after a sequence number, in order, streamed page by page, and the
//! archive's signed receipt of the head at the end. Entries under labels that were not granted come without
//! their ciphertext, so that the chain can be checked and the reader knows that something is withheld.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::Stream;
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_net::observe::{self, Scope};
use sealwort_proto::codec::{Blob, from_bytes};
use sealwort_proto::error::{Fault, Step};
use sealwort_proto::log::empty;
use sealwort_proto::message::{
    ENTRIES_BYTES_AIM, ENTRIES_PER_MESSAGE_MAX, FromArchive, HANDSHAKE_BYTES_MAX, Refusal, WireEntry,
};
use sealwort_proto::receipt::{Receipt, Witness};
use sealwort_proto::{Digest, TokenId};

use crate::Archive;
use crate::authenticate::refusal;
use crate::relay::{Chunk, Reply, note_token};
use crate::sessions::{Authority, GatewaySession};

/// A reading in progress.
pub(crate) struct Reading {
    authority: Arc<Authority>,
    /// The head when the reading began; later entries wait for the next reading.
    head: Witness,
    after: u64,
    sent_authors: HashSet<Digest>,
    directive_version: u64,
    done: bool,
    bytes: usize,
    begun: Instant,
}

impl Archive {
    /// Checks the authority and begins a reading.
    pub(crate) async fn fetch(
        &self,
        session: &Arc<GatewaySession>,
        authority: TokenId,
        after: u64,
        entry: &mut Event,
    ) -> Result<Reply, Refusal> {
        let now = self.member.trust().now();
        let authority = session.authority(authority, now).ok_or_else(no_authority)?;
        let token = authority.token.token();
        note_token(entry, token);
        let ward = self.ward(token.patient).await?;
        self.decide(&ward, session, token, &authority.tags, now)?;
        let head = self
            .logs
            .head(token.patient)
            .await
            .map_err(|e| sealwort_custody::CustodyError::from(e).refusal(Fault::Archive))?
            .unwrap_or_else(|| empty(token.patient));
        // The last entry that is handed out, and how many up to it.
        entry.note(Detail::Size, head.sequence);
        entry.note(Detail::Count, head.sequence.saturating_sub(after));
        Ok(Reply::Stream(Box::new(Reading {
            authority,
            head,
            after,
            sent_authors: HashSet::new(),
            directive_version: ward.version(),
            done: false,
            bytes: 0,
            begun: Instant::now(),
        })))
    }

    async fn page(&self, session: &GatewaySession, reading: &mut Reading) -> Result<FromArchive, Refusal> {
        let token = reading.authority.token.token();
        let failed = |e: sealwort_store::StoreError| sealwort_custody::CustodyError::from(e).refusal(Fault::Archive);
        self.still_believes(session).map_err(|error| refusal(&error))?;
        // Consent may be withdrawn while entries flow: the newest directive decides on every page.
        let ward = self.ward(token.patient).await?;
        if ward.version() != reading.directive_version {
            self.decide(&ward, session, token, &reading.authority.tags, self.member.trust().now())?;
            reading.directive_version = ward.version();
        }
        if reading.after >= reading.head.sequence {
            reading.done = true;
            return Ok(FromArchive::End { receipt: self.receipt(session, reading)?.into() });
        }
        let left = usize::try_from(reading.head.sequence - reading.after).unwrap_or(usize::MAX);
        let stored = self
            .logs
            .read(token.patient, reading.after, left.min(ENTRIES_PER_MESSAGE_MAX), ENTRIES_BYTES_AIM)
            .await
            .map_err(failed)?;
        let last = stored.last().ok_or_else(|| {
            Refusal::new(
                Fault::Archive,
                "storage-failed",
                "entries are missing from the store",
                "the operator's log names the cause",
            )
        })?;
        reading.after = last.sequence;
        let mut authors = Vec::new();
        let mut entries = Vec::with_capacity(stored.len());
        let opens = token.action != "write";
        for entry in stored {
            if reading.sent_authors.insert(entry.author_key)
                && let Some(chain) = self.logs.author(entry.author_key).await.map_err(failed)?
            {
                authors.push(from_bytes::<Vec<Blob>>(&chain, HANDSHAKE_BYTES_MAX).unwrap_or_default());
            }
            let granted = opens && reading.authority.tags.binary_search(&entry.tag).is_ok();
            entries.push(WireEntry {
                envelope: Blob(entry.envelope),
                ciphertext: granted.then_some(Blob(entry.ciphertext)),
            });
        }
        Ok(FromArchive::Entries { entries, authors })
    }

    fn receipt(&self, session: &GatewaySession, reading: &Reading) -> Result<Vec<u8>, Refusal> {
        let receipt = Receipt {
            exchange: session.party.exchange().to_owned(),
            archive: session.party.identity.to_string(),
            patient: reading.authority.token.token().patient,
            sequence: reading.head.sequence,
            head: reading.head.head,
            deposit: None,
            issued_at: self.member.trust().now().as_secs(),
        };
        receipt
            .sign(&session.party.key, &session.party.operations)
            .map_err(|kind| sealwort_custody::CustodyError::from(kind).refusal(Fault::Archive))
    }
}

/// The pages of a reading, sealed for the gateway. A failure is told inside the channel and ends the stream.
pub(crate) fn stream(
    archive: Arc<Archive>,
    session: Arc<GatewaySession>,
    number: u64,
    reading: Reading,
) -> impl Stream<Item = Chunk> {
    // The stream is read after its request was answered, and belongs to it all the same.
    let scope = Scope::here();
    futures::stream::unfold(Some((archive, session, reading)), move |state| {
        let scope = scope.clone();
        async move { scope.run(next_page(state?, number)).await }
    })
}

type Page = Option<(Chunk, Option<(Arc<Archive>, Arc<GatewaySession>, Reading)>)>;

async fn next_page((archive, session, mut reading): (Arc<Archive>, Arc<GatewaySession>, Reading), number: u64) -> Page {
    let message = archive.page(&session, &mut reading).await.unwrap_or_else(|refusal| {
        observe::refused(&refusal.code);
        tracing::warn!(code = refusal.code, "a reading was ended: {}", refusal.reason);
        reading.done = true;
        // The entry about the whole reading stands; this one says where it ended.
        let mut entry = archive.entry(EventKind::EntriesFetched, &session).refused(&refusal.code);
        note_token(&mut entry, reading.authority.token.token());
        archive.journal.note(entry.detail(Detail::Size, reading.after));
        FromArchive::Refused(refusal)
    });
    let frame = match archive.seal(&session, number, &message) {
        Ok(frame) => Bytes::from(frame.to_bytes()),
        Err(error) => return Some((Err(std::io::Error::other(error.to_string())), None)),
    };
    reading.bytes += frame.len();
    if !reading.done {
        return Some((Ok(frame), Some((archive, session, reading))));
    }
    archive.report(
        Step::Transmission(7),
        "M → L",
        "sealed entries, receipt of the head",
        session.established.channel.session(),
        reading.bytes,
        reading.begun,
    );
    Some((Ok(frame), None))
}

pub(crate) fn no_authority() -> Refusal {
    Refusal::new(
        Fault::Archive,
        "authority-ended",
        "the authority has ended or was never granted",
        "ask for a new token",
    )
}
