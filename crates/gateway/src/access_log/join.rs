//! Which entries of the three logs are about the same access, and which are missing though another log shows that they
//! should be there.

use std::collections::HashMap;
use std::sync::Arc;

use sealwort_audit::{Detail, EventKind, Outcome};
use sealwort_proto::{Digest, TokenId};

use super::{Entry, Party};

/// Milliseconds after which what one log has, the others must have: an access may be under way.
const SETTLED_MILLIS: u64 = 60_000;

/// One access, or something else that happened, as all logs have it.
#[derive(Debug)]
pub(crate) struct Row<'l> {
    /// The entry that tells most: the gateway's, where there is one.
    pub(crate) lead: &'l Entry,
    /// What else was entered about it. Rows of one token share it.
    pub(crate) others: Arc<[&'l Entry]>,
    /// Logs that should have an entry about it and have none.
    pub(crate) missing: Vec<Party>,
}

impl Row<'_> {
    /// Where it stands among rows: time, log and number.
    pub(crate) const fn position(&self) -> (u64, u8, u64) {
        (self.lead.event.time, self.lead.party as u8, self.lead.number)
    }
}

/// By what entries of different logs are about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    /// A token: one access.
    Token(TokenId),
    /// A signed request that led to no token, or a look at the logs. Asked again in one session, it is the same.
    Request(Digest),
    /// The directive of this version.
    Directive(u64),
    Registration,
    /// What is entered once: by log and number.
    Alone(Party, u64),
}

impl Subject {
    /// By its name, as the gateway's entries have those that came before their own.
    fn named(name: &str) -> Option<Self> {
        name.parse().map(Self::Token).or_else(|_| name.parse().map(Self::Request)).ok()
    }

    fn of(entry: &Entry) -> Self {
        let event = &entry.event;
        let version = || event.get(Detail::Version).and_then(|version| version.parse().ok());
        if let Some(token) = event.token {
            return Self::Token(token);
        }
        match (event.kind, event.request) {
            (_, Some(request)) => Self::Request(request),
            (EventKind::ConsentChanged, None) => {
                version().map_or(Self::Alone(entry.party, entry.number), Self::Directive)
            }
            (EventKind::PatientRegistered, None) if event.outcome == Outcome::Done => Self::Registration,
            _ => Self::Alone(entry.party, entry.number),
        }
    }
}

/// Joins entries, the newest first. `own` is this hospital's identity; `told` are the logs that were read.
pub(crate) fn join<'l>(
    entries: impl IntoIterator<Item = &'l Entry>,
    own: &str,
    told: &[Party],
    now_millis: u64,
) -> Vec<Row<'l>> {
    let entries: Vec<&Entry> = entries.into_iter().collect();
    // A write that read first is one row.
    let mut joined = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.party == Party::Gateway) {
        let before = entry.event.get(Detail::Digest).unwrap_or_default().split(' ');
        joined.extend(before.filter_map(Subject::named).map(|before| (before, Subject::of(entry))));
    }
    let mut subjects: HashMap<Subject, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        let subject = Subject::of(entry);
        subjects.entry(joined.get(&subject).copied().unwrap_or(subject)).or_default().push(entry);
    }
    let mut rows = Vec::new();
    for (subject, mut entries) in subjects {
        entries.sort_unstable_by_key(|entry| (entry.party, entry.number));
        let newest = entries.iter().map(|entry| entry.event.time).max().unwrap_or(0);
        let missing = match subject {
            Subject::Token(_) | Subject::Request(_) if newest + SETTLED_MILLIS < now_millis => {
                missing(&entries, own, told)
            }
            _ => Vec::new(),
        };
        // Of one token a user looks several times: each look is a row, with what the others know of the token. Where
        // nobody here looked, each decision of the broker's is one.
        let by_gateway = entries.partition_point(|entry| entry.party == Party::Gateway);
        entries.get_mut(by_gateway..).into_iter().for_each(|rest| rest.sort_by_key(|entry| !decides(entry)));
        let decisions = entries.iter().filter(|entry| decides(entry)).count();
        let (leads, rest) = entries.split_at(if by_gateway > 0 { by_gateway } else { decisions.max(1) });
        let others: Arc<[&Entry]> = rest.into();
        for lead in leads {
            rows.push(Row { lead, others: Arc::clone(&others), missing: missing.clone() });
        }
    }
    newest_first(&mut rows);
    rows
}

/// The order in which rows are shown.
pub(crate) fn newest_first(rows: &mut [Row<'_>]) {
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.position()));
}

fn decides(entry: &Entry) -> bool {
    entry.event.kind == EventKind::RequestDecided
}

/// Nothing leaves the archive without the broker's word and an entry; what it hands to this hospital, somebody here asked
/// for.
fn missing(entries: &[&Entry], own: &str, told: &[Party]) -> Vec<Party> {
    let has = |party: Party| entries.iter().any(|entry| entry.party == party);
    // A look at the logs may find one party away.
    let done = |entry: &&&Entry| entry.event.outcome == Outcome::Done && entry.event.kind != EventKind::LogShown;
    let done_by = |party: Party| entries.iter().filter(done).any(|entry| entry.party == party);
    let handed_here = entries.iter().filter(done).any(|entry| {
        matches!(entry.event.kind, EventKind::EntriesFetched | EventKind::DepositStored)
            && entry.party == Party::Archive
            && entry.event.peer.as_ref().is_some_and(|peer| peer.as_str() == own)
    });
    let should = |party: Party| match party {
        Party::Gateway => handed_here,
        Party::Broker => has(Party::Archive) || done_by(Party::Gateway),
        Party::Archive => done_by(Party::Broker),
    };
    told.iter().copied().filter(|party| should(*party) && !has(*party)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use sealwort_audit::Event;

    use super::*;

    const OWN: &str = "sealwort://demo/gateway/hospital-a";
    const OTHER: &str = "sealwort://demo/gateway/hospital-b";
    const ALL: [Party; 3] = [Party::Gateway, Party::Broker, Party::Archive];
    const LATER: u64 = 10_000_000;

    fn entry(party: Party, number: u64, kind: EventKind, peer: &str, request: u8) -> Entry {
        let event = Event::new(kind, 1000 + number).peer(peer).request(Digest::new([request; 32]));
        Entry { party, number, event: event.token(TokenId::new([request; 16])) }
    }

    /// One access of this hospital's: a decision, an authority, a fetch, two looks.
    fn access() -> Vec<Entry> {
        vec![
            entry(Party::Broker, 1, EventKind::RequestDecided, OWN, 7),
            entry(Party::Archive, 2, EventKind::AuthorityGiven, OWN, 7),
            entry(Party::Archive, 3, EventKind::EntriesFetched, OWN, 7),
            entry(Party::Gateway, 4, EventKind::Read, "", 7),
            entry(Party::Gateway, 9, EventKind::Searched, "", 7),
        ]
    }

    #[test]
    fn one_access_is_one_row_a_look() {
        let entries = access();
        let rows = join(&entries, OWN, &ALL, LATER);
        assert_eq!(rows.iter().map(|row| row.lead.number).collect::<Vec<_>>(), [9, 4], "the newest first");
        assert!(rows.iter().all(|row| row.missing.is_empty() && row.others.len() == 3));
        // Another hospital's looks are in its own log alone.
        let others = [
            entry(Party::Broker, 1, EventKind::RequestDecided, OTHER, 7),
            entry(Party::Archive, 2, EventKind::AuthorityGiven, OTHER, 7),
            entry(Party::Archive, 3, EventKind::EntriesFetched, OTHER, 7),
        ];
        let rows = join(&others, OWN, &ALL, LATER);
        assert_eq!((rows.len(), rows[0].lead.party, rows[0].missing.len()), (1, Party::Broker, 0));
    }

    /// The same request again in one session has the same digest: two refusals are two rows all the same.
    #[test]
    fn every_refusal_is_a_row() {
        let refused = |number| {
            let mut one = entry(Party::Broker, number, EventKind::RequestDecided, OTHER, 7);
            one.event.token = None;
            Entry { event: one.event.refused("consent-no-provision"), ..one }
        };
        let both = [refused(1), refused(5)];
        let rows = join(&both, OWN, &ALL, LATER);
        assert_eq!(rows.iter().map(|row| row.lead.number).collect::<Vec<_>>(), [5, 1]);
        assert!(rows.iter().all(|row| row.others.is_empty() && row.missing.is_empty()));
    }

    /// A write that read first: one row, though it took two requests.
    #[test]
    fn what_took_two_requests_is_one_row() {
        let mut entries = access();
        entries.truncate(3);
        entries.extend([
            entry(Party::Broker, 11, EventKind::RequestDecided, OWN, 8),
            entry(Party::Archive, 12, EventKind::DepositStored, OWN, 8),
        ]);
        let mut written = entry(Party::Gateway, 13, EventKind::Updated, "", 8);
        written.event.note(Detail::Digest, TokenId::new([7; 16]));
        entries.push(written);
        let rows = join(&entries, OWN, &ALL, LATER);
        assert_eq!((rows.len(), rows[0].others.len(), rows[0].missing.len()), (1, 5, 0));
    }

    #[test]
    fn what_a_log_leaves_out_is_marked() {
        for (gone, marked) in [
            (Party::Broker, vec![Party::Broker]),
            (Party::Archive, vec![Party::Archive]),
            (Party::Gateway, vec![Party::Gateway]),
        ] {
            let entries: Vec<_> = access().into_iter().filter(|entry| entry.party != gone).collect();
            let rows = join(&entries, OWN, &ALL, LATER);
            assert!(rows.iter().all(|row| row.missing == marked), "{gone:?}: {rows:?}");
            // What was not read is not missed, and what is under way neither.
            let told: Vec<_> = ALL.into_iter().filter(|party| *party != gone).collect();
            assert!(join(&entries, OWN, &told, LATER).iter().all(|row| row.missing.is_empty()));
            assert!(join(&entries, OWN, &ALL, 1010).iter().all(|row| row.missing.is_empty()));
        }
        // Who was refused at the broker never came to the archive.
        let mut refused = access().remove(0);
        refused.event.token = None;
        let refused = Entry { event: refused.event.refused("consent-purpose-not-granted"), ..refused };
        assert!(join([&refused], OWN, &ALL, LATER)[0].missing.is_empty());
    }

    #[test]
    fn a_directive_is_one_row_and_what_has_no_other_side_stays_alone() {
        let consent = |party, number, version: u64| Entry {
            party,
            number,
            event: Event::new(EventKind::ConsentChanged, number).detail(Detail::Version, version),
        };
        let entries = [
            consent(Party::Gateway, 1, 2),
            consent(Party::Broker, 5, 2),
            consent(Party::Archive, 6, 2),
            consent(Party::Broker, 8, 3),
        ];
        let rows = join(&entries, OWN, &ALL, LATER);
        assert_eq!(rows.iter().map(|row| row.others.len()).collect::<Vec<_>>(), [0, 2]);
        let half = |number| Entry { party: Party::Broker, number, event: Event::new(EventKind::HalfMade, number) };
        assert_eq!(join(&[half(1), half(2)], OWN, &ALL, LATER).len(), 2);
    }
}
