//! Taking the record along: on paper, as a summary for other hospitals, or all of it.

use axum::response::Response;
use http::{HeaderValue, header};
use maud::html;
use sealwort_fhir::IssueCode;
use sealwort_pages::words::{papers, portal as words};

use super::Page;
use super::visit::Visit;
use crate::error::GatewayError;

/// `GET /portal/[record]/export`
pub(super) async fn show(visit: Visit) -> Response {
    let card = |title: &str, text: &str, href: String, button: &str| {
        html! { li .card { h2 { (title) } p { (text) } p { a .button href=(href) { (button) } } } }
    };
    let content = html! {
        p { (words::EXPORT_TEXT) }
        ul .cards {
            li .card {
                h2 { (words::EXPORT_PRINT) }
                p { (papers::TEXT) }
                p .row {
                    a .button href=(visit.at("/print/pdf")) { (papers::DOWNLOAD) }
                    a .button .quiet href=(visit.at("/print")) { (words::EXPORT_PRINT_BUTTON) }
                }
            }
            (card(words::EXPORT_SUMMARY, words::EXPORT_SUMMARY_TEXT, visit.at("/export/summary"), words::EXPORT_SUMMARY_BUTTON))
            (card(words::EXPORT_ALL, words::EXPORT_ALL_TEXT, visit.at("/export/everything"), words::EXPORT_ALL_BUTTON))
        }
    };
    visit.answer(Page::Export, Ok(content)).await
}

/// `GET /portal/[record]/export/[form]`: what `$phr-export` gives to whoever asks with this visitor's token.
pub(super) async fn file(visit: Visit) -> Response {
    let (format, name) = match visit.parameter("form") {
        "summary" => ("ips", "patient-summary.json"),
        "everything" => ("sphr", "health-record.sphr"),
        _ => return visit.answer(Page::Export, Err(super::super::read::not_found())).await,
    };
    let url = format!("/Patient/{}/$phr-export?outputFormat={format}", visit.patient());
    match visit.file(&url).await {
        Ok(mut response) if response.status().is_success() => {
            let kept = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
            response
                .headers_mut()
                .insert(header::CONTENT_DISPOSITION, kept.unwrap_or(HeaderValue::from_static("attachment")));
            response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Ok(response) => {
            let status = response.status().as_u16();
            let (text, remedy) = ("the file could not be made", "try again");
            let error = GatewayError::request(status, IssueCode::Exception, "export-failed", text, remedy);
            visit.answer(Page::Export, Err(error)).await
        }
        Err(error) => visit.answer(Page::Export, Err(error)).await,
    }
}
