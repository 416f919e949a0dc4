//! `docs/first-five-minutes.md` as it is written, against a running `sealwort demo`: every command in it, one after the other
//! in one shell, and what each prints held against what the document says that it prints; every click in it, in one real
//! browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "first_five_minutes/clicks.rs"]
mod clicks;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clicks::Click;
use serde_json::json;
use support::pages::Pages;

/// One block of what somebody does.
#[derive(Debug)]
struct Step {
    heading: String,
    does: Does,
}

#[derive(Debug)]
enum Does {
    /// In a shell, and what that prints.
    Commands { commands: String, prints: Vec<String> },
    /// In a browser.
    Clicks(Vec<Click>),
}

/// Blocks of the document: that which starts the demo, and those that are run, each with the block that follows it.
fn read(document: &str) -> (String, Vec<Step>) {
    let (mut demo, mut steps, mut heading) = (String::new(), Vec::<Step>::new(), String::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("## ") {
            text.clone_into(&mut heading);
        }
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "sh demo" => demo = block.join("\n"),
            "sh run" => {
                let does = Does::Commands { commands: block.join("\n"), prints: Vec::new() };
                steps.push(Step { heading: heading.clone(), does });
            }
            "clicks" => {
                let does = Does::Clicks(block.into_iter().map(Click::read).collect());
                steps.push(Step { heading: heading.clone(), does });
            }
            "text" => match steps.last_mut().map(|step| &mut step.does) {
                Some(Does::Commands { prints, .. }) => prints.extend(block.into_iter().map(str::to_owned)),
                before => panic!("nothing prints {block:?}: {before:?}"),
            },
            other => panic!("a block of the kind {other:?}: {block:?}"),
        }
    }
    (demo, steps)
}

/// Whether the lines were printed, in this order, perhaps with others between them.
fn printed(output: &str, lines: &[String]) -> Result<(), String> {
    let mut rest = output.lines();
    for line in lines {
        if !rest.any(|printed| fits(printed, line)) {
            return Err(format!("{line:?} is not printed, or not in its place"));
        }
    }
    Ok(())
}

/// `…` stands for anything.
fn fits(printed: &str, line: &str) -> bool {
    let parts: Vec<&str> = line.split('…').collect();
    let [first, .., last] = parts.as_slice() else { return printed.trim_end() == line };
    let Some(mut rest) = printed.trim_end().strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A shell that stays, as in somebody's terminal.
struct Terminal {
    child: Child,
    commands: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Terminal {
    fn open(folder: &Path) -> Self {
        let mut child = shell(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut commands, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        writeln!(commands, "exec 2>&1").unwrap();
        Self { child, commands, output }
    }

    /// What the commands print, and how the last one ended.
    fn run(&mut self, commands: &str) -> (String, i32) {
        writeln!(self.commands, "{commands}\nprintf '\\n%s %d\\n' {END} \"$?\"").unwrap();
        let (mut all, mut line) = (String::new(), String::new());
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some(code) = line.strip_prefix(END) {
                return (all, code.trim().parse().unwrap());
            }
            all.push_str(&line);
            line.clear();
        }
        panic!("the shell ended in {commands}\n{all}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell in which `sealwort` is the program under test.
fn shell(folder: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_sealwort")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.current_dir(folder).env_clear().env("PATH", path).env("HOME", folder).env("LC_ALL", "C.UTF-8");
    command
}

/// The demo as the document starts it.
struct Demo(Child);

impl Demo {
    fn start(folder: &Path, command: &str) -> Self {
        let mut child = shell(folder)
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line == "Ctrl-C ends the demo."), "the demo did not come up");
        // Nobody waits for what it says later, and nothing blocks it.
        std::thread::spawn(move || said.for_each(drop));
        Self(child)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const END: &str = "the-end-of-the-block";
/// Whose first five minutes are in it.
const USERS: [&str; 7] =
    ["Whoever evaluates it", "Integration engineer", "Operator", "Clinician", "Patient", "App developer", "Auditor"];

/// Those of them who have pages.
const CLICKING: [&str; 4] = ["Whoever evaluates it", "Operator", "Clinician", "Patient"];

#[test]
fn every_command_does_what_the_document_says() {
    let tools = ["curl", "openssl", "basenc"];
    if let Some(tool) = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("SKIPPED: {tool} is not installed");
        return;
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/first-five-minutes.md");
    let (demo, steps) = read(&fs::read_to_string(document).unwrap());
    for user in USERS {
        assert!(steps.iter().any(|step| step.heading == user), "{user} has no commands");
    }
    for user in CLICKING {
        let clicks = |step: &&Step| step.heading == user && matches!(step.does, Does::Clicks(_));
        assert!(steps.iter().any(|step| clicks(&step)), "{user} has no clicks");
    }
    let place = tempfile::tempdir().unwrap();
    // Without a browser the commands are run all the same.
    let mut pages = Pages::start(place.path(), "minutes", None);
    let _demo = Demo::start(place.path(), &demo);
    let mut terminal = Terminal::open(place.path());
    let mut wrong = Vec::new();
    for Step { heading, does } in &steps {
        match does {
            Does::Commands { commands, prints } => {
                let says = prints.iter().any(|line| line.chars().any(|letter| letter != '…'));
                assert!(says, "{heading}: nothing is said of what this prints:\n{commands}");
                let (output, code) = terminal.run(commands);
                let differs =
                    printed(&output, prints).err().or_else(|| (code != 0).then(|| format!("exit code {code}")));
                if let Some(differs) = differs {
                    wrong.push(format!("{heading}: {differs}\n{commands}\n--- printed:\n{output}"));
                }
            }
            Does::Clicks(clicks) => {
                let Some(pages) = &mut pages else { continue };
                if let Err(error) = clicks::done(pages, clicks, |text| expanded(&mut terminal, text)) {
                    wrong.push(format!("{heading}: {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n=====\n"));
    if let Some(pages) = &mut pages {
        the_sign_in(pages, &expanded(&mut terminal, "$HOSPITAL_B/clinician"));
    }
}

/// A text with the shell's variables in it.
fn expanded(terminal: &mut Terminal, text: &str) -> String {
    terminal.run(&format!("printf '%s' \"{text}\"")).0.trim().to_owned()
}

/// The page of the demo's own provider, and somebody who is nobody at the hospital that asks.
fn the_sign_in(pages: &mut Pages, url: &str) {
    pages.tell(&json!({"forget": true}));
    let asked = pages.open(url);
    pages.check("who", &asked.url).says("Hospital B asks who you are").says("It knows no password");
    pages.scripts(false);
    pages.open(url);
    let refused = pages.follow("Dr Adams, physician at hospital A");
    assert!(refused.status == 401 && refused.url.starts_with(url.trim_end_matches("/clinician")), "{refused:?}");
    refused.says("none of the roles that the provider says this user has means anything here");
}

#[test]
fn lines_fit_as_they_are_written() {
    for (printed, line, fits_it) in [
        ("one", "one", true),
        ("one ", "one", true),
        ("one two", "one", false),
        ("one two three", "one … three", true),
        ("one two", "… three", false),
        ("anything", "…", true),
        ("http://127.0.0.1:1/fhir", "http://127.0.0.1:…/fhir", true),
    ] {
        assert_eq!(fits(printed, line), fits_it, "{printed:?} {line:?}");
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(printed("a\nb\nc", &lines("a\nc")).is_ok());
    assert!(printed("a\nb\nc", &lines("c\na")).is_err());
    let (demo, steps) = read(
        "## User\n```sh demo\nstart\n```\n```sh run\none\ntwo\n```\n```text\nthree\n```\n```clicks\nsee \"four\"\n```\n",
    );
    assert_eq!((demo.as_str(), steps.len(), steps[0].heading.as_str()), ("start", 2, "User"));
    let Does::Commands { commands, prints } = &steps[0].does else { panic!("{steps:?}") };
    assert_eq!((commands.as_str(), prints.as_slice()), ("one\ntwo", ["three".to_owned()].as_slice()));
    assert!(matches!(&steps[1].does, Does::Clicks(clicks) if *clicks == [Click::See("four".to_owned())]), "{steps:?}");
}
