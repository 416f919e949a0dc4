//! What an erasure destroys, and what it counts before. PostgreSQL overwrites nothing in place: docs/postgresql.md says
//! what stays in its files, and for how long.

/// What is destroyed. Objects are deleted after the commit.
pub(super) const DESTROY: [&str; 7] = [
    "DELETE FROM half WHERE pseudonym = $1",
    "DELETE FROM locator WHERE pseudonym = $1",
    "DELETE FROM patient WHERE pseudonym = $1",
    "INSERT INTO doomed_object SELECT object FROM entry WHERE patient = $1 AND object IS NOT NULL",
    "DELETE FROM entry WHERE patient = $1",
    "DELETE FROM witness WHERE patient = $1",
    "DELETE FROM emergency WHERE patient = $1",
];

/// The last head: the archive has the log, the broker the witness, each of them one of the two.
pub(super) const HEAD: &str = "SELECT sequence, hash FROM entry WHERE patient = $1
     UNION ALL SELECT sequence, head FROM witness WHERE patient = $1 ORDER BY 1 DESC LIMIT 1";
pub(super) const ENTRIES: &str = "SELECT count(*) FROM entry WHERE patient = $1";
