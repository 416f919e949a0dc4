//! Reads the FHIRPath of search parameters: paths, `|`, `ofType(T)`, `where(resolve() is T)`,
//! `where(member='value')`, `[0]`, `%resource`, and `X.exists() and X != false`. Any other form is an error,
//! so that new definitions cannot lose a part of their meaning unseen.

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name`, or a name at the beginning.
    Member(String),
    /// `.ofType(T)`.
    OfType(String),
    /// `.where(resolve() is T)`.
    Resolves(String),
    /// `.where(member='value')`.
    Where(String, String),
    /// `[0]`.
    First,
    /// `%resource` at the beginning.
    Root,
    /// `X.exists() and X != false`, at the end of X.
    ExistsAndNotFalse,
}

/// The alternatives of an expression.
pub(super) fn parse(expression: &str) -> Result<Vec<Vec<Step>>, String> {
    expression.split('|').map(|text| alternative(text.trim()).map_err(|e| format!("{expression}: {e}"))).collect()
}

fn alternative(text: &str) -> Result<Vec<Step>, String> {
    if let Some((path, condition)) = text.split_once(".exists() and ") {
        if condition != format!("{path} != false") {
            return Err(format!("unknown condition '{condition}'"));
        }
        let mut steps = alternative(path)?;
        steps.push(Step::ExistsAndNotFalse);
        return Ok(steps);
    }
    let mut reader = Reader { rest: text };
    let steps = reader.path()?;
    if reader.rest.is_empty() { Ok(steps) } else { Err(format!("unknown form '{}'", reader.rest)) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("expected '{token}' at '{}'", self.rest)) }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() { Err(format!("expected a name at '{rest}'")) } else { Ok(name) }
    }

    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = if self.take("(") {
            let steps = self.path()?;
            self.expect(")")?;
            steps
        } else if self.take("%resource") {
            vec![Step::Root]
        } else {
            vec![Step::Member(self.name()?.to_owned())]
        };
        loop {
            if self.take("[0]") {
                steps.push(Step::First);
            } else if self.take(".ofType(") {
                steps.push(Step::OfType(self.name()?.to_owned()));
                self.expect(")")?;
            } else if self.take(".where(resolve() is ") {
                steps.push(Step::Resolves(self.name()?.to_owned()));
                self.expect(")")?;
            } else if self.take(".where(") {
                let member = self.name()?.to_owned();
                self.expect("='")?;
                let (value, rest) = self.rest.split_once("')").ok_or("a value without end")?;
                self.rest = rest;
                steps.push(Step::Where(member, value.to_owned()));
            } else if self.take(".") {
                steps.push(Step::Member(self.name()?.to_owned()));
            } else {
                return Ok(steps);
            }
        }
    }
}
