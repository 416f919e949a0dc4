//! The flood: six classes, each at its own fixed rate, with a bound on what is in flight at once. What comes too
//! soon is skipped and counted, not queued.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealwort_net::client::{Connection, Endpoint, HopClient};
use sealwort_net::exchange::{AUTHENTICATE_PATH, send};
use sealwort_net::member::Member;
use sealwort_net::tls::{ExpectedPeer, client_config};
use sealwort_net::{Clock as _, SystemClock};
use sealwort_pki::{Identity, Role};
use sealwort_proto::handshake::gateway::{Presented, start};
use sealwort_proto::message::HANDSHAKE_BYTES_MAX;
use sealwort_proto::policy::Policies;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::exchange::Exchange;
use crate::measure::Failure;
use crate::processes::Binary;

/// Bad connections or messages at one time.
const IN_FLIGHT_MAX: usize = 64;
/// Silent connections at one time: more than a broker has places for handshakes.
const SILENT_MAX: usize = 2_000;
/// Hospitals with a valid certificate that take part in the flood, half of them with junk, half with hellos.
const ROGUES: usize = 4;
/// Junk messages on one connection before a new one is made.
const JUNK_PER_CONNECTION: u64 = 20;
/// Longest junk message, in bytes.
const JUNK_BYTES_MAX: usize = 16 * 1024;
/// What is not answered within this is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for who says nothing: longer than a broker waits.
const SILENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the flood is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// TCP connections that say nothing and stay.
    Silent,
    /// TCP connections that send bytes which are no TLS.
    Tcp,
    /// TLS handshakes without a certificate.
    Stranger,
    /// Messages of random bytes over connections with a valid certificate, a new one every twenty.
    Junk,
    /// Step 1 of a hospital that never goes on.
    Hello,
    /// A quarter of each but the silent ones.
    Mixed,
}

/// What was sent in a phase.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) bad: u64,
    pub(super) skipped: u64,
    answers: BTreeMap<String, u64>,
}

/// A party with a valid certificate, in this program.
pub(super) struct Rogue {
    member: Arc<Member>,
    client: HopClient,
    endpoint: Endpoint,
    kept: Mutex<Option<Connection>>,
}

/// Everybody who floods.
pub(super) struct Attackers {
    rogues: Vec<Rogue>,
    stranger: HopClient,
    endpoint: Endpoint,
    address: String,
    number: AtomicU64,
}

impl Class {
    pub(super) const ALL: [Self; 6] = [Self::Silent, Self::Tcp, Self::Stranger, Self::Junk, Self::Hello, Self::Mixed];
    const SINGLE: [Self; 4] = [Self::Tcp, Self::Stranger, Self::Junk, Self::Hello];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Tcp => "tcp",
            Self::Stranger => "stranger",
            Self::Junk => "junk",
            Self::Hello => "hello",
            Self::Mixed => "mixed",
        }
    }

    /// Connections or messages a second.
    pub(super) const fn rate(self) -> f64 {
        match self {
            Self::Silent => 600.0,
            Self::Tcp | Self::Hello => 400.0,
            Self::Stranger => 150.0,
            Self::Junk | Self::Mixed => 300.0,
        }
    }

    /// How many of them at one time.
    pub(super) const fn in_flight_max(self) -> usize {
        match self {
            Self::Silent => SILENT_MAX,
            _ => IN_FLIGHT_MAX,
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Silent | Self::Tcp | Self::Stranger => "connections",
            Self::Junk => "messages (a connection every 20)",
            Self::Hello => "messages",
            Self::Mixed => "connections and messages",
        }
    }
}

impl Sent {
    pub(super) fn add(&mut self, other: &Self) {
        self.bad += other.bad;
        self.skipped += other.skipped;
        for (answer, times) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += times;
        }
    }

    /// How they were answered, the most frequent first.
    pub(super) fn answers(&self) -> String {
        let mut answers: Vec<_> = self.answers.iter().collect();
        answers.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        let answers: Vec<String> = answers.into_iter().map(|(answer, times)| format!("{answer} {times}")).collect();
        answers.join(", ")
    }
}

impl Rogue {
    pub(super) async fn join(exchange: &Exchange, binary: &Binary, name: &str) -> Result<Self, Failure> {
        let folder = exchange.join_gateway(binary, name).await?;
        let member = Arc::new(Member::load(&folder, Role::Gateway, Policies::standard(), Arc::new(SystemClock))?);
        let tls = client_config(Some(member.credentials()), member.trust(), ExpectedPeer::any(Role::Broker))?;
        let endpoint = exchange.broker_url.parse()?;
        Ok(Self { member, client: HopClient::new(tls), endpoint, kept: Mutex::new(None) })
    }

    fn archive(&self) -> Result<Identity, Failure> {
        Ok(Identity::new(self.member.identity().exchange.clone(), Role::Archive, "archive".parse()?))
    }

    /// The connection that is kept, or a new one where it is closed or `anew` is asked for.
    async fn connection(&self, anew: bool) -> Result<Connection, Failure> {
        let mut kept = self.kept.lock().await;
        if anew && let Some(old) = kept.take() {
            old.close();
        }
        if let Some(open) = kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        let fresh = self.client.connect(&self.endpoint).await?;
        *kept = Some(fresh.clone());
        Ok(fresh)
    }

    /// Step 1, and nothing after it.
    async fn hello(&self) -> Result<String, Failure> {
        let connection = self.connection(false).await?;
        let peer = connection.require_peer()?;
        let party = self.member.party();
        let (_, hello) = start(&party, &self.archive()?, peer.identity(), *peer.exporter());
        let path = format!("{AUTHENTICATE_PATH}/1");
        Ok(match send(&connection, &path, hello, 2 * HANDSHAKE_BYTES_MAX).await {
            Ok(answer) if answer.len() < COOKIE_ANSWER_BYTES_MAX => "cookie-needed".to_owned(),
            Ok(_) => "step-3".to_owned(),
            Err(error) => error.code().to_owned(),
        })
    }

    /// Random bytes in place of step 1.
    async fn junk(&self, number: u64) -> Result<String, Failure> {
        let connection = self.connection(number.is_multiple_of(JUNK_PER_CONNECTION)).await?;
        let path = format!("{AUTHENTICATE_PATH}/1");
        Ok(match send(&connection, &path, noise(number), HANDSHAKE_BYTES_MAX).await {
            Ok(_) => "SERVED".to_owned(),
            Err(error) => error.code().to_owned(),
        })
    }

    /// A new connection and the nine steps over it.
    pub(super) async fn nine_steps(&self) -> Result<(), Failure> {
        let connection = self.client.connect(&self.endpoint).await?;
        let peer = connection.require_peer()?;
        let party = self.member.party();
        let path = |step: &str| format!("{AUTHENTICATE_PATH}/{step}");
        let (mut state, mut hello) = start(&party, &self.archive()?, peer.identity(), *peer.exporter());
        let (state, share) = loop {
            let answer = send(&connection, &path("1"), hello, 2 * HANDSHAKE_BYTES_MAX).await?;
            match self.member.with_peers(|peers| state.on_presentation(&answer, &party, peers))? {
                Presented::Continue(state, share) => break (state, share),
                Presented::Again(again, repeated) => (state, hello) = (again, repeated),
            }
        };
        let session = state.session();
        let answer = send(&connection, &path(&format!("4/{session}")), share, 2 * HANDSHAKE_BYTES_MAX).await?;
        let (state, completion) = state.on_answer(&answer, &party, SystemClock.now())?;
        let confirmed = send(&connection, &path(&format!("9/{session}")), completion, HANDSHAKE_BYTES_MAX).await?;
        state.on_confirmation(&confirmed, SystemClock.now())?;
        connection.close();
        Ok(())
    }
}

impl Attackers {
    pub(super) async fn join(exchange: &Exchange, binary: &Binary) -> Result<Self, Failure> {
        let mut rogues = Vec::with_capacity(ROGUES);
        for number in 0..ROGUES {
            rogues.push(Rogue::join(exchange, binary, &format!("rogue-{number}")).await?);
        }
        let trust = rogues.first().ok_or("no rogue hospital")?.member.trust();
        let stranger = HopClient::new(client_config(None, trust, ExpectedPeer::any(Role::Broker))?);
        let endpoint: Endpoint = exchange.broker_url.parse()?;
        let address = format!("{}:{}", endpoint.host(), endpoint.port());
        Ok(Self { stranger, endpoint, address, rogues, number: AtomicU64::new(0) })
    }

    /// Floods for a while at the class's rate.
    pub(super) async fn flood(self: &Arc<Self>, class: Class, scale: f64, phase: Duration) -> Sent {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / (class.rate() * scale)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let places = Arc::new(Semaphore::new(class.in_flight_max()));
        let (mut sent, mut tasks) = (Sent::default(), JoinSet::new());
        let begun = Instant::now();
        loop {
            ticks.tick().await;
            if begun.elapsed() >= phase {
                break;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                sent.skipped += 1;
                continue;
            };
            let attackers = Arc::clone(self);
            tasks.spawn(async move {
                let number = attackers.number.fetch_add(1, Ordering::Relaxed);
                let patience = if class == Class::Silent { SILENT_PATIENCE } else { PATIENCE };
                let answer = timeout(patience, attackers.attack(class, number)).await;
                drop(place);
                match answer {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => "connection failed".to_owned(),
                    Err(_) => "no answer".to_owned(),
                }
            });
        }
        loop {
            let ended = if class == Class::Silent { tasks.try_join_next() } else { tasks.join_next().await };
            let Some(ended) = ended else { break };
            if let Ok(answer) = ended {
                sent.bad += 1;
                *sent.answers.entry(answer).or_default() += 1;
            }
        }
        // What is held open has no end of its own.
        if !tasks.is_empty() {
            sent.bad += tasks.len() as u64;
            *sent.answers.entry("held open".to_owned()).or_default() += tasks.len() as u64;
            tasks.shutdown().await;
        }
        sent
    }

    async fn attack(&self, class: Class, number: u64) -> Result<String, Failure> {
        let places = Class::SINGLE.len() as u64;
        let class = match class {
            Class::Mixed => {
                let turn = usize::try_from(number % places)?;
                *Class::SINGLE.get(turn).ok_or("no such class")?
            }
            single => single,
        };
        // In a mixed flood only every fourth is of this class.
        let turn = number / places;
        // A hospital with too many unfinished runs is not listened to, so nobody sends both junk and hellos.
        let half = ROGUES / 2;
        let first = if class == Class::Junk { 0 } else { half };
        let rogue = self.rogues.get(first + usize::try_from(turn)? % half).ok_or("no rogue hospital")?;
        match class {
            Class::Silent => self.silence().await,
            Class::Stranger => self.knock().await,
            Class::Junk => rogue.junk(turn).await,
            Class::Hello => rogue.hello().await,
            _ => self.no_tls(number).await,
        }
    }

    async fn silence(&self) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        Ok(if read.is_ok() { "closed" } else { "reset" }.to_owned())
    }

    async fn no_tls(&self, number: u64) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let junk = noise(number);
        stream.write_all(junk.get(..junk.len().min(JUNK_TLS_BYTES)).unwrap_or_default()).await?;
        let mut answer = Vec::new();
        // An alert, the end of the stream or a reset.
        let read = stream.read_to_end(&mut answer).await;
        Ok(if read.is_ok() { "closed" } else { "reset" }.to_owned())
    }

    async fn knock(&self) -> Result<String, Failure> {
        let connection = match self.stranger.connect(&self.endpoint).await {
            Ok(connection) => connection,
            Err(error) => return Ok(error.code().to_owned()),
        };
        // Over TLS 1.3 the refusal comes with the first answer.
        Ok(match send(&connection, &format!("{AUTHENTICATE_PATH}/1"), noise(1), HANDSHAKE_BYTES_MAX).await {
            Ok(_) => "SERVED".to_owned(),
            Err(error) => error.code().to_owned(),
        })
    }
}

/// Bytes that mean nothing, of a length that varies (xorshift).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = usize::try_from(next() % JUNK_BYTES_MAX as u64).unwrap_or_default() + 8;
    std::iter::repeat_with(|| next().to_be_bytes()).flatten().take(length).collect()
}

/// A cookie demand is far shorter than step 3, which carries certificates.
const COOKIE_ANSWER_BYTES_MAX: usize = 512;
const JUNK_TLS_BYTES: usize = 512;
