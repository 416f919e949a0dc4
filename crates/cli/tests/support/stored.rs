//! What a server makes of a transaction: the names under which its resources are stored, and the resources with their
//! links within the Bundle leading there. Nothing else in them changes.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Answer;

/// A Bundle with its resources as they are written.
#[derive(Deserialize)]
pub(crate) struct RawBundle<'a> {
    #[serde(borrow, default)]
    pub(crate) entry: Vec<RawEntry<'a>>,
}

/// An entry of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawEntry<'a> {
    #[serde(default)]
    full_url: Option<String>,
    #[serde(borrow, default)]
    pub(crate) resource: Option<&'a RawValue>,
}

/// The resources of a Bundle that was posted, by `Type/id`, as they should be stored.
pub(crate) fn stored(bundle: &[u8], answer: &Answer) -> Vec<(String, String)> {
    let raw: RawBundle<'_> = serde_json::from_slice(bundle).unwrap();
    let entries = answer.entries();
    assert_eq!(entries.len(), raw.entry.len());
    let names: Vec<&str> = entries.iter().map(name_in).collect();
    let urls: HashMap<&str, &str> =
        raw.entry.iter().zip(&names).filter_map(|(entry, name)| Some((entry.full_url.as_deref()?, *name))).collect();
    let resources = raw.entry.iter().map(|entry| with_links(entry.resource.unwrap().get(), &urls));
    names.iter().map(|name| (*name).to_owned()).zip(resources).collect()
}

/// `Type/id` of what an entry of the answer says.
fn name_in(entry: &Value) -> &str {
    let response = &entry["response"];
    let location = response["location"].as_str().unwrap_or_else(|| panic!("no location in {response}"));
    location.split("/_history").next().unwrap()
}

/// A link stands between quotes or, in a narrative, between escaped quotes.
fn with_links(resource: &str, urls: &HashMap<&str, &str>) -> String {
    let (uuids, others): (Vec<_>, Vec<_>) = urls.iter().partition(|(url, _)| url.starts_with("urn:uuid:"));
    let mut text = resource.to_owned();
    for (url, name) in others {
        for end in ['"', '\\'] {
            text = text.replace(&format!("\"{url}{end}"), &format!("\"{name}{end}"));
        }
    }
    if uuids.is_empty() {
        return text;
    }
    // There may be thousands of them: each link is looked up, not each name looked for.
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find("urn:uuid:") {
        let end = at + rest[at..].find(['"', '\\']).unwrap_or(rest.len() - at);
        let url = &rest[at..end];
        out.push_str(&rest[..at]);
        out.push_str(urls.get(url).unwrap_or(&url));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
