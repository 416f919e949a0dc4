//! The stateless cookie by which a broker under load makes a gateway send step 1 again before anything costly
//! is done for it. It is bound to the hop, so that it is worthless on another connection.

use sealwort_pki::UnixTime;

use super::HopExporter;
use crate::crypto::{Secret, mac, mac_matches};
use crate::id::Nonce;

/// Seconds for which a cookie is good.
pub const COOKIE_SECONDS: u64 = 30;

/// Makes and checks cookies; its key lives as long as the process.
pub struct CookieJar(Secret);

impl Default for CookieJar {
    fn default() -> Self {
        Self(Secret::random())
    }
}

impl CookieJar {
    /// A cookie for this nonce on this hop.
    pub fn bake(&self, nonce: &Nonce, hop: &HopExporter, now: UnixTime) -> Vec<u8> {
        let mut cookie = now.as_secs().to_be_bytes().to_vec();
        cookie.extend_from_slice(&self.tag(nonce, hop, now.as_secs()));
        cookie
    }

    /// Whether a cookie was baked here for this nonce and hop within [`COOKIE_SECONDS`].
    pub fn accepts(&self, cookie: &[u8], nonce: &Nonce, hop: &HopExporter, now: UnixTime) -> bool {
        let Some((time, tag)) = cookie.split_first_chunk::<8>() else { return false };
        let time = u64::from_be_bytes(*time);
        time <= now.as_secs() && now.as_secs() - time <= COOKIE_SECONDS && mac_matches(&self.tag(nonce, hop, time), tag)
    }

    fn tag(&self, nonce: &Nonce, hop: &HopExporter, time: u64) -> [u8; 32] {
        mac(&self.0, "sealwort cookie v1", &[nonce.as_bytes(), hop, &time.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_hop_nonce_and_time() {
        let jar = CookieJar::default();
        let (nonce, hop, now) = (Nonce::new([1; 32]), [2; 32], UnixTime::from_secs(1_000));
        let cookie = jar.bake(&nonce, &hop, now);
        assert!(jar.accepts(&cookie, &nonce, &hop, now));
        assert!(!jar.accepts(&cookie, &Nonce::new([9; 32]), &hop, now));
        assert!(!jar.accepts(&cookie, &nonce, &[9; 32], now));
        assert!(!jar.accepts(&cookie, &nonce, &hop, UnixTime::from_secs(1_031)));
        assert!(!jar.accepts(&cookie, &nonce, &hop, UnixTime::from_secs(999)));
        assert!(!jar.accepts(b"short", &nonce, &hop, now));
        assert!(!CookieJar::default().accepts(&cookie, &nonce, &hop, now));
    }
}
