//! Values of limits: as the code computes them and as the specification writes them.

use std::collections::BTreeMap;

/// The integer constants of sources, by name: `pub const NAME: u32 = 32 * 1024;`. Of two with one name and different
/// values, neither is kept.
pub fn constants<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, u128> {
    let mut expressions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in texts {
        for (at, _) in text.match_indices("const ") {
            let Some((declared, rest)) = text[at + 6..].split_once(" = ") else { continue };
            let Some((name, kind)) = declared.split_once(": ") else { continue };
            let is_number = ["usize", "u8", "u16", "u32", "u64"].contains(&kind);
            if let Some((expression, _)) = rest.split_once(';').filter(|_| is_number) {
                expressions.entry(name.to_owned()).or_default().push(expression.to_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    // Constants may be made of others: as many passes as a chain of them is long.
    for _ in 0..CHAIN_MAX {
        for (name, written) in &expressions {
            let values: Vec<_> = written.iter().filter_map(|expression| evaluate(expression, &found)).collect();
            if let [first, rest @ ..] = values.as_slice()
                && values.len() == written.len()
                && rest.iter().all(|value| value == first)
            {
                found.insert(name.clone(), *first);
            }
        }
    }
    found
}

/// Sums and products of numbers, names and shifts; parentheses are not needed and not read.
fn evaluate(expression: &str, known: &BTreeMap<String, u128>) -> Option<u128> {
    if let Some((left, right)) = expression.split_once("<<") {
        return Some(evaluate(left, known)? << evaluate(right, known)?);
    }
    let mut sum = 0;
    for term in expression.split('+') {
        let mut product = 1;
        for factor in term.split('*') {
            let (factor, divisor) = factor.split_once('/').map_or((factor, None), |(f, d)| (f, Some(d)));
            product *= single(factor, known)?;
            if let Some(divisor) = divisor {
                product /= single(divisor, known)?;
            }
        }
        sum += product;
    }
    Some(sum)
}

fn single(text: &str, known: &BTreeMap<String, u128>) -> Option<u128> {
    let text = text.trim();
    let name = text.rsplit("::").next().unwrap_or(text).trim_end_matches(" as u64");
    text.replace('_', "").parse().ok().or_else(|| known.get(name).copied())
}

/// A value as the tables write it: `32 KiB`, `18 MiB and 4 KiB`, `100,000`, `2^20`, `60 s`, `72 hours`; what follows is
/// ignored. Times are in seconds.
pub fn written(text: &str) -> Option<u128> {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.'])).peekable();
    let mut sum = 0;
    loop {
        let number = words.next()?.replace(',', "");
        let number = match number.split_once('^') {
            Some((base, power)) => base.parse::<u128>().ok()?.checked_pow(power.parse().ok()?)?,
            None => number.parse().ok()?,
        };
        let unit = match words.peek().copied() {
            Some("KiB") => 1024,
            Some("MiB") => 1024 * 1024,
            Some("hours" | "hour") => 3600,
            Some("days") => 86_400,
            _ => 1,
        };
        sum += number * unit;
        words.next();
        if words.next() != Some("and") || !words.peek().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
            return Some(sum);
        }
    }
}

/// The limits that a table row names, each with the value in its place: `| A, B | 2, 4 KiB each | … |`.
pub fn row(line: &str) -> Vec<(String, u128)> {
    let mut cells = line.trim_matches('|').split('|').map(str::trim);
    let (Some(names), Some(values)) = (cells.next(), cells.next()) else { return Vec::new() };
    let parts: Vec<&str> = values.split(", ").collect();
    let limits: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
    let whole_is_one = limits.len() == 1;
    let read = limits.iter().enumerate().filter_map(|(place, name)| {
        let value = if whole_is_one { written(values) } else { written(parts.get(place)?) };
        Some(((*name).to_owned(), value?))
    });
    read.collect()
}

const CHAIN_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_tables_are_read() {
        let text = "pub const A: usize = 32 * 1024;\nconst B: u64 = 1 << 20;\nconst C: usize = A + A / 8 + 4_096;\nconst D: &str = 1;\nconst E: u32 = x();";
        let found = constants([text, "const F: usize = crate::C + 1;", "const G: u8 = 1;", "const G: u8 = 2;"]);
        let expected = [("A", 32_768), ("B", 1 << 20), ("C", 32_768 + 4096 + 4096), ("F", 40_961)];
        assert_eq!(found.iter().map(|(n, v)| (n.as_str(), *v)).collect::<Vec<_>>(), expected);
        for (text, value) in [
            ("32 KiB", Some(32_768)),
            ("18 MiB and 4 KiB", Some(18 * 1_048_576 + 4096)),
            ("20 MiB and 256 bytes", Some(20 * 1_048_576 + 256)),
            ("100,000", Some(100_000)),
            ("2^20", Some(1 << 20)),
            ("60 s", Some(60)),
            ("300 s; standard 30 s", Some(300)),
            ("until its token ends", None),
        ] {
            assert_eq!(written(text), value, "{text}");
        }
        assert_eq!(row("| `A`, `B` | 2, 4 KiB each | 1.3 |"), [("A".to_owned(), 2), ("B".to_owned(), 4096)]);
        assert_eq!(row("| `A` | 1,000 | x |"), [("A".to_owned(), 1000)]);
    }
}
