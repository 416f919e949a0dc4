//! The certificate profile: which fields our certificates have, and reading
//! them back. It does not decide whom to believe.
//!
//! A party's certificate has
//! - a subject `CN=<role> <name>`, for people alone;
//! - exactly one subjectAltName, the identity URI;
//! - exactly one certificate policy, the role's OID below, and the two agree;
//! - extended key usage serverAuth and clientAuth (hop), or the statement OID
//!   alone (statement);
//! - key usage digitalSignature and nothing else, basic constraints CA:FALSE;
//! - a serial number of 16 random bytes.
//!
//! The issuing certificate has path length 0, the root 1. Neither carries a URI
//! name constraint: a URI constraint speaks of DNS hosts (RFC 5280, 4.2.1.10),
//! which an exchange is not, and webpki refuses any. [`crate::Trust`] compares
//! the exchange instead. The issuing certificate does exclude every DNS name
//! and IP address, so that its key is worth nothing to the web.
//!
//! OIDs, below the arc that RFC 5612 keeps for documentation, until the project
//! has a registered number of its own:
//!
//! | OID | meaning |
//! |---|---|
//! | 1.3.6.1.4.1.32473.83.1.1 to .4 | policy: ca, broker, archive, gateway |
//! | 1.3.6.1.4.1.32473.83.2.1 | key purpose: statement |

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::{Identity, KeyUse, PublicKey, Role, SerialNumber, UnixTime};

/// The role's certificate policy OID.
pub const fn role_policy_oid(role: Role) -> &'static [u64] {
    match role {
        Role::Ca => &[1, 3, 6, 1, 4, 1, 32473, 83, 1, 1],
        Role::Broker => &[1, 3, 6, 1, 4, 1, 32473, 83, 1, 2],
        Role::Archive => &[1, 3, 6, 1, 4, 1, 32473, 83, 1, 3],
        Role::Gateway => &[1, 3, 6, 1, 4, 1, 32473, 83, 1, 4],
    }
}

/// The key purpose OID of a statement key.
pub const STATEMENT_PURPOSE_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 32473, 83, 2, 1];

/// id-ce-certificatePolicies (RFC 5280, 4.2.1.4).
pub(crate) const CERTIFICATE_POLICIES_OID: &[u64] = &[2, 5, 29, 32];

/// What a party's certificate says, unverified.
pub(crate) struct PartyFields {
    pub(crate) identity: Identity,
    pub(crate) policy_role: Role,
    pub(crate) key_use: KeyUse,
    pub(crate) public_key: PublicKey,
    pub(crate) serial: SerialNumber,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

/// Reads a party's certificate; the error names the field that breaks the profile.
pub(crate) fn party_fields(der: &[u8]) -> Result<PartyFields, &'static str> {
    let certificate = certificate(der)?;
    let mut identity = None;
    let mut policy_role = None;
    let mut key_use = None;
    let mut signs = false;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                identity = Some(only_identity(&names.general_names)?);
            }
            ParsedExtension::CertificatePolicies(policies) => {
                let [policy] = policies.as_slice() else {
                    return Err("the certificate policies");
                };
                // webpki refuses a second one of the other extensions read here.
                if policy_role.is_some() {
                    return Err("the certificate policies");
                }
                policy_role = Some(role_of_policy(&policy.policy_id)?);
            }
            ParsedExtension::ExtendedKeyUsage(purposes) => {
                key_use = Some(key_use_of(purposes)?);
            }
            ParsedExtension::KeyUsage(usage) => signs = usage.flags == DIGITAL_SIGNATURE_ONLY,
            _ => {}
        }
    }
    if !signs {
        return Err("the key usage");
    }
    let (not_before, not_after) = validity(&certificate)?;
    Ok(PartyFields {
        identity: identity.ok_or("the subject alternative name")?,
        policy_role: policy_role.ok_or("the certificate policies")?,
        key_use: key_use.ok_or("the extended key usage")?,
        public_key: PublicKey::from_bytes(certificate.public_key().raw).map_err(|_| "the public key")?,
        serial: SerialNumber::from_der_integer(certificate.raw_serial()).ok_or("the serial number")?,
        not_before,
        not_after,
    })
}

/// Checks that `issuing` (DER) is an issuing certificate signed by `root`
/// (DER). Its validity is the caller's to check.
pub(crate) fn check_issuing(issuing: &[u8], root: &[u8]) -> Result<(), &'static str> {
    check_authority(&certificate(issuing)?, &certificate(root)?, ISSUING_PATH_LENGTH)
}

/// Checks that `root` (DER) is a self-signed root certificate.
pub(crate) fn check_root(root: &[u8]) -> Result<(), &'static str> {
    let root = certificate(root)?;
    check_authority(&root, &root, ROOT_PATH_LENGTH)
}

fn check_authority(
    subject: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    path_length: u32,
) -> Result<(), &'static str> {
    if subject.issuer().as_raw() != issuer.subject().as_raw() {
        return Err("the issuer name");
    }
    if subject.signature_algorithm != subject.tbs_certificate.signature {
        return Err("the signature algorithm");
    }
    PublicKey::from_bytes(subject.public_key().raw).map_err(|_| "the public key")?;
    subject.verify_signature(Some(issuer.public_key())).map_err(|_| "the signature")?;
    let basic = subject.basic_constraints().ok().flatten();
    if !basic
        .is_some_and(|basic| basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(path_length))
    {
        return Err("the basic constraints");
    }
    let usage = subject.key_usage().ok().flatten();
    if usage.is_none_or(|usage| usage.value.flags != SIGN_CERTIFICATES_AND_LISTS) {
        return Err("the key usage");
    }
    Ok(())
}

/// One certificate and nothing after it.
pub(crate) fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, &'static str> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("the encoding"),
    }
}

/// The identity, if it is the only name.
pub(crate) fn only_identity(names: &[GeneralName<'_>]) -> Result<Identity, &'static str> {
    match names {
        [GeneralName::URI(uri)] => uri.parse().map_err(|_| "the identity"),
        _ => Err("the subject alternative name"),
    }
}

/// The key use, if the purposes are exactly those of one.
pub(crate) fn key_use_of(purposes: &ExtendedKeyUsage<'_>) -> Result<KeyUse, &'static str> {
    let hop = purposes.server_auth && purposes.client_auth;
    let statement = matches!(purposes.other.as_slice(), [other] if is_oid(other, STATEMENT_PURPOSE_OID));
    let foreign = purposes.any
        || purposes.code_signing
        || purposes.email_protection
        || purposes.time_stamping
        || purposes.ocsp_signing;
    let partly_hop = purposes.server_auth || purposes.client_auth;
    match (hop, statement) {
        _ if foreign => Err("the extended key usage"),
        (true, false) if purposes.other.is_empty() => Ok(KeyUse::Hop),
        (false, true) if !partly_hop => Ok(KeyUse::Statement),
        _ => Err("the extended key usage"),
    }
}

fn role_of_policy(policy: &Oid<'_>) -> Result<Role, &'static str> {
    Role::ALL.into_iter().find(|role| is_oid(policy, role_policy_oid(*role))).ok_or("the certificate policies")
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Result<(UnixTime, UnixTime), &'static str> {
    let validity = certificate.validity();
    let not_before = UnixTime::from_timestamp(validity.not_before.timestamp());
    let not_after = UnixTime::from_timestamp(validity.not_after.timestamp());
    not_before.zip(not_after).ok_or("the validity")
}

fn is_oid(oid: &Oid<'_>, components: &[u64]) -> bool {
    oid.iter().is_some_and(|found| found.eq(components.iter().copied()))
}

/// Certificates that may stand between the root and a party's.
pub(crate) const ROOT_PATH_LENGTH: u32 = 1;
/// Certificates that may stand between the issuing certificate and a party's.
pub(crate) const ISSUING_PATH_LENGTH: u32 = 0;

/// Key usage bits (RFC 5280, 4.2.1.3); x509-parser keeps bit 0 lowest.
const DIGITAL_SIGNATURE_ONLY: u16 = 1;
const SIGN_CERTIFICATES_AND_LISTS: u16 = 1 << 5 | 1 << 6;
