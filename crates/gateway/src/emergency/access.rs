//! One emergency access: who asked for which record and why, how it went, and what became of it. Pure: times come from
//! the caller. It is kept as JSON, sealed, and its end is the content of the report.

use std::collections::{BTreeMap, BTreeSet};

use sealwort_fhir::ResourceType;
use sealwort_proto::crypto::hash;
use sealwort_proto::message::Emergency;
use sealwort_proto::{EmergencyId, Pseudonym};
use serde::{Deserialize, Serialize};

use crate::error::GatewayError;

/// Seconds that a second person has to approve.
pub(crate) const APPROVAL_SECONDS_MAX: u64 = 600;

/// An emergency access, from the request to the review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) id: String,
    /// The pseudonym.
    pub(crate) patient: String,
    /// The patient as the user named them.
    pub(crate) named: String,
    pub(crate) user: String,
    pub(crate) role: String,
    /// `BTG` or `ETREAT`.
    pub(crate) purpose: String,
    pub(crate) reason: Reason,
    /// Minutes that it lasts.
    pub(crate) minutes: u64,
    /// Unix time, as all times here.
    pub(crate) requested: u64,
    pub(crate) second_person: SecondPerson,
    /// When it began; absent while the second person is awaited, and where it never did.
    pub(crate) begun: Option<u64>,
    /// The first second after it, whatever happens.
    pub(crate) until: Option<u64>,
    pub(crate) ended: Option<Ended>,
    pub(crate) opened: Opened,
    pub(crate) review: Option<Review>,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// One of the hospital's list.
    pub(crate) code: String,
    /// In the user's words.
    pub(crate) text: String,
}

/// Whether somebody else must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SecondPerson {
    NotNeeded,
    Awaited,
    Approved { user: String, role: String, at: u64 },
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) at: u64,
    pub(crate) how: How,
    /// The user who ended it, where one did.
    pub(crate) by: Option<String>,
    /// The stable code of what was in the way, where something was.
    pub(crate) code: Option<String>,
}

/// The ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// Its time was over.
    Time,
    /// Its user ended it.
    User,
    /// A security officer ended it.
    Officer,
    /// No second person approved it in time.
    NotApproved,
    /// The record could not be opened: consent does not allow it, or the exchange is away.
    NotOpened,
}

/// What was opened: every resource that was decrypted for the user, whether or not it was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// When first.
    pub(crate) first: Option<u64>,
    /// Ids by type.
    pub(crate) resources: BTreeMap<String, BTreeSet<String>>,
    /// Entries whose label the directive does not grant in an emergency.
    pub(crate) withheld: u64,
}

/// What the security officer found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) by: String,
    pub(crate) at: u64,
    pub(crate) finding: String,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    Awaited,
    Active,
    Ended,
}

impl Access {
    /// How it stands at a time: it ends by itself, whether or not somebody has noted that.
    pub(crate) fn standing(&self, now: u64) -> Standing {
        let end = self.until.unwrap_or(self.requested.saturating_add(APPROVAL_SECONDS_MAX));
        if self.ended.is_some() || now >= end {
            Standing::Ended
        } else if self.until.is_some() {
            Standing::Active
        } else {
            Standing::Awaited
        }
    }

    /// Its end by time, if that has come and is not noted.
    pub(crate) fn overdue(&self, now: u64) -> Option<Ended> {
        if self.ended.is_some() || self.standing(now) != Standing::Ended {
            return None;
        }
        let (at, how) = match self.until {
            Some(until) => (until, How::Time),
            None => (self.requested.saturating_add(APPROVAL_SECONDS_MAX), How::NotApproved),
        };
        Some(Ended { at, how, by: None, code: None })
    }

    /// As broker and archive know it. An access to somebody whose identities were merged opens several records; there each
    /// has a number of its own, because an access is to one patient.
    pub(crate) fn stated(&self, patient: Pseudonym) -> Result<Emergency, GatewayError> {
        let own: EmergencyId = self.id.parse().map_err(|_| GatewayError::Kept("an emergency access has no number"))?;
        let id = if patient.to_string() == self.patient {
            own
        } else {
            let of_record =
                hash("sealwort emergency record v1", &[own.as_bytes(), patient.as_bytes().as_slice()].concat());
            let (first, _) = of_record.as_bytes().split_at(EmergencyId::LEN);
            EmergencyId::from_slice(first).ok_or(GatewayError::Kept("an emergency access has no number"))?
        };
        Ok(Emergency { id, begun_at: self.begun.unwrap_or(self.requested), reason: self.reason.code.clone() })
    }

    /// Begins now.
    pub(crate) fn begin(&mut self, now: u64) {
        self.begun = Some(now);
        self.until = Some(now.saturating_add(self.minutes * 60));
    }

    /// Adds what was opened. Whether that was anything new.
    pub(crate) fn add<'id>(
        &mut self,
        resources: impl IntoIterator<Item = (ResourceType, &'id str)>,
        withheld: u64,
        now: u64,
    ) -> bool {
        let opened = &mut self.opened;
        let mut new = opened.first.is_none() || opened.withheld != withheld;
        opened.first.get_or_insert(now);
        opened.withheld = withheld;
        for (kind, id) in resources {
            new |= opened.resources.entry(kind.as_str().to_owned()).or_default().insert(id.to_owned());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_ends_by_time_whether_or_not_anybody_looks() {
        let mut access = Access {
            id: "1".into(),
            patient: "p".into(),
            named: "s|1".into(),
            user: "dr-a".into(),
            role: "physician".into(),
            purpose: "BTG".into(),
            reason: Reason { code: "unconscious".into(), text: "found on the street".into() },
            minutes: 30,
            requested: 1000,
            second_person: SecondPerson::Awaited,
            begun: None,
            until: None,
            ended: None,
            opened: Opened::default(),
            review: None,
        };
        let cases = [(1000, Standing::Awaited), (1599, Standing::Awaited), (1600, Standing::Ended)];
        for (now, standing) in cases {
            assert_eq!(access.standing(now), standing, "{now}");
        }
        assert_eq!(access.overdue(1600).unwrap().how, How::NotApproved);
        access.begin(1100);
        let cases = [(1100, Standing::Active), (2899, Standing::Active), (2900, Standing::Ended)];
        for (now, standing) in cases {
            assert_eq!(access.standing(now), standing, "{now}");
        }
        let ended = access.overdue(5000).unwrap();
        assert_eq!((ended.at, ended.how), (2900, How::Time));
        access.ended = Some(ended);
        assert_eq!((access.standing(1100), access.overdue(5000)), (Standing::Ended, None));
        assert!(access.add([(ResourceType::PATIENT, "x")], 2, 1101));
        assert!(!access.add([(ResourceType::PATIENT, "x")], 2, 1102));
    }
}
