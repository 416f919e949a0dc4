//! The gateway's own secrets beside its membership: the key of its roster's index, the key of its bearer
//! tokens, and the consent authority's signature key. Kept wrapped under the key-encryption key.

use std::path::Path;

use sealwort_net::member::Member;
use sealwort_net::secret_file::{self, SecretFileError};
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::crypto::Secret;
use zeroize::Zeroizing;

/// Why the gateway's own secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file is missing, open to others or unreadable.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A file does not open under the key-encryption key.
    #[error("{0} does not open under this gateway's key-encryption key; restore both from the same backup")]
    Unusable(String),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] sealwort_pki::KeyError),
}

/// The gateway's own secrets.
pub(crate) struct Keys {
    /// Index of the roster.
    pub(crate) roster: Secret,
    /// Bearer tokens.
    pub(crate) bearer: Secret,
    /// Identity tokens for apps (OpenID Connect): PKCS#8 of a P-256 key.
    pub(crate) identity: Zeroizing<Vec<u8>>,
    /// Messages to push services (RFC 8292): PKCS#8 of a P-256 key.
    pub(crate) push: Zeroizing<Vec<u8>>,
    /// The consent authority of the patients registered here.
    pub(crate) authority: SigningKey,
}

impl Keys {
    /// Reads the secrets, making them at the first start.
    pub(crate) fn load(member: &Member) -> Result<Self, KeysError> {
        let secret = |name: &str| -> Result<Secret, KeysError> {
            let bytes = load(member, name, || Ok(Zeroizing::new(Secret::random().expose().to_vec())))?;
            Secret::from_slice(&bytes).ok_or_else(|| KeysError::Unusable(name.to_owned()))
        };
        let authority = load(member, "authority.key", || Ok(SigningKey::generate(KeyAlgorithm::Ed25519)?.to_pkcs8()?))?;
        let identity = load(member, "identity.key", || Ok(SigningKey::generate(KeyAlgorithm::EcdsaP256)?.to_pkcs8()?))?;
        let push = load(member, "push.key", || Ok(SigningKey::generate(KeyAlgorithm::EcdsaP256)?.to_pkcs8()?))?;
        Ok(Self {
            push,
            identity,
            roster: secret("roster.key")?,
            bearer: secret("bearer.key")?,
            authority: SigningKey::from_pkcs8(&authority)?,
        })
    }
}

fn load(
    member: &Member,
    name: &str,
    make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, KeysError>,
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let file: &Path = &member.folder().join(name);
    let place: [&[u8]; 2] = [b"gateway secret", name.as_bytes()];
    if !file.exists() {
        secret_file::create(file, &member.kek().wrap(&place, &make()?))?;
    }
    let unusable = |_| KeysError::Unusable(file.display().to_string());
    member.kek().unwrap(&place, &secret_file::read(file)?).map_err(unusable)
}
