//! *Who looked*: the list, its proof, questions about a look and their answers.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::support::pages::Pages;
use super::support::{Party, exit, json_of, run, succeeded, text, until};
use super::{A, Site, no_foreign_words};

pub(super) fn who_looked(site: &Site, pages: &mut Pages, place: &Path) {
    let shown = pages.check("looked", &site.page("/looked"));
    shown
        .says("dr-test")
        .says("physician")
        .says("hospital-b")
        .says("to treat you")
        .says("looks of your own are not listed");
    // What was refused and what was an emergency is marked by words and a sign, not by colour alone.
    shown.says("✕ Refused").says("your decisions do not allow it");
    assert!(pages.count("tr.warning") > 0);
    no_foreign_words(&shown);
    let older = pages.follow("Older");
    older.says("in an emergency, without asking first").says("! Emergency");
    assert!(pages.count("tr.error") > 0);
    no_foreign_words(&older);
    pages.follow("List mine, too").says("You");
    // The file proves it anywhere.
    pages.open(&site.page("/looked"));
    let root = site.world.folder(Party::Ca).join("root.der");
    let mut number = 0;
    let verified = until(|| {
        number += 1;
        let file = pages.download(&json!({"name": "Download with proof"}), &place.join(format!("proof-{number}")));
        let verified = run(&["audit", "verify", text(&file), "--root", text(&root), "--json"]);
        // The others vouch for the newest entries a moment later.
        (exit(&verified) != 6).then_some(verified)
    });
    succeeded(&verified);
    questions(site, pages);
}

/// A question is kept for who answers it, in the hospital's log, and on the page with its answer.
fn questions(site: &Site, pages: &mut Pages) {
    pages.open(&site.page("/looked"));
    let asking = pages.follow_target(&json!("tbody tr:first-child a"));
    asking.says("What do you want to know?");
    pages.check_accessible("question");
    pages.screenshot("question");
    pages.fill("What do you want to know?", "Why did you look? <script>alert(1)</script>");
    let sent = pages.follow("Send the question");
    sent.says("Your question is with the hospital").says("Your questions").says("Not answered yet");
    let folder = site.world.folder(A);
    let search = ["audit", "search", "--folder", text(&folder), "--kind", "log-shown", "--json", "--most", "1000"];
    let entries = json_of(&run(&search));
    let is_question = |entry: &&Value| entry["details"]["action"] == "question";
    let question = entries.as_array().unwrap().iter().find(is_question).unwrap_or_else(|| panic!("{entries:#}"));
    assert_eq!(question["details"]["reason"], "Why did you look? <script>alert(1)</script>");
    assert!(question["details"]["subject"].as_str().unwrap().contains('-'), "{question:#}");
    pages.open(&site.page("/looked?own=1")).says("asked a question about a look");
    let nothing = pages.open(&site.page("/looked/question/gateway-999999"));
    assert_eq!(nothing.status, 404);
    answers(site, pages);
}

/// Only who reads the audit log sees the question and answers it, once.
fn answers(site: &Site, pages: &mut Pages) {
    let address = ["--gateway", &site.url, "--cacert", text(&site.certificate.file)];
    let as_role = |role: &str, arguments: &[&str]| {
        let token = site.world.token(A, "carla", role);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwort"));
        command.args(arguments).args(address).env_clear().env("SEALWORT_CLIENT__TOKEN", token);
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert_eq!(exit(&as_role("physician", &["question", "list"])), 3, "questions are for readers of the log");
    let listed = json_of(&as_role("auditor", &["question", "list", "--json"]));
    let [question] = listed.as_array().unwrap().as_slice() else { panic!("{listed:#}") };
    assert_eq!(question["question"], "Why did you look? <script>alert(1)</script>");
    assert_eq!(question["patient_id"], "p1");
    let id = question["id"].as_str().unwrap();
    assert_eq!(exit(&as_role("physician", &["question", "answer", id, "--text", "no"])), 3);
    assert_ne!(exit(&as_role("auditor", &["question", "answer", id, "--text", " "])), 0);
    let answer = ["question", "answer", id, "--text", "To treat you at night. <b>Sorry</b>"];
    succeeded(&as_role("auditor", &answer));
    assert_ne!(exit(&as_role("auditor", &answer)), 0, "once");
    assert_eq!(json_of(&as_role("auditor", &["question", "list", "--json"])), json!([]));
    let all = json_of(&as_role("auditor", &["question", "list", "--all", "--json"]));
    assert_eq!(all[0]["answer"]["by"], "carla");
    let shown = pages.check("looked-answered", &site.page("/looked"));
    shown.says("To treat you at night. <b>Sorry</b>").says("Answered by carla on").is_silent_about("Not answered yet");
    shown.says("answered a question about a look");
    no_foreign_words(&shown);
}
