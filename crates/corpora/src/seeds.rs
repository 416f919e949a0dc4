//! The inputs that a corpus begins with: real messages, statements, documents and FHIR samples, and scripts that reach
//! every step. The example `seeds` writes them where the fuzzers look.

use sealwort_fhir::{samples, synthetic};
use sealwort_proto::statement::{self, Kind};

use crate::targets::certificates::{DOCUMENTS, fixture};
use crate::targets::messages::{DECODERS, examples};
use crate::targets::statements::payload;
use crate::targets::transmission::PLACES;
use crate::world::{MESSAGES, earlier_run};

/// Longest FHIR sample that becomes a seed, in bytes.
const SAMPLE_BYTES_MAX: usize = 9000;

/// The first inputs of a target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "handshake" => {
            let mut seeds = scripts(MESSAGES.len() + 3);
            seeds.extend([vec![], vec![1]]);
            seeds
        }
        "transmission" => {
            let mut seeds = scripts(PLACES.len());
            for seed in &mut seeds {
                seed.remove(0);
            }
            seeds.push(vec![]);
            seeds
        }
        "channel" => channel(),
        "record" => record(),
        "statements" => statements(),
        "messages" => messages(),
        "certificates" => certificates(),
        "fhir" => fhir(),
        "configuration" => configuration(),
        _ => Vec::new(),
    }
}

/// For each message: a bit, a truncation, another message in its place, and fields altered.
fn scripts(messages: usize) -> Vec<Vec<u8>> {
    let kinds: [&[u8]; 8] = [
        &[0, 0, 40, 1],
        &[1, 0, 9],
        &[7, 0, 2],
        &[8, 0, 3, 1, 0],
        &[9, 0, 5, 2, 0xaa, 0xbb],
        &[12, 0, 2, 3, 1],
        &[13, 0, 4, 0, 1, 0],
        &[14, 0, 0, 0, 1, 1],
    ];
    let numbers = (0..messages).filter_map(|number| u8::try_from(number).ok());
    numbers
        .flat_map(|number| {
            kinds.iter().map(move |script| {
                let length = u8::try_from(script.len()).unwrap_or_default();
                [&[1, number, length], *script].concat()
            })
        })
        .collect()
}

fn channel() -> Vec<Vec<u8>> {
    let (send, deliver, late, far) = (
        [0, 2, b'h', b'i'].as_slice(),
        [0x84, 0, 0, 0].as_slice(),
        [3, 2, 0x60].as_slice(),
        // The largest number that there is, by an insider.
        [2, 0, 1, 0, 0, 0, 1, b'x'].as_slice(),
    );
    vec![
        [send, deliver].concat(),
        [send, deliver, deliver].concat(),
        [send, late, send, &[0x84, 0, 1, 0], deliver].concat(),
        [far, deliver].concat(),
        [far, deliver, send, &[0x84, 0, 1, 0]].concat(),
        [send, deliver, &[0x81, 0, 1, 2, b'o', b'k'], &[0x04, 0, 1, 1, 0, 1]].concat(),
        [send, &[0x85, 0, 0, 4, 0, 0, 3, 1]].concat(),
        [&[2, 1, 4, 200, 0, 0, 0], send, deliver, &[0x84, 0, 1, 0]].concat(),
        [&[2, 3, 0, 9, 0, 0, 0], deliver].concat(),
        [send, late, late, late, late, late, late, send, deliver].concat(),
    ]
}

fn record() -> Vec<Vec<u8>> {
    let fhir = b"{\"resourceType\":\"Patient\",\"id\":\"p\"}";
    let mut seeds = vec![vec![0], vec![0, 0x80], vec![1], [vec![1], fhir.to_vec()].concat()];
    // Put and delete; sizes on both sides of the limit; the truth, too little and too much stated; packed or not.
    for times in [0, 1, 40, 252, 253, 254, 255] {
        for (stated, packed) in [([0, 1], 2), ([0, 1], 0), ([1, 0], 0), ([2, 128], 0), ([0, 7], 1)] {
            seeds.push([&[2, 0, times], stated.as_slice(), &[packed, 0], b"ab"].concat());
        }
    }
    seeds.extend([[&[3, 0, 1, b'p', 3], fhir.as_slice()].concat(), vec![3, 1, 0, 0]]);
    for step in 0..7 {
        seeds.push(vec![4, 0, 0, 2, 0, 9, 9, step, 0, 5, 9, 9, 1]);
    }
    seeds.push(vec![4, 1, 1, 0, 1, 0, 0, 9, 9]);
    seeds
}

fn statements() -> Vec<Vec<u8>> {
    let operations = sealwort_proto::operations::Operations::default();
    let key = &crate::world::world().gateway.key;
    (0u8..)
        .zip(Kind::ALL)
        .flat_map(|(number, kind)| {
            let payload = payload(kind);
            let signed = statement::sign(kind, &payload, key, &operations).unwrap_or_default();
            [
                [vec![number, 0], signed].concat(),
                vec![number, 1, 0, 0, 30, 1],
                vec![number, 1, 9, 0, 5, 1, 7],
                vec![number, 2, 8, 0, 2, 0, 1],
                vec![number, 2, 12, 0, 3, 0, 1],
                [vec![number, 3], payload].concat(),
            ]
        })
        .collect()
}

fn messages() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut add = |place: usize, script: &[u8], message: &[u8]| {
        let place = u8::try_from(place).unwrap_or_default();
        let length = u8::try_from(script.len()).unwrap_or_default();
        seeds.push([&[place, length], script, message].concat());
    };
    for (number, (_, decode)) in DECODERS.iter().enumerate() {
        let message = earlier_run().iter().find(|message| decode(message));
        if let Some(message) = message {
            add(number, &[], message);
        }
    }
    for (place, message) in examples() {
        add(place, &[], &message);
    }
    let kinds = (0..).zip([28, 29, 30, 31]).zip([Kind::Registration, Kind::Token, Kind::Receipt, Kind::Request]);
    for ((_, place), kind) in kinds {
        let place = if kind == Kind::Request { 15 } else { place };
        add(place, &[], &payload(kind));
        add(place, &[8, 0, 3, 1, 0], &payload(kind));
    }
    seeds
}

fn certificates() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for part in 0..4 {
        for how in 0..3 {
            for kind in 0..8 {
                seeds.push(vec![part, 0, 0, how, 0, 12, 0, 9, kind, 0, 1, 1, 5]);
            }
        }
    }
    for number in 0..DOCUMENTS.len() {
        let byte = u8::try_from(number).unwrap_or_default();
        seeds.push([vec![5, byte], fixture().documents[number].clone()].concat());
        seeds.push(vec![6, byte, 0, 0, 60, 1]);
        seeds.push(vec![6, byte, 5, 0, 20, 4, b'0', b'0', b'0', b'0']);
    }
    seeds.extend([vec![7, 0, 0, 60, 1], vec![7, 3, 0, 60, 2], vec![4], b"\x04sealwort://demo/gateway/a".to_vec()]);
    seeds
}

fn fhir() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let bundle = synthetic::bundle(1, 1, 6);
    let small = samples::ALL.iter().map(|sample| sample.bytes).filter(|bytes| bytes.len() <= SAMPLE_BYTES_MAX);
    for bytes in small.chain([bundle.as_slice()]) {
        seeds.push([&[1], bytes].concat());
        let first = sealwort_fhir::parse_any_bundle(bytes.to_vec());
        let resource = first.ok().and_then(|bundle| Some(bundle.resources().next()?.1.bytes().to_vec()));
        if let Some(resource) = resource {
            seeds.push([vec![0], resource.clone()].concat());
            seeds.push([vec![2], resource.clone(), b"\r\n\n".to_vec(), resource].concat());
        }
    }
    let texts = [
        "Patient/a/_history/2",
        "#p1",
        "#",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "https://a.example/Patient/1#x",
        "Patient?identifier=a|b",
        "a|b,c\\|d",
        "|x",
        "x|",
        "\\",
        "Observation/..",
        "%7c",
    ];
    seeds.extend(texts.map(|text| [&[3], text.as_bytes()].concat()));
    let entries = [
        r#"{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"a"},"request":{"method":"PUT","url":"Patient/a"}},{"resource":{"resourceType":"Observation","subject":{"reference":"Patient/a"}},"request":{"method":"POST","url":"Observation","ifNoneExist":"x=y"}}]}"#,
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","identifier":[{"system":"s","value":"v"}]}},{"resource":{"resourceType":"Condition","subject":{"identifier":{"system":"s","value":"v"}},"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}}},{"resource":{"resourceType":"Organization","id":"o"}}]}"#,
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"a","id":"b"}}]}"#,
    ];
    seeds.extend(entries.map(|text| [&[1], text.as_bytes()].concat()));
    seeds
}

fn configuration() -> Vec<Vec<u8>> {
    let texts = [
        "[listen]\naddress = \"127.0.0.1:8441\"\n",
        "[ca]\nurl = \"https://ca.example:8440\"\ncrl_every = \"20s\"\n[log]\nfilter = \"info,sealwort_net=debug\"\nformat = \"json\"\ncolor = \"never\"\n",
        "[limits]\nconnections_max = 10\nconnections_per_address_max = 3\nheader_timeout = \"5 s\"\nbody_bytes_max = \"20 MiB\"\nidle_timeout = \"2h\"\n",
        "[limits]\nbody_bytes_max = \"99999999999999999999 GiB\"\nidle_timeout = \"18446744073709551615 h\"\n",
        "[lisen]\naddress = 1\n",
        "listen = [1, 2.5, true, 1979-05-27T07:32:00Z, { a = 'b' }]\n",
        "a = [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| [&[0], text.as_bytes()].concat()).collect();
    let lines = [
        "listen.address=[::1]:0",
        "limits.drain_timeout=1ms",
        "LISTEN__ADDRESS=x",
        "log.format=json",
        "listen=1\nlisten.address=2",
        "=",
        "a.b.c.d=1",
    ];
    seeds.extend(lines.map(|text| [&[1], text.as_bytes()].concat()));
    seeds
}
