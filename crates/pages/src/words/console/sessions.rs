//! Sessions of gateways.

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
/// Heads those of people.
pub const PEOPLE: &str = "Who is signed in to this console";
/// What they are.
pub const PEOPLE_HOW: &str = "What somebody may do here was asked of the provider when they signed in. Who is to go sooner                               than their session ends, or lost a role, is signed out here, and not let in again by the                               provider.";
/// Columns.
pub const PEOPLE_COLUMNS: [&str; 6] = ["Name", "Role here", "From", "Since", "Last used", "End"];
/// Somebody's session was ended.
pub const PERSON_WAS_ENDED: &str = "They are signed out here. Whom the provider still lets in can sign in again.";
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

/// How many people.
pub fn people(count: usize) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

/// What a button ends.
pub fn end_person(name: &str) -> String {
    format!("End the session of {name}")
}

/// What a button ends.
pub fn end_session(gateway: &str, session: &str) -> String {
    format!("End session {session} of {gateway}")
}
