//! Sealing and opening of entries beside plain AES-256-GCM of the same bytes, compression and padding apart. An
//! entry is more than its encryption: its ciphertext is hashed for the chain and its envelope is signed, so the
//! parts are measured too.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::crypto::TAG_BYTES;
use sealwort_proto::halves::{Half, KeyRing, RecordKey, Side};
use sealwort_proto::operations::Operations;
use sealwort_proto::record::{self, EntryHeader, SealedEntry};
use sealwort_proto::{EntryId, LabelTag, Pseudonym, SUITE, log};

use crate::Thoroughness;
use crate::measure::{CpuClock, Failure, Samples};
use crate::report::{Aim, Report, Row};

/// Name of a size, its bytes, and rounds of a full run.
const SIZES: [(&str, usize, usize); 3] = [("1KiB", 1024, 4000), ("16KiB", 16 * 1024, 3000), ("1MiB", 1024 * 1024, 400)];
/// The size for which an aim was set.
const AIMED_AT: &str = "1MiB";
/// Bytes that the signature of an envelope is over, about.
const ENVELOPE_BYTES: usize = 400;
const AUTHOR: &str = "sealwort://bench/gateway/hospital";
const PATIENT: Pseudonym = Pseudonym::new([1; 32]);
const TAG: LabelTag = LabelTag::new([2; 16]);

/// Medians of one size, in microseconds.
#[derive(Default)]
struct Timings {
    seal: Samples,
    open: Samples,
    plain_seal: Samples,
    plain_open: Samples,
    hash: Samples,
    sign: Samples,
    verify: Samples,
}

/// Keys of both sides.
struct Bench {
    clock: CpuClock,
    author: SigningKey,
    record_key: RecordKey,
    plain: LessSafeKey,
    signer: Ed25519KeyPair,
    verifier: ParsedPublicKey,
    operations: Operations,
}

/// Measures and reports.
pub(crate) fn run(thoroughness: Thoroughness, report: &mut Report) -> Result<(), Failure> {
    let bench = Bench::new()?;
    for (name, bytes, rounds) in SIZES {
        let rounds = thoroughness.times(rounds);
        let mut timings = Timings::default();
        for _ in 0..rounds / 10 {
            bench.round(bytes, &mut Timings::default())?;
        }
        for _ in 0..rounds {
            bench.round(bytes, &mut timings)?;
        }
        report.note(&format!(
            "seal.{name}: {rounds} rounds in turns; AES-256-GCM seal {:.2} µs, open {:.2} µs; \
             SHA-256 of the ciphertext {:.2} µs; Ed25519 sign {:.2} µs, verify {:.2} µs",
            timings.plain_seal.median(),
            timings.plain_open.median(),
            timings.hash.median(),
            timings.sign.median(),
            timings.verify.median(),
        ));
        rows(name, &timings, report);
    }
    Ok(())
}

fn rows(name: &str, timings: &Timings, report: &mut Report) {
    let sides = [
        ("seal", &timings.seal, &timings.plain_seal, timings.sign.median()),
        ("open", &timings.open, &timings.plain_open, timings.verify.median()),
    ];
    for (verb, ours, plain, signature) in sides {
        let row = Row::new(format!("{verb}.{name}"), "encrypt, hash and sign, or the way back", ours.median(), "µs")
            .against("AES-256-GCM alone", plain.median());
        report.row(if name == AIMED_AT { row.aim(Aim::RatioAtMost(1.2)) } else { row });
        let parts = plain.median() + timings.hash.median() + signature;
        report.row(
            Row::new(format!("{verb}.{name}.parts"), "the same", ours.median(), "µs")
                .against("AES-256-GCM, SHA-256 and Ed25519", parts),
        );
    }
}

impl Bench {
    fn new() -> Result<Self, Failure> {
        let half = |side| vec![Half::generate(side, PATIENT, 1).for_reader(TAG)];
        let ring = KeyRing::new(PATIENT, half(Side::Broker), half(Side::Archive));
        let signer = Ed25519KeyPair::generate()?;
        Ok(Self {
            clock: CpuClock::calibrated(),
            author: SigningKey::generate(KeyAlgorithm::Ed25519)?,
            record_key: ring.record_key(1, AUTHOR, TAG).ok_or("the halves give no key")?,
            plain: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?),
            verifier: ParsedPublicKey::new(&ED25519, signer.public_key().as_ref())?,
            signer,
            operations: Operations::default(),
        })
    }

    fn round(&self, bytes: usize, timings: &mut Timings) -> Result<(), Failure> {
        let mut plain = filled(bytes);
        let (time, ()) = self.plain_seal(&mut plain)?;
        timings.plain_seal.push_micros(time);

        let (header, content) = (header(), filled(bytes));
        let (time, sealed) =
            self.clock.time(|| record::seal_bytes(&header, content, &self.record_key, &self.author, &self.operations));
        let sealed = sealed?;
        timings.seal.push_micros(time);

        let (time, ()) = self.plain_open(&mut plain)?;
        timings.plain_open.push_micros(time);
        timings.open.push_micros(self.open(sealed, bytes)?);
        self.parts(bytes, timings)
    }

    fn plain_seal(&self, buffer: &mut Vec<u8>) -> Result<(Duration, ()), Failure> {
        let (time, outcome) =
            self.clock.time(|| self.plain.seal_in_place_append_tag(nonce(), Aad::from([0u8; 200]), buffer));
        Ok((time, outcome?))
    }

    fn plain_open(&self, buffer: &mut [u8]) -> Result<(Duration, ()), Failure> {
        let (time, outcome) =
            self.clock.time(|| self.plain.open_in_place(nonce(), Aad::from([0u8; 200]), buffer).map(drop));
        Ok((time, outcome?))
    }

    fn open(&self, sealed: SealedEntry, bytes: usize) -> Result<Duration, Failure> {
        let envelope = sealed.wire.envelope.0;
        let ciphertext = sealed.wire.ciphertext.ok_or("an entry without ciphertext")?.0;
        let (time, opened) = self.clock.time(|| {
            let entry = record::parse(&envelope)?.verify(self.author.public_key(), &self.operations)?;
            entry.open_bytes(ciphertext, &self.record_key, &self.operations)
        });
        if opened? == filled(bytes) { Ok(time) } else { Err("an entry opened to other bytes".into()) }
    }

    fn parts(&self, bytes: usize, timings: &mut Timings) -> Result<(), Failure> {
        let ciphertext = filled(bytes + TAG_BYTES);
        let (time, _) = self.clock.time(|| digest(&SHA256, &ciphertext));
        timings.hash.push_micros(time);
        let message = [3u8; ENVELOPE_BYTES];
        let (time, signature) = self.clock.time(|| self.signer.try_sign(&message));
        timings.sign.push_micros(time);
        let signature = signature?;
        let (time, outcome) = self.clock.time(|| self.verifier.verify_sig(&message, signature.as_ref()));
        timings.verify.push_micros(time);
        Ok(outcome?)
    }
}

/// Bytes with room for the tag, as padding leaves them.
fn filled(bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + TAG_BYTES);
    out.resize(bytes, 0xa5);
    out
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn header() -> EntryHeader {
    EntryHeader {
        suite: SUITE,
        exchange: "bench".to_owned(),
        patient: PATIENT,
        entry: EntryId::random(),
        author: AUTHOR.to_owned(),
        tag: TAG,
        epoch: 1,
        sequence: 1,
        previous: log::genesis(PATIENT),
        authored_at: 1_900_000_000,
        deposit: sealwort_proto::DepositId::new([4; 16]),
    }
}
