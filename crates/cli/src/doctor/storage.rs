//! What the party's data rest on besides its folder: does the database answer, and are the key-encryption keys at hand.

use sealwort_net::config::StoreConfig;
use sealwort_net::kek;
use sealwort_net::member::MemberError;
use sealwort_net::token::Token;
use sealwort_store::postgres::Database;

use super::Subject;
use super::report::Report;

pub(super) async fn check(subject: &Subject<'_>, report: &mut Report) {
    if let Some(store) = subject.store {
        database(store, report).await;
    }
    keys(subject, report);
}

async fn database(store: &StoreConfig, report: &mut Report) {
    let Some(url) = store.url.expose() else { return };
    match reach(store, url).await {
        Ok(at) => report.good("database", at),
        Err(reason) => report.wrong("database", reason, "start the server, or correct [store]"),
    }
}

/// Where the database is, after it was connected to; or why it was not.
async fn reach(store: &StoreConfig, url: &str) -> Result<String, String> {
    let password = store.password().map_err(|error| format!("store.password_file: {error}"))?;
    let database = Database::new(url, password.as_ref().map(|password| password.as_str()));
    let database = database.map_err(|error| error.to_string())?;
    database.reach().await.map_err(|error| error.to_string())?;
    Ok(database.to_string())
}

fn keys(subject: &Subject<'_>, report: &mut Report) {
    let token = subject.keys.and_then(Token::of);
    let found = match kek::kept(subject.folder, token.as_ref()) {
        // Before the first start there are none.
        Ok(None) => return,
        Ok(Some(keys)) => keys.prove().map_err(MemberError::from).and_then(|()| kek::is_in_token(subject.folder)),
        Err(error) => Err(error),
    };
    match found {
        Ok(true) => report.good("keys", "the token has the key-encryption key"),
        Ok(false) => report.good("keys", "the key-encryption key is in its file"),
        // Who can read the file was looked at with the folder.
        Err(MemberError::SecretFile(_)) => {}
        Err(error) => report.wrong("keys", error.to_string(), "correct [keys], or see to the token"),
    }
}
