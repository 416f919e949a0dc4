//! Makes the vectors. A generator names inputs; what comes out is what the real code says, and a negative vector names
//! the code that must come instead.

mod authentication;
mod certificates;
mod channels;
mod directives;
mod logs;
mod messages;
pub mod p256;
mod primitives;
mod records;
mod statements;
mod transmissions;

use serde_json::Value;

use crate::check::{Library, run};
use crate::setting::{Setting, make};
use crate::vector::{Expected, File, Vector};

/// One file while it is made.
pub struct Maker<'a> {
    library: &'a Library,
    file: File,
    problems: Vec<String>,
}

impl<'a> Maker<'a> {
    fn new(library: &'a Library, name: &str, comment: &str) -> Self {
        let file = File { name: name.to_owned(), comment: comment.to_owned(), vectors: Vec::new() };
        Self { library, file, problems: Vec::new() }
    }

    /// The file, unless a negative vector failed in another way than it should.
    fn done(self) -> File {
        assert!(self.problems.is_empty(), "{}:\n{}", self.file.name, self.problems.join("\n"));
        self.file
    }

    /// A positive vector; gives what came out.
    fn good(&mut self, name: &str, kind: &str, section: &str, comment: &str, input: Value) -> Value {
        let output = run(self.library, kind, &input).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        self.push(name, kind, section, comment, input, Expected::Output(output.clone()));
        output
    }

    /// A negative vector: the name is the rule that is broken.
    fn bad(&mut self, name: &str, kind: &str, section: &str, comment: &str, input: Value, code: &str) {
        match run(self.library, kind, &input) {
            Ok(output) => self.problems.push(format!("{name} is taken: {output}")),
            Err(failure) if failure.code != code => self.problems.push(format!("{name}: {failure:?}, not {code}")),
            Err(_) => {}
        }
        self.push(name, kind, section, comment, input, Expected::Error(code.to_owned()));
    }

    fn push(&mut self, name: &str, kind: &str, section: &str, comment: &str, input: Value, expected: Expected) {
        self.file.vectors.push(Vector {
            name: name.to_owned(),
            kind: kind.to_owned(),
            section: section.to_owned(),
            comment: comment.to_owned(),
            cddl: Vec::new(),
            input,
            expected,
        });
    }

    /// The output of a vector of an earlier file.
    fn output(&self, name: &str) -> Value {
        match &self.library.vector(name).expected {
            Expected::Output(output) => output.clone(),
            Expected::Error(_) => panic!("{name} has no output"),
        }
    }

    /// Says which rules bytes of the last vector follow.
    fn cddl(&mut self, rules: &[(&str, &str)]) {
        let last = self.file.vectors.last_mut().expect("a vector before its rules");
        last.cddl.extend(rules.iter().map(|(path, rule)| ((*path).to_owned(), (*rule).to_owned())));
        for (path, _) in rules {
            assert!(last.at(path).is_some_and(Value::is_string), "{} has no bytes at {path}", last.name);
        }
    }
}

/// Everything that is written to the folder, except what P-256 signed: `setting.json`, and the files.
pub fn everything() -> (Value, Vec<File>) {
    let setting = make();
    let mut library = Library::new(Setting::new(setting.clone()));
    let mut files = Vec::new();
    let steps: [fn(&Library) -> File; 12] = [
        primitives::make,
        records::make,
        messages::make,
        logs::make,
        statements::make,
        directives::make,
        channels::make,
        authentication::make,
        authentication::make_altered,
        transmissions::make,
        transmissions::make_altered,
        certificates::make,
    ];
    for step in steps {
        let file = step(&library);
        library.add(&file);
        files.push(file);
    }
    (setting, files)
}
