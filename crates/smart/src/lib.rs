//! The logic of SMART App Launch 2.2 and SMART Backend Services for the gateway's FHIR server: scopes, registered apps,
//! client assertions, the authorization code flow, tokens, and the documents that tell apps about them. It gets bytes,
//! the time and randomness, and gives back values; routes, files and pages are the gateway's. No key is ever fetched
//! from a network.

pub mod app;
pub mod assertion;
pub mod authorization;
pub mod describe;
pub mod discovery;
pub mod error;
pub mod exchange;
mod form;
pub mod grant;
pub mod id_token;
pub mod identifier;
pub mod redirect;
pub mod scope;
pub mod scope_set;
pub mod server;
pub mod token;
pub mod vapid;

pub use sealwort_oidc::{oidc, time};

use sealwort_oidc::jws;

pub use app::{App, AppFault, AppKind, AppRule, Apps};
pub use assertion::{AssertionFault, ReplayGuard, verify_assertion};
pub use authorization::{Consent, PatientChoice, PendingAuthorization, Refusal};
pub use describe::{Reader, describe};
pub use error::{ErrorCode, OAuthError};
pub use exchange::TokenResponse;
pub use grant::{Grant, Presence};
pub use id_token::{BadIdentityKey, IdentityAlgorithm, IdentityKey};
pub use identifier::{
    BadIdentifier, ClientId, DelegationId, EncounterId, FhirUser, GrantId, PatientId, Purpose, Role, SessionId,
    TokenId, UserName,
};
pub use scope::{Action, Actions, Context, ResourceScope, ResourceTypes, Scope, ScopeFault};
pub use scope_set::{DroppedScope, Permission, ScopeRequest, ScopeSet};
pub use server::{AuthorizationServer, BadState, Banner, Endpoints, IssuedLaunch, Launch, Settings, claimed_client};
pub use time::NumericDate;
pub use token::{Access, AccessToken, AccessTokens, IssuedToken, KeptAccess, SecretText, TokenFault, User};
pub use vapid::VapidKey;
