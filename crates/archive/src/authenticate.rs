//! Mutual authentication at the archive: steps 2 and 3, 6 and 7, 8 and 9.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use sealwort_audit::{Detail, EventKind};
use sealwort_net::exchange::{answer, refuse};
use sealwort_net::observe;
use sealwort_net::steps::StepReport;
use sealwort_net::tls::HopPeer;
use sealwort_proto::channel::session_of;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::handshake::archive::on_introduction;
use sealwort_proto::message::{BrokerCall, BrokerCallReply, MESSAGE_BYTES_MAX, Refusal};
use sealwort_proto::policy::Policies;
use sealwort_proto::{SessionId, error};

use crate::Archive;
use crate::sessions::{BrokerSession, GatewaySession, Run};

/// Step 2, answered by step 3.
pub(crate) async fn introduction(
    State(archive): State<Arc<Archive>>,
    Extension(peer): Extension<HopPeer>,
    body: Bytes,
) -> Response {
    let begun = Instant::now();
    let party = archive.member.party();
    let outcome = archive.member.with_peers(|peers| on_introduction(&body, &party, peers, peer.identity()));
    match outcome {
        Ok((broker_share, offer, acceptance)) => {
            let session = offer.session();
            match archive.sessions.begin(peer.connection(), session, Run::new(party, broker_share, offer)) {
                Ok(()) => {}
                Err(ErrorKind::Exhausted) => return refuse(&too_many()),
                Err(_) => return refuse(&unknown_session(3)),
            }
            archive.report(
                Step::Authentication(3),
                "M → T",
                "certificate of the archive, nonce",
                session,
                acceptance.len(),
                begun,
            );
            answer(acceptance)
        }
        Err(error) => refuse(&archive.session_refused(&peer, &error).await),
    }
}

/// Step 6, answered by step 7.
pub(crate) async fn share(
    State(archive): State<Arc<Archive>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
    body: Bytes,
) -> Response {
    let begun = Instant::now();
    let taken = session.parse::<SessionId>().ok().and_then(|id| {
        archive
            .sessions
            .with_run(id, peer.connection(), |run| Some((id, run.broker_share.take()?, Arc::clone(&run.party))))
    });
    let Some((session, state, party)) = taken else { return refuse(&unknown_session(6)) };
    let now = archive.member.trust().now();
    match state.on_share(&body, &party, peer.exporter(), now) {
        Ok((established, message)) => {
            let broker = BrokerSession { connection: peer.connection(), established };
            if let Err(kind) = archive.sessions.add_broker(session, broker, now) {
                let error = ProtocolError::new(Step::Authentication(7), Fault::Archive, kind);
                return refuse(&archive.session_refused(&peer, &error).await);
            }
            archive.report(
                Step::Authentication(7),
                "M → T",
                "encapsulation, signature, confirmation: SK_TM",
                session,
                message.len(),
                begun,
            );
            answer(message)
        }
        Err(error) => {
            archive.sessions.end_run(session, peer.connection());
            refuse(&archive.session_refused(&peer, &error).await)
        }
    }
}

/// A call inside SK_TM: the broker asks for step 8, or brings step 9.
pub(crate) async fn call(
    State(archive): State<Arc<Archive>>,
    Extension(peer): Extension<HopPeer>,
    body: Bytes,
) -> Response {
    let now = archive.member.trust().now();
    let broker = session_of(&body).and_then(|id| archive.sessions.broker(id, peer.connection()));
    let Some(broker) = broker else { return refuse(&unknown_session(8)) };
    let opened = match broker.established.channel.open_request(&body, now) {
        Ok(opened) => opened,
        Err(error) => return refuse(&refusal(&error)),
    };
    let reply = match from_bytes::<BrokerCall>(&opened.content, MESSAGE_BYTES_MAX) {
        Ok(BrokerCall::Offer { session, policies }) => archive.offer(session, &policies, &broker),
        Ok(BrokerCall::Complete { session, answer }) => archive.complete(session, answer.as_ref(), &broker).await,
        Err(error) => Err(ProtocolError::new(Step::Channel, Fault::Broker, error)),
    };
    let reply = match reply {
        Ok(message) => BrokerCallReply::Relay(message.into()),
        Err(error) => {
            let refusal = archive.session_refused(&peer, &error).await;
            observe::refused(&refusal.code);
            BrokerCallReply::Refused(refusal)
        }
    };
    match broker.established.channel.reply(opened.number, &to_bytes(&reply), now) {
        Ok(message) => answer(message),
        Err(error) => refuse(&refusal(&error)),
    }
}

impl Archive {
    fn offer(
        &self,
        session: SessionId,
        policies: &Policies,
        broker: &Arc<BrokerSession>,
    ) -> Result<Vec<u8>, ProtocolError> {
        let begun = Instant::now();
        let (offer, party) = self
            .sessions
            .with_run(session, broker.connection, |run| Some((run.offer.take()?, Arc::clone(&run.party))))
            .ok_or_else(|| unknown(8))?;
        let (completion, message) = offer.on_offer(policies, &broker.established.broker, &party)?;
        let kept = self.sessions.with_run(session, broker.connection, |run| {
            run.completion = Some((completion, Arc::clone(broker)));
            Some(())
        });
        kept.ok_or_else(|| unknown(8))?;
        self.report(
            Step::Authentication(8),
            "M → L",
            "ephemeral key, the gateway's policies, signature",
            session,
            message.len(),
            begun,
        );
        Ok(message)
    }

    /// Tells why a run was refused, when the entry about it is on disk.
    async fn session_refused(&self, peer: &HopPeer, error: &ProtocolError) -> Refusal {
        let refusal = refusal(error);
        let entry = self.journal.event(EventKind::SessionRefused).peer(&peer.identity().to_string());
        let entry = entry.refused(&refusal.code).detail(Detail::Reason, error);
        match self.journal.append(entry).await {
            Ok(()) => refusal,
            Err(error) => error.refusal(Fault::Archive),
        }
    }

    async fn complete(
        &self,
        session: SessionId,
        answer: &[u8],
        broker: &Arc<BrokerSession>,
    ) -> Result<Vec<u8>, ProtocolError> {
        let (completion, broker, party) = self
            .sessions
            .with_run(session, broker.connection, |run| {
                let (completion, broker) = run.completion.take()?;
                Some((completion, broker, Arc::clone(&run.party)))
            })
            .ok_or_else(|| unknown(9))?;
        self.sessions.end_run(session, broker.connection);
        let now = self.member.trust().now();
        let (established, confirmation) = completion.on_completion(answer, &party, now)?;
        let gateway = GatewaySession::new(party, established, broker);
        let entry = self.entry(EventKind::SessionBegun, &gateway);
        let broker = Arc::clone(&gateway.broker);
        let added = self.sessions.add_gateway(session, gateway, now);
        added.map_err(|kind| ProtocolError::new(Step::Authentication(9), Fault::Archive, kind))?;
        if let Err(error) = self.journal.append(entry).await {
            self.sessions.end_gateway(session, broker.connection);
            return Err(error.refusal(Fault::Archive).into_error(Step::Authentication(9)));
        }
        Ok(confirmation)
    }

    pub(crate) fn report(
        &self,
        step: error::Step,
        route: &'static str,
        what: &'static str,
        session: SessionId,
        bytes: usize,
        begun: Instant,
    ) {
        self.steps.report(StepReport { step, route, what, session, bytes, duration: begun.elapsed() });
    }
}

/// Logs a failed step and puts it into words for the peer.
pub(crate) fn refusal(error: &ProtocolError) -> Refusal {
    tracing::warn!(step = %error.step, fault = error.fault.as_str(), code = error.code(), "refused: {error}");
    Refusal::of(Fault::Archive, error)
}

fn unknown(step: u8) -> ProtocolError {
    ProtocolError::new(Step::Authentication(step), Fault::Broker, ErrorKind::UnknownSession)
}

fn unknown_session(step: u8) -> Refusal {
    Refusal::of(Fault::Archive, &unknown(step))
}

fn too_many() -> Refusal {
    Refusal::new(Fault::Archive, "unavailable", "too many runs are in progress", "try again in a moment")
}
