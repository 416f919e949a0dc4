//! Notices to gateways that hold a patient open: consent changed, or the log grew; and that there is an emergency access
//! to ask about. A gateway that stops
//! hearing them stops trusting what it holds.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header;
use sealwort_net::Shutdown;
use sealwort_net::exchange::{FRAMES, refuse};
use sealwort_net::tls::HopPeer;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::frame::Frame;
use sealwort_proto::message::{NOTICE_EVERY_SECONDS, Notice, Refusal};
use sealwort_proto::{Pseudonym, SessionId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::Broker;
use crate::sessions::GatewaySession;

/// Notices that a slow gateway may lag behind by; beyond it, it is told to look at everything anew.
const LAG_MAX: usize = 1024;

/// What happened, to whoever listens.
pub(crate) struct Notices {
    sender: broadcast::Sender<Happened>,
    shutdown: Shutdown,
}

/// A notice, and to whom it goes.
#[derive(Debug, Clone)]
enum Happened {
    /// To sessions that were given tokens for this patient.
    To(Pseudonym, Notice),
    /// To the hospital of this identity.
    Emergency(Arc<str>),
}

impl Notices {
    pub(crate) fn new(shutdown: Shutdown) -> Self {
        Self { sender: broadcast::Sender::new(LAG_MAX), shutdown }
    }

    /// A patient's directive changed.
    pub(crate) fn consent_changed(&self, patient: Pseudonym) {
        // Without a listener there is nobody to tell.
        let _ = self.sender.send(Happened::To(patient, Notice::ConsentChanged(patient)));
    }

    /// A patient's log grew.
    pub(crate) fn head_moved(&self, patient: Pseudonym) {
        let _ = self.sender.send(Happened::To(patient, Notice::HeadMoved(patient)));
    }

    /// A hospital is to be told of an emergency access.
    pub(crate) fn emergency(&self, hospital: &str) {
        let _ = self.sender.send(Happened::Emergency(hospital.into()));
    }
}

/// Notices to one session, inside its channel, until it ends.
pub(crate) async fn notices(
    State(broker): State<Arc<Broker>>,
    Extension(peer): Extension<HopPeer>,
    Path(session): Path<String>,
) -> Response {
    let found = session.parse::<SessionId>().ok().and_then(|id| broker.session(id, peer.connection()));
    let Some(session) = found else {
        let error = ProtocolError::new(Step::Channel, Fault::Gateway, ErrorKind::UnknownSession);
        return refuse(&Refusal::of(Fault::Broker, &error));
    };
    let heard = broker.notices.sender.subscribe();
    let first = Some(Notice::Alive);
    let stream =
        futures::stream::unfold((broker, session, heard, first), |(broker, session, mut heard, first)| async {
            let notice = if let Some(notice) = first {
                notice
            } else {
                tokio::select! {
                    notice = next(&mut heard, &session) => notice?,
                    () = broker.notices.shutdown.wait() => return None,
                }
            };
            let frame = seal(&broker, &session, &notice)?;
            Some((Ok::<_, std::io::Error>(frame), (broker, session, heard, None)))
        });
    ([(header::CONTENT_TYPE, FRAMES)], Body::from_stream(stream)).into_response()
}

/// The next notice for this session: about patients whose record it has asked for, and a sign of life otherwise.
async fn next(heard: &mut broadcast::Receiver<Happened>, session: &GatewaySession) -> Option<Notice> {
    let mine = async {
        loop {
            match heard.recv().await {
                Ok(Happened::To(patient, notice)) if session.knows_patient(patient) => return Ok(notice),
                Ok(Happened::Emergency(hospital)) if session.is_of(&hospital) => return Ok(Notice::Emergency),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(NOTICE_EVERY_SECONDS), mine).await {
        Ok(Ok(notice)) => Some(notice),
        Ok(Err(RecvError::Lagged(_))) => Some(Notice::LookAnew),
        Ok(Err(RecvError::Closed)) => None,
        Err(_) => Some(Notice::Alive),
    }
}

fn seal(broker: &Broker, session: &GatewaySession, notice: &Notice) -> Option<Bytes> {
    let now = broker.member.trust().now();
    let (_, message) = session.established.channel.request(&to_bytes(notice), now).ok()?;
    session.party.operations.count_notice();
    Some(Bytes::from(Frame::end(message).to_bytes()))
}
