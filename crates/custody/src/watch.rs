//! Readiness of the store: what cannot write now should be sent nothing.

use std::sync::Arc;
use std::time::Duration;

use sealwort_net::Shutdown;
use sealwort_net::health::Readiness;
use sealwort_store::PatientStore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The part of readiness.
const PART: &str = "store";
/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer: longer than a transaction waits for what another node has.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Asks the store whether it could write, again and again until `shutdown`.
pub fn spawn_store_watch(store: Arc<dyn PatientStore>, readiness: Readiness, shutdown: Shutdown) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut well = true;
        loop {
            let fault = match timeout(ANSWER_PATIENCE, store.check()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} seconds", ANSWER_PATIENCE.as_secs())),
            };
            match &fault {
                None if !well => tracing::info!("the store can be written again"),
                Some(error) if well => {
                    tracing::error!(%error, "the store cannot be written; this service is not ready");
                }
                _ => {}
            }
            well = fault.is_none();
            match fault {
                None => readiness.ready(PART),
                Some(error) => readiness.not_ready(PART, error),
            }
            tokio::select! {
                () = sleep(ASK_EVERY) => {}
                () = shutdown.wait() => return,
            }
        }
    })
}
