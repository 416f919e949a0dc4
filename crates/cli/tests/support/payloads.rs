//! Injections as they come in names, values, notes and narratives: what browsers run, what they fetch, and what breaks out
//! of attributes, elements and address bars.

use serde_json::{Value, json};

use super::SYSTEM;
use super::patient::transaction;

/// What strikes. `MARK` is what a script would leave, `TRAP` an address that hears every request.
const STRIKES: [&str; 40] = [
    "<script>MARK</script>",
    "<script src=//TRAP/a.js></script>",
    "<img src=x onerror=MARK>",
    "<img src=http://TRAP/b.png>",
    "<svg onload=MARK>",
    "<svg><script>MARK</script></svg>",
    "<svg><animate onbegin=MARK attributeName=x dur=1s>",
    "<iframe src=\"javascript:MARK\"></iframe>",
    "<iframe srcdoc=\"<script>parent.MARK</script>\"></iframe>",
    "<object data=http://TRAP/c></object>",
    "<embed src=http://TRAP/d>",
    "<link rel=stylesheet href=http://TRAP/e.css>",
    "<style>@import 'http://TRAP/f.css';</style>",
    "<style>*{background:url(http://TRAP/g)}</style>",
    "<meta http-equiv=refresh content=\"0;url=http://TRAP/h\">",
    "<base href=http://TRAP/>",
    "<form action=http://TRAP/i><button autofocus onfocus=MARK>",
    "<input autofocus onfocus=MARK>",
    "<details open ontoggle=MARK>",
    "<video src=http://TRAP/j onerror=MARK></video>",
    "<audio src=http://TRAP/k onloadstart=MARK></audio>",
    "<body onload=MARK>",
    "<math><mi xlink:href=\"javascript:MARK\">x</mi></math>",
    "<a href=\"javascript:MARK\">click</a>",
    "\"><script>MARK</script>",
    "'><script>MARK</script>",
    "\" autofocus onfocus=\"MARK\" x=\"",
    "' onmouseover='MARK",
    "</title><script>MARK</script>",
    "</textarea><script>MARK</script>",
    "</select><script>MARK</script>",
    "--><script>MARK</script>",
    "]]><script>MARK</script>",
    "{{constructor.constructor('MARK')()}}",
    "${MARK}",
    "<div hx-get=http://TRAP/l hx-trigger=load>x</div>",
    "<div hx-on::load=MARK data-hx-get=http://TRAP/m>x</div>",
    "<div style=\"background:url(http://TRAP/n)\">x</div>",
    "javascript:MARK",
    "%3Cscript%3EMARK%3C/script%3E",
];

/// Where they stand.
const PLACES: [&str; 5] = ["name", "value", "source", "note", "document"];

/// 200 of them, each with a number that shows on the page.
pub(crate) fn all(trap: &str) -> Vec<(usize, String)> {
    let strikes = PLACES.iter().flat_map(|_| STRIKES.iter());
    let with = |(number, strike): (usize, &&str)| {
        let mark = format!("window.struck=alert({number})");
        (number, format!("#{number:03}#{}", strike.replace("MARK", &mark).replace("TRAP", trap)))
    };
    strikes.enumerate().map(with).collect()
}

/// A plain name beside the others of [`person`], to find them by.
pub(crate) const GIVEN: &str = "Striker";

/// A patient whose names are two of them, as a Bundle.
pub(crate) fn person(patient: usize, payloads: &[(usize, String)]) -> Value {
    let (family, given) = (&payloads[0].1, &payloads[26].1);
    transaction(&[json!({
        "resourceType": "Patient", "id": format!("p{patient}"), "birthDate": "1960-06-07",
        "identifier": [{"system": SYSTEM, "value": patient.to_string()}], "name": [{"family": family, "given": [given, GIVEN]}],
    })])
}

/// The record that holds them, in Bundles of a moderate size, with its patient first.
pub(crate) fn bundles(patient: usize, payloads: &[(usize, String)]) -> Vec<Value> {
    let mut bundles = vec![person(patient, payloads)];
    for some in payloads.chunks(50) {
        bundles
            .push(transaction(&some.iter().map(|(number, text)| resource(patient, *number, text)).collect::<Vec<_>>()));
    }
    bundles
}

/// What the page at hand has that would run or load something, as markup; and whether something ran.
pub(crate) const STRUCK: &str = "[...document.querySelectorAll('script:not([src^=\"/assets/\"]), iframe, object, embed, base, math, style, \
     meta[http-equiv], [onerror], [onload], [onclick], [onfocus], [style], img, main link')].map((one) => one.outerHTML)\
     .concat(typeof window.struck === 'undefined' ? [] : ['a script ran'])";

/// The kind and id of one of them, as a path.
pub(crate) fn path(number: usize) -> String {
    let kind = match PLACES[number / STRIKES.len()] {
        "note" => "MedicationRequest",
        "document" => "DocumentReference",
        _ => "Observation",
    };
    format!("{kind}/strike-{number}")
}

fn resource(patient: usize, number: usize, text: &str) -> Value {
    let (id, subject) = (format!("strike-{number}"), json!({"reference": format!("Patient/p{patient}")}));
    // A narrative as strict as the gateway wants it, whose text strikes once somebody reads it as markup.
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let narrative =
        json!({"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{escaped}</div>")});
    let date = format!("2026-{:02}-{:02}", number % 12 + 1, number % 28 + 1);
    let observation = |code: &str, more: Value| {
        let mut one = json!({
            "resourceType": "Observation", "id": id, "status": "final", "subject": subject, "text": narrative,
            "code": {"text": code}, "effectiveDateTime": date,
        });
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    match PLACES[number / STRIKES.len()] {
        "name" => observation(text, json!({"valueQuantity": {"value": 1, "unit": text}})),
        "value" => observation("A value", json!({"valueString": text})),
        "source" => observation("From somebody", json!({"valueInteger": 1, "performer": [{"display": text}]})),
        "note" => json!({
            "resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order", "subject": subject,
            "text": narrative, "medicationCodeableConcept": {"text": text}, "authoredOn": date,
            "dosageInstruction": [{"text": text}], "note": [{"text": text}],
        }),
        _ => json!({
            "resourceType": "DocumentReference", "id": id, "status": "current", "subject": subject, "text": narrative,
            "date": format!("{date}T10:00:00Z"), "description": text, "author": [{"display": text}],
            "content": [{"attachment": {"contentType": "text/html", "title": text, "data": "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}}],
        }),
    }
}
