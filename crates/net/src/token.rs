//! Key-encryption keys in a PKCS#11 token: a hardware module, or one in software. They are AES keys that were made in the
//! token and never leave it; it is asked to seal and to open with them (AES-GCM, which binds the place, as wrapping in
//! software does). A few sessions are kept open and lent to whoever asks. While the token is away, whoever asks is told so at
//! once; every second one of them tries it anew.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::{AuthPin, Ulong};
use sealwort_proto::Digest;
use sealwort_proto::crypto::{hash, random};
use zeroize::Zeroizing;

use crate::config::KeysConfig;

/// Why a token did not do what it was asked. All are faults of this computer's set-up, or of the token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// The module is not to be loaded, or does not begin.
    #[error("the PKCS#11 module {module} cannot be used: {reason}; see keys.module")]
    Module {
        /// Its path.
        module: String,
        /// What it, or the system, answered.
        reason: String,
    },
    /// No token, or several, have the label.
    #[error(
        "{found} tokens have the label {label:?} of keys.token, and it must be one; is it plugged in, and is what it needs running?"
    )]
    NotOne {
        /// The label.
        label: String,
        /// How many.
        found: usize,
    },
    /// The file with the PIN is missing or unreadable.
    #[error("keys.pin_file: {0}")]
    PinFile(String),
    /// The token refused the PIN.
    #[error(
        "the token {label:?} refuses the PIN of keys.pin_file ({reason}); it is not tried again until the file has another one, so that the token does not lock"
    )]
    Pin {
        /// The token's label.
        label: String,
        /// What it answered.
        reason: String,
    },
    /// The key is not there, or there are several.
    #[error(
        "the token {label:?} has {found} keys with the id {id}, and it must be one; restore the key into the token"
    )]
    NoKey {
        /// The token's label.
        label: String,
        /// The key's id.
        id: String,
        /// How many.
        found: usize,
    },
    /// The key is not bound to the token.
    #[error(
        "the key {id} of the token {label:?} is not sensitive, or may be extracted; change to a key that sealwort made"
    )]
    Extractable {
        /// The token's label.
        label: String,
        /// The key's id.
        id: String,
    },
    /// The key is another one under the same id.
    #[error(
        "the key {id} of the token {label:?} does not open what it sealed when it was made; is it this token, or a true copy of it?"
    )]
    OtherKey {
        /// The token's label.
        label: String,
        /// The key's id.
        id: String,
    },
    /// Nobody gave a session back in time.
    #[error("the token {0:?} is busy; it is asked for more than it can do")]
    Busy(String),
    /// Anything else.
    #[error("the token {label:?} does not do it: {reason}")]
    Failed {
        /// The token's label.
        label: String,
        /// What it answered.
        reason: String,
    },
    /// Whoever asked was stopped.
    #[error("the token was not asked to the end, because the service stops")]
    Stopped,
}

impl TokenError {
    /// Whether the token is to blame, and not one of its keys.
    fn is_of_the_token(&self) -> bool {
        !matches!(self, Self::NoKey { .. } | Self::Extractable { .. } | Self::OtherKey { .. })
    }
}

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WrappingError {
    /// These keys did not wrap it, or not in this place.
    #[error("it does not open under these keys")]
    Sealed,
    /// A token did not answer as it must, so that nobody can tell.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A token, which nobody has reached yet.
pub struct Token {
    config: KeysConfig,
    state: Mutex<State>,
    returned: Condvar,
}

/// What is open.
#[derive(Default)]
struct State {
    module: Option<Pkcs11>,
    begun: Begun,
    idle: Vec<Opened>,
    lent: usize,
    /// Until when nobody tries, and why.
    away: Option<(Instant, TokenError)>,
    /// The PIN that the token refused.
    refused: Option<(Digest, TokenError)>,
}

/// Whether the module was told to begin.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Begun {
    #[default]
    No,
    Yes,
}

/// A session, with the keys that it found.
struct Opened {
    session: Session,
    keys: Vec<(KeyId, ObjectHandle)>,
    age: Age,
}

/// Whether a session was of use before. One that was may have died with a token that is back since.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    New,
    Used,
}

/// By which a key is found in its token (CKA_ID).
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyId([u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key in a token.
pub(crate) struct TokenKey {
    token: Arc<Token>,
    id: KeyId,
    /// What it sealed when it was made. By this another key under the same id is noticed, and a token that does not answer
    /// is told from bytes that do not open.
    proof: Vec<u8>,
}

impl TokenKey {
    /// Makes a key in the token.
    pub(crate) fn create(token: &Arc<Token>) -> Result<Self, WrappingError> {
        let mut key = Self { token: Arc::clone(token), id: KeyId(random()), proof: Vec::new() };
        token.generate(key.id)?;
        key.proof = key.wrap(&[PROOF], PROOF)?;
        key.prove()?;
        Ok(key)
    }

    /// The key that a line of the key file names; none where the line names none.
    pub(crate) fn read(line: &[u8], token: &Arc<Token>) -> Option<Self> {
        let mut words = line.strip_prefix(SCHEME)?.split(|byte| *byte == b' ');
        let (id, proof) = (words.next()?, words.next()?);
        let mut key = Self { token: Arc::clone(token), id: KeyId([0; KEY_ID_BYTES]), proof: hex::decode(proof).ok()? };
        hex::decode_to_slice(id, &mut key.id.0).ok()?;
        (words.next().is_none() && key.proof.starts_with(&key.id.0)).then_some(key)
    }

    /// The line that names it in the key file. It is no secret.
    pub(crate) fn line(&self) -> Vec<u8> {
        [SCHEME, format!("{} {}\n", self.id, hex::encode(&self.proof)).as_bytes()].concat()
    }

    /// Seals bytes in a place: the key's id, a nonce, then the ciphertext with its tag. Nonces of 12 random bytes are good
    /// for 2^32 wrappings under one key (NIST SP 800-38D, 8.3); long before, the key is changed.
    pub(crate) fn wrap(&self, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, WrappingError> {
        let place = place(context);
        self.token.with_session(|opened| {
            let key = self.token.key(opened, self.id)?;
            let mut nonce: [u8; NONCE_BYTES] = random();
            let sealed = GcmParams::new(&mut nonce, &place, TAG_BITS)
                .and_then(|params| opened.session.encrypt(&Mechanism::AesGcm(params), key, plain))
                .map_err(|error| self.token.failed(&error))?;
            // Some tokens choose the nonce themselves, and write it over the one that they were given.
            let wrapped = [&self.id.0[..], &nonce, &sealed].concat();
            // A half is in one place alone: what does not open again never gets there.
            match open(&opened.session, key, &place, &wrapped) {
                Ok(again) if *again == plain => Ok(wrapped),
                Ok(_) => {
                    let reason = "what it sealed opens as something else".to_owned();
                    Err(TokenError::Failed { label: self.token.label(), reason }.into())
                }
                Err(error) => Err(self.token.failed(&error).into()),
            }
        })
    }

    /// Opens what [`Self::wrap`] sealed in the same place. The token is not asked for what it cannot have sealed.
    pub(crate) fn unwrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrappingError> {
        if !self.has_wrapped(wrapped) {
            return Err(WrappingError::Sealed);
        }
        let place = place(context);
        self.token.with_session(|opened| {
            let key = self.token.key(opened, self.id)?;
            match open(&opened.session, key, &place, wrapped) {
                Ok(plain) => Ok(plain),
                // Tokens have several words for a wrong tag, one of them for any other fault, too. One that opens the proof
                // right after is well.
                Err(_) if self.is_proven(opened, key) => Err(WrappingError::Sealed),
                Err(error) => Err(self.token.failed(&error).into()),
            }
        })
    }

    /// Whether bytes are marked as sealed by this key.
    pub(crate) fn has_wrapped(&self, wrapped: &[u8]) -> bool {
        wrapped.starts_with(&self.id.0)
    }

    /// Asks the token whether the key is there, and the same as when it was made.
    pub(crate) fn prove(&self) -> Result<(), WrappingError> {
        self.token.with_session(|opened| {
            let key = self.token.key(opened, self.id)?;
            if self.is_proven(opened, key) {
                return Ok(());
            }
            Err(TokenError::OtherKey { label: self.token.label(), id: self.id.to_string() }.into())
        })
    }

    fn is_proven(&self, opened: &Opened, key: ObjectHandle) -> bool {
        open(&opened.session, key, &place(&[PROOF]), &self.proof).is_ok_and(|plain| *plain == PROOF)
    }
}

impl Token {
    /// The token of a configuration; none where it names no module. Nothing is loaded yet.
    pub fn of(config: &KeysConfig) -> Option<Arc<Self>> {
        if config.module.as_os_str().is_empty() {
            return None;
        }
        Some(Arc::new(Self { config: config.clone(), state: Mutex::default(), returned: Condvar::new() }))
    }

    fn label(&self) -> String {
        self.config.token.clone()
    }

    fn failed(&self, error: &Error) -> TokenError {
        TokenError::Failed { label: self.label(), reason: reason(error) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with a session of its own. Where one that was used before fails, a new one is tried.
    fn with_session<T>(&self, work: impl Fn(&mut Opened) -> Result<T, WrappingError>) -> Result<T, WrappingError> {
        loop {
            let mut opened = self.session()?;
            let done = work(&mut opened);
            let age = opened.age;
            match &done {
                Ok(_) | Err(WrappingError::Sealed) => {
                    opened.age = Age::Used;
                    let mut state = self.state();
                    state.idle.push(opened);
                    state.lent -= 1;
                }
                Err(WrappingError::Token(error)) => {
                    drop(opened);
                    let mut state = self.state();
                    state.lent -= 1;
                    // They are as old as the one that failed.
                    state.idle.clear();
                    if age == Age::New && error.is_of_the_token() {
                        state.rest(error);
                    }
                }
            }
            self.returned.notify_one();
            if done.is_ok() || age == Age::New || matches!(done, Err(WrappingError::Sealed)) {
                return done;
            }
        }
    }

    fn session(&self) -> Result<Opened, TokenError> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some((until, error)) = &state.away
                && Instant::now() < *until
            {
                return Err(error.clone());
            }
            if let Some(opened) = state.idle.pop() {
                state.lent += 1;
                return Ok(opened);
            }
            if state.lent < SESSIONS_MAX {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TokenError::Busy(self.label()));
            }
            state = self.returned.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let opened = self.open(&mut state);
        match &opened {
            Ok(_) => state.lent += 1,
            Err(error) => state.rest(error),
        }
        opened
    }

    fn open(&self, state: &mut State) -> Result<Opened, TokenError> {
        let pin = self.config.pin().map_err(|error| TokenError::PinFile(error.to_string()))?.unwrap_or_default();
        let name = hash("sealwort refused PIN v1", pin.as_bytes());
        if let Some((refused, error)) = &state.refused
            && *refused == name
        {
            return Err(error.clone());
        }
        let module = self.module(state)?;
        let failed = |error| self.failed(&error);
        let label = self.config.token.as_str();
        let mut slots = Vec::new();
        for slot in module.get_slots_with_token().map_err(failed)? {
            if module.get_token_info(slot).is_ok_and(|info| info.label().trim_end() == label) {
                slots.push(slot);
            }
        }
        let [slot] = slots.as_slice() else {
            return Err(TokenError::NotOne { label: self.label(), found: slots.len() });
        };
        let session = module.open_rw_session(*slot).map_err(failed)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str().to_owned()))) {
            // All sessions of a process are logged in together.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinLenRange, _)) => {
                let refused = TokenError::Pin { label: self.label(), reason: reason(&error) };
                state.refused = Some((name, refused.clone()));
                return Err(refused);
            }
            Err(error) => return Err(self.failed(&error)),
        }
        state.refused = None;
        if state.away.take().is_some() {
            tracing::info!(token = label, "the key-encryption keys are at hand again");
        }
        Ok(Opened { session, keys: Vec::new(), age: Age::New })
    }

    /// The module, loaded and begun.
    fn module(&self, state: &mut State) -> Result<Pkcs11, TokenError> {
        let path = self.config.module.display();
        let unusable = |error| TokenError::Module { module: path.to_string(), reason: reason(&error) };
        let module = match &state.module {
            Some(module) => module.clone(),
            None => Pkcs11::new(&self.config.module).map_err(unusable)?,
        };
        state.module = Some(module.clone());
        if state.begun == Begun::No {
            match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                // The latter where another party of this process uses it, too.
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => state.begun = Begun::Yes,
                Err(error) => return Err(unusable(error)),
            }
        }
        Ok(module)
    }

    /// The key of this id, which is looked for once in each session.
    fn key(&self, opened: &mut Opened, id: KeyId) -> Result<ObjectHandle, TokenError> {
        if let Some((_, key)) = opened.keys.iter().find(|(known, _)| *known == id) {
            return Ok(*key);
        }
        let failed = |error| self.failed(&error);
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Id(id.0.to_vec()),
        ];
        let found = opened.session.find_objects(&wanted).map_err(failed)?;
        let [key] = found.as_slice() else {
            return Err(TokenError::NoKey { label: self.label(), id: id.to_string(), found: found.len() });
        };
        let bound = [AttributeType::Sensitive, AttributeType::Extractable];
        let bound = opened.session.get_attributes(*key, &bound).map_err(failed)?;
        if !bound.contains(&Attribute::Sensitive(true)) || !bound.contains(&Attribute::Extractable(false)) {
            return Err(TokenError::Extractable { label: self.label(), id: id.to_string() });
        }
        opened.keys.push((id, *key));
        Ok(*key)
    }

    fn generate(&self, id: KeyId) -> Result<(), WrappingError> {
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::ValueLen(Ulong::new(KEY_BYTES)),
            Attribute::Label(KEY_LABEL.to_vec()),
            Attribute::Id(id.0.to_vec()),
        ];
        self.with_session(|opened| {
            opened.session.generate_key(&Mechanism::AesKeyGen, &template).map_err(|error| self.failed(&error))?;
            Ok(())
        })
    }
}

impl State {
    /// Has nobody try for a moment, so that a token that is away does not keep everybody waiting.
    fn rest(&mut self, error: &TokenError) {
        self.idle.clear();
        if self.away.is_none() {
            tracing::error!(%error, "the key-encryption keys are not at hand");
        }
        self.away = Some((Instant::now() + PAUSE, error.clone()));
        // Many modules see a token that is back only when they begin anew. That ends all sessions of this process.
        if self.lent == 0
            && self.begun == Begun::Yes
            && let Some(module) = &self.module
        {
            let _ = module.clone().finalize();
            self.begun = Begun::No;
        }
    }
}

/// Opens what a key sealed in a place.
fn open(session: &Session, key: ObjectHandle, place: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let rest = wrapped.get(KEY_ID_BYTES..).unwrap_or_default();
    let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(Error::InvalidValue)?;
    let mut nonce = nonce.to_vec();
    let params = GcmParams::new(&mut nonce, place, TAG_BITS)?;
    session.decrypt(&Mechanism::AesGcm(params), key, sealed).map(Zeroizing::new)
}

/// A place as one text that no other place has: every part with its length before it.
fn place(context: &[&[u8]]) -> Vec<u8> {
    let mut place = PLACE_LABEL.to_vec();
    for part in context {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part);
    }
    place
}

/// What a module answered, by the names of PKCS#11.
fn reason(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{function} ended with {code:?}"),
        error => error.to_string(),
    }
}

/// With what a line of the key file begins that names a key in a token.
pub(crate) const SCHEME: &[u8] = b"pkcs11 ";
/// How keys are called in the token (CKA_LABEL).
const KEY_LABEL: &[u8] = b"sealwort key-encryption key";
const PLACE_LABEL: &[u8] = b"sealwort token wrap v1";
const PROOF: &[u8] = b"sealwort token key proof v1";
const KEY_ID_BYTES: usize = 16;
const KEY_BYTES: u64 = 32;
const NONCE_BYTES: usize = 12;
const TAG_BITS: Ulong = Ulong::new(128);
/// Sessions at once: more than most hardware does side by side, and fewer than any token lets one party have.
const SESSIONS_MAX: usize = 8;
/// How long somebody waits for a session.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody tries after a failure.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn token() -> Arc<Token> {
        let config =
            KeysConfig { module: "/no/such/module.so".into(), token: "one".to_owned(), ..KeysConfig::default() };
        Token::of(&config).unwrap()
    }

    #[test]
    fn a_line_names_a_key_and_nothing_else_does() {
        let (id, token) = ("0a".repeat(KEY_ID_BYTES), token());
        let line = format!("pkcs11 {id} {id}ff\n");
        let key = TokenKey::read(line.trim_end().as_bytes(), &token).unwrap();
        assert_eq!(key.line(), line.as_bytes());
        let other = "0b".repeat(KEY_ID_BYTES);
        for wrong in [
            String::new(),
            id.clone(),
            format!("pkcs11 {id}"),
            format!("pkcs11 {id} {other}ff"),
            format!("pkcs11 {id} {id}ff 00"),
            format!("pkcs11 {id}00 {id}00"),
            format!("pkcs11 {id} {id}f"),
        ] {
            assert!(TokenKey::read(wrong.as_bytes(), &token).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_module_that_is_not_there_is_told_and_what_another_key_sealed_needs_no_token() {
        let id = "0a".repeat(KEY_ID_BYTES);
        let key = TokenKey::read(format!("pkcs11 {id} {id}").as_bytes(), &token()).unwrap();
        assert!(matches!(key.unwrap(&[b"here"], &[7; 80]), Err(WrappingError::Sealed)));
        for _ in 0..2 {
            let away = key.wrap(&[b"here"], b"a half");
            assert!(matches!(away, Err(WrappingError::Token(TokenError::Module { .. }))), "{away:?}");
        }
        assert!(Token::of(&KeysConfig::default()).is_none(), "without a module there is no token");
    }

    #[test]
    fn places_differ_in_where_their_parts_end() {
        assert_ne!(place(&[b"ab", b"c"]), place(&[b"a", b"bc"]));
        assert_ne!(place(&[b"a"]), place(&[b"a", b""]));
    }
}
