//! Which database: `store.url`, read once and strictly. Everything is taken from it; what the environment says to
//! PostgreSQL's own programs counts only for what a URL cannot say.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::url::{Host, Url};
use sealwort_proto::crypto::random;
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::server;
use crate::{DatabaseFault, StoreError};

const PORT: u16 = 5432;

/// A database on a PostgreSQL server, or on a primary and its standbys. It shows itself without user and password.
#[derive(Clone)]
pub struct Database {
    servers: Arc<[Server]>,
    /// Which of them was the primary when it was last connected to.
    primary: Arc<AtomicUsize>,
    standbys: StandbyUse,
}

/// What the servers are for that are not the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandbyUse {
    /// To take over.
    Wait,
    /// To be read from as well.
    Read,
}

/// One of the servers that a database may be on.
struct Server {
    options: PgConnectOptions,
    at: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: Vec<_> = self.servers.iter().map(|server| &*server.at).collect();
        f.write_str(&at.join(" or "))
    }
}

impl Database {
    /// Reads `postgresql://user[:password]@host[:port]/name`, or `postgresql://user@/name?host=/folder&port=5432` for
    /// a Unix socket. Several `host[:port]`, with commas between them, are a primary and its standbys in any order. A
    /// password given beside it goes before the one in it. Nothing is connected yet.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let servers: Result<Vec<_>, _> = singles(url).iter().map(|url| Server::new(url, password)).collect();
        Ok(Self { servers: servers?.into(), primary: Arc::default(), standbys: StandbyUse::Wait })
    }

    /// Has sealed entries read from standbys, too, where they have what the primary has.
    pub fn reading_from_standbys(self) -> Self {
        Self { standbys: StandbyUse::Read, ..self }
    }

    /// Connects to the primary, and looks at what the server is. Where one does not answer, or takes no writes, the next is
    /// tried.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let first = self.primary.load(Ordering::Relaxed);
        let mut refused = Vec::new();
        for place in (first..self.servers.len()).chain(0..first) {
            let Some(Server { options, at }) = self.servers.get(place) else { continue };
            // A large future, which every command that may open a store would hold.
            match Box::pin(server::connect(options, at)).await {
                Ok(connection) => {
                    self.primary.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                // One that was replaced may be kept away by being refused the login.
                Err(StoreError::Database(
                    fault @ (DatabaseFault::Unreachable { .. } | DatabaseFault::ReadOnly | DatabaseFault::Login { .. }),
                )) => refused.push((at, fault)),
                Err(error) => return Err(error),
            }
        }
        if let [(_, only)] = &*refused {
            return Err(only.clone().into());
        }
        let reasons: Vec<_> = refused.iter().map(|(at, fault)| format!("{at}: {fault}")).collect();
        Err(DatabaseFault::Unreachable { at: self.to_string(), reason: reasons.join("; ") }.into())
    }

    /// Whether its primary answers, and is one that a party can trust with what it acknowledges.
    pub async fn reach(&self) -> Result<(), StoreError> {
        Ok(self.connect().await?.close().await?)
    }

    /// Whether another server may become the primary.
    pub fn has_standbys(&self) -> bool {
        self.servers.len() > 1
    }

    /// The servers that sealed entries may be read from, in order; the one that is the primary now among them.
    pub(super) fn readable(&self) -> impl Iterator<Item = (&PgConnectOptions, &str)> {
        let all = if self.standbys == StandbyUse::Read { &*self.servers } else { &[] };
        all.iter().map(|server| (&server.options, &*server.at))
    }

    /// Whether the server at this place was the primary when that was last connected to.
    pub(super) fn is_primary(&self, place: usize) -> bool {
        self.primary.load(Ordering::Relaxed) == place
    }

    /// How a connection to the last known primary is made.
    pub(super) fn options(&self) -> PgConnectOptions {
        let primary = self.servers.get(self.primary.load(Ordering::Relaxed)).or(self.servers.first());
        primary.map(|server| server.options.clone()).unwrap_or_default()
    }
}

/// A URL for each of the hosts that one names.
fn singles(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((login, hosts)) = authority.rsplit_once('@') else { return whole() };
    hosts.split(',').map(|host| format!("{scheme}://{login}@{host}{rest}")).collect()
}

impl Server {
    fn new(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let wrong = |reason: &str| DatabaseFault::Url { reason: reason.to_owned() };
        let parsed = parse(url).map_err(|reason| wrong(&reason))?;
        if !matches!(parsed.scheme(), "postgresql" | "postgres") {
            return Err(wrong("it does not begin with postgresql://").into());
        }
        let (user, name) = (decoded(parsed.username())?, decoded(parsed.path().trim_start_matches('/'))?);
        if user.is_empty() || name.is_empty() {
            return Err(wrong("it names no user or no database").into());
        }
        let (mut socket, mut sslmode, mut root, mut port) = (None, None, None, parsed.port());
        for (key, value) in parsed.query_pairs() {
            match &*key {
                "host" if value.starts_with('/') => socket = Some(value.into_owned()),
                "port" => port = Some(value.parse().map_err(|_| wrong("its port is not a number"))?),
                "sslmode" => sslmode = Some(value.into_owned()),
                "sslrootcert" => root = Some(value.into_owned()),
                _ => return Err(wrong(&format!("its parameter {key} is not known here")).into()),
            }
        }
        let port = port.unwrap_or(PORT);
        let mut options = PgConnectOptions::new_without_pgpass()
            .username(&user)
            .database(&name)
            .port(port)
            .application_name(&format!("sealwort {}", hex::encode(random::<4>())))
            .options(SESSION)
            .disable_statement_logging();
        let password = match (password, parsed.password()) {
            (Some(beside), _) => beside.to_owned(),
            (None, within) => decoded(within.unwrap_or_default())?,
        };
        options = options.password(&password);
        let (at, near) = match (&socket, host(&parsed)) {
            (Some(folder), None) => {
                options = options.socket(Path::new(folder));
                (format!("{folder}:{port}/{name}"), true)
            }
            (None, Some((host, near))) => {
                options = options.host(&host);
                (format!("{host}:{port}/{name}"), near)
            }
            _ => return Err(wrong("it needs a host, or a socket's folder as host=/folder, and not both").into()),
        };
        let mode = match (sslmode.as_deref(), near) {
            (None | Some("disable"), true) => PgSslMode::Disable,
            (None | Some("verify-full"), _) if TLS => PgSslMode::VerifyFull,
            (None | Some("verify-full"), _) => {
                return Err(wrong("this build has no TLS to PostgreSQL; name a socket or a loopback address").into());
            }
            (Some("disable"), false) => {
                return Err(wrong("sslmode=disable is for this computer alone; a server elsewhere needs TLS").into());
            }
            (Some(_), _) => return Err(wrong("sslmode is verify-full, or disable on this computer").into()),
        };
        if let Some(file) = root {
            options = options.ssl_root_cert(file);
        }
        Ok(Self { options: options.ssl_mode(mode), at })
    }
}

/// Whether this build can speak TLS to a server.
const TLS: bool = true;

/// Every connection's settings. A statement that takes longer, or a client that is gone or stands still, gives its locks
/// free: other nodes wait for them, and longer than a node may stand still in the middle of a transaction.
const SESSION: [(&str, &str); 7] = [
    ("search_path", "sealwort"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The error of `url` never shows the text.
fn parse(url: &str) -> Result<Url, String> {
    match Url::parse(url) {
        Ok(parsed) => Ok(parsed),
        // It wants a host behind a user; a socket has none.
        Err(::url::ParseError::EmptyHost) => {
            Url::parse(&url.replacen("@/", "@socket.invalid/", 1)).map_err(|e| e.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Its host, and whether that is this computer.
fn host(url: &Url) -> Option<(String, bool)> {
    match url.host()? {
        Host::Domain("socket.invalid" | "") => None,
        Host::Domain(name) => {
            // For a scheme that is not the web's, addresses come as names.
            let near = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            Some((name.to_owned(), near))
        }
        Host::Ipv4(address) => Some((address.to_string(), address.is_loopback())),
        Host::Ipv6(address) => Some((address.to_string(), address.is_loopback())),
    }
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let reason = || DatabaseFault::Url { reason: "a part of it is not UTF-8".to_owned() };
    Ok(percent_encoding::percent_decode_str(text).decode_utf8().map_err(|_| reason())?.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_says_which_database_and_shows_no_password() {
        for (url, at) in [
            ("postgresql://ada:geheim@127.0.0.1/archive", "127.0.0.1:5432/archive"),
            ("postgres://ada@localhost:6000/archive", "localhost:6000/archive"),
            ("postgresql://ada:geheim@[::1]/archive?sslmode=disable", "::1:5432/archive"),
            ("postgresql://ada@/archive?host=/run/postgresql", "/run/postgresql:5432/archive"),
            (
                "postgresql://ada:geheim@127.0.0.1:6000,localhost,[::1]:6001/archive?sslmode=disable",
                "127.0.0.1:6000/archive or localhost:5432/archive or ::1:6001/archive",
            ),
        ] {
            let database = Database::new(url, None).unwrap();
            assert_eq!((database.to_string(), format!("{database:?}")), (at.to_owned(), at.to_owned()));
            assert_eq!(database.readable().count(), 0, "standbys are read from by those alone who ask for it");
            assert_eq!(database.clone().reading_from_standbys().readable().count(), at.split(" or ").count());
            assert_eq!(database.options().get_username(), "ada");
        }
    }

    #[test]
    fn what_cannot_be_used_or_would_be_unsafe_is_refused_without_the_password() {
        for (url, why) in [
            ("", "relative URL"),
            ("mysql://ada:geheim@127.0.0.1/archive", "postgresql://"),
            ("postgresql://127.0.0.1/archive", "no user"),
            ("postgresql://ada:geheim@127.0.0.1", "no database"),
            ("postgresql://ada:geheim@/archive", "needs a host"),
            ("postgresql://ada:geheim@127.0.0.1,/archive", "needs a host"),
            ("postgresql://ada:geheim@127.0.0.1,db.example/archive?sslmode=disable", "needs TLS"),
            ("postgresql://ada:geheim@127.0.0.1/archive?host=/run/postgresql", "not both"),
            ("postgresql://ada:geheim@127.0.0.1/archive?pasword=geheim", "parameter pasword"),
            ("postgresql://ada:geheim@db.example/archive?sslmode=disable", "needs TLS"),
            ("postgresql://ada:geheim@db.example/archive?sslmode=require", "verify-full"),
        ] {
            let told = Database::new(url, None).unwrap_err().to_string();
            assert!(told.contains(why) && !told.contains("geheim"), "{url}: {told}");
        }
        assert_eq!(
            Database::new("postgresql://ada@db.example/archive", None).is_ok(),
            TLS,
            "TLS is what is wanted there"
        );
    }
}
