//! Transmission, the paper's 3.2.2, steps 1 to 7: from a signed request to an authority at the archive that
//! opens one patient's record for one purpose. The functions here make and check the messages; the channels
//! of the session protect them. Each state is used once.

pub mod archive;
pub mod broker;
pub mod gateway;

/// Largest list of labels in a request or token.
pub const TAGS_MAX: usize = 16;
/// The action of an emergency access (break-glass).
pub const EMERGENCY: &str = "emergency";
/// Longest emergency access, in seconds, from its begin.
pub const EMERGENCY_SECONDS_MAX: u64 = 60 * 60;
/// Longest code of its reason.
pub const REASON_BYTES_MAX: usize = 64;
/// Longest name of a user, and longest role.
pub const USER_BYTES_MAX: usize = 512;
