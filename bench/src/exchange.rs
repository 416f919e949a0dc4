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
    settings: Settings,
    archive_listen: String,
    _ca: Process,
}

/// Options (`name=value`) that archive and broker start with.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) archive: Vec<String>,
    pub(crate) broker: Vec<String>,
}

impl Exchange {
    /// Starts them in a folder.
    pub(crate) async fn start(binary: &Binary, place: &Path) -> Result<Self, Failure> {
        Self::start_with(binary, place, Settings::default()).await
    }

    /// The same, with options.
    pub(crate) async fn start_with(binary: &Binary, place: &Path, settings: Settings) -> Result<Self, Failure> {
        let folder = |name: &str| text(&place.join(name));
        let ca_folder = folder("ca")?;
        binary.run(&["ca", "init", "--name", "bench", "--dir", &ca_folder, "--root-dir", &folder("root")?]).await?;
        let arguments = ["ca", "serve", "--json", "--dir", &ca_folder, "--listen", ANY_PORT];
        let mut ca = binary.start(&arguments, &place.join("ca.log"))?;
        let ca_address = ca.address().await?.to_string();
        for role in ["archive", "broker"] {
            invite(binary, place, &ca_address, role, role).await?;
            let invitation = folder(&format!("{role}.invitation"))?;
            binary.run(&["join", "--invite", &invitation, "--dir", &folder(role)?]).await?;
        }
        let (archive, archive_listen) =
            serve(binary, place, ("archive", "archive"), ANY_PORT, &settings.archive).await?;
        let to_archive = [&*settings.broker, &[format!("archive.url=https://{archive_listen}")]].concat();
        let (broker, broker_listen) = serve(binary, place, ("broker", "broker"), ANY_PORT, &to_archive).await?;
        Ok(Self {
            place: place.to_owned(),
            ca_url: format!("https://{ca_address}"),
            ca_address,
            broker_url: format!("https://{broker_listen}"),
            broker,
            archive,
            settings,
            archive_listen,
            _ca: ca,
        })
    }

    /// Starts the archive, which was ended, again at the address that it had; returns when it listens.
    pub(crate) async fn restart_archive(&mut self, binary: &Binary) -> Result<(), Failure> {
        let (folder, listen) = (("archive", "archive"), &self.archive_listen);
        (self.archive, _) = serve(binary, &self.place, folder, listen, &self.settings.archive).await?;
        Ok(())
    }

    /// Where the archive listens.
    pub(crate) fn archive_url(&self) -> String {
        format!("https://{}", self.archive_listen)
    }

    /// A folder of this name for a further node of a party: a copy.
    pub(crate) fn copy_folder(&self, of: &str, name: &str) -> Result<(), Failure> {
        let to = self.place.join(name);
        std::fs::create_dir(&to)?;
        for file in std::fs::read_dir(self.place.join(of))? {
            let file = file?;
            if file.file_type()?.is_file() {
                std::fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
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

/// A process of a party, over the folder of this name, and where it listens.
pub(crate) async fn serve(
    binary: &Binary,
    place: &Path,
    (role, name): (&str, &str),
    listen: &str,
    settings: &[String],
) -> Result<(Process, String), Failure> {
    let folder = text(&place.join(name))?;
    let mut arguments = vec![role, "--json", "--dir", &folder, "--listen", listen];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let mut process = binary.start(&arguments, &place.join(format!("{name}.log")))?;
    let address = process.address().await?.to_string();
    Ok((process, address))
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
