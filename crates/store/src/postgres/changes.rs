//! Telling all processes on the same database what was changed (`NOTIFY`, with the commit), and hearing it. A process hears
//! of its own changes by this way as well: one that was committed when its connection was lost, or its caller went away,
//! nobody would tell otherwise. A connection that is lost is noticed by its silence; what was missed meanwhile nobody
//! knows, so all is told anew.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use sealwort_proto::Pseudonym;
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::schema::Known;
use super::{Database, PostgresStore, engine, readers};
use crate::{Change, ChangeStore, DatabaseFault, StoreError};

const CHANNEL: &str = "sealwort";
/// Silence after which the connection is asked for a sign of life, and how long that may take.
const QUIET: Duration = Duration::from_millis(500);
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// Time between two attempts to connect.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Told with the commit of this transaction, and not at all without it.
pub(super) async fn tell(c: &mut PgConnection, change: &Change) -> Result<(), StoreError> {
    let (kind, about) = match change {
        Change::Consent(patient) => ("consent", patient.to_string()),
        Change::Head(patient) => ("head", patient.to_string()),
        Change::Emergency(hospital) => ("emergency", hospital.clone()),
        Change::Anything | Change::Silence => ("anything", String::new()),
    };
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(format!("{kind}/{about}")).execute(c).await?;
    Ok(())
}

/// What was told. What cannot be read comes of a newer version.
fn read(told: &str) -> Change {
    let (kind, about) = told.split_once('/').unwrap_or((told, ""));
    let patient = || about.parse::<Pseudonym>().ok();
    let change = match kind {
        "consent" => patient().map(Change::Consent),
        "head" => patient().map(Change::Head),
        "emergency" => Some(Change::Emergency(about.to_owned())),
        _ => None,
    };
    change.unwrap_or(Change::Anything)
}

impl ChangeStore for PostgresStore {
    fn changes(&self) -> Option<BoxStream<'static, Change>> {
        let listening = Listening { database: self.database.clone(), known: self.known.clone(), listener: None };
        Some(stream::unfold(listening, async |mut listening| Some((listening.next().await, listening))).boxed())
    }
}

struct Listening {
    database: Database,
    known: Known,
    listener: Option<PgListener>,
}

impl Listening {
    async fn next(&mut self) -> Change {
        loop {
            let Some(listener) = &mut self.listener else {
                let silent = || DatabaseFault::Lost { reason: "no answer".to_owned() };
                match timeout(engine::ANSWER_PATIENCE, self.connect()).await.unwrap_or_else(|_| Err(silent().into())) {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        return Change::Anything;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "nothing is heard of other nodes; connecting again");
                        sleep(RETRY_EVERY).await;
                        continue;
                    }
                }
            };
            let alive = match timeout(QUIET, listener.try_recv()).await {
                Ok(Ok(Some(told))) => return read(told.payload()),
                Ok(Ok(None) | Err(_)) => false,
                Err(_) => matches!(timeout(ANSWER_PATIENCE, listener.execute("SELECT 1")).await, Ok(Ok(_))),
            };
            if !alive {
                tracing::warn!("the connection that tells what is changed was lost");
                self.listener = None;
                return Change::Silence;
            }
        }
    }

    /// From a pool of its own: a lost connection, which may take long to end, would keep the place of the next one.
    async fn connect(&self) -> Result<PgListener, StoreError> {
        if self.database.has_standbys() {
            self.database.connect().await?.close().await?;
        }
        let pool = readers::pool(&self.database, &self.known, 1);
        let mut listener = PgListener::connect_with(&pool).await?;
        // It would connect again by itself, and tell nobody that there was a gap.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_told_is_read_and_what_cannot_be_read_is_anything() {
        let patient = Pseudonym::new([7; 32]);
        for (told, change) in [
            (format!("consent/{patient}"), Change::Consent(patient)),
            (format!("head/{patient}"), Change::Head(patient)),
            (
                "emergency/sealwort://test/gateway/a".to_owned(),
                Change::Emergency("sealwort://test/gateway/a".to_owned()),
            ),
            ("consent/nobody".to_owned(), Change::Anything),
            ("unheard-of/x".to_owned(), Change::Anything),
            ("x".to_owned(), Change::Anything),
        ] {
            assert_eq!(read(&told), change, "{told}");
        }
    }
}
