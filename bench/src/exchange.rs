//! Certificate authority, archive and broker as processes, started from the configuration files that `ca init` and
//! `join` write, and the folders of further parties that join them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwort_net::{SystemClock, member, secret_file};
use sealwort_pki::enrolment::Invitation;

use crate::measure::Failure;
use crate::processes::{Binary, Process};

/// Any port of this machine's own.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// The processes of an exchange.
pub(crate) struct Exchange {
    pub(crate) place: PathBuf,
    pub(crate) ca_url: String,
    ca_address: String,
    pub(crate) broker_url: String,
    pub(crate) broker: Process,
    pub(crate) archive: Process,
    /// Options that the archive starts with.
    archive_settings: Vec<String>,
    archive_listen: String,
    _ca: Process,
}

impl Exchange {
    /// Starts them in a folder.
    pub(crate) async fn start(binary: &Binary, place: &Path) -> Result<Self, Failure> {
        Self::start_with(binary, place, Vec::new()).await
    }

    /// The same, with options (`name=value`) for the archive.
    pub(crate) async fn start_with(
        binary: &Binary,
        place: &Path,
        archive_settings: Vec<String>,
    ) -> Result<Self, Failure> {
        let folder = |name: &str| text(&place.join(name));
        let log = |name: &str| place.join(format!("{name}.log"));
        let ca_folder = folder("ca")?;
        binary.run(&["ca", "init", "--name", "bench", "--dir", &ca_folder, "--root-dir", &folder("root")?]).await?;
        let serve = ["ca", "serve", "--json", "--dir", &ca_folder, "--listen", ANY_PORT];
        let mut ca = binary.start(&serve, &log("ca"))?;
        let ca_address = ca.address().await?.to_string();
        for role in ["archive", "broker"] {
            invite(binary, place, &ca_address, role, role).await?;
            let invitation = folder(&format!("{role}.invitation"))?;
            binary.run(&["join", "--invite", &invitation, "--dir", &folder(role)?]).await?;
        }
        let (archive, archive_listen) = archive(binary, place, ANY_PORT, &archive_settings).await?;
        let archive_url = format!("archive.url=https://{archive_listen}");
        let serve = ["broker", "--json", "--dir", &folder("broker")?, "--listen", ANY_PORT, "--set", &archive_url];
        let mut broker = binary.start(&serve, &log("broker"))?;
        Ok(Self {
            place: place.to_owned(),
            ca_url: format!("https://{ca_address}"),
            ca_address,
            broker_url: format!("https://{}", broker.address().await?),
            broker,
            archive,
            archive_settings,
            archive_listen,
            _ca: ca,
        })
    }

    /// Starts the archive, which was ended, again at the address that it had; returns when it listens.
    pub(crate) async fn restart_archive(&mut self, binary: &Binary) -> Result<(), Failure> {
        (self.archive, _) = archive(binary, &self.place, &self.archive_listen, &self.archive_settings).await?;
        Ok(())
    }

    /// A gateway's folder, joined.
    pub(crate) async fn join_gateway(&self, binary: &Binary, name: &str) -> Result<PathBuf, Failure> {
        invite(binary, &self.place, &self.ca_address, "gateway", name).await?;
        let invitation = secret_file::read(&self.place.join(format!("{name}.invitation")))?;
        let folder = self.place.join(name);
        member::join(&folder, Invitation::from_json(&invitation)?, Arc::new(SystemClock)).await?;
        Ok(folder)
    }
}

/// An archive's process, and where it listens.
async fn archive(
    binary: &Binary,
    place: &Path,
    listen: &str,
    settings: &[String],
) -> Result<(Process, String), Failure> {
    let folder = text(&place.join("archive"))?;
    let mut serve = vec!["archive", "--json", "--dir", &folder, "--listen", listen];
    serve.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let mut archive = binary.start(&serve, &place.join("archive.log"))?;
    let address = archive.address().await?.to_string();
    Ok((archive, address))
}

async fn invite(binary: &Binary, place: &Path, ca: &str, role: &str, name: &str) -> Result<(), Failure> {
    let (folder, file) = (text(&place.join("ca"))?, text(&place.join(format!("{name}.invitation")))?);
    let address = format!("listen.address={ca}");
    binary.run(&["ca", "invite", role, name, "--out", &file, "--dir", &folder, "--set", &address]).await
}

/// A path as text.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or("the folder's name is not UTF-8; choose another with --dir")?;
    Ok(text.to_owned())
}
