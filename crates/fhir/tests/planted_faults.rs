//! Faults planted into sound resources: at every element, in every way that the checks know. Each must
//! be named with its code and its expression, and the resource itself must have none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use sealwort_fhir::structure::{self, Element, Primitive, Type, TypeKind};
use sealwort_fhir::{Handling, Severity, samples, synthetic, validate};
use serde_json::{Value, json};

/// A value of the resource: how to get there, what it is called, what it should be.
struct Place {
    pointer: String,
    expression: String,
    of: &'static Type,
    element: Option<&'static Element>,
    targets: &'static [&'static str],
    /// Whether it is an item of an array.
    is_item: bool,
}

fn collect(value: &Value, of: &'static Type, pointer: &str, expression: &str, places: &mut Vec<Place>) {
    let of = match of.kind() {
        TypeKind::AnyResource | TypeKind::Resource => structure::find(value["resourceType"].as_str().unwrap()).unwrap(),
        _ => of,
    };
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        let Some((element, choice)) = of.member(name) else { continue };
        let here = format!("{expression}.{}", element.name());
        let mut place = |value: &Value, pointer: String, expression: String, is_item| {
            collect(value, choice.of(), &pointer, &expression, places);
            let (of, targets) = (choice.of(), choice.targets());
            places.push(Place { pointer, expression, of, element: Some(element), targets, is_item });
        };
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    place(item, format!("{pointer}/{name}/{at}"), format!("{here}[{at}]"), true);
                }
            }
            value => place(value, format!("{pointer}/{name}"), here, false),
        }
    }
}

/// The faults that fit a place: the altered value, the code, and what follows the expression.
fn faults(place: &Place, value: &Value) -> Vec<(Value, &'static str, String)> {
    let mut faults = Vec::new();
    let mut add = |value: Value, code, suffix: &str| faults.push((value, code, suffix.to_owned()));
    if place.is_item {
        add(Value::Null, if place.of.primitive().is_some() { "empty" } else { "wrong-json" }, "");
    } else {
        add(json!([value]), "wrong-json", "");
        add(Value::Null, "wrong-json", "");
    }
    if let Some(primitive) = place.of.primitive() {
        add(json!({"value": 1}), "wrong-json", "");
        match primitive {
            Primitive::Boolean | Primitive::Decimal => add(json!("true"), "wrong-json", ""),
            Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt => {
                add(json!("1"), "wrong-json", "");
                add(json!(3_000_000_000_i64), "out-of-range", "");
                add(json!(1.5), "bad-format", "");
            }
            Primitive::Date | Primitive::DateTime => {
                add(json!("2024-13-01"), "bad-format", "");
                add(json!("2023-02-30"), "no-such-date", "");
            }
            Primitive::Instant => add(json!("2024-01-01"), "bad-format", ""),
            Primitive::Time => add(json!("25:00:00"), "bad-format", ""),
            Primitive::Code => {
                add(json!("two  blanks"), "bad-format", "");
                if place.element.is_some_and(|element| element.value_set().is_some()) {
                    add(json!("no-such-code"), "code-not-in-value-set", "");
                }
            }
            Primitive::Id => add(json!("a_b"), "bad-format", ""),
            Primitive::Uri | Primitive::Url | Primitive::Canonical => add(json!("a b"), "bad-format", ""),
            Primitive::Base64Binary => add(json!("abc"), "bad-format", ""),
            Primitive::Xhtml => {
                add(
                    json!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><script>x</script></div>"),
                    "narrative-element",
                    "",
                );
            }
            _ => add(json!("\u{b}"), "bad-format", ""),
        }
        if !matches!(
            primitive,
            Primitive::Boolean
                | Primitive::Decimal
                | Primitive::Integer
                | Primitive::UnsignedInt
                | Primitive::PositiveInt
        ) {
            add(json!(""), "empty", "");
            add(json!(7), "wrong-json", "");
        }
        return faults;
    }
    add(json!("text"), "wrong-json", "");
    if !matches!(place.of.kind(), TypeKind::AnyResource) {
        add(json!({}), "empty", "");
    }
    let with = |name: &str, member: Value| {
        let mut altered = value.clone();
        altered[name] = member;
        altered
    };
    let without = |name: &str| {
        let mut altered = value.clone();
        altered.as_object_mut().unwrap().shift_remove(name);
        altered
    };
    add(with("zebra", json!(1)), "unknown-element", ".zebra");
    for element in place.of.elements() {
        if element.is_list() && value.get(element.name()).is_some() {
            add(with(element.name(), json!([])), "empty", &format!(".{}", element.name()));
            add(with(element.name(), value[element.name()][0].clone()), "wrong-json", &format!(".{}", element.name()));
        }
        if element.is_required() && value.get(element.name()).is_some() && value.as_object().unwrap().len() > 1 {
            add(without(element.name()), "missing-element", &format!(".{}", element.name()));
        }
    }
    match place.of.name() {
        "Reference" => {
            add(with("reference", json!("#nobody")), "ref-1", ".reference");
            if !place.targets.is_empty() {
                let other = ["Account", "Slot"].into_iter().find(|name| !place.targets.contains(name)).unwrap();
                add(with("reference", json!(format!("{other}/x"))), "reference-target", "");
                add(
                    with("reference", json!(format!("https://h.example/fhir/{other}/x/_history/2"))),
                    "reference-target",
                    "",
                );
            }
        }
        "Extension" => {
            add(json!({"url": "http://h.example"}), "ext-1", "");
            add(json!({"url": "http://h.example", "valueCode": "a", "valueString": "b"}), "two-choices", ".value");
        }
        "Period" => add(json!({"start": "2024-02", "end": "2024-01-31"}), "per-1", ""),
        "Quantity" => add(json!({"code": "kg"}), "qty-3", ""),
        "Attachment" => add(json!({"data": "YWJj"}), "att-1", ""),
        "ContactPoint" => add(json!({"value": "1"}), "cpt-2", ""),
        _ => {}
    }
    faults
}

fn errors(resource: &Value) -> Vec<(String, String)> {
    let issues = validate(resource, Handling::Strict);
    for issue in &issues {
        assert_eq!(issue.expressions().len(), usize::from(issue.stable_code() != "more-issues"));
        assert!(!issue.text().is_empty());
    }
    let errors = issues.iter().filter(|issue| issue.severity() == Severity::Error);
    errors.map(|issue| (issue.stable_code().to_owned(), issue.expressions()[0].clone())).collect()
}

#[test]
fn every_fault_is_named_with_its_place() {
    let mut bundles: Vec<Value> =
        samples::ALL.iter().map(|sample| serde_json::from_slice(sample.bytes).unwrap()).collect();
    bundles.push(serde_json::from_slice(&synthetic::bundle(1, 1, 40)).unwrap());
    // One of each kind of fault at each element is enough.
    let mut planted = BTreeMap::<(String, &str), usize>::new();
    let mut unsound = Vec::new();
    let (mut count, mut by_code) = (0, BTreeMap::<&str, usize>::new());
    for bundle in &bundles {
        unsound.extend(errors(bundle));
        for resource in bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]) {
            if !errors(resource).is_empty() {
                continue;
            }
            let name = resource["resourceType"].as_str().unwrap();
            let of = structure::find(name).unwrap();
            let mut places = Vec::new();
            collect(resource, of, "", name, &mut places);
            places.push(Place {
                pointer: String::new(),
                expression: name.to_owned(),
                of,
                element: None,
                targets: &[],
                is_item: false,
            });
            for place in &places {
                let value = resource.pointer(&place.pointer).unwrap();
                for (at, (altered, code, suffix)) in faults(place, value).into_iter().enumerate() {
                    let whole = place.element.is_none();
                    if whole && suffix.is_empty() {
                        continue;
                    }
                    let key = place.expression.replace(|c: char| c.is_ascii_digit(), "") + &suffix + &at.to_string();
                    let seen = planted.entry((key, code)).or_default();
                    *seen += 1;
                    if *seen > 1 {
                        continue;
                    }
                    let mut broken = resource.clone();
                    *broken.pointer_mut(&place.pointer).unwrap() = altered;
                    let expected = (code.to_owned(), format!("{}{suffix}", place.expression));
                    let found = errors(&broken);
                    assert!(found.contains(&expected), "planted {expected:?}, found {found:?}");
                    count += 1;
                    *by_code.entry(code).or_default() += 1;
                }
            }
        }
    }
    // What is sound before a fault is planted.
    assert_eq!(unsound, Vec::<(String, String)>::new());
    println!("{count} faults planted and named: {by_code:?}");
    assert!(count > 500, "{count}");
}
