//! Keeping the revocation lists fresh: the CA is asked again and again, and what it answers goes
//! into the [`SharedTrust`], which closes the connections of revoked parties. How to ask and
//! where to keep the answer are the caller's. Failures are logged and tried again; when they last
//! until the list in force has ended, `pki` refuses everybody: unknown is treated as revoked.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use sealwort_pki::enrolment::{CRL_MESSAGE_BYTES_MAX, CRL_PATH, CrlResponse, MessageError};
use sealwort_pki::{CrlSummary, TrustError};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::client::{Body, Endpoint, HopClient, HopError};
use crate::shutdown::Shutdown;
use crate::tls::SharedTrust;

/// Why no new revocation list was taken. The one before stays in force until its end.
#[derive(Debug, thiserror::Error)]
pub enum CrlRefreshError {
    /// The CA was not reached, or did not answer.
    #[error("the revocation list was not fetched: {0}")]
    Fetch(String),
    /// The answer is not the document that a CA serves.
    #[error("the answer of the certificate authority is no revocation list: {0}")]
    Malformed(#[from] MessageError),
    /// The list or its issuing certificate is not in order.
    #[error(transparent)]
    Refused(#[from] TrustError),
}

/// Asks the CA at `endpoint` for its revocation list over a connection of its own. The client
/// should be made with [`authority_client_config`](crate::tls::authority_client_config).
pub async fn fetch_crl(client: &HopClient, endpoint: &Endpoint) -> Result<Bytes, HopError> {
    let connection = client.connect(endpoint).await?;
    let response = connection.request(Method::GET, CRL_PATH, Body::empty(), FETCH_TIMEOUT).await?;
    if response.status != StatusCode::OK {
        return Err(HopError::Http {
            endpoint: endpoint.clone(),
            reason: format!("it answered {} to {CRL_PATH}", response.status),
        });
    }
    response.read(CRL_MESSAGE_BYTES_MAX).await
}

/// Takes an answer of the CA, fresh or kept from before a restart.
pub fn take(trust: &SharedTrust, answer: &[u8]) -> Result<CrlSummary, CrlRefreshError> {
    let read = CrlResponse::from_json(answer)?;
    Ok(trust.set_crl(&read.crl, &read.issuing)?)
}

/// Fetches, takes and keeps the list once.
///
/// `keep` is given the answer when it differs from `kept`, to be handed to [`take`] after a
/// restart. Failing to keep it is logged and not an error: the list in memory is in force.
async fn refresh<FetchFuture, FetchError, KeepFuture, KeepError>(
    trust: &SharedTrust,
    fetch: impl Fn() -> FetchFuture,
    keep: impl Fn(Bytes) -> KeepFuture,
    kept: &mut Bytes,
) -> Result<CrlSummary, CrlRefreshError>
where
    FetchFuture: Future<Output = Result<Bytes, FetchError>>,
    FetchError: Display,
    KeepFuture: Future<Output = Result<(), KeepError>>,
    KeepError: Display,
{
    let answer = fetch().await.map_err(|error| CrlRefreshError::Fetch(error.to_string()))?;
    let summary = take(trust, &answer)?;
    if *kept != answer {
        match keep(answer.clone()).await {
            Ok(()) => *kept = answer,
            Err(error) => warn!(%error, "cannot keep the revocation list for a restart"),
        }
    }
    Ok(summary)
}

/// Starts a task that refreshes the list every `every` until `shutdown`, and sooner after a
/// failure. `fetch` gets the CA's answer ([`fetch_crl`]), `keep` stores it for a restart.
pub fn spawn_crl_refresh<F, FetchFuture, FetchError, K, KeepFuture, KeepError>(
    trust: SharedTrust,
    fetch: F,
    keep: K,
    every: Duration,
    shutdown: Shutdown,
) -> JoinHandle<()>
where
    F: Fn() -> FetchFuture + Send + Sync + 'static,
    FetchFuture: Future<Output = Result<Bytes, FetchError>> + Send,
    FetchError: Display,
    K: Fn(Bytes) -> KeepFuture + Send + Sync + 'static,
    KeepFuture: Future<Output = Result<(), KeepError>> + Send,
    KeepError: Display,
{
    tokio::spawn(async move {
        let mut kept = Bytes::new();
        let mut number = trust.current().crl_number();
        let mut backoff = Backoff::new(FIRST_RETRY.min(every), every);
        loop {
            let refreshed = tokio::select! {
                refreshed = refresh(&trust, &fetch, &keep, &mut kept) => refreshed,
                () = shutdown.wait() => return,
            };
            let wait = match refreshed {
                Ok(list) => {
                    if number.replace(list.number) == Some(list.number) {
                        debug!(number = list.number, "revocation list unchanged");
                    } else {
                        info!(number = list.number, revoked = list.revoked, next_update = %list.next_update, "revocation list taken");
                    }
                    backoff.reset();
                    every
                }
                Err(error) => {
                    let wait = backoff.next_wait();
                    let ends = trust.current().newest().map(|list| list.next_update);
                    match ends {
                        Some(ends) => {
                            warn!(%error, in_force_until = %ends, retry_in = ?wait, "revocation list not refreshed");
                        }
                        None => {
                            warn!(%error, retry_in = ?wait, "no revocation list yet, so nobody is believed");
                        }
                    }
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => return,
            }
        }
    })
}

const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_secs(1);
