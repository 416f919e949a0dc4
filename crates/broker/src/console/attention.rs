//! What needs somebody's attention, the gravest first, each with the command that mends it and where that is typed.

use std::time::Duration;

use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::{Role, UnixTime};

use super::Console;
use super::parties::{Participant, State};

/// Clocks that differ by more than this should be looked at; by more than the second, parties refuse each other.
const SKEW_WARNING_SECONDS: u64 = 5;
const SKEW_WRONG_SECONDS: u64 = 30;
/// A party whose certificates ended longer ago than this is taken to have left.
const LEFT_AFTER: Duration = Duration::from_hours(30 * 24);

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grave {
    /// Something does not work.
    Wrong,
    /// It will not, if nothing is done.
    Warning,
}

/// Something that needs attention.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) grave: Grave,
    pub(super) what: String,
    pub(super) why: String,
    /// Where the command is typed.
    pub(super) place: String,
    pub(super) command: String,
}

impl Console {
    /// All that needs attention.
    pub(super) fn attention(&self, participants: &[Participant]) -> Vec<Finding> {
        let mut all = self.lacking();
        all.extend(self.doubts());
        all.extend(self.neighbours());
        all.extend(self.revocation_list());
        all.extend(participants.iter().filter_map(|one| self.certificates(one)));
        all.extend(self.clocks());
        all.extend(self.key_changes());
        all.sort_by_key(|finding| finding.grave);
        all
    }

    fn doctor(&self) -> String {
        format!("sealwort doctor --role broker --dir {}", self.folder())
    }

    /// Parts of this broker that do not work.
    fn lacking(&self) -> Vec<Finding> {
        let one = |(part, reason): (&str, String)| Finding {
            grave: Grave::Wrong,
            what: words::part_lacking(part),
            why: reason,
            place: words::AT_BROKER.to_owned(),
            command: match part {
                "audit log" => format!("sealwort audit verify --folder {}", self.folder()),
                _ => self.doctor(),
            },
        };
        self.readiness.missing().into_iter().map(one).collect()
    }

    /// Logs of others that are not what they were.
    fn doubts(&self) -> Vec<Finding> {
        let one = |doubt: sealwort_journal::Doubt| Finding {
            grave: Grave::Wrong,
            what: words::doubt(&doubt.origin),
            why: doubt.reason,
            place: words::AT_BROKER.to_owned(),
            command: format!(
                "sealwort audit witnessed --folder {} -o {}.witness",
                self.folder(),
                self.broker.member.identity().name
            ),
        };
        self.broker.journal.doubts().into_iter().map(one).collect()
    }

    /// Archive and authority: away, not ready, or being stopped.
    fn neighbours(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for asked in &self.asked {
            let (role, endpoint) = (words::party_role(asked.role.as_str()), asked.endpoint.to_string());
            let Some(answer) = asked.last() else { continue };
            let start = match asked.role {
                Role::Ca => "sealwort ca serve --config FILE".to_owned(),
                role => format!("sealwort {role} --config FILE"),
            };
            let (grave, what, why, command) = match answer.found {
                Err(reason) => (Grave::Wrong, words::away(role, &endpoint), reason, start),
                Ok(found) if found.is_drained() => {
                    (Grave::Warning, words::drained(role, &endpoint), found.lacks.join("; "), start)
                }
                Ok(found) if !found.lacks.is_empty() => {
                    let doctor = format!("sealwort doctor --role {} --config FILE", asked.role);
                    (Grave::Wrong, words::not_ready(role, &endpoint), found.lacks.join("; "), doctor)
                }
                Ok(_) => continue,
            };
            all.push(Finding { grave, what, why, place: words::at_host_of(role), command });
        }
        all
    }

    fn revocation_list(&self) -> Option<Finding> {
        let now = self.now();
        let finding = |grave, what: String, why: &str| {
            let (place, command) = (words::AT_BROKER.to_owned(), self.doctor());
            Some(Finding { grave, what, why: why.to_owned(), place, command })
        };
        let Some(list) = self.broker.member.trust().current().newest().filter(|list| now < list.next_update) else {
            return finding(Grave::Wrong, words::NO_LIST.to_owned(), words::NO_LIST_WHY);
        };
        // It is made anew at half of its life, and fetched every few seconds.
        let (left, life) = (list.next_update.since(now), list.next_update.since(list.this_update));
        if left < life / 4 {
            let what = words::list_ends(&date::span(left.as_secs()));
            return finding(Grave::Warning, what, words::LIST_ENDS_WHY);
        }
        None
    }

    /// Certificates that are revoked, ended or about to end.
    fn certificates(&self, one: &Participant) -> Option<Finding> {
        let now = self.now();
        let (role, name) = (one.identity.role, one.identity.name.as_str());
        let shown = words::party(words::party_role(role.as_str()), name);
        let invite = format!("sealwort ca invite {role} {name} --out {name}.invitation");
        let at_authority = words::at_host_of(words::party_role(Role::Ca.as_str()));
        let ends = one.ends.unwrap_or(UnixTime::from_secs(0));
        let left = ends.plus(LEFT_AFTER) < now;
        match one.state {
            State::Good => None,
            // Once they have ended anyway, nobody has to be told of it.
            State::Revoked if ends < now => None,
            State::Revoked => Some(Finding {
                grave: Grave::Warning,
                what: words::revoked(&shown),
                why: words::REVOKED_WHY.to_owned(),
                place: at_authority,
                command: invite,
            }),
            State::Ended if left => None,
            State::Ended => Some(Finding {
                grave: Grave::Wrong,
                what: words::ended(&shown, &date::moment(ends.as_secs())),
                why: words::ENDED_WHY.to_owned(),
                place: at_authority,
                command: invite,
            }),
            State::EndsSoon => Some(Finding {
                grave: Grave::Warning,
                what: words::ends_soon(&shown, &date::span(ends.since(now).as_secs())),
                why: words::ENDS_SOON_WHY.to_owned(),
                place: words::at_host_of(&shown),
                command: if one.own { self.doctor() } else { format!("sealwort doctor --role {role} --config FILE") },
            }),
        }
    }

    fn clocks(&self) -> Vec<Finding> {
        let found = self.asked.iter().filter_map(|asked| {
            let ahead = asked.last()?.found.ok()?.ahead?;
            let off = ahead.unsigned_abs();
            if off <= SKEW_WARNING_SECONDS {
                return None;
            }
            let role = words::party_role(asked.role.as_str());
            Some(Finding {
                grave: if off > SKEW_WRONG_SECONDS { Grave::Wrong } else { Grave::Warning },
                what: words::clock_off(role, off, ahead > 0),
                why: words::CLOCK_OFF_WHY.to_owned(),
                place: words::at_both(role),
                command: "timedatectl set-ntp true".to_owned(),
            })
        });
        found.collect()
    }

    /// A key that is being changed, or should be.
    fn key_changes(&self) -> Option<Finding> {
        let rotate = format!("sealwort store rotate-key --folder {}", self.folder());
        let place = words::AT_BROKER.to_owned();
        let due = self.key_due()?;
        (due < self.now()).then(|| Finding {
            grave: Grave::Warning,
            what: words::key_overdue(&date::day(due.as_secs())),
            why: words::KEY_OVERDUE_WHY.to_owned(),
            place,
            command: rotate,
        })
    }
}
