//! Sections of the specification, as they stand in this version of the program.

/// The text of a section such as `4.1`, from its heading to the next one.
pub(super) fn section(number: &str) -> Option<&'static str> {
    let heads = [format!("\n### {number} "), format!("\n## {number}. ")];
    let begin = heads.iter().find_map(|head| PROTOCOL.find(head))? + 1;
    let text = PROTOCOL.get(begin..)?;
    // A section of the second kind goes up to its first part.
    let end = text.get(1..)?.find("\n##").map_or(text.len(), |end| end + 1);
    Some(text.get(..end)?.trim_end())
}

const PROTOCOL: &str = include_str!("../../../../../spec/protocol.md");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_pages::words::explain::{STEPS, WRITING_SECTION};

    use super::*;

    #[test]
    fn every_step_leads_to_a_section_that_is_there() {
        for number in STEPS.iter().map(|words| words.section).chain([WRITING_SECTION]) {
            let text = section(number).unwrap();
            assert!(text.starts_with(&format!("### {number} ")) && text.len() > 200, "{number}: {text}");
            assert_eq!(text.matches("\n##").count(), 0, "{number}");
        }
        assert!(section("99").is_none() && section("").is_none());
    }
}
