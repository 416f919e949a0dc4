//! What the broker remembers of runs and sessions. Bounded: runs that are not finished are forgotten after
//! half a minute, sessions when their keys have ended. No gateway can take all places: each has its own number.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwort_net::tls::ConnectionId;
use sealwort_pki::{Fingerprint, Identity, UnixTime, VerifiedParty};
use sealwort_proto::handshake::Party;
use sealwort_proto::handshake::broker::{AwaitCompletion, AwaitShare, GatewayEstablished};
use sealwort_proto::holdings::{Holdings, different};
use sealwort_proto::transmission::broker::PendingRequest;
use sealwort_proto::{Nonce, Pseudonym, SessionId};

use crate::link::{ArchiveConnection, ArchiveSession};

/// Most runs in progress.
const RUNS_MAX: usize = 10_000;
/// Most runs in progress of one gateway, whatever connections it opens: whoever never finishes fills its own
/// places and nobody else's, here and at the archive.
const RUNS_PER_GATEWAY_MAX: usize = 64;
/// Runs that are too old are looked for this often at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Most sessions.
const SESSIONS_MAX: usize = 100_000;
/// Time for a run from step 1 to step 9.
const RUN_PATIENCE: Duration = Duration::from_secs(30);
/// Most requests of one session between steps 1 and 3.
const PENDING_MAX: usize = 64;

/// A run in progress. Each state is taken out when its step comes.
pub(crate) struct Run {
    pub(crate) connection: ConnectionId,
    pub(crate) party: Arc<Party>,
    pub(crate) link: Arc<ArchiveConnection>,
    pub(crate) share: Option<AwaitShare>,
    pub(crate) completion: Option<(AwaitCompletion, Arc<ArchiveSession>)>,
    since: Instant,
    _place: RunPlace,
}

/// One gateway's place for a run in progress; free again when this is dropped.
pub(crate) struct RunPlace {
    places: Arc<Mutex<HashMap<Identity, usize>>>,
    gateway: Identity,
}

impl Drop for RunPlace {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        if let Some(taken) = places.get_mut(&self.gateway) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.gateway);
            }
        }
    }
}

/// SK_LT with one gateway, over one connection, leading to one archive session.
pub(crate) struct GatewaySession {
    pub(crate) connection: ConnectionId,
    pub(crate) party: Arc<Party>,
    pub(crate) established: GatewayEstablished,
    pub(crate) archive: Arc<ArchiveSession>,
    /// When it was established.
    pub(crate) since: UnixTime,
    /// Unix seconds of its last message.
    used: AtomicU64,
    pending: Mutex<HashMap<Nonce, PendingRequest>>,
    /// Patients for whom this session was given tokens: the only ones that it is sent notices about.
    patients: Mutex<HashSet<Pseudonym>>,
}

/// Most patients that a session is sent notices about.
const PATIENTS_MAX: usize = 10_000;

/// Runs and sessions by session id.
#[derive(Default)]
pub(crate) struct Sessions {
    places: Arc<Mutex<HashMap<Identity, usize>>>,
    runs: Mutex<HashMap<SessionId, Run>>,
    swept: Mutex<Option<Instant>>,
    gateways: Mutex<HashMap<SessionId, Arc<GatewaySession>>>,
}

impl Run {
    pub(crate) fn new(
        connection: ConnectionId,
        party: Arc<Party>,
        link: Arc<ArchiveConnection>,
        share: AwaitShare,
        place: RunPlace,
    ) -> Self {
        Self { connection, party, link, share: Some(share), completion: None, since: Instant::now(), _place: place }
    }
}

impl GatewaySession {
    pub(crate) fn new(
        connection: ConnectionId,
        party: Arc<Party>,
        established: GatewayEstablished,
        archive: Arc<ArchiveSession>,
        since: UnixTime,
    ) -> Self {
        Self {
            connection,
            party,
            established,
            archive,
            since,
            used: AtomicU64::new(since.as_secs()),
            pending: Mutex::default(),
            patients: Mutex::default(),
        }
    }

    /// It carries a message now.
    pub(crate) fn touch(&self, now: UnixTime) {
        self.used.store(now.as_secs(), Ordering::Relaxed);
    }

    /// When it carried one last.
    pub(crate) fn used(&self) -> UnixTime {
        UnixTime::from_secs(self.used.load(Ordering::Relaxed))
    }

    /// Identity of its gateway.
    pub(crate) fn gateway(&self) -> String {
        self.established.gateway.identity().to_string()
    }

    /// Whether its way to the archive is open.
    pub(crate) fn reaches_archive(&self) -> bool {
        !self.archive.link.connection.is_closed()
    }

    /// Keeps a request until step 3; false when too many wait.
    pub(crate) fn keep_pending(&self, request: PendingRequest, now: UnixTime) -> bool {
        let mut pending = lock(&self.pending);
        if pending.len() >= PENDING_MAX {
            pending.retain(|_, request| !request.is_stale(now));
        }
        pending.len() < PENDING_MAX && pending.insert(request.challenge(), request).is_none()
    }

    /// Remembers that this session was given a token for a patient.
    pub(crate) fn note_patient(&self, patient: Pseudonym) {
        let mut patients = lock(&self.patients);
        // Forgetting is safe: the gateway's authority ends within a minute by itself.
        if patients.len() >= PATIENTS_MAX {
            patients.clear();
        }
        patients.insert(patient);
    }

    /// Whether this session was given a token for a patient.
    pub(crate) fn knows_patient(&self, patient: Pseudonym) -> bool {
        lock(&self.patients).contains(&patient)
    }

    /// Whether it is a session of this hospital.
    pub(crate) fn is_of(&self, hospital: &str) -> bool {
        self.established.gateway.identity().to_string() == hospital
    }

    /// Takes out the request that a challenge names.
    pub(crate) fn take_pending(&self, challenge: Nonce) -> Option<PendingRequest> {
        lock(&self.pending).remove(&challenge)
    }
}

impl Sessions {
    /// How many runs are in progress.
    pub(crate) fn runs(&self) -> usize {
        self.sweep();
        lock(&self.runs).len()
    }

    /// How many sessions with gateways are live, and how many with archives they lead to.
    pub(crate) fn counts(&self, now: UnixTime) -> (u64, u64) {
        let gateways = lock(&self.gateways);
        let live = gateways
            .values()
            .filter(|known| !known.established.channel.is_expired(now) && !known.archive.link.connection.is_closed());
        let archives: Vec<_> = live.map(|known| Arc::as_ptr(&known.archive)).collect();
        let different: HashSet<_> = archives.iter().collect();
        (archives.len() as u64, different.len() as u64)
    }

    /// A place for a run of this gateway; none when it has too many that it did not finish. To be asked before
    /// anything else is done for it.
    pub(crate) fn place(&self, gateway: &Identity) -> Option<RunPlace> {
        self.sweep();
        let mut places = lock(&self.places);
        let taken = places.entry(gateway.clone()).or_default();
        if *taken >= RUNS_PER_GATEWAY_MAX {
            return None;
        }
        *taken += 1;
        drop(places);
        Some(RunPlace { places: Arc::clone(&self.places), gateway: gateway.clone() })
    }

    /// Forgets runs that take too long.
    fn sweep(&self) {
        let mut swept = lock(&self.swept);
        if swept.is_some_and(|last| last.elapsed() < SWEEP_EVERY) {
            return;
        }
        *swept = Some(Instant::now());
        drop(swept);
        lock(&self.runs).retain(|_, run| run.since.elapsed() < RUN_PATIENCE);
    }

    /// Remembers a run; false when there are too many.
    pub(crate) fn begin(&self, session: SessionId, run: Run) -> bool {
        let mut runs = lock(&self.runs);
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

    /// Forgets a run of this connection.
    pub(crate) fn end_own(&self, session: SessionId, connection: ConnectionId) {
        let mut runs = lock(&self.runs);
        if runs.get(&session).is_some_and(|run| run.connection == connection) {
            runs.remove(&session);
        }
    }

    /// Forgets a run.
    pub(crate) fn end(&self, session: SessionId) {
        lock(&self.runs).remove(&session);
    }

    /// What is held for runs and sessions, beside the own certificate.
    pub(crate) fn holdings(&self, own: Fingerprint) -> Holdings {
        let runs = lock(&self.runs).len() as u64;
        let gateways: Vec<_> = lock(&self.gateways).values().map(Arc::clone).collect();
        let pending: u64 = gateways.iter().map(|g| lock(&g.pending).len() as u64).sum();
        let archives: HashSet<_> = gateways.iter().map(|g| Arc::as_ptr(&g.archive)).collect();
        let peers = gateways.iter().flat_map(|g| {
            [&g.established.gateway, &g.established.archive, &g.archive.established.archive]
                .map(VerifiedParty::fingerprint)
        });
        Holdings {
            random_values: runs + pending,
            certificates: different(peers.chain([own])),
            session_keys: (gateways.len() + archives.len()) as u64,
            time_stamps: pending,
            // A token is given away when it is made, and not kept.
            tokens: 0,
        }
    }

    /// Remembers a session; false when there are too many.
    pub(crate) fn add(&self, session: SessionId, gateway: GatewaySession, now: UnixTime) -> bool {
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

    /// Whether a session was not ended.
    pub(crate) fn holds(&self, session: SessionId) -> bool {
        lock(&self.gateways).contains_key(&session)
    }

    /// All that go on, as far as their time says.
    pub(crate) fn list(&self, now: UnixTime) -> Vec<(SessionId, Arc<GatewaySession>)> {
        let gateways = lock(&self.gateways);
        let going_on = gateways.iter().filter(|(_, one)| !one.established.channel.is_expired(now));
        going_on.map(|(id, one)| (*id, Arc::clone(one))).collect()
    }

    /// A session of this connection whose way to the archive is open.
    pub(crate) fn gateway(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<GatewaySession>> {
        let mut gateways = lock(&self.gateways);
        let found = gateways.get(&session).filter(|g| g.connection == connection).map(Arc::clone)?;
        if found.archive.link.connection.is_closed() {
            gateways.remove(&session);
            return None;
        }
        Some(found)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_gateway_fills_its_own_places_and_nobody_elses() {
        let sessions = Sessions::default();
        let [first, second]: [Identity; 2] =
            ["first", "second"].map(|name| format!("sealwort://test/gateway/{name}").parse().unwrap());
        let mut taken: Vec<_> = (0..RUNS_PER_GATEWAY_MAX).map(|_| sessions.place(&first).unwrap()).collect();
        assert!(sessions.place(&first).is_none());
        assert!(sessions.place(&second).is_some());
        taken.pop();
        assert!(sessions.place(&first).is_some(), "a place that was given back");
        drop(taken);
        assert!(lock(&sessions.places).is_empty(), "nothing is remembered of who has no run");
    }
}
