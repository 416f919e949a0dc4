//! Signed notes (C2SP signed-note) under the statement keys of the parties, and cosignatures (C2SP tlog-cosignature).
//! The name of a key is its party's identity. An Ed25519 key signs with type 0x01 and cosigns with 0x04; a P-256 key
//! signs with type 0x02, and cosigns with a type of our own, because C2SP has none for it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_pki::{
    CertificateChain, CertificateError, Expected, Identity, KeyAlgorithm, KeyUse, PublicKey, SigningKey, Trust,
    UnixTime,
};
use sealwort_proto::crypto::sha256;

use crate::checkpoint::Checkpoint;

/// Largest note, in bytes.
const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Most signatures of a note; C2SP asks for 16 at least.
const SIGNATURES_MAX: usize = 32;
/// The type of a P-256 key's cosignature, after the byte 0xff.
const P256_COSIGNATURE: &[u8] = b"sealwort cosignature ecdsa-p256 v1";

/// What a signature line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// The note is its maker's.
    Plain,
    /// Its checkpoint followed from the one seen before, at a time.
    Cosignature,
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// It has no signature that a given certificate explains.
    #[error("there is no signature of {0} with a certificate that fits it")]
    Unsigned(String),
    /// The certificate of the signer is not to be believed.
    #[error("the certificate of {name}: {error}")]
    Certificate {
        /// Who.
        name: String,
        /// Why.
        error: CertificateError,
    },
    /// The signature is wrong.
    #[error("the signature of {0} does not belong to this text: it was altered")]
    Signature(String),
    /// The cryptographic library failed.
    #[error("signing failed")]
    Library,
}

/// A text and its signatures; none of them verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// Somebody whose cosignature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Identity.
    pub name: String,
    /// When it saw the checkpoint.
    pub at: UnixTime,
}

/// The certificates behind signatures, as they were when they signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains(Vec<CertificateChain>);

impl Note {
    /// Signs a text, which ends in a newline.
    pub fn sign(text: String, signer: &Identity, key: &SigningKey) -> Result<Self, NoteError> {
        let name = signer.to_string();
        let signature = match key.algorithm() {
            KeyAlgorithm::Ed25519 => key.sign(text.as_bytes()),
            KeyAlgorithm::EcdsaP256 => key.sign_x509(text.as_bytes()),
        };
        let signature = signature.map_err(|_| NoteError::Library)?;
        let key_id = key_id(SignatureKind::Plain, &name, key.public_key());
        Ok(Self { text, signatures: vec![Line { name, key_id, signature }] })
    }

    /// A cosignature line for it, as another party's answer to *add-checkpoint*.
    pub fn cosign(&self, signer: &Identity, key: &SigningKey, now: UnixTime) -> Result<String, NoteError> {
        let name = signer.to_string();
        let bytes = key.sign(&cosigned(&self.text, now.as_secs())).map_err(|_| NoteError::Library)?;
        let signature = [&now.as_secs().to_be_bytes()[..], &bytes].concat();
        let key_id = key_id(SignatureKind::Cosignature, &name, key.public_key());
        Ok(Line { name, key_id, signature }.to_string())
    }

    /// Takes signature lines, which are to be verified; one that is there already is not repeated.
    pub fn add(&mut self, lines: &str) -> Result<(), NoteError> {
        for line in lines.lines() {
            let line: Line = line.parse()?;
            if !self.signatures.contains(&line) {
                self.signatures.push(line);
            }
        }
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        Ok(())
    }

    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names under its signatures, not to be believed yet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|line| line.name.as_str())
    }

    /// Verifies a signature under a key that is known to be this party's. For a cosignature it gives the time.
    pub fn verify(&self, kind: SignatureKind, name: &str, key: &PublicKey) -> Result<Option<UnixTime>, NoteError> {
        let expected = key_id(kind, name, key);
        let line = self.signatures.iter().find(|line| line.name == name && line.key_id == expected);
        let line = line.ok_or_else(|| NoteError::Unsigned(name.to_owned()))?;
        let wrong = || NoteError::Signature(name.to_owned());
        match kind {
            SignatureKind::Plain => {
                let text = self.text.as_bytes();
                let verified = match key.algorithm() {
                    KeyAlgorithm::Ed25519 => key.verify(text, &line.signature),
                    KeyAlgorithm::EcdsaP256 => key.verify_x509(text, &line.signature),
                };
                verified.map(|()| None).map_err(|_| wrong())
            }
            SignatureKind::Cosignature => {
                let (time, signature) = line.signature.split_first_chunk().ok_or_else(wrong)?;
                let time = u64::from_be_bytes(*time);
                key.verify(&cosigned(&self.text, time), signature).map_err(|_| wrong())?;
                Ok(Some(UnixTime::from_secs(time)))
            }
        }
    }

    /// Verifies the signature of its maker with one of the certificates, as it stood at a time.
    pub fn verify_past(&self, name: &str, at: UnixTime, chains: &Chains, trust: &Trust) -> Result<(), NoteError> {
        let mut failed = NoteError::Unsigned(name.to_owned());
        for key in chains.keys(name, at, trust) {
            match key.and_then(|key| self.verify(SignatureKind::Plain, name, &key)) {
                Ok(_) => return Ok(()),
                Err(error) => failed = worse(failed, error),
            }
        }
        Err(failed)
    }

    /// The parties whose cosignatures hold, each with a certificate that was valid then. A cosignature without a
    /// certificate counts for nothing; one that is wrong makes the note one.
    pub fn cosigners(&self, chains: &Chains, trust: &Trust) -> Result<Vec<Cosigner>, NoteError> {
        let mut cosigners: Vec<Cosigner> = Vec::new();
        for line in &self.signatures {
            let Some(at) = line.time() else { continue };
            for key in chains.keys(&line.name, at, trust) {
                // Of somebody's several certificates one fits; the others were not valid then.
                let Ok(key) = key else { continue };
                if key_id(SignatureKind::Cosignature, &line.name, &key) == line.key_id {
                    self.verify(SignatureKind::Cosignature, &line.name, &key)?;
                    if !cosigners.iter().any(|one| one.name == line.name) {
                        cosigners.push(Cosigner { name: line.name.clone(), at });
                    }
                }
            }
        }
        Ok(cosigners)
    }
}

/// A wrong signature says more than a certificate that does not fit, and that more than none.
fn worse(one: NoteError, other: NoteError) -> NoteError {
    let weight = |error: &NoteError| match error {
        NoteError::Unsigned(_) => 0,
        NoteError::Certificate { .. } => 1,
        _ => 2,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed("it holds control characters"));
        }
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
        if lines.is_empty() || !lines.ends_with('\n') {
            return Err(NoteError::Malformed("it has no signature, or its last line is not ended"));
        }
        let signatures: Vec<Line> = lines.lines().map(str::parse).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }
}

impl Line {
    /// When a cosignature says that it was made.
    fn time(&self) -> Option<UnixTime> {
        self.signature.first_chunk().map(|time| UnixTime::from_secs(u64::from_be_bytes(*time)))
    }

    /// Whether it is by the key of a certificate that was valid then. `signed` is when the note was made.
    fn is_under(&self, chain: &CertificateChain, signed: Option<UnixTime>, trust: &Trust) -> bool {
        // An identity stands in its certificate letter by letter: most are passed over without cryptography.
        let name = self.name.as_bytes();
        if !chain.leaf().windows(name.len()).any(|part| part == name) {
            return false;
        }
        let moments = [(SignatureKind::Plain, signed), (SignatureKind::Cosignature, self.time())];
        moments.into_iter().filter_map(|(kind, at)| Some((kind, at?))).any(|(kind, at)| {
            let party = trust.verify_past(chain, &Expected::anybody(KeyUse::Statement), at);
            party.is_ok_and(|party| key_id(kind, &self.name, party.public_key()) == self.key_id)
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        writeln!(f, "\u{2014} {} {}", self.name, BASE64.encode(bytes))
    }
}

impl FromStr for Line {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Malformed("a signature line is not \"\u{2014} name base64\"");
        let Some((name, signature)) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')) else {
            return Err(wrong);
        };
        let bytes = BASE64.decode(signature).map_err(|_| wrong.clone())?;
        let Some((key_id, signature)) = bytes.split_first_chunk() else { return Err(wrong) };
        // Every party's name is an identity, which has neither blanks nor a plus sign.
        name.parse::<Identity>().map_err(|_| NoteError::Malformed("a signer is not an identity"))?;
        Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

impl Chains {
    /// Takes a chain, once.
    pub fn add(&mut self, chain: CertificateChain) {
        if !self.0.contains(&chain) {
            self.0.push(chain);
        }
    }

    /// All chains.
    pub fn iter(&self) -> impl Iterator<Item = &CertificateChain> {
        self.0.iter()
    }

    /// Those behind the signatures of these notes: a log keeps the certificates of years.
    ///
    /// # Errors
    /// Where a signature has none, those behind the others.
    pub fn behind<'n>(&self, notes: impl IntoIterator<Item = &'n Note>, trust: &Trust) -> Result<Self, Self> {
        let (mut behind, mut complete) = (Self::default(), true);
        for note in notes {
            let signed = note.text().parse::<Checkpoint>().map(|checkpoint| checkpoint.at()).ok();
            for line in &note.signatures {
                let mut found = self.0.iter().filter(|chain| line.is_under(chain, signed, trust)).peekable();
                complete &= found.peek().is_some();
                found.for_each(|chain| behind.add(chain.clone()));
            }
        }
        if complete { Ok(behind) } else { Err(behind) }
    }

    /// The keys of a party at a time; for a chain of its that does not hold, why.
    fn keys(&self, name: &str, at: UnixTime, trust: &Trust) -> impl Iterator<Item = Result<PublicKey, NoteError>> {
        self.0.iter().filter_map(move |chain| {
            match trust.verify_past(chain, &Expected::anybody(KeyUse::Statement), at) {
                Ok(party) => (party.identity().to_string() == name).then(|| Ok(party.public_key().clone())),
                Err(error) => Some(Err(NoteError::Certificate { name: name.to_owned(), error })),
            }
        })
    }
}

impl FromIterator<CertificateChain> for Chains {
    fn from_iter<I: IntoIterator<Item = CertificateChain>>(chains: I) -> Self {
        let mut all = Self::default();
        chains.into_iter().for_each(|chain| all.add(chain));
        all
    }
}

/// What a cosigner signs (C2SP tlog-cosignature).
fn cosigned(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The first four bytes of a hash (C2SP signed-note, "Signatures").
fn key_id(kind: SignatureKind, name: &str, key: &PublicKey) -> [u8; 4] {
    let spki = key.as_bytes();
    // The last 32 bytes of an Ed25519 SubjectPublicKeyInfo are the key (RFC 8410, 4).
    let raw = spki.last_chunk::<32>().map(|raw| &raw[..]).unwrap_or_default();
    let named = |kind: &[u8], key: &[u8]| sha256(&[name.as_bytes(), b"\n", kind, key].concat());
    let hash = match (kind, key.algorithm()) {
        (SignatureKind::Plain, KeyAlgorithm::Ed25519) => named(&[0x01], raw),
        (SignatureKind::Plain, KeyAlgorithm::EcdsaP256) => sha256(spki),
        (SignatureKind::Cosignature, KeyAlgorithm::Ed25519) => named(&[0x04], raw),
        (SignatureKind::Cosignature, KeyAlgorithm::EcdsaP256) => named(&[&[0xff], P256_COSIGNATURE].concat(), spki),
    };
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}
