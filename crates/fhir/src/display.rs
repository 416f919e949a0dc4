//! Values of FHIR data types as one line of text for people: codes by their display, quantities with
//! their unit, names in reading order. It escapes nothing; whoever puts the text into a page does.

use serde_json::Value;

/// A text member.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str().filter(|text| !text.trim().is_empty())
}

/// The member of a choice element, `value[x]`: its type suffix and its value.
pub(crate) fn choice<'v>(value: &'v Value, name: &str) -> Option<(&'v str, &'v Value)> {
    value.as_object()?.iter().find_map(|(member, value)| {
        let suffix = member.strip_prefix(name)?;
        suffix.starts_with(|c: char| c.is_ascii_uppercase()).then_some((suffix, value))
    })
}

/// A CodeableConcept or Coding: its text, else a display, else a code.
pub(crate) fn concept(value: &Value) -> Option<String> {
    let codings = || value.get("coding").and_then(Value::as_array).into_iter().flatten();
    let found = text(value, "text")
        .or_else(|| codings().find_map(|coding| text(coding, "display")))
        .or_else(|| codings().find_map(|coding| text(coding, "code")))
        .or_else(|| text(value, "display"))
        .or_else(|| text(value, "code"))?;
    Some(found.to_owned())
}

/// Whether a concept has more to say than a code.
pub(crate) fn has_words(concept: &Value) -> bool {
    let codings = concept.get("coding").and_then(Value::as_array);
    text(concept, "text").is_some() || codings.into_iter().flatten().any(|coding| text(coding, "display").is_some())
}

/// Every code of a CodeableConcept.
pub(crate) fn codes(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let codings = value.get("coding").and_then(Value::as_array).into_iter().flatten();
    codings.filter_map(|coding| Some((text(coding, "system").unwrap_or_default(), text(coding, "code")?)))
}

/// One line for a value, as its shape tells the type; nothing where no type is known by that shape.
pub(crate) fn line(value: &Value) -> Option<String> {
    let object = match value {
        Value::String(text) => return Some(text.clone()),
        Value::Number(number) => return Some(number.to_string()),
        Value::Bool(yes) => return Some(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Null => return None,
        Value::Array(list) => {
            let lines: Vec<_> = list.iter().filter_map(line).collect();
            return (!lines.is_empty()).then(|| lines.join(", "));
        }
        Value::Object(object) => object,
    };
    let has = |name: &str| object.contains_key(name);
    let part = |name: &str| object.get(name).and_then(line);
    if has("coding") {
        concept(value)
    } else if has("value") && (has("unit") || has("code") || has("comparator")) {
        joined([part("comparator"), part("value"), part("unit").or_else(|| part("code"))], " ")
    } else if has("numerator") || has("denominator") {
        joined([part("numerator"), part("denominator")], " / ")
    } else if has("low") || has("high") {
        joined([part("low"), part("high")], " – ")
    } else if has("reference") || has("identifier") && has("display") {
        part("display").or_else(|| part("reference"))
    } else if has("family") || has("given") {
        part("text").or_else(|| joined([part("prefix"), given(value), part("family"), part("suffix")], " "))
    } else if has("line") || has("city") || has("postalCode") || has("country") {
        part("text")
            .or_else(|| joined([part("line"), part("city"), part("state"), part("postalCode"), part("country")], ", "))
    } else if has("start") || has("end") {
        joined([part("start").or_else(|| Some("?".to_owned())), part("end")], " to ")
    } else if has("value") {
        part("value")
    } else if has("display") || has("code") && has("system") {
        concept(value)
    } else if has("text") {
        part("text")
    } else {
        None
    }
}

/// A person's name: the official one, else the usual one, else one that is neither a former one nor an alias.
pub(crate) fn name(person: &Value) -> Option<String> {
    match person.get("name")? {
        Value::Array(names) => {
            let written = names.iter().filter_map(|name| Some((formerness(name), line(name)?)));
            written.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
        }
        name => line(name),
    }
}

/// How little a name serves to tell who it is: R4, `HumanName.use`. A name whose period has an end is a former one.
fn formerness(name: &Value) -> u8 {
    let has_ended = name.get("period").is_some_and(|period| text(period, "end").is_some());
    match text(name, "use") {
        Some("old" | "maiden") => 6,
        _ if has_ended => 5,
        Some("official") => 0,
        Some("usual") => 1,
        Some("nickname") => 3,
        Some("anonymous") => 4,
        _ => 2,
    }
}

/// When a resource's matter took place, as it is written.
pub(crate) fn date(resource: &Value) -> Option<&str> {
    dates(resource).next()
}

/// All that say so; the members of R4 in order of preference.
pub(crate) fn dates(resource: &Value) -> impl Iterator<Item = &str> {
    const CHOICES: &[&str] = &["effective", "performed", "occurrence", "onset", "timing"];
    const MEMBERS: &[&str] =
        &["authoredOn", "dateAsserted", "recordedDate", "recordedOn", "issued", "dateTime", "date", "created"];
    let chosen = CHOICES.iter().filter_map(|name| {
        let (suffix, value) = choice(resource, name)?;
        match suffix {
            "DateTime" | "Instant" => value.as_str(),
            "Period" => text(value, "start").or_else(|| text(value, "end")),
            _ => None,
        }
    });
    let period = resource.get("period").and_then(|period| text(period, "start"));
    chosen.chain(period).chain(MEMBERS.iter().filter_map(|name| text(resource, name)))
}

fn given(name: &Value) -> Option<String> {
    let given = name.get("given")?.as_array()?;
    let names: Vec<_> = given.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn joined<const N: usize>(parts: [Option<String>; N], between: &str) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn one_line_for_each_type() {
        for (json, expected) in [
            (r#"{"text":"Asthma","coding":[{"code":"1","display":"x"}]}"#, Some("Asthma")),
            (r#"{"coding":[{"code":"1"},{"code":"2","display":"Asthma"}]}"#, Some("Asthma")),
            (r#"{"coding":[{"system":"s","code":"1"}]}"#, Some("1")),
            (r#"{"coding":[]}"#, None),
            (r#"{"system":"s","code":"1","display":"Asthma"}"#, Some("Asthma")),
            (r#"{"value":1.10,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"}"#, Some("1.10 kg")),
            (r#"{"comparator":"<","value":5,"code":"mg/dL"}"#, Some("< 5 mg/dL")),
            (r#"{"numerator":{"value":1,"unit":"mg"},"denominator":{"value":2,"unit":"mL"}}"#, Some("1 mg / 2 mL")),
            (r#"{"low":{"value":1,"unit":"mg"},"high":{"value":2,"unit":"mg"}}"#, Some("1 mg – 2 mg")),
            (r#"{"reference":"Patient/1"}"#, Some("Patient/1")),
            (r#"{"reference":"Patient/1","display":"Ada"}"#, Some("Ada")),
            (r#"{"prefix":["Dr"],"given":["Ada","M"],"family":"Byron"}"#, Some("Dr Ada M Byron")),
            (r#"{"line":["1 Road"],"city":"Ulm","country":"DE"}"#, Some("1 Road, Ulm, DE")),
            (r#"{"start":"2020","end":"2021"}"#, Some("2020 to 2021")),
            (r#"{"end":"2021"}"#, Some("? to 2021")),
            (r#"{"system":"phone","value":"+1"}"#, Some("+1")),
            (r#"["a",1.0,true,null]"#, Some("a, 1.0, yes")),
            (r#"{"url":"x"}"#, None),
            ("null", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(line(&value).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn people_are_called_by_the_name_that_they_have_now() {
        for (json, expected) in [
            (r#"{"name":[{"use":"maiden","family":"Byron"},{"use":"official","family":"King"}]}"#, Some("King")),
            (r#"{"name":[{"use":"usual","family":"Ada"},{"use":"official","family":"King"}]}"#, Some("King")),
            (
                r#"{"name":[{"use":"old","family":"Byron"},{"family":"King"},{"use":"nickname","family":"A"}]}"#,
                Some("King"),
            ),
            (
                r#"{"name":[{"use":"official","family":"Byron","period":{"end":"1835"}},{"family":"King"}]}"#,
                Some("King"),
            ),
            (r#"{"name":[{"use":"official"},{"use":"usual","family":"King"}]}"#, Some("King")),
            (r#"{"name":[{"family":"First"},{"family":"Second"}]}"#, Some("First")),
            (r#"{"name":[{"use":"old","family":"Byron"}]}"#, Some("Byron")),
            (r#"{"name":"Laboratory"}"#, Some("Laboratory")),
            (r#"{"name":[]}"#, None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(name(&value).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn dates_of_matters() {
        for (json, expected) in [
            (r#"{"effectiveDateTime":"2020-01-02","issued":"2021"}"#, Some("2020-01-02")),
            (r#"{"effectivePeriod":{"start":"2020"}}"#, Some("2020")),
            (r#"{"onsetAge":{"value":7},"recordedDate":"2021"}"#, Some("2021")),
            (r#"{"period":{"start":"2019"}}"#, Some("2019")),
            (r#"{"authoredOn":"2018"}"#, Some("2018")),
            ("{}", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(date(&value), expected, "{json}");
        }
    }
}
