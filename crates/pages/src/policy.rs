//! The one policy under which browsers show pages, and the answer that carries it. There is no exception to it: no
//! script and no style but files of this server, nothing from and nothing to anywhere else.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use maud::Markup;

/// Where forms of a page may lead besides this server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy<'a> {
    /// Scheme, host and port to which the answer to a form may send the browser on, such as an app's or a provider's.
    pub onward: Option<&'a str>,
}

impl Policy<'_> {
    /// The value of `Content-Security-Policy`.
    pub fn content_security(&self) -> String {
        let onward = self.onward.map(|origin| format!(" {origin}")).unwrap_or_default();
        format!("{CONTENT_SECURITY}; form-action 'self'{onward}")
    }
}

/// A page as an answer: never kept by a cache, never shown inside another page, never a source for others.
pub fn respond(status: StatusCode, page: Markup, policy: Policy<'_>) -> Response {
    let mut response = Response::new(Body::from(page.into_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // An origin that is no header's text was let through nowhere; without it the form leads to this server alone.
    let policy = HeaderValue::from_str(&policy.content_security())
        .or_else(|_| HeaderValue::from_str(&Policy::default().content_security()));
    if let Ok(policy) = policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// All of it but where forms lead.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                                connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_lead_to_this_server_and_where_the_page_says() {
        let of = |onward| respond(StatusCode::OK, maud::html! {}, Policy { onward });
        let policy = |response: &Response| {
            response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap().to_owned()
        };
        assert!(policy(&of(None)).ends_with("form-action 'self'"));
        assert!(policy(&of(Some("https://app.example"))).ends_with("form-action 'self' https://app.example"));
        assert!(policy(&of(Some("https://app\n.example"))).ends_with("form-action 'self'"));
        assert!(!policy(&of(None)).contains("unsafe"));
    }
}
