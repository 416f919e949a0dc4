//! Failures of those who try to get in, and how long they wait after them. A hospital may stand behind one address, and
//! anybody can fail in a colleague's name; so a lockout is of an account from one address. All addresses together lock an
//! account only where it never got in from, and an address as a whole is only refused what would have been refused
//! anyway: whoever shows what is right gets in.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sealwort_pki::UnixTime;
use serde::Serialize;

use crate::config::LockoutConfig;

/// Most counters; the one that failed longest ago is dropped first.
const COUNTERS_MAX: usize = 50_000;
/// Most pairs of account and address that are remembered as good.
const KNOWN_MAX: usize = 50_000;

/// What follows failures, checked.
#[derive(Debug, Clone)]
pub struct LockoutRule(LockoutConfig);

impl LockoutRule {
    /// The error names the option at fault.
    pub fn new(config: &LockoutConfig) -> Result<Self, String> {
        if config.account_failures_max <= config.failures_free {
            return Err("lockout.account_failures_max is more than lockout.failures_free".to_owned());
        }
        if config.account_failures_everywhere_max < config.account_failures_max {
            return Err("lockout.account_failures_everywhere_max is no less than account_failures_max".to_owned());
        }
        if config.address_failures_max == 0 {
            return Err("lockout.address_failures_max is at least 1".to_owned());
        }
        if config.lasts.0 < Duration::from_secs(1) {
            return Err("lockout.lasts is at least one second".to_owned());
        }
        Ok(Self(config.clone()))
    }
}

/// Where a request comes from. One customer has a whole network of IPv6 (RFC 6177), so that is what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Pair(String, Source),
    Account(String),
    Source(Source),
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    failures: u32,
    last: UnixTime,
    waits_until: UnixTime,
}

/// A lockout, for administrators.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Lockout {
    /// Whose, if not of an address as a whole.
    pub account: Option<String>,
    /// From where, if not from everywhere.
    pub source: Option<IpAddr>,
    /// How many.
    pub failures: u32,
    /// Unix time.
    pub until: u64,
}

/// All failures that are not forgotten.
#[derive(Debug)]
pub struct Attempts {
    rule: LockoutConfig,
    counters: HashMap<Counted, Counter>,
    known: HashSet<(String, Source)>,
}

impl Attempts {
    /// None yet.
    pub fn new(LockoutRule(rule): LockoutRule) -> Self {
        Self { rule, counters: HashMap::new(), known: HashSet::new() }
    }

    /// Whether what an account shows is looked at now, or how long it waits.
    pub fn allowed(&self, account: &str, source: Source, now: UnixTime) -> Result<(), Duration> {
        let mut waits = self.wait(&Counted::Pair(account.to_owned(), source), now);
        if !self.known.contains(&(account.to_owned(), source)) {
            waits = waits.max(self.wait(&Counted::Account(account.to_owned()), now));
        }
        waits.map_or(Ok(()), Err)
    }

    /// Whether so many failures came from an address that a wait follows each: they need no entry of their own.
    pub fn is_waiting(&self, source: Source, now: UnixTime) -> bool {
        self.wait(&Counted::Source(source), now).is_some()
    }

    /// A failure. How long whoever failed waits now, if they do.
    pub fn failed(&mut self, account: Option<&str>, source: Source, now: UnixTime) -> Option<Duration> {
        let (of_address, free, most) =
            (self.rule.address_failures_max, self.rule.failures_free, self.rule.account_failures_max);
        let mut wait = self.count(Counted::Source(source), of_address, of_address, now);
        if let Some(account) = account {
            let pair = Counted::Pair(account.to_owned(), source);
            wait = wait.max(self.count(pair, free, most, now));
            let everywhere = self.rule.account_failures_everywhere_max;
            self.count(Counted::Account(account.to_owned()), everywhere, everywhere, now);
        }
        wait
    }

    /// Somebody got in: their slips are forgotten, and they are known from there.
    pub fn succeeded(&mut self, account: &str, source: Source) {
        self.counters.remove(&Counted::Pair(account.to_owned(), source));
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert((account.to_owned(), source));
    }

    /// Ends all lockouts of an account, or of an address that is written in place of one. Whether there was one.
    pub fn unlock(&mut self, name: &str) -> bool {
        let before = self.counters.len();
        let address: Option<Source> = name.parse::<IpAddr>().ok().map(Source::from);
        self.counters.retain(|counted, _| match counted {
            Counted::Pair(account, _) | Counted::Account(account) => account != name,
            Counted::Source(source) => Some(*source) != address,
        });
        self.counters.len() < before
    }

    /// Who waits now.
    pub fn lockouts(&self, now: UnixTime) -> Vec<Lockout> {
        let waiting = self.counters.iter().filter(|(_, counter)| now < counter.waits_until);
        let mut lockouts: Vec<Lockout> = waiting
            .map(|(counted, counter)| {
                let (account, source) = match counted {
                    Counted::Pair(account, source) => (Some(account.clone()), Some(source.0)),
                    Counted::Account(account) => (Some(account.clone()), None),
                    Counted::Source(source) => (None, Some(source.0)),
                };
                Lockout { account, source, failures: counter.failures, until: counter.waits_until.as_secs() }
            })
            .collect();
        lockouts.sort_by(|one, other| (&one.account, one.source).cmp(&(&other.account, other.source)));
        lockouts
    }

    /// Forgets what is long ago.
    pub fn sweep(&mut self, now: UnixTime) {
        let lasts = self.rule.lasts.0;
        self.counters.retain(|_, counter| now < counter.last.plus(lasts) || now < counter.waits_until);
    }

    fn wait(&self, counted: &Counted, now: UnixTime) -> Option<Duration> {
        let until = self.counters.get(counted)?.waits_until.as_secs();
        let left = until.saturating_sub(now.as_secs());
        (left > 0).then(|| Duration::from_secs(left))
    }

    /// Up to `free` failures cost nothing; then the wait doubles from a second on, until at `most` it is a lockout.
    fn count(&mut self, counted: Counted, free: u32, most: u32, now: UnixTime) -> Option<Duration> {
        self.make_room(now);
        let lasts = self.rule.lasts.0;
        let tally = self.counters.entry(counted).or_insert(Counter { failures: 0, last: now, waits_until: now });
        if now >= tally.last.plus(lasts) {
            tally.failures = 0;
        }
        tally.failures = tally.failures.saturating_add(1);
        tally.last = now;
        let wait = match tally.failures {
            failures if failures >= most => lasts,
            failures if failures <= free => return None,
            failures => Duration::from_secs(1 << (failures - free - 1).min(9)).min(lasts),
        };
        tally.waits_until = now.plus(wait);
        Some(wait)
    }

    fn make_room(&mut self, now: UnixTime) {
        if self.counters.len() < COUNTERS_MAX {
            return;
        }
        self.sweep(now);
        if self.counters.len() >= COUNTERS_MAX
            && let Some(oldest) =
                self.counters.iter().min_by_key(|(_, counter)| counter.last).map(|(key, _)| key.clone())
        {
            self.counters.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwort_net::config::Interval;

    use super::*;

    const ACCOUNT_FAILURES_MAX: u32 = 10;
    const ACCOUNT_FAILURES_EVERYWHERE_MAX: u32 = 100;
    const SOURCE_FAILURES_MAX: u32 = 300;
    const LOCKOUT: Duration = Duration::from_mins(15);

    fn usual() -> Attempts {
        Attempts::new(LockoutRule::new(&LockoutConfig::default()).unwrap())
    }

    #[test]
    fn a_rule_that_cannot_be_kept_is_refused() {
        let changes: [(&str, fn(&mut LockoutConfig)); 4] = [
            ("account_failures_max", |rule| rule.account_failures_max = 3),
            ("everywhere_max", |rule| rule.account_failures_everywhere_max = 9),
            ("address_failures_max", |rule| rule.address_failures_max = 0),
            ("lasts", |rule| rule.lasts = Interval(Duration::ZERO)),
        ];
        for (option, change) in changes {
            let mut rule = LockoutConfig::default();
            change(&mut rule);
            assert!(LockoutRule::new(&rule).unwrap_err().contains(option), "{option}");
        }
        let rule = LockoutConfig { failures_free: 0, account_failures_max: 2, ..LockoutConfig::default() };
        let mut attempts = Attempts::new(LockoutRule::new(&rule).unwrap());
        let (here, now) = (source("192.0.2.1"), UnixTime::from_secs(1000));
        let waits = [(); 2].map(|()| attempts.failed(Some("dr-a"), here, now));
        assert_eq!(waits, [Some(Duration::from_secs(1)), Some(LOCKOUT)]);
    }

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn waits_grow_until_an_account_is_locked_where_it_failed() {
        let (mut attempts, here, there) = (usual(), source("192.0.2.1"), source("192.0.2.2"));
        let mut now = UnixTime::from_secs(1000);
        let mut waits = Vec::new();
        for _ in 0..ACCOUNT_FAILURES_MAX {
            let wait = attempts.failed(Some("dr-a"), here, now);
            assert_eq!(attempts.allowed("dr-a", here, now).err(), wait);
            waits.push(wait.map_or(0, |wait| wait.as_secs()));
            now = now.plus(wait.unwrap_or_default());
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 900]);
        now = UnixTime::from_secs(now.as_secs() - 1);
        assert!(attempts.allowed("dr-a", here, now).is_err());
        assert!(attempts.allowed("dr-a", there, now).is_ok() && attempts.allowed("dr-b", here, now).is_ok());
        let lockouts = attempts.lockouts(now);
        assert_eq!((lockouts.len(), lockouts.first().unwrap().failures), (1, 10));
        assert!(attempts.unlock("dr-a") && !attempts.unlock("dr-a"));
        assert!(attempts.allowed("dr-a", here, now).is_ok());
    }

    #[test]
    fn nobody_locks_an_account_out_of_where_it_works_nor_a_hospital_out_of_its_address() {
        let (mut attempts, ward, now) = (usual(), source("198.51.100.7"), UnixTime::from_secs(1000));
        attempts.succeeded("dr-a", ward);
        for number in 0..ACCOUNT_FAILURES_EVERYWHERE_MAX {
            let from = source(&format!("203.0.113.{}", number % 250));
            attempts.failed(Some("dr-a"), from, now);
        }
        assert!(attempts.allowed("dr-a", source("203.0.113.251"), now).is_err());
        assert!(attempts.allowed("dr-a", ward, now).is_ok());
        for number in 0..SOURCE_FAILURES_MAX {
            attempts.failed(Some(&format!("other-{number}")), ward, now);
        }
        assert!(attempts.is_waiting(ward, now) && !attempts.is_waiting(ward, now.plus(LOCKOUT)));
        assert!(!attempts.is_waiting(source("198.51.100.8"), now));
        assert_eq!(attempts.failed(None, ward, now), Some(LOCKOUT));
        assert!(attempts.allowed("dr-a", ward, now).is_ok() && attempts.allowed("dr-b", ward, now).is_ok());
        attempts.sweep(now.plus(LOCKOUT));
        assert!(attempts.lockouts(now).is_empty());
    }

    #[test]
    fn counters_are_bounded_and_ipv6_counts_by_network() {
        let (mut attempts, now) = (usual(), UnixTime::from_secs(1000));
        for number in 0..COUNTERS_MAX {
            attempts.counters.insert(
                Counted::Account(number.to_string()),
                Counter { failures: 1, last: now.plus(Duration::from_secs(1)), waits_until: now },
            );
        }
        attempts.failed(Some("one-more"), source("192.0.2.1"), now);
        assert!(attempts.counters.len() <= COUNTERS_MAX + 1);
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
