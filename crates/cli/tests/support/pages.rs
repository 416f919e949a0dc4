//! Pages as people see them: a real browser (Chromium, headless) with an authenticator for passkeys, driven by
//! `interop/clients/node/pages.mjs`, which says what can be told to it; and what must hold of every page: no request beyond
//! its origin, few bytes, soon painted, nothing that its policy had to stop, and nothing that axe-core finds, in both themes.
//!
//! How long every page took to its first contentful paint, and what it weighed, is told at the end of each test in one line,
//! and kept beside the screenshots.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::text;

/// What a page may weigh over the wire, with all that it loads.
pub(crate) const PAGE_BYTES_MAX: u64 = 100 * 1000;
/// By when a page shows something, in milliseconds after its address was asked for. Other processes of a busy machine only
/// ever make a load slower, so the quickest of [`LOADS_MAX`] counts: a page that is too slow by itself is so each time.
const PAINT_MILLISECONDS_MAX: f64 = 1000.0;
const LOADS_MAX: usize = 3;
/// A phone, and a desktop.
pub(crate) const PHONE: (u32, u32) = (390, 844);
pub(crate) const DESKTOP: (u32, u32) = (1280, 800);

/// A certificate for `localhost` that the browser is told to trust. Passkeys need TLS.
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
    /// Base64 of the SHA-256 of its public key.
    pub(crate) spki: String,
}

impl Certificate {
    pub(crate) fn make(place: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (file, key) = (place.join("localhost.crt"), place.join("localhost.key"));
        fs::write(&file, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let public = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        Self { file, key, spki: STANDARD.encode(sealwort_proto::crypto::sha256(&public)) }
    }
}

/// What is there after a page has come.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) url: String,
    pub(crate) status: u64,
    pub(crate) title: String,
    /// What can be read on it.
    pub(crate) text: String,
    /// Its `Content-Security-Policy`.
    pub(crate) policy: String,
    /// Milliseconds to the first contentful paint of its document, where there was one.
    pub(crate) paint: Option<f64>,
}

/// How a document was loaded.
struct Load {
    url: String,
    paint: Option<f64>,
    bytes: u64,
}

impl Shown {
    /// Fails the test unless the page shows this text. Letters' case and white space do not count: styles change both.
    #[track_caller]
    pub(crate) fn says(&self, wanted: &str) -> &Self {
        assert!(self.contains(wanted), "{} does not say {wanted:?}:\n{}", self.url, self.text);
        self
    }

    /// Fails the test if it does.
    #[track_caller]
    pub(crate) fn is_silent_about(&self, unwanted: &str) -> &Self {
        assert!(!self.contains(unwanted), "{} says {unwanted:?}:\n{}", self.url, self.text);
        self
    }

    pub(crate) fn contains(&self, wanted: &str) -> bool {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        plain(&self.text).contains(&plain(wanted))
    }
}

/// A browser with one tab.
pub(crate) struct Pages {
    child: Child,
    /// Until it is dropped.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Begins the names of its screenshots.
    surface: &'static str,
    /// All documents in the order in which they were loaded, and the browser's name of the last one.
    loads: Vec<Load>,
    last: Value,
    /// Origins whose pages were checked: their documents are told of, and those of a sign-in provider are not.
    checked: BTreeSet<String>,
    /// How often somebody clicked, or went into a field, since a page was opened by its address.
    clicks: u32,
}

impl Pages {
    /// Starts it with a new profile in this folder, or says that something is not installed. `surface` begins the names of
    /// screenshots; `certificate` is the server's, where it is one of [`Certificate`].
    pub(crate) fn start(place: &Path, surface: &'static str, certificate: Option<&Certificate>) -> Option<Self> {
        if !["chromium", "node"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok()) {
            eprintln!("SKIPPED: chromium and node are not installed; run scripts/install.sh");
            return None;
        }
        let axe =
            Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("clients-node/node_modules/axe-core/axe.min.js");
        if !axe.is_file() {
            eprintln!("SKIPPED: axe-core is not installed; run scripts/install.sh");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/clients/node/pages.mjs");
        let spki = certificate.map_or("-", |certificate| &certificate.spki);
        let profile = place.join(format!("profile-{}", super::letters(8)));
        let mut child = Command::new("node")
            .args([text(&script), "chromium", text(&profile), spki, text(&axe)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let (loads, last, checked, clicks) = (Vec::new(), Value::Null, BTreeSet::new(), 0);
        let mut pages = Self { child, commands, answers, surface, loads, last, checked, clicks };
        assert_eq!(pages.answer(), json!({"ready": true}));
        Some(pages)
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Any command of the script.
    pub(crate) fn try_tell(&mut self, command: &Value) -> Result<Value, String> {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let answer = self.answer();
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(format!("{command}: {error}")),
            None => Ok(answer),
        }
    }

    /// Any command of the script, which must succeed.
    #[track_caller]
    pub(crate) fn tell(&mut self, command: &Value) -> Value {
        match self.try_tell(command) {
            Ok(answer) => answer,
            Err(error) => {
                let page = self.try_tell(&json!({"page": true})).map(|page| page["text"].to_string());
                panic!("{error}\non the page: {}", page.unwrap_or_default())
            }
        }
    }

    #[track_caller]
    fn shown(&mut self, command: &Value) -> Shown {
        let page = self.tell(command);
        let field = |name: &str| page[name].as_str().unwrap_or_default().to_owned();
        let (load, paint) = (&page["load"], page["load"]["paint"].as_f64());
        if self.last != load["id"] {
            self.last = load["id"].clone();
            self.loads.push(Load { url: field("url"), paint, bytes: load["bytes"].as_u64().unwrap() });
        }
        Shown {
            paint,
            url: field("url"),
            status: page["status"].as_u64().unwrap_or_default(),
            title: field("title"),
            text: field("text"),
            policy: field("policy"),
        }
    }

    // ---- as a person does ----

    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) -> Shown {
        self.clicks = 0;
        self.shown(&json!({"goto": url}))
    }

    /// Clicks what has this accessible name, a link or a button, and waits for the page that it leads to.
    #[track_caller]
    pub(crate) fn follow(&mut self, name: &str) -> Shown {
        self.follow_target(&json!({"name": name}))
    }

    /// The same with any target: a selector, or `{"name", "role", "within", "nth"}`.
    #[track_caller]
    pub(crate) fn follow_target(&mut self, target: &Value) -> Shown {
        self.clicks += 1;
        self.shown(&json!({"click": {"target": target, "then": "page"}}))
    }

    /// Clicks what changes the page it is on, or nothing.
    #[track_caller]
    pub(crate) fn click(&mut self, target: &Value) -> Shown {
        self.clicks += 1;
        self.shown(&json!({"click": {"target": target}}))
    }

    /// Writes into the field that has this label.
    #[track_caller]
    pub(crate) fn fill(&mut self, label: &str, value: &str) {
        self.fill_target(&json!({"name": label}), value);
    }

    /// The same with any target.
    #[track_caller]
    pub(crate) fn fill_target(&mut self, target: &Value, value: &str) {
        self.clicks += 1;
        self.tell(&json!({"fill": [target, value]}));
    }

    /// Clicks since a page was opened by its address; going into a field to fill it is one, too.
    pub(crate) fn clicks(&self) -> u32 {
        self.clicks
    }

    /// Presses a key so often; what has the focus then: `{"tag", "name", "visible"}`.
    #[track_caller]
    pub(crate) fn press(&mut self, key: &str, times: u32) -> Value {
        self.tell(&json!({"press": {"key": key, "times": times}}))
    }

    /// Presses a key that leads to another page.
    #[track_caller]
    pub(crate) fn press_to_leave(&mut self, key: &str) -> Shown {
        self.tell(&json!({"press": {"key": key, "then": "page"}}));
        self.page()
    }

    /// Goes on with the tabulator from the top of the page until something of this name has the focus. Fails where that
    /// never happens, or where the focus cannot be seen on the way.
    #[track_caller]
    pub(crate) fn tab_to(&mut self, name: &str) {
        let mut seen = Vec::new();
        for _ in 0..TABS_MAX {
            let focus = self.press("Tab", 1);
            let found = focus["name"].as_str().unwrap_or_default().to_owned();
            assert!(focus["visible"] == true || focus["tag"] == "body", "one does not see the focus: {focus}");
            if found == name {
                return;
            }
            seen.push(found);
        }
        panic!("the tabulator never reaches {name:?}: {seen:?}");
    }

    /// What is there now.
    #[track_caller]
    pub(crate) fn page(&mut self) -> Shown {
        self.shown(&json!({"page": true}))
    }

    // ---- about the page ----

    #[track_caller]
    pub(crate) fn text_of(&mut self, selector: &str) -> String {
        self.tell(&json!({"text": selector}))["text"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn attribute_of(&mut self, target: &Value, name: &str) -> Option<String> {
        self.tell(&json!({"attribute": [target, name]}))["attribute"].as_str().map(str::to_owned)
    }

    #[track_caller]
    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        self.tell(&json!({"count": selector}))["count"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        self.tell(&json!({"evaluate": expression}))["value"].clone()
    }

    // ---- settings ----

    pub(crate) fn theme(&mut self, theme: &str) {
        self.tell(&json!({"theme": theme}));
    }

    pub(crate) fn viewport(&mut self, (width, height): (u32, u32)) {
        self.tell(&json!({"viewport": {"width": width, "height": height, "phone": (width, height) == PHONE}}));
    }

    /// Whether pages' JavaScript runs, from the next page on.
    pub(crate) fn scripts(&mut self, run: bool) {
        self.tell(&json!({"scripts": run}));
    }

    // ---- what must hold of every page ----

    /// Opens a page and checks all of it: see the module. Leaves a screenshot of each theme at both sizes, named after
    /// the surface and `name`, and the browser in light at desktop size.
    #[track_caller]
    pub(crate) fn check(&mut self, name: &str, url: &str) -> Shown {
        let in_time = |page: &Shown| page.paint.is_some_and(|paint| paint < PAINT_MILLISECONDS_MAX);
        let mut page = self.open(url);
        let mut paints = vec![page.paint];
        while !in_time(&page) && paints.len() < LOADS_MAX {
            page = self.open(url);
            paints.push(page.paint);
        }
        assert!(in_time(&page), "{name}: milliseconds to the first contentful paint: {paints:?}");
        self.check_traffic(url);
        for (theme, size, viewport) in [
            ("dark", "phone", PHONE),
            ("light", "phone", PHONE),
            ("dark", "desktop", DESKTOP),
            ("light", "desktop", DESKTOP),
        ] {
            self.theme(theme);
            self.viewport(viewport);
            self.check_accessible(&format!("{name}, {theme}, {size}"));
            // What does not fit is scrolled within its own box, never with the whole page.
            let overflow = self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(overflow, 0, "{name} is wider than a {size}");
            self.screenshot(&format!("{name}-{theme}-{size}"));
        }
        page
    }

    /// What the page at hand loaded, and what was heard of it.
    #[track_caller]
    pub(crate) fn check_traffic(&mut self, url: &str) {
        let origin = origin(url);
        self.checked.insert(origin.clone());
        let loaded = self.tell(&json!({"requests": true}));
        let requests = loaded["requests"].as_array().unwrap();
        assert!(!requests.is_empty(), "{url}: nothing was loaded");
        // The browser draws its own controls, as that of a date, from addresses that hold the picture itself. What a page
        // would load so its policy stops, and that is heard below.
        let leaves = |one: &&Value| !one["url"].as_str().unwrap_or_default().starts_with("data:");
        let is_own = |one: &Value| one["origin"] == origin.as_str();
        assert!(requests.iter().filter(leaves).all(is_own), "{url}: beyond the origin: {requests:#?}");
        assert!(requests.iter().all(|one| one["failed"].is_null()), "{url}: {requests:#?}");
        let bytes = loaded["bytes"].as_u64().unwrap();
        assert!(bytes > 0 && bytes <= PAGE_BYTES_MAX, "{url} weighs {bytes} bytes: {requests:#?}");
        self.check_heard(url);
    }

    /// No dialog, no error, and nothing that the policy had to stop, since the page was opened.
    #[track_caller]
    pub(crate) fn check_heard(&mut self, what: &str) {
        let heard = self.tell(&json!({"heard": true}));
        assert_eq!(heard, json!({"violations": [], "errors": [], "dialogs": []}), "{what}");
    }

    /// axe-core finds nothing on the page at hand.
    #[track_caller]
    pub(crate) fn check_accessible(&mut self, what: &str) {
        let found = self.tell(&json!({"axe": {}}));
        assert!(found["passes"].as_u64().unwrap() > 0, "{what}: axe-core looked at nothing");
        assert_eq!(found["violations"], json!([]), "{what}: {found:#}");
    }

    /// Keeps a picture of the whole page in `screenshots` of the target folder.
    #[track_caller]
    pub(crate) fn screenshot(&mut self, name: &str) {
        let file = beside_screenshots(&format!("{}-{name}.png", self.surface));
        self.tell(&json!({"screenshot": text(&file)}));
    }

    /// Clicks a target that gives a file; where the file is.
    #[track_caller]
    pub(crate) fn download(&mut self, target: &Value, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let got = self.tell(&json!({"download": {"target": target, "folder": text(folder)}}));
        PathBuf::from(got["file"].as_str().unwrap())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // The script ends the browser with itself, when its input ends.
        drop(self.commands.take());
        let _ = self.child.wait();
        self.tell_loads();
    }
}

impl Pages {
    /// What the loads of checked origins took: all of them into a file, and one line for people.
    fn tell_loads(&self) {
        let own: Vec<&Load> = self.loads.iter().filter(|load| self.checked.contains(&origin(&load.url))).collect();
        let mut painted: Vec<(f64, &Load)> = own.iter().filter_map(|load| Some((load.paint?, *load))).collect();
        painted.sort_by(|one, other| one.0.total_cmp(&other.0));
        let heaviest = own.iter().max_by_key(|load| load.bytes);
        let (Some((median, _)), Some((worst, slow)), Some(heavy)) =
            (painted.get(painted.len() / 2), painted.last(), heaviest)
        else {
            return;
        };
        // A test has a thread of its own, which is called like it; two tests of one surface do not write over each other.
        let test = std::thread::current().name().unwrap_or_default().replace(':', "-");
        let rows: Vec<Value> = own
            .iter()
            .map(|load| json!({"page": path(&load.url), "first_contentful_paint_ms": load.paint, "bytes": load.bytes}))
            .collect();
        let file = beside_screenshots(&format!("{}-{test}-loads.json", self.surface));
        let _ = fs::write(file, format!("{:#}\n", Value::from(rows)));
        println!(
            "{}: {} pages; first contentful paint: median {median:.0} ms, worst {worst:.0} ms ({}); heaviest {:.1} KB ({})",
            self.surface,
            own.len(),
            path(&slow.url),
            kilobytes(heavy.bytes),
            path(&heavy.url),
        );
    }
}

fn origin(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn path(url: &str) -> String {
    url.chars().skip(origin(url).chars().count()).collect()
}

#[allow(clippy::cast_precision_loss)]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}

/// A file in the folder of the screenshots.
fn beside_screenshots(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Nobody should have to press it more often.
const TABS_MAX: usize = 100;
