//! The text of a section: one table that says what the entries say, for readers without software
//! (R4 narrative.html). Every value is escaped.

use std::borrow::Cow;
use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde_json::Value;

use super::section::Section;
use super::{Item, Record};
use crate::display::{self, concept, line, text};

/// What stands where nothing is known.
pub(crate) const NOTHING: &str = "No information available";

/// Longest text of a cell, in characters.
const CELL_CHARACTERS_MAX: usize = 300;

/// The XHTML of a section.
pub(crate) fn table(section: Section, items: &[Item<'_>], record: &Record<'_>) -> String {
    let mut out = String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\">");
    if items.is_empty() {
        let _ = write!(out, "<p>{NOTHING}</p></div>");
        return out;
    }
    let _ = write!(out, "<table><caption>{}</caption><thead><tr>", section.title());
    for heading in ["What", "Details", "Date", "Status"] {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for item in items {
        let date = display::date(&item.json).map(str::to_owned);
        out.push_str("<tr>");
        for cell in [Some(what(item, record)), details(&item.json), date, status(&item.json)] {
            // Writing to a string cannot fail.
            let _ = write!(out, "<td>{}</td>", cell.as_deref().map(shown).unwrap_or_default());
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

/// A value as the text of an element: short, escaped, and of characters that XML 1.0 knows.
fn shown(value: &str) -> String {
    let known = |c: &char| matches!(c, '\t' | '\n') || !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let mut cut: String = value.chars().filter(known).take(CELL_CHARACTERS_MAX).collect();
    if value.chars().nth(CELL_CHARACTERS_MAX).is_some() {
        cut.push('…');
    }
    escape(Cow::Owned(cut)).into_owned()
}

/// What an entry is about.
fn what(item: &Item<'_>, record: &Record<'_>) -> String {
    let json = &item.json;
    let members = ["code", "vaccineCode", "medicationCodeableConcept"];
    members
        .iter()
        .find_map(|member| concept(json.get(member)?))
        .or_else(|| referred(json, json.get("medicationReference").or_else(|| json.get("device"))?, record))
        .or_else(|| text(json, "title").map(str::to_owned))
        .or_else(|| concept(json.get("type")?))
        .or_else(|| concept(json.get("category")?.get(0)?))
        .or_else(|| text(json, "description").map(str::to_owned))
        .unwrap_or_else(|| item.resource.resource_type().to_string())
}

/// The name of a medication or device that is referred to.
fn referred(json: &Value, reference: &Value, record: &Record<'_>) -> Option<String> {
    let named = |target: &Value| {
        let member = ["code", "type"].iter().find_map(|member| concept(target.get(member)?));
        member.or_else(|| line(target.get("deviceName")?.get(0)?.get("name")?))
    };
    let target = text(reference, "reference");
    let contained = target.and_then(|target| target.strip_prefix('#')).and_then(|id| {
        json.get("contained")?.as_array()?.iter().find(|inner| text(inner, "id") == Some(id)).and_then(named)
    });
    contained.or_else(|| named(&record.find(target?)?.json().ok()?)).or_else(|| line(reference))
}

/// What more an entry says: a value, a dose, a reaction.
fn details(json: &Value) -> Option<String> {
    if let Some((_, value)) = display::choice(json, "value") {
        return line(value);
    }
    let each = |member: &str, say: &dyn Fn(&Value) -> Option<String>| {
        let said: Vec<_> = json.get(member)?.as_array()?.iter().filter_map(say).collect();
        (!said.is_empty()).then(|| said.join("; "))
    };
    let dose = |dosage: &Value| {
        text(dosage, "text").map(str::to_owned).or_else(|| {
            let rate = dosage.get("doseAndRate")?.get(0)?;
            line(display::choice(rate, "dose")?.1)
        })
    };
    each("component", &|part| {
        let value = line(display::choice(part, "value")?.1)?;
        Some(format!("{}: {value}", concept(part.get("code")?)?))
    })
    .or_else(|| each("dosage", &dose))
    .or_else(|| each("dosageInstruction", &dose))
    .or_else(|| {
        let reactions = each("reaction", &|reaction| line(reaction.get("manifestation")?));
        let criticality = text(json, "criticality").map(|level| format!("criticality {level}"));
        let said: Vec<_> = reactions.into_iter().chain(criticality).collect();
        (!said.is_empty()).then(|| said.join("; "))
    })
    .or_else(|| concept(json.get("severity")?))
    .or_else(|| text(json, "conclusion").map(str::to_owned))
    .or_else(|| concept(json.get("dataAbsentReason")?))
}

fn status(json: &Value) -> Option<String> {
    let clinical = json.get("clinicalStatus").and_then(concept);
    clinical.or_else(|| text(json, "status").map(str::to_owned))
}
