//! The broker's way to the archive: one connection, to one of its nodes, and on it one session (SK_TM) that serves many
//! gateways and is renewed by time and by volume. What was made on a connection ends with it; a broken one is replaced at
//! the next run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sealwort_net::client::{Connection, Endpoints, HopClient, HopError};
use sealwort_net::exchange::{AUTHENTICATE_PATH, CALL_PATH, ExchangeError, send};
use sealwort_net::tls::{ConnectionId, HopPeer};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::handshake::Party;
use sealwort_proto::handshake::broker::{ArchiveEstablished, ArchiveOpening, start_archive};
use sealwort_proto::message::{BrokerCall, BrokerCallReply, HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX, Refusal};
use tokio::sync::Mutex;

use crate::Broker;

/// Tokens sealed under one session with the archive before it is renewed.
const TOKENS_PER_SESSION: u64 = 1 << 20;
/// Seconds before the end of a session's life at which no new run is put on it.
const RENEW_AHEAD_SECONDS: u64 = 600;

/// One connection to the archive.
pub(crate) struct ArchiveConnection {
    pub(crate) connection: Connection,
    pub(crate) peer: HopPeer,
    session: Mutex<Option<Arc<ArchiveSession>>>,
}

/// SK_TM, on the connection that it was made on.
pub(crate) struct ArchiveSession {
    pub(crate) established: ArchiveEstablished,
    pub(crate) connection: Connection,
    hop: ConnectionId,
    tokens: AtomicU64,
}

/// Makes connections to the archive.
pub(crate) struct ArchiveLinks {
    client: HopClient,
    endpoints: Endpoints,
    current: Mutex<Option<Arc<ArchiveConnection>>>,
}

impl ArchiveLinks {
    pub(crate) fn new(client: HopClient, endpoints: Endpoints) -> Self {
        Self { client, endpoints, current: Mutex::new(None) }
    }

    /// The session on the present connection, unless it is being made or looked for.
    pub(crate) fn session(&self) -> Option<Arc<ArchiveSession>> {
        let current = self.current.try_lock().ok()?;
        current.as_ref()?.session.try_lock().ok()?.clone()
    }

    /// Leaves a node that refused because it cannot serve now; what is under way goes on.
    async fn refused(&self, archive: &ArchiveSession, code: &str) {
        if self.endpoints.pass_over(code) {
            self.current.lock().await.take_if(|link| link.peer.connection() == archive.hop);
        }
    }

    /// Forgets the connection that is closed, and the session on it.
    async fn forget_closed(&self) {
        self.current.lock().await.take_if(|link| link.connection.is_closed());
    }
}

impl ArchiveSession {
    /// Counts a token that is sealed under this session.
    pub(crate) fn count_token(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    fn takes_new_runs(&self, now: sealwort_pki::UnixTime) -> bool {
        let ahead = sealwort_pki::UnixTime::from_secs(now.as_secs() + RENEW_AHEAD_SECONDS);
        !self.established.channel.is_expired(ahead) && self.tokens.load(Ordering::Relaxed) < TOKENS_PER_SESSION
    }
}

impl Broker {
    /// The open connection to the archive, or a new one.
    pub(crate) async fn archive_link(self: &Arc<Self>) -> Result<Arc<ArchiveConnection>, HopError> {
        let links = &self.links;
        let mut current = links.current.lock().await;
        if let Some(open) = current.as_ref().filter(|link| !link.connection.is_closed()) {
            return Ok(Arc::clone(open));
        }
        // What was made on the old one has ended, however long the new one takes.
        *current = None;
        let connection = links.client.connect_any(&links.endpoints).await?;
        let peer = connection.require_peer()?.clone();
        let (broker, ended) = (Arc::downgrade(self), connection.ended());
        tokio::spawn(async move {
            ended.await;
            if let Some(broker) = broker.upgrade() {
                broker.sessions.forget_unreachable();
                broker.links.forget_closed().await;
            }
        });
        let link = Arc::new(ArchiveConnection { connection, peer, session: Mutex::new(None) });
        *current = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The live session with the archive, or steps 6 and 7 in the run that needs them.
    pub(crate) async fn archive_session(
        &self,
        link: &Arc<ArchiveConnection>,
        opening: ArchiveOpening,
        party: &Party,
        session: sealwort_proto::SessionId,
    ) -> Result<Arc<ArchiveSession>, ProtocolError> {
        let now = self.member.trust().now();
        let mut current = link.session.lock().await;
        if let Some(live) = current.as_ref().filter(|live| live.takes_new_runs(now)) {
            return Ok(Arc::clone(live));
        }
        let begun = Instant::now();
        let (state, message) = start_archive(opening, party, link.peer.exporter())?;
        self.report(
            Step::Authentication(6),
            "T → M",
            "ephemeral key, policies, signature",
            session,
            message.len(),
            begun,
        );
        let path = format!("{AUTHENTICATE_PATH}/6/{session}");
        let answer = send(&link.connection, &path, message, HANDSHAKE_BYTES_MAX)
            .await
            .map_err(|error| archive_failed(Step::Authentication(7), error))?;
        let established = state.on_answer(&answer, party, now)?;
        tracing::info!(archive = %established.archive.identity(), "session with the archive established");
        let live = Arc::new(ArchiveSession {
            established,
            connection: link.connection.clone(),
            hop: link.peer.connection(),
            tokens: AtomicU64::new(0),
        });
        *current = Some(Arc::clone(&live));
        Ok(live)
    }

    /// A call inside SK_TM; gives the message that the archive has for the gateway.
    pub(crate) async fn call_archive(
        &self,
        archive: &ArchiveSession,
        call: &BrokerCall,
        step: Step,
    ) -> Result<Vec<u8>, ProtocolError> {
        let channel = &archive.established.channel;
        let now = self.member.trust().now();
        let (number, message) = channel.request(&to_bytes(call), now)?;
        let answer = send(&archive.connection, CALL_PATH, message, MESSAGE_BYTES_MAX)
            .await
            .map_err(|error| archive_failed(step, error))?;
        let content = channel.open_reply(number, &answer, now)?;
        match from_bytes(&content, MESSAGE_BYTES_MAX) {
            Ok(BrokerCallReply::Relay(message)) => Ok(message.0),
            Ok(BrokerCallReply::Refused(refusal)) => {
                self.links.refused(archive, &refusal.code).await;
                Err(refusal.into_error(step))
            }
            Err(error) => Err(ProtocolError::new(step, Fault::Archive, error)),
        }
    }
}

/// What a gateway is told when the archive cannot be reached or refuses.
pub(crate) fn archive_failed(step: Step, error: ExchangeError) -> ProtocolError {
    let refusal = match error {
        ExchangeError::Refused(refusal) => *refusal,
        other => {
            tracing::warn!(error = %other, "the archive did not answer");
            Refusal::new(Fault::Broker, "peer-unreachable", "the archive cannot be reached", "try again in a moment")
        }
    };
    ProtocolError::new(step, Fault::Archive, ErrorKind::Refused(Box::new(refusal)))
}
