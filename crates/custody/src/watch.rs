//! Readiness of store and keys: who cannot write now, or not under its key, should be sent nothing.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use sealwort_net::Shutdown;
use sealwort_net::health::Readiness;
use sealwort_net::kek::KeyEncryptionKeys;
use sealwort_net::member::Member;
use sealwort_store::PatientStore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How often both are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long each may take to answer: longer than a transaction waits for what another node has.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Asks whether the store could be written, and whether the key-encryption keys are at hand, again and again until
/// `shutdown`.
pub fn spawn_watch(
    store: Arc<dyn PatientStore>,
    member: Arc<Member>,
    readiness: Readiness,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut parts = [Part::new("store", readiness.clone()), Part::new("keys", readiness)];
        loop {
            let keys = async { member.with_keys(KeyEncryptionKeys::prove).await? };
            let (store, keys) = tokio::join!(answer(store.check()), answer(keys));
            for (part, fault) in parts.iter_mut().zip([store, keys]) {
                part.is(fault);
            }
            tokio::select! {
                () = sleep(ASK_EVERY) => {}
                () = shutdown.wait() => return,
            }
        }
    })
}

/// What is wrong, if anything is.
async fn answer<E: Display>(asked: impl Future<Output = Result<(), E>>) -> Option<String> {
    match timeout(ANSWER_PATIENCE, asked).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} seconds", ANSWER_PATIENCE.as_secs())),
    }
}

/// A part of readiness.
struct Part {
    name: &'static str,
    readiness: Readiness,
    works: bool,
}

impl Part {
    fn new(name: &'static str, readiness: Readiness) -> Self {
        Self { name, readiness, works: true }
    }

    /// Tells it to whoever asks, and what changed to the log.
    fn is(&mut self, fault: Option<String>) {
        match &fault {
            None if !self.works => tracing::info!(part = self.name, "it can be used again"),
            Some(error) if self.works => {
                tracing::error!(part = self.name, %error, "it cannot be used; this service is not ready");
            }
            _ => {}
        }
        self.works = fault.is_none();
        match fault {
            None => self.readiness.ready(self.name),
            Some(error) => self.readiness.not_ready(self.name, error),
        }
    }
}
