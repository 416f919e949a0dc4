//! OBX: results and findings as Observation (v2-to-FHIR segment map OBX[Observation]). A correction finds
//! the observation again by the order, the test and the sub-id, and not by OBX-1: that numbers the segments
//! of one message, and a second message of the same order may number others so.

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::{coding, concept_of, decimal};
use super::element::Element;
use super::order::Around;
use super::tables;
use super::transaction::Key;
use crate::message::{FIELD_BYTES_MAX, Repeat, Segment};
use crate::refused::Refused;
use crate::timestamp::{Timestamp, time_of_day};

/// A value and the suffix of `value[x]`.
type Typed = (&'static str, Value);

impl Context<'_> {
    /// An OBX as Observation, and its key.
    pub(super) fn observation(&mut self, obx: &Segment<'_>, around: &Around<'_>) -> Result<(Element, Key), Refused> {
        let code = self.concept_at(obx, 3, None).ok_or(Refused::MissingField(obx.place_of(3)))?;
        let key = self.observation_key(obx, around);
        let mut observation = Element::resource("Observation");
        let status = obx.text(11).map(|code| tables::lookup(tables::RESULT_STATUS, &code.to_uppercase()));
        observation.set("status", status.flatten().unwrap_or("unknown"));
        observation.push("category", around.category.cloned());
        observation.set("code", code.clone());
        observation.set("subject", self.patient.clone());
        observation.set("encounter", self.encounter.clone());
        let effective = self.date_time(obx, 14).or_else(|| around.effective.map(str::to_owned));
        observation.set("effectiveDateTime", effective);
        observation.set("issued", around.issued);
        let mut performers = self.practitioners(obx, 16)?;
        performers.extend(self.organization(&obx.first(23))?);
        observation.set("performer", performers);
        self.set_value(&mut observation, obx, &code, &key)?;
        for repeat in obx.repeats(8) {
            observation.push("interpretation", self.interpretation(&repeat));
        }
        observation.set("bodySite", self.concept_at(obx, 20, Some("0163")));
        observation.set("method", self.concept_at(obx, 17, None));
        observation.set("specimen", around.specimen.cloned());
        observation.push("referenceRange", self.reference_range(obx));
        Ok((observation, key))
    }

    fn observation_key(&self, obx: &Segment<'_>, around: &Around<'_>) -> Key {
        let code = obx.text(3).or_else(|| obx.first(3).text(2)).unwrap_or_default();
        let part = obx.text(4).unwrap_or_default();
        if let Some(order) = around.order {
            return self.record_key(&["observation", order, around.code, &code, &part]);
        }
        let when = obx.text(14).unwrap_or_default();
        let visit = self.visit_key.as_str();
        self.patient_record_key(&["observation", visit, &code, &part, &when])
    }

    fn set_value(
        &mut self,
        observation: &mut Element,
        obx: &Segment<'_>,
        code: &Value,
        key: &Key,
    ) -> Result<(), Refused> {
        let kind = obx.text(2).unwrap_or_default().to_uppercase();
        match kind.as_str() {
            "ED" | "RP" => return self.derive_from_documents(observation, obx, code, key),
            // Lines of one text.
            "TX" | "FT" | "ST" | "" if obx.repeats(5).count() != 1 => {
                let lines: Vec<String> = obx.repeats(5).filter_map(|repeat| repeat.running_text()).collect();
                observation.set("valueString", lines.join("\n").trim());
            }
            _ => {
                let values: Vec<Typed> = obx.repeats(5).filter_map(|repeat| self.value(&kind, &repeat, obx)).collect();
                match values.as_slice() {
                    [(name, value)] => observation.set(name, value.clone()),
                    // R4 has one value for each observation; several become components of it.
                    several => {
                        for (name, value) in several {
                            let component = Element::new().with("code", code.clone()).with(name, value.clone());
                            observation.push("component", component);
                        }
                    }
                }
            }
        }
        // R4 takes no string so long; as a document it is kept whole.
        let text = observation.member("valueString").and_then(Value::as_str).unwrap_or_default();
        if text.len() > FIELD_BYTES_MAX {
            let attachment = super::document::text_attachment(text);
            observation.remove("valueString");
            let document = self.result_document(vec![attachment], code, key)?;
            observation.push("derivedFrom", document);
        }
        Ok(())
    }

    /// A value by its type in OBX-2.
    fn value(&self, kind: &str, repeat: &Repeat<'_>, obx: &Segment<'_>) -> Option<Typed> {
        let text = || repeat.running_text().map(|text| text.trim().to_owned());
        let string = |text: String| ("valueString", Value::String(text));
        match kind {
            "NM" | "ST" | "TX" | "FT" | "" => {
                let text = text()?;
                let unit = obx.first(6);
                // Some senders put numbers into strings, or `<15` into a number; with a unit it is one.
                let numeric = kind == "NM" || (kind == "ST" && !unit.is_empty());
                match self.quantity(&text, &unit) {
                    Some(quantity) if numeric => Some(("valueQuantity", quantity)),
                    _ => Some(string(match unit.text(1).filter(|_| numeric) {
                        Some(unit) => format!("{text} {unit}"),
                        None => text,
                    })),
                }
            }
            "SN" => Some(
                self.structured_number(repeat, &obx.first(6)).unwrap_or_else(|| string(text().unwrap_or_default())),
            ),
            "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID" => Some(("valueCodeableConcept", self.concept(repeat)?)),
            "DT" | "TS" | "DTM" => Some(match repeat.text(1).and_then(|text| Timestamp::read(&text)) {
                Some(when) => ("valueDateTime", when.date_time(self.settings.local_offset).into()),
                None => string(text()?),
            }),
            "TM" => Some(match repeat.text(1).and_then(|text| time_of_day(&text)) {
                Some(time) => ("valueTime", time.into()),
                None => string(text()?),
            }),
            // Names, addresses, identifiers and what a later version may bring: as text, nothing is lost.
            _ => Some(string(text()?)),
        }
    }

    /// A number, with `<`, `<=`, `>=` or `>` before it, as Quantity.
    fn quantity(&self, text: &str, unit: &Repeat<'_>) -> Option<Value> {
        let comparator = ["<=", ">=", "<", ">"].into_iter().find(|sign| text.starts_with(sign));
        let number = text.strip_prefix(comparator.unwrap_or_default()).unwrap_or(text);
        Some(self.quantity_of(comparator, decimal(number)?, unit))
    }

    fn quantity_of(&self, comparator: Option<&str>, value: Value, unit: &Repeat<'_>) -> Value {
        let quantity = Element::new().with("value", value).with("comparator", comparator);
        let Some(code) = unit.text(1) else { return quantity.into() };
        let quantity = quantity.with("unit", unit.text(2).unwrap_or_else(|| code.clone()));
        let is_ucum = tables::UCUM_UNITS.contains(&code.as_str());
        let system = match unit.text(3) {
            None if is_ucum => "http://unitsofmeasure.org".to_owned(),
            // Without a system it is a word for people, and no code.
            None => return quantity.into(),
            name => self.code_system(name, unit.text(14)),
        };
        let code = code.split_whitespace().collect::<String>();
        quantity.with("system", system).with("code", code).into()
    }

    /// SN: `>^100`, `^1^:^128`, `^1^-^5`.
    fn structured_number(&self, repeat: &Repeat<'_>, unit: &Repeat<'_>) -> Option<Typed> {
        let sign = repeat.text(1).filter(|sign| sign != "=");
        let number = |component: usize| decimal(&repeat.text(component)?);
        let first = number(2)?;
        let simple = |value: Value| self.quantity_of(None, value, unit);
        match (sign.as_deref(), repeat.text(3).as_deref(), repeat.text(4)) {
            (None, None, None) => Some(("valueQuantity", simple(first))),
            (Some(sign @ ("<" | "<=" | ">" | ">=")), None, None) => {
                Some(("valueQuantity", self.quantity_of(Some(sign), first, unit)))
            }
            (None, Some("-"), Some(_)) => {
                Some(("valueRange", json!({"low": simple(first), "high": simple(number(4)?)})))
            }
            (None, Some(":" | "/"), Some(_)) => {
                Some(("valueRatio", json!({"numerator": {"value": first}, "denominator": {"value": number(4)?}})))
            }
            _ => None,
        }
    }

    /// OBX-8, table 0078.
    fn interpretation(&self, repeat: &Repeat<'_>) -> Option<Value> {
        let code = repeat.text(1)?;
        if !tables::INTERPRETATIONS.contains(&code.as_str()) {
            return self.concept_in(repeat, Some("0078"));
        }
        let system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
        let mut concept = Element::new();
        concept.push("coding", coding(system, &code, repeat.text(2)));
        concept.build()
    }

    /// OBX-7: `3.5 - 5.0`, `<5`, or words.
    fn reference_range(&self, obx: &Segment<'_>) -> Option<Value> {
        let text = obx.first(7).running_text()?.trim().to_owned();
        // `[ ]` and `-` are how systems print that there is none.
        if !text.chars().any(char::is_alphanumeric) {
            return None;
        }
        let unit = obx.first(6);
        let mut range = Element::new();
        let limit = |number: &str| Some(self.quantity_of(None, decimal(number)?, &unit));
        let bare = text.trim_start_matches('[').trim_end_matches(']').trim();
        // The dash after the first character: a limit may be negative.
        let dash = bare.char_indices().skip(1).find(|(_, letter)| *letter == '-').map(|(at, _)| at);
        let sides = dash.and_then(|at| Some((bare.get(..at)?, bare.get(at + 1..)?)));
        if let Some((low, high)) = sides.and_then(|(low, high)| Some((limit(low)?, limit(high)?))) {
            range.set("low", low);
            range.set("high", high);
        } else if let Some(high) = bare.strip_prefix("<=").or_else(|| bare.strip_prefix('<')).and_then(limit) {
            range.set("high", high);
        } else if let Some(low) = bare.strip_prefix(">=").or_else(|| bare.strip_prefix('>')).and_then(limit) {
            range.set("low", low);
        }
        range.set("text", text);
        range.build()
    }

    /// R4 has no value for a document: it becomes a DocumentReference that the observation derives from.
    fn derive_from_documents(
        &mut self,
        observation: &mut Element,
        obx: &Segment<'_>,
        code: &Value,
        key: &Key,
    ) -> Result<(), Refused> {
        let mut attachments = Vec::new();
        for repeat in obx.repeats(5) {
            attachments.extend(super::document::attachment(obx, &repeat)?);
        }
        if attachments.is_empty() {
            let absent = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
            observation.set("dataAbsentReason", concept_of(absent, "unknown", None));
            return Ok(());
        }
        let document = self.result_document(attachments, code, key)?;
        observation.push("derivedFrom", document);
        Ok(())
    }
}
