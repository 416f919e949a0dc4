//! Joining an exchange and staying in it: what a party and the `ca` service say
//! to each other, and the party's side of it. The service's side is in crate
//! `ca`; carrying the messages is in crate `net`.
//!
//! Joining: the operator hands over an [`Invitation`] with a one-time secret.
//! The party makes its two keys, which it never sends, and a [`JoinRequest`];
//! the answer is a [`JoinResponse`], believed only under the root fingerprint
//! of the invitation. Renewal is the same with a [`RenewalRequest`] over a
//! connection that the current hop certificate authenticates.
//!
//! What a party keeps is a [`Membership`], one secret file that is replaced as a
//! whole, so that no crash leaves a key without its certificate; and beside it
//! the newest [`CrlResponse`].
//!
//! Messages are JSON; DER and keys in them are lower-case hexadecimal.

mod membership;
mod messages;
mod party;
mod secret;
#[cfg(test)]
mod tests;

pub use membership::{Credential, MEMBERSHIP_BYTES_MAX, Membership, MembershipError};
pub use messages::{
    CRL_MESSAGE_BYTES_MAX, CRL_PATH, CrlResponse, ENROL_PATH, EnrolRequest, Invitation, JoinResponse,
    MESSAGE_BYTES_MAX, MessageError, RENEW_PATH, ROOT_PATH, Refusal, RenewRequest, RootResponse, URL_BYTES_MAX,
};
pub use party::{Admission, JoinError, JoinRequest, RenewalRequest};
pub use secret::{DirectoryKey, InvitationSecret, SecretDigest};
