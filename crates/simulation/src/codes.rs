//! Every code with which a gateway may refuse in a simulated run (`spec/protocol.md`, section 10, and the gateway's
//! own). Another one, or none, is a fault of the program.

/// Refusals of the protocol and of the services.
const NAMED: [&str; 34] = [
    "authority-ended",
    "authority-elsewhere",
    "certificate-refused",
    "challenge-wrong",
    "clock-skew",
    "conflict",
    "connect-failed",
    "connection-closed",
    "consent-invalid",
    "cookie-needed",
    "directive-behind",
    "epoch-changed",
    "http-failed",
    "log-busy",
    "not-an-answer",
    "overloaded",
    "patient-unknown",
    "peer-refused",
    "peer-unreachable",
    "queued",
    "request-timeout",
    "resource-unknown",
    "session-exhausted",
    "session-unknown",
    "session-wrong",
    "statement-invalid",
    "timeout",
    "tls-failed",
    "token-refused",
    "unavailable",
    "party-wrong",
    "refused-by-peer",
    "message-replayed",
    "seal-broken",
];
/// Beginnings of families.
const FAMILIES: [&str; 5] = ["consent-", "directive-", "provision-", "successor-", "certificate-"];

/// Whether a refusal is by a name.
pub(crate) fn is_named(code: &str) -> bool {
    NAMED.contains(&code) || FAMILIES.iter().any(|family| code.starts_with(family))
}
