//! Certificate requests (PKCS#10, RFC 2986): a party proves that it holds a key
//! and names the identity and use it wants. Whether it gets them is decided by
//! the authority.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm,
    SubjectPublicKeyInfo,
};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use yasna::models::ObjectIdentifier;

use crate::profile::{self, STATEMENT_PURPOSE_OID};
use crate::{Identity, KeyAlgorithm, KeyError, KeyUse, PublicKey, SigningKey};

/// The longest request accepted, in bytes of DER.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024;

/// A request whose signature by its own key was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    identity: Identity,
    key_use: KeyUse,
    public_key: PublicKey,
}

/// A certificate request is refused; the requester is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Longer than [`REQUEST_BYTES_MAX`].
    #[error("a certificate request has at most {REQUEST_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a request of our profile.
    #[error("the certificate request is malformed at {0}")]
    Malformed(&'static str),
    /// Not signed by the key it names.
    #[error("the certificate request is not signed by its own key: the requester has not shown that it holds it")]
    BadSignature,
}

impl CertificateRequest {
    /// The identity asked for.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The use asked for.
    pub const fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// The key, proved to be held.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// Writes a request for `identity` and `key_use`, signed by `key`. DER.
pub fn make_csr(key: &SigningKey, identity: &Identity, key_use: KeyUse) -> Result<Vec<u8>, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(identity);
    params.subject_alt_names = vec![alternative_name(identity).ok_or(KeyError::Library)?];
    params.extended_key_usages = purposes(key_use);
    let signer = Signer::new(key)?;
    let request = params.serialize_request(&signer).map_err(|_| KeyError::Library)?;
    Ok(request.der().to_vec())
}

/// Reads a request (DER) and checks that its own key signed it. It may ask for
/// a subject alternative name and key purposes and nothing else.
pub fn parse_csr(der: &[u8]) -> Result<CertificateRequest, RequestError> {
    if der.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::TooLong(der.len()));
    }
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
        return Err(RequestError::Malformed("the encoding"));
    };
    let info = &request.certification_request_info;
    let public_key =
        PublicKey::from_bytes(info.subject_pki.raw).map_err(|_| RequestError::Malformed("the public key"))?;
    request.verify_signature().map_err(|_| RequestError::BadSignature)?;
    // The reader is lenient about what the signature does not cover; one request, one encoding.
    if rewritten(info.raw, &request.signature_value.data, public_key.algorithm()) != der {
        return Err(RequestError::Malformed("the encoding"));
    }

    let mut identity = None;
    let mut key_use = None;
    for extension in request.requested_extensions().into_iter().flatten() {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) if identity.is_none() => {
                let found = profile::only_identity(&names.general_names);
                identity = Some(found.map_err(RequestError::Malformed)?);
            }
            ParsedExtension::ExtendedKeyUsage(purposes) if key_use.is_none() => {
                let found = profile::key_use_of(purposes);
                key_use = Some(found.map_err(RequestError::Malformed)?);
            }
            _ => return Err(RequestError::Malformed("the requested extensions")),
        }
    }
    Ok(CertificateRequest {
        identity: identity.ok_or(RequestError::Malformed("the subject alternative name"))?,
        key_use: key_use.ok_or(RequestError::Malformed("the extended key usage"))?,
        public_key,
    })
}

/// A request as DER has it, around what its key signed.
fn rewritten(signed: &[u8], signature: &[u8], algorithm: KeyAlgorithm) -> Vec<u8> {
    let identifier: &[u64] = match algorithm {
        KeyAlgorithm::Ed25519 => &[1, 3, 101, 112],
        KeyAlgorithm::EcdsaP256 => &[1, 2, 840, 10045, 4, 3, 2],
    };
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(signed);
            writer.next().write_sequence(|writer| writer.next().write_oid(&ObjectIdentifier::from_slice(identifier)));
            writer.next().write_bitvec_bytes(signature, 8 * signature.len());
        });
    })
}

/// The subject, for people: `CN=<role> <name>`.
pub(crate) fn subject(identity: &Identity) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("{} {}", identity.role, identity.name));
    name
}

/// The one subject alternative name.
pub(crate) fn alternative_name(identity: &Identity) -> Option<SanType> {
    identity.to_string().try_into().ok().map(SanType::URI)
}

/// The key purposes of one use.
pub(crate) fn purposes(key_use: KeyUse) -> Vec<ExtendedKeyUsagePurpose> {
    match key_use {
        KeyUse::Hop => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        KeyUse::Statement => vec![ExtendedKeyUsagePurpose::Other(STATEMENT_PURPOSE_OID.to_vec())],
    }
}

/// Our key as `rcgen` wants to see one.
pub(crate) struct Signer<'a> {
    key: &'a SigningKey,
    public: SubjectPublicKeyInfo,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(key: &'a SigningKey) -> Result<Self, KeyError> {
        let public = SubjectPublicKeyInfo::from_der(key.public_key().as_bytes()).map_err(|_| KeyError::BadPublicKey)?;
        Ok(Self { key, public })
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign_x509(message).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The signature does not cover the outer tag, the algorithm's identifier and the count of unused bits.
    #[test]
    fn a_request_has_one_encoding() {
        for algorithm in KeyAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let identity = "sealwort://demo/gateway/a".parse().unwrap();
            let good = make_csr(&key, &identity, KeyUse::Statement).unwrap();
            parse_csr(&good).unwrap();
            for position in 0..good.len() {
                for bit in 0..8 {
                    let mut altered = good.clone();
                    if let Some(byte) = altered.get_mut(position) {
                        *byte ^= 1 << bit;
                    }
                    assert!(parse_csr(&altered).is_err(), "byte {position}, bit {bit}");
                }
            }
        }
    }
}
