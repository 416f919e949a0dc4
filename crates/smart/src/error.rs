//! What an app is told when it does not get what it asked for: the codes of OAuth with a sentence for a person. The
//! gateway sends it as JSON or in a redirect.

use std::fmt;

use serde::Serialize;

/// Error codes (RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not as it must be.
    InvalidRequest,
    /// The app is unknown, or did not prove that it is the one.
    InvalidClient,
    /// The code or refresh token does not count, or not for this app.
    InvalidGrant,
    /// The app may not use this kind of request.
    UnauthorizedClient,
    /// A grant type that this server does not have.
    UnsupportedGrantType,
    /// A response type that this server does not have.
    UnsupportedResponseType,
    /// None of the scopes can be granted.
    InvalidScope,
    /// The user, or the hospital, said no.
    AccessDenied,
    /// A fault of this server.
    ServerError,
    /// This server has too much to remember; later it will have less.
    TemporarilyUnavailable,
    /// The access token does not count.
    InvalidToken,
}

/// An error with a sentence for the app's developer or its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{description}")]
pub struct OAuthError {
    #[serde(rename = "error")]
    code: ErrorCode,
    #[serde(rename = "error_description")]
    description: String,
}

impl OAuthError {
    /// An error. Characters that a description may not have become `?` (RFC 6749, section 5.2).
    pub fn new(code: ErrorCode, description: impl fmt::Display) -> Self {
        let allowed = |letter: char| matches!(letter, ' '..='!' | '#'..='[' | ']'..='~');
        let description = description.to_string().chars().map(|c| if allowed(c) { c } else { '?' }).collect();
        Self { code, description }
    }

    /// The code.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The HTTP status. The response is never to be stored: `Cache-Control: no-store`.
    pub const fn status(&self) -> u16 {
        match self.code {
            ErrorCode::InvalidClient | ErrorCode::InvalidToken => 401,
            ErrorCode::AccessDenied => 403,
            ErrorCode::ServerError => 500,
            ErrorCode::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }

    /// The body of the response.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": self.code, "error_description": self.description})
    }
}

impl ErrorCode {
    /// As OAuth spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidToken => "invalid_token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_json_with_plain_characters() {
        let error = OAuthError::new(ErrorCode::InvalidGrant, "the \"code\"\nof Müller");
        let expected = r#"{"error":"invalid_grant","error_description":"the ?code??of M?ller"}"#;
        assert_eq!(error.to_json().to_string(), expected);
        assert_eq!(serde_json::to_string(&error).unwrap(), expected);
        assert_eq!((error.status(), error.code().as_str()), (400, "invalid_grant"));
        assert_eq!(OAuthError::new(ErrorCode::InvalidClient, "x").status(), 401);
    }
}
