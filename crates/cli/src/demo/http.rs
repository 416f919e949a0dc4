//! Plain HTTP/1.1 to the demo's own gateways on loopback, one kept connection each.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::error::{CliError, Refused};

/// A client of one gateway, as one user.
pub(crate) struct Client {
    address: std::net::SocketAddr,
    token: String,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// An answer of a gateway.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(address: std::net::SocketAddr, token: String) -> Self {
        Self { address, token, sender: Mutex::new(None) }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, CliError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Result<Answer, CliError> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, CliError> {
        let mut sender = self.sender.lock().await;
        // A kept connection takes the next request when it is done with the one before.
        let usable = match sender.as_mut() {
            Some(open) => open.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.address).await.map_err(|e| failed(&e))?;
            let _ = stream.set_nodelay(true);
            let (fresh, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
            tokio::spawn(connection);
            *sender = Some(fresh);
        }
        let Some(open) = sender.as_mut() else { return Err(failed(&"no connection")) };
        let kind = if path.starts_with("/fhir") { "application/fhir+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, kind)
            // Published Bundles refer to practitioners in files of their own, which nobody need load for a demo.
            .header("prefer", "handling=lenient")
            .body(Full::new(body))
            .map_err(|e| failed(&e))?;
        let response = open.send_request(request).await.map_err(|e| failed(&e))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|e| failed(&e))?.to_bytes();
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The answer where it succeeded, else the outcome's words as an error.
    pub(crate) fn success(self, what: &str) -> Result<Bytes, CliError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let issue = self.issue();
        let text = |pointer: &str| issue.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
        let refused = Refused {
            code: text("/details/coding/0/code"),
            message: text("/details/text"),
            remedy: Some(text("/diagnostics")),
        };
        Err(CliError::refused(Some(self.status), refused).during(what))
    }

    /// The stable code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.issue().pointer("/details/coding/0/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn issue(&self) -> Value {
        let outcome: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        outcome.pointer("/issue/0").cloned().unwrap_or_default()
    }
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::remote("gateway-unreachable", format!("the gateway of the demo did not answer: {error}"))
}
