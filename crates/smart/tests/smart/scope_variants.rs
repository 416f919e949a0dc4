//! Scopes that look like others.

use std::collections::BTreeSet;

use sealwort_smart::{Action, Context, Permission, Scope, ScopeRequest, ScopeSet};

/// What variants are made from: everything in front of a filter, and the filter.
const BASES: [(&str, &str); 9] = [
    ("patient/Observation.rs", ""),
    ("patient/Observation.rs", "?category=laboratory"),
    ("user/Patient.r", ""),
    ("system/MedicationRequest.cud", "?_tag=x"),
    ("patient/*.rs", ""),
    ("openid", ""),
    ("fhirUser", ""),
    ("launch/patient", ""),
    ("offline_access", ""),
];
const TYPES: [&str; 8] =
    ["Observation", "Patient", "MedicationRequest", "Condition", "AuditEvent", "Consent", "Binary", "Provenance"];

/// Tries all variants and says how many there were.
pub(crate) fn run() -> usize {
    let mut tried = BTreeSet::new();
    for (head, filter) in BASES {
        let base: ScopeSet = format!("{head}{filter}").parse().unwrap();
        for variant in misspellings(head) {
            let text = format!("{variant}{filter}");
            let request = ScopeRequest::parse(&text);
            assert!(request.scopes.is_empty(), "{text:?} was understood as {}", request.scopes);
            assert!(!request.dropped.is_empty(), "{text:?} vanished");
            tried.insert(text);
        }
        for text in wider_requests(head) {
            let granted = ScopeRequest::parse(&text).scopes.intersect(&base);
            check_not_wider(&granted, &base, &text);
            tried.insert(format!("{text} for {base}"));
        }
    }
    for text in OTHER_CONVENTIONS {
        let request = ScopeRequest::parse(text);
        assert!(request.scopes.is_empty(), "{text:?} was understood as {}", request.scopes);
        tried.insert(text.to_owned());
    }
    tried.len()
}

/// Texts that mean nothing here.
fn misspellings(head: &str) -> Vec<String> {
    let mut variants = Vec::new();
    for (place, letter) in head.char_indices() {
        let with = |text: &str| format!("{}{text}{}", &head[..place], &head[place + 1..]);
        let flipped =
            if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        if flipped != letter {
            variants.push(with(&flipped.to_string()));
        }
        // Fullwidth forms, and letters of other scripts that look the same.
        variants.push(with(&char::from_u32(u32::from(letter) + 0xfee0).unwrap().to_string()));
        if let Some(alike) = LOOK_ALIKES.iter().find(|(latin, _)| *latin == letter) {
            variants.push(with(alike.1));
        }
        variants.push(with(&format!("%{:02x}", u32::from(letter))));
    }
    let places = [Some(0), head.find('/'), head.find('.'), Some(head.len())];
    for place in places.into_iter().flatten() {
        for insert in
            ["\t", "\n", "\r\n", "\0", "\u{a0}", "\u{200b}", "\u{feff}", "\u{202e}", "\u{301}", "\"", "\\", "%20"]
        {
            variants.push(format!("{}{insert}{}", &head[..place], &head[place..]));
        }
    }
    if let Some((context, rest)) = head.split_once('/') {
        for separator in [":", ".", "//", "\\", "|", "\u{2215}", "\u{2044}", ""] {
            variants.push(format!("{context}{separator}{rest}"));
        }
        for context in ["", "patients", "Patient", "practitioner", "users", "systems", "*", "patient/patient"] {
            variants.push(format!("{context}/{rest}"));
        }
    }
    if let Some((front, letters)) = head.rsplit_once('.') {
        for separator in [":", "..", "/", "", "\u{2024}", ","] {
            variants.push(format!("{front}{separator}{letters}"));
        }
        let words = [
            "",
            "sr",
            "rr",
            "rss",
            "r,s",
            "r+s",
            "r|s",
            "rsx",
            "xrs",
            "dus",
            "srudc",
            "crudss",
            "CRUDS",
            "reads",
            "readwrite",
            "read,write",
            "Read",
            "READ",
            "r*",
            "*s",
            "**",
            "-",
            "all",
            "r.s",
            "rs.",
            "execute",
        ];
        variants.extend(words.map(|word| format!("{front}.{word}")));
    }
    variants
}

const LOOK_ALIKES: [(char, &str); 14] = [
    ('a', "а"),
    ('c', "с"),
    ('d', "ԁ"),
    ('e', "е"),
    ('i', "і"),
    ('o', "о"),
    ('p', "р"),
    ('s', "ѕ"),
    ('u', "υ"),
    ('O', "О"),
    ('P', "Р"),
    ('M', "М"),
    ('.', "․"),
    ('*', "∗"),
];

/// Requests that ask for more than the app may have, or for the same in a doubtful way.
fn wider_requests(head: &str) -> Vec<String> {
    let mut requests = Vec::new();
    for wide in ["patient/*.cruds", "user/*.cruds", "system/*.cruds", "patient/*.*", "user/*.write", "system/*.read"] {
        requests.push(wide.to_owned());
        requests.push(format!("{head} {wide}"));
        requests.push(format!("{wide} {head} {wide}"));
    }
    if head.contains('.') {
        let tails = [
            "?",
            "?=",
            "?category",
            "?category=",
            "?=laboratory",
            "?category=laboratory&",
            "?&category=laboratory",
            "??category=laboratory",
            "?category:not=laboratory",
            "?category:in=x",
            "?category:missing=true",
            "?subject.name=x",
            "?_has:Group:member:_id=1",
            "?_filter=1",
            "?_count=1",
            "?_include=*",
            "?_revinclude=*",
            "?_elements=id",
            "?_summary=true",
            "?_total=none",
            "?_type=Observation",
            "?_text=x",
            "?_content=x",
            "?_query=x",
            "?_format=json",
            "?_sort=code",
            "?_contained=true",
            "?category=laboratory#",
            "?category=a+b",
            "?category=%",
            "?category=%2",
            "?category=%zz",
            "?%63ategory=laboratory",
            "?Category=laboratory",
            "?category=laboratory&category=vital-signs",
            "?category=laboratory,vital-signs",
            "?code=x",
            "?_tag=y",
            "?category=laboratory?category=x",
            "?category=laboratory&_include=*",
        ];
        let front = head.rsplit_once('.').unwrap().0;
        for tail in tails {
            requests.push(format!("{head}{tail}"));
            requests.push(format!("{front}.cruds{tail}"));
            requests.push(format!("{front}.read{tail}"));
        }
    }
    requests
}

/// How other servers write scopes, and words of OAuth that mean nothing here.
const OTHER_CONVENTIONS: [&str; 22] = [
    "patient:read",
    "patient:Observation:rs",
    "patient:Observation.rs",
    "patient/Observation:read",
    "Observation:read",
    "Observation.rs",
    "http://smarthealthit.org/fhir/scopes/patient/*.r",
    "fhir/patient/Observation.rs",
    "patient.Observation.rs",
    "launch/encounter",
    "launch/practitioner",
    "launch/",
    "launch/Patient",
    "profile",
    "email",
    "admin",
    "*",
    "*/*.*",
    "null",
    "patient/Observations.rs",
    "patient/Resource.rs",
    "patient/DomainResource.rs",
];

fn check_not_wider(granted: &ScopeSet, base: &ScopeSet, text: &str) {
    for scope in granted.iter().filter(|scope| !matches!(scope, Scope::Resource(_))) {
        assert!(base.contains(scope), "{text:?} gave {scope} beyond {base}");
    }
    for context in [Context::Patient, Context::User, Context::System] {
        for action in Action::ALL {
            for kind in TYPES {
                let (new, old) = (granted.permits(context, action, kind), base.permits(context, action, kind));
                assert!(is_within(&new, &old), "{text:?} gave {new:?} beyond {old:?} for {action:?} of {kind}");
            }
        }
    }
}

/// Every query that is granted has all items of a query that was granted before.
fn is_within(new: &Permission<'_>, old: &Permission<'_>) -> bool {
    let items = |query: &str| query.split('&').map(str::to_owned).collect::<BTreeSet<_>>();
    match (new, old) {
        (Permission::Denied, _) | (_, Permission::All) => true,
        (_, Permission::Denied) | (Permission::All, _) => false,
        (Permission::Where(new), Permission::Where(old)) => {
            new.iter().all(|new| old.iter().any(|old| items(old).is_subset(&items(new))))
        }
    }
}
