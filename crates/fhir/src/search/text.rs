//! Comparing text as string searches do (R4 search, "string"): without regard to case, accents, punctuation and
//! surplus white space.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A text asked for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    exact: String,
    folded: String,
    compares: Compares,
}

/// What of a text counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compares {
    /// Letters and digits.
    Letters,
    /// Signs too: who asks for nothing but signs (`+++`) means them.
    Signs,
}

impl Needle {
    pub(super) fn new(text: String) -> Self {
        let folded = letters(&text);
        if folded.is_empty() {
            return Self { folded: unaccented(&text), exact: text, compares: Compares::Signs };
        }
        Self { folded, exact: text, compares: Compares::Letters }
    }

    /// Whether a text is this one, with case, accents and signs.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        text == self.exact.as_bytes()
    }

    /// Whether a text begins with this one.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        match self.compares {
            Compares::Letters if text.is_ascii() => ascii_begins(text, self.folded.as_bytes()),
            _ => self.folded_as_this(text).starts_with(&self.folded),
        }
    }

    /// Whether this one is anywhere in a text.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        match (self.compares, self.folded.as_bytes()) {
            (Compares::Letters, needle @ [first, ..]) if text.is_ascii() => {
                let starts = text.iter().enumerate().filter(|(_, byte)| byte.eq_ignore_ascii_case(first));
                starts.into_iter().any(|(at, _)| ascii_begins(text.get(at..).unwrap_or_default(), needle))
            }
            _ => self.folded_as_this(text).contains(&self.folded),
        }
    }

    fn folded_as_this(&self, text: &[u8]) -> String {
        match self.compares {
            Compares::Letters => std::str::from_utf8(text).map(letters).unwrap_or_default(),
            Compares::Signs => unaccented_bytes(text),
        }
    }
}

/// Whether [`letters`] of an ASCII text begin with a needle, without writing them.
fn ascii_begins(text: &[u8], needle: &[u8]) -> bool {
    let mut wanted = needle;
    let mut spaced = false;
    for byte in text {
        if byte.is_ascii_alphanumeric() {
            if std::mem::take(&mut spaced) {
                let Some(rest) = wanted.strip_prefix(b" ") else { return wanted.is_empty() };
                wanted = rest;
            }
            let Some((first, rest)) = wanted.split_first() else { return true };
            if !first.eq_ignore_ascii_case(byte) {
                return false;
            }
            wanted = rest;
        } else if byte.is_ascii_whitespace() {
            // White space before the first letter is surplus.
            spaced = wanted.len() < needle.len();
        }
    }
    wanted.is_empty()
}

/// The letters and digits of a text without case and accents, and one space where there is any between them.
fn letters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut spaced = false;
    for c in unaccented(text).chars() {
        if c.is_alphanumeric() {
            if std::mem::take(&mut spaced) && !out.is_empty() {
                out.push(' ');
            }
            out.push(c);
        } else if c.is_whitespace() {
            spaced = true;
        }
    }
    out
}

/// The text without case and accents: `Ångström` and `ANGSTROM` are one, `Straße` and `STRASSE` are one.
fn unaccented(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Upper and then lower case, because some letters meet only so (ß and SS, ς and Σ).
    let upper = text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

/// As [`unaccented`], of bytes that came from a string.
pub(super) fn unaccented_bytes(text: &[u8]) -> String {
    std::str::from_utf8(text).map(unaccented).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn comparing() {
        // Text, asked for, begins, contains, is.
        for (text, asked, begins, contains, is) in [
            ("Chalmers", "chal", true, true, false),
            ("Chalmers", "CHALMERS", true, true, false),
            ("Chalmers", "Chalmers", true, true, true),
            ("Chalmers", "mers", false, true, false),
            ("Chalmers", "merz", false, false, false),
            ("Chal", "Chalmers", false, false, false),
            ("Ångström", "angs", true, true, false),
            ("Angstrom", "ångström", true, true, false),
            ("A\u{30a}ngström", "Ångström", true, true, false),
            ("Straße", "STRASSE", true, true, false),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", true, true, false),
            ("李小龙", "李", true, true, false),
            ("李小龙", "小龙", false, true, false),
            ("Chalmers", "", true, true, false),
            ("Zoë", "zoe", true, true, false),
            ("Zoe", "zoë", true, true, false),
            ("02771-4421", "027714421", true, true, false),
            ("027714421", "02771-4421", true, true, false),
            ("02771-4421", "02771 4421", false, false, false),
            ("film-coated", "FILMCOATED", true, true, false),
            ("film  -  coated", "film coated", true, true, false),
            ("  film coated ", " film\tcoated", true, true, false),
            ("filmcoated", "film coated", false, false, false),
            ("Tablet (film-coated)", "filmcoated", false, true, false),
            ("Tablet (film-coated)", "filmcoatet", false, false, false),
            ("O'Brien, Mary-Ann", "obrien maryann", true, true, false),
            ("Müller – Lüdenscheidt", "müller lüdenscheidt", true, true, false),
            ("Müller–Lüdenscheidt", "mullerludenscheidt", true, true, false),
            ("a b", "a b c", false, false, false),
            ("a b ", "a b", true, true, false),
            ("", "a", false, false, false),
            // Signs alone are meant.
            ("+++", "+", true, true, false),
            ("+++", "+++", true, true, true),
            ("trace +", "+", false, true, false),
            ("negative", "+", false, false, false),
            ("über +", "+", false, true, false),
        ] {
            let needle = Needle::new(asked.to_owned());
            let found = (needle.begins(text.as_bytes()), needle.is_in(text.as_bytes()), needle.is(text.as_bytes()));
            assert_eq!(found, (begins, contains, is), "{text} {asked}");
        }
    }
}
