//! What broker and archive say to each other inside their channel (`spec/protocol.md`, section 4.4).

use minicbor::{Decode, Encode};

use super::Refusal;
use crate::codec::Blob;
use crate::id::SessionId;
use crate::policy::Policies;

/// T → M inside their channel: what the broker asks of the archive for one gateway's run.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BrokerCall {
    /// Send step 8 for this session, with these policies of the gateway's.
    #[n(0)]
    Offer {
        /// The gateway's session.
        #[n(0)]
        session: SessionId,
        /// The gateway's policies from step 4.
        #[n(1)]
        policies: Policies,
    },
    /// Step 9 of this session, as the gateway sent it.
    #[n(1)]
    Complete {
        /// The gateway's session.
        #[n(0)]
        session: SessionId,
        /// A [`SignedAnswer`].
        #[n(1)]
        answer: Blob,
    },
}

/// M → T inside their channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BrokerCallReply {
    /// A message for the gateway, relayed unread: step 8, or the archive's confirmation.
    #[n(0)]
    Relay(#[n(0)] Blob),
    /// Refused.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}
