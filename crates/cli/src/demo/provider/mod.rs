//! The demo's own OpenID provider, without which nobody could sign in to its pages: it stands for what a hospital and the
//! operator of an exchange have already. It knows no password and lets whoever sits at this computer choose who they are;
//! so it is the demo's alone, and listens on loopback. What gateways and console get from it is what any provider gives
//! them: discovery, keys, codes with PKCE, signed identity tokens.

mod issuer;
mod page;
mod people;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sealwort_broker::ConsoleConfig;
use sealwort_gateway::{ProviderConfig, SignInConfig};
use sealwort_net::config::ListenConfig;
use sealwort_net::{Clock as _, SystemClock, secret_file};
use sealwort_oidc::NumericDate;
use sealwort_pages::assets;
use sealwort_pages::words::provider as words;
use serde_json::{Value, json};

use super::local::{self, Listening, field, fields};
use super::patients::Named;
use crate::error::CliError;
use issuer::{Issuer, Refusal, Unusable};
use people::{CONSOLE, PATIENT_CLAIM, Party};

/// The provider as it is served.
pub(crate) struct Provider {
    issuer: Arc<Issuer>,
    served: local::Served,
}

impl Provider {
    /// Starts it on a free port. The patient is a person who can sign in, too.
    pub(super) async fn start(patient: Option<Named>) -> Result<Self, CliError> {
        let listening = Listening::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), words::SURFACE).await?;
        let issuer = Arc::new(Issuer::new(&format!("http://{}", listening.address), people::all(patient))?);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(asked).post(chosen))
            .route("/token", post(token))
            .merge(assets::routes())
            .fallback(async || page::wrong(StatusCode::NOT_FOUND, words::NOT_THERE))
            .with_state(Arc::clone(&issuer));
        let served = listening.serve(router, || page::wrong(StatusCode::MISDIRECTED_REQUEST, words::NOT_LOOPBACK));
        Ok(Self { issuer, served })
    }

    /// Where it is, which is its name as an issuer.
    pub(super) fn url(&self) -> &str {
        self.issuer.url()
    }

    /// `[sign_in]` of a hospital's gateway. Its secret is kept in this folder.
    pub(super) fn of_gateway(&self, name: &str, folder: &Path) -> Result<SignInConfig, CliError> {
        let party = self.party(name)?;
        let has_patients = self.issuer.people().iter().any(|person| person.place == name && person.patient.is_some());
        Ok(SignInConfig {
            provider: self.of_client(name, party, folder)?,
            roles: [(people::physicians(name), "physician".to_owned())].into(),
            patient_claim: if has_patients { PATIENT_CLAIM.to_owned() } else { String::new() },
            organisation: party.shown.to_owned(),
            ..SignInConfig::default()
        })
    }

    /// `[console]` of the broker, likewise.
    pub(super) fn of_console(&self, folder: &Path) -> Result<ConsoleConfig, CliError> {
        let mut config =
            ConsoleConfig { address: Some(ListenConfig::on_loopback(0).address), ..ConsoleConfig::default() };
        config.sign_in.provider = self.of_client(CONSOLE, self.party(CONSOLE)?, folder)?;
        config.sign_in.operators = vec![people::OPERATORS.to_owned()];
        config.sign_in.auditors = vec![people::AUDITORS.to_owned()];
        Ok(config)
    }

    /// This provider, as one of its clients is told of it.
    fn of_client(&self, name: &str, party: &Party, folder: &Path) -> Result<ProviderConfig, CliError> {
        Ok(ProviderConfig {
            issuer: self.url().to_owned(),
            client_id: name.to_owned(),
            secret_file: secret(party, folder)?,
            inside: true,
            ..ProviderConfig::default()
        })
    }

    /// Registers where a gateway is, once it listens.
    pub(super) fn gateway_is_at(&self, name: &str, address: SocketAddr) -> Result<(), CliError> {
        self.returns(name, format!("http://{address}/auth/login/callback"))
    }

    /// The same of the console.
    pub(super) fn console_is_at(&self, address: SocketAddr) -> Result<(), CliError> {
        self.returns(CONSOLE, format!("http://{address}/login/callback"))
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.served.stop().await;
    }

    fn returns(&self, name: &str, redirect_uri: String) -> Result<(), CliError> {
        let set = self.party(name)?.redirect_uri.set(redirect_uri);
        set.map_err(|_| CliError::Local(format!("{name} is registered at the demo's provider already")))
    }

    fn party(&self, name: &str) -> Result<&Party, CliError> {
        let party = self.issuer.party(name);
        party.ok_or_else(|| CliError::Local(format!("the demo's provider knows no {name}")))
    }
}

/// Keeps a party's secret where its owner alone reads it; the file's name.
fn secret(party: &Party, folder: &Path) -> Result<String, CliError> {
    let file = folder.join(format!("{}.secret", party.name));
    secret_file::replace(&file, party.secret.as_bytes())?;
    Ok(file.display().to_string())
}

/// `GET /.well-known/openid-configuration`
async fn discovery(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(issuer.discovery())
}

/// `GET /jwks`
async fn jwks(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(issuer.jwks())
}

/// `GET /authorize`: who are you?
async fn asked(State(issuer): State<Arc<Issuer>>, RawQuery(query): RawQuery) -> Response {
    let query = fields(query.unwrap_or_default().as_bytes());
    match issuer.asked(&query) {
        Ok(asked) => page::who(&issuer, &asked, &query),
        Err(unusable) => told(&issuer, unusable),
    }
}

/// `POST /authorize`: somebody was chosen.
async fn chosen(State(issuer): State<Arc<Issuer>>, body: Bytes) -> Response {
    let form = fields(&body);
    let chosen = issuer.asked(&form).and_then(|asked| issuer.chosen(asked, field(&form, page::PERSON), now()));
    chosen.map_or_else(|unusable| told(&issuer, unusable), |back| see_other(&back))
}

/// `POST /token`
async fn token(State(issuer): State<Arc<Issuer>>, headers: HeaderMap, body: Bytes) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let tokens = issuer.tokens(authorization, &fields(&body), now());
    let status = match tokens {
        Ok(_) => StatusCode::OK,
        Err(Refusal::Client) => StatusCode::UNAUTHORIZED,
        Err(Refusal::Signing) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let answer = tokens.unwrap_or_else(|refusal| json!({"error": refusal.code()}));
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    }
    response
}

/// A request that leads to no page: back to whoever sent it, where that is known.
fn told(issuer: &Issuer, unusable: Unusable<'_>) -> Response {
    match unusable {
        Unusable::Party => page::wrong(StatusCode::BAD_REQUEST, words::UNKNOWN_PARTY),
        Unusable::Request(asked, error) => see_other(&issuer.back(&asked, &[("error", error)])),
    }
}

fn see_other(place: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place), (header::CACHE_CONTROL, "no-store")]).into_response()
}

fn now() -> NumericDate {
    NumericDate::from_secs(SystemClock.now().as_secs())
}
