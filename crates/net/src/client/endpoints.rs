//! The nodes of one party: any of them will do, and who is connected to one stays with it for as long as it answers.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Connection, Endpoint, HopClient, HopError};

/// Least time between two nodes that are passed over: where none can serve, nobody runs from one to the other.
pub const PASS_EVERY: Duration = Duration::from_secs(30);
/// Refusals by which a node says that it cannot serve now, perhaps whoever asks.
const UNWELL: [&str; 3] = ["audit-unavailable", "storage-failed", "unavailable"];

/// Where the nodes of a party are. Clones share which of them answered last.
#[derive(Debug, Clone)]
pub struct Endpoints {
    all: Arc<[Endpoint]>,
    last: Arc<AtomicUsize>,
    passed: Arc<Mutex<Option<Instant>>>,
}

impl Endpoints {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.all.iter()
    }

    /// Whether the node that was connected last is to be left for the next one, with which the next connection then begins,
    /// because it refused with this code.
    pub fn pass_over(&self, code: &str) -> bool {
        if self.all.len() < 2 || !UNWELL.contains(&code) {
            return false;
        }
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = passed.is_some_and(|at| at.elapsed() < PASS_EVERY);
        if !waits {
            *passed = Some(Instant::now());
            self.last.fetch_add(1, Ordering::Relaxed);
        }
        !waits
    }
}

impl HopClient {
    /// Connects to the node that answered last, or to the next one that does. Fails as the first of them does.
    pub async fn connect_any(&self, endpoints: &Endpoints) -> Result<Connection, HopError> {
        let (begin, count) = (endpoints.last.load(Ordering::Relaxed), endpoints.all.len());
        let mut first = None;
        for (at, endpoint) in endpoints.all.iter().enumerate().cycle().skip(begin % count).take(count) {
            match self.connect(endpoint).await {
                Ok(connection) => {
                    endpoints.last.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) if count > 1 => {
                    tracing::debug!(%endpoint, %error, "trying the next node");
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| HopError::Endpoint { text: String::new() }))
    }
}

impl From<Endpoint> for Endpoints {
    fn from(endpoint: Endpoint) -> Self {
        Self { all: Arc::new([endpoint]), last: Arc::default(), passed: Arc::default() }
    }
}

impl FromStr for Endpoints {
    type Err = HopError;

    /// Reads `https://host:port`, or several of them with commas between. Which comes first is left to chance, so that
    /// callers spread over the nodes.
    fn from_str(text: &str) -> Result<Self, HopError> {
        let all: Vec<Endpoint> = text.split(',').map(|one| one.trim().parse()).collect::<Result<_, _>>()?;
        let first = match all.len() {
            1 => 0,
            count => usize::from(u16::from_be_bytes(sealwort_proto::crypto::random())) % count,
        };
        Ok(Self { all: all.into(), last: Arc::new(AtomicUsize::new(first)), passed: Arc::default() })
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.all.iter().map(Endpoint::to_string).collect();
        out.write_str(&texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_that_cannot_serve_is_passed_over_once() {
        let two: Endpoints = "https://one.example:1, https://two.example:2".parse().unwrap();
        let first = two.last.load(Ordering::Relaxed);
        assert!(!two.pass_over("consent-no-provision") && two.pass_over("storage-failed"));
        assert_eq!(two.last.load(Ordering::Relaxed), first + 1);
        let one: Endpoints = "https://one.example:1".parse().unwrap();
        assert!(!one.pass_over("audit-unavailable"), "there is no other");
    }

    #[test]
    fn several_nodes_stand_with_commas_between() {
        let two: Endpoints = "https://one.example:1, https://two.example:2".parse().unwrap();
        assert_eq!(two.to_string(), "https://one.example:1, https://two.example:2");
        assert_eq!(two.iter().map(Endpoint::port).collect::<Vec<_>>(), [1, 2]);
        for wrong in ["", ",", "https://one.example:1,", "https://one.example:1 https://two.example:2"] {
            assert!(wrong.parse::<Endpoints>().is_err(), "{wrong}");
        }
    }
}
