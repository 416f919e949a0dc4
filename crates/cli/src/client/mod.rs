//! The commands' way to a gateway: its address, the bearer token, one HTTP/1.1 connection that is made when it
//! is needed, and answers that say no turned into errors. It knows nothing of FHIR but how an OperationOutcome
//! names its reason.

mod address;
mod body;
mod outcome;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sealwort_net::config::{Interval, Sources};
use sealwort_net::secret_file;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::error::CliError;
use address::GatewayAddress;
use body::Upload;
pub(crate) use address::encode;
pub(crate) use outcome::refusal;

/// How a gateway is reached. What is not given here is taken from the environment: `SEALWORT_CLIENT__GATEWAY`,
/// `…__TOKEN_FILE`, `…__TOKEN`, `…__CACERT`, `…__TIMEOUT`.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// The gateway's address [default: http://127.0.0.1:8080; environment: SEALWORT_CLIENT__GATEWAY]
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// File with the bearer token, `-` for standard input [environment: SEALWORT_CLIENT__TOKEN_FILE, or the token
    /// itself in SEALWORT_CLIENT__TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the certificates that an https gateway's certificate is checked against.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Time to wait for an answer [default: 10m]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Interval>,
}

/// The same as a configuration, so that the environment is read in the one place that may.
#[derive(Debug, Serialize, Deserialize)]
struct ClientConfiguration {
    gateway: String,
    token: String,
    token_file: PathBuf,
    cacert: PathBuf,
    timeout: Interval,
}

impl Default for ClientConfiguration {
    fn default() -> Self {
        Self {
            gateway: "http://127.0.0.1:8080".to_owned(),
            token: String::new(),
            token_file: PathBuf::new(),
            cacert: PathBuf::new(),
            timeout: Interval::from_secs(600),
        }
    }
}

/// A client of one gateway.
pub(crate) struct GatewayClient {
    address: GatewayAddress,
    authorization: Option<HeaderValue>,
    tls: Option<TlsConnector>,
    patience: Duration,
    sender: Option<SendRequest<Upload>>,
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Path and query, from the gateway's root.
    pub(crate) path: &'a str,
    /// Media type and content.
    pub(crate) body: Option<(&'static str, Bytes)>,
    /// Purpose of use, where it is not treatment.
    pub(crate) purpose: Option<&'a str>,
    /// Shown the bytes as they pass: of the body where there is one, else of the answer.
    pub(crate) progress: ProgressBar,
}

/// An answer that says yes.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl<'a> Question<'a> {
    /// Asks for something.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, purpose: None, progress: ProgressBar::hidden() }
    }

    /// Sends JSON.
    pub(crate) fn post(path: &'a str, media_type: &'static str, body: Bytes) -> Self {
        Self { method: Method::POST, body: Some((media_type, body)), ..Self::get(path) }
    }
}

impl ClientArgs {
    /// A client; nothing is sent yet.
    pub(crate) fn client(&self) -> Result<GatewayClient, CliError> {
        let mut configuration: ClientConfiguration =
            Sources::new().environment(ENVIRONMENT).load()?.value;
        if let Some(file) = &self.token_file {
            configuration.token = String::new();
            configuration.token_file.clone_from(file);
        }
        let address: GatewayAddress = self.gateway.as_deref().unwrap_or(&configuration.gateway).parse()?;
        let cacert = self.cacert.clone().unwrap_or_else(|| configuration.cacert.clone());
        let tls = if address.is_https() { Some(connector(&cacert)?) } else { None };
        let authorization = match token(configuration.token, &configuration.token_file)? {
            Some(token) => Some(bearer(&token)?),
            None => None,
        };
        let patience = self.timeout.unwrap_or(configuration.timeout).0;
        Ok(GatewayClient { address, authorization, tls, patience, sender: None })
    }
}

impl GatewayClient {
    /// The gateway's address.
    pub(crate) fn address(&self) -> &GatewayAddress {
        &self.address
    }

    /// Asks and waits for the whole answer. Anything but 2xx is an error.
    pub(crate) async fn ask(&mut self, question: Question<'_>) -> Result<Answer, CliError> {
        let patience = self.patience;
        timeout(patience, self.exchange(question)).await.unwrap_or_else(|_| {
            let address = &self.address;
            Err(CliError::remote("timeout", format!("{address} did not answer within {patience:?}; see: sealwort status")))
        })
    }

    async fn exchange(&mut self, question: Question<'_>) -> Result<Answer, CliError> {
        let uploads = question.body.is_some();
        let (media_type, content) = question.body.unwrap_or_default();
        let uploaded = if uploads { question.progress.clone() } else { ProgressBar::hidden() };
        let mut request = Request::builder()
            .method(question.method)
            .uri(self.address.path(question.path))
            .header(HOST, self.address.authority())
            .header(ACCEPT, FHIR_JSON);
        if uploads {
            request = request.header(CONTENT_TYPE, media_type);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(purpose) = question.purpose {
            request = request.header(PURPOSE_HEADER, purpose);
        }
        let request = request
            .body(Upload::new(content, uploaded))
            .map_err(|error| CliError::Local(format!("the request cannot be written: {error}")))?;
        let failed = |error: hyper::Error| CliError::remote("http-failed", causes(&error));
        let mut sender = self.ready_sender().await?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let mut body = response.into_body();
        let mut content = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(failed)?.into_data() else { continue };
            if content.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(CliError::remote("response-too-large", format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")));
            }
            if !uploads {
                question.progress.inc(piece.len() as u64);
            }
            content.extend_from_slice(&piece);
        }
        self.sender = Some(sender);
        question.progress.finish_and_clear();
        if status.is_success() {
            return Ok(Answer { status, body: content.into() });
        }
        Err(CliError::refused(Some(status.as_u16()), refusal(status, &content)))
    }

    /// The connection that is open, or a new one.
    async fn ready_sender(&mut self) -> Result<SendRequest<Upload>, CliError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<SendRequest<Upload>, CliError> {
        let address = &self.address;
        let tcp = timeout(CONNECT_PATIENCE, TcpStream::connect(address.authority())).await;
        let tcp = match tcp {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => {
                return Err(CliError::remote(
                    "connect-failed",
                    format!("cannot connect to {address}: {error}; check that the gateway runs there"),
                ));
            }
            Err(_) => {
                return Err(CliError::remote("timeout", format!("{address} does not answer; check the address")));
            }
        };
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else { return start(tcp).await };
        let name = ServerName::try_from(address.host().to_owned())
            .map_err(|error| CliError::Local(format!("{address}: {error}")))?;
        match timeout(CONNECT_PATIENCE, tls.connect(name, tcp)).await {
            Ok(Ok(stream)) => start(stream).await,
            Ok(Err(error)) => Err(CliError::remote("tls-failed", format!("no TLS connection to {address}: {error}"))),
            Err(_) => Err(CliError::remote("timeout", format!("{address} does not answer the TLS handshake"))),
        }
    }
}

async fn start<S>(stream: S) -> Result<SendRequest<Upload>, CliError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| CliError::remote("http-failed", causes(&error)))?;
    // Its end is seen by the next request.
    tokio::spawn(connection);
    Ok(sender)
}

fn token(given: String, file: &Path) -> Result<Option<Zeroizing<String>>, CliError> {
    if !given.is_empty() {
        return Ok(Some(Zeroizing::new(given)));
    }
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_BYTES_MAX + 1));
        // Nothing else goes on before the token is there.
        let input = std::io::stdin().lock();
        input
            .take(TOKEN_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| CliError::Local(format!("cannot read the token from standard input: {error}")))?;
        bytes
    } else {
        secret_file::read(file)?
    };
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| !text.is_empty());
    let text = text.filter(|text| text.len() <= TOKEN_BYTES_MAX).ok_or_else(|| {
        CliError::Local(format!("{} holds no token; make one: sealwort gateway token", file.display()))
    })?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

fn bearer(token: &str) -> Result<HeaderValue, CliError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CliError::Local("the token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// TLS towards a gateway with a certificate of the site's own.
fn connector(cacert: &Path) -> Result<TlsConnector, CliError> {
    if cacert.as_os_str().is_empty() {
        return Err(CliError::Local(
            "an https gateway needs --cacert FILE: the PEM file of whoever issued its certificate".to_owned(),
        ));
    }
    let unusable = |reason: String| CliError::Local(format!("{}: {reason}", cacert.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(cacert).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// An error with all its causes in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Media type of FHIR resources.
pub(crate) const FHIR_JSON: &str = "application/fhir+json";
/// Media type of the gateway's own requests.
pub(crate) const JSON: &str = "application/json";

/// The gateway's header for the purpose of use.
const PURPOSE_HEADER: &str = "purpose-of-use";
const ENVIRONMENT: &str = "SEALWORT_CLIENT__";
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024 * 1024;
const TOKEN_BYTES_MAX: usize = 4096;
