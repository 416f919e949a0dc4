//! DER as a tree (X.690), so that a script can alter one field of a certificate and all lengths still fit; and signing
//! what came out, as a lying authority would.

use sealwort_pki::SigningKey;

use crate::input::Input;

/// Deepest nesting that is taken apart.
const DEPTH_MAX: usize = 16;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// AlgorithmIdentifier of Ed25519 (RFC 8410, section 3).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// A field: its tag, and content or fields.
#[derive(Debug, Clone)]
pub enum Field {
    /// A field whose content is taken as it is.
    Plain(u8, Vec<u8>),
    /// A field of fields.
    Holding(u8, Vec<Field>),
}

impl Field {
    /// Reads the fields that bytes are made of.
    pub fn parse_all(bytes: &[u8]) -> Option<Vec<Self>> {
        parse_all(bytes, DEPTH_MAX)
    }

    /// The field in DER.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(tag, content) => field(*tag, content),
            Self::Holding(tag, inner) => field(*tag, &inner.iter().flat_map(Self::to_bytes).collect::<Vec<u8>>()),
        }
    }

    fn count(&self) -> usize {
        1 + match self {
            Self::Plain(..) => 0,
            Self::Holding(_, inner) => inner.iter().map(Self::count).sum(),
        }
    }

    fn at(&mut self, number: usize) -> Option<&mut Self> {
        let Some(mut number) = number.checked_sub(1) else { return Some(self) };
        let Self::Holding(_, inner) = self else { return None };
        for field in inner {
            let count = field.count();
            if number < count {
                return field.at(number);
            }
            number -= count;
        }
        None
    }
}

fn parse_all(mut bytes: &[u8], depth: usize) -> Option<Vec<Field>> {
    let depth = depth.checked_sub(1)?;
    let mut fields = Vec::new();
    while let [tag, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        // Constructed types, and octet strings, in which extensions are wrapped.
        let inner = if tag & 0x20 != 0 || *tag == OCTET_STRING { parse_all(content, depth) } else { None };
        fields.push(match inner {
            Some(inner) if !inner.is_empty() => Field::Holding(*tag, inner),
            _ => Field::Plain(*tag, content.to_vec()),
        });
        bytes = after;
    }
    bytes.is_empty().then_some(fields)
}

fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=0x7f => out.push(u8::try_from(length).unwrap_or_default()),
        length => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
            out.extend_from_slice(&bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Alters one field of a certificate, list or request as a script asks for.
pub fn alter(bytes: &[u8], mut script: Input<'_>) -> Vec<u8> {
    let Some(mut fields) = Field::parse_all(bytes).filter(|fields| fields.len() == 1) else { return bytes.to_vec() };
    let Some(mut root) = fields.pop() else { return bytes.to_vec() };
    let number = script.below(root.count());
    let other = root.at(script.below(root.count())).cloned();
    let Some(place) = root.at(number) else { return bytes.to_vec() };
    match (script.byte() % 8, place) {
        (0, Field::Plain(_, content)) => {
            let at = script.below(content.len().max(1));
            if let Some(byte) = content.get_mut(at) {
                *byte ^= script.byte().max(1);
            }
        }
        (1, Field::Plain(_, content)) => *content = script.bytes().to_vec(),
        (2, Field::Plain(tag, _) | Field::Holding(tag, _)) => *tag ^= script.byte(),
        (3, place) => {
            if let Some(other) = other {
                *place = other;
            }
        }
        (4, Field::Holding(_, inner)) if !inner.is_empty() => {
            let at = script.below(inner.len());
            drop(inner.remove(at));
        }
        (5, Field::Holding(_, inner)) if !inner.is_empty() => {
            let at = script.below(inner.len());
            inner.insert(at, inner[at].clone());
        }
        (6, Field::Holding(_, inner)) => inner.reverse(),
        (7, Field::Holding(_, inner)) => inner.push(Field::Plain(script.byte(), script.bytes().to_vec())),
        (_, place) => *place = Field::Plain(script.byte(), script.bytes().to_vec()),
    }
    root.to_bytes()
}

/// The first field of a signed structure, which is what the signature is over.
pub fn to_be_signed(signed: &[u8]) -> Option<Vec<u8>> {
    match Field::parse_all(signed)?.first()? {
        Field::Holding(SEQUENCE, inner) => Some(inner.first()?.to_bytes()),
        _ => None,
    }
}

/// Puts a signature of an Ed25519 key under a structure.
pub fn sign(to_be_signed: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = [vec![0], key.sign_x509(to_be_signed).unwrap_or_default()].concat();
    field(SEQUENCE, &[to_be_signed, &ED25519, &field(BIT_STRING, &signature)].concat())
}
