//! Which hospitals take part, for gateways whose patients choose among them: names alone, of gateways whose certificates
//! are in force. Nothing of it is about patients, so it is not entered in the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sealwort_journal::chains_of;
use sealwort_pki::{Expected, KeyUse, Role, UnixTime};
use sealwort_store::StoreError;

use crate::Broker;

/// How long what was read of kept certificates counts.
const COUNT: Duration = Duration::from_secs(10);

/// Identities behind kept certificates, when those were read last.
#[derive(Default)]
pub(crate) struct Hospitals(tokio::sync::Mutex<Option<(UnixTime, Arc<BTreeSet<String>>)>>);

/// `GET /v1/hospitals`
pub(crate) async fn list(State(broker): State<Arc<Broker>>) -> Response {
    match broker.hospitals().await {
        Ok(all) => {
            let lines = all.iter().flat_map(|one| [one.as_str(), "\n"]).collect::<String>();
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "which hospitals take part could not be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl Broker {
    /// Gateways that are here now, and those whose certificates are behind checkpoints that this broker cosigned.
    async fn hospitals(&self) -> Result<BTreeSet<String>, StoreError> {
        let now = self.member.trust().now();
        let mut all: BTreeSet<String> = self.sessions.list(now).iter().map(|(_, session)| session.gateway()).collect();
        all.extend(self.certified(now).await?.iter().cloned());
        Ok(all)
    }

    async fn certified(&self, now: UnixTime) -> Result<Arc<BTreeSet<String>>, StoreError> {
        let mut known = self.hospitals.0.lock().await;
        if let Some((at, all)) = &*known
            && now < at.plus(COUNT)
        {
            return Ok(Arc::clone(all));
        }
        let chains = chains_of(&self.journal.store().audit_chains().await?);
        let trust = self.member.trust().current();
        let expected = Expected::role(Role::Gateway, KeyUse::Statement);
        let valid = chains.iter().filter_map(|chain| trust.verify(chain, &expected, now).ok());
        let all: Arc<BTreeSet<String>> = Arc::new(valid.map(|party| party.identity().to_string()).collect());
        *known = Some((now, Arc::clone(&all)));
        Ok(all)
    }
}
