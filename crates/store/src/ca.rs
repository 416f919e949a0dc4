//! What a certificate authority keeps: invitations, the certificates it issued and the newest revocation
//! list. Identities are texts and the two small codes are the caller's; times are seconds since 1970.

use async_trait::async_trait;

use crate::StoreError;

/// An invitation, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// Hash of the secret; unique.
    pub digest: [u8; 32],
    /// Who is invited.
    pub identity: String,
    /// When it was made.
    pub created: u64,
    /// Last second in which it works.
    pub expires: u64,
    /// When it was used, once it was.
    pub used: Option<u64>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Unique.
    pub serial: [u8; 16],
    /// Whose.
    pub identity: String,
    /// For which of its keys; the caller's code.
    pub key_use: u8,
    /// First second of validity.
    pub not_before: u64,
    /// Last second of validity.
    pub not_after: u64,
    /// How it was revoked, once it was.
    pub revoked: Option<RevocationRow>,
}

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationRow {
    /// Since when.
    pub at: u64,
    /// Why; the caller's code.
    pub reason: u8,
}

/// A revocation list that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlRow {
    /// Rises by one from 1.
    pub number: u64,
    /// The list, DER.
    pub der: Vec<u8>,
    /// When it was made.
    pub this_update: u64,
    /// From then on nobody believes it.
    pub next_update: u64,
}

/// A certificate authority's records. Each method is one transaction.
#[async_trait]
pub trait CaStore: Send + Sync {
    /// Adds an invitation with a digest that is not there yet.
    async fn add_invitation(&self, invitation: InvitationRow) -> Result<(), StoreError>;
    /// An invitation, by the digest of its secret.
    async fn invitation(&self, digest: [u8; 32]) -> Result<Option<InvitationRow>, StoreError>;
    /// Marks an invitation as used and adds the certificates issued for it. `false`, and nothing done, if it is
    /// unknown or was used before.
    async fn use_invitation(
        &self,
        digest: [u8; 32],
        used: u64,
        certificates: Vec<CertificateRow>,
    ) -> Result<bool, StoreError>;
    /// Adds certificates with serial numbers that are not there yet.
    async fn add_certificates(&self, certificates: Vec<CertificateRow>) -> Result<(), StoreError>;
    /// A certificate, by its serial number.
    async fn certificate(&self, serial: [u8; 16]) -> Result<Option<CertificateRow>, StoreError>;
    /// One identity's certificates that end at `ends_after` or later, by serial number.
    async fn certificates_of(&self, identity: &str, ends_after: u64) -> Result<Vec<CertificateRow>, StoreError>;
    /// Certificates that end at `ends_after` or later and follow `after`, by serial number.
    async fn certificates(
        &self,
        ends_after: u64,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Vec<CertificateRow>, StoreError>;
    /// Revoked certificates that end at `ends_after` or later, by serial number.
    async fn revoked(&self, ends_after: u64) -> Result<Vec<([u8; 16], RevocationRow)>, StoreError>;
    /// The newest revocation list.
    async fn crl(&self) -> Result<Option<CrlRow>, StoreError>;
    /// Keeps a new list in place of the one before and marks certificates as revoked, those that are not yet.
    /// `false`, and nothing done, unless its number follows the newest one's.
    async fn publish_crl(&self, crl: CrlRow, revoked: Vec<([u8; 16], RevocationRow)>) -> Result<bool, StoreError>;
}

/// What every back end must do, for the conformance suite.
///
/// # Panics
/// When the back end does something else.
#[cfg(test)]
pub(crate) async fn conformance(store: &dyn CaStore) {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    let invitation = InvitationRow { digest: [1; 32], identity: "one".into(), created: 10, expires: 20, used: None };
    let certificate = |serial: u8, identity: &str, not_after: u64| CertificateRow {
        serial: [serial; 16],
        identity: identity.into(),
        key_use: 2,
        not_before: 5,
        not_after,
        revoked: None,
    };
    let crl = |number: u64| CrlRow { number, der: vec![u8::try_from(number).unwrap()], this_update: 1, next_update: 9 };

    // An invitation is found, added once and used once.
    assert_eq!(store.invitation([1; 32]).await, Ok(None));
    store.add_invitation(invitation.clone()).await.unwrap();
    assert!(store.add_invitation(invitation.clone()).await.is_err());
    assert_eq!(store.invitation([1; 32]).await, Ok(Some(invitation.clone())));
    assert_eq!(store.use_invitation([9; 32], 15, vec![certificate(9, "one", 100)]).await, Ok(false));
    assert_eq!(store.certificate([9; 16]).await, Ok(None));
    // A serial number that is taken undoes the whole.
    store.add_certificates(vec![certificate(7, "seven", 300)]).await.unwrap();
    let taken = vec![certificate(1, "one", 100), certificate(7, "one", 100)];
    assert!(store.use_invitation([1; 32], 15, taken).await.is_err());
    assert_eq!(store.invitation([1; 32]).await, Ok(Some(invitation.clone())));
    assert_eq!(store.certificate([1; 16]).await, Ok(None));
    let pair = vec![certificate(1, "one", 100), certificate(2, "one", 200)];
    assert_eq!(store.use_invitation([1; 32], 15, pair.clone()).await, Ok(true));
    let used = InvitationRow { used: Some(15), ..invitation };
    assert_eq!(store.invitation([1; 32]).await, Ok(Some(used.clone())));
    assert_eq!(store.use_invitation([1; 32], 16, vec![certificate(3, "one", 100)]).await, Ok(false));
    assert_eq!(store.invitation([1; 32]).await, Ok(Some(used)));
    assert_eq!(store.certificate([3; 16]).await, Ok(None));
    assert!(store.add_certificates(vec![certificate(4, "x", 1), certificate(2, "x", 1)]).await.is_err());
    assert_eq!(store.certificate([4; 16]).await, Ok(None));

    // Lists are in order, bounded and leave out what has ended.
    assert_eq!(store.certificate([1; 16]).await, Ok(Some(pair[0].clone())));
    assert_eq!(store.certificates_of("one", 100).await, Ok(pair.clone()));
    assert_eq!(store.certificates_of("one", 101).await, Ok(vec![pair[1].clone()]));
    assert_eq!(store.certificates_of("other", 0).await, Ok(vec![]));
    let serials = |rows: Result<Vec<CertificateRow>, StoreError>| -> Vec<u8> {
        rows.unwrap().iter().map(|row| row.serial[0]).collect()
    };
    assert_eq!(serials(store.certificates(0, None, 10).await), [1, 2, 7]);
    assert_eq!(serials(store.certificates(0, None, 2).await), [1, 2]);
    assert_eq!(serials(store.certificates(0, Some([2; 16]), 2).await), [7]);
    assert_eq!(serials(store.certificates(150, None, 10).await), [2, 7]);

    // Revocation lists follow each other; what is revoked stays as it was revoked first.
    let (first, second) = (RevocationRow { at: 50, reason: 1 }, RevocationRow { at: 60, reason: 2 });
    assert_eq!(store.crl().await, Ok(None));
    for wrong in [0, 2] {
        assert_eq!(store.publish_crl(crl(wrong), vec![([1; 16], first)]).await, Ok(false));
    }
    assert_eq!(store.revoked(0).await, Ok(vec![]));
    assert_eq!(store.publish_crl(crl(1), vec![([2; 16], first), ([1; 16], first)]).await, Ok(true));
    assert_eq!(store.publish_crl(crl(1), vec![]).await, Ok(false));
    assert_eq!(store.publish_crl(crl(2), vec![([2; 16], second), ([7; 16], second)]).await, Ok(true));
    assert_eq!(store.crl().await, Ok(Some(crl(2))));
    assert_eq!(store.revoked(0).await, Ok(vec![([1; 16], first), ([2; 16], first), ([7; 16], second)]));
    assert_eq!(store.revoked(101).await, Ok(vec![([2; 16], first), ([7; 16], second)]));
    assert_eq!(store.certificate([7; 16]).await.unwrap().unwrap().revoked, Some(second));
}
