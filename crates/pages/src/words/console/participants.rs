//! Participants.

/// What the page shows.
pub const PARTICIPANTS_INTRODUCTION: &str = "Every party that this broker knows from certificates and connections. Who was \
                                             invited and never came is known to the certificate authority alone.";
/// Label of the filter.
pub const SHOW: &str = "Which";
/// What can be shown: the value, and what people read.
pub const SHOW_CHOICES: [(&str, &str); 6] = [
    ("", "all"),
    ("attention", "those that need attention"),
    ("gateway", "gateways"),
    ("archive", "archives"),
    ("broker", "brokers"),
    ("ca", "certificate authority"),
];
/// Columns.
pub const PARTICIPANT_COLUMNS: [&str; 6] =
    ["Name", "Role", "Certificates", "Time left and serial", "Last seen", "Sessions"];
/// This very broker.
pub const THIS_ONE: &str = "this broker";
/// Never seen.
pub const NOT_SEEN: &str = "not seen";
/// Certificates are in order.
pub const STATE_GOOD: &str = "good";
/// They end soon.
pub const STATE_ENDS_SOON: &str = "ends soon";
/// They ended.
pub const STATE_ENDED: &str = "ended";
/// They are revoked.
pub const STATE_REVOKED: &str = "revoked";
/// Heads the commands.
pub const PARTICIPANTS_HOW: &str = "To let somebody in, or keep somebody out";
/// How somebody is invited.
pub const INVITE_HOW: &str = "On the computer of the certificate authority, an invitation lets one party join once:";
/// How somebody is revoked.
pub const REVOKE_HOW: &str = "There as well, revoking ends every connection and session of a party within ten seconds:";

/// How many parties.
pub fn parties(count: usize) -> String {
    if count == 1 { "1 party".to_owned() } else { format!("{count} parties") }
}
