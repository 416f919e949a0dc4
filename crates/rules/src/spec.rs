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

/// Sections cited: the document and, where the citation has them, the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Path from the root, such as `spec/protocol.md`.
    pub document: String,
    /// The sections.
    pub sections: Vec<String>,
}

/// Citations of the form `spec/protocol.md`, `spec/protocol.md, section 4.2`, `spec/protocol.md, sections 4.2, 5 and 6`
/// or `section 4.2 of spec/protocol.md`, also across the lines of a comment.
pub fn citations(text: &str) -> Vec<Citation> {
    let words = words(text);
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Some(at) = word.find("spec/") else { continue };
        if at > 0 && !word[..at].ends_with(['`', '(', '"', '[', '\'']) {
            continue;
        }
        let path: String =
            word[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/._-".contains(*c)).collect();
        let document = path.trim_end_matches(['.', ',']).to_owned();
        let before =
            |distance: usize| place.checked_sub(distance).and_then(|i| words.get(i)).copied().unwrap_or_default();
        let mut sections = numbers_after(&words, place + 1);
        if before(1) == "of" && is_section(before(3)) {
            sections.extend(number(before(2)));
        }
        found.push(Citation { document, sections });
    }
    found
}

/// Sections cited without a document, as a file does that speaks of `spec/protocol.md` alone: `section 4.2`. Those of
/// other documents (`RFC 8446, section 7.5`, `section 2.1 of RFC 9053`) are left out.
pub fn bare_citations(text: &str) -> Vec<String> {
    let words = words(text);
    let foreign = |word: &str| {
        let word = word.trim_start_matches(['(', '`', '"', '[']);
        ["RFC", "FIPS", "draft-", "ISO", "NIST", "SP"].iter().any(|name| word.starts_with(name))
            || (word.contains(".md") && !word.contains("protocol.md"))
            || word.starts_with("PROTOCOL.md")
    };
    let mut found = Vec::new();
    for place in 0..words.len() {
        let numbers = numbers_after(&words, place);
        let before = words.iter().skip(place.saturating_sub(3)).take(place.min(3)).any(|word| foreign(word));
        let of = words.get(place + 2) == Some(&"of") && words.get(place + 3).is_some_and(|word| foreign(word));
        if !numbers.is_empty() && !before && !of {
            found.extend(numbers);
        }
    }
    found
}

fn words(text: &str) -> Vec<&str> {
    let comments = ["//", "///", "//!", "#", "*", "(*", "*)", ";", "--"];
    text.split_whitespace().filter(|word| !comments.contains(word)).collect()
}

/// The numbers of `section 4.2` or `sections 4.2, 5 and 6 to 8` at this place.
fn numbers_after(words: &[&str], place: usize) -> Vec<String> {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    if !is_section(word(place)) {
        return Vec::new();
    }
    let mut found: Vec<String> = number(word(place + 1)).into_iter().collect();
    let mut at = place + 1;
    if !word(place).to_lowercase().ends_with('s') {
        return found;
    }
    loop {
        let joined = ["and", "to"].contains(&word(at + 1));
        let next = at + 1 + usize::from(joined);
        match number(word(next)) {
            Some(section) if joined || word(at).ends_with(',') => found.push(section),
            _ => return found,
        }
        at = next;
    }
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
        let text = "/// Kept (`spec/protocol.md`, section 1.2). See section 7 of\n    /// spec/protocol.md.\n//! inspec/no; spec/vectors/a.json (* spec/protocol.md, sections 4.2, 5\n * and 6.1 to 8.\n 9 *)";
        let cite = |document: &str, sections: &[&str]| Citation {
            document: document.to_owned(),
            sections: sections.iter().map(|section| (*section).to_owned()).collect(),
        };
        let expected = [
            cite("spec/protocol.md", &["1.2"]),
            cite("spec/protocol.md", &["7"]),
            cite("spec/vectors/a.json", &[]),
            cite("spec/protocol.md", &["4.2", "5", "6.1", "8"]),
        ];
        assert_eq!(citations(text), expected);
        let text = "the check of section 3.2, in sections 4 and 5.1; RFC 8446, section 7.5, and section 2.1 of RFC 9053 (FIPS 203, section 8)";
        assert_eq!(bare_citations(text), ["3.2", "4", "5.1"]);
    }

    #[test]
    fn literals_are_the_insides_of_quotes() {
        assert_eq!(literals("a(\"x\", \"y z\");\n// \"no\"\n").collect::<Vec<_>>(), ["x", "y z"]);
    }
}
