//! What came in and was refused: kept sealed, with the reason, until somebody replays or discards it.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::sha256;
use serde::Serialize;

use crate::Gateway;
use crate::error::GatewayError;
use crate::outbox::RefusedItem;
use crate::user::Asking;

/// Most that is kept.
const REFUSED_MAX: u64 = 2_000;
/// Largest one kept, in bytes.
const REFUSED_BYTES_MAX: usize = 20 * 1024 * 1024;

/// From where something came.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Source {
    /// An HL7 v2 message.
    #[n(0)]
    Mllp,
    /// A device's payload.
    #[n(1)]
    Device(#[n(0)] String),
    /// A transaction that had been taken while the exchange was away, and could not be stored when it was back.
    #[n(2)]
    Transaction,
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Mllp => "mllp",
            Self::Device(id) => id,
            Self::Transaction => "transaction",
        }
    }
}

/// What was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Refused {
    #[n(0)]
    pub(crate) source: Source,
    /// As it was received.
    #[n(1)]
    pub(crate) received: Blob,
    /// Why, for people.
    #[n(2)]
    pub(crate) reason: String,
    /// When, Unix time.
    #[n(3)]
    pub(crate) at: u64,
}

/// The same as it is listed: without its content.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RefusedShown {
    /// For replaying and discarding.
    pub(crate) id: String,
    /// `mllp`, `transaction`, `outbox`, or the device's id.
    pub(crate) source: String,
    pub(crate) reason: String,
    pub(crate) bytes: usize,
    /// Unix time.
    pub(crate) at: u64,
}

impl Gateway {
    /// Keeps what was refused. Whether there was room: a sender learns the reason either way.
    pub(crate) async fn keep_refused(
        &self,
        source: Source,
        received: &[u8],
        reason: String,
    ) -> Result<bool, GatewayError> {
        if self.roster.refused_count().await? >= REFUSED_MAX {
            tracing::error!(most = REFUSED_MAX, "too much was refused and is kept; this one is not: discard some");
            return Ok(false);
        }
        // The same again replaces what it was.
        let number = [source.name().as_bytes(), &sha256(received)].concat();
        let refused = Refused { source, received: Blob(received.to_vec()), reason, at: self.sessions.now().as_secs() };
        self.roster.put_refused(&number, &to_bytes(&refused)).await?;
        Ok(true)
    }

    /// All that was refused and is kept, and the writes of the outbox that were.
    pub(crate) async fn list_refused(&self) -> Result<Vec<RefusedShown>, GatewayError> {
        let mut shown: Vec<_> = self
            .roster
            .refused()
            .await?
            .into_iter()
            .filter_map(|(id, plain)| {
                let refused: Refused = from_bytes(&plain, REFUSED_BYTES_MAX).ok()?;
                Some(RefusedShown {
                    id,
                    source: refused.source.name().to_owned(),
                    reason: refused.reason,
                    bytes: refused.received.0.len(),
                    at: refused.at,
                })
            })
            .collect();
        let waiting = self.outbox.refused().into_iter();
        shown.extend(waiting.map(|(id, RefusedItem { reason, bytes, at })| RefusedShown {
            id: id.to_string(),
            source: "outbox".to_owned(),
            reason,
            bytes,
            at,
        }));
        shown.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(shown)
    }

    /// Tries again; what succeeds is kept no longer.
    pub(crate) async fn replay_refused(self: &Arc<Self>, id: &str) -> Result<(), GatewayError> {
        if self.resend(id).await? {
            return Ok(());
        }
        let plain = self.roster.one_refused(id).await?.ok_or_else(unknown)?;
        let refused: Refused =
            from_bytes(&plain, REFUSED_BYTES_MAX).map_err(|_| GatewayError::Kept("what was refused cannot be read"))?;
        match &refused.source {
            Source::Mllp => self.replay_message(refused.received.as_ref()).await?,
            Source::Device(device) => self.take_measurements(device, refused.received.as_ref()).await?,
            Source::Transaction => {
                let asking = Asking::itself("replay".to_owned(), "system".to_owned(), "TREAT".to_owned());
                self.take_in(refused.received.0.clone().into(), &asking).await?;
            }
        }
        self.roster.remove_refused(id).await
    }

    /// Keeps it no longer.
    pub(crate) async fn discard_refused(&self, id: &str) -> Result<(), GatewayError> {
        if self.give_up(id).await? {
            return Ok(());
        }
        self.roster.one_refused(id).await?.ok_or_else(unknown)?;
        self.roster.remove_refused(id).await
    }
}

fn unknown() -> GatewayError {
    GatewayError::request(
        404,
        sealwort_fhir::IssueCode::NotFound,
        "refused-unknown",
        "nothing that was refused has this id",
        "GET /feeds/refused lists what is kept",
    )
}
