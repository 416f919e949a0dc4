//! The consent authority's signed request for what a party's audit log holds about its patient (`spec/protocol.md`,
//! section 6.5). It names the session in which it is asked, so that nobody else can ask with it, and holds for minutes.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, SigningKey, UnixTime};

use crate::codec::{from_bytes, to_bytes};
use crate::error::ErrorKind;
use crate::id::{Pseudonym, SessionId};
use crate::operations::Operations;
use crate::statement::{self, Kind, STATEMENT_BYTES_MAX};

/// Seconds between the date of a log request and the clock of the party that is asked, both ways.
pub const LOG_REQUEST_SECONDS: u64 = 300;

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogRequest {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// The session in which it is asked.
    #[n(2)]
    pub session: SessionId,
    /// Unix seconds.
    #[n(3)]
    pub issued_at: u64,
}

impl LogRequest {
    /// Signs it with the consent authority's key.
    pub fn sign(&self, authority: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        statement::sign(Kind::LogRequest, &to_bytes(self), authority, operations)
    }
}

/// The patient of a request that is not verified yet: it tells whose authority to verify with.
pub fn patient_of(bytes: &[u8]) -> Result<Pseudonym, ErrorKind> {
    let claimed: LogRequest = from_bytes(statement::parse(Kind::LogRequest, bytes)?.payload(), STATEMENT_BYTES_MAX)?;
    Ok(claimed.patient)
}

/// Verifies a request that came in this session under the key of the patient's consent authority.
pub fn verify(
    bytes: &[u8],
    exchange: &str,
    session: SessionId,
    authority: &PublicKey,
    now: UnixTime,
    operations: &Operations,
) -> Result<(), ErrorKind> {
    let payload = statement::open(Kind::LogRequest, bytes, authority, operations)?;
    let request: LogRequest = from_bytes(&payload, STATEMENT_BYTES_MAX)?;
    if request.exchange != exchange {
        return Err(ErrorKind::WrongExchange);
    }
    if request.session != session {
        return Err(ErrorKind::WrongSession);
    }
    let seconds = request.issued_at.abs_diff(now.as_secs());
    if seconds > LOG_REQUEST_SECONDS {
        return Err(ErrorKind::Clock { seconds, limit: LOG_REQUEST_SECONDS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_pki::KeyAlgorithm;

    use super::*;

    #[test]
    fn a_request_holds_for_its_session_its_authority_and_some_minutes() {
        let (authority, other) = (
            SigningKey::generate(KeyAlgorithm::Ed25519).unwrap(),
            SigningKey::generate(KeyAlgorithm::Ed25519).unwrap(),
        );
        let operations = Operations::default();
        let request = LogRequest {
            exchange: "demo".into(),
            patient: Pseudonym::new([7; 32]),
            session: SessionId::new([5; 32]),
            issued_at: 10_000,
        };
        let signed = request.sign(&authority, &operations).unwrap();
        assert_eq!(patient_of(&signed).unwrap(), request.patient);
        let check = |exchange: &str, session: SessionId, key: &SigningKey, now| {
            verify(&signed, exchange, session, key.public_key(), UnixTime::from_secs(now), &operations)
        };
        for now in [9_700, 10_000, 10_300] {
            check("demo", request.session, &authority, now).unwrap();
        }
        assert!(matches!(check("demo", request.session, &authority, 10_301), Err(ErrorKind::Clock { .. })));
        assert!(matches!(check("demo", request.session, &authority, 9_699), Err(ErrorKind::Clock { .. })));
        assert!(check("demo", request.session, &other, 10_000).is_err());
        assert!(matches!(check("north", request.session, &authority, 10_000), Err(ErrorKind::WrongExchange)));
        let another = SessionId::new([6; 32]);
        assert!(matches!(check("demo", another, &authority, 10_000), Err(ErrorKind::WrongSession)));
    }
}
