//! What a patient takes away from the portal and what they open there: the summary as a PDF, and documents of the record,
//! which come as they were written and do nothing.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Site, no_foreign_words, record};
use crate::support::pages::Pages;
use crate::support::text;

/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF: &str = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n\
                   trailer<</Root 1 0 R>>\n";
const NOTE: &str = "Grüße an <b>alle</b> <script>window.struck=1</script>";

pub(crate) fn check(site: &Site, pages: &mut Pages, place: &Path) {
    as_a_pdf(site, pages, place);
    documents_come_as_they_were_written(site, pages, place);
    documents_do_nothing(site, pages);
}

fn as_a_pdf(site: &Site, pages: &mut Pages, place: &Path) {
    pages.open(&site.page("/export"));
    let file = pages.download(&json!({"name": "Download as PDF"}), &place.join("pdf"));
    assert_eq!(file.file_name().unwrap(), "health-summary.pdf", "its name tells nobody whose it is");
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"%PDF-1.7"), "{:?}", bytes.get(..8));
    assert!(bytes.len() < 100_000, "the font is cut down: {} bytes", bytes.len());
    let Ok(read) = Command::new("pdftotext").args(["-enc", "UTF-8", text(&file), "-"]).output() else {
        eprintln!("SKIPPED: pdftotext is not installed; run scripts/install.sh");
        return;
    };
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read = String::from_utf8(read.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "For: Ada Beispiel",
        "Born: 3 February 1961",
        "Ibuprofen one in the morning",
        "Dr Bell; signed by hospital-a",
        "Blood pressure: 142/91 mmHg",
        "Asthma",
        "Peanuts",
        "Tetanus",
        "page 1 of",
    ] {
        assert!(read.contains(wanted), "{wanted}: {read}");
    }
    for unwanted in ["Old fracture", "written by mistake", "Patient/", "FHIR"] {
        assert!(!read.contains(unwanted), "{unwanted}: {read}");
    }
}

fn reference(id: &str, description: &str, attachments: &[Value]) -> Value {
    let content: Vec<Value> = attachments.iter().map(|one| json!({"attachment": one})).collect();
    json!({
        "resourceType": "DocumentReference", "id": id, "status": "current", "subject": {"reference": "Patient/p1"},
        "date": "2026-05-07T08:00:00Z", "description": description, "content": content,
    })
}

fn attachment(content_type: &str, content: &str) -> Value {
    json!({"contentType": content_type, "data": STANDARD.encode(content)})
}

/// What a browser is given at an address of this origin: status, headers and bytes.
fn fetched(pages: &mut Pages, url: &str) -> (Value, Vec<u8>) {
    let got = pages.evaluate(&format!(
        "fetch({url:?}).then(async (answer) => ({{status: answer.status, headers: Object.fromEntries(answer.headers), \
         data: btoa(String.fromCharCode(...new Uint8Array(await answer.arrayBuffer())))}}))"
    ));
    let data = STANDARD.decode(got["data"].as_str().unwrap()).unwrap();
    (got, data)
}

/// Every document comes from this server, in a sandbox, and as no other type than it is said to be.
#[track_caller]
fn stands_alone(got: &Value, disposition: &str, media: &str) {
    let headers = &got["headers"];
    assert_eq!(got["status"], 200, "{got:#}");
    assert_eq!(headers["content-type"], media, "{headers:#}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    let found = headers["content-disposition"].as_str().unwrap();
    assert!(found.starts_with(&format!("{disposition}; filename=\"document-")), "{found}");
    let policy = headers["content-security-policy"].as_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.ends_with("sandbox"), "{policy}");
}

fn documents_come_as_they_were_written(site: &Site, pages: &mut Pages, place: &Path) {
    let scan = json!({"resourceType": "Binary", "id": "scan", "contentType": "image/png", "data": PNG});
    let all = reference(
        "xray",
        "X-ray of the hand",
        &[
            json!({"contentType": "image/png", "url": "Binary/scan"}),
            attachment("application/pdf", PDF),
            attachment("text/plain", NOTE),
            json!({"contentType": "image/png", "url": "https://elsewhere.example/scan.png"}),
            json!({"contentType": "image/png", "url": "Binary/nobodys"}),
        ],
    );
    site.put(&record::transaction(&[all, scan]));
    pages.open(&site.page("/timeline"));
    let item = pages.follow("X-ray of the hand").url;
    let shown = pages.check("item-documents", &item);
    shown.says("Document 4 is not in this record").says("Document 5 is not in this record");
    no_foreign_words(&shown);
    // What is in the Binary, byte by byte, shown and stored.
    let png = STANDARD.decode(PNG).unwrap();
    for (number, media, content) in [
        (1, "image/png", png.clone()),
        (2, "application/pdf", PDF.as_bytes().to_vec()),
        (3, "text/plain; charset=utf-8", NOTE.as_bytes().to_vec()),
    ] {
        let (got, bytes) = fetched(pages, &format!("{item}/file/{number}/open"));
        stands_alone(&got, "inline", media);
        assert_eq!(bytes, content, "document {number}");
        let (got, bytes) = fetched(pages, &format!("{item}/file/{number}"));
        stands_alone(&got, "attachment", "application/octet-stream");
        assert_eq!(bytes, content, "document {number}");
    }
    let stored = pages.download(&json!({"name": "Download document 1 (png, 1 kB)"}), &place.join("scan"));
    assert_eq!(fs::read(&stored).unwrap(), png);
    pages.follow("Open document 1 (png)");
    assert_eq!(pages.evaluate("[document.images.length, document.images[0].naturalWidth]"), json!([1, 1]));
    pages.open(&item);
    pages.follow("Open document 3 (txt)").says(NOTE);
    assert_eq!(pages.evaluate("typeof window.struck"), "undefined");
    pages.open(&item);
    for number in ["0", "4", "5", "6", "99999999999999999999", "-1", "x"] {
        let (got, _) = fetched(pages, &format!("{item}/file/{number}"));
        assert_eq!(got["status"], 404, "document {number}");
    }
}

/// Markup is stored, or shown as the text that it is. Nothing in it runs, and nobody hears of it.
fn documents_do_nothing(site: &Site, pages: &mut Pages) {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let at = trap.local_addr().unwrap();
    let script = format!("window.struck=1;alert(1);fetch('http://{at}/f')");
    let html = format!(
        "<!doctype html><html><head><link rel=stylesheet href=http://{at}/c><meta http-equiv=refresh \
         content='0;url=http://{at}/m'><script>{script}</script></head><body onload=\"{script}\"><img src=http://{at}/i \
         onerror=\"{script}\"><iframe src=http://{at}/x></iframe></body></html>"
    );
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"{script}\"><script>{script}</script>\
         <image href=\"http://{at}/s\"/></svg>"
    );
    let xml = format!(
        "<?xml version=\"1.0\"?><?xml-stylesheet href=\"http://{at}/t\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">\
         <script>{script}</script></html>"
    );
    let all = [
        ("text/html", &html, None),
        ("image/svg+xml", &svg, None),
        ("application/xhtml+xml", &xml, None),
        ("text/html; charset=utf-7", &html, None),
        // Named as what is shown, each is that and nothing else.
        ("text/xml", &xml, Some("text/plain; charset=utf-8")),
        ("text/plain", &html, Some("text/plain; charset=utf-8")),
        ("image/png", &html, Some("image/png")),
    ];
    let attachments: Vec<Value> = all.iter().map(|(media, content, _)| attachment(media, content)).collect();
    site.put(&record::transaction(&[reference("hostile", "Something hostile", &attachments)]));
    pages.open(&site.page("/timeline"));
    let item = pages.follow("Something hostile").url;
    for (number, (declared, content, shown)) in (1..).zip(all) {
        pages.open(&item);
        let (got, bytes) = fetched(pages, &format!("{item}/file/{number}/open"));
        match shown {
            Some(media) => stands_alone(&got, "inline", media),
            None => stands_alone(&got, "attachment", "application/octet-stream"),
        }
        assert_eq!(bytes, content.as_bytes(), "{declared}");
        let button = format!("main a[href$='/file/{number}/open']");
        assert_eq!(pages.count(&button), u64::from(shown.is_some()), "{declared}");
        if shown.is_some() {
            pages.follow_target(&json!(button));
            assert_eq!(pages.evaluate("[typeof window.struck, document.scripts.length]"), json!(["undefined", 0]));
            let heard = pages.tell(&json!({"heard": true}));
            assert_eq!(heard["dialogs"], json!([]), "{declared}");
        }
    }
    pages.open(&item);
    assert!(trap.accept().is_err(), "a document fetched something");
}
