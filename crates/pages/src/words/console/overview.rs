//! Overview: what needs attention, and a few numbers.

/// Heads what needs attention.
pub const ATTENTION: &str = "Needs attention";
/// Nothing does.
pub const ALL_GOOD: &str = "Nothing needs attention.";
/// What was looked at.
pub const ALL_GOOD_MORE: &str = "Store, keys, audit log, certificates, the revocation list, clocks, archive and authority \
                                 are in order, as this node of the broker sees them.";
/// Something does not work.
pub const WRONG: &str = "Broken";
/// Something should be looked at before it is broken.
pub const WARNING: &str = "Warning";
/// Heads the numbers.
pub const AT_A_GLANCE: &str = "At a glance";
/// Gateways that were here a moment ago.
pub const GATEWAYS_HERE: &str = "Gateways here";
/// What is counted.
pub const GATEWAYS_HERE_MORE: &str = "seen in the last five minutes, of all that are known";
/// Sessions.
pub const LIVE_SESSIONS: &str = "Live sessions";
/// What is counted.
pub const LIVE_SESSIONS_MORE: &str = "between gateways and this node";
/// Requests.
pub const REQUESTS: &str = "Requests";
/// What is counted.
pub const REQUESTS_MORE: &str = "in the last minute";
/// Refusals.
pub const REFUSED: &str = "Refused";
/// What is counted.
pub const REFUSED_MORE: &str = "in the last hour";
/// This broker.
pub const THIS_BROKER: &str = "This broker";
/// Its certificates.
pub const OWN_CERTIFICATES: &str = "Its certificates";
/// The list of revoked certificates.
pub const REVOCATION_LIST: &str = "Revocation list";
/// When the page was made.
pub const AS_OF: &str = "As of";
/// No list is in force.
pub const NO_LIST: &str = "There is no revocation list in force";
/// Why that matters.
pub const NO_LIST_WHY: &str =
    "Nobody is believed until the certificate authority is reached and a fresh list is fetched.";
/// Why an old list matters.
pub const LIST_ENDS_WHY: &str = "When it has ended, nobody is believed any more. A fresh list comes from the certificate \
                                 authority; the command says why it does not.";
/// Why a revoked party is shown.
pub const REVOKED_WHY: &str =
    "Nobody accepts it any more. If it is to take part again, invite it anew; if not, nothing is to be done.";
/// Why ended certificates matter.
pub const ENDED_WHY: &str =
    "It cannot connect, nor renew them by itself. Invite it anew, and let it join in a new folder.";
/// Why ending certificates matter.
pub const ENDS_SOON_WHY: &str = "Parties renew certificates by themselves, at two thirds of their time. This one has less \
                                 left than [console] certificates_below; the command says what keeps it from renewing.";
/// Why clocks matter.
pub const CLOCK_OFF_WHY: &str = "Parties whose clocks are more than 30 seconds apart refuse each other.";
/// Why old keys matter.
pub const KEY_OVERDUE_WHY: &str = "The key-encryption key has been in use for longer than [console] keys_for says. Changing \
                                   it takes no pause.";

/// A part of the broker does not work.
pub fn part_lacking(part: &str) -> String {
    match part {
        "service" => "This broker is being stopped".to_owned(),
        part => format!("This broker is not ready: {part}"),
    }
}

/// Another party's log is not what it was.
pub fn doubt(origin: &str) -> String {
    format!("The audit log of {origin} was rewritten")
}

/// Somebody is not reached.
pub fn away(role: &str, at: &str) -> String {
    format!("The {role} at {at} is not reached")
}

/// Somebody is being stopped.
pub fn drained(role: &str, at: &str) -> String {
    format!("The {role} at {at} is drained: it is being stopped and takes nothing new")
}

/// Somebody is not ready.
pub fn not_ready(role: &str, at: &str) -> String {
    format!("The {role} at {at} is reached, and not ready")
}

/// Where a command is typed.
pub fn at_host_of(whom: &str) -> String {
    format!("On the computer of the {whom}:")
}

/// On both sides.
pub fn at_both(role: &str) -> String {
    format!("On the broker's computer and on that of the {role}:")
}

/// The list ends.
pub fn list_ends(span: &str) -> String {
    format!("The revocation list ends in {span}")
}

/// The list, in short.
pub fn list(number: u64, revoked: usize, span: &str) -> String {
    format!("number {number}, {revoked} revoked, {span} left")
}

/// A party was revoked.
pub fn revoked(party: &str) -> String {
    format!("The certificates of {party} are revoked")
}

/// A party's certificates ended.
pub fn ended(party: &str, moment: &str) -> String {
    format!("The certificates of {party} ended on {moment}")
}

/// A party's certificates will end.
pub fn ends_soon(party: &str, span: &str) -> String {
    format!("The certificates of {party} end in {span}")
}

/// A clock is off.
pub fn clock_off(role: &str, seconds: u64, ahead: bool) -> String {
    let way = if ahead { "ahead of" } else { "behind" };
    format!("The clock of the {role} is {seconds} seconds {way} the broker's")
}

/// A key should have been changed.
pub fn key_overdue(day: &str) -> String {
    format!("The key-encryption key was to be changed by {day}")
}
