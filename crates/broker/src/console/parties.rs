//! Who takes part, as this broker knows it: from the certificates behind checkpoints that it kept, from connections, and
//! from its own log of sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealwort_audit::EventKind;
use sealwort_journal::read_chain;
use sealwort_net::transport::away;
use sealwort_pki::{CertificateError, Expected, Identity, KeyUse, Role, Trust, UnixTime};
use sealwort_proto::crypto::sha256;
use sealwort_store::{AuditQuery, StoreError};

use super::{Console, counted};
use crate::observed::{Paper, Seen};
use crate::sessions::lock;

/// How many of the newest entries of the log are looked at for who was here before this start.
const RECALLED_MAX: u64 = 20_000;
/// Certificates that are issued together begin within this.
const TOGETHER: Duration = Duration::from_secs(2);

/// What is remembered of parties.
#[derive(Default)]
pub(super) struct Parties {
    /// When sessions of a party were begun, by the log.
    before: Mutex<BTreeMap<String, UnixTime>>,
    kept: Arc<Mutex<KeptCertificates>>,
}

/// What kept certificates say. They are only ever added to, so that their number tells whether there are new ones.
#[derive(Default)]
struct KeptCertificates {
    count: u64,
    /// Hashes of the chains that were verified.
    verified: BTreeSet<[u8; 32]>,
    newest: BTreeMap<Identity, Kept>,
}

/// The newest kept statement certificate of a party.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Valid(Paper),
    /// It ended.
    Ended(UnixTime),
}

/// How a party's certificates stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Revoked,
    Ended,
    EndsSoon,
    Good,
}

/// A party.
#[derive(Debug, Clone)]
pub(super) struct Participant {
    pub(super) identity: Identity,
    pub(super) state: State,
    /// When its certificates end, where that is known.
    pub(super) ends: Option<UnixTime>,
    /// Serial numbers of its certificates, as far as they were seen.
    pub(super) serials: Vec<String>,
    pub(super) seen: Option<UnixTime>,
    pub(super) sessions: usize,
    /// Whether it is this broker itself.
    pub(super) own: bool,
}

impl Parties {
    /// Looks in the log for who was here before this start. What fails is no more than not known.
    pub(super) async fn recall(&self, console: &Console) {
        let store = console.broker.journal.store();
        let Ok(size) = store.audit_size().await else { return };
        let query = AuditQuery {
            from: size.saturating_sub(RECALLED_MAX),
            kind: Some(EventKind::SessionBegun.number()),
            ..AuditQuery::default()
        };
        let most = usize::try_from(RECALLED_MAX).unwrap_or(usize::MAX);
        let rows = store.audit_rows(query, most).await.unwrap_or_default();
        let at_rest = console.broker.journal.at_rest();
        let mut before = BTreeMap::new();
        for row in rows {
            let event = at_rest.open(&row.stored).ok().and_then(|leaf| sealwort_audit::Event::from_bytes(&leaf).ok());
            if let Some(peer) = event.and_then(|event| event.peer) {
                before.insert(peer.as_str().to_owned(), UnixTime::from_secs(row.index.time / 1000));
            }
        }
        *lock(&self.before) = before;
    }

    async fn kept(&self, console: &Console) -> Result<BTreeMap<Identity, Kept>, StoreError> {
        let store = console.broker.journal.store();
        let count = store.audit_chain_count().await?;
        if lock(&self.kept).count != count {
            let chains = store.audit_chains().await?;
            let (trust, now, kept) = (console.broker.member.trust().current(), console.now(), Arc::clone(&self.kept));
            let taken = away(move || {
                let mut kept = lock(&kept);
                for chain in &chains {
                    kept.take(chain, &trust, now);
                }
                kept.count = count;
            });
            taken.await.map_err(|_| StoreError::Closed)?;
        }
        Ok(lock(&self.kept).newest.clone())
    }
}

impl KeptCertificates {
    fn take(&mut self, bytes: &[u8], trust: &Trust, now: UnixTime) {
        let hash = sha256(bytes);
        if self.verified.contains(&hash) {
            return;
        }
        let Some(chain) = read_chain(bytes) else { return };
        match trust.verify_past(&chain, &Expected::anybody(KeyUse::Statement), now) {
            Ok(party) => {
                let paper = Paper::of(&party);
                match self.newest.get(party.identity()) {
                    Some(Kept::Valid(known)) if known.not_before >= paper.not_before => {}
                    _ => drop(self.newest.insert(party.identity().clone(), Kept::Valid(paper))),
                }
            }
            Err(CertificateError::Expired { identity, not_after }) => match self.newest.get(&identity) {
                Some(Kept::Valid(_)) => {}
                Some(Kept::Ended(known)) if *known >= not_after => {}
                _ => drop(self.newest.insert(identity, Kept::Ended(not_after))),
            },
            Err(_) => return,
        }
        self.verified.insert(hash);
    }
}

impl Console {
    /// Everybody, those first who need attention.
    pub(super) async fn participants(&self) -> Result<Vec<Participant>, StoreError> {
        let kept = self.parties.kept(self).await?;
        let observed = self.broker.observed.parties();
        let sessions = counted(self.live().iter().map(|(_, one)| one.gateway()));
        let asked = self.answers();
        let named = observed.keys().chain(asked.keys()).filter_map(|name| name.parse::<Identity>().ok());
        let own = self.broker.member.identity().clone();
        let all: BTreeSet<Identity> = kept.keys().cloned().chain(named).chain([own.clone()]).collect();
        let before = lock(&self.parties.before).clone();
        let one = |identity: Identity| {
            let name = identity.to_string();
            let seen = [observed.get(&name), asked.get(&name)].into_iter().flatten().max_by_key(|seen| seen.at);
            let mut papers: Vec<Paper> = seen.map(|seen| seen.hop).into_iter().collect();
            let mut ended = None;
            match kept.get(&identity) {
                Some(Kept::Valid(paper)) => papers.push(*paper),
                Some(Kept::Ended(at)) => ended = Some(*at),
                None => {}
            }
            if identity == own {
                let membership = self.broker.member.membership();
                let paper = |own: &sealwort_pki::enrolment::Credential| Paper {
                    serial: own.serial,
                    not_before: own.not_before,
                    not_after: own.not_after,
                };
                papers = vec![paper(&membership.hop), paper(&membership.statement)];
            }
            let (state, ends, serials) = self.judged(&papers, ended);
            Participant {
                state,
                ends,
                serials,
                seen: seen.map(|seen| seen.at).or_else(|| before.get(&name).copied()),
                sessions: sessions.get(&name).copied().unwrap_or_default(),
                own: identity == own,
                identity,
            }
        };
        let mut all: Vec<Participant> = all.into_iter().map(one).collect();
        all.sort_by_key(|one| (one.state, order(one.identity.role), one.identity.to_string()));
        Ok(all)
    }

    /// Archive and authority, as they were reached.
    fn answers(&self) -> BTreeMap<String, Seen> {
        let found = self.asked.iter().filter_map(|asked| {
            let answer = asked.last()?;
            let found = answer.found.ok()?;
            Some((found.identity, Seen { at: answer.at, hop: found.hop? }))
        });
        found.collect()
    }

    /// Of a party's certificates the newest count: those before were replaced.
    fn judged(&self, papers: &[Paper], ended: Option<UnixTime>) -> (State, Option<UnixTime>, Vec<String>) {
        let (now, trust) = (self.now(), self.broker.member.trust().current());
        let Some(newest) = papers.iter().map(|paper| paper.not_before).max() else {
            return (State::Ended, ended, Vec::new());
        };
        let current: Vec<&Paper> = papers.iter().filter(|paper| paper.not_before.plus(TOGETHER) >= newest).collect();
        let ends = current.iter().map(|paper| paper.not_after).min();
        let serials = current.iter().map(|paper| paper.serial.to_string()).collect();
        let soon = now.plus(self.config.console.certificates_below.0);
        let state = match ends {
            _ if current.iter().any(|paper| trust.is_revoked(paper.serial)) => State::Revoked,
            Some(ends) if ends < now => State::Ended,
            Some(ends) if ends < soon => State::EndsSoon,
            _ => State::Good,
        };
        (state, ends, serials)
    }
}

/// Services first, as an operator looks for them.
const fn order(role: Role) -> u8 {
    match role {
        Role::Ca => 0,
        Role::Broker => 1,
        Role::Archive => 2,
        Role::Gateway => 3,
    }
}

#[cfg(test)]
mod tests {
    use sealwort_pki::testing::{TEST_NOW, TestExchange, TestParty};
    use sealwort_proto::codec::to_bytes;
    use sealwort_proto::peers::chain_to_wire;

    use super::*;

    #[test]
    fn of_kept_certificates_the_newest_counts_and_none_is_looked_at_twice() {
        let exchange = TestExchange::new("test");
        let bytes = |party: &TestParty| to_bytes(&chain_to_wire(&party.statement.chain));
        let (long, short) = (Duration::from_hours(72), Duration::from_hours(1));
        let old = exchange.party_with(Role::Gateway, "a", short);
        let (trust, later) = (exchange.trust(), TEST_NOW.plus(Duration::from_hours(2)));
        let mut kept = KeptCertificates::default();
        kept.take(b"nothing", &trust, later);
        assert!(kept.newest.is_empty() && kept.verified.is_empty());
        kept.take(&bytes(&old), &trust, later);
        assert!(matches!(kept.newest.get(&old.identity), Some(Kept::Ended(at)) if *at < later));
        let new = exchange.party_with(Role::Gateway, "a", long);
        for chain in [bytes(&new), bytes(&old)] {
            kept.take(&chain, &trust, later);
        }
        assert!(matches!(kept.newest.get(&new.identity), Some(Kept::Valid(paper)) if paper.not_after > later));
        assert_eq!(kept.verified.len(), 2);
        kept.newest.clear();
        kept.take(&bytes(&new), &trust, later);
        assert!(kept.newest.is_empty(), "what was verified is not looked at again");
    }
}
