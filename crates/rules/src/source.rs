//! The sources of the workspace, with comments and literals blanked and test code taken out, so that a rule can
//! ask what the code itself names. It is a scanner and no parser: it knows just enough of Rust's tokens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the workspace's root, with `/`.
    pub path: String,
    /// Everything, as written.
    pub text: String,
    /// Line by line: what is left without comments, literals and test code.
    pub code: Vec<String>,
    /// Whether the whole file is test code.
    pub only_tests: bool,
}

impl Source {
    /// Lines of code, outside tests, that satisfy the question: `path:line: code`.
    pub fn lines_where(&self, asks: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.code.iter().zip(1..).filter(|(line, _)| asks(line));
        lines.map(|(line, number)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }

    /// Lines of the file that are no test code; comments and blank lines count.
    pub fn lines_before_tests(&self) -> usize {
        if self.only_tests {
            return 0;
        }
        let blank = blank(&self.text);
        self.text.lines().count() - test_lines(&blank).len()
    }
}

/// All Rust sources of the crates, this one excepted: it names what it forbids.
pub fn sources() -> Vec<Source> {
    let root = crate::root();
    let mut paths = Vec::new();
    walk(&root, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") && !path.starts_with(root.join("crates/rules")) {
            paths.push(path.to_owned());
        }
    });
    let mut read: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a source is UTF-8"))).collect();
    read.sort();
    let tests: BTreeSet<PathBuf> = read.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let source = |(path, text): (PathBuf, String)| {
        let relative = relative(&root, &path);
        let folder_of_tests =
            ["tests", "examples", "benches", "fuzz"].iter().any(|f| relative.contains(&format!("/{f}/")));
        let only_tests = folder_of_tests || path.ancestors().any(|a| tests.contains(a));
        let code = if only_tests { Vec::new() } else { code(&text) };
        Source { path: relative, text, code, only_tests }
    };
    read.into_iter().map(source).collect()
}

/// All files that would be committed and are text: path from the root, and content.
pub fn texts() -> Vec<(String, String)> {
    let root = crate::root();
    let mut found = Vec::new();
    walk(&root, &mut |path| {
        if let Ok(text) = fs::read_to_string(path) {
            found.push((relative(&root, path), text));
        }
    });
    found.sort();
    found
}

/// Whether `name` stands in a line as a word of its own.
pub fn names(line: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word))
}

/// What a file's code names: comments and literals blanked, test code empty.
pub fn code(text: &str) -> Vec<String> {
    let blank = blank(text);
    let tests: BTreeSet<usize> = test_lines(&blank).into_iter().collect();
    let lines = blank.lines().enumerate();
    lines.map(|(number, line)| if tests.contains(&number) { String::new() } else { line.to_owned() }).collect()
}

/// Folders that are no part of the project: what is built or installed, version control, and scratch folders.
fn is_skipped(name: &str) -> bool {
    ["target", ".git", ".venv", "venv", "__pycache__", ".pytest_cache"].contains(&name) || name.starts_with(".tmp")
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_skipped(&entry.file_name().to_string_lossy()) => {}
            Ok(kind) if kind.is_dir() => walk(&path, visit),
            Ok(kind) if kind.is_file() => visit(&path),
            _ => {}
        }
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("a path below the root").to_string_lossy().replace('\\', "/")
}

/// Files and folders of modules that a file declares for tests only: `#[cfg(test)] mod name;`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let blank = blank(text);
    let lines: Vec<&str> = blank.lines().collect();
    let name = path.file_stem().unwrap_or_default();
    let parent = path.parent().unwrap_or(path);
    let folder = if ["mod", "lib", "main"].iter().any(|n| name == *n) { parent.to_owned() } else { parent.join(name) };
    let declared = test_lines(&blank).into_iter().filter_map(|number| {
        let line = lines[number].trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    });
    declared.flat_map(|module| [folder.join(format!("{module}.rs")), folder.join(module)]).collect()
}

/// Numbers, from 0, of the lines that belong to items for tests only.
fn test_lines(blank: &str) -> Vec<usize> {
    let lines: Vec<&str> = blank.lines().collect();
    let mut found = Vec::new();
    let mut number = 0;
    while number < lines.len() {
        let line = lines[number].trim();
        let is_test = line.starts_with("#[cfg(") && names(line, "test") && !line.contains("not(test");
        if !is_test {
            number += 1;
            continue;
        }
        // The item ends where its braces close, or at a semicolon before any brace.
        let mut depth = 0usize;
        let mut opened = false;
        let mut ended = false;
        let mut first = true;
        while number < lines.len() && !ended {
            let rest = if first { lines[number].split_once(")]").map_or("", |(_, rest)| rest) } else { lines[number] };
            first = false;
            for c in rest.chars() {
                match c {
                    '{' => (depth, opened) = (depth + 1, true),
                    '}' => depth = depth.saturating_sub(1),
                    ';' if depth == 0 => ended = true,
                    _ => {}
                }
                ended |= opened && depth == 0;
            }
            found.push(number);
            number += 1;
        }
    }
    found
}

/// Blanks comments and the insides of literals; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |place: usize| chars.get(place).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut place = 0;
    let hide = |out: &mut String, from: usize, to: usize| {
        out.extend(chars.get(from..to).unwrap_or_default().iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
    };
    while place < chars.len() {
        let end = match (at(place), at(place + 1)) {
            ('/', '/') => (place..chars.len()).find(|i| at(*i) == '\n').unwrap_or(chars.len()),
            ('/', '*') => end_of_block_comment(&chars, place),
            ('"', _) => end_of_string(&chars, place + 1),
            ('r', '"' | '#') if !continues_word(&chars, place) => end_of_raw_string(&chars, place + 1).unwrap_or(place),
            ('\'', _) => end_of_char(&chars, place).unwrap_or(place),
            _ => place,
        };
        if end > place {
            hide(&mut out, place, end);
            place = end;
        } else {
            out.push(chars[place]);
            place += 1;
        }
    }
    out
}

fn continues_word(chars: &[char], place: usize) -> bool {
    let before = |back: usize| place.checked_sub(back).and_then(|i| chars.get(i)).copied().unwrap_or(' ');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    // `br"…"` is a raw string as well.
    let is_bytes = before(1) == 'b' && !is_word(before(2));
    is_word(before(1)) && !is_bytes
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut place) = (0usize, start);
    while place < chars.len() {
        match (chars[place], chars.get(place + 1)) {
            ('/', Some('*')) => (depth, place) = (depth + 1, place + 2),
            ('*', Some('/')) => (depth, place) = (depth - 1, place + 2),
            _ => place += 1,
        }
        if depth == 0 {
            break;
        }
    }
    place
}

fn end_of_string(chars: &[char], mut place: usize) -> usize {
    while place < chars.len() {
        match chars[place] {
            '\\' => place += 2,
            '"' => return place + 1,
            _ => place += 1,
        }
    }
    chars.len()
}

fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let marks = chars[start..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + marks) != Some(&'"') {
        return None;
    }
    let closes = |place: usize| chars[place] == '"' && (1..=marks).all(|i| chars.get(place + i) == Some(&'#'));
    (start + marks + 1..chars.len()).find(|place| closes(*place)).map(|place| place + marks + 1)
}

/// A character literal; `None` for a lifetime.
fn end_of_char(chars: &[char], start: usize) -> Option<usize> {
    if chars.get(start + 1) == Some(&'\\') {
        return (start + 3..chars.len()).find(|i| chars[*i] == '\'').map(|i| i + 1);
    }
    (chars.get(start + 2) == Some(&'\'')).then_some(start + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let text = r##"
use std::env; // std::env
/* std /* nested */ env */ let a = "std::env \" {"; let b = 'x'; let c: &'static str = r#"{" "#;
let d = '\''; let e = b"}"; let f = br"\"; real();
#[cfg(test)]
use hidden::One;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(not(test))]
fn kept() {}
#[cfg(test)]
mod tests {
    fn hidden() { if true { "}" } }
}
fn also_kept() {}
"##;
        let left = code(text).join("\n");
        for kept in ["use std::env;", "let b =", "&'static str", "real();", "fn kept()", "fn also_kept()"] {
            assert!(left.contains(kept), "{kept} is gone:\n{left}");
        }
        for gone in ["// std", "nested", "hidden", "testing", "\" {"] {
            assert!(!left.contains(gone), "{gone} is still there:\n{left}");
        }
        assert_eq!(left.lines().count(), text.lines().count());
        let modules = test_modules(Path::new("a/src/lib.rs"), text);
        assert_eq!(modules, [PathBuf::from("a/src/testing.rs"), PathBuf::from("a/src/testing")]);
        let modules = test_modules(Path::new("a/src/b.rs"), "#[cfg(test)]\nmod tests;\n");
        assert_eq!(modules, [PathBuf::from("a/src/b/tests.rs"), PathBuf::from("a/src/b/tests")]);
    }

    #[test]
    fn a_name_is_a_whole_word() {
        assert!(names("unsafe {", "unsafe"));
        assert!(!names("#![forbid(unsafe_code)]", "unsafe"));
        assert!(!names("my_unsafe", "unsafe"));
    }
}
