//! What each side demands and promises (the paper's "policies", steps 4 to 9): signed, bound to the session
//! by the transcript, and matched field by field. A mismatch ends the run and names the field.

use minicbor::{Decode, Encode};

use crate::SUITE;
use crate::codec::to_bytes;
use crate::crypto::hash;
use crate::error::ErrorKind;
use crate::id::Digest;

/// Longest token lifetime that any party may ask for, in seconds.
pub const TOKEN_LIFETIME_SECONDS_MAX: u32 = 60;
/// Widest clock difference that any party may ask for, in seconds.
pub const CLOCK_SKEW_SECONDS_MAX: u32 = 300;
/// Most purposes of use in a list.
pub const PURPOSES_MAX: usize = 32;

/// One side's policies.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Policies {
    /// The suite spoken. There is one.
    #[n(0)]
    pub suite: u16,
    /// Longest lifetime of a token, in seconds.
    #[n(1)]
    pub token_lifetime_seconds: u32,
    /// Widest accepted difference of clocks, in seconds.
    #[n(2)]
    pub clock_skew_seconds: u32,
    /// Purposes of use (HL7 v3-PurposeOfUse codes): asked for by a gateway, served by the others. Sorted.
    #[n(3)]
    pub purposes: Vec<String>,
    /// How long records are kept, in days: the least that a gateway demands, what the others promise.
    #[n(4)]
    pub retention_days: u32,
    /// Software and version, for the log.
    #[n(5)]
    pub software: String,
}

impl Policies {
    /// The defaults: tokens of 60 seconds, clocks within 30, treatment and emergency, ten years.
    pub fn standard() -> Self {
        let mut purposes: Vec<String> =
            ["TREAT", "ETREAT", "BTG", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT"].map(String::from).to_vec();
        purposes.sort();
        Self {
            suite: SUITE,
            token_lifetime_seconds: 60,
            clock_skew_seconds: 30,
            purposes,
            retention_days: 3650,
            software: concat!("sealwort ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The hash that steps 2 and 3 of the transmission accept policies by.
    pub fn digest(&self) -> Digest {
        hash("sealwort policies v1", &to_bytes(self))
    }

    /// Checks what every side's policies must be, whatever it demands or promises: the suite, and purposes in order.
    pub fn check_form(&self) -> Result<(), ErrorKind> {
        if self.suite != SUITE {
            return Err(ErrorKind::Suite { found: self.suite });
        }
        if self.purposes.len() > PURPOSES_MAX || !self.purposes.is_sorted_by(|a, b| a < b) {
            let reason = format!("at most {PURPOSES_MAX}, sorted and unique");
            return Err(ErrorKind::Policy { field: "purposes", reason });
        }
        Ok(())
    }

    /// Checks what a gateway (or, in step 6, the broker) demands against what this side promises.
    pub fn admit(&self, demanded: &Self) -> Result<(), ErrorKind> {
        let mismatch = |field, reason: String| Err(ErrorKind::Policy { field, reason });
        demanded.check_form()?;
        let lifetime = self.token_lifetime_seconds.min(TOKEN_LIFETIME_SECONDS_MAX);
        if demanded.token_lifetime_seconds == 0 || demanded.token_lifetime_seconds > lifetime {
            return mismatch(
                "token_lifetime_seconds",
                format!("{} demanded, 1 to {lifetime} served", demanded.token_lifetime_seconds),
            );
        }
        let skew = self.clock_skew_seconds.min(CLOCK_SKEW_SECONDS_MAX);
        if demanded.clock_skew_seconds > skew {
            return mismatch(
                "clock_skew_seconds",
                format!("{} demanded, at most {skew} served", demanded.clock_skew_seconds),
            );
        }
        if let Some(purpose) = demanded.purposes.iter().find(|p| !self.purposes.contains(p)) {
            return mismatch("purposes", format!("{purpose} is not served"));
        }
        if demanded.retention_days > self.retention_days {
            return mismatch(
                "retention_days",
                format!("{} demanded, {} promised", demanded.retention_days, self.retention_days),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_field_is_matched_and_named() {
        let offer = Policies::standard();
        offer.admit(&offer).unwrap();
        let cases: [(&str, fn(&mut Policies)); 5] = [
            ("suite-unknown", |p| p.suite = 9),
            ("token_lifetime_seconds", |p| p.token_lifetime_seconds = 3600),
            ("clock_skew_seconds", |p| p.clock_skew_seconds = 3600),
            ("purposes", |p| p.purposes = vec!["MARKETING".into()]),
            ("retention_days", |p| p.retention_days = 99_999),
        ];
        for (name, change) in cases {
            let mut demanded = offer.clone();
            change(&mut demanded);
            let error = offer.admit(&demanded).unwrap_err();
            assert!(error.to_string().contains(name) || error.code() == name, "{name}: {error}");
        }
    }
}
