//! Cosigning another party's checkpoint (C2SP tlog-witness): it must be that party's, and continue the one that was
//! cosigned before. It is remembered on disk before the cosignature is given.

use sealwort_audit::{AddCheckpoint, Checkpoint, Detail, EventKind, Note, Refused, SignatureKind, judge};
use sealwort_pki::{CertificateChain, Expected, KeyUse, UnixTime, VerifiedParty};
use sealwort_store::KeptCheckpoint;
use tokio::sync::oneshot;

use crate::doubts::{Doubt, Reach};
use crate::error::JournalError;
use crate::writer::checkpoint_of;
use crate::{Journal, chain_bytes, read_chain};

/// Times that another request about the same log may get in between.
const ATTEMPTS_MAX: usize = 5;

/// Why a checkpoint was not cosigned, or a cosignature not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    /// The checkpoint is not one to be cosigned.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The party's certificate is not believed, or names another party.
    #[error("the certificate of the log's party is not to be believed: {0}")]
    Certificate(String),
    /// The own log.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl CosignError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Certificate(_) => "certificate-refused",
            Self::Journal(error) => error.code(),
        }
    }

    /// The HTTP status (C2SP tlog-witness).
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.status(),
            Self::Certificate(_) => 403,
            Self::Journal(_) => 503,
        }
    }
}

impl Journal {
    /// Cosigns a party's checkpoint; gives the signature line.
    pub async fn cosign(&self, request: &AddCheckpoint, chain: &CertificateChain) -> Result<String, CosignError> {
        self.cosign_as(request, chain, Reach::Caller).await
    }

    pub(crate) async fn cosign_as(
        &self,
        request: &AddCheckpoint,
        chain: &CertificateChain,
        reach: Reach,
    ) -> Result<String, CosignError> {
        let party = self.believed(chain)?;
        let origin = party.identity().to_string();
        let claimed: Checkpoint = request.note.text().parse().map_err(|_| Refused::Malformed)?;
        if claimed.origin != *party.identity() {
            return Err(CosignError::Certificate(format!("it names {origin}, the log is that of {}", claimed.origin)));
        }
        for _ in 0..ATTEMPTS_MAX {
            let kept = self.0.store.newest_remembered(&origin).await.map_err(JournalError::from)?;
            let known = kept.as_ref().and_then(|kept| checkpoint_of(&kept.note)).map(|known| (known.size, known.root));
            let signed = match judge(request, known, party.public_key()) {
                Ok(judged) => judged.signed,
                Err(refused) => {
                    if let (Refused::Rewritten { .. }, Some(kept)) = (&refused, kept) {
                        let shown = request.note.to_string();
                        let reason = refused.to_string();
                        self.doubt(Doubt { origin, reason, remembered: kept.note, shown }, reach).await;
                    }
                    return Err(refused.into());
                }
            };
            self.keep_chain(chain).await?;
            let size = signed.checkpoint().size;
            let checkpoint = KeptCheckpoint { size, note: request.note.to_string() };
            let after = known.map_or(0, |(size, _)| size);
            let remembered = self.0.store.remember_checkpoint(&origin, after, checkpoint).await;
            if remembered.map_err(JournalError::from)? {
                self.0.doubts.settled(&origin, reach);
                let speaker = self.0.voice.speaker();
                let line = request.note.cosign(&speaker.identity, &speaker.key, self.now());
                return line.map_err(|error| CosignError::Refused(error.into()));
            }
        }
        Err(Refused::Size(0).into())
    }

    /// Takes another party's cosignature of an own checkpoint, which must be one of this log.
    pub(crate) async fn take_cosignature(&self, note: &Note, chain: &CertificateChain) -> Result<(), CosignError> {
        let party = self.believed(chain)?;
        let name = party.identity().to_string();
        note.verify(SignatureKind::Cosignature, &name, party.public_key()).map_err(Refused::from)?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|_| Refused::Malformed)?;
        let speaker = self.0.voice.speaker();
        let size = self.0.store.audit_size().await.map_err(JournalError::from)?;
        if checkpoint.origin != speaker.identity || checkpoint.size > size {
            return Err(Refused::Malformed.into());
        }
        let root = self.answer(sealwort_audit::Question::Root { size: checkpoint.size }).await?;
        if root != [checkpoint.root] {
            return Err(Refused::Malformed.into());
        }
        self.keep_chain(chain).await?;
        let (sender, refused) = oneshot::channel();
        let (note, size) = (note.clone(), checkpoint.size);
        let merge = move |kept: Option<&KeptCheckpoint>| match merged(kept, note) {
            Ok(note) => note.map(|note| KeptCheckpoint { size, note: note.to_string() }),
            Err(error) => {
                let _ = sender.send(error);
                None
            }
        };
        self.0.store.put_cosigned(size, Box::new(merge)).await.map_err(JournalError::from)?;
        refused.await.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Another party's log is not what it was: it is logged, shown and kept.
    async fn doubt(&self, doubt: Doubt, reach: Reach) {
        let event = self.event(EventKind::CheckpointCosigned).refused("log-rewritten");
        let event = event.peer(&doubt.origin).detail(Detail::Origin, &doubt.origin);
        let event = event.detail(Detail::Reason, &doubt.reason);
        let origin = doubt.origin.clone();
        let reason = doubt.reason.clone();
        if self.0.doubts.add(doubt, reach) {
            tracing::error!(%origin, %reason, "a log of another party was rewritten; both checkpoints are kept");
            if let Err(error) = self.append(event).await {
                tracing::error!(%error, "the entry about it could not be kept");
            }
        }
    }

    pub(crate) fn believed(&self, chain: &CertificateChain) -> Result<VerifiedParty, CosignError> {
        let trust = self.0.voice.trust();
        let party = trust.verify(chain, &Expected::anybody(KeyUse::Statement), self.now());
        party.map_err(|error| CosignError::Certificate(error.to_string()))
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.voice.now_millis() / 1000)
    }

    /// The own certificates, as the header of a message carries them.
    pub(crate) fn certificates(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(chain_bytes(&self.0.voice.speaker().chain))
    }
}

/// Of cosignatures over the same text one note is made. Another text of the same size says nothing more.
fn merged(kept: Option<&KeptCheckpoint>, mut note: Note) -> Result<Option<Note>, Refused> {
    let Some(kept) = kept else { return Ok(Some(note)) };
    if kept.note.parse::<Note>()?.text() != note.text() {
        return Ok(None);
    }
    note.add(kept.note.rsplit_once("\n\n").map_or("", |(_, lines)| lines))?;
    Ok(Some(note))
}

/// The certificates in a header.
pub(crate) fn certificates_of(headers: &http::HeaderMap) -> Option<CertificateChain> {
    use base64::Engine as _;
    let text = headers.get(crate::routes::CERTIFICATES)?.to_str().ok()?;
    read_chain(&base64::engine::general_purpose::STANDARD.decode(text).ok()?)
}
