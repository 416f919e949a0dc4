//! The broker's leg of the L–M channel: frames pass unread and unstored in both directions. Only a receipt is
//! addressed to the broker itself; it becomes the witness of the log's head, on disk before the gateway hears
//! that its deposit was stored.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{Method, header};
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_net::client::ResponseBody;
use sealwort_net::exchange::{FRAMES, RELAY_PATH, accepted, refuse};
use sealwort_net::observe::{self, Scope};
use sealwort_net::tls::HopPeer;
use sealwort_proto::SessionId;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::frame::{FrameDecoder, Receiver};
use sealwort_proto::message::Refusal;
use sealwort_proto::receipt;
use sealwort_store::Advance;

use crate::link::archive_failed;
use crate::sessions::GatewaySession;
use crate::{Broker, refusal};

/// Time that the archive has for the first byte of its answer: a large deposit is checked and stored in it.
const ANSWER_PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// Frames in, frames out.
pub(crate) async fn relay(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
    body: Body,
) -> Response {
    let found = session.parse::<SessionId>().ok().and_then(|id| broker.session(id, peer.connection()));
    let Some(session) = found else {
        let error = ProtocolError::new(Step::Channel, Fault::Gateway, ErrorKind::UnknownSession);
        return refuse(&Refusal::of(Fault::Broker, &error));
    };
    if let Err(error) = broker.journal.check() {
        return refuse(&error.refusal(Fault::Broker));
    }
    let path = format!("{RELAY_PATH}/{}", session.established.channel.session());
    let answered = session.archive.connection.request(Method::POST, &path, body, ANSWER_PATIENCE).await;
    let answered = match answered {
        Ok(response) => accepted(response).await,
        Err(error) => Err(error.into()),
    };
    match answered {
        Ok(response) => {
            let relayed = Relayed {
                broker,
                session,
                body: response.body,
                frames: FrameDecoder::default(),
                ready: VecDeque::new(),
            };
            // What is witnessed on the way belongs to this request.
            let scope = Scope::here();
            let stream = futures::stream::unfold((relayed, scope), |(mut relayed, scope)| async move {
                let chunk = scope.run(relayed.next()).await?;
                Some((chunk, (relayed, scope)))
            });
            ([(header::CONTENT_TYPE, FRAMES)], Body::from_stream(stream)).into_response()
        }
        Err(error) => refuse(&refusal(&archive_failed(Step::Channel, error))),
    }
}

/// The archive's answer on its way to the gateway.
struct Relayed {
    broker: Arc<Broker>,
    session: Arc<GatewaySession>,
    body: ResponseBody,
    frames: FrameDecoder,
    ready: VecDeque<Bytes>,
}

impl Relayed {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            match self.body.next_chunk().await? {
                Ok(chunk) => self.frames.push(&chunk),
                Err(error) => return Some(Err(std::io::Error::other(error.to_string()))),
            }
            loop {
                match self.frames.next() {
                    Ok(Some(frame)) if frame.receiver == Receiver::Broker => {
                        if let Err(refusal) = self.broker.witness(&self.session, &frame.message).await {
                            // The answer has begun, so this is in no status.
                            observe::refused(&refusal.code);
                            self.broker.observed.refused(self.broker.member.trust().now());
                            return Some(Err(std::io::Error::other(refusal.reason)));
                        }
                    }
                    Ok(Some(frame)) => self.ready.push_back(Bytes::from(frame.to_bytes())),
                    Ok(None) => break,
                    Err(error) => return Some(Err(std::io::Error::other(error.to_string()))),
                }
            }
        }
    }
}

impl Broker {
    /// Takes an archive's receipt as the witness of a log's head: from the archive's frame as soon as the entries are
    /// stored, and from every gateway that was shown the receipt, so that the archive cannot leave it out.
    pub(crate) async fn witness(&self, session: &GatewaySession, bytes: &[u8]) -> Result<(), Refusal> {
        let mut entry = self.entry(EventKind::ReceiptWitnessed, session);
        let outcome = self.take_receipt(session, bytes, &mut entry).await;
        match &outcome {
            Ok(Advance::Known) => return Ok(()),
            Ok(_) => {}
            Err(refusal) => entry.outcome = Outcome::Refused(refusal.code.as_str().into()),
        }
        self.journal.append(entry).await.map_err(|error| error.refusal(Fault::Broker))?;
        outcome.map(|_| ())
    }

    async fn take_receipt(
        &self,
        session: &GatewaySession,
        bytes: &[u8],
        entry: &mut Event,
    ) -> Result<Advance, Refusal> {
        let archive = &session.established.archive;
        let step = Step::Transmission(7);
        let verified = receipt::verify(
            bytes,
            session.party.exchange(),
            &archive.identity().to_string(),
            archive.public_key(),
            &session.party.operations,
        )
        .map_err(|kind| refusal(&ProtocolError::new(step, Fault::Archive, kind)))?;
        let patient = verified.receipt().patient;
        entry.patient = Some(patient);
        entry.note(Detail::Size, verified.receipt().sequence);
        let advance =
            self.witnesses.advance(patient, verified.witness()).await.map_err(|e| crate::channel::told(e.into()))?;
        match advance {
            Advance::Moved => {
                self.notices.head_moved(patient);
                Ok(Advance::Moved)
            }
            Advance::Known => Ok(Advance::Known),
            Advance::Fork(known) => {
                tracing::error!(sequence = known.sequence, "the archive gave receipts for two different logs");
                let kind = ErrorKind::Rollback("the archive gave receipts for two different logs");
                Err(refusal(&ProtocolError::new(step, Fault::Archive, kind)))
            }
        }
    }
}
