//! The sections that every service's configuration has in common.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::quantity::{ByteCount, Interval};
use crate::secret_file::{self, SecretFileError};
use crate::server::Limits;

/// `[listen]`: where a service waits for connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenConfig {
    /// Address and port, `127.0.0.1:8443` or `[::]:8443`. Port 0 takes any free one.
    pub address: std::net::SocketAddr,
}

impl ListenConfig {
    /// A port of this computer alone, unreachable from others.
    pub const fn on_loopback(port: u16) -> Self {
        Self { address: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port) }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self::on_loopback(0)
    }
}

/// `[ca]`: the exchange's certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaConfig {
    /// `https://host:port` of the CA.
    pub url: String,
    /// How often the revocation list is fetched. Revocation is promised within 10 seconds, so
    /// keep this below.
    pub crl_every: Interval,
}

impl Default for CaConfig {
    fn default() -> Self {
        Self { url: "https://127.0.0.1:8440".to_owned(), crl_every: Interval::from_secs(5) }
    }
}

/// `[audit]`: the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditConfig {
    /// Folder of the log; empty for the data folder. On a disk of its own nothing else can fill it.
    pub folder: std::path::PathBuf,
    /// How often checkpoints are exchanged and cosigned where something was appended.
    pub cosign_every: Interval,
}

impl AuditConfig {
    /// Where the log lies.
    pub fn folder_in<'a>(&'a self, data: &'a std::path::Path) -> &'a std::path::Path {
        if self.folder.as_os_str().is_empty() { data } else { &self.folder }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { folder: std::path::PathBuf::new(), cosign_every: Interval::from_secs(10) }
    }
}

/// `[store]`: where broker and archive keep what must not be lost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreConfig {
    /// `postgresql://user@host:5432/name`; empty for the embedded store in the data folder.
    pub url: DatabaseUrl,
    /// File with the database user's password; empty for none, or for the one in the URL.
    pub password_file: std::path::PathBuf,
    /// Whether an archive reads sealed entries from the standbys in `url`, too.
    pub read_from_standbys: bool,
}

impl StoreConfig {
    /// Reads the password file, if there is one.
    pub fn password(&self) -> Result<Option<Zeroizing<String>>, SecretFileError> {
        secret_line(&self.password_file)
    }
}

/// The secret in a file; none where no file is named.
fn secret_line(file: &std::path::Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = secret_file::read(file)?;
    Ok(Some(Zeroizing::new(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())))
}

/// `[keys]`: the PKCS#11 token that may hold the key-encryption keys of broker and archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeysConfig {
    /// The module, a shared library; empty for none.
    pub module: std::path::PathBuf,
    /// The token's label.
    pub token: String,
    /// File with the PIN of the token's user.
    pub pin_file: std::path::PathBuf,
}

impl KeysConfig {
    /// Reads the PIN, if there is a file.
    pub fn pin(&self) -> Result<Option<Zeroizing<String>>, SecretFileError> {
        secret_line(&self.pin_file)
    }
}

/// `[objects]`: where an archive keeps large entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsConfig {
    /// `s3://bucket/prefix` or `file:///folder`; empty for the store itself.
    pub url: DatabaseUrl,
    /// `https://host:port` of the S3 server; empty for AWS.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Name of the key.
    pub access_key: String,
    /// File with the key.
    pub secret_key_file: std::path::PathBuf,
    /// PEM file with the authorities of the server's certificate; empty for those of the operating system.
    pub ca_file: std::path::PathBuf,
    /// Ciphertexts above this size become objects.
    pub larger_than: ByteCount,
    /// Age from which an object that no entry names is deleted.
    pub orphans_after: Interval,
}

impl ObjectsConfig {
    /// Reads the file with the key, if there is one.
    pub fn secret_key(&self) -> Result<Option<Zeroizing<String>>, SecretFileError> {
        secret_line(&self.secret_key_file)
    }
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key: String::new(),
            secret_key_file: std::path::PathBuf::new(),
            ca_file: std::path::PathBuf::new(),
            larger_than: ByteCount(256 * 1024),
            orphans_after: Interval::from_secs(24 * 60 * 60),
        }
    }
}

/// A database's URL. It may hold a password, so that it shows itself without.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub struct DatabaseUrl(String);

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl DatabaseUrl {
    /// The whole URL, password and all; none where it is empty.
    pub fn expose(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|url| !url.is_empty())
    }

    /// All between the user and the last `@` is taken for the password, even where it is not written as URLs want it.
    fn shown(&self) -> String {
        let hidden = || {
            let (scheme, rest) = self.0.split_once("://")?;
            let (login, place) = rest.rsplit_once('@')?;
            let (user, _) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:[redacted]@{place}"))
        };
        hidden().unwrap_or_else(|| self.0.clone())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// `[health]`: what load balancers ask, and the time that they have to notice that the service stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthConfig {
    /// Where `/livez`, `/readyz` and `/metrics` are answered over plain HTTP; absent for nowhere, and the first two on the
    /// service's own port alone.
    pub address: Option<std::net::SocketAddr>,
    /// How long the service goes on, not ready, when it is told to stop.
    pub drain_delay: Interval,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { address: None, drain_delay: Interval::from_secs(0) }
    }
}

/// `[telemetry]`: where the spans of traces go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// `https://host:port` of a collector that takes OTLP over HTTP (http on loopback); empty for none.
    pub endpoint: String,
    /// PEM file with the authorities of the collector's certificate; empty for those of the operating system.
    pub ca_file: std::path::PathBuf,
    /// Bytes of spans that are kept in the data folder, for `sealwort trace`; 0 for none.
    pub keep: ByteCount,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), ca_file: std::path::PathBuf::new(), keep: ByteCount(0) }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Which events: `error`, `warn`, `info`, `debug`, `trace`, or per part of the program, such
    /// as `info,sealwort_net=debug`.
    pub filter: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// `auto` (a terminal and no NO_COLOR), `always` or `never`.
    pub color: Color,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text, color: Color::Auto }
    }
}

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether log lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// When standard error is a terminal and NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `[limits]`: how long a server waits and how much it takes. The meaning of each is told at the
/// field of the same name in [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsConfig {
    /// Most open connections.
    pub connections_max: usize,
    /// Most open connections from one IP address; absent for no such limit.
    pub connections_per_address_max: Option<usize>,
    /// Most connections in the middle of the TLS handshake.
    pub handshakes_max: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Interval,
    /// Time for the headers of a request, and from a connection's start to its first request.
    pub header_timeout: Interval,
    /// How long a connection may stay without a request.
    pub idle_timeout: Interval,
    /// Time between two pieces of a request body, and between two pieces that the peer takes of
    /// a response body.
    pub body_timeout: Interval,
    /// Time for the whole request up to the head of its response; streaming routes are exempt.
    pub request_timeout: Interval,
    /// How often an HTTP/2 peer is asked for a sign of life.
    pub ping_every: Interval,
    /// How long the peer may take to give it.
    pub ping_timeout: Interval,
    /// Largest header section.
    pub header_bytes_max: ByteCount,
    /// Largest request body.
    pub body_bytes_max: ByteCount,
    /// Most requests at the same time on one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    /// Most requests at the same time in all; the next ones are answered with 503.
    pub requests_max: usize,
    /// How long requests in flight may go on when the server is told to stop.
    pub drain_timeout: Interval,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl From<&Limits> for LimitsConfig {
    fn from(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            connections_per_address_max: limits.connections_per_address_max,
            handshakes_max: limits.handshakes_max,
            handshake_timeout: Interval(limits.handshake_timeout),
            header_timeout: Interval(limits.header_timeout),
            idle_timeout: Interval(limits.idle_timeout),
            body_timeout: Interval(limits.body_timeout),
            request_timeout: Interval(limits.request_timeout),
            ping_every: Interval(limits.ping_every),
            ping_timeout: Interval(limits.ping_timeout),
            header_bytes_max: ByteCount(u64::from(limits.header_bytes_max)),
            body_bytes_max: ByteCount(limits.body_bytes_max),
            streams_per_connection_max: limits.streams_per_connection_max,
            requests_max: limits.requests_max,
            drain_timeout: Interval(limits.drain_timeout),
        }
    }
}

impl From<&LimitsConfig> for Limits {
    fn from(config: &LimitsConfig) -> Self {
        Self {
            connections_max: config.connections_max,
            connections_per_address_max: config.connections_per_address_max,
            handshakes_max: config.handshakes_max,
            handshake_timeout: config.handshake_timeout.0,
            header_timeout: config.header_timeout.0,
            idle_timeout: config.idle_timeout.0,
            body_timeout: config.body_timeout.0,
            request_timeout: config.request_timeout.0,
            ping_every: config.ping_every.0,
            ping_timeout: config.ping_timeout.0,
            header_bytes_max: u32::try_from(config.header_bytes_max.0).unwrap_or(u32::MAX),
            body_bytes_max: config.body_bytes_max.0,
            streams_per_connection_max: config.streams_per_connection_max,
            requests_max: config.requests_max,
            drain_timeout: config.drain_timeout.0,
        }
    }
}
