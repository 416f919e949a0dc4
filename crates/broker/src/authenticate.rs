//! Mutual authentication at the broker: steps 1 to 9, with the archive's steps in between.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use sealwort_audit::{Detail, EventKind};
use sealwort_net::exchange::{AUTHENTICATE_PATH, answer, refuse, send};
use sealwort_net::steps::StepReport;
use sealwort_net::tls::HopPeer;
use sealwort_proto::SessionId;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::handshake::broker::{Greeted, Load, on_hello};
use sealwort_proto::message::{BrokerCall, HANDSHAKE_BYTES_MAX, Refusal};

use crate::link::archive_failed;
use crate::sessions::{GatewaySession, Run};
use crate::{Broker, refusal};

/// Step 1, answered by step 3; step 2 goes to the archive in between.
pub(crate) async fn hello(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    body: Bytes,
) -> Response {
    match broker.greet(&peer, &body).await {
        Ok(message) => answer(message),
        Err(error) => refuse(&broker.session_refused(&peer, &error).await),
    }
}

/// Step 4, answered by steps 5 and 8; steps 6 and 7 run first where no session with the archive is live.
pub(crate) async fn share(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
    body: Bytes,
) -> Response {
    let outcome = match session.parse() {
        Ok(session) => {
            let outcome = broker.agree(&peer, session, &body).await;
            // Whoever names a run of another connection ends nothing.
            outcome.inspect_err(|_| broker.sessions.end_run(session, peer.connection()))
        }
        Err(_) => Err(unknown(4)),
    };
    match outcome {
        Ok(message) => answer(message),
        Err(error) => refuse(&broker.session_refused(&peer, &error).await),
    }
}

/// Step 9, answered by the archive's confirmation.
pub(crate) async fn completion(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
    body: Bytes,
) -> Response {
    let outcome = match session.parse() {
        Ok(session) => broker.complete(&peer, session, &body).await,
        Err(_) => Err(unknown(9)),
    };
    match outcome {
        Ok(message) => answer(message),
        Err(error) => refuse(&broker.session_refused(&peer, &error).await),
    }
}

impl Broker {
    /// Tells why a run was refused, when the entry about it is on disk.
    async fn session_refused(&self, peer: &HopPeer, error: &ProtocolError) -> Refusal {
        let refusal = refusal(error);
        let entry = self.journal.event(EventKind::SessionRefused).peer(&peer.identity().to_string());
        let entry = entry.refused(&refusal.code).detail(Detail::Reason, error);
        match self.journal.append(entry).await {
            Ok(()) => refusal,
            Err(error) => error.refusal(Fault::Broker),
        }
    }

    async fn greet(self: &Arc<Self>, peer: &HopPeer, hello: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let begun = Instant::now();
        self.journal.check().map_err(|error| error.refusal(Fault::Broker).into_error(Step::Authentication(1)))?;
        let place = self.sessions.place(peer.identity()).ok_or_else(too_many_runs)?;
        let party = self.member.party();
        let load = if self.sessions.runs() > self.cookie_above_runs { Load::High(&self.cookies) } else { Load::Normal };
        let greeted = self.member.with_peers(|peers| {
            on_hello(hello, &party, peers, peer.identity(), peer.exporter(), &self.archive, &load)
        })?;
        let (state, introduction) = match greeted {
            Greeted::Introduce(state, introduction) => (state, introduction),
            Greeted::DemandCookie(demand) => return Ok(demand),
        };
        let step_2 = begun.elapsed();
        let bytes = introduction.len();
        let link = self.archive_link().await.map_err(|error| archive_failed(Step::Authentication(2), error.into()))?;
        let path = format!("{AUTHENTICATE_PATH}/2");
        let acceptance = send(&link.connection, &path, introduction, HANDSHAKE_BYTES_MAX)
            .await
            .map_err(|error| archive_failed(Step::Authentication(3), error))?;
        let begun = Instant::now();
        let (state, presentation) = self.member.with_peers(|peers| state.on_acceptance(&acceptance, &party, peers))?;
        let session = state.session();
        self.steps.report(StepReport {
            step: Step::Authentication(2),
            route: "T → M",
            what: "certificates of gateway and broker, nonces",
            session,
            bytes,
            duration: step_2,
        });
        self.report(
            Step::Authentication(3),
            "T → L",
            "certificates of broker and archive, nonces",
            session,
            presentation.len(),
            begun,
        );
        match self.sessions.begin(peer.connection(), session, Run::new(party, link, state, place)) {
            Ok(()) => Ok(presentation),
            Err(ErrorKind::Exhausted) => Err(too_many_runs()),
            Err(kind) => Err(ProtocolError::new(Step::Authentication(3), Fault::Broker, kind)),
        }
    }

    async fn agree(&self, peer: &HopPeer, session: SessionId, share: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let begun = Instant::now();
        let (state, party, link) = self
            .sessions
            .with_run(session, peer.connection(), |run| {
                Some((run.share.take()?, Arc::clone(&run.party), Arc::clone(&run.link)))
            })
            .ok_or_else(|| unknown(4))?;
        let opening = state.archive_opening();
        let state = state.on_share(share, &party, peer.exporter(), self.member.trust().now())?;
        let step_5 = begun.elapsed();
        let archive = self.archive_session(&link, opening, &party, session).await?;
        let call = BrokerCall::Offer { session, policies: state.gateway_policies().clone() };
        let archive_share = self.call_archive(&archive, &call, Step::Authentication(8)).await?;
        let message = state.answer_with(archive_share);
        self.steps.report(StepReport {
            step: Step::Authentication(5),
            route: "T → L",
            what: "encapsulation, signature, confirmation: SK_LT (with step 8 of the archive)",
            session,
            bytes: message.len(),
            duration: step_5,
        });
        self.sessions
            .with_run(session, peer.connection(), |run| {
                run.completion = Some((state, archive));
                Some(())
            })
            .ok_or_else(|| unknown(4))?;
        Ok(message)
    }

    async fn complete(&self, peer: &HopPeer, session: SessionId, completion: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let (state, archive, party) = self
            .sessions
            .with_run(session, peer.connection(), |run| {
                let (state, archive) = run.completion.take()?;
                Some((state, archive, Arc::clone(&run.party)))
            })
            .ok_or_else(|| unknown(9))?;
        self.sessions.end_run(session, peer.connection());
        let now = self.member.trust().now();
        let (established, for_archive) = state.on_completion(completion, now)?;
        let call = BrokerCall::Complete { session, answer: for_archive.into() };
        let confirmation = self.call_archive(&archive, &call, Step::Authentication(9)).await?;
        tracing::info!(gateway = %established.gateway.identity(), %session, "session established");
        let gateway = GatewaySession::new(peer.connection(), party, established, archive, now);
        let entry = self.entry(EventKind::SessionBegun, &gateway);
        let added = self.sessions.add(session, gateway, now);
        added.map_err(|kind| ProtocolError::new(Step::Authentication(9), Fault::Broker, kind))?;
        if let Err(error) = self.journal.append(entry).await {
            self.sessions.end_gateway(session);
            return Err(error.refusal(Fault::Broker).into_error(Step::Authentication(9)));
        }
        Ok(confirmation)
    }
}

fn too_many_runs() -> ProtocolError {
    let refusal = Refusal::new(Fault::Broker, "unavailable", "too many runs are in progress", "try again in a moment");
    refusal.into_error(Step::Authentication(3))
}

fn unknown(step: u8) -> ProtocolError {
    ProtocolError::new(Step::Authentication(step), Fault::Gateway, ErrorKind::UnknownSession)
}
