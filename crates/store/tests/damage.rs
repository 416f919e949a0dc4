//! A file that is damaged, foreign or too new is named and left as it is; nothing is ever begun anew in its place.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use place::Random;
use sealwort_proto::log::{empty, entry_hash};
use sealwort_store::conformance::{as_stored, head_after, some_deposit, some_patient};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, DataFolder, LogStore as _, StoreError, StoredEntry};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

const DATABASE: &str = "store.sqlite";

async fn open(path: &Path) -> Result<(DataFolder, SqliteStore), StoreError> {
    let mut folder = DataFolder::open(path, "archive")?;
    let store = SqliteStore::open(&mut folder).await?;
    Ok((folder, store))
}

/// A finished folder with about 300 KiB in it; what was appended last.
async fn filled(path: &Path) -> Append {
    let (_folder, store) = open(path).await.unwrap();
    let patient = some_patient();
    let mut append = some_deposit(patient, empty(patient), &[1000; 100]);
    store.append(append.clone()).await.unwrap();
    for _ in 0..10 {
        append = some_deposit(patient, head_after(&append), &[20_000]);
        store.append(append.clone()).await.unwrap();
    }
    store.close().await;
    append
}

/// Every file but the lock, SQLite's shared memory, which holds no data, and an empty write-ahead log.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|file| file.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    named
        .filter(|(name, _)| name != "lock" && !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .filter(|(name, bytes)| !name.ends_with("-wal") || !bytes.is_empty())
        .collect()
}

async fn sql(file: &Path, statements: &'static str) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Opening fails twice in the same way and changes nothing.
async fn check(case: &str, path: &Path, fits: impl Fn(&StoreError) -> bool) {
    let before = contents(path);
    for _ in 0..2 {
        match open(path).await {
            Ok(_) => panic!("{case}: it was opened"),
            Err(error) => assert!(fits(&error), "{case}: {error:?}"),
        }
        assert!(contents(path) == before, "{case}: the files were changed");
    }
}

fn damaged(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. })
}

fn overwrite(file: &Path, at: usize, with: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn damaged_files_are_named_and_left_alone() {
    let cases: [(&str, fn(&Path)); 10] = [
        ("a file of no bytes", |file| fs::write(file, b"").unwrap()),
        ("a file that is gone", |file| fs::remove_file(file).unwrap()),
        ("a file cut short", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a file cut within its first page", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..1000]).unwrap();
        }),
        ("an overwritten header", |file| overwrite(file, 0, &[0x55; 100])),
        ("a zeroed header", |file| overwrite(file, 0, &[0; 100])),
        ("an overwritten first page", |file| overwrite(file, 100, &[0x55; 3996])),
        ("an overwritten page in the middle", |file| overwrite(file, page_in_the_middle(file), &[0x55; 4096])),
        ("a zeroed page in the middle", |file| overwrite(file, page_in_the_middle(file), &[0; 4096])),
        ("text", |file| fs::write(file, "not a database\n".repeat(1000)).unwrap()),
    ];
    for (case, damage) in cases {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).await;
        damage(&place.path().join(DATABASE));
        check(case, place.path(), damaged).await;
    }
}

fn page_in_the_middle(file: &Path) -> usize {
    usize::try_from(fs::metadata(file).unwrap().len()).unwrap() / 4096 / 2 * 4096
}

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let cases: [(&str, &'static str); 3] = [
        ("another program's database", "CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('mine');"),
        ("another program's, with its mark", "PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE n (t);"),
        ("an empty database", "PRAGMA user_version = 0; VACUUM;"),
    ];
    for (case, statements) in cases {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).await;
        let file = place.path().join(DATABASE);
        fs::remove_file(&file).unwrap();
        sql(&file, statements).await;
        check(case, place.path(), damaged).await;
    }
    // Not in a folder that was never finished either.
    let place = tempfile::tempdir().unwrap();
    drop(DataFolder::open(place.path(), "archive").unwrap());
    sql(&place.path().join(DATABASE), cases[0].1).await;
    check("another program's database in a new folder", place.path(), damaged).await;
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    filled(place.path()).await;
    sql(&place.path().join(DATABASE), "PRAGMA user_version = 99").await;
    let newer = |error: &StoreError| matches!(error, StoreError::Newer { found: 99, .. });
    check("a newer format", place.path(), newer).await;
}

#[tokio::test]
async fn a_lost_or_damaged_marker_does_not_begin_anew() {
    let cases: [(&str, fn(&Path)); 4] = [
        ("no marker", |marker| fs::remove_file(marker).unwrap()),
        ("an empty marker", |marker| fs::write(marker, "").unwrap()),
        ("a marker cut short", |marker| fs::write(marker, "archive rea").unwrap()),
        ("a marker that is no text", |marker| fs::write(marker, [0xff; 9]).unwrap()),
    ];
    for (case, damage) in cases {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).await;
        damage(&place.path().join("role"));
        check(case, place.path(), damaged).await;
    }
    // The marker says that the folder was never finished, but its database holds data: they are kept.
    let place = tempfile::tempdir().unwrap();
    let append = filled(place.path()).await;
    fs::write(place.path().join("role"), "archive new\n").unwrap();
    let (_folder, store) = open(place.path()).await.unwrap();
    assert_eq!(store.head(append.patient).await, Ok(Some(head_after(&append))));
}

/// As a crash leaves it: the newest writes are in the write-ahead log only. Looking must not fold them in.
#[tokio::test]
async fn a_damaged_file_beside_a_write_ahead_log_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let (source, copy) = (place.path().join("source"), place.path().join("copy"));
    let append = filled(&source).await;
    let (_folder, store) = open(&source).await.unwrap();
    let newest = some_deposit(append.patient, head_after(&append), &[3000]);
    store.append(newest.clone()).await.unwrap();
    fs::create_dir(&copy).unwrap();
    for (name, bytes) in contents(&source) {
        fs::write(copy.join(name), bytes).unwrap();
    }
    let file = copy.join(DATABASE);
    overwrite(&file, page_in_the_middle(&file), &[0x55; 4096]);
    assert!(fs::metadata(copy.join("store.sqlite-wal")).unwrap().len() > 0);
    check("a damaged page beside a log", &copy, damaged).await;

    // Without the damage the copy opens, with the newest write in it.
    fs::copy(source.join(DATABASE), &file).unwrap();
    let (_folder, store) = open(&copy).await.unwrap();
    assert_eq!(store.head(append.patient).await, Ok(Some(head_after(&newest))));
}

/// Torn, short and garbled writes at the end of the write-ahead log, as a power cut may leave them: whole deposits up to
/// the damage are found, and none by half.
#[tokio::test]
async fn a_torn_end_of_the_write_ahead_log_costs_what_lies_behind_it_alone() {
    let around = tempfile::tempdir().unwrap();
    let (source, copy) = (around.path().join("source"), around.path().join("copy"));
    let first = filled(&source).await;
    let (_folder, store) = open(&source).await.unwrap();
    let wal = source.join("store.sqlite-wal");
    let bytes_now = || usize::try_from(fs::metadata(&wal).unwrap().len()).unwrap();
    // Deposits, and how long the log was when each of them was acknowledged.
    let (mut deposits, mut last) = (Vec::new(), first.clone());
    for size in [100, 3000, 20_000, 500].into_iter().cycle().take(40) {
        last = some_deposit(first.patient, head_after(&last), &[size, size, size]);
        store.append(last.clone()).await.unwrap();
        deposits.push((last.clone(), bytes_now()));
    }
    let whole = contents(&source);
    let sound = &whole["store.sqlite-wal"];
    let mut random = Random::seeded("torn logs");
    let (mut kept, mut torn_off) = (0, 0);
    for tear in 0..place::number("SEALWORT_TEARS", 60) {
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).unwrap();
        for (name, bytes) in &whole {
            fs::write(copy.join(name), bytes).unwrap();
        }
        // Behind its header.
        let at = 32 + usize::try_from(random.below(sound.len() as u64 - 32)).unwrap();
        let mut torn = sound.clone();
        match tear % 4 {
            0 => torn.truncate(at),
            1 => torn[at..].fill(0),
            2 => torn[at..].iter_mut().for_each(|byte| *byte = u8::try_from(random.below(256)).unwrap()),
            _ => torn[at] ^= 1 << random.below(8),
        }
        fs::write(copy.join("store.sqlite-wal"), &torn).unwrap();
        let (folder, store) = open(&copy).await.unwrap();
        let found = store.read(first.patient, head_after(&first).sequence, usize::MAX, usize::MAX).await.unwrap();
        let safe = deposits.iter().filter(|(_, end)| *end <= at).count();
        assert!(found.len() >= 3 * safe, "tear {tear} at {at}: {} entries of {safe} deposits", found.len());
        assert_eq!(found.len() % 3, 0, "tear {tear} at {at}: a deposit is there by half");
        let expected: Vec<_> = deposits.iter().flat_map(|(deposit, _)| as_stored(&deposit.entries)).collect();
        assert!(found == expected[..found.len()], "tear {tear} at {at}: the entries differ");
        (kept, torn_off) = (kept + found.len() / 3, torn_off + deposits.len() - found.len() / 3);
        let head = if found.is_empty() { head_after(&first) } else { head_after(&deposits[found.len() / 3 - 1].0) };
        let next = some_deposit(first.patient, head, &[100]);
        assert_eq!(store.append(next.clone()).await, Ok(Appended::Stored(head_after(&next))), "writing goes on");
        store.close().await;
        drop(folder);
    }
    println!("over all tears {kept} deposits were found, {torn_off} lay behind a tear");
    assert!(kept > 0 && torn_off > 0);
}

/// Bits that flip in the database: found when it is opened or read, or in bytes that do not count. Entries here bear a
/// hash as real ones do, by which their reader knows them.
#[tokio::test]
async fn flipped_bits_are_found_or_harmless() {
    let place = tempfile::tempdir().unwrap();
    let mut logs = Vec::new();
    {
        let (_folder, store) = open(place.path()).await.unwrap();
        for number in 0..40_u8 {
            let patient = some_patient();
            let deposit = hashed(some_deposit(patient, empty(patient), &[usize::from(number) * 50, 700, 5000]));
            store.append(deposit.clone()).await.unwrap();
            logs.push(deposit);
        }
        store.close().await;
    }
    let file = place.path().join(DATABASE);
    let sound = fs::read(&file).unwrap();
    let mut random = Random::seeded("flipped bits in a store");
    let (mut at_the_start, mut at_a_reading, mut beside, mut harmless) = (0, 0, 0, 0);
    for _ in 0..place::number("SEALWORT_FLIPS", 20) * 10 {
        let at = usize::try_from(random.below(sound.len() as u64)).unwrap();
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << random.below(8);
        for left in ["store.sqlite-wal", "store.sqlite-shm"] {
            let _ = fs::remove_file(place.path().join(left));
        }
        fs::write(&file, &flipped).unwrap();
        let Ok((_folder, store)) = open(place.path()).await else {
            at_the_start += 1;
            continue;
        };
        let mut concerned = 0;
        for deposit in &logs {
            let head = store.head(deposit.patient).await;
            let read = store.read(deposit.patient, 0, usize::MAX, usize::MAX).await;
            let same = head == Ok(Some(head_after(deposit)))
                && read.as_ref().is_ok_and(|found| *found == as_stored(&deposit.entries));
            // The reader's checks: the chain to the head that the broker witnessed, and each ciphertext's hash.
            let believed = read.is_ok_and(|found| believes(&found, deposit));
            assert!(same || !believed || head != Ok(Some(head_after(deposit))), "byte {at}: wrong bytes are believed");
            concerned += usize::from(!same);
        }
        if concerned == 0 {
            harmless += 1;
        } else {
            at_a_reading += 1;
        }
        // A page of an index may serve all of so few logs.
        beside += usize::from(concerned > 0 && concerned < logs.len());
        store.close().await;
    }
    println!(
        "{at_the_start} flips found at the start, {at_a_reading} at a reading, {beside} of them with other records served \
         beside, {harmless} harmless"
    );
    assert!(beside > at_a_reading / 2, "one bit, and no record is served any more");
}

/// Entries that are named by the hash of their envelope, which names the label, the author, and the ciphertext.
fn hashed(mut deposit: Append) -> Append {
    for entry in &mut deposit.entries {
        let ciphertext = entry_hash(&entry.ciphertext);
        entry.envelope = [&entry.tag.as_bytes()[..], entry.author_key.as_bytes(), ciphertext.as_bytes()].concat();
        entry.hash = entry_hash(&entry.envelope);
    }
    deposit
}

fn believes(found: &[StoredEntry], deposit: &Append) -> bool {
    found.len() == deposit.entries.len()
        && found.iter().zip(&deposit.entries).all(|(found, witnessed)| {
            let ciphertext = entry_hash(&found.ciphertext);
            let named = [&found.tag.as_bytes()[..], found.author_key.as_bytes(), ciphertext.as_bytes()].concat();
            found.sequence == witnessed.sequence
                && entry_hash(&found.envelope) == witnessed.hash
                && found.envelope == named
        })
}

/// Damage that is met while the store is open is told as such, and does not stop the rest.
#[tokio::test]
async fn damage_while_open_is_told() {
    let place = tempfile::tempdir().unwrap();
    let append = filled(place.path()).await;
    let (_folder, store) = open(place.path()).await.unwrap();
    let file = place.path().join(DATABASE);
    let pages = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap() / 4096;
    // Everything but the first page, which every statement needs.
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096..pages * 4096].fill(0x55);
    // In place: the open store keeps its file.
    {
        use std::io::Write as _;
        fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(&bytes).unwrap();
    }
    let read = store.read(append.patient, 0, 1000, usize::MAX).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
}
