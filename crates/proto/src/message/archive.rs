//! What gateway and archive say to each other inside their channel, relayed by the broker: steps 5 to 7 of the
//! transmission (`spec/protocol.md`, sections 7.3 to 7.5).

use minicbor::{Decode, Encode};

use super::{LogPage, Refusal};
use crate::codec::Blob;
use crate::halves::SubHalf;
use crate::id::{DepositId, Digest, LabelTag, TokenId};

/// Bytes of entries after which a sender of many begins the next message.
pub const ENTRIES_BYTES_AIM: usize = 512 * 1024;
/// Entries after which a sender of many begins the next message.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 512;
/// Largest deposit, in bytes of ciphertext and envelopes.
pub const DEPOSIT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most entries in a deposit.
pub const DEPOSIT_ENTRIES_MAX: u32 = 100_000;

/// L → M inside their channel, relayed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToArchive {
    /// Register a patient: registration and first directive.
    #[n(0)]
    Register {
        /// A registration statement.
        #[n(0)]
        registration: Blob,
        /// A directive statement.
        #[n(1)]
        directive: Blob,
    },
    /// A new directive of a registered patient.
    #[n(1)]
    Direct {
        /// A directive statement.
        #[n(0)]
        directive: Blob,
    },
    /// Step 5 of the transmission.
    #[n(2)]
    Present {
        /// The token sealed under SK_TM.
        #[n(0)]
        sealed: Blob,
        /// Proof of possession: a signature over token id and `h_LM`.
        #[n(1)]
        possession: Blob,
    },
    /// Step 7, reading: entries after this sequence number.
    #[n(3)]
    Fetch {
        /// The authority granted in step 6.
        #[n(0)]
        authority: TokenId,
        /// Sequence number of the last entry that the gateway holds; 0 for none.
        #[n(1)]
        after: u64,
    },
    /// Step 7, writing: announces a deposit; its entries follow in frames.
    #[n(4)]
    Deposit {
        /// The authority granted in step 6.
        #[n(0)]
        authority: TokenId,
        /// The deposit.
        #[n(1)]
        deposit: DepositId,
        /// Sequence number of the last entry that the writer saw.
        #[n(2)]
        after: u64,
        /// Hash of that entry.
        #[n(3)]
        head: Digest,
        /// How many entries follow.
        #[n(4)]
        entries: u32,
    },
    /// Entries of the deposit announced before, in order.
    #[n(5)]
    Entries(#[n(0)] Vec<WireEntry>),
    /// Erase a patient.
    #[n(6)]
    Erase {
        /// An erasure statement.
        #[n(0)]
        erasure: Blob,
    },
    /// A patient's entries in the archive's audit log.
    #[n(7)]
    Log {
        /// A log request statement.
        #[n(0)]
        request: Blob,
        /// The first entry's number, or higher.
        #[n(1)]
        from: u64,
        /// The size of the log that the first page told; 0 to ask for that.
        #[n(2)]
        size: u64,
    },
}

/// M → L inside their channel, relayed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromArchive {
    /// Kept on disk.
    #[n(0)]
    Kept,
    /// Step 6 of the transmission.
    #[n(1)]
    Granted(#[n(0)] Box<ArchiveGrant>),
    /// Step 7, reading: entries in order.
    #[n(2)]
    Entries {
        /// Entries in order of their sequence numbers.
        #[n(0)]
        entries: Vec<WireEntry>,
        /// Certificates of authors that these entries are the first to need.
        #[n(1)]
        authors: Vec<Vec<Blob>>,
    },
    /// Step 7, reading: the end, with the archive's signed receipt of the head.
    #[n(3)]
    End {
        /// A receipt statement.
        #[n(0)]
        receipt: Blob,
    },
    /// Step 7, writing: stored.
    #[n(4)]
    Stored {
        /// A receipt statement.
        #[n(0)]
        receipt: Blob,
    },
    /// Step 7, writing: another entry came first; this is the head now.
    #[n(5)]
    Conflict {
        /// Sequence number of the head.
        #[n(0)]
        sequence: u64,
        /// Hash of the head.
        #[n(1)]
        head: Digest,
    },
    /// Refused.
    #[n(6)]
    Refused(#[n(0)] Refusal),
    /// Erased, as this certificate says.
    #[n(7)]
    Erased {
        /// A certificate of erasure.
        #[n(0)]
        certificate: Blob,
    },
    /// Entries of the audit log.
    #[n(8)]
    Log(#[n(0)] Box<LogPage>),
}

/// Step 6 of the transmission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ArchiveGrant {
    /// The authority, named by the token.
    #[n(0)]
    pub authority: TokenId,
    /// End of the authority, Unix seconds.
    #[n(1)]
    pub expires: u64,
    /// Labels granted, as tags. Sorted.
    #[n(2)]
    pub tags: Vec<LabelTag>,
    /// The archive's sub-halves.
    #[n(3)]
    pub sub_halves: Vec<SubHalf>,
    /// The registration as the archive pinned it.
    #[n(4)]
    pub registration: Blob,
    /// Sequence number of the head.
    #[n(5)]
    pub sequence: u64,
    /// Hash of the head.
    #[n(6)]
    pub head: Digest,
}

/// One entry of a log as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct WireEntry {
    /// The signed envelope.
    #[n(0)]
    pub envelope: Blob,
    /// The ciphertext; `None` where its label is withheld from the reader.
    #[n(1)]
    pub ciphertext: Option<Blob>,
}
