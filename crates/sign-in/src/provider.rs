//! An OpenID provider over the network: its discovery document and keys, fetched and kept for a while, and
//! the exchange of a code for tokens. What is sent and how answers are checked is `sealwort_oidc::oidc`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use sealwort_net::client::web::{Reach, WebClient, WebError};
use sealwort_net::secret_file;
use sealwort_oidc::Role;
use sealwort_oidc::oidc::{
    Begun, ClientProof, Flow, Provider, ProviderKeys, ProviderTokens, SignInFault, SignInSettings, SignedIn,
};
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{random, sha256};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::seconds;

/// How long documents of the provider are good.
const KEPT: Duration = Duration::from_hours(1);

/// Why the provider did not sign a user in.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It was not reached.
    #[error(transparent)]
    Away(#[from] WebError),
    /// What it said does not count.
    #[error(transparent)]
    Fault(#[from] SignInFault),
}

/// The provider.
pub struct ProviderClient {
    settings: SignInSettings,
    proof: ClientProof,
    web: WebClient,
    kept: Mutex<Kept>,
    /// Where sessions end there, as its document says: pages need it, and wait for nobody.
    logout_endpoint: std::sync::Mutex<Option<String>>,
}

#[derive(Default)]
struct Kept {
    provider: Option<(Arc<Provider>, UnixTime)>,
    keys: Option<(ProviderKeys, UnixTime)>,
}

/// How a service is known at a provider, and how it reads what that says of people.
pub struct ProviderOptions<'a> {
    /// Its issuer, letter for letter as its discovery document has it.
    pub issuer: &'a str,
    /// The service's client id there.
    pub client_id: &'a str,
    /// File of the client secret; empty for a key.
    pub secret_file: &'a str,
    /// File of a P-256 key in PKCS #8 DER; empty for a secret.
    pub key_file: &'a str,
    /// Scopes beside `openid`.
    pub scope: &'a str,
    /// The claim with the user's name.
    pub name_claim: &'a str,
    /// The claim with roles or groups; dots lead into members.
    pub roles_claim: &'a str,
    /// Roles or groups of the provider, and the roles here that they mean.
    pub roles: BTreeMap<String, Role>,
    /// The claim that says which patient a user is; empty for none.
    pub patient_claim: &'a str,
    /// PEM file of the authorities that the provider's certificate is checked against; empty for the system's.
    pub authority: &'a str,
    /// Whether the provider is at an address that is not public.
    pub inside: bool,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

impl ProviderClient {
    /// Reads the secret or key, and whom to trust. Nothing is asked of the provider yet. The error names the option at
    /// fault.
    pub fn open(options: ProviderOptions<'_>) -> Result<Self, String> {
        let given = |value: &str, name: &str| if value.is_empty() { Err(format!("{name} is empty")) } else { Ok(()) };
        given(options.client_id, "client_id")?;
        given(options.name_claim, "name_claim")?;
        given(options.roles_claim, "roles_claim")?;
        let issuer = options.issuer;
        let is_web = issuer.starts_with("https://") || (options.inside && issuer.starts_with("http://"));
        if !is_web || issuer.contains(['?', '#']) {
            return Err("issuer is an https URL without query (http on loopback alone, with inside = true)".to_owned());
        }
        let secret = |file: &str| secret_file::read(Path::new(file)).map_err(|error| error.to_string());
        let proof = match (options.secret_file, options.key_file) {
            ("", "") => return Err("set secret_file or key_file".to_owned()),
            (file, "") => {
                let text = String::from_utf8(secret(file)?.to_vec()).map_err(|_| format!("{file} is not text"))?;
                ClientProof::Secret(Zeroizing::new(text.trim().to_owned()))
            }
            ("", file) => ClientProof::from_key(&secret(file)?),
            _ => return Err("set secret_file or key_file, not both".to_owned()),
        };
        let authority = Some(Path::new(options.authority)).filter(|file| !file.as_os_str().is_empty());
        let web = WebClient::new(authority, if options.inside { Reach::Inside } else { Reach::Public })?;
        let settings = SignInSettings {
            issuer: issuer.to_owned(),
            client_id: options.client_id.to_owned(),
            redirect_uri: options.redirect_uri,
            scope: options.scope.to_owned(),
            name_claim: options.name_claim.to_owned(),
            roles_claim: options.roles_claim.to_owned(),
            roles: options.roles,
            patient_claim: options.patient_claim.to_owned(),
        };
        Ok(Self { settings, proof, web, kept: Mutex::default(), logout_endpoint: std::sync::Mutex::default() })
    }

    /// Begins a sign-in.
    pub async fn begin(&self, role: Option<Role>, now: UnixTime) -> Result<Begun, ProviderError> {
        let provider = self.provider(now).await?;
        Ok(self.settings.begin(&provider, role, sha256, &mut random, seconds(now)))
    }

    /// Whether an answer is from this provider.
    pub async fn answers_as(&self, iss: Option<&str>, now: UnixTime) -> Result<bool, ProviderError> {
        Ok(self.provider(now).await?.answers_as(iss))
    }

    /// Takes the code for tokens, and says who signed in.
    pub async fn finish(
        &self,
        flow: &Flow,
        code: &str,
        now: UnixTime,
    ) -> Result<(SignedIn, Zeroizing<String>), ProviderError> {
        let provider = self.provider(now).await?;
        let (authorization, form) =
            self.settings.token_request(&provider, flow, code, &self.proof, &mut random, seconds(now))?;
        let mut request = Request::post(provider.token_endpoint())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization.as_str());
        }
        let request = request
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .map_err(|_| WebError::Url(provider.token_endpoint().to_owned()))?;
        let answer = self.web.send(request).await?;
        let tokens = ProviderTokens::parse(answer.status().as_u16(), answer.body())?;
        let keys = self.keys(&provider, now).await?;
        let verified = match self.settings.verify(&tokens, &keys, flow, sha256, seconds(now)) {
            // The provider may have new keys. Only it can bring us here, so this is not asked too often.
            Err(SignInFault::UnknownKey) => {
                self.kept.lock().await.keys = None;
                let keys = self.keys(&provider, now).await?;
                self.settings.verify(&tokens, &keys, flow, sha256, seconds(now))
            }
            verified => verified,
        };
        Ok((verified?, tokens.into_id_token()))
    }

    /// Where sessions end there, if it offers that and was asked before.
    pub fn logout_endpoint(&self) -> Option<String> {
        self.logout_endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the browser goes to sign out there, too.
    pub async fn logout_url(&self, id_token: &str, back: &str, now: UnixTime) -> Option<String> {
        self.provider(now).await.ok()?.logout_url(&self.settings.client_id, id_token, back)
    }

    async fn provider(&self, now: UnixTime) -> Result<Arc<Provider>, ProviderError> {
        let mut kept = self.kept.lock().await;
        if let Some((provider, since)) = &kept.provider
            && now < since.plus(KEPT)
        {
            return Ok(Arc::clone(provider));
        }
        let issuer = &self.settings.issuer;
        let answer = self.web.get(&Provider::document_url(issuer)).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(SignInFault::Discovery("the provider did not send it with status 200").into());
        }
        let provider = Arc::new(Provider::parse(answer.body(), issuer)?);
        *self.logout_endpoint.lock().unwrap_or_else(PoisonError::into_inner) =
            provider.logout_endpoint().map(str::to_owned);
        kept.provider = Some((Arc::clone(&provider), now));
        Ok(provider)
    }

    async fn keys(&self, provider: &Provider, now: UnixTime) -> Result<ProviderKeys, ProviderError> {
        let mut kept = self.kept.lock().await;
        if let Some((keys, since)) = &kept.keys
            && now < since.plus(KEPT)
        {
            return Ok(keys.clone());
        }
        let answer = self.web.get(provider.jwks_uri()).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(SignInFault::Keys("the provider did not send them with status 200").into());
        }
        let keys = ProviderKeys::parse(answer.body())?;
        kept.keys = Some((keys.clone(), now));
        Ok(keys)
    }
}
