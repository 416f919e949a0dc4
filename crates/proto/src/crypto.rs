//! The only file of the protocol that names primitives: SHA-256, HMAC, HKDF-SHA-256, AES-256-GCM and the
//! hybrid KEM X-Wing (draft-connolly-cfrg-xwing-kem), all from aws-lc-rs. Signatures belong to `sealwort_pki`.
//! Secrets are zeroized, never printed and compared in constant time.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce as AeadNonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::{digest, hkdf, hmac, rand};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::ErrorKind;
use crate::id::{DepositId, Digest, EntryId, Locator, Nonce, Pseudonym, TokenId};
use crate::operations::{Operations, count};

/// Bytes of an AES-GCM tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of an ML-KEM-768 encapsulation key.
const ML_KEM_KEY_BYTES: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext.
const ML_KEM_CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of an X25519 public key.
const X25519_BYTES: usize = 32;
/// Bytes of an X-Wing encapsulation key.
pub const KEM_KEY_BYTES: usize = ML_KEM_KEY_BYTES + X25519_BYTES;
/// Bytes of an X-Wing ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = ML_KEM_CIPHERTEXT_BYTES + X25519_BYTES;
/// The X-Wing label, `\.//^\` of the draft.
const X_WING_LABEL: &[u8; 6] = b"\\.//^\\";

/// Fills an array from the system's generator.
///
/// # Panics
/// When the operating system has no randomness: nothing safe could go on.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    fill_random(&mut bytes);
    bytes
}

#[expect(clippy::expect_used, reason = "without randomness nothing safe can go on")]
fn fill_random(bytes: &mut [u8]) {
    #[cfg(any(test, feature = "testing"))]
    if crate::testing::fill(bytes) {
        return;
    }
    rand::fill(bytes).expect("system randomness");
}

/// Stack that a call of the library may have used and left secrets on, in bytes.
const STACK_BYTES: usize = 16 * 1024;

/// Runs what handles a secret, then wipes the stack that it used: values that were moved and registers that were saved
/// leave copies there that nobody else wipes. What is given back must not hold a secret itself, but on the heap.
fn cleanly<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    wipe_stack();
    result
}

/// On a stack frame of its own, below the one that is wiped.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe_stack() {
    // In words: each is a volatile write, and there are many calls in a session.
    let mut stack = [0u64; STACK_BYTES / size_of::<u64>()];
    stack.zeroize();
    std::hint::black_box(&stack);
}

macro_rules! random_id {
    ($($name:ident),+) => {
        $(impl $name {
            /// A fresh random value.
            pub fn random() -> Self {
                Self::new(random())
            }
        })+
    };
}
random_id!(EntryId, TokenId, DepositId);

impl Nonce {
    /// A fresh nonce.
    pub fn random(operations: &Operations) -> Self {
        count(&operations.nonce);
        Self::new(random())
    }
}

/// A 32-byte secret. It lies on the heap, so that moving it leaves no copy behind, and is wiped before it is freed.
pub struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// Wraps secret bytes; the caller's copy is the caller's to wipe.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self::copied(&Zeroizing::new(bytes))
    }

    /// Wraps a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::copied)
    }

    /// A fresh random secret.
    pub fn random() -> Self {
        let mut secret = Self::zeros();
        fill_random(secret.0.as_mut_slice());
        #[cfg(any(test, feature = "testing"))]
        crate::observe::note("random", secret.expose());
        secret
    }

    /// The bytes, for wrapping under another key or for a message inside a channel.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// To be filled in place.
    fn zeros() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    fn copied(bytes: &[u8; 32]) -> Self {
        let mut secret = Self::zeros();
        secret.0.copy_from_slice(bytes);
        secret
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::copied(self.expose())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// SHA-256 over a label and parts, each preceded by its length (eight bytes, big endian), so that no two
/// different lists hash alike.
#[derive(Clone)]
pub struct Transcript(digest::Context);

impl Transcript {
    /// Starts a transcript under a label that no other use shares.
    pub fn new(label: &str) -> Self {
        let mut transcript = Self(digest::Context::new(&digest::SHA256));
        transcript.add(label.as_bytes());
        transcript
    }

    /// Adds one part.
    pub fn add(&mut self, part: &[u8]) -> &mut Self {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// The hash of everything added so far; more can be added afterwards.
    pub fn digest(&self, operations: &Operations) -> Digest {
        count(&operations.hash);
        to_digest(&self.0.clone().finish())
    }
}

/// SHA-256 without a label, for standards that name it so (RFC 7636, RFC 7638). The protocol itself uses [`hash`].
pub fn sha256(content: &[u8]) -> [u8; 32] {
    *to_digest(&digest::digest(&digest::SHA256, content)).as_bytes()
}

/// The same of content that comes in pieces.
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all of them.
    pub fn finish(self) -> [u8; 32] {
        *to_digest(&self.0.finish()).as_bytes()
    }
}

/// Hashes one byte string under a label.
pub fn hash(label: &str, part: &[u8]) -> Digest {
    let mut transcript = Transcript::new(label);
    transcript.add(part);
    to_digest(&transcript.0.finish())
}

fn to_digest(value: &digest::Digest) -> Digest {
    let mut bytes = [0u8; 32];
    bytes.copy_from_slice(value.as_ref());
    Digest::new(bytes)
}

/// HMAC-SHA-256 over a label and length-framed parts.
pub fn mac(key: &Secret, label: &str, parts: &[&[u8]]) -> [u8; 32] {
    cleanly(|| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut out = [0u8; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    })
}

/// Compares a received MAC with the expected one in constant time.
pub fn mac_matches(expected: &[u8; 32], received: &[u8]) -> bool {
    expected.ct_eq(received).into()
}

/// The pseudonym of a patient under the broker's pseudonym key.
pub fn pseudonym(key: &Secret, locator: &Locator) -> Pseudonym {
    Pseudonym::new(mac(key, "sealwort pseudonym v1", &[locator.as_bytes()]))
}

/// The pseudonym of a patient who comes back after so many erasures, from 1: halves and entries of an old backup belong
/// to another pseudonym and open nothing.
pub fn pseudonym_after(key: &Secret, locator: &Locator, erasures: u64) -> Pseudonym {
    if erasures == 0 {
        return pseudonym(key, locator);
    }
    Pseudonym::new(mac(key, "sealwort pseudonym v1", &[locator.as_bytes(), &erasures.to_be_bytes()]))
}

/// HKDF-Extract with a salt.
pub fn extract(salt: &[u8], secret: &[u8]) -> Prk {
    #[cfg(any(test, feature = "testing"))]
    {
        crate::observe::note("extract", secret);
        crate::observe::note("extract with this salt", salt);
    }
    cleanly(|| Prk(Box::new(hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret))))
}

/// What HKDF-Extract gives, for a test that looks for it elsewhere: [`Prk`] does not show it.
#[cfg(any(test, feature = "testing"))]
pub fn extracted(salt: &[u8], secret: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), secret).as_ref().to_vec()
}

/// A pseudorandom key from which labelled secrets are expanded. On the heap, see [`Secret`].
pub struct Prk(Box<hkdf::Prk>);

struct Length32;
impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

impl Prk {
    /// Takes a secret that is already uniform.
    pub fn from_secret(secret: &Secret) -> Self {
        cleanly(|| Self(Box::new(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret.expose()))))
    }

    /// HKDF-Expand to 32 bytes under a label and length-framed context parts.
    #[expect(clippy::expect_used, reason = "32 bytes are far below HKDF's limit")]
    pub fn expand(&self, label: &str, parts: &[&[u8]]) -> Secret {
        let mut info = Vec::with_capacity(label.len() + 8 + parts.iter().map(|p| p.len() + 8).sum::<usize>());
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part);
        }
        let mut out = Secret::zeros();
        cleanly(|| self.0.expand(&[&info], Length32).and_then(|okm| okm.fill(out.0.as_mut_slice())))
            .expect("HKDF-Expand of 32 bytes");
        #[cfg(any(test, feature = "testing"))]
        crate::observe::note(label, out.expose());
        out
    }
}

/// An AES-256-GCM key. The caller answers for never using a nonce twice. On the heap, see [`Secret`].
pub struct AeadKey(Box<LessSafeKey>);

impl AeadKey {
    /// Prepares a key.
    #[expect(clippy::expect_used, reason = "a 32-byte key always fits AES-256")]
    pub fn new(secret: &Secret) -> Self {
        cleanly(|| {
            let key = UnboundKey::new(&AES_256_GCM, secret.expose()).expect("a 32-byte key");
            Self(Box::new(LessSafeKey::new(key)))
        })
    }

    /// Encrypts in place and appends the tag. `number` makes the nonce.
    #[expect(clippy::expect_used, reason = "sealing fails only beyond 64 GiB; every message has a lower limit")]
    pub fn seal(&self, number: u64, associated: &[u8], buffer: &mut Vec<u8>, operations: &Operations) {
        count(&operations.seal);
        self.0
            .seal_in_place_append_tag(nonce(number), Aad::from(associated), buffer)
            .expect("AES-GCM of a bounded message");
    }

    /// Decrypts in place and drops the tag.
    pub fn open(
        &self,
        number: u64,
        associated: &[u8],
        buffer: &mut Vec<u8>,
        operations: &Operations,
    ) -> Result<(), ErrorKind> {
        count(&operations.open);
        let length =
            self.0.open_in_place(nonce(number), Aad::from(associated), buffer).map_err(|_| ErrorKind::Sealed)?.len();
        buffer.truncate(length);
        Ok(())
    }
}

fn nonce(number: u64) -> AeadNonce {
    let mut bytes = [0u8; NONCE_LEN];
    let (_, low) = bytes.split_at_mut(NONCE_LEN - 8);
    low.copy_from_slice(&number.to_be_bytes());
    AeadNonce::assume_unique_for_key(bytes)
}

/// A key-encryption key: wraps what a party keeps on disk.
pub struct KeyEncryptionKey(Secret);

impl KeyEncryptionKey {
    /// Takes the key's bytes.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Wraps bytes. Every wrapping has a key of its own, derived from 32 random bytes that lead the output,
    /// so no number of wrappings exhausts the nonce space. `context` binds the place where it is kept.
    pub fn wrap(&self, context: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let salt: [u8; 32] = random();
        let mut sealed = plain.to_vec();
        self.key(&salt, context).seal(0, b"sealwort wrap v1", &mut sealed, &Operations::default());
        let mut out = salt.to_vec();
        out.extend_from_slice(&sealed);
        out
    }

    /// Unwraps bytes that [`Self::wrap`] wrapped in the same context.
    pub fn unwrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
        let (salt, sealed) = wrapped.split_at_checked(32).ok_or(ErrorKind::Sealed)?;
        let mut plain = sealed.to_vec();
        self.key(salt, context).open(0, b"sealwort wrap v1", &mut plain, &Operations::default())?;
        Ok(Zeroizing::new(plain))
    }

    fn key(&self, salt: &[u8], context: &[&[u8]]) -> AeadKey {
        let mut parts = vec![salt];
        parts.extend_from_slice(context);
        AeadKey::new(&Prk::from_secret(&self.0).expand("sealwort wrap v1", &parts))
    }
}

/// Length of a point of P-256, uncompressed.
pub(crate) const P256_POINT_LENGTH: usize = 65;

/// A P-256 key pair for messages to push services (`web_push.rs`), used for one of them.
pub struct P256Key {
    private: PrivateKey,
    public: [u8; P256_POINT_LENGTH],
}

impl P256Key {
    /// Generates a key pair.
    pub fn generate() -> Result<Self, ErrorKind> {
        Self::of(PrivateKey::generate(&ECDH_P256).map_err(|_| ErrorKind::Crypto("P-256 key generation"))?)
    }

    /// A key pair that is given, for the examples of RFC 8291.
    #[cfg(test)]
    pub(crate) fn from_scalar(scalar: &[u8]) -> Result<Self, ErrorKind> {
        Self::of(PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(|_| ErrorKind::Crypto("P-256 key"))?)
    }

    fn of(private: PrivateKey) -> Result<Self, ErrorKind> {
        let public = private.compute_public_key().map_err(|_| ErrorKind::Crypto("public key"))?;
        let public = public.as_ref().try_into().map_err(|_| ErrorKind::Crypto("public key"))?;
        Ok(Self { private, public })
    }

    /// The public key, an uncompressed point.
    pub fn public(&self) -> &[u8; P256_POINT_LENGTH] {
        &self.public
    }

    /// The secret that it has with another key.
    pub fn agree(&self, public: &[u8; P256_POINT_LENGTH]) -> Result<Zeroizing<[u8; 32]>, ErrorKind> {
        let other = UnparsedPublicKey::new(&ECDH_P256, public);
        agree(&self.private, other, ErrorKind::Crypto("P-256 agreement"), |secret| {
            secret.try_into().map(Zeroizing::new).map_err(|_| ErrorKind::Crypto("P-256 agreement"))
        })
    }
}

/// HKDF-SHA-256 as it is, without a label of ours: for the formats of others.
pub fn hkdf_sha256<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; N], ErrorKind> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    let expanded = cleanly(|| {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
        key.expand(&[info], Length(N)).and_then(|okm| okm.fill(&mut out))
    });
    expanded.map(|()| out).map_err(|_| ErrorKind::Crypto("HKDF"))
}

/// AES-128-GCM as it is. The caller answers for using the nonce once.
pub fn aes_128_gcm_seal(key: &[u8; 16], nonce: [u8; NONCE_LEN], plain: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let mut sealed = plain.to_vec();
    let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| ErrorKind::Crypto("AES-128-GCM"))?;
    LessSafeKey::new(key)
        .seal_in_place_append_tag(AeadNonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
        .map_err(|_| ErrorKind::Crypto("AES-128-GCM"))?;
    Ok(sealed)
}

/// Opens what [`aes_128_gcm_seal`] sealed, for tests.
#[cfg(any(test, feature = "testing"))]
pub fn aes_128_gcm_open(key: &[u8; 16], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let mut plain = sealed.to_vec();
    let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| ErrorKind::Crypto("AES-128-GCM"))?;
    let nonce = AeadNonce::assume_unique_for_key(nonce);
    let opened = LessSafeKey::new(key).open_in_place(nonce, Aad::empty(), &mut plain).map_err(|_| ErrorKind::Sealed)?;
    let length = opened.len();
    plain.truncate(length);
    Ok(plain)
}

/// An ephemeral X-Wing key pair, used for one decapsulation.
pub struct KemKey {
    ml_kem: DecapsulationKey,
    x25519: PrivateKey,
    public: Vec<u8>,
}

/// The secret that both ends of an encapsulation hold.
pub struct KemSecret(Secret);

impl KemSecret {
    /// The bytes, as input key material.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl KemKey {
    /// Generates a key pair.
    pub fn generate() -> Result<Self, ErrorKind> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(seed) = crate::testing::draw() {
            return Self::from_seed(&seed);
        }
        let ml_kem = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| ErrorKind::Crypto("ML-KEM key generation"))?;
        let x25519 = PrivateKey::generate(&X25519).map_err(|_| ErrorKind::Crypto("X25519 key generation"))?;
        let public = ml_kem.encapsulation_key().and_then(|k| k.key_bytes().map(|b| b.as_ref().to_vec()));
        Self::from_parts(ml_kem, public.map_err(|_| ErrorKind::Crypto("public key"))?, x25519)
    }

    /// `public` begins as the encapsulation key of ML-KEM.
    pub(crate) fn from_parts(
        ml_kem: DecapsulationKey,
        mut public: Vec<u8>,
        x25519: PrivateKey,
    ) -> Result<Self, ErrorKind> {
        public.extend_from_slice(x25519.compute_public_key().map_err(|_| ErrorKind::Crypto("public key"))?.as_ref());
        Ok(Self { ml_kem, x25519, public })
    }

    /// The encapsulation key, [`KEM_KEY_BYTES`] long.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Opens an encapsulation.
    pub fn decapsulate(self, ciphertext: &[u8], operations: &Operations) -> Result<KemSecret, ErrorKind> {
        count(&operations.decapsulate);
        if ciphertext.len() != KEM_CIPHERTEXT_BYTES {
            return Err(ErrorKind::Encapsulation);
        }
        let (ct_m, ct_x) = ciphertext.split_at(ML_KEM_CIPHERTEXT_BYTES);
        let ss_m = self.ml_kem.decapsulate(Ciphertext::from(ct_m)).map_err(|_| ErrorKind::Encapsulation)?;
        let (_, pk_x) = self.public.split_at_checked(ML_KEM_KEY_BYTES).ok_or(ErrorKind::Encapsulation)?;
        combine(ss_m.as_ref(), &self.x25519, ct_x, ct_x, pk_x)
    }
}

/// Encapsulates to a peer's ephemeral key; gives the ciphertext, [`KEM_CIPHERTEXT_BYTES`] long, and the secret.
pub fn encapsulate(public: &[u8], operations: &Operations) -> Result<(Vec<u8>, KemSecret), ErrorKind> {
    count(&operations.encapsulate);
    if public.len() != KEM_KEY_BYTES {
        return Err(ErrorKind::Encapsulation);
    }
    let (pk_m, pk_x) = public.split_at(ML_KEM_KEY_BYTES);
    let key = EncapsulationKey::new(&ML_KEM_768, pk_m).map_err(|_| ErrorKind::Encapsulation)?;
    #[cfg(any(test, feature = "testing"))]
    if let Some(seed) = crate::testing::draw() {
        return crate::testing::encapsulate_from(public, &seed);
    }
    let (ct_m, ss_m) = key.encapsulate().map_err(|_| ErrorKind::Encapsulation)?;
    let ephemeral = PrivateKey::generate(&X25519).map_err(|_| ErrorKind::Crypto("X25519 key generation"))?;
    let ct_x = ephemeral.compute_public_key().map_err(|_| ErrorKind::Crypto("public key"))?;
    let mut ciphertext = ct_m.as_ref().to_vec();
    ciphertext.extend_from_slice(ct_x.as_ref());
    let secret = combine(ss_m.as_ref(), &ephemeral, pk_x, ct_x.as_ref(), pk_x)?;
    Ok((ciphertext, secret))
}

/// The X-Wing combiner: SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label).
pub(crate) fn combine(
    ss_m: &[u8],
    private: &PrivateKey,
    peer: &[u8],
    ct_x: &[u8],
    pk_x: &[u8],
) -> Result<KemSecret, ErrorKind> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    cleanly(|| {
        agree(private, peer, ErrorKind::Encapsulation, |ss_x| {
            #[cfg(any(test, feature = "testing"))]
            {
                crate::observe::note("ML-KEM", ss_m);
                crate::observe::note("X25519", ss_x);
            }
            let mut context = digest::Context::new(&digest::SHA3_256);
            for part in [ss_m, ss_x, ct_x, pk_x, X_WING_LABEL] {
                context.update(part);
            }
            Secret::from_slice(context.finish().as_ref()).map(KemSecret).ok_or(ErrorKind::Crypto("SHA3-256"))
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn both_ends_of_an_encapsulation_agree_and_tampering_shows() {
        let operations = Operations::default();
        let key = KemKey::generate().unwrap();
        assert_eq!(key.public().len(), KEM_KEY_BYTES);
        let (ciphertext, secret) = encapsulate(key.public(), &operations).unwrap();
        assert_eq!(key.decapsulate(&ciphertext, &operations).unwrap().expose(), secret.expose());

        let key = KemKey::generate().unwrap();
        let (mut ciphertext, secret) = encapsulate(key.public(), &operations).unwrap();
        ciphertext[3] ^= 1;
        assert_ne!(key.decapsulate(&ciphertext, &operations).unwrap().expose(), secret.expose());
        assert!(encapsulate(&[0; 12], &operations).is_err());
        assert!(KemKey::generate().unwrap().decapsulate(&[0; 12], &operations).is_err());
    }

    /// Vectors of draft-connolly-cfrg-xwing-kem, appendix C: key pair and encapsulation from their seeds.
    #[test]
    fn the_draft_vectors_hold_in_both_directions() {
        let text = include_str!("../testdata/x-wing-draft.txt");
        let mut vectors = 0;
        for vector in text.split("\n\n").filter(|v| v.starts_with("seed")) {
            let field = |name: &str| {
                let line = vector.lines().find(|l| l.starts_with(name)).unwrap();
                hex::decode(line.split_whitespace().last().unwrap()).unwrap()
            };
            let key = KemKey::from_seed(&field("seed").try_into().unwrap()).unwrap();
            let x25519 = PrivateKey::from_private_key(&X25519, &field("expanded_x")).unwrap();
            assert_eq!(key.public()[ML_KEM_KEY_BYTES..], *x25519.compute_public_key().unwrap().as_ref());
            let eseed = field("eseed").try_into().unwrap();
            let (ciphertext, secret) = crate::testing::encapsulate_from(key.public(), &eseed).unwrap();
            assert_eq!(secret.expose().to_vec(), field("ss"));
            let opened = key.decapsulate(&ciphertext, &Operations::default()).unwrap();
            assert_eq!(opened.expose().to_vec(), field("ss"));
            vectors += 1;
        }
        assert_eq!(vectors, 2);
    }

    #[test]
    fn wrapped_bytes_open_in_their_own_context_only() {
        let kek = KeyEncryptionKey::new(Secret::random());
        let wrapped = kek.wrap(&[b"a", b"b"], b"half");
        assert_eq!(kek.unwrap(&[b"a", b"b"], &wrapped).unwrap().as_slice(), b"half");
        for context in [&[b"a".as_slice(), b"c"][..], &[b"ab"], &[]] {
            assert_eq!(kek.unwrap(context, &wrapped), Err(ErrorKind::Sealed));
        }
        let other = KeyEncryptionKey::new(Secret::random());
        assert!(other.unwrap(&[b"a", b"b"], &wrapped).is_err());
        assert!(kek.unwrap(&[b"a", b"b"], &wrapped[..40]).is_err());
        assert!(kek.unwrap(&[], &[]).is_err());
    }

    #[test]
    fn parts_are_framed() {
        let operations = Operations::default();
        let mut one = Transcript::new("t");
        one.add(b"ab").add(b"c");
        let mut two = Transcript::new("t");
        two.add(b"a").add(b"bc");
        assert_ne!(one.digest(&operations), two.digest(&operations));
        assert_eq!(operations.counts().hash, 2);
        assert_eq!(format!("{:?}", Secret::random()), "[redacted]");
    }
}
