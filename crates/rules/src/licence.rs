//! Licence expressions (SPDX) held against the list in `deny.toml`, so that the list is kept even where
//! `cargo deny` is not installed. It knows `AND`, `OR`, `WITH`, parentheses and the old `/`.

/// The licences that `deny.toml` allows.
pub fn allowed(deny: &str) -> Vec<String> {
    let list = deny.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']')).expect("deny.toml: allow").0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The licences that `deny.toml` allows for one package besides.
pub fn excepted(deny: &str, package: &str) -> Vec<String> {
    let list =
        deny.split_once("\nexceptions = [").and_then(|(_, rest)| rest.split_once("}]")).map_or("", |(list, _)| list);
    let of_it = list.split('{').filter(|one| one.contains(&format!("crate = \"{package}\"")));
    let licences = of_it.filter_map(|one| one.split_once("allow = [")?.1.split_once(']'));
    licences.flat_map(|(licences, _)| licences.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Whether an expression can be met with these licences alone.
pub fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (also, left) = both(after, allowed);
        (met, rest) = (met | also, left);
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (also, left) = one(after, allowed);
        (met, rest) = (met & also, left);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let permitted = |name: &str| allowed.iter().any(|one| one == name);
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            _ => (false, words),
        },
        [licence, "WITH", exception, rest @ ..] => (permitted(&format!("{licence} WITH {exception}")), rest),
        [licence, rest @ ..] => (permitted(licence), rest),
        [] => (false, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let list = allowed(
            "[licenses]\nallow = [\n  \"MIT\", # short\n  \"ISC\",\n  \"Apache-2.0 WITH LLVM-exception\",\n]\n",
        );
        assert_eq!(list, ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
        let deny = "[licenses]\nexceptions = [{ allow = [\"A\", \"B\"], crate = \"one\" }, { allow = [\"C\"], crate = \"two\" }]\n";
        assert_eq!((excepted(deny, "one"), excepted(deny, "two")), (vec!["A".into(), "B".into()], vec!["C".into()]));
        assert_eq!(excepted(deny, "three"), Vec::<String>::new());
        let cases = [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(GPL-3.0 OR MIT) AND ISC", true),
            ("MIT AND ISC OR GPL-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ];
        for (expression, met) in cases {
            assert_eq!(is_met(expression, &list), met, "{expression}");
        }
    }
}
