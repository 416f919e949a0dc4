//! `/livez` and `/readyz`: is the process alive, and is it able to serve. The answers name parts
//! of the service, never its data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::routing::get;
use http::StatusCode;

/// What a service needs before it can serve, part by part. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<RwLock<BTreeMap<&'static str, Option<String>>>>,
}

impl Readiness {
    /// Nothing needed yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `part` works.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// Says that `part` does not work, and why.
    pub fn not_ready(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, Some(reason.into()));
    }

    /// The parts that do not work, each with its reason.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.parts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(|(part, reason)| Some((*part, reason.clone()?)))
            .collect()
    }

    fn set(&self, part: &'static str, reason: Option<String>) {
        self.parts.write().unwrap_or_else(PoisonError::into_inner).insert(part, reason);
    }
}

/// The two routes, to be merged into a service's own.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route(LIVE_PATH, get(async || "ok\n")).route(READY_PATH, get(async move || ready(&readiness)))
}

fn ready(readiness: &Readiness) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = String::new();
    for (part, reason) in missing {
        let _ = writeln!(text, "{part}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Answers as long as the process serves requests at all.
pub const LIVE_PATH: &str = "/livez";
/// Answers 200 when every part works, else 503 and the parts that do not.
pub const READY_PATH: &str = "/readyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_ready_until_every_part_is() {
        let readiness = Readiness::new();
        readiness.not_ready("store", "opening");
        readiness.ready("ca");
        assert_eq!(ready(&readiness), (StatusCode::SERVICE_UNAVAILABLE, "store: opening\n".to_owned()));
        readiness.ready("store");
        assert_eq!(ready(&readiness).0, StatusCode::OK);
    }
}
