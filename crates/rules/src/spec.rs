//! What `spec/` says, for tests that hold code and specification against each other: the numbers of its
//! sections, and where code and documents cite them.

use std::collections::BTreeSet;

/// The specification.
pub const PROTOCOL: &str = "spec/protocol.md";

/// Numbers of a document's sections: a heading `## 4.2 Deposits` or `## 4. Logs` has the number at its front.
pub fn sections(document: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if !fenced && heading.len() < line.len() {
            found.extend(number(heading.trim_start()));
        }
    }
    found
}

/// A section cited: the document and, where the citation has one, the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Path from the root, such as `spec/protocol.md`.
    pub document: String,
    /// The section.
    pub section: Option<String>,
}

/// Citations of the form `spec/protocol.md`, `spec/protocol.md, section 4.2` or `section 4.2 of spec/protocol.md`,
/// also across the lines of a comment.
pub fn citations(text: &str) -> Vec<Citation> {
    let words: Vec<&str> =
        text.split_whitespace().filter(|word| !["//", "///", "//!", "#", "*"].contains(word)).collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Some(at) = word.find("spec/") else { continue };
        if at > 0 && !word[..at].ends_with(['`', '(', '"', '[', '\'']) {
            continue;
        }
        let path: String =
            word[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/._-".contains(*c)).collect();
        let document = path.trim_end_matches(['.', ',']).to_owned();
        let word_at = |distance: usize| words.get(place + distance).copied().unwrap_or_default();
        let before =
            |distance: usize| place.checked_sub(distance).and_then(|i| words.get(i)).copied().unwrap_or_default();
        let after = is_section(word_at(1)).then(|| number(word_at(2))).flatten();
        let ahead = (before(1) == "of" && is_section(before(3))).then(|| number(before(2))).flatten();
        found.push(Citation { document, section: after.or(ahead) });
    }
    found
}

fn is_section(word: &str) -> bool {
    ["section", "sections"].contains(&word.trim_start_matches('(').to_lowercase().as_str())
}

fn number(text: &str) -> Option<String> {
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let digits = digits.trim_matches('.');
    digits.starts_with(|c: char| c.is_ascii_digit()).then(|| digits.to_owned())
}

/// The insides of all simple string literals of a source.
pub fn literals(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_citations_are_found() {
        let document = "# Protocol\n## 1. Parties\n### 1.2 Names\n```\n# 9 not a heading\n```\nno # 3\n## Annex\n";
        assert_eq!(sections(document).into_iter().collect::<Vec<_>>(), ["1", "1.2"]);
        let text = "/// Kept (`spec/protocol.md`, section 1.2). See section 7 of\n    /// spec/protocol.md.\n//! inspec/no; spec/vectors/a.json";
        let cite = |document: &str, section: Option<&str>| Citation {
            document: document.to_owned(),
            section: section.map(str::to_owned),
        };
        let expected = [
            cite("spec/protocol.md", Some("1.2")),
            cite("spec/protocol.md", Some("7")),
            cite("spec/vectors/a.json", None),
        ];
        assert_eq!(citations(text), expected);
    }

    #[test]
    fn literals_are_the_insides_of_quotes() {
        assert_eq!(literals("a(\"x\", \"y z\");\n// \"no\"\n").collect::<Vec<_>>(), ["x", "y z"]);
    }
}
