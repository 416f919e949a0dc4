//! The commands' way to a gateway: its address, the bearer token, one HTTP/1.1 connection that is made when it
//! is needed, and answers that say no turned into errors. It knows nothing of FHIR but how an OperationOutcome
//! names its reason.

mod address;
mod body;
mod outcome;
mod tls;
mod token;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use rustls::pki_types::ServerName;
use sealwort_net::config::{Interval, Sources};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{CliError, Refused};
use address::GatewayAddress;
pub(crate) use address::encode;
use body::Upload;
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

/// Reads a gateway's answer.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CliError> {
    serde_json::from_slice(body)
        .map_err(|error| CliError::remote("not-an-answer", format!("the gateway's answer cannot be read: {error}")))
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
    /// The file of the token, if one is named.
    pub(crate) fn token_file(&self) -> Result<Option<PathBuf>, CliError> {
        let file = self.configuration()?.token_file;
        Ok(Some(file).filter(|file| !file.as_os_str().is_empty() && file.as_os_str() != "-"))
    }

    /// A client that shows no token: for whoever is about to get one.
    pub(crate) fn without_token(&self) -> Result<GatewayClient, CliError> {
        self.client_with(&self.configuration()?, None)
    }

    /// A client; nothing is sent yet.
    pub(crate) fn client(&self) -> Result<GatewayClient, CliError> {
        let mut configuration = self.configuration()?;
        let token = token::read(std::mem::take(&mut configuration.token), &configuration.token_file)?;
        self.client_with(&configuration, token.map(|token| token::bearer(&token)).transpose()?)
    }

    /// What the environment says, covered by what was given.
    fn configuration(&self) -> Result<ClientConfiguration, CliError> {
        let mut configuration: ClientConfiguration = Sources::new().environment(ENVIRONMENT).load()?.value;
        if let Some(file) = &self.token_file {
            configuration.token = String::new();
            configuration.token_file.clone_from(file);
        }
        Ok(configuration)
    }

    fn client_with(
        &self,
        configuration: &ClientConfiguration,
        authorization: Option<HeaderValue>,
    ) -> Result<GatewayClient, CliError> {
        let address: GatewayAddress = self.gateway.as_deref().unwrap_or(&configuration.gateway).parse()?;
        let cacert = self.cacert.clone().unwrap_or_else(|| configuration.cacert.clone());
        let tls = if address.is_https() { Some(tls::connector(&cacert)?) } else { None };
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
        let mut body = Limited::default();
        let status = self.within_patience(question, &mut body).await?;
        Ok(Answer { status, body: body.0.into() })
    }

    /// The same with an answer of any size, written where it is kept. What breaks off is an error.
    pub(crate) async fn download(
        &mut self,
        question: Question<'_>,
        to: &mut (dyn Write + Send),
    ) -> Result<(), CliError> {
        self.within_patience(question, to).await.map(drop)
    }

    async fn within_patience(
        &mut self,
        question: Question<'_>,
        to: &mut (dyn Write + Send),
    ) -> Result<StatusCode, CliError> {
        let patience = self.patience;
        timeout(patience, self.exchange(question, to)).await.unwrap_or_else(|_| {
            let address = &self.address;
            Err(CliError::remote(
                "timeout",
                format!("{address} did not answer within {patience:?}; see: sealwort status"),
            ))
        })
    }

    async fn exchange(&mut self, question: Question<'_>, to: &mut (dyn Write + Send)) -> Result<StatusCode, CliError> {
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
        let failed = |error: hyper::Error| {
            let remedy = uploads.then(|| UPLOAD_BROKEN.to_owned());
            let (code, message) = ("http-failed".to_owned(), causes(&error));
            CliError::refused(None, Refused { code, message, remedy })
        };
        let mut sender = self.ready_sender().await?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let mut body = response.into_body();
        let mut refusing = Limited::default();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(failed)?.into_data() else { continue };
            if !uploads {
                question.progress.inc(piece.len() as u64);
            }
            let written = if status.is_success() { to.write_all(&piece) } else { refusing.write_all(&piece) };
            written.map_err(|error| CliError::Local(format!("the answer cannot be kept: {error}")))?;
        }
        self.sender = Some(sender);
        question.progress.finish_and_clear();
        if status.is_success() {
            return Ok(status);
        }
        let mut refused = refusal(status, &refusing.0);
        if status == StatusCode::UNAUTHORIZED {
            refused.remedy = Some(LOGIN.to_owned());
        }
        Err(CliError::refused(Some(status.as_u16()), refused))
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

/// An answer in memory, up to a limit.
#[derive(Default)]
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other(format!("it is larger than {ANSWER_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
const UPLOAD_BROKEN: &str =
    "the gateway was stopped, or takes no body of this size (limits.body_bytes_max); see its log and send again";
const LOGIN: &str = "make a token where the gateway's folder is, and give it with --token-file FILE: \
     sealwort gateway token --dir DIR --user NAME --role ROLE --out FILE";
const ENVIRONMENT: &str = "SEALWORT_CLIENT__";
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024 * 1024;
