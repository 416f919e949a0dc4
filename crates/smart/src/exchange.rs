//! The token endpoint: codes, refresh tokens and client assertions become access tokens (RFC 6749, sections 4.1.3, 4.4
//! and 6; SMART App Launch 2.2, "Obtain access token"; SMART Backend Services). Nothing grants more than the user
//! approved and the hospital registered.

use serde::Serialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::app::AppKind;
use crate::authorization::CodeUse;
use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use crate::grant::{Approval, Fingerprint, Presence, RefreshFault};
use crate::id_token::Identity;
use crate::identifier::{ClientId, EncounterId, PatientId};
use crate::scope::{Context, Scope};
use crate::scope_set::{ScopeRequest, ScopeSet};
use crate::server::{AuthorizationServer, Banner, full};
use crate::time::NumericDate;
use crate::token::{Access, IssuedToken, SecretText, TokenFault};

/// What an app gets. Send it with `Cache-Control: no-store`.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: IssuedToken,
    /// What it allows, which may be less than the app asked for.
    pub scopes: ScopeSet,
    /// The token with which to come back.
    pub refresh_token: Option<SecretText>,
    /// Who the user is, where the app asked.
    pub id_token: Option<SecretText>,
    /// The patient in context.
    pub patient: Option<PatientId>,
    /// The encounter in context, where the launch had one.
    pub encounter: Option<EncounterId>,
    /// Who shows the patient's name.
    pub banner: Option<Banner>,
    /// The gateway's looks.
    pub style_url: Option<String>,
    /// Lifetime, in seconds.
    pub expires_in: u64,
}

impl TokenResponse {
    /// The body of the response (RFC 6749, section 5.1, with the launch context of SMART).
    pub fn to_json(&self) -> Value {
        json!(Body {
            access_token: self.access_token.text.expose(),
            token_type: "Bearer",
            expires_in: self.expires_in,
            scope: &self.scopes,
            refresh_token: self.refresh_token.as_ref().map(SecretText::expose),
            id_token: self.id_token.as_ref().map(SecretText::expose),
            patient: self.patient.as_ref(),
            encounter: self.encounter.as_ref(),
            need_patient_banner: self.banner.map(|banner| banner == Banner::App),
            smart_style_url: self.style_url.as_deref(),
        })
    }
}

#[derive(Serialize)]
struct Body<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u64,
    scope: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a PatientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encounter: Option<&'a EncounterId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    need_patient_banner: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smart_style_url: Option<&'a str>,
}

impl AuthorizationServer {
    /// Answers `POST` on the token endpoint.
    pub fn exchange(
        &mut self,
        body: &[u8],
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<TokenResponse, OAuthError> {
        let form = Form::parse(body)?;
        let grant_type = form.required("grant_type")?.to_owned();
        let known = ["authorization_code", "refresh_token", "client_credentials"];
        if !known.contains(&grant_type.as_str()) {
            let text = "grant_type is authorization_code, refresh_token or client_credentials";
            return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, text));
        }
        let app = self.authenticate(&form, crate::server::Asked::Token, now)?;
        let (client_id, kind, allowed) = (app.client_id().clone(), app.kind(), app.scopes().clone());
        match grant_type.as_str() {
            "authorization_code" => self.exchange_code(&form, client_id, random, now),
            "refresh_token" => self.refresh(&form, &client_id, &allowed, random, now),
            _ if kind == AppKind::Confidential => self.issue_to_app(&form, client_id, &allowed, random, now),
            _ => Err(OAuthError::new(ErrorCode::UnauthorizedClient, "a public app has nothing without a user")),
        }
    }

    fn exchange_code(
        &mut self,
        form: &Form,
        client_id: ClientId,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<TokenResponse, OAuthError> {
        let refused = |text| OAuthError::new(ErrorCode::InvalidGrant, text);
        let fingerprint = Fingerprint::of(form.required("code")?, self.digest);
        let (redirect_uri, verifier) = (form.required("redirect_uri")?, form.required("code_verifier")?);
        let code = self.codes.get_mut(&fingerprint).filter(|code| now < code.forgotten);
        let code = code.ok_or_else(|| refused("the code is unknown or over; start again"))?;
        // Whatever follows, the code is used now: a second try could only be somebody else's.
        if std::mem::replace(&mut code.usage, CodeUse::Used) == CodeUse::Used {
            let grant = code.grant.clone();
            self.kept.grants.revoke_grant(&grant, now);
            return Err(refused("the code was used before; all that came from it is revoked"));
        }
        if now >= code.expires {
            return Err(refused("the code is older than a minute; start again"));
        }
        if code.client_id != client_id || code.redirect_uri != redirect_uri {
            return Err(refused("the code belongs to another app or another redirect_uri"));
        }
        let proof = (self.digest)(verifier.as_bytes());
        if !is_verifier(verifier) || !bool::from(proof.ct_eq(&code.challenge)) {
            return Err(refused("code_verifier does not fit code_challenge"));
        }
        let (mut user, scopes, grant) = (code.user.clone(), code.scopes.clone(), code.grant.clone());
        let (patient, purpose, banner, nonce) =
            (code.patient.clone(), code.purpose.clone(), code.banner, code.nonce.clone());
        let encounter = code.encounter.clone();
        let presence = presence(&scopes);
        if !self.is_present(&user) {
            return Err(refused("the session of the user has ended; ask the user again"));
        }
        // What the user approved for longer than the session does not end with it.
        user.session = user.session.filter(|_| presence != Some(Presence::Offline));
        let fhir_user = user.fhir_user.as_ref().filter(|_| scopes.contains(&Scope::FhirUser));
        let identity = Identity {
            issuer: &self.endpoints.issuer,
            client_id: &client_id,
            user: &user,
            nonce: nonce.as_deref(),
            fhir_user,
        };
        let id_token = match &self.identity_key {
            Some(key) if scopes.contains(&Scope::OpenId) => Some(key.issue(&identity, now).ok_or_else(unsigned)?),
            _ => None,
        };
        let access = Access {
            client_id: client_id.clone(),
            user: Some(user.clone()),
            scopes: scopes.clone(),
            patient: patient.clone(),
            purpose: purpose.clone(),
            grant: Some(grant.clone()),
        };
        let mut response = self.respond(&access, random, now)?;
        response.id_token = id_token;
        response.encounter = encounter;
        response.banner = patient.is_some().then_some(banner);
        response.style_url.clone_from(&self.style_url);
        if let Some(presence) = presence {
            let approval = Approval { id: grant, client_id, user, scopes, patient, purpose };
            let token = self.kept.grants.add(approval, presence, self.digest, random, now).ok_or_else(full)?;
            response.refresh_token = Some(token);
        }
        Ok(response)
    }

    fn refresh(
        &mut self,
        form: &Form,
        client_id: &ClientId,
        allowed: &ScopeSet,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<TokenResponse, OAuthError> {
        let token = form.required("refresh_token")?;
        let wanted = form.value("scope").map(ScopeRequest::parse);
        let (grant, next) = self.kept.grants.rotate(token, client_id, self.digest, random, now).map_err(|fault| {
            let text = match fault {
                RefreshFault::Unknown => "the refresh token is unknown, over or revoked; ask the user again",
                RefreshFault::Reused => {
                    "the refresh token was used before; the approval is revoked, ask the user again"
                }
            };
            OAuthError::new(ErrorCode::InvalidGrant, text)
        })?;
        if !self.is_present(&grant.user) {
            self.kept.grants.revoke_grant(&grant.id, now);
            return Err(OAuthError::new(
                ErrorCode::InvalidGrant,
                "the session of the user has ended; ask the user again",
            ));
        }
        // What the hospital took from the app since then is gone; what was approved is never exceeded.
        let mut scopes = self.grantable(&grant.scopes.intersect(allowed));
        if let Some(wanted) = wanted {
            scopes = wanted.scopes.intersect(&scopes);
        }
        if scopes.is_empty() {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "none of these scopes was approved"));
        }
        let access = Access {
            client_id: grant.client_id,
            user: Some(grant.user),
            scopes,
            patient: grant.patient,
            purpose: grant.purpose,
            grant: Some(grant.id),
        };
        let mut response = self.respond(&access, random, now)?;
        response.refresh_token = Some(next);
        Ok(response)
    }

    /// SMART Backend Services: `system/` scopes alone, no context, no refresh token.
    fn issue_to_app(
        &self,
        form: &Form,
        client_id: ClientId,
        allowed: &ScopeSet,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<TokenResponse, OAuthError> {
        let asked = ScopeRequest::parse(form.required("scope")?).scopes;
        let scopes = asked
            .intersect(allowed)
            .only(|scope| matches!(scope, Scope::Resource(scope) if scope.context() == Context::System));
        if scopes.is_empty() {
            let text = "the app is registered for none of these system scopes";
            return Err(OAuthError::new(ErrorCode::InvalidScope, text));
        }
        let access = Access { client_id, user: None, scopes, patient: None, purpose: None, grant: None };
        self.respond(&access, random, now)
    }

    fn respond(
        &self,
        access: &Access,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<TokenResponse, OAuthError> {
        let access_token = self.tokens.issue(access, random(), now).map_err(|fault| match fault {
            TokenFault::TooLong => OAuthError::new(ErrorCode::InvalidScope, fault),
            _ => unsigned(),
        })?;
        Ok(TokenResponse {
            expires_in: access_token.expires.as_secs().saturating_sub(now.as_secs()),
            access_token,
            scopes: access.scopes.clone(),
            refresh_token: None,
            id_token: None,
            patient: access.patient.clone(),
            encounter: None,
            banner: None,
            style_url: None,
        })
    }
}

/// Where both are granted, the longer one says how long.
fn presence(scopes: &ScopeSet) -> Option<Presence> {
    let offline = scopes.contains(&Scope::OfflineAccess).then_some(Presence::Offline);
    offline.or(scopes.contains(&Scope::OnlineAccess).then_some(Presence::Online))
}

/// RFC 7636, section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn unsigned() -> OAuthError {
    OAuthError::new(ErrorCode::ServerError, "a token could not be signed; the hospital must check its keys")
}
