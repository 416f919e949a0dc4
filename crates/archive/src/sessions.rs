//! What the archive remembers of runs and sessions. Bounded: runs that are not finished are forgotten after half a minute,
//! sessions when their keys have ended, and all of them when the broker's connection ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwort_net::bound::Bound;
use sealwort_net::tls::ConnectionId;
use sealwort_pki::{Fingerprint, UnixTime};
use sealwort_proto::error::ErrorKind;
use sealwort_proto::handshake::Party;
use sealwort_proto::handshake::archive::{
    AwaitBrokerShare, AwaitCompletion, AwaitOffer, BrokerEstablished, GatewayEstablished,
};
use sealwort_proto::holdings::{Holdings, different};
use sealwort_proto::token::VerifiedToken;
use sealwort_proto::transmission::archive::UsedTokens;
use sealwort_proto::{LabelTag, SessionId, TokenId};

/// Most runs in progress.
const RUNS_MAX: usize = 10_000;
/// Most sessions.
const SESSIONS_MAX: usize = 100_000;
/// Time for a run from step 2 to step 9.
const RUN_PATIENCE: Duration = Duration::from_secs(30);
/// Most authorities in one session; the ended ones are forgotten first.
const AUTHORITIES_MAX: usize = 10_000;

/// A run in progress. Each state is taken out when its step comes.
pub(crate) struct Run {
    pub(crate) party: Arc<Party>,
    pub(crate) broker_share: Option<AwaitBrokerShare>,
    pub(crate) offer: Option<AwaitOffer>,
    pub(crate) completion: Option<(AwaitCompletion, Arc<BrokerSession>)>,
    since: Instant,
}

/// SK_TM with one broker, over one connection.
pub(crate) struct BrokerSession {
    pub(crate) connection: ConnectionId,
    pub(crate) established: BrokerEstablished,
}

/// SK_LM with one gateway.
pub(crate) struct GatewaySession {
    pub(crate) party: Arc<Party>,
    pub(crate) established: GatewayEstablished,
    /// The T–M session under which this session's tokens are sealed.
    pub(crate) broker: Arc<BrokerSession>,
    pub(crate) used: Mutex<UsedTokens>,
    authorities: Mutex<HashMap<TokenId, Arc<Authority>>>,
}

/// What step 6 granted.
pub(crate) struct Authority {
    pub(crate) token: VerifiedToken,
    pub(crate) tags: Vec<LabelTag>,
    pub(crate) expires: UnixTime,
}

/// Runs and sessions by session id.
#[derive(Default)]
pub(crate) struct Sessions {
    runs: Bound<Run>,
    brokers: Bound<Arc<BrokerSession>>,
    gateways: Bound<Arc<GatewaySession>>,
}

impl Run {
    pub(crate) fn new(party: Arc<Party>, broker_share: AwaitBrokerShare, offer: AwaitOffer) -> Self {
        let since = Instant::now();
        Self { party, broker_share: Some(broker_share), offer: Some(offer), completion: None, since }
    }

    fn has_ended(&self) -> bool {
        self.since.elapsed() >= RUN_PATIENCE
    }
}

impl GatewaySession {
    pub(crate) fn new(party: Arc<Party>, established: GatewayEstablished, broker: Arc<BrokerSession>) -> Self {
        Self { party, established, broker, used: Mutex::default(), authorities: Mutex::default() }
    }

    pub(crate) fn grant(&self, id: TokenId, authority: Authority, now: UnixTime) {
        let mut authorities = lock(&self.authorities);
        if authorities.len() >= AUTHORITIES_MAX {
            authorities.retain(|_, a| a.expires > now);
        }
        authorities.insert(id, Arc::new(authority));
    }

    pub(crate) fn authority(&self, id: TokenId, now: UnixTime) -> Option<Arc<Authority>> {
        lock(&self.authorities).get(&id).filter(|a| a.expires > now).map(Arc::clone)
    }
}

impl Sessions {
    /// A broker's connection is open; its runs and sessions end when what is given here is dropped.
    pub(crate) fn open(&self, connection: ConnectionId) -> impl Send + 'static + use<> {
        (self.runs.open(connection), self.gateways.open(connection), self.brokers.open(connection))
    }

    /// Remembers a run.
    pub(crate) fn begin(&self, connection: ConnectionId, session: SessionId, run: Run) -> Result<(), ErrorKind> {
        self.runs.add(connection, session, run, RUNS_MAX, Run::has_ended)
    }

    /// Works on a run of this connection.
    pub(crate) fn with_run<T>(
        &self,
        session: SessionId,
        connection: ConnectionId,
        work: impl FnOnce(&mut Run) -> Option<T>,
    ) -> Option<T> {
        self.runs.with(connection, session, |run| (!run.has_ended()).then(|| work(run))?)
    }

    /// What is held for runs and sessions, beside the own certificate.
    pub(crate) fn holdings(&self, own: Fingerprint, now: UnixTime) -> Holdings {
        let runs = self.runs.count() as u64;
        let (brokers, gateways) = (self.brokers.all(), self.gateways.all());
        let of = |g: &GatewaySession| lock(&g.authorities).values().filter(|a| a.expires > now).count() as u64;
        let authorities: u64 = gateways.iter().map(|(_, g)| of(g)).sum();
        let peers = brokers.iter().map(|(_, b)| b.established.broker.fingerprint());
        let peers = peers.chain(gateways.iter().map(|(_, g)| g.established.gateway.fingerprint()));
        Holdings {
            random_values: runs,
            certificates: different(peers.chain([own])),
            session_keys: (brokers.len() + gateways.len()) as u64,
            // When each token was issued and when it expires.
            time_stamps: 2 * authorities,
            tokens: authorities,
        }
    }

    /// How many sessions with brokers and with gateways are live, and how many runs are in progress.
    pub(crate) fn live(&self, now: UnixTime) -> (u64, u64, u64) {
        self.runs.retain(|run| !run.has_ended());
        self.brokers.retain(|known| !known.established.channel.is_expired(now));
        self.gateways.retain(|known| !known.established.channel.is_expired(now));
        (self.brokers.count() as u64, self.gateways.count() as u64, self.runs.count() as u64)
    }

    /// The ids of sessions whose keys are in memory.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        let brokers = self.brokers.all().into_iter().map(|(session, _)| session);
        brokers.chain(self.gateways.all().into_iter().map(|(session, _)| session)).collect()
    }

    /// Forgets a run of this connection.
    pub(crate) fn end_run(&self, session: SessionId, connection: ConnectionId) {
        drop(self.runs.take(connection, session));
    }

    /// Remembers a session, unless its connection has ended meanwhile.
    pub(crate) fn add_broker(&self, session: SessionId, broker: BrokerSession, now: UnixTime) -> Result<(), ErrorKind> {
        let ended = |known: &Arc<BrokerSession>| known.established.channel.is_expired(now);
        self.brokers.add(broker.connection, session, Arc::new(broker), SESSIONS_MAX, ended)
    }

    pub(crate) fn broker(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<BrokerSession>> {
        self.brokers.get(connection, session)
    }

    /// Remembers a session, unless its connection has ended meanwhile.
    pub(crate) fn add_gateway(
        &self,
        session: SessionId,
        gateway: GatewaySession,
        now: UnixTime,
    ) -> Result<(), ErrorKind> {
        let ended = |known: &Arc<GatewaySession>| known.established.channel.is_expired(now);
        self.gateways.add(gateway.broker.connection, session, Arc::new(gateway), SESSIONS_MAX, ended)
    }

    /// Forgets a session.
    pub(crate) fn end_gateway(&self, session: SessionId, connection: ConnectionId) {
        drop(self.gateways.take(connection, session));
    }

    pub(crate) fn gateway(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<GatewaySession>> {
        self.gateways.get(connection, session)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
