//! HL7 v2 over MLLP: messages in, one at a time on a connection, each answered by an acknowledgement when it is durable
//! (AA), or with what is wrong with it (AE, AR), even where it could not be read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealwort_audit::{Detail, EventKind};
use sealwort_hl7v2::mllp::{Decoder, Event, encode};
use sealwort_hl7v2::{ControlId, Identities, Message, Outcome, Refused, Settings, acknowledge, batch, map};
use sealwort_net::Shutdown;
use sealwort_net::observe;
use sealwort_net::transport::{Listener, Socket};
use sealwort_proto::crypto::random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::Taken;
use super::refused::Source;
use crate::Gateway;
use crate::config::MllpConfig;
use crate::error::GatewayError;
use crate::face::reply::date;
use crate::merge;
use crate::user::Asking;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Silence after which a frame counts as ended that lacks its last byte alone.
const PAUSE: Duration = Duration::from_millis(500);
/// Pauses within one frame before the connection is given up.
const PAUSES_MAX: u32 = 60;
/// Longest that an answer may take to be taken by the peer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `shutdown`.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: Listener, config: MllpConfig, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(config.connections_max.max(1)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection for HL7 v2 could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%from, most = config.connections_max, "too many connections for HL7 v2; this one is closed");
            continue;
        };
        let (gateway, shutdown, idle) = (Arc::clone(&gateway), shutdown.clone(), config.idle_timeout.0);
        let limit = usize::try_from(config.message_bytes_max.0).unwrap_or(usize::MAX);
        tokio::spawn(observe::follow(async move {
            let connection = Connection { gateway, paused: 0, decoder: Decoder::with_limit(limit), from };
            Box::pin(connection.run(socket, idle, shutdown)).await;
            drop(place);
        }));
    }
    // Connections end by themselves: each answers the message in its hands and goes.
    let _ = tokio::time::timeout(
        WRITE_TIMEOUT,
        places.acquire_many(u32::try_from(config.connections_max.max(1)).unwrap_or(1)),
    )
    .await;
}

/// How messages are read, by the configuration.
pub(crate) fn settings(config: &MllpConfig, offset: time::UtcOffset) -> Settings {
    let authorities = config.systems.iter().map(|(name, system)| (name.clone(), system.clone())).collect();
    Settings { authorities, local_offset: offset, ..Settings::default() }
}

/// An offset from UTC, `+HH:MM`.
pub(crate) fn offset(text: &str) -> Option<time::UtcOffset> {
    time::UtcOffset::parse(text, time::macros::format_description!("[offset_hour sign:mandatory]:[offset_minute]")).ok()
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

struct Connection {
    gateway: Arc<Gateway>,
    /// Pauses since the last frame.
    paused: u32,
    decoder: Decoder,
    from: SocketAddr,
}

impl Connection {
    async fn run(mut self, mut socket: Socket, idle: Duration, shutdown: Shutdown) {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let patience = if self.decoder.pending() > 0 { PAUSE.min(idle) } else { idle };
            let read = tokio::select! {
                read = tokio::time::timeout(patience, socket.read(&mut buffer)) => read,
                () = shutdown.wait() => return,
            };
            let (events, open) = match read {
                Ok(Ok(count @ 1..)) => (self.decoder.feed(buffer.get(..count).unwrap_or_default()), Open::Yes),
                // A pause within a frame: one that lacks nothing but its last CR is whole.
                Err(_) if self.decoder.pending() > 0 && self.paused < PAUSES_MAX => {
                    self.paused += 1;
                    (self.decoder.idle().into_iter().collect(), Open::Yes)
                }
                Ok(_) | Err(_) => (self.decoder.idle().into_iter().collect(), Open::No),
            };
            for event in events {
                self.paused = 0;
                let (answers, after) = self.take(event).await;
                for answer in answers {
                    if send(&mut socket, answer).await.is_err() {
                        return;
                    }
                }
                if after == Open::No {
                    return;
                }
            }
            if open == Open::No {
                return;
            }
        }
    }

    /// The answers to what came, and whether to go on.
    async fn take(&self, event: Event) -> (Vec<Option<Vec<u8>>>, Open) {
        match event {
            Event::Frame(frame) => (self.answer(&frame).await, Open::Yes),
            Event::Junk { bytes, .. } => {
                tracing::warn!(from = %self.from, bytes, "bytes outside MLLP frames were skipped");
                (Vec::new(), Open::Yes)
            }
            Event::Broken { bytes } => {
                tracing::warn!(from = %self.from, bytes, "a frame that was not ended was skipped");
                let told = Outcome::Unreadable("the frame before this was not ended");
                (vec![self.acknowledgement(&[], &told)], Open::Yes)
            }
            Event::Refused(error) => {
                tracing::warn!(from = %self.from, %error, "a connection for HL7 v2 is closed");
                let text = error.to_string();
                (vec![self.acknowledgement(&[], &Outcome::Unreadable(&text))], Open::No)
            }
        }
    }

    /// The acknowledgements of a frame: one for each message in it.
    async fn answer(&self, frame: &[u8]) -> Vec<Option<Vec<u8>>> {
        let messages = match batch::split(frame) {
            Ok(messages) if !messages.is_empty() => messages,
            Ok(_) => vec![frame],
            Err(error) => {
                let text = error.to_string();
                self.gateway.note_refused(frame, text.clone()).await;
                return vec![self.acknowledgement(frame, &Outcome::Unreadable(&text))];
            }
        };
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            let outcome = self.gateway.take_message(message).await;
            answers.push(match &outcome {
                Ok(()) => self.acknowledgement(message, &Outcome::Stored),
                Err(Failed::Refused(refused)) => self.acknowledgement(message, &Outcome::Refused(refused)),
                Err(Failed::Invalid(reason)) => self.acknowledgement(message, &Outcome::Unreadable(reason)),
                Err(Failed::Ours) => self.acknowledgement(message, &Outcome::NotStored),
            });
        }
        answers
    }

    fn acknowledgement(&self, received: &[u8], outcome: &Outcome<'_>) -> Option<Vec<u8>> {
        let control_id = ControlId::new(&hex::encode(random::<10>()))?;
        let now = date(self.gateway.sessions.now())?;
        acknowledge(received, outcome, now, &control_id)
    }
}

/// Why a message was not taken in.
pub(crate) enum Failed {
    /// The message is at fault.
    Refused(Refused),
    /// What it becomes is at fault, or may not be written.
    Invalid(String),
    /// Nothing is wrong with it; it could not be made durable.
    Ours,
}

impl Gateway {
    /// Takes a message in. On return it is durable, or kept as refused.
    async fn take_message(self: &Arc<Self>, message: &[u8]) -> Result<(), Failed> {
        match self.store_message(message).await {
            Ok(()) => Ok(()),
            Err(failed) => {
                let reason = match &failed {
                    Failed::Refused(refused) => refused.to_string(),
                    Failed::Invalid(reason) => reason.clone(),
                    Failed::Ours => return Err(failed),
                };
                self.note_refused(message, reason).await;
                Err(failed)
            }
        }
    }

    async fn store_message(self: &Arc<Self>, message: &[u8]) -> Result<(), Failed> {
        let (received, gateway) = (message.to_vec(), Arc::clone(self));
        let mapping = crate::face::apart(message.len(), move || {
            let read = Message::read(&received).map_err(Refused::from);
            Ok(read.and_then(|read| map(&read, &gateway.message_settings)))
        });
        let mapped = mapping.await.map_err(|_| Failed::Ours)?.map_err(Failed::Refused)?;
        if !mapped.unmapped.is_empty() {
            tracing::info!(message_type = %mapped.message_type, left_out = mapped.unmapped.len(), "parts of a message have no place in FHIR");
        }
        let asking = Asking::itself("hl7v2".to_owned(), "system".to_owned(), "TREAT".to_owned());
        let taken = match mapped.entries {
            0 => Ok(Taken::Stored),
            _ => self.take_in(mapped.bundle.into(), &asking).await,
        };
        let outcome = match (taken, &mapped.identities) {
            (Ok(Taken::Stored), Some(identities)) => self.identities_changed(identities, &asking).await,
            // It can only be judged with the exchange: the sender sends it again.
            (Ok(Taken::Waiting), Some(_)) => return Err(Failed::Ours),
            (taken, _) => taken.map(drop),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) if error.status() >= 500 => {
                tracing::error!(%error, "a message could not be made durable");
                Err(Failed::Ours)
            }
            Err(error) => Err(Failed::Invalid(told(&error))),
        }
    }

    /// Merges or parts two identities, with the entry about it.
    async fn identities_changed(&self, identities: &Identities, asking: &Asking) -> Result<(), GatewayError> {
        self.journal.check()?;
        let (kind, outcome) = match identities {
            Identities::Merged { prior, surviving } => {
                let both = merge::Identities { source: prior.clone(), target: surviving.clone(), result: None };
                (EventKind::PatientMerged, self.merge(&both, merge::Doing::Really, asking).await)
            }
            Identities::Parted { first, second } => {
                let parted = match self.unmerge(first, Some(second), merge::Doing::Really, asking).await {
                    Err(error) if error.code() == "patient-not-merged" => {
                        self.unmerge(second, Some(first), merge::Doing::Really, asking).await
                    }
                    outcome => outcome,
                };
                (EventKind::PatientUnmerged, parted)
            }
        };
        let entry = self.entry(kind, asking).detail(Detail::Method, "feed");
        self.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await?;
        outcome.map(drop)
    }

    /// A message that was refused, once more.
    pub(crate) async fn replay_message(self: &Arc<Self>, message: &[u8]) -> Result<(), GatewayError> {
        self.store_message(message).await.map_err(|failed| {
            let reason = match failed {
                Failed::Refused(refused) => refused.to_string(),
                Failed::Invalid(reason) => reason,
                Failed::Ours => "it could not be stored; the log names the cause".to_owned(),
            };
            let code = sealwort_fhir::IssueCode::Processing;
            GatewayError::request(422, code, "message-refused", reason, "mend what it names, or discard it")
        })
    }

    async fn note_refused(&self, message: &[u8], reason: String) {
        if let Err(error) = self.keep_refused(Source::Mllp, message, reason).await {
            tracing::error!(%error, "a message that was refused could not be kept");
        }
    }
}

/// What the sender is told: the first fault and its place.
fn told(error: &GatewayError) -> String {
    let outcome = error.outcome();
    let first = outcome.issues().next();
    first.map_or_else(|| error.to_string(), ToString::to_string)
}

async fn send(socket: &mut Socket, answer: Option<Vec<u8>>) -> Result<(), ()> {
    let Some(answer) = answer else { return Ok(()) };
    let framed = encode(&answer).map_err(drop)?;
    match tokio::time::timeout(WRITE_TIMEOUT, socket.write_all(&framed)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}
