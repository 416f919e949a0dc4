//! The CDDL of `spec/` and the code say the same: every type that is encoded has its rule with the same fields in the
//! same order, and every rule has its type, its section and its place in the text.
#![allow(clippy::expect_used, clippy::panic, reason = "a file that cannot be read must fail")]

use std::collections::{BTreeMap, BTreeSet};

use sealwort_rules::cddl::{Entry, Rule, Schema, Type};
use sealwort_rules::source::{Source, sources};
use sealwort_rules::spec::{PROTOCOL, sections};
use sealwort_rules::wire::{Case, Field, Marked, Shape, WireType, kebab, wire_types};
use sealwort_rules::{check, read};

/// Messages, statements and records.
const PROTOCOL_CDDL: &str = "spec/sealwort.cddl";
/// The JSON of joining.
const ENROLMENT_CDDL: &str = "spec/enrolment.cddl";
/// Crates of the product. The others test it, and may encode what they like.
const PRODUCT: [&str; 17] = [
    "archive", "broker", "ca", "cli", "consent", "custody", "devices", "fhir", "gateway", "hl7v2", "net", "oidc",
    "pki", "proto", "sign-in", "smart", "store",
];
/// Types that never leave a gateway: its roster, its outbox and what it refused, wrapped at rest, and the handles that
/// it gives to clients, which it alone reads.
const LOCAL: [&str; 22] = [
    "Before",
    "Book",
    "Consented",
    "Cursor",
    "Erased",
    "Export",
    "Invitation",
    "KeptConsent",
    "Known",
    "Merge",
    "Outgoing",
    "Parting",
    "Passkey",
    "Person",
    "Refused",
    "Resume",
    "Right",
    "Row",
    "Source",
    "WaitingDeposit",
    "WaitingRecord",
    "WaitingTransaction",
];
/// A byte string of any length: rules say more.
const BLOB: &str = "Blob";
/// Where the JSON of joining is.
const ENROLMENT: &str = "crates/pki/src/enrolment/messages.rs";

fn schema(file: &str) -> Schema {
    Schema::parse(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn product() -> Vec<Source> {
    let is_product = |path: &str| PRODUCT.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    sources().into_iter().filter(|source| !source.only_tests && is_product(&source.path)).collect()
}

fn encoded() -> Vec<WireType> {
    let found = product().iter().flat_map(|source| wire_types(source, Marked::Cbor)).collect::<Vec<_>>();
    assert!(found.len() > 40, "the scan finds only {} types", found.len());
    let local = |t: &WireType| LOCAL.contains(&t.name.as_str()) && t.path.starts_with("crates/gateway/");
    found.into_iter().filter(|t| t.name != BLOB && !local(t)).collect()
}

fn enrolment() -> Vec<WireType> {
    let source = product().into_iter().find(|source| source.path == ENROLMENT).expect("the messages of joining");
    let found = wire_types(&source, Marked::Json);
    assert!(found.len() > 5, "the scan finds only {} objects", found.len());
    found
}

/// What a type is on the wire, as far as both sides say it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    /// An unsigned integer of so many bytes; of CDDL's ranges, so many are needed.
    Uint {
        width: u32,
        exact: bool,
    },
    Text,
    Bytes(Option<usize>),
    Bool,
    List(Box<Base>),
    Optional(Box<Base>),
    /// A type with a rule of its own, by its Rust name.
    Own(String),
    Unknown(String),
}

/// Whether a field of this type can be what the rule says.
fn agree(rust: &Base, rule: &Base) -> bool {
    match (rust, rule) {
        (Base::Uint { width, .. }, Base::Uint { width: needed, exact: false }) => needed <= width,
        (Base::Bytes(None), Base::Bytes(_)) => true,
        (Base::List(a), Base::List(b)) | (Base::Optional(a), Base::Optional(b)) => agree(a, b),
        _ => rust == rule,
    }
}

struct Rules {
    schema: Schema,
    identifiers: BTreeMap<String, usize>,
}

impl Rules {
    fn new(types: &[WireType], schema: Schema) -> Self {
        let identifier = |t: &WireType| match t.shape {
            Shape::Identifier(length) => Some((t.name.clone(), length)),
            _ => None,
        };
        Self { schema, identifiers: types.iter().filter_map(identifier).collect() }
    }

    fn of(&self, rust: &str) -> Option<&Rule> {
        self.schema.rules.iter().find(|rule| rule.rust() == Some(rust))
    }

    fn of_rust(&self, rust: &str) -> Base {
        let generic = |name: &str| rust.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>');
        if let Some(inner) = generic("Vec") {
            return Base::List(Box::new(self.of_rust(inner)));
        }
        if let Some(inner) = generic("Option") {
            return Base::Optional(Box::new(self.of_rust(inner)));
        }
        if let Some(inner) = generic("Box") {
            return self.of_rust(inner);
        }
        if let Some(length) = generic("ByteArray") {
            return Base::Bytes(length.parse().ok());
        }
        match rust {
            "u8" => Base::Uint { width: 1, exact: true },
            "u16" => Base::Uint { width: 2, exact: true },
            "u32" => Base::Uint { width: 4, exact: true },
            "u64" => Base::Uint { width: 8, exact: true },
            "String" | "&'a str" => Base::Text,
            "Secret" => Base::Bytes(Some(32)),
            "bool" => Base::Bool,
            BLOB => Base::Bytes(None),
            name => match self.identifiers.get(name) {
                Some(length) => Base::Bytes(Some(*length)),
                None => Base::Own(name.to_owned()),
            },
        }
    }

    fn of_type(&self, body: &Type) -> Base {
        match body {
            Type::Int(value) | Type::Range(_, value) => {
                let bits = 128 - value.max(&1).leading_zeros();
                Base::Uint { width: bits.div_ceil(8), exact: false }
            }
            Type::Text(_) => Base::Text,
            Type::Bytes(bytes) => Base::Bytes(Some(bytes.len())),
            Type::Control(target, control, argument) => match (self.of_type(target), control.as_str(), &**argument) {
                (Base::Uint { .. }, "size", Type::Int(width)) => {
                    Base::Uint { width: u32::try_from(*width).unwrap_or(0), exact: true }
                }
                (Base::Bytes(_), "size", Type::Int(length)) => Base::Bytes(usize::try_from(*length).ok()),
                (base, _, _) => base,
            },
            Type::Choice(types) => match types.as_slice() {
                [one, Type::Name(null)] if null == "null" => Base::Optional(Box::new(self.of_type(one))),
                [first, rest @ ..] => {
                    let base = self.of_type(first);
                    let same = rest.iter().all(|one| self.of_type(one) == base);
                    if same { base } else { Base::Unknown(format!("{types:?}")) }
                }
                [] => Base::Unknown("a choice of nothing".to_owned()),
            },
            Type::Array(entries) => match entries.as_slice() {
                [Entry { most, key: None, value, .. }] if *most > 1 => Base::List(Box::new(self.of_type(value))),
                _ => Base::Unknown(format!("{body:?}")),
            },
            Type::Name(name) => match (name.as_str(), self.schema.rule(name)) {
                ("uint", _) => Base::Uint { width: 8, exact: false },
                ("tstr", _) => Base::Text,
                ("bstr", _) => Base::Bytes(None),
                ("bool", _) => Base::Bool,
                (_, Some(rule)) => {
                    let named = rule.rust().filter(|rust| !self.identifiers.contains_key(*rust));
                    named.map_or_else(|| self.of_type(&rule.body), |rust| Base::Own(rust.to_owned()))
                }
                (_, None) => Base::Unknown(name.clone()),
            },
            other => Base::Unknown(format!("{other:?}")),
        }
    }

    /// Differences between fields and the entries of an array or map.
    fn compare(&self, owner: &str, fields: &[Field], entries: &[Entry], breaches: &mut Vec<String>) {
        if fields.len() != entries.len() {
            breaches.push(format!("{owner} has {} fields, its rule {}", fields.len(), entries.len()));
            return;
        }
        for (place, (field, entry)) in fields.iter().zip(entries).enumerate() {
            let named = field.name.as_deref().map(kebab);
            if named.is_some() && named.as_deref() != entry.name() {
                breaches.push(format!("{owner}: field {place} is {named:?}, in the rule {:?}", entry.name()));
            }
            let mut rust = self.of_rust(&field.rust);
            if (entry.least, entry.most) == (0, 1)
                && place + 1 == fields.len()
                && let Base::Optional(inner) = rust
            {
                rust = *inner;
            } else if (entry.least, entry.most) != (1, 1) {
                breaches.push(format!("{owner}: field {place} may be absent in the rule alone"));
                continue;
            }
            let rule = self.of_type(&entry.value);
            if !agree(&rust, &rule) {
                breaches.push(format!("{owner}: field {place} is {} ({rust:?}), in the rule {rule:?}", field.rust));
            }
        }
    }

    fn compare_case(&self, owner: &str, rule_name: &str, case: &Case, breaches: &mut Vec<String>) {
        let (name, rust) = (format!("{rule_name}-{}", kebab(&case.name)), format!("{owner}::{}", case.name));
        let Some(rule) = self.schema.rule(&name).filter(|rule| rule.rust() == Some(&rust)) else {
            breaches.push(format!("{rust} has no rule {name} that names it"));
            return;
        };
        let none = Vec::new();
        let shape = match &rule.body {
            Type::Int(number) => Some((*number, &none)),
            Type::Array(entries) => match entries.as_slice() {
                [Entry { value: Type::Int(number), .. }, Entry { value: Type::Array(fields), .. }] => {
                    Some((*number, fields))
                }
                _ => None,
            },
            _ => None,
        };
        match shape {
            Some((number, fields)) if number == i128::from(case.number) => {
                self.compare(&rust, &case.fields, fields, breaches);
            }
            _ => breaches.push(format!("{name} is not {}, alone or before its fields", case.number)),
        }
    }
}

/// Where code and rules differ.
fn differences(types: &[WireType], rules: &Rules) -> Vec<String> {
    let mut breaches = Vec::new();
    for encoded in types {
        let Some(rule) = rules.of(&encoded.name) else {
            breaches.push(format!("{} ({}) has no rule in {PROTOCOL_CDDL}", encoded.name, encoded.path));
            continue;
        };
        match (&encoded.shape, &rule.body) {
            (Shape::Record(fields), Type::Array(entries)) => {
                rules.compare(&encoded.name, fields, entries, &mut breaches);
            }
            (Shape::Identifier(length), body) => {
                if rules.of_type(body) != Base::Bytes(Some(*length)) {
                    breaches.push(format!("{} has {length} bytes, its rule says {body:?}", encoded.name));
                }
            }
            (Shape::Choice(cases) | Shape::Enumeration(cases), Type::Choice(types)) => {
                let listed: Vec<_> = cases.iter().map(|c| format!("{}-{}", rule.name, kebab(&c.name))).collect();
                let named: Vec<_> = types
                    .iter()
                    .map(|one| match one {
                        Type::Name(name) => name.clone(),
                        other => format!("{other:?}"),
                    })
                    .collect();
                if listed != named {
                    breaches.push(format!("{} is {listed:?}, its rule {named:?}", encoded.name));
                }
                for case in cases {
                    rules.compare_case(&encoded.name, &rule.name, case, &mut breaches);
                }
            }
            (shape, body) => breaches.push(format!("{} is {shape:?}, its rule {body:?}", encoded.name)),
        }
    }
    breaches
}

#[test]
fn every_encoded_type_has_its_rule_with_the_same_fields() {
    let types = encoded();
    check("code and CDDL differ", &differences(&types, &Rules::new(&types, schema(PROTOCOL_CDDL))));
}

#[test]
fn a_planted_difference_is_found() {
    let (types, text) = (encoded(), read(PROTOCOL_CDDL));
    for (from, to) in [
        ("[header: header-1, cookie: bstr]", "[cookie: bstr, header: header-1]"),
        ("[token: token-id, binding: digest, statement: digest]", "[token: token-id, binding: digest]"),
        ("retention-days: uint32", "retention-days: uint64"),
        ("retention-days: uint32", "retention: uint32"),
        ("  epoch: uint64,", "  epoch: tstr,"),
        ("deposit: deposit-id / null", "deposit: deposit-id"),
        ("? ciphertext: ciphertext", "ciphertext: ciphertext"),
        ("entry-id = bstr .size 16", "entry-id = bstr .size 17"),
        ("purpose-payment = 3", "purpose-payment = 4"),
        ("from-broker-kept = [3, []]", "from-broker-kept = [4, []]"),
        ("  / to-broker-witness\n", ""),
        ("; Section 8.2. Rust: SubHalf", "; Section 8.2. Rust: -"),
        ("grant: token-grant", "grant: archive-grant"),
        ("authors: [* chain]", "authors: chain"),
    ] {
        let planted = text.replacen(from, to, 1);
        assert_ne!(planted, text, "{from} is not in the CDDL");
        let rules = Rules::new(&types, Schema::parse(&planted).expect("it still parses"));
        assert!(!differences(&types, &rules).is_empty(), "{from} became {to}, and nobody noticed");
    }
}

#[test]
fn every_object_of_joining_has_its_rule_with_the_same_members() {
    let (schema, mut breaches) = (schema(ENROLMENT_CDDL), Vec::new());
    let objects = enrolment();
    for object in &objects {
        let rule = schema.rules.iter().find(|rule| rule.rust() == Some(&object.name));
        let (Some(Type::Map(entries)), Shape::Record(fields)) = (rule.map(|rule| &rule.body), &object.shape) else {
            breaches.push(format!("{} has no rule that is a map in {ENROLMENT_CDDL}", object.name));
            continue;
        };
        let code: Vec<_> =
            fields.iter().map(|f| (f.name.clone().unwrap_or_default(), f.rust.starts_with("Option<"))).collect();
        let spec: Vec<_> = entries.iter().map(|e| (e.name().unwrap_or_default().to_owned(), e.least == 0)).collect();
        if code != spec {
            breaches.push(format!("{} has {code:?}, its rule {spec:?}", object.name));
        }
    }
    let known: BTreeSet<_> = objects.iter().map(|object| object.name.as_str()).collect();
    let stray = schema.rules.iter().filter_map(Rule::rust).filter(|rust| !known.contains(rust));
    breaches.extend(stray.map(|rust| format!("{ENROLMENT_CDDL} names {rust}, which the code has not")));
    check("code and CDDL of joining differ", &breaches);
}

#[test]
fn every_rule_has_its_type_and_its_section() {
    let (types, text) = (encoded(), read(PROTOCOL));
    let present = sections(&text);
    let mut known: BTreeSet<String> = types.iter().map(|t| t.name.clone()).collect();
    for encoded in &types {
        if let Shape::Choice(cases) | Shape::Enumeration(cases) = &encoded.shape {
            known.extend(cases.iter().map(|case| format!("{}::{}", encoded.name, case.name)));
        }
    }
    let kinds = read("crates/proto/src/statement.rs");
    let mut breaches = Vec::new();
    let schema = schema(PROTOCOL_CDDL);
    for rule in &schema.rules {
        match rule.section() {
            Some(section) if present.contains(section) => {}
            other => breaches.push(format!("{}: section {other:?}", rule.name)),
        }
        let Some(rust) = rule.rust() else { continue };
        let is_kind = rust.strip_prefix("Kind::").is_some_and(|kind| {
            let content = format!("application/sealwort-{}+cbor", kebab(kind));
            let protected = schema.rule(&format!("{}-protected", kebab(kind))).map(|rule| &rule.body);
            kinds.contains(&format!("Self::{kind} => \"{content}\""))
                && matches!(protected, Some(Type::Map(e)) if e.iter().any(|e| e.value == Type::Text(content.clone())))
        });
        if !known.contains(rust) && !is_kind {
            breaches.push(format!("{} names {rust}, which the code has not", rule.name));
        }
    }
    check("a rule leads nowhere", &breaches);
}

/// Section 13 lists each rule with a type beside its section; cases of choices are left out.
#[test]
fn the_text_lists_the_rules_by_section() {
    let text = read(PROTOCOL);
    let table = text.split_once("\n## 13. ").expect("section 13").1;
    let mut listed = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.contains(ENROLMENT_CDDL)) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (section, names) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        listed.extend(names.split('`').skip(1).step_by(2).map(|name| (section.to_owned(), name.to_owned())));
    }
    let expected: BTreeSet<_> = schema(PROTOCOL_CDDL)
        .rules
        .iter()
        .filter(|rule| {
            rule.name == "statement" || rule.rust().is_some_and(|r| !r.contains("::") || r.starts_with("Kind::"))
        })
        .map(|rule| (rule.section().unwrap_or_default().to_owned(), rule.name.clone()))
        .collect();
    let differ: Vec<_> = listed.symmetric_difference(&expected).map(|(s, name)| format!("{s}: {name}")).collect();
    check("section 13 and spec/sealwort.cddl list other rules", &differ);
}
