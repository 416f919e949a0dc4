//! What users approved and has not ended: refresh tokens, which change with each use, and what was revoked before its
//! time. Of a refresh token only a fingerprint is kept, so whoever reads this state cannot use it; but it names users
//! and patients, and belongs sealed on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::identifier::{ClientId, GrantId, PatientId, Purpose, TokenId, UserName};
use crate::jws;
use crate::scope_set::ScopeSet;
use crate::time::NumericDate;
use crate::token::{APP_TOKEN_SECONDS, AccessToken, SecretText, User};

/// How long an approval with `offline_access` lasts, in seconds. It does not grow with use.
pub const OFFLINE_SECONDS: u64 = 90 * 24 * 60 * 60;
/// How long an approval with `online_access` lasts at most, in seconds. The end of the user's session ends it earlier.
pub const ONLINE_SECONDS: u64 = 12 * 60 * 60;
/// Most approvals that are kept.
pub const GRANTS_MAX: usize = 50_000;
/// Most revoked grants and tokens that are kept one by one.
pub const REVOKED_MAX: usize = 50_000;

/// SHA-256 of a secret, as base64url. Looking one up tells an observer of time nothing about a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    pub(crate) fn of(secret: &str, digest: fn(&[u8]) -> [u8; 32]) -> Self {
        Self(jws::encode(&digest(secret.as_bytes())))
    }
}

/// For how long an app may come back without the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// `online_access`
    Online,
    /// `offline_access`
    Offline,
}

/// One approval by a user that an app can refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its name, which its access tokens carry.
    pub id: GrantId,
    /// The app.
    pub client_id: ClientId,
    /// Who approved.
    pub user: User,
    /// What was approved.
    pub scopes: ScopeSet,
    /// For which patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientId>,
    /// For which purpose of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// Whether it outlasts the session.
    pub presence: Presence,
    /// When it was approved.
    pub approved: NumericDate,
    /// When it ends.
    pub expires: NumericDate,
    /// The refresh token that counts now.
    current: Fingerprint,
}

/// What a user approved, before it has a refresh token.
pub(crate) struct Approval {
    pub(crate) id: GrantId,
    pub(crate) client_id: ClientId,
    pub(crate) user: User,
    pub(crate) scopes: ScopeSet,
    pub(crate) patient: Option<PatientId>,
    pub(crate) purpose: Option<Purpose>,
}

/// Why a refresh token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshFault {
    Unknown,
    Reused,
}

/// All approvals and revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    /// By the fingerprint of the first half of their refresh tokens, which stays the same.
    live: BTreeMap<Fingerprint, Grant>,
    /// Until the last access token that could come from it has ended.
    ended: BTreeMap<GrantId, NumericDate>,
    /// Until the token itself has ended.
    revoked_tokens: BTreeMap<TokenId, NumericDate>,
    /// All tokens issued up to then are revoked.
    revoked_before: Option<NumericDate>,
}

impl Grants {
    /// Keeps an approval and gives its first refresh token, or nothing if there is no room.
    pub(crate) fn add(
        &mut self,
        approval: Approval,
        presence: Presence,
        digest: fn(&[u8]) -> [u8; 32],
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Option<SecretText> {
        if self.live.len() >= GRANTS_MAX {
            self.sweep(now);
        }
        if self.live.len() >= GRANTS_MAX {
            return None;
        }
        let seconds = if presence == Presence::Offline { OFFLINE_SECONDS } else { ONLINE_SECONDS };
        let (family, secret) = (jws::encode(&random()), jws::encode(&random()));
        let Approval { id, client_id, user, scopes, patient, purpose } = approval;
        let current = Fingerprint::of(&secret, digest);
        let (approved, expires) = (now, now.plus(seconds));
        let grant = Grant { id, client_id, user, scopes, patient, purpose, presence, approved, expires, current };
        self.live.insert(Fingerprint::of(&family, digest), grant);
        Some(SecretText::new(format!("{family}.{secret}")))
    }

    /// Takes a refresh token for the next one. A token that was used before, or comes from another app, was stolen from
    /// somebody: nobody can say from whom, so the whole approval ends (RFC 9700, section 4.14.2).
    pub(crate) fn rotate(
        &mut self,
        token: &str,
        client_id: &ClientId,
        digest: fn(&[u8]) -> [u8; 32],
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<(Grant, SecretText), RefreshFault> {
        let (family, secret) = halves(token).ok_or(RefreshFault::Unknown)?;
        let key = Fingerprint::of(family, digest);
        let grant = self.live.get_mut(&key).filter(|grant| now < grant.expires).ok_or(RefreshFault::Unknown)?;
        if grant.client_id != *client_id || !same(&grant.current, &Fingerprint::of(secret, digest)) {
            let id = grant.id.clone();
            self.revoke_grant(&id, now);
            return Err(RefreshFault::Reused);
        }
        let next = jws::encode(&random());
        grant.current = Fingerprint::of(&next, digest);
        Ok((grant.clone(), SecretText::new(format!("{family}.{next}"))))
    }

    /// The approval of a refresh token that counts now.
    pub(crate) fn find(&self, token: &str, digest: fn(&[u8]) -> [u8; 32], now: NumericDate) -> Option<&Grant> {
        let (family, secret) = halves(token)?;
        let grant = self.live.get(&Fingerprint::of(family, digest)).filter(|grant| now < grant.expires)?;
        same(&grant.current, &Fingerprint::of(secret, digest)).then_some(grant)
    }

    pub(crate) fn iter(&self, now: NumericDate) -> impl Iterator<Item = &Grant> {
        self.live.values().filter(move |grant| now < grant.expires)
    }

    /// Ends an approval and all access tokens from it.
    pub(crate) fn revoke_grant(&mut self, id: &GrantId, now: NumericDate) {
        self.live.retain(|_, grant| grant.id != *id);
        self.make_room(now);
        self.ended.insert(id.clone(), now.plus(APP_TOKEN_SECONDS));
    }

    /// Ends one access token.
    pub(crate) fn revoke_token(&mut self, id: &TokenId, expires: NumericDate, now: NumericDate) {
        self.make_room(now);
        self.revoked_tokens.insert(id.clone(), expires);
    }

    /// Ends what a user approved for as long as they are signed in.
    pub(crate) fn end_session(&mut self, user: &UserName, now: NumericDate) {
        self.revoke_where(now, |grant| grant.user.name == *user && grant.presence == Presence::Online);
    }

    pub(crate) fn revoke_where(&mut self, now: NumericDate, ends: impl Fn(&Grant) -> bool) {
        let ended: Vec<_> = self.live.values().filter(|grant| ends(grant)).map(|grant| grant.id.clone()).collect();
        for id in ended {
            self.revoke_grant(&id, now);
        }
    }

    pub(crate) fn is_revoked(&self, token: &AccessToken) -> bool {
        self.revoked_before.is_some_and(|before| token.issued() <= before)
            || self.revoked_tokens.contains_key(token.id())
            || token.access().grant.as_ref().is_some_and(|grant| self.ended.contains_key(grant))
    }

    pub(crate) fn sweep(&mut self, now: NumericDate) {
        self.live.retain(|_, grant| now < grant.expires);
        self.ended.retain(|_, until| now < *until);
        self.revoked_tokens.retain(|_, until| now < *until);
    }

    /// Where the list of revocations is full, everything that was issued so far is revoked: forgetting a single
    /// revocation would let a stolen token in again.
    fn make_room(&mut self, now: NumericDate) {
        if self.ended.len() + self.revoked_tokens.len() >= REVOKED_MAX {
            self.sweep(now);
        }
        if self.ended.len() + self.revoked_tokens.len() >= REVOKED_MAX {
            self.ended.clear();
            self.revoked_tokens.clear();
            self.revoked_before = Some(now);
        }
    }
}

/// The halves of a refresh token in its canonical form.
fn halves(token: &str) -> Option<(&str, &str)> {
    let (family, secret) = token.split_once('.')?;
    let is_random = |half: &str| half.len() == 43 && jws::decode(half).is_some();
    (is_random(family) && is_random(secret)).then_some((family, secret))
}

fn same(one: &Fingerprint, other: &Fingerprint) -> bool {
    one.0.as_bytes().ct_eq(other.0.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Access, AccessTokens};

    fn at(seconds: u64) -> NumericDate {
        NumericDate::from_secs(seconds)
    }

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }

    fn token(name: u8, now: NumericDate) -> AccessToken {
        let tokens = AccessTokens::new("i", "a", &[1; 32]).unwrap();
        let (scopes, grant) = (id("system/*.r"), Some(id("g")));
        let access = Access { client_id: id("app"), user: None, scopes, patient: None, purpose: None, grant };
        tokens.verify(tokens.issue(&access, [name; 32], now).unwrap().text.expose(), now).unwrap()
    }

    #[test]
    fn a_full_list_of_revocations_revokes_everything_rather_than_forget_one() {
        let (mut grants, stolen) = (Grants::default(), token(1, at(10)));
        grants.revoke_token(stolen.id(), stolen.expires(), at(10));
        for number in 1..REVOKED_MAX {
            grants.revoke_token(&id(&number.to_string()), at(400), at(11));
        }
        assert!(grants.is_revoked(&stolen) && !grants.is_revoked(&token(2, at(12))));
        grants.revoke_token(&id("one-more"), at(400), at(12));
        assert!(grants.is_revoked(&stolen) && grants.is_revoked(&token(2, at(12))));
        assert!(!grants.is_revoked(&token(3, at(13))));
        assert!(grants.revoked_tokens.len() == 1);
    }

    #[test]
    fn a_revocation_is_kept_as_long_as_its_tokens_live() {
        let mut grants = Grants::default();
        let own = token(1, at(0));
        grants.revoke_grant(&id("g"), at(0));
        grants.sweep(at(APP_TOKEN_SECONDS - 1));
        assert!(grants.is_revoked(&own));
        grants.sweep(at(APP_TOKEN_SECONDS));
        assert!(!grants.is_revoked(&own));
    }

    #[test]
    fn refresh_tokens_have_one_form_and_their_time() {
        let digest = |bytes: &[u8]| {
            // Not a hash: enough to tell short texts of one test apart.
            let mut sum = [0_u8; 32];
            bytes
                .iter()
                .enumerate()
                .for_each(|(place, byte)| sum[place % 32] = sum[place % 32].wrapping_mul(31) ^ byte);
            sum
        };
        let mut count = 0_u8;
        let mut random = || {
            count += 1;
            [count; 32]
        };
        let user = User { name: id("dr-a"), role: id("physician"), fhir_user: None, session: None, delegation: None };
        for (presence, seconds) in [(Presence::Online, ONLINE_SECONDS), (Presence::Offline, OFFLINE_SECONDS)] {
            let mut grants = Grants::default();
            let approval = || Approval {
                id: id("g"),
                client_id: id("app"),
                user: user.clone(),
                scopes: id("patient/*.r"),
                patient: None,
                purpose: None,
            };
            let token = grants.add(approval(), presence, digest, &mut random, at(0)).unwrap();
            let text = token.expose();
            for bad in ["", ".", &text[1..], &text[..text.len() - 1], &format!("{text}="), &text.replace('.', "")] {
                let found = grants.rotate(bad, &id("app"), digest, &mut random, at(1));
                assert_eq!(found.unwrap_err(), RefreshFault::Unknown, "{bad}");
            }
            assert!(grants.find(text, digest, at(seconds - 1)).is_some());
            assert!(grants.find(text, digest, at(seconds)).is_none());
            let late = grants.rotate(text, &id("app"), digest, &mut random, at(seconds));
            assert_eq!(late.unwrap_err(), RefreshFault::Unknown);
            // A full store takes no more until something in it ends.
            let mut full = grants.clone();
            let held = full.live.values().next().unwrap().clone();
            for number in 1..GRANTS_MAX {
                full.live.insert(Fingerprint(number.to_string()), held.clone());
            }
            assert!(full.add(approval(), presence, digest, &mut random, at(seconds - 1)).is_none());
            assert!(full.add(approval(), presence, digest, &mut random, at(seconds)).is_some());
            let mut stolen = grants.clone();
            assert!(stolen.rotate(text, &id("other"), digest, &mut random, at(1)).is_err());
            assert_eq!(stolen.iter(at(1)).count(), 0);
            assert!(grants.rotate(text, &id("app"), digest, &mut random, at(seconds - 1)).is_ok());
        }
    }
}
