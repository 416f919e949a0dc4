//! The report after an emergency access: written by the gateway itself when the access ends, signed with the gateway's
//! statement key, so that whoever holds it can tell later that nobody has changed it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwort_proto::handshake::Party;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::{Access, How, Review};
use super::tell::Tell;
use crate::error::GatewayError;

/// What stands before the report's bytes when they are signed, so that the signature is good for nothing else.
const SIGNED_AS: &str = "sealwort emergency report v1\0";

/// What the report says.
#[derive(Serialize)]
struct Content<'a> {
    /// The hospital's identity.
    hospital: String,
    written: u64,
    /// Seconds from its beginning to its end.
    seconds: u64,
    how: How,
    #[serde(flatten)]
    access: &'a Access,
    /// How many resources were opened.
    resources_opened: usize,
    notices: Vec<Tell>,
}

/// As it is kept: the very bytes that were signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signed {
    content: String,
    /// Base64, over `sealwort emergency report v1`, a zero byte, and the content.
    signature: String,
    /// The gateway's statement certificate and its issuer's, DER in base64.
    certificates: Vec<String>,
}

/// A report as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_field_names, reason = "the names of the answer's members")]
pub(crate) struct Report {
    report: Value,
    signed: Signed,
    /// What was found since; absent while the review is open.
    review: Option<Review>,
    /// The notices as they stand now.
    notices: Vec<Tell>,
}

/// Writes and signs the report of an access that has ended.
pub(super) fn write(access: &Access, notices: Vec<Tell>, party: &Party, now: u64) -> Result<Vec<u8>, GatewayError> {
    let unwritable = GatewayError::Kept("the report of an emergency access cannot be written");
    let Some(ended) = &access.ended else { return Err(unwritable) };
    let content = Content {
        hospital: party.identity.to_string(),
        written: now,
        seconds: access.begun.map_or(0, |begun| ended.at.saturating_sub(begun)),
        how: ended.how,
        access,
        resources_opened: access.opened.resources.values().map(std::collections::BTreeSet::len).sum(),
        notices,
    };
    let content = serde_json::to_string(&content).map_err(|_| unwritable.clone())?;
    let message = [SIGNED_AS.as_bytes(), content.as_bytes()].concat();
    let signature = party.key.sign(&message).map_err(|_| unwritable.clone())?;
    let certificates = party.chain.certificates().iter().map(|der| STANDARD.encode(der)).collect();
    let signed = Signed { content, signature: STANDARD.encode(signature), certificates };
    serde_json::to_vec(&signed).map_err(|_| unwritable)
}

impl Report {
    /// Reads one that is kept.
    pub(super) fn read(kept: &[u8], review: Option<Review>, notices: Vec<Tell>) -> Result<Self, GatewayError> {
        let unreadable = |_| GatewayError::Kept("the report of an emergency access cannot be read");
        let signed: Signed = serde_json::from_slice(kept).map_err(unreadable)?;
        let report = serde_json::from_str(&signed.content).map_err(unreadable)?;
        Ok(Self { report, signed, review, notices })
    }
}
