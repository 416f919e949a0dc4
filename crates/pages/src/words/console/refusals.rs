//! Refusals, and what their codes mean.

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
pub fn counted_at_most(most: usize, entries: u64) -> String {
    format!(
        "There may be more: of the newest {entries} entries of the log the newest {most} refusals are counted. Choose a \
         shorter time."
    )
}

/// Some cannot be read.
pub fn unreadable(count: usize) -> String {
    match count {
        1 => "1 entry of a refusal cannot be read: the log was altered.".to_owned(),
        count => format!("{count} entries of refusals cannot be read: the log was altered."),
    }
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
