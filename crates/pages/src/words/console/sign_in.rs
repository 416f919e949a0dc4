//! Signing in, and answers that are no page of their own.

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
/// Reason in the audit log where somebody has no role here.
pub const NO_ROLE: &str = "the provider says of them no role of an operator or an auditor";
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
