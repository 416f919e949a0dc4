//! Notices to gateways that hold a patient open: consent changed, or the log grew; and that there is an emergency access
//! to ask about. A gateway that stops hearing them stops trusting what it holds. So a node that does not hear what other
//! nodes change says nothing at all, not even that it is there.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::header;
use sealwort_net::Shutdown;
use sealwort_net::exchange::{FRAMES, refuse};
use sealwort_net::metrics::labels::Notice as Told;
use sealwort_net::observe::{self, Scope};
use sealwort_net::tls::HopPeer;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::frame::Frame;
use sealwort_proto::message::{NOTICE_EVERY_SECONDS, Notice, Refusal};
use sealwort_proto::{Pseudonym, SessionId};
use sealwort_store::Change;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::Broker;
use crate::sessions::GatewaySession;

/// Notices that a slow gateway may lag behind by; beyond it, it is told to look at everything anew.
const LAG_MAX: usize = 1024;

/// What happened, to whoever listens.
pub(crate) struct Notices {
    sender: broadcast::Sender<Happened>,
    source: Source,
    /// Whether all that happens is told here.
    hears: watch::Sender<bool>,
    shutdown: Shutdown,
}

/// Who tells of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Whoever makes them: there is no other node.
    Here,
    /// The store, of those of all nodes.
    Store,
}

/// A notice, and to whom it goes.
#[derive(Debug, Clone)]
enum Happened {
    /// To sessions that were given tokens for this patient.
    To(Pseudonym, Notice),
    /// To the hospital of this identity.
    Emergency(Arc<str>),
    /// To everybody: something may have been missed.
    Anything,
}

impl Notices {
    pub(crate) fn new(source: Source, shutdown: Shutdown) -> Self {
        let hears = watch::Sender::new(source == Source::Here);
        Self { sender: broadcast::Sender::new(LAG_MAX), source, hears, shutdown }
    }

    /// A patient's directive changed here.
    pub(crate) fn consent_changed(&self, patient: Pseudonym) {
        self.changed_here(Happened::To(patient, Notice::ConsentChanged(patient)));
    }

    /// A patient's log grew here.
    pub(crate) fn head_moved(&self, patient: Pseudonym) {
        self.changed_here(Happened::To(patient, Notice::HeadMoved(patient)));
    }

    /// A hospital is to be told of an emergency access that was begun here.
    pub(crate) fn emergency(&self, hospital: &str) {
        self.changed_here(Happened::Emergency(hospital.into()));
    }

    fn changed_here(&self, happened: Happened) {
        if self.source == Source::Here {
            self.tell(happened);
        }
    }

    fn tell(&self, happened: Happened) {
        // Without a listener there is nobody to tell.
        let _ = self.sender.send(happened);
    }

    /// What the store tells.
    fn heard(&self, change: Change) {
        match change {
            Change::Consent(patient) => self.tell(Happened::To(patient, Notice::ConsentChanged(patient))),
            Change::Head(patient) => self.tell(Happened::To(patient, Notice::HeadMoved(patient))),
            Change::Emergency(hospital) => self.tell(Happened::Emergency(hospital.as_str().into())),
            Change::Anything => {
                self.tell(Happened::Anything);
                self.hears.send_replace(true);
            }
            Change::Silence => drop(self.hears.send_replace(false)),
        }
    }
}

/// Passes on what the store tells, until `shutdown`.
pub(crate) fn spawn_following(
    broker: Arc<Broker>,
    mut changes: BoxStream<'static, Change>,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let change = tokio::select! {
                change = changes.next() => change,
                () = shutdown.wait() => return,
            };
            match change {
                Some(change) => broker.notices.heard(change),
                None => return,
            }
        }
    })
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
    let (happened, hears) = (broker.notices.sender.subscribe(), broker.notices.hears.subscribe());
    let begun = (broker, session, happened, hears, true);
    let scope = Scope::here();
    let stream = futures::stream::unfold(begun, move |(broker, session, mut happened, mut hears, is_first)| {
        let scope = scope.clone();
        async move {
            let notice = async {
                if is_first {
                    // The gateway trusts what it holds from here on.
                    hears.wait_for(|hears| *hears).await.ok()?;
                    return Some(Notice::Alive);
                }
                tokio::select! {
                    biased;
                    _ = hears.wait_for(|hears| !*hears) => None,
                    notice = next(&mut happened, &session) => notice,
                }
            };
            let notice = tokio::select! {
                notice = notice => notice?,
                () = broker.notices.shutdown.wait() => return None,
            };
            let frame = seal(&broker, &session, &notice)?;
            scope.run(async { observe::notice(Told::Told) }).await;
            Some((Ok::<_, std::io::Error>(frame), (broker, session, happened, hears, false)))
        }
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
                Ok(Happened::Anything) => return Ok(Notice::LookAnew),
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
    // A session that was ended hears nothing more, and its gateway stops trusting what it holds.
    if !broker.sessions.holds(session) {
        return None;
    }
    let (_, message) = session.established.channel.request(&to_bytes(notice), now).ok()?;
    session.party.operations.count_notice();
    Some(Bytes::from(Frame::end(message).to_bytes()))
}
