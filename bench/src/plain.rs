//! A database with nothing around it: what inserts of the same bytes cost at the least, each on disk before its writer goes
//! on.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::measure::Failure;

/// Rows that may wait.
const QUEUE_MAX: usize = 1024;

/// A row of a table that is named `plain`.
pub(crate) trait PlainRow: Send + Sized + 'static {
    /// The database.
    type Connection: Connection + Send;

    /// Inserts them in one transaction.
    fn commit(
        rows: Vec<Self>,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A new database in a file, with its one table.
pub(crate) async fn file(file: &Path, table: &'static str) -> Result<SqliteConnection, Failure> {
    let mut connection = open(file).await?;
    sqlx::query(table).execute(&mut connection).await?;
    Ok(connection)
}

/// A database in a file, which is made where there is none.
pub(crate) async fn open(file: &Path) -> Result<SqliteConnection, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Group commit at its barest: take what waits, up to a limit, one transaction, answer.
pub(crate) struct Plain<R>(mpsc::Sender<(R, oneshot::Sender<()>)>);

impl<R> Clone for Plain<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: PlainRow> Plain<R> {
    pub(crate) fn spawn(mut connection: R::Connection, batch_max: usize) -> Self {
        let (queue, mut waiting) = mpsc::channel::<(R, oneshot::Sender<()>)>(QUEUE_MAX);
        // A failure drops the replies, which ends the writers with an error.
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while waiting.recv_many(&mut batch, batch_max).await > 0 {
                let (rows, replies): (Vec<R>, Vec<_>) = batch.drain(..).unzip();
                R::commit(rows, &mut connection).await?;
                for reply in replies {
                    let _ = reply.send(());
                }
            }
            Ok::<_, sqlx::Error>(())
        });
        Self(queue)
    }

    /// Returns when it is on disk.
    pub(crate) async fn insert(&self, row: R) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.0.send((row, reply)).await.map_err(|_| "the plain database ended")?;
        Ok(answer.await?)
    }
}
