//! Documents of the record: what a resource holds as an attachment, or in a Binary that it names. A browser shows the few
//! types that hold nothing to run, and stores the rest. All of them come from this server, in a sandbox (`visit`); what a
//! resource names on another server is neither fetched nor linked.

use axum::response::Response;
use maud::{Markup, html};
use sealwort_fhir::phr::{Attachment, Enclosure, Place, enclosures, essence};
use sealwort_fhir::{IssueCode, Reference, ResourceType};
use sealwort_pages::words::papers as words;
use sealwort_pages::words::portal::WHAT;
use serde_json::Value;

use super::Page;
use super::item::gone;
use super::record::{Opened, handle_of, tree};
use super::visit::Visit;
use crate::error::GatewayError;

/// What can be done with each document of a resource.
pub(super) fn documents(visit: &Visit, opened: &Opened, resource: &Value, path: &str) -> Markup {
    let all = enclosures(resource);
    if all.is_empty() {
        return html! {};
    }
    let kilobytes = |one: &Enclosure<'_>| one.size().unwrap_or_default().div_ceil(1000);
    html! {
        ul .plain {
            @for (number, one) in (1..).zip(all.iter().take(DOCUMENTS_MAX)) {
                li .row {
                    @let binary = binary(visit, opened, one);
                    @if let Some(one) = here(one, binary.as_ref()) {
                        @let at = visit.at(&format!("{path}/file/{number}"));
                        @if shown_as(one.content_type).is_some() {
                            a .button .quiet href={(at) "/open"} { (words::open_document(number, one.extension())) }
                        }
                        a .button .quiet href=(at) { (words::get_document(number, one.extension(), kilobytes(&one))) }
                    } @else { (words::elsewhere(number)) }
                }
            }
        }
        @if all.len() > DOCUMENTS_MAX { p { (words::more_documents(all.len() - DOCUMENTS_MAX)) } }
    }
}

/// `GET /portal/[record]/item/[entry]/file/[number]`
pub(super) async fn file(visit: Visit) -> Response {
    match find(&visit).await {
        Ok((name, one)) => visit.download(&name, one.data.into()),
        Err(error) => visit.titled(Page::Timeline, WHAT, Err(error)).await,
    }
}

/// `GET /portal/[record]/item/[entry]/file/[number]/open`
pub(super) async fn open(visit: Visit) -> Response {
    match find(&visit).await {
        Ok((name, one)) => match shown_as(&one.content_type) {
            Some(media) => visit.shown(&name, &media, one.data.into()),
            None => visit.download(&name, one.data.into()),
        },
        Err(error) => visit.titled(Page::Timeline, WHAT, Err(error)).await,
    }
}

/// The document of this visit's path, with a name for its file.
async fn find(visit: &Visit) -> Result<(String, Attachment), GatewayError> {
    let opened = visit.open().await?;
    let (_, version) = opened.find(visit.parameter("entry")).ok_or_else(gone)?;
    let tree = tree(version).ok_or_else(gone)?;
    let number = visit.parameter("number").parse::<usize>().unwrap_or_default();
    let place = number.checked_sub(1).filter(|place| *place < DOCUMENTS_MAX).ok_or_else(gone)?;
    let one = enclosures(&tree).get(place).copied().ok_or_else(gone)?;
    let binary = binary(visit, &opened, &one);
    let one = here(&one, binary.as_ref()).ok_or_else(gone)?;
    let name = format!("document-{}-{number}.{}", handle_of(version), one.extension());
    Ok((name, one.open().ok_or_else(damaged)?))
}

/// The Binary of the record that a document lies in.
fn binary(visit: &Visit, opened: &Opened, one: &Enclosure<'_>) -> Option<Value> {
    let Place::At(url) = one.place else { return None };
    let own = url.strip_prefix(&visit.gateway.base).map_or(url, |path| path.trim_start_matches('/'));
    let Reference::Relative { resource_type: ResourceType::BINARY, id } = Reference::parse(own) else { return None };
    tree(opened.seen.find(ResourceType::BINARY, &id)?.newest())
}

/// A document that lies in the resource, or in this Binary, which then says what it is.
fn here<'a>(one: &Enclosure<'a>, binary: Option<&'a Value>) -> Option<Enclosure<'a>> {
    let of = |binary| enclosures(binary).into_iter().find(|one| matches!(one.place, Place::Here(_)));
    match one.place {
        Place::Here(_) => Some(*one),
        Place::At(_) => binary.and_then(of),
    }
}

/// The type as which browsers show a document, where it is one that holds nothing to run. Markup is shown as the text
/// that it is.
fn shown_as(content_type: &str) -> Option<String> {
    let essence = essence(content_type);
    match essence.as_str() {
        "image/png" | "image/jpeg" | "application/pdf" => Some(essence),
        "text/plain" => Some(format!("text/plain; charset={}", charset(content_type))),
        "application/xml" | "text/xml" | "application/hl7-v3+xml" => Some("text/plain; charset=utf-8".to_owned()),
        _ => None,
    }
}

/// The charset that a type names, where it is a word.
fn charset(content_type: &str) -> String {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let word = |text: &str| text.trim().trim_matches('"').to_ascii_lowercase();
    let is_word = |text: &String| {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        letters && (1..=CHARSET_BYTES_MAX).contains(&text.len())
    };
    named.map(|(_, value)| word(value)).find(is_word).unwrap_or_else(|| "utf-8".to_owned())
}

fn damaged() -> GatewayError {
    let (text, remedy) = ("the document is not base64", "ask whoever wrote it to send it again");
    GatewayError::request(404, IssueCode::Structure, "document-damaged", text, remedy)
}

/// Documents of one resource that can be opened.
const DOCUMENTS_MAX: usize = 20;
/// Longest name of a charset.
const CHARSET_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_nothing_to_run_is_shown() {
        for (given, shown) in [
            ("image/png", Some("image/png")),
            ("IMAGE/JPEG; x=y", Some("image/jpeg")),
            ("application/pdf", Some("application/pdf")),
            ("text/plain", Some("text/plain; charset=utf-8")),
            ("text/plain;Charset=\"ISO-8859-1\"", Some("text/plain; charset=iso-8859-1")),
            ("text/plain; charset=a\r\nb: c", Some("text/plain; charset=utf-8")),
            ("text/xml", Some("text/plain; charset=utf-8")),
            ("application/hl7-v3+xml", Some("text/plain; charset=utf-8")),
            ("text/html", None),
            ("image/svg+xml", None),
            ("application/xhtml+xml", None),
            ("text/javascript", None),
            ("image/png, text/html", None),
            ("multipart/x-mixed-replace", None),
            ("", None),
        ] {
            assert_eq!(shown_as(given).as_deref(), shown, "{given:?}");
        }
    }
}
