//! The way to an S3 server: the HTTP client that this project has anyway.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use sealwort_net::client::web::{WebClient, WebError};

/// Gives `object_store` a client that was made before.
pub(super) struct Connector(pub(super) WebClient);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self(self.0.clone())))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = self.0.send(http::Request::from_parts(head, body)).await.map_err(failed)?;
        Ok(answer.map(Into::into))
    }
}

/// Which failures are worth another attempt.
fn failed(error: WebError) -> HttpError {
    let kind = match error {
        WebError::Failed { .. } => HttpErrorKind::Request,
        WebError::Timeout { .. } => HttpErrorKind::Timeout,
        WebError::Url(_) | WebError::Address { .. } | WebError::TooLarge { .. } => HttpErrorKind::Unknown,
    };
    HttpError::new_boxed(kind, Box::new(error) as Box<dyn Error + Send + Sync>)
}
