//! What the server tells apps about itself: `.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance"),
//! the OpenID Connect configuration, and the addresses that older apps look for in the CapabilityStatement. Only what
//! is really offered is said.

use serde_json::{Map, Value, json};

use crate::assertion::ASSERTION_ALGORITHMS;
use crate::id_token::IdentityAlgorithm;
use crate::server::AuthorizationServer;

/// The extension of `CapabilityStatement.rest.security` (SMART App Launch, `oauth-uris`).
pub const OAUTH_URIS: &str = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";

/// Offered always.
const CAPABILITIES: [&str; 10] = [
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-asymmetric",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v2",
];
/// Offered where the record system can have apps launched.
const LAUNCH_CAPABILITIES: [&str; 4] = ["launch-ehr", "context-ehr-patient", "context-ehr-encounter", "context-banner"];
const SCOPES: [&str; 9] = [
    "openid",
    "fhirUser",
    "launch/patient",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
    "launch",
];

impl AuthorizationServer {
    /// The document at `.well-known/smart-configuration` below the FHIR base URL.
    pub fn smart_configuration(&self) -> Value {
        let at = &self.endpoints;
        let mut document = Map::new();
        let mut say = |name: &str, value: Value| document.insert(name.to_owned(), value);
        if self.identity_key.is_some() {
            say("issuer", json!(at.issuer));
            say("jwks_uri", json!(at.jwks));
        }
        say("authorization_endpoint", json!(at.authorization));
        say("token_endpoint", json!(at.token));
        say("introspection_endpoint", json!(at.introspection));
        say("revocation_endpoint", json!(at.revocation));
        if let Some(management) = &at.management {
            say("management_endpoint", json!(management));
        }
        say("grant_types_supported", json!(["authorization_code", "client_credentials", "refresh_token"]));
        say("response_types_supported", json!(["code"]));
        say("code_challenge_methods_supported", json!(["S256"]));
        say("token_endpoint_auth_methods_supported", json!(["private_key_jwt", "none"]));
        say("token_endpoint_auth_signing_alg_values_supported", json!(ASSERTION_ALGORITHMS));
        say("scopes_supported", json!(self.scopes_supported()));
        say("capabilities", json!(self.capabilities()));
        Value::Object(document)
    }

    /// The document at `.well-known/openid-configuration` below the issuer, where identity tokens are issued.
    pub fn openid_configuration(&self) -> Option<Value> {
        let key = self.identity_key.as_ref()?;
        let at = &self.endpoints;
        Some(json!({
            "issuer": at.issuer,
            "authorization_endpoint": at.authorization,
            "token_endpoint": at.token,
            "jwks_uri": at.jwks,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [key.algorithm().as_str()],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
            "scopes_supported": self.scopes_supported(),
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"],
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
        }))
    }

    /// The document at `jwks_uri`.
    pub fn jwks(&self) -> Value {
        self.identity_key.as_ref().map_or_else(|| json!({"keys": []}), crate::id_token::IdentityKey::jwks)
    }

    /// `CapabilityStatement.rest.security`: deprecated since SMART App Launch 2.0, read by apps of 1.0.
    pub fn security_element(&self) -> Value {
        let uri = |name: &str, at: &str| json!({"url": name, "valueUri": at});
        let at = &self.endpoints;
        let mut uris = vec![
            uri("authorize", &at.authorization),
            uri("token", &at.token),
            uri("introspect", &at.introspection),
            uri("revoke", &at.revocation),
        ];
        uris.extend(at.management.as_deref().map(|management| uri("manage", management)));
        json!({
            "extension": [{"url": OAUTH_URIS, "extension": uris}],
            "service": [{
                "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                    "display": "SMART-on-FHIR",
                }],
                "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
            }],
        })
    }

    fn capabilities(&self) -> Vec<&'static str> {
        let mut capabilities = CAPABILITIES.to_vec();
        if self.launches_apps {
            capabilities.extend(LAUNCH_CAPABILITIES);
        }
        if self.style_url.is_some() {
            capabilities.push("context-style");
        }
        // "The EHR SHALL support Signing ID Tokens with RSA SHA-256."
        if self.identity_key.as_ref().is_some_and(|key| key.algorithm() == IdentityAlgorithm::Rs256) {
            capabilities.push("sso-openid-connect");
        }
        capabilities
    }

    fn scopes_supported(&self) -> Vec<&'static str> {
        let offered = |scope: &&str| match *scope {
            "openid" | "fhirUser" => self.identity_key.is_some(),
            "launch" => self.launches_apps,
            _ => true,
        };
        SCOPES.into_iter().filter(offered).collect()
    }
}
