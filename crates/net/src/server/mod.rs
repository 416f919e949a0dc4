//! The HTTP server of every service: HTTP/2 over mutual TLS on the hops, HTTP/1 and HTTP/2 for
//! applications, with a limit on every wait and every size. It knows no route: it is given an
//! axum router.
//!
//! While a connection is open, its peer's certificate is watched: when it is revoked or expires,
//! or when no revocation list is in force any more, the connection is closed at once. Each
//! request checks it again on entry.

mod activity;
mod body;
mod connection;
mod handshakes;
mod limits;
mod proxies;
mod refusal;
mod service;
mod stall;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};

use crate::observe::Observation;
use crate::shutdown::Shutdown;
use crate::tls::{ConnectionId, ServerTls};
use crate::transport::{Listener, Socket};
use handshakes::Handshakes;

pub use limits::Limits;
pub use proxies::Proxies;
pub use refusal::{Refusal, RefusalWriter};
pub use service::{PeerAddress, RequestDeadline, streams};

/// Serves `router` on `listener` until `shutdown`; see [`Server`].
pub async fn serve(
    listener: impl Into<Listener>,
    tls: Option<ServerTls>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> Drained {
    let mut server = Server::new(router).limits(limits);
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    server.serve(listener, shutdown).await
}

/// A server before it starts.
#[derive(Clone)]
pub struct Server {
    router: Router,
    tls: Option<ServerTls>,
    limits: Limits,
    refusals: RefusalWriter,
    observation: Option<Observation>,
    proxies: Option<Proxies>,
    held: Option<Holding>,
}

/// Makes what is held while the connection of a verified peer is open.
type Holding = Arc<dyn Fn(ConnectionId) -> Box<dyn Any + Send> + Send + Sync>;

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that still had work when the drain timeout ended, and were cut.
    pub cut: usize,
}

/// What all connections of one server share.
struct Shared {
    router: Router,
    tls: Option<ServerTls>,
    limits: Limits,
    refusals: RefusalWriter,
    connections: Arc<Semaphore>,
    handshakes: Handshakes,
    requests: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    observation: Option<Observation>,
    proxies: Option<Proxies>,
    held: Option<Holding>,
    shutdown: Shutdown,
}

impl Server {
    /// A server without TLS, with default limits.
    pub fn new(router: Router) -> Self {
        let refusals: RefusalWriter = Arc::new(refusal::plain);
        Self { router, tls: None, limits: Limits::default(), refusals, observation: None, proxies: None, held: None }
    }

    /// Speaks TLS.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Keeps these limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes refusals in the service's own format. Status and Retry-After are set afterwards.
    pub fn refusals(mut self, writer: impl Fn(&Refusal) -> Response + Send + Sync + 'static) -> Self {
        self.refusals = Arc::new(writer);
        self
    }

    /// Counts and traces its requests.
    pub fn observed_by(mut self, observation: &Observation) -> Self {
        self.observation = Some(observation.clone());
        self
    }

    /// Stands behind these proxies: where one sent a request, [`PeerAddress`] is that of its client.
    pub fn behind(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Holds what `hold` makes while the connection of a verified peer is open: it is made before the first request, and
    /// dropped when the connection has ended, however it ended. A request may go on for a moment longer.
    pub fn while_open<T: Send + 'static>(mut self, hold: impl Fn(ConnectionId) -> T + Send + Sync + 'static) -> Self {
        self.held = Some(Arc::new(move |connection| Box::new(hold(connection))));
        self
    }

    /// Serves until `shutdown`, then lets requests in flight finish within the drain timeout.
    pub async fn serve(self, listener: impl Into<Listener>, shutdown: Shutdown) -> Drained {
        let listener = listener.into();
        let shared = Arc::new(Shared {
            // Our own limit covers every body; axum's default of 2 MB would come first.
            router: self.router.layer(DefaultBodyLimit::disable()),
            tls: self.tls,
            connections: semaphore(self.limits.connections_max),
            handshakes: Handshakes::new(self.limits.handshakes_max),
            requests: semaphore(self.limits.requests_max),
            limits: self.limits,
            refusals: self.refusals,
            observation: self.observation,
            proxies: self.proxies,
            held: self.held,
            addresses: Mutex::default(),
            shutdown: shutdown.clone(),
        });
        let mut tasks = JoinSet::new();
        let stop = shutdown.wait();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => note(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => admit(&shared, &mut tasks, stream, address),
                    Err(error) => after_failed_accept(&error).await,
                },
            }
        }
        // From here on the kernel refuses new connections.
        drop(listener);
        drain(tasks, shared.limits.drain_timeout).await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server").field("tls", &self.tls).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Starts the connection's task, or closes the connection when a limit is reached.
fn admit(shared: &Arc<Shared>, tasks: &mut JoinSet<()>, stream: Socket, address: SocketAddr) {
    let Ok(place) = Arc::clone(&shared.connections).try_acquire_owned() else {
        debug!(%address, limit = shared.limits.connections_max, "connection closed: too many are open");
        return;
    };
    let Some(seat) = AddressSeat::take(shared, address.ip()) else {
        debug!(%address, "connection closed: too many are open from its address");
        return;
    };
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        connection::run(stream, address, &shared).await;
        drop((place, seat));
    });
}

/// Accepting fails when the process is out of file descriptors, or for one connection that is
/// gone already. Neither is a reason to stop; the pause keeps the first from spinning.
async fn after_failed_accept(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {}
        _ => {
            error!(%error, "cannot accept a connection; if this goes on, raise the limit of open files");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Waits for the connections, then cuts what is left.
async fn drain(mut tasks: JoinSet<()>, patience: Duration) -> Drained {
    let finished = async {
        while let Some(ended) = tasks.join_next().await {
            note(ended);
        }
    };
    if tokio::time::timeout(patience, finished).await.is_ok() {
        info!("all connections finished");
        return Drained { cut: 0 };
    }
    let cut = tasks.len();
    warn!(cut, ?patience, "connections cut at the end of the drain timeout");
    tasks.shutdown().await;
    Drained { cut }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection's task stopped by a fault of this program");
    }
}

/// One connection's place among those of its IP address.
struct AddressSeat {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl AddressSeat {
    /// `None` when the address has no place left. Nothing is counted without such a limit.
    fn take(shared: &Arc<Shared>, address: IpAddr) -> Option<Self> {
        if let Some(most) = shared.limits.connections_per_address_max {
            let mut addresses = shared.addresses();
            let open = addresses.entry(address).or_default();
            if *open >= most {
                return None;
            }
            *open += 1;
        }
        Some(Self { shared: Arc::clone(shared), address })
    }
}

impl Drop for AddressSeat {
    fn drop(&mut self) {
        if self.shared.limits.connections_per_address_max.is_none() {
            return;
        }
        let mut addresses = self.shared.addresses();
        if let Some(open) = addresses.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

impl Shared {
    fn addresses(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn semaphore(places: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
