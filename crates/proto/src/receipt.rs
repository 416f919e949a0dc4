//! The archive's receipt: what the head of a patient's log is. The writer keeps it as proof of storage, the
//! broker as the witness by which a reader notices a log that was rolled back, forked or cut.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, SigningKey};

use crate::codec::{from_bytes, to_bytes};
use crate::error::ErrorKind;
use crate::id::{DepositId, Digest, Pseudonym};
use crate::operations::Operations;
use crate::statement::{self, Kind};

/// The content of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipt {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// Identity of the archive.
    #[n(1)]
    pub archive: String,
    /// The patient.
    #[n(2)]
    pub patient: Pseudonym,
    /// Sequence number of the head; 0 for an empty log.
    #[n(3)]
    pub sequence: u64,
    /// Hash of the head; for an empty log the patient's genesis.
    #[n(4)]
    pub head: Digest,
    /// The deposit that this receipt answers; `None` for a reading.
    #[n(5)]
    pub deposit: Option<DepositId>,
    /// Unix seconds.
    #[n(6)]
    pub issued_at: u64,
}

impl Receipt {
    /// Signs it with the archive's statement key.
    pub fn sign(&self, key: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        statement::sign(Kind::Receipt, &to_bytes(self), key, operations)
    }
}

/// The head of a log that a party has proof of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Witness {
    /// Sequence number; 0 for an empty log.
    #[n(0)]
    pub sequence: u64,
    /// Hash of the entry with that number, or the patient's genesis.
    #[n(1)]
    pub head: Digest,
}

/// A receipt whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt(Receipt);

impl VerifiedReceipt {
    /// Its content.
    pub fn receipt(&self) -> &Receipt {
        &self.0
    }

    /// The head that it proves.
    pub fn witness(&self) -> Witness {
        Witness { sequence: self.0.sequence, head: self.0.head }
    }
}

/// Verifies an archive's receipt.
pub fn verify(
    bytes: &[u8],
    exchange: &str,
    archive: &str,
    key: &PublicKey,
    operations: &Operations,
) -> Result<VerifiedReceipt, ErrorKind> {
    let payload = statement::open(Kind::Receipt, bytes, key, operations)?;
    let receipt: Receipt = from_bytes(&payload, crate::message::HANDSHAKE_BYTES_MAX)?;
    if receipt.exchange != exchange {
        return Err(ErrorKind::WrongExchange);
    }
    if receipt.archive != archive {
        return Err(ErrorKind::WrongParty { expected: archive.to_owned(), found: receipt.archive });
    }
    Ok(VerifiedReceipt(receipt))
}
