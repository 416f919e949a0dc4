//! `sealwort export`: everything about one patient in a file, complete or not at all.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sealwort_consent::Purpose;
use sealwort_proto::crypto::Sha256;
use serde::Serialize;

use crate::client::{ClientArgs, Question, encode};
use crate::error::CliError;
use crate::output::Output;
use crate::sphr::{Manifest, Outline, Sphr};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// The file.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// What is written: sphr, a folder of everything (HL7 Personal Health Record Format); bundle, a FHIR Bundle of
    /// everything; ips, the International Patient Summary.
    #[arg(long, value_enum, default_value_t = Format::Sphr)]
    format: Format,
    /// Purpose of use, a code of v3-PurposeOfUse [default: TREAT]
    #[arg(long, value_name = "CODE")]
    purpose: Option<Purpose>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Sphr,
    Bundle,
    Ips,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sphr => "sphr",
            Self::Bundle => "bundle",
            Self::Ips => "ips",
        }
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    file: PathBuf,
    bytes: u64,
    sha256: String,
    /// Resources, with the Provenances made for them.
    resources: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
}

pub(crate) async fn run(args: ExportArgs, output: Output) -> Result<(), CliError> {
    let mut client = args.client.client()?;
    let purpose = args.purpose.map(Purpose::as_str);
    let id = crate::get::patient_id(&mut client, &args.patient, purpose).await?;
    let path = format!("/fhir/Patient/{}/$phr-export?outputFormat={}", encode(&id), args.format.as_str());
    // Beside its later place, so that it gets its name in one step; for its owner alone.
    let unwritable = |error: std::io::Error| CliError::Local(format!("{}: {error}", args.output.display()));
    let folder = args.output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    let progress = output.progress("exporting".to_owned(), None);
    client.download(Question { purpose, progress, ..Question::get(&path) }, &mut file).await?;
    file.flush().and_then(|()| file.as_file().sync_all()).map_err(unwritable)?;
    let (bytes, sha256) = hashed(file.path()).map_err(unwritable)?;
    let (resources, manifest) = match args.format {
        Format::Sphr => {
            let sphr = Sphr::open(file.path())?;
            let manifest = sphr.manifest.ok_or_else(incomplete)?;
            (manifest.resources + manifest.provenances, Some(manifest))
        }
        Format::Bundle | Format::Ips => {
            let written = BufReader::new(File::open(file.path()).map_err(unwritable)?);
            let bundle: Outline = serde_json::from_reader(written).map_err(|_| incomplete())?;
            (bundle.entry.len() as u64, None)
        }
    };
    file.persist(&args.output).map_err(|error| unwritable(error.error))?;
    let written = Written { file: args.output.clone(), bytes, sha256, resources, manifest };
    output.data(&written, || {
        let withheld = match &written.manifest {
            Some(manifest) if manifest.withheld > 0 => format!("; consent withholds {} entries", manifest.withheld),
            _ => String::new(),
        };
        format!("{}: {resources} resources, {bytes} bytes, sha256 {}{withheld}", written.file.display(), written.sha256)
    })
}

/// Length and SHA-256 of a file.
fn hashed(file: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash, mut bytes) = (File::open(file)?, Sha256::default(), 0u64);
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        bytes += length as u64;
    }
    Ok((bytes, hex::encode(hash.finish())))
}

fn incomplete() -> CliError {
    CliError::remote("export-incomplete", "the gateway broke off in the middle; nothing was written. Try again")
}
