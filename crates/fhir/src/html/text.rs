//! The text of a narrative without its markup.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The text of XHTML: tags dropped, blocks and cells set apart by white space. What is not well formed
/// is shown from there on as it is written; whoever puts the text into a page escapes it.
pub(super) fn plain(xhtml: &str) -> String {
    let mut reader = Reader::from_str(xhtml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut out = String::new();
    // Inside of elements whose content is no text.
    let mut hidden = 0_usize;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(xhtml.len());
        match reader.read_event() {
            Ok(Event::Start(tag)) if is_hidden(tag.local_name().as_ref()) => hidden += 1,
            Ok(Event::End(tag)) if is_hidden(tag.local_name().as_ref()) => hidden = hidden.saturating_sub(1),
            Ok(Event::Start(tag) | Event::Empty(tag)) => out.push_str(before(tag.local_name().as_ref())),
            Ok(Event::Text(text)) if hidden == 0 => out.push_str(text.as_ref()),
            Ok(Event::CData(text)) if hidden == 0 => out.push_str(text.as_ref()),
            Ok(Event::GeneralRef(name)) if hidden == 0 => match name.resolve_char_ref() {
                Ok(Some(character)) => out.push(character),
                _ => out.push_str(resolve_predefined_entity(name.as_ref()).unwrap_or(" ")),
            },
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => {
                out.push_str(xhtml.get(at..).unwrap_or_default());
                break;
            }
        }
    }
    tidy(&out)
}

fn is_hidden(name: &str) -> bool {
    matches!(name, "script" | "style")
}

fn before(name: &str) -> &'static str {
    match name {
        "p" | "div" | "br" | "tr" | "li" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" | "ul" | "ol" | "pre"
        | "hr" | "blockquote" | "caption" | "dt" | "dd" => "\n",
        "td" | "th" => " \u{b7} ",
        _ => "",
    }
}

/// White space as a reader wants it: single spaces, no empty lines, no separators at the ends of lines.
fn tidy(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = lines.map(|line| line.trim_matches([' ', '\u{b7}']).to_owned()).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn markup_goes_and_text_stays() {
        for (xhtml, text) in [
            ("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a <b>b</b></p><p>c</p></div>", "a b\nc"),
            ("<div><table><tr><th>x</th><td>y</td></tr><tr><td>z</td></tr></table></div>", "x \u{b7} y\nz"),
            ("<div>1 &lt; 2 &amp;&#160;&#x41;&nbsp;&unknown;B</div>", "1 < 2 & A B"),
            ("<div>a<script>alert(1)</script><style>p{}</style>b</div>", "ab"),
            ("<div>a<![CDATA[<b>]]></div>", "a<b>"),
            ("<div>a<!-- no --><?no no?></div>", "a"),
            ("<div>a</p>b</div>", "ab"),
            ("<div>a<b", "a<b"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(plain(xhtml), text, "{xhtml}");
        }
    }
}
