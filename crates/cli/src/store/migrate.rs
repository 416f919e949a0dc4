//! `sealwort store migrate`: a party's data from its folder into a PostgreSQL database, and back.

use std::path::PathBuf;

use clap::Args;
use sealwort_store::postgres::Database;
use sealwort_store::{DataFolder, moving};
use serde_json::json;

use super::{as_owner, membership};
use crate::audit::database;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Data folder of the broker or archive. Its service must not run.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Where to: postgresql://user@host:5432/name of an empty database, or the word folder.
    #[arg(long, value_name = "URL|folder")]
    to: String,
    /// With --to folder: the database that the data are in, as store.url has it.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the database user's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where the audit log lies or is to lie, where that is not the data folder (audit.folder).
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

pub(super) async fn run(args: &MigrateArgs, output: Output) -> Result<(), CliError> {
    let role = membership(&args.folder)?.identity.role;
    let back = args.to == FOLDER;
    let url = match (back, &args.database) {
        (false, None) => &args.to,
        (true, Some(url)) => url,
        (true, None) => {
            return Err(CliError::Local("name the database that the data are in: --database URL".to_owned()));
        }
        (false, Some(_)) => return Err(CliError::Local("--database is for --to folder".to_owned())),
    };
    let database: Database = database(url, args.password_file.as_ref())?;
    as_owner(&args.folder)?;
    let folder = DataFolder::open(&args.folder, role.as_str())?;
    let log = args.log.as_deref().unwrap_or(&args.folder);
    let told = |table: &'static str, rows: u64| {
        if rows.is_multiple_of(TOLD_EVERY) {
            output.message(format!("{table}: {rows} rows copied"));
        }
    };
    let moved = if back {
        moving::to_folder(folder, log, &database, &told).await?
    } else {
        moving::to_database(folder, log, &database, &told).await?
    };
    let rows: serde_json::Map<_, _> =
        moved.tables.iter().map(|table| (table.table.to_owned(), json!(table.rows))).collect();
    let object = json!({
        "folder": args.folder, "to": if back { FOLDER.to_owned() } else { database.to_string() },
        "logs": moved.logs, "heads": moved.heads, "rows": rows,
    });
    output.data(&object, || {
        let all: u64 = moved.tables.iter().map(|table| table.rows).sum();
        let folder = args.folder.display();
        let next = if back {
            format!("{folder} holds them now. Take store.url out of the configuration; what is left in {database} is the old copy.")
        } else {
            format!("{database} holds them now. Set store.url in the configuration; the old files in {folder} end in .moved, and can go once a backup of the database is there.")
        };
        format!("{all} rows were moved and compared; heads of {} logs {}\n{next}", moved.logs, moved.heads)
    })
}

const FOLDER: &str = "folder";
/// Copied rows between two words about it: whole pages.
const TOLD_EVERY: u64 = 512 * 20;
