//! Words of the operator's console: those of several pages here, those of each page in a file of its own.

mod audit;
mod diagnosis;
mod keys;
mod overview;
mod participants;
mod refusals;
mod sessions;
mod sign_in;
mod throughput;

pub use audit::*;
pub use diagnosis::*;
pub use keys::*;
pub use overview::*;
pub use participants::*;
pub use refusals::*;
pub use sessions::*;
pub use sign_in::*;
pub use throughput::*;

/// What this is.
pub const SURFACE: &str = "Operator's console";

/// Page of what needs attention.
pub const OVERVIEW: &str = "Overview";
/// Page of parties.
pub const PARTICIPANTS: &str = "Participants";
/// Page of sessions.
pub const SESSIONS: &str = "Sessions";
/// Page of refusals.
pub const REFUSALS: &str = "Refusals";
/// Page of keys.
pub const KEYS: &str = "Keys";
/// Page of the audit log.
pub const AUDIT: &str = "Audit log";
/// Page of reachability and health.
pub const DIAGNOSIS: &str = "Diagnosis";
/// Page of charts.
pub const THROUGHPUT: &str = "Throughput";

/// A state that is not known.
pub const UNKNOWN: &str = "not known";
/// A question that does not arise.
pub const DOES_NOT_APPLY: &str = "–";
/// Any value of a field.
pub const ANY: &str = "any";
/// Button of a filter.
pub const APPLY: &str = "Show";
/// Yes.
pub const YES: &str = "yes";
/// No.
pub const NO: &str = "no";
/// At this moment.
pub const NOW: &str = "now";
/// Says that a part renews itself.
pub const RENEWED: &str = "Renews itself every 10 seconds.";
/// Says that it does not.
pub const PAUSED: &str = "Paused: this part stays as it is.";
/// Stops renewing.
pub const PAUSE: &str = "Pause";
/// Goes on renewing.
pub const RESUME: &str = "Go on";
/// Where commands of the broker are typed.
pub const AT_BROKER: &str = "On the broker's computer:";

/// Some time ago.
pub fn ago(span: &str) -> String {
    format!("{span} ago")
}

/// Time that is left.
pub fn left(span: &str) -> String {
    format!("{span} left")
}

/// Something ended then.
pub fn over(moment: &str) -> String {
    format!("ended {moment}")
}

/// The store cannot be read.
pub fn store_away(error: &str) -> String {
    format!("The broker's store cannot be read now, so this may be incomplete: {error}")
}

/// A role of a party, as people say it.
pub fn party_role(role: &str) -> &'static str {
    match role {
        "ca" => "certificate authority",
        "broker" => "broker",
        "archive" => "archive",
        _ => "gateway",
    }
}

/// A party by role and name.
pub fn party(role: &str, name: &str) -> String {
    format!("{role} {name}")
}
