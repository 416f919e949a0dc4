//! Issuing: the root, the issuing certificate, the parties' certificates and
//! the revocation lists. It checks what is asked against the exchange and the
//! profile; who may ask is decided by the `ca` service, which also keeps the
//! keys and the record of what was issued.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CidrSubnet, CustomExtension,
    DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, NameConstraints,
    SubjectPublicKeyInfo,
};
use thiserror::Error;
use yasna::models::ObjectIdentifier;

pub use crate::request::{CertificateRequest, REQUEST_BYTES_MAX, RequestError, make_csr, parse_csr};
pub use crate::revocation::{Revocation, RevocationReason, UnknownReason};

use crate::profile::{self, CERTIFICATE_POLICIES_OID, ISSUING_PATH_LENGTH, ROOT_PATH_LENGTH};
use crate::request::{Signer, alternative_name, purposes, subject};
use crate::{
    CertificateChain, ChainError, ExchangeName, Fingerprint, Identity, KeyAlgorithm, KeyError, KeyUse, PublicKey, Role,
    SerialNumber, SigningKey, UnixTime,
};

/// How long a party's certificates last unless configured otherwise.
pub const PARTY_LIFETIME: Duration = Duration::from_hours(72);

/// How long the issuing certificate lasts unless configured otherwise.
pub const ISSUING_LIFETIME: Duration = Duration::from_hours(24 * 365 * 2);

/// How long the root certificate lasts unless configured otherwise.
pub const ROOT_LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);

/// How far validity begins in the past, so that slower clocks agree.
pub const BACKDATED: Duration = Duration::from_mins(1);

/// The key that signs issuing certificates. Kept apart from the running service.
#[derive(Debug)]
pub struct RootAuthority {
    exchange: ExchangeName,
    key: SigningKey,
    certificate: Vec<u8>,
}

/// The key that signs the parties' certificates and the revocation lists.
#[derive(Debug)]
pub struct IssuingAuthority {
    exchange: ExchangeName,
    key: SigningKey,
    certificate: Vec<u8>,
    not_after: UnixTime,
}

/// A certificate just issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The new certificate and the issuing one.
    pub chain: CertificateChain,
    /// Whose.
    pub identity: Identity,
    /// For which of its keys.
    pub key_use: KeyUse,
    /// Its serial number.
    pub serial: SerialNumber,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
}

/// Both certificates of a party.
#[derive(Clone, Debug)]
pub struct IssuedPair {
    /// For TLS.
    pub hop: Issued,
    /// For messages and records.
    pub statement: Issued,
}

/// Nothing was issued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The request, by the requester's fault.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another identity than the one that may be issued.
    #[error("the request asks for {found}, but {expected} was invited: join again with the identity of the invitation")]
    WrongIdentity {
        /// The identity that may be issued.
        expected: Identity,
        /// The identity asked for.
        found: Identity,
    },
    /// The hop request in the place of the statement request, or the reverse.
    #[error("the request for the {expected} key asks for a {found} certificate")]
    WrongUse {
        /// The use that belongs here.
        expected: KeyUse,
        /// The use asked for.
        found: KeyUse,
    },
    /// One key for both uses.
    #[error("the hop key and the statement key are the same: make two keys")]
    SameKey,
    /// An identity of another exchange; the caller is at fault.
    #[error("{found} belongs to another exchange than {expected}")]
    WrongExchange {
        /// The authority's.
        expected: ExchangeName,
        /// The identity's.
        found: Identity,
    },
    /// The issuing certificate has ended.
    #[error("the issuing certificate ended at {not_after}: issue a new one with the root key")]
    IssuingEnded {
        /// When.
        not_after: UnixTime,
    },
    /// The stored certificate and key do not belong together, or break the profile.
    #[error("the authority's certificate and key do not belong together, at {0}: restore both from one backup")]
    Inconsistent(&'static str),
    /// A revocation list must end after it begins.
    #[error("the revocation list would end before it begins")]
    EmptyPeriod,
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A chain does not fit its limits.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The X.509 writer refused.
    #[error("the certificate could not be written: {0}")]
    Writer(String),
}

impl AuthorityError {
    /// The stable code that peers and scripts see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(RequestError::BadSignature) => "request-bad-signature",
            Self::Request(_) => "request-malformed",
            Self::WrongIdentity { .. } => "request-wrong-identity",
            Self::WrongUse { .. } => "request-wrong-key-use",
            Self::SameKey => "request-same-key",
            Self::WrongExchange { .. } => "wrong-exchange",
            Self::IssuingEnded { .. } => "issuing-certificate-ended",
            Self::Inconsistent(_) | Self::EmptyPeriod | Self::Key(_) | Self::Chain(_) | Self::Writer(_) => {
                "authority-failed"
            }
        }
    }
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Writer(error.to_string())
    }
}

impl RootAuthority {
    /// Makes the root key and its self-signed certificate.
    pub fn create(
        exchange: ExchangeName,
        algorithm: KeyAlgorithm,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let key = SigningKey::generate(algorithm)?;
        let signer = Signer::new(&key)?;
        let mut params = authority_params(&exchange, "root", &key, ROOT_PATH_LENGTH)?;
        set_validity(&mut params, now, now.plus(lifetime));
        let certificate = params.self_signed(&signer)?.der().to_vec();
        Ok(Self { exchange, key, certificate })
    }

    /// Takes a stored root certificate (DER) and its key.
    pub fn load(exchange: ExchangeName, certificate: Vec<u8>, key: SigningKey) -> Result<Self, AuthorityError> {
        profile::check_root(&certificate).map_err(AuthorityError::Inconsistent)?;
        check_key(&certificate, &key)?;
        Ok(Self { exchange, key, certificate })
    }

    /// Makes an issuing key and signs its certificate.
    pub fn issue_issuing(
        &self,
        algorithm: KeyAlgorithm,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<IssuingAuthority, AuthorityError> {
        let key = SigningKey::generate(algorithm)?;
        let mut params = authority_params(&self.exchange, "issuing", &key, ISSUING_PATH_LENGTH)?;
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![
                GeneralSubtree::DnsName(String::new()),
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        set_validity(&mut params, now, now.plus(lifetime));
        let certificate =
            params.signed_by(&Signer::new(&key)?, &issuer(&self.certificate, Signer::new(&self.key)?)?)?;
        IssuingAuthority::load(self.exchange.clone(), certificate.der().to_vec(), key, &self.certificate)
    }

    /// The root certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What parties pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The root key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl IssuingAuthority {
    /// Takes a stored issuing certificate and its key, and checks them against
    /// the root certificate (both certificates DER).
    pub fn load(
        exchange: ExchangeName,
        certificate: Vec<u8>,
        key: SigningKey,
        root: &[u8],
    ) -> Result<Self, AuthorityError> {
        profile::check_issuing(&certificate, root).map_err(AuthorityError::Inconsistent)?;
        check_key(&certificate, &key)?;
        let (_, not_after) = profile::certificate(&certificate)
            .and_then(|certificate| profile::validity(&certificate))
            .map_err(AuthorityError::Inconsistent)?;
        Ok(Self { exchange, key, certificate, not_after })
    }

    /// The exchange it issues for.
    pub const fn exchange(&self) -> &ExchangeName {
        &self.exchange
    }

    /// The issuing certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The issuing key.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Last second of the issuing certificate.
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Issues one certificate for `request`. It ends after `lifetime`, or with
    /// the issuing certificate if that is sooner.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Issued, AuthorityError> {
        let identity = request.identity();
        if identity.exchange != self.exchange {
            return Err(AuthorityError::WrongExchange { expected: self.exchange.clone(), found: identity.clone() });
        }
        if now > self.not_after {
            return Err(AuthorityError::IssuingEnded { not_after: self.not_after });
        }
        let serial = random_serial()?;
        let not_after = now.plus(lifetime).min(self.not_after);
        let mut params = party_params(request, serial)?;
        set_validity(&mut params, now, not_after);
        Ok(Issued {
            chain: self.sign(&params, request.public_key())?,
            identity: identity.clone(),
            key_use: request.key_use(),
            serial,
            not_before: now.minus(BACKDATED),
            not_after,
        })
    }

    /// Issues both certificates of `identity`: each request must ask for that
    /// identity and its own use, and the two keys must differ.
    pub fn issue_pair(
        &self,
        identity: &Identity,
        hop: &CertificateRequest,
        statement: &CertificateRequest,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<IssuedPair, AuthorityError> {
        for (request, expected) in [(hop, KeyUse::Hop), (statement, KeyUse::Statement)] {
            if request.identity() != identity {
                return Err(AuthorityError::WrongIdentity {
                    expected: identity.clone(),
                    found: request.identity().clone(),
                });
            }
            if request.key_use() != expected {
                return Err(AuthorityError::WrongUse { expected, found: request.key_use() });
            }
        }
        if hop.public_key() == statement.public_key() {
            return Err(AuthorityError::SameKey);
        }
        Ok(IssuedPair { hop: self.issue(hop, lifetime, now)?, statement: self.issue(statement, lifetime, now)? })
    }

    /// Writes revocation list `number` (DER), in force from `this_update`
    /// (backdated by [`BACKDATED`]) until `next_update`.
    pub fn make_crl(
        &self,
        number: u64,
        revoked: &[Revocation],
        this_update: UnixTime,
        next_update: UnixTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        let this_update = this_update.minus(BACKDATED);
        if next_update <= this_update {
            return Err(AuthorityError::EmptyPeriod);
        }
        let params = CertificateRevocationListParams {
            this_update: this_update.to_date(),
            next_update: next_update.to_date(),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(Revocation::entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&issuer(&self.certificate, Signer::new(&self.key)?)?)?;
        Ok(list.der().to_vec())
    }

    /// Signs a party's certificate as it stands; the checks are the caller's.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        public_key: &PublicKey,
    ) -> Result<CertificateChain, AuthorityError> {
        let public = SubjectPublicKeyInfo::from_der(public_key.as_bytes())?;
        let issuer = issuer(&self.certificate, Signer::new(&self.key)?)?;
        let certificate = params.signed_by(&public, &issuer)?;
        let chain = vec![certificate.der().to_vec(), self.certificate.clone()];
        Ok(CertificateChain::new(chain)?)
    }
}

/// A party's certificate by the profile, except for its validity.
pub(crate) fn party_params(
    request: &CertificateRequest,
    serial: SerialNumber,
) -> Result<CertificateParams, AuthorityError> {
    let identity = request.identity();
    let name = alternative_name(identity).ok_or(AuthorityError::Inconsistent("the identity"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(identity);
    params.subject_alt_names = vec![name];
    params.serial_number = Some(serial.as_bytes().to_vec().into());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = purposes(request.key_use());
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![policy_extension(&[identity.role])];
    Ok(params)
}

/// Whether a certificate should be renewed: from two thirds of its lifetime on.
pub fn renewal_due(not_before: UnixTime, not_after: UnixTime, now: UnixTime) -> bool {
    now >= renewal_time(not_before, not_after)
}

/// When a certificate should be renewed: at two thirds of its lifetime.
pub fn renewal_time(not_before: UnixTime, not_after: UnixTime) -> UnixTime {
    let lifetime = not_after.since(not_before);
    not_before.plus(lifetime / 3 * 2)
}

/// Random bytes from the system's source, for secrets and serial numbers.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    #[cfg(any(test, feature = "testing"))]
    if crate::testing::seeded::fill(&mut bytes) {
        return Ok(bytes);
    }
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Library)?;
    Ok(bytes)
}

pub(crate) fn random_serial() -> Result<SerialNumber, KeyError> {
    random_bytes().map(SerialNumber::from_random)
}

fn authority_params(
    exchange: &ExchangeName,
    what: &str,
    key: &SigningKey,
    path_length: u32,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, format!("sealwort {exchange}"));
    // Part of the key, so that two issuing certificates never share a name.
    let key_print = Fingerprint::of(key.public_key().as_bytes()).to_string();
    let key_print = key_print.get(..KEY_PRINT_DIGITS).unwrap_or_default();
    name.push(DnType::CommonName, format!("{exchange} {what} {key_print}"));
    params.distinguished_name = name;
    params.serial_number = Some(random_serial()?.as_bytes().to_vec().into());
    let path_length = u8::try_from(path_length).unwrap_or_default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

pub(crate) fn set_validity(params: &mut CertificateParams, now: UnixTime, not_after: UnixTime) {
    params.not_before = now.minus(BACKDATED).to_date();
    params.not_after = not_after.to_date();
}

fn issuer<'a>(certificate: &[u8], signer: Signer<'a>) -> Result<Issuer<'static, Signer<'a>>, rcgen::Error> {
    Issuer::from_ca_cert_der(&certificate.into(), signer)
}

fn check_key(certificate: &[u8], key: &SigningKey) -> Result<(), AuthorityError> {
    let certificate = profile::certificate(certificate).map_err(AuthorityError::Inconsistent)?;
    if certificate.public_key().raw == key.public_key().as_bytes() {
        Ok(())
    } else {
        Err(AuthorityError::Inconsistent("the public key"))
    }
}

/// certificatePolicies with the policies of `roles` (RFC 5280, 4.2.1.4); the
/// profile has one.
pub(crate) fn policy_extension(roles: &[Role]) -> CustomExtension {
    let content = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for role in roles {
                let policy = ObjectIdentifier::from_slice(profile::role_policy_oid(*role));
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&policy);
                });
            }
        });
    });
    CustomExtension::from_oid_content(CERTIFICATE_POLICIES_OID, content)
}

const KEY_PRINT_DIGITS: usize = 8;
