//! Moving a party's data from its folder into a database, and back. All tables are copied page by page, each page in a
//! transaction, in the order of the keys; so what was copied before a crash is known from the target alone, and a
//! repeated move goes on after it. Then both sides are read through and compared, row by row and head by head. Only then
//! is the folder's memory of where its data are switched, which is the one step that counts. The rows of the source are
//! not touched before, and take no writes afterwards.
//!
//! Database and folder hold a token of the move: on the way there the id that the database gets, in the folder's marker;
//! on the way back one in the file that is being made. A move goes on where they are the same alone, so that no other
//! folder empties what was filled, and of several nodes' folders one alone gets the data.

use std::path::{Path, PathBuf};

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::folder::Content;
use crate::postgres::whole::Move;
use crate::postgres::{self, Database};
use crate::snapshot::{Summary, Whole};
use crate::sqlite::audit_marker;
use crate::sqlite::whole::{self as files, Files};
use crate::tables::TABLES;
use crate::{DataFolder, StoreError};

/// Told how far a move is: the table, and how many of its rows were copied by this run.
pub type Progress<'p> = &'p (dyn Fn(&'static str, u64) + Sync);

/// Moves what the folder keeps itself into an empty database. `audit` is where its audit log lies.
pub async fn to_database(
    mut folder: DataFolder,
    audit: &Path,
    database: &Database,
    progress: Progress<'_>,
) -> Result<Summary, StoreError> {
    let source_files = Files::of(folder.path(), audit);
    let old = source_files.both().map(|file| moved(file));
    let mut c = postgres::whole::hold(database).await?;
    let (summary, id) = match folder.content().clone() {
        Content::New | Content::Claiming(_) => return Err(nothing(&folder)),
        // Switched before, and cut off then.
        Content::Database(known) => {
            postgres::whole::refuse_left(&mut c, database).await?;
            if postgres::whole::id(&mut c).await? != Some(known.clone()) {
                let reason = format!("{} keeps its data in another database already", folder.path().display());
                return Err(StoreError::Move(reason));
            }
            let mut target = Whole::Server(Box::new(c));
            let summary = target.summary().await?;
            c = server(target)?;
            (summary, known)
        }
        content @ (Content::Embedded | Content::Leaving(_)) => {
            if let Some(file) = old.iter().find(|file| file.exists()) {
                let file = file.display();
                return Err(StoreError::Move(format!("{file} is there from an earlier move; move it away")));
            }
            let noted = if let Content::Leaving(id) = &content { Some(id.as_str()) } else { None };
            let (id, begun) = postgres::whole::prepare(&mut c, database, noted).await?;
            if !begun {
                folder.mark(Content::Leaving(id.clone()))?;
                postgres::whole::note(&mut c, &Move::Filling(id.clone())).await?;
            }
            let mut target = Whole::Server(Box::new(c));
            // Nobody appends to the audit log meanwhile, as `sealwort audit` would.
            let mut source = Whole::Embedded(Box::new(source_files.hold().await?));
            let from = source.summary().await?;
            copy(&mut source, &mut target, progress).await?;
            if begun && target.summary().await? != from {
                // The folder was in service since the earlier attempt.
                c = server(target)?;
                postgres::whole::clear(&mut c).await?;
                target = Whole::Server(Box::new(c));
                copy(&mut source, &mut target, progress).await?;
            }
            same(&from, &target.summary().await?)?;
            c = server(target)?;
            postgres::whole::own(&mut c, folder.role(), &id).await?;
            folder.mark(Content::Database(id.clone()))?;
            // Whoever waits to append to the old audit log is refused, too.
            let mut source = embedded(source)?;
            files::refuse_writes(&mut source).await?;
            source.execute("COMMIT").await?;
            source.close().await?;
            (from, id)
        }
    };
    set_aside(&folder, &source_files).await?;
    postgres::whole::forget(&mut c, &Move::Filling(id)).await?;
    postgres::whole::close(c).await?;
    Ok(summary)
}

/// Moves what the folder's database keeps into the folder itself.
pub async fn to_folder(
    mut folder: DataFolder,
    audit: &Path,
    database: &Database,
    progress: Progress<'_>,
) -> Result<Summary, StoreError> {
    let target_files = Files::of(folder.path(), audit);
    let summary = match folder.content().clone() {
        Content::New | Content::Claiming(_) => return Err(nothing(&folder)),
        // Switched before, and cut off then.
        Content::Embedded | Content::Leaving(_) => {
            let token = target_files.token().await?;
            let mut c = postgres::whole::hold(database).await?;
            match postgres::whole::state(&mut c).await? {
                Some(Move::Left(left)) if token.as_ref().is_none_or(|token| *token == left) => {}
                _ => return Err(elsewhere(&folder, database)),
            }
            let mut source = Whole::Server(Box::new(c));
            let mut held = Whole::Embedded(Box::new(target_files.hold().await?));
            let summary = held.summary().await?;
            // Without a token the data tell whether they came here, or into another folder.
            if token.is_none() && source.summary().await? != summary {
                return Err(elsewhere(&folder, database));
            }
            close(source).await?;
            let mut c = embedded(held)?;
            c.execute("DROP TABLE IF EXISTS moving").await?;
            c.execute("COMMIT").await?;
            c.close().await?;
            summary
        }
        Content::Database(known) => {
            let mut c = postgres::whole::hold(database).await?;
            if postgres::whole::id(&mut c).await?.as_ref() != Some(&known) {
                return Err(elsewhere(&folder, database));
            }
            if let Some(Move::Left(token)) = postgres::whole::state(&mut c).await? {
                if target_files.token().await?.as_ref() != Some(&token) {
                    return Err(postgres::whole::left(database));
                }
                // Cut off before the folder was switched, so that nobody has written since: it was not left yet.
                postgres::whole::forget(&mut c, &Move::Left(token)).await?;
            }
            let mut source = Whole::Server(Box::new(c));
            let from = source.summary().await?;
            let mut target = Whole::Embedded(Box::new(target_files.create().await?));
            copy(&mut source, &mut target, progress).await?;
            if target.summary().await? != from {
                // The database was in service since an earlier attempt.
                close(target).await?;
                target_files.remove()?;
                target = Whole::Embedded(Box::new(target_files.create().await?));
                copy(&mut source, &mut target, progress).await?;
            }
            same(&from, &target.summary().await?)?;
            let mut c = embedded(target)?;
            let token = files::token(&mut c).await?.ok_or_else(|| elsewhere(&folder, database))?;
            files::finish(c, &target_files).await?;
            for place in target_files.both().into_iter().filter_map(|file| file.parent()) {
                crate::sqlite::sync_folder(place)?;
            }
            audit_marker::write(folder.path())?;
            // First the old place is closed for everybody, then the new one is opened.
            let mut c = server(source)?;
            postgres::whole::note(&mut c, &Move::Left(token)).await?;
            folder.mark(Content::Embedded)?;
            postgres::whole::close(c).await?;
            let mut c = target_files.hold().await?;
            c.execute("DROP TABLE moving").await?;
            c.execute("COMMIT").await?;
            c.close().await?;
            from
        }
    };
    Ok(summary)
}

async fn copy(from: &mut Whole, to: &mut Whole, progress: Progress<'_>) -> Result<(), StoreError> {
    for table in TABLES {
        let (mut after, mut rows) = (to.last(table).await?, 0);
        loop {
            let page = from.page(table, after.as_ref()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key(table));
            to.insert(table, &page).await?;
            rows += page.len() as u64;
            progress(table.name, rows);
        }
    }
    Ok(())
}

fn same(from: &Summary, to: &Summary) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let differs = from.tables.iter().zip(&to.tables).find(|(from, to)| from != to);
    let table = differs.map_or("entry", |(from, _)| from.table);
    Err(StoreError::Move(format!(
        "the copy of table {table} is not as it was written; nothing was switched; check the disk of the new place, empty it, and repeat"
    )))
}

/// Where an old file is kept once its data are elsewhere.
fn moved(file: &Path) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(".moved");
    name.into()
}

/// Leaves the old files beside, under another name, and has them refuse what comes to them all the same.
async fn set_aside(folder: &DataFolder, files: &Files) -> Result<(), StoreError> {
    if files.both().iter().all(|file| file.exists()) {
        let mut c = files.hold().await?;
        files::refuse_writes(&mut c).await?;
        c.execute("COMMIT").await?;
        files::finish(c, files).await?;
    }
    for file in files.both().into_iter().filter(|file| file.exists()) {
        std::fs::rename(file, moved(file)).map_err(|e| StoreError::io("renaming", file, &e))?;
        crate::sqlite::sync_folder(file.parent().unwrap_or(Path::new(".")))?;
    }
    audit_marker::remove(folder.path())
}

fn nothing(folder: &DataFolder) -> StoreError {
    let folder = folder.path().display();
    StoreError::Move(format!(
        "{folder} holds no data yet: there is nothing to move; set store.url and start the service"
    ))
}

fn elsewhere(folder: &DataFolder, database: &Database) -> StoreError {
    let folder = folder.path().display();
    StoreError::Move(format!("{database} is not the database that {folder} keeps its data in, or kept them in last"))
}

fn server(whole: Whole) -> Result<sqlx::PgConnection, StoreError> {
    match whole {
        Whole::Server(c) => Ok(*c),
        Whole::Embedded(_) => Err(StoreError::Closed),
    }
}

fn embedded(whole: Whole) -> Result<SqliteConnection, StoreError> {
    match whole {
        Whole::Embedded(c) => Ok(*c),
        Whole::Server(_) => Err(StoreError::Closed),
    }
}

async fn close(whole: Whole) -> Result<(), StoreError> {
    match whole {
        Whole::Embedded(c) => Ok(c.close().await?),
        Whole::Server(c) => postgres::whole::close(*c).await,
    }
}
