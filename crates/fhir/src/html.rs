//! A page for a browser that asked for a resource: what it is, its elements as a table, and the JSON as
//! it was sent. It is served under `default-src 'none'; style-src 'self'`, so it has no script, no
//! inline style and no picture. Narratives are shown as plain text: their markup came from elsewhere.
//! Everything is escaped, and nothing becomes a link but what lies below this server's base.

mod text;

use std::cell::Cell;

use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};

use crate::ResourceId;
use crate::display::{self, line};
use crate::error::FhirError;
use crate::reference::Reference;

/// The stylesheet, to be served as `text/css` at the path given as [`Page::stylesheet`].
pub const STYLESHEET: &str = include_str!("html/style.css");

/// Most values laid out on a page; the JSON below shows the rest.
const VALUES_MAX: usize = 20_000;

/// Where a page stands.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Path of [`STYLESHEET`] on this server.
    pub stylesheet: &'a str,
    /// The server's base, `https://hospital.example/fhir` or `/fhir`: links lead to places below it.
    pub base_url: &'a str,
}

/// The page of a resource or Bundle.
///
/// # Errors
/// [`FhirError::NotUtf8`], [`FhirError::Syntax`] and [`FhirError::NotAnObject`] where the bytes are no
/// JSON object.
pub fn page(bytes: &[u8], place: &Page<'_>) -> Result<String, FhirError> {
    let raw = crate::json::utf8(bytes)?;
    let value: Value = serde_json::from_str(raw).map_err(|e| FhirError::Syntax {
        line: e.line(),
        column: e.column(),
        expression: "Resource".to_owned(),
        reason: "the JSON reader refuses it",
    })?;
    let Value::Object(resource) = &value else {
        return Err(FhirError::NotAnObject { expression: "Resource".to_owned() });
    };
    let layout = Layout { base: place.base_url.trim_end_matches('/'), left: Cell::new(VALUES_MAX) };
    let name = display::text(&value, "resourceType").unwrap_or("Resource");
    let id = display::text(&value, "id");
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                // No name of a person: titles end up in histories and on shared screens.
                title { (name) @if let Some(id) = id { " " (id) } }
                link rel="stylesheet" href=(place.stylesheet);
            }
            body {
                header {
                    p { a href={ (layout.base) "/metadata" } { "FHIR R4" } }
                    h1 { (name) @if let Some(person) = display::name(&value) { ": " (person) } }
                    (facts(&value))
                }
                main {
                    @match name {
                        "OperationOutcome" => section aria-labelledby="messages" {
                            h2 id="messages" { "Messages" }
                            (issues(&value))
                        },
                        "Bundle" => (layout.bundle(&value)),
                        _ => {},
                    }
                    @if name != "Bundle" {
                        section aria-labelledby="elements" {
                            h2 id="elements" { "Elements" }
                            (layout.elements(resource, "Elements of the resource"))
                        }
                    }
                    section aria-labelledby="source" {
                        h2 id="source" { "JSON" }
                        details { summary { "The resource as it was sent" } pre tabindex="0" { code { (raw) } } }
                    }
                }
            }
        }
    };
    Ok(markup.into_string())
}

/// Type, id, version, time.
fn facts(value: &Value) -> Markup {
    let meta = value.get("meta");
    let of_meta = |name| meta.and_then(|meta| display::text(meta, name));
    let rows = [
        ("Id", display::text(value, "id")),
        ("Version", of_meta("versionId")),
        ("Last updated", of_meta("lastUpdated")),
        ("Status", display::text(value, "status")),
    ];
    html! {
        dl .facts {
            @for (name, fact) in rows {
                @if let Some(fact) = fact { div { dt { (name) } dd { (fact) } } }
            }
        }
    }
}

struct Layout<'a> {
    base: &'a str,
    /// Values that may still be laid out.
    left: Cell<usize>,
}

impl Layout<'_> {
    fn elements(&self, object: &Map<String, Value>, caption: &str) -> Markup {
        html! {
            table {
                caption { (caption) }
                thead { tr { th scope="col" { "Element" } th scope="col" { "Value" } } }
                tbody {
                    @for (name, value) in object {
                        tr { th scope="row" { (name) } td { (self.value(name, value)) } }
                    }
                }
            }
        }
    }

    /// One value, whatever its kind. `name` is that of the element that holds it.
    fn value(&self, name: &str, value: &Value) -> Markup {
        let left = self.left.get();
        if left == 0 {
            return html! { em { "not laid out; see the JSON" } };
        }
        self.left.set(left - 1);
        match value {
            Value::Object(object) => self.object(name, object, value),
            Value::Array(list) => html! {
                @if let [only] = list.as_slice() { (self.value(name, only)) }
                @else { ol { @for item in list { li { (self.value(name, item)) } } } }
            },
            Value::String(text) => self.string(name, text),
            Value::Null => html! { em { "none" } },
            Value::Bool(_) | Value::Number(_) => html! { (line(value).unwrap_or_default()) },
        }
    }

    fn object(&self, name: &str, object: &Map<String, Value>, value: &Value) -> Markup {
        let parts = || {
            html! {
                dl {
                    @for (name, value) in object { div { dt { (name) } dd { (self.value(name, value)) } } }
                }
            }
        };
        if name == "text" && object.contains_key("div") {
            let narrative = text::plain(display::text(value, "div").unwrap_or_default());
            return html! { p .narrative { (narrative) } };
        }
        // What has a type that we know is one line; its parts are a click away.
        let Some(said) = line(value) else { return parts() };
        let link = display::text(value, "reference").and_then(|reference| self.link(reference));
        html! {
            @match link {
                Some(href) => a href=(href) { (said) },
                None => (said),
            }
            @if object.len() > 1 { details { summary { "parts" } (parts()) } }
        }
    }

    fn string(&self, name: &str, text: &str) -> Markup {
        let link = if matches!(name, "reference" | "url" | "fullUrl") { self.link(text) } else { None };
        html! {
            @match link {
                Some(href) => a href=(href) { (text) },
                None => (text),
            }
        }
    }

    /// The place on this server that a reference names. Nothing else is a link: neither other servers
    /// nor schemes such as `javascript:`.
    fn link(&self, reference: &str) -> Option<String> {
        let below = reference.strip_prefix(self.base).and_then(|rest| rest.strip_prefix('/'));
        let relative = below.filter(|_| !self.base.is_empty()).unwrap_or(reference);
        // `Type/id/_history/version`, each part of the grammar of ids: nothing is left to escape.
        let Reference::Relative { resource_type, id } = Reference::parse(relative) else { return None };
        let version = relative.split_once("/_history/").and_then(|(_, version)| version.parse::<ResourceId>().ok());
        let version = version.map(|version| format!("/_history/{version}")).unwrap_or_default();
        Some(format!("{}/{resource_type}/{id}{version}", self.base))
    }

    fn bundle(&self, bundle: &Value) -> Markup {
        let entries = list(bundle, "entry");
        html! {
            nav aria-label="Pages" {
                @for link in list(bundle, "link") {
                    @if let (Some(relation), Some(href)) = (display::text(link, "relation"), self.own_page(link)) {
                        a href=(href) { (relation) } " "
                    }
                }
            }
            section aria-labelledby="entries" {
                h2 id="entries" { "Entries" }
                p {
                    (entries.len()) " on this page"
                    @if let Some(total) = bundle.get("total").and_then(line) { ", " (total) " in all" }
                    @if let Some(kind) = display::text(bundle, "type") { " (" (kind) ")" }
                }
                @for (at, entry) in entries.iter().enumerate() { (self.entry(at, entry)) }
            }
        }
    }

    fn entry(&self, at: usize, entry: &Value) -> Markup {
        let resource = entry.get("resource");
        let name = resource.and_then(|resource| display::text(resource, "resourceType"));
        let id = resource.and_then(|resource| display::text(resource, "id"));
        let title = match (name, id) {
            (Some(name), Some(id)) => format!("{name}/{id}"),
            _ => name.map_or_else(|| format!("entry {at}"), str::to_owned),
        };
        let said =
            resource.and_then(|resource| display::name(resource).or_else(|| display::concept(resource.get("code")?)));
        html! {
            article {
                h3 {
                    @match self.link(&title) {
                        Some(href) => a href=(href) { (title) },
                        None => (title),
                    }
                    @if let Some(said) = said { ": " (said) }
                }
                @if let Some(date) = resource.and_then(display::date) { p { (date) } }
                @if let Some(resource) = resource.filter(|_| name == Some("OperationOutcome")) {
                    (issues(resource))
                }
                @if let Value::Object(members) = entry {
                    details {
                        summary { "elements" }
                        (self.elements(members, &format!("Elements of {title}")))
                    }
                }
            }
        }
    }

    /// A page of this search or history, if it is one of ours.
    fn own_page<'v>(&self, link: &'v Value) -> Option<&'v str> {
        let url = display::text(link, "url")?;
        let rest = url.strip_prefix(self.base)?;
        // `/fhir` must not let `/fhirx`, `/fhir/..` or, with an empty base, `//elsewhere` through.
        let own = rest.starts_with('?') || rest.starts_with('/') && !rest.starts_with("//");
        let path = rest.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
        let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
        (own && !climbs && !url.chars().any(|c| c.is_control() || c == '\\')).then_some(url)
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The issues of an OperationOutcome as messages.
fn issues(outcome: &Value) -> Markup {
    let message =
        |issue: &Value| issue.get("details").and_then(line).or_else(|| issue.get("diagnostics").and_then(line));
    html! {
        ul .issues {
            @for issue in list(outcome, "issue") {
                @let severity = severity(issue);
                li .(severity) {
                    strong { (severity) } ": " (message(issue).unwrap_or_else(|| "no further message".to_owned()))
                    @for place in list(issue, "expression") { " " code { (line(place).unwrap_or_default()) } }
                }
            }
        }
    }
}

/// The severity by its own word, since it becomes a class.
fn severity(issue: &Value) -> &'static str {
    match display::text(issue, "severity") {
        Some("fatal") => "fatal",
        Some("warning") => "warning",
        Some("information") => "information",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;

    const PLACE: Page<'_> = Page { stylesheet: "/style.css", base_url: "https://h.example/fhir" };

    /// A page that is sound markup, and the links in it. Elements and attributes are those we write.
    fn check(json: &str) -> (String, Vec<String>) {
        const ELEMENTS: &str = " html head meta title link body header main nav section article h1 h2 h3 p a dl dt dd \
            div table caption thead tbody tr th td ol ul li details summary pre code strong em ";
        const ATTRIBUTES: &str =
            " lang charset name content rel href class id scope aria-label aria-labelledby tabindex ";
        let page = page(json.as_bytes(), &PLACE).unwrap();
        let mut reader = Reader::from_str(&page);
        reader.config_mut().check_end_names = false;
        let mut links = Vec::new();
        loop {
            match reader.read_event().unwrap_or_else(|e| panic!("{e}: {page}")) {
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = tag.name().as_ref().to_owned();
                    assert!(ELEMENTS.contains(&format!(" {name} ")), "{name} in {page}");
                    for attribute in tag.attributes() {
                        let attribute = attribute.unwrap_or_else(|e| panic!("{e}: {page}"));
                        let key = attribute.key.as_ref();
                        assert!(ATTRIBUTES.contains(&format!(" {key} ")), "{key} in {page}");
                        if key == "href" && name == "a" {
                            links.push(attribute.value.into_owned());
                        }
                    }
                }
                Event::Comment(_) | Event::CData(_) | Event::PI(_) => panic!("{page}"),
                Event::Eof => break,
                _ => {}
            }
        }
        (page, links)
    }

    #[test]
    fn a_patient() {
        let (page, links) = check(
            r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":"3","lastUpdated":"2026-01-02T03:04:05.000Z"},
            "text":{"status":"generated","div":"<div><p>Ada &amp; <b>more</b></p></div>"},"name":[{"given":["Ada"],"family":"Byron"}],
            "birthDate":"1815-12-10","_birthDate":{"extension":[{"url":"u","valueDateTime":"1815-12-10T05:00"}]},"multipleBirthInteger":2,"active":true,
            "managingOrganization":{"reference":"Organization/o/_history/2","display":"Home"},"x":1.10,"y":null,"z":[]}"#,
        );
        // Once for the display, once among the parts.
        let organization = "https://h.example/fhir/Organization/o/_history/2";
        assert_eq!(links, ["https://h.example/fhir/metadata", organization, organization]);
        for part in [
            "<!DOCTYPE html><html lang=\"en\">",
            "<title>Patient p1</title>",
            "<link rel=\"stylesheet\" href=\"/style.css\">",
            "<h1>Patient: Ada Byron</h1>",
            "<dt>Version</dt><dd>3</dd>",
            "<dt>Last updated</dt><dd>2026-01-02T03:04:05.000Z</dd>",
            "<th scope=\"row\">birthDate</th><td>1815-12-10</td>",
            "<p class=\"narrative\">Ada &amp; more</p>",
            "1815-12-10T05:00",
            "<td>1.10</td>",
            "<td>yes</td>",
            ">Home</a>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn bundles_and_outcomes() {
        let (page, links) = check(
            r#"{"resourceType":"Bundle","type":"searchset","total":7,"link":[
                {"relation":"self","url":"https://h.example/fhir/Patient?name=a&b"},
                {"relation":"next","url":"https://h.example/fhir?page=x"},{"relation":"bad","url":"https://h.example/fhirx"},
                {"relation":"worse","url":"https://h.example/fhir//e"},{"relation":"no","url":"https://e.example/fhir/Patient"}],
            "entry":[{"fullUrl":"https://h.example/fhir/Condition/c","resource":{"resourceType":"Condition","id":"c","code":{"text":"Asthma"},"subject":{"reference":"Patient/p"}},"search":{"mode":"match"}},
                {"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","details":{"text":"withheld"}}]}}]}"#,
        );
        assert_eq!(
            links,
            [
                "https://h.example/fhir/metadata",
                "https://h.example/fhir/Patient?name=a&amp;b",
                "https://h.example/fhir?page=x",
                "https://h.example/fhir/Condition/c",
                "https://h.example/fhir/Condition/c",
                "https://h.example/fhir/Patient/p",
            ]
        );
        for part in ["2 on this page, 7 in all", ": Asthma", "<li class=\"warning\"><strong>warning</strong>: withheld"]
        {
            assert!(page.contains(part), "{part} in {page}");
        }
        let outcome = crate::FhirError::NoPatient.outcome();
        let (page, _) = check(std::str::from_utf8(&outcome.to_bytes()).unwrap());
        assert!(page.contains("<strong>error</strong>: the Bundle names no patient"), "{page}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (bytes, code) in [(&b"[]"[..], "not-an-object"), (b"{", "not-json"), (b"\xff", "not-utf-8")] {
            assert_eq!(page(bytes, &PLACE).unwrap_err().code(), code);
        }
        check("{}");
    }

    #[test]
    fn large_resources_make_bounded_pages() {
        let json = format!("{{\"resourceType\":\"Basic\",\"x\":[{}0]}}", "[0,0],".repeat(40_000));
        let (page, _) = check(&json);
        assert!(page.contains("not laid out"));
        assert!(page.len() < json.len() * 3 + VALUES_MAX * 64, "{}", page.len());
    }

    /// Every payload in every place leaves markup of ours alone, and no link but ours.
    #[test]
    fn injections_stay_text() {
        let heads = [
            "",
            "\"",
            "'",
            "\">",
            "'>",
            "-->",
            "]]>",
            "</title>",
            "</code></pre>",
            "</td></table>",
            "&quot;",
            "\\",
            "\u{0}",
            "\u{202e}",
        ];
        let payloads = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<a href=javascript:alert(1)>x</a>",
            " onmouseover=alert(1) x=",
            "<style>*{display:none}</style>",
            "<iframe srcdoc='<script>alert(1)</script>'>",
            "<base href=//e.example/>",
            "<meta http-equiv=refresh content=0;url=//e.example>",
            "<form action=//e.example><input>",
            "<!--",
            "<![CDATA[<script>alert(1)</script>]]>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "&#60;script&#62;",
            "{{constructor.constructor('alert(1)')()}}",
        ];
        let links = [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\tscript:alert(1)",
            " javascript:alert(1)",
            "javascript:alert(1)//Patient/1",
            "javascript://h.example/Patient/1",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
            "//e.example/Patient/1",
            "https://e.example/fhir/Patient/1",
            "https://h.example/fhir@e.example/Patient/1",
            "https://h.example/fhir.e.example/Patient/1",
            "https://h.example/fhir/../../Patient/1",
            "https://h.example/fhir/%2E./Patient/1",
            "Patient/1\"onclick=\"alert(1)",
            "Patient/1?x=javascript:alert(1)",
            "Patient/../1",
            "file:///etc/passwd",
            "https://h.example/fhir//e.example",
            "\\\\e.example/Patient/1",
        ];
        let mut all: Vec<String> =
            heads.iter().flat_map(|head| payloads.map(|payload| format!("{head}{payload}"))).collect();
        all.extend(links.map(str::to_owned));
        assert!(all.len() >= 200, "{}", all.len());
        for payload in &all {
            let text = Value::from(payload.as_str()).to_string();
            for json in [
                format!(
                    r#"{{"resourceType":{text},"id":{text},"meta":{{"versionId":{text},"lastUpdated":{text}}},"status":{text},"language":{text},
                    "name":[{{"family":{text}}}],"text":{{"div":{text}}},{text}:{text},"url":{text},"subject":{{"reference":{text},"display":{text}}},
                    "code":{{"coding":[{{"system":{text},"code":{text},"display":{text}}}]}},"valueQuantity":{{"value":1,"unit":{text}}},"other":{{"reference":{text}}}}}"#
                ),
                format!(
                    r#"{{"resourceType":"OperationOutcome","issue":[{{"severity":{text},"details":{{"text":{text}}},"diagnostics":{text},"expression":[{text}]}}]}}"#
                ),
                format!(
                    r#"{{"resourceType":"Bundle","type":{text},"total":{text},"link":[{{"relation":{text},"url":{text}}}],
                    "entry":[{{"fullUrl":{text},"resource":{{"resourceType":{text},"id":{text},"name":{text},"code":{{"text":{text}}},"text":{{"div":{text}}}}}}}]}}"#
                ),
            ] {
                let (_, links) = check(&json);
                for link in links {
                    let ours = ["https://h.example/fhir/metadata", "https://h.example/fhir/Patient/1"];
                    assert!(ours.contains(&link.as_str()), "{payload}: {link}");
                }
            }
        }
        println!("{} payloads", all.len());
    }

    #[test]
    fn the_stylesheet_loads_nothing() {
        for word in ["url(", "@import", "expression(", "</", "http"] {
            assert!(!STYLESHEET.contains(word), "{word}");
        }
        assert!(STYLESHEET.contains("prefers-color-scheme: dark"));
    }
}
