//! An OpenID provider over the network: its discovery document and keys, fetched and kept for a while, and
//! the exchange of a code for tokens. What is sent and how answers are checked is `sealwort_oidc::oidc`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use zeroize::Zeroizing;

use crate::config::ProviderConfig;
use crate::seconds;

/// How long documents of the provider are good.
const KEPT: Duration = Duration::from_hours(1);
/// How long a provider that was away is not asked for its document again: whoever signs in meanwhile waits for nothing.
const RESTS: Duration = Duration::from_secs(2);

/// Why the provider did not sign a user in.
#[derive(Debug, Clone, thiserror::Error)]
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
}

#[derive(Default)]
struct Kept {
    provider: Option<(Arc<Provider>, UnixTime)>,
    keys: Option<(ProviderKeys, UnixTime)>,
    /// Why it was away the last time that it was asked.
    away: Option<(WebError, UnixTime)>,
}

impl ProviderClient {
    /// Reads the secret or key, and whom to trust. `roles` are roles or groups of the provider, and the roles here that
    /// they mean; `patient_claim` says which patient a user is, empty for none; to `redirect_uri` the provider sends the
    /// browser back. Nothing is asked of the provider yet. The error names the option at fault.
    pub fn open(
        config: &ProviderConfig,
        roles: BTreeMap<String, Role>,
        patient_claim: &str,
        redirect_uri: String,
    ) -> Result<Self, String> {
        let given = [
            (&config.client_id, "client_id"),
            (&config.name_claim, "name_claim"),
            (&config.roles_claim, "roles_claim"),
        ];
        if let Some((_, name)) = given.iter().find(|(value, _)| value.is_empty()) {
            return Err(format!("provider.{name} is empty"));
        }
        let issuer = &config.issuer;
        let is_web = issuer.starts_with("https://") || (config.inside && issuer.starts_with("http://"));
        if !is_web || issuer.contains(['?', '#']) {
            let wanted = "an https URL without query (http on loopback alone, with inside = true)";
            return Err(format!("provider.issuer is {wanted}"));
        }
        let proof = match (config.secret_file.as_str(), config.key_file.as_str()) {
            ("", "") => return Err("provider.secret_file and provider.key_file are empty; set one".to_owned()),
            (file, "") => {
                let secret =
                    secret_file::read(Path::new(file)).map_err(|error| format!("provider.secret_file: {error}"))?;
                let text = String::from_utf8(secret.to_vec());
                let text = text.map_err(|_| format!("provider.secret_file: {file} is not text"))?;
                ClientProof::Secret(Zeroizing::new(text.trim().to_owned()))
            }
            ("", file) => {
                let key = secret_file::read(Path::new(file)).map_err(|error| format!("provider.key_file: {error}"))?;
                ClientProof::from_key(&key)
            }
            _ => return Err("provider.secret_file and provider.key_file are both set; set one".to_owned()),
        };
        let authority = Some(Path::new(&config.authority)).filter(|file| !file.as_os_str().is_empty());
        let reach = if config.inside { Reach::Inside } else { Reach::Public };
        let web = WebClient::new(authority, reach).map_err(|error| format!("provider.authority: {error}"))?;
        let settings = SignInSettings {
            issuer: issuer.clone(),
            client_id: config.client_id.clone(),
            redirect_uri,
            scope: config.scope.clone(),
            name_claim: config.name_claim.clone(),
            roles_claim: config.roles_claim.clone(),
            roles,
            patient_claim: patient_claim.to_owned(),
        };
        Ok(Self { settings, proof, web, kept: Mutex::default() })
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
                self.kept().keys = None;
                let keys = self.keys(&provider, now).await?;
                self.settings.verify(&tokens, &keys, flow, sha256, seconds(now))
            }
            verified => verified,
        };
        Ok((verified?, tokens.into_id_token()))
    }

    /// Where sessions end there, if it offers that and was asked before: pages wait for nobody.
    pub fn logout_endpoint(&self) -> Option<String> {
        self.known()?.logout_endpoint().map(str::to_owned)
    }

    /// Where the browser goes to sign out there, too; nowhere for whoever did not sign in there.
    pub fn logout_url(&self, id_token: &str, back: &str) -> Option<String> {
        let provider = self.known().filter(|_| !id_token.is_empty())?;
        provider.logout_url(&self.settings.client_id, id_token, back)
    }

    /// The newest document that came.
    fn known(&self) -> Option<Arc<Provider>> {
        self.kept().provider.as_ref().map(|(provider, _)| Arc::clone(provider))
    }

    /// A document that is good. One whose time is over does while the provider is away.
    async fn provider(&self, now: UnixTime) -> Result<Arc<Provider>, ProviderError> {
        let rests = {
            let kept = self.kept();
            if let Some((provider, since)) = &kept.provider
                && now < since.plus(KEPT)
            {
                return Ok(Arc::clone(provider));
            }
            kept.away.as_ref().filter(|(_, since)| now < since.plus(RESTS)).map(|(error, _)| error.clone())
        };
        let issuer = &self.settings.issuer;
        let answer = match rests {
            Some(error) => Err(error),
            None => self.web.get(&Provider::document_url(issuer)).await.inspect_err(|error| {
                self.kept().away = Some((error.clone(), now));
            }),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.known().ok_or(error.into()),
        };
        if answer.status() != http::StatusCode::OK {
            return Err(SignInFault::Discovery("the provider did not send it with status 200").into());
        }
        let provider = Arc::new(Provider::parse(answer.body(), issuer)?);
        let mut kept = self.kept();
        kept.provider = Some((Arc::clone(&provider), now));
        kept.away = None;
        Ok(provider)
    }

    async fn keys(&self, provider: &Provider, now: UnixTime) -> Result<ProviderKeys, ProviderError> {
        let known = self.kept().keys.clone();
        if let Some((keys, _)) = known.filter(|(_, since)| now < since.plus(KEPT)) {
            return Ok(keys);
        }
        let answer = self.web.get(provider.jwks_uri()).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(SignInFault::Keys("the provider did not send them with status 200").into());
        }
        let keys = ProviderKeys::parse(answer.body())?;
        self.kept().keys = Some((keys.clone(), now));
        Ok(keys)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A provider that sends its document so often, and then closes each connection.
    async fn provider(times: usize) -> (ProviderClient, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let at = |path: &str| format!("\"{issuer}{path}\"");
        let document = format!(
            "{{\"issuer\": {}, \"authorization_endpoint\": {}, \"token_endpoint\": {}, \"jwks_uri\": {}, \
             \"end_session_endpoint\": {}}}",
            at(""),
            at("/auth"),
            at("/token"),
            at("/keys"),
            at("/end"),
        );
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                if count.fetch_add(1, Ordering::SeqCst) < times {
                    let length = document.len();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{document}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        secret_file::create(&secret, b"a secret").unwrap();
        let config = ProviderConfig {
            issuer,
            client_id: "console".to_owned(),
            secret_file: secret.display().to_string(),
            inside: true,
            ..ProviderConfig::default()
        };
        let client = ProviderClient::open(&config, BTreeMap::new(), "", "http://localhost/back".to_owned()).unwrap();
        (client, asked)
    }

    const fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_provider_that_is_away_is_left_alone_for_a_while() {
        let (client, asked) = provider(0).await;
        for (second, wanted) in [(100, 1), (100, 1), (101, 1), (102, 2), (103, 2)] {
            assert!(matches!(client.begin(None, at(second)).await, Err(ProviderError::Away(_))), "{second}");
            assert_eq!(asked.load(Ordering::SeqCst), wanted, "{second}");
        }
    }

    #[tokio::test]
    async fn an_old_document_does_while_the_provider_is_away() {
        let (client, asked) = provider(1).await;
        assert_eq!(client.logout_url("token", "back"), None, "nothing is fetched for a sign-out");
        client.begin(None, at(100)).await.unwrap();
        client.begin(None, at(3699)).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        client.begin(None, at(3700)).await.unwrap();
        client.begin(None, at(3701)).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(client.logout_url("token", "back").unwrap().contains("/end?id_token_hint=token"));
        assert_eq!(client.logout_url("", "back"), None, "who did not sign in there");
    }
}
