//! Words of the summary as a PDF, and of documents in the record.
#![allow(missing_docs, reason = "the words say what they are")]

pub const TITLE: &str = "Health summary";
pub const TEXT: &str = "The most important things on a few pages, with where each comes from.";
pub const DOWNLOAD: &str = "Download as PDF";

/// At the foot of each page.
pub fn foot(page: usize, of: usize) -> String {
    format!("{TITLE}, page {page} of {of}")
}

/// Where something comes from: its date, who says so, and the hospital that signed it.
pub fn origin(date: &str, source: Option<&str>, hospital: &str) -> String {
    match source {
        Some(source) => format!("{date}, {source}; signed by {hospital}"),
        None => format!("{date}; signed by {hospital}"),
    }
}

pub fn open_document(number: usize, ending: &str) -> String {
    format!("Open document {number} ({ending})")
}

pub fn get_document(number: usize, ending: &str, kilobytes: usize) -> String {
    format!("Download document {number} ({ending}, {kilobytes} kB)")
}

/// Of a document that the record only names.
pub fn elsewhere(number: usize) -> String {
    format!("Document {number} is not in this record: only where it is stood in it. Ask whoever wrote it.")
}

pub fn more_documents(count: usize) -> String {
    format!("And {count} more, which are in the original.")
}
