//! Connections that read. Each is looked at like the one that writes before it is used, and no answer is waited for without
//! end.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Either, Execute, Executor, Postgres, SqlStr};
use tokio::time::timeout;

use super::{Database, engine, schema, server};
use crate::StoreError;

/// How long a reading waits for one of them, which may have to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// Some connections that read.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    pool: PgPool,
    database: Database,
}

impl Readers {
    pub(super) fn of(database: &Database, known: &schema::Known, most: u32) -> Self {
        Self { pool: pool(database, known, most), database: database.clone() }
    }

    /// One of them, for several questions; their answers are to be waited for with [`in_time`].
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        // Those that are made from now on go to the primary, which may have become another one.
        if self.database.has_standbys() {
            self.pool.set_connect_options(self.database.options());
        }
        self.pool
            .acquire()
            .await
            .map_err(|error| if matches!(error, sqlx::Error::PoolTimedOut) { late() } else { error })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Connections to a database that was opened, made when they are wanted.
pub(super) fn pool(database: &Database, known: &schema::Known, most: u32) -> PgPool {
    let (database, known) = (database.clone(), known.clone());
    let options = database.options();
    pooled(most, engine::ANSWER_PATIENCE)
        .after_connect(move |c, _| {
            let (database, known) = (database.clone(), known.clone());
            async move {
                server::look(c, &database.to_string()).await.map_err(unfit)?;
                schema::recognize(c, &database, &known).await.map_err(unfit)
            }
            .boxed()
        })
        .connect_lazy_with(options)
}

/// Connections to one of the servers of a database that was opened, which may be a standby. Nothing is demanded of it but
/// that it has the party's data: what it answers is not believed by itself.
pub(super) fn standby_pool(
    options: PgConnectOptions,
    database: &Database,
    known: &schema::Known,
    most: u32,
    patience: Duration,
) -> PgPool {
    let (database, known) = (database.clone(), known.clone());
    pooled(most, patience)
        .after_connect(move |c, _| {
            let (database, known) = (database.clone(), known.clone());
            async move { schema::recognize(c, &database, &known).await.map_err(unfit) }.boxed()
        })
        .connect_lazy_with(options)
}

fn pooled(most: u32, patience: Duration) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        // What was given up in the middle may answer no more. The pool itself would wait for that without end.
        .after_release(move |c, _| {
            async move {
                let silent = |_| Err(late());
                timeout(patience, c.ping()).await.unwrap_or_else(silent).map(|()| true)
            }
            .boxed()
        })
}

fn unfit(error: StoreError) -> sqlx::Error {
    sqlx::Error::Configuration(error.into())
}

pub(super) fn late() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"))
}

/// The answer to a reading, or that there was none in time.
pub(super) async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    crate::writer::answered(Some(engine::ANSWER_PATIENCE), reading).await
}

impl<'p> Executor<'p> for &'_ Readers {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let readers = self.clone();
        let reading = async move {
            let mut c = readers.acquire().await?;
            let all = timeout(engine::ANSWER_PATIENCE, c.fetch_many(query).collect::<Vec<_>>()).await;
            Ok::<_, sqlx::Error>(stream::iter(all.map_err(|_| late())?))
        };
        stream::once(reading).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let readers = self.clone();
        async move {
            let mut c = readers.acquire().await?;
            timeout(engine::ANSWER_PATIENCE, c.fetch_optional(query)).await.unwrap_or_else(|_| Err(late()))
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let readers = self.clone();
        async move {
            let mut c = readers.acquire().await?;
            timeout(engine::ANSWER_PATIENCE, c.prepare_with(sql, parameters)).await.unwrap_or_else(|_| Err(late()))
        }
        .boxed()
    }
}
