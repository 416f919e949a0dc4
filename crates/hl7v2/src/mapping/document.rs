//! TXA and the OBX after it: a document as DocumentReference (v2-to-FHIR segment map
//! TXA[DocumentReference]), and the attachments that ED and RP values hold.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::identifier;
use super::element::Element;
use super::tables;
use super::transaction::{Existing, Key};
use crate::escape::hexadecimal;
use crate::message::{Repeat, Segment, SegmentName};
use crate::refused::Refused;

/// Base64 as senders write it: some leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A document whose content is being read.
pub(super) struct Document {
    reference: Element,
    key: Key,
    title: Option<String>,
    lines: Vec<String>,
    attachments: Vec<Value>,
}

impl Context<'_> {
    /// TXA.
    pub(super) fn begin_document(&mut self, txa: &Segment<'_>) -> Result<Document, Refused> {
        let key = self.ei_key(&txa.first(12)).ok_or(Refused::MissingField(txa.first(12).place(1)))?;
        let mut reference = Element::resource("DocumentReference");
        if let Some(label) = confidentiality(txa.text(18).as_deref()) {
            // On the resource as well: that is where access rules look (R4 security labels).
            reference.set("meta", json!({"security": [label]}));
            reference.push("securityLabel", json!({"coding": [label]}));
        }
        reference.set("masterIdentifier", identifier(&key, None));
        let status = match txa.text(19).as_deref() {
            Some("CA") => "entered-in-error",
            Some("OB") => "superseded",
            _ => "current",
        };
        reference.set("status", status);
        let completion = txa.text(17).and_then(|code| tables::lookup(tables::DOCUMENT_STATUS, &code.to_uppercase()));
        reference.set("docStatus", completion);
        reference.set("type", self.concept_at(txa, 2, Some("0270")));
        reference.set("subject", self.patient.clone());
        let date = self.instant(txa, 6).or_else(|| self.instant(txa, 4));
        reference.set("date", date);
        for field in [9, 5] {
            for person in self.practitioners(txa, field)? {
                reference.push("author", person);
            }
        }
        let authenticator = self.practitioner(&txa.first(22))?.or(self.practitioner(&txa.first(10))?);
        reference.set("authenticator", authenticator);
        Ok(Document { reference, key, title: txa.text(16), lines: Vec::new(), attachments: Vec::new() })
    }

    /// A document that an observation holds.
    pub(super) fn result_document(
        &mut self,
        attachments: Vec<Value>,
        code: &Value,
        observation: &Key,
    ) -> Result<Value, Refused> {
        let reference = Element::resource("DocumentReference")
            .with("status", "current")
            .with("type", code.clone())
            .with("subject", self.patient.clone())
            .with("content", contents(attachments))
            .with("context", self.encounter.clone().map(|encounter| json!({"encounter": [encounter]})));
        let key = Key { system: observation.system.clone(), value: format!("{}/document", observation.value) };
        self.add(reference, key, Existing::Replace)
    }
}

impl Document {
    /// An OBX after TXA is a part of the document.
    pub(super) fn content(&mut self, obx: &Segment<'_>) -> Result<(), Refused> {
        let kind = obx.text(2).unwrap_or_default().to_uppercase();
        for repeat in obx.repeats(5) {
            match kind.as_str() {
                "ED" | "RP" => self.attachments.extend(attachment(obx, &repeat)?),
                _ => self.lines.extend(repeat.running_text()),
            }
        }
        // An OBX without a value is an empty line of the text.
        if obx.first(5).is_empty() && !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        Ok(())
    }

    /// Adds the document, with the orders that the message names.
    pub(super) fn finish(self, requests: Vec<Value>, context: &mut Context<'_>) -> Result<(), Refused> {
        let Self { mut reference, key, title, lines, mut attachments } = self;
        if !lines.is_empty() {
            attachments.insert(0, text_attachment(&lines.join("\n")));
        }
        if attachments.is_empty() {
            return Err(Refused::MissingSegment(SegmentName::OBX));
        }
        if let (Some(title), Some(Value::Object(first))) = (title, attachments.first_mut()) {
            first.insert("title".to_owned(), title.into());
        }
        reference.set("content", contents(attachments));
        let encounters: Vec<Value> = context.encounter.clone().into_iter().collect();
        reference.set("context", Element::new().with("encounter", encounters).with("related", requests));
        context.add(reference, key, Existing::Replace)?;
        Ok(())
    }
}

fn contents(attachments: Vec<Value>) -> Vec<Value> {
    attachments.into_iter().map(|attachment| json!({"attachment": attachment})).collect()
}

/// Text as Attachment.
pub(super) fn text_attachment(text: &str) -> Value {
    json!({"contentType": "text/plain; charset=utf-8", "data": STANDARD.encode(text)})
}

/// An ED or RP as Attachment; nothing when it is empty.
pub(super) fn attachment(obx: &Segment<'_>, repeat: &Repeat<'_>) -> Result<Option<Value>, Refused> {
    if obx.text(2).is_some_and(|kind| kind.eq_ignore_ascii_case("RP")) {
        let Some(pointer) = repeat.text(1) else { return Ok(None) };
        let url: String = pointer.split_whitespace().collect::<Vec<_>>().join("%20");
        let attachment = Element::new().with("contentType", content_type(repeat.text(3), repeat.text(4)));
        return Ok(attachment.with("url", url).build());
    }
    let Some(data) = repeat.text(5) else { return Ok(None) };
    let bad = |expected| Refused::BadValue { place: repeat.place(5), expected };
    let encoding = repeat.text(4).unwrap_or_default().to_uppercase();
    let compact = || data.split_whitespace().collect::<String>();
    let bytes = match encoding.as_str() {
        "BASE64" => LENIENT.decode(compact()).map_err(|_| bad("base64, as ED.4 says"))?,
        "HEX" => hexadecimal(&compact()).ok_or_else(|| bad("hexadecimal, as ED.4 says"))?,
        _ => data.clone().into_bytes(),
    };
    let kind = content_type(repeat.text(2), repeat.text(3)).unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(Some(json!({"contentType": kind, "data": STANDARD.encode(bytes)})))
}

/// Type and subtype of data (tables 0191 and 0291) as a MIME type.
fn content_type(kind: Option<String>, subtype: Option<String>) -> Option<String> {
    let kind = kind.unwrap_or_default().to_lowercase();
    if kind.contains('/') {
        return Some(kind).filter(|kind| kind.split('/').count() == 2 && kind.split('/').all(is_token));
    }
    let subtype = subtype.unwrap_or_default().to_lowercase();
    let known = match subtype.as_str() {
        "pdf" => "application/pdf",
        "rtf" => "application/rtf",
        "html" | "htm" => "text/html",
        "xml" | "x-hl7-cda-level-one" => "application/xml",
        "txt" | "plain" | "text" => "text/plain",
        "jpeg" | "jpg" => "image/jpeg",
        "png" => "image/png",
        "tiff" | "tif" => "image/tiff",
        "gif" => "image/gif",
        "dicom" => "application/dicom",
        "octet-stream" => "application/octet-stream",
        _ => "",
    };
    if !known.is_empty() {
        return Some(known.to_owned());
    }
    let top = matches!(kind.as_str(), "application" | "audio" | "image" | "model" | "multipart" | "text" | "video");
    match kind.as_str() {
        _ if top && is_token(&subtype) => Some(format!("{kind}/{subtype}")),
        "text" | "tx" | "ft" | "txt" => Some("text/plain".to_owned()),
        _ => None,
    }
}

fn is_token(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+'))
}

/// TXA-18 (table 0272) as a coding of v3-Confidentiality.
fn confidentiality(code: Option<&str>) -> Option<Value> {
    let code = match code? {
        "V" => "V",
        "R" => "R",
        "U" => "N",
        _ => return None,
    };
    Some(json!({"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": code}))
}
