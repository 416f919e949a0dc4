//! Whether a resource counts: by its status, and by what else says that it does not simply hold.

use serde_json::Value;

use super::Kind;
use crate::ResourceType;
use crate::display::{choice, codes, text};

/// Whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It holds now, or is done for good.
    Current,
    /// It is over.
    Over,
    /// It is to come.
    Planned,
    /// It is not certain or not final.
    Open,
    /// It was never done.
    NotDone,
    /// It says what must not be done or given, and holds now.
    Forbidden,
    /// It was written by mistake, or refuted: nobody should rely on it.
    Wrong,
}

impl Standing {
    /// Whether it tells how things are now.
    pub const fn holds(self) -> bool {
        matches!(self, Self::Current | Self::Open | Self::Forbidden)
    }

    pub(super) fn of(resource_type: ResourceType, resource: &Value) -> Self {
        match (by_status(resource_type, resource), text(resource, "intent")) {
            (Self::Current | Self::Open | Self::Planned, _)
                if resource.get("doNotPerform") == Some(&Value::Bool(true)) =>
            {
                Self::Forbidden
            }
            (Self::Current | Self::Open, Some("proposal" | "option")) => Self::Planned,
            // What patients take by themselves is a plan that is reported (US Core, MedicationRequest).
            (Self::Current | Self::Open, Some("plan")) if resource_type.as_str() == "MedicationRequest" => {
                let is_reported =
                    choice(resource, "reported").is_some_and(|(_, reported)| *reported != Value::Bool(false));
                if is_reported { by_status(resource_type, resource) } else { Self::Planned }
            }
            (standing, _) => standing,
        }
    }
}

fn by_status(resource_type: ResourceType, resource: &Value) -> Standing {
    let code = |member: &str| resource.get(member).and_then(|one| codes(one).next().map(|(_, code)| code.to_owned()));
    let verified = code("verificationStatus");
    if matches!(verified.as_deref(), Some("refuted" | "entered-in-error")) {
        return Standing::Wrong;
    }
    let unsure = matches!(verified.as_deref(), Some("unconfirmed" | "provisional" | "differential"));
    match code("clinicalStatus").as_deref() {
        Some("inactive" | "remission" | "resolved") => return Standing::Over,
        Some(_) => return if unsure { Standing::Open } else { Standing::Current },
        None if choice(resource, "abatement").is_some() => return Standing::Over,
        None if unsure => return Standing::Open,
        None => {}
    }
    let kind = Kind::of_type(resource_type);
    match text(resource, "status").unwrap_or_default() {
        "entered-in-error" => Standing::Wrong,
        "preliminary" | "registered" | "partial" | "draft" | "unknown" | "on-hold" | "onhold" | "pending"
        | "proposed" => Standing::Open,
        "planned" | "booked" | "arrived" | "intended" | "preparation" | "accepted" => Standing::Planned,
        // A bill or an insurance is not done, it is taken back.
        "cancelled" if kind == Kind::Payment => Standing::Over,
        "not-done" | "not-taken" | "cancelled" | "noshow" => Standing::NotDone,
        "stopped" | "inactive" | "superseded" | "abandoned" | "revoked" | "rejected" | "declined" | "ended" => {
            Standing::Over
        }
        // A course of a medicine is over; a visit or a vaccination is done and counts.
        "completed" if kind == Kind::Medicine => Standing::Over,
        _ => Standing::Current,
    }
}
