//! Words of the operator's console.

/// What this is.
pub const SURFACE: &str = "Operator's console";

// ---- the pages ----

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

// ---- on several pages ----

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

// ---- signing in ----

/// Button to sign in.
pub const SIGN_IN: &str = "Sign in";
/// Button to sign out.
pub const SIGN_OUT: &str = "Sign out";
/// Title after signing out.
pub const SIGNED_OUT: &str = "You are signed out";
/// Leads to the first page.
pub const TO_CONSOLE: &str = "To the console";
/// Title of a refused sign-in.
pub const SIGN_IN_REFUSED: &str = "You were not signed in";
/// Title for somebody who has to wait.
pub const SIGN_IN_WAIT: &str = "Too many attempts";
/// Too many sign-ins at once.
pub const SIGN_IN_BUSY: &str = "Too many people are signing in at this moment";
/// What to do then.
pub const SIGN_IN_BUSY_NEXT: &str = "Try again in a minute.";
/// A way back that does not count.
pub const SIGN_IN_USED: &str =
    "This sign-in is not one that this browser began, was used before, or took too long. Sign in again.";
/// Another provider answered.
pub const SIGN_IN_OTHER_ISSUER: &str = "The answer is from another provider than the one that is configured.";
/// The provider said no.
pub const SIGN_IN_NOT_SIGNED: &str = "The provider did not sign you in. Sign in again.";
/// Title where the provider is away.
pub const PROVIDER_AWAY: &str = "The provider for signing in cannot be used";
/// Title where nothing can be entered.
pub const LOG_AWAY: &str = "The audit log cannot be written";
/// What to do then.
pub const LOG_AWAY_NEXT: &str = "Nothing is shown before it is entered in the audit log. /readyz and the broker's own log \
                                 name the cause; most often its disk is full.";
/// Title of a form from elsewhere.
pub const NOT_FROM_HERE: &str = "Nothing was done";
/// What to do then.
pub const NOT_FROM_HERE_NEXT: &str = "The session is over, or the form is not of its pages. Open the page again.";
/// Title of a form that is too long.
pub const FORM_TOO_LONG: &str = "The form is too long";
/// What to do then.
pub const FORM_TOO_LONG_NEXT: &str = "Write less, and send it again.";
/// Title where somebody's role does not allow it.
pub const NOT_ALLOWED: &str = "Only operators may do this";
/// What to do then.
pub const NOT_ALLOWED_NEXT: &str = "Auditors look and change nothing. Ask an operator.";
/// Title of a page that is none.
pub const NOWHERE: &str = "There is no such page";
/// What to do then.
pub const NOWHERE_NEXT: &str = "Begin at the overview.";
/// Why a session ended: by its user.
pub const ENDED_SIGNED_OUT: &str = "signed out";
/// Signed in anew in the same browser.
pub const ENDED_ANEW: &str = "signed in anew";
/// Nobody used it.
pub const ENDED_IDLE: &str = "idle";
/// As long as one may last.
pub const ENDED_LIFETIME: &str = "its time was over";

/// Somebody who has no role here.
pub fn no_role(name: &str) -> String {
    format!(
        "The provider says that you are {name}, and names no role that may see this console. Ask whoever looks after the \
         provider for the role of an operator or an auditor."
    )
}

/// How long somebody waits.
pub fn wait(seconds: u64) -> String {
    format!("Wait {seconds} seconds, and sign in again.")
}

/// The provider is away.
pub fn provider_away(error: &str) -> String {
    format!(
        "Nobody can sign in until it answers again: {error}. See to the provider, or to [console.sign_in] of broker.toml."
    )
}

/// What somebody is here.
pub fn role(role: &str) -> &'static str {
    if role == "operator" { "operator" } else { "auditor" }
}

// ---- overview ----

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

// ---- participants ----

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

// ---- sessions ----

/// What the page shows.
pub const SESSIONS_INTRODUCTION: &str = "A session is what a gateway, this broker and the archive agree on by the nine \
                                         steps. It lasts an hour at most, and the gateway begins the next by itself.";
/// Columns.
pub const SESSION_COLUMNS: [&str; 5] = ["Gateway", "Session", "Since", "Last used", "End"];
/// Button.
pub const END: &str = "End";
/// In place of the button.
pub const OPERATORS_ONLY: &str = "operators only";
/// A session was ended.
pub const SESSION_WAS_ENDED: &str = "The session was ended. The gateway begins another with its next request.";
/// Heads what to do.
pub const SESSIONS_HOW: &str = "To end sessions";
/// What ending does.
pub const SESSIONS_END_HOW: &str = "Ending a session here is entered in the audit log. Answers that are under way are \
                                    finished, notices end within seconds, and the gateway authenticates itself anew.";
/// What keeps a party out.
pub const SESSIONS_KEEP_OUT: &str = "To keep a party out, revoke it at the certificate authority. That ends its sessions within ten seconds, and no new one \
     begins:";
/// Title where there is none.
pub const NO_SESSION: &str = "There is no such session";
/// What to do then.
pub const NO_SESSION_NEXT: &str = "It may have ended meanwhile. Look at the list again.";
/// Reason in the audit log.
pub const ENDED_BY_OPERATOR: &str = "by an operator";

/// How many sessions.
pub fn sessions(all: usize, shown: usize) -> String {
    match all {
        1 => "1 live session of this node".to_owned(),
        all if all > shown => format!("{shown} of {all} live sessions of this node"),
        all => format!("{all} live sessions of this node"),
    }
}

/// What a button ends.
pub fn end_session(gateway: &str, session: &str) -> String {
    format!("End session {session} of {gateway}")
}

// ---- refusals ----

/// What the page shows.
pub const REFUSALS_INTRODUCTION: &str = "What this broker refused, by the code that the other side was given. What the \
                                         archive refuses inside a gateway's own channel the broker cannot see.";
/// Label of the filter.
pub const OVER: &str = "Over";
/// Times: hours, and what people read.
pub const HOURS_CHOICES: [(u64, &str); 3] = [(1, "the last hour"), (24, "the last day"), (168, "the last week")];
/// Columns.
pub const REFUSAL_COLUMNS: [&str; 5] = ["Code", "Means", "How many", "Last", "Over time"];
/// There were none.
pub const NO_REFUSALS: &str = "Nothing was refused in this time.";
/// A code that is not explained here.
pub const MEANING_UNKNOWN: &str = "see spec/protocol.md, section 10";

/// How many refusals.
pub fn refusals(count: usize) -> String {
    if count == 1 { "1 refusal".to_owned() } else { format!("{count} refusals") }
}

/// More than are counted.
pub fn counted_at_most(most: usize) -> String {
    format!("There were more than {most}; the newest of these are counted. Choose a shorter time.")
}

/// What a small chart draws.
pub fn refusals_over_time(code: &str, count: usize) -> String {
    format!("{code}: {} over this time", refusals(count))
}

/// What a code means, in short (spec/protocol.md, section 10).
pub fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "access-refused" => "somebody was not let in to this console",
        "message-malformed" => "a message is not what it must be, or too long",
        "version-unknown" => "another version of the protocol",
        "suite-unknown" => "another suite of primitives",
        "exchange-wrong" => "a message of another exchange",
        "step-wrong" => "another step than the one awaited",
        "session-wrong" => "a message of another session",
        "session-unknown" => "no such session here: it ended, or the broker was restarted",
        "session-exhausted" => "the session has reached a limit; the gateway begins another",
        "certificate-refused" => "a certificate does not verify; the entry says why",
        "party-wrong" => "another party than expected",
        "signature-wrong" => "a signature does not verify",
        "encapsulation-wrong" => "a key or ciphertext is not valid",
        "confirmation-wrong" => "the other side did not prove that it holds the key",
        "policy-mismatch" => "what one side demands the other does not promise",
        "policy-changed" => "policies are not those that were sent",
        "seal-broken" => "a message does not open: altered, or under another key",
        "message-replayed" => "a message came twice, or too late",
        "challenge-wrong" => "an answer does not fit its challenge",
        "cookie-needed" => "too many begin at once; the gateway has to come back with a cookie",
        "token-refused" => "a token does not fit this use",
        "clock-skew" => "a time lies outside what is accepted; compare the clocks",
        "log-rolled-back" => "a log contradicts what was witnessed",
        "log-inconsistent" => "a log contradicts itself",
        "log-rewritten" => "another party's audit log does not continue what was cosigned before",
        "statement-invalid" => "a registration, directive or other statement does not fit",
        "refused" => "another party refused",
        "crypto-failed" => "the cryptographic library failed",
        "patient-unknown" => "nobody of whom was asked is registered",
        "patient-erased" => "whom was asked about was erased",
        "identifiers-count" => "none or too many identifiers in one look-up",
        "emergencies-count" => "too many emergency accesses are acknowledged at once",
        "emergency-over" => "the hour of an emergency access is over",
        "emergency-other" => "an emergency access is somebody else's",
        "request-invalid" => "action, purpose or hospital are none that a directive can name",
        "consent-no-directive" => "there is no directive to decide by",
        "consent-other-patient" => "the directive is about somebody else",
        "consent-nothing-requested" => "nothing was asked for",
        "consent-too-many-labels" => "more was asked for than one request may",
        "consent-time-out-of-range" => "a time that no directive can name",
        "consent-no-provision" => "consent does not name this hospital",
        "consent-role-not-granted" => "consent does not allow this role",
        "consent-action-not-granted" => "consent does not allow this action",
        "consent-purpose-not-granted" => "consent does not allow this purpose",
        "consent-label-not-granted" => "consent does not allow what was asked for",
        "consent-not-started" => "consent has not begun",
        "consent-ended" => "consent has ended",
        "consent-evaluation-failed" => "a directive could not be decided by",
        "directive-behind" => "the archive has not received the newest directive",
        "epoch-changed" => "consent changed, and new keys began",
        "authority-ended" => "the archive's authority has ended",
        "action-wrong" => "a token is for another action",
        "deposit-size" => "too few, too many or too large entries",
        "conflict" => "it contradicts what is stored",
        "unavailable" => "too much to do, or the store is waited for",
        "audit-unavailable" => "the audit log cannot be written",
        "peer-unreachable" => "the archive is not reached",
        "disk-full" => "a disk is full",
        "storage-failed" => "the store failed",
        _ => return None,
    })
}

// ---- keys ----

/// What the page shows.
pub const KEYS_INTRODUCTION: &str = "Keys are shown by name and age; no key leaves its place.";
/// Heads the key-encryption key.
pub const KEK: &str = "Key-encryption key";
/// It is being changed.
pub const KEK_CHANGING: &str = "It is being changed now: what the old key wrapped is wrapped anew, and the old key then \
                                leaves the file.";
/// Name of the key in use.
pub const KEY_NAME: &str = "Name of the key in use";
/// Name of an older one.
pub const KEY_NAME_OLD: &str = "Name of an older key";
/// Where it is.
pub const KEY_PLACE: &str = "Where it is";
/// In a token.
pub const KEY_IN_TOKEN: &str = "in the PKCS#11 token of [keys]";
/// In the file.
pub const KEY_IN_FILE: &str = "in the file kek.key of the data folder";
/// Since when.
pub const KEY_SINCE: &str = "In use since";
/// When it is to be changed.
pub const KEY_DUE: &str = "To be changed by";
/// How it is changed.
pub const KEY_HOW: &str = "On the broker's computer, this changes it while the broker serves:";
/// How it gets into a token.
pub const KEY_HOW_TOKEN: &str = "And this takes it into a token, which [keys] of the configuration names:";
/// Heads the certificates' keys.
pub const OWN_KEYS: &str = "Keys of the broker's certificates";
/// How they are renewed.
pub const OWN_KEYS_HOW: &str =
    "Both are made anew with each certificate, at two thirds of its time, without anybody's help.";
/// Columns.
pub const KEY_COLUMNS: [&str; 4] = ["Key", "Serial of its certificate", "Valid from", "Until"];
/// The key of connections.
pub const HOP_KEY: &str = "of connections (TLS)";
/// The key of signatures.
pub const STATEMENT_KEY: &str = "of signatures (statements)";
/// The next renewal.
pub const RENEWAL_DUE: &str = "Next renewal";
/// What to do where it does not come.
pub const RENEWAL_HOW: &str = "If it does not come, this says why:";
/// Heads what lies under the key.
pub const UNDER_KEY: &str = "What lies under the key-encryption key";
/// What that is.
pub const UNDER_KEY_HOW: &str = "The broker's halves of keys, and the key that pseudonyms are made from. Whether all of it \
                                 opens, this command says; it works beside the service:";

// ---- audit ----

/// What the page shows.
pub const AUDIT_INTRODUCTION: &str = "This broker's own log of what it did and refused. Every search is entered before its \
                                      results are shown.";
/// Heads the search.
pub const SEARCH: &str = "Search";
/// Field.
pub const KIND: &str = "What happened";
/// Field.
pub const OUTCOME: &str = "How it ended";
/// Outcomes, in the order of their numbers: the value, and what people read.
pub const OUTCOMES: [(&str, &str); 3] = [("done", "done"), ("refused", "refused"), ("failed", "failed")];
/// Field.
pub const PARTY: &str = "Other party";
/// Field.
pub const SINCE: &str = "From day (UTC)";
/// Field.
pub const UNTIL: &str = "To day, included";
/// Button.
pub const FIND: &str = "Search";
/// Columns.
pub const ENTRY_COLUMNS: [&str; 7] = ["Number", "When", "What", "Outcome", "Other party", "Who", "More"];
/// Link to older entries.
pub const OLDER: &str = "Older entries";
/// What is not shown.
pub const LEFT_OUT: &str = "Patients, and names of hospitals' users, are left out here. What is shown was not verified; \
                            for that, see below.";
/// Heads the verification.
pub const VERIFY: &str = "Verify";
/// The newest checkpoint.
pub const CHECKPOINT: &str = "Newest checkpoint";
/// Its root.
pub const ROOT: &str = "Root hash";
/// Who cosigned.
pub const COSIGNED: &str = "Cosigned";
/// Nobody did.
pub const NOT_COSIGNED: &str = "by nobody yet";
/// Button.
pub const VERIFY_NOW: &str = "Verify the whole log now";
/// Not done yet.
pub const NOT_VERIFIED: &str = "The log was not verified since this broker started.";
/// It goes on.
pub const VERIFYING: &str = "The log is being walked, entry by entry, since";
/// Link.
pub const LOOK_AGAIN: &str = "Look again";
/// Altered.
pub const TAMPERED: &str = "The log was altered.";
/// What to do then.
pub const TAMPERED_NEXT: &str = "Stop here: keep the files as evidence, and restore the log from a backup.";
/// It cannot be told.
pub const UNVERIFIABLE: &str = "Nothing false was found, but not everything can be told.";
/// What to do then.
pub const UNVERIFIABLE_NEXT: &str = "Ask another party for its witness file, and use the commands below.";
/// Heads the commands.
pub const CHECK_OUTSIDE: &str = "To check it without trusting this broker";
/// The export.
pub const CHECK_OUTSIDE_HOW: &str = "On the broker's computer, export the entries of a day with their proof:";
/// The witness file.
pub const CHECK_WITNESS_HOW: &str = "On the archive's computer, write down what the archive remembers of this log:";
/// The check.
pub const CHECK_VERIFY_HOW: &str =
    "Anywhere, without any network, with the root certificate from the exchange's operator:";

/// Seconds beside a moment that names the minute.
pub fn seconds_of(seconds: u64) -> String {
    format!(":{seconds:02}")
}

/// How many entries.
pub fn entries(count: usize) -> String {
    match count {
        0 => "No entry is like this".to_owned(),
        1 => "1 entry".to_owned(),
        count => format!("{count} entries, the newest first"),
    }
}

/// What the newest checkpoint covers.
pub fn checkpoint(size: u64) -> String {
    format!("over {size} entries, signed")
}

/// Up to where others cosigned.
pub fn cosigned(size: u64) -> String {
    format!("up to entry {size}, by")
}

/// It is good.
pub fn verified(entries: u64) -> String {
    format!("{entries} entries are as they were signed.")
}

/// How far others vouch.
pub fn witnessed(size: u64, by: &str) -> String {
    format!("Others vouch for the log up to entry {size}: {by}.")
}

/// An entry by its number.
pub fn entry(number: u64) -> String {
    format!("entry {number}")
}

// ---- diagnosis ----

/// What the page shows.
pub const DIAGNOSIS_INTRODUCTION: &str = "Who reaches whom, as this node of the broker sees it. Gateways and archive speak \
                                          with each other through the broker alone.";
/// Heads the table.
pub const REACHABILITY: &str = "Who reaches whom";
/// What it says.
pub const REACHABILITY_CAPTION: &str = "Ways between parties, each with its newest sign of life";
/// Columns.
pub const REACH_COLUMNS: [&str; 4] = ["Way", "State", "Last sign of life", "Clock against the broker's"];
/// Button.
pub const ASK_AGAIN: &str = "Ask archive and authority now";
/// They were asked.
pub const ASKED: &str = "Archive and authority were asked again.";
/// A way that works.
pub const REACHED: &str = "reached";
/// A way that does not.
pub const NOT_REACHED: &str = "not reached";
/// Reached, and not ready.
pub const REACHED_NOT_READY: &str = "reached, not ready";
/// Reached, and being stopped.
pub const STOPPING: &str = "drained";
/// Nobody asked yet.
pub const NOT_ASKED: &str = "not asked yet";
/// A gateway that says nothing.
pub const QUIET: &str = "quiet";
/// Before a moment.
pub const SEEN: &str = "seen";
/// A gateway's clock.
pub const CLOCK_NOT_AHEAD: &str = "not ahead; a gateway's clock that is behind does not show here";
/// Heads the versions.
pub const VERSIONS: &str = "Versions";
/// What the table says.
pub const VERSIONS_CAPTION: &str = "Software as parties with a live session name it";
/// Columns.
pub const VERSION_COLUMNS: [&str; 3] = ["Party", "Software", "Protocol"];
/// Heads the store.
pub const STORE: &str = "Store of this broker";
/// Whether all parts work.
pub const READY: &str = "Ready";
/// The engine.
pub const ENGINE: &str = "Engine";
/// The embedded one.
pub const ENGINE_EMBEDDED: &str =
    "embedded (SQLite), in the data folder; no standby: copy it with sealwort store backup";
/// Its size.
pub const SIZE: &str = "Files in the data folder";
/// How fast it commits.
pub const COMMITS: &str = "Commits of the audit log";
/// Runs of the nine steps.
pub const RUNS: &str = "Runs of the nine steps in progress";
/// What says more.
pub const STORE_HOW: &str = "More, with what mends it, on the broker's computer:";

/// A way of the broker's to somebody.
pub fn to(role: &str, at: &str) -> String {
    format!("broker → {role} ({at})")
}

/// A gateway's way to the broker.
pub fn from(gateway: &str) -> String {
    format!("gateway {gateway} → broker")
}

/// A gateway's way to the archive.
pub fn through(gateway: &str) -> String {
    format!("gateway {gateway} → archive, through the broker")
}

/// How many sessions carry a way.
pub fn live_sessions(count: usize) -> String {
    if count == 1 { "1 live session".to_owned() } else { format!("{count} live sessions") }
}

/// How fast somebody answered.
pub fn answered_in(took: &str) -> String {
    format!("answered in {took}")
}

/// A clock, to within a second.
pub fn clock(ahead: i64) -> String {
    match ahead {
        -1..=1 => "the same, to within a second".to_owned(),
        ahead if ahead > 0 => format!("{ahead} seconds ahead"),
        behind => format!("{} seconds behind", behind.unsigned_abs()),
    }
}

/// A gateway's clock that is ahead.
pub fn clock_at_least(span: &str) -> String {
    format!("at least {span} ahead")
}

/// A database on a server.
pub fn engine_server(at: &str, standbys: bool) -> String {
    format!("PostgreSQL at {at}; {}", if standbys { "with standbys" } else { "no standby is named" })
}

/// A size.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    fits.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

/// How fast commits were.
pub fn commits(count: usize, median: &str, longest: &str) -> String {
    format!("median {median}, longest {longest}, of the last {count}")
}

// ---- throughput ----

/// What the page shows.
pub const THROUGHPUT_INTRODUCTION: &str = "The last hour of this node, minute by minute, kept in memory: a restart begins \
                                           anew. Counted are steps of authentication, messages of gateways, and what is \
                                           relayed to the archive.";
/// Heads a chart.
pub const RATES: &str = "Requests and refusals per second";
/// Its unit.
pub const PER_SECOND: &str = "per second";
/// Heads a chart.
pub const TIMES: &str = "How long answers took";
/// Its unit.
pub const MILLISECONDS: &str = "ms";
/// Half of the answers.
pub const MEDIAN: &str = "Half took at most";
/// Nearly all.
pub const MOST: &str = "95 of 100 took at most";
/// A sum.
pub const REQUESTS_HOUR: &str = "Requests in this hour";
/// A sum.
pub const REFUSED_HOUR: &str = "Refused in this hour";
