//! The token of transmission step 4: the broker's signed word that one gateway may do one thing with one
//! patient's record at one archive, over one L–M channel, within a minute, once.

use minicbor::{Decode, Encode};
use sealwort_pki::{PublicKey, SigningKey, UnixTime};

use crate::channel::Channel;
use crate::codec::{from_bytes, to_bytes};
use crate::crypto::{AeadKey, Prk, random};
use crate::error::ErrorKind;
use crate::id::{Digest, EmergencyId, LabelTag, Pseudonym, TokenId};
use crate::operations::{Operations, count};
use crate::receipt::Witness;
use crate::statement::{self, Kind, STATEMENT_BYTES_MAX};
use crate::transmission::{EMERGENCY, EMERGENCY_SECONDS_MAX};

/// The content of a token.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Token {
    /// Name of the exchange.
    #[n(0)]
    pub exchange: String,
    /// Identity of the broker that issued it.
    #[n(1)]
    pub issuer: String,
    /// Identity of the gateway that may use it.
    #[n(2)]
    pub holder: String,
    /// Hash of the holder's statement key, see [`statement::key_id`].
    #[n(3)]
    pub holder_key: Digest,
    /// Identity of the archive that it is for.
    #[n(4)]
    pub audience: String,
    /// Its number, used once.
    #[n(5)]
    pub id: TokenId,
    /// The patient.
    #[n(6)]
    pub patient: Pseudonym,
    /// `read`, `write` or `emergency`.
    #[n(7)]
    pub action: String,
    /// Labels allowed, as tags. Sorted.
    #[n(8)]
    pub tags: Vec<LabelTag>,
    /// Purpose of use.
    #[n(9)]
    pub purpose: String,
    /// The emergency access by which it was asked for; with the action *emergency*, and with no other.
    #[n(10)]
    pub emergency: Option<EmergencyTerm>,
    /// The user, in the hospital's words.
    #[n(11)]
    pub user: String,
    /// The user's role, in the hospital's words.
    #[n(12)]
    pub user_role: String,
    /// Hash of the signed request, in which the hospital names both.
    #[n(13)]
    pub request: Digest,
    /// Hash of the policies accepted in step 3.
    #[n(14)]
    pub policies: Digest,
    /// Version of the directive that the broker decided by.
    #[n(15)]
    pub directive_version: u64,
    /// Epoch of that directive.
    #[n(16)]
    pub epoch: u64,
    /// Sequence number of the head that the broker has witnessed.
    #[n(17)]
    pub witness_sequence: u64,
    /// Hash of that head.
    #[n(18)]
    pub witness_head: Digest,
    /// `h_LM`: the one channel over which it may be used.
    #[n(19)]
    pub binding: Digest,
    /// Unix seconds.
    #[n(20)]
    pub issued_at: u64,
    /// Unix seconds; at most 60 after `issued_at`.
    #[n(21)]
    pub expires_at: u64,
}

/// Which emergency access, and when it began by the broker's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EmergencyTerm {
    /// Its name.
    #[n(0)]
    pub id: EmergencyId,
    /// Its begin, Unix seconds. No token is good for longer than [`EMERGENCY_SECONDS_MAX`] from it.
    #[n(1)]
    pub begun_at: u64,
}

impl Token {
    /// The head that the broker has witnessed.
    pub fn witness(&self) -> Witness {
        Witness { sequence: self.witness_sequence, head: self.witness_head }
    }

    /// Signs it with the broker's statement key.
    pub fn sign(&self, key: &SigningKey, operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
        count(&operations.token);
        statement::sign(Kind::Token, &to_bytes(self), key, operations)
    }
}

/// What a token must match where it is used.
pub struct TokenUse<'a> {
    /// Name of the exchange.
    pub exchange: &'a str,
    /// Identity of the broker.
    pub issuer: &'a str,
    /// The broker's key.
    pub issuer_key: &'a PublicKey,
    /// Identity of the gateway.
    pub holder: &'a str,
    /// The gateway's key.
    pub holder_key: &'a PublicKey,
    /// Identity of the archive.
    pub audience: &'a str,
    /// `h_LM` of the channel.
    pub binding: Digest,
    /// Longest lifetime agreed, in seconds.
    pub lifetime_seconds: u32,
    /// Accepted clock difference, in seconds.
    pub skew_seconds: u32,
    /// Now.
    pub now: UnixTime,
}

/// A token whose signature, parties, channel and time were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    token: Token,
    digest: Digest,
}

impl VerifiedToken {
    /// Its content.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

/// Verifies a token for one use.
pub fn verify(bytes: &[u8], usage: &TokenUse<'_>, operations: &Operations) -> Result<VerifiedToken, ErrorKind> {
    let payload = statement::open(Kind::Token, bytes, usage.issuer_key, operations)?;
    let token: Token = from_bytes(&payload, STATEMENT_BYTES_MAX)?;
    let checks = [
        (token.exchange == usage.exchange, "it belongs to another exchange"),
        (token.issuer == usage.issuer, "another broker issued it"),
        (token.holder == usage.holder, "another gateway holds it"),
        (token.holder_key == statement::key_id(usage.holder_key), "it names another key of the gateway"),
        (token.audience == usage.audience, "it is for another archive"),
        (token.binding == usage.binding, "it belongs to another session"),
        (token.tags.is_sorted_by(|a, b| a < b) && !token.tags.is_empty(), "its labels are not sorted and unique"),
        (
            token.expires_at > token.issued_at
                && token.expires_at - token.issued_at <= u64::from(usage.lifetime_seconds),
            "its lifetime is longer than agreed",
        ),
        (
            token.emergency.is_some() == (token.action == EMERGENCY),
            "an emergency access and the action emergency come together",
        ),
        (
            token.emergency.is_none_or(|emergency| {
                emergency.begun_at <= token.issued_at
                    && token.expires_at.saturating_sub(emergency.begun_at) <= EMERGENCY_SECONDS_MAX
            }),
            "it outlasts the hour of its emergency access",
        ),
    ];
    if let Some((_, reason)) = checks.iter().find(|(holds, _)| !holds) {
        return Err(ErrorKind::Token(reason));
    }
    let (now, skew) = (usage.now.as_secs(), u64::from(usage.skew_seconds));
    if token.issued_at > now + skew {
        return Err(ErrorKind::Clock { seconds: token.issued_at - now, limit: skew });
    }
    if now >= token.expires_at + skew {
        return Err(ErrorKind::Token("it has expired"));
    }
    Ok(VerifiedToken { token, digest: statement::digest(bytes) })
}

/// Seals a token for the archive under SK_TM. Each sealing has a key of its own, from 16 random bytes in front.
pub fn seal(channel: &Channel, token: &[u8], operations: &Operations) -> Vec<u8> {
    let salt: [u8; 16] = random();
    let mut sealed = token.to_vec();
    sealing_key(channel, &salt).seal(0, channel.session().as_bytes(), &mut sealed, operations);
    let mut out = salt.to_vec();
    out.extend_from_slice(&sealed);
    out
}

/// Opens what [`seal`] sealed.
pub fn unseal(channel: &Channel, sealed: &[u8], operations: &Operations) -> Result<Vec<u8>, ErrorKind> {
    if sealed.len() > STATEMENT_BYTES_MAX + 64 {
        return Err(ErrorKind::Token("it is too long"));
    }
    let (salt, body) = sealed.split_at_checked(16).ok_or(ErrorKind::Sealed)?;
    let mut token = body.to_vec();
    sealing_key(channel, salt).open(0, channel.session().as_bytes(), &mut token, operations)?;
    Ok(token)
}

fn sealing_key(channel: &Channel, salt: &[u8]) -> AeadKey {
    AeadKey::new(&Prk::from_secret(&channel.export("sealwort token sealing v1")).expand("sealwort token v1", &[salt]))
}

/// The gateway's proof of step 5 that it holds the token's key, and that this is the token it was shown: a signature
/// over token id, `h_LM` and the statement's digest. Without the digest a broker could seal another token for the
/// archive than it shows the gateway, and the archive would log it in the gateway's name.
pub fn prove_possession(
    token: &VerifiedToken,
    key: &SigningKey,
    operations: &Operations,
) -> Result<Vec<u8>, ErrorKind> {
    statement::sign(Kind::Possession, &to_bytes(&Possession::of(token)), key, operations)
}

/// Checks the proof of possession.
pub fn check_possession(
    bytes: &[u8],
    token: &VerifiedToken,
    key: &PublicKey,
    operations: &Operations,
) -> Result<(), ErrorKind> {
    let signed = statement::open(Kind::Possession, bytes, key, operations)?;
    let shown: Possession = from_bytes(&signed, STATEMENT_BYTES_MAX)?;
    if shown == Possession::of(token) { Ok(()) } else { Err(ErrorKind::Token("the gateway was shown another token")) }
}

/// What the gateway signs in step 5.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Possession {
    #[n(0)]
    token: TokenId,
    /// `h_LM`.
    #[n(1)]
    binding: Digest,
    /// Digest of the token as a statement.
    #[n(2)]
    statement: Digest,
}

impl Possession {
    fn of(token: &VerifiedToken) -> Self {
        Self { token: token.token.id, binding: token.token.binding, statement: token.digest }
    }
}
