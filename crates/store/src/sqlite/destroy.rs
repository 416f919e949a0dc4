//! What an erasure destroys, and what it counts before.

/// What is destroyed, in this order. Overwriting comes before deleting: a row of the same size is overwritten in place.
/// Objects are deleted after the commit.
pub(super) const DESTROY: [&str; 11] = [
    "UPDATE half SET wrapped = zeroblob(length(wrapped)) WHERE pseudonym = $1",
    "DELETE FROM half WHERE pseudonym = $1",
    "DELETE FROM locator WHERE pseudonym = $1",
    "UPDATE patient SET registration = zeroblob(length(registration)), directive = zeroblob(length(directive))
     WHERE pseudonym = $1",
    "DELETE FROM patient WHERE pseudonym = $1",
    "INSERT INTO doomed_object SELECT object FROM entry
     WHERE log = (SELECT number FROM log WHERE patient = $1) AND object IS NOT NULL",
    "UPDATE entry SET envelope = zeroblob(length(envelope)), ciphertext = zeroblob(length(ciphertext))
     WHERE log = (SELECT number FROM log WHERE patient = $1)",
    "DELETE FROM entry WHERE log = (SELECT number FROM log WHERE patient = $1)",
    "DELETE FROM log WHERE patient = $1",
    "DELETE FROM witness WHERE patient = $1",
    "DELETE FROM emergency WHERE patient = $1",
];

/// The last head: the archive has the log, the broker the witness, each of them one of the two.
pub(super) const HEAD: &str = "SELECT sequence, hash FROM entry WHERE log = (SELECT number FROM log WHERE patient = $1)
     UNION ALL SELECT sequence, head FROM witness WHERE patient = $1 ORDER BY 1 DESC LIMIT 1";
pub(super) const ENTRIES: &str = "SELECT count(*) FROM entry WHERE log = (SELECT number FROM log WHERE patient = $1)";
