//! What `cargo metadata` says: the packages of this workspace and everything that they reach on this platform.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// How one package depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For the code itself.
    Normal,
    /// For its build script.
    Build,
    /// For its tests, examples and benchmarks.
    Dev,
}

/// One package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its SPDX licence expression; empty where it states none.
    pub licence: String,
    /// Whether it belongs to this workspace.
    pub own: bool,
    /// Whether it may be published.
    pub published: bool,
    /// Its manifest, as text.
    pub manifest: String,
    dependencies: Vec<(String, BTreeSet<Kind>)>,
}

/// All packages, by package id.
pub struct Metadata(BTreeMap<String, Package>);

impl Metadata {
    /// Runs `cargo metadata` without the network, for this platform.
    pub fn load() -> Self {
        // Other platforms' packages need not be on this machine.
        let host = output(&["-vV"]);
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
        let text = output(&["metadata", "--format-version", "1", "--offline", "--filter-platform", host]);
        Self::from_json(&serde_json::from_str(&text).expect("cargo metadata prints JSON"))
    }

    fn from_json(metadata: &Value) -> Self {
        let own: BTreeSet<&str> = texts(&metadata["workspace_members"]).collect();
        let nodes: BTreeMap<&str, &Value> =
            items(&metadata["resolve"]["nodes"]).map(|node| (text(&node["id"]), node)).collect();
        let packages = items(&metadata["packages"]).map(|package| {
            let id = text(&package["id"]);
            let dependencies = nodes.get(id).map(|node| items(&node["deps"]).map(dependency).collect());
            let found = Package {
                name: text(&package["name"]).to_owned(),
                licence: package["license"].as_str().unwrap_or_default().to_owned(),
                own: own.contains(id),
                published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
                manifest: text(&package["manifest_path"]).to_owned(),
                dependencies: dependencies.unwrap_or_default(),
            };
            (id.to_owned(), found)
        });
        Self(packages.collect())
    }

    /// The packages of this workspace, by name.
    pub fn workspace(&self) -> impl Iterator<Item = &Package> {
        self.0.values().filter(|package| package.own)
    }

    /// Every package that this workspace reaches, tests included.
    pub fn reached(&self) -> impl Iterator<Item = &Package> {
        let mut seen = BTreeSet::new();
        let all = [Kind::Normal, Kind::Build, Kind::Dev];
        for (id, package) in &self.0 {
            if package.own {
                self.visit(id, &all, &mut seen);
            }
        }
        self.0.iter().filter(move |(id, _)| seen.contains(id.as_str())).map(|(_, package)| package)
    }

    /// A package of this workspace.
    pub fn own(&self, name: &str) -> &Package {
        self.workspace().find(|package| package.name == name).unwrap_or_else(|| panic!("{name} is not here"))
    }

    /// Names of the packages that this one depends on directly, in one of these ways.
    pub fn direct<'a>(&'a self, package: &'a Package, kinds: &'a [Kind]) -> impl Iterator<Item = &'a str> {
        let fits = |found: &BTreeSet<Kind>| kinds.iter().any(|kind| found.contains(kind));
        let found = package.dependencies.iter().filter(move |(_, found)| fits(found));
        found.filter_map(|(id, _)| self.0.get(id)).map(|package| package.name.as_str())
    }

    /// Names of all packages whose code ends up in this one: its normal dependencies and theirs.
    pub fn reaches(&self, name: &str) -> BTreeSet<&str> {
        let id = self.0.iter().find(|(_, p)| p.own && p.name == name).expect("a package of this workspace").0;
        let mut seen = BTreeSet::new();
        self.visit(id, &[Kind::Normal], &mut seen);
        seen.iter().filter_map(|id| self.0.get(*id)).map(|package| package.name.as_str()).collect()
    }

    fn visit<'a>(&'a self, id: &'a str, kinds: &[Kind], seen: &mut BTreeSet<&'a str>) {
        if !seen.insert(id) {
            return;
        }
        let Some(package) = self.0.get(id) else { return };
        for (next, found) in &package.dependencies {
            // Tests of other people's packages are never built here.
            let counts = |kind: &Kind| found.contains(kind) && (package.own || *kind != Kind::Dev);
            if kinds.iter().any(counts) {
                self.visit(next, kinds, seen);
            }
        }
    }
}

fn dependency(value: &Value) -> (String, BTreeSet<Kind>) {
    let kinds = items(&value["dep_kinds"]).map(|found| match found["kind"].as_str() {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some(_) => Kind::Dev,
    });
    (text(&value["pkg"]).to_owned(), kinds.collect())
}

fn output(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo).args(arguments).current_dir(crate::root()).output().expect("cargo runs");
    assert!(run.status.success(), "cargo {arguments:?} failed:\n{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("cargo prints UTF-8")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).map(text)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text in cargo's metadata")
}
