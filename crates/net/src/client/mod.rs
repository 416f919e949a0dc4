//! The HTTP client between parties: one HTTP/2 connection over TLS to one peer. There is no pool
//! and no hidden reconnect: a protocol session lives and dies with its connection, so the caller
//! learns that it is closed, and connects again (see [`crate::Backoff`]).

mod body;
mod connection;
mod endpoints;
mod error;
mod stream;
pub mod web;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{ALPN_HTTP2, ClientTls, ConnectionId, EXPORTER_BYTES, EXPORTER_LABEL, HopPeer, PinnedAuthority};
use crate::transport::{Socket, connect_simulated};

pub use axum::body::Body;
pub use body::ResponseBody;
pub use connection::{CloseReason, Connection, Response};
pub use endpoints::{Endpoints, PASS_EVERY};
pub use error::{HopError, Phase};

/// Host and port of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    authority: Authority,
    port: u16,
}

/// How long a client waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name service and the TCP connection together.
    pub connect: Duration,
    /// For the TLS handshake, up to the server's first word.
    pub handshake: Duration,
    /// Between two pieces of a response body.
    pub body: Duration,
    /// How often the peer is asked for a sign of life.
    pub ping_every: Duration,
    /// How long it may take to give it.
    pub ping_timeout: Duration,
}

/// Makes connections of one kind.
#[derive(Debug, Clone)]
pub struct HopClient {
    tls: ClientTls,
    timeouts: Timeouts,
}

impl HopClient {
    /// A client with this TLS side and default timeouts.
    pub fn new(tls: ClientTls) -> Self {
        Self { tls, timeouts: Timeouts::default() }
    }

    /// Waits this long.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Connects. When it returns, both sides have accepted each other's certificates.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, HopError> {
        let tcp = self.reach(endpoint).await?;
        tcp.send_at_once();
        let (stream, peer, authority) =
            self.limited(endpoint, Phase::Tls, self.timeouts.handshake, self.handshake(endpoint, tcp)).await?;
        let alert = stream.alert();
        let key_exchange = stream.key_exchange();
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(self.timeouts.ping_every)
            .keep_alive_timeout(self.timeouts.ping_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|failure| http_error(endpoint, &failure))?;
        let watch = match (&peer, self.tls.trust()) {
            (Some(peer), Some((trust, expected))) => Some((trust.clone(), peer.clone(), expected.clone())),
            _ => None,
        };
        Ok(Connection::start(
            connection::Parts {
                endpoint: endpoint.clone(),
                peer,
                authority,
                key_exchange,
                body_timeout: self.timeouts.body,
            },
            sender,
            driver,
            alert,
            watch,
        ))
    }

    async fn reach(&self, endpoint: &Endpoint) -> Result<Socket, HopError> {
        let after = self.timeouts.connect;
        let host = endpoint.host();
        let refused =
            |failure: std::io::Error| HopError::Connect { endpoint: endpoint.clone(), reason: failure.to_string() };
        let simulated = async { connect_simulated(host, endpoint.port).await.transpose().map_err(refused) };
        if let Some(socket) = self.limited(endpoint, Phase::Connect, after, simulated).await? {
            return Ok(socket);
        }
        let lookup = tokio::net::lookup_host((host, endpoint.port));
        let found: Vec<SocketAddr> = self
            .limited(endpoint, Phase::Resolve, after, async {
                lookup
                    .await
                    .map(Iterator::collect)
                    .map_err(|failure| HopError::Resolve { endpoint: endpoint.clone(), reason: failure.to_string() })
            })
            .await?;
        self.limited(endpoint, Phase::Connect, after, async {
            TcpStream::connect(found.as_slice()).await.map(Socket::from).map_err(refused)
        })
        .await
    }

    async fn handshake(&self, endpoint: &Endpoint, tcp: Socket) -> Result<Secured, HopError> {
        let (config, verdict) = self.tls.for_connection();
        let made = TlsConnector::from(config).connect(no_name(endpoint)?, tcp).await;
        let found = verdict.take();
        let stream = match (made, found.refusal) {
            (Ok(stream), _) => stream,
            (Err(_), Some(error)) => {
                tracing::warn!(%endpoint, code = error.code(), %error, "peer's certificate refused");
                return Err(HopError::PeerRefused { endpoint: endpoint.clone(), error });
            }
            (Err(failure), None) => return Err(tls_error(endpoint, &failure)),
        };
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN_HTTP2) {
            return Err(HopError::Tls { endpoint: endpoint.clone(), reason: "it does not speak HTTP/2".to_owned() });
        }
        let peer = match found.party {
            None => None,
            Some(party) => {
                let exporter = session
                    .export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)
                    .map_err(|failure| tls_error(endpoint, &failure))?;
                Some(HopPeer::new(Arc::new(party), exporter, ConnectionId::next()))
            }
        };
        let mut stream = stream::Prefixed::new(stream);
        if self.tls.shows_certificate() {
            // In TLS 1.3 the server judges our certificate after our side of the handshake is
            // done. Its HTTP/2 settings come first thing after that, or its alert does.
            stream.await_first_bytes().await.map_err(|failure| tls_error(endpoint, &failure))?;
        }
        Ok((stream, peer, found.authority))
    }

    async fn limited<T>(
        &self,
        endpoint: &Endpoint,
        phase: Phase,
        after: Duration,
        work: impl Future<Output = Result<T, HopError>>,
    ) -> Result<T, HopError> {
        timeout(after, work)
            .await
            .unwrap_or_else(|_| Err(HopError::Timeout { endpoint: endpoint.clone(), phase, after }))
    }
}

type Secured = (stream::Prefixed<TlsStream<Socket>>, Option<HopPeer>, Option<PinnedAuthority>);

impl Endpoint {
    /// The host: a name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl FromStr for Endpoint {
    type Err = HopError;

    /// Reads `https://host:port`; the scheme may be left out.
    fn from_str(text: &str) -> Result<Self, HopError> {
        let refuse = || HopError::Endpoint { text: text.to_owned() };
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: Authority = rest.parse().map_err(|_| refuse())?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(refuse());
        }
        let port = authority.port_u16().ok_or_else(refuse)?;
        Ok(Self { authority, port })
    }
}

impl TryFrom<SocketAddr> for Endpoint {
    type Error = HopError;

    fn try_from(address: SocketAddr) -> Result<Self, HopError> {
        address.to_string().parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "https://{}", self.authority)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            body: BODY_TIMEOUT,
            ping_every: PING_EVERY,
            ping_timeout: PING_TIMEOUT,
        }
    }
}

/// rustls wants a server name; it is neither sent nor compared.
fn no_name(endpoint: &Endpoint) -> Result<ServerName<'static>, HopError> {
    ServerName::try_from("sealwort.invalid").map_err(|failure| tls_error(endpoint, &failure))
}

fn tls_error(endpoint: &Endpoint, failure: &(dyn std::error::Error + 'static)) -> HopError {
    match error::alert_in(failure) {
        Some(alert) => HopError::RefusedByPeer { endpoint: endpoint.clone(), alert },
        // It went away in the middle: whether it speaks TLS shows when it is back.
        None if error::is_broken_off(failure) => {
            HopError::Connect { endpoint: endpoint.clone(), reason: error::causes(failure) }
        }
        None => HopError::Tls { endpoint: endpoint.clone(), reason: error::causes(failure) },
    }
}

fn http_error(endpoint: &Endpoint, failure: &(dyn std::error::Error + 'static)) -> HopError {
    match error::alert_in(failure) {
        Some(alert) => HopError::RefusedByPeer { endpoint: endpoint.clone(), alert },
        None => HopError::Http { endpoint: endpoint.clone(), reason: error::causes(failure) },
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of one response may be on its way unread.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// How much of all responses may be on its way unread: room for as many as a server serves at
/// once on one connection, so that some that are not read do not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 128 * STREAM_WINDOW_BYTES;
const HEADER_BYTES_MAX: u32 = 32 * 1024;
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn endpoints_need_a_host_and_a_port() {
        for (text, host, port) in [
            ("https://broker.example:8443", "broker.example", 8443),
            ("https://127.0.0.1:1/", "127.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{text}");
        }
        for wrong in [
            "",
            "https://",
            "broker",
            "https://broker",
            "http://broker:80",
            "https://user@broker:1",
            "https://broker:70000",
            "https://broker:1/path",
            ":5",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
