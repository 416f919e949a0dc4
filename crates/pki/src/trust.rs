//! Whom to believe: from a chain as received to a verified party, or the one
//! reason why not. It holds the pinned root and the newest revocation lists,
//! and refuses everybody while it has no list in force. It fetches nothing and
//! caches nothing; [`Trust::recheck`] is for callers that keep what was verified.

use std::fmt;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, aws_lc_rs as algorithms};

use crate::anchor::Anchor;
use crate::crl::VerifiedCrl;
use crate::profile::{self, PartyFields};
use crate::{
    CertificateChain, CertificateError, CrlSummary, ExchangeName, Fingerprint, Identity, KeyUse, NoRevocationList,
    PartyName, PublicKey, Role, SerialNumber, TrustError, UnixTime,
};

/// How many issuing certificates of one root are followed at the same time.
pub const ISSUERS_MAX: usize = 4;

/// The pinned root of one exchange and what is known of revocations.
#[derive(Clone)]
pub struct Trust {
    exchange: ExchangeName,
    root: Anchor,
    issuers: Vec<Issuer>,
}

/// Who is expected at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// One of these roles; empty means any.
    pub roles: &'a [Role],
    /// This name, or any.
    pub name: Option<&'a PartyName>,
    /// The key's use.
    pub key_use: KeyUse,
}

/// A party whose certificate was verified, and the public key it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedParty {
    identity: Identity,
    key_use: KeyUse,
    public_key: PublicKey,
    fingerprint: Fingerprint,
    issuing: Fingerprint,
    serial: SerialNumber,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl<'a> Expected<'a> {
    /// Any party of the exchange.
    pub const fn anybody(key_use: KeyUse) -> Self {
        Self { roles: &[], name: None, key_use }
    }

    /// Any party with this role.
    pub const fn role(role: Role, key_use: KeyUse) -> Self {
        let roles: &[Role] = match role {
            Role::Ca => &[Role::Ca],
            Role::Broker => &[Role::Broker],
            Role::Archive => &[Role::Archive],
            Role::Gateway => &[Role::Gateway],
        };
        Self { roles, name: None, key_use }
    }

    /// Any party with one of these roles.
    pub const fn one_of(roles: &'a [Role], key_use: KeyUse) -> Self {
        Self { roles, name: None, key_use }
    }

    /// The same, and with this name.
    #[must_use]
    pub const fn named(mut self, name: &'a PartyName) -> Self {
        self.name = Some(name);
        self
    }

    fn check(&self, identity: &Identity, key_use: KeyUse) -> Result<(), CertificateError> {
        if !self.roles.is_empty() && !self.roles.contains(&identity.role) {
            return Err(CertificateError::WrongRole { expected: self.roles.to_vec(), found: identity.clone() });
        }
        if let Some(name) = self.name.filter(|name| **name != identity.name) {
            return Err(CertificateError::WrongName { expected: name.clone(), found: identity.clone() });
        }
        if self.key_use != key_use {
            return Err(CertificateError::WrongUse {
                identity: identity.clone(),
                expected: self.key_use,
                found: key_use,
            });
        }
        Ok(())
    }
}

impl Trust {
    /// Pins the root certificate `root` (DER) of `exchange`. Nobody is believed
    /// before the first [`Trust::set_crl`].
    pub fn new(exchange: ExchangeName, root: &[u8]) -> Result<Self, TrustError> {
        profile::check_root(root).map_err(TrustError::BadRoot)?;
        Ok(Self { exchange, root: Anchor::new(root).map_err(TrustError::BadRoot)?, issuers: Vec::new() })
    }

    /// The exchange whose root is pinned.
    pub const fn exchange(&self) -> &ExchangeName {
        &self.exchange
    }

    /// The pinned root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &self.root.der
    }

    /// Takes the revocation list `crl` of the issuing certificate `issuing`
    /// (both DER, as the authority serves them). The list must be signed by the
    /// issuing certificate, that by the root, and the number must not fall. On
    /// an error the list before stays in force.
    pub fn set_crl(&mut self, crl: &[u8], issuing: &[u8], now: UnixTime) -> Result<CrlSummary, TrustError> {
        let anchor = self.issuing_anchor(issuing)?;
        if !anchor.is_valid_at(now) {
            return Err(TrustError::IssuingNotValid { not_before: anchor.not_before, not_after: anchor.not_after });
        }
        let list = VerifiedCrl::new(crl, issuing, now)?;
        let summary = list.summary;
        let digest = Fingerprint::of(crl);
        let issuer = Issuer { anchor, list, digest };
        if let Some(held) = self.issuers.iter_mut().find(|held| held.is(issuing)) {
            let number = held.list.summary.number;
            if summary.number < number {
                return Err(TrustError::Rollback { held: number, offered: summary.number });
            }
            if summary.number == number && digest != held.digest {
                return Err(TrustError::Conflict(number));
            }
            *held = issuer;
        } else {
            self.issuers.retain(|held| held.anchor.is_valid_at(now));
            if self.issuers.len() >= ISSUERS_MAX {
                return Err(TrustError::TooManyIssuers);
            }
            self.issuers.push(issuer);
        }
        Ok(summary)
    }

    /// The highest number of the lists in force; `None` before the first.
    pub fn crl_number(&self) -> Option<u64> {
        self.newest().map(|list| list.number)
    }

    /// The list with the highest number; `None` before the first.
    pub fn newest(&self) -> Option<CrlSummary> {
        self.issuers.iter().map(|issuer| issuer.list.summary).max_by_key(|list| list.number)
    }

    /// Whether a list in force revokes this certificate.
    pub fn is_revoked(&self, serial: SerialNumber) -> bool {
        self.issuers.iter().any(|issuer| issuer.list.revokes(serial))
    }

    /// Verifies a received chain. Costs one signature check, because issuing
    /// certificates were verified when their list was set.
    pub fn verify(
        &self,
        chain: &CertificateChain,
        expected: &Expected<'_>,
        now: UnixTime,
    ) -> Result<VerifiedParty, CertificateError> {
        let (party, issuer) = self.verify_path(chain, expected, now)?;
        check_revocation(issuer, &party, now)?;
        Ok(party)
    }

    /// Verifies the chain behind a signature made in the past, as it stood at `then`: everything but
    /// revocation, which is judged when a statement is accepted and not when it is read years later.
    pub fn verify_past(
        &self,
        chain: &CertificateChain,
        expected: &Expected<'_>,
        then: UnixTime,
    ) -> Result<VerifiedParty, CertificateError> {
        Ok(self.verify_path(chain, expected, then)?.0)
    }

    fn verify_path(
        &self,
        chain: &CertificateChain,
        expected: &Expected<'_>,
        now: UnixTime,
    ) -> Result<(VerifiedParty, Option<&Issuer>), CertificateError> {
        let fields = profile::party_fields(chain.leaf()).map_err(CertificateError::Malformed)?;
        let issuing = chain.issuing().ok_or(CertificateError::UnknownIssuer)?;
        self.root.check("root", now)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.is(issuing));
        if let Some(issuer) = issuer {
            issuer.anchor.check("issuing", now)?;
            self.verify_leaf(chain.leaf(), &issuer.anchor, &fields, now)?;
        } else {
            let anchor = self.unknown_issuing(issuing, &fields)?;
            anchor.check("issuing", now)?;
            self.verify_leaf(chain.leaf(), &anchor, &fields, now)?;
        }

        if fields.identity.exchange != self.exchange {
            return Err(CertificateError::WrongExchange { expected: self.exchange.clone(), found: fields.identity });
        }
        if fields.policy_role != fields.identity.role {
            return Err(CertificateError::RoleMismatch { identity: fields.identity, policy: fields.policy_role });
        }
        expected.check(&fields.identity, fields.key_use)?;
        let party = VerifiedParty {
            identity: fields.identity,
            key_use: fields.key_use,
            public_key: fields.public_key,
            fingerprint: chain.fingerprint(),
            issuing: Fingerprint::of(issuing),
            serial: fields.serial,
            not_before: fields.not_before,
            not_after: fields.not_after,
        };
        Ok((party, issuer))
    }

    /// Checks a party verified earlier against the clock, the newest lists and
    /// what is expected, without any signature check: for caches and for
    /// connections that stay open.
    pub fn recheck(
        &self,
        party: &VerifiedParty,
        expected: &Expected<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        self.root.check("root", now)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.anchor.fingerprint == party.issuing);
        if let Some(issuer) = issuer {
            issuer.anchor.check("issuing", now)?;
        }
        check_validity(&party.identity, party.not_before, party.not_after, now)?;
        expected.check(&party.identity, party.key_use)?;
        check_revocation(issuer, party, now)
    }

    fn verify_leaf(
        &self,
        leaf: &[u8],
        issuing: &Anchor,
        fields: &PartyFields,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        check_validity(&fields.identity, fields.not_before, fields.not_after, now)?;
        let der = CertificateDer::from(leaf);
        let time = rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs()));
        EndEntityCert::try_from(&der)
            .and_then(|certificate| {
                certificate
                    .verify_for_usage(
                        SIGNATURE_ALGORITHMS,
                        std::slice::from_ref(&issuing.parsed),
                        &[],
                        time,
                        PurposesReadByProfile,
                        None,
                        None,
                    )
                    .map(|_| ())
            })
            .map_err(|error| match error {
                webpki::Error::UnknownIssuer if fields.identity.exchange != self.exchange => {
                    self.wrong_exchange(fields)
                }
                webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
                webpki::Error::InvalidSignatureForPublicKey
                | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
                | webpki::Error::UnsupportedSignatureAlgorithmContext(_)
                | webpki::Error::SignatureAlgorithmMismatch => CertificateError::BadSignature,
                webpki::Error::CaUsedAsEndEntity => CertificateError::Malformed("the basic constraints"),
                webpki::Error::NameConstraintViolation => CertificateError::Malformed("the subject alternative name"),
                _ => CertificateError::Malformed("the encoding"),
            })
    }

    /// An issuing certificate without a list: the root may still have signed it.
    fn unknown_issuing(&self, issuing: &[u8], fields: &PartyFields) -> Result<Anchor, CertificateError> {
        self.issuing_anchor(issuing).map_err(|_| {
            // The claim is not verified; naming it helps whoever mixed up two exchanges.
            if fields.identity.exchange == self.exchange {
                CertificateError::UnknownIssuer
            } else {
                self.wrong_exchange(fields)
            }
        })
    }

    fn issuing_anchor(&self, issuing: &[u8]) -> Result<Anchor, TrustError> {
        profile::check_issuing(issuing, &self.root.der).map_err(TrustError::BadIssuing)?;
        Anchor::new(issuing).map_err(TrustError::BadIssuing)
    }

    fn wrong_exchange(&self, fields: &PartyFields) -> CertificateError {
        CertificateError::WrongExchange { expected: self.exchange.clone(), found: fields.identity.clone() }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("exchange", &self.exchange)
            .field("root", &self.root.fingerprint)
            .field("crl_number", &self.crl_number())
            .finish_non_exhaustive()
    }
}

impl VerifiedParty {
    /// Who it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What its key may be used for.
    pub const fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// The certified key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of the certificate.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate's serial number.
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// First second of validity.
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last second of validity.
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

/// An issuing certificate that the root signed, and its list.
#[derive(Clone)]
struct Issuer {
    anchor: Anchor,
    list: VerifiedCrl,
    digest: Fingerprint,
}

impl Issuer {
    fn is(&self, issuing: &[u8]) -> bool {
        self.anchor.der == issuing
    }
}

/// The profile has read the key purposes already, and more strictly.
struct PurposesReadByProfile;

impl ExtendedKeyUsageValidator for PurposesReadByProfile {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn check_validity(
    identity: &Identity,
    not_before: UnixTime,
    not_after: UnixTime,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let identity = || identity.clone();
    if now < not_before {
        Err(CertificateError::NotYetValid { identity: identity(), not_before })
    } else if now > not_after {
        Err(CertificateError::Expired { identity: identity(), not_after })
    } else {
        Ok(())
    }
}

/// No list in force means that everybody may have been revoked.
fn check_revocation(issuer: Option<&Issuer>, party: &VerifiedParty, now: UnixTime) -> Result<(), CertificateError> {
    let issuer = issuer.ok_or(CertificateError::RevocationUnknown(NoRevocationList::Absent))?;
    // A revocation stands even when the list that told it is stale.
    if issuer.list.revokes(party.serial) {
        return Err(CertificateError::Revoked { identity: party.identity.clone(), serial: party.serial });
    }
    let next_update = issuer.list.summary.next_update;
    if now >= next_update {
        return Err(CertificateError::RevocationUnknown(NoRevocationList::Stale { next_update }));
    }
    Ok(())
}

/// The two algorithms of [`crate::KeyAlgorithm`].
static SIGNATURE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[algorithms::ED25519, algorithms::ECDSA_P256_SHA256];
