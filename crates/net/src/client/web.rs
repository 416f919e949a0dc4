//! Requests to servers outside the exchange, such as a hospital's OpenID provider: HTTP/1.1 over TLS, one request a
//! connection, answers bounded in size and time, redirects handed to the caller and never followed. Which addresses may
//! be reached is checked on the very address that is connected to, so a name that resolves differently the second time
//! gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::causes;
use crate::tls::outside_client_config;

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public ones alone, by https: what a stranger names must not lead into the hospital.
    Public,
    /// Inside the hospital, too; on loopback http will do. For addresses that the administrator configured.
    Inside,
}

/// Why a request had no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WebError {
    /// Not an address to which this client sends.
    #[error("`{0}` is not an https URL with a host (http is for loopback alone, and only where it is allowed)")]
    Url(String),
    /// The address is none that may be reached.
    #[error("{host} is at {address}, which is not a public address; allow addresses inside where this is meant")]
    Address {
        /// The host of the URL.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// The request did not get through.
    #[error("{host} cannot be asked: {reason}")]
    Failed {
        /// The host of the URL.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The answer is longer than this client reads.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLarge {
        /// The host of the URL.
        host: String,
        /// Most bytes.
        limit: usize,
    },
    /// No whole answer in time.
    #[error("{host} did not answer within {after:?}")]
    Timeout {
        /// The host of the URL.
        host: String,
        /// How long was waited.
        after: Duration,
    },
}

/// A client for servers outside the exchange.
#[derive(Clone)]
pub struct WebClient {
    /// Filled at first use for the authorities of the operating system: there are many, and not every client asks.
    tls: Arc<OnceCell<TlsConnector>>,
    reach: Reach,
    answer_bytes_max: usize,
    patience: Duration,
}

impl WebClient {
    /// Trusts the authorities in a PEM file, or those of the operating system. The error says what is wrong with them.
    pub fn new(authorities: Option<&Path>, reach: Reach) -> Result<Self, String> {
        let tls = Arc::new(OnceCell::new_with(authorities.map(|file| connector(Some(file))).transpose()?));
        Ok(Self { tls, reach, answer_bytes_max: ANSWER_BYTES_MAX, patience: PATIENCE })
    }

    /// Reads answers up to this size.
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// Waits this long for a whole answer.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether a URL may be asked, as far as it tells: its form, and the address where it has one for a host. Names are
    /// looked at when they are connected to.
    pub fn check(&self, url: &str) -> Result<(), WebError> {
        let uri: Uri = url.parse().map_err(|_| WebError::Url(url.to_owned()))?;
        let target = Target::of(&uri, self.reach)?;
        match target.host.parse() {
            Ok(address) if !self.reaches(&target, address) => Err(WebError::Address { host: target.host, address }),
            _ => Ok(()),
        }
    }

    /// Asks for a document.
    pub async fn get(&self, url: &str) -> Result<Response<Bytes>, WebError> {
        let request = Request::get(url).header(header::ACCEPT, "application/json").body(Bytes::new());
        self.send(request.map_err(|_| WebError::Url(url.to_owned()))?).await
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WebError> {
        let target = Target::of(request.uri(), self.reach)?;
        let after = self.patience;
        let exchanged = timeout(after, self.exchange(&target, request)).await;
        exchanged.unwrap_or(Err(WebError::Timeout { host: target.host.clone(), after }))
    }

    async fn exchange(&self, target: &Target, mut request: Request<Bytes>) -> Result<Response<Bytes>, WebError> {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let place = path.parse().map_err(|_| WebError::Url(request.uri().to_string()))?;
        *request.uri_mut() = place;
        let authority = HeaderValue::from_str(&target.authority).map_err(|_| WebError::Url(path))?;
        request.headers_mut().insert(header::HOST, authority);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let tcp = self.connect(target).await?;
        let _ = tcp.set_nodelay(true);
        if target.plain {
            return self.ask(target, tcp, request).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|error| target.failed(&error))?;
        let tls = self.tls.get_or_try_init(of_system).await;
        let tls = tls.map_err(|reason| WebError::Failed { host: target.host.clone(), reason })?;
        let stream = tls.connect(name, tcp).await.map_err(|error| target.failed(&error))?;
        self.ask(target, stream, request).await
    }

    fn reaches(&self, target: &Target, address: IpAddr) -> bool {
        match (self.reach, target.plain) {
            (Reach::Public, _) => is_public(address),
            (Reach::Inside, true) => address.is_loopback(),
            (Reach::Inside, false) => true,
        }
    }

    /// Connects to the first permitted address that answers.
    async fn connect(&self, target: &Target) -> Result<TcpStream, WebError> {
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|error| target.failed(&error))?.collect();
        let mut refused = None;
        for address in found {
            if !self.reaches(target, address.ip()) {
                refused = Some(WebError::Address { host: target.host.clone(), address: address.ip() });
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = Some(target.failed(&error)),
            }
        }
        Err(refused
            .unwrap_or_else(|| WebError::Failed { host: target.host.clone(), reason: "it has no address".to_owned() }))
    }

    async fn ask<S>(&self, target: &Target, stream: S, request: Request<Bytes>) -> Result<Response<Bytes>, WebError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http1::Builder::new().max_buf_size(HEADER_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| target.failed(&error))?;
        // It ends with the last of this request, which is the only one.
        let driver = tokio::spawn(connection);
        let answered = async {
            let answer = sender.send_request(request.map(Full::new)).await.map_err(|error| target.failed(&error))?;
            let (head, mut body) = answer.into_parts();
            let mut whole = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(piece) = frame.map_err(|error| target.failed(&error))?.into_data() else { continue };
                if piece.len() > self.answer_bytes_max - whole.len() {
                    return Err(WebError::TooLarge { host: target.host.clone(), limit: self.answer_bytes_max });
                }
                whole.extend_from_slice(&piece);
            }
            Ok(Response::from_parts(head, whole.freeze()))
        };
        let answered = answered.await;
        driver.abort();
        answered
    }
}

/// TLS towards servers whose certificates are by these authorities, or by those of the operating system.
fn connector(authorities: Option<&Path>) -> Result<TlsConnector, String> {
    let mut config = (*outside_client_config(authorities)?).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn of_system() -> Result<TlsConnector, String> {
    let read = tokio::task::spawn_blocking(|| connector(None));
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Where a URL leads.
struct Target {
    host: String,
    authority: String,
    port: u16,
    plain: bool,
}

impl Target {
    fn of(url: &Uri, reach: Reach) -> Result<Self, WebError> {
        let wrong = || WebError::Url(url.to_string());
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let plain = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => false,
            Some(scheme) if *scheme == Scheme::HTTP && reach == Reach::Inside => true,
            _ => return Err(wrong()),
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(if plain { 80 } else { 443 });
        Ok(Self { host: host.to_owned(), authority: authority.as_str().to_owned(), port, plain })
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> WebError {
        WebError::Failed { host: self.host.clone(), reason: causes(error) }
    }
}

/// Whether an address is one of the public network: none of the registries of special addresses (RFC 6890) has it.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(first == 0
        || first >= 240
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || (first == 100 && second & 0xc0 == 64)
        || (first == 192 && second == 0 && third == 0)
        || (first == 192 && second == 88 && third == 99)
        || (first == 198 && second & 0xfe == 18))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out; in it, 2001::/23, 2001:db8::/32, 2002::/16 and 3fff::/20 are special, and the first
    // and third of them carry other addresses within.
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x2002
        && !(first == 0x3fff && second < 0x1000)
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const HEADER_BYTES_MAX: usize = 32 * 1024;
