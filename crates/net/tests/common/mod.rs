//! A small exchange on loopback sockets for the tests of this crate.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use sealwort_net::client::{Connection, Endpoint, HopClient, HopError, Timeouts};
use sealwort_net::server::{Drained, Limits, Server};
use sealwort_net::tls::{self, ClientAuth, Credentials, ExpectedPeer, ServerTls, SharedTrust};
use sealwort_net::{Clock, Shutdown, ShutdownTrigger, TestClock};
use sealwort_pki::testing::{TEST_NOW, TestCredential, TestExchange, TestParty};
use sealwort_pki::{Role, SerialNumber, SigningKey};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a client of these tests waits for an answer that should come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An exchange, its clock and one trust that all parties of the test share.
pub struct World {
    pub exchange: TestExchange,
    pub clock: TestClock,
    pub trust: SharedTrust,
}

impl World {
    pub fn new() -> Self {
        let exchange = TestExchange::new("test");
        let clock = TestClock::at(TEST_NOW);
        let trust = SharedTrust::new(exchange.trust(), Arc::new(clock.clone()));
        Self { exchange, clock, trust }
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    pub fn party(&self, role: Role, name: &str) -> TestParty {
        self.exchange.party(role, name)
    }

    /// TLS of a server that accepts `accept`.
    pub fn server_tls(&self, party: &TestParty, accept: &[Role], auth: ClientAuth) -> ServerTls {
        tls::server_config(&credentials(&party.hop), &self.trust, accept, auth).unwrap()
    }

    /// A client that shows `credential`, or none, and wants `expected`.
    pub fn client(&self, credential: Option<&TestCredential>, expected: ExpectedPeer) -> HopClient {
        let credentials = credential.map(credentials);
        let tls = tls::client_config(credentials.as_ref(), &self.trust, expected).unwrap();
        HopClient::new(tls).timeouts(Timeouts { connect: PATIENCE, handshake: PATIENCE, ..Timeouts::default() })
    }

    /// Publishes revocation list `number`.
    pub fn revoke(&self, number: u64, serials: &[SerialNumber]) {
        let crl = self.exchange.crl(number, serials);
        let issuing = self.exchange.issuing.certificate();
        self.trust.set_crl(&crl, issuing).unwrap();
    }
}

pub fn credentials(credential: &TestCredential) -> Credentials {
    Credentials::new(&credential.chain, Arc::new(copy(&credential.key))).unwrap()
}

pub fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap()
}

/// A server that runs until it is dropped or stopped.
pub struct Running {
    pub address: SocketAddr,
    pub trigger: ShutdownTrigger,
    pub task: JoinHandle<Drained>,
}

impl Running {
    pub async fn start(tls: Option<ServerTls>, router: Router, limits: Limits) -> Self {
        let mut server = Server::new(router).limits(limits);
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        Self::start_server(server).await
    }

    pub async fn start_server(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = Shutdown::channel();
        let task = tokio::spawn(server.serve(listener, shutdown));
        Self { address, trigger, task }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.address.try_into().unwrap()
    }

    pub async fn stop(self) -> Drained {
        self.trigger.fire();
        self.task.await.unwrap()
    }
}

/// The error of a connection that must not succeed.
pub async fn refused(client: &HopClient, endpoint: &Endpoint) -> HopError {
    match client.connect(endpoint).await {
        Ok(connection) => panic!("connected: {connection:?}"),
        Err(error) => error,
    }
}

/// The body of a GET, or the error.
pub async fn get(connection: &Connection, path: &str) -> Result<(u16, String), HopError> {
    let empty = sealwort_net::client::Body::empty();
    let response = connection.request(http::Method::GET, path, empty, PATIENCE).await?;
    let status = response.status.as_u16();
    let body = response.read(1 << 20).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
