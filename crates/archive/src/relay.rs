//! Messages of the L–M channel, which the broker relays unread: opened here, given to the function that they
//! ask for, and answered inside the same channel.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http::header;
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_net::exchange::{FRAMES, refuse};
use sealwort_net::observe;
use sealwort_net::tls::HopPeer;
use sealwort_pki::Role;
use sealwort_proto::SessionId;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::frame::{Frame, FrameDecoder, Receiver};
use sealwort_proto::message::{FromArchive, MESSAGE_BYTES_MAX, Refusal, ToArchive};
use sealwort_proto::token::Token;

use crate::authenticate::refusal;
use crate::sessions::GatewaySession;
use crate::{Archive, fetch};

/// The gateway's messages of one request, as they arrive.
pub(crate) struct Incoming {
    session: Arc<GatewaySession>,
    archive: Arc<Archive>,
    body: axum::body::BodyDataStream,
    frames: FrameDecoder,
}

/// What a request is answered with.
pub(crate) enum Reply {
    /// One message.
    One(FromArchive),
    /// One message for the gateway, and a receipt for the broker before it.
    WithReceipt(Vec<u8>, FromArchive),
    /// A reading.
    Stream(Box<fetch::Reading>),
}

/// Frames in, frames out.
pub(crate) async fn relay(
    State(archive): State<Arc<Archive>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
    body: Body,
) -> Response {
    let found = session.parse::<SessionId>().ok().and_then(|id| archive.sessions.gateway(id, peer.connection()));
    let Some(session) = found else {
        let error = ProtocolError::new(Step::Channel, Fault::Gateway, ErrorKind::UnknownSession);
        return refuse(&Refusal::of(Fault::Archive, &error));
    };
    if let Err(error) = archive.still_believes(&session) {
        return refuse(&refusal(&error));
    }
    let mut incoming = Incoming {
        session: Arc::clone(&session),
        archive: Arc::clone(&archive),
        body: body.into_data_stream(),
        frames: FrameDecoder::default(),
    };
    let (number, request) = match incoming.next().await {
        Ok(first) => first,
        Err(error) => return refuse(&refusal(&error)),
    };
    let reply = archive.answer(&session, request, incoming).await.unwrap_or_else(|refusal| {
        observe::refused(&refusal.code);
        tracing::warn!(code = refusal.code, gateway = %session.established.gateway.identity(), "refused: {}", refusal.reason);
        Reply::One(FromArchive::Refused(refusal))
    });
    let seal = |message: &FromArchive| archive.seal(&session, number, message);
    let body = match reply {
        Reply::One(message) => seal(&message).map(|frame| Body::from(frame.to_bytes())),
        Reply::WithReceipt(receipt, message) => seal(&message).map(|frame| {
            let mut bytes = Frame::broker(receipt).to_bytes();
            bytes.extend_from_slice(&frame.to_bytes());
            Body::from(bytes)
        }),
        Reply::Stream(reading) => Ok(Body::from_stream(fetch::stream(archive, session, number, *reading))),
    };
    match body {
        Ok(body) => ([(header::CONTENT_TYPE, FRAMES)], body).into_response(),
        Err(error) => refuse(&Refusal::of(Fault::Archive, &error)),
    }
}

async fn dispatch(
    archive: &Arc<Archive>,
    session: &Arc<GatewaySession>,
    request: ToArchive,
    incoming: Incoming,
    entry: &mut Event,
) -> Result<Reply, Refusal> {
    match request {
        ToArchive::Register { registration, directive } => {
            archive.register(session, registration.as_ref(), directive.as_ref(), entry).await
        }
        ToArchive::Direct { directive } => archive.direct(session, directive.as_ref(), entry).await,
        ToArchive::Erase { erasure } => archive.erase(erasure.as_ref(), entry).await,
        ToArchive::Log { request, from, size } => archive.log(session, request.as_ref(), (from, size), entry).await,
        ToArchive::Present { sealed, possession } => {
            archive.present(session, sealed.as_ref(), possession.as_ref(), entry).await
        }
        ToArchive::Fetch { authority, after } => archive.fetch(session, authority, after, entry).await,
        ToArchive::Deposit { authority, deposit, after, head, entries } => {
            let announced = crate::deposit::Announced { authority, deposit, after, head, entries };
            archive.deposit(session, announced, incoming, entry).await
        }
        ToArchive::Entries(_) => Err(Refusal::new(
            Fault::Archive,
            "step-wrong",
            "entries came without a deposit",
            "announce the deposit first",
        )),
    }
}

/// What an entry about this message is about.
fn kind_of(request: &ToArchive) -> EventKind {
    match request {
        ToArchive::Register { .. } => EventKind::PatientRegistered,
        ToArchive::Direct { .. } => EventKind::ConsentChanged,
        ToArchive::Erase { .. } => EventKind::PatientErased,
        ToArchive::Log { .. } => EventKind::LogShown,
        ToArchive::Present { .. } => EventKind::AuthorityGiven,
        ToArchive::Fetch { .. } => EventKind::EntriesFetched,
        ToArchive::Deposit { .. } | ToArchive::Entries(_) => EventKind::DepositStored,
    }
}

/// Says in an entry whose access it is: the token names the user as the hospital signed for them.
pub(crate) fn note_token(entry: &mut Event, token: &Token) {
    entry.patient = Some(token.patient);
    entry.user = Some(token.user.as_str().into());
    entry.role = Some(token.user_role.as_str().into());
    entry.purpose = Some(token.purpose.as_str().into());
    entry.request = Some(token.request);
    entry.token = Some(token.id);
    entry.note(Detail::Action, &token.action);
    if let Some(emergency) = &token.emergency {
        entry.note(Detail::Subject, emergency.id);
    }
}

impl Incoming {
    /// The next message of the gateway's.
    pub(crate) async fn next(&mut self) -> Result<(u64, ToArchive), ProtocolError> {
        let error = |kind: ErrorKind| ProtocolError::new(Step::Channel, Fault::Gateway, kind);
        loop {
            if let Some(frame) = self.frames.next().map_err(|e| error(e.into()))? {
                if frame.receiver != Receiver::End {
                    return Err(error(ErrorKind::Challenge));
                }
                let now = self.archive.member.trust().now();
                let opened = self.session.established.channel.open_request(&frame.message, now)?;
                self.archive.capture.take(&opened.content);
                let message = from_bytes(&opened.content, MESSAGE_BYTES_MAX).map_err(|e| error(e.into()))?;
                return Ok((opened.number, message));
            }
            let Some(Ok(chunk)) = self.body.next().await else {
                let cut = sealwort_proto::codec::CodecError::Malformed("the stream ended early".to_owned());
                return Err(error(cut.into()));
            };
            self.frames.push(&chunk);
        }
    }
}

impl Archive {
    /// Does what is asked, and answers when the entry about it is on disk.
    async fn answer(
        self: &Arc<Self>,
        session: &Arc<GatewaySession>,
        request: ToArchive,
        incoming: Incoming,
    ) -> Result<Reply, Refusal> {
        self.journal.check().map_err(|error| error.refusal(Fault::Archive))?;
        let mut entry = self.entry(kind_of(&request), session);
        let outcome = dispatch(self, session, request, incoming, &mut entry).await;
        match &outcome {
            Ok(Reply::One(FromArchive::Conflict { .. })) => entry.outcome = Outcome::Refused("conflict".into()),
            Ok(_) => {}
            Err(refusal) => entry.outcome = Outcome::Refused(refusal.code.as_str().into()),
        }
        self.journal.append(entry).await.map_err(|error| error.refusal(Fault::Archive))?;
        outcome
    }

    /// An entry about something of this session's.
    pub(crate) fn entry(&self, kind: EventKind, session: &GatewaySession) -> Event {
        let gateway = session.established.gateway.identity().to_string();
        self.journal.event(kind).peer(&gateway).detail(Detail::Session, session.established.channel.session())
    }

    /// Whether a session's gateway is still to be believed. The hop that is watched is the broker's, and a broker may
    /// keep it open for a gateway whose certificate was revoked. Such a session has ended; who has a new certificate
    /// runs the nine steps again.
    pub(crate) fn still_believes(&self, session: &GatewaySession) -> Result<(), ProtocolError> {
        let gateway = &session.established.gateway;
        let Err(error) = self.member.with_peers(|peers| peers.recheck(gateway, Role::Gateway)) else { return Ok(()) };
        tracing::warn!(gateway = %gateway.identity(), %error, "session ended: its gateway is no longer believed");
        self.sessions.end_gateway(session.established.channel.session(), session.broker.connection);
        self.journal.note(self.entry(EventKind::SessionEnded, session).detail(Detail::Reason, error.code()));
        Err(ProtocolError::new(Step::Channel, Fault::Gateway, ErrorKind::UnknownSession))
    }

    /// Seals a reply for the gateway into a frame.
    pub(crate) fn seal(
        &self,
        session: &GatewaySession,
        number: u64,
        message: &FromArchive,
    ) -> Result<Frame, ProtocolError> {
        let now = self.member.trust().now();
        Ok(Frame::end(session.established.channel.reply(number, &to_bytes(message), now)?))
    }
}

/// A chunk of a streamed answer.
pub(crate) type Chunk = Result<Bytes, std::io::Error>;
