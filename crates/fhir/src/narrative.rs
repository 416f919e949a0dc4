//! Narratives: the XHTML in `text.div` (R4 narrative.html). What passes here has no active content,
//! whether an XML or an HTML reader shows it: elements and attributes are those that the invariant
//! txt-1 lists, and nothing that the two kinds of reader see differently is let through.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Largest narrative, in bytes.
pub const NARRATIVE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Deepest nesting of elements.
pub const NARRATIVE_DEPTH_MAX: usize = 64;
/// Most attributes of one element.
pub const ATTRIBUTES_MAX: usize = 32;

const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Elements that txt-1 lists, sorted.
static ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "acronym",
    "b",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
];

/// Attributes that txt-1 lists, sorted; with `xml:lang`, which XHTML has beside `lang`.
static ATTRIBUTES: &[&str] = &[
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellhalign",
    "cellpadding",
    "cellspacing",
    "cellvalign",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "colspan",
    "compact",
    "coords",
    "dir",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "id",
    "lang",
    "longdesc",
    "name",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "span",
    "src",
    "start",
    "style",
    "summary",
    "tabindex",
    "title",
    "type",
    "valign",
    "value",
    "vspace",
    "width",
    "xml:lang",
];

/// Schemes that a link may have; one without a scheme is relative.
static SCHEMES: &[&str] = &["ftp", "http", "https", "mailto", "tel", "urn"];

/// Pictures that may stand in a `data:` URL of `img`. SVG can hold scripts.
static PICTURES: &[&str] =
    &["data:image/png;base64,", "data:image/gif;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,"];

/// What a style may not say: load, run, or cover what is outside the narrative. Compared in lower
/// case and without white space; escapes and comments could hide any of it.
static STYLES_REFUSED: &[&str] = &[
    "\\",
    "/*",
    "@",
    "<",
    "url(",
    "image-set(",
    "image(",
    "expression",
    "script",
    "behavior",
    "behaviour",
    "binding",
    "data:",
    "position:fixed",
    "position:absolute",
    "position:sticky",
];

/// Why a narrative is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NarrativeError {
    /// It is larger than the limit.
    #[error("the narrative has more than {NARRATIVE_BYTES_MAX} bytes")]
    TooLarge,
    /// Elements are nested too deep.
    #[error("elements of the narrative are nested deeper than {NARRATIVE_DEPTH_MAX} levels")]
    TooDeep,
    /// It is not well-formed XML.
    #[error("the narrative is not well-formed XML near byte {at}")]
    NotXml {
        /// Offset in the `div`.
        at: usize,
    },
    /// It is not one `div` in the namespace of XHTML.
    #[error("a narrative is one div with xmlns=\"{XHTML}\"")]
    Root,
    /// An element that R4 does not list.
    #[error("a narrative has no element {name}")]
    Element {
        /// Its name, shortened.
        name: String,
    },
    /// An attribute that R4 does not list.
    #[error("a narrative has no attribute {name}")]
    Attribute {
        /// Its name, shortened.
        name: String,
    },
    /// A link that does not lead to a document, a mailbox, a telephone, or inside the resource.
    #[error("the link in {attribute} has a scheme that a narrative may not use")]
    Link {
        /// `href`, `src`, `cite` or `longdesc`.
        attribute: &'static str,
    },
    /// A style that loads, runs or hides something.
    #[error("a style of the narrative loads or hides something")]
    Style,
    /// An entity that XML does not know.
    #[error("a narrative has no entities but amp, lt, gt, quot, apos and numbers")]
    Entity,
    /// A document type, processing instruction, CDATA section, or a comment with markup.
    #[error("a narrative has no {what}")]
    Markup {
        /// What was found.
        what: &'static str,
    },
    /// There is nothing to read in it (txt-2).
    #[error("the narrative is empty")]
    Empty,
}

impl NarrativeError {
    /// A stable code for `issue.details.coding`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "narrative-too-large",
            Self::TooDeep => "narrative-too-deep",
            Self::NotXml { .. } => "narrative-not-xml",
            Self::Root => "narrative-root",
            Self::Element { .. } => "narrative-element",
            Self::Attribute { .. } => "narrative-attribute",
            Self::Link { .. } => "narrative-link",
            Self::Style => "narrative-style",
            Self::Entity => "narrative-entity",
            Self::Markup { .. } => "narrative-markup",
            Self::Empty => "txt-2",
        }
    }

    /// What the sender can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::TooLarge | Self::TooDeep => "send a shorter summary",
            Self::NotXml { .. } => "close every element, quote every attribute, and write & as &amp;",
            Self::Root => "wrap the text in one div in the namespace of XHTML",
            Self::Element { .. } | Self::Attribute { .. } => {
                "use the formatting that http://hl7.org/fhir/R4/narrative.html#xhtml lists"
            }
            Self::Link { .. } => "link by http, https, mailto, tel, urn, or '#' and an id",
            Self::Style => "keep colours, borders and spacing; remove the rest",
            Self::Entity => "write the character itself, or its number, such as &#160;",
            Self::Markup { .. } => "remove it",
            Self::Empty => "write a sentence, or leave text out",
        }
    }
}

/// Checks a narrative. One pass over the text.
///
/// # Errors
/// The first fault, as [`NarrativeError`].
pub fn check(div: &str) -> Result<(), NarrativeError> {
    if div.len() > NARRATIVE_BYTES_MAX {
        return Err(NarrativeError::TooLarge);
    }
    if let Some(at) = div.find(|c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    }) {
        return Err(NarrativeError::NotXml { at });
    }
    let mut reader = Reader::from_str(div);
    let (mut depth, mut roots, mut has_content) = (0_usize, 0_usize, false);
    loop {
        let event = reader.read_event().map_err(|_| not_xml(&reader))?;
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                if depth == 0 {
                    roots += 1;
                }
                has_content |= check_start(start, depth == 0)?;
                if matches!(event, Event::Start(_)) {
                    depth += 1;
                }
                if depth > NARRATIVE_DEPTH_MAX {
                    return Err(NarrativeError::TooDeep);
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) => {
                let blank = text.chars().all(char::is_whitespace);
                if depth == 0 && !blank {
                    return Err(NarrativeError::Root);
                }
                has_content |= !blank;
            }
            Event::GeneralRef(reference) => {
                if depth == 0 {
                    return Err(NarrativeError::Root);
                }
                has_content |= !resolve(reference).ok_or(NarrativeError::Entity)?.is_whitespace();
            }
            // An HTML reader ends a comment elsewhere than an XML reader if there is markup in it.
            Event::Comment(text) if text.contains(['<', '>']) || text.contains("--") => {
                return Err(NarrativeError::Markup { what: "comment with markup" });
            }
            Event::Comment(_) => {}
            Event::CData(_) => return Err(NarrativeError::Markup { what: "CDATA section" }),
            Event::PI(_) | Event::Decl(_) => return Err(NarrativeError::Markup { what: "processing instruction" }),
            Event::DocType(_) => return Err(NarrativeError::Markup { what: "document type" }),
            Event::Eof => break,
        }
    }
    match (depth, roots, has_content) {
        (0, 1, true) => Ok(()),
        (0, 1, false) => Err(NarrativeError::Empty),
        (0, ..) => Err(NarrativeError::Root),
        _ => Err(NarrativeError::NotXml { at: div.len() }),
    }
}

/// The words of a narrative, blocks on lines of their own, white space collapsed. It stops at the
/// first fault of the XML, and never gives back markup.
pub fn text_of(div: &str) -> String {
    let mut reader = Reader::from_str(div.get(..NARRATIVE_BYTES_MAX).unwrap_or(div));
    let mut out = Plain::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => out.separate(tag.name().0),
            Ok(Event::End(tag)) => out.separate(tag.name().0),
            Ok(Event::Text(text)) => text.chars().for_each(|c| out.push(c)),
            Ok(Event::GeneralRef(reference)) => resolve(&reference).into_iter().for_each(|c| out.push(c)),
            Ok(Event::Eof) | Err(_) => return out.text,
            Ok(_) => {}
        }
    }
}

/// Text with what separates it from the next word.
#[derive(Default)]
struct Plain {
    text: String,
    gap: Option<char>,
}

impl Plain {
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.gap.get_or_insert(' ');
            return;
        }
        if let Some(gap) = self.gap.take()
            && !self.text.is_empty()
        {
            self.text.push(gap);
        }
        self.text.push(c);
    }

    fn separate(&mut self, element: &str) {
        match element {
            "td" | "th" => drop(self.gap.get_or_insert(' ')),
            "a" | "abbr" | "acronym" | "b" | "big" | "cite" | "code" | "dfn" | "em" | "i" | "img" | "q" | "samp"
            | "small" | "span" | "strong" | "sub" | "sup" | "tt" | "var" => {}
            _ => self.gap = Some('\n'),
        }
    }
}

fn not_xml(reader: &Reader<&[u8]>) -> NarrativeError {
    NarrativeError::NotXml { at: usize::try_from(reader.error_position()).unwrap_or_default() }
}

/// The character that a reference stands for; nothing for an entity that is not allowed.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    let name: &str = reference;
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return reference.resolve_char_ref().ok()?,
    })
}

/// Checks a start tag; whether it is content by itself.
fn check_start(start: &BytesStart<'_>, is_root: bool) -> Result<bool, NarrativeError> {
    let name = start.name().0;
    if ELEMENTS.binary_search(&name).is_err() {
        return Err(NarrativeError::Element { name: shortened(name) });
    }
    let mut in_namespace = false;
    for (count, attribute) in start.attributes().enumerate() {
        if count >= ATTRIBUTES_MAX {
            return Err(NarrativeError::Attribute { name: "beyond the limit".to_owned() });
        }
        let attribute = attribute.map_err(|_| NarrativeError::NotXml { at: 0 })?;
        if attribute.value.contains('<') {
            return Err(NarrativeError::NotXml { at: 0 });
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| NarrativeError::Entity)?;
        match attribute.key.0 {
            "xmlns" if value == XHTML => in_namespace = true,
            "xmlns" => return Err(NarrativeError::Root),
            "style" => check_style(&value)?,
            "href" => check_link("href", &value)?,
            "src" => check_link("src", &value)?,
            "cite" => check_link("cite", &value)?,
            "longdesc" => check_link("longdesc", &value)?,
            other if ATTRIBUTES.binary_search(&other).is_err() => {
                return Err(NarrativeError::Attribute { name: shortened(other) });
            }
            _ => {}
        }
    }
    if is_root && !(name == "div" && in_namespace) {
        return Err(NarrativeError::Root);
    }
    Ok(name == "img")
}

fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(32).collect()
}

/// Lower case without the characters that browsers skip.
fn squeezed(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c.is_uppercase()) {
        let kept = text.chars().filter(|c| !c.is_whitespace() && !c.is_control());
        Cow::Owned(kept.flat_map(char::to_lowercase).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn check_link(attribute: &'static str, value: &str) -> Result<(), NarrativeError> {
    let link = squeezed(value);
    let scheme = link.split(['/', '?', '#']).next().unwrap_or_default().split_once(':').map(|(scheme, _)| scheme);
    let sound = match scheme {
        None => true,
        Some("data") => attribute == "src" && PICTURES.iter().any(|picture| link.starts_with(picture)),
        Some(scheme) => SCHEMES.contains(&scheme),
    };
    if sound { Ok(()) } else { Err(NarrativeError::Link { attribute }) }
}

fn check_style(value: &str) -> Result<(), NarrativeError> {
    let style = squeezed(value);
    if STYLES_REFUSED.iter().any(|refused| style.contains(refused)) { Err(NarrativeError::Style) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn wrapped(inner: &str) -> String {
        format!("<div xmlns=\"{XHTML}\">{inner}</div>")
    }

    #[test]
    fn tables_are_sorted() {
        assert!(ELEMENTS.is_sorted() && ATTRIBUTES.is_sorted());
    }

    #[test]
    fn ordinary_narratives_are_accepted() {
        let picture = "<img src=\"data:image/png;base64,iVBORw0KGgo=\" alt=\"ECG\"/>";
        for inner in [
            "John &amp; Jane &lt;3 &#160; &#xe9; é",
            "<p>One<br/>two</p><table border=\"1\"><tbody><tr><td colspan='2' style=\"color: red; border:1px solid\">x</td></tr></tbody></table>",
            "<a href=\"#x\">in</a> <a href=\"Patient/1\">r</a> <a href=\"https://h.example/a:b?c=d:e\">w</a>",
            "<a href=\"mailto:a@b.example\">m</a><a href=\"tel:+1\">t</a><a name=\"n\">x</a>",
            picture,
            "<!-- a note --><b lang=\"en\" xml:lang=\"en\" class=\"c\" id=\"i\" title=\"t\">x</b>",
        ] {
            assert_eq!(check(&wrapped(inner)), Ok(()), "{inner}");
        }
        assert_eq!(check(&format!(" \n{}\n", wrapped("x"))), Ok(()));
    }

    #[test]
    fn each_rule_has_its_refusal() {
        let deep = format!("{}x{}", "<b>".repeat(NARRATIVE_DEPTH_MAX), "</b>".repeat(NARRATIVE_DEPTH_MAX));
        let large = "x".repeat(NARRATIVE_BYTES_MAX);
        let plain = ATTRIBUTES.iter().filter(|name| !matches!(**name, "style" | "href" | "src" | "cite" | "longdesc"));
        let attributes = plain.take(ATTRIBUTES_MAX + 1).fold(String::new(), |all, name| all + " " + name + "=\"\"");
        for (div, code) in [
            ("", "narrative-root"),
            ("text", "narrative-root"),
            ("<div>x</div>", "narrative-root"),
            ("<div xmlns=\"http://www.w3.org/2000/svg\">x</div>", "narrative-root"),
            (&format!("<p xmlns=\"{XHTML}\">x</p>"), "narrative-root"),
            (&format!("{}{}", wrapped("x"), wrapped("y")), "narrative-root"),
            (&format!("{}x", wrapped("x")), "narrative-root"),
            (&format!("{}&amp;", wrapped("x")), "narrative-root"),
            (&wrapped(" \n"), "txt-2"),
            (&wrapped("&#32;"), "txt-2"),
            (&wrapped("<p>"), "narrative-not-xml"),
            (&wrapped("</p>"), "narrative-not-xml"),
            (&wrapped("<p><b>x</p></b>"), "narrative-not-xml"),
            (&wrapped("<p class=x>y</p>"), "narrative-not-xml"),
            (&wrapped("<p class=\"a\" class=\"b\">y</p>"), "narrative-not-xml"),
            (&wrapped("<p class=\"<\">y</p>"), "narrative-not-xml"),
            (&wrapped("a & b"), "narrative-not-xml"),
            (&wrapped("a \u{0} b"), "narrative-not-xml"),
            (&wrapped("&nbsp;x"), "narrative-entity"),
            (&wrapped("&#0;x"), "narrative-entity"),
            (&wrapped("<p title=\"&nbsp;\">x</p>"), "narrative-entity"),
            (&wrapped("<![CDATA[x]]>"), "narrative-markup"),
            (&wrapped("<?php x ?>"), "narrative-markup"),
            (&format!("<!DOCTYPE div>{}", wrapped("x")), "narrative-markup"),
            (&format!("<?xml version=\"1.0\"?>{}", wrapped("x")), "narrative-markup"),
            (&wrapped("<!--><b>x</b>-->y"), "narrative-markup"),
            (&wrapped("<font>x</font>"), "narrative-element"),
            (&wrapped("<x:b>x</x:b>"), "narrative-element"),
            (&wrapped("<B>x</B>"), "narrative-element"),
            (&wrapped("<b onclick=\"x\">x</b>"), "narrative-attribute"),
            (&wrapped(&format!("<b{attributes}>x</b>")), "narrative-attribute"),
            (&wrapped("<a href=\"javascript:x\">x</a>"), "narrative-link"),
            (&wrapped("<a href=\"data:image/png;base64,AA==\">x</a>"), "narrative-link"),
            (&wrapped("<img src=\"data:image/svg+xml;base64,AA==\"/>"), "narrative-link"),
            (&wrapped("<b style=\"background:url(x)\">x</b>"), "narrative-style"),
            (&wrapped(&deep), "narrative-too-deep"),
            (&wrapped(&large), "narrative-too-large"),
        ] {
            let error = check(div).expect_err(&format!("{div:.80}"));
            assert_eq!(error.code(), code, "{div:.80} {error}");
            assert!(!error.remedy().is_empty());
        }
    }

    /// Attacks that are known against filters of HTML, made from patterns.
    fn attacks() -> Vec<String> {
        let mut attacks = Vec::new();
        let code = "alert(1)";
        for element in [
            "script",
            "iframe",
            "object",
            "embed",
            "applet",
            "form",
            "input",
            "button",
            "select",
            "textarea",
            "svg",
            "math",
            "style",
            "link",
            "meta",
            "base",
            "body",
            "html",
            "head",
            "frameset",
            "frame",
            "video",
            "audio",
            "source",
            "marquee",
            "details",
            "template",
            "noscript",
            "xmp",
            "plaintext",
            "isindex",
            "keygen",
            "dialog",
            "portal",
            "foreignObject",
            "animate",
            "set",
            "use",
            "bgsound",
            "layer",
            "ilayer",
            "SCRIPT",
            "ScRiPt",
            "xlink:a",
            "svg:script",
            "html:script",
            "title",
            "noembed",
            "noframes",
            "slot",
            "map",
            "area",
        ] {
            attacks.push(format!("<{element}>{code}</{element}>"));
            attacks.push(format!("<{element} src=\"https://evil.example/x\"/>x"));
        }
        for event in [
            "onclick",
            "onerror",
            "onload",
            "onmouseover",
            "onfocus",
            "onblur",
            "onanimationstart",
            "ontoggle",
            "onpointerenter",
            "onwheel",
            "oncopy",
            "onbeforeinput",
            "ONCLICK",
            "OnError",
            "onscroll",
        ] {
            attacks.push(format!("<b {event}=\"{code}\">x</b>"));
            attacks.push(format!("<img src=\"x\" {event}='{code}'/>"));
        }
        for attribute in [
            "srcdoc",
            "formaction",
            "action",
            "background",
            "dynsrc",
            "lowsrc",
            "poster",
            "xlink:href",
            "ping",
            "http-equiv",
            "autofocus",
            "contenteditable",
            "srcset",
            "hx-get",
            "hx-on:click",
            "data-x",
            "xml:base",
            "xmlns:x",
            "is",
            "target",
        ] {
            attacks.push(format!("<b {attribute}=\"javascript:{code}\">x</b>"));
        }
        for link in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "java\tscript:alert(1)",
            "java&#9;script:alert(1)",
            "java&#x0A;script:alert(1)",
            "java&#13;script:alert(1)",
            "&#1;javascript:alert(1)",
            "&#106;avascript:alert(1)",
            "&#x6a;&#x61;vascript:alert(1)",
            "javascript&#58;alert(1)",
            "vbscript:x",
            "livescript:x",
            "mocha:x",
            "data:text/html,x",
            "data:text/html;base64,PHNjcmlwdD4=",
            "data:image/svg+xml,x",
            "DATA:image/svg+xml;base64,AA==",
            "file:///etc/passwd",
            "blob:https://h.example/x",
            "filesystem:x",
            "view-source:x",
            "about:blank",
            "ws://h.example",
            "javascript://h.example/%0aalert(1)",
            "jar:x",
            "feed:x",
            "\u{a0}javascript:alert(1)",
            "\u{2003}javascript:x",
        ] {
            attacks.push(format!("<a href=\"{link}\">x</a>"));
            attacks.push(format!("<img src=\"{link}\"/>"));
            attacks.push(format!("<q cite=\"{link}\">x</q>"));
        }
        for style in [
            "background:url(javascript:alert(1))",
            "background: URL('https://evil.example/x')",
            "width:expression(alert(1))",
            "w\\69 dth:x",
            "background:u\\72l(x)",
            "exp/**/ression(x)",
            "behavior:url(x.htc)",
            "-moz-binding:url(x)",
            "@import 'x'",
            "background:ur&#108;(x)",
            "background:u r l(x)",
            "position: fixed; top:0",
            "POSITION:ABSOLUTE",
            "background-image: image-set('x' 1x)",
            "list-style-image: url(//evil.example)",
            "behaviour:x",
            "content:'</style>'",
        ] {
            attacks.push(format!("<p style=\"{}\">x</p>", style.replace('<', "&lt;")));
        }
        attacks.extend(
            [
                "<!--><script>alert(1)</script>-->",
                "<!--<img src=\"x\" onerror=\"alert(1)\"/>-->x",
                "<![CDATA[<script>alert(1)</script>]]>",
                "<?xml-stylesheet href=\"javascript:alert(1)\"?>",
                "<b/onclick=\"x\">x</b>",
                "<script\n>x</script>",
                "<scr<script>ipt>x</script>",
                "<b title=\"</b><script>x</script>\">x</b>",
                "&evil;",
                "<img src=x onerror=alert(1)>",
                "<p xmlns=\"http://www.w3.org/2000/svg\">x</p>",
                "<b\u{0}>x</b>",
                "<!--[if gte IE 4]><script>x</script><![endif]-->",
                "</div><script>alert(1)</script><div>",
                "<!DOCTYPE x [<!ENTITY e \"x\">]>x",
                "<%x%>x",
                "<//script>x",
            ]
            .map(str::to_owned),
        );
        attacks
    }

    #[test]
    fn attacks_are_refused() {
        let attacks = attacks();
        for attack in &attacks {
            assert!(check(&wrapped(attack)).is_err(), "{attack}");
        }
        let bomb =
            format!("<!DOCTYPE div [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><div xmlns=\"{XHTML}\">&b;</div>");
        assert!(check(&bomb).is_err());
        println!("{} attacks refused", attacks.len() + 1);
        assert!(attacks.len() >= 200);
    }

    #[test]
    fn damaged_narratives_never_panic() {
        let seed = wrapped("<p style=\"color:red\">a &amp; b<br/><a href=\"#x\">c</a><!-- d --></p>é");
        let mut state = 3_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut chars: Vec<char> = seed.chars().collect();
            let at = usize::try_from(state >> 33).unwrap() % chars.len();
            match state >> 20 & 3 {
                0 => drop(chars.remove(at)),
                1 => chars.truncate(at),
                _ => chars.insert(at, ['<', '>', '&', '"', '/', ';', '!', '-'][at % 8]),
            }
            let damaged: String = chars.into_iter().collect();
            drop(check(&damaged));
            drop(text_of(&damaged));
        }
    }

    #[test]
    fn words_of_a_narrative() {
        for (inner, expected) in [
            ("a <b>b</b>  &amp;\n c", "a b & c"),
            ("<p>One</p><p>two<br/>three</p>", "One\ntwo\nthree"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<ul><li>x</li><li>y</li></ul>", "x\ny"),
            ("&#60;script&#62;", "<script>"),
            ("", ""),
        ] {
            assert_eq!(text_of(&wrapped(inner)), expected, "{inner}");
        }
        assert_eq!(text_of("<div>a<b>"), "a");
    }
}
