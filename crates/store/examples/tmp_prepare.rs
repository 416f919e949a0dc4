#![allow(clippy::all, clippy::pedantic, clippy::unwrap_used)]
use sqlx::{Connection, Executor, SqliteConnection, SqlSafeStr, AssertSqlSafe};
#[tokio::main]
async fn main() {
    let mut c = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql("CREATE TABLE log (number INTEGER PRIMARY KEY, patient BLOB NOT NULL UNIQUE) STRICT;
    CREATE TABLE entry (log INTEGER NOT NULL REFERENCES log, sequence INTEGER NOT NULL, deposit BLOB, hash BLOB NOT NULL, tag BLOB NOT NULL, author_key  BLOB NOT NULL, envelope BLOB NOT NULL, ciphertext BLOB NOT NULL, PRIMARY KEY (log, sequence)) STRICT;
    CREATE INDEX entry_deposit ON entry (deposit) WHERE deposit IS NOT NULL;").execute(&mut c).await.unwrap();
    let join = "SELECT place, last.sequence, last.hash, known.sequence, known.hash FROM wanted
         CROSS JOIN log ON log.patient = wanted.patient
         CROSS JOIN entry AS last ON last.log = log.number
             AND last.sequence = (SELECT max(e.sequence) FROM entry AS e WHERE e.log = log.number)
         LEFT JOIN entry AS known INDEXED BY entry_deposit
             ON known.deposit = wanted.deposit AND known.log = log.number";
    let ins = "INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext)
         SELECT log.number, new.sequence, deposit, hash, tag, author_key, envelope, ciphertext
         FROM new CROSS JOIN log ON log.patient = new.patient";
    for m in ["", "MATERIALIZED", "NOT MATERIALIZED"] {
    for n in [1, 4, 16, 64] {
        let load = format!("WITH wanted (place, patient, deposit) AS {m} (VALUES {}) {join}", vec!["(?,?,?)"; n].join(","));
        let insert = format!("WITH new (patient, sequence, deposit, hash, tag, author_key, envelope, ciphertext) AS {m} (VALUES {}) {ins}", vec!["(?,?,?,?,?,?,?,?)"; n].join(","));
        let plain = format!("INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext) VALUES {}", vec!["((SELECT number FROM log WHERE patient = ?),?,?,?,?,?,?,?)"; n].join(","));
        let plain2 = format!("INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext) VALUES {}", vec!["(?,?,?,?,?,?,?,?)"; n].join(","));
        for s in [load, insert, plain, plain2] {
            let t = std::time::Instant::now();
            let e = (&mut c).fetch_all(sqlx::query(AssertSqlSafe(format!("EXPLAIN {s}")))).await.unwrap().len();
            print!("{m} {n}: {:?} {e} ops; ", t.elapsed());
        }
        println!();
    }}
}
