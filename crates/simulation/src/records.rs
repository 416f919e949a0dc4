//! A hospital's record system: it asks its own gateway over HTTP and takes what it gets.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::timeout;
use turmoil::net::TcpStream;

use crate::exchange::PORT;

/// System of the patients' identifiers.
pub(crate) const SYSTEM: &str = "urn:simulated";
/// Time to reach the gateway.
const REACH: Duration = Duration::from_secs(5);
/// Time for the whole answer; the gateway itself gives up before.
const PATIENCE: Duration = Duration::from_secs(40);

/// The way into one gateway.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) host: String,
    pub(crate) token: String,
}

/// What a gateway answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The code of the first issue, where it is an OperationOutcome.
    pub(crate) code: String,
    /// Entity tag.
    pub(crate) etag: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the simulation called the resources of a Bundle, in order: a server gives ids of its own to what is
    /// created, so that an Observation's name is its value.
    pub(crate) fn ids(&self) -> Vec<String> {
        let entries = self.body.get("entry").and_then(Value::as_array);
        let id = |entry: &Value| {
            let named = entry.pointer("/resource/valueString").or_else(|| entry.pointer("/resource/id"));
            named.and_then(Value::as_str).map(str::to_owned)
        };
        entries.map(|entries| entries.iter().filter_map(id).collect()).unwrap_or_default()
    }
}

impl Door {
    /// Asks, over a connection of its own. `None` when no whole answer came.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        timeout(PATIENCE, self.exchange(method, path, body)).await.ok()?
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        let stream = timeout(REACH, TcpStream::connect((self.host.clone(), PORT))).await.ok()?.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let driving = tokio::spawn(connection);
        let content = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(content))
            .ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.ok()?.to_bytes();
        driving.abort();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let code = body.pointer("/issue/0/details/coding/0/code").and_then(Value::as_str).unwrap_or_default();
        Some(Answer { status, code: code.to_owned(), etag, body })
    }

    pub(crate) async fn register(&self, patient: &str) -> Option<Answer> {
        let resource = json!({
            "resourceType": "Patient", "id": patient, "identifier": [{ "system": SYSTEM, "value": patient }],
        });
        self.ask(Method::PUT, &format!("/fhir/Patient/{patient}"), Some(resource)).await
    }

    pub(crate) async fn write(&self, patient: &str, id: &str, by_identifier: bool) -> Option<Answer> {
        let subject = if by_identifier {
            json!({ "identifier": { "system": SYSTEM, "value": patient } })
        } else {
            json!({ "reference": format!("Patient/{patient}") })
        };
        let resource = json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "simulated" },
            "subject": subject, "valueString": id,
        });
        self.ask(Method::POST, "/fhir/Observation", Some(resource)).await
    }

    pub(crate) async fn find(&self, patient: &str) -> Option<Answer> {
        self.ask(Method::GET, &format!("/fhir/Patient?identifier={SYSTEM}%7C{patient}"), None).await
    }

    pub(crate) async fn observations(&self, patient: &str) -> Option<Answer> {
        // The whole record: `Observation?patient=` matches no subject that has an identifier alone (FHIR R4, search).
        self.ask(Method::GET, &format!("/fhir/Patient/{patient}/$everything?_type=Observation"), None).await
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Answer> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn grant(&self, patient: &str, to: &str, write: bool) -> Option<Answer> {
        let actions: &[&str] = if write { &["read", "write"] } else { &["read"] };
        let change = json!({ "patient": patient, "to": to, "actions": actions });
        self.ask(Method::POST, "/consent/grant", Some(change)).await
    }

    pub(crate) async fn withdraw(&self, patient: &str, to: &str) -> Option<Answer> {
        let change = json!({ "patient": patient, "to": to });
        self.ask(Method::POST, "/consent/withdraw", Some(change)).await
    }
}
