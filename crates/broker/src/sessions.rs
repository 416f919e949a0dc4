//! What the broker remembers of runs and sessions. Bounded: runs that are not finished are forgotten after half a minute,
//! sessions when their keys have ended, and both when the gateway's connection or that to the archive ends. No gateway can
//! take all places: each has its own number.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwort_net::bound::Bound;
use sealwort_net::tls::ConnectionId;
use sealwort_pki::{Fingerprint, Identity, UnixTime, VerifiedParty};
use sealwort_proto::error::ErrorKind;
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
    runs: Bound<Run>,
    swept: Mutex<Option<Instant>>,
    gateways: Bound<Arc<GatewaySession>>,
}

impl Run {
    pub(crate) fn new(party: Arc<Party>, link: Arc<ArchiveConnection>, share: AwaitShare, place: RunPlace) -> Self {
        Self { party, link, share: Some(share), completion: None, since: Instant::now(), _place: place }
    }

    fn has_ended(&self) -> bool {
        self.since.elapsed() >= RUN_PATIENCE
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
        !self.archive.connection.is_closed()
    }

    fn has_ended(&self, now: UnixTime) -> bool {
        self.established.channel.is_expired(now) || !self.reaches_archive()
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
        self.runs.count()
    }

    /// A gateway's connection is open; its runs and sessions end when what is given here is dropped.
    pub(crate) fn open(&self, connection: ConnectionId) -> impl Send + 'static + use<> {
        (self.runs.open(connection), self.gateways.open(connection))
    }

    /// How many sessions with gateways are live, and how many with archives they lead to.
    pub(crate) fn counts(&self, now: UnixTime) -> (u64, u64) {
        let live = self.list(now);
        let archives: HashSet<_> = live.iter().map(|(_, known)| Arc::as_ptr(&known.archive)).collect();
        (live.len() as u64, archives.len() as u64)
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
        self.runs.retain(|run| !run.has_ended());
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

    /// Forgets a run of this connection.
    pub(crate) fn end_run(&self, session: SessionId, connection: ConnectionId) {
        drop(self.runs.take(connection, session));
    }

    /// What is held for runs and sessions, beside the own certificate. `newest` is the session on which new runs are put.
    pub(crate) fn holdings(&self, own: Fingerprint, newest: Option<&Arc<ArchiveSession>>) -> Holdings {
        let runs = self.runs.count() as u64;
        let gateways: Vec<_> = self.gateways.all().into_iter().map(|(_, known)| known).collect();
        let pending: u64 = gateways.iter().map(|g| lock(&g.pending).len() as u64).sum();
        let archives: HashSet<_> = gateways.iter().map(|g| &g.archive).chain(newest).map(Arc::as_ptr).collect();
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

    /// Remembers a session, unless one of its connections has ended meanwhile.
    pub(crate) fn add(&self, session: SessionId, gateway: GatewaySession, now: UnixTime) -> Result<(), ErrorKind> {
        let ended = |known: &Arc<GatewaySession>| known.has_ended(now);
        self.gateways.add(gateway.connection, session, Arc::new(gateway), SESSIONS_MAX, ended)
    }

    /// Forgets a session.
    pub(crate) fn end_gateway(&self, session: SessionId) {
        drop(self.gateways.take_of_any(session));
    }

    /// Forgets sessions whose connection to the archive is closed.
    pub(crate) fn forget_unreachable(&self) {
        self.gateways.retain(|known| known.reaches_archive());
    }

    /// Whether a session was not ended.
    pub(crate) fn holds(&self, session: &GatewaySession) -> bool {
        self.gateways.holds(session.connection, session.established.channel.session())
    }

    /// All that go on: both their connections are open, and their time has not passed.
    pub(crate) fn list(&self, now: UnixTime) -> Vec<(SessionId, Arc<GatewaySession>)> {
        let mut all = self.gateways.all();
        all.retain(|(_, known)| !known.has_ended(now));
        all
    }

    /// Their ids, as long as their keys are in memory.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.gateways.all().into_iter().map(|(session, _)| session).collect()
    }

    /// A session of this connection whose way to the archive is open.
    pub(crate) fn gateway(&self, session: SessionId, connection: ConnectionId) -> Option<Arc<GatewaySession>> {
        self.gateways.get(connection, session).filter(|known| known.reaches_archive())
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
