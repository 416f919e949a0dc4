//! What the archive remembers of runs and sessions. Bounded: runs that are not finished are forgotten after
//! half a minute, sessions when their keys have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwort_net::tls::ConnectionId;
use sealwort_pki::{Fingerprint, UnixTime};
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
    pub(crate) connection: ConnectionId,
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
    pub(crate) connection: ConnectionId,
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
    runs: Mutex<HashMap<SessionId, Run>>,
    brokers: Mutex<HashMap<SessionId, Arc<BrokerSession>>>,
    gateways: Mutex<HashMap<SessionId, Arc<GatewaySession>>>,
}

impl Run {
    pub(crate) fn new(
        connection: ConnectionId,
        party: Arc<Party>,
        broker_share: AwaitBrokerShare,
        offer: AwaitOffer,
    ) -> Self {
        Self {
            connection,
            party,
            broker_share: Some(broker_share),
            offer: Some(offer),
            completion: None,
            since: Instant::now(),
        }
    }
}

impl GatewaySession {
    pub(crate) fn new(
        connection: ConnectionId,
        party: Arc<Party>,
        established: GatewayEstablished,
        broker: Arc<BrokerSession>,
    ) -> Self {
        Self { connection, party, established, broker, used: Mutex::default(), authorities: Mutex::default() }
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
    /// Remembers a run; false when there are too many.
    pub(crate) fn begin(&self, session: SessionId, run: Run) -> bool {
        let mut runs = lock(&self.runs);
        if runs.len() >= RUNS_MAX {
            runs.retain(|_, run| run.since.elapsed() < RUN_PATIENCE);
        }
        runs.len() < RUNS_MAX && runs.insert(session, run).is_none()
    }

    /// Works on a run of this connection.
    pub(crate) fn with_run<T>(
        &self,
        session: SessionId,
        connection: ConnectionId,
        work: impl FnOnce(&mut Run) -> Option<T>,
    ) -> Option<T> {
        let mut runs = lock(&self.runs);
        let run = runs.get_mut(&session)?;
        (run.connection == connection && run.since.elapsed() < RUN_PATIENCE).then(|| work(run))?
    }

    /// What is held for runs and sessions, beside the own certificate.
    pub(crate) fn holdings(&self, own: Fingerprint, now: UnixTime) -> Holdings {
        let runs = lock(&self.runs).len() as u64;
        let brokers: Vec<_> = lock(&self.brokers).values().map(Arc::clone).collect();
        let gateways: Vec<_> = lock(&self.gateways).values().map(Arc::clone).collect();
        let of = |g: &GatewaySession| lock(&g.authorities).values().filter(|a| a.expires > now).count() as u64;
        let authorities: u64 = gateways.iter().map(|g| of(g)).sum();
        let peers = brokers.iter().map(|b| b.established.broker.fingerprint());
        let peers = peers.chain(gateways.iter().map(|g| g.established.gateway.fingerprint()));
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
        let runs = lock(&self.runs).values().filter(|run| run.since.elapsed() < RUN_PATIENCE).count();
        let brokers = lock(&self.brokers).values().filter(|known| !known.established.channel.is_expired(now)).count();
        let gateways = lock(&self.gateways).values().filter(|known| !known.established.channel.is_expired(now)).count();
        (brokers as u64, gateways as u64, runs as u64)
    }

    /// Forgets a run.
    pub(crate) fn end(&self, session: SessionId) {
        lock(&self.runs).remove(&session);
    }

    pub(crate) fn add_broker(&self, session: SessionId, broker: BrokerSession, now: UnixTime) {
        let mut brokers = lock(&self.brokers);
        brokers.retain(|_, known| !known.established.channel.is_expired(now));
        brokers.insert(session, Arc::new(broker));
    }

    pub(crate) fn broker(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<BrokerSession>> {
        lock(&self.brokers).get(&session).filter(|b| b.connection == connection).map(Arc::clone)
    }

    /// Remembers a session; false when there are too many.
    pub(crate) fn add_gateway(&self, session: SessionId, gateway: GatewaySession, now: UnixTime) -> bool {
        let mut gateways = lock(&self.gateways);
        // Ended sessions are swept when the table has doubled since the sweep, so that the cost is shared.
        if gateways.len().is_power_of_two() || gateways.len() >= SESSIONS_MAX {
            gateways.retain(|_, known| !known.established.channel.is_expired(now));
        }
        gateways.len() < SESSIONS_MAX && gateways.insert(session, Arc::new(gateway)).is_none()
    }

    /// Forgets a session.
    pub(crate) fn end_gateway(&self, session: SessionId) {
        lock(&self.gateways).remove(&session);
    }

    pub(crate) fn gateway(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<GatewaySession>> {
        lock(&self.gateways).get(&session).filter(|g| g.connection == connection).map(Arc::clone)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
