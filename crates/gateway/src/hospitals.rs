//! The hospitals of the exchange, as its broker knows them, for pages that offer them. They are names alone. What they may
//! open, consent says; and that a name stands here proves nothing: who takes part is proved by certificates, each time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use sealwort_net::client::Body;
use sealwort_net::exchange::{ANSWER_PATIENCE, HOSPITALS_PATH, accepted};
use sealwort_pki::{Identity, Role, UnixTime};

use crate::Gateway;
use crate::error::GatewayError;

/// How long they count.
const COUNT: Duration = Duration::from_secs(10);
/// Longest list, in bytes.
const LIST_BYTES_MAX: usize = 1 << 20;

/// Identities of gateways, when they were asked for last.
#[derive(Debug, Default)]
pub(crate) struct Hospitals(Mutex<Option<(UnixTime, Arc<BTreeSet<String>>)>>);

impl Gateway {
    /// Identities of all gateways; none while the broker cannot be asked.
    pub(crate) async fn hospitals(&self) -> Option<Arc<BTreeSet<String>>> {
        let known = || self.hospitals.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.sessions.now();
        let fresh = known().clone().filter(|(at, _)| now < at.plus(COUNT));
        if let Some((_, all)) = fresh {
            return Some(all);
        }
        match self.ask_hospitals().await {
            Ok(all) => {
                let all = Arc::new(all);
                *known() = Some((now, Arc::clone(&all)));
                Some(all)
            }
            Err(error) => {
                tracing::warn!(%error, "the broker did not say which hospitals take part");
                None
            }
        }
    }

    async fn ask_hospitals(&self) -> Result<BTreeSet<String>, GatewayError> {
        let session = self.session().await?;
        let asked = session.connection.request(Method::GET, HOSPITALS_PATH, Body::empty(), ANSWER_PATIENCE).await?;
        let list = accepted(asked).await?.read(LIST_BYTES_MAX).await?;
        let exchange = &self.member.identity().exchange;
        let named = String::from_utf8_lossy(&list);
        let all = named.lines().filter_map(|line| line.parse::<Identity>().ok());
        Ok(all
            .filter(|one| one.role == Role::Gateway && one.exchange == *exchange)
            .map(|one| one.to_string())
            .collect())
    }
}
