//! Parameters of a query or a form, as browsers send them.

use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::StatusCode;
use sealwort_pages::words::console as words;

use super::frame::told;

/// Longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Parameters in their order.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Of a query or a body.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The value of a parameter that is there once; an empty one counts as absent.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(held, _)| held == name);
        let (_, value) = all.next().filter(|_| all.next().is_none())?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await;
        body.map(|body| Self::of(&body))
            .map_err(|_| told(StatusCode::BAD_REQUEST, words::FORM_TOO_LONG, words::FORM_TOO_LONG_NEXT))
    }
}
