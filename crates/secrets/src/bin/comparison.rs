//! Compares secrets that come from standard input, 32 bytes each, as its argument says, and writes one byte: whether
//! they are equal. Run under valgrind, see `tests/constant_time.rs`. Two of the comparisons are faults on purpose.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use sealwort_pki::UnixTime;
use sealwort_pki::enrolment::{DirectoryKey, InvitationSecret};
use sealwort_proto::Nonce;
use sealwort_proto::crypto::{KeyEncryptionKey, Secret, mac_matches};
use sealwort_proto::halves::{Half, Side};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::testing::Seeded;

type Bytes = [u8; 32];

fn main() -> std::io::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let mut input = std::io::stdin().lock();
    let (mut one, mut other) = ([0; 32], [0; 32]);
    input.read_exact(&mut one)?;
    input.read_exact(&mut other)?;
    let compare: fn(&Bytes, &Bytes) -> bool = match name.as_str() {
        "mac" => |one, other| mac_matches(one, other),
        "secret" => |one, other| Secret::new(*one) == Secret::new(*other),
        "half" => |one, other| half(one) == half(other),
        "invitation" => |one, other| InvitationSecret::from_bytes(one) == InvitationSecret::from_bytes(other),
        "directory-key" => |one, other| DirectoryKey::from_bytes(one) == DirectoryKey::from_bytes(other),
        "cookie" => cookie,
        // Of slices, as received tags are: for arrays a compiler may find a way without branches.
        "planted-equality" => |one, other| black_box(one.as_slice()) == black_box(other.as_slice()),
        "planted-early-end" => |one, other| one.iter().zip(other).all(|(one, other)| one == other),
        // A key that chooses which memory is read.
        "planted-table" => |one, other| looked_up(one) == looked_up(other),
        // Whole use of a secret key, not a comparison: nothing there may branch on the key either.
        "key-derivation" => derived,
        _ => return Err(std::io::Error::other(format!("{name} is not a comparison"))),
    };
    // Nothing here branches on the outcome; writing publishes it.
    let equal = black_box(compare)(black_box(&one), black_box(&other));
    File::from(std::io::stdout().as_fd().try_clone_to_owned()?).write_all(&[u8::from(equal)])
}

fn half(secret: &Bytes) -> Half {
    Half::from_secret(Side::Broker, sealwort_proto::Pseudonym::new([1; 32]), 1, Secret::new(*secret))
}

/// A jar with the first secret as its key takes its own cookie; the tag of it and the one received are both secret.
fn cookie(key: &Bytes, _: &Bytes) -> bool {
    let _seeded = Seeded::replay([key.to_vec()]);
    let jar = CookieJar::default();
    let (nonce, hop, now) = (Nonce::new([2; 32]), [3; 32], UnixTime::from_secs(1_000_000));
    jar.accepts(&jar.bake(&nonce, &hop, now), &nonce, &hop, now)
}

/// Wraps and compares: HKDF and AES-GCM with a secret key.
fn derived(key: &Bytes, other: &Bytes) -> bool {
    let wrapped = KeyEncryptionKey::new(Secret::new(*key)).wrap(&[b"place"], other);
    wrapped.len() == 80
}

fn looked_up(secret: &Bytes) -> u8 {
    let table = black_box([7_u8; 256]);
    table.get(usize::from(secret[0])).copied().unwrap_or_default()
}
