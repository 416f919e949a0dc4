//! Messages that were cut, flipped, repeated and blown up: nothing panics, everything is answered, every
//! transaction stays whole JSON, and none takes long. The mutations follow from a seed, so that a failure
//! can be repeated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use sealwort_hl7v2::{ControlId, Message, Outcome, Refused, Settings, acknowledge, batch, map, mllp};
use time::OffsetDateTime;

const SEEDS: [&str; 4] = [
    "MSH|^~\\&|APP|FAC|US|OURS|20240101||ADT^A01^ADT_A01|C1|P|2.5||||||8859/1\rEVN|A01\rPID|1||77^^^H&1.2.3&ISO^MR~5||\
     Mu\u{fc}ller&von^A^B||19800131|F|||S&T&1^x^Y^Z^1^CH||031^PRN^PH\rPD1|||P^^1|G1^H^K\rNK1|1|M^O|SPO^S^HL70063\r\
     PV1|1|I|W^R^B^H||||D1^H^G|||MED||||||||V1^^^H|||||||||||||||||||||||||20240101\rDG1|1||J18^P^I10\rAL1|1|DA|P^P^L|SV|h\r\
     IN1|1|P^B|K^^^I|N",
    "MSH|^~\\&|APP|FAC|US|OURS|20240101||ORU^R01|C2|P|2.3\rPID|1||77^^^H^MR\rORC|RE|P1|F1\rOBR|1|P1|F1|C^C^LN|||20240101\r\
     NTE|1||a\\.br\\b\\X41\\\rOBX|1|NM|K^K^L||1.10|mmol/L|3-5|H|||F\rNTE|1||n\rOBX|2|SN|S^S^L||<^5^-^6\r\
     OBX|3|ED|E^E^L||A^B^PDF^Base64^QUJD\rOBX|4|CWE|C^C^L||1^b^SCT\rSPM|1|&S|S|SER",
    "MSH|^~\\&|APP|FAC|US|OURS|20240101||OML^O21|C3|P|2.5\rPID|1||77^^^H^MR\rORC|NW|P1|F1\rOBR|1|P1|F1|C^C^LN\rOBX|1|TM|K||1200",
    "MSH|^~\\&|APP|FAC|US|OURS|20240101||MDM^T02|C4|P|2.5\rPID|1||77^^^H^MR\rTXA|1|PN|TX|2024||||||||D1|||||AU|R\rOBX|1|TX|N||text",
];

/// xorshift64*: enough to vary mutations.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap() % limit.max(1)
    }
}

/// All that a listener does with bytes.
fn check(bytes: &[u8], what: &str) {
    let begun = Instant::now();
    let mut decoder = mllp::Decoder::default();
    if let Ok(frame) = mllp::encode(bytes) {
        let events = decoder.feed(&frame);
        assert!(matches!(events.as_slice(), [mllp::Event::Frame(found)] if found == bytes), "{what}");
    } else {
        decoder.feed(bytes);
    }
    let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let id = ControlId::new("1").unwrap();
    let answered = |message: &[u8], outcome: &Outcome<'_>| {
        if let Some(answer) = acknowledge(message, outcome, now, &id) {
            assert!(mllp::encode(&answer).is_ok(), "{what}: the answer can be framed");
            assert!(
                Message::read(&answer).is_ok() || Message::read(message).is_err(),
                "{what}: the answer can be read"
            );
        }
    };
    match batch::split(bytes) {
        Err(error) => answered(bytes, &Outcome::Unreadable(&error.to_string())),
        Ok(messages) => {
            for message in messages {
                let mapped =
                    Message::read(message).map_err(Refused::from).and_then(|read| map(&read, &Settings::default()));
                match mapped {
                    Ok(mapped) => {
                        serde_json::from_slice::<serde_json::Value>(&mapped.bundle).unwrap();
                        answered(message, &Outcome::Stored);
                    }
                    Err(refused) => {
                        assert!(refused.to_string().len() < 300, "{what}");
                        answered(message, &Outcome::Refused(&refused));
                    }
                }
            }
        }
    }
    // Generous: debug builds on a loaded machine.
    assert!(begun.elapsed() < Duration::from_mins(1), "{what} took {:?}", begun.elapsed());
}

#[test]
fn mutated_messages_never_panic() {
    let mut chance = Chance(0x5EA1_3057);
    for seed in SEEDS {
        check(seed.as_bytes(), seed);
        for cut in 0..seed.len() {
            check(&seed.as_bytes()[..cut], &format!("cut at {cut}"));
        }
        for round in 0..1500 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=chance.below(4) {
                mutate(&mut bytes, &mut chance);
            }
            check(&bytes, &format!("round {round} of {}", bytes.escape_ascii()));
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    if bytes.is_empty() {
        return;
    }
    let at = chance.below(bytes.len());
    match chance.below(7) {
        0 => bytes[at] ^= 1 << chance.below(8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..(at + chance.below(20)).min(bytes.len()))),
        3 => bytes[at] = b"|^~\\&\r\n\x00\xFF\x0B\x1C\"<-.:09"[chance.below(18)],
        4 => bytes.splice(at..at, b"|^~\\&\r".repeat(chance.below(50))).for_each(drop),
        // A segment again, somewhere.
        5 => {
            let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\r').map(<[u8]>::to_vec).collect();
            let mut all = lines.clone();
            all.insert(chance.below(all.len() + 1), lines[chance.below(lines.len())].clone());
            *bytes = all.join(&b'\r');
        }
        _ => bytes.splice(at..at, "\u{e4}\u{4e2d}\u{1F600}".bytes()).for_each(drop),
    }
}

#[test]
fn giant_messages_are_mapped_or_refused_in_bounded_time() {
    let result = "MSH|^~\\&|APP|FAC|US|OURS|20240101||ORU^R01|C2|P|2.5\rPID|1||77^^^H^MR\rOBR|1|P1|F1|C^C^LN\r";
    let long = |what: &str, bytes: usize| what.repeat(bytes / what.len());
    let size = 4 * 1024 * 1024;
    for (what, rest) in [
        ("a long text", format!("OBX|1|TX|T||{}", long("lorem ipsum ", size))),
        ("escapes", format!("OBX|1|TX|T||{}", long("\\.br\\", size))),
        ("open escapes", format!("OBX|1|TX|T||{}", long("\\", size))),
        ("half escapes", format!("OBX|1|TX|T||{}", long("\\X", size))),
        ("base64", format!("OBX|1|ED|T||A^B^PDF^Base64^{}", long("QUJD", size))),
        ("repetitions", format!("OBX|1|TX|T||{}", long("a~", size))),
        ("fields", format!("OBX|1|TX|T{}", long("|", size))),
        ("components", format!("OBX|1|TX|T||{}", long("^", size))),
        ("short segments", long("OBX|\r", size)),
        ("empty lines", long("\r\n", size)),
        ("results", long("OBX|1|NM|A||1\r", size)),
        ("people", format!("OBX|1|TX|T|||||||||||{}", long("1^A~", size))),
        ("a long code", format!("OBX|1|TX|{}||x", long("c", 1_000_000))),
        ("headers", long("MSH|^~\\&|\r", size)),
        ("digits", format!("OBX|1|NM|T||{}", long("9", size))),
    ] {
        let begun = Instant::now();
        check(format!("{result}{rest}").as_bytes(), what);
        println!("{what}: {:?}", begun.elapsed());
    }
}
