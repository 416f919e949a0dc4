//! What this party shows at a TLS handshake: its hop certificate and key. Renewal replaces both
//! in place; connections made afterwards show the new ones.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use sealwort_pki::{CertificateChain, KeyAlgorithm, SigningKey};

use super::HopKey;

/// A certificate and a key do not belong together: a fault of this computer's set-up.
#[derive(Debug, thiserror::Error)]
#[error("the hop certificate and the hop key do not belong together: {0}; restore the pair, or join the exchange anew")]
pub struct CredentialsError(rustls::Error);

/// This party's hop certificate and key. Clones are the same ones.
#[derive(Clone)]
pub struct Credentials {
    resolver: Arc<Resolver>,
}

pub(super) struct Resolver {
    current: RwLock<Arc<CertifiedKey>>,
    root: Option<Vec<u8>>,
}

impl Credentials {
    /// Shows `chain`, proved by `key`.
    pub fn new(chain: &CertificateChain, key: Arc<SigningKey>) -> Result<Self, CredentialsError> {
        Self::build(chain, key, None)
    }

    /// Shows `chain` and after it the exchange's root (DER), so that a client who knows only the
    /// root's fingerprint can check it: for the CA.
    pub fn with_root(chain: &CertificateChain, key: Arc<SigningKey>, root: &[u8]) -> Result<Self, CredentialsError> {
        Self::build(chain, key, Some(root.to_vec()))
    }

    /// Shows another certificate and key from now on. On an error the old ones stay.
    pub fn renew(&self, chain: &CertificateChain, key: Arc<SigningKey>) -> Result<(), CredentialsError> {
        let next = certified(chain, key, self.resolver.root.as_deref())?;
        let current = self.resolver.current.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    fn build(chain: &CertificateChain, key: Arc<SigningKey>, root: Option<Vec<u8>>) -> Result<Self, CredentialsError> {
        let certified = certified(chain, key, root.as_deref())?;
        Ok(Self { resolver: Arc::new(Resolver { current: RwLock::new(Arc::new(certified)), root }) })
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials").finish_non_exhaustive()
    }
}

fn certified(chain: &CertificateChain, key: HopKey, root: Option<&[u8]>) -> Result<CertifiedKey, CredentialsError> {
    let certificates = chain
        .certificates()
        .iter()
        .map(Vec::as_slice)
        .chain(root)
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    let certified = CertifiedKey::new(certificates, Arc::new(Key(key)));
    certified.keys_match().map_err(CredentialsError)?;
    Ok(certified)
}

impl Resolver {
    fn current(&self) -> Arc<CertifiedKey> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A key of `pki`, as rustls calls it. The private half is never copied out, so it may one day
/// live in a hardware module.
#[derive(Debug, Clone)]
struct Key(HopKey);

impl Key {
    fn scheme_of(&self) -> SignatureScheme {
        match self.0.algorithm() {
            KeyAlgorithm::Ed25519 => SignatureScheme::ED25519,
            KeyAlgorithm::EcdsaP256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        }
    }
}

impl TlsSigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if offered.contains(&self.scheme_of()) { Some(Box::new(self.clone())) } else { None }
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.public_key().as_bytes()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.algorithm() {
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::ED25519,
            KeyAlgorithm::EcdsaP256 => SignatureAlgorithm::ECDSA,
        }
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign_x509(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme_of()
    }
}
