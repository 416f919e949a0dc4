//! The hospital's OpenID provider over the network: its discovery document and keys, fetched and kept for a while, and
//! the exchange of a code for tokens. What is sent and how answers are checked is `sealwort_smart::oidc`'s.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use sealwort_net::client::web::{WebClient, WebError};
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{random, sha256};
use sealwort_smart::Role;
use sealwort_smart::oidc::{
    Begun, ClientProof, Flow, Provider, ProviderKeys, ProviderTokens, SignInFault, SignInSettings, SignedIn,
};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::authorization::seconds;

/// How long documents of the provider are good.
const KEPT: Duration = Duration::from_hours(1);

/// Why the provider did not sign a user in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It was not reached.
    #[error(transparent)]
    Away(#[from] WebError),
    /// What it said does not count.
    #[error(transparent)]
    Fault(#[from] SignInFault),
}

/// The provider.
pub(crate) struct ProviderClient {
    settings: SignInSettings,
    proof: ClientProof,
    web: WebClient,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    provider: Option<(Arc<Provider>, UnixTime)>,
    keys: Option<(ProviderKeys, UnixTime)>,
}

impl ProviderClient {
    pub(crate) fn new(settings: SignInSettings, proof: ClientProof, web: WebClient) -> Self {
        Self { settings, proof, web, kept: Mutex::default() }
    }

    /// Begins a sign-in.
    pub(crate) async fn begin(&self, role: Option<Role>, now: UnixTime) -> Result<Begun, ProviderError> {
        let provider = self.provider(now).await?;
        Ok(self.settings.begin(&provider, role, sha256, &mut random, seconds(now)))
    }

    /// Whether an answer is from this provider.
    pub(crate) async fn answers_as(&self, iss: Option<&str>, now: UnixTime) -> Result<bool, ProviderError> {
        Ok(self.provider(now).await?.answers_as(iss))
    }

    /// Takes the code for tokens, and says who signed in.
    pub(crate) async fn finish(
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
    pub(crate) async fn logout_endpoint(&self) -> Option<String> {
        let kept = self.kept.lock().await;
        kept.provider.as_ref().and_then(|(provider, _)| provider.logout_endpoint().map(str::to_owned))
    }

    /// Where the browser goes to sign out there, too.
    pub(crate) async fn logout_url(&self, id_token: &str, back: &str, now: UnixTime) -> Option<String> {
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
