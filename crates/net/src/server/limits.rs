//! How long a server waits and how much it takes. Every field has a default whose name says its
//! unit; `config::LimitsConfig` is the same as a section of a configuration file.

use std::time::Duration;

/// The limits of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most open connections. The next one is accepted and closed at once, so that it fails fast
    /// and does not fill the kernel's queue.
    pub connections_max: usize,
    /// Most open connections from one IP address. None by default: several parties may stand
    /// behind one address.
    pub connections_per_address_max: Option<usize>,
    /// Most connections in the middle of the TLS handshake, before anybody is known. One more takes the place of
    /// the oldest.
    pub handshakes_max: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the headers of an HTTP/1 request, and from the start of a connection to its
    /// first request. It ends silent connections and half-sent headers.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Longest wait between two pieces of a request body that the handler asks for, and longest
    /// time that a piece of a response may wait for the peer to take it.
    pub body_timeout: Duration,
    /// Time from a request's headers to its response's headers. Routes under
    /// [`streams`](super::streams) are exempt.
    pub request_timeout: Duration,
    /// How often a quiet HTTP/2 peer is asked for a sign of life.
    pub ping_every: Duration,
    /// How long it may take to give it.
    pub ping_timeout: Duration,
    /// Largest header section in bytes.
    pub header_bytes_max: u32,
    /// Largest request body in bytes. Routes may set a smaller one of their own with axum's
    /// `DefaultBodyLimit`.
    pub body_bytes_max: u64,
    /// Most requests at the same time on one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    /// Most requests at the same time in all. The next ones are answered with 503 and
    /// Retry-After.
    pub requests_max: usize,
    /// How long requests in flight may go on after the shutdown signal.
    pub drain_timeout: Duration,
}

impl Limits {
    /// For the hops between parties: few connections that stay.
    pub fn hop() -> Self {
        Self { idle_timeout: HOP_IDLE_TIMEOUT, body_bytes_max: HOP_BODY_BYTES_MAX, ..Self::default() }
    }
}

impl Default for Limits {
    /// For applications: many connections that come and go.
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: None,
            handshakes_max: HANDSHAKES_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            ping_every: PING_EVERY,
            ping_timeout: PING_TIMEOUT,
            header_bytes_max: HEADER_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            streams_per_connection_max: STREAMS_PER_CONNECTION_MAX,
            requests_max: REQUESTS_MAX,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

const CONNECTIONS_MAX: usize = 8192;
const HANDSHAKES_MAX: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
const HOP_IDLE_TIMEOUT: Duration = Duration::from_hours(1);
const BODY_TIMEOUT: Duration = Duration::from_secs(8);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: u32 = 32 * 1024;
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A deposit of the largest size with its frames (`spec/protocol.md`, section 7.5).
const HOP_BODY_BYTES_MAX: u64 = 160 * 1024 * 1024;
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
const REQUESTS_MAX: usize = 512;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
