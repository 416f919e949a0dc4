//! A hospital's OpenID provider in a process of its own (npm `oidc-provider`), and people's browsers, which are a few
//! requests and cookies.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

use super::smart::{access_token, hidden};
use super::{Answer, Client, Party, World, encode, text};

pub(crate) const SECRET: &str = "a-secret-of-at-least-32-letters-for-HS256";
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// `oidc-provider` in a process of its own.
pub(crate) struct Provider {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) issuer: String,
}

impl Provider {
    /// Starts it for one gateway, or says that it is not installed.
    pub(crate) fn start(world: &World, gateway: SocketAddr) -> Option<Self> {
        let at = |path: &str| [format!("http://{gateway}{path}")];
        Self::start_with(
            world,
            &json!({
                "client_id": "sealwort", "client_secret": SECRET, "redirect_uris": at("/auth/login/callback"),
                "post_logout_redirect_uris": at("/auth/signed-out"),
                "roles": {"dr-a": ["staff", "physicians"], "ned": ["nurses"], "both": ["nurses", "physicians"], "guest": ["staff"]},
                "patients": {"pat": "1"},
            }),
        )
    }

    /// The same with settings of one's own, as `interop/clients/node/provider.mjs` takes them.
    pub(crate) fn start_with(world: &World, settings: &Value) -> Option<Self> {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("clients-node");
        if !packages.join("node_modules/oidc-provider").is_dir() {
            eprintln!("SKIPPED: oidc-provider is not installed; run scripts/install.sh");
            return None;
        }
        // Node looks for packages beside the script.
        let script = packages.join("provider.mjs");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/clients/node/provider.mjs");
        fs::copy(source, &script).unwrap();
        let file = world.path().join(format!("provider-{}.json", super::letters(8)));
        fs::write(&file, settings.to_string()).unwrap();
        let mut child = Command::new("node")
            .args([&script, &file])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut provider = Self { child, commands, answers, issuer: String::new() };
        let issuer = provider.answer()["issuer"].as_str().unwrap().to_owned();
        provider.issuer = issuer;
        Some(provider)
    }

    pub(crate) fn tell(&mut self, command: &Value) {
        writeln!(self.commands, "{command}").unwrap();
        assert_eq!(self.answer()["done"], *command);
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A person's browser.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: Vec<(String, String, String, String)>,
}

impl Browser {
    /// Sends a request and follows it wherever it leads, up to an address that begins like this.
    pub(crate) fn go(&mut self, url: &str, form: Option<&str>, until: &str) -> (String, Answer) {
        let (mut url, mut form) = (url.to_owned(), form.map(str::to_owned));
        for _ in 0..12 {
            let (host, path) = split(&url);
            let answer = self.send(&host, &path, form.take().as_deref());
            let Some(location) = answer.field("location").filter(|_| (300..400).contains(&answer.status)) else {
                return (url, answer);
            };
            let next = if location.starts_with('/') { format!("http://{host}{location}") } else { location.to_owned() };
            if !until.is_empty() && next.starts_with(until) {
                return (next, answer);
            }
            url = next;
        }
        panic!("it leads nowhere: {url}");
    }

    pub(crate) fn send(&mut self, host: &str, path: &str, form: Option<&str>) -> Answer {
        let sent =
            |(at, below, _, _): &&(String, String, String, String)| at == host && path.starts_with(below.as_str());
        let cookies: Vec<String> =
            self.cookies.iter().filter(sent).map(|(_, _, name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let client = Client::new(host.parse().unwrap(), None);
        let fields = [("Cookie", cookies.as_str()), FORM];
        let answer = client.send(if form.is_some() { "POST" } else { "GET" }, path, &fields, form.unwrap_or_default());
        for cookie in answer.fields("set-cookie") {
            let (pair, rules) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let below = rules
                .split(';')
                .find_map(|rule| rule.trim().strip_prefix("path=").or(rule.trim().strip_prefix("Path=")));
            self.cookies.retain(|(at, _, known, _)| at != host || known != name);
            if !value.is_empty() {
                let below = below.unwrap_or("/").to_owned();
                self.cookies.push((host.to_owned(), below, name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// Begins at the gateway and does what the provider's pages want: who, and yes. The address that leads back.
    pub(crate) fn reach_callback(&mut self, gateway: &str, user: &str, query: &str) -> String {
        let callback = format!("{gateway}/auth/login/callback");
        let (mut url, mut answer) = self.go(&format!("{gateway}/auth/login{query}"), None, &callback);
        for _ in 0..3 {
            if url.starts_with(&callback) {
                return url;
            }
            let page = answer.with(200).text();
            let prompt = hidden(&page, "prompt");
            let form = format!("prompt={prompt}&login={}&password=any", encode(user));
            (url, answer) = self.go(&url, Some(&form), &callback);
        }
        panic!("the provider does not let {user} go");
    }

    /// Signs in; what is theirs to open, or why they are not let in.
    pub(crate) fn sign_in(&mut self, gateway: &str, user: &str) -> Answer {
        let url = self.reach_callback(gateway, user, "");
        let (at, answer) = self.go(&url, None, &format!("{gateway}/portal"));
        // Private people land on the portal; the page of the session says in one line what is theirs.
        if at.starts_with(&format!("{gateway}/portal")) { self.page(gateway) } else { answer }
    }

    /// The cookie of the session at the gateway.
    pub(crate) fn session(&self) -> String {
        let (_, _, name, value) = self.cookies.iter().find(|(_, _, name, _)| name == "sealwort-session").unwrap();
        format!("{name}={value}")
    }

    /// An access token for the session.
    pub(crate) fn token(&mut self, gateway: &str) -> String {
        access_token(self.token_for(gateway, ""))
    }

    /// The same for one of a private person's records.
    pub(crate) fn token_for(&mut self, gateway: &str, patient: &str) -> Answer {
        let (host, page) = (split(gateway).0, self.page(gateway));
        let form = format!("form={}&patient={patient}", hidden(&page.with(200).text(), "form"));
        self.send(&host, "/auth/session/token", Some(&form))
    }

    pub(crate) fn page(&mut self, gateway: &str) -> Answer {
        self.send(&split(gateway).0, "/auth/session", None)
    }
}

pub(crate) fn split(url: &str) -> (String, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (host.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() })
}

pub(crate) fn private_file(world: &World, name: &str, content: &str) -> PathBuf {
    let file = world.path().join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Configures a provider at a hospital and starts its gateway again.
pub(crate) fn configure(world: &mut World, hospital: Party, issuer: &str) {
    let secret = private_file(world, "client.secret", SECRET);
    for (key, value) in [
        ("provider.issuer", json!(issuer)),
        ("provider.client_id", json!("sealwort")),
        ("provider.secret_file", json!(secret)),
        ("provider.inside", json!(true)),
        ("organisation", json!("Ward 7")),
        ("roles.physicians", json!("physician")),
        ("roles.nurses", json!("nurse")),
    ] {
        world.set(hospital, &format!("sign_in.{key}"), value);
    }
    world.stop(hospital);
    world.restart(hospital);
}

/// Runs a command as an administrator.
pub(crate) fn administrate(world: &World, arguments: &[&str]) -> Output {
    let token = world.token(Party::HospitalA, "root", "administrator");
    let file = private_file(world, "admin.token", &token);
    world.run_at(Party::HospitalA, &[arguments, &["--token-file", text(&file)]].concat())
}
