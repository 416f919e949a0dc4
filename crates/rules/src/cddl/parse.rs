//! From the text of a file to its rules.

use std::collections::BTreeSet;

use super::{Entry, Key, PRELUDE, Rule, Schema, Type};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Int(i128),
    Text(String),
    Bytes(Vec<u8>),
    Control(String),
    Tag(u64),
    Sign(&'static str),
    Comment(String),
}

/// Longest first.
const SIGNS: [&str; 18] =
    ["..", "=>", "/=", "//", "=", "/", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", "&", "?"];

impl Schema {
    /// Reads the rules of a file.
    ///
    /// # Errors
    /// What is wrong and after which rule; a name without a rule; two rules of one name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let mut rules: Vec<Rule> = Vec::new();
        let mut comment = String::new();
        while let Some(token) = parser.tokens.get(parser.at) {
            if let Token::Comment(text) = token {
                comment.clone_from(text);
                parser.at += 1;
                continue;
            }
            let after = rules.last().map_or("", |rule| rule.name.as_str()).to_owned();
            let rule = parser.rule(std::mem::take(&mut comment)).map_err(|e| format!("after {after:?}: {e}"))?;
            if rules.iter().any(|known| known.name == rule.name) || PRELUDE.contains(&rule.name.as_str()) {
                return Err(format!("{} is defined twice", rule.name));
            }
            rules.push(rule);
        }
        let schema = Self { rules };
        let unknown = schema.unknown_names();
        if unknown.is_empty() { Ok(schema) } else { Err(format!("names without a rule: {unknown:?}")) }
    }

    fn unknown_names(&self) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        for rule in &self.rules {
            visit(&rule.body, &mut |name| {
                if !PRELUDE.contains(&name) && self.rule(name).is_none() {
                    unknown.insert(format!("{name} in {}", rule.name));
                }
            });
        }
        unknown
    }
}

/// Every name in a type.
fn visit(body: &Type, see: &mut impl FnMut(&str)) {
    match body {
        Type::Choice(types) => {
            for one in types {
                visit(one, see);
            }
        }
        Type::Name(name) => see(name),
        Type::Array(entries) | Type::Map(entries) => {
            for entry in entries {
                if let Some(Key::Type(key)) = &entry.key {
                    visit(key, see);
                }
                visit(&entry.value, see);
            }
        }
        Type::Tagged(_, inner) => visit(inner, see),
        Type::Control(target, _, argument) => {
            visit(target, see);
            visit(argument, see);
        }
        Type::Int(_) | Type::Text(_) | Type::Bytes(_) | Type::Range(..) => {}
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    /// The next token that is no comment.
    fn peek(&mut self) -> Option<&Token> {
        while matches!(self.tokens.get(self.at), Some(Token::Comment(_))) {
            self.at += 1;
        }
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends early")?;
        self.at += 1;
        Ok(token)
    }

    fn is(&mut self, sign: &'static str) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.is(sign) { Ok(()) } else { Err(format!("{sign:?} is missing before {:?}", self.peek())) }
    }

    fn rule(&mut self, comment: String) -> Result<Rule, String> {
        let name = self.name()?;
        self.expect("=")?;
        Ok(Rule { name, body: self.choice()?, comment })
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            other => Err(format!("a name is missing before {other:?}")),
        }
    }

    fn choice(&mut self) -> Result<Type, String> {
        let mut types = vec![self.controlled()?];
        // A comment may end a rule: the next line's name is no further type.
        while self.tokens.get(self.at) == Some(&Token::Sign("/")) {
            self.at += 1;
            types.push(self.controlled()?);
        }
        Ok(if types.len() == 1 { types.remove(0) } else { Type::Choice(types) })
    }

    fn controlled(&mut self) -> Result<Type, String> {
        let first = self.single()?;
        match self.tokens.get(self.at).cloned() {
            Some(Token::Sign("..")) => {
                self.at += 1;
                match (first, self.single()?) {
                    (Type::Int(from), Type::Int(to)) if from <= to => Ok(Type::Range(from, to)),
                    (from, to) => Err(format!("{from:?}..{to:?} is no range of integers")),
                }
            }
            Some(Token::Control(control)) => {
                self.at += 1;
                if !["size", "cbor", "regexp"].contains(&control.as_str()) {
                    return Err(format!("the control .{control} is not known here"));
                }
                Ok(Type::Control(Box::new(first), control, Box::new(self.single()?)))
            }
            _ => Ok(first),
        }
    }

    fn single(&mut self) -> Result<Type, String> {
        Ok(match self.next()? {
            Token::Int(value) => Type::Int(value),
            Token::Text(text) => Type::Text(text),
            Token::Bytes(bytes) => Type::Bytes(bytes),
            Token::Name(name) => Type::Name(name),
            Token::Sign("(") => {
                let inner = self.choice()?;
                self.expect(")")?;
                inner
            }
            Token::Sign("[") => Type::Array(self.entries("]")?),
            Token::Sign("{") => Type::Map(self.entries("}")?),
            Token::Tag(tag) => {
                self.expect("(")?;
                let inner = self.choice()?;
                self.expect(")")?;
                Type::Tagged(tag, Box::new(inner))
            }
            other => return Err(format!("{other:?} is no type")),
        })
    }

    fn entries(&mut self, end: &'static str) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        while !self.is(end) {
            entries.push(self.entry()?);
            if !self.is(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(entries)
    }

    fn entry(&mut self) -> Result<Entry, String> {
        let (least, most) = self.occurrence();
        if let (Some(Token::Name(name)), Some(Token::Sign(":"))) = (self.peek().cloned(), self.tokens.get(self.at + 1))
        {
            self.at += 2;
            return Ok(Entry { least, most, key: Some(Key::Bare(name)), value: self.choice()? });
        }
        let first = self.choice()?;
        if self.is("=>") {
            return Ok(Entry { least, most, key: Some(Key::Type(first)), value: self.choice()? });
        }
        Ok(Entry { least, most, key: None, value: first })
    }

    fn occurrence(&mut self) -> (usize, usize) {
        if self.is("?") {
            return (0, 1);
        }
        // `1*32` and `*` are written as one word in this tokeniser.
        if let Some(Token::Name(word)) = self.peek()
            && let Some((least, most)) = word.split_once('*')
        {
            let found = (least.parse().unwrap_or(0), most.parse().unwrap_or(usize::MAX));
            self.at += 1;
            return found;
        }
        (1, 1)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = token(rest, first)?;
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), String> {
    let here = || rest.lines().next().unwrap_or_default().to_owned();
    let while_true = |holds: &dyn Fn(char) -> bool| rest.find(|c| !holds(c)).unwrap_or(rest.len());
    if first == ';' {
        let length = rest.find('\n').unwrap_or(rest.len());
        return Ok((Token::Comment(rest[1..length].trim().to_owned()), length));
    }
    if first == '"' {
        let length = rest[1..].find('"').ok_or_else(here)?;
        return Ok((Token::Text(rest[1..=length].to_owned()), length + 2));
    }
    if let Some(hex) = rest.strip_prefix("h'") {
        let length = hex.find('\'').ok_or_else(here)?;
        let digits = &hex[..length];
        let pairs = (0..length).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or("x"), 16));
        return Ok((Token::Bytes(pairs.collect::<Result<_, _>>().map_err(|_| here())?), length + 3));
    }
    if first.is_ascii_digit() || first == '*' || first == '-' {
        let length = while_true(&|c| c.is_ascii_digit() || c == '*' || c == '-');
        let word = &rest[..length];
        let token = if word.contains('*') {
            Token::Name(word.to_owned())
        } else {
            Token::Int(word.parse().map_err(|_| here())?)
        };
        return Ok((token, length));
    }
    if let Some(tag) = rest.strip_prefix("#6.") {
        let length = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
        return Ok((Token::Tag(tag[..length].parse().map_err(|_| here())?), length + 3));
    }
    if first.is_ascii_alphabetic() {
        let length = while_true(&|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        return Ok((Token::Name(rest[..length].to_owned()), length));
    }
    if first == '.' && !rest.starts_with("..") {
        let length = rest[1..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - 1);
        return Ok((Token::Control(rest[1..=length].to_owned()), length + 1));
    }
    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(here)?;
    Ok((Token::Sign(sign), sign.len()))
}
