//! The encoding: one vector written out by hand, round trips, and each rule's negative.

use sealwort_consent::{
    Action, DIRECTIVE_BYTES_MAX, Directive, DirectiveError, EncodingError, NAMES_MAX, PARTY_BYTES_MAX, PROVISIONS_MAX,
    Party, Period, Purpose, TAGS_MAX, Terms,
};

use crate::testkit::{
    DIGEST, EXCHANGE, Generator, ISSUED, PATIENT, directive, for_ever, period, reading, tag, terms, withdrawal,
};

/// A tiny CBOR writer, so that malformed directives are written on purpose and not by accident.
#[derive(Clone)]
struct Cbor(Vec<u8>);

impl Cbor {
    fn head(major: u8, value: u64) -> Vec<u8> {
        let major = major << 5;
        match value {
            0..=23 => vec![major | u8::try_from(value).unwrap()],
            24..=0xff => vec![major + 24, u8::try_from(value).unwrap()],
            0x100..=0xffff => [&[major + 25][..], &u16::try_from(value).unwrap().to_be_bytes()].concat(),
            0x1_0000..=0xffff_ffff => [&[major + 26][..], &u32::try_from(value).unwrap().to_be_bytes()].concat(),
            _ => [&[major + 27][..], &value.to_be_bytes()].concat(),
        }
    }
    fn uint(value: u64) -> Self {
        Self(Self::head(0, value))
    }
    fn text(text: &str) -> Self {
        Self([Self::head(3, text.len() as u64), text.as_bytes().to_vec()].concat())
    }
    fn bytes(bytes: &[u8]) -> Self {
        Self([Self::head(2, bytes.len() as u64), bytes.to_vec()].concat())
    }
    fn null() -> Self {
        Self(vec![0xf6])
    }
    fn array(items: &[Self]) -> Self {
        let mut bytes = Self::head(4, items.len() as u64);
        for item in items {
            bytes.extend(&item.0);
        }
        Self(bytes)
    }
    fn uints(values: &[u64]) -> Self {
        Self::array(&values.iter().copied().map(Self::uint).collect::<Vec<_>>())
    }
}

/// These names, or all but these.
fn among(kind: u64, names: &[&str]) -> Cbor {
    Cbor::array(&[Cbor::uint(kind), Cbor::array(&names.iter().map(|name| Cbor::text(name)).collect::<Vec<_>>())])
}

/// The fields of a directive with two provisions at version 2, to be altered one at a time.
struct Fields {
    directive: Vec<Cbor>,
    provisions: Vec<Vec<Cbor>>,
}

impl Fields {
    fn new() -> Self {
        let provision = |id| {
            vec![
                Cbor::uint(id),
                among(0, &["sealwort://demo/gateway/b"]),
                among(1, &["clerk"]),
                Cbor::uints(&[0, 1]),
                Cbor::uints(&[0, 7]),
                Cbor::uint(100 * id),
                if id == 1 { Cbor::null() } else { Cbor::uint(1_700_000_000) },
                Cbor::array(&[Cbor::bytes(&[1; 16]), Cbor::bytes(&[2; 16])]),
            ]
        };
        Self {
            directive: vec![
                Cbor::uint(2),
                Cbor::text("demo"),
                Cbor::bytes(&[0x5f; 32]),
                Cbor::uint(2),
                Cbor::uint(1),
                Cbor::uint(1_000),
                Cbor::bytes(&[0xd1; 32]),
                Cbor::uint(4),
            ],
            provisions: vec![provision(1), provision(3)],
        }
    }

    fn field(mut self, place: usize, value: Cbor) -> Self {
        self.directive[place] = value;
        self
    }

    fn provision(mut self, place: usize, value: Cbor) -> Self {
        self.provisions[1][place] = value;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let provisions: Vec<Cbor> = self.provisions.iter().map(|it| Cbor::array(it)).collect();
        let mut fields = self.directive.clone();
        fields.insert(8, Cbor::array(&provisions));
        Cbor::array(&fields).0
    }
}

#[test]
fn the_unaltered_fields_are_accepted() {
    let bytes = Fields::new().bytes();
    let read = Directive::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!((read.version(), read.epoch(), read.issued_at()), (2, 1, 1_000));
    assert_eq!((read.exchange(), read.patient(), read.previous()), (EXCHANGE, PATIENT, DIGEST));
    assert_eq!(read.last_provision().as_u32(), 4);
    let ids: Vec<u32> = read.provisions().iter().map(|it| it.id().as_u32()).collect();
    assert_eq!(ids, [1, 3]);
    let second = read.provisions()[1].terms();
    assert_eq!(second.actions(), [Action::Read, Action::Write]);
    assert_eq!(second.purposes(), [Purpose::Treatment, Purpose::PatientRequest]);
    assert_eq!(second.tags(), [tag(1), tag(2)]);
    assert_eq!(second.period(), period(300, 1_700_000_000));
}

/// The smallest and a small directive, byte for byte: the encoding must never drift.
#[test]
fn known_bytes() {
    let patient = "5f".repeat(32);
    let zeros = "00".repeat(32);
    let empty = format!("89026464656d6f5820{patient}01011903e85820{zeros}0080");
    assert_eq!(hex::encode(directive(Vec::new()).to_bytes()), empty);
    let grantee = hex::encode("sealwort://demo/gateway/b");
    let one = format!(
        "89026464656d6f5820{patient}01011903e85820{zeros}0181\
         88018200817819{grantee}82018081008100{from}f68150{tag}",
        from = "00",
        tag = "01".repeat(16),
    );
    assert_eq!(hex::encode(directive(vec![reading("b", &[1])]).to_bytes()), one);
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = Generator::new(7);
    for _ in 0..200 {
        let sentences: Vec<Terms> = (0..random.below(12))
            .map(|_| {
                let actions = random.some(&Action::ALL);
                let purposes = random.some(&Purpose::ALL);
                let labels = random.some(&[1, 2, 3, 4, 5]);
                let from = random.below(1 << 33);
                let until = (random.below(2) == 0).then(|| from + 1 + random.below(1 << 33));
                terms("b", &actions, &labels, &purposes, Period::new(from, until).unwrap())
            })
            .collect();
        let written = directive(sentences);
        assert_eq!(Directive::from_bytes(&written.to_bytes()), Ok(written));
    }
}

#[test]
fn each_rule_has_a_negative() {
    let check = |rule: &str, fields: Fields, code: &str| {
        let refused = Directive::from_bytes(&fields.bytes()).expect_err(rule);
        assert_eq!(refused.code(), code, "{rule}: {refused}");
    };
    let field = |place, value| Fields::new().field(place, value);
    let provision = |place, value| Fields::new().provision(place, value);

    check("format unknown", field(0, Cbor::uint(1)), "directive-unsupported-format");
    check("format no number", field(0, Cbor::text("1")), "directive-malformed");
    check("exchange empty", field(1, Cbor::text("")), "directive-exchange-name");
    check("exchange upper case", field(1, Cbor::text("Demo")), "directive-exchange-name");
    check("exchange starts with hyphen", field(1, Cbor::text("-demo")), "directive-exchange-name");
    check("exchange too long", field(1, Cbor::text(&"a".repeat(64))), "directive-exchange-name");
    check("exchange as bytes", field(1, Cbor::bytes(b"demo")), "directive-malformed");
    check("exchange not UTF-8", field(1, Cbor(vec![0x61, 0xff])), "directive-malformed");
    check("pseudonym short", field(2, Cbor::bytes(&[1; 31])), "directive-malformed");
    check("pseudonym long", field(2, Cbor::bytes(&[1; 33])), "directive-malformed");
    check("version zero", field(3, Cbor::uint(0)), "directive-version-zero");
    check("version negative", field(3, Cbor(vec![0x20])), "directive-malformed");
    check("version a float", field(3, Cbor(vec![0xf9, 0x40, 0x00])), "directive-malformed");
    check("version 1 with a predecessor", field(3, Cbor::uint(1)), "directive-previous-misplaced");
    check("version 2 without", field(6, Cbor::bytes(&[0; 32])), "directive-previous-misplaced");
    check("epoch zero", field(4, Cbor::uint(0)), "directive-epoch-impossible");
    check("epoch past version", field(4, Cbor::uint(3)), "directive-epoch-impossible");
    check("issued past 9999", field(5, Cbor::uint(253_402_300_800)), "directive-issued-out-of-range");
    check("digest short", field(6, Cbor::bytes(&[1; 20])), "directive-malformed");
    check("provision id never given", field(7, Cbor::uint(2)), "directive-provision-id");
    check("last id past 32 bits", field(7, Cbor::uint(1 << 32)), "directive-malformed");

    check(
        "provision id zero",
        {
            let mut fields = Fields::new();
            fields.provisions[0][0] = Cbor::uint(0);
            fields
        },
        "directive-provision-id",
    );
    check("provisions repeated", provision(0, Cbor::uint(1)), "directive-not-ascending");
    check("provisions unsorted", provision(0, Cbor::uint(0)), "directive-not-ascending");
    check("grantee empty", provision(1, among(0, &[""])), "directive-grantee");
    check("grantee with a space", provision(1, among(0, &["a b"])), "directive-grantee");
    let long = "a".repeat(PARTY_BYTES_MAX + 1);
    check("grantee too long", provision(1, among(0, &[&long])), "directive-grantee");
    check("grantees unsorted", provision(1, among(0, &["b", "a"])), "directive-not-ascending");
    check("no grantee", provision(1, among(0, &[])), "provision-nobody");
    check("neither these nor all but these", provision(1, among(2, &["a"])), "directive-malformed");
    check("grantee without saying how", provision(1, Cbor::text("a")), "directive-malformed");
    check("no role", provision(2, among(0, &[])), "provision-nobody");
    check("role with a space", provision(2, among(1, &["a b"])), "directive-role");
    check("roles repeated", provision(2, among(1, &["a", "a"])), "directive-not-ascending");
    let names: Vec<String> = (0..=NAMES_MAX).map(|number| format!("role-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check("roles too many", provision(2, among(1, &names)), "provision-too-many-names");
    check("no action", provision(3, Cbor::uints(&[])), "provision-no-actions");
    check("action unknown", provision(3, Cbor::uints(&[3])), "directive-malformed");
    check("actions unsorted", provision(3, Cbor::uints(&[1, 0])), "directive-not-ascending");
    check("actions repeated", provision(3, Cbor::uints(&[1, 1])), "directive-not-ascending");
    check("no purpose", provision(4, Cbor::uints(&[])), "provision-no-purposes");
    check("purpose unknown", provision(4, Cbor::uints(&[8])), "directive-malformed");
    check("purposes unsorted", provision(4, Cbor::uints(&[7, 0])), "directive-not-ascending");
    check("purposes repeated", provision(4, Cbor::uints(&[7, 7])), "directive-not-ascending");
    check("from after until", provision(5, Cbor::uint(1_700_000_001)), "provision-period-empty");
    check("until is from", provision(6, Cbor::uint(300)), "provision-period-empty");
    check("until past 9999", provision(6, Cbor::uint(u64::MAX)), "provision-period-out-of-range");
    check("until undefined", provision(6, Cbor(vec![0xf7])), "directive-malformed");
    check("no label", provision(7, Cbor::array(&[])), "provision-no-labels");
    check("label short", provision(7, Cbor::array(&[Cbor::bytes(&[1; 15])])), "directive-malformed");
    let labels =
        |numbers: &[u8]| Cbor::array(&numbers.iter().map(|number| Cbor::bytes(&[*number; 16])).collect::<Vec<_>>());
    check("labels unsorted", provision(7, labels(&[2, 1])), "directive-not-ascending");
    check("labels repeated", provision(7, labels(&[1, 1])), "directive-not-ascending");
    let many: Vec<u8> = (0..=u8::try_from(TAGS_MAX).unwrap()).collect();
    check("labels too many", provision(7, labels(&many)), "provision-too-many-labels");
}

#[test]
fn another_encoding_of_the_same_content_is_refused() {
    let check = |rule: &str, bytes: &[u8]| {
        assert_eq!(Directive::from_bytes(bytes), Err(EncodingError::NotCanonical), "{rule}");
    };
    let canonical = Fields::new().bytes();
    check("a byte after the end", &[&canonical[..], &[0]].concat());
    check("a second directive after the end", &canonical.repeat(2));
    check("format in two bytes", &Fields::new().field(0, Cbor(vec![0x18, 2])).bytes());
    check("version in nine bytes", &{
        Fields::new().field(3, Cbor([&[0x1b][..], &2_u64.to_be_bytes()].concat())).bytes()
    });
    check("text length in two bytes", &Fields::new().field(1, Cbor(b"\x78\x04demo".to_vec())).bytes());
    check("outer array length in two bytes", &[&[0x98, 9], &canonical[1..]].concat());
    check("outer array of indefinite length", &[&[0x9f], &canonical[1..], &[0xff]].concat());
    check("actions of indefinite length", &{ Fields::new().provision(3, Cbor(vec![0x9f, 0, 1, 0xff])).bytes() });
    check("a tenth field", &{
        let mut fields = Fields::new();
        fields.directive.push(Cbor::uint(0));
        fields.bytes()
    });
    check("a ninth field in a provision", &{
        let mut fields = Fields::new();
        fields.provisions[0].push(Cbor::null());
        fields.bytes()
    });
}

#[test]
fn cut_and_altered_bytes_never_panic_and_never_pass_as_another_directive() {
    let canonical = Fields::new().bytes();
    for length in 0..canonical.len() {
        assert!(Directive::from_bytes(&canonical[..length]).is_err(), "cut to {length}");
    }
    for place in 0..canonical.len() {
        for flip in 1..=u8::MAX {
            let mut altered = canonical.clone();
            altered[place] ^= flip;
            if let Ok(read) = Directive::from_bytes(&altered) {
                assert_eq!(read.to_bytes(), altered, "byte {place} flipped by {flip}");
            }
        }
    }
    let mut random = Generator::new(11);
    for _ in 0..2_000 {
        let junk: Vec<u8> = (0..random.below(80)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        assert!(Directive::from_bytes(&junk).is_err());
    }
    // Lengths that promise more than there is.
    assert!(Directive::from_bytes(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(Directive::from_bytes(&vec![0x81; 60_000]).is_err());
}

#[test]
fn size_and_count_are_limited() {
    let bytes = DIRECTIVE_BYTES_MAX + 1;
    assert_eq!(Directive::from_bytes(&vec![0; bytes]), Err(EncodingError::TooLarge { bytes }));

    let short = |count: usize| {
        let sentences = (0..count).map(|number| reading(&format!("h{number}"), &[1])).collect();
        Directive::first(EXCHANGE, PATIENT, ISSUED, sentences)
    };
    assert!(short(PROVISIONS_MAX).is_ok());
    let count = PROVISIONS_MAX + 1;
    assert_eq!(short(count), Err(DirectiveError::TooManyProvisions { count }));

    let labels: Vec<u8> = (1..=u8::try_from(TAGS_MAX).unwrap()).collect();
    let long = (0..200).map(|number| {
        let grantee = Party::new(format!("{number:0>PARTY_BYTES_MAX$}")).unwrap();
        let tags = labels.iter().copied().map(tag);
        Terms::new(grantee, Action::ALL, tags, Purpose::ALL, for_ever()).unwrap()
    });
    let refused = Directive::first(EXCHANGE, PATIENT, ISSUED, long.collect());
    assert!(matches!(refused, Err(DirectiveError::TooLarge { .. })));

    // The same limit holds for what a peer sends, whoever built it.
    let mut fields = Fields::new().field(7, Cbor::uint(1_000));
    let provision = fields.provisions[0].clone();
    fields.provisions = (1..=count as u64).map(|id| [&[Cbor::uint(id)], &provision[1..]].concat()).collect();
    let refused = Directive::from_bytes(&fields.bytes()).unwrap_err();
    assert_eq!(refused.code(), "directive-too-many-provisions");
}

#[test]
fn later_versions_are_read_back_too() {
    let first = directive(vec![reading("b", &[1, 2]), reading("c", &[1])]);
    let second = first.grant(1_001, DIGEST, vec![reading("d", &[1])]).unwrap();
    let third = second.withdraw(1_002, DIGEST, &withdrawal("b")).unwrap();
    for directive in [first, second, third] {
        assert_eq!(Directive::from_bytes(&directive.to_bytes()), Ok(directive));
    }
}
