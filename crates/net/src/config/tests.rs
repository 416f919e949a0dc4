#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
struct Sample {
    listen: ListenConfig,
    ca: CaConfig,
    log: LogConfig,
    limits: LimitsConfig,
    party: PartySection,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
struct PartySection {
    name: Option<String>,
    labels: Vec<String>,
    ratio: f64,
    enabled: bool,
    tags: BTreeMap<String, u8>,
    keys: KeySource,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeySource {
    File { path: String },
    Token(u32),
    Memory,
}

impl Default for KeySource {
    fn default() -> Self {
        KeySource::File { path: "kek".to_owned() }
    }
}

fn write(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_later_layer_wins() {
    let file = write("[listen]\naddress = \"127.0.0.1:1\"\n[log]\nfilter = \"debug\"\nformat = \"json\"\n");
    let loaded = Sources::new()
        .file(file.path())
        .variables(
            "SEALWORT_TEST_",
            variables(&[
                ("SEALWORT_TEST_LISTEN__ADDRESS", "127.0.0.1:2"),
                ("SEALWORT_TEST_LOG__FILTER", "trace"),
                ("SEALWORT_OTHER", "ignored"),
            ]),
        )
        .flag("log.filter", "warn")
        .load::<Sample>()
        .unwrap();
    assert_eq!(loaded.value.listen.address.port(), 2);
    assert_eq!(loaded.value.log.filter, "warn");
    assert_eq!(loaded.value.log.format, LogFormat::Json);
    assert_eq!(loaded.value.ca, CaConfig::default());
    let origins: Vec<String> = loaded.origins().map(|(key, origin)| format!("{key} {origin}")).collect();
    let file = file.path().display();
    assert_eq!(
        origins,
        [
            "listen.address environment variable SEALWORT_TEST_LISTEN__ADDRESS".to_owned(),
            "log.filter command line (log.filter)".to_owned(),
            format!("log.format {file}:5"),
        ]
    );
}

#[test]
fn words_from_the_environment_become_the_type_that_is_wanted() {
    let loaded = Sources::new()
        .variables(
            "P_",
            variables(&[
                ("P_PARTY__NAME", "42"),
                ("P_PARTY__LABELS", "hiv, psy"),
                ("P_PARTY__RATIO", "0.5"),
                ("P_PARTY__ENABLED", "true"),
                ("P_PARTY__TAGS__A", "7"),
                ("P_PARTY__KEYS", "memory"),
                ("P_LIMITS__REQUESTS_MAX", "9"),
                ("P_LIMITS__IDLE_TIMEOUT", "90"),
                ("P_LIMITS__BODY_BYTES_MAX", "2MiB"),
                ("P_LIMITS__CONNECTIONS_PER_ADDRESS_MAX", ""),
            ]),
        )
        .load::<Sample>()
        .unwrap()
        .value;
    assert_eq!(loaded.party.name.as_deref(), Some("42"));
    assert_eq!(loaded.party.labels, ["hiv", "psy"]);
    assert!((loaded.party.ratio - 0.5).abs() < f64::EPSILON);
    assert!(loaded.party.enabled);
    assert_eq!(loaded.party.tags.get("a"), Some(&7));
    assert_eq!(loaded.party.keys, KeySource::Memory);
    assert_eq!(loaded.limits.requests_max, 9);
    assert_eq!(loaded.limits.idle_timeout.0, Duration::from_secs(90));
    assert_eq!(loaded.limits.body_bytes_max, ByteCount(2 << 20));
    assert_eq!(loaded.limits.connections_per_address_max, None);
}

#[test]
fn another_enum_variant_replaces_the_default_one() {
    let file = write("[party]\nkeys = { token = 3 }\n");
    let loaded = Sources::new().file(file.path()).load::<Sample>().unwrap();
    assert_eq!(loaded.value.party.keys, KeySource::Token(3));
}

/// Each mistake, with what the message must hold.
#[test]
fn mistakes_name_their_place_and_the_remedy() {
    let cases: &[(&str, &[&str])] = &[
        ("[listen]\nadress = \"x\"\n", &[":2:", "unknown key `listen.adress`", "did you mean `listen.address`?"]),
        ("\n\n[lisen]\naddress = \"x\"\n", &[":3:", "unknown key `lisen`", "did you mean `listen`?"]),
        ("[log]\nverbosity = 3\n", &[":2:", "unknown key `log.verbosity`", "known here: log.filter"]),
        (
            "[party]\n\nkeys = { file = { pth = \"a\" } }\n",
            &[":3:", "unknown key `party.keys.file.pth`", "`party.keys.file.path`"],
        ),
        ("[listen]\naddress = 5\n", &[":2:", "`listen.address`"]),
        ("[listen]\naddress = \"nowhere\"\n", &[":2:", "`listen.address`"]),
        ("[limits]\nidle_timeout = \"soon\"\n", &[":2:", "`limits.idle_timeout`", "`15s`"]),
        ("[limits]\nrequests_max = -1\n", &[":2:", "`limits.requests_max`"]),
        ("[limits]\nbody_bytes_max = \"9 MB\"\n", &[":2:", "`64KiB`"]),
        ("[log]\nformat = \"xml\"\n", &[":2:", "`log.format`", "`json`"]),
        ("[party]\nlabels = [\"a\", 3]\n", &[":2:", "`party.labels.1`"]),
        ("[party]\nlabels = [\n\"a\",\n3]\n", &[":4:", "`party.labels.1`"]),
        ("[log\n", &[":1:", "not valid TOML"]),
        ("[log]\nfilter = \"a\"\nfilter = \"b\"\n", &[":3:", "duplicate key"]),
        ("log = 5\n", &[":1:", "`log`"]),
    ];
    for (text, parts) in cases {
        let file = write(text);
        let refused = match load::<Sample>(Some(file.path()), "SEALWORT_NOT_SET_") {
            Ok(_) => panic!("accepted: {text}"),
            Err(error) => error.to_string(),
        };
        for part in *parts {
            assert!(refused.contains(part), "{text:?}: {refused:?} lacks {part:?}");
        }
    }
}

#[test]
fn unknown_variables_and_flags_are_named_too() {
    let refused = Sources::new()
        .variables("P_", variables(&[("P_LISTEN__ADRESS", "x")]))
        .load::<Sample>()
        .unwrap_err()
        .to_string();
    assert!(refused.contains("environment variable P_LISTEN__ADRESS"), "{refused}");
    assert!(refused.contains("did you mean `listen.address`?"), "{refused}");
    let refused = Sources::new()
        .variables("P_", variables(&[("P_LOG__FILTER__DEEP", "x")]))
        .load::<Sample>()
        .unwrap_err()
        .to_string();
    assert!(refused.contains("not a section"), "{refused}");
    let refused = Sources::new().flag("limits.requests_max", "many").load::<Sample>().unwrap_err().to_string();
    assert!(refused.contains("command line (limits.requests_max)"), "{refused}");
    assert!(refused.contains("`many`"), "{refused}");
}

#[test]
fn an_absent_file_is_named() {
    let refused = load::<Sample>(Some(Path::new("/absent/x.toml")), "P_").unwrap_err();
    assert!(refused.to_string().contains("/absent/x.toml"), "{refused}");
}

#[test]
fn the_defaults_written_out_read_back_the_same() {
    let file = write(&toml::to_string(&Sample::default()).unwrap());
    let loaded = Sources::new().file(file.path()).load::<Sample>().unwrap();
    assert_eq!(loaded.value, Sample::default());
}

#[test]
fn quantities_are_written_with_units() {
    let check = |text: &str, millis: Option<u128>| {
        let read: Result<Interval, _> = text.parse();
        assert_eq!(read.ok().map(|interval| interval.0.as_millis()), millis, "{text}");
    };
    check("15", Some(15_000));
    check("15s", Some(15_000));
    check("500ms", Some(500));
    check("5 m", Some(300_000));
    check("2h", Some(7_200_000));
    check("1d", Some(86_400_000));
    for wrong in ["", "s", "-1s", "1.5s", "1w", "99999999999999d", "200000d"] {
        check(wrong, None);
    }
    assert_eq!("64KiB".parse(), Ok(ByteCount(65536)));
    assert_eq!("7".parse(), Ok(ByteCount(7)));
    assert!("64KB".parse::<ByteCount>().is_err());
    assert!("99999999999GiB".parse::<ByteCount>().is_err());
    for text in ["15s", "500ms", "0s"] {
        assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
    }
    for text in ["64KiB", "1MiB", "0B", "7B"] {
        assert_eq!(text.parse::<ByteCount>().unwrap().to_string(), text);
    }
}
