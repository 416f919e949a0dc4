//! The page that explains the sixteen steps, in a real browser (Chromium), against a running `sealwort demo`: the steps as
//! they were taken, what is told of each, buttons that take more of them, a withdrawal that is seen, and a search that
//! finds a patient's name in hospitals alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::pages::{Pages, Shown};
use support::{Client, text};

/// `sealwort demo`, after its story.
struct Demo {
    child: Child,
    told: Value,
}

impl Demo {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .args(["demo", "--json", "--dir", text(folder)])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, told }
    }

    fn url(&self) -> String {
        self.told["urls"]["the page that explains"].as_str().unwrap().to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.url().strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers of the arrows that are drawn, from the first to the last: of which phase, and which step.
fn arrows(pages: &mut Pages) -> Vec<(String, u64)> {
    let names = pages.evaluate("[...document.querySelectorAll('.sequence a')].map((a) => a.textContent)");
    let step = |name: &Value| {
        let (number, rest) = name.as_str()?.strip_prefix("Step ")?.split_once(" of ")?;
        Some((rest.split_once(',')?.0.to_owned(), number.parse().ok()?))
    };
    names.as_array().unwrap().iter().filter_map(step).collect()
}

fn numbers(pages: &mut Pages) -> Vec<u64> {
    arrows(pages).into_iter().map(|(_, number)| number).collect()
}

/// Cells of the search's table: the party, its messages, store and audit log.
fn found(pages: &mut Pages) -> Vec<Vec<String>> {
    let rows = "[...document.querySelectorAll('#search tbody tr')].map((r) => [...r.children].map((c) => c.innerText))";
    serde_json::from_value(pages.evaluate(rows)).unwrap()
}

/// The page's address without its fragment: with it, going there again is no going at all.
fn address(page: &Shown) -> String {
    page.url.split('#').next().unwrap().to_owned()
}

fn press(pages: &mut Pages, button: u32) -> Shown {
    pages.follow_target(&json!(format!("#button-{button}")))
}

fn look_for(pages: &mut Pages, word: &str) -> Shown {
    pages.fill_target(&json!("#word"), word);
    pages.follow_target(&json!("#look"))
}

/// The nine and the seven in the order of their messages. The third step is two: from the archive to the broker, and on.
const SIXTEEN: [u64; 17] = [1, 2, 3, 3, 4, 6, 7, 8, 5, 9, 1, 2, 3, 4, 5, 6, 7];
const UPLOAD: u32 = 1;
const ALLOW: u32 = 2;
const READ: u32 = 3;
const WITHDRAW: u32 = 4;
const READ_AGAIN: u32 = 5;
const CUT: u32 = 6;

#[test]
fn the_sixteen_steps_are_explained_as_they_happen() {
    let place = tempfile::tempdir().unwrap();
    let Some(mut pages) = Pages::start(place.path(), "explain", None) else { return };
    let demo = Demo::start(&place.path().join("demo"));
    let url = demo.url();

    the_first_record(&mut pages, &url);
    each_step_is_told(&mut pages, &url);
    nothing_but_forms_of_the_page(&demo);
    buttons_take_real_steps(&mut pages, &url);
    words_are_looked_for(&mut pages, &url);
    others_are_seen_without_a_reload(&mut pages, &demo);
    it_works_without_scripts(&mut pages, &url);
    keyboards_reach_everything(&mut pages, &url);
}

fn the_first_record(pages: &mut Pages, url: &str) {
    let page = pages.check("first", url);
    page.says("The sixteen steps").says("Hospital A").says("Broker").says("Archive").says("Stored. Nine steps");
    assert!(page.policy.contains("default-src 'none'") && !page.policy.contains("unsafe"), "{}", page.policy);
    assert_eq!(numbers(pages), SIXTEEN);
    let phases = arrows(pages);
    assert!(phases[..10].iter().all(|(phase, _)| phase == "authentication"), "{phases:?}");
    assert!(phases[10..].iter().all(|(phase, _)| phase == "transmission"), "{phases:?}");
    // The story's other chapters are there as well, and end as they must.
    for (chapter, outcome) in [
        ("asks for each patient before anybody consented", "Refused"),
        ("allow hospital B to read", "signed directive"),
        ("Hospital B reads the records", "resource by resource the same content"),
        ("withdraw their consent, and", "Refused, although"),
    ] {
        let link = format!(
            "[...document.querySelectorAll('.chapters a')].find((a) => a.innerText.includes({})).id = 'wanted'",
            json!(chapter)
        );
        pages.evaluate(&link);
        pages.follow_target(&json!("#wanted")).says(outcome);
        assert!(pages.count(".sequence a") > 0, "{chapter}");
    }
}

fn each_step_is_told(pages: &mut Pages, url: &str) {
    pages.open(url);
    for (place, number) in SIXTEEN.into_iter().enumerate() {
        let link = format!("[...document.querySelectorAll('.sequence a.step')][{place}].id = 'wanted'");
        pages.evaluate(&link);
        let page = pages.follow_target(&json!("#wanted"));
        page.says(&format!("Step {number} of ")).says("Who knows what after it").says("What stays hidden");
        page.says("The paper and ours").says("Specification, section").is_silent_about("no longer among");
        assert_eq!(pages.count(".sequence a[aria-current]"), 1);
        assert!(pages.count(".told .seen pre") > 0, "step {number}: no bytes are shown");
    }
    // The last one carries the record: readable at the hospital, and nowhere else.
    let page = pages.page();
    page.says("What hospital A's own system sent").says("resourceType").says("The archive opened it");
    let seen = pages.evaluate("[...document.querySelectorAll('.seen:not(.readable)')].map((f) => f.innerText).join()");
    let seen = seen.as_str().unwrap().to_owned();
    assert!(seen.len() > 500 && !seen.contains("resourceType") && !seen.contains("Patient"), "{seen}");
    let last = address(&page);
    pages.check("step", &last);
    // The specification is one click away.
    let spec = pages.evaluate("document.querySelector('.told a[href^=\"/spec/\"]').href");
    pages.check("specification", spec.as_str().unwrap()).says("7.5 Step 7, writing");
}

fn buttons_take_real_steps(pages: &mut Pages, url: &str) {
    pages.open(url);
    // Before anything is uploaded there is nobody to be read.
    press(pages, READ).says("finds nobody");
    // What is typed is text, whatever it is.
    let note = "Wintergreen <script>alert(1)</script><img src=x onerror=alert(2)> \"tea";
    pages.fill_target(&json!("#note"), note);
    let page = press(pages, UPLOAD);
    page.says("Stored: note number 1");
    assert!(numbers(pages).ends_with(&[1, 2, 3, 4, 5, 6, 7]), "{:?}", numbers(pages));
    pages.check_heard("after an upload");

    press(pages, READ).says("Refused (consent-no-provision)");
    assert_eq!(numbers(pages), [1, 2, 3], "the broker says no in place of step 4");
    assert_eq!(pages.count(".sequence a.refused"), 1);

    press(pages, ALLOW).says("Each will decide by its own copy");
    assert!(pages.count(".sequence a.beside") >= 2, "the directive goes to broker and archive");

    let page = press(pages, READ);
    page.says("Hospital B reads 1 note").says(note);
    assert_eq!(numbers(pages), [1, 2, 3, 4, 5, 6, 7]);
    let read = address(&page);
    pages.check("read", &read);

    press(pages, WITHDRAW).says("new epoch");
    let page = press(pages, READ_AGAIN);
    page.says("Refused (consent-no-provision)").is_silent_about("Wintergreen");
    assert_eq!(numbers(pages), [1, 2, 3]);
    assert_eq!(pages.count(".sequence a.refused"), 1);
    let refused = address(&page);
    pages.check("refused", &refused);

    // Without its connections everybody begins at the first step: gateways by themselves, or with what is asked of them
    // next. Steps 6 and 7 are in the run of whoever comes first.
    let cut = chapter(press(pages, CUT).says("neither holds a key of any session that was"));
    let upload = chapter(press(pages, UPLOAD).says("Stored: note number 2"));
    assert!(numbers(pages).ends_with(&SIXTEEN[10..]), "{:?}", numbers(pages));
    let mut nine = BTreeSet::new();
    for number in cut..=upload {
        pages.open(&format!("{url}?chapter={number}"));
        nine.extend(arrows(pages).into_iter().filter(|(phase, _)| phase == "authentication").map(|(_, step)| step));
    }
    assert_eq!(nine, (1..=9).collect::<BTreeSet<u64>>(), "chapters {cut} to {upload}");
}

/// The number of the chapter that a page shows.
fn chapter(page: &Shown) -> u64 {
    let rest = page.url.split_once("chapter=").unwrap().1;
    rest.split(['#', '&']).next().unwrap().parse().unwrap()
}

fn words_are_looked_for(pages: &mut Pages, url: &str) {
    pages.open(url);
    for word in ["Oakenfold", "wintergreen"] {
        let page = look_for(pages, word);
        page.says("Only hospitals had it");
        assert!(!page.url.to_lowercase().contains(&word.to_lowercase()), "{}", page.url);
        assert!(!page.title.to_lowercase().contains(&word.to_lowercase()), "{}", page.title);
        let rows = found(pages);
        let parties: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(parties, ["Hospital A", "Hospital B", "Broker", "Archive", "Certificate authority"]);
        for row in &rows[..2] {
            assert!(row[1].starts_with("found"), "{row:?}");
            assert!(row[2..].iter().all(|cell| cell.starts_with("not found in")), "{row:?}");
        }
        for row in &rows[2..] {
            assert!(row[1..].iter().all(|cell| cell.starts_with("not found in") || cell == "–"), "{row:?}");
        }
        assert!(rows[2][1].starts_with("not found in") && rows[3][1].starts_with("not found in"), "{rows:?}");
    }
    let searched = address(&pages.page());
    pages.check("search", &searched);
    // The search does find what broker and archive know.
    look_for(pages, "Hospital-B").says("Words that they must know");
    let rows = found(pages);
    assert!(rows[2][1].starts_with("found") && rows[3][1].starts_with("found"), "{rows:?}");
    look_for(pages, "abc").says("too short");
    look_for(pages, "zzyzx-nowhere").says("Nobody had it");
}

fn others_are_seen_without_a_reload(pages: &mut Pages, demo: &Demo) {
    press(pages, CUT);
    pages.open(&demo.url());
    let before = pages.attribute_of(&json!("#live"), "hx-get").unwrap();
    // What the demo proposes to try at hospital B.
    let curl = demo.told["curl"].as_str().unwrap();
    let (rest, address) = curl.trim_end_matches('\'').split_once("http://").unwrap();
    let token = rest.split_once("Bearer ").unwrap().1.split_once('\'').unwrap().0;
    let (address, path) = address.split_once('/').unwrap();
    let client = Client::new(address.parse().unwrap(), Some(token.to_owned()));
    client.get(&format!("/{path}")).done();
    let title = json!("Messages that nobody caused on this page");
    let changed = format!(
        "document.getElementById('live').getAttribute('hx-get') !== {} && document.body.innerText.includes({title})",
        json!(before)
    );
    let page = pages.tell(&json!({"wait": {"expression": changed}}));
    assert_eq!(page["url"], demo.url().as_str(), "it is the same page");
    assert_eq!(pages.count("#live"), 1);
}

fn it_works_without_scripts(pages: &mut Pages, url: &str) {
    pages.scripts(false);
    pages.open(url).says("Stored. Nine steps");
    assert_eq!(pages.count(".sequence a.step"), 17);
    press(pages, ALLOW).says("Each will decide by its own copy");
    press(pages, READ).says("Hospital B reads 2 notes");
    pages.follow_target(&json!(".sequence a.step")).says("Who knows what after it");
    pages.follow("Show the present state").says("Hospital B reads 2 notes");
    look_for(pages, "Oakenfold").says("Only hospitals had it");
    pages.scripts(true);
}

fn keyboards_reach_everything(pages: &mut Pages, url: &str) {
    pages.open(url);
    let first = pages.attribute_of(&json!(".sequence a"), "id").unwrap();
    let reached = (0..100).any(|_| {
        let focus = pages.press("Tab", 1);
        assert!(focus["visible"] == true || focus["tag"] == "body", "one does not see the focus: {focus}");
        pages.evaluate("document.activeElement.id") == first.as_str()
    });
    assert!(reached, "the tabulator does not reach the first arrow");
    pages.press_to_leave("Enter").says("Step 1 of 9");
}

/// No other site's page can press a button, and none can read the page under a name of its own.
fn nothing_but_forms_of_the_page(demo: &Demo) {
    let client = Client::new(demo.address(), None);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let before = client.get("/").with(200).text();
    for (path, body) in [
        ("/do/upload", ""),
        ("/do/upload", "form=00000000000000000000000000000000&note=x"),
        ("/do/cut", "form="),
        ("/search", "word=Oakenfold"),
    ] {
        let answer = client.send("POST", path, &form, body).with(403);
        assert!(answer.text().contains("not of this page"), "{path}");
    }
    client.send("GET", "/do/upload", &[], "").with(405);
    for host in ["evil.example", "evil.example:80", "127.0.0.1:1", "192.0.2.7"] {
        client.send("GET", "/", &[("Host", host)], "").with(421);
    }
    client.send("GET", "/", &[("Host", &format!("localhost:{}", demo.address().port()))], "").with(200);
    for path in ["/other", "/spec/99", "/spec/..%2f..%2fCargo.toml", "/assets/0/explain.css"] {
        client.get(path).with(404);
    }
    for path in ["/?chapter=99999&step=1", "/?chapter=x", "/?broker=1&archive=2", "/live?chapter=1"] {
        client.get(path).with(200);
    }
    let chapters = |page: &str| page.matches("chapter=").count();
    assert_eq!(chapters(&client.get("/").text()), chapters(&before), "something was done");
}

#[test]
fn the_page_is_for_this_computer_and_ends_with_the_demo() {
    let place = tempfile::tempdir().unwrap();
    let run = |address: &str| {
        let folder = place.path().join(address.replace([':', '.'], "-"));
        Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .args(["demo", "--once", "--json", "--explain", address, "--dir", text(&folder)])
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let refused = run("0.0.0.0:0");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("loopback alone"), "{refused:?}");
    let once = run("127.0.0.1:0");
    assert!(once.status.success(), "{once:?}");
    let told: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert!(told["urls"]["the page that explains"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{told}");
}
