//! TLS 1.3 between the parties. Both sides show certificates of the exchange; who the other side
//! must be is an identity (role and name), not a host name. Key exchange is X25519MLKEM768 where
//! both can, else X25519. There is no resumption and no early data: every connection verifies
//! certificates anew, so a revoked party cannot slip in on an old ticket.
//!
//! [`SharedTrust`] holds the root and the revocation lists, and tells open connections when a
//! list changed.

mod credentials;
mod hop_peer;
mod pinned;
mod trust;
mod verifier;

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ServerConfig, version};
use sealwort_pki::{Fingerprint, PartyName, Role, SigningKey};

use crate::clock::Clock;
pub use credentials::{Credentials, CredentialsError};
pub(crate) use hop_peer::EXPORTER_LABEL;
pub use hop_peer::{ConnectionId, EXPORTER_BYTES, HopPeer};
pub use pinned::PinnedAuthority;
pub use trust::SharedTrust;
pub(crate) use verifier::{Expectation, Verdict};
use verifier::{PartyVerifier, RevocationRule};

/// TLS could not be set up: a fault of this program's build or of the key it was given.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsConfigError(#[from] rustls::Error);

/// Whether a server insists on the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate, no connection: the hops.
    Required,
    /// A certificate is verified if shown; without one the request carries no [`HopPeer`]: the
    /// CA, whom parties reach before they have one.
    Optional,
}

/// Whom a client wants at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedPeer {
    /// Its role.
    pub role: Role,
    /// Its name, or any party of that role.
    pub name: Option<PartyName>,
}

impl ExpectedPeer {
    /// Any party of this role.
    pub const fn any(role: Role) -> Self {
        Self { role, name: None }
    }

    /// One party.
    pub const fn named(role: Role, name: PartyName) -> Self {
        Self { role, name: Some(name) }
    }
}

/// The TLS side of a server.
#[derive(Clone)]
pub struct ServerTls {
    provider: Arc<CryptoProvider>,
    kind: ServerKind,
}

#[derive(Clone)]
enum ServerKind {
    /// Parties of the exchange.
    Hop { credentials: Credentials, trust: SharedTrust, accept: Expectation, client_auth: ClientAuth },
    /// Applications that know nothing of the exchange.
    Public(Arc<ServerConfig>),
}

/// The TLS side of a client.
#[derive(Clone)]
pub struct ClientTls {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
    peer: ClientPeer,
    shows_certificate: bool,
}

#[derive(Clone)]
enum ClientPeer {
    Party { trust: SharedTrust, expected: Expectation, revocation: RevocationRule },
    Pinned { root: Fingerprint, clock: Arc<dyn Clock> },
}

/// A server of the exchange that shows `credentials` and accepts parties of the roles `accept`
/// (none given: any role).
pub fn server_config(
    credentials: &Credentials,
    trust: &SharedTrust,
    accept: &[Role],
    client_auth: ClientAuth,
) -> Result<ServerTls, TlsConfigError> {
    let server = ServerTls {
        provider: Arc::new(provider()),
        kind: ServerKind::Hop {
            credentials: credentials.clone(),
            trust: trust.clone(),
            accept: Expectation::roles(accept),
            client_auth,
        },
    };
    // Built once here, so that a set-up that cannot work is told at the start.
    server.for_connection()?;
    Ok(server)
}

/// A server for applications outside the exchange, with a certificate of the site's own: DER,
/// leaf first, and its key as PKCS#8. Clients are not asked for certificates.
pub fn public_server_config(certificates: Vec<Vec<u8>>, pkcs8: &[u8]) -> Result<ServerTls, TlsConfigError> {
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    let provider = Arc::new(provider());
    let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    let chain = certificates.into_iter().map(CertificateDer::from).collect();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key.into())?;
    forget_sessions(&mut config);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(ServerTls { provider, kind: ServerKind::Public(Arc::new(config)) })
}

/// Reads a certificate chain and its PKCS#8 key from PEM files, as [`public_server_config`] takes them. The
/// error names the file.
pub fn read_pem(
    certificates: &std::path::Path,
    key: &std::path::Path,
) -> Result<(Vec<Vec<u8>>, zeroize::Zeroizing<Vec<u8>>), String> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    let wrong = |path: &std::path::Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificates, &error))?;
    let secret = PrivatePkcs8KeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let chain = chain.into_iter().map(|certificate| certificate.as_ref().to_vec()).collect();
    Ok((chain, zeroize::Zeroizing::new(secret.secret_pkcs8_der().to_vec())))
}

/// A client for a server outside the exchange, such as an MQTT broker or an OpenID provider: it trusts the authorities
/// in a PEM file and no others, or those of the operating system. It reads files. The error names the file.
pub fn outside_client_config(authorities: Option<&std::path::Path>) -> Result<Arc<rustls::ClientConfig>, String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let place = authorities.map_or("the system's certificates".into(), |file| file.display().to_string());
    let wrong = |error: &dyn std::fmt::Display| format!("{place}: {error}");
    let roots = match authorities {
        Some(file) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"it holds no certificate"));
            }
            Arc::new(roots)
        }
        // Without any, the first connection says that nobody is trusted.
        None => Arc::clone(&OF_SYSTEM),
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities of the operating system. There are many, so they are read once, when they are first needed.
static OF_SYSTEM: LazyLock<Arc<rustls::RootCertStore>> = LazyLock::new(|| {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificates cannot be read");
    }
    // Some that the system keeps are no authorities by today's rules; the others are enough.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system has no certificates of authorities; no server outside the exchange is believed");
    }
    Arc::new(roots)
});

/// A client of the exchange that wants `expected` at the other end. Without credentials it can
/// only reach servers whose [`ClientAuth`] is optional.
pub fn client_config(
    credentials: Option<&Credentials>,
    trust: &SharedTrust,
    expected: ExpectedPeer,
) -> Result<ClientTls, TlsConfigError> {
    let peer = ClientPeer::Party {
        trust: trust.clone(),
        expected: Expectation::peer(expected),
        revocation: RevocationRule::Required,
    };
    ClientTls::new(credentials, peer)
}

/// A client that talks to the exchange's CA. Unlike [`client_config`], it goes on when no
/// revocation list is in force, since the CA is where a new one is fetched, and the list has a
/// signature of its own. A CA certificate that the list at hand revokes is refused.
pub fn authority_client_config(
    credentials: Option<&Credentials>,
    trust: &SharedTrust,
) -> Result<ClientTls, TlsConfigError> {
    let peer = ClientPeer::Party {
        trust: trust.clone(),
        expected: Expectation::peer(ExpectedPeer::any(Role::Ca)),
        revocation: RevocationRule::UnlessUnknown,
    };
    ClientTls::new(credentials, peer)
}

/// A client that knows nothing of the exchange but the SHA-256 of its root certificate, as
/// someone has who is about to join. The server must send that root; its certificate must chain
/// to it and have the role `ca`. What was found is at
/// [`Connection::pinned_authority`](crate::client::Connection::pinned_authority).
pub fn pinned_root_client_config(root: Fingerprint, clock: Arc<dyn Clock>) -> Result<ClientTls, TlsConfigError> {
    ClientTls::new(None, ClientPeer::Pinned { root, clock })
}

impl ServerTls {
    /// The configuration of one connection, and where its verifier leaves what it found.
    pub(crate) fn for_connection(&self) -> Result<(Arc<ServerConfig>, Verdict), TlsConfigError> {
        let verdict = Verdict::default();
        let (credentials, verifier, alpn) = match &self.kind {
            ServerKind::Public(config) => return Ok((Arc::clone(config), verdict)),
            ServerKind::Hop { credentials, trust, accept, client_auth } => {
                let verifier = PartyVerifier::new(
                    trust.clone(),
                    accept.clone(),
                    RevocationRule::Required,
                    *client_auth,
                    self.provider.signature_verification_algorithms,
                    verdict.clone(),
                );
                let alpn = match client_auth {
                    ClientAuth::Required => vec![ALPN_HTTP2.to_vec()],
                    ClientAuth::Optional => vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()],
                };
                (credentials, verifier, alpn)
            }
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(credentials.resolver());
        forget_sessions(&mut config);
        config.alpn_protocols = alpn;
        Ok((Arc::new(config), verdict))
    }

    /// What open connections are checked against; nothing for applications outside the exchange.
    pub(crate) fn trust(&self) -> Option<(&SharedTrust, &Expectation)> {
        match &self.kind {
            ServerKind::Hop { trust, accept, .. } => Some((trust, accept)),
            ServerKind::Public(_) => None,
        }
    }

    /// Whether peers without ALPN are taken to speak HTTP/2.
    pub(crate) fn is_http2_only(&self) -> bool {
        matches!(self.kind, ServerKind::Hop { client_auth: ClientAuth::Required, .. })
    }
}

impl ClientTls {
    fn new(credentials: Option<&Credentials>, peer: ClientPeer) -> Result<Self, TlsConfigError> {
        let provider = Arc::new(provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&version::TLS13])?;
        let placeholder = peer.verifier(&provider, &Verdict::default());
        let builder = builder.dangerous().with_custom_certificate_verifier(placeholder);
        let mut config = match credentials {
            Some(credentials) => builder.with_client_cert_resolver(credentials.resolver()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_early_data = false;
        // Identities are not host names, so none is told to the network.
        config.enable_sni = false;
        Ok(Self { config, provider, peer, shows_certificate: credentials.is_some() })
    }

    /// The configuration of one connection, and where its verifier leaves what it found.
    pub(crate) fn for_connection(&self) -> (Arc<ClientConfig>, Verdict) {
        let verdict = Verdict::default();
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(self.peer.verifier(&self.provider, &verdict));
        (Arc::new(config), verdict)
    }

    /// What open connections are checked against.
    pub(crate) fn trust(&self) -> Option<(&SharedTrust, &Expectation)> {
        match &self.peer {
            ClientPeer::Party { trust, expected, .. } => Some((trust, expected)),
            ClientPeer::Pinned { .. } => None,
        }
    }

    /// Whether the server may refuse us for our certificate, which it tells only afterwards.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.shows_certificate
    }
}

impl ClientPeer {
    fn verifier(
        &self,
        provider: &CryptoProvider,
        verdict: &Verdict,
    ) -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
        let algorithms = provider.signature_verification_algorithms;
        match self {
            ClientPeer::Party { trust, expected, revocation } => Arc::new(PartyVerifier::new(
                trust.clone(),
                expected.clone(),
                *revocation,
                ClientAuth::Required,
                algorithms,
                verdict.clone(),
            )),
            ClientPeer::Pinned { root, clock } => {
                Arc::new(pinned::PinnedRootVerifier::new(*root, Arc::clone(clock), algorithms, verdict.clone()))
            }
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// aws-lc-rs with the one hybrid group first and the classical one behind it.
fn provider() -> CryptoProvider {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    #[cfg(feature = "testing")]
    if let Some(network) = crate::transport::simulated::network() {
        return network.primitives(provider);
    }
    provider
}

fn forget_sessions(config: &mut ServerConfig) {
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

/// A hop key as rustls wants it; the private half stays in `pki`.
pub(crate) type HopKey = Arc<SigningKey>;

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
