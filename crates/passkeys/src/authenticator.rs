//! What authenticators write: attestation objects, authenticator data (section 6.1) and COSE keys (RFC 9053), in the
//! canonical CBOR that CTAP2 demands, and nothing else. Bytes are read to their end; what is left over is a fault.

use minicbor::Decoder;
use minicbor::decode::Error;
use sealwort_pki::PublicKey;

use crate::{AUTHENTICATOR_DATA_BYTES_MAX, PasskeyFault};

/// Longest credential id, in bytes (section 7.1, step 25).
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const CREDENTIAL_INCLUDED: u8 = 0x40;
const EXTENSIONS_INCLUDED: u8 = 0x80;
/// What stands before an uncompressed point on P-256 in its SubjectPublicKeyInfo (RFC 5480).
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// The same before an Ed25519 key (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Bytes of a coordinate, and of an Ed25519 key.
const KEY_BYTES: usize = 32;

/// Section 6.5.
pub(crate) struct Attestation<'a> {
    pub(crate) authenticator_data: &'a [u8],
}

/// Section 6.1.
pub(crate) struct AuthenticatorData<'a> {
    pub(crate) relying_party: [u8; 32],
    pub(crate) user_was_present: bool,
    pub(crate) user_was_verified: bool,
    pub(crate) counter: u32,
    /// A passkey that was made.
    pub(crate) made: Option<Made<'a>>,
}

pub(crate) struct Made<'a> {
    pub(crate) credential_id: &'a [u8],
    pub(crate) public_key: PublicKey,
}

impl<'a> Attestation<'a> {
    /// Only `none` is taken: who made the authenticator is not asked for, and not believed.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        if bytes.len() > AUTHENTICATOR_DATA_BYTES_MAX {
            return Err(PasskeyFault::Attestation);
        }
        let mut decoder = Decoder::new(bytes);
        let read = |decoder: &mut Decoder<'a>| -> Result<&'a [u8], Error> {
            members(decoder, 3)?;
            let canonical = decoder.str()? == "fmt" && decoder.str()? == "none" && decoder.str()? == "attStmt";
            members(decoder, 0)?;
            if canonical && decoder.str()? == "authData" { decoder.bytes() } else { Err(Error::message("not that")) }
        };
        let authenticator_data = read(&mut decoder).map_err(|_| PasskeyFault::Attestation)?;
        if decoder.position() == bytes.len() { Ok(Self { authenticator_data }) } else { Err(PasskeyFault::Attestation) }
    }
}

impl<'a> AuthenticatorData<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        if bytes.len() > AUTHENTICATOR_DATA_BYTES_MAX {
            return Err(PasskeyFault::AuthenticatorData);
        }
        let fault = || PasskeyFault::AuthenticatorData;
        let (relying_party, rest) = bytes.split_first_chunk::<32>().ok_or_else(fault)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or_else(fault)?;
        let (counter, mut rest) = rest.split_first_chunk::<4>().ok_or_else(fault)?;
        let has = |flag| flags & flag != 0;
        // What cannot be backed up is not.
        if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) {
            return Err(fault());
        }
        let mut made = None;
        if has(CREDENTIAL_INCLUDED) {
            let (_model, after) = rest.split_first_chunk::<16>().ok_or_else(fault)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or_else(fault)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&length) {
                return Err(fault());
            }
            let (credential_id, after) = after.split_at_checked(length).ok_or_else(fault)?;
            let (public_key, after) = public_key(after)?;
            made = Some(Made { credential_id, public_key });
            rest = after;
        }
        if has(EXTENSIONS_INCLUDED) {
            let mut decoder = Decoder::new(rest);
            let is_map = matches!(decoder.datatype(), Ok(minicbor::data::Type::Map));
            if !is_map || decoder.skip().is_err() {
                return Err(fault());
            }
            rest = rest.get(decoder.position()..).unwrap_or_default();
        }
        if !rest.is_empty() {
            return Err(fault());
        }
        Ok(Self {
            relying_party: *relying_party,
            user_was_present: has(USER_PRESENT),
            user_was_verified: has(USER_VERIFIED),
            counter: u32::from_be_bytes(*counter),
            made,
        })
    }
}

/// A COSE key with the members that its kind has and no other, and what follows it.
fn public_key(bytes: &[u8]) -> Result<(PublicKey, &[u8]), PasskeyFault> {
    let mut decoder = Decoder::new(bytes);
    let spki = spki(&mut decoder).map_err(|_| PasskeyFault::PublicKey)?;
    let key = PublicKey::from_bytes(&spki).map_err(|_| PasskeyFault::PublicKey)?;
    Ok((key, bytes.get(decoder.position()..).unwrap_or_default()))
}

fn spki(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    let count = decoder.map()?;
    // 1: key type, 3: algorithm, -1: curve, -2 and -3: coordinates (RFC 9052, section 7; RFC 9053, section 7).
    let kind = member(decoder, 1)?;
    let algorithm = member(decoder, 3)?;
    let curve = member(decoder, -1)?;
    match (count, kind, algorithm, curve) {
        (Some(5), 2, -7, 1) => {
            let (x, y) = (coordinate(decoder, -2)?, coordinate(decoder, -3)?);
            Ok([P256_SPKI.as_slice(), &x, &y].concat())
        }
        (Some(4), 1, -8, 6) => Ok([ED25519_SPKI.as_slice(), &coordinate(decoder, -2)?].concat()),
        _ => Err(Error::message("another kind of key")),
    }
}

fn member(decoder: &mut Decoder<'_>, name: i32) -> Result<i32, Error> {
    if decoder.i32()? == name { decoder.i32() } else { Err(Error::message("another member")) }
}

fn coordinate(decoder: &mut Decoder<'_>, name: i32) -> Result<[u8; KEY_BYTES], Error> {
    if decoder.i32()? != name {
        return Err(Error::message("another member"));
    }
    decoder.bytes()?.try_into().map_err(|_| Error::message("not 32 bytes"))
}

fn members(decoder: &mut Decoder<'_>, count: u64) -> Result<(), Error> {
    if decoder.map()? == Some(count) { Ok(()) } else { Err(Error::message("another number of members")) }
}
