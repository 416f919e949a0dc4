//! A running `sealwort demo` with a small patient of its own: where its two hospitals are, and tokens for both.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sealwort_fhir::synthetic;
use sealwort_gateway::User;
use sealwort_net::{Clock as _, SystemClock};
use serde_json::Value;

use crate::measure::Failure;
use crate::processes::{Binary, Process};

/// The demo, which ends when this is dropped.
pub(super) struct Demo {
    pub(super) process: Process,
    pub(super) hospital_a: Hospital,
    pub(super) hospital_b: Hospital,
}

/// A gateway's address and a user's token.
#[derive(Debug, Clone)]
pub(super) struct Hospital {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

impl Demo {
    /// Starts it in a folder and waits until its story is told.
    pub(super) async fn start(binary: &Binary, place: &Path) -> Result<Self, Failure> {
        let (folder, bundle) = (place.join("demo"), place.join("story.json"));
        // One small patient for the story, of a seed that nothing else uses.
        std::fs::write(&bundle, synthetic::bundle(STORY_SEED, 0, STORY_RESOURCES))?;
        let (folder_text, bundle_text) = (text(&folder)?, text(&bundle)?);
        let arguments = ["demo", "--json", "--dir", folder_text, "--bundle", bundle_text];
        let mut process = binary.start(&arguments, &place.join("demo.log"))?;
        let told = process.json(STORY_PATIENCE).await?;
        let hospital = |letter: &str, name: &str| {
            let address = address(&told, letter).ok_or("the demo did not say where its hospitals are")?;
            Ok::<_, Failure>(Hospital { address, token: token(&folder.join(name))? })
        };
        Ok(Self {
            hospital_a: hospital("hospital A", "hospital-a")?,
            hospital_b: hospital("hospital B", "hospital-b")?,
            process,
        })
    }
}

/// The address in `http://address/fhir`.
fn address(told: &Value, hospital: &str) -> Option<SocketAddr> {
    let urls = told.get("urls")?.as_object()?;
    let (_, url) = urls.iter().find(|(name, _)| name.starts_with(hospital))?;
    url.as_str()?.strip_prefix("http://")?.strip_suffix("/fhir")?.parse().ok()
}

fn token(folder: &Path) -> Result<String, Failure> {
    let expires = SystemClock.now().plus(TOKEN_LIFETIME).as_secs();
    let user = User { name: "bench".to_owned(), role: "physician".to_owned(), expires };
    Ok(sealwort_gateway::issue_token(folder, &user)?)
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| "the folder's name is not UTF-8; choose another with --dir".into())
}

const STORY_SEED: u64 = 2;
const STORY_RESOURCES: usize = 40;
const STORY_PATIENCE: Duration = Duration::from_mins(2);
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);
