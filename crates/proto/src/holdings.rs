//! What a party holds for its sessions at one moment, so that the paper's Table 4 can be printed for a real
//! exchange. Services count it from the state that they keep; what is on disk does not belong to it.

use std::collections::HashSet;

use sealwort_pki::Fingerprint;

/// One party's holdings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Nonces and challenges of runs and requests that are not finished. A finished one leaves none.
    pub random_values: u64,
    /// Different statement certificates: its own, and those of the parties of its sessions.
    pub certificates: u64,
    /// Session keys: channels that stand.
    pub session_keys: u64,
    /// Times that bound what is held: of a challenge that was not answered yet, of a token, of an authority.
    pub time_stamps: u64,
    /// Tokens that can still be used or that an authority rests on.
    pub tokens: u64,
}

impl Holdings {
    /// Name and number of each, in the order of the paper's Table 4.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("random_value", self.random_values),
            ("certificate", self.certificates),
            ("session_key", self.session_keys),
            ("time_stamp", self.time_stamps),
            ("token", self.tokens),
        ]
    }
}

/// How many different certificates these are.
pub fn different(certificates: impl IntoIterator<Item = Fingerprint>) -> u64 {
    certificates.into_iter().collect::<HashSet<_>>().len() as u64
}
