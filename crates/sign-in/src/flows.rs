//! Sign-ins that wait for the user's way back from the provider. Each counts once, in the browser that began it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sealwort_oidc::oidc::Flow;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{mac_matches, random, sha256};
use zeroize::Zeroizing;

use crate::attempts::Source;
use crate::seconds;

/// Most sign-ins that wait for the user's way back, and most of them from one address; there the oldest gives way.
const FLOWS_MAX: usize = 10_000;
const FLOWS_PER_SOURCE_MAX: usize = 500;

/// Too many people are signing in at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// A sign-in that waits for the user's way back, with what the service does then.
pub struct Waiting<N> {
    /// What was sent to the provider.
    pub flow: Flow,
    /// Where the user goes once signed in.
    pub next: N,
    /// Fingerprint of the cookie of the browser that began it.
    browser: [u8; 32],
    source: Option<Source>,
}

/// All of them, by their state.
pub struct Flows<N>(Mutex<HashMap<[u8; 32], Waiting<N>>>);

impl<N> Default for Flows<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<N> Flows<N> {
    /// Keeps one that began; the cookie that the browser keeps until it is back.
    pub fn keep(
        &self,
        state: &str,
        flow: Flow,
        next: N,
        source: Option<Source>,
        now: UnixTime,
    ) -> Result<Zeroizing<String>, Busy> {
        let cookie = Zeroizing::new(hex::encode(random::<32>()));
        let waiting = Waiting { flow, next, browser: sha256(cookie.as_bytes()), source };
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = || flows.iter().filter(|(_, one)| one.source == waiting.source);
        if of_source().count() >= FLOWS_PER_SOURCE_MAX
            && let Some(oldest) = of_source().min_by_key(|(_, one)| one.flow.expires).map(|(state, _)| *state)
        {
            flows.remove(&oldest);
        }
        if flows.len() >= FLOWS_MAX {
            flows.retain(|_, waiting| seconds(now) < waiting.flow.expires);
        }
        if flows.len() >= FLOWS_MAX {
            return Err(Busy);
        }
        flows.insert(sha256(state.as_bytes()), waiting);
        Ok(cookie)
    }

    /// The sign-in of a state, which is used up by this whatever follows. It belongs to the browser that began it.
    pub fn take(&self, state: &str, cookie: Option<&str>, now: UnixTime) -> Option<Waiting<N>> {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = flows.remove(&sha256(state.as_bytes()))?;
        let same = mac_matches(&waiting.browser, &sha256(cookie.unwrap_or_default().as_bytes()));
        (same && seconds(now) < waiting.flow.expires).then_some(waiting)
    }
}
