//! Plain HTTP/1.1 over one kept connection to a gateway on loopback, as one user. It is small on purpose, so that
//! little of what is measured is its own.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::measure::Failure;

/// One connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Client {
    /// Connects. The bearer token goes with every request.
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string(), authorization: format!("Bearer {token}") })
    }

    /// A GET that must succeed.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, Failure> {
        self.success(Method::GET, path, Bytes::new()).await
    }

    /// A POST that must succeed with 200: a write that went into the outbox has not been stored yet.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        self.success(Method::POST, path, body).await
    }

    async fn success(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        // Published Bundles refer to practitioners in files of their own, which are not loaded.
        let (status, body) = self.ask(method, path, Some("handling=lenient"), body).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let start = body.get(..body.len().min(ERROR_BYTES_SHOWN)).unwrap_or_default();
        Err(format!("{path} was answered {status}: {}", String::from_utf8_lossy(start)).into())
    }

    /// Any request, with a preference or none, and what was answered.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        prefer: Option<&str>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let kind = if path.starts_with("/fhir") { "application/fhir+json" } else { "application/json" };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, kind);
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// Text as a part of a query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

const ERROR_BYTES_SHOWN: usize = 600;
