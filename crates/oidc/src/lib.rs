//! Sign-in by OpenID Connect, and the JSON Web Tokens that it rests on: what is sent to a provider, and the checks of what
//! comes back. Pure: it gets bytes, the time and randomness, and gives back values; the network and cookies are
//! `sealwort-sign-in`'s. It knows nothing of FHIR, so that the broker, whose console people sign in to, can use it.

pub mod form;
pub mod identifier;
pub mod jws;
pub mod oidc;
pub mod secret;
pub mod time;

pub use identifier::{BadIdentifier, Role, SessionId, UserName};
pub use secret::SecretText;
pub use time::NumericDate;

/// How a client says that it shows an assertion (RFC 7523, section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
