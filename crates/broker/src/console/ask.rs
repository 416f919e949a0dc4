//! Whom the broker needs, asked again and again whether they are there: each node of the archive, and the authority. Each
//! answer says how long it took, what the other side's clock showed, and what it lacks, if it does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode, header};
use sealwort_net::Shutdown;
use sealwort_net::client::{Body, Connection, Endpoint, HopClient, HopError};
use sealwort_net::health::READY_PATH;
use sealwort_pki::{Role, UnixTime};
use time::PrimitiveDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::observed::Paper;
use crate::sessions::lock;

/// Time for one answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest text of an answer that is read, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// RFC 9110, 5.6.7.
const HTTP_DATE: &[FormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Somebody who is asked.
pub(crate) struct Asked {
    pub(crate) role: Role,
    pub(crate) endpoint: Endpoint,
    client: HopClient,
    last: Mutex<Option<Answer>>,
}

/// How asking ended.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) at: UnixTime,
    /// What was found, or why nobody was reached.
    pub(crate) found: Result<Found, String>,
}

/// What somebody who was reached said.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) took: Duration,
    /// Seconds by which the other clock is ahead of ours, or behind where negative; to within a second.
    pub(crate) ahead: Option<i64>,
    /// What it lacks to be ready, in its own words.
    pub(crate) lacks: Vec<String>,
    pub(crate) identity: String,
    pub(crate) hop: Option<Paper>,
}

impl Found {
    /// Whether it is being stopped, and takes nothing new.
    pub(crate) fn is_drained(&self) -> bool {
        self.lacks.iter().any(|line| line.starts_with("service:"))
    }
}

impl Asked {
    pub(crate) fn new(role: Role, client: HopClient, endpoint: Endpoint) -> Self {
        Self { role, endpoint, client, last: Mutex::default() }
    }

    /// How it was the last time.
    pub(crate) fn last(&self) -> Option<Answer> {
        lock(&self.last).clone()
    }

    async fn ask(&self, connection: &mut Option<Connection>, clock: &dyn sealwort_net::Clock) {
        let found = match tokio::time::timeout(PATIENCE, self.answer(connection, clock)).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
        };
        if found.is_err() {
            *connection = None;
        }
        *lock(&self.last) = Some(Answer { at: clock.now(), found });
    }

    async fn answer(
        &self,
        connection: &mut Option<Connection>,
        clock: &dyn sealwort_net::Clock,
    ) -> Result<Found, HopError> {
        let open = match connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.client.connect(&self.endpoint).await?,
        };
        let begun = Instant::now();
        let response = open.request(Method::GET, READY_PATH, Body::empty(), PATIENCE).await?;
        let took = begun.elapsed();
        let (status, headers) = (response.status, response.headers.clone());
        let text = response.read(TEXT_BYTES_MAX).await?;
        let lacks = match status {
            StatusCode::OK => Vec::new(),
            StatusCode::SERVICE_UNAVAILABLE if !text.trim_ascii().is_empty() => {
                String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
            }
            status => vec![format!("it answered {status} to {READY_PATH}")],
        };
        let found = Found {
            took,
            ahead: ahead(&headers, clock.now()),
            lacks,
            identity: open.peer().map(|peer| peer.identity().to_string()).unwrap_or_default(),
            hop: open.peer().map(|peer| Paper::of(peer.party())),
        };
        *connection = Some(open);
        Ok(found)
    }
}

/// Asks until `shutdown`, and at once where somebody wants to know.
pub(crate) fn spawn_asking(
    asked: Arc<Asked>,
    clock: Arc<dyn sealwort_net::Clock>,
    every: Duration,
    now: Arc<Notify>,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connection = None;
        loop {
            tokio::select! {
                () = asked.ask(&mut connection, clock.as_ref()) => {}
                () = shutdown.wait() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = now.notified() => {}
                () = shutdown.wait() => return,
            }
        }
    })
}

/// How far the clock of an answer is ahead of this one, in seconds.
fn ahead(headers: &HeaderMap, now: UnixTime) -> Option<i64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = PrimitiveDateTime::parse(date, HTTP_DATE).ok()?.assume_utc().unix_timestamp();
    Some(theirs - i64::try_from(now.as_secs()).ok()?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_clock_of_an_answer_is_compared() {
        let mut headers = HeaderMap::new();
        assert_eq!(ahead(&headers, UnixTime::from_secs(0)), None);
        headers.insert(header::DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(ahead(&headers, UnixTime::from_secs(784_111_770)), Some(7));
        assert_eq!(ahead(&headers, UnixTime::from_secs(784_111_780)), Some(-3));
        headers.insert(header::DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(ahead(&headers, UnixTime::from_secs(0)), None);
    }
}
