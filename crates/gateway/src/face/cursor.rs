//! Where a page ended, as a text that the client hands back: sealed under the gateway's key-encryption key, so that it
//! can be neither made nor read by others, and complete, so that it outlives a restart. It grants nothing: who follows
//! it is let in and judged like anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use sealwort_fhir::IssueCode;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};

use crate::Gateway;
use crate::error::GatewayError;

/// The parameter that carries it.
pub(crate) const PARAMETER: &str = "_cursor";
/// Longest cursor, in bytes.
const CURSOR_BYTES_MAX: usize = 16 * 1024;

/// A search or a history to be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Cursor {
    /// The search's parameters.
    #[n(0)]
    pub(crate) parameters: Vec<(String, String)>,
    /// The record that it runs over, by pseudonym; none for the roster.
    #[n(1)]
    pub(crate) record: Option<Blob>,
    #[n(2)]
    pub(crate) resume: Resume,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Resume {
    /// After this position of a search.
    #[n(0)]
    Search(#[n(0)] Blob),
    /// After so many versions out of so many.
    #[n(1)]
    History {
        #[n(0)]
        total: u64,
        #[n(1)]
        skip: u64,
    },
    /// After the row of an access log that stands there: time, log and number.
    #[n(2)]
    Row(#[n(0)] (u64, u8, u64)),
}

impl Cursor {
    /// The cursor as text for a URL.
    pub(crate) fn seal(&self, gateway: &Gateway) -> String {
        URL_SAFE_NO_PAD.encode(gateway.member.kek().wrap(&[b"cursor v1"], &to_bytes(self)))
    }

    /// Reads a cursor that this gateway made.
    pub(crate) fn open(gateway: &Gateway, text: &str) -> Result<Self, GatewayError> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err(unusable());
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| unusable())?;
        let plain = gateway.member.kek().unwrap(&[b"cursor v1"], &sealed).map_err(|_| unusable())?;
        from_bytes(&plain, CURSOR_BYTES_MAX).map_err(|_| unusable())
    }
}

pub(crate) fn unusable() -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::Value,
        "cursor-unusable",
        "the cursor is not one of this server's",
        "follow the next link as it was given, or search anew",
    )
}
